"""One Silver month made from Bronze: read, inflate, normalize, encode. No state, safe in any thread."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import polars as pl

from cryptolake.archive.keys import parse_key
from cryptolake.archive.periods import Period
from cryptolake.bronze.zips import DEFAULT_LIMITS, Limits, Member, find_member, inflate_member
from cryptolake.errors import BuildError, CorruptArchive, CryptolakeError, StorageError
from cryptolake.silver.assembly import Finding, Normalized, RowAccount, SourceText
from cryptolake.silver.budget import STREAMED, TEXTS, ZIPS
from cryptolake.silver.extend import BuildId, Extended, behind, new_days, read_rows
from cryptolake.silver.external_sort import DEFAULT_SIZES, Sizes
from cryptolake.silver.late_verification import LateVerification, verify_late
from cryptolake.silver.normalize import normalize
from cryptolake.silver.parquet import MonthRecord, Origin, Standing, read_standing, write_month
from cryptolake.silver.scratch import drafted, new_folder
from cryptolake.silver.sources import is_damaged
from cryptolake.silver.stream import StreamedMonth
from cryptolake.silver.withdrawn import covered
from cryptolake.storage import layout

if TYPE_CHECKING:
    from cryptolake.bronze.verify import Policy
    from cryptolake.silver.months import Month
    from cryptolake.silver.parse import Reject
    from cryptolake.silver.sources import Source
    from cryptolake.storage.files import Storage

T = TypeVar("T")
U = TypeVar("U")

Status = Literal["built", "unchanged", "kept", "failed"]

_READERS = 8
STREAM_ABOVE = 64 * 2**20
"""Bytes of text from which a month is made in pieces; below, it is held in memory whole."""
_LEAST_RATIO = 3
"""How many times its size a zip of the archive inflates to at least: some months are seen to be big unread."""


@dataclass
class MonthResult:
    """What became of one month: its Parquet bytes or draft (when built), and what there is to record of it."""

    month: Month
    status: Status
    data: bytes | None = None
    draft: Path | None = None
    rows: int = 0
    accounts: list[RowAccount] = field(default_factory=list)
    rejects: list[tuple[str, Reject]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    spills: tuple[Period, ...] = ()
    verifications: list[LateVerification] = field(default_factory=list)
    damaged: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    """Files that the archive no longer has, whose rows the month that stood had, and this one has of other files."""
    origin: Origin | None = None
    size: int = 0
    sha256: str | None = None
    error: str | None = None
    seconds: float = 0.0
    extended: Extended | None = None
    """The part that was taken over from the file that stood; accounts, rejects and findings are of the rest."""

    @property
    def duplicates(self) -> int:
        """Rows left out because another row has their key."""
        return sum(account.duplicates for account in self.accounts)

    @property
    def rejected(self) -> int:
        """Lines that are not rows, or rows that break a rule."""
        return sum(account.rejects for account in self.accounts)


def make_month(
    storage: Storage,
    month: Month,
    *,
    limits: Limits = DEFAULT_LIMITS,
    force: bool = False,
    stream_above: int = STREAM_ABOVE,
    sizes: Sizes = DEFAULT_SIZES,
    policy: Policy = "quarantine",
    known: Mapping[str, LateVerification] | None = None,
    records: Mapping[str, MonthRecord] | None = None,
    extend: bool = True,
    withdrawn: Collection[str] = frozenset(),
) -> MonthResult:
    """Make one month, or find that it is up to date. Failures are returned, not raised.

    ``policy`` is for files whose sha256 is first computed here and is not what their CHECKSUM says;
    ``known`` are the late verifications of other months.

    A file that cannot be used is refused by name and the month is made from the others. Where the month
    that stands has rows of a file that cannot be used now, or that is no longer in the lake, it is kept, with
    ``force`` too: to have it without those rows, remove its file first. A month of which no file can be used
    is failed.

    Parameters
    ----------
    records
        What the lake's tables say of months' files, by path (:func:`cryptolake.silver.records.month_records`): a month is
        only unchanged when that is the file that stands.
    extend
        Put new days behind the rows of the file that stands, where that gives the same
        (:mod:`cryptolake.silver.extend`).
    withdrawn
        Files that the archive no longer lists and the lake no longer has: for their sake a month is only kept where
        it has a row of theirs that no other file has.
    """
    begun = time.perf_counter()
    if known:
        keys = [source.key for source in month.sources if source.sha256 is None]
        month = month.knowing([known[key] for key in keys if key in known])
    try:
        standing = read_standing(storage, month.path)
        record = None if records is None else records.get(month.path)
        result = None if force else _unchanged(storage, month, standing, record)
        if result is None and extend and not force and standing and record:
            result = _extended(storage, month, standing, record, limits, stream_above, policy)
        if result is None:
            result = _made(storage, month, limits, stream_above, sizes, policy)
            result = _kept(storage, result, standing, withdrawn)
    except StorageError:
        raise
    except CryptolakeError as error:
        result = MonthResult(month, "failed", error=str(error))
    result.seconds = time.perf_counter() - begun
    return result


def _unchanged(
    storage: Storage, month: Month, standing: Standing | None, record: MonthRecord | None
) -> MonthResult | None:
    if standing is None or not standing.origin.same_inputs(month.series.schema.version, month.used):
        return None
    if record is not None and not record.describes(standing):
        return None
    origin = standing.origin
    result = MonthResult(month, "unchanged", origin=origin, error=_refusals(origin.refused))
    result.spills = tuple(Period.parse(text) for text in origin.spills)
    if record is None:  # the first release recorded no hashes: this file gets a record now
        data = storage.read(month.path)
        result.size, result.sha256 = len(data), hashlib.sha256(data).hexdigest()
        result.rows = pl.scan_parquet(BytesIO(data)).select(pl.len()).collect().item()
    return result


def _extended(
    storage: Storage,
    month: Month,
    standing: Standing,
    record: MonthRecord,
    limits: Limits,
    most: int,
    policy: Policy,
) -> MonthResult | None:
    """Put new days behind the month that stands; None where that is not what a build of all files gives."""
    new = new_days(storage, month, standing, record)
    zipped = sum(source.size for source in month.sources)
    if not new or zipped * _LEAST_RATIO > most:
        return None
    part = replace(month, series=replace(month.series, sources=tuple(new)))
    with ZIPS.room(standing.size + sum(source.size for source in new)):
        zips, found = _zips(storage, part, limits, policy)
        members = [item.member.size for item in zips if isinstance(item, _Zip)]
        text = sum(members) * zipped // sum(source.size for source in new)
        if len(members) < len(new) or part.knowing(found).quarantined or text > most:
            return None
        with TEXTS.room(text):
            result = _behind(storage, month.knowing(found), standing, record, zips, limits)
    if result is not None:
        result.verifications = found
    return result


def _behind(
    storage: Storage,
    month: Month,
    standing: Standing,
    record: MonthRecord,
    zips: list[_Zip | RowAccount],
    limits: Limits,
) -> MonthResult | None:
    texts, refused = _texts(zips)
    done = _normal(month, texts, limits)
    if refused or done.spills or any(account.error for account in done.accounts):
        return None
    old = read_rows(storage, month.path, record)
    frame = None if old is None else behind(old, done.frame, month.series.schema)
    if old is None or frame is None or record.run_id is None or record.built_at is None:
        return None
    result, origin = _closed(month, done, [], done.frame.height)
    build = BuildId(record.run_id, record.built_at)
    result.extended = Extended(build, frozenset(standing.origin.sources), old.height)
    result.rows = frame.height
    return _encoded(storage, result, frame, origin)


def _kept(
    storage: Storage, result: MonthResult, standing: Standing | None, withdrawn: Collection[str]
) -> MonthResult:
    """Return the result, or that the month that stands is kept, because it has rows that this one lacks."""
    if standing is None or result.origin is None:
        return result
    fewer = standing.origin.held - result.origin.held - result.month.quarantined.keys()
    lacking = {key for key in fewer if _may_lie_in(key, result.month)}
    if not lacking:
        return result
    made = result.data or result.draft
    if made is not None and lacking.issubset(withdrawn):
        found = covered(storage, result.month, made, lacking)
        if found is not None:
            result.findings, result.withdrawn = result.findings + found, tuple(sorted(lacking))
            return result
    if result.draft is not None:
        shutil.rmtree(result.draft.parent, ignore_errors=True)
    return MonthResult(
        result.month,
        "kept",
        verifications=result.verifications,
        damaged=result.damaged,
        spills=result.spills,
        error=_why_kept(result, lacking, withdrawn),
    )


def _why_kept(result: MonthResult, lacking: set[str], withdrawn: Collection[str]) -> str:
    refused = {} if result.origin is None else result.origin.refused
    why = [result.error] if result.error else []
    why += [
        f"{key} is withdrawn by the archive, and no other file here has all its rows"
        if key in withdrawn
        else f"{key} is no longer in the lake; pull it again"
        for key in sorted(lacking - refused.keys())[:5]
    ]
    return f"the month that stands is kept, for it has rows that would be lost: {'; '.join(why)}"


def _may_lie_in(key: str, month: Month) -> bool:
    """Say whether a file is of a month, or of a neighbour and may have rows of it."""
    parsed = parse_key(key)
    return parsed is not None and month.period in month.series.months_of(parsed.period)


def _made(
    storage: Storage,
    month: Month,
    limits: Limits,
    stream_above: int,
    sizes: Sizes,
    policy: Policy,
) -> MonthResult:
    """Make a month whole in memory where its text is small, else in pieces; either waits for room."""
    found: list[LateVerification] = []
    zipped = sum(source.size for source in month.sources)
    if zipped * _LEAST_RATIO <= stream_above:
        with ZIPS.room(zipped):
            zips, found = _zips(storage, month, limits, policy)
            month = month.knowing(found)
            result = _in_memory(storage, month, zips, limits, stream_above)
        if result is not None:
            result.verifications = found
            return result
    with TEXTS.room(STREAMED):
        result = _streamed(storage, month, limits, sizes, policy)
    result.verifications = [*found, *result.verifications]
    return result


def _in_memory(
    storage: Storage, month: Month, zips: list[_Zip | RowAccount], limits: Limits, most: int
) -> MonthResult | None:
    """Make a month whole, unless its text is more than ``most`` bytes; the list of zips is emptied."""
    size = sum(item.member.size for item in zips if isinstance(item, _Zip))
    if size > most:
        zips.clear()
        return None
    with TEXTS.room(size):
        texts, refused = _texts(zips)
        done = _normal(month, texts, limits)
        texts.clear()  # the memory is used again for what follows
        result, origin = _closed(month, done, refused, done.frame.height)
        return _encoded(storage, result, done.frame, origin) if result.status == "built" else result


def _normal(month: Month, texts: list[SourceText], limits: Limits) -> Normalized:
    series = month.series
    return normalize(
        texts,
        series.schema,
        symbol=series.symbol,
        month=month.period,
        interval=series.interval,
        limits=limits,
    )


def _encoded(
    storage: Storage, result: MonthResult, frame: pl.DataFrame, origin: Origin
) -> MonthResult:
    """Make the Parquet file: on a disk as a draft, which is flushed here, beside the work on other months."""
    if storage.is_local:
        draft = drafted(
            storage, result.month.path, lambda file: write_month(frame, result.month, origin, file)
        )
        result.draft, result.size, result.sha256 = draft
        return result
    file = BytesIO()
    write_month(frame, result.month, origin, file)
    result.data = file.getvalue()
    result.size = len(result.data)
    result.sha256 = hashlib.sha256(result.data).hexdigest()
    return result


def _streamed(
    storage: Storage, month: Month, limits: Limits, sizes: Sizes, policy: Policy
) -> MonthResult:
    folder = new_folder(storage)
    try:
        stream = StreamedMonth(storage, month, limits, folder, sizes, policy)
        done, refused = stream.made()
        result, origin = _closed(stream.month, done, refused, stream.rows)
        result.verifications = stream.verifications
        if result.status == "built":
            stream.state(origin)
            result.draft = stream.draft
            with stream.draft.open("rb") as file:
                result.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            result.size = stream.draft.stat().st_size
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if result.status != "built":
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _closed(
    month: Month, done: Normalized, refused: list[RowAccount], rows: int
) -> tuple[MonthResult, Origin]:
    """Close a month's accounts; it is failed when files were refused and no row is left."""
    _check_balance(month, done, rows)
    own = {source.key for source in month.sources if source.period.of_month == month.period}
    accounts = refused + done.accounts
    damaged = tuple(a.key for a in accounts if is_damaged(a.error))
    named = own.union(damaged)  # a damaged neighbour may have rows of the month
    errors = {a.key: str(a.error) for a in accounts if a.error is not None and a.key in named}
    kept = {key: error for key, error in errors.items() if key not in month.quarantined}
    origin = Origin.of(month, kept, damaged, [str(period) for period in sorted(done.spills)])
    result = MonthResult(
        month,
        "failed" if errors and not rows else "built",
        rows=rows,
        accounts=[a for a in accounts if a.key in own or a.rows_in],
        rejects=done.rejects,
        findings=done.findings,
        spills=tuple(sorted(done.spills)),
        damaged=damaged,
        origin=origin,
        error=_refusals(kept if rows else errors),
    )
    return result, origin


