"""How each defect is done: to a zip, to its sidecar, or to the rows of its CSV."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from cryptolake.keys import CHECKSUM
from cryptolake.sample.defects import Damage, Defect, Harm, Injector, Site, Target
from cryptolake.sample.folder import make_sidecar, make_zip, member_info
from cryptolake.vocabulary import DataType, Market, Partition

_MONTHLY = Partition.MONTHLY
_TRADES = (DataType.TRADES, DataType.AGG_TRADES)
_TIME_CELL = {DataType.TRADES: 4, DataType.AGG_TRADES: 5}
_DAY_US = 86_400_000_000
_BOMB = 64_000_000

Lines = list[bytes]
"""The lines of a CSV without their ends; a header first where there is one."""


def damage_folder(injector: Injector, defects: Sequence[Defect]) -> None:
    """Put each defect into the folder; those about extra keys need no file."""
    for defect in defects:
        if defect is Defect.MALFORMED_KEY:
            _malformed_keys(injector)
        elif defect in _DAMAGES:
            target, damage = _DAMAGES[defect]
            injector.inject(defect, target, damage)


def row_time(line: bytes, data_type: DataType) -> int:
    """Return a row's time in microseconds, whatever its unit.

    Examples
    --------
    >>> row_time(b"1735689600000,1,2,3", DataType.KLINES)
    1735689600000000
    """
    number = int(line.split(b",")[_TIME_CELL.get(data_type, 0)])
    return number if number >= 10**14 else number * 1000


def _malformed_keys(injector: Injector) -> None:
    for key in (
        "data/spot/daily/klines/ADABKRW/1d/ADABKRW-1d-2020-8.zip",
        "data/futures/um/daily/metrics/MATICUSDT/MATICUSDT-metrics-1993.zip",
    ):
        moment = datetime(2023, 4, 13, tzinfo=UTC)
        injector.folder.write_zip(key, b"0\n", moment, Market.SPOT)
        injector.note(Defect.MALFORMED_KEY, None, Harm(key, detail="a key to be passed over"))


# --- sidecars -------------------------------------------------------------------------------------


def _stale_checksum(site: Site) -> list[Harm]:
    moment = site.folder.moment(site.key)
    sidecar = make_sidecar(b"the bytes before", _basename(site.key), moment)
    site.folder.write(site.key + CHECKSUM, sidecar, moment)
    return [Harm(site.key, detail="the hash of other bytes")]


def _missing_checksum(site: Site) -> list[Harm]:
    site.folder.path(site.key + CHECKSUM).unlink()
    return [Harm(site.key, detail="no sidecar")]


def _sidecar_names_other_file(site: Site) -> list[Harm]:
    moment, data = site.folder.moment(site.key), site.folder.path(site.key).read_bytes()
    other = "OTHER-" + _basename(site.key)
    site.folder.write(site.key + CHECKSUM, make_sidecar(data, other, moment), moment)
    return [Harm(site.key, detail=other)]


def _sidecar_without_hash(site: Site) -> list[Harm]:
    page = b"<html><body>Service unavailable</body></html>\n"
    site.folder.write(site.key + CHECKSUM, page, site.folder.moment(site.key))
    return [Harm(site.key, detail="a web page")]


# --- zips -----------------------------------------------------------------------------------------


def _truncated_zip(site: Site) -> list[Harm]:
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


def _two_members(site: Site) -> list[Harm]:
    text, name = site.folder.read_text(site.key), _csv_name(site.key)
    _members(site, {name: text, f"copy-{name}": text})
    return [Harm(site.key, detail=f"copy-{name}")]


def _member_path(site: Site) -> list[Harm]:
    _members(site, {"../x.csv": site.folder.read_text(site.key)})
    return [Harm(site.key, detail="../x.csv")]


def _bomb(site: Site) -> list[Harm]:
    _members(site, {_csv_name(site.key): b"0" * _BOMB})
    size = site.folder.path(site.key).stat().st_size
    return [Harm(site.key, detail=f"{_BOMB} bytes from {size}")]


def _wrong_symbol(site: Site) -> list[Harm]:
    other = sorted(site.others)[0] if site.others else "XUSDT"
    text = site.folder.read_text(other if site.others else site.key)
    moment = site.folder.moment(site.key)
    data = make_zip(_csv_name(other), text, moment, site.parsed.market)
    site.folder.write_pair(site.key, data, moment)
    return [Harm(site.key, detail=_csv_name(other))]


def _missing_daily_file(site: Site) -> list[Harm]:
    site.folder.path(site.key).unlink()
    site.folder.path(site.key + CHECKSUM).unlink()
    days = site.parsed.period.days
    first = int(days.begin.timestamp()) * 1_000_000
    return [Harm(site.key, first, first + _DAY_US - 1, detail="no file")]


# --- rows -----------------------------------------------------------------------------------------


def _edit(site: Site, key: str, lines: Lines, end: bytes = b"\n") -> None:
    """Write a file again with other lines and the checksum that fits them."""
    text = end.join(lines) + end
    site.folder.write_zip(key, text, site.folder.moment(key), site.parsed.market)


def _lines(site: Site, key: str) -> tuple[Lines, Lines]:
    """Return a file's header (none or one line) and its rows."""
    lines = site.folder.read_text(key).splitlines()
    head = 0 if lines[0][:1].isdigit() else 1
    return lines[:head], lines[head:]


