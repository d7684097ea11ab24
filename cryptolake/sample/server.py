"""Serve a folder in archive layout as an S3 endpoint on loopback, public to read like the real bucket.

The server is moto's (the ``demo`` extra); its objects are put in before it opens, straight into its
store, since thousands of PUT requests would take longer than the work that follows them.
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptolake.errors import MissingTool, StorageError

BUCKET = "data.binance.vision"
"""The bucket's name, the real one's."""

REGION = "ap-northeast-1"

# moto keeps one store for the whole process. Each server has an account of its own in it, so that several
# can serve buckets of the same name.
_accounts = itertools.count(100_000_000_001)


@dataclass(frozen=True)
class Served:
    """A running endpoint.

    ``endpoint`` is its URL, for ``cl.Archive(endpoint_url=...)`` or ``CRYPTOLAKE_ENDPOINT_URL``.
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
        """Read the folder again: new and changed files appear, deleted ones go. Returns the objects."""
        return _load(_backend(self.account), self.folder, self.bucket)


@contextmanager
def serve_archive(
    folder: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    bucket: str = BUCKET,
) -> Iterator[Served]:
    """Serve a folder's ``data/`` tree as an S3 bucket that anyone may list and read.

    Each object's ETag is the MD5 of its bytes and its last modification the file's. Several folders can be
    served at once, each at its own port.

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
    root = Path(folder).expanduser()
    if not (root / "data").is_dir():
        message = f"{root} is no archive folder: it holds no 'data' folder; make one with 'cryptolake sample'."
        raise StorageError(message, root=str(root))
    account = str(next(_accounts))
    backend = _backend(account)
    try:
        backend.buckets[bucket] = _new_bucket(bucket, account)
        count = _load(backend, root, bucket)
        with _listening(host, port, account) as endpoint:
            yield Served(endpoint, bucket, count, root, account)
    finally:
        _forget(account)


def serve_forever(folder: str | Path, *, host: str = "127.0.0.1", port: int = 0) -> None:
    """Serve a folder until Ctrl-C or SIGTERM, after printing the endpoint and how to use it."""
    stop = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    try:
        with serve_archive(folder, host=host, port=port) as served:
            where = f"{served.endpoint}/{served.bucket}"
            lines = [f"{served.objects} objects of {served.folder} at {where}"]
            lines += [f"export {name}={value}" for name, value in served.variables.items()]
            print("\n".join([*lines, "Ctrl-C stops it."]), flush=True)  # noqa: T201
            while not stop.wait(3600):
                pass
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _listening(host: str, port: int, account: str) -> Iterator[str]:
    """Run moto's application, every request marked with the account whose store answers it."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    application = DomainDispatcherApplication(create_backend_app)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = account
        answered: Iterable[bytes] = application(environ, start)
        return answered

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    try:
        server = make_server(host, port, answer, threaded=True, request_handler=MotoRequestHandler)
    except (OSError, SystemExit) as error:  # werkzeug exits where a port is taken
        message = f"cannot listen on {host}:{port}: {error}; port 0 takes a free one."
        raise StorageError(message, host=host, port=port) from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def require_moto() -> None:
    """Check that the server's library is there, before anything is written for it to serve.

    Raises
    ------
    MissingTool
        moto is not installed.
    """
    if importlib.util.find_spec("moto") is None:
        message = "serving an archive needs moto: pip install 'cryptolake[demo]'"
        raise MissingTool(message, tool="moto")


def _backend(account: str) -> Any:
    require_moto()
    from moto.backends import get_backend

    return get_backend("s3")[account]["aws"]


def _new_bucket(name: str, account: str) -> Any:
    from moto.s3 import models

    bucket_class: Any = models.FakeBucket
    return bucket_class(name=name, account_id=account, region_name=REGION)


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
        data = path.read_bytes()
        modified = datetime.fromtimestamp(int(path.stat().st_mtime), UTC).replace(tzinfo=None)
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
