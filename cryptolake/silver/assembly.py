"""One month assembled from pieces of its files: typed, checked, and every line accounted for.

:class:`MonthAssembler` types the pieces and keeps a :class:`RowAccount` for each file. The pieces may be
whole files (:mod:`cryptolake.silver.normalize`) or parts of files too big to hold
(:mod:`cryptolake.silver.stream`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

import polars as pl

from cryptolake.archive.enums import Partition
from cryptolake.archive.periods import Period
from cryptolake.bronze.sniff import BOM, Layout, detect
from cryptolake.errors import CryptolakeError, SchemaMismatch
from cryptolake.silver.checks import Flag, RowContext, check, reason
from cryptolake.silver.dedupe import reused_ids
from cryptolake.silver.parse import (
    FILE,
    LINE,
    Parsed,
    Piece,
    Reject,
    clip,
    derived,
    parse_fast,
    parse_lines,
    split_lines,
    with_optional,
)
from cryptolake.silver.spans import FileSpan, file_spans

if TYPE_CHECKING:
    from cryptolake.archive.enums import Interval
    from cryptolake.archive.schemas import Schema
    from cryptolake.bronze.zips import Limits
    from cryptolake.silver.dedupe import Conflict


@dataclass(frozen=True)
class SourceText:
    """One archive file's text and what its key says of it.

    Texts of a month may stand in one ``whole``, one behind the other: what is parsed at once needs no copy then.
    """

    key: str
    period: Period
    whole: bytes
    begin: int = 0
    end: int | None = None

    @property
    def text(self) -> bytes:
        """The file's text."""
        return self.whole[self.begin : self.end]

    @property
    def head(self) -> bytes:
        """The first lines, from which the columns are seen."""
        head = self.whole[self.begin : self.begin + _HEAD][: self.size]
        blank = len(head) - len(head.removeprefix(BOM).lstrip(b"\r\n"))
        return self.text if blank > _BLANK else head

    @property
    def size(self) -> int:
        """Its bytes."""
        return (len(self.whole) if self.end is None else self.end) - self.begin


@dataclass
class RowAccount:
    """What became of one file's lines."""

    key: str
    rows_in: int = 0
    rows_out: int = 0
    duplicates: int = 0
    rejects: int = 0
    first_time: datetime | None = None
    last_time: datetime | None = None
    warnings: list[str] = field(default_factory=list)
    error: CryptolakeError | None = None

    def warn(self, warning: str) -> None:
        """Add a warning, once."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    @property
    def balanced(self) -> bool:
        """Whether every line is accounted for."""
        return self.rows_in == self.rows_out + self.duplicates + self.rejects


class Finding(NamedTuple):
    """Something seen in one file's rows that is worth knowing and changes nothing."""

    kind: str
    key: str
    rows: int
    first: datetime | None
    last: datetime | None
    detail: str


