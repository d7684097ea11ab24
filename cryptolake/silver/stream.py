"""A month too big to hold: inflated, parsed, checked and written in pieces of whole lines, memory flat.

Row groups go to a draft beside the lake's tables; it is renamed to its place when all accounts are
closed. A file found damaged on the way is refused, and the month begun again without it. Memory stays
flat whatever the lines are: one that is too long is cut and rejected, never held whole.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import polars as pl
from polars.io.plugins import register_io_source

from cryptolake.archive.enums import Partition
from cryptolake.bronze.sniff import BOM, detect
from cryptolake.bronze.zips import Limits, inflate_chunks
from cryptolake.errors import CorruptArchive, SchemaMismatch
from cryptolake.silver.assembly import MonthAssembler, Normalized, RowAccount
from cryptolake.silver.external_sort import OutOfOrder, Sizes, SortedRuns, in_passing
from cryptolake.silver.late_verification import verify_late
from cryptolake.silver.parquet import Origin, restate, sink
from cryptolake.silver.parse import Piece, silver_shape
from cryptolake.silver.scratch import disk_errors, opened
from cryptolake.silver.sources import is_damaged

if TYPE_CHECKING:
    from cryptolake.bronze.sniff import Layout
    from cryptolake.bronze.verify import Policy
    from cryptolake.silver.late_verification import LateVerification
    from cryptolake.silver.months import Month
    from cryptolake.silver.sources import Source
    from cryptolake.storage.files import Storage


T = TypeVar("T")

_BLOCK = 2**20


class _Unusable(Exception):
    def __init__(self, key: str, error: CorruptArchive) -> None:
        super().__init__(key)
        self.key, self.error = key, error


class StreamedMonth:
    """One month being made in pieces."""

    def __init__(
        self,
        storage: Storage,
        month: Month,
        limits: Limits,
        folder: Path,
        sizes: Sizes,
        policy: Policy = "quarantine",
    ) -> None:
        self.storage, self.month, self.limits = storage, month, limits
        self.folder, self.sizes = folder, sizes
        self.draft = folder / "month.parquet"
        self.policy = policy
        self.refused = {
            key: RowAccount(key, error=verification.error)
            for key, verification in month.quarantined.items()
        }
        self.verifications: list[LateVerification] = []
        self.unlike: dict[str, str] = {}
        self.extras: tuple[str, ...] = ()
        self.rows = 0
        self.origin: Origin | None = None
        """What the draft's metadata says."""

    def made(self) -> tuple[Normalized, list[RowAccount]]:
        """Make the draft; return the accounts (with an empty frame), and files refused."""
        self._look()
        spill = self._overlap()
        while True:
            try:
                return self._attempt(spill=spill)
            except OutOfOrder:
                spill = True
            except _Unusable as unusable:
                self.refused[unusable.key] = RowAccount(unusable.key, error=unusable.error)

    @property
    def usable(self) -> list[Source]:
        """The files not refused, in order of time, a month's before its days'."""
        left = [source for source in self.month.sources if source.key not in self.refused]
        return sorted(
            left, key=lambda s: (s.period.first, s.period.partition is not Partition.MONTHLY, s.key)
        )

    def _look(self) -> None:
        """Check each file's hash, and see which columns there are beyond the schema's."""
        extras: set[str] = set()
        for source in self.usable:
            try:
                with opened(self.storage, source, self.folder) as file:
                    extras |= set(self._extras(file, source))
            except CorruptArchive as error:
                self.refused[source.key] = RowAccount(source.key, error=error)
            except SchemaMismatch as error:  # its lines are counted, and its account will say so
                self.unlike[source.key] = str(error)
        self.extras = tuple(sorted(extras))
        self.month = self.month.knowing(self.verifications)

    def _extras(self, file: IO[bytes], source: Source) -> Sequence[str]:
        self._check_hash(file, source)
        head = next(inflate_chunks(file, source.key, self.limits, chunk=_BLOCK), b"")
        if not head or head.isspace():
            raise source.empty()
        return detect(head, self.month.series.schema, source.key).extras

    def _check_hash(self, file: IO[bytes], source: Source) -> None:
        if source.sha256:
            _check_hash(file, source)
            return
        verification = verify_late(self.storage, source, file, self.policy)
        self.verifications.append(verification)
        if verification.proof is None:
            raise verification.error

    def _overlap(self) -> bool:
        """Whether rows of several files are looked at together: of one time, or of a month and its days."""
        sources, month = self.usable, self.month.period
        partitions = {source.period.partition for source in sources}
        if len(partitions) > 1 and any(source.period == month for source in sources):
            return True
        return any(a.period.days.last >= b.period.days.first for a, b in pairwise(sources))

    def _attempt(self, *, spill: bool) -> tuple[Normalized, list[RowAccount]]:
        series = self.month.series
        sources = self.usable
        assembler = MonthAssembler(
            sources,
            series.schema,
            symbol=series.symbol,
            month=self.month.period,
            interval=series.interval,
            limits=self.limits,
        )
        self.rows = 0
        self.origin = self._foreseen()
        lazy = register_io_source(
            self._source(assembler, sources, spill=spill), schema=self._dtypes()
        )
        with disk_errors(self.storage, self.month.path):
            sink(lazy, self.draft, self.month, self.origin)
        assembler.close()
        done = Normalized(
            pl.DataFrame(schema=self._dtypes()),
            assembler.accounts,
            assembler.kept_rejects(),
            list(assembler.findings.values()),
            assembler.spills,
        )
        return done, list(self.refused.values())

    def state(self, origin: Origin) -> None:
        """Make the draft say what the month was made of, as its accounts have it at their end."""
        if origin != self.origin:
            with disk_errors(self.storage, self.month.path):
                restate(self.draft, self.month, origin)

    def _foreseen(self) -> Origin:
        """Return the month's origin as far as it is known before its rows are read."""
        own = {s.key for s in self.month.used if s.period.of_month == self.month.period}
        refused = {key: str(account.error) for key, account in self.refused.items()} | self.unlike
        damaged = [key for key, account in self.refused.items() if is_damaged(account.error)]
        kept = {key: why for key, why in refused.items() if key in own}
        return Origin.of(self.month, kept, damaged)

    def _dtypes(self) -> dict[str, Any]:
        return {
            **self.month.series.schema.silver_dtypes(),
            **dict.fromkeys(self.extras, pl.String()),
        }

    def _source(self, assembler: MonthAssembler, sources: list[Source], *, spill: bool) -> Any:
        def rows(*_: object) -> Iterator[pl.DataFrame]:
            frames = self._frames(assembler, sources)
            ordered = (
                self._spilled(frames, assembler)
                if spill
                else in_passing(frames, assembler, self.sizes.held)
            )
            for frame in ordered:
                self.rows += frame.height
                absent = [
                    pl.lit(None, pl.String).alias(name)
                    for name in self.extras
                    if name not in frame.columns
                ]
                yield silver_shape(frame.with_columns(absent), assembler.schema, self.extras)

        return rows

    def _spilled(
        self, frames: Iterator[pl.DataFrame], assembler: MonthAssembler
    ) -> Iterator[pl.DataFrame]:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            runs = SortedRuns(Path(folder), assembler, self.sizes)
            for frame in frames:
                runs.add(frame)
            yield from runs.read()

    def _frames(self, assembler: MonthAssembler, sources: list[Source]) -> Iterator[pl.DataFrame]:
        for number, source in enumerate(sources):
            try:
                yield from self._frames_of(number, source, assembler)
            except CorruptArchive as error:
                raise _Unusable(source.key, error) from error

    def _frames_of(
        self, number: int, source: Source, assembler: MonthAssembler
    ) -> Iterator[pl.DataFrame]:
        with opened(self.storage, source, self.folder) as file:
            for piece in prefetched(pieces(file, number, assembler, chunk=self.sizes.chunk)):
                yield assembler.rows([piece])


