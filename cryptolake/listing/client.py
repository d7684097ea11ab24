"""Requests for pages of an S3 listing, and what went wrong when none comes.

Requests to a public archive are plain HTTP. Others are signed by botocore, which is loaded only then.
"""

from __future__ import annotations

import importlib
import re
import ssl
import threading
import time
import zlib
from contextlib import suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode

from urllib3 import PoolManager, ProxyManager, Retry, Timeout, exceptions, make_headers

from cryptolake.errors import CryptolakeError, ListingError
from cryptolake.listing.pages import NO_LISTING, NoAnswer, Page, read
from cryptolake.storage.aws_settings import login
from cryptolake.storage.s3_config import S3Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse

    from cryptolake.archive.source import Archive
    from cryptolake.storage.s3_config import Http


class Signer:
    """Signs GETs. Made only for a bucket that is not public: it loads botocore.

    Raises
    ------
    NoAnswer
        There are no credentials.
    """

    def __init__(self, config: S3Config) -> None:
        try:
            self._credentials = config.credentials()
        except CryptolakeError as error:
            raise NoAnswer(str(error)) from error

    def headers(
        self, url: str, region: str, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, str]:
        """Return the headers that sign a GET of this URL now, with those that are sent besides.

        Raises
        ------
        NoAnswer
            The credentials ran out and cannot be renewed.
        """
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        request = AWSRequest("GET", url, headers=dict(headers or {}))
        try:
            # Frozen: another thread may renew them between the reading of key and secret.
            now = self._credentials.get_frozen_credentials()
            S3SigV4Auth(now, "s3", region).add_auth(request)
        except BotoCoreError as error:
            message = f"the credentials for the bucket cannot be read: {error}"
            raise NoAnswer(message) from error
        return dict(request.headers.items())


ATTEMPTS = 4
"""How often something is asked for before that counts as a failure."""

_LONGEST = 20
"""Seconds that a server may make us wait before the next attempt."""

_TIMEOUT = Timeout(connect=10, read=60)

_LARGEST = 8 * 2**20
"""Bytes of one answer: a page of a thousand of S3's longest keys, percent-encoded, has less than half of it."""

_PIECE = 2**16

_PATIENCE = 30
"""Seconds that an answer may take, however slowly it comes; a slow one may take ten times as long."""

_SLOWEST = 1000
"""Bytes a second that are expected of an answer that takes longer than that."""

_MOST_PAGES = 1000
_MOST_NAMES = 50_000
"""Pages and names of one question. A year of one symbol's files is one page, all symbols of a market are four."""


class Answer(NamedTuple):
    """What came: the status, the headers (their names in any case), and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Patience(Retry):
    """Attempts, further and further apart, or as the server asks: but not for hours."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except exceptions.InvalidHeader:
            return None
        return None if seconds is None else min(seconds, _LONGEST)


_RETRIES = _Patience(
    total=ATTEMPTS - 1,
    status_forcelist={429, 500, 502, 503, 504},
    backoff_factor=0.25,
    backoff_jitter=0.5,
    raise_on_status=False,  # the last answer says more than that it was the last
)


