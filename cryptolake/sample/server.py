"""Serve a folder in archive layout as an S3 endpoint on loopback, public to read like the real bucket.

The server is moto's S3 (the ``demo`` extra), behind a door that lets nothing but reading through; its
objects are put in before it opens, straight into its store, since thousands of PUT requests would take
longer than the work that follows them.
"""

from __future__ import annotations

import errno
import importlib.util
import io
import ipaddress
import itertools
import logging
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptolake.errors import StorageError, missing_package
from cryptolake.sample.listing_pages import asked_for, page
from cryptolake.user_files import user_path

BUCKET = "data.binance.vision"
"""The bucket's name, the real one's."""

REGION = "ap-northeast-1"

_PASSED = {
    *("HTTP_RANGE", "HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"),
    *("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_CONNECTION"),
}
"""The headers of a request that moto gets."""
_SENSELESS = ("400 Bad Request", "InvalidArgument")
_FAILED = ("500 Internal Server Error", "InternalError")

# moto keeps one store for the whole process. Each server has an account of its own in it, so that several
# can serve buckets of the same name.
_accounts = itertools.count(100_000_000_001)


@dataclass(frozen=True)
class Served:
    """A running endpoint.

    Parameters
    ----------
    endpoint
        Its URL, for ``cl.Archive(endpoint_url=...)`` or ``CRYPTOLAKE_ENDPOINT_URL``.
    bucket
        The bucket's name.
    objects
        How many objects it has.
    folder
        The folder that is served.
    account
        What tells servers of one process apart.

    Examples
    --------
    >>> import tempfile
    >>> import cryptolake as cl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = cl.sample_archive(folder, days="2025-01-01", datasets=["spot_klines"])
    ...     with cl.serve_archive(folder) as served:
    ...         list(served.variables)
    ['CRYPTOLAKE_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3']
    """

    endpoint: str
    bucket: str
    objects: int
    folder: Path
    account: str

    @property
    def variables(self) -> dict[str, str]:
        """The environment that points the toolkit, and any S3 client, at the endpoint."""
        return {"CRYPTOLAKE_ENDPOINT_URL": self.endpoint, "AWS_ENDPOINT_URL_S3": self.endpoint}

    def refresh(self) -> int:
        """Read the folder again: new and changed files appear, deleted ones go.

        Returns
        -------
        int
            The objects there are now.

        Examples
        --------
        >>> import tempfile
        >>> import cryptolake as cl
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cl.sample_archive(folder, days="2025-01-01", datasets=["spot_klines"])
        ...     with cl.serve_archive(folder) as served:
        ...         _ = cl.sample_archive(folder, days="2025-01-02", datasets=["spot_klines"])
        ...         served.refresh() > served.objects
        True
        """
        return _load(_backend(self.account), self.folder, self.bucket)


@contextmanager
def serve_archive(
    folder: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    bucket: str = BUCKET,
    lakes: Sequence[str] = (),
) -> Iterator[Served]:
    """Serve a folder's ``data/`` tree as an S3 bucket that anyone may list and read, and nobody change.

    Each object's ETag is the MD5 of its bytes and its last modification the file's. Several folders can be
    served at once, each at its own port. Links that lead out of the folder are not served.

    Parameters
    ----------
    folder
        The folder that holds ``data/``.
    host
        Where to listen.
    port
        Likewise; 0 takes a free one.
    bucket
        The bucket's name.
    lakes
        Names of further buckets, which clients may make and write to: lakes beside the archive, to try
        what S3 does between two buckets. By default there is none, and nothing can be written.

    Yields
    ------
    Served
        The endpoint; it stops when the block ends.

    Raises
    ------
    MissingTool
        moto is not installed.
    StorageError
        The folder has no ``data/`` in it, or the port cannot be bound.

    Examples
    --------
    >>> import tempfile
    >>> import cryptolake as cl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = cl.sample_archive(folder, days="2025-01-01", datasets=["spot_klines"])
    ...     with cl.serve_archive(folder) as served:
    ...         print(served.endpoint.startswith("http://127.0.0.1:"), served.objects > 2)
    True True
    """
    root = user_path(folder)
    if not (root / "data").is_dir():
        message = f"{root} is no archive folder: it holds no 'data' folder; make one with 'cryptolake sample'."
        raise StorageError(message, root=str(root))
    account = str(next(_accounts))
    backend = _backend(account)
    try:
        backend.buckets[bucket] = _new_bucket(bucket, account)
        count = _load(backend, root, bucket)
        with _listening(host, port, account, bucket, lakes) as endpoint:
            yield Served(endpoint, bucket, count, root, account)
    finally:
        _forget(account)