def _check_hash(file: IO[bytes], source: Source) -> None:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(0)
    if digest.hexdigest() != source.sha256:
        raise source.changed()


def pieces(
    file: IO[bytes], number: int, assembler: MonthAssembler, *, chunk: int
) -> Iterator[Piece]:
    """Yield an open zip's rows as pieces of about ``chunk`` bytes that end with a line end.

    A file whose columns do not fit yields nothing, and its lines are counted as rejected.

    Raises
    ------
    CorruptArchive
        The zip is damaged; what was yielded of it is not to be kept.
    """
    key = assembler.files[number].key
    layout: Layout | None = None
    line = 0
    blank = b""
    texts = gathered(inflate_chunks(file, key, assembler.limits, chunk=chunk), chunk)
    for block in blocks(texts, 2 * assembler.limits.max_line):
        text = blank + block
        blank = b""
        if line == 0:
            if not text.removeprefix(BOM).lstrip(b"\r\n"):  # the columns are seen in what follows
                blank = text
                continue
            layout = assembler.layout(number, text)
            if layout is not None:
                line, text = layout.first_line, text[layout.skip :]
        if layout is None:
            line = 1
            assembler.refuse(number, text)
            continue
        if not text:
            continue
        if not text.endswith((b"\n", b"\r")):
            assembler.accounts[number].warn("no_final_line_end")
        piece = Piece(number, text if text.endswith(b"\n") else text + b"\n", line, layout)
        line += piece.lines
        yield piece


