"""What the listing says of some folders, as frames: from the cache where it is fresh, else asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import polars as pl

from cryptolake.archive.enums import Partition
from cryptolake.archive.keys import ZIP
from cryptolake.listing import cache
from cryptolake.listing.folders import CLOCKS_DIFFER, Folder, nothing_kept

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days
    from cryptolake.errors import ListingError
    from cryptolake.listing.folders import Window
    from cryptolake.storage.files import Storage

T = TypeVar("T")

_BATCH = 512
"""Windows that are listed and cached before the next ones are: what is interrupted is not lost."""

Since = Callable[[int, Partition, str], datetime | None]
"""For a window (the folder's number, partition and name) the moment (UTC) before which a cached answer is too
old; None where the window is not needed."""

Job = tuple[Folder, int, str, str]
"""A window to ask for: its folder, the folder's number, partition and name."""


class Asker(Protocol):
    """What answers for windows, and the lake that caches the answers: a ``Listing``."""

    storage: Storage

    def window(self, folder: Folder, partition: Partition, name: str) -> Window:
        """Ask for one window of a folder."""
        ...

    def ask_all(
        self, ask: Callable[[Any], T], jobs: Sequence[Any], *, before: int = 0, total: int = 0
    ) -> tuple[list[T], ListingError | None]:
        """Ask side by side; return what was answered, and the first error."""
        ...


class Listed(NamedTuple):
    """The part of the listing that was asked for.

    ``zips``: ``folder`` (its place in the list given), ``partition, period, day`` (the first UTC day),
    ``size, etag, last_modified, checksum_size, checksum_etag``. ``stems``: ``folder, partition, stem``,
    what the keys begin with. ``strange``: ``folder, key`` of what lies among them and fits no pattern.
    ``folders``: ``folder, first_daily, more_daily``. ``marks``: the windows that were asked for. ``at``: when the oldest part was asked (UTC).
    ``trouble``: why the archive could not be asked, where cached listings stand in.
    """

    zips: pl.DataFrame
    stems: pl.DataFrame
    strange: pl.DataFrame
    folders: pl.DataFrame
    at: datetime | None
    trouble: ListingError | None
    marks: pl.DataFrame

    def with_more(self, other: Listed) -> Listed:
        """Return this with other windows of the same folders."""
        marks = pl.concat([self.marks, other.marks])
        times = [listed.at for listed in (self, other) if listed.at]
        return Listed(
            pl.concat([self.zips, other.zips]),
            self.stems,
            pl.concat([self.strange, other.strange]),
            _folders(marks),
            min(times, default=None),
            self.trouble or other.trouble,
            marks,
        )

    def years(self) -> pl.DataFrame:
        """Return the years of daily files that were asked for: ``folder, year, more``, whether files go on."""
        return _years(self.marks).select("folder", "more", year=pl.col("window").cast(pl.Int32))

    @property
    def files(self) -> pl.DataFrame:
        """The zips with their keys."""
        return self.keyed(self.zips)

    def keyed(self, zips: pl.DataFrame) -> pl.DataFrame:
        """Add ``key`` to rows of ``zips``. Keys are most of a listing's bytes, and few are needed."""
        key = pl.concat_str("stem", "period", pl.lit(ZIP))
        named = zips.join(self.stems, on=["folder", "partition"], how="left", maintain_order="left")
        return named.with_columns(key=key).drop("stem")


def listed(
    listing: Asker,
    folders: Sequence[Folder],
    days: Days | None,
    *,
    since: Since,
    place: Callable[[Folder], str],
    empty_too: bool = True,
) -> Listed:
    """Return what folders have, by windows asked no earlier than ``since`` says where that can be.

    Parameters
    ----------
    listing
        What answers for windows that are not cached.
    folders, days
        What to ask about.
    since
        Which windows are needed, and how old their cached answers may be.
    place
        Where in the lake a folder's windows are cached.
    empty_too
        Cache also that windows which were never listed hold nothing.

    Raises
    ------
    ListingError
        The archive does not answer, and no cached listing can stand in.
    """
    name = ["folder", *cache.WINDOW]
    wanted = _wanted(folders, days, since)
    paths = {number: place(folder) for number, folder in enumerate(folders)}
    known = cache.read_few(listing.storage, paths)
    if known is None:
        kept = cache.read_folders(listing.storage, paths, wanted.select(name))
    else:
        kept = cache.split(known.join(wanted, on=name, how="semi"))
    # What was asked in the future was asked by a wrong clock, and would else stay fresh until then.
    latest = datetime.now(UTC) + CLOCKS_DIFFER
    marks = kept.marks.filter("mark", pl.col("at") <= latest).select(*name, "at")
    fresh = wanted.join(marks, on=name).filter(pl.col("at") >= pl.col("oldest"))
    stale = wanted.join(fresh, on=name, how="anti", maintain_order="left").select(name)
    trouble = None
    if stale.height:
        jobs = [(folders[number], number, *window) for number, *window in stale.iter_rows()]
        new, trouble = _renew(listing, jobs, paths, empty_too=empty_too, known=known)
        kept = cache.together([kept.without(new.marks), new])
    never = wanted.join(kept.marks.filter("mark"), on=name, how="anti").height
    if never:
        why = f"{never} of the {wanted.height} parts of it asked for were never listed"
        raise nothing_kept(trouble, why)
    asked = kept.marks["at"].min()
    return Listed(
        kept.zips.drop("window"),
        _stems(folders),
        kept.strange.select("folder", "key"),
        _folders(kept.marks),
        asked if isinstance(asked, datetime) else None,
        trouble,
        kept.marks,
    )


def _wanted(folders: Sequence[Folder], days: Days | None, since: Since) -> pl.DataFrame:
    """Return the windows that are needed, and the moment before which a cached answer is too old."""
    rows = [
        (number, partition, window, oldest)
        for number, folder in enumerate(folders)
        for partition, window in folder.windows(days)
        if (oldest := since(number, Partition(partition), window)) is not None
    ]
    columns = {name: cache.COLUMNS[name] for name in ("folder", *cache.WINDOW)}
    return pl.DataFrame(rows, schema=columns | {"oldest": cache.TIME}, orient="row")


def _renew(
    listing: Asker,
    jobs: Sequence[Job],
    paths: dict[int, str],
    *,
    empty_too: bool,
    known: pl.DataFrame | None,
) -> tuple[cache.Kept, ListingError | None]:
    """Ask for windows, some at a time, and put what comes into the cache, up to the first trouble."""

    def ask(job: Job) -> pl.DataFrame:
        folder, number, partition, window = job
        answer = listing.window(folder, Partition(partition), window)
        return cache.raw_window(
            answer.objects,
            folder.stem(Partition(partition)),
            more=answer.more,
            folder=number,
            partition=partition,
            window=window,
            at=answer.at,
        )

    parts = [cache.split(cache.empty())]
    trouble = None
    for start in range(0, len(jobs), _BATCH):
        some_jobs = jobs[start : start + _BATCH]
        answers, trouble = listing.ask_all(ask, some_jobs, before=start, total=len(jobs))
        if answers:
            new = cache.shaped(pl.concat(answers))
            some = {number: paths[number] for number in new["folder"].unique()}
            cache.write_folders(listing.storage, new, some, empty_too=empty_too, known=known)
            parts.append(cache.split(new))
        if trouble:
            break
    return cache.together(parts), trouble


def _stems(folders: Sequence[Folder]) -> pl.DataFrame:
    rows = [
        (number, partition.value, folder.stem(partition))
        for number, folder in enumerate(folders)
        for partition in folder.partitions
    ]
    schema = {"folder": pl.UInt32, "partition": pl.String, "stem": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _folders(marks: pl.DataFrame) -> pl.DataFrame:
    """Return what the marks tell of each folder: its first daily file ever, and whether files go on."""
    first = marks.filter(~pl.col("mark")).select("folder", first_daily="day")
    last = _years(marks).sort("window").group_by("folder").agg(more_daily=pl.col("more").last())
    return (
        marks.select("folder")
        .unique()
        .join(first, on="folder", how="left")
        .join(last, on="folder", how="left")
        .with_columns(pl.col("more_daily").fill_null(value=False))
        .sort("folder")
    )


def _years(marks: pl.DataFrame) -> pl.DataFrame:
    return marks.filter("mark", pl.col("partition") == "daily", pl.col("window") != "first")