def serve_forever(folder: str | Path, *, host: str = "127.0.0.1", port: int = 0) -> None:
    """Serve a folder until Ctrl-C or SIGTERM.

    Lines for a shell go to standard output, as soon as the server answers; what a person reads, to standard error.
    """
    stop = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    try:
        with serve_archive(folder, host=host, port=port) as served:
            where = f"{served.endpoint}/{served.bucket}"
            said = f"{served.objects:,} objects of {served.folder} at {where}\nCtrl-C stops it.\n"
            sys.stderr.write(said)  # first: who reads the lines may stop it at once
            lines = [f"export {name}={value}" for name, value in served.variables.items()]
            print("\n".join(lines), flush=True)  # noqa: T201
            while not stop.wait(3600):
                pass
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _listening(
    host: str, port: int, account: str, bucket: str, lakes: Sequence[str]
) -> Iterator[str]:
    """Run moto's S3, and no other of its services."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    application = _Door(create_backend_app("s3"), host, account, bucket, lakes)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with _bound(host, port) as bound:
        server = make_server(
            *(host, bound.getsockname()[1], application),
            threaded=True,
            request_handler=MotoRequestHandler,
            fd=bound.fileno(),
        )
    # It looks this often, in seconds, whether it is to stop.
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "another program uses that port" if taken else str(error)
        message = f"cannot listen on {host}:{port}: {why}; port 0 takes a free one."
        raise StorageError(message, host=host, port=port) from error


class _Door:
    """A WSGI application that lists and reads one bucket of another one, and writes to none but ``lakes``.

    Else only GET and HEAD pass, without a body, and of the request's headers only those that say which part of
    an object is asked for, and under which condition: no signature selects another service. A page of another site, which a
    browser would let ask under a name of its own (DNS rebinding), is refused by the name it asks under, and
    no answer tells a browser that other sites may read it.
    """

    def __init__(
        self, application: Any, host: str, account: str, bucket: str, lakes: Sequence[str]
    ) -> None:
        self._application, self._host, self._account = application, host, account
        self._bucket, self._lakes = bucket, frozenset(lakes) - {bucket}
        self._backend = _backend(account)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        refusal = self._refusal(environ)
        if refusal is not None:
            return _refused(environ, start, *refusal)

        listed = self._listed(environ)
        if listed is not None:
            length = ("Content-Length", str(len(listed)))
            start("200 OK", [("Content-Type", "application/xml"), length])
            return [listed]

        def begin(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            kept = [item for item in headers if not item[0].lower().startswith("access-control-")]
            return start(status, kept, *rest)

        passed = dict(environ)
        if _asked_bucket(environ) not in self._lakes:
            for name in environ:
                if name.startswith("HTTP_") and name not in _PASSED:
                    del passed[name]
            passed |= {"CONTENT_LENGTH": "0", "wsgi.input": io.BytesIO()}
        passed |= {"HTTP_HOST": "localhost", "HTTP_X_MOTO_ACCOUNT_ID": self._account}
        try:
            answered: Iterable[bytes] = self._application(passed, begin)
        except (KeyError, TypeError, ValueError):  # moto's, of a number or a token that is none
            reading = environ["REQUEST_METHOD"] in {"GET", "HEAD"}
            return _refused(environ, start, *(_SENSELESS if reading else _FAILED))
        except Exception:  # noqa: BLE001 - moto's, of two requests at once: clients ask again
            return _refused(environ, start, *_FAILED)
        return answered

    def _listed(self, environ: dict[str, Any]) -> bytes | None:
        """Return a page of a bucket's listing; None where the request asks for something else."""
        name = environ["PATH_INFO"].strip("/")
        bucket = self._backend.buckets.get(name)
        if environ["REQUEST_METHOD"] != "GET" or bucket is None:
            return None
        asked = asked_for(environ.get("QUERY_STRING", ""))
        return None if asked is None else page(name, bucket.keys, asked)

    def _refusal(self, environ: dict[str, Any]) -> tuple[str, str] | None:
        asked = _asked_bucket(environ)
        if not self._is_own(environ.get("HTTP_HOST", "")):
            return "403 Forbidden", "AccessDenied"
        if asked in self._lakes:
            return None
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return "405 Method Not Allowed", "MethodNotAllowed"
        return None if asked == self._bucket else ("404 Not Found", "NoSuchBucket")

    def _is_own(self, asked: str) -> bool:
        """Say whether a request names this server: by an address, as localhost, or as it was told to listen."""
        with suppress(ValueError):
            name = urlsplit(f"//{asked}").hostname or ""
            if name in {"localhost", self._host.lower(), socket.gethostname().lower()}:
                return True
            return bool(ipaddress.ip_address(name))
        return False


