"""Which Silver files are current, which of them can be read, and which rows of the build records account for them.

``status``, ``datasets``, quality, SQL views and frames all go by this module: a file is current when it
stands at a Silver path; its account is that of the newest build of that path. A file is held against the
size that its newest build has recorded. One of another size is read only where it is a whole file of ours: a
build records a month just before it places it, so until then the file of the build before stands.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.keys import is_plain
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.symbols import is_glob
from cryptolake.bronze.ledger import means
from cryptolake.errors import Damaged, DamagedLakeWarning, StorageError
from cryptolake.render.html import plural, some_of
from cryptolake.storage.layout import (
    GOLD,
    SILVER,
    SILVER_PATTERN,
    SilverPath,
    parse_silver_path,
    silver_folder,
)
from cryptolake.storage.newest_rows import of_newest_build
from cryptolake.storage.scope import EVERYTHING, Scope

if TYPE_CHECKING:
    from cryptolake.archive.enums import DataType, Market
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader


METADATA = "cryptolake"
"""The Parquet key under which a Silver file says, as JSON, what it was made of."""


class SilverFile(NamedTuple):
    """One symbol-month that stands in the lake: what its path says, and its size in bytes."""

    where: SilverPath
    size: int

    @property
    def path(self) -> str:
        """The path under the lake's root."""
        return self.where.path


def silver_files(storage: Storage, folder: str = SILVER) -> Iterator[SilverFile]:
    """Yield the Silver files below a folder, sorted by path."""
    for entry in storage.list(folder):
        found = parse_silver_path(entry.path)
        if found is not None:
            yield SilverFile(found, entry.size)


class SilverFiles(NamedTuple):
    """Silver files by whether they can be read: ``whole`` ones, and what is wrong with the others."""

    whole: list[SilverFile]
    damaged: list[Damaged]
    """Files that stand, and are not what was recorded."""
    gone: list[Damaged]
    """Files that were recorded and do not stand."""

    @property
    def bad(self) -> list[Damaged]:
        """All that cannot be read."""
        return [*self.damaged, *self.gone]


def warn_of_damage(bad: Sequence[Damaged]) -> None:
    """Name the files of Silver, or of Gold, whose rows are missing, in one warning."""
    if not bad:
        return
    named = some_of((f"{item.path} ({item.reason})" for item in bad), between="; ")
    noun = "file" if any(item.path.startswith(f"{GOLD}/") for item in bad) else "Silver file"
    message = (
        f"{plural(len(bad), noun)} cannot be read, so the rows are left out: {named}. "
        "cryptolake verify --repair builds damaged files again, Silver's from Bronze."
    )
    warnings.warn(message, DamagedLakeWarning, stacklevel=3)


