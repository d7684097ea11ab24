"""What each view of a lake selects, as SQL text. Pure: nothing is read, nothing is created.

Column lists are written out from the schemas, so that a view has the same columns whether its dataset
has files or not, and whatever a stray file adds. Every name, text and path is quoted here.
"""

# ruff: noqa: S608  # SQL is what this module makes; nothing enters it unquoted

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cryptolake.archive.keys import glob_of, symbol_level
from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.archive.schemas import schema_of
from cryptolake.storage import layout
from cryptolake.storage.runs import QUIET
from cryptolake.storage.table_schemas import TABLES

if TYPE_CHECKING:
    from cryptolake.archive.enums import DataType, Interval, Market
    from cryptolake.errors import Damaged


def quoted(name: str) -> str:
    """Return an identifier, quoted.

    Examples
    --------
    >>> quoted('a "b" c')
    '"a ""b"" c"'
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text literal.

    Examples
    --------
    >>> print(literal("it's"))
    'it''s'
    """
    return "'" + text.replace("'", "''") + "'"


def listed(texts: Iterable[str]) -> str:
    """Return a list of text literals.

    Examples
    --------
    >>> listed(["a", "b"])
    "['a', 'b']"
    """
    return "[" + ", ".join(literal(text) for text in texts) + "]"


def struct(values: dict[str, str]) -> str:
    """Return a struct literal of texts, as ``read_csv(columns = ...)`` takes it.

    Examples
    --------
    >>> print(struct({"open": "DOUBLE"}))
    {'open': 'DOUBLE'}
    """
    fields = ", ".join(f"{literal(name)}: {literal(value)}" for name, value in values.items())
    return "{" + fields + "}"


def unglobbed(path: str) -> str:
    """Return a pattern that matches a path literally: a sign between brackets stands for itself.

    Examples
    --------
    >>> print(unglobbed("/data/a*[b]"))
    /data/a[*][[]b]
    """
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)


SCHEMAS = layout.ZONES
PROTOCOL = "bronze://"

_IDENTITY = ("market", "symbol", "interval")
MONTH = "month"
_PUBLISHED = {MONTH: f"published_{MONTH}"}
"""A file's own column of a name that is ours, by which a question opens few files, and what the views call it."""
_FILE = "cryptolake_file"
_MONTH_OF_NAME = f"left(right({_FILE}, 15), 7)"
"""``2024-03`` of ``.../2024-03.parquet``: made of the file's name alone, so a filter on it opens no other file."""
_THROUGHPUT = """SELECT run_id, date_trunc('minute', "at") AS minute, mode, count(*) AS files,
sum(bytes)::BIGINT AS bytes, sum(bytes) / 60 AS bytes_per_second, sum(retries)::BIGINT AS retries
FROM meta.transfers WHERE bytes > 0 GROUP BY ALL"""
"""What each run moved, by the minute it was stored in. Rows are written while a run goes on."""

_READ_CSV = (
    "header = false, auto_detect = false, delim = ',', quote = '', escape = '', nullstr = '', "
    "null_padding = true, strict_mode = false, compression = 'none'"
)
"""Short lines are filled with nulls, cells past the last column are left out. Nothing is quoted in the
archive; an empty cell is sometimes written as two quotes. The files' names end in ``.zip``, but what is
read is the text in them: without a word, DuckDB from 2.0.1 on takes that ending for a compression."""


_GOLD_LEVELS = 7
"""Levels of folders below a recipe's that its view looks through; Silver has four."""


class View(NamedTuple):
    """A view: the schema it is in, its name, and what it selects."""

    schema: str
    name: str
    select: str

    @property
    def create(self) -> str:
        """The statement that makes it, or makes it anew."""
        target = f"{quoted(self.schema)}.{quoted(self.name)}"
        return f"CREATE OR REPLACE VIEW {target} AS {self.select}"

    def without_zone(self, times: Sequence[str]) -> View:
        """Return the view with these times as UTC's without a zone."""
        if not times:
            return self
        cells = ", ".join(f"{_utc(name)} AS {quoted(name)}" for name in times)
        return self._replace(select=f"SELECT * REPLACE ({cells}) FROM ({self.select})")


Folder = tuple[str, str, str | None]


class Root(Protocol):
    """Where a lake is, as far as its views name it."""

    @property
    def is_local(self) -> bool:
        """Whether it is on a disk."""

    def url(self, path: str = "") -> str:
        """Return the absolute path, or the URL, of a path under it."""


