"""The confusion table: every known defect of the archive injected, and what the lake says it is.

One archive holds them all, one symbol a defect. The lake is pulled, healed, and asked. Run with ``-s`` to
see the table: the cause injected, the cause reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.quality.survey import survey
from cryptolake.quality.trade_ids import id_findings
from tests.quality.world import World, key_of, without

DAYS = ("2024-06-01", "2025-01-03")
MONTH = "2024-09"
UM = cl.query().markets("futures_um").klines("1h").between(MONTH)
KILL = b"\x00" * 64


class Case(NamedTuple):
    """A defect: the symbol it is put on, how, and what has to be said of it."""

    injected: str
    symbol: str
    inject: Callable[[World, str], None]
    expected: str


def lacking(*days: str) -> Callable[[World, str], None]:
    def inject(here: World, symbol: str) -> None:
        for day in days:
            here.edit(key_of(MONTH, symbol=symbol), without(day))

    return inject


def cut_short(here: World, symbol: str) -> None:
    here.edit(key_of(MONTH, symbol=symbol), lambda lines: lines[: 1 + 7 * 24])


def halted(here: World, symbol: str) -> None:
    here.edit(key_of(MONTH, symbol=symbol), lambda lines: [*lines[:250], *lines[255:]])
    here.edit(key_of(f"{MONTH}-11", symbol=symbol), lambda lines: [*lines[:10], *lines[15:]])


def lost_day(here: World, symbol: str) -> None:
    lacking(f"{MONTH}-14")(here, symbol)
    here.remove(key_of(f"{MONTH}-14", symbol=symbol))


def listed_late(here: World, symbol: str) -> None:
    for period in ("2024-06", "2024-07", "2024-08"):
        here.remove(key_of(period, symbol=symbol))
    for day in pl.date_range(pl.date(2024, 6, 1), pl.date(2024, 9, 11), eager=True):
        here.remove(key_of(day.isoformat(), symbol=symbol))
    here.edit(key_of(f"{MONTH}-12", symbol=symbol), lambda lines: [lines[0], *lines[9:]])
    here.edit(key_of(MONTH, symbol=symbol), lambda lines: [lines[0], *lines[1 + 11 * 24 + 8 :]])


def delisted(here: World, symbol: str) -> None:
    for period in ("2024-10", "2024-11", "2024-12"):
        here.remove(key_of(period, symbol=symbol))
    for day in pl.date_range(pl.date(2024, 9, 21), pl.date(2025, 1, 3), eager=True):
        here.remove(key_of(day.isoformat(), symbol=symbol))
    here.remove(key_of(MONTH, symbol=symbol))


def delisted_by_day(here: World, symbol: str) -> None:
    """The last row is of 20 September, 13:00 to 14:00; the monthly file has it too."""
    delisted_no_month(here, symbol, monthly=True)


def delisted_no_month(here: World, symbol: str, *, monthly: bool = False) -> None:
    for period in ("2024-10", "2024-11", "2024-12"):
        here.remove(key_of(period, symbol=symbol))
    for day in pl.date_range(pl.date(2024, 9, 21), pl.date(2025, 1, 3), eager=True):
        here.remove(key_of(day.isoformat(), symbol=symbol))
    here.edit(key_of(f"{MONTH}-20", symbol=symbol), lambda lines: lines[: 1 + 14])
    if monthly:
        here.edit(key_of(MONTH, symbol=symbol), lambda lines: lines[: 1 + 19 * 24 + 14])
    else:
        here.remove(key_of(MONTH, symbol=symbol))


def away(here: World, symbol: str) -> None:
    """Delisted in August, listed again in October."""
    here.remove(key_of(MONTH, symbol=symbol))
    for day in pl.date_range(pl.date(2024, 8, 20), pl.date(2024, 10, 7), eager=True):
        here.remove(key_of(day.isoformat(), symbol=symbol))


def frozen(here: World, symbol: str) -> None:
    """Settled on the 6th at 10:00; the file goes on without a trade."""
    for period in ("2024-10", "2024-11", "2024-12"):
        here.remove(key_of(period, symbol=symbol))
    for day in pl.date_range(pl.date(2024, 9, 1), pl.date(2025, 1, 3), eager=True):
        here.remove(key_of(day.isoformat(), symbol=symbol))

    def idle(line: bytes) -> bytes:
        fields = line.rstrip(b"\n").split(b",")
        flat = [fields[0], *[b"2"] * 4, b"0", fields[6], *[b"0"] * 5]
        return b",".join(flat) + b"\n"

    def spoil(lines: list[bytes]) -> list[bytes]:
        lived = 1 + 5 * 24 + 10
        return [*lines[:lived], *map(idle, lines[lived:])]

    here.edit(key_of(MONTH, symbol=symbol), spoil)


def negative_price(here: World, symbol: str) -> None:
    def spoil(lines: list[bytes]) -> list[bytes]:
        fields = lines[100].split(b",")
        return [*lines[:100], b",".join([fields[0], b"-1", *fields[2:]]), *lines[101:]]

    here.edit(key_of(MONTH, symbol=symbol), spoil)


def first_rows_rejected(here: World, symbol: str) -> None:
    for period in ("2024-06", "2024-07", "2024-08"):
        here.remove(key_of(period, symbol=symbol))
    for day in pl.date_range(pl.date(2024, 6, 1), pl.date(2024, 8, 31), eager=True):
        here.remove(key_of(day.isoformat(), symbol=symbol))

    def spoil(lines: list[bytes]) -> list[bytes]:
        cells = [line.split(b",") for line in lines[1:4]]
        return [lines[0], *(b",".join([c[0], b"-1", *c[2:]]) for c in cells), *lines[4:]]

    here.edit(key_of(MONTH, symbol=symbol), spoil)
    here.edit(key_of(f"{MONTH}-01", symbol=symbol), spoil)


def header_alone(here: World, symbol: str) -> None:
    here.remove(key_of(MONTH, symbol=symbol))
    here.edit(key_of(f"{MONTH}-22", symbol=symbol), lambda lines: lines[:1])


def short_day(here: World, symbol: str) -> None:
    here.remove(key_of(MONTH, symbol=symbol))
    here.edit(key_of(f"{MONTH}-17", symbol=symbol), lambda lines: lines[:9])


def stale_sidecar(here: World, symbol: str) -> None:
    here.remove(key_of(MONTH, symbol=symbol))
    path = here.folder.path(key_of(f"{MONTH}-18", symbol=symbol) + ".CHECKSUM")
    path.write_bytes(b"0" * 64 + path.read_bytes()[64:])


def broken_zip(here: World, symbol: str) -> None:
    here.remove(key_of(MONTH, symbol=symbol))
    key = key_of(f"{MONTH}-19", symbol=symbol)
    here.folder.write_pair(key, KILL, here.folder.moment(key))


def wrong_day(here: World, symbol: str) -> None:
    here.remove(key_of(MONTH, symbol=symbol))
    other = here.folder.read_text(key_of("2024-08-19", symbol=symbol))
    here.edit(key_of(f"{MONTH}-19", symbol=symbol), lambda _: [other])


def disagreeing(here: World, symbol: str) -> None:
    def spoil(lines: list[bytes]) -> list[bytes]:
        fields = lines[5].split(b",")
        return [*lines[:5], b",".join([*fields[:5], b"7.5", *fields[6:]]), *lines[6:]]

    here.edit(key_of(f"{MONTH}-20", symbol=symbol), spoil)
    lacking(f"{MONTH}-21")(here, symbol)
    here.edit(
        key_of(MONTH, symbol=symbol),
        lambda lines: [line for line in lines if line != lines[19 * 24 + 8]],
    )


def doubled(here: World, symbol: str) -> None:
    here.edit(
        key_of(MONTH, symbol=symbol),
        lambda lines: [lines[0], *(line for line in lines[1:] for _ in (1, 2))],
    )


def headerless(here: World, symbol: str) -> None:
    here.edit(key_of(MONTH, symbol=symbol), lambda lines: lines[1:])


def untouched(here: World, symbol: str) -> None:
    """Leave the symbol as it is."""


CASES = [
    Case("nothing", "BTCUSDT", untouched, "whole"),
    Case(
        "monthly file lacks a day (2022-06-09)",
        "A1USDT",
        lacking(f"{MONTH}-09"),
        "archive_gap 24 healed",
    ),
    Case(
        "monthly file lacks its first days (2022-04-01, -02)",
        "A2USDT",
        lacking(f"{MONTH}-01", f"{MONTH}-02"),
        "archive_gap 48 healed",
    ),
    Case(
        "monthly file cut short (2024-01)",
        "A3USDT",
        cut_short,
        f"archive_gap {23 * 24} healed, suspect_size",
    ),
    Case("a hole in one symbol only, in both partitions", "A4USDT", halted, "not_published 5"),
    Case("a day in no file at all", "A5USDT", lost_day, "not_published 24"),
    Case("listed on the 12th at 08:00", "A6USDT", listed_late, f"not_listed {11 * 24 + 8}"),
    Case("delisted after the 20th", "A7USDT", delisted, f"not_listed {10 * 24}"),
    Case("delisted on the 20th at 14:00", "D1USDT", delisted_by_day, f"not_listed {10 * 24 + 10}"),
    Case(
        "delisted on the 20th at 14:00, no monthly file",
        "D2USDT",
        delisted_no_month,
        f"not_listed {10 * 24 + 10}",
    ),
    Case("relisted: away from August to October", "D3USDT", away, f"not_listed {30 * 24}"),
    Case("settled on the 6th, flat bars go on", "D4USDT", frozen, f"whole, {30 * 24 - 130} idle"),
    Case(
        "a row with a negative price", "A8USDT", negative_price, "archive_gap 1 healed, 1 rejected"
    ),
    Case(
        "a daily file cut short, no monthly one",
        "A9USDT",
        short_day,
        "not_published 16, suspect_size",
    ),
    Case(
        "stale CHECKSUM, no monthly file",
        "B1USDT",
        stale_sidecar,
        "unknown 24: in quarantine, quarantined",
    ),
    Case(
        "a zip that does not open, CHECKSUM right",
        "B2USDT",
        broken_zip,
        "unknown 24: in quarantine, suspect_size, quarantined",
    ),
    Case(
        "a file of another day under this name",
        "B3USDT",
        wrong_day,
        "unknown 24: could not be used, 24 rejected",
    ),
    Case(
        "monthly and daily file differ in a row",
        "B4USDT",
        disagreeing,
        "archive_gap 1 healed, archive_gap 24 healed, daily_monthly_disagree",
    ),
    Case("every row twice", "B5USDT", doubled, "whole, 720 duplicates"),
    Case("no header", "B6USDT", headerless, "whole"),
    Case(
        "the first rows of all have no price",
        "B7USDT",
        first_rows_rejected,
        "rejected 3, 6 rejected",
    ),
    Case(
        "a daily file of a header alone", "B8USDT", header_alone, "not_published 24, suspect_size"
    ),
]


def said(gaps: pl.DataFrame, quality: dict[str, Any], kinds: list[str]) -> str:
    """Put what the lake reports of a symbol in a few words, the same for every symbol."""
    words = []
    for row in gaps.iter_rows(named=True):
        short = f"{row['cause']} {row['bars']}"
        if row["healed"]:
            short += " healed"
        elif row["cause"] == "unknown":
            told = [
                w
                for w in ("no other is published", "in quarantine", "could not be used", "rejected")
                if w in row["evidence"]
            ]
            short += f": {', '.join(told) or row['evidence']}"
        words.append(short)
    if not words:
        words.append("whole")
    if quality["rejects"]:
        words.append(f"{quality['rejects']} rejected")
    if quality["idle"]:
        words.append(f"{quality['idle']} idle")
    if quality["duplicates"]:
        words.append(f"{quality['duplicates']} duplicates")
    words += [name for name in ("suspect_size", "quarantined") if quality[name]]
    if "daily_monthly_disagree" in kinds:
        words.append("daily_monthly_disagree")
    return ", ".join(words)


def table(rows: list[tuple[str, str, str]]) -> str:
    wide = max(len(injected) for injected, _, _ in rows)
    lines = [f"{'injected':{wide}} | reported"]
    lines += [
        f"{injected:{wide}} | {reported}{'' if reported == expected else f'   (expected: {expected})'}"
        for injected, reported, expected in rows
    ]
    return "\n".join(lines)


@pytest.mark.slow
def test_every_defect_of_klines_is_named_rightly(world, capsys):
    symbols = [case.symbol for case in CASES]
    here = world(datasets=["futures_um_klines"], symbols=symbols, intervals=["1h"], days=DAYS)
    for case in CASES:
        case.inject(here, case.symbol)
    here.publish()
    query = UM.symbols(symbols)
    lake = here.lake
    lake.pull(query, progress=False, refresh=True)
    lake.heal(query, progress=False)
    gaps, quality = lake.gaps(query), lake.quality(query)
    findings = lake.meta.read("findings")
    rows = []
    for case in CASES:
        mine = {"symbol": case.symbol}
        [row] = quality.filter(**mine).rows(named=True)
        kinds = findings.filter(**mine)["kind"].to_list()
        rows.append((case.injected, said(gaps.filter(**mine), row, kinds), case.expected))
    with capsys.disabled():
        print("\n" + table(rows))
    assert [reported for _, reported, _ in rows] == [expected for *_, expected in rows]


def test_every_defect_of_trades_is_named_rightly(world):
    days = ("2024-12-30", "2025-01-02")
    cases = {
        "BTCUSDT": (lambda lines: lines, []),
        "C1USDT": (lambda lines: [*lines[:20], *lines[25:]], [("id_hole", 5)]),
        "C2USDT": (lambda lines: lines[10:], [("id_hole", 10)]),
        "C3USDT": (lambda lines: [*lines, *lines[-3:]], [("id_repeat", 3)]),
        "C4USDT": (lambda lines: [*lines[1::2], *lines[::2]], []),  # out of order, as #12 and #288
    }
    here = world(datasets=["spot_trades"], symbols=list(cases), days=days, partitions=["daily"])
    for symbol, (change, _) in cases.items():
        here.edit(key_of("2024-12-31", market="spot", data_type="trades", symbol=symbol), change)
    here.publish()
    query = cl.query().markets("spot").data_types("trades").symbols(list(cases)).between(*days)
    here.pull(query)
    found = id_findings(survey(query, here.lake.context))
    reported = {
        symbol: found.filter(symbol=symbol).select("kind", "rows").rows() for symbol in cases
    }
    assert reported == {symbol: expected for symbol, (_, expected) in cases.items()}


def test_known_halts_are_named_with_their_sources(world):
    """The five hours and a half of 2020-06-28, in minutes and hours, from the monthly file alone."""
    here = world(
        datasets=["spot_klines"],
        symbols=["BTCUSDT"],
        intervals=["1m", "1h"],
        days="2020-06",
        partitions=["monthly"],
    )
    for interval, end in (("1m", 1593322200), ("1h", 1593320400)):
        here.edit(
            key_of("2020-06", market="spot", interval=interval),
            lambda lines, end=end: [
                line for line in lines if not 1593309600 <= int(line[:10]) < end
            ],
        )
    here.publish()
    query = cl.query().markets("spot").klines("1m", "1h").symbols("BTCUSDT").between("2020-06")
    here.pull(query)
    gaps = here.lake.gaps(query)
    assert gaps.select("interval", "cause", "bars").rows() == [
        ("1m", "exchange_halt", 210),
        ("1h", "exchange_halt", 3),
    ]
    assert gaps["evidence"].str.contains("bpd-368").all()
