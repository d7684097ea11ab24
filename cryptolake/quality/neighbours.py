"""What other symbols of the market did while one has no rows: asked of the lake's Silver."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.grid import bar_number
from cryptolake.archive.schemas import schema_of
from cryptolake.errors import StorageError
from cryptolake.quality.causes import Neighbour
from cryptolake.quality.clocks import HALTING
from cryptolake.quality.gaps import missing_runs
from cryptolake.readers.scans import scan_files
from cryptolake.readers.silver_files import reading
from cryptolake.silver.records import current
from cryptolake.storage.layout import parse_silver_path, silver_folder
from cryptolake.storage.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.archive.enums import Interval
    from cryptolake.quality.survey import SymbolMonth
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader

_ASKED = 6
"""So many other symbols are asked, those with the most rows."""

_WHOLE = 0.9
"""The share of its bars that a neighbour has, from first to last: one that trades seldom tells nothing."""


class Neighbours:
    """The Silver months of a lake's symbols, as far as they were asked for."""

    def __init__(self, storage: Storage, records: TableReader) -> None:
        self._storage = storage
        self._records = records
        self._paths = lru_cache(maxsize=64)(self._read_paths)
        self._one = lru_cache(maxsize=4096)(self._read_one)

    def of(self, month: SymbolMonth, grid: Interval) -> Sequence[Neighbour]:
        """Return what other symbols of the market have in a month, of the same data type and interval."""
        own = month.silver
        if own.data_type not in HALTING:
            return ()
        folder = f"{silver_folder(own.market, own.data_type, own.interval)}/"
        others = (
            path
            for path in self._paths(folder)["path"]
            if path != own.path and (named := parse_silver_path(path)) and named.month == own.month
        )
        found = (self._one(path, grid) for path in islice(others, _ASKED))
        return [one for one in found if one is not None]

    def _read_paths(self, folder: str) -> pl.DataFrame:
        sources = current(self._records, "sources", Scope.of([folder]))
        rows = sources.group_by("path").agg(pl.col("rows_out").sum().alias("rows"))
        return rows.filter(pl.col("rows") > 0).sort(["rows", "path"], descending=[True, False])

    def _read_one(self, path: str, grid: Interval) -> Neighbour | None:
        named = parse_silver_path(path)
        if named is None:
            return None
        time = schema_of(named.market, named.data_type).time
        scan = scan_files(self._storage, [path])
        try:
            with reading(path, self._storage.root):
                rows = scan.select(bar_number(pl.col(time), grid).alias("bar")).unique()
                bars = rows.collect(engine="streaming")["bar"].sort()
        except (StorageError, FileNotFoundError):  # its own month says so; it tells nothing here
            return None
        if not len(bars):
            return None
        reach = range(int(bars[0]), int(bars[-1]) + 1)
        if len(bars) < _WHOLE * len(reach):
            return None
        return Neighbour(named.symbol, reach, tuple(missing_runs(bars, reach)))
