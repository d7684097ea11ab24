"""An HTTP front before a real S3 server: it makes its answers those of another kind of bucket.

It gives objects other ETags, leaves out what not every S3 lists, refuses requests, and takes the bucket's name
from the host. Requests may come by it as a proxy (``GET http://bucket.s3.test/key``).
"""

from __future__ import annotations

import hashlib
import http.client
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

from tests.tools.http_body import body_of

DOMAIN = ".s3.test"
"""Hosts ``<bucket>.s3.test`` have the bucket in their name; ``s3.test`` alone is the endpoint."""

_ETAG = re.compile(rb"<ETag>(?:&quot;|&#34;|\")?([0-9a-f]{32}(?:-\d+)?)(?:&quot;|&#34;|\")?</ETag>")
_EXTRAS = re.compile(
    rb"<(KeyCount|StorageClass|Owner|MaxKeys|ChecksumAlgorithm|ChecksumType|EncodingType)>.*?</\1>"
    rb"|<(?:KeyCount|Owner|EncodingType)/>",
    re.DOTALL,
)


_INITIATED = re.compile(rb"(?<=<Initiated>)[^<]+")
_NAME = re.compile(rb"<(?:Key|Prefix|StartAfter)>[^<]+<")


def _decoded(name: bytes) -> bytes:
    tag, name = name[:-1].split(b">", 1)
    return tag + b">" + escape(unquote(name.decode())).encode() + b"<"


class Asked(NamedTuple):
    """A request, as rules see it."""

    method: str
    bucket: str
    key: str
    signed: bool
    host: str
    query: str = ""


Refusal = tuple[int, str]
"""A status and S3's word for it."""


def kms(etag: str) -> str:
    """An ETag as SSE-KMS gives it: 32 hex digits, which are no md5 of the bytes."""
    return hashlib.md5(b"kms" + etag.encode()).hexdigest()


def in_parts(etag: str) -> str:
    """An ETag as an upload in parts gives it."""
    return f"{etag[:32]}-2"


@dataclass
class Front:
    """Where the front listens, and what it does. Rules hold from the next request on."""

    url: str = ""
    etags: dict[str, Callable[[str], str]] = field(default_factory=dict)
    """What becomes of the ETags of a bucket's objects."""
    refuse: Callable[[Asked], Refusal | None] | None = None
    knows_its_etags: bool = True
    """Whether conditions may name the ETags that it shows."""
    plain_listings: bool = False
    """Leave out of listings whatever is no key, size, ETag or time."""
    initiated: str = ""
    """When uploads in parts began, as listings of them say; moto says 2010 of all."""
    asked: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """How often a method was asked for of a bucket's key."""
    hosts: set[str] = field(default_factory=set)
    headers: list[tuple[Asked, dict[str, str]]] = field(default_factory=list)
    """Requests and their headers, names in lower case."""
    real: dict[str, str] = field(default_factory=dict)

    def become_plain(self) -> None:
        """Pass everything on from now on."""
        self.etags, self.refuse, self.plain_listings = {}, None, False
        self.initiated, self.knows_its_etags = "", True
        self.asked.clear()
        self.hosts.clear()
        self.headers.clear()

    def count(self, method: str, bucket: str, below: str = "") -> int:
        """How many requests of a method asked for a bucket's keys with ``below`` in them."""
        return sum(
            n for (m, b, k), n in self.asked.items() if (m, b) == (method, bucket) and below in k
        )


@contextmanager
def front(upstream: str) -> Iterator[Front]:
    """Run a front before an endpoint until the block ends."""
    made = Front()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, *_: Any) -> None:
            return

    with Server(("127.0.0.1", 0), _handler(made, urlsplit(upstream).netloc)) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


def _handler(made: Front, upstream: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 1 << 16
        behind: http.client.HTTPConnection | None = None

        def log_message(self, *_: object) -> None:
            return

        def finish(self) -> None:
            if self.behind is not None:
                self.behind.close()
            with suppress(OSError):
                super().finish()

        def handle_expect_100(self) -> bool:
            super().handle_expect_100()
            self.wfile.flush()
            return True

        def _answer(self) -> None:
            body = body_of(self)
            parts = urlsplit(self.path)
            host = parts.netloc or self.headers.get("Host", "")
            path = parts.path
            if host.partition(":")[0].endswith(DOMAIN):
                path = f"/{host.removesuffix(DOMAIN)}{path}"
            bucket, _, key = unquote(path).lstrip("/").partition("/")
            signed = "Authorization" in self.headers or "X-Amz-Signature" in parts.query
            made.asked[self.command, bucket, key] += 1
            made.hosts.add(host)
            asked = Asked(self.command, bucket, key, signed, host, parts.query)
            made.headers.append((asked, {k.lower(): v for k, v in self.headers.items()}))
            refused = made.refuse and made.refuse(asked)
            if refused:
                status, code = refused
                error = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
                self._send(status, [("Content-Type", "application/xml")], error)
                return
            target = path + (f"?{parts.query}" if parts.query else "")
            self._send(*self._changed(bucket, *self._ask(target, body)))

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

        def _ask(self, target: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            hop = {"connection", "proxy-connection", "host", "accept-encoding", "expect"}
            hop |= {"transfer-encoding", "content-length"}
            headers = {
                name: made.real.get(value.strip('"'), value) if made.knows_its_etags else value
                for name, value in self.headers.items()
                if name.lower() not in hop
            }
            for shown, real in made.real.items() if self.command == "POST" else ():
                body = body.replace(shown.encode(), real.encode())
            if self.behind is None:
                self.behind = http.client.HTTPConnection(upstream, timeout=60)
            self.behind.request(self.command, target, body or None, headers)
            answer = self.behind.getresponse()
            return answer.status, answer.getheaders(), answer.read()

        def _changed(
            self, bucket: str, status: int, headers: list[tuple[str, str]], body: bytes
        ) -> tuple[int, list[tuple[str, str]], bytes]:
            if made.plain_listings and b"<ListBucketResult" in body[:500]:
                if (
                    b"<EncodingType>url<" in body
                ):  # who does not know the word does not encode either
                    body = _NAME.sub(lambda found: _decoded(found[0]), body)
                body = _EXTRAS.sub(b"", body)
            if made.initiated and b"<Initiated>" in body:
                body = _INITIATED.sub(made.initiated.encode(), body)
            other = made.etags.get(bucket)
            if other is None:
                return status, headers, body

            def shown(etag: str) -> str:
                made.real[other(etag)] = etag
                return other(etag)

            headers = [
                (name, f'"{shown(value.strip(chr(34)))}"' if name.lower() == "etag" else value)
                for name, value in headers
            ]
            body = _ETAG.sub(
                lambda found: b"<ETag>&quot;%s&quot;</ETag>" % shown(found[1].decode()).encode(),
                body,
            )
            return status, headers, body

        def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            length = str(len(body))
            for name, value in headers:
                if name.lower() == "content-length" and self.command == "HEAD":
                    length = value
                elif name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                    self.send_header(name, value)
            if status not in {204, 304}:
                self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()

    return Handler
