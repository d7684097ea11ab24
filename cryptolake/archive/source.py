"""Where the public archive is: a bucket, an endpoint, a region. A value; it does nothing by itself."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from cryptolake.errors import InvalidQuery

ENDPOINT_VARIABLE = "CRYPTOLAKE_ENDPOINT_URL"
"""The environment variable that says the endpoint where none is given."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


class Archive(BaseModel):
    """The S3 bucket that files come from. Frozen, comparable, and free of credentials.

    Parameters
    ----------
    bucket
        The bucket's name.
    endpoint_url
        An S3 endpoint other than AWS's, ``http(s)://host[:port]``. Where it is None, the environment
        variable ``CRYPTOLAKE_ENDPOINT_URL`` counts when it is set.
    region
        The bucket's AWS region.
    anonymous
        Whether requests go unsigned; the real archive needs no credentials.

    Raises
    ------
    InvalidQuery
        A bucket name or URL that cannot be one, or a URL with credentials in it.

    Examples
    --------
    >>> Archive(endpoint_url="http://127.0.0.1:9000/").endpoint
    'http://127.0.0.1:9000'
    >>> Archive() == Archive(bucket="data.binance.vision")
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = "data.binance.vision"
    endpoint_url: str | None = None
    region: str = "ap-northeast-1"
    anonymous: bool = True

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'archive'}: {item['msg']}"
                for item in error.errors()
            )
            # The given values stay out of the message: a URL may hold a password.
            message = f"this is no archive: {wrong}."
            raise InvalidQuery(message, what="archive") from None

    @field_validator("bucket")
    @classmethod
    def _is_bucket(cls, bucket: str) -> str:
        if not _BUCKET.fullmatch(bucket):
            message = "a bucket's name is 3 to 63 lower-case letters, digits, dots and hyphens"
            raise ValueError(message)
        return bucket

    @field_validator("endpoint_url")
    @classmethod
    def _is_endpoint(cls, url: str | None) -> str | None:
        return None if not url else checked_endpoint(url)

    @property
    def endpoint(self) -> str | None:
        """The endpoint in use: the one given, else the environment's, else None for AWS itself.

        Raises
        ------
        InvalidQuery
            The environment variable holds no URL.
        """
        if self.endpoint_url:
            return self.endpoint_url
        given = os.environ.get(ENDPOINT_VARIABLE, "").strip()
        if not given:
            return None
        try:
            return checked_endpoint(given)
        except ValueError as error:
            message = f"the environment variable {ENDPOINT_VARIABLE} is wrong: {error}."
            raise InvalidQuery(message, what=ENDPOINT_VARIABLE) from None

    @property
    def tag(self) -> str:
        """A short name for bucket and endpoint, so that two archives' listings are never mixed.

        Examples
        --------
        >>> Archive(endpoint_url="http://127.0.0.1:9000").tag
        'data.binance.vision@67d8ea34'
        """
        endpoint = self.endpoint
        if endpoint is None:
            return self.bucket
        return f"{self.bucket}@{hashlib.sha256(endpoint.encode()).hexdigest()[:8]}"

    def __str__(self) -> str:
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"s3://{self.bucket}{where}"


def checked_endpoint(url: str) -> str:
    """Return the endpoint without a trailing slash.

    Raises
    ------
    ValueError
        It is not ``http(s)://host[:port]``, or it holds credentials.

    Examples
    --------
    >>> checked_endpoint("https://minio.example:9000/")
    'https://minio.example:9000'
    """
    plain = url.isascii() and url.isprintable() and not set(url) & set(" '\"\\`")
    message = "an endpoint is written 'http://host:port' or 'https://host'"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(message) from None
    if not plain or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(message)
    if parts.username or parts.password or parts.query or parts.fragment:
        message = "an endpoint holds no credentials, query or fragment; use the AWS environment"
        raise ValueError(message)
    return url.rstrip("/")
