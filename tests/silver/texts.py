"""Small CSV texts of the archive's formats, made by hand, and lakes that hold them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from cryptolake.archive.keys import parse_key
from cryptolake.archive.schemas import rows_version, schema_of
from cryptolake.readers.silver_files import METADATA
from cryptolake.silver.assembly import Normalized, SourceText
from cryptolake.silver.normalize import normalize
from cryptolake.silver.parquet import Origin
from cryptolake.silver.records import month_records
from cryptolake.storage.files import Storage, open_storage
from cryptolake.storage.identity_columns import IDENTITY
from cryptolake.storage.tables import Meta

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)
UM = "data/futures/um/{partition}/klines/BTCUSDT/1h/BTCUSDT-1h-{period}.zip"


def key(period: str) -> str:
    """The key of the hourly futures_um klines of a day or a month."""
    return UM.format(partition="monthly" if len(period) == 7 else "daily", period=period)


def millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def bar(moment: datetime, *, scale: int = 1, close: float = 10.5) -> str:
    """One hourly bar; ``scale=1000`` writes its times in microseconds."""
    opened = millis(moment)
    closed = (opened + 3_600_000) * scale - 1
    return f"{opened * scale},10.0,11.0,9.0,{close},100,{closed},1050.5,7,40,420.2,0"


def hours(day: str, count: int = 24) -> list[datetime]:
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return [begin + timedelta(hours=hour) for hour in range(count)]


def day_text(day: str, *, header: bool = True, scale: int = 1) -> bytes:
    """A whole day of hourly bars."""
    lines = [bar(hour, scale=scale) for hour in hours(day)]
    return as_text([HEADER, *lines] if header else lines)


def as_text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def read(texts: Mapping[str, bytes]) -> Normalized:
    """Normalize the texts of one symbol-month, given by key."""
    parsed = {name: parse_key(name) for name in texts}
    first = next(iter(parsed.values()))
    assert first is not None
    return normalize(
        [SourceText(name, parts.period, texts[name]) for name, parts in parsed.items() if parts],
        schema_of(first.market, first.data_type),
        symbol=first.symbol,
        month=first.period.of_month,
        interval=first.interval,
    )


def read_day(text: bytes, day: str = "2024-01-02") -> Normalized:
    """Normalize one daily file of hourly bars."""
    return read({key(day): text})


def rules(done: Normalized) -> list[tuple[int, str]]:
    """Line and rule of every reject."""
    return [(item.line, item.rule) for _, item in done.rejects]


def zipped(text: bytes, name: str = "x.csv") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


def stored(root: Path, files: Mapping[str, bytes]) -> tuple[Storage, Meta]:
    """A lake whose Bronze holds these zips, with their ledger rows."""
    storage = open_storage(root)
    meta = Meta(storage)
    for name, data in files.items():
        storage.write(f"bronze/{name}", data)
    meta.append("files", [ledger_row(name, data) for name, data in files.items()])
    return storage, meta


def ledger_row(name: str, data: bytes) -> dict[str, object]:
    return {
        "key": name,
        "size": len(data),
        "etag": hashlib.md5(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "verified": "sha256",
        "fetched_at": datetime.now(UTC),
        "event": "stored",
    }


def silver(storage: Storage) -> pl.DataFrame:
    """All rows of a lake's one series, in order of its files."""
    paths = [entry.path for entry in storage.list("silver")]
    return pl.concat([pl.read_parquet(storage.local(path)) for path in paths])


def written_before(storage: Storage, paths: Iterable[str]) -> None:
    """Make Silver files what the release before wrote: without columns of what they are of, recorded as such."""
    meta = Meta(storage)
    for path in paths:
        old = month_records(meta, [path])[path]
        metadata = json.loads(pl.read_parquet_metadata(storage.local(path))[METADATA])
        metadata["schema_version"] = rows_version(metadata["schema_version"])
        rows = pl.read_parquet(storage.local(path), hive_partitioning=False).drop(
            IDENTITY, strict=False
        )
        rows.write_parquet(storage.local(path), metadata={METADATA: json.dumps(metadata)})
        data = storage.read(path)
        record = old._replace(
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            origin=Origin.read(metadata).id,
            schema_version=metadata["schema_version"],
        )
        meta.append("months", [{"path": path, "rows": rows.height, **record._asdict()}])
