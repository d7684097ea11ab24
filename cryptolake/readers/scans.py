"""Frames that read when they are collected: Parquet files of a lake by name, and rows that are made part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

MakeParts = Callable[[list[str], pl.Expr | None], Iterable[pl.DataFrame]]
"""Makes frames with the columns that are needed at least; what is asked of their rows may spare a part."""


def scan_files(
    storage: Storage, paths: Iterable[str], schema: Mapping[str, Any] | None = None, **how: Any
) -> pl.LazyFrame:
    """Scan files by name: nothing in a root or a symbol is taken for a pattern.

    Parameters
    ----------
    storage, paths
        The lake, and paths in it.
    schema
        The columns; one that a file lacks is null there, and others are left out. None: those of the files.
    **how
        What else Polars' ``scan_parquet`` takes.
    """
    if schema is not None:
        how |= {"schema": dict(schema), "missing_columns": "insert", "extra_columns": "ignore"}
    how = {"glob": False, "hive_partitioning": False, **how}
    return pl.scan_parquet([storage.url(path) for path in paths], **how, **storage.polars_arguments)


def frame_of_parts(schema: Mapping[str, Any], make: MakeParts) -> pl.LazyFrame:
    """Return a LazyFrame whose rows are made part by part when it is collected, and no more of them than are asked for."""

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001  # a part is a batch
    ) -> Iterator[pl.DataFrame]:
        wanted = list(schema) if with_columns is None else with_columns
        roots = set() if predicate is None else set(predicate.meta.root_names())
        left = n_rows
        for frame in make([name for name in schema if name in roots or name in wanted], predicate):
            found = frame if predicate is None else frame.filter(predicate)
            if left is not None:
                found = found.head(left)
                left -= found.height
            yield found.select(wanted)
            if left == 0:
                return

    return register_io_source(read, schema=dict(schema))