@contextmanager
def reading(what: str, root: str) -> Iterator[None]:
    """Say in words that Silver cannot be read, where Polars finds damage that a file's size does not show.

    Parameters
    ----------
    what, root
        The file, or the files, that are read in the block; and the root of their lake.

    Raises
    ------
    StorageError
        Polars raised one of its errors, or panicked, which is no ``Exception``; or the file is gone, or may not be read.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        why = "it is gone" if isinstance(error, FileNotFoundError) else "permission denied"
        message = f"{what} in the lake at {root} cannot be read: {why}."
        raise StorageError(message, root=root) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        message = (
            f"{what} cannot be read ({(str(error).splitlines() or ['no reason given'])[0]}): its bytes are damaged. "
            "cryptolake verify names the file; with --repair it is built again from Bronze."
        )
        raise StorageError(message, root=root) from error


def readable(
    storage: Storage,
    records: TableReader,
    folders: Iterable[str],
    wanted: Callable[[SilverPath], bool] = lambda _: True,
) -> SilverFiles:
    """Hold the Silver files below some folders against the sizes that their newest builds have recorded.

    Parameters
    ----------
    storage, records
        The lake and its tables.
    folders
        Folders of Silver, none of them below another.
    wanted
        Which of their months are meant.
    """
    folders = list(folders)
    # The records before the files: a month that is placed in between is whole by its own metadata.
    recorded = _recorded(records, Scope.of(f"{folder}/" for folder in folders).where("path"))
    listed = (file for folder in folders for file in silver_files(storage, folder))
    standing = {file.path: file for file in listed if wanted(file.where)}
    sizes = {path: standing[path].size if path in standing else None for path in recorded}
    misfits = {
        path: (sizes[path], size, run)
        for path, (size, run) in recorded.items()
        if sizes[path] != size
        and (path in standing or ((place := parse_silver_path(path)) and wanted(place)))
    }
    bad = unlike_recorded(storage, records, misfits) if misfits else []
    names = {item.path for item in bad}
    return SilverFiles(
        [file for file in standing.values() if file.path not in names],
        [item for item in bad if item.path in standing],
        [item for item in bad if item.path not in standing],
    )


def are_as_recorded(storage: Storage, records: TableReader, folders: Iterable[str]) -> bool:
    """Say whether every file below some folders of Silver that has a record stands with its recorded size.

    It is the common case, and costs a fraction of what :func:`readable` does: no path is taken apart.
    """
    scope = Scope.of(f"{folder}/" for folder in folders)
    # The records before the files, as there.
    recorded = _recorded(records, scope.where("path"))
    standing = {e.path: e.size for folder in scope.prefixes for e in storage.list(folder)}
    return all(standing.get(path) == size for path, (size, _) in recorded.items())


def unlike_recorded(
    storage: Storage,
    records: TableReader,
    misfits: Mapping[str, tuple[int | None, int, str | None]],
) -> list[Damaged]:
    """Return which files, of those that have not their recorded size, cannot be read, and why.

    Parameters
    ----------
    storage, records
        The lake and its tables.
    misfits
        For each path the file's bytes (None for one that is gone), the recorded ones, and the run that
        recorded them.
    """
    found = []
    runs = {run for size, _, run in misfits.values() if size is None and run}
    placing = _running(records, runs) if runs else frozenset[str]()
    for path, (size, recorded, run) in sorted(misfits.items()):
        if size is None:
            if run not in placing:
                found.append(Damaged(path, "it is gone", storage.root))
        elif recorded < 0:
            found.append(
                Damaged(path, "verify has found other bytes than were recorded", storage.root)
            )
        elif not _is_ours(storage, path):
            reason = f"it has {size:,} bytes, not the {recorded:,} that were recorded"
            found.append(Damaged(path, reason, storage.root))
    return found


def _recorded(records: TableReader, where: pl.Expr | None) -> dict[str, tuple[int, str | None]]:
    """Return the size that each path's newest build has recorded, and its run."""
    newest = records.read("months", where=where).unique("path", keep="last")
    rows = newest.drop_nulls("size").select("path", "size", "run_id").iter_rows()
    return {path: (size, run) for path, size, run in rows}


def _running(records: TableReader, runs: Iterable[str]) -> frozenset[str]:
    """Return those of some runs that go on: what they have recorded is placed in a moment."""
    known = records.runs().filter(pl.col("state") == "running")
    return frozenset(known["run_id"]) & frozenset(runs)


def _is_ours(storage: Storage, path: str) -> bool:
    """Say whether a file ends as a whole file of Silver or Gold does."""
    place = storage.local(path) if storage.is_local else storage.url(path)
    try:
        return METADATA in pl.read_parquet_metadata(place, **storage.polars_arguments)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException:  # noqa: BLE001 - Polars panics on some damage, and a panic is no Exception
        return False