class FolderDamage(NamedTuple):
    """A folder in which some files cannot be read: the paths of the others, and what is wrong with those."""

    whole: tuple[str, ...]
    bad: tuple[Damaged, ...]


class QueryFiles(NamedTuple):
    """One market's share of a query: its dataset, its Silver files, and the range of time that is asked for."""

    row: Row
    extras: tuple[str, ...]
    paths: tuple[str, ...]
    days: tuple[datetime, datetime] | None
    """The first instant, and the one after the last; None for all there is."""


class Held(NamedTuple):
    """What a lake has, as far as it shapes its views."""

    silver: frozenset[Folder]
    """Market, data type and interval (None where the type has none) of every Silver folder."""
    extras: Mapping[tuple[str, str], tuple[str, ...]]
    """Columns that some files of a dataset have beyond its schema; they are text."""
    tables: frozenset[str]
    """The meta tables that have rows."""
    recipes: tuple[str, ...]
    """The folders under ``gold/``."""
    damage: Mapping[str, FolderDamage] = {}
    """Folders in which some file cannot be read; their views name the others."""
    typed: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    """Recipes of Gold and the types of their columns: those without a folder are empty views."""
    kept: bool = False
    """Whether the views stay in a file, in which no time zone can be set: their times are UTC's without a zone."""

    def whole(self, folder: str) -> tuple[str, ...] | None:
        """Return the files that can be read, of a folder in which some cannot; None for all of them."""
        found = self.damage.get(folder)
        return None if found is None else found.whole


EMPTY = Held(frozenset(), {}, frozenset(), ())
"""What a lake has that holds nothing."""

IN_LAKE = "meta.in_lake"
"""The macro by which views in memory name the files of a lake on a disk: a pattern to the same below its root.

Views that do not name the root themselves are the same for every lake, and can be copied ready.
"""

NO_ROOT = "/no/lake/"
"""What the macro puts before a pattern in views that are of no lake yet: there are no files."""


TIME = "TIMESTAMP WITH TIME ZONE"


def sql_type(dtype: Any) -> str:
    """Return DuckDB's type for a Polars one that the schemas or tables use.

    Examples
    --------
    >>> import polars as pl
    >>> sql_type(pl.Datetime("us", "UTC")), sql_type(pl.Categorical())
    ('TIMESTAMP WITH TIME ZONE', 'VARCHAR')
    """
    import polars as pl

    names = {
        pl.Datetime: TIME,
        pl.Date: "DATE",
        pl.Float64: "DOUBLE",
        pl.Float32: "FLOAT",
        pl.Int32: "INTEGER",
        pl.UInt32: "UINTEGER",
        pl.Int64: "BIGINT",
        pl.Boolean: "BOOLEAN",
        pl.String: "VARCHAR",
        pl.Categorical: "VARCHAR",
    }
    return next(name for kind, name in names.items() if dtype == kind)


def sql_types(
    recipes: Mapping[str, Mapping[str, Any]],
) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Return recipes with DuckDB's types of their columns; without those that have a type it lacks here."""
    found = []
    for name, columns in recipes.items():
        with suppress(StopIteration):
            types = [(column, sql_type(dtype)) for column, dtype in columns.items()]
            found.append((name, tuple(types)))
    return tuple(found)


def intervals_of(row: Row) -> Sequence[Interval | None]:
    """Return None, for the view of all intervals, then each interval, which has a view of its own."""
    return [None, *row.all_intervals]


def _pair(row: Row) -> tuple[str, str]:
    return row.market.value, row.data_type.value


def _kind(row: Row) -> tuple[Market, DataType]:
    return row.market, row.data_type


def view_name(row: Row, interval: Interval | None) -> str:
    """Return a view's name: the dataset's, with the interval where it is for one.

    Examples
    --------
    >>> row = load_matrix().rows[0]
    >>> view_name(row, None), view_name(row, row.all_intervals[1])
    ('spot_klines', 'spot_klines_1m')
    """
    return row.dataset if interval is None else f"{row.dataset}_{interval.value}"


# ---------------------------------------------------------------------------------------------- bronze


@cache
def bronze_views() -> tuple[View, ...]:
    """Return the views over Bronze: the columns as published, then key, market, symbol and interval."""
    return tuple(
        View("bronze", view_name(row, interval), _bronze_select(row, interval))
        for row in load_matrix().rows
        for interval in intervals_of(row)
    )


