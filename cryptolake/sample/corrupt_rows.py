"""Damage to the rows of a CSV; the zip is made again, with the checksum that fits it.

Most take the header (none or one line) and the rows, and return the lines to write, the rows they hit,
and a word on it.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptolake.archive.enums import DataType
from cryptolake.sample.injector import Damage, Harm, Site
from cryptolake.sample.market import DAY_US

Lines = list[bytes]
"""The lines of a CSV without their ends."""

Changed = tuple[Lines, Lines, str]
"""The lines to write, the rows that were hit, and what was done to them."""

_TIME_CELL = {DataType.TRADES: 4, DataType.AGG_TRADES: 5}
_TIMED = (DataType.KLINES, *_TIME_CELL)


def row_time(line: bytes, data_type: DataType) -> int:
    """Return a row's time in microseconds, whatever its unit.

    Examples
    --------
    >>> row_time(b"1735689600000,1,2,3", DataType.KLINES)
    1735689600000000
    """
    number = int(line.split(b",")[_TIME_CELL.get(data_type, 0)])
    return number if number >= 10**14 else number * 1000


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


def of_rows(change: Callable[[Site, Lines, Lines], Changed]) -> Damage:
    """Make a damage of a function of header and rows that returns the lines, rows hit, and detail."""

    def damage(site: Site) -> list[Harm]:
        head, rows = _lines(site, site.key)
        lines, hit, detail = change(site, head, rows)
        _edit(site, site.key, lines)
        timed = site.parsed.data_type in _TIMED
        first, last = _times(site, hit) if timed and hit else (None, None)
        return [Harm(site.key, first, last, len(hit), detail)]

    return damage


def tiny_file(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Keep a twentieth of the rows."""
    kept = max(len(rows) // 20, 1)
    return head + rows[:kept], rows[kept:], f"{kept} of {len(rows)} rows"


def monthly_lacks_day(site: Site, head: Lines, rows: Lines) -> Changed:
    """Take one day of the middle third out."""
    kind = site.parsed.data_type
    days = sorted({row_time(row, kind) // DAY_US for row in rows})
    day = days[len(days) // 3 + site.dice.randrange(max(len(days) // 3, 1))]
    gone = [row for row in rows if row_time(row, kind) // DAY_US == day]
    held = [row for row in rows if row_time(row, kind) // DAY_US != day]
    return head + held, gone, "absent in the monthly file, present in the daily one"


def monthly_cut_short(site: Site, head: Lines, rows: Lines) -> Changed:
    """Keep the first half of the rows or so."""
    kept = len(rows) * site.dice.randint(40, 80) // 100
    return head + rows[:kept], rows[kept:], "absent from here to the month's end"


def monthly_disagrees(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Change the volume of three rows."""
    at = len(rows) // 2
    hit = rows[at : at + 3]
    changed = [_with_cell(row, 5, b"9" + row.split(b",")[5]) for row in hit]
    return head + rows[:at] + changed + rows[at + 3 :], hit, "volume"


def archive_gap(site: Site) -> list[Harm]:
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


def doubled_rows(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Write the second half of the rows twice, row by row."""
    at = len(rows) // 2
    twice = [row for row in rows[at:] for _ in (0, 1)]
    return head + rows[:at] + twice, rows[at:], "written twice"


def interleaved_rows(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Let the rows of both halves take turns."""
    half = len(rows) // 2
    pairs = zip(rows[:half], rows[half : 2 * half], strict=True)
    return head + [row for pair in pairs for row in pair] + rows[2 * half :], rows, "two times"


def unsorted_rows(site: Site, head: Lines, rows: Lines) -> Changed:
    """Shuffle the rows."""
    mixed = rows.copy()
    site.dice.shuffle(mixed)
    return head + mixed, rows, "shuffled"


def header_flip(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Drop the header."""
    return rows, [], "without its header" if head else "never had one"


def header_in_middle(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Write the header again in the middle."""
    at = len(rows) // 2
    return head + rows[:at] + head + rows[at:], [], f"again at line {at + 2}"


def mixed_units(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Write the first half of the rows in milliseconds."""
    half = len(rows) // 2
    old = [_in_milliseconds(row) for row in rows[:half]]
    return head + old + rows[half:], rows[:half], "in milliseconds"


def _in_milliseconds(row: bytes) -> bytes:
    cells = row.split(b",")
    for cell in (0, 6):
        cells[cell] = b"%d" % (int(cells[cell]) // 1000)
    return b",".join(cells)


def blank_cells(site: Site, head: Lines, rows: Lines) -> Changed:
    """Empty some cells of six rows."""
    metrics = site.parsed.data_type is DataType.METRICS
    cells = (4, 5, 6) if metrics else (9, 10)
    hit = rows[5:11]
    blank = hit
    for cell in cells:
        blank = [_with_cell(row, cell, b"") for row in blank]
    return head + rows[:5] + blank + rows[11:], hit, f"cells {cells}"


def non_finite_price(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Write NaN for a high."""
    changed = [_with_cell(rows[3], 2, b"NaN")]
    return head + rows[:3] + changed + rows[4:], rows[3:4], "high is NaN"


def high_below_low(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Let a bar's high and low change places."""
    varied = (i for i, row in enumerate(rows) if row.split(b",")[2] != row.split(b",")[3])
    at = next(varied, 0)
    cells = rows[at].split(b",")
    # Where every bar is flat there is nothing to swap: a high of a tenth will do.
    cells[2], cells[3] = cells[3], cells[2]
    if cells[2] == cells[3]:
        cells[2] = b"0." + cells[2].replace(b".", b"")
    changed = [b",".join(cells)]
    return head + rows[:at] + changed + rows[at + 1 :], rows[at : at + 1], "high and low"


def outside_period(site: Site, head: Lines, rows: Lines) -> Changed:
    """Add a row 40 days late."""
    unit = 1 if row_time(rows[0], site.parsed.data_type) == int(rows[0].split(b",")[0]) else 1000
    cells = rows[-1].split(b",")
    for cell in (0, 6):
        cells[cell] = b"%d" % (int(cells[cell]) + 40 * DAY_US // unit)
    stray = b",".join(cells)
    return [*head, *rows, stray], [stray], "a row 40 days late"


def nul_bytes(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Write NUL bytes for a row."""
    return head + rows[:4] + [b"\0" * len(rows[4])] + rows[5:], rows[4:5], "NUL bytes for a row"


def long_line(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Put in a line of ten million characters, varied so that no zip of it looks like a bomb."""
    digits = b"".join(b"%d" % (number * number) for number in range(400))
    line = (digits * (10_000_000 // len(digits) + 1))[:10_000_000]
    return head + rows[:4] + [line] + rows[4:], [], "a line of 10,000,000 characters"


def mixed_line_ends(_site: Site, head: Lines, rows: Lines) -> Changed:
    """End every other line in CR LF."""
    mixed = [row + b"\r" if number % 2 else row for number, row in enumerate(rows)]
    return head + mixed, [], "CR LF on every other line"


def bom(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Begin with a byte order mark."""
    lines = head + rows
    return [b"\xef\xbb\xbf" + lines[0], *lines[1:]], [], "a byte order mark"


def id_gap(site: Site) -> list[Harm]:
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


def duplicate_id(_site: Site, head: Lines, rows: Lines) -> Changed:
    """Write a trade again with another price."""
    other = _with_cell(rows[10], 1, b"1" + rows[10].split(b",")[1])
    number = rows[10].split(b",")[0].decode()
    return head + rows[:11] + [other] + rows[11:], rows[10:11], f"id {number} with two prices"


def _with_cell(row: bytes, number: int, value: bytes) -> bytes:
    cells = row.split(b",")
    cells[number] = value
    return b",".join(cells)
