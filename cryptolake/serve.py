"""Serve a folder in archive layout as an S3 endpoint on loopback, public to read like the real bucket.

The server is moto's (the ``demo`` extra); its objects are put in before it opens, straight into its
store, since thousands of PUT requests would take longer than the work that follows them.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptolake.errors import MissingTool, StorageError

BUCKET = "data.binance.vision"
"""The bucket's name, the real one's."""

REGION = "ap-northeast-1"
_ACCOUNT = "123456789012"
_lock = threading.Lock()


@dataclass(frozen=True)
class Served:
    """A running endpoint.

    ``endpoint`` is its URL, for ``cl.Archive(endpoint_url=...)`` or ``CRYPTOLAKE_ENDPOINT_URL``.
    """

    endpoint: str
    bucket: str
    objects: int
    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """The environment that points the toolkit, and any S3 client, at the endpoint."""
        return {"CRYPTOLAKE_ENDPOINT_URL": self.endpoint, "AWS_ENDPOINT_URL_S3": self.endpoint}

    def refresh(self) -> int:
        """Read the folder again: new and changed files appear, deleted ones go. Returns the objects."""
        return _load(_moto().backend, self.folder, self.bucket)


@contextmanager
def serve_archive(
    folder: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    bucket: str = BUCKET,
) -> Iterator[Served]:
    """Serve a folder's ``data/`` tree as an S3 bucket that anyone may list and read.

    Each object's ETag is the MD5 of its bytes and its last modification the file's. One bucket of a name
    can be served at a time in a process.

    Parameters
    ----------
    folder
        The folder that holds ``data/``.
    host, port
        Where to listen; port 0 takes a free one.
    bucket
        The bucket's name.

    Yields
    ------
    Served
        The endpoint; it stops when the block ends.

    Raises
    ------
    MissingTool
        moto is not installed.
    StorageError
        The folder has no ``data/`` in it, or the port cannot be had.

    Examples
    --------
    >>> import tempfile
    >>> from cryptolake.sample import generate
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = generate(folder, rows=["spot_klines"], intervals=["1d"], days="2025-01-01")
    ...     with serve_archive(folder) as served:
    ...         print(served.endpoint.startswith("http://127.0.0.1:"), served.objects > 2)
    True True
    """
    root = Path(folder).expanduser()
    if not (root / "data").is_dir():
        message = f"{root} is no archive folder: it holds no 'data' folder; make one with 'cryptolake sample'."
        raise StorageError(message, root=str(root))
    moto = _moto()
    with _lock:
        if bucket in moto.backend.buckets:
            message = f"bucket {bucket!r} is already served by this process; stop that first."
            raise StorageError(message, bucket=bucket)
        moto.backend.create_bucket(bucket, REGION)
    try:
        count = _load(moto.backend, root, bucket)
        server = _start(moto, host, port)
        try:
            name, number = server.get_host_and_port()
            yield Served(f"http://{name}:{number}", bucket, count, root)
        finally:
            server.stop()
            server._server.server_close()  # noqa: SLF001 - moto leaves the socket open
    finally:
        _drop(moto.backend, bucket)


def serve_forever(folder: str | Path, *, host: str = "127.0.0.1", port: int = 0) -> None:
    """Serve a folder until Ctrl-C or SIGTERM, after printing the endpoint and how to use it."""
    with serve_archive(folder, host=host, port=port) as served:
        lines = [
            f"{served.objects} objects of {served.folder} at {served.endpoint}/{served.bucket}"
        ]
        lines += [f"export {name}={value}" for name, value in served.variables.items()]
        print("\n".join([*lines, "Ctrl-C stops it."]), flush=True)  # noqa: T201
        stop = threading.Event()
        previous = signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
        try:
            while not stop.wait(3600):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGTERM, previous)


@dataclass(frozen=True)
class _Moto:
    backend: Any
    server: Any


def _moto() -> _Moto:
    try:
        from moto.backends import get_backend
        from moto.server import ThreadedMotoServer
    except ImportError as error:
        message = "serving an archive needs moto: pip install 'cryptolake[demo]'"
        raise MissingTool(message, tool="moto") from error
    return _Moto(get_backend("s3")[_ACCOUNT]["aws"], ThreadedMotoServer)


def _start(moto: _Moto, host: str, port: int) -> Any:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.server(ip_address=host, port=port, verbose=False)
    server.start()
    return server


def _load(backend: Any, root: Path, bucket: str) -> int:
    """Bring a bucket in step with a folder."""
    from moto.s3.models import get_canned_acl

    public = get_canned_acl("public-read")
    backend.put_bucket_acl(bucket, public)
    store = backend.buckets[bucket].keys
    found = set()
    for path in (root / "data").rglob("*"):
        if not path.is_file():
            continue
        key = path.relative_to(root).as_posix()
        found.add(key)
        status = path.stat()
        modified = datetime.fromtimestamp(int(status.st_mtime), UTC).replace(tzinfo=None)
        old = store.get(key)
        if old is not None and (old.size, old.last_modified) == (status.st_size, modified):
            continue
        made = backend.put_object(bucket, key, path.read_bytes(), disable_notification=True)
        made.acl = public
        made.last_modified = modified
    for key in set(store) - found:
        gone = store[key]
        store.pop(key)  # moto's store gives None back
        gone.dispose()
    return len(found)


def _drop(backend: Any, bucket: str) -> None:
    """Forget a bucket and free its objects' buffers."""
    gone = backend.buckets.pop(bucket, None)
    if gone is None:
        return
    for key in gone.keys.values():
        key.dispose()
    from moto.s3.models import s3_backends

    s3_backends.bucket_accounts.pop(bucket, None)
