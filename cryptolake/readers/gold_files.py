"""Which Gold files count: one rule for ``lake.gold`` and for SQL.

A file counts where it has the size that the newest record of its path says. A build records a file just before it places
it. So a file of another size counts where it is a whole one of ours and the build that has recorded the next one is not
done: then the one of the build before stands still. What has no record, or another size, is named and passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.errors import Damaged
from cryptolake.readers.silver_files import unlike_recorded
from cryptolake.storage import layout, segments
from cryptolake.storage.runs import QUIET
from cryptolake.storage.strays import without_nameless
from cryptolake.storage.table_schemas import TABLES

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext

_FACTS = ("path", "recipe", "size", "run_id", "built_at")


class GoldFiles(NamedTuple):
    """Gold files by whether they count: the paths of those that do, and what is wrong with the others."""

    whole: list[str]
    damaged: list[Damaged]
    """Files that stand, and are not what was recorded."""
    gone: list[Damaged]
    """Files that were recorded and do not stand."""

    @property
    def bad(self) -> list[Damaged]:
        """All that do not count."""
        return [*self.damaged, *self.gone]


class _Record(NamedTuple):
    recipe: str
    size: int
    run: str | None
    built_at: datetime | None


def gold_files(
    lake: LakeContext,
    recipes: AbstractSet[str] | None,
    known: Iterable[str] = (),
    meant: Callable[[str], bool] | None = None,
) -> GoldFiles:
    """Hold Gold files against their newest records.

    Parameters
    ----------
    lake
        The lake.
    recipes
        Of which recipes; None for all that have a record, or are ``known``. A folder under ``gold/`` that no recipe is
        named like is not the lake's, and nothing is said of it.
    known
        Recipes that are registered.
    meant
        Which paths are meant.
    """
    # The records before the files: what is placed in between is held against the records of afterwards.
    records = _records(lake, recipes)
    names = {record.recipe for record in records.values()} | set(known)
    # Of all recipes, one listing: in a bucket each is a request.
    folders = [layout.GOLD] if recipes is None else [layout.gold_folder(n) for n in sorted(names)]
    standing = {
        entry.path: entry.size
        for folder in folders
        for entry in lake.storage.list(folder)
        if entry.path.endswith(layout.PARQUET) and entry.path.split("/", 2)[1] in names
    }
    if meant is not None:
        standing = {path: size for path, size in standing.items() if meant(path)}
        records = {path: record for path, record in records.items() if meant(path)}
    misfits = {path for path, record in records.items() if standing.get(path) != record.size}
    misfits |= standing.keys() - records.keys()
    sizes = {path: standing.get(path) for path in sorted(misfits)}
    bad = _unlike(lake, sizes, recipes) if misfits else []
    wrong = {item.path for item in bad}
    return GoldFiles(
        [path for path in standing if path not in wrong],
        [item for item in bad if item.path in standing],
        [item for item in bad if item.path not in standing],
    )


def _unlike(
    lake: LakeContext, misfits: Mapping[str, int | None], recipes: AbstractSet[str] | None
) -> list[Damaged]:
    """Return which files, of those that seemed not as recorded, are so by the records and sizes of this moment."""
    records, storage = _records(lake, recipes, again=True), lake.storage
    runs = lake.tables.runs()
    done, seen = set(runs.filter(state="done")["run_id"]), set(runs["run_id"])
    found: list[Damaged] = []
    placing: dict[str, tuple[int | None, int, str | None]] = {}
    for path, listed in misfits.items():
        size, record = storage.size(path), records.get(path)
        if size is None and _is_folder(lake, path):
            size = listed
        if record is None and size is not None:
            found.append(Damaged(path, _UNRECORDED.format(path.split("/")[1]), storage.root))
        elif record is None or size == record.size:
            continue  # it was placed, or let go, meanwhile
        elif _is_over(record, done, seen) and record.size >= 0 and size is not None:
            reason = f"it has {size:,} bytes, not the {record.size:,} that were recorded"
            found.append(Damaged(path, reason, storage.root))
        else:
            placing[path] = size, record.size, record.run
    found += unlike_recorded(storage, lake.records, placing)
    return sorted(found, key=lambda item: item.path)


_UNRECORDED = "no build has recorded it: lake.build(query, gold=[{!r}]) makes it anew"


def _is_over(record: _Record, done: AbstractSet[str], seen: AbstractSet[str]) -> bool:
    """Say whether the build that recorded a file has placed it by now, or never will.

    A build that was killed in between has left the file of the build before. Daily bars and filled ones are recorded by
    no run: they are placed in moments.
    """
    if record.run in seen:
        return record.run in done
    return record.built_at is None or abs(datetime.now(UTC) - record.built_at) > QUIET


def _is_folder(lake: LakeContext, path: str) -> bool:
    """Say whether a folder is in the place of a file."""
    return lake.storage.is_local and lake.storage.local(path).is_dir()


def _records(
    lake: LakeContext, recipes: AbstractSet[str] | None, *, again: bool = False
) -> dict[str, _Record]:
    """Return the newest record of each path, of some recipes or of all, as it is now or as this call has read it."""
    where = None if recipes is None else pl.col("recipe").is_in(sorted(recipes))
    if again or not lake.storage.is_local:
        rows = (lake.tables if again else lake.records).read("lineage", where=where)
    else:
        rows = _facts(lake, where)
    newest = rows.unique("path", keep="last").drop_nulls(["path", "size"])
    top = pl.col("path").str.extract(rf"^{layout.GOLD}/([^/]+)/.+\{layout.PARQUET}$")
    told = (
        newest.with_columns(top=top)
        .drop_nulls("top")
        .select("top", "size", "run_id", "built_at", "path")
    )
    return {row[-1]: _Record._make(row[:-1]) for row in told.iter_rows()}


def _facts(lake: LakeContext, where: pl.Expr | None) -> pl.DataFrame:
    """Return some columns of ``meta.lineage``: most of its bytes are what went into each file."""
    storage = lake.storage
    schema = {**TABLES["lineage"], segments.STAMP: pl.String}
    listed = segments.segments(storage, layout.table_folder("lineage"))
    try:
        frames = [
            without_nameless(
                segments.scan(storage, entry, schema).select(*_FACTS, segments.STAMP).collect(),
                entry.path,
                storage.root,
            )
            for entry in segments.current(storage, listed)
        ]
    except (OSError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return lake.records.read("lineage", where=where)  # which names what is damaged
    if not frames:
        return pl.DataFrame(schema=TABLES["lineage"])
    rows = segments.sound(pl.concat(frames)).sort(segments.STAMP, maintain_order=True)
    return rows if where is None else rows.filter(where)
