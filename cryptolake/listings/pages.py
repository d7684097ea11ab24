"""Pages of an S3 listing, and what went wrong when there are none.

The client is botocore's, the half of boto3 that makes requests: without boto3's resource layer a fresh
process asks its first question 40 ms sooner. Retries are botocore's own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptolake.errors import ListingError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from cryptolake.archive import Archive


class Object(NamedTuple):
    """A listed object: its key, bytes, ETag without quotes, and last modification as ISO text (UTC)."""

    key: str
    size: int
    etag: str
    modified: str


class Page(NamedTuple):
    """One answer: its objects, and its folders where those were asked for."""

    objects: list[Object]
    folders: list[str]


class Pages:
    """ListObjectsV2 against one archive, from any number of threads."""

    def __init__(self, archive: Archive, *, connections: int = 32) -> None:
        self.archive = archive
        self.connections = connections
        self._lock = threading.Lock()

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
        asked: dict[str, Any] = {"Bucket": self.archive.bucket, "Prefix": prefix}
        if limit < 1000:
            asked["MaxKeys"] = limit
        if after:
            asked["StartAfter"] = after
        if folders:
            asked["Delimiter"] = "/"
        while True:
            answer = self._ask(asked)
            yield Page(
                [
                    Object(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])
                    for item in answer.get("Contents", ())
                ],
                [item["Prefix"] for item in answer.get("CommonPrefixes", ())],
            )
            if not answer["IsTruncated"]:
                return
            asked.pop("MaxKeys", None)
            asked["ContinuationToken"] = answer["NextContinuationToken"]

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.connect()
        try:
            answer: Any = client.list_objects_v2(**asked)
        except ClientError as error:
            raise self._failure(_refusal(error)) from error
        except BotoCoreError as error:
            raise self._failure(_silence(error)) from error
        except ValueError as error:  # a web page, or a size that is no number
            raise self._failure(_NO_LISTING) from error
        whole = "IsTruncated" in answer and all(
            {"Key", "Size", "ETag", "LastModified"} <= item.keys()
            for item in answer.get("Contents", ())
        )
        if not whole:
            raise self._failure(_NO_LISTING)
        return dict(answer)

    def connect(self) -> S3Client:
        """Return the client, which is made once, by whichever thread comes first.

        Raises
        ------
        ListingError
            There can be none with these words.
        """
        with self._lock:
            return self._client

    @cached_property
    def _client(self) -> S3Client:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        options: dict[str, Any] = {
            "s3": {"addressing_style": "path"},  # the bucket's dots fit no wildcard certificate
            "max_pool_connections": self.connections,
            "connect_timeout": 10,
            "read_timeout": 60,
            "retries": {"mode": "standard", "max_attempts": 3},
            # AWS_ENDPOINT_URL is the lake's, never the archive's.
            "ignore_configured_endpoint_urls": True,
        }
        if self.archive.anonymous:
            options["signature_version"] = UNSIGNED
        try:
            # An anonymous client reads no profile, so a wrong AWS_PROFILE does not matter to it.
            no_profile = {"profile": (None, None, None, None)} if self.archive.anonymous else None
            session = Session(session_vars=no_profile)
            session.register_component("data_loader", _loader())
            # Times stay text, read by Polars a column at a time: dateutil takes longer over a page of
            # them than all the rest of it.
            session.get_component("response_parser_factory").set_parser_defaults(
                timestamp_parser=str
            )
            client: Any = session.create_client(
                "s3",
                region_name=self.archive.region,
                endpoint_url=self.archive.endpoint,
                config=Config(**options),
            )
        except (BotoCoreError, ValueError) as error:
            why = f"no client could be made for it: {error}"
            raise self._failure(why) from error
        client.meta.events.register("before-parse.s3.ListObjectsV2", _refuse_web_pages)
        found: S3Client = client
        return found

    def _failure(self, why: str) -> ListingError:
        endpoint = self.archive.endpoint
        where = endpoint or f"https://s3.{self.archive.region}.amazonaws.com"
        hint = (
            "Check that this endpoint is right and running (CRYPTOLAKE_ENDPOINT_URL, or "
            "Archive(endpoint_url=...)); unset it for the public archive."
            if endpoint
            else "Check the network; or set CRYPTOLAKE_ENDPOINT_URL to a mirror, such as the one "
            "that `cryptolake serve-archive` serves."
        )
        message = f"cannot list {self.archive.bucket} at {where}: {why}. {hint}"
        return ListingError(message, bucket=self.archive.bucket, endpoint=where, why=why)


_NO_LISTING = "it answered, but not with an S3 listing (a web page, a proxy's or a portal's?)"


def _loader() -> Any:
    """Return botocore's loader of API descriptions, without what only takes time here.

    It would look into all 400 services' folders to see whether there is one called ``s3``, and read JSON
    into ordered dicts, which plain ones have long been.
    """
    import json

    from botocore.loaders import JSONFileLoader, Loader

    class Files(JSONFileLoader):
        def _load_file(self, full_path: str, open_method: Any) -> Any:
            if not Path(full_path).is_file():
                return None
            with open_method(full_path, "rb") as file:
                return json.load(file)

    class OneService(Loader):
        def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
            return ["s3"]

    return OneService(file_loader=Files())


def _refuse_web_pages(response_dict: dict[str, Any], **_: Any) -> None:
    """Stop at an answer that is no XML: botocore would take it for a server's error, and ask again.

    Raises
    ------
    ValueError
        The body is something else than XML.
    """
    body = response_dict["body"].lstrip()[:64].lower()
    web_page = not body.startswith(b"<") or body.startswith((b"<!doctype", b"<html"))
    # 500 is what botocore has made of a 200 it could not read.
    if web_page and body and response_dict["status_code"] in {200, 500}:
        message = f"no XML: {body!r}"
        raise ValueError(message)


def _refusal(error: Any) -> str:
    """Say in words what an S3 error answer means."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    meanings = {
        "NoSuchBucket": "it has no such bucket",
        "AccessDenied": "it refused: this bucket cannot be listed anonymously there",
        "403": "it refused (403): this bucket cannot be listed anonymously there",
        "404": "it answered 404: it is no S3 endpoint, or has no such bucket",
        "SlowDown": "it asked to slow down, again and again; try later",
    }
    return meanings.get(code) or meanings.get(str(status)) or f"it answered {status}: {error}"


def _silence(error: Exception) -> str:
    """Say in words why there was no usable answer."""
    name = type(error).__name__
    if name == "ResponseParserError":
        return _NO_LISTING
    if name == "EndpointConnectionError":
        return "nothing answers there (connection refused, or the name is not known)"
    if "Timeout" in name:
        return "it did not answer in time"
    return str(error)
