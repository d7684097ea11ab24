"""Files of one symbol-month, as text, to one Silver frame, with an account of every line.

Pure: text in, frame and counts out. For each file ``rows_in = rows_out + duplicates + rejects``; a file
whose columns do not fit, or none of whose rows lies in its period, is refused by name and the others are
used. Rows belong to the month that their time is in: where a dataset's labels may step over the end of a
file (``Schema.tolerance``), a neighbouring file is passed too, and only its rows in this month count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.errors import CryptolakeError, SchemaMismatch
from cryptolake.periods import Period
from cryptolake.silver.account import Account, Finding, Normalized, Text
from cryptolake.silver.check import Flag, Frame, check, reason
from cryptolake.silver.derive import derived, extra_columns, silver_shape, with_optional
from cryptolake.silver.detect import detect
from cryptolake.silver.merge import Conflict, merge
from cryptolake.silver.parse import (
    FILE,
    LINE,
    Piece,
    Reject,
    clip,
    parse_fast,
    parse_lines,
    split_lines,
)
from cryptolake.silver.unzip import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from cryptolake.schema import Schema
    from cryptolake.vocabulary import Interval


def normalize(
    texts: Sequence[Text],
    schema: Schema,
    *,
    symbol: str,
    month: Period,
    interval: Interval | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Normalized:
    """Make the Silver frame of one symbol-month from its files, given in any order.

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

    Examples
    --------
    >>> from cryptolake.schema import schema_of
    >>> text = Text(
    ...     "f.zip", Period.parse("2026-04"), b"1775001600000,8,-0.00003449\\n1775030400000,8,x\\n"
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
    ordered = sorted(texts, key=lambda text: (text.period.partition, text.period.first, text.key))
    work = _Work(
        ordered, schema, Frame(schema, interval, symbol, [t.period for t in ordered]), month, limits
    )
    return work.done()


_OF_ANOTHER = ({"time_outside_period"}, {"wrong_symbol"})
"""What every row breaks in a file that is another day's or another symbol's."""


class _Work:
    """One month in the making; files are numbered by their place in ``texts``."""

    def __init__(
        self, texts: Sequence[Text], schema: Schema, facts: Frame, month: Period, limits: Limits
    ) -> None:
        self.texts, self.schema, self.facts, self.month, self.limits = (
            texts,
            schema,
            facts,
            month,
            limits,
        )
        self.accounts = [Account(text.key) for text in texts]
        self.own = [text.period.of_month == month for text in texts]
        self.rejects: list[Reject] = []
        self.findings: list[Finding] = []
        self.spills: set[Period] = set()

    def done(self) -> Normalized:
        parsed = self._parsed(
            [piece for piece in map(self._piece, range(len(self.texts))) if piece]
        )
        held = check(parsed, self.facts)
        self._reject(held.rejected)
        frame = self._of_period(held.frame)
        merged = merge(frame, self.schema, self.facts.periods)
        self._count(merged.frame, merged.duplicates)
        self._flag(held.flags, merged.conflicts)
        extras = extra_columns(merged.frame, self.schema)
        return Normalized(
            silver_shape(merged.frame, self.schema, extras),
            self.accounts,
            [
                (self.texts[item.file].key, item)
                for item in sorted(self.rejects)
                if self.own[item.file]
            ],
            self.findings,
            self.spills,
        )

    def _piece(self, number: int) -> Piece | None:
        text, account = self.texts[number], self.accounts[number]
        try:
            layout = detect(text.text, self.schema, text.key)
        except SchemaMismatch as error:
            self._refuse(number, "schema_mismatch", error, _lines_of(text.text))
            return None
        account.warnings += layout.warnings
        body = text.text[layout.skip :] if layout.skip else text.text
        if body and not body.endswith(b"\n"):
            account.warnings.append("no_final_line_end")
            body += b"\n"
        return Piece(number, body, layout.first_line, layout) if body else None

    def _parsed(self, pieces: list[Piece]) -> pl.DataFrame:
        """Type all pieces: those of one layout in one go, falling back to the single file, to its lines."""
        by_layout: dict[tuple[str, ...], list[Piece]] = {}
        for piece in pieces:
            by_layout.setdefault(piece.layout.columns, []).append(piece)
        frames = []
        for group in by_layout.values():
            whole = parse_fast(group, self.schema)
            frames += [whole.frame] if whole else [self._single(piece) for piece in group]
        if not frames:
            return _nothing(self.schema)
        frame = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")
        rows = frame.group_by(FILE).len().rows()
        for number, count in rows:
            self.accounts[number].rows_in += count
        return derived(with_optional(frame, self.schema), self.schema)

    def _single(self, piece: Piece) -> pl.DataFrame:
        account = self.accounts[piece.file]
        parsed = parse_fast([piece], self.schema)
        if parsed is None:
            parsed, rejects = parse_lines(piece, self.schema, self.limits)
            account.rows_in += len(rejects)
            account.rejects += len(rejects)
            self.rejects += rejects
            if rejects and not parsed.frame.height:
                self._refuse_unlike(piece, rejects)
            if b"\r" in piece.text:
                account.warnings.append("mixed_line_ends")
        if parsed.mixed_units:
            account.warnings.append("mixed_time_units")
        return parsed.frame

    def _refuse_unlike(self, piece: Piece, rejects: list[Reject]) -> None:
        rules = ", ".join(sorted({item.rule for item in rejects}))
        text = self.texts[piece.file]
        message = (
            f"{text.key} has no line that fits {self.schema.dataset} ({len(rejects)} lines: {rules}); "
            f"its columns are {', '.join(self.schema.published_names)}."
        )
        error = SchemaMismatch(message, key=text.key, dataset=self.schema.dataset, column=None)
        self.accounts[piece.file].error = error

    def _refuse(self, number: int, rule: str, error: CryptolakeError, lines: int) -> None:
        """Set a whole file aside: its lines count as rejected, under one entry for the file."""
        account = self.accounts[number]
        account.error = error
        account.rows_in, account.rejects = lines, lines
        if lines:
            self.rejects.append(Reject(number, 0, rule, str(error), clip(self.texts[number].text)))

    def _reject(self, rejected: pl.DataFrame) -> None:
        for (file,), rows in rejected.group_by([FILE], maintain_order=True):
            number = int(str(file))
            account = self.accounts[number]
            text = self.texts[number].text
            rules = set(rows["_rule"])
            if account.rows_in == account.rejects + rows.height and rules in _OF_ANOTHER:
                self._refuse_all(number, rules.pop(), rows.height)
                continue
            account.rejects += rows.height
            lines = split_lines(text)
            self.rejects += [
                Reject(
                    number,
                    line,
                    rule,
                    reason(rule, self.schema),
                    clip(lines[line - 1] if line <= len(lines) else b""),
                )
                for line, rule in rows.select(LINE, "_rule").rows()
            ]

    def _refuse_all(self, number: int, rule: str, rows: int) -> None:
        """No row of a file passed, all for one reason: it is another day's or another symbol's file."""
        text, account = self.texts[number], self.accounts[number]
        if not self.own[number]:
            account.rows_in -= rows
            return
        message = (
            f"{text.key}: all of its {rows} rows break the rule {rule} "
            f"({reason(rule, self.schema)}); it is not what its name says."
        )
        account.error = SchemaMismatch(
            message, key=text.key, dataset=self.schema.dataset, rule=rule
        )
        account.rejects += rows
        self.rejects.append(Reject(number, 0, rule, message, clip(text.text)))

    def _of_period(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Keep the rows whose time is in the month; others belong to a neighbour's Silver file."""
        if self.schema.tolerance(self.facts.interval) == (0, 0):
            return frame
        time = pl.col(self.schema.time)
        inside = (time >= self.month.days.begin) & (time < self.month.days.end)
        elsewhere = frame.filter(~inside)
        for number, count in elsewhere.group_by(FILE).len().rows():
            self.accounts[number].rows_in -= count
        months = elsewhere.filter(pl.col(FILE).is_in([n for n, own in enumerate(self.own) if own]))
        for year, number in (
            months.select(time.dt.year(), time.dt.month().alias("m")).unique().rows()
        ):
            self.spills.add(Period.month(year, number))
        for number, own in enumerate(self.own):
            if not own:  # what it rejects is told in its own month
                self.accounts[number].rows_in -= self.accounts[number].rejects
                self.accounts[number].rejects = 0
        return frame.filter(inside)

    def _count(self, frame: pl.DataFrame, duplicates: dict[int, int]) -> None:
        time = pl.col(self.schema.time)
        rows = (
            frame.group_by(FILE).agg(pl.len(), time.min().alias("a"), time.max().alias("b")).rows()
        )
        for number, count, first, last in rows:
            account = self.accounts[number]
            account.rows_out, account.first_time, account.last_time = count, first, last
        for number, count in duplicates.items():
            self.accounts[number].duplicates = count

    def _flag(self, flags: list[Flag], conflicts: list[Conflict]) -> None:
        for flag in flags:
            if self.own[flag.file]:
                key = self.texts[flag.file].key
                self.findings.append(
                    Finding(flag.rule, key, flag.rows, flag.first, flag.last, f"kept: {flag.rule}")
                )
        for item in conflicts:
            partitions = {self.texts[n].period.partition for n in (item.file, item.against)}
            kind = "daily_monthly_disagree" if len(partitions) > 1 else "conflicting_duplicates"
            better = self.texts[item.against].key
            detail = f"kept {better}, which differs {item.example}"
            key = self.texts[item.file].key
            self.findings.append(Finding(kind, key, item.rows, item.first, item.last, detail))


def _lines_of(text: bytes) -> int:
    """How many lines that are not blank a text has."""
    return sum(1 for line in split_lines(text) if line.strip())


def _nothing(schema: Schema) -> pl.DataFrame:
    empty = pl.DataFrame(schema={FILE: pl.UInt32, LINE: pl.UInt32})
    return derived(with_optional(empty, schema), schema)