def _bronze_select(row: Row, only: Interval | None) -> str:
    published = schema_of(row.market, row.data_type).published_dtypes()
    key = f"substr({quoted(_FILE)}, {len(PROTOCOL) + 1})"
    # Places are counted in the whole URL, whose two first slashes are those of "bronze://".
    place = symbol_level(row) + 3
    own = {
        "key": key,
        "market": literal(row.market.value),
        "symbol": f"split_part({quoted(_FILE)}, '/', {place})",
        "interval": f"split_part({quoted(_FILE)}, '/', {place + 1})"
        if row.has_interval
        else "NULL::VARCHAR",
    }
    # A cell that is not of its column's type is null, not the end of the query: Bronze is shown as it is.
    # (A bare TRY_CAST would be handed down to the CSV reader, which takes it for a CAST and fails.)
    cells = [
        f"TRY_CAST(NULLIF({quoted(name)}, '\"\"') AS {sql_type(dtype)}) AS {quoted(name)}"
        for name, dtype in published.items()
    ]
    cells += [
        f"{text} AS {quoted(f'file_{name}' if name in published else name)}"
        for name, text in own.items()
    ]
    texts = struct(dict.fromkeys(published, "VARCHAR"))
    return (
        f"SELECT {', '.join(cells)} FROM read_csv({listed(_bronze_patterns(row, only))}, "
        f"columns = {texts}, {_READ_CSV}, filename = {literal(_FILE)})"
    )


def _bronze_patterns(row: Row, only: Interval | None) -> Iterator[str]:
    for partition in row.partitions_of(only):
        yield f"{PROTOCOL}{glob_of(row, partition, only)}"


# ---------------------------------------------------------------------------------------------- silver


def silver_views(root: Root, held: Held) -> Iterator[View]:
    """Yield the views over Silver: market, symbol, interval, and the typed columns."""
    for row in load_matrix().rows:
        levels = {level for *pair, level in held.silver if tuple(pair) == _pair(row)}
        if not (levels or held.kept or held.damage or _pair(row) in held.extras):
            yield from _empty_silver(*_kind(row), root.is_local)
            continue
        for interval in intervals_of(row):
            there = bool(levels) if interval is None else interval.value in levels
            whole = held.whole(layout.silver_folder(*_kind(row)))
            if whole is not None and interval is not None:
                below = f"{layout.silver_folder(*_kind(row), interval)}/"
                whole = tuple(path for path in whole if path.startswith(below))
            select = _silver_select(root, row, interval, held, there=there, whole=whole)
            yield View("silver", view_name(row, interval), select)


@cache
def _empty_silver(market: Market, data_type: DataType, is_local: bool) -> tuple[View, ...]:  # noqa: FBT001
    """Return the views over a dataset that a lake does not hold, which are the same for every lake."""
    row, root = load_matrix().row(market, data_type), _Nowhere(is_local)
    return tuple(
        View(
            "silver",
            view_name(row, interval),
            _silver_select(root, row, interval, EMPTY, there=False, whole=None),
        )
        for interval in intervals_of(row)
    )


class _Nowhere(NamedTuple):
    """The root of no lake yet, on a disk or in a bucket."""

    is_local: bool

    def url(self, path: str = "") -> str:
        """Return what leads to no file."""
        return f"{NO_ROOT}{path}"


def _silver_select(
    root: Root,
    row: Row,
    only: Interval | None,
    held: Held,
    *,
    there: bool,
    whole: Sequence[str] | None,
) -> str:
    types = silver_types(row, held.extras.get(_pair(row), ()))
    if (not there and not root.is_local) or whole == ():
        return nothing(
            types if not held.kept else {n: k.replace(TIME, "TIMESTAMP") for n, k in types.items()}
        )
    files = _files(root, held, whole, silver_pattern(row, only))
    there = there or whole is not None
    return _silver_rows(row, types, files, there=there, zone=not held.kept)


def silver_pattern(row: Row, only: Interval | None) -> str:
    """Return the pattern of a Silver view's files, below the lake's root.

    Examples
    --------
    >>> silver_pattern(load_matrix().row("spot", "trades"), None)
    'silver/market=spot/data_type=trades/symbol=*/[0-9][0-9][0-9][0-9]-[0-9][0-9].parquet'
    """
    level = (only.value if only else "*") if row.has_interval else None
    return f"{layout.silver_folder(*_kind(row))}/{layout.silver_glob(interval=level)}"