def _check_balance(month: Month, done: Normalized, rows: int) -> None:
    """Raise BuildError unless every line of every file is accounted for."""
    unbalanced = [account.key for account in done.accounts if not account.balanced]
    if unbalanced or sum(account.rows_out for account in done.accounts) != rows:
        message = (
            f"{month.path}: the rows of {', '.join(unbalanced) or 'its files'} do not add up; "
            "nothing was written. This is a fault of cryptolake: please report it."
        )
        raise BuildError(message, path=month.path, keys=unbalanced)


def read_source(storage: Storage, source: Source) -> bytes:
    """Return a Bronze file's bytes, the ones that were verified.

    Raises
    ------
    CorruptArchive
        The file is gone, or is not what the ledger recorded or its CHECKSUM says.
    """
    data, verification = _read(storage, source, "quarantine")
    if verification is not None and verification.proof is None:
        raise verification.error
    return data


def _read(
    storage: Storage, source: Source, policy: Policy
) -> tuple[bytes, LateVerification | None]:
    """Read a file, once, and say what that found where the ledger has no sha256."""
    try:
        data = storage.read(layout.bronze_path(source.key))
    except FileNotFoundError as error:
        raise source.absent() from error
    except StorageError as error:
        if not storage.is_local:  # a bucket that does not answer is no damaged file
            raise
        raise source.unreadable(error) from error
    if source.sha256 and hashlib.sha256(data).hexdigest() != source.sha256:
        raise source.changed()
    return data, None if source.sha256 else verify_late(storage, source, BytesIO(data), policy)


