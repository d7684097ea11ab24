"""A month extended by new days is, row by row and record by record, the month that is built of all its days."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import build
from cryptolake.silver.records import current, month_records
from cryptolake.storage.tables import Meta
from tests.drawn import examples
from tests.silver.texts import (
    HEADER,
    bar,
    day_text,
    hours,
    key,
    ledger_row,
    stored,
    written_before,
    zipped,
)

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

PATH = "silver/market=futures_um/data_type=klines/interval=1h/symbol=BTCUSDT/2024-01.parquet"
DAYS = [f"2024-01-{day:02}" for day in range(1, 8)]

Zips = dict[str, bytes]


def klines(days: list[str]) -> Zips:
    return {key(day): zip_of(day) for day in days}


@cache
def zip_of(day: str) -> bytes:
    """A whole day; a zip says when it was made, so it is made once."""
    return zipped(day_text(day))


def trade_key(day: str) -> str:
    return f"data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-{day}.zip"


def trades(day: str, first: int) -> bytes:
    start = int(pl.Series([day]).str.to_datetime(time_unit="ms").cast(pl.Int64)[0])
    lines = [f"{first + n},1.5,2,3,{start + n * 1000},true\n" for n in range(5)]
    return zipped("".join(lines).encode())


class Seen:
    """A lake's storage that names the Bronze files that are read."""

    def __init__(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[str] = []
        before = storage.read

        def read(path: str) -> bytes:
            if path.startswith("bronze/"):
                self.read.append(path.removeprefix("bronze/"))
            return before(path)

        monkeypatch.setattr(storage, "read", read)


def add(storage: Storage, meta: Meta, files: Zips) -> None:
    for name, data in files.items():
        storage.write(f"bronze/{name}", data)
    meta.append("files", [ledger_row(name, data) for name, data in files.items()])


def made(storage: Storage, **options: object) -> None:
    build(LakeContext.of(storage), holdings(Meta(storage)), progress=False, **options)  # type: ignore[arg-type]


def content(storage: Storage) -> dict[str, object]:
    """The rows of each month in order, and what the tables say of them."""
    meta = Meta(storage)
    found: dict[str, object] = {
        entry.path: pl.read_parquet(storage.local(entry.path)).to_dicts()
        for entry in storage.list("silver")
    }
    for table in ("sources", "rejects", "findings"):
        rows = current(meta, table).drop("run_id", "built_at", "at", strict=False)
        found[table] = rows.sort("path", maintain_order=True).to_dicts()
    found["months"] = {
        path: (record.origin, record.size) for path, record in month_records(meta).items()
    }
    return found


def same(tmp_path: Path, parts: list[Zips]) -> None:
    """Months built part by part are those that are built at once."""
    storage, meta = stored(tmp_path / "parts", {})
    every: Zips = {}
    for part in parts:
        add(storage, meta, part)
        every |= part
        made(storage)
    fresh, _ = stored(tmp_path / "fresh", every)
    made(fresh)
    assert content(storage) == content(fresh)


def test_new_days_are_read_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, meta = stored(tmp_path, klines(DAYS[:3]))
    made(storage)
    for day in DAYS[3:6]:
        seen = Seen(storage, monkeypatch)
        add(storage, meta, klines([day]))
        made(storage)
        assert seen.read == [key(day)]
    fresh, _ = stored(tmp_path / "fresh", klines(DAYS[:6]))
    made(fresh)
    assert content(storage) == content(fresh)
    assert storage.read(PATH) == fresh.read(PATH)
    made(storage)
    assert current(meta, "sources").height == 6


def test_a_file_of_the_release_before_stays_and_gets_its_columns_with_new_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, meta = stored(tmp_path, klines(DAYS[:3]))
    made(storage)
    written_before(storage, [PATH])
    before = storage.read(PATH)
    made(storage)
    assert storage.read(PATH) == before
    record = month_records(meta)[PATH]
    assert record.schema_version is not None
    assert "+" not in record.schema_version

    seen = Seen(storage, monkeypatch)
    add(storage, meta, klines([DAYS[3]]))
    made(storage)
    assert seen.read == [key(DAYS[3])]
    fresh, fresh_meta = stored(tmp_path / "fresh", klines(DAYS[:4]))
    made(fresh)
    assert storage.read(PATH) == fresh.read(PATH)
    assert content(storage) == content(fresh)
    record = month_records(meta)[PATH]
    assert record.schema_version == month_records(fresh_meta)[PATH].schema_version
    first = pl.read_parquet(storage.local(PATH), hive_partitioning=False).row(0, named=True)
    names = ("market", "symbol", "interval")
    assert [first[name] for name in names] == ["futures_um", "BTCUSDT", "1h"]


def test_a_build_that_is_forced_reads_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, meta = stored(tmp_path, klines(DAYS[:2]))
    made(storage)
    add(storage, meta, klines(DAYS[2:3]))
    seen = Seen(storage, monkeypatch)
    made(storage, force=True)
    assert sorted(seen.read) == [key(day) for day in DAYS[:3]]


def late_day(storage: Storage, meta: Meta) -> None:
    add(storage, meta, klines([DAYS[0]]))


def rewritten_day(storage: Storage, meta: Meta) -> None:
    add(storage, meta, {key(DAYS[1]): zipped(day_text(DAYS[1], header=False))})
    add(storage, meta, klines([DAYS[4]]))


def monthly_file(storage: Storage, meta: Meta) -> None:
    add(
        storage, meta, {key("2024-01"): zipped(day_text(DAYS[0]) + day_text(DAYS[1], header=False))}
    )


def other_bytes(storage: Storage, meta: Meta) -> None:
    data = bytearray(storage.read(PATH))
    data[9] ^= 1
    storage.write(PATH, bytes(data))
    add(storage, meta, klines([DAYS[4]]))


def no_record(storage: Storage, meta: Meta) -> None:
    for entry in storage.list("meta/months"):
        storage.delete(entry.path)
    add(storage, meta, klines([DAYS[4]]))


def sources_of_another_build(storage: Storage, meta: Meta) -> None:
    meta.append("sources", meta.read("sources").with_columns(run_id=pl.lit("other"), rows_out=1))
    for entry in storage.list("meta/sources")[:1]:
        storage.delete(entry.path)
    add(storage, meta, klines([DAYS[4]]))


def another_column(storage: Storage, meta: Meta) -> None:
    lines = day_text(DAYS[4]).splitlines()
    lines = [line + (b",extra" if not at else b",x") for at, line in enumerate(lines)]
    add(storage, meta, {key(DAYS[4]): zipped(b"\n".join(lines) + b"\n")})


def refused_day(storage: Storage, meta: Meta) -> None:
    add(storage, meta, {key(DAYS[4]): b"no zip"})
    made(storage)
    add(storage, meta, klines([DAYS[5]]))


def day_that_is_gone(storage: Storage, meta: Meta) -> None:
    meta.append("files", [{"key": key(DAYS[1]), "event": "removed"}])
    add(storage, meta, klines([DAYS[1], DAYS[4]]))
    add(storage, meta, {key(DAYS[1]): zipped(day_text(DAYS[1])[:900] + b"\n")})


CHANGES: list[Callable[[Storage, Meta], None]] = [
    late_day,
    rewritten_day,
    monthly_file,
    other_bytes,
    no_record,
    sources_of_another_build,
    another_column,
    refused_day,
    day_that_is_gone,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_month_that_cannot_be_extended_is_built_of_all_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Storage, Meta], None]
) -> None:
    storage, meta = stored(tmp_path / "one", klines(DAYS[1:4]))
    made(storage)
    change(storage, meta)
    seen = Seen(storage, monkeypatch)
    made(storage)
    assert {key(day) for day in DAYS[1:4]} <= set(seen.read)
    files = {entry.path[7:]: storage.read(entry.path) for entry in storage.list("bronze")}
    fresh, _ = stored(tmp_path / "fresh", files)
    made(fresh)
    assert content(storage) == content(fresh)