def _refused(
    environ: dict[str, Any], start: Callable[..., Any], status: str, code: str
) -> list[bytes]:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _asked_bucket(environ: dict[str, Any]) -> str:
    path: str = environ["PATH_INFO"]
    return path.removeprefix("/").partition("/")[0]


def require_moto() -> None:
    """Check that the server's library is there, before anything is written for it to serve.

    Raises
    ------
    MissingTool
        moto is not installed.
    """
    if importlib.util.find_spec("moto") is None:
        raise missing_package("serving an archive", "moto", "demo")


def _backend(account: str) -> Any:
    require_moto()
    from moto.backends import get_backend

    return get_backend("s3")[account]["aws"]


def _new_bucket(name: str, account: str) -> Any:
    from moto.s3 import models

    bucket_class: Any = models.FakeBucket
    return bucket_class(name=name, account_id=account, region_name=REGION)


def _files(root: Path) -> Iterator[tuple[str, Path, datetime]]:
    """Yield each file below ``data`` by its key, with its last modification; a link out of the folder is none."""
    top = root.resolve()
    if not (root / "data").resolve().is_relative_to(top):
        return
    for folder, _, names in os.walk(root / "data"):
        prefix = Path(folder).relative_to(root).as_posix()
        for name in names:
            path = Path(folder, name)
            found = path.lstat()
            if (
                stat.S_ISLNK(found.st_mode)
                and path.is_file()
                and path.resolve().is_relative_to(top)
            ):
                found = path.stat()
            if stat.S_ISREG(found.st_mode):
                when = datetime.fromtimestamp(int(found.st_mtime), UTC)
                yield f"{prefix}/{name}", path, when.replace(tzinfo=None)


def _load(backend: Any, root: Path, bucket: str) -> int:
    """Bring a bucket in step with a folder."""
    from moto.s3.models import get_canned_acl

    public = get_canned_acl("public-read")
    backend.put_bucket_acl(bucket, public)
    store = backend.buckets[bucket].keys
    found = set()
    for key, path, modified in _files(root):
        found.add(key)
        data = path.read_bytes()
        old = store.get(key)
        if old is not None and old.last_modified == modified and old.value == data:
            continue
        made = backend.put_object(bucket, key, data, disable_notification=True)
        made.acl = public
        made.last_modified = modified
    for key in set(store) - found:
        gone = store[key]
        store.pop(key)  # moto's store gives None back
        gone.dispose()
    return len(found)


def _forget(account: str) -> None:
    """Free the buffers of an account's objects, and its place in moto's store."""
    from moto.s3.models import s3_backends

    for bucket in _backend(account).buckets.values():
        for key in list(bucket.keys):
            bucket.keys.pop(key)
    owned = [name for name, owner in s3_backends.bucket_accounts.items() if owner[1] == account]
    for name in owned:
        del s3_backends.bucket_accounts[name]
    s3_backends.pop(account, None)
