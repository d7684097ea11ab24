"""What every dataset's files look like, and what becomes of them in Silver, from ``matrix/schemas.json``.

The file is data, validated here when first needed: one entry per dataset, where an entry may say that
it is ``like`` another and name only what differs. What a single file holds (a header or not, ms or us,
columns more or fewer) is never taken from here or from its date: it is seen in the file
(:mod:`cryptolake.bronze.sniff`) and then checked against this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from functools import cached_property, lru_cache
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cryptolake.archive.enums import DataType, Interval, Market, dataset_name
from cryptolake.archive.matrix import data_file
from cryptolake.archive.periods import parse_duration
from cryptolake.errors import InvalidQuery, unknown_word

Kind = Literal[
    "time",  # epoch milliseconds or microseconds, told apart by magnitude
    "text_time",  # YYYY-MM-DD HH:MM:SS without a zone, UTC
    "date",
    "price",
    "quantity",
    "ratio",
    "count",
    "id",
    "flag",
    "category",
    "text",
    "file_symbol",  # repeats the symbol of the file's name: checked, and left out of Silver
    "part",  # text that derived columns are made of, and left out of Silver
    "unused",  # published, of no use: left out of Silver
]
"""What a column holds, which fixes its type in Silver."""

FLOATS = frozenset({"price", "quantity", "ratio"})
"""The kinds that are Float64 in Silver, and Decimal where exact values are asked for."""

_DROPPED = frozenset({"file_symbol", "part", "unused"})

BAR = "interval"
"""The duration that is the length of the row's own bar."""

RULES_VERSION = "1"
"""Grows when the normalizer makes other rows of bytes that the archive has, so that Silver is built anew."""

FILE_VERSION = "columns"
"""What new Silver files have that older ones lack; the rows are the same, so older files stay current."""


def rows_version(schema_version: str) -> str:
    """Return which rows a file of some schema version has, however it is written.

    Examples
    --------
    >>> rows_version("1.1"), rows_version("1.1+columns")
    ('1.1', '1.1')
    """
    return schema_version.partition("+")[0]


class Column(BaseModel):
    """One published column: its names, what it holds, and its name in Silver.

    ``published`` holds every spelling seen in headers, the usual one first. An empty cell, also spelled
    as a pair of quotes, is null where ``nullable``, else the row is rejected; so is a number listed in
    ``null_numbers``. A column that is not ``required`` may be absent from a file and is null then. One that
    ``names_symbol`` must name the symbol that the file's own name has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    published: tuple[str, ...] = Field(min_length=1)
    kind: Kind
    unit: str
    meaning: str
    required: bool = True
    nullable: bool = False
    null_numbers: tuple[float, ...] = ()
    names_symbol: bool = False

    @property
    def in_silver(self) -> bool:
        """Whether the column is kept in Silver."""
        return self.kind not in _DROPPED


class Derived(BaseModel):
    """A Silver column made of published ones: ``how`` names the way, ``columns`` what it needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    how: Literal["date_and_hour", "strike_expiry", "strike_price"]
    columns: tuple[str, ...]
    kind: Kind
    unit: str
    meaning: str


class Check(BaseModel):
    """A rule that every row is held to.

    ``test``: ``positive`` (> 0), ``not_negative`` (>= 0), ``ordered`` (the columns rise, ties allowed),
    ``closes_bar`` (close_time is the last instant of the bar), ``on_grid`` (a multiple of the interval).
    ``action``: ``reject`` moves the row to ``meta.rejects``; ``flag`` keeps it and records a finding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    test: Literal["positive", "not_negative", "ordered", "closes_bar", "on_grid"]
    columns: tuple[str, ...]
    action: Literal["reject", "flag"]


class KnownTime(BaseModel):
    """One bound of when a row is known: a time of the row, and how long after it.

    ``plus`` is a duration, or ``interval``: the length of the row's bar. Rows whose time is at or after
    the UTC day ``since`` take ``then`` instead: the clock of the files became finer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    plus: str
    since: date | None = None
    then: str | None = None

    @model_validator(mode="after")
    def _are_durations(self) -> Self:
        if (self.since is None) != (self.then is None):
            message = "a known time has both 'since' and 'then', or neither"
            raise ValueError(message)
        for text in (self.plus, self.then):
            if text not in {None, BAR}:
                parse_duration(text)
        return self

    def __str__(self) -> str:
        words = self.column if self.plus == "0s" else f"{self.column} + {self.plus}"
        return words if self.since is None else f"{words} ({self.then} since {self.since})"


