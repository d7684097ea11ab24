"""Pages of an S3 listing, and what went wrong when there are none.

A public archive is asked by plain HTTP (``web``), any other with botocore's signature on top (``signed``);
both are answered alike (``answers``).
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from cryptolake.errors import ListingError
from cryptolake.listing.answers import NoAnswer, Object, Page, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptolake.archive.source import Archive
    from cryptolake.listing.signed import Signer
    from cryptolake.listing.web import Answer, Web

__all__ = ["Object", "Page", "Pages"]


class Pages:
    """ListObjectsV2 against one archive, from any number of threads."""

    def __init__(self, archive: Archive, *, connections: int = 32) -> None:
        self.archive = archive
        self.connections = connections
        self._lock = threading.Lock()
        self._region = archive.region

    def of(
        self, prefix: str, *, after: str = "", limit: int = 1000, folders: bool = False
    ) -> Iterator[Page]:
        """Yield the pages below a prefix, in key order.

        Parameters
        ----------
        prefix
            What the keys begin with.
        after
            Leave out keys up to and including this one.
        limit
            Keys on the first page, 1000 at most; later pages are full ones.
        folders
            Ask for the next level's folders instead of every key.

        Raises
        ------
        ListingError
            The endpoint does not answer, refuses, or answers with something that is no listing.
        """
        # Percent-encoded, names can be anything; XML itself cannot carry every character.
        asked = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        if limit < 1000:
            asked["max-keys"] = str(limit)
        if after:
            asked["start-after"] = after
        if folders:
            asked["delimiter"] = "/"
        while True:
            page = self._ask(asked)
            yield page
            if page.token is None:
                return
            asked.pop("max-keys", None)
            asked["continuation-token"] = page.token

    def connect(self) -> None:
        """Load and make what asking needs, once, in whichever thread comes first.

        Raises
        ------
        ListingError
            It cannot be made as the environment is.
        """
        try:
            self._tools()
        except NoAnswer as error:
            raise self._failure(str(error)) from error

    def _ask(self, asked: Mapping[str, str]) -> Page:
        anonymous = self.archive.anonymous
        try:
            answer = self._get(asked)
            elsewhere = answer.headers.get("x-amz-bucket-region", self._region)
            if answer.status in {301, 307, 400} and elsewhere != self._region:
                self._region = elsewhere  # AWS says where the bucket is
                answer = self._get(asked)
            return read(*answer, anonymous=anonymous)
        except NoAnswer as error:
            raise self._failure(str(error)) from error

    def _get(self, asked: Mapping[str, str]) -> Answer:
        # The bucket in the path: its dots fit no wildcard certificate.
        words = urlencode(asked, safe="", quote_via=quote)
        url = f"{self._endpoint}/{self.archive.bucket}?{words}"
        web, signer = self._tools()
        return web.get(url, signer.headers(url, self._region) if signer else {})

    def _tools(self) -> tuple[Web, Signer | None]:
        with self._lock:
            return self._web, self._signer

    @cached_property
    def _web(self) -> Web:
        from cryptolake.listing.web import Web

        return Web(self._endpoint, connections=self.connections)

    @cached_property
    def _signer(self) -> Signer | None:
        if self.archive.anonymous:
            return None
        from cryptolake.listing.signed import Signer

        return Signer()

    @property
    def _endpoint(self) -> str:
        china = ".cn" if self._region.startswith("cn-") else ""
        return self.archive.endpoint or f"https://s3.{self._region}.amazonaws.com{china}"

    def _failure(self, why: str) -> ListingError:
        where = self._endpoint
        hint = (
            "Check that this endpoint is right and running (CRYPTOLAKE_ENDPOINT_URL, or "
            "Archive(endpoint_url=...)); unset it for the public archive."
            if self.archive.endpoint
            else "Check the network; or set CRYPTOLAKE_ENDPOINT_URL to a mirror, such as the one "
            "that `cryptolake serve-archive` serves."
        )
        message = f"cannot list {self.archive.bucket} at {where}: {why}. {hint}"
        return ListingError(message, bucket=self.archive.bucket, endpoint=where, why=why)
