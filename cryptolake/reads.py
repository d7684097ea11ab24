"""Reading a lake: the part of the Lake that shows what is already there, as frames, SQL and charts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    import duckdb
    import polars as pl

    from cryptolake.query import Query
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta


class Reads(ABC):
    """Frames, SQL and charts of what a lake holds. Nothing here asks the archive.

    :class:`cryptolake.lake.Lake` is the one that users hold; these methods are split off for reading.
    """

    storage: Storage
    _told: pl.DataFrame | None

    @property
    @abstractmethod
    def meta(self) -> Meta:
        """The lake's own tables."""

    def bronze(self, query: Query) -> pl.LazyFrame:
        """Scan Bronze in place, still zipped: the columns as published, plus ``key``."""
        from cryptolake.readers.polars_frames import bronze_frame

        return bronze_frame(query, self.storage, self.meta)

    def silver(self, query: Query, *, exact: bool = False) -> pl.LazyFrame:
        """Scan the typed rows of a query's days: one data type, with market, symbol and interval.

        Parameters
        ----------
        query
            Markets, one data type, intervals, symbols and days.
        exact
            Prices and quantities as ``Decimal`` with the published scale instead of ``Float64``; such
            rows are made from Bronze at the call, whole months in memory.

        Raises
        ------
        InvalidQuery
            The query names no data type, or several.
        CorruptArchive
            With ``exact``: a file of the range cannot be used.
        """
        if exact:
            from cryptolake.silver.decimals import exact_rows

            return exact_rows(query, self.storage, self.meta).lazy()
        from cryptolake.readers.polars_frames import silver_frame

        return silver_frame(query, self.storage, self.meta)

    def connect(self, path: str | os.PathLike[str] | None = None) -> duckdb.DuckDBPyConnection:
        """Return a DuckDB connection with every view; with a path the views stay in that file.

        Plain DuckDB can open such a file and ask ``silver``, ``gold`` and ``meta`` of a lake on a disk;
        ``bronze`` needs a connection made here, which knows how to look into zips.
        """
        from cryptolake.readers.duckdb_views import connect

        return connect(self.storage, self.meta, path=None if path is None else Path(path))

    def sql(self, text: str) -> duckdb.DuckDBPyRelation:
        """Ask in SQL: ``lake.sql("from silver.spot_klines where symbol = 'BTCUSDT'")``.

        The views are those of :meth:`connect`, as the lake stands at the call. Times are UTC. A relation
        becomes a Polars frame by ``cryptolake.readers.duckdb_views.to_polars(relation)``, without pyarrow.
        """
        from cryptolake.readers.duckdb_views import refresh

        refresh(self._connection, self.storage, self.meta)
        # A cursor of its own for each question: relations are lazy, and may be read in any order.
        return self._connection.cursor().sql(text)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        return self.connect()

    def datasets(self) -> pl.DataFrame:
        """Return what the lake holds: zone, dataset, symbols, intervals, first, last, files, bytes, rows."""
        from cryptolake.readers.inventory import datasets

        self._told = datasets(self.storage, self.meta)
        return self._told