def silver_types(row: Row, extras: Iterable[str] = ()) -> dict[str, str]:
    """Return the columns of a dataset's Silver views and their types: market, symbol, interval, the schema's, month.

    Examples
    --------
    >>> list(silver_types(load_matrix().row("spot", "trades")))[:4]
    ['market', 'symbol', 'interval', 'trade_id']
    """
    schema = schema_of(row.market, row.data_type)
    return {
        **dict.fromkeys(_IDENTITY, "VARCHAR"),
        **{name: sql_type(dtype) for name, dtype in schema.silver_dtypes().items()},
        **dict.fromkeys((*(_PUBLISHED.get(name, name) for name in extras), MONTH), "VARCHAR"),
    }


def _silver_rows(
    row: Row, types: Mapping[str, str], files: str, *, there: bool, zone: bool = True
) -> str:
    hive = {"market": "VARCHAR", "data_type": "VARCHAR", "symbol": "VARCHAR"}
    made = {MONTH: _MONTH_OF_NAME, **{ours: quoted(name) for name, ours in _PUBLISHED.items()}}
    if not zone:
        made |= {name: _utc(name) for name, kind in types.items() if kind == TIME}
    if row.has_interval:
        hive["interval"] = "VARCHAR"
    else:
        made["interval"] = "NULL::VARCHAR"
    options = f"hive_partitioning = true, hive_types = {struct(hive)}, filename = {literal(_FILE)}"
    schema = schema_of(row.market, row.data_type)
    if not types.keys() <= {*_IDENTITY, *schema.silver_names, MONTH}:
        options += ", union_by_name = true"
    return _selected(types, files, options, there=there, made=made)


def question_view(parts: Iterable[QueryFiles], root: Root) -> str:
    """Return what the view ``q`` of a query selects: its files by name, and the rows of its days.

    Each market's files make a part; where markets differ in their columns, the view has all of them.
    """
    selects = []
    for part in parts:
        types = silver_types(part.row, part.extras)
        if not part.paths:
            selects.append(nothing(types))
            continue
        files = listed(unglobbed(root.url(path)) for path in part.paths)
        rows = _silver_rows(part.row, types, files, there=True)
        if part.days is not None:
            time = quoted(schema_of(part.row.market, part.row.data_type).time)
            begin, end = (f"{day.isoformat()}" for day in part.days)
            rows += f" WHERE {time} >= TIMESTAMPTZ '{begin}' AND {time} < TIMESTAMPTZ '{end}'"
        selects.append(rows)
    return " UNION ALL BY NAME ".join(f"({select})" for select in selects)


# ----------------------------------------------------------------------------------------- meta and gold


_NEWEST = {
    "lineage": ("path", "FROM ({rows})"),
    "files": ("key", "FROM ({rows}) WHERE event = 'stored'"),
    "runs": (
        "run_id",
        "FROM (SELECT * REPLACE (CASE WHEN state = 'running' AND "
        "abs(epoch(now()) - epoch(coalesce(heartbeat_at, started_at))) "
        f"> {int(QUIET.total_seconds())} THEN 'lost' ELSE state END AS state) "
        "FROM ({rows}))",
    ),
}
"""Tables of which the newest row of a key counts: that key, and what is selected of those rows."""


def meta_views(root: Root, held: Held) -> Iterator[View]:
    """Yield the views over the lake's own tables.

    ``meta.files`` and ``meta.lineage`` have each file's newest row only, ``meta.runs`` each run's; a running one that was quiet
    for long is ``lost``.
    """
    for table, columns in TABLES.items():
        types = {name: sql_type(dtype) for name, dtype in columns.items()}
        folder = layout.table_folder(table)
        whole = held.whole(folder)
        if (table not in held.tables and not root.is_local) or whole == ():
            yield View("meta", table, nothing(types))
            continue
        pattern = _files(root, held, whole, f"{folder}/*.parquet")
        # Segments written before a column existed lack it; union_by_name and the list make it null.
        order = ", file_row_number = true, filename = true" if table in _NEWEST else ""
        rows = _selected(
            types, pattern, f"union_by_name = true{order}", there=False, distinct=not order
        )
        if order:
            key, newest = _NEWEST[table]
            rows += (
                f" QUALIFY row_number() OVER (PARTITION BY {quoted(key)} "
                f"ORDER BY filename DESC, file_row_number DESC) = 1"
            )
            names = ", ".join(quoted(name) for name in types)
            rows = f"SELECT {names} {newest.format(rows=rows)}"
        yield View("meta", table, rows)
    yield View("meta", "throughput", _THROUGHPUT)


