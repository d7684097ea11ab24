"""The columns by which a Parquet file says what it is of: ``market``, ``symbol`` and ``interval``.

They have the names of the folders above the file. pyarrow, and pandas with it, refuses such a column unless its Arrow
type is the one that they give the folder: a dictionary of ``int32`` and ``string``. Polars has no type that
becomes this one, so the Arrow schema that a file carries is made here and handed to Polars as metadata.
Parquet's own type of the columns is text either way, and engines without Arrow see text.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

import polars as pl

IDENTITY: Final = ("market", "symbol", "interval")
_KEY = "ARROW:schema"
_CONTINUES = 0xFFFF_FFFF
# Places in the tables of Arrow's Message, Schema, Field and DictionaryEncoding.
_HEADER, _FIELDS, _DICTIONARY, _METADATA, _INDEX_TYPE = 2, 1, 4, 6, 1


AS_TEXT: Final = pl.ScanCastOptions(categorical_to_string="allow")
"""For a scan whose schema has such columns as text: files have them as dictionaries, or as text."""


def as_text(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of a file with these columns as text."""
    return rows.with_columns(
        pl.col(name).cast(pl.String) for name in IDENTITY if name in rows.columns
    )


def named(market: str, symbol: str | None, interval: str | None) -> dict[str, pl.Expr]:
    """Return the constant columns of one file, without those that are None.

    Examples
    --------
    >>> pl.DataFrame({"open": [1.5]}).select(**named("spot", "BTCUSDT", None)).row(0)
    ('spot', 'BTCUSDT')
    """
    values = zip(IDENTITY, (market, symbol, interval), strict=True)
    # An enum of one word takes a byte a row while the file is written.
    return {
        name: pl.lit(value, dtype=pl.Enum([value])) for name, value in values if value is not None
    }


def constants(rows: int, market: str, symbol: str | None, interval: str | None) -> list[pl.Series]:
    """Return the columns of :func:`named` for so many rows.

    Examples
    --------
    >>> [column.to_list() for column in constants(2, "spot", "BTCUSDT", None)]
    [['spot', 'spot'], ['BTCUSDT', 'BTCUSDT']]
    """
    values = zip(IDENTITY, (market, symbol, interval), strict=True)
    return [
        pl.Series(name, [value], pl.Enum([value])).new_from_index(0, rows)
        for name, value in values
        if value is not None
    ]


def arrow_metadata(types: Mapping[str, Any], path: str) -> dict[str, str]:
    """Return the metadata of a file with these columns: its Arrow schema.

    Columns that are named as a folder of the path are dictionaries in it; ``symbol`` is text where a file has
    several symbols and no folder of its name, so that readers skip row groups by it.

    Examples
    --------
    >>> import pyarrow.parquet
    >>> file, rows = BytesIO(), pl.DataFrame({"symbol": ["BTCUSDT"], "open": [1.5]})
    >>> rows.write_parquet(
    ...     file, metadata=arrow_metadata(rows.schema, "symbol=BTCUSDT/2024-01.parquet")
    ... )
    >>> pyarrow.parquet.read_schema(file).field("symbol").type
    DictionaryType(dictionary<values=string, indices=int32, ordered=0>)
    """
    levels = {level.partition("=")[0] for level in path.split("/")[:-1]}
    return {_KEY: _schema(tuple(types.items()), frozenset(levels.intersection(IDENTITY)))}


@lru_cache(maxsize=256)
def _schema(types: tuple[tuple[str, Any], ...], named: frozenset[str]) -> str:
    file = BytesIO()
    columns = {name: pl.Categorical() if name in named else kind for name, kind in types}
    pl.DataFrame(schema=columns).write_parquet(file)
    file.seek(0)
    message = _Message(base64.b64decode(pl.read_parquet_metadata(file)[_KEY]))
    for field in message.fields():
        if message.name(field) in named:
            message.set_signed_index(field)
    return base64.b64encode(message.encoded()).decode()


class _Message:
    """An Arrow schema as a message of Arrow's IPC format, whose tables are FlatBuffers."""

    def __init__(self, message: bytes) -> None:
        (first,) = struct.unpack_from("<I", message)
        self._data = bytearray(message[8 if first == _CONTINUES else 4 :])

    def fields(self) -> list[int]:
        """Return where the tables of the columns are."""
        schema = self._follow(self._number("<I", 0), _HEADER)
        columns = self._follow(schema, _FIELDS)
        places = range(columns + 4, columns + 4 + 4 * self._number("<I", columns), 4)
        return [place + self._number("<I", place) for place in places]

    def name(self, field: int) -> str:
        """Return a column's name."""
        text = self._follow(field, 0)
        return self._data[text + 4 : text + 4 + self._number("<I", text)].decode()

    def set_signed_index(self, field: int) -> None:
        """Give a dictionary's index the type ``int32``.

        What Polars notes of its own type goes: it would not fit.
        """
        self._leave_out(field, _METADATA)
        place = self._place(self._follow(field, _DICTIONARY), _INDEX_TYPE)
        self._align()
        # The table Int with the list of where its values are before it: 32 bits, signed.
        struct.pack_into("<I", self._data, place, len(self._data) + 8 - place)
        self._data.extend(struct.pack("<4H", 8, 12, 4, 8) + struct.pack("<iiB3x", 8, 32, 1))

    def encoded(self) -> bytes:
        """Return the message with its length in front, a multiple of eight bytes."""
        self._align()
        return struct.pack("<II", _CONTINUES, len(self._data)) + self._data

    def _leave_out(self, table: int, slot: int) -> None:
        """Give a table a list of its values without one; tables share these lists, so it is a new one."""
        old = table - self._number("<i", table)
        size = self._number("<H", old)
        values = self._data[old : old + size]
        if 4 + 2 * slot < size:
            struct.pack_into("<H", values, 4 + 2 * slot, 0)
        self._align()
        struct.pack_into("<i", self._data, table, table - len(self._data))
        self._data.extend(values)

    def _follow(self, table: int, slot: int) -> int:
        """Return where a table's value is that stands elsewhere."""
        place = self._place(table, slot)
        return place + self._number("<I", place)

    def _place(self, table: int, slot: int) -> int:
        values = table - self._number("<i", table)
        return table + self._number("<H", values + 4 + 2 * slot)

    def _align(self) -> None:
        self._data.extend(bytes(-len(self._data) % 8))

    def _number(self, kind: str, place: int) -> int:
        number: int = struct.unpack_from(kind, self._data, place)[0]
        return number