def current_sources(sources: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of ``meta.sources`` that account for each path's newest build.

    A build writes a row for each Bronze file of a month, under its run. The account of an older build says
    nothing of the file that stands there now: a source that it names may have been removed since.
    """
    # By the order they were written in: clocks of two machines may disagree.
    return sources.filter(of_newest_build())


def current_silver(storage: Storage, records: TableReader) -> pl.DataFrame:
    """Return a row for each Silver file that stands in the lake or should, with what its newest build recorded.

    Returns
    -------
    polars.DataFrame
        ``path, bytes, market, data_type, interval, symbol, month``; ``damaged``, whether the file is gone or has
        another size than its record says; and ``rows, duplicates, rejects, first, last`` (UTC days of the first
        and last row), which are null where the file is damaged, and where no build of its rows is recorded. The
        files that are not damaged are those that SQL views and frames read; a folder that can be no symbol's has none.
    """
    files = list(silver_files(storage))
    standing = pl.DataFrame(
        {"path": [file.path for file in files], "bytes": [file.size for file in files]},
        schema={"path": pl.String, "bytes": pl.Int64},
    )
    recorded = (
        records.read("months")
        .unique("path", keep="last")
        .select("path", "run_id", recorded="size", has="rows")
    )
    same = pl.col("recorded").is_null() | (pl.col("bytes") == pl.col("recorded"))
    joined = standing.join(recorded, on="path", how="full", coalesce=True).with_columns(
        same=same.fill_null(value=False)
    )
    misfits = joined.filter(~pl.col("same")).select("path", "bytes", "recorded", "run_id")
    bad = unlike_recorded(
        storage, records, {path: (*facts,) for path, *facts in misfits.iter_rows()}
    )
    damaged = pl.col("path").is_in(
        pl.Series([item.path for item in bad], dtype=pl.String).implode()
    )
    found = (
        joined.with_columns(damaged=damaged)
        .filter(pl.col("damaged") | pl.col("bytes").is_not_null())
        .join(_accounts(records), on="path", how="left")
        # An account of other rows is of a build before: that of the file that stands is lost.
        .with_columns(
            same=pl.col("same") & (pl.col("has").is_null() | (pl.col("has") == pl.col("rows")))
        )
        .with_columns(
            pl.when(pl.col("same")).then(name)
            for name in ("rows", "duplicates", "rejects", "first", "last")
        )
        .drop("recorded", "run_id", "same", "has")
    )
    parts = pl.col("path").str.extract_groups(SILVER_PATTERN).alias("_parts")
    found = found.with_columns(parts).unnest("_parts").sort("path")
    odd = [name for name in found["symbol"].drop_nulls().unique() if not is_plain(name)]
    return found.filter(~pl.col("symbol").is_in(odd).fill_null(value=False)) if odd else found


def _accounts(records: TableReader) -> pl.DataFrame:
    """Return what the newest build of each path has recorded of its rows."""
    return (
        current_sources(records.read("sources"))
        .group_by("path")
        .agg(
            pl.col("rows_out").sum().alias("rows"),
            pl.col("duplicates").sum(),
            pl.col("rejects").sum(),
            pl.col("first_time").min().dt.date().alias("first"),
            pl.col("last_time").max().dt.date().alias("last"),
        )
    )


def silver_of(
    storage: Storage, records: TableReader, query: Query, market: Market, data_type: DataType
) -> SilverFiles:
    """Return a dataset's files that a query means: its symbols, intervals, and months of its days."""
    selection = query.selection
    symbols: dict[str, bool] = {}

    def wanted(where: SilverPath) -> bool:
        _, _, interval, symbol, month = where
        if selection.intervals and interval is not None and interval not in selection.intervals:
            return False
        if selection.days and selection.days.clip(month.days) is None:
            return False
        if symbol not in symbols:
            symbols[symbol] = means(selection, market, symbol)
        return symbols[symbol]

    return readable(storage, records, _folders(query, market, data_type), wanted)


def damaged_silver(query: Query, lake: LakeContext) -> list[Damaged]:
    """Return the Silver files that a query means and that cannot be read."""
    pairs = dict.fromkeys((row.market, row.data_type) for row in query.selection.rows())
    return [
        item for pair in pairs for item in silver_of(lake.storage, lake.records, query, *pair).bad
    ]


def silver_scope(query: Query) -> Scope:
    """Return the paths that a query's markets, data types, intervals and symbols allow; days do not narrow.

    Examples
    --------
    >>> from cryptolake.query import Query
    >>> asked = Query().markets("spot").klines("1m").symbols("BTCUSDT")
    >>> silver_scope(asked).prefixes
    ('silver/market=spot/data_type=klines/interval=1m/symbol=BTCUSDT/',)
    """
    selection = query.selection
    folders = [
        folder
        for row in load_matrix().rows
        if (not selection.markets or row.market in selection.markets)
        and (not selection.data_types or row.data_type in selection.data_types)
        for folder in _folders(query, row.market, row.data_type)
    ]
    return Scope.of(f"{folder}/" for folder in folders)


def extra_columns(
    records: TableReader, scope: Scope = EVERYTHING
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the columns, text all of them, that Silver files of a dataset have beyond its schema.

    ``scope``: the columns of these paths' files; the rest of the build records is not read.
    """
    told = pl.col("warnings").str.contains("extra_column:", literal=True)
    here = scope.where("path")
    paths = records.read("sources", where=told if here is None else here & told)["path"].unique()
    if not paths.len():
        return {}
    rows = records.read("sources", where=pl.col("path").is_in(paths.implode()))
    warned = current_sources(rows).filter(told)
    found: dict[tuple[str, str], set[str]] = {}
    for path, words in warned.select("path", "warnings").unique().iter_rows():
        file = parse_silver_path(path)
        if file is not None:
            names = re.findall(r"extra_column:(\w+)", words)
            found.setdefault((file.market.value, file.data_type.value), set()).update(names)
    return {dataset: tuple(sorted(names)) for dataset, names in sorted(found.items())}


def _folders(query: Query, market: Market, data_type: DataType) -> Iterator[str]:
    """Yield the folders to list: narrow ones where the query names its symbols in full."""
    selection = query.selection
    has_interval = load_matrix().row(market, data_type).has_interval
    everything = not selection.symbols or any(is_glob(symbol) for symbol in selection.symbols)
    if everything or (has_interval and not selection.intervals):
        yield silver_folder(market, data_type)
        return
    intervals = selection.intervals if has_interval else (None,)
    for interval in intervals:
        for symbol in sorted(selection.symbols):
            yield silver_folder(market, data_type, interval, symbol)
