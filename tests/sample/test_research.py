"""The research archive holds what its generator says: lives, funding, a halt, one world of prices and volumes."""

from __future__ import annotations

import io
import itertools
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from cryptolake.archive.enums import Partition
from cryptolake.archive.keys import parse_key
from cryptolake.sample.folder import ArchiveFolder
from cryptolake.sample.research import (
    FUNDING_CHANGES,
    HALTS,
    LIVES,
    PERPETUALS,
    SETTLED,
    SPOT_OTHERS,
    SPOT_PAIRS,
)

HOUR = timedelta(hours=1)
KLINES = ("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume")
QUOTES = ("id", "bid", "bid_size", "ask", "ask_size", "time", "event_time")
FIRST, END = datetime(2023, 11, 1, tzinfo=UTC), datetime(2024, 4, 3, tzinfo=UTC)
USUAL, RARE, DRAWN, INTEREST = 0.002, 0.006, 0.0005, 0.0001
TOP = 10


def read(
    folder: Path, path: str, names: tuple[str, ...], interval: str | None = None
) -> pl.DataFrame:
    """Return a data type's rows: of all monthly files, and of the daily ones of other months."""
    archive = ArchiveFolder(folder)
    market, data_type = path.rsplit("/", 1)
    keys = [key for key in archive.zip_keys() if key.startswith(f"data/{market}/")]
    files = [(key, parts) for key in keys if (parts := parse_key(key)) is not None]
    files = [one for one in files if (one[1].data_type, one[1].interval) == (data_type, interval)]
    whole = {
        (parts.symbol, parts.period.of_month)
        for _, parts in files
        if parts.partition is Partition.MONTHLY
    }
    frames = []
    for key, parts in files:
        if (
            parts.period.of_month == parts.period
            or (parts.symbol, parts.period.of_month) not in whole
        ):
            text = archive.read_text(key)
            frame = pl.read_csv(
                io.BytesIO(text), has_header=text[:1].isalpha(), columns=list(range(len(names)))
            )
            frame.columns = list(names)
            frames.append(frame.with_columns(symbol=pl.lit(parts.symbol)))
    times = [name for name in names if name.endswith("time")]
    joined = pl.concat(frames, how="vertical_relaxed")
    return joined.with_columns(pl.col(times).cast(pl.Datetime("ms", "UTC"))).sort(
        "symbol", times[0]
    )


@pytest.fixture(scope="module")
def spot(research_archive: Path) -> pl.DataFrame:
    return read(research_archive, "spot/klines", KLINES, "1h")


@pytest.fixture(scope="module")
def perpetuals(research_archive: Path) -> pl.DataFrame:
    return read(research_archive, "futures/um/klines", KLINES, "1h")


def test_thirty_perpetuals_have_each_its_spot_pair(spot, perpetuals):
    assert len(PERPETUALS) == len(SPOT_PAIRS) == 30
    named = {one.symbol for one in (*PERPETUALS, SETTLED)}
    assert {*perpetuals["symbol"]} == {*named, "BTCUSDT_240329"}
    assert {*spot["symbol"]} == {one.symbol for one in (*SPOT_PAIRS, *SPOT_OTHERS)}
    for perpetual, pair in zip(PERPETUALS, SPOT_PAIRS, strict=True):
        assert perpetual.symbol in (pair.symbol, f"1000{pair.symbol}")


def test_hours_begin_and_end_with_the_lives_of_their_symbols(spot, perpetuals):
    for market, frame in (("spot", spot), ("futures_um", perpetuals)):
        spans = frame.group_by("symbol").agg(first=pl.min("open_time"), last=pl.max("open_time"))
        for symbol, first, last in spans.iter_rows():
            opens, closes = LIVES.get((market, symbol), (None, None))
            assert first == max(opens or FIRST, FIRST), symbol
            assert last + HOUR == min(closes or END, END), symbol


def test_all_of_spot_stops_in_the_halt_and_nothing_else_does(spot, perpetuals):
    begin, end = HALTS["spot"]
    cut = begin.replace(minute=0)
    assert spot.filter(pl.col("open_time").is_between(begin, end, closed="left")).is_empty()
    closing = spot.filter(open_time=cut)["close_time"].unique().to_list()
    assert closing == [begin - timedelta(milliseconds=1)]
    symbols = spot.filter(open_time=cut)["symbol"].to_list()
    assert len(symbols) == len(SPOT_PAIRS) + len(SPOT_OTHERS)
    for frame, missing in ((spot, 1), (perpetuals, 0)):
        steps = frame.select(step=pl.col("open_time").diff().over("symbol")).drop_nulls()["step"]
        holes = {"symbol": len(symbols)} if missing else {}
        assert (steps != HOUR).sum() == sum(holes.values())


