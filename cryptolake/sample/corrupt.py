"""Which files can show each defect, and what does it to them."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.keys import CHECKSUM, ArchiveKey, file_name
from cryptolake.archive.periods import Days
from cryptolake.errors import InvalidQuery
from cryptolake.sample import corrupt_rows as rows
from cryptolake.sample.defects import Defect
from cryptolake.sample.folder import make_sidecar, make_zip, member_info
from cryptolake.sample.injector import Damage, Harm, Injector, Site, Target, group_of
from cryptolake.sample.instruments import INSTRUMENTS, Instrument, life
from cryptolake.sample.klines import make_grid, off_grid_end
from cryptolake.sample.market import DAY_US, Halt, microseconds

if TYPE_CHECKING:
    from cryptolake.archive.matrix import Row

_BOMB = 64_000_000
_HALT_BEGIN = timedelta(hours=3, minutes=12, seconds=20, milliseconds=250)
_HALT_END = timedelta(hours=5, minutes=28, seconds=14, milliseconds=789)

Halts = dict[tuple[Market, str], Halt]
"""Which symbols stop trading, and when."""


def stale_checksum(site: Site) -> list[Harm]:
    """Give the file the hash of other bytes."""
    moment = site.folder.moment(site.key)
    sidecar = make_sidecar(b"the bytes before", file_name(site.key), moment)
    site.folder.write(site.key + CHECKSUM, sidecar, moment)
    return [Harm(site.key, detail="the hash of other bytes")]


def missing_checksum(site: Site) -> list[Harm]:
    """Take the sidecar away."""
    site.folder.path(site.key + CHECKSUM).unlink()
    return [Harm(site.key, detail="no sidecar")]


def sidecar_names_other_file(site: Site) -> list[Harm]:
    """Name another file in the sidecar."""
    moment, data = site.folder.moment(site.key), site.folder.path(site.key).read_bytes()
    other = "OTHER-" + file_name(site.key)
    site.folder.write(site.key + CHECKSUM, make_sidecar(data, other, moment), moment)
    return [Harm(site.key, detail=other)]


def sidecar_without_hash(site: Site) -> list[Harm]:
    """Put a web page in the place of the sidecar."""
    page = b"<html><body>Service unavailable</body></html>\n"
    site.folder.write(site.key + CHECKSUM, page, site.folder.moment(site.key))
    return [Harm(site.key, detail="a web page")]


def truncated_zip(site: Site) -> list[Harm]:
    """Cut the last third off."""
    data = site.folder.path(site.key).read_bytes()
    kept = len(data) * 2 // 3
    site.folder.write_pair(site.key, data[:kept], site.folder.moment(site.key))
    return [Harm(site.key, detail=f"{kept} of {len(data)} bytes")]


def _members(site: Site, members: dict[str, bytes]) -> None:
    moment = site.folder.moment(site.key)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(member_info(name, moment, site.parsed.market), text)
    site.folder.write_pair(site.key, buffer.getvalue(), moment)


def two_members(site: Site) -> list[Harm]:
    """Put the CSV in twice, under two names."""
    text, name = site.folder.read_text(site.key), _csv_name(site.key)
    _members(site, {name: text, f"copy-{name}": text})
    return [Harm(site.key, detail=f"copy-{name}")]


def member_path(site: Site) -> list[Harm]:
    """Name the CSV so that it would land outside."""
    _members(site, {"../x.csv": site.folder.read_text(site.key)})
    return [Harm(site.key, detail="../x.csv")]


def bomb(site: Site) -> list[Harm]:
    """Fill the zip with what inflates a thousandfold."""
    _members(site, {_csv_name(site.key): b"0" * _BOMB})
    size = site.folder.path(site.key).stat().st_size
    return [Harm(site.key, detail=f"{_BOMB} bytes from {size}")]


def wrong_symbol(site: Site) -> list[Harm]:
    """Put another symbol's CSV in."""
    made_up = site.parsed._replace(symbol="XUSDT").key  # where no other symbol has such a file
    other = min(site.others, default=made_up)
    text = site.folder.read_text(other if site.others else site.key)
    moment = site.folder.moment(site.key)
    data = make_zip(_csv_name(other), text, moment, site.parsed.market)
    site.folder.write_pair(site.key, data, moment)
    return [Harm(site.key, detail=_csv_name(other))]


def missing_daily_file(site: Site) -> list[Harm]:
    """Delete zip and sidecar."""
    site.folder.path(site.key).unlink()
    site.folder.path(site.key + CHECKSUM).unlink()
    days = site.parsed.period.days
    first = int(days.begin.timestamp()) * 1_000_000
    return [Harm(site.key, first, first + DAY_US - 1, detail="no file")]


def _csv_name(key: str) -> str:
    return file_name(key).removesuffix(".zip") + ".csv"


_MONTHLY = Partition.MONTHLY
_TRADES = (DataType.TRADES, DataType.AGG_TRADES)
_MALFORMED = (
    "data/spot/daily/klines/ADABKRW/1d/ADABKRW-1d-2020-8.zip",
    "data/futures/um/daily/metrics/MATICUSDT/MATICUSDT-metrics-1993.zip",
)


