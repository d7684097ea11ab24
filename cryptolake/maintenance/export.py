"""``lake.export``: a query's rows as files for other programs, beside a README that explains them.

Rows are written as they are read, so that memory does not grow with them. All files are written in a folder of
their own and renamed at the end: an export that was killed leaves none, and no half of one.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.bronze.ledger import one_data_type
from cryptolake.errors import InvalidQuery, StorageError, unknown_word
from cryptolake.gold.tables import table_rows, table_symbols
from cryptolake.maintenance.export_notes import COLUMNS, Notes, readme, sources_text
from cryptolake.readers.polars_frames import silver_frame, silver_symbols
from cryptolake.readers.silver_files import reading
from cryptolake.readers.unusable import warn_of_unusable
from cryptolake.render.html import some_of
from cryptolake.research.symbol_rows import held_symbols, markets_of, warn_of_absent
from cryptolake.storage.layout import file_stem
from cryptolake.user_files import user_path

if TYPE_CHECKING:
    import os

    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query

FORMATS = ("parquet", "csv", "arrow")
"""The formats, which are the files' endings, too."""

EACH = ("symbol", "all")

README, SOURCES, FILES = "README.md", "sources.sha256", "files.csv"
"""What stands beside the rows: the explanation, ``sha256  key`` of each source, and what ``export`` returned."""

ISO_8601 = "%Y-%m-%dT%H:%M:%S%.6fZ"

_DRAFT = ".export-"
_ROW_GROUP = 131_072


class Part(NamedTuple):
    """Rows that become one file: its name without the ending, and the symbol, None for all."""

    name: str
    symbol: str | None
    rows: pl.LazyFrame


def export(
    query: Query,
    lake: LakeContext,
    folder: str | os.PathLike[str],
    *,
    format: str = "parquet",  # noqa: A002 - the word of the contract
    each: str = "symbol",
    of: str | None = None,
    overwrite: bool = False,
) -> pl.DataFrame:
    """Write a query's rows of Silver, or of a table of Gold, into a folder.

    Parameters
    ----------
    query, lake
        What to write, of which lake; nothing is fetched.
    folder
        A folder on this machine; made when absent.
    format, each
        Of :data:`FORMATS` and :data:`EACH`.
    of
        A recipe of Gold, ``daily`` or ``filled``; Silver when left out.
    overwrite
        Replace what an earlier export wrote there, and files of the same names.

    Raises
    ------
    InvalidQuery
        A word that does not exist, or a query that names no data type or several.
    StorageError
        The folder holds files, or cannot be written; or a file of the lake is damaged.
    """
    _require_words(format, each)
    target = _target(folder, overwrite=overwrite)
    parts = _silver_parts(query, lake, each) if of is None else _gold_parts(query, lake, each, of)
    with _draft(target) as draft:
        written = [_write(part, draft, format, lake.storage.root) for part in parts]
        files = pl.DataFrame(written, schema=COLUMNS, orient="row")
        notes = Notes.of(query, lake, of)
        (draft / SOURCES).write_text(sources_text(notes.sources), "utf-8")
        files.write_csv(draft / FILES)
        (draft / README).write_text(readme(notes, files, format, each), "utf-8")
        _place(draft, target, [*files["path"], SOURCES, FILES, README])
    return files.with_columns(
        pl.col("path").map_elements(lambda name: str(target / name), return_dtype=pl.String)
    )


def _require_words(format: str, each: str) -> None:  # noqa: A002
    if format not in FORMATS:
        raise unknown_word("format", str(format), FORMATS)
    if each not in EACH:
        raise unknown_word("each", str(each), EACH)


# ------------------------------------------------------------------------------------------ the rows


def _silver_parts(query: Query, lake: LakeContext, each: str) -> Iterator[Part]:
    """Yield what becomes a file of Silver's rows, and say first what is lacking, as ``lake.silver`` does."""
    data_type = one_data_type(query)
    warn_of_unusable(lake, query)
    held = [
        item
        for market in markets_of(query, data_type)
        for item in held_symbols(query, lake, market, data_type).symbols
    ]
    warn_of_absent(query, lake, data_type, held)
    if each == "all":
        yield Part("all", None, silver_frame(query, lake))
        return
    selection = query.selection
    plain = len(selection.markets) == 1 and len(selection.intervals) <= 1
    for where, rows in silver_symbols(query, lake):
        words = [where.market.value, *([where.interval.value] if where.interval else [])]
        if plain and (where.interval is None or selection.intervals):
            words = []
        yield Part("-".join([_stem(where.symbol), *words]), where.symbol, rows)


