"""Files of one symbol-month, as text, to one Silver frame, with an account of every line.

Pure: text in, frame and counts out. For each file ``rows_in = rows_out + duplicates + rejects``; a file
whose columns do not fit, or none of whose rows lies in its period, is refused by name and the others are
used. Rows belong to the month that their time is in: where a dataset's labels may step over the end of a
file (``Schema.tolerance``), a neighbouring file is passed too, and only its rows in this month count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptolake.bronze.zips import DEFAULT_LIMITS, Limits
from cryptolake.silver.assembly import MonthAssembler, Normalized, SourceText
from cryptolake.silver.dedupe import merge
from cryptolake.silver.parse import FILE, LINE, Piece, extra_columns, silver_shape

if TYPE_CHECKING:
    from cryptolake.archive.enums import Interval
    from cryptolake.archive.periods import Period
    from cryptolake.archive.schemas import Schema


def normalize(
    texts: Sequence[SourceText],
    schema: Schema,
    *,
    symbol: str,
    month: Period,
    interval: Interval | None = None,
    limits: Limits = DEFAULT_LIMITS,
    places: bool = False,
) -> Normalized:
    r"""Make the Silver frame of one symbol-month from its files, given in any order.

    Parameters
    ----------
    texts
        The month's daily and monthly files, and neighbours that may hold rows of it.
    schema
        The dataset's schema.
    symbol
        The symbol of the files' names; a symbol column must agree.
    month
        The month that the frame is for (UTC).
    interval
        The bars' interval, for datasets that have one.
    limits
        The longest line that is read.
    places
        Keep in the frame where each row stands: ``_file``, its file's place in
        :func:`in_file_order`, and ``_line``.

    Examples
    --------
    >>> from cryptolake.archive.periods import Period
    >>> from cryptolake.archive.schemas import schema_of
    >>> text = SourceText(
    ...     "f.zip", Period.parse("2026-04"), b"1775001600000,8,-0.00003449\n1775030400000,8,x\n"
    ... )
    >>> done = normalize(
    ...     [text],
    ...     schema_of("futures_um", "fundingRate"),
    ...     symbol="BTCUSDT",
    ...     month=Period.parse("2026-04"),
    ... )
    >>> done.frame.height, done.accounts[0].rejects, done.rejects[0][1].rule
    (1, 1, 'unreadable_value')
    """
    ordered = in_file_order(texts)
    assembler = MonthAssembler(
        ordered, schema, symbol=symbol, month=month, interval=interval, limits=limits
    )
    pieces = [
        piece for number in range(len(ordered)) if (piece := _piece(assembler, ordered, number))
    ]
    frame = assembler.rows(pieces)
    merged = merge(frame, schema, assembler.context.periods)
    assembler.count(merged.frame, merged.duplicates)
    assembler.disagree(merged.conflicts)
    assembler.compare(frame)
    assembler.close()
    shaped = silver_shape(merged.frame, schema, extra_columns(merged.frame, schema))
    return Normalized(
        shaped.with_columns(merged.frame.select(FILE, LINE)) if places else shaped,
        assembler.accounts,
        assembler.kept_rejects(),
        list(assembler.findings.values()),
        assembler.spills,
    )


def in_file_order(texts: Sequence[SourceText]) -> list[SourceText]:
    """Return files in the one order that decides between equals: daily before monthly, then by time."""
    return sorted(texts, key=lambda text: (text.period.partition, text.period.first, text.key))


def _piece(assembler: MonthAssembler, texts: Sequence[SourceText], number: int) -> Piece | None:
    item = texts[number]
    layout = assembler.layout(number, item.head)
    if layout is None:
        assembler.refuse(number, item.text)
        return None
    begin, end = item.begin + layout.skip, item.begin + item.size
    if begin == end:
        return None
    if item.whole[end - 1 : end] == b"\n":
        return Piece(number, item.whole, layout.first_line, layout, begin, end)
    if item.whole[end - 1 : end] != b"\r":
        assembler.accounts[number].warn("no_final_line_end")
    return Piece(number, item.whole[begin:end] + b"\n", layout.first_line, layout)
