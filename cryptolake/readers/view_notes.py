"""What each view holds, in a sentence, and each column's meaning with its unit; they are the views' comments too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.archive.schemas import schema_of
from cryptolake.readers.view_sql import MONTH, intervals_of, literal, quoted, view_name
from cryptolake.storage import layout
from cryptolake.storage.table_schemas import TABLES

if TYPE_CHECKING:
    import polars as pl

    from cryptolake.archive.enums import Interval
    from cryptolake.readers.view_sql import Held, View
    from cryptolake.storage.files import Storage

TABLE_NOTES: Mapping[str, str] = {
    "files": "Every Bronze file the lake has now: key, bytes, hashes, how it was verified, when, by which run.",
    "quarantine": "Files that failed verification, each with its reason.",
    "runs": "The runs that wrote to the lake, a row each.",
    "transfers": "Every file that a run moved: bytes, retries, and how it was moved.",
    "throughput": "What each run moved, by the minute; bytes and bytes a second.",
    "months": "Every Silver file that was built: its path, bytes and hash.",
    "sources": "What became of the rows of each Bronze file in Silver: rows in, rows out, duplicates, rejects.",
    "rejects": "Rows that failed normalization, with their file, line number and reason.",
    "lineage": "What each file of Gold was made of: its recipe's version and code, and its inputs with their hashes.",
    "findings": "Rows that were kept and look odd, with the rule that says so.",
}

_OWN = {
    "market": "Market: spot, futures_um, futures_cm or options.",
    "symbol": "Symbol, as the archive spells it.",
    "interval": "Length of the bar; null where the data type has none.",
    MONTH: "UTC month of the file that has the row ('2024-03'); a filter on it opens no other file.",
}
_TOLD = frozenset({"price", "quantity"})


class Note(NamedTuple):
    """A view: its schema, its name, and what it holds."""

    schema: str
    view: str
    holds: str


def notes(recipes: Mapping[str, str]) -> Iterator[Note]:
    """Yield every view of a lake with its sentence.

    Parameters
    ----------
    recipes
        Gold's recipes, and what each makes.

    Examples
    --------
    >>> found = {(note.schema, note.view): note.holds for note in notes({})}
    >>> print(found["silver", "spot_klines_1h"])
    1h klines of spot, typed. Units: open, high, low, close, quote_volume, taker_buy_quote_volume in quote asset; volume, taker_buy_volume in base asset.
    >>> print(found["silver", "spot_klines"][:116])
    klines of spot of every interval, typed: a sum counts the same time once an interval, so sum over spot_klines_1h ins
    """
    for row in load_matrix().rows:
        for interval in intervals_of(row):
            yield Note("silver", view_name(row, interval), silver_note(row, interval))
    yield from (Note("gold", name, holds) for name, holds in sorted(recipes.items()))
    yield from (Note("meta", table, TABLE_NOTES[table]) for table in (*TABLES, "throughput"))
    for row in load_matrix().rows:
        for interval in intervals_of(row):
            yield Note("bronze", view_name(row, interval), bronze_note(row, interval))


def silver_note(row: Row, interval: Interval | None) -> str:
    """Return what a view over Silver holds; of several intervals it warns that a sum counts a time several times."""
    what = f"{row.data_type.value} of {row.market.value}"
    if interval is not None:
        what = f"{interval.value} {what}, typed"
    elif row.has_interval:
        one = view_name(row, row.all_intervals[-1])
        one = next((n for i in row.all_intervals if (n := view_name(row, i)).endswith("_1h")), one)
        what += f" of every interval, typed: a sum counts the same time once an interval, so sum over {one} instead"
    else:
        what += ", typed"
    units: dict[str, list[str]] = {}
    for column in schema_of(row.market, row.data_type).silver_columns:
        if column.kind in _TOLD and column.unit:
            units.setdefault(column.unit, []).append(column.name)
    told = "; ".join(f"{', '.join(names)} in {unit}" for unit, names in units.items())
    return f"{what}. Units: {told}." if told else f"{what}."


def bronze_note(row: Row, interval: Interval | None) -> str:
    """Return what a view over Bronze holds."""
    of = f"{row.data_type.value} of {row.market.value}"
    if interval is not None:
        return f"{interval.value} {of} as published, read in place, still zipped; times are the archive's integers."
    several = " of every interval" if row.has_interval else ""
    return f"{of}{several} as published, read in place, still zipped; times are the archive's integers."


def column_notes(row: Row) -> dict[str, str]:
    """Return the meaning and the unit of each column of a dataset's Silver views.

    Examples
    --------
    >>> column_notes(load_matrix().row("spot", "klines"))["volume"]
    'Quantity traded in the bar. Unit: base asset.'
    """
    columns = schema_of(row.market, row.data_type).silver_columns
    told = {
        column.name: f"{column.meaning} Unit: {column.unit}." if column.unit else column.meaning
        for column in columns
    }
    own = {name: text for name, text in _OWN.items() if name not in told}
    return {**own, **told}


def comments(held: Held, made: Iterable[View]) -> Iterator[str]:
    """Yield the statements that note, on the views just made of datasets that the lake has, what they hold."""
    names = {view.name for view in made if view.schema == "silver"}
    for row in load_matrix().rows:
        levels = {level for *pair, level in held.silver if pair == [row.market, row.data_type]}
        for interval in intervals_of(row):
            name = view_name(row, interval)
            if name not in names or not (levels if interval is None else interval.value in levels):
                continue
            view = f"{quoted('silver')}.{quoted(name)}"
            yield f"COMMENT ON VIEW {view} IS {literal(silver_note(row, interval))}"
            for column, text in column_notes(row).items():
                yield f"COMMENT ON COLUMN {view}.{quoted(column)} IS {literal(text)}"


def views(storage: Storage, recipes: Mapping[str, str]) -> pl.DataFrame:
    """Return every view with what it holds; recipes are those that are known, and the folders below ``gold/``."""
    import polars as pl

    folders = {layout.gold_recipe(entry.path) for entry in storage.list(layout.GOLD)} - {None}
    found = {
        str(name): "Files below gold/ that no recipe of this process makes." for name in folders
    }
    rows = list(notes({**found, **recipes}))
    return pl.DataFrame(rows, schema=dict.fromkeys(Note._fields, pl.String), orient="row")
