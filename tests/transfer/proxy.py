"""A small HTTP proxy in front of an S3 endpoint: it counts requests, and misbehaves where it is told to."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

S3_ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
PAGE = b"<!DOCTYPE html><html><body>Log in to the hotel's network</body></html>"


@dataclass
class Fault:
    """What to do to one answer."""

    kind: str
    amount: float = 0


Chooser = Callable[[str, str, int], Fault | None]
"""Given method, key and how often this method asked for this key (from 1), says what goes wrong."""


@dataclass
class Proxy:
    """What a test holds: where to send requests, what was asked, and what should go wrong."""

    url: str = ""
    faults: Chooser | None = None
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    down: bool = False
    dates: list[str] = field(default_factory=list)
    """When each request that was refused for its time says that it was signed."""
    carried: int = 0
    """Bytes of bodies, both ways."""
    peers: set[tuple[str, int]] = field(default_factory=set)
    """Where the connections come from that are served now."""

    def gets(self, key: str) -> int:
        """How often an object was asked for."""
        return self.asked["GET", key]

    def forget(self) -> None:
        self.asked.clear()
        self.sent.clear()
        self.carried = 0

    def quiet(self) -> bool:
        """Whether, within a while, all that clients which are gone had asked for has been dealt with."""
        address = urlsplit(self.url)
        deadline = time.monotonic() + 10
        # Connections are accepted in their order: after this one, none of theirs still waits.
        with socket.create_connection((address.hostname, address.port)) as last:
            while last.getsockname() not in self.peers and time.monotonic() < deadline:
                time.sleep(0.002)
        while self.peers and time.monotonic() < deadline:
            time.sleep(0.002)
        return not self.peers


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """Run the proxy before an endpoint until the block ends."""
    proxy = Proxy()
    address = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16
        disable_nagle_algorithm = True
        behind: http.client.HTTPConnection | None = None

        def log_message(self, *_: Any) -> None:
            return

        def setup(self) -> None:
            proxy.peers.add(self.client_address)
            super().setup()

        def finish(self) -> None:
            proxy.peers.discard(self.client_address)
            if self.behind is not None:
                self.behind.close()
            with suppress(OSError):
                super().finish()

        def handle_expect_100(self) -> bool:
            super().handle_expect_100()
            self.wfile.flush()  # the client waits for it before it sends the body
            return True

        def handle_request_of_any_kind(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            parts = unquote(urlsplit(self.path).path).strip("/").split("/", 1)
            key = parts[1] if len(parts) > 1 else ""
            with proxy.lock:
                proxy.asked[self.command, key] += 1
                nth = proxy.asked[self.command, key]
                fault = proxy.faults(self.command, key, nth) if proxy.faults else None
            if proxy.down:
                self.close_connection = True
                self.connection.close()
                return
            try:
                self.answer(fault, body, key)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.handle_request_of_any_kind
            raise AttributeError(name)

        def answer(self, fault: Fault | None, body: bytes | None, key: str) -> None:
            kind = fault.kind if fault else ""
            if kind == "status":
                self.refuse(int(fault.amount if fault else 0))
            elif kind == "skew":
                with proxy.lock:
                    proxy.dates.append(self.headers["x-amz-date"])
                self.refuse(403, "RequestTimeTooSkewed", fault.amount if fault else 0)
            elif kind == "page":
                self.reply(200, {"Content-Type": "text/html", "ETag": '"0"'}, PAGE)
            elif kind == "hang":
                time.sleep(fault.amount if fault else 0)
                self.close_connection = True
            else:
                status, headers, data = self.ask(body)
                with proxy.lock:
                    proxy.carried += len(body or b"") + len(data)
                if kind and self.command == "GET":
                    assert fault is not None
                    self.spoil(fault, status, headers, data)
                else:
                    self.reply(status, headers, data)
                if self.command == "GET" and status < 300:
                    with proxy.lock:
                        proxy.sent[key] += 1

        def spoil(self, fault: Fault, status: int, headers: dict[str, str], data: bytes) -> None:
            if fault.kind == "flip":
                spoiled = bytearray(data)
                spoiled[len(data) // 2] ^= 1
                self.reply(status, headers, bytes(spoiled))
            elif fault.kind == "cut":
                self.reply(status, headers, data[: int(len(data) * fault.amount)], len(data))
                self.close_connection = True
            elif fault.kind == "short":
                shown = data[: len(data) - int(fault.amount)]
                ranged = {"Content-Range": f"bytes 0-{len(shown) - 1}/{len(shown)}"}
                self.reply(status, headers | (ranged if status == 206 else {}), shown)
            elif fault.kind == "drip":
                self.reply(status, headers, b"", len(data))
                for start in range(0, len(data), 64):
                    self.wfile.write(data[start : start + 64])
                    self.wfile.flush()
                    time.sleep(fault.amount)
            else:
                raise AssertionError(fault.kind)

        def ask(self, body: bytes | None) -> tuple[int, dict[str, str], bytes]:
            if self.behind is None:
                self.behind = http.client.HTTPConnection(address.hostname or "", address.port)
            skipped = {"connection", "host", "accept-encoding", "transfer-encoding", "expect"}
            given = {k: v for k, v in self.headers.items() if k.lower() not in skipped}
            # Signatures cover the Host that the client saw.
            given["Host"] = self.headers["Host"]
            self.behind.request(self.command, self.path, body, given)
            answer = self.behind.getresponse()
            hop = {"connection", "transfer-encoding", "date", "server"}
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in hop}
            return answer.status, headers, answer.read()

        def refuse(self, status: int, code: str = "", off: float | None = None) -> None:
            codes = {
                301: "PermanentRedirect",
                403: "AccessDenied",
                404: "NoSuchKey",
                503: "SlowDown",
            }
            said = code or codes.get(status, "InternalError")
            body = S3_ERROR.format(code=said).encode()
            extra = {"x-amz-bucket-region": "mars-north-1"} if status == 301 else {}
            if off is not None:
                extra["Date"] = formatdate(time.time() + off, usegmt=True)
            self.reply(status, {"Content-Type": "application/xml", **extra}, body)

        def reply(
            self, status: int, headers: dict[str, str], data: bytes, length: int | None = None
        ) -> None:
            self.send_response_only(status)
            said = {k.lower() for k in headers}
            for name, value in headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            if self.command == "HEAD" and "content-length" in said:
                held = next(v for k, v in headers.items() if k.lower() == "content-length")
                self.send_header("Content-Length", held)
            elif status not in (204, 304):
                self.send_header("Content-Length", str(len(data) if length is None else length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            self.wfile.flush()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512

        def handle_error(self, *_: Any) -> None:
            return

    server = Server(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
