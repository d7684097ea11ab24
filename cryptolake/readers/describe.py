"""What a dataset is: its columns, types, units, keys, dates and quirks, from the matrix and the schemas.

Nothing here is written twice: the matrix says where files are, the schemas what is in them, and
``matrix/examples.json`` has a row of the real archive for each dataset of which one was seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptolake.archive.enums import Interval, parse_data_type, parse_market
from cryptolake.archive.keys import ArchiveKey
from cryptolake.archive.matrix import Row, data_file, load_matrix
from cryptolake.archive.periods import Period
from cryptolake.archive.schemas import Column, Schema, schema_of

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Example:
    """A row of the real archive: the key of its file, its line, and where it was seen."""

    key: str
    line: str
    seen: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The line's cells, as published."""
        return tuple(self.line.split(","))


@dataclass(frozen=True)
class Description:
    """A dataset, described; ``repr`` is plain text, :attr:`columns` a frame, :meth:`to_dict` for JSON.

    Examples
    --------
    >>> import cryptolake as cl
    >>> about = cl.Lake("/data/lake").describe("futures_um", "fundingRate")
    >>> about.partitions, str(about.first_date), about.example.cells[1]
    (('monthly',), '2020-01-01', '8')
    >>> about.columns.columns
    ['published', 'name', 'silver_type', 'unit', 'meaning', 'required', 'nullable', 'example']
    """

    row: Row
    schema: Schema
    example: Example | None

    @property
    def dataset(self) -> str:
        """The name in SQL."""
        return self.row.dataset

    @property
    def market(self) -> str:
        """The market."""
        return self.row.market.value

    @property
    def data_type(self) -> str:
        """The data type, as the archive spells it."""
        return self.row.data_type.value

    @property
    def key_pattern(self) -> str:
        """The archive key, with what varies in braces."""
        return self.row.key_pattern

    @property
    def partitions(self) -> tuple[str, ...]:
        """The archive's trees that have it: daily, monthly."""
        return tuple(partition.value for partition in self.row.partitions)

    @property
    def intervals(self) -> dict[str, tuple[str, ...]]:
        """The intervals of each partition; empty where the type has none."""
        return {
            partition.value: tuple(interval.value for interval in found)
            for partition, found in self.row.intervals.items()
        }

    @property
    def first_date(self) -> Any:
        """The first UTC day known of the dataset (a ``datetime.date``)."""
        return self.row.first_date

    @property
    def last_date(self) -> Any:
        """The last UTC day of a dataset that stopped; None while files still appear."""
        return self.row.last_date

    @property
    def status(self) -> str:
        """``live``, ``discontinued`` or ``never_observed``."""
        return self.row.status

    @property
    def quirks(self) -> tuple[str, ...]:
        """What to know before using it: notes of the matrix, then of the schema."""
        return tuple(dict.fromkeys((*self.row.notes, *self.schema.quirks)))

    @property
    def known(self) -> str:
        """When a row is known, in words; :func:`cryptolake.known` is the same as an expression."""
        return self.schema.known_words

    @property
    def columns(self) -> pl.DataFrame:
        """The columns, a row each.

        ``published`` (name in the file; null where Silver makes it), ``name`` (in Silver; null where it is left out),
        ``silver_type``, ``unit``, ``meaning``, ``required``, ``nullable``, ``example`` (a value of the real archive).
        """
        import polars as pl

        types = self.schema.silver_dtypes()
        cells = self.example.cells if self.example else ()
        rows = [
            _column(column, types, cells[place] if place < len(cells) else None)
            for place, column in enumerate(self.schema.columns)
        ]
        rows += [
            {
                "published": None,
                "name": made.name,
                "silver_type": _type(types[made.name]),
                "unit": made.unit,
                "meaning": f"{made.meaning} (made of {', '.join(made.columns)})",
                "required": True,
                "nullable": False,
                "example": None,
            }
            for made in self.schema.derived
        ]
        texts = ("published", "name", "silver_type", "unit", "meaning", "example")
        overrides = {
            **dict.fromkeys(texts, pl.String),
            "required": pl.Boolean,
            "nullable": pl.Boolean,
        }
        return pl.DataFrame(rows, schema_overrides=overrides).select(
            "published", "name", "silver_type", "unit", "meaning", "required", "nullable", "example"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, fit for JSON once dates are text.

        Returns
        -------
        dict
            By name: ``dataset``, ``key_pattern``, ``intervals``, ``columns`` (a list of dicts), ``quirks`` and so on.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Lake("/data/lake").describe("spot", "trades").to_dict()["sort_columns"]
        ['time', 'trade_id']
        """
        return {
            "dataset": self.dataset,
            "market": self.market,
            "data_type": self.data_type,
            "status": self.status,
            "evidence": self.row.evidence,
            "key_pattern": self.key_pattern,
            "partitions": list(self.partitions),
            "intervals": {name: list(found) for name, found in self.intervals.items()},
            "first_date": self.first_date,
            "last_date": self.last_date,
            "key_columns": list(self.schema.key),
            "sort_columns": list(self.schema.sort),
            "known": self.known,
            "columns": self.columns.to_dicts(),
            "example_key": self.example.key if self.example else None,
            "quirks": list(self.quirks),
        }

    def __repr__(self) -> str:
        head = [f"{name:<11} {value}" for name, value in self.facts()]
        tail = ["", *(f"- {quirk}" for quirk in self.quirks)] if self.quirks else []
        return "\n".join([*head, "", *self._table(), *tail])

    def _repr_html_(self) -> str:
        from cryptolake.render.html import drawing, facts, table, text

        head = f"<h4>{text(self.dataset)}</h4>" + facts(
            [(name, value) for name, value in self.facts() if name != "dataset"]
        )
        names = ["published", "Silver", "type", "unit", "meaning", "example"]
        quirks = "".join(f"<li>{text(quirk)}</li>" for quirk in self.quirks)
        return drawing(head, table(names, self._cells()), f"<ul>{quirks}</ul>" if quirks else "")

    def facts(self) -> list[tuple[str, str]]:
        """Return what there is to say of it beside its columns and quirks.

        Returns
        -------
        list of tuple of str
            Pairs of a name and a text.

        Examples
        --------
        >>> import cryptolake as cl
        >>> dict(cl.Lake("/data/lake").describe("spot", "trades").facts())["partitions"]
        'daily, monthly'
        """
        until = f" to {self.last_date}" if self.last_date else ""
        found = [
            ("dataset", self.dataset),
            ("key", self.key_pattern),
            ("partitions", ", ".join(self.partitions)),
            ("dates", f"{self.first_date}{until or ' on'}"),
            ("status", f"{self.status} ({self.row.evidence})"),
            ("unique by", ", ".join(self.schema.key)),
            ("sorted by", ", ".join(self.schema.sort)),
            ("known at", self.known),
        ]
        if self.intervals:
            words = (f"{name}: {' '.join(them)}" for name, them in self.intervals.items())
            found.insert(3, ("intervals", "; ".join(words)))
        if self.example:
            found.append(("example", f"{self.example.key} ({self.example.seen})"))
        return found

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                row["published"] or "-",
                row["name"] or "left out",
                row["silver_type"] or "",
                row["unit"] or "",
                row["meaning"],
                row["example"] or "",
            )
            for row in self.columns.iter_rows(named=True)
        ]

    def _table(self) -> list[str]:
        rows = [("published", "Silver", "type", "unit", "meaning", "example"), *self._cells()]
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
        order = (0, 1, 2, 3, 5, 4)  # the meaning last: it is the long one
        return [
            "  ".join(row[place].ljust(widths[place]) for place in order).rstrip() for row in rows
        ]


def describe(market: str, data_type: str) -> Description:
    """Describe a dataset. Pure: no lake and no archive is asked.

    Parameters
    ----------
    market, data_type
        As a query takes them; snake case and the alias ``premiumIndex`` included.

    Raises
    ------
    InvalidQuery
        An unknown word, or a type that the market does not have.

    Examples
    --------
    >>> print(str(describe("options", "BVOLIndex")).splitlines()[1])
    key         data/option/{partition}/BVOLIndex/{symbol}/{symbol}-BVOLIndex-{period}.zip
    """
    row = load_matrix().row(parse_market(market), parse_data_type(data_type))
    return Description(row, schema_of(row.market, row.data_type), _examples().get(row.dataset))


def _column(column: Column, types: dict[str, Any], example: str | None) -> dict[str, Any]:
    return {
        "published": column.published[0],
        "name": column.name if column.in_silver else None,
        "silver_type": _type(types[column.name]) if column.in_silver else None,
        "unit": column.unit,
        "meaning": column.meaning,
        "required": column.required,
        "nullable": column.nullable,
        "example": example,
    }


def _type(dtype: Any) -> str:
    return str(dtype).replace("Datetime(time_unit='us', time_zone='UTC')", "Datetime(us, UTC)")


@lru_cache(maxsize=1)
def _examples() -> dict[str, Example]:
    rows = {row.dataset: row for row in load_matrix().rows}
    found = {}
    for dataset, example in json.loads(data_file("examples.json").read_bytes()).items():
        row = rows[dataset]
        interval = Interval(example["interval"]) if row.has_interval else None
        period = Period.parse(example["period"])
        key = ArchiveKey(row.market, row.data_type, example["symbol"], interval, period).key
        found[dataset] = Example(key, example["line"], example["seen"])
    return found
