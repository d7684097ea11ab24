"""Parts of days that ticks lack: ids and hours filled from the sibling file, and what is told of each."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import cryptolake as cl
from tests.quality.world import key_of

if TYPE_CHECKING:
    import polars as pl

Row = tuple[int, datetime]
Keep = Callable[[Row], bool]

SPOT, UM = "spot", "futures/um"
MARKETS = {SPOT: "spot", UM: "futures_um"}
TEXTS: dict[str, Callable[[Row], str]] = {
    "trades": lambda row: f"{row[0]},2.5,3,7.5,{millis(row)},true\n",
    "aggTrades": lambda row: f"{row[0]},2.5,3,{row[0] + 50},{row[0] + 50},{millis(row)},true\n",
    "bookTicker": lambda row: f"{9 * row[0]},1.0,2,1.1,3,{millis(row)},{millis(row)}\n",
}


def millis(row: Row) -> int:
    return int(row[1].timestamp() * 1000)


def rows(first: str, days: int, *, step: int = 20, begin: int = 7_000) -> list[Row]:
    """Rows of some days, one each ``step`` minutes."""
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    return [(begin + n, start + timedelta(minutes=step * n)) for n in range(days * 24 * 60 // step)]


def text(data_type: str, found: Iterable[Row], keep: Keep = lambda _: True) -> str:
    return "".join(TEXTS[data_type](row) for row in found if keep(row))


def archive(
    market: str,
    data_type: str,
    symbol: str,
    month: str,
    *,
    monthly: Keep | None = None,
    daily: Keep | None = None,
    days: Iterable[int] | None = None,
) -> dict[str, str]:
    """Files of a month: what the monthly one and the daily ones keep; None for none of them."""
    length = monthrange(int(month[:4]), int(month[5:]))[1]
    whole = rows(f"{month}-01", length)

    def name(period: str) -> str:
        return key_of(period, market=market, symbol=symbol, data_type=data_type)

    made: dict[str, str] = {}
    if monthly is not None:
        made[name(month)] = text(data_type, whole, monthly)
    if daily is not None:
        for day in days or range(1, length + 1):
            mine = [row for row in whole if row[1].day == day]
            made[name(f"{month}-{day:02}")] = text(data_type, mine, daily)
    return made


def query(market: str, data_type: str, symbol: str, *days: str) -> cl.Query:
    return cl.query().markets(MARKETS[market]).data_types(data_type).symbols(symbol).between(*days)


def at(day: str, hour: int) -> datetime:
    return datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC)


def outside(day: str, first: int, end: int) -> Keep:
    """All rows but those of some hours of a day."""
    begin, stop = at(day, first), at(day, 0) + timedelta(hours=end)
    return lambda row: not begin <= row[1] < stop


def everything(_: Row) -> bool:
    return True


def told(healed: pl.DataFrame) -> list[tuple[object, ...]]:
    return healed.select("unit", "bars", "filled", "outcome", "cause").rows()


def test_a_day_file_that_stops_in_the_morning_is_filled_from_the_monthly_one(written):
    symbol, month = "XMRBTC", "2022-01"
    here = written(
        archive(
            SPOT, "trades", symbol, month, monthly=everything, daily=outside("2022-01-20", 9, 24)
        )
    )
    asked = query(SPOT, "trades", symbol, "2022-01-19", "2022-01-21")
    here.pull(asked)
    assert here.lake.frame(asked, progress=False).height == 3 * 72 - 45
    healed = here.lake.heal(asked, progress=False)
    assert told(healed) == [("ids", 45, 45, "healed", "archive_gap")]
    assert healed["fetched"].to_list() == [
        [key_of("2022-01", market=SPOT, symbol=symbol, data_type="trades")]
    ]
    assert healed["evidence"][0].endswith("filled from the monthly file")
    assert (healed["first"][0], healed["last"][0]) == (
        at("2022-01-20", 9) - timedelta(minutes=20),
        at("2022-01-21", 0),
    )
    assert here.lake.frame(asked, progress=False).height == 3 * 72
    assert here.lake.heal(asked, progress=False).height == 0
    assert here.lake.ids(asked).height == 0
    [found] = here.lake.meta.read("findings").filter(kind="healed").rows(named=True)
    assert found["detail"].startswith("healed: 45 of 45 ids")


def test_a_monthly_file_that_ends_early_has_no_later_id_and_is_filled_by_its_hours(written):
    keep = outside("2023-02-28", 15, 24)
    here = written(archive(UM, "trades", "BLZUSDT", "2023-02", monthly=keep, daily=everything))
    asked = query(UM, "trades", "BLZUSDT", "2023-02")
    here.pull(asked)
    healed = here.lake.heal(asked, progress=False)
    assert told(healed) == [("hours", 9, 9, "healed", "archive_gap")]
    assert [key[-14:-4] for key in healed["fetched"][0]] == ["2023-02-28"]
    assert here.lake.frame(asked, progress=False).height == 28 * 72


def test_quotes_have_no_running_ids_and_are_filled_by_their_hours(written):
    keep = outside("2023-06-09", 3, 8)
    here = written(
        archive(
            UM, "bookTicker", "OPUSDT", "2023-06", monthly=keep, daily=everything, days=(8, 9, 10)
        )
    )
    asked = query(UM, "bookTicker", "OPUSDT", "2023-06")
    here.pull(asked)
    healed = here.lake.heal(asked, progress=False)
    assert told(healed) == [("hours", 5, 5, "healed", "archive_gap")]
    assert healed["fetched"].to_list() == [
        [key_of("2023-06-09", market=UM, symbol="OPUSDT", data_type="bookTicker")]
    ]


def test_each_hole_has_its_own_outcome(written):
    """Filled, filled in part, lacking in the sibling too, without a sibling, and one that cannot be fetched."""
    cuts = [("2024-09-03", 4, 9), ("2024-09-07", 0, 6), ("2024-09-11", 10, 12)]
    cuts += [("2024-09-15", 1, 3), ("2024-09-19", 20, 23)]
    keeps = [outside(*cut) for cut in cuts]
    part, both = outside("2024-09-07", 3, 6), outside("2024-09-11", 10, 12)
    files = archive(
        UM,
        "aggTrades",
        "ENAUSDT",
        "2024-09",
        monthly=lambda row: all(keep(row) for keep in keeps),
        daily=lambda row: part(row) and both(row),
        days=[3, 7, 11, 19],
    )
    here = written(files)
    bad = key_of("2024-09-19", market=UM, symbol="ENAUSDT", data_type="aggTrades")
    here.folder.path(f"{bad}.CHECKSUM").write_text(f"{'0' * 64}  {bad.rsplit('/', 1)[1]}\n")
    here.publish()
    asked = query(UM, "aggTrades", "ENAUSDT", "2024-09")
    here.pull(asked)
    healed = here.lake.heal(asked, progress=False)
    assert told(healed) == [
        ("ids", 15, 15, "healed", "archive_gap"),
        ("ids", 18, 9, "partly healed", "archive_gap"),
        ("ids", 6, 0, "not healed", "unknown"),
        ("ids", 6, 0, "nothing to fetch", "unknown"),
        ("ids", 9, 0, "failed", "unknown"),
    ]
    assert [line.split("; ")[-1] for line in healed["evidence"]] == [
        "filled from the daily file",
        "filled in part from the daily file, which lacks the rest",
        "the daily file lacks them too",
        "no other file is published that is not here",
        "the daily file could not be fetched",
    ]


def test_a_hole_over_the_end_of_a_month_is_filled_in_both(written):
    keep_may, keep_june = outside("2021-05-31", 20, 24), outside("2021-06-01", 0, 2)
    here = written(
        archive(SPOT, "aggTrades", "DODOBUSD", "2021-05", monthly=keep_may, daily=everything)
        | {
            key: text("aggTrades", later, keep)
            for later in [rows("2021-06-01", 30, begin=7_000 + 31 * 72)]
            for key, keep in (
                (
                    key_of("2021-06", market=SPOT, symbol="DODOBUSD", data_type="aggTrades"),
                    keep_june,
                ),
                (
                    key_of("2021-06-01", market=SPOT, symbol="DODOBUSD", data_type="aggTrades"),
                    lambda row: row[1].day == 1,
                ),
            )
        }
    )
    asked = query(SPOT, "aggTrades", "DODOBUSD", "2021-05", "2021-06")
    here.pull(asked)
    healed = here.lake.heal(asked, progress=False)
    assert told(healed) == [("ids", 18, 18, "healed", "archive_gap")]
    assert here.lake.frame(asked, progress=False).height == 61 * 72


def test_ids_that_the_venue_leaves_out_and_quiet_hours_fetch_nothing(written):
    skips = archive(
        UM, "trades", "JTOUSDT", "2024-06", monthly=lambda row: row[0] % 30 != 0, daily=everything
    )
    # A symbol that trades a few hours a day.
    quiet = archive(
        SPOT,
        "trades",
        "LSKBTC",
        "2024-06",
        monthly=lambda row: row[1].hour in {3, 9, 15},
        daily=everything,
    )
    numbered = {
        key: "".join(f"{n},{line.split(',', 1)[1]}\n" for n, line in enumerate(made.splitlines()))
        if "/monthly/" in key
        else made
        for key, made in quiet.items()
    }
    here = written(skips | numbered)
    for asked in (
        query(UM, "trades", "JTOUSDT", "2024-06"),
        query(SPOT, "trades", "LSKBTC", "2024-06"),
    ):
        here.pull(asked)
        assert here.lake.heal(asked, progress=False).height == 0
    assert not [key for key in here.lake.meta.ledger()["key"] if "/daily/" in key]
