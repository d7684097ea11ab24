"""Signatures for an archive that is not public, by botocore: only such an archive loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from cryptolake.listing.answers import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping


_TROUBLE = "no credentials can be had for it: "


class Signer:
    """Signs GETs with the credentials of the usual AWS chain: environment, profile, or machine.

    Raises
    ------
    NoAnswer
        There are none.
    """

    def __init__(self) -> None:
        try:
            found = Session().get_credentials()
        except BotoCoreError as error:
            raise NoAnswer(_TROUBLE + str(error)) from error
        if found is None:
            message = "it needs credentials, and there are none in the AWS environment or a profile"
            raise NoAnswer(message)
        self._credentials = found

    def headers(self, url: str, region: str) -> Mapping[str, str]:
        """Return the headers that sign a GET of this URL now.

        Raises
        ------
        NoAnswer
            The credentials ran out and cannot be renewed.
        """
        request = AWSRequest("GET", url)
        try:
            # Frozen: another thread may renew them between the reading of key and secret.
            now = self._credentials.get_frozen_credentials()
            S3SigV4Auth(now, "s3", region).add_auth(request)
        except BotoCoreError as error:
            raise NoAnswer(_TROUBLE + str(error)) from error
        return dict(request.headers.items())