class Web:
    """Connections to one endpoint, shared by any number of threads.

    Parameters
    ----------
    url
        The endpoint.
    http
        Its proxy and certificates.
    connections
        How many are kept open.

    Raises
    ------
    NoAnswer
        The environment names a proxy or certificates that there cannot be.
    """

    def __init__(self, url: str, http: Http, *, connections: int) -> None:
        try:
            self._pools = _pools(url, http, connections)
        except (exceptions.HTTPError, OSError, ValueError) as error:
            why = str(error)
        else:
            return
        # Outside of the block above: what tells of a proxy's URL may hold its password.
        why = re.sub(r"\S*@", "...@", why)
        message = f"no connection can be made as the environment says (proxy, certificates): {why}"
        raise NoAnswer(message)

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Ask for a URL. A redirect is an answer: nothing that is listed lies behind one.

        Raises
        ------
        NoAnswer
            Nothing answers, or not in time, or with more than a page can be.
        """
        retries: Retry = _RETRIES
        while True:
            response: BaseHTTPResponse | None = None
            try:
                response = self._begun(url, headers)
                answer = Answer(response.status, response.headers, whole_body(response))
                if not retries.is_retry("GET", answer.status):
                    return answer
                if not retries.total:  # the last answer says more than that it was the last
                    return answer
                retries = retries.increment("GET", url, response)
            except exceptions.HTTPError as error:
                try:
                    retries = retries.increment("GET", url, error=error)
                except exceptions.HTTPError as last:
                    raise NoAnswer(_silence(last)) from last
            finally:
                if response is not None:
                    response.release_conn()
            retries.sleep(response)

    def _begun(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        # Read piece by piece, and asked again, by this module: urllib3 reads bodies to their end.
        return self._pools.urlopen(
            "GET",
            url,
            headers=headers,
            retries=False,
            timeout=_TIMEOUT,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )


def whole_body(response: BaseHTTPResponse) -> bytes:
    """Read an answer's body, inflated where it is gzipped, within the limits of a page.

    Raises
    ------
    NoAnswer
        It is larger than a page of a listing can be, comes too slowly, or is in an encoding that was not
        asked for. The connection is closed.
    """
    began = time.monotonic()
    body = bytearray()
    try:
        read_on = _reader(response)
        while piece := response.read1(_PIECE, decode_content=False):
            body += read_on(piece, _LARGEST + 1 - len(body))
            _check_limits(len(body), time.monotonic() - began)
    except zlib.error as error:
        raise NoAnswer(NO_LISTING) from error
    except NoAnswer:
        response.close()
        raise
    return bytes(body)


def _reader(response: BaseHTTPResponse) -> Callable[[bytes, int], bytes]:
    """Return what makes text of a piece of the body, up to a number of bytes."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding == "gzip":
        return zlib.decompressobj(32 + zlib.MAX_WBITS).decompress
    if encoding in {"", "identity"}:
        return lambda piece, _: piece
    why = f"it answered in an encoding that was not asked for ({encoding[:40]!r})"
    raise NoAnswer(why)


def _check_limits(size: int, seconds: float) -> None:
    if size > _LARGEST:
        why = f"its answer is larger than {_LARGEST // 2**20} MiB, which no page of a listing is"
        raise NoAnswer(why)
    too_slow = size < seconds * _SLOWEST or seconds > 10 * _PATIENCE
    if seconds > _PATIENCE and too_slow:
        why = (
            f"its answer comes too slowly: {size} bytes in {seconds:.0f} s "
            f"({_SLOWEST} bytes/s are expected, and an end within {10 * _PATIENCE} s)"
        )
        raise NoAnswer(why)


def _pools(url: str, http: Http, connections: int) -> PoolManager:
    proxy = http.proxy
    secure = any(address.startswith("https:") for address in (url, proxy or ""))
    trusted = _trusted(http) if secure else None  # read once: every connection would do it anew
    if proxy is None:
        return PoolManager(maxsize=connections, ssl_context=trusted)
    named = login(proxy)
    return ProxyManager(
        proxy,
        maxsize=connections,
        ssl_context=trusted,
        proxy_ssl_context=trusted,
        proxy_headers=make_headers(proxy_basic_auth=named) if named else {},
    )


def _trusted(http: Http) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not http.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    file = http.certificates or usual_certificates()
    if file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(file)
    return context


def usual_certificates() -> str | None:
    """Return the certificates to trust where none are configured: as for botocore, certifi's, or its own."""
    with suppress(ImportError):
        return str(importlib.import_module("certifi").where())
    found = find_spec("botocore")  # finds it without loading it
    file = Path(found.origin).with_name("cacert.pem") if found and found.origin else None
    return str(file) if file and file.is_file() else None


