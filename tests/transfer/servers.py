"""Real S3 servers for tests: hadro serves a folder read-only."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUCKET = "data.binance.vision"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    msg = f"nothing listens on port {port}"
    raise TimeoutError(msg)


@contextmanager
def hadro(buckets: Path, *arguments: str) -> Iterator[str]:
    """Serve ``buckets/<bucket>/<key>`` with hadro; yields the endpoint's URL."""
    port = free_port()
    command = [sys.executable, "-m", "hadro", str(buckets), "--port", str(port)]
    child = subprocess.Popen([*command, "--log-level", "critical", *arguments])
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait()
