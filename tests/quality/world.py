"""An archive that tests damage on purpose, and a lake beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptolake.archive.keys import parse_key
from cryptolake.bronze.ledger import holdings
from cryptolake.quality import report as quality_report
from cryptolake.sample.folder import ArchiveFolder, published_at
from cryptolake.silver.build import build

if TYPE_CHECKING:
    import polars as pl

    import cryptolake as cl
    from cryptolake.sample.server import Served

Edit = Callable[[list[bytes]], list[bytes]]


@dataclass
class World:
    """An archive folder, its endpoint, and a lake that pulls from it."""

    folder: ArchiveFolder
    served: Served
    lake: cl.Lake

    def edit(self, key: str, change: Edit) -> None:
        """Change the lines of a file, and publish it anew with a CHECKSUM that matches."""
        parsed = parse_key(key)
        assert parsed is not None
        lines = self.folder.read_text(key).splitlines(keepends=True)
        text = b"".join(change(lines))
        moment = published_at(parsed.period, parsed.market) + timedelta(days=1)
        self.folder.write_zip(key, text, moment, parsed.market)

    def remove(self, key: str) -> None:
        """Take a file and its sidecar out of the archive."""
        self.folder.path(key).unlink()
        self.folder.path(f"{key}.CHECKSUM").unlink()

    def publish(self) -> None:
        """Let the endpoint see what was changed."""
        self.served.refresh()

    def pull(self, query: cl.Query) -> cl.Report:
        report = self.lake.pull(query, progress=False, refresh=True)
        assert report.ok, report
        assert not report.quarantined, report
        return report

    def build(self, rows: pl.DataFrame) -> cl.Report:
        return build(self.lake.context, rows, progress=False)

    def rebuild(self) -> cl.Report:
        return self.build(holdings(self.lake.meta))

    def quality(self, query: cl.Query) -> pl.DataFrame:
        lake = self.lake
        return quality_report.quality(query, lake.context, refresh=True)

    def gaps(self, query: cl.Query) -> pl.DataFrame:
        lake = self.lake
        return quality_report.gaps(query, lake.context, refresh=True)


def key_of(
    period: str,
    *,
    interval: str = "1h",
    market: str = "futures/um",
    symbol: str = "BTCUSDT",
    data_type: str = "klines",
) -> str:
    """Return a key: of klines with an interval, else of the data type."""
    tree = "daily" if len(period) == 10 else "monthly"
    if data_type == "klines":
        return f"data/{market}/{tree}/klines/{symbol}/{interval}/{symbol}-{interval}-{period}.zip"
    return f"data/{market}/{tree}/{data_type}/{symbol}/{symbol}-{data_type}-{period}.zip"


def without(day: str) -> Edit:
    """Drop the lines of a UTC day (of millisecond or microsecond times), the header kept."""
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()

    def change(lines: list[bytes]) -> list[bytes]:
        def inside(line: bytes) -> bool:
            first = line.split(b",", 1)[0]
            if not first.isdigit():
                return False
            seconds = int(first) / (1e6 if len(first) > 13 else 1e3)
            return begin <= seconds < begin + 86_400

        return [line for line in lines if not inside(line)]

    return change
