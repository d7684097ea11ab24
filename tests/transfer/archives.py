"""A small archive in a folder, and a plan for it, so that transfers are tested without a listing."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.storage.spooled import Rows

if TYPE_CHECKING:
    from cryptolake.archive.source import Archive

KEY = "data/spot/daily/klines/{symbol}/1m/{symbol}-1m-{day}.zip"


@dataclass
class FolderPlan:
    """What a transfer needs of a plan: the files and where they are."""

    files: pl.DataFrame
    archive: Archive
    id: str = "test"

    @property
    def rows(self) -> Rows:
        return Rows.of(self.files)


def zipped(name: str, text: str) -> bytes:
    """A zip as the archive makes them: one deflated CSV, named like the zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        stamp = zipfile.ZipInfo(name, (2024, 1, 2, 0, 30, 0))
        stamp.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(stamp, text)
    return buffer.getvalue()


def csv_of(symbol: str, day: date, rows: int) -> str:
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
    seed = sum(map(ord, symbol)) + day.toordinal()
    return "".join(
        f"{start + 60000 * i},{seed + i % 7}.10000000,{seed + i % 11}.00000000,{seed}.50000000,"
        f"{seed + i % 5}.25000000,{i % 97}.00000000,{start + 60000 * i + 59999},"
        f"{(seed * i) % 9973}.00000000,{i % 13},1.00000000,2.00000000,0\n"
        for i in range(rows)
    )


def put(folder: Path, key: str, data: bytes, sidecar: bytes | None = b"") -> None:
    """Write a zip into an archive folder; its right sidecar beside it, or the one given, or none."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if sidecar == b"":
        sidecar = f"{hashlib.sha256(data).hexdigest()}  {path.name}\n".encode()
    if sidecar is not None:
        path.with_name(path.name + ".CHECKSUM").write_bytes(sidecar)


def write_archive(folder: Path, files: int, rows: int = 20, symbols: int = 1) -> list[str]:
    """Write that many daily kline files with their sidecars; return their keys."""
    keys = []
    for index in range(files):
        symbol = f"S{index % symbols}USDT" if symbols > 1 else "BTCUSDT"
        day = date(2020, 1, 1) + timedelta(index // symbols)
        key = KEY.format(symbol=symbol, day=day)
        name = Path(key).name.replace(".zip", ".csv")
        put(folder, key, zipped(name, csv_of(symbol, day, rows)))
        keys.append(key)
    return keys


def etag_of(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def plan_of(folder: Path, archive: Archive, status: str = "new") -> FolderPlan:
    """List a folder as the archive's listing would, with every file to move."""
    rows = []
    for path in sorted(folder.rglob("*.zip")):
        data = path.read_bytes()
        beside = path.with_name(path.name + ".CHECKSUM")
        sidecar = beside.read_bytes() if beside.exists() else None
        rows.append(
            {
                "key": path.relative_to(folder).as_posix(),
                "size": len(data),
                "etag": etag_of(data),
                "last_modified": datetime(2024, 1, 2, tzinfo=UTC),
                "checksum_size": None if sidecar is None else len(sidecar),
                "checksum_etag": None if sidecar is None else etag_of(sidecar),
                "status": status,
                "partition": "daily",
                "period": path.stem[-10:],
                "selector": None,
            }
        )
    schema: dict[str, Any] = {
        "key": pl.String,
        "size": pl.Int64,
        "etag": pl.String,
        "last_modified": pl.Datetime("us", "UTC"),
        "checksum_size": pl.Int64,
        "checksum_etag": pl.String,
        "status": pl.String,
        "partition": pl.String,
        "period": pl.String,
        "selector": pl.String,
    }
    return FolderPlan(pl.DataFrame(rows, schema=schema), archive)
