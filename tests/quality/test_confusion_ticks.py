"""The confusion table of ids and of rows in a neighbour's file: one symbol a defect, and what the lake says.

Each symbol is pulled, asked, healed and asked again. Run with ``-s`` to see the table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import cryptolake as cl
from tests.quality.test_confusion import table
from tests.quality.test_neighbour_rows import files as metrics_files
from tests.quality.test_tick_holes import (
    MARKETS,
    SPOT,
    UM,
    archive,
    everything,
    query,
)
from tests.quality.world import World, key_of

DAYS = ("2023-08-10", "2023-08-12")
MONTH = "2023-08"
Edit = Callable[[list[str]], list[str]]


class Case(NamedTuple):
    """A defect of a symbol's files, and what has to be said of it before and after healing."""

    injected: str
    market: str
    data_type: str
    symbol: str
    texts: dict[str, str]
    expected: str


def days_of(
    market: str, data_type: str, symbol: str, edit: Edit, *, monthly: bool = False
) -> dict[str, str]:
    """Three daily files, the middle one changed, and the whole monthly one where it is asked for."""
    texts = archive(
        market,
        data_type,
        symbol,
        MONTH,
        monthly=everything if monthly else None,
        daily=everything,
        days=(10, 11, 12),
    )
    middle = key_of(f"{MONTH}-11", market=market, symbol=symbol, data_type=data_type)
    texts[middle] = "".join(edit(texts[middle].splitlines(keepends=True)))
    return texts


def case(
    injected: str,
    where: tuple[str, str, str],
    edit: Edit,
    expected: str,
    *,
    monthly: bool = False,
) -> Case:
    return Case(injected, *where, days_of(*where, edit, monthly=monthly), expected)


def renumbered(line: str, number: int) -> str:
    """The same aggregate id for another trade."""
    cells = line.split(",")
    return ",".join([*cells[:3], str(number), str(number), *cells[5:]])


def again_before(lines: list[str]) -> list[str]:
    """The day begins with the last id of the day before, for a trade of its own."""
    cells = lines[0].split(",")
    return [",".join([str(int(cells[0]) - 1), *cells[1:]]), *lines]


def spread(lines: list[str]) -> list[str]:
    return [line for number, line in enumerate(lines) if number % 9]


@cache
def cases() -> list[Case]:
    """One symbol a defect."""
    return [
        case("nothing, trades", (SPOT, "trades", "A1BTC"), lambda lines: lines, "whole"),
        case("nothing, aggregates", (UM, "aggTrades", "A2USDT"), lambda lines: lines, "whole"),
        case(
            "truncated ticks, monthly file whole",
            (SPOT, "aggTrades", "A3BTC"),
            lambda lines: lines[:30],
            "42 aggregates missing, 42 trades missing; ids healed 42; whole",
            monthly=True,
        ),
        case(
            "truncated ticks, no other file",
            (UM, "trades", "A4USDT"),
            lambda lines: lines[:30],
            "42 trades missing; ids nothing to fetch 0; 42 trades missing",
        ),
        case(
            "one spot trade lost",
            (SPOT, "trades", "A5BTC"),
            lambda lines: [*lines[:30], *lines[31:]],
            "1 trade missing; ids nothing to fetch 0; 1 trade missing",
        ),
        case(
            "trade ids left out on futures",
            (UM, "trades", "A6USDT"),
            spread,
            "8 trades skipped; 8 trades skipped",
        ),
        case(
            "a long run of trades lost on futures",
            (UM, "trades", "A7USDT"),
            lambda lines: [*lines[:10], *lines[40:]],
            "30 trades missing; ids nothing to fetch 0; 30 trades missing",
        ),
        case(
            "an aggregate id used again in its day",
            (SPOT, "aggTrades", "A8BTC"),
            lambda lines: [*lines[:20], renumbered(lines[19], 3), *lines[20:]],
            "reused",
        ),
        case(
            "an aggregate id used again the next day",
            (UM, "aggTrades", "A9USDT"),
            lambda lines: again_before(lines),
            "reused",
        ),
        case(
            "rows that came twice",
            (SPOT, "trades", "B1BTC"),
            lambda lines: [*lines, *lines[-3:]],
            "3 trades twice; 3 trades twice",
        ),
    ]


def reported(here: World, item: Case) -> str:
    """Put what quality and heal say of a symbol in a few words."""
    asked = query(item.market, item.data_type, item.symbol, *DAYS)
    here.pull(asked)
    words = [here.quality(asked)["ids"][0]]
    healed = here.lake.heal(asked, progress=False)
    words += [f"{row['unit']} {row['outcome']} {row['filled']}" for row in healed.rows(named=True)]
    words.append(here.quality(asked)["ids"][0])
    if words == ["whole", "whole"]:
        return "whole"
    if not healed.height and all("reused" in word for word in words):
        kept = here.lake.silver(asked).collect()
        held = sum(
            len(text.splitlines())
            for key, text in item.texts.items()
            if f"/daily/{item.data_type}/{item.symbol}/" in key
        )
        return "reused" if kept.height == held else f"reused, {held - kept.height} rows lost"
    return "; ".join(words)


def test_every_defect_of_ids_is_named_rightly(written, capsys):
    here = written({key: text for item in cases() for key, text in item.texts.items()})
    rows = [(item.injected, reported(here, item), item.expected) for item in cases()]
    with capsys.disabled():
        print("\n" + table(rows))
    assert [told for _, told, _ in rows] == [expected for *_, expected in rows]


def test_a_row_in_the_neighbours_file_is_no_gap(written, capsys):
    """Of labels by the end of the five minutes, by their start, and where the neighbour is not published."""
    here = written(
        metrics_files("C1USDT", "2023-08-10", "2023-08-11")
        | metrics_files("C2USDT", "2023-08-10", "2023-08-11", first=0)
        | metrics_files("C3USDT", "2023-08-11")
        | metrics_files("C4USDT", "2023-08-09", "2023-08-11")
    )
    expected = {"C1USDT": (288, 0), "C2USDT": (288, 0), "C3USDT": (287, 0), "C4USDT": (287, 1)}
    rows = []
    for symbol in expected:
        asked = (
            cl.query()
            .markets(MARKETS[UM])
            .data_types("metrics")
            .symbols(symbol)
            .between("2023-08-11")
        )
        here.pull(asked)
        [row] = here.quality(asked).select("rows", "missing").rows()
        rows.append((symbol, str(row), str(expected[symbol])))
    with capsys.disabled():
        print("\n" + table(rows))
    assert [told for _, told, _ in rows] == [wanted for *_, wanted in rows]