class Schema(BaseModel):
    """The columns of one dataset, its key, order, time and checks.

    ``key`` are the columns that no two rows share, ``sort`` the order of Silver, ``time`` the column
    that puts a row into its month, ``id`` the running number, where there is one, and ``skipping`` the
    running numbers of which the venue leaves some out. ``early`` and ``late`` are the seconds by which a
    row's time may lie before or after the period of its file, and ``late_until`` the last day whose file is
    known to end with rows of the next: a plan takes the file before the days asked for in up to then.
    A row is ``known`` at the latest of these times; ``max_age`` is how long it may stand for the present
    where it is joined to other rows (``interval``: while the next bar is not due), None where one row says
    too little to be joined alone.

    Examples
    --------
    >>> schema = schema_of("futures_cm", "klines")
    >>> [column.name for column in schema.columns if "base" in column.name]
    ['base_volume', 'taker_buy_base_volume']
    >>> schema.published_names[7], schema.column("base_volume").unit
    ('quote_volume', 'base asset')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    market: Market
    data_type: DataType
    version: str
    columns: tuple[Column, ...]
    derived: tuple[Derived, ...] = ()
    key: tuple[str, ...]
    sort: tuple[str, ...]
    time: str
    id: str | None = None
    skipping: tuple[str, ...] = ()
    early: int = 0
    late: int = 0
    late_until: date | None = None
    known: tuple[KnownTime, ...] = Field(min_length=1)
    max_age: str | None = None
    checks: tuple[Check, ...] = ()
    quirks: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        silver = set(self.silver_names)
        if len(silver) != len(self.silver_names):
            message = f"{self.dataset} names a Silver column twice: {self.silver_names}"
            raise ValueError(message)
        named = {*self.key, *self.sort, self.time, *self.skipping, *([self.id] if self.id else [])}
        named |= {column for check in self.checks for column in check.columns}
        named |= {bound.column for bound in self.known}
        if not named <= silver:
            message = f"{self.dataset} has no Silver columns {sorted(named - silver)}"
            raise ValueError(message)
        spellings = [name for column in self.columns for name in column.published]
        if len(spellings) != len(set(spellings)):
            message = f"{self.dataset} gives one published name to two columns"
            raise ValueError(message)
        if self.max_age not in {None, BAR}:
            parse_duration(self.max_age)
        return self

    @property
    def dataset(self) -> str:
        """The dataset's SQL name."""
        return dataset_name(self.market, self.data_type)

    @property
    def file_version(self) -> str:
        """The schema version that new Silver files say: of the rows, and of the columns beside them.

        Examples
        --------
        >>> schema_of("spot", "klines").file_version.endswith("+columns")
        True
        """
        return f"{self.version}+{FILE_VERSION}"

    @property
    def known_words(self) -> str:
        """When a row is known, in words.

        Examples
        --------
        >>> schema_of("spot", "klines").known_words
        'the later of open_time + interval, close_time + 1us'
        """
        words = ", ".join(str(bound) for bound in self.known)
        return words if len(self.known) == 1 else f"the later of {words}"

    @property
    def published_names(self) -> tuple[str, ...]:
        """The columns as published, in order; files without a header have them in this order."""
        return tuple(column.published[0] for column in self.columns)

    @cached_property
    def silver_columns(self) -> tuple[Column | Derived, ...]:
        """What Silver holds, in order: a derived time first, other derived columns last."""
        kept = [column for column in self.columns if column.in_silver]
        first = [column for column in self.derived if column.name == self.time]
        last = [column for column in self.derived if column.name != self.time]
        return (*first, *kept, *last)

    @cached_property
    def silver_names(self) -> tuple[str, ...]:
        """The names of Silver's columns, in order."""
        return tuple(column.name for column in self.silver_columns)

    def column(self, name: str) -> Column:
        """Return a published column by its Silver name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def silver_dtypes(self) -> dict[str, Any]:
        """Return the Polars type of each Silver column, in order.

        Examples
        --------
        >>> schema_of("spot", "trades").silver_dtypes()["time"]
        Datetime(time_unit='us', time_zone='UTC')
        """
        return {column.name: _silver_dtype(column.kind) for column in self.silver_columns}

    def published_dtypes(self) -> dict[str, Any]:
        """Return the Polars type in which each published column is read raw (times as integers)."""
        import polars as pl

        raw = {"time": pl.Int64, "count": pl.Int64, "id": pl.Int64, "flag": pl.Boolean}
        return {
            column.published[0]: pl.Float64
            if column.kind in FLOATS or column.kind == "unused"
            else raw.get(column.kind, pl.String)
            for column in self.columns
        }

    def tolerance(self, interval: Interval | None) -> tuple[int, int]:
        """Return the seconds by which a time may lie before and after its file's period.

        Bars longer than a day may open before the day or month whose file they are in.

        Examples
        --------
        >>> schema_of("spot", "klines").tolerance(Interval.W1)
        (604800, 0)
        >>> schema_of("futures_um", "metrics").tolerance(None)
        (0, 300)
        """
        early = self.early
        if interval is Interval.MO1:
            early += 31 * 86_400
        elif interval is not None and interval.length is not None and interval.length.days > 1:
            early += int(interval.length.total_seconds())
        return early, self.late


def _silver_dtype(kind: Kind) -> Any:
    import polars as pl

    if kind in FLOATS:
        return pl.Float64()
    types: dict[str, Any] = {
        "time": pl.Datetime("us", "UTC"),
        "text_time": pl.Datetime("us", "UTC"),
        "date": pl.Date(),
        "count": pl.Int64(),
        "id": pl.Int64(),
        "flag": pl.Boolean(),
        "category": pl.Categorical(),
    }
    return types.get(kind, pl.String())


@lru_cache(maxsize=1)
def load_schemas() -> dict[tuple[Market, DataType], Schema]:
    """Load and validate the schemas that ship with the package.

    Examples
    --------
    >>> len(load_schemas())
    29
    """
    data = json.loads(data_file("schemas.json").read_bytes())
    by_name = {
        dataset_name(entry["market"], entry["data_type"]): entry for entry in data["datasets"]
    }
    version = data["version"]  # an entry has its own once its rows are others than before
    resolved = [_resolved(entry, by_name) for entry in by_name.values()]
    schemas = [
        Schema.model_validate(
            {**entry, "version": f"{entry.get('version', version)}.{RULES_VERSION}"}
        )
        for entry in resolved
    ]
    return {(schema.market, schema.data_type): schema for schema in schemas}


def schema_of(market: str, data_type: str) -> Schema:
    """Return the schema of a market's data type.

    Raises
    ------
    InvalidQuery
        The market has no such data type; the message names those it has.

    Examples
    --------
    >>> schema_of("spot", "klines").silver_names[:3]
    ('open_time', 'open', 'high')
    """
    schemas = load_schemas()
    pair = (Market(market), DataType(data_type))
    if pair in schemas:
        return schemas[pair]
    types = [data_type.value for own, data_type in schemas if own is pair[0]]
    error: InvalidQuery = unknown_word(f"data type of {market}", str(data_type), types)
    raise error


def _resolved(entry: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Follow ``like``: copy the other entry, drop and change columns, and rename them everywhere."""
    if "like" not in entry:
        return dict(entry)
    base = _resolved(by_name[entry["like"]], by_name)
    changes: Mapping[str, Mapping[str, Any]] = entry.get("columns", {})
    dropped = set(entry.get("drop", ()))
    unknown = (set(changes) | dropped) - {column["name"] for column in base["columns"]}
    if unknown:
        message = f"{entry['like']} has no columns {sorted(unknown)} to change"
        raise ValueError(message)
    columns = [
        {**column, **changes.get(column["name"], {})}
        for column in base["columns"]
        if column["name"] not in dropped
    ]
    renamed = {old: change["name"] for old, change in changes.items() if "name" in change}

    def rename(names: list[str]) -> list[str]:
        return [renamed.get(name, name) for name in names if name not in dropped]

    checks = [
        {**check, "columns": rename(check["columns"])}
        for check in base.get("checks", ())
        if check["rule"] not in entry.get("drop_checks", ())
    ]
    own = {
        name: value
        for name, value in entry.items()
        if name not in {"like", "columns", "drop", "drop_checks"}
    }
    quirks = own.get("quirks", base.get("quirks", ()))
    return {
        **base,
        "columns": columns,
        "checks": checks,
        "key": rename(base["key"]),
        "sort": rename(base["sort"]),
        **own,
        "quirks": quirks,
    }