def gathered(texts: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Join text that comes in small pieces into ones of at least ``size`` bytes.

    Examples
    --------
    >>> list(gathered(iter([b"ab", b"c", b"d", b"e"]), 3))
    [b'abc', b'de']
    """
    waiting: list[bytes] = []
    count = 0
    for text in texts:
        waiting.append(text)
        count += len(text)
        if count >= size:
            yield b"".join(waiting)
            waiting, count = [], 0
    if waiting:
        yield b"".join(waiting)


def blocks(texts: Iterator[bytes], longest: int) -> Iterator[bytes]:
    r"""Cut text that comes in any pieces into blocks of whole lines.

    A line longer than ``longest`` is cut down to that, which is still too long to be a row, so that it is
    rejected as one line and never held whole.

    Examples
    --------
    >>> list(blocks(iter([b"a\nb", b"c\nd"]), 10))
    [b'a\n', b'bc\n', b'd']
    >>> list(blocks(iter([b"a" * 8, b"a" * 8, b"a\nb\n"]), 4))
    [b'aaaa\nb\n']
    """
    begun: list[bytes] = []
    size = 0
    half = b""
    for part in texts:
        text = half + part
        half = b"\r" if text.endswith(b"\r") else b""  # perhaps half of a \r\n
        text = text.removesuffix(b"\r")
        end = text.rfind(b"\n") + 1 or text.rfind(b"\r") + 1  # perhaps lines end with \r alone
        if not end:
            begun.append(text[: max(0, longest - size)])
            size += len(begun[-1])
            continue
        rest = text[:end]
        if size >= longest:  # the line that was cut down ends here
            first = min(place for place in (rest.find(b"\n"), rest.find(b"\r")) if place >= 0)
            rest = rest[first:]
        yield b"".join([*begun, rest])
        begun, size = [text[end:]], len(text) - end
    left = b"".join([*begun, half])
    if left:
        yield left


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield items, the next one being made meanwhile in another thread."""
    nothing = object()
    with ThreadPoolExecutor(1, thread_name_prefix="silver-prefetch") as pool:
        future = pool.submit(next, items, nothing)
        while True:
            item = future.result()
            if item is nothing:
                return
            future = pool.submit(next, items, nothing)
            yield item  # type: ignore[misc]