@pytest.mark.parametrize(("first", "extends"), [(105, True), (104, False), (3, False)])
def test_ids_that_repeat_on_a_later_day_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, extends: bool
) -> None:
    parts = [
        {trade_key(day): trades(day, start) for day, start in pairs}
        for pairs in ([(DAYS[0], 1), (DAYS[1], 100)], [(DAYS[2], first)])
    ]
    storage, meta = stored(tmp_path / "one", parts[0])
    made(storage)
    add(storage, meta, parts[1])
    seen = Seen(storage, monkeypatch)
    made(storage)
    assert (seen.read == [trade_key(DAYS[2])]) is extends
    same(tmp_path, parts)


def test_labels_that_step_over_the_edge_of_a_day_are_built_of_all_files(tmp_path: Path) -> None:
    name = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-{}.zip"
    rest = "BTCUSDT,1,2,3,4,5,6"
    days = [("2024-01-01", "2024-01-02"), ("2024-01-02", "2024-01-03")]
    parts = [
        {name.format(day): zipped(f"{day} 23:55:00,{rest}\n{after} 00:00:00,{rest}\n".encode())}
        for day, after in days
    ]
    same(tmp_path, parts)


@st.composite
def days_in_parts(draw: st.DrawFn) -> list[Zips]:
    """Days of a month in any condition, in any order, put into the lake in some parts."""
    dice = Random(draw(st.integers(0, 2**32)))
    order = list(DAYS)
    if draw(st.booleans()):
        dice.shuffle(order)
    zips = [(key(day), zipped(written(day, draw, dice))) for day in order]
    if draw(st.booleans()):
        zips.append((key("2024-01"), zipped(written(DAYS[2], draw, dice))))
    cuts = sorted(draw(st.sets(st.integers(1, len(zips)), max_size=3)))
    ends = zip([0, *cuts], [*cuts, len(zips)], strict=True)
    return [dict(zips[first:last]) for first, last in ends]


def written(day: str, draw: st.DrawFn, dice: Random) -> bytes:
    lines = day_text(day, header=False).splitlines()
    condition = draw(st.sampled_from(["whole", "whole", "shuffled", "repeated", *BROKEN]))
    if condition == "shuffled":
        dice.shuffle(lines)
    elif condition == "repeated":
        lines += dice.sample(lines, 3)
    else:
        lines += BROKEN.get(condition, [])
    if draw(st.booleans()):
        lines.insert(0, HEADER.encode())
    return b"\n".join(lines) + draw(st.sampled_from([b"\n", b"", b"\r\n"]))


BROKEN = {
    "cut line": [b"1704067200000,1,2"],
    "of another month": [bar(hours("2024-03-01")[0]).encode()],
    "conflict": [bar(hours("2024-01-03")[5], close=7).encode()],
    "blank": [b"", b"  "],
    "no price": [bar(hours("2024-01-03")[6]).replace("10.0,11.0,9.0", "0,11.0,0").encode()],
    "odd close": [bar(hours("2024-01-03")[7]).replace("9999,1050", "9998,1050").encode()],
}


@settings(
    max_examples=examples(10),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(parts=days_in_parts())
def test_days_in_any_condition_and_order_give_the_month_that_is_built_at_once(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Zips]
) -> None:
    same(tmp_path_factory.mktemp("lakes"), parts)
