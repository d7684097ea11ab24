"""A plan's file: JSON, one object, a line for each file. What is read is checked, key by key.

The lines are for people, for ``grep``, and for memory: a plan of a hundred thousand files is read a
few hundred lines at a time. A plan that some program has written anew, on one line, is read as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.keys import parse_key
from cryptolake.archive.source import Archive
from cryptolake.errors import CryptolakeError, PlanError, StorageError
from cryptolake.query import Query
from cryptolake.storage.spooled import PIECE, Rows

if TYPE_CHECKING:
    import os

TIME = pl.Datetime("us", "UTC")

FILES: dict[str, Any] = {
    "key": pl.String,
    "market": pl.String,
    "data_type": pl.String,
    "symbol": pl.String,
    "interval": pl.String,
    "partition": pl.String,
    "period": pl.String,
    "size": pl.Int64,
    "etag": pl.String,
    "status": pl.String,
    "last_modified": TIME,
    "checksum_size": pl.Int64,
    "checksum_etag": pl.String,
    "suspect_size": pl.Boolean,
    "selector": pl.String,
}
"""The columns of ``plan.files``. Sizes are bytes, times UTC. ``interval`` is null where the type has
none, ``checksum_size`` and ``checksum_etag`` where no sidecar is published; ``suspect_size`` marks files
far smaller than their neighbours; ``selector`` is the key prefix by which a wildcard fetches the file,
null where it is named."""

MISSING: dict[str, Any] = {
    "market": pl.String,
    "data_type": pl.String,
    "symbol": pl.String,
    "interval": pl.String,
    "period": pl.String,
    "reason": pl.String,
}
"""The columns of ``plan.missing_periods``; the reasons are those of :data:`cryptolake.planning.cover.REASONS`."""

FORMAT = 2
"""The format's number, in the file under ``cryptolake_plan``. It changes when older readers cannot."""

_FILES_BEGIN, _FILES_END = '"files": [\n', "]}\n"

_STATUSES = {"new", "updated", "cached", "unrecorded", "quarantined"}


def save(
    path: str | os.PathLike[str], header: Mapping[str, Any], missing: pl.DataFrame, files: Rows
) -> None:
    """Write a plan's header and rows beside the final name, then rename.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    first = {
        "cryptolake_plan": FORMAT,
        **header,
        "missing_periods": _columns(missing),
        "columns": list(FILES),
    }
    target = Path(path).expanduser()
    draft = target.with_name(f".{target.name}.draft")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            file.write(f"{_text(first)[:-1]}, {_FILES_BEGIN}")
            pieces = (_texts(piece.select(list(FILES))) for piece in files.pieces())
            lines = (_text(row) for piece in pieces for row in piece.iter_rows())
            file.writelines(f"{',' if n else ''}{line}\n" for n, line in enumerate(lines))
            file.write(_FILES_END)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        message = f"cannot write the plan to {target}: {error.strerror or error}."
        raise StorageError(message, path=str(target), errno=error.errno) from error


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a plan's file; return its fields by name, typed.

    Raises
    ------
    PlanError
        The file is absent, or holds no plan that this version reads.
    """
    source = Path(path).expanduser()
    try:
        header, rows = _read(source)
        return {
            "id": str(header["id"]),
            "query": Query.from_json(json.dumps(header["query"])),
            "archive": Archive(**header["archive"]),
            "created_at": _moment(header["created_at"]),
            "listed_at": _moment(header["listed_at"]) if header["listed_at"] else None,
            "files": rows,
            "missing_periods": _frame(header["missing_periods"], MISSING),
            "notes": tuple(str(note) for note in header["notes"]),
        }
    except PlanError:
        raise
    except OSError as error:
        why = error.strerror or str(error)
        raise _no_plan(source, why) from error
    except KeyError as error:
        why = f"it has no {error}"
        raise _no_plan(source, why) from error
    except (ValueError, TypeError, CryptolakeError, pl.exceptions.PolarsError) as error:
        why = f"{type(error).__name__}: {error}"
        raise _no_plan(source, why) from error


def _read(source: Path) -> tuple[dict[str, Any], Rows]:
    """Return a file's header and its table of files, each row checked."""
    with source.open(encoding="utf-8") as file:
        first = file.readline()
        by_line = first.endswith(_FILES_BEGIN)
        header = json.loads(first + _FILES_END if by_line else first + file.read())
        if not isinstance(header, dict) or header.get("cryptolake_plan") != FORMAT:
            raise _no_plan(source, f"it has no 'cryptolake_plan': {FORMAT}")
        rows = _rows(file) if by_line else iter([header.pop("files")])
        columns = header["columns"]
        pieces = (
            _frame(dict(zip(columns, zip(*piece, strict=True), strict=True)), FILES)
            for piece in rows
            if piece
        )
        return header, Rows(_checked(source, chain([pl.DataFrame(schema=FILES)], pieces)))


def _checked(source: Path, pieces: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for piece in pieces:
        objection = _objection(piece)
        if objection:
            raise _no_plan(source, objection)
        yield piece


def _rows(lines: Iterator[str]) -> Iterator[list[list[Any]]]:
    """Yield some hundred rows at a time, up to the line that ends them."""
    ended = False
    while not ended:
        piece = list(islice(lines, PIECE))
        if len(piece) < PIECE:
            if not piece or piece.pop() != _FILES_END:
                message = "it breaks off before its end"
                raise ValueError(message)
            ended = True
        yield json.loads(f"[{''.join(piece).removeprefix(',')}]")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _columns(frame: pl.DataFrame) -> dict[str, list[Any]]:
    return _texts(frame).to_dict(as_series=False)


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(TIME).dt.to_string("iso:strict"))


def _frame(columns: Mapping[str, Sequence[Any]], schema: dict[str, Any]) -> pl.DataFrame:
    cells = {
        name: [text and _moment(text) for text in columns[name]] if dtype == TIME else columns[name]
        for name, dtype in schema.items()
    }
    return pl.DataFrame(cells, schema=schema)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _objection(files: pl.DataFrame) -> str | None:
    """Return what is wrong with the rows, if anything: a plan may come from anywhere, and its keys become paths."""
    for key, selector, status in zip(files["key"], files["selector"], files["status"], strict=True):
        if parse_key(key) is None:
            return f"{key!r} is no key of the archive"
        # A selector names a folder and the beginning of a file's name, not less.
        if selector is not None and (
            not key.startswith(selector) or selector.count("/") != key.count("/")
        ):
            return f"{selector!r} does not select {key!r}"
        if status not in _STATUSES:
            return f"{key!r} has the unknown status {status!r}"
    return None


def _no_plan(path: Path, why: str) -> PlanError:
    message = f"{path} is no plan that can be read: {why}. Write one with plan.save(path)."
    return PlanError(message, path=str(path), why=why)
