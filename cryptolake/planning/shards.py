"""Cuts a plan into shards: plans of whole symbol-months, which any worker can transfer and build.

Symbol-months stand in one order (market, data type, interval, symbol, month), and a shard is a run of them: each cut
costs one more listing request at the most, and most months have their neighbours, into which rows may step over, in
their own shard.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.periods import Days, Period
from cryptolake.errors import InvalidQuery
from cryptolake.planning.commands import shard_heads, shard_selector
from cryptolake.planning.plan import ROUTE_NOTE, TO_MOVE
from cryptolake.planning.plan_files import naming
from cryptolake.storage.spooled import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryptolake.planning.plan import Plan
    from cryptolake.query import Query

_UNIT = ("market", "data_type", "interval", "symbol", "month")

_MONTH = pl.col("period").str.head(7).alias("month")


def cut(plan: Plan, n: int | None, max_bytes: int | None) -> list[Plan]:
    """Cut a plan, as :meth:`cryptolake.planning.plan.Plan.shards` says.

    Raises
    ------
    InvalidQuery
        Neither number, or one that is less than 1.
    """
    _check(n, max_bytes)
    slim = _slim(plan.rows)
    if not slim.height:
        return [plan]
    weights = _weights(slim)
    ends = boundaries(weights["weight"].to_list(), n or 1, max_bytes)
    numbers = [shard for shard, (begin, end) in enumerate(_pairs(ends)) for _ in range(begin, end)]
    units = weights.select(*_UNIT, shard=pl.Series(numbers, dtype=pl.UInt32))
    missing = _missing(plan.missing_periods.with_columns(_MONTH), units)
    parts = _parts(plan.rows, _places(slim, units), len(ends))
    return [
        _shard(plan, number, len(ends), part, missing.filter(shard=number).drop("shard"))
        for number, part in enumerate(parts)
    ]


def _slim(rows: Rows) -> pl.DataFrame:
    """Return what decides on a file's place, a few bytes a file: words that repeat are numbers."""
    words = dict.fromkeys((*_UNIT, "status", "partition", "selector"), pl.Categorical())
    columns = ("size", "status", "partition", "period", "selector", "checksum_size")
    return pl.concat(
        piece.select(*_UNIT[:-1], _MONTH, *columns).cast(words)  # type: ignore[arg-type]
        for piece in rows.pieces()
    ).with_row_index("row")


