"""What can exist: market x data type x interval x partition, from ``matrix/binance.json``.

The file is data, validated by the models below when it is first needed. A new data type is a row there
and a schema beside it, not code. What *does* exist is the archive's listing, not this table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from cryptolake.archive.enums import DataType, Interval, Market, Partition, dataset_name
from cryptolake.archive.periods import DAY_IN_KEY, MONTH_IN_KEY
from cryptolake.errors import InvalidQuery

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import polars as pl

Status = Literal["live", "discontinued", "never_observed"]
"""What is known of a row: files still appear, they stopped at ``last_date``, or none was ever seen."""

_FIELDS = {
    "partition": r"(?P<partition>daily|monthly)",
    "symbol": r"(?P<symbol>[^/]+)",
    "interval": r"(?P<interval>[0-9a-z]+)",
    "period": rf"(?P<period>{DAY_IN_KEY}|{MONTH_IN_KEY})",
}

_PART = r"(?!\.{1,2}(?:/|$))(?:[\w.-]|\{\w+\})+"
_KEY = re.compile(rf"{_PART}(?:/{_PART})+", re.ASCII)
"""A key's pattern. Its parts become folders, and words of a command: none climbs, and none has a sign to be quoted."""


class Row(BaseModel):
    """One market x data type of the archive.

    ``key_pattern`` is the whole S3 key with ``{partition}``, ``{symbol}``, ``{interval}`` and
    ``{period}`` in it; ``intervals`` says which intervals each partition has (empty where the type has
    no interval level).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    market: Market
    data_type: DataType
    partitions: tuple[Partition, ...]
    intervals: dict[Partition, tuple[Interval, ...]]
    key_pattern: str
    filename_pattern: str
    first_date: date
    last_date: date | None
    status: Status
    evidence: str
    example_symbol: str
    notes: tuple[str, ...]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        fields = set(re.findall(r"\{(\w+)\}", self.key_pattern))
        wanted = {"partition", "symbol", "period"} | ({"interval"} if self.has_interval else set())
        if fields != wanted:
            message = f"key_pattern of {self.dataset} has {sorted(fields)}, not {sorted(wanted)}"
            raise ValueError(message)
        if not _KEY.fullmatch(self.key_pattern):
            message = f"key_pattern of {self.dataset} is no key: folders and a name of A-Z, a-z, 0-9, '_', '-', '.'"
            raise ValueError(message)
        if self.key_pattern.rsplit("/", 1)[1] != self.filename_pattern:
            message = f"filename_pattern of {self.dataset} is not the end of its key_pattern"
            raise ValueError(message)
        if self.has_interval and set(self.intervals) != set(self.partitions):
            message = f"intervals of {self.dataset} do not name its partitions"
            raise ValueError(message)
        return self

    @property
    def dataset(self) -> str:
        """The dataset's SQL name, e.g. ``futures_um_agg_trades``."""
        return dataset_name(self.market, self.data_type)

    @property
    def has_interval(self) -> bool:
        """Whether the type has an interval level."""
        return bool(self.intervals)

    @property
    def all_intervals(self) -> tuple[Interval, ...]:
        """Every interval that some partition has, shortest first."""
        named = {interval for intervals in self.intervals.values() for interval in intervals}
        return tuple(interval for interval in Interval if interval in named)

    def partitions_of(self, interval: Interval | None) -> tuple[Partition, ...]:
        """Return the partitions that can hold this interval."""
        if interval is None:
            return self.partitions
        return tuple(p for p in self.partitions if interval in self.intervals.get(p, ()))

    @cached_property
    def _key_regex(self) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", self.key_pattern)
        seen: set[str] = set()
        pattern = ""
        for index, part in enumerate(parts):
            if index % 2 == 0:
                pattern += re.escape(part)
            elif part in seen:
                pattern += f"(?P={part})"
            else:
                seen.add(part)
                pattern += _FIELDS[part]
        return re.compile(pattern)

    def match(self, key: str) -> re.Match[str] | None:
        """Match a whole key against the row's pattern; the groups are its parts as text."""
        return self._key_regex.fullmatch(key)