def _silence(error: exceptions.HTTPError) -> str:
    """Say in words why there was no answer."""
    reason = error.reason if isinstance(error, exceptions.MaxRetryError) else error
    if isinstance(reason, exceptions.ProxyError):
        return (
            f"the proxy that the environment names does not let us through: {reason.original_error}"
        )
    if isinstance(reason, exceptions.NewConnectionError):
        return "nothing answers there (connection refused, or the name is not known)"
    if isinstance(reason, exceptions.TimeoutError):
        return "it did not answer in time"
    if isinstance(reason, exceptions.SSLError):
        return f"its certificate is not trusted (AWS_CA_BUNDLE names a file of others): {reason}"
    if isinstance(reason, exceptions.ProtocolError):
        return f"the connection broke off, again and again: {reason.args[-1]}"
    return str(reason)


class Pages:
    """ListObjectsV2 against one archive, from any number of threads.

    Parameters
    ----------
    archive
        What is listed.
    connections
        How many are kept open.
    config
        How its bucket is reached; by default as the environment says.
    """

    def __init__(
        self, archive: Archive, *, connections: int = 32, config: S3Config | None = None
    ) -> None:
        self.archive = archive
        self.connections = connections
        self._given = config
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
            The endpoint does not answer, refuses, answers with something that is no listing, or with one
            that does not end: a token that it gave before, or more pages or names than there can be.
        """
        # Percent-encoded, names can be anything; XML itself cannot carry every character.
        asked = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        if limit < 1000:
            asked["max-keys"] = str(limit)
        if after:
            asked["start-after"] = after
        if folders:
            asked["delimiter"] = "/"
        seen: set[str] = set()
        names = 0
        while True:
            page = self._ask(asked)
            yield page
            if page.token is None:
                return
            names += len(page.objects) + len(page.folders)
            if page.token in seen:
                raise self._failure("its listing goes round in circles: it names a next page twice")
            seen.add(page.token)
            if len(seen) >= _MOST_PAGES or names >= _MOST_NAMES:
                why = (
                    f"its listing of {prefix} does not end: {names} names on {len(seen)} pages, and more to come "
                    f"(at most {_MOST_NAMES} names and {_MOST_PAGES} pages are read)"
                )
                raise self._failure(why)
            asked.pop("max-keys", None)
            asked["continuation-token"] = page.token

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
        url = f"{self._bucket}?{words}"
        web, signer, headers = self._tools()
        return web.get(url, signer.headers(url, self._region, headers) if signer else headers)

    def _tools(self) -> tuple[Web, Signer | None, Mapping[str, str]]:
        with self._lock:
            return self._web, self._signer, self._http.headers

    @cached_property
    def _config(self) -> S3Config:
        archive = self.archive
        return self._given or S3Config.of_archive(
            archive.endpoint, archive.region, anonymous=archive.anonymous
        )

    @property
    def _bucket(self) -> str:
        return self._config.bucket_url(self.archive.bucket, self._region)

    @cached_property
    def _http(self) -> Http:
        try:
            return self._config.http(self._bucket)
        except CryptolakeError as error:
            raise NoAnswer(str(error)) from error

    @cached_property
    def _web(self) -> Web:
        return Web(self._bucket, self._http, connections=self.connections)

    @cached_property
    def _signer(self) -> Signer | None:
        return None if self._config.anonymous else Signer(self._config)

    def _failure(self, why: str) -> ListingError:
        where = self._bucket.removesuffix(f"/{self.archive.bucket}")
        hint = (
            "Check that this endpoint is right and running (CRYPTOLAKE_ENDPOINT_URL, or "
            "Archive(endpoint_url=...)); unset it for the public archive."
            if self.archive.endpoint
            else "Check the network; or set CRYPTOLAKE_ENDPOINT_URL to a mirror, such as the one "
            "that `cryptolake serve-archive` serves."
        )
        message = f"cannot list {self.archive.bucket} at {where}: {why}. {hint}"
        return ListingError(message, bucket=self.archive.bucket, endpoint=where, why=why)
