"""A source for planning tests: tiny files in a folder, served as a real S3 endpoint on loopback."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptolake.archive.keys import CHECKSUM
from cryptolake.archive.periods import parse_days
from cryptolake.archive.source import Archive
from cryptolake.sample.server import Served, serve_archive

SPOT = "data/spot/{partition}/klines/{symbol}/{interval}/{symbol}-{interval}-{period}.zip"
METRICS = "data/futures/um/{partition}/metrics/{symbol}/{symbol}-metrics-{period}.zip"
FUNDING = "data/futures/um/{partition}/fundingRate/{symbol}/{symbol}-fundingRate-{period}.zip"


class Source:
    """An archive folder and the endpoint that serves it; ``asked`` are the listings it answered."""

    def __init__(self, served: Served, asked: list[str]) -> None:
        self.folder = served.folder
        self.archive = Archive(bucket=served.bucket, endpoint_url=served.endpoint)
        self._served = served
        self._asked = asked

    def put(self, key: str, body: bytes | None = None, *, sidecar: bool = True) -> str:
        """Write an object, and its sidecar; :meth:`publish` shows it."""
        data = key.encode() if body is None else body
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if sidecar:
            text = f"{hashlib.sha256(data).hexdigest()}  {path.name}\n"
            path.with_name(path.name + CHECKSUM).write_text(text)
        return key

    def days(
        self,
        symbol: str,
        first: str,
        last: str | None = None,
        *,
        interval: str = "1m",
        key: str = SPOT,
    ) -> None:
        """Write a daily file for every day of a range."""
        for day in parse_days(first, last):
            self.put(key.format(partition="daily", symbol=symbol, interval=interval, period=day))

    def months(self, symbol: str, *months: str, interval: str = "1m", key: str = SPOT) -> None:
        """Write monthly files, as long as a month of daily ones."""
        for month in months:
            name = key.format(partition="monthly", symbol=symbol, interval=interval, period=month)
            self.put(name, name.encode() * 30)

    def publish(self) -> None:
        """Show the folder as it is now."""
        self._served.refresh()

    def forget(self) -> None:
        self._asked.clear()

    @property
    def asked(self) -> list[str]:
        """The prefixes that were listed, with repeats; in the order of their names."""
        queries = [
            parse_qs(urlsplit(line.split('"')[1].split()[1]).query)
            for line in self._asked
            if "list-type" in line
        ]
        return sorted(query["prefix"][0] for query in queries)


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def source(folder: Path, bucket: str) -> Iterator[Source]:
    """Serve an archive folder, empty at first, until the block ends."""
    (folder / "data").mkdir(parents=True)
    web = logging.getLogger("werkzeug")  # moto's server: its log says what was asked
    log = _Log()
    with serve_archive(folder, bucket=bucket) as served:
        web.addHandler(log)
        web.setLevel(logging.INFO)
        try:
            yield Source(served, log.lines)
        finally:
            web.removeHandler(log)
            web.setLevel(logging.ERROR)
