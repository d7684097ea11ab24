"""A stop of trading: chosen before anything is made, since every file must agree on it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.periods import Days
from cryptolake.errors import InvalidQuery
from cryptolake.sample.bars import make_grid, off_grid_end
from cryptolake.sample.defects import Defect
from cryptolake.sample.injector import Harm, Injector, group_of
from cryptolake.sample.instruments import INSTRUMENTS, Instrument, life
from cryptolake.sample.market import Halt, microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.archive.keys import ArchiveKey
    from cryptolake.archive.matrix import Row

_BEGIN = timedelta(hours=3, minutes=12, seconds=20, milliseconds=250)
_END = timedelta(hours=5, minutes=28, seconds=14, milliseconds=789)

Halts = dict[tuple[Market, str], Halt]
"""Which symbols stop trading, and when."""


def choose_halt(made: Sequence[tuple[Row, Instrument, Days]], seed: int) -> Halts:
    """Choose a symbol with klines and a day in the middle of its days on which it halts.

    Returns
    -------
    dict
        One symbol's halt.

    Raises
    ------
    InvalidQuery
        No symbol has klines.
    """
    places = []
    for row, instrument, days in made:
        middle = days.first + timedelta(days=len(days) // 2)
        day = datetime(middle.year, middle.month, middle.day, tzinfo=UTC)
        opens, closes = life(instrument)
        if row.data_type is DataType.KLINES and opens <= day and closes > day + timedelta(days=1):
            places.append((instrument, day))
    if not places:
        message = (
            "no file here can show exchange_halt: it needs klines of a symbol for a whole day."
        )
        raise InvalidQuery(message, what="defect", given=Defect.EXCHANGE_HALT.value)
    instrument, day = random.Random(f"{seed}/halt").choice(places)
    halt = Halt(microseconds(day + _BEGIN), microseconds(day + _END))
    return {(instrument.market, instrument.symbol): halt}


def note_halts(injector: Injector, halts: Halts) -> None:
    """Write a halt into the manifest, for each daily file of klines, and keep other defects away."""
    for (market, symbol), halt in halts.items():
        day = datetime.fromtimestamp(halt.begin / 1e6, UTC).date()
        for file in injector.files:
            if (file.market, file.symbol) != (market, symbol):
                continue
            injector.claimed.add(group_of(file))
            if file.interval is not None and file.period.days == Days(day, day):
                _note(injector, file, halt)


def _note(injector: Injector, file: ArchiveKey, halt: Halt) -> None:
    interval = file.interval
    if file.data_type is not DataType.KLINES or interval is None:
        return
    like = next((i for i in INSTRUMENTS if i.market is file.market), INSTRUMENTS[0])
    whole = make_grid(file.period.days, interval, like, None)
    left = make_grid(file.period.days, interval, like, halt)
    gone = whole.join(left, on="open_time", how="anti")["open_time"]
    if interval is Interval.H1:
        gone = gone.filter((gone >= halt.begin) & (gone + 3_600_000_000 <= halt.end))
    begin, end = (datetime.fromtimestamp(t / 1e6, UTC) for t in (halt.begin, halt.end))
    detail = f"no trading from {begin:%H:%M:%S} to {end:%H:%M:%S}"
    if interval is Interval.H1:
        back = datetime.fromtimestamp(off_grid_end(halt) / 1e6, UTC)
        detail += f"; bars off the grid until {back:%H:%M}"
    times = gone.sort().to_list()
    first, last = (times[0], times[-1]) if times else (None, None)
    injector.note(Defect.EXCHANGE_HALT, file, Harm(file.key, first, last, len(times), detail))