def _times(site: Site, rows: Lines) -> tuple[int, int]:
    kind = site.parsed.data_type
    return row_time(rows[0], kind), row_time(rows[-1], kind)


def _changed(change: Callable[[Site, Lines, Lines], tuple[Lines, Lines, str]]) -> Damage:
    """Make a damage of a function of header and rows that returns the lines, rows hit, and detail."""

    def damage(site: Site) -> list[Harm]:
        head, rows = _lines(site, site.key)
        lines, hit, detail = change(site, head, rows)
        _edit(site, site.key, lines)
        timed = site.parsed.data_type in (*_TRADES, DataType.KLINES)
        first, last = _times(site, hit) if timed and hit else (None, None)
        return [Harm(site.key, first, last, len(hit), detail)]

    return damage


def _tiny_file(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    kept = max(len(rows) // 20, 1)
    return head + rows[:kept], rows[kept:], f"{kept} of {len(rows)} rows"


def _monthly_lacks_day(site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    kind = site.parsed.data_type
    days = sorted({row_time(row, kind) // _DAY_US for row in rows})
    day = days[len(days) // 3 + site.dice.randrange(max(len(days) // 3, 1))]
    gone = [row for row in rows if row_time(row, kind) // _DAY_US == day]
    held = [row for row in rows if row_time(row, kind) // _DAY_US != day]
    return head + held, gone, "absent in the monthly file, present in the daily one"


def _monthly_cut_short(site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    kept = len(rows) * site.dice.randint(40, 80) // 100
    return head + rows[:kept], rows[kept:], "absent from here to the month's end"


def _monthly_disagrees(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    at = len(rows) // 2
    hit = rows[at : at + 3]
    changed = [_with_cell(row, 5, b"9" + row.split(b",")[5]) for row in hit]
    return head + rows[:at] + changed + rows[at + 3 :], hit, "volume"


def _archive_gap(site: Site) -> list[Harm]:
    """Take rows out of the monthly file, and others, of another day, out of a daily file."""
    harms = []
    head, rows = _lines(site, site.key)
    at = len(rows) // 4
    _edit(site, site.key, head + rows[:at] + rows[at + 5 :])
    first, last = _times(site, rows[at : at + 5])
    harms.append(Harm(site.key, first, last, 5, "absent in the monthly file"))
    daily = sorted(site.siblings)[-2]
    head, rows = _lines(site, daily)
    _edit(site, daily, head + rows[:7] + rows[12:])
    first, last = _times(site, rows[7:12])
    harms.append(Harm(daily, first, last, 5, "absent in the daily file"))
    return harms


def _doubled_rows(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    at = len(rows) // 2
    twice = [row for row in rows[at:] for _ in (0, 1)]
    return head + rows[:at] + twice, rows[at:], "written twice"


def _interleaved_rows(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    half = len(rows) // 2
    pairs = zip(rows[:half], rows[half : 2 * half], strict=True)
    return head + [row for pair in pairs for row in pair] + rows[2 * half :], rows, "two times"


def _unsorted_rows(site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    mixed = rows.copy()
    site.dice.shuffle(mixed)
    return head + mixed, rows, "shuffled"


def _header_flip(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    return rows, [], "without its header" if head else "never had one"


def _header_in_middle(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    at = len(rows) // 2
    return head + rows[:at] + head + rows[at:], [], f"again at line {at + 2}"


def _mixed_units(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    half = len(rows) // 2
    old = [_in_milliseconds(row) for row in rows[:half]]
    return head + old + rows[half:], rows[:half], "in milliseconds"


def _in_milliseconds(row: bytes) -> bytes:
    cells = row.split(b",")
    for cell in (0, 6):
        cells[cell] = b"%d" % (int(cells[cell]) // 1000)
    return b",".join(cells)


def _blank_cells(site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    metrics = site.parsed.data_type is DataType.METRICS
    cells = (4, 5, 6) if metrics else (9, 10)
    hit = rows[5:11]
    blank = hit
    for cell in cells:
        blank = [_with_cell(row, cell, b"") for row in blank]
    return head + rows[:5] + blank + rows[11:], hit, f"cells {cells}"


def _non_finite_price(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    changed = [_with_cell(rows[3], 2, b"NaN")]
    return head + rows[:3] + changed + rows[4:], rows[3:4], "high is NaN"


def _high_below_low(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    varied = (i for i, row in enumerate(rows) if row.split(b",")[2] != row.split(b",")[3])
    at = next(varied, 0)
    cells = rows[at].split(b",")
    # Where every bar is flat there is nothing to swap: a high of a tenth will do.
    cells[2], cells[3] = cells[3], cells[2]
    if cells[2] == cells[3]:
        cells[2] = b"0." + cells[2].replace(b".", b"")
    changed = [b",".join(cells)]
    return head + rows[:at] + changed + rows[at + 1 :], rows[at : at + 1], "high and low"


def _outside_period(site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    unit = 1 if row_time(rows[0], site.parsed.data_type) == int(rows[0].split(b",")[0]) else 1000
    cells = rows[-1].split(b",")
    for cell in (0, 6):
        cells[cell] = b"%d" % (int(cells[cell]) + 40 * _DAY_US // unit)
    stray = b",".join(cells)
    return [*head, *rows, stray], [stray], "a row 40 days late"


def _nul_bytes(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    return head + rows[:4] + [b"\0" * len(rows[4])] + rows[5:], rows[4:5], "NUL bytes for a row"


def _long_line(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    return head + rows[:4] + [b"9" * 10_000_000] + rows[4:], [], "a line of 10,000,000 characters"


def _mixed_line_ends(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    mixed = [row + b"\r" if number % 2 else row for number, row in enumerate(rows)]
    return head + mixed, [], "CR LF on every other line"


def _bom(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    lines = head + rows
    return [b"\xef\xbb\xbf" + lines[0], *lines[1:]], [], "a byte order mark"


def _id_gap(site: Site) -> list[Harm]:
    """Take five trades out of a daily file, and out of the monthly file that has them too."""
    _, rows = _lines(site, site.key)
    gone = rows[10:15]
    harms = []
    for key in (site.key, *site.siblings):
        head, held = _lines(site, key)
        _edit(site, key, head + [row for row in held if row not in gone])
        ids = f"{gone[0].split(b',')[0].decode()} to {gone[-1].split(b',')[0].decode()}"
        harms.append(Harm(key, *_times(site, gone), rows=5, detail=f"ids {ids}"))
    return harms


def _duplicate_id(_site: Site, head: Lines, rows: Lines) -> tuple[Lines, Lines, str]:
    other = _with_cell(rows[10], 1, b"1" + rows[10].split(b",")[1])
    number = rows[10].split(b",")[0].decode()
    return head + rows[:11] + [other] + rows[11:], rows[10:11], f"id {number} with two prices"


def _with_cell(row: bytes, number: int, value: bytes) -> bytes:
    cells = row.split(b",")
    cells[number] = value
    return b",".join(cells)


def _basename(key: str) -> str:
    return key.rsplit("/", 1)[1]


def _csv_name(key: str) -> str:
    return _basename(key).removesuffix(".zip") + ".csv"


_ANY = Target()
_OPEN = Target(siblings=0, rows=0, not_last=True)
_CLOSED = Target(partition=_MONTHLY, siblings=3, rows=40)
_FUTURES = Target(futures=True)

_DAMAGES: dict[Defect, tuple[Target, Damage]] = {
    Defect.STALE_CHECKSUM: (_ANY, _stale_checksum),
    Defect.MISSING_CHECKSUM: (_ANY, _missing_checksum),
    Defect.SIDECAR_NAMES_OTHER_FILE: (_ANY, _sidecar_names_other_file),
    Defect.SIDECAR_WITHOUT_HASH: (_ANY, _sidecar_without_hash),
    Defect.TRUNCATED_ZIP: (_ANY, _truncated_zip),
    Defect.TWO_MEMBERS: (_ANY, _two_members),
    Defect.MEMBER_PATH: (_ANY, _member_path),
    Defect.BOMB: (_ANY, _bomb),
    Defect.TINY_FILE: (Target(not_last=True), _changed(_tiny_file)),
    Defect.MISSING_DAILY_FILE: (_OPEN, _missing_daily_file),
    Defect.WRONG_SYMBOL: (_ANY, _wrong_symbol),
    Defect.MONTHLY_LACKS_DAY: (_CLOSED, _changed(_monthly_lacks_day)),
    Defect.MONTHLY_CUT_SHORT: (_CLOSED, _changed(_monthly_cut_short)),
    Defect.MONTHLY_DISAGREES: (_CLOSED, _changed(_monthly_disagrees)),
    Defect.ARCHIVE_GAP: (_CLOSED, _archive_gap),
    Defect.DOUBLED_ROWS: (
        Target((DataType.KLINES, *_TRADES), _MONTHLY, rows=40),
        _changed(_doubled_rows),
    ),
    Defect.INTERLEAVED_ROWS: (Target((*_TRADES, DataType.KLINES)), _changed(_interleaved_rows)),
    Defect.UNSORTED_ROWS: (_ANY, _changed(_unsorted_rows)),
    Defect.HEADER_FLIP: (_FUTURES, _changed(_header_flip)),
    Defect.HEADER_IN_MIDDLE: (_FUTURES, _changed(_header_in_middle)),
    Defect.MIXED_UNITS: (
        Target(market=Market.SPOT, since=date(2025, 1, 1)),
        _changed(_mixed_units),
    ),
    Defect.BLANK_CELLS: (Target((DataType.METRICS, DataType.KLINES)), _changed(_blank_cells)),
    Defect.NON_FINITE_PRICE: (_ANY, _changed(_non_finite_price)),
    Defect.HIGH_BELOW_LOW: (_ANY, _changed(_high_below_low)),
    Defect.OUTSIDE_PERIOD: (_ANY, _changed(_outside_period)),
    Defect.NUL_BYTES: (_ANY, _changed(_nul_bytes)),
    Defect.LONG_LINE: (_ANY, _changed(_long_line)),
    Defect.MIXED_LINE_ENDS: (_ANY, _changed(_mixed_line_ends)),
    Defect.BOM: (_ANY, _changed(_bom)),
    Defect.ID_GAP: (Target(_TRADES), _id_gap),
    Defect.DUPLICATE_ID: (Target(_TRADES), _changed(_duplicate_id)),
}