@dataclass
class Normalized:
    """A month's Silver frame, the account of each file, rejected lines, and findings."""

    frame: pl.DataFrame
    accounts: list[RowAccount]
    rejects: list[tuple[str, Reject]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    spills: set[Period] = field(default_factory=set)
    """Other months that rows of these files belong to."""


_BLANK = 1024
_HEAD = 64 * 2**10 + 2 * _BLANK
"""Bytes in which the columns are seen, with some blank lines before them; of more of those, all is looked at."""

KEPT_REJECTS = 100_000
"""Rejected lines kept of one file; of the rest only the number is."""

_OF_ANOTHER = ({"time_outside_period"}, {"wrong_symbol"})
"""What every row breaks in a file that is another day's or another symbol's."""


class SourceFile(Protocol):
    """What the assembler needs to know of a file."""

    @property
    def key(self) -> str:
        """Its archive key."""

    @property
    def period(self) -> Period:
        """The day or month it covers."""


class MonthAssembler:
    """Assembles one month; files are numbered by their place in ``files``."""

    def __init__(
        self,
        files: Sequence[SourceFile],
        schema: Schema,
        *,
        symbol: str,
        month: Period,
        interval: Interval | None,
        limits: Limits,
    ) -> None:
        self.files, self.schema, self.month, self.limits = files, schema, month, limits
        self.context = RowContext(schema, interval, symbol, [file.period for file in files])
        self.accounts = [RowAccount(file.key) for file in files]
        self.own = [file.period.of_month == month for file in files]
        self.rejects: list[Reject] = []
        self.findings: dict[tuple[str, str], Finding] = {}
        self.spills: set[Period] = set()
        self._monthly = [n for n, f in enumerate(files) if f.period.partition is Partition.MONTHLY]
        self._whole = [n for n in self._monthly if self.own[n]]
        self._monthly_rows = False
        self._lacking: list[Finding] = []
        self._of_another: set[int] = set()
        self._spans: tuple[pl.DataFrame | None, list[FileSpan] | None] = None, None

    def layout(self, number: int, head: bytes) -> Layout | None:
        """See a file's layout; None when it cannot be used, which its account then says."""
        account = self.accounts[number]
        try:
            layout = detect(head, self.schema, account.key)
        except SchemaMismatch as error:
            account.error = error
            return None
        account.warnings += layout.warnings
        return layout

    def refuse(self, number: int, text: bytes) -> None:
        """Set a file's text aside: its lines count as rejected, under one entry for the file."""
        account = self.accounts[number]
        lines = sum(1 for line in split_lines(text.removeprefix(BOM)) if line.strip())
        first = account.rejects == 0
        account.rows_in += lines
        account.rejects += lines
        if first and lines and self.own[number]:
            entry = Reject(number, 0, "schema_mismatch", str(account.error), clip(text))
            self.rejects.append(entry)

    def rows(self, pieces: Sequence[Piece]) -> pl.DataFrame:
        """Type the pieces' rows and hold them to the rules; what is left belongs to the month."""
        parsed = self._parsed(pieces)
        held = check(parsed, self.context)
        self._spans = held.frame, held.spans
        self._reject(held.rejected, {piece.file: piece for piece in pieces})
        for flag in held.flags:
            self._flag(flag)
        return self._of_month(held.frame)

    def count(self, frame: pl.DataFrame, duplicates: Mapping[int, int]) -> None:
        """Add a part of the finished month to the accounts, and the repeats that were left out."""
        self._reused(frame)
        checked, known = self._spans
        spans = known if frame is checked and known else file_spans(frame, self.schema.time)
        for number, rows, first, last in spans:
            account = self.accounts[number]
            account.rows_out += rows
            account.first_time = min(account.first_time or first, first)
            account.last_time = max(account.last_time or last, last)
        for number, rows in duplicates.items():
            self.accounts[number].duplicates += rows

    def disagree(self, conflicts: Sequence[Conflict]) -> None:
        """Record where files, or lines of one file, say different things of the same key."""
        for item in conflicts:
            partitions = {self.files[n].period.partition for n in (item.file, item.against)}
            kind = "daily_monthly_disagree" if len(partitions) > 1 else "conflicting_duplicates"
            detail = f"kept {self.files[item.against].key}, which differs {item.example}"
            key = self.files[item.file].key
            self.find(Finding(kind, key, item.rows, item.first, item.last, detail))

    def _reused(self, frame: pl.DataFrame) -> None:
        """Record running numbers that several rows of a part have, which are other trades: all are kept."""
        reused = reused_ids(frame, self.schema)
        if reused.is_empty():
            return
        for (file,), rows in reused.group_by([FILE], maintain_order=True):
            times, name = rows[self.schema.time], self.schema.key[0]
            detail = f"{name} {rows[name][0]} names several trades; all are kept"
            key = self.files[int(str(file))].key
            self.find(Finding("id_reused", key, rows.height, times[0], times[-1], detail))

    def find(self, finding: Finding) -> None:
        """Record a finding, adding to the one of its kind that the file already has."""
        known = self.findings.get((finding.kind, finding.key))
        if known is not None:
            times = [t for t in (known.first, known.last, finding.first, finding.last) if t]
            finding = known._replace(
                rows=known.rows + finding.rows,
                first=min(times, default=None),
                last=max(times, default=None),
            )
        self.findings[finding.kind, finding.key] = finding

    def compare(self, frame: pl.DataFrame) -> None:
        """Look for rows that daily files have and the month's monthly file lacks.

        ``frame`` has all rows of the keys that it has, repeats included.
        """
        if not self._whole or len(self._monthly) == len(self.files):
            return
        of_month = pl.col(FILE).is_in(self._monthly)
        key = list(self.schema.key)
        known = frame.filter(of_month).select(key).unique()
        self._monthly_rows |= known.height > 0
        lacking = frame.filter(~of_month).join(known, on=key, how="anti", nulls_equal=True)
        time = pl.col(self.schema.time)
        ends = (time.min().alias("first"), time.max().alias("last"))
        detail = f"{self.files[self._whole[0]].key} lacks these rows"
        self._lacking += [
            Finding("filled_from_daily", self.files[number].key, count, first, last, detail)
            for number, count, first, last in lacking.group_by(FILE)
            .agg(pl.len(), *ends)
            .sort(FILE)
            .rows()
        ]

    def kept_rejects(self) -> list[tuple[str, Reject]]:
        """Return the rejected lines with their keys, in order."""
        return [(self.files[item.file].key, item) for item in sorted(self.rejects)]

    def _parsed(self, pieces: Sequence[Piece]) -> pl.DataFrame:
        """Type all pieces: those of one layout at once; failing that file by file, or by lines."""
        by_layout: dict[tuple[str, ...], list[Piece]] = {}
        for piece in pieces:
            by_layout.setdefault(piece.layout.columns, []).append(piece)
        parts: list[Parsed] = []
        for group in by_layout.values():
            whole = parse_fast(group, self.schema, self.limits) if len(group) > 1 else None
            parts += [whole] if whole else [self._single(piece) for piece in group]
        for part in parts:
            for number, rows in part.rows.items():
                self.accounts[number].rows_in += rows
        frames = [part.frame for part in parts]
        if not frames:
            frames = [pl.DataFrame(schema={FILE: pl.UInt32, LINE: pl.UInt32})]
        frame = (
            frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed").rechunk()
        )
        return derived(with_optional(frame, self.schema), self.schema)

    def _single(self, piece: Piece) -> Parsed:
        account = self.accounts[piece.file]
        parsed = parse_fast([piece], self.schema, self.limits)
        if parsed is None:
            parsed, rejects = parse_lines(piece, self.schema, self.limits)
            account.rows_in += len(rejects)
            self._keep(piece.file, rejects)
            if b"\r" in piece.text:
                account.warn("mixed_line_ends")
        if parsed.mixed_units:
            account.warn("mixed_time_units")
        return parsed

    def _keep(self, number: int, rejects: Sequence[Reject]) -> None:
        account = self.accounts[number]
        room = max(0, KEPT_REJECTS - account.rejects)
        account.rejects += len(rejects)
        if self.own[number]:
            self.rejects += rejects[:room]
        if len(rejects) > room:
            account.warn(f"only the first {KEPT_REJECTS} rejects are kept")

    def _reject(self, rejected: pl.DataFrame, pieces: Mapping[int, Piece]) -> None:
        if rejected.is_empty():
            return
        for (file,), rows in rejected.group_by([FILE], maintain_order=True):
            number = int(str(file))
            account = self.accounts[number]
            rules = set(rows["_rule"])
            if account.rows_in == account.rejects + rows.height and rules in _OF_ANOTHER:
                self._refuse_all(number, rules.pop(), rows.height)
                continue
            piece = pieces[number]
            lines = split_lines(piece.text)
            room = max(0, KEPT_REJECTS - account.rejects)
            shown = rows.head(room).select(LINE, "_rule").rows()
            kept = [
                Reject(
                    number,
                    line,
                    rule,
                    reason(rule, self.schema),
                    clip(lines[line - piece.first_line]),
                )
                for line, rule in shown
            ]
            self._keep(number, kept)
            account.rejects += rows.height - len(kept)

    def _refuse_all(self, number: int, rule: str, rows: int) -> None:
        """No row of a file passed, all for one reason: it is another day's or another symbol's file."""
        account = self.accounts[number]
        account.rejects += rows
        before = account.error
        self._of_another.add(number)
        message = (
            f"{account.key}: all of its rows break the rule {rule} "
            f"({reason(rule, self.schema)}); it is not what its name says."
        )
        account.error = SchemaMismatch(
            message, key=account.key, dataset=self.schema.dataset, rule=rule
        )
        if before is None and self.own[number]:
            self.rejects.append(Reject(number, 0, rule, message, ""))

    def _of_month(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Keep the rows whose time is in the month; others belong to a neighbour's Silver file."""
        if self.schema.tolerance(self.context.interval) == (0, 0):
            return frame
        time = pl.col(self.schema.time)
        inside = (time >= self.month.days.begin) & (time < self.month.days.end)
        elsewhere = frame.filter(~inside)
        for number, rows in elsewhere.group_by(FILE).len().rows():
            self.accounts[number].rows_in -= rows
        own = [number for number, own in enumerate(self.own) if own]
        months = elsewhere.filter(pl.col(FILE).is_in(own)).select(
            time.dt.year().alias("year"), time.dt.month().alias("month")
        )
        self.spills |= {Period.month(year, number) for year, number in months.unique().rows()}
        return frame.filter(inside)

    def _flag(self, flag: Flag) -> None:
        if self.own[flag.file]:
            key = self.files[flag.file].key
            detail = f"{reason(flag.rule, self.schema)}; the rows are kept"
            self.find(Finding(flag.rule, key, flag.rows, flag.first, flag.last, detail))

    def close(self) -> None:
        """End the accounts: name files none of whose lines fit, and leave neighbours' rejects to them."""
        for finding in self._lacking if self._monthly_rows else ():
            self.find(finding)
        for number, account in enumerate(self.accounts):
            if number in self._of_another and account.rows_in > account.rejects:
                account.error = None  # only the part that was read first was all of another day
            if not self.own[number]:  # its rejects are recorded in its own month
                account.rows_in -= account.rejects
                account.rejects = 0
                account.error = None
            elif account.rejects and account.rejects == account.rows_in and account.error is None:
                account.error = self._unlike(number)

    def _unlike(self, number: int) -> CryptolakeError:
        key = self.files[number].key
        rules = sorted({item.rule for item in self.rejects if item.file == number})
        message = (
            f"{key} has no line that fits {self.schema.dataset} "
            f"({self.accounts[number].rejects} lines: {', '.join(rules)}); "
            f"its columns are {', '.join(self.schema.published_names)}."
        )
        return SchemaMismatch(message, key=key, dataset=self.schema.dataset, rules=tuple(rules))