def _gold_parts(query: Query, lake: LakeContext, each: str, recipe: str) -> Iterator[Part]:
    if each == "all":
        yield Part("all", None, table_rows(lake, recipe, query))
        return
    for symbol, rows in table_symbols(lake, recipe, query):
        yield Part(_stem(symbol), symbol, rows)


def _stem(symbol: str) -> str:
    """Return a symbol as a file's name, without the ending; no symbol takes the name of the list of files.

    Examples
    --------
    >>> _stem("BTCUSDT"), _stem("files")
    ('BTCUSDT', '%66iles')
    """
    stem = file_stem(symbol)
    taken = stem == FILES.partition(".")[0]
    return f"%{ord(stem[0]):X}{stem[1:]}" if taken else stem


def _write(part: Part, folder: Path, format: str, root: str) -> dict[str, Any]:  # noqa: A002
    """Write one file, as its rows come, and return its row of the result."""
    path = folder / f"{part.name}.{format}"
    with _writing(path), reading("a file of the query", root):
        if format == "csv":
            part.rows.sink_csv(path, datetime_format=ISO_8601, maintain_order=True)
            found = pl.scan_csv(path, glob=False, infer_schema=False)
        elif format == "arrow":
            old = pl.CompatLevel.oldest()  # what readers of any age know
            part.rows.sink_ipc(path, compression="zstd", compat_level=old, maintain_order=True)
            found = pl.scan_ipc(path, glob=False)
        else:
            part.rows.sink_parquet(
                path, compression="zstd", row_group_size=_ROW_GROUP, maintain_order=True
            )
            found = pl.scan_parquet(path, glob=False)
        rows = found.select(pl.len()).collect().item()
    return {
        "path": path.name,
        "symbol": part.symbol,
        "rows": rows,
        "bytes": path.stat().st_size,
    }


# ------------------------------------------------------------------------------------------ the folder


def _target(folder: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Return the folder, made and without drafts of killed exports.

    Raises
    ------
    InvalidQuery
        It is a URL.
    StorageError
        It holds files and is not to be overwritten, or it cannot be made.
    """
    scheme, is_url, _ = str(folder).partition("://")
    if is_url:  # the rest may be a login
        message = f"an export goes to a folder of this machine, and '{scheme}://...' is a URL."
        raise InvalidQuery(message, what="folder", given=f"{scheme}://...")
    target = user_path(folder)
    with _writing(target):
        target.mkdir(parents=True, exist_ok=True)
        found = sorted(item.name for item in target.iterdir())
    drafts = [name for name in found if name.startswith(_DRAFT)]
    others = [name for name in found if name not in drafts]
    if others and not overwrite:
        message = (
            f"{target} holds {some_of(others)}: export into an empty folder, or with overwrite=True "
            "(--overwrite), which replaces what an earlier export wrote there and keeps all else."
        )
        raise StorageError(message, path=str(target), files=others)
    for name in drafts:
        shutil.rmtree(target / name, ignore_errors=True)
    return target


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Give a folder for files that are being written, which goes at the end."""
    draft = target / f"{_DRAFT}{secrets.token_hex(4)}"
    with _writing(draft):
        draft.mkdir()
    try:
        with _writing(target):
            yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _place(draft: Path, target: Path, names: Sequence[str]) -> None:
    """Rename finished files into place, the README last; files of an earlier export that are none of them go."""
    old = _written_before(target)
    for name in (README, *(name for name in old if name not in names)):
        (target / name).unlink(missing_ok=True)  # an explanation of other files is none
    for name in names:
        (draft / name).replace(target / name)


def _written_before(target: Path) -> list[str]:
    """Return the names of files that an earlier export wrote; none where its list cannot be read."""
    try:
        names = pl.read_csv(target / FILES, infer_schema=False)["path"].drop_nulls().to_list()
    except (OSError, pl.exceptions.PolarsError):
        return []
    endings = tuple(f".{format}" for format in FORMATS)  # noqa: A001
    return [name for name in names if name.endswith(endings) and Path(name).name == name]


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise a StorageError where the system refuses."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}."
        raise StorageError(message, path=str(path), errno=error.errno) from error
