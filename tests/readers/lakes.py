"""Lakes made by hand: zips put where a transfer would put them, with the ledger rows it would write."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import build

if TYPE_CHECKING:
    import duckdb

    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta

MINUTE = timedelta(minutes=1)


def packed(text: str | bytes, name: str = "x.csv") -> bytes:
    """A zip that holds one text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


def header(market: str, data_type: str) -> str:
    return ",".join(schema_of(market, data_type).published_names) + "\n"


def klines_key(symbol: str, day: date | str, interval: str = "1m", market: str = "spot") -> str:
    path = market.replace("futures_", "futures/")
    return f"data/{path}/daily/klines/{symbol}/{interval}/{symbol}-{interval}-{day}.zip"


def klines_text(day: date, rows: int = 1440, price: float = 100.0, step: timedelta = MINUTE) -> str:
    """A day's bars: the close is ``price`` plus the number of the bar."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    micro = 1000 if day >= date(2025, 1, 1) else 1
    lines = []
    for number in range(rows):
        opened = int((begin + number * step).timestamp() * 1000) * micro
        closed = opened + int(step.total_seconds() * 1000) * micro - 1
        close = price + number
        lines.append(
            f"{opened},{close},{close + 1},{close - 1},{close},2.5,{closed},250.0,7,1.5,150.0,0\n"
        )
    return "".join(lines)


def put(
    storage: Storage, meta: Meta, texts: Mapping[str, str | bytes], *, recorded: bool = True
) -> None:
    """Put zips into Bronze, and (if ``recorded``) into the ledger."""
    rows = []
    for key, text in texts.items():
        data = packed(text, key.rsplit("/", 1)[1].replace(".zip", ".csv"))
        storage.write(f"bronze/{key}", data)
        rows.append(
            {
                "key": key,
                "size": len(data),
                "etag": hashlib.md5(data).hexdigest(),
                "sha256": hashlib.sha256(data).hexdigest(),
                "verified": "sha256",
                "fetched_at": datetime.now(UTC),
                "run_id": "test",
                "event": "stored",
            }
        )
    if recorded:
        meta.append("files", rows)


def put_with_checksums(storage: Storage, meta: Meta, keys: Iterable[str]) -> None:
    """Put four days of 1h klines from 2024-01-30 on into Bronze, each with its CHECKSUM."""
    hour = timedelta(hours=1)
    named = zip(keys, days("2024-01-30", 4), strict=True)
    texts = {key: klines_text(day, 24, step=hour) for key, day in named}
    put(storage, meta, texts)
    for key in texts:
        digest = hashlib.sha256(storage.read(f"bronze/{key}")).hexdigest()
        storage.write(f"bronze/{key}.CHECKSUM", f"{digest}  {key.rsplit('/', 1)[1]}\n".encode())


def put_days(
    storage: Storage, meta: Meta, symbols: Iterable[str], days: Iterable[date], rows: int = 1440
) -> None:
    texts = {
        klines_key(symbol, day): klines_text(day, rows, price=100.0 * (place + 1))
        for place, symbol in enumerate(symbols)
        for day in days
    }
    put(storage, meta, texts)


def build_all(storage: Storage, meta: Meta) -> None:
    report = build(LakeContext.of(storage), holdings(meta), progress=False)
    assert not report.failed, report.months


def days(first: str, count: int) -> list[date]:
    begin = date.fromisoformat(first)
    return [begin + timedelta(days=number) for number in range(count)]


def sql(connection: duckdb.DuckDBPyConnection, text: str) -> list[Any]:
    return connection.execute(text).fetchall()


def plan_of(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """What DuckDB did for a question, with the files and row groups it touched."""
    return str(connection.execute(f"EXPLAIN ANALYZE {text}").fetchall()[0][1])
