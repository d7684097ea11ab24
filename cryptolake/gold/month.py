"""One Gold file: a recipe's function over one month of its inputs, written to a draft as the rows come."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.schemas import schema_of
from cryptolake.errors import BuildError, SchemaMismatch
from cryptolake.gold.lineage import Input, Lineage, Written
from cryptolake.gold.recipes import input_schema
from cryptolake.readers.polars_frames import scan_months
from cryptolake.silver.scratch import disk_errors
from cryptolake.storage.identity_columns import arrow_metadata
from cryptolake.storage.placing import flush

if TYPE_CHECKING:
    from cryptolake.archive.feeds import Feed
    from cryptolake.gold.recipes import Recipe
    from cryptolake.gold.targets import GoldMonth, Silver
    from cryptolake.listing.context import LakeContext
    from cryptolake.readers.silver_files import SilverFile

_TRIES = 3
_HOW: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "statistics": True,
    "row_group_size": 131_072,
}
_SMALL = 2**20
"""Bytes of inputs whose rows are made in one piece: the streaming engine takes longer to start than to make them."""


def make_month(
    lake: LakeContext, recipe: Recipe, target: GoldMonth, silver: Silver, folder: Path
) -> tuple[Lineage, Path, Written]:
    """Return what a month was made of, the draft of its file in a folder, and what is in it.

    The inputs say what they are before and after they were read: a Silver month that was placed in between makes
    the month once more.

    Raises
    ------
    BuildError
        Its inputs change again and again, or are gone.
    SchemaMismatch
        The function gives other columns than it gives for no rows.
    """
    for _ in range(_TRIES):
        before = _inputs(silver, target)
        lineage = Lineage.of(recipe, before, target.missing)
        draft, file = _written(lake, recipe, target, lineage, folder)
        if _inputs(silver, target) == before:
            return lineage, draft, file
        draft.unlink(missing_ok=True)
    message = f"{target.path}: its Silver files change while they are read; build again."
    raise BuildError(message, path=target.path)


def _inputs(silver: Silver, target: GoldMonth) -> list[Input]:
    """Return what the input files say of themselves now."""
    found = []
    for file in target.files:
        item = silver.input(file, look=True)
        if item is None:
            message = f"{file.path} is gone or is no Silver file; build Silver again."
            raise BuildError(message, path=file.path)
        found.append(item)
    return found


def _written(
    lake: LakeContext, recipe: Recipe, target: GoldMonth, lineage: Lineage, folder: Path
) -> tuple[Path, Written]:
    """Write a month to a draft: rows of the month alone, in the order of symbol and time."""
    rows = _rows(lake, recipe, target)
    draft = folder / f"{hashlib.sha256(target.path.encode()).hexdigest()}.parquet"
    try:
        with disk_errors(lake.storage, target.path):
            metadata = lineage.metadata | arrow_metadata(recipe.columns, target.path)
            small = sum(file.size for file in target.files) < _SMALL
            counted = (_put_whole if small else _put_streamed)(rows, draft, recipe.time, metadata)
            flush(draft)
            return draft, Written(draft.stat().st_size, _sha256(draft), *counted)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _rows(lake: LakeContext, recipe: Recipe, target: GoldMonth) -> pl.LazyFrame:
    where = target.where
    days = where.month.days
    frames = {
        name: _frame(lake, feed, target.inputs[name], *recipe.days_of(name, where.month))
        for name, feed in recipe.inputs.items()
    }
    made = recipe(frames)
    found = dict(made.collect_schema())
    columns = recipe.columns
    own = {
        name: kind for name, kind in found.items() if name not in ("market", "symbol", "interval")
    }
    wanted = {
        name: columns[name] for name in columns if name not in ("market", "symbol", "interval")
    }
    if own != wanted:
        message = f"it gives the columns {_named(own)}, and for no rows {_named(wanted)}"
        raise SchemaMismatch(message, recipe=recipe.name)
    interval = where.interval.value if where.interval else None
    identity = {"market": pl.lit(where.market.value), "interval": pl.lit(interval, pl.String)}
    if where.symbol is not None:
        identity["symbol"] = pl.lit(where.symbol)
    inside = pl.col(recipe.time).is_between(_instant(days.begin), _instant(days.end), closed="left")
    return made.filter(inside).with_columns(**identity).select(list(columns))


def _frame(
    lake: LakeContext, feed: Feed, files: list[SilverFile], begin: Any, end: Any
) -> pl.LazyFrame:
    """Scan an input's rows of the month and its warm-up; typed while there are none."""
    if not files:
        return _nothing(feed)
    schema = schema_of(feed.market, feed.data_type)
    span = pl.col(schema.time).is_between(_instant(begin), _instant(end), closed="left")
    return scan_months(lake.storage, files, schema.silver_dtypes()).filter(span)


def _put_whole(
    rows: pl.LazyFrame, draft: Path, time: str, metadata: dict[str, str]
) -> tuple[Any, ...]:
    """Write few rows, in order; return how many there are, and their first and last time."""
    made = rows.collect(engine="in-memory")
    times = made[time]
    if made["symbol"].n_unique() > 1 or not times.is_sorted():
        made = made.sort("symbol", time, maintain_order=True)
    made.write_parquet(draft, metadata=metadata, **_HOW)
    return made.height, times.min(), times.max()


def _put_streamed(
    rows: pl.LazyFrame, draft: Path, time: str, metadata: dict[str, str]
) -> tuple[Any, ...]:
    """Write rows as they come, and once more where they were not in order; return the same."""
    _sink(rows, draft, metadata)
    ordered, counted = _seen(draft, time)
    if not ordered:
        loose = draft.replace(draft.with_suffix(".loose"))
        _sink(_scan(loose).sort("symbol", time, maintain_order=True), draft, metadata)
        loose.unlink()
    return counted


def _sink(rows: pl.LazyFrame, draft: Path, metadata: dict[str, str]) -> None:
    rows.sink_parquet(draft, metadata=metadata, maintain_order=True, **_HOW)


def _scan(draft: Path) -> pl.LazyFrame:
    return pl.scan_parquet(draft, glob=False, hive_partitioning=False)


def _seen(draft: Path, time: str) -> tuple[bool, tuple[Any, ...]]:
    """Return whether rows are in the order of symbol and time; how many there are, and their first and last time."""
    symbol, last = pl.col("symbol"), pl.col("symbol").shift(1)
    back = (symbol < last) | ((symbol == last) & (pl.col(time) < pl.col(time).shift(1)))
    asked = _scan(draft).select(
        back=back.any(), rows=pl.len(), first=pl.col(time).min(), last=pl.col(time).max()
    )
    found, *counted = asked.collect(engine="streaming").row(0)
    return not found, tuple(counted)


def _sha256(draft: Path) -> str:
    with draft.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=256)
def _instant(time: datetime) -> pl.Expr:
    """Return a time as an expression, which costs as much to make as a small file to read."""
    return pl.lit(time)


@lru_cache(maxsize=64)
def _nothing(feed: Feed) -> pl.LazyFrame:
    """Return an input's columns without rows; making them costs as much."""
    return pl.LazyFrame(schema=input_schema(feed))


def _named(columns: dict[str, Any]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items()) or "none"
