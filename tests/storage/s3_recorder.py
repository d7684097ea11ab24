"""An S3 endpoint on loopback that records what each client sends; it is a proxy as well.

It answers what a client needs to read, list, write and copy small objects. Sent through it as a proxy,
requests for any host are answered by it, so that hosts need no name service.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.tools.http_body import body_of

if TYPE_CHECKING:
    from email.message import Message

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey as Key

WHEN = "2025-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    """The headers, names in lower case."""
    secure: bool
    proxied: str | None
    """The ``Proxy-Authorization`` of the request, empty without one; None where it came directly."""

    @property
    def scope(self) -> tuple[str, str] | None:
        """Key id and region of the signature; None without one."""
        said = self.headers.get("authorization", "")
        if "Credential=" not in said:
            return None
        key, _day, region, *_ = said.partition("Credential=")[2].split(",")[0].split("/")
        return key, region


@dataclass
class Recorder:
    """Where the endpoint listens, what it holds, and what it was asked."""

    port: int = 0
    secure: bool = False
    objects: dict[str, bytes] = field(default_factory=dict)
    """``bucket/key`` and the object's bytes."""
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The endpoint's URL."""
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"


@contextmanager
def recorder(certificate: tuple[Path, Path] | None = None) -> Iterator[Recorder]:
    """Run an endpoint until the block ends.

    Parameters
    ----------
    certificate
        Certificate and key of an endpoint that speaks TLS. A proxy's tunnels speak it as well.
    """
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    found = Recorder(secure=context is not None)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            with suppress(OSError):  # a client that does not trust the certificate goes away
                if context is None or request.recv(1, socket.MSG_PEEK) != b"\x16":  # a TLS hello
                    super().finish_request(request, client_address)
                    return
                with context.wrap_socket(request, server_side=True) as secured:
                    super().finish_request(secured, client_address)

    with Server(("127.0.0.1", 0), _handler(found, context)) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def _handler(found: Recorder, context: ssl.SSLContext | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        tunnel: str | None = None
        disable_nagle_algorithm = True

        def handle_one_request(self) -> None:
            with suppress(OSError):
                super().handle_one_request()

        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            login = self.headers.get("Proxy-Authorization", "")
            if context is None:
                self.close_connection = True
                return
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb", -1)
            self.wfile = self.connection.makefile("wb", 0)
            self.tunnel = login
            self.close_connection = False

        def finish(self) -> None:
            super().finish()
            if self.tunnel is not None:
                self.connection.close()

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            host = parts.netloc or self.headers.get("Host", "")
            proxied = self.headers.get("Proxy-Authorization", "") if parts.netloc else self.tunnel
            body = body_of(self)
            plain = {name.lower(): value for name, value in self.headers.items()}
            secure = isinstance(self.connection, ssl.SSLSocket)
            found.requests.append(Request(self.command, host, self.path, plain, secure, proxied))
            path = unquote(parts.path).lstrip("/")
            name = host.partition(":")[0]
            if name.endswith(".test") and name.count(".") > 1:  # bucket.s3.test
                path = f"{name.partition('.')[0]}/{path}"
            self._respond(path, parse_qs(parts.query, keep_blank_values=True), body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

        def _respond(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
            bucket, _, key = path.partition("/")
            if self.command == "PUT":
                source = unquote(self.headers.get("x-amz-copy-source", "")).lstrip("/")
                found.objects[path] = found.objects.get(source, b"") if source else body
                self._send(
                    200,
                    f'<CopyObjectResult><ETag>"0"</ETag><LastModified>{WHEN}</LastModified></CopyObjectResult>'.encode()
                    if source
                    else b"",
                )
            elif not key:
                self._send(200, _listing(found.objects, bucket, query))
            elif path in found.objects:
                self._object(found.objects[path], self.headers)
            else:
                self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")

        def _object(self, data: bytes, headers: Message) -> None:
            asked = headers.get("Range", "").removeprefix("bytes=")
            if not asked:
                self._send(200, data)
                return
            first, _, last = asked.partition("-")
            begin = int(first) if first else max(0, len(data) - int(last))
            end = int(last) + 1 if first and last else len(data)
            end = min(end, len(data))
            self._send(
                206, data[begin:end], {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}"}
            )

        def _send(self, status: int, body: bytes, more: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"0"')
            self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
            for name, value in (more or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    return Handler


def _listing(objects: Mapping[str, bytes], bucket: str, query: dict[str, list[str]]) -> bytes:
    prefix = query.get("prefix", [""])[0]
    keys = sorted(name.partition("/")[2] for name in objects if name.startswith(f"{bucket}/"))
    keys = [key for key in keys if key.startswith(prefix)]
    folders: set[str] = set()
    if delimiter := query.get("delimiter", [""])[0]:
        folders = {
            prefix + key[len(prefix) :].partition(delimiter)[0] + delimiter
            for key in keys
            if delimiter in key[len(prefix) :]
        }
        keys = [key for key in keys if delimiter not in key[len(prefix) :]]
    cells = "".join(
        f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
        for name in sorted(folders)
    )
    cells += "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[f'{bucket}/{key}'])}</Size>"
        f'<ETag>"0"</ETag><LastModified>{WHEN}</LastModified></Contents>'
        for key in keys
    )
    return (
        f"<ListBucketResult><IsTruncated>false</IsTruncated>{cells}</ListBucketResult>"
    ).encode()


def authority(folder: Path, *hosts: str) -> tuple[Path, tuple[Path, Path]]:
    """Write a certificate authority and what it signed for some hosts.

    Returns
    -------
    tuple
        The authority's certificate; and the certificate and key of a server at the hosts.
    """
    now = datetime.now(UTC)

    def made(name: str, key: Key, signer: Key, issuer: str, *, ca: bool) -> x509.Certificate:
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
        names.append(x509.IPAddress(IPv4Address("127.0.0.1")))
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(signer, hashes.SHA256())
        )

    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    paths = folder / "authority.pem", folder / "server.pem", folder / "server.key"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(made("authority", root, root, "authority", ca=True).public_bytes(pem))
    paths[1].write_bytes(made("server", own, root, "authority", ca=False).public_bytes(pem))
    paths[2].write_bytes(
        own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths[0], paths[1:]
