"""Which files can show each defect, and what does it to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from cryptolake.archive.enums import DataType, Market, Partition
from cryptolake.sample import corrupt_rows as rows
from cryptolake.sample import damage_files as files
from cryptolake.sample.defects import Defect
from cryptolake.sample.injector import Damage, Harm, Injector, Target

_MONTHLY = Partition.MONTHLY
_TRADES = (DataType.TRADES, DataType.AGG_TRADES)
_MALFORMED = (
    "data/spot/daily/klines/ADABKRW/1d/ADABKRW-1d-2020-8.zip",
    "data/futures/um/daily/metrics/MATICUSDT/MATICUSDT-metrics-1993.zip",
)


def damage_folder(injector: Injector, defects: Sequence[Defect]) -> None:
    """Put each defect into the folder; those about extra keys need no file."""
    for defect in defects:
        if defect is Defect.MALFORMED_KEY:
            _malformed_keys(injector)
        elif defect in _DAMAGES:
            target, damage = _DAMAGES[defect]
            injector.inject(defect, target, damage)


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
    Defect.STALE_CHECKSUM: (_ANY, files.stale_checksum),
    Defect.MISSING_CHECKSUM: (_ANY, files.missing_checksum),
    Defect.SIDECAR_NAMES_OTHER_FILE: (_ANY, files.sidecar_names_other_file),
    Defect.SIDECAR_WITHOUT_HASH: (_ANY, files.sidecar_without_hash),
    Defect.TRUNCATED_ZIP: (_ANY, files.truncated_zip),
    Defect.TWO_MEMBERS: (_ANY, files.two_members),
    Defect.MEMBER_PATH: (_ANY, files.member_path),
    Defect.BOMB: (_ANY, files.bomb),
    Defect.TINY_FILE: (Target(not_last=True), rows.of_rows(rows.tiny_file)),
    Defect.MISSING_DAILY_FILE: (_OPEN, files.missing_daily_file),
    Defect.WRONG_SYMBOL: (_ANY, files.wrong_symbol),
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
