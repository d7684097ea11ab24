"""What stands beside exported rows: which columns, units and clock they have, and the bytes they were made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import one_data_type
from cryptolake.gold.tables import table_notes, table_sources
from cryptolake.maintenance.locks import pinned_files
from cryptolake.planning.lockfile import lock_id
from cryptolake.readers.polars_frames import silver_frame
from cryptolake.render.html import plural
from cryptolake.research.symbol_rows import markets_of
from cryptolake.storage.lake_format import release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query

COLUMNS: dict[str, Any] = {
    "path": pl.String,
    "symbol": pl.String,
    "rows": pl.Int64,
    "bytes": pl.Int64,
}
"""The columns of ``lake.export``: a row a file; ``symbol`` is null for one file of all."""

IDENTITY = {
    "market": "the market: spot, futures_um, futures_cm, options",
    "symbol": "the symbol, as the archive spells it",
    "interval": "the length of a bar; null where rows are no bars",
}

TIMES = {
    "csv": "Times are UTC, as ISO 8601 (`2024-01-01T00:00:00.000000Z`). An empty cell is null. Numbers are the shortest "
    "text that reads back as the same number.",
    "parquet": "Times are UTC: timestamps of microseconds with the zone UTC.",
    "arrow": "Times are UTC: timestamps of microseconds with the zone UTC. The file is Arrow IPC (Feather 2), with zstd.",
}


class ExportedColumn(NamedTuple):
    """A column as the README tells of it."""

    name: str
    dtype: str
    unit: str
    meaning: str


class Notes(NamedTuple):
    """What is told of an export: the query, what its rows are, their columns, and the source files."""

    query: Query
    what: str
    columns: tuple[ExportedColumn, ...]
    sources: pl.DataFrame
    """``key, size, sha256``, by key."""

    @classmethod
    def of(cls, query: Query, lake: LakeContext, recipe: str | None) -> Notes:
        """Gather what is told of a query's rows, of Silver or of a table of Gold."""
        names = ["key", "size", "sha256"]
        if recipe is None:
            files = pinned_files(lake, query).select(names).sort("key")
            what = f"Rows of Silver: {one_data_type(query).value}."
            return cls(query, what, tuple(_of_silver(query, lake)), files)
        made = table_notes(recipe, query)
        files = table_sources(lake, recipe, query).select(names).sort("key")
        what = f"Rows of Gold: {recipe}, version {made.version}.\n\n{made.text}"
        return cls(query, what, tuple(_of_types(made.columns)), files)


def _of_silver(query: Query, lake: LakeContext) -> Iterator[ExportedColumn]:
    """Yield the columns with their units; where markets differ in a unit, with each one's."""
    data_type = one_data_type(query)
    told: dict[str, dict[str, tuple[str, str]]] = {}
    for market in markets_of(query, data_type):
        for column in schema_of(market, data_type).silver_columns:
            told.setdefault(column.name, {})[market.value] = (column.unit, column.meaning)
    for name, dtype in silver_frame(query, lake).collect_schema().items():
        by_market = told.get(name, {})
        units = {unit for unit, _ in by_market.values()}
        unit = ", ".join(units)
        if len(units) > 1:
            unit = "; ".join(f"{unit} in {market}" for market, (unit, _) in by_market.items())
        meaning = next((words for _, words in by_market.values()), IDENTITY.get(name, ""))
        yield ExportedColumn(name, str(dtype), unit, meaning)


def _of_types(columns: Mapping[str, Any]) -> Iterator[ExportedColumn]:
    for name, dtype in columns.items():
        yield ExportedColumn(name, str(dtype), "", IDENTITY.get(name, ""))


def sources_text(sources: pl.DataFrame) -> str:
    """Return a line ``sha256  key`` for each source, sorted; its own sha256 is the id of a lock of them.

    Examples
    --------
    >>> print(sources_text(pl.DataFrame({"key": ["data/a.zip"], "sha256": ["0" * 4]})), end="")
    0000  data/a.zip
    """
    known = sources.drop_nulls("sha256").select("sha256", "key")
    return "".join(sorted(f"{sha256}  {key}\n" for sha256, key in known.iter_rows()))


def readme(notes: Notes, files: pl.DataFrame, format: str, each: str) -> str:  # noqa: A002
    """Return the README's text."""
    rows, size = int(files["rows"].sum()), int(files["bytes"].sum())
    per = "one file a symbol" if each == "symbol" else "one file"
    parts = [
        "# Exported rows",
        notes.what,
        f"- query: `{notes.query!r}`",
        f"- {plural(rows, 'row')} in {plural(files.height, 'file')}, {size:,} bytes: {format}, {per}, in the order of time",
        f"- made by cryptolake {release()}",
        TIMES[format],
        "## Columns",
        _table(("column", "type", "unit", "meaning"), notes.columns),
        "## Files",
        _table(("file", "symbol", "rows", "bytes"), files.fill_null("").rows()),
        "## Sources",
        _sources(notes.sources),
    ]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ").replace("\n- query", "\n\n- query") + "\n"


def _sources(sources: pl.DataFrame) -> str:
    """Say what the rows were made of, and the id that a lock of it has."""
    total = int(sources["size"].sum() or 0)
    text = f"{plural(sources.height, 'file')} of the archive, {total:,} bytes; `sources.sha256` names each. "
    unread = sources["sha256"].null_count()
    if unread:
        return text + (
            f"{unread:,} of them were copied inside S3 and not read since, so their sha256 is not known here and "
            "there is no lock id; `lake.freeze` reads them."
        )
    return text + (
        f"Lock id: `{lock_id(sources)}`, which `sha256sum sources.sha256` gives; a lock of the same "
        "files (`lake.freeze`) has the same."
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', '&#124;') for cell in line)} |" for line in lines
    )