def test_a_perpetual_stands_close_to_its_spot_pair(spot, perpetuals):
    pairs = pl.DataFrame(
        {"symbol": [p.symbol for p in PERPETUALS], "pair": [s.symbol for s in SPOT_PAIRS]}
    )
    both = perpetuals.join(pairs, on="symbol").join(
        spot, left_on=["pair", "open_time"], right_on=["symbol", "open_time"], suffix="_spot"
    )
    scale = pl.when(pl.col("symbol") == pl.col("pair")).then(1).otherwise(1000)
    basis = both.with_columns(basis=pl.col("close") / (pl.col("close_spot") * scale) - 1)
    size = pl.col("basis").abs()
    judged = basis.group_by("symbol").agg(usual=size.median(), rare=size.quantile(0.99), n=pl.len())
    assert judged.height == len(PERPETUALS)
    assert judged.filter(~((pl.col("usual") < USUAL) & (pl.col("rare") < RARE))).is_empty(), judged


def test_no_volume_is_below_zero_or_past_64_bits(spot, perpetuals):
    for frame in (spot, perpetuals):
        assert frame.filter((pl.col("volume") <= 0) | (pl.col("quote_volume") <= 0)).is_empty()


def test_ranks_by_volume_change_from_month_to_month(perpetuals):
    months = perpetuals.group_by("symbol", month=pl.col("open_time").dt.truncate("1mo")).agg(
        pl.sum("quote_volume")
    )
    tops = [
        {*part.sort("quote_volume").tail(TOP)["symbol"]}
        for _, part in months.sort("month").group_by("month", maintain_order=True)
    ]
    assert all(one != other for one, other in itertools.pairwise(tops))
    assert all("BTCUSDT" in top for top in tops)


def test_funding_is_paid_when_the_schedule_says_and_follows_the_premium(research_archive):
    paid = read(research_archive, "futures/um/fundingRate", ("time", "hours", "rate"))
    hour = pl.col("time").dt.truncate("1h")
    paid = paid.with_columns(hour=hour, late=pl.col("time") - hour)
    assert (paid["late"] < timedelta(milliseconds=20)).all()
    assert (paid["late"] > timedelta(0)).sum() > paid.height // 5
    stx = paid.filter(symbol="STXUSDT")
    steps = stx.with_columns(step=pl.col("hour").diff()).drop_nulls("step")
    assert (steps["step"] == steps["hours"] * HOUR).all()
    for (_, hours), (change, then) in itertools.pairwise(FUNDING_CHANGES):
        around = stx.filter(pl.col("hour").is_between(change, change + then * HOUR))
        assert around["hours"].to_list() == [hours, then]
    assert paid.filter(symbol="JUPUSDT")["hour"].min() == datetime(2024, 2, 1, tzinfo=UTC)
    premium = read(research_archive, "futures/um/premiumIndexKlines", KLINES[:5], "1h")
    mean = premium.group_by_dynamic(
        "open_time", every="8h", group_by="symbol", closed="left", label="right"
    ).agg(pl.mean("open"))
    eight = paid.filter(symbol="BTCUSDT").join(
        mean, left_on=["symbol", "hour"], right_on=["symbol", "open_time"]
    )
    drawn = (INTEREST - pl.col("open")).clip(-DRAWN, DRAWN)
    off = eight.select(off=(pl.col("open") + drawn - pl.col("rate")).abs())["off"]
    assert eight.height > 200
    assert (off < 5e-5).all()
    assert eight["rate"].n_unique() > 20


def test_mark_is_index_and_premium(research_archive):
    names = KLINES[:5]
    mark, index, premium = (
        read(research_archive, f"futures/um/{kind}Klines", names, "1h")
        for kind in ("markPrice", "indexPrice", "premiumIndex")
    )
    both = mark.join(index, on=["symbol", "open_time"], suffix="_index").join(
        premium, on=["symbol", "open_time"], suffix="_premium"
    )
    off = (pl.col("open") / pl.col("open_index") - 1 - pl.col("open_premium")).abs()
    assert both["symbol"].n_unique() == 3
    assert both.select(off.max()).item() < 1e-4


def test_quotes_lie_beside_trades_and_share_milliseconds_with_them(research_archive):
    days = ("2024-03-25", "2024-03-30")
    quotes = read(research_archive, "futures/um/bookTicker", QUOTES).filter(symbol="BTCUSDT")
    trades = read(research_archive, "futures/um/trades", ("id", "price", "qty", "quote", "time"))
    trades = trades.filter(pl.col("symbol") == "BTCUSDT")
    low, high = (pl.col("time").dt.date() == date.fromisoformat(day) for day in days)
    for frame in (quotes, trades):
        assert frame.filter(low).height > 100
        assert frame.filter(high).height > 100
    shared = quotes.join(trades.unique("time", keep="any"), on="time")
    assert shared.height > 1000
    assert (shared["time"] == shared["event_time"]).sum() > 100
    assert quotes["id"].is_sorted()
    assert quotes["id"].n_unique() == quotes.height
    assert (quotes["ask"] > quotes["bid"]).all()


def test_what_a_universe_leaves_out_would_rank(spot):
    totals = (
        spot.group_by("symbol").agg(pl.sum("quote_volume")).sort("quote_volume", descending=True)
    )
    ranked = totals["symbol"].to_list()
    for name in ("USDCUSDT", "BTCUPUSDT", "BTCDOWNUSDT"):
        assert ranked.index(name) < 2 * TOP
