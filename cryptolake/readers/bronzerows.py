"""The rows of Bronze zips as Polars frames, some files at a time, so that memory stays bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.bronze.text import ZipText
from cryptolake.errors import StorageError
from cryptolake.readers.filesystems import open_zip

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

BATCH = 16 * 2**20
"""Bytes of CSV that are parsed at once: enough files to keep every core busy, few enough to hold."""


def rows_of(
    storage: Storage, files: pl.DataFrame, published: Mapping[str, Any], needed: set[str]
) -> Iterator[pl.DataFrame]:
    """Yield the rows of zips in the order of ``files``.

    Parameters
    ----------
    storage
        The lake.
    files
        A row per zip, its key in the first column; every column is repeated beside the zip's rows.
    published
        The columns of the text and their types.
    needed
        The columns to return; others are not parsed.

    Raises
    ------
    StorageError
        A file that the ledger has is not there.
    CorruptArchive
        A zip does not open.
    """
    columns = [name for name in published if name in needed]
    texts: list[bytes] = []
    places: list[int] = []
    size = 0
    for place, key in enumerate(files.to_series(0)):
        for text in _texts(storage, key):
            texts.append(text)
            places.append(place)
            size += len(text)
            if size >= BATCH:
                yield _parsed(texts, files[places], published, columns)
                texts, places, size = [], [], 0
    if texts:
        yield _parsed(texts, files[places], published, columns)


def _texts(storage: Storage, key: str) -> Iterator[bytes]:
    """Yield a zip's CSV text in pieces of whole lines."""
    try:
        file = ZipText(lambda: open_zip(storage, key), key)
    except FileNotFoundError as error:
        message = (
            f"{key} is in the ledger but not in Bronze: pull it again, or run `cryptolake verify`."
        )
        raise StorageError(message, key=key, root=storage.root) from error
    with file:
        rest = b""
        while piece := file.read(BATCH):
            end = piece.rfind(b"\n") + 1
            if end:
                yield _dense(rest + piece[:end])
                rest = piece[end:]
            else:
                rest += piece
        if rest:
            yield _dense(rest + b"\n")


def _dense(text: bytes) -> bytes:
    """Leave out empty lines, which are no rows."""
    if b"\n\n" not in text and not text.startswith(b"\n"):
        return text
    return re.sub(rb"\n+", b"\n", text).removeprefix(b"\n")


def _parsed(
    texts: list[bytes], files: pl.DataFrame, published: Mapping[str, Any], columns: list[str]
) -> pl.DataFrame:
    """Parse texts in one go when their lines add up, else one by one; a bad cell becomes null."""
    heights = [text.count(b"\n") for text in texts]
    frame = _read(texts[0] if len(texts) == 1 else b"".join(texts), published, columns)
    if frame.height != sum(heights):
        if len(texts) > 1:
            parts = [
                _parsed([text], files[[place]], published, columns)
                for place, text in enumerate(texts)
            ]
            return pl.concat(parts)
        heights = [frame.height]
    # Gathered, not repeated: the rows of a file then share one copy of its key.
    rows = [pl.repeat(n, height, dtype=pl.UInt32, eager=True) for n, height in enumerate(heights)]
    beside = files[pl.concat(rows)]
    return pl.concat([frame.select(columns), beside], how="horizontal") if columns else beside


def _read(text: bytes, published: Mapping[str, Any], columns: list[str]) -> pl.DataFrame:
    # One column has to be read for the rows to be counted, even when none is asked for.
    names = list(published)
    read = columns or names[:1]
    return pl.read_csv(
        text,
        has_header=False,
        schema=dict(published),
        columns=[names.index(name) for name in read],
        quote_char=None,  # nothing is quoted in the archive; an empty cell is sometimes two quotes
        null_values=["", '""'],
        ignore_errors=True,
        truncate_ragged_lines=True,
        missing_columns="insert",
    )
