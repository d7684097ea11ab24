"""Real files through the whole of it: listed, fetched by s5cmd, verified, built, and read back.

What Silver holds is compared, value by value, with an independent parse by Python's csv and zipfile.
"""

from __future__ import annotations

import csv
import io
import math
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.keys import parse_key

pytestmark = pytest.mark.real

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

KLINES = [
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
]


@pytest.fixture(scope="module")
def lake(
    real_folder: Path, real_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> cl.Lake:
    """A lake that pulled every real file."""
    lake = cl.Lake(tmp_path_factory.mktemp("lake"), source=cl.Archive(endpoint_url=real_endpoint))
    parsed = [key for key in map(parse_key, keys_of(real_folder)) if key is not None]
    for market, data_type, interval in {(k.market, k.data_type, k.interval) for k in parsed}:
        days = [k.period.days for k in parsed if k[:2] + k[3:4] == (market, data_type, interval)]
        query = cl.query().markets(market).data_types(data_type).symbols("*")
        query = query.intervals(*[interval] if interval else [])
        query = query.between(min(d.first for d in days), max(d.last for d in days))
        report = lake.pull(query, progress=False)
        assert report.ok, report.summary()
    return lake


def keys_of(folder: Path) -> list[str]:
    """Return the keys of all zips in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.zip"))


def independent(path: Path) -> list[list[str]]:
    """Return a zip's rows as text, without its header."""
    with zipfile.ZipFile(path) as zipped:
        (name,) = zipped.namelist()
        rows = list(csv.reader(io.StringIO(zipped.read(name).decode("ascii"))))
    return rows if rows[0][0][:1].isdigit() else rows[1:]


def instant(text: str) -> datetime:
    """Read an epoch of milliseconds or microseconds."""
    number = int(text)
    return EPOCH + timedelta(microseconds=number if number >= 10**14 else number * 1000)


def test_every_real_file_is_held_and_verified(lake: cl.Lake, real_folder: Path) -> None:
    held = dict(lake.meta.ledger().select("key", "verified").iter_rows())
    assert sorted(held) == keys_of(real_folder)
    assert set(held.values()) == {"sha256"}
    for key in held:
        name = f"{Path(lake.root) / 'bronze' / key}"
        assert Path(name).read_bytes() == (real_folder / key).read_bytes()


def test_every_row_of_every_real_file_is_accounted_for(lake: cl.Lake, real_folder: Path) -> None:
    sources = lake.meta.read("sources").unique("key", keep="last")
    assert sorted(sources["key"]) == keys_of(real_folder)
    for key, rows_in in sources.select("key", "rows_in").iter_rows():
        assert rows_in == len(independent(real_folder / key)), key
    balance = pl.col("rows_in") - pl.col("rows_out") - pl.col("duplicates") - pl.col("rejects")
    assert sources.select(balance.abs().sum()).item() == 0
    assert sources["rejects"].sum() == 0, lake.meta.read("rejects")


def test_klines_equal_an_independent_parse(lake: cl.Lake, real_folder: Path) -> None:
    checked = 0
    for key in keys_of(real_folder):
        parsed = parse_key(key)
        assert parsed is not None
        if (
            parsed.interval is None
            or parsed.data_type.value != "klines"
            or parsed.market.value == "futures_cm"
        ):
            continue
        rows = sorted(independent(real_folder / key), key=lambda row: int(row[0]))
        days = parsed.period.days
        query = cl.query().markets(parsed.market).klines(parsed.interval).symbols(parsed.symbol)
        frame = lake.silver(query.between(days.first, days.last)).collect()
        assert frame.height == len(rows), key
        for position, name in enumerate(KLINES):
            texts = [row[position] for row in rows]
            if name.endswith("_time"):
                assert frame[name].to_list() == [instant(text) for text in texts], (key, name)
            elif name == "trades":
                assert frame[name].to_list() == [int(text) for text in texts], (key, name)
            else:
                assert frame[name].to_list() == [float(text) for text in texts], (key, name)
        checked += 1
    assert checked >= 60


def test_bronze_shows_the_rows_as_published(lake: cl.Lake, real_folder: Path) -> None:
    query = (
        cl.query()
        .markets("spot")
        .klines("1m")
        .symbols("BTCUSDT")
        .between("2020-01-01", "2020-01-03")
    )
    frame = lake.bronze(query).collect()
    assert frame["key"].n_unique() == 3
    rows = [row for key in sorted(frame["key"].unique()) for row in independent(real_folder / key)]
    assert frame["open_time"].to_list() == [int(row[0]) for row in rows]
    assert frame["close"].to_list() == [float(row[4]) for row in rows]


def test_sql_and_frames_agree(lake: cl.Lake) -> None:
    counted = lake.sql(
        "select interval, count(*), sum(volume) from silver.spot_klines group by all order by all"
    ).fetchall()
    query = (
        cl.query()
        .markets("spot")
        .klines("1m", "1h", "1s", "1d")
        .symbols("*")
        .between("2017-08", "2026-10-31")
    )
    frame = lake.silver(query).group_by("interval").agg(pl.len(), pl.col("volume").sum()).collect()
    assert {row[0]: row[1] for row in counted} == dict(frame.select("interval", "len").iter_rows())
    volumes = dict(frame.select("interval", "volume").iter_rows())
    assert {row[0]: pytest.approx(row[2]) for row in counted} == volumes


@pytest.mark.parametrize(
    ("market", "fine", "coarse", "days", "height", "published"),
    [
        ("spot", "1m", "1h", ("2020-01-01", "2020-01-03"), 72, "spot/monthly/{}/1h/{}-1h-2020-01"),
        (
            "futures_um",
            "1m",
            "5m",
            ("2022-04-08",) * 2,
            288,
            "futures/um/monthly/{}/5m/{}-5m-2022-04",
        ),
    ],
)
def test_coarser_bars_are_the_real_ones(
    lake: cl.Lake, real_folder: Path, market, fine, coarse, days, height, published
) -> None:
    query = cl.query().markets(market).symbols("BTCUSDT").between(*days)
    made = lake.resample(query.klines(fine), coarse).collect()
    real = lake.silver(query.klines(coarse)).collect()
    assert made.height == real.height == height
    assert made["whole"].all()
    rows = independent(real_folder / f"data/{published.format('klines/BTCUSDT', 'BTCUSDT')}.zip")
    for position, name in enumerate(KLINES):
        if not name.endswith("volume"):
            assert made[name].equals(real[name]), name
            continue
        # Half a unit of the last published place; a float of 8 digits before the point has no 8 behind it.
        places = max(len(row[position].rstrip("0").partition(".")[2]) for row in rows)
        near = max(0.5 * 10**-places, 8 * math.ulp(max(real[name])))
        assert (made[name] - real[name]).abs().max() < near, name


def test_a_second_pull_moves_nothing(lake: cl.Lake) -> None:
    query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2017-08", "2022-02")
    plan = lake.plan(query)
    assert (plan.to_transfer, plan.total_bytes) == (0, 0)
    report = lake.pull(query, progress=False)
    assert (report.transferred, report.built) == (0, 0)