def gold_views(root: Root, held: Held) -> Iterator[View]:
    """Yield a view for each recipe's folder under ``gold/``, and an empty one for each other recipe."""
    for name, types in held.typed:
        if name not in held.recipes and root.is_local:  # sees files once there are some
            files = _by_level(root, layout.gold_folder(name))
            options = "union_by_name = true, hive_partitioning = false"
            yield View("gold", name, _selected(dict(types), files, options, there=False))
        elif name not in held.recipes:
            yield View("gold", name, nothing(dict(types)))
    for recipe in held.recipes:
        folder = layout.gold_folder(recipe)
        whole = held.whole(folder)
        if whole == ():
            continue
        options = "union_by_name = true"
        if whole is not None:
            files = _named(root, whole)
        elif root.is_local:
            files = _by_level(root, folder)
            options += ", allow_empty = true"
        else:
            files = literal(f"{unglobbed(root.url(folder))}/**/*.parquet")
        yield View("gold", recipe, f"SELECT * FROM read_parquet({files}, {options})")


def _by_level(root: Root, folder: str) -> str:
    """Return the patterns of the files below a folder on a disk: ``**`` does not follow linked folders."""
    top = unglobbed(root.url(folder))
    return listed(f"{top}/{'*/' * level}*.parquet" for level in range(_GOLD_LEVELS))


# --------------------------------------------------------------------------------------------- the pieces


def _files(root: Root, held: Held, whole: Sequence[str] | None, pattern: str) -> str:
    """Return what ``read_parquet`` reads: a pattern below the root, or the files by name where one is left out."""
    if whole is not None:
        return _named(root, whole)
    if root.is_local and not held.kept:
        return f"{IN_LAKE}({literal(pattern)})"
    folder, _, name = pattern.partition("/")
    return literal(f"{unglobbed(root.url(folder))}/{name}")


def _named(root: Root, paths: Iterable[str]) -> str:
    return listed(unglobbed(root.url(path)) for path in paths)


def nothing(types: Mapping[str, str]) -> str:
    """Return a select of no rows that has columns of these types."""
    cells = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in types.items())
    return f"SELECT {cells} WHERE false"


def _selected(
    types: Mapping[str, str],
    files: str,
    options: str,
    *,
    there: bool,
    distinct: bool = False,
    made: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Select columns from Parquet files; where there may be none, from a typed nothing beside them.

    The short form is as fast as a ``read_parquet`` written by hand. The long one also works while there
    are no files, and sees them once there are: a connection made early is not wrong, only slower. ``made``
    are columns that the files do not hold, and what makes them.
    """
    names = ", ".join(
        f"{made[name]} AS {quoted(name)}" if name in made else quoted(name) for name in types
    )
    word = "SELECT DISTINCT" if distinct else "SELECT"
    if there:
        return f"{word} {names} FROM read_parquet({files}, {options})"
    # The option's whole text: ``filename = 'cryptolake_file'`` adds no column named ``filename``.
    asked = {name: (f"{name} = true", f"filename = {literal(name)}") for name in _BESIDE}
    beside = {
        name: kind for name, kind in _BESIDE.items() if any(text in options for text in asked[name])
    }
    ordering = [name for name in beside if name != _FILE]
    own = {
        name: kind for name, kind in types.items() if name not in made or made[name] == _utc(name)
    }
    own |= {name: "VARCHAR" for name, ours in _PUBLISHED.items() if ours in types}
    return (
        f"{word} {', '.join([names, *ordering])} FROM ({nothing({**own, **beside})} UNION ALL BY NAME "
        f"SELECT * FROM read_parquet({files}, {options}, allow_empty = true))"
    )


_BESIDE = {"filename": "VARCHAR", "file_row_number": "BIGINT", _FILE: "VARCHAR"}
"""Columns that ``read_parquet`` adds where its options name them."""


def _utc(name: str) -> str:
    """Return a time with a zone as UTC's without one: DuckDB skips row groups by it, not by ``AT TIME ZONE``."""
    return f"make_timestamp(epoch_us({quoted(name)}))"