class _Zip(NamedTuple):
    """A file's bytes, and where its CSV lies in them."""

    source: Source
    data: bytes
    member: Member


def _zips(
    storage: Storage, month: Month, limits: Limits, policy: Policy
) -> tuple[list[_Zip | RowAccount], list[LateVerification]]:
    """Read a month's files; one that cannot be used is an account that says why."""
    verifications: list[LateVerification] = []
    quarantined = month.quarantined

    def opened(source: Source) -> _Zip | RowAccount:
        if source.key in quarantined:
            return RowAccount(source.key, error=quarantined[source.key].error)
        try:
            data, verification = _read(storage, source, policy)
            if verification is not None:
                verifications.append(verification)
                if verification.proof is None:
                    return RowAccount(source.key, error=verification.error)
            return _Zip(source, data, find_member(BytesIO(data), source.key, limits))
        except CorruptArchive as error:
            return RowAccount(source.key, error=error)

    return _each(storage, opened, month.sources), verifications


def _texts(zips: list[_Zip | RowAccount]) -> tuple[list[SourceText], list[RowAccount]]:
    """Inflate files, one behind the other into one text; each zip is let go of then, and the list emptied."""
    texts: list[SourceText] = []
    refused: list[RowAccount] = []
    whole = _buffer(sum(item.member.size for item in zips if isinstance(item, _Zip)))
    spans: list[tuple[Source, int, int]] = []
    for item in _taken(zips):
        if isinstance(item, RowAccount):
            refused.append(item)
            continue
        source = item.source
        try:
            text = inflate_member(item.data, item.member, source.key)
            if not text or text.isspace():  # strip() would copy it all
                raise source.empty()
        except CorruptArchive as error:
            refused.append(RowAccount(source.key, error=error))
            continue
        begin = whole.tell()
        spans.append((source, begin, begin + whole.write(text)))
    whole.truncate()
    joined = whole.getvalue()
    texts = [SourceText(s.key, s.period, joined, begin, end) for s, begin, end in spans]
    return texts, refused


def _buffer(size: int) -> BytesIO:
    """Return a buffer that has its memory from the start: one that grows is copied again and again."""
    buffer = BytesIO()
    if size:
        buffer.seek(size - 1)
        buffer.write(b"\0")
        buffer.seek(0)
    return buffer


def _taken(items: list[T]) -> Iterator[T]:
    """Yield the items of a list, which it loses."""
    items.reverse()
    while items:
        yield items.pop()


def _each(storage: Storage, do: Callable[[T], U], items: Sequence[T]) -> list[U]:
    """Do something with each file: one by one on a disk, side by side in a bucket."""
    if storage.is_local or len(items) < 2:
        return [do(item) for item in items]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="silver-get") as pool:
        return list(pool.map(do, items))


def _refusals(errors: dict[str, str]) -> str | None:
    if not errors:
        return None
    listed = "; ".join(list(errors.values())[:5])
    more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
    return f"{len(errors)} of the month's files could not be used: {listed}{more}"