class Matrix(BaseModel):
    """Every row that can exist, and where the archive is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    archive: str
    bucket: str
    region: str
    first_date: date
    rows: tuple[Row, ...]

    @cached_property
    def _by_dataset(self) -> dict[tuple[Market, DataType], Row]:
        return {(row.market, row.data_type): row for row in self.rows}

    def __contains__(self, pair: tuple[Market, DataType]) -> bool:
        return pair in self._by_dataset

    def row(self, market: Market, data_type: DataType) -> Row:
        """Return the row of a market and data type.

        Raises
        ------
        InvalidQuery
            The market has no such data type; the message names those it has.
        """
        found = self._by_dataset.get((market, data_type))
        if found is not None:
            return found
        types = [row.data_type.value for row in self.of_market(market)]
        markets = [row.market.value for row in self.rows if row.data_type is data_type]
        message = (
            f"{market.value} has no {data_type.value}; it has {', '.join(types)}. "
            f"{data_type.value} exists for {', '.join(markets)}."
        )
        raise InvalidQuery(
            message, what="data type", given=data_type.value, market=market.value, allowed=types
        )

    def _repr_html_(self) -> str:
        from cryptolake.archive.matrix_table import matrix_html

        return matrix_html(self)

    def of_market(self, market: Market) -> Iterator[Row]:
        """Yield the rows of one market."""
        return (row for row in self.rows if row.market is market)

    def live_row_near(self, row: Row) -> Row | None:
        """Return the live row most like one that has nothing: the same type, else the same market."""
        live = [other for other in self.rows if other.status == "live" and other is not row]
        same_type = [other for other in live if other.data_type is row.data_type]
        same_market = [other for other in live if other.market is row.market]
        return next(iter(same_type + same_market), None)


_own: list[Matrix] = []
"""The matrices that stand in the place of the package's, the one in use last. All threads see them."""


@contextmanager
def using_matrix(matrix: Matrix | None) -> Iterator[None]:
    """Have a matrix of one's own stand in the place of the package's, in the whole process, while the block runs.

    Parameters
    ----------
    matrix
        The rows that exist, with the pattern of their keys; None changes nothing.
    """
    if matrix is None:
        yield
        return
    _own.append(matrix)
    try:
        yield
    finally:
        _own.remove(matrix)


def load_matrix() -> Matrix:
    """Return the matrix in use: one of the user's own (:func:`using_matrix`), or the one that ships with the package.

    :func:`cryptolake.matrix` has the same as a frame.

    Returns
    -------
    Matrix
        ``rows`` has a row a market and data type; ``row(market, data_type)`` gives one.

    Examples
    --------
    >>> import cryptolake as cl
    >>> from cryptolake.archive.enums import DataType, Interval, Market
    >>> row = cl.load_matrix().row(Market.SPOT, DataType.KLINES)
    >>> row.partitions_of(Interval.W1)
    (<Partition.MONTHLY: 'monthly'>,)
    """
    return _own[-1] if _own else shipped_matrix()


@lru_cache(maxsize=1)
def shipped_matrix() -> Matrix:
    """Load and validate the matrix that ships with the package."""
    return Matrix.model_validate(json.loads(data_file("binance.json").read_bytes()))


def data_file(name: str) -> Traversable:
    """Return a file of ``matrix/``: inside the package when installed, beside it in a checkout."""
    packaged = resources.files("cryptolake") / "matrix_data" / name
    if packaged.is_file():
        return packaged
    return Path(__file__).parents[2] / "matrix" / name


def matrix() -> pl.DataFrame:
    """Return the availability matrix, one row per market and data type.

    Returns
    -------
    polars.DataFrame
        ``market, data_type, dataset, status, first_date, last_date, partitions, intervals,
        daily_intervals, monthly_intervals, key_pattern, filename_pattern, evidence, notes``; dates are
        UTC days, lists hold text. The whole of it shows itself as a grid of markets and data types.

    Examples
    --------
    >>> import cryptolake as cl
    >>> cl.matrix().filter(market="options")["data_type"].to_list()
    ['BVOLIndex', 'EOHSummary']
    """
    import polars as pl

    from cryptolake.archive.matrix_table import MatrixTable

    return MatrixTable(
        [
            {
                "market": row.market.value,
                "data_type": row.data_type.value,
                "dataset": row.dataset,
                "status": row.status,
                "first_date": row.first_date,
                "last_date": row.last_date,
                "partitions": [partition.value for partition in row.partitions],
                "intervals": [interval.value for interval in row.all_intervals],
                "daily_intervals": [i.value for i in row.intervals.get(Partition.DAILY, ())],
                "monthly_intervals": [i.value for i in row.intervals.get(Partition.MONTHLY, ())],
                "key_pattern": row.key_pattern,
                "filename_pattern": row.filename_pattern,
                "evidence": row.evidence,
                "notes": " ".join(row.notes),
            }
            for row in load_matrix().rows
        ],
        schema_overrides={
            "last_date": pl.Date,
            "intervals": pl.List(pl.String),
            "daily_intervals": pl.List(pl.String),
            "monthly_intervals": pl.List(pl.String),
        },
    )
