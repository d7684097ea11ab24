"""The defects that a sample archive can have: those of the real one, and of a hostile one."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from cryptolake.errors import unknown_word


class Defect(StrEnum):
    """A defect of the real archive, or of a hostile one. The values are the words of the command line."""

    STALE_CHECKSUM = "stale_checksum"
    """The sidecar holds the hash of other bytes, as after a silent replacement."""
    MISSING_CHECKSUM = "missing_checksum"
    """There is no sidecar."""
    SIDECAR_NAMES_OTHER_FILE = "sidecar_names_other_file"
    """The sidecar's hash is right, its file name another's."""
    SIDECAR_WITHOUT_HASH = "sidecar_without_hash"
    """The sidecar holds a web page."""
    TRUNCATED_ZIP = "truncated_zip"
    """The zip's last third is cut off; the sidecar fits what is left."""
    TWO_MEMBERS = "two_members"
    """The zip holds two CSVs."""
    MEMBER_PATH = "member_path"
    """The zip's member is named ``../x.csv``."""
    BOMB = "bomb"
    """The zip inflates to a thousand times its size."""
    TINY_FILE = "tiny_file"
    """A day with a twentieth of its rows; the checksum matches."""
    MISSING_DAILY_FILE = "missing_daily_file"
    """A day of the month not yet published is absent."""
    MALFORMED_KEY = "malformed_key"
    """Objects whose keys do not follow the archive's grammar."""
    WRONG_SYMBOL = "wrong_symbol"
    """A file with another symbol's CSV in it."""
    MONTHLY_LACKS_DAY = "monthly_lacks_day"
    """The monthly file has no row of one day; the daily file has."""
    MONTHLY_CUT_SHORT = "monthly_cut_short"
    """The monthly file ends long before the month does."""
    MONTHLY_DISAGREES = "monthly_disagrees"
    """Some rows of the monthly file have another volume than the daily file's."""
    ARCHIVE_GAP = "archive_gap"
    """Some rows are absent in the monthly file, others in a daily one; the sibling has them."""
    EXCHANGE_HALT = "exchange_halt"
    """Hours without trading: no rows in any file, a bar closing early, hourly bars off the grid."""
    DOUBLED_ROWS = "doubled_rows"
    """Every row from some point on is written twice."""
    INTERLEAVED_ROWS = "interleaved_rows"
    """Rows of two distant times take turns."""
    UNSORTED_ROWS = "unsorted_rows"
    """Rows are out of order."""
    HEADER_FLIP = "header_flip"
    """A file without the header that its neighbours have."""
    HEADER_IN_MIDDLE = "header_in_middle"
    """The header comes again among the rows."""
    MIXED_UNITS = "mixed_units"
    """One file with milliseconds first and microseconds after."""
    BLANK_CELLS = "blank_cells"
    """Some cells are empty."""
    NON_FINITE_PRICE = "non_finite_price"
    """A price is ``NaN``."""
    HIGH_BELOW_LOW = "high_below_low"
    """A bar's high and low have changed places."""
    OUTSIDE_PERIOD = "outside_period"
    """A row of a day that the file does not cover."""
    NUL_BYTES = "nul_bytes"
    """A line is full of NUL bytes."""
    LONG_LINE = "long_line"
    """A line of ten million characters."""
    MIXED_LINE_ENDS = "mixed_line_ends"
    """Every other line ends in CR LF."""
    BOM = "bom"
    """The file begins with a byte order mark."""
    ID_GAP = "id_gap"
    """Some trade ids are absent, in the daily and the monthly file."""
    DUPLICATE_ID = "duplicate_id"
    """A trade id comes twice, with two prices."""


FITTING = "fitting"
"""The word for every defect that the files of a sample can show."""


def parse_defects(defects: Iterable[str]) -> list[Defect]:
    """Read the words; ``all`` stands for every defect, and so does ``fitting``, of which what no file can show is left out.

    Raises
    ------
    InvalidQuery
        A word that is no defect; the message names the nearest.

    Examples
    --------
    >>> parse_defects(["bom"]), len(parse_defects(["all"])) == len(Defect)
    ([<Defect.BOM: 'bom'>], True)
    """
    words = [defects] if isinstance(defects, str) else list(defects)
    if "all" in words or FITTING in words:
        return list(Defect)
    try:
        return [Defect(word) for word in words]
    except ValueError as error:
        given = str(next(word for word in words if word not in list(Defect)))
        raise unknown_word("defect", given, list(Defect)) from error
