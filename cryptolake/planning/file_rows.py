"""What is read of a plan's or lock's file, checked one by one: it may come from anywhere, and its keys become paths."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import polars as pl

from cryptolake.archive.keys import parse_key
from cryptolake.errors import CryptolakeError, LockError, PlanError, printable

MOST_FILES = 5_000_000
"""Files that a plan's file may name."""

LARGEST = 2**46
"""Bytes that one file may have, more than S3 takes."""

LONGEST = 1024
"""Letters of a text: a key has no more."""

STATUSES = frozenset({"new", "updated", "cached", "unrecorded", "quarantined"})

_TEXTS = ("etag", "checksum_etag", "last_modified", "selector")
_TOTAL = 2**63 - 1


class FileRows:
    """Turns a plan's rows into frames; what no plan of this release would hold is a ValueError.

    Parameters
    ----------
    columns
        The names of the cells of a row, in their order.
    schema
        The columns of the frames.
    """

    def __init__(self, columns: Any, schema: dict[str, Any]) -> None:
        names = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
        if not names or len(columns) > 64 or len(set(columns)) < len(columns):
            message = "its columns are no list of names"
            raise ValueError(message)
        if lacking := [name for name in schema if name not in columns]:
            message = f"it has no column {lacking[0]!r}"
            raise ValueError(message)
        self._columns: list[str] = columns
        self._schema = schema
        self._files = self._total = 0

    def frames(self, pieces: Iterable[Any]) -> Iterator[pl.DataFrame]:
        """Yield the frame of each piece, a list of rows.

        Raises
        ------
        ValueError
            What is wrong with a row.
        """
        for piece in pieces:
            if not isinstance(piece, list):
                message = "its files are no list of rows"
                raise ValueError(message)  # noqa: TRY004 - a wrong file, not a wrong call
            rows = [self._row(cells) for cells in piece]
            data = {name: [row[name] for row in rows] for name in self._schema}
            data["last_modified"] = [text and moment(text) for text in data["last_modified"]]
            yield pl.DataFrame(data, schema=self._schema)

    def _row(self, cells: Any) -> dict[str, Any]:
        if not isinstance(cells, list) or len(cells) != len(self._columns):
            message = f"a row has not the {len(self._columns)} cells of its columns"
            raise ValueError(message)
        row = dict(zip(self._columns, cells, strict=True))
        objection = self._objection(row)
        if objection:
            raise ValueError(objection)
        return row

    def _objection(self, row: dict[str, Any]) -> str | None:
        """Return what is wrong with a row, if anything."""
        key = row["key"]
        if not is_text(key) or _differs(row):
            return f"{quoted(key)} is no key of the archive, or another file than its row says"
        self._files += 1
        if self._files > MOST_FILES:
            return f"it names more than {MOST_FILES:,} files"
        if bad := [name for name in _TEXTS if row[name] is not None and not is_text(row[name])]:
            return f"{key!r} has no text in {bad[0]!r}, or a long one"
        return self._sizes(row) or _words(row)

    def _sizes(self, row: dict[str, Any]) -> str | None:
        sizes = [row["size"], 0 if row["checksum_size"] is None else row["checksum_size"]]
        if any(type(size) is not int or not 0 <= size <= LARGEST for size in sizes):
            return f"{row['key']!r} has a size that no file has: {quoted(sizes)}"
        self._total += sum(sizes)
        return "its files have more bytes than 64 bits count" if self._total > _TOTAL else None


def _differs(row: dict[str, Any]) -> bool:
    """Say whether a key is none of the archive's, or its parts are others than the row's."""
    parsed = parse_key(row["key"])
    if parsed is None:
        return True
    parts = {
        "market": parsed.market.value,
        "data_type": parsed.data_type.value,
        "symbol": parsed.symbol,
        "interval": parsed.interval.value if parsed.interval else None,
        "partition": parsed.partition.value,
        "period": str(parsed.period),
    }
    return any(row[name] != part for name, part in parts.items())


def _words(row: dict[str, Any]) -> str | None:
    key, selector, status = row["key"], row["selector"], row["status"]
    # A selector names a folder and the beginning of a file's name, not less.
    if selector is not None and (
        not key.startswith(selector) or selector.count("/") != key.count("/")
    ):
        return f"{quoted(selector)} does not select {key!r}"
    if not isinstance(status, str) or status not in STATUSES:
        return f"{key!r} has the unknown status {quoted(status)}"
    if row["suspect_size"] not in (None, True, False):
        return f"{key!r} has neither yes nor no in 'suspect_size'"
    return None


@contextmanager
def refused(what: str, refuse: Callable[[str], PlanError | LockError]) -> Iterator[None]:
    """Say in one error why a file that is read in the block is no ``what``, whatever is wrong in it.

    Raises
    ------
    PlanError, LockError
        What ``refuse`` makes of the reason.
    """
    try:
        yield
    except (PlanError, LockError):
        raise
    except OSError as error:
        raise refuse(error.strerror or str(error)) from error
    except KeyError as error:
        why = f"it has no {error}"
        raise refuse(why) from error
    except RecursionError as error:
        why = f"it is nested more deeply than any {what}"
        raise refuse(why) from error
    except (ValueError, TypeError, OverflowError, CryptolakeError) as error:
        plain = isinstance(error, json.JSONDecodeError) or type(error) is ValueError
        why = str(error) if plain else f"{type(error).__name__}: {error}"
        raise refuse(why) from error


def texts(columns: Any, schema: dict[str, Any]) -> pl.DataFrame:
    """Return a frame of texts from its columns, lists by name.

    Raises
    ------
    ValueError
        They are no such lists.
    """
    named = columns if isinstance(columns, dict) else {}
    found = [cells for name in schema if isinstance(cells := named.get(name), list)]
    lengths = {len(cells) for cells in found}
    if len(found) < len(schema) or len(lengths) > 1 or max(lengths) > MOST_FILES:
        message = f"its missing periods are no columns {', '.join(schema)}"
        raise ValueError(message)
    if not all(cell is None or is_text(cell) for cells in found for cell in cells):
        message = "a cell of its missing periods is no text, or a long one"
        raise ValueError(message)
    return pl.DataFrame(dict(zip(schema, found, strict=True)), schema=schema)


def notes(found: Any) -> tuple[str, ...]:
    """Return a plan's notes.

    Raises
    ------
    ValueError
        They are no list of texts, or a long one.
    """
    listed = found if isinstance(found, list) else [None]
    if len(listed) > 1000 or not all(is_text(note, 10_000) for note in listed):
        message = "its notes are no list of texts, or a long one"
        raise ValueError(message)
    return tuple(listed)


def moment(text: Any) -> datetime:
    """Read a time; one without a zone is UTC.

    Raises
    ------
    ValueError, OverflowError
        It is none.
    """
    if not isinstance(text, str):
        message = f"{quoted(text)} is no time"
        raise ValueError(message)  # noqa: TRY004 - a wrong file, not a wrong call
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def is_text(value: Any, longest: int = LONGEST) -> bool:
    """Say whether a value of a file is a text that can be written and shown, and no long one."""
    # Halves of a pair, which JSON can hold, cannot be written; signs that a terminal acts upon are not for showing.
    return isinstance(value, str) and len(value) <= longest and printable(value) == value


def quoted(value: Any) -> str:
    """Return what a file said, for a message: at most a line of it."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(quoted(item) for item in value[:3])}]"
    text = repr(value) if isinstance(value, str | int | float | bool | None) else f"{type(value)}"
    return text if len(text) <= 120 else f"{text[:120]}…"