def _places(slim: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """Return each row's ``shard``, and the ``head`` of its selector there, null where a file is named."""
    numbers = units.cast(dict.fromkeys(_UNIT, pl.Categorical()))
    rows = slim.join(numbers, on=_UNIT, how="left", nulls_equal=True, maintain_order="left")
    moving = pl.col("status").cast(pl.String).is_in(TO_MOVE)
    heads = shard_heads(rows.filter(pl.col("selector").is_not_null(), moving))
    return rows.select("row", "shard").join(heads, on="row", how="left", maintain_order="left")


def _parts(rows: Rows, places: pl.DataFrame, count: int) -> Iterator[pl.DataFrame]:
    """Yield the files of each shard, in order, one shard in memory at a time."""
    parts = [Rows([]) for _ in range(count)]
    begin = 0
    for piece in rows.pieces():
        own = places.slice(begin, piece.height).select("shard", "head")
        begin += piece.height
        named = pl.concat([piece, own], how="horizontal").with_columns(shard_selector())
        split = named.drop("head").partition_by("shard", as_dict=True, include_key=False)
        for (shard,), files in split.items():
            parts[int(str(shard))].add(files)
    order: list[str | pl.Expr] = [*_UNIT[:-1], _MONTH, "period", "partition", "key"]
    for number in range(count):
        part, parts[number] = parts[number].frame(), Rows([])
        yield part.sort(*order, nulls_last=False)


def _check(n: int | None, max_bytes: int | None) -> None:
    if n is None and max_bytes is None:
        message = "say into how many shards the plan is cut, or how many bytes one may have: plan.shards(8), plan.shards(max_bytes=10**9)."
        raise InvalidQuery(message, what="shards")
    for name, given in (("n", n), ("max_bytes", max_bytes)):
        if given is not None and (type(given) is not int or given < 1):
            message = f"{name} is a whole number, 1 or more, not {given!r}: plan.shards(8), plan.shards(max_bytes=10**9)."
            raise InvalidQuery(message, what=name, given=given)


def _weights(files: pl.DataFrame) -> pl.DataFrame:
    """Return the symbol-months in their order, and the bytes of each: those to move, or, where none is, all."""
    status = pl.col("status").cast(pl.String)
    moving = pl.col("size").filter(status.is_in(TO_MOVE)).sum()
    sums = files.group_by(_UNIT).agg(moving.alias("weight"), pl.col("size").sum())
    sums = sums.cast(dict.fromkeys(_UNIT, pl.String()))
    if not sums["weight"].sum():
        sums = sums.with_columns(weight="size")
    return sums.sort(*_UNIT, nulls_last=False).select(*_UNIT, "weight")


def boundaries(weights: Sequence[int], n: int, most: int | None = None) -> list[int]:
    """Cut a row of weights into runs whose greatest sum is as small as can be; return where each run ends.

    Parameters
    ----------
    weights
        The weights, none negative; at least one.
    n
        How many runs; as many as there are weights, where those are fewer.
    most
        The greatest sum of a run: there are as many runs as that needs. A single greater weight is its own run.

    Examples
    --------
    >>> boundaries([5, 1, 1, 1, 4], 2)
    [2, 5]
    >>> boundaries([5, 1, 1, 1, 4], 1, most=6)
    [2, 5]
    """
    sums = list(accumulate(weights))
    if most is not None:
        n = max(n, len(_runs(sums, most, 1)))
    n = min(n, len(weights))
    low, high = sums[-1] // n, sums[-1] if most is None else min(most, sums[-1])
    while low < high:
        middle = (low + high) // 2
        if len(_runs(sums, middle, 1)) <= n:
            high = middle
        else:
            low = middle + 1
    return _runs(sums, high, n)


def _runs(sums: Sequence[int], most: int, n: int) -> list[int]:
    """Fill runs up to a sum, one after another; leave one weight at least for each of ``n`` runs."""
    ends: list[int] = []
    end = 0
    while end < len(sums):
        before = sums[end - 1] if end else 0
        left = max(0, n - len(ends) - 1)
        end = max(end + 1, min(bisect_right(sums, before + most), len(sums) - left))
        ends.append(end)
    return ends


def _pairs(ends: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _missing(missing: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """Give each missing period the shard of its symbol-month, or else of the symbol-month before it."""
    marked = missing.with_row_index("row").select(
        *_UNIT, "row", shard=pl.lit(None, units.schema["shard"])
    )
    own = units.select(*_UNIT, pl.lit(None, marked.schema["row"]).alias("row"), "shard")
    both = pl.concat([own, marked]).sort(*_UNIT, "row", nulls_last=False)
    shards = both.with_columns(pl.col("shard").forward_fill().fill_null(0)).drop_nulls("row")
    order = shards.sort("row")["shard"]
    return missing.drop("month").with_columns(shard=order)


def _shard(plan: Plan, number: int, count: int, files: pl.DataFrame, missing: pl.DataFrame) -> Plan:
    notes = [note for note in plan.notes if not note.startswith(ROUTE_NOTE)]
    width = len(str(count))
    return replace(
        plan,
        id=f"{plan.id[:80]}.{number + 1:0{width}d}-of-{count}",
        query=_query(plan.query, files),
        files=files,
        missing_periods=missing,
        notes=(*notes, f"part {number + 1:,} of {count:,} of plan {plan.id}"),
    )


def _query(whole: Query, files: pl.DataFrame) -> Query:
    """Return a query that takes in the shard's files, and perhaps others of the same names and days."""
    days = [Period.parse(text).days for text in files["period"].unique()]
    span = Days(min(day.first for day in days), max(day.last for day in days))
    asked = whole.selection.days
    own = (asked.clip(span) if asked else None) or span
    return naming(files).between(own.first, own.last)
