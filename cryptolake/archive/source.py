"""Where the public archive is: a bucket, an endpoint, a region. A value; it does nothing by itself."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from cryptolake.errors import InvalidQuery

ENDPOINT_VARIABLE = "CRYPTOLAKE_ENDPOINT_URL"
"""The environment variable that says the endpoint where none is given."""

BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
"""What a bucket may be named."""


class ArchivePlace(NamedTuple):
    """Which archive it is: a bucket, and the endpoint that serves it, None for AWS.

    Examples
    --------
    >>> print(ArchivePlace("mirror", "http://127.0.0.1:9000"))
    s3://mirror at http://127.0.0.1:9000
    """

    bucket: str
    endpoint: str | None

    @classmethod
    def parse(cls, text: str) -> ArchivePlace | None:
        """Read what :func:`str` makes of a place; None where it is nothing of the kind.

        Examples
        --------
        >>> ArchivePlace.parse("s3://mirror at http://127.0.0.1:9000").endpoint
        'http://127.0.0.1:9000'
        >>> ArchivePlace.parse("s3://") is None
        True
        """
        name, at, endpoint = text.removeprefix("s3://").partition(" at ")
        return cls.of(name, endpoint if at else None) if text.startswith("s3://") else None

    @classmethod
    def of(cls, bucket: object, endpoint: object) -> ArchivePlace | None:
        """Return the place of a bucket and an endpoint that some file names; None where they cannot be ones."""
        if not BUCKET_NAME.fullmatch(str(bucket)):
            return None
        try:
            return cls(str(bucket), None if endpoint is None else checked_endpoint(str(endpoint)))
        except ValueError:
            return None

    def is_same(self, other: ArchivePlace) -> bool:
        """Say whether two places are one: the same bucket at the same server.

        Examples
        --------
        >>> aws = ArchivePlace("data.binance.vision", None)
        >>> aws.is_same(
        ...     ArchivePlace("data.binance.vision", "https://s3.ap-northeast-1.amazonaws.com")
        ... )
        True
        >>> aws.is_same(ArchivePlace("data.binance.vision", "http://127.0.0.1:9000"))
        False
        """
        same_server = server_of(self.endpoint) == server_of(other.endpoint)
        return self.bucket == other.bucket and same_server

    def may_be_same(self, other: ArchivePlace) -> bool:
        """Say whether both serve a bucket of that name on loopback, where a port says nothing of what it serves."""
        return self.bucket == other.bucket and self.is_loopback and other.is_loopback

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is a server of this machine.

        Examples
        --------
        >>> ArchivePlace("b", "http://[::1]:9000").is_loopback, ArchivePlace("b", None).is_loopback
        (True, False)
        """
        return _is_loopback(server_of(self.endpoint)[0])

    @property
    def tag(self) -> str:
        """A short name, for a folder."""
        if self.endpoint is None:
            return self.bucket
        return f"{self.bucket}@{hashlib.sha256(self.endpoint.encode()).hexdigest()[:8]}"

    def __str__(self) -> str:
        return f"s3://{self.bucket}" + (f" at {self.endpoint}" if self.endpoint else "")


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
    >>> import cryptolake as cl
    >>> cl.Archive(endpoint_url="http://127.0.0.1:9000/").endpoint
    'http://127.0.0.1:9000'
    >>> cl.Archive() == cl.Archive(bucket="data.binance.vision")
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
                f"{'.'.join(map(str, item['loc'])) or 'archive'}: {item['msg'].removeprefix('Value error, ')}"
                for item in error.errors()
            )
        else:
            return
        # The given values stay out of the message and of its context: a URL may hold a password.
        message = f"this is no archive: {wrong}."
        raise InvalidQuery(message, what="archive")

    @field_validator("bucket")
    @classmethod
    def _is_bucket(cls, bucket: str) -> str:
        if not BUCKET_NAME.fullmatch(bucket):
            message = "a bucket's name is 3 to 63 lower-case letters, digits, dots and hyphens"
            raise ValueError(message)
        return bucket

    @field_validator("region")
    @classmethod
    def _is_region(cls, region: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", region):
            message = "a region's name is letters, digits, dots and hyphens"
            raise ValueError(message)
        return region

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
        >>> import cryptolake as cl
        >>> cl.Archive(endpoint_url="http://127.0.0.1:9000").tag
        'data.binance.vision@67d8ea34'
        """
        return self.place.tag

    @property
    def place(self) -> ArchivePlace:
        """Which archive it is: bucket and endpoint in use.

        Raises
        ------
        InvalidQuery
            As :attr:`endpoint`.
        """
        return ArchivePlace(self.bucket, self.endpoint)

    def __str__(self) -> str:
        return str(self.place)


def archive_text(source: Archive, recorded: ArchivePlace | None) -> str:
    """Say for a person which archive a lake is of, and which one it was opened with where that is another.

    Examples
    --------
    >>> archive_text(Archive(), ArchivePlace("data.binance.vision", "http://127.0.0.1:9000"))
    's3://data.binance.vision at http://127.0.0.1:9000, opened with s3://data.binance.vision'
    """
    try:
        given = source.place
    except InvalidQuery as error:
        return str(recorded or f"unknown: {error}")
    if recorded is None or recorded.is_same(given):
        return str(given)
    return f"{recorded}, opened with {given}"


def server_of(endpoint: str | None) -> tuple[str, int | None]:
    """Return host and port of an endpoint. All of AWS's regional ones count as one, as do loopback's names.

    Examples
    --------
    >>> server_of("http://localhost:9000") == server_of("http://127.0.0.1:9000")
    True
    >>> server_of(None), server_of("https://minio.example")
    (('amazonaws.com', None), ('minio.example', 443))
    """
    if not endpoint:
        return ("amazonaws.com", None)
    parts = urlsplit(endpoint)
    host = (parts.hostname or "").lower().rstrip(".")
    if host.endswith(".amazonaws.com"):
        return ("amazonaws.com", None)
    if _is_loopback(host):
        host = "localhost"
    return (host, parts.port or {"http": 80, "https": 443}.get(parts.scheme))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult | None:
    """Return a URL's parts; None where it has none. The error would tell of a password in it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def has_login(place: str) -> bool:
    """Say whether a URL, or the part of one that names a bucket, holds credentials or a query, which may hold some.

    Examples
    --------
    >>> has_login("s3://KEY:SECRET@bucket/lake"), has_login("KEY:SECRET@bucket")
    (True, True)
    >>> has_login("s3://bucket/me@home"), has_login("/data/me@home")
    (False, False)
    """
    scheme, found, rest = place.partition("://")
    place = rest if found else scheme
    login, at, _ = place.partition("@")
    named = ":" in login or (found and "/" not in login)
    return bool(at and named) or bool(found and "?" in rest)


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
    parts = _split(url)
    if not plain or parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(message)
    if parts.username or parts.password or parts.query or parts.fragment:
        message = "an endpoint holds no credentials, query or fragment; use the AWS environment"
        raise ValueError(message)
    return url.rstrip("/")