def damage_folder(
    injector: Injector, defects: Sequence[Defect], *, fitting: bool = False
) -> dict[str, str]:
    """Put each defect into the folder; those about extra keys need no file.

    Returns
    -------
    dict
        Where only what is ``fitting`` is asked for: why each of the others cannot be shown.

    Raises
    ------
    InvalidQuery
        No file can show one of them.
    """
    left_out = {}
    if Defect.MALFORMED_KEY in defects:
        _malformed_keys(injector)
    for defect in (defect for defect in defects if defect in _DAMAGES):
        target, damage = _DAMAGES[defect]
        try:
            injector.inject(defect, target, damage)
        except InvalidQuery as error:
            if not fitting:
                raise
            left_out[defect.value] = str(error)
    return left_out


def _malformed_keys(injector: Injector) -> None:
    moment = datetime(2023, 4, 13, tzinfo=UTC)
    for key in _MALFORMED:
        injector.folder.write_zip(key, b"0\n", moment, Market.SPOT)
        injector.note(Defect.MALFORMED_KEY, None, Harm(key, detail="a key to be passed over"))


_ANY = Target()
_OPEN = Target(siblings=0, rows=0, not_last=True)
_CLOSED = Target(partition=_MONTHLY, siblings=3, rows=40)
_FUTURES = Target(futures=True)

_DAMAGES: dict[Defect, tuple[Target, Damage]] = {
    Defect.STALE_CHECKSUM: (_ANY, stale_checksum),
    Defect.MISSING_CHECKSUM: (_ANY, missing_checksum),
    Defect.SIDECAR_NAMES_OTHER_FILE: (_ANY, sidecar_names_other_file),
    Defect.SIDECAR_WITHOUT_HASH: (_ANY, sidecar_without_hash),
    Defect.TRUNCATED_ZIP: (_ANY, truncated_zip),
    Defect.TWO_MEMBERS: (_ANY, two_members),
    Defect.MEMBER_PATH: (_ANY, member_path),
    Defect.BOMB: (_ANY, bomb),
    Defect.TINY_FILE: (Target(not_last=True), rows.of_rows(rows.tiny_file)),
    Defect.MISSING_DAILY_FILE: (_OPEN, missing_daily_file),
    Defect.WRONG_SYMBOL: (_ANY, wrong_symbol),
    Defect.MONTHLY_LACKS_DAY: (_CLOSED, rows.of_rows(rows.monthly_lacks_day)),
    Defect.MONTHLY_CUT_SHORT: (_CLOSED, rows.of_rows(rows.monthly_cut_short)),
    Defect.MONTHLY_DISAGREES: (_CLOSED, rows.of_rows(rows.monthly_disagrees)),
    Defect.ARCHIVE_GAP: (_CLOSED, rows.archive_gap),
    Defect.DOUBLED_ROWS: (
        Target((DataType.KLINES, *_TRADES), _MONTHLY, rows=40),
        rows.of_rows(rows.doubled_rows),
    ),
    Defect.INTERLEAVED_ROWS: (
        Target((*_TRADES, DataType.KLINES)),
        rows.of_rows(rows.interleaved_rows),
    ),
    Defect.UNSORTED_ROWS: (_ANY, rows.of_rows(rows.unsorted_rows)),
    Defect.HEADER_FLIP: (_FUTURES, rows.of_rows(rows.header_flip)),
    Defect.HEADER_IN_MIDDLE: (_FUTURES, rows.of_rows(rows.header_in_middle)),
    Defect.MIXED_UNITS: (
        Target(market=Market.SPOT, since=date(2025, 1, 1)),
        rows.of_rows(rows.mixed_units),
    ),
    Defect.BLANK_CELLS: (
        Target((DataType.METRICS, DataType.KLINES)),
        rows.of_rows(rows.blank_cells),
    ),
    Defect.NON_FINITE_PRICE: (_ANY, rows.of_rows(rows.non_finite_price)),
    Defect.HIGH_BELOW_LOW: (_ANY, rows.of_rows(rows.high_below_low)),
    Defect.OUTSIDE_PERIOD: (_ANY, rows.of_rows(rows.outside_period)),
    Defect.NUL_BYTES: (_ANY, rows.of_rows(rows.nul_bytes)),
    Defect.LONG_LINE: (_ANY, rows.of_rows(rows.long_line)),
    Defect.MIXED_LINE_ENDS: (_ANY, rows.of_rows(rows.mixed_line_ends)),
    Defect.BOM: (_ANY, rows.of_rows(rows.bom)),
    Defect.ID_GAP: (Target(_TRADES), rows.id_gap),
    Defect.DUPLICATE_ID: (Target(_TRADES), rows.of_rows(rows.duplicate_id)),
}


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
    halt = Halt(microseconds(day + _HALT_BEGIN), microseconds(day + _HALT_END))
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
