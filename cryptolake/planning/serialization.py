"""A plan's file: JSON, one object, a line for each file. What is read is checked, key by key.

The lines are for people, for ``grep``, and for memory: a plan of a hundred thousand files is read a
few hundred lines at a time. A plan that some program has written anew, on one line, is read as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import polars as pl

from cryptolake.archive.source import Archive
from cryptolake.errors import PlanError
from cryptolake.planning.file_rows import FileRows, moment, notes, refused, texts
from cryptolake.query import Query
from cryptolake.storage.spooled import PIECE, Rows
from cryptolake.user_files import user_path, written_whole

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

_LONGEST_HEADER, _LONGEST_LINE = 2**27, 2**13
"""Letters of what comes before the files, periods that are missing among it, and of a file's line."""


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
    with (
        written_whole(user_path(path), "the plan") as draft,
        draft.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.write(f"{_text(first)[:-1]}, {_FILES_BEGIN}")
        pieces = (_texts(piece.select(list(FILES))) for piece in files.pieces())
        lines = (_text(row) for piece in pieces for row in piece.iter_rows())
        file.writelines(f"{',' if n else ''}{line}\n" for n, line in enumerate(lines))
        file.write(_FILES_END)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a plan's file; return its fields by name, typed.

    Raises
    ------
    PlanError
        The file is absent, or holds no plan that this version reads.
    """
    source = user_path(path)
    with refused("plan", partial(_no_plan, source)):
        header, rows = _read(source)
        return {
            "id": _id(header["id"]),
            "query": Query.from_json(json.dumps(header["query"])),
            "archive": Archive(**header["archive"]),
            "created_at": moment(header["created_at"]),
            "listed_at": moment(header["listed_at"]) if header["listed_at"] else None,
            "files": rows,
            "missing_periods": texts(header["missing_periods"], MISSING),
            "notes": notes(header["notes"]),
        }


def _read(source: Path) -> tuple[dict[str, Any], Rows]:
    """Return a file's header and its table of files, each row checked."""
    with source.open(encoding="utf-8") as file:
        first = file.readline(_LONGEST_HEADER)
        by_line = first.endswith(_FILES_BEGIN)
        text = first + (_FILES_END if by_line else file.read(_LONGEST_HEADER - len(first)))
        if len(text) >= _LONGEST_HEADER:
            raise _no_plan(source, f"it has {_LONGEST_HEADER:,} letters or more before its files")
        header = json.loads(text)
        if not isinstance(header, dict) or header.get("cryptolake_plan") != FORMAT:
            raise _no_plan(source, f"it has no 'cryptolake_plan': {FORMAT}")
        rows = _rows(file) if by_line else iter([header.pop("files")])
        frames = FileRows(header["columns"], FILES).frames(rows)
        return header, Rows(chain([pl.DataFrame(schema=FILES)], frames))


def _rows(file: TextIO) -> Iterator[Any]:
    """Yield some hundred rows at a time, up to the line that ends them."""
    ended = False
    lines = iter(lambda: file.readline(_LONGEST_LINE), "")
    while not ended:
        piece = list(islice(lines, PIECE))
        if any(len(line) >= _LONGEST_LINE for line in piece):
            message = f"a line of it has {_LONGEST_LINE:,} letters or more"
            raise ValueError(message)
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


def _id(found: Any) -> str:
    if not isinstance(found, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", found):
        message = "its id is no name"
        raise ValueError(message)
    return found


def _no_plan(path: Path, why: str) -> PlanError:
    message = f"{path} is no plan that can be read: {why}. Write one with plan.save(path)."
    return PlanError(message, path=str(path), why=why)
