"""The Lake: a root, on a disk or in a bucket, and the only object that does I/O.

A facade: a method imports the module that does its work, so that a notebook pays only for what it asks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cryptolake.archive.source import Archive, archive_text
from cryptolake.planning.call_days import days_from
from cryptolake.progress import shown
from cryptolake.storage.files import Storage, open_storage

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import TypeAlias

    import duckdb
    import polars as pl

    from cryptolake.archive.periods import DayLike
    from cryptolake.bronze.verify import Policy as ChecksumPolicy
    from cryptolake.executors.pool import Given as OnExecutor
    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.listing import Listing
    from cryptolake.maintenance.update import Update
    from cryptolake.planning.lockfile import Lock
    from cryptolake.planning.plan import Plan
    from cryptolake.plot import Charts
    from cryptolake.progress import Progress
    from cryptolake.query import Query
    from cryptolake.readers.describe import Description
    from cryptolake.readers.profile import Profile
    from cryptolake.report import Report
    from cryptolake.research.asof import At
    from cryptolake.storage.tables import Meta
    from cryptolake.transfer.options import AskedMode as Mode
    from cryptolake.transfer.options import TransferOptions
    from cryptolake.transfer.pull import RunSettings

    Options: TypeAlias = TransferOptions | Mapping[str, Any] | str | None


class Lake:
    """A lake of archive files (Bronze), typed Parquet (Silver) and derived datasets (Gold).

    Parameters
    ----------
    root
        A folder (``~`` is expanded) or ``"s3://bucket/prefix"``. Nothing is touched until a method does.
    source
        The archive; the public one when left out. ``CRYPTOLAKE_ENDPOINT_URL`` counts where it names no endpoint.
    adopt
        Whether the lake becomes one of this source where its first transfer recorded another archive.
    storage_options
        For an S3 root, as s3fs takes them; every client of the bucket follows them, and what one cannot
        do is refused in a sentence. What is left out comes from the AWS environment and configuration
        files, ``AWS_ENDPOINT_URL`` and ``AWS_CA_BUNDLE`` included. Polars takes certificates from
        ``SSL_CERT_FILE`` alone, which is set for the process where it is not.

        - ``key, secret, token`` or ``profile``: whose keys sign; ``anon=True`` signs nothing
        - ``endpoint_url``: ``http(s)://host[:port]`` of a store other than AWS's
        - ``client_kwargs``: ``region_name``; ``verify``, a file of certificates
        - ``config_kwargs``: ``proxies``; ``s3={"addressing_style": "virtual"}``;
          ``request_checksum_calculation`` (``when_required``)
        - ``s3_additional_kwargs``: ``ServerSideEncryption``, ``SSEKMSKeyId``
        - ``requester_pays``: whether the requester is billed

    Notes
    -----
    Parameters that mean the same in every method that takes them:

    query
        Which markets, data types, intervals, symbols and days. Where it may be left out: everything held.
        A range that goes to the newest day (``since``, ``last``, ``between(..., "latest")``) ends with the
        newest that the archive has published, of any of the query's symbols and data types, where a method asks
        the archive (``plan``, ``pull``, ``frame``, ``heal``, ``quality``, ``gaps``); with the newest that the
        lake holds, where a method only reads the lake.
    refresh, max_age
        Ask the archive again even where its cached listing is fresh; or where it is older than ``max_age``.
    progress
        Show a bar where a person is watching, or a callable that receives each step.
    mode
        ``download`` for a lake on a disk; ``direct``, ``relay`` or ``traditional`` for one in a bucket;
        ``auto`` takes the first that can work, and the next for files it could not move.
    checksum_policy
        What to do with a file whose CHECKSUM is stale: ``quarantine`` it, ``accept`` it with a mark, or
        ``raise`` when everything else is done.
    executor
        Any ``concurrent.futures.Executor``: of threads, of processes started by ``spawn``, or a Dask client's
        ``client.get_executor(retries=3)``. The work is cut into parts of whole symbol-months that run there, and
        ``workers`` of the options, the objects in flight, are divided among them. ``(executor, 4)`` says how many
        workers it has, where that cannot be found. See ``notebooks/guide/scaleout.md``.
    options
        :class:`cryptolake.TransferOptions`, the name of a preset (``"cost_optimized"``; with changes
        ``cl.TransferOptions.preset("cost_optimized", workers=8)``), or a mapping of option names.

    Methods that ask the archive raise ``ListingError`` where it does not answer and no cached listing can
    stand in; all of them raise ``InvalidQuery`` for words that do not exist or do not agree.

    Examples
    --------
    >>> import cryptolake as cl
    >>> cl.Lake("/data/lake")
    Lake('/data/lake', archive='s3://data.binance.vision')
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/cryptolake",
        *,
        source: Archive | None = None,
        storage_options: Mapping[str, Any] | None = None,
        adopt: bool = False,
    ) -> None:
        self.storage: Storage = open_storage(root, storage_options)
        self.source: Archive = source or Archive()
        self._adopt = adopt
        self._datasets: pl.DataFrame | None = None
        self._freshness: tuple[pl.DataFrame, datetime] | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None

    @property
    def root(self) -> str:
        """The root, as text; it never holds credentials."""
        return self.storage.root

    @cached_property
    def meta(self) -> Meta:
        """The lake's own tables: ledger, runs, transfers, sources, rejects, findings."""
        from cryptolake.storage.lake_format import check_format
        from cryptolake.storage.tables import Meta

        check_format(self.storage)
        return Meta(self.storage)

    @cached_property
    def listing(self) -> Listing:
        """What the archive's S3 listing says exists, cached in the lake."""
        from cryptolake.listing.listing import Listing
        from cryptolake.storage.lake_format import check_format

        check_format(self.storage)
        return Listing(self.source, self.storage)

    @property
    def context(self) -> LakeContext:
        """What one call works with: files, tables and archive, and the tables as that call reads them."""
        from cryptolake.listing.context import LakeContext

        return LakeContext(self.storage, self.source, self.listing, self.meta, self._adopt)

    # ------------------------------------------------------------------ ask

    @days_from("archive")
    def plan(
        self,
        query: Query,
        *,
        refresh: bool = False,
        max_age: timedelta | None = None,
        progress: Progress = True,
    ) -> Plan:
        """Work out the exact files that a query needs. Asks the archive's listing; transfers nothing.

        Parameters
        ----------
        query
            Which files: markets, data types, intervals, symbols and UTC days, both ends in.
        refresh
            Whether to ask the archive again even where its cached listing is fresh.
        max_age
            Ask the archive again where its cached listing is older than this.
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.

        Returns
        -------
        Plan
            ``plan.files`` has a row a file with its status, ``plan.missing_periods`` a row a period that the archive does
            not publish, with its reason; ``plan.total_bytes`` and ``plan.to_transfer`` say what a transfer would move.

        Raises
        ------
        InvalidQuery
            The words do not agree: ``query.check()`` is called first.
        NoSuchSymbol
            A name or glob matches nothing that the archive lists.
        ListingError
            The archive does not answer, and no cached listing can stand in.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     plan = lake.plan(query)
        ...     plan.to_transfer, plan.missing, plan.files["period"].to_list()
        (1, 0, ['2025-01'])
        """
        from cryptolake.planning.planner import make_plan
        from cryptolake.transfer.routing import route

        lake, way = self.context, route("auto", self.source, self.storage)
        with shown(progress):
            return make_plan(query, lake, route=way, refresh=refresh, max_age=max_age)

    def symbols(
        self,
        market: str,
        data_type: str = "klines",
        *,
        quote: str | Iterable[str] | None = None,
        contract: str | Iterable[str] | None = None,
        listed_on: DayLike | None = None,
        spans: bool = False,
        refresh: bool = False,
        progress: Progress = True,
    ) -> pl.DataFrame:
        """Return the symbols that the archive lists for a market and data type, delisted ones too.

        Parameters
        ----------
        market
            A word as in a query.
        data_type
            Likewise: the symbols can differ by type.
        quote, contract
            Keep only these quote assets, or contract kinds.
        listed_on
            Keep only symbols that were listed on this UTC day: a universe as of a date. It finds ``spans`` too.
        spans
            Also find the days of each symbol; asks the archive a little for each symbol.
        refresh
            Whether to ask the archive again even where its cached listing is fresh.
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.

        Returns
        -------
        polars.DataFrame
            One row a symbol, by name: ``symbol``, ``base``, ``quote``, ``contract`` (kind), ``expiry`` (UTC day of a
            delivery contract or option, else null) and ``settled``. With ``spans`` also ``first`` and ``last``, the UTC days
            of the first and last file; ``status``: ``live``, ``delisted``, ``delivered`` or ``discontinued``; and
            ``spans``, the first and last day of each uninterrupted part of the life.

        Raises
        ------
        InvalidQuery
            A market, data type or contract kind that does not exist, or a day that cannot be read.
        ListingError
            The archive does not answer, and no cached listing can stand in.

        Examples
        --------
        >>> import cryptolake as cl
        >>> with cl.sample_lake() as lake:
        ...     lake.symbols("spot", quote="USDT")["symbol"].to_list()
        ['BTCUSDT', 'ETHUSDT']
        """
        from cryptolake.listing.symbols import symbol_table

        of: dict[str, Any] = {"quote": quote, "contract": contract, "listed_on": listed_on}
        with shown(progress):
            return symbol_table(
                self.context.listing, market, data_type, **of, spans=spans, refresh=refresh
            )

    def describe(self, market: str, data_type: str) -> Description:
        """Describe a dataset: columns, types, units, meaning, key pattern, known quirks. No I/O.

        Parameters
        ----------
        market, data_type
            Words as in a query.

        Returns
        -------
        Description
            It shows itself; ``columns`` is a frame with a row a column, ``quirks`` what to know before use.

        Raises
        ------
        InvalidQuery
            A word that does not exist, or a data type that the market does not have.

        Examples
        --------
        >>> import cryptolake as cl
        >>> found = cl.Lake("/data/lake").describe("futures_cm", "klines")
        >>> found.columns.filter(name="volume")["unit"].item()
        'contracts'
        """
        from cryptolake.readers.describe import describe

        return describe(market, data_type)

    def transfer(
        self,
        plan: Plan,
        *,
        mode: Mode = "auto",
        progress: Progress = True,
        checksum_policy: ChecksumPolicy = "quarantine",
        options: Options = None,
        executor: OnExecutor | None = None,
    ) -> Report:
        """Move a plan's files into Bronze, each verified before it is seen.

        Parameters
        ----------
        plan
            What to move; files that came since it was made are not fetched again.
        mode
            How files move: ``auto``, ``download``, ``direct``, ``relay`` or ``traditional``
            (``notebooks/guide/words.md#routes``).
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.
        checksum_policy
            What to do with a file whose CHECKSUM is stale: ``quarantine`` it, ``accept`` it with a mark, or ``raise``
            when everything else is done.
        options
            :class:`cryptolake.TransferOptions`, the name of a preset, or a mapping of option names.
        executor
            A ``concurrent.futures.Executor`` that the work runs on in parts (:class:`Lake`); without it, it runs here.

        Returns
        -------
        Report
            ``report.files`` has a row a file: ``transferred``, ``adopted``, ``cached``, ``quarantined`` or ``failed`` with
            its fault (``notebooks/guide/words.md#files-in-a-report``); ``report.ok`` says whether none failed.

        Raises
        ------
        InvalidQuery
            A mode, policy or option that does not exist, or a mode that does not fit the lake.
        PlanError
            The plan is of another archive than the lake.
        TransferError
            Nothing could be moved. Where only some files failed, the report says which.
        ChecksumMismatch
            A CHECKSUM is stale, under the policy ``raise``.
        StorageError
            The lake cannot be written.
        WorkerLost
            A worker of the executor died, and its part is not run again; the same call completes the work.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.transfer(lake.plan(query))
        ...     report.ok, report.transferred, report.files["verified"].to_list()
        (True, 1, ['sha256'])
        """
        from cryptolake.transfer.pull import RunSettings

        way = (mode, progress, checksum_policy, options)
        settings = RunSettings.of(plan.archive, self.storage, *way)
        with self._on(executor, settings, "transfer", build=False) as (how, lake):
            return how.transfer(plan, lake)

    @days_from("lake", plans=True)
    def build(
        self,
        query: Query | Plan | None = None,
        *,
        progress: Progress = True,
        force: bool = False,
        checksum_policy: ChecksumPolicy = "quarantine",
        gold: Iterable[str] = (),
        executor: OnExecutor | None = None,
    ) -> Report:
        """Build the Silver months of a query from Bronze, then Gold from Silver: only what changed.

        Parameters
        ----------
        query
            What to build, all of Bronze when left out; or a plan, or a shard of one
            (:meth:`cryptolake.planning.plan.Plan.shards`): the symbol-months that its files lie in.
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.
        force
            Build months anew although nothing changed. A month that would lose rows, as a file of it is damaged or
            gone, is kept all the same.
        checksum_policy
            For copies made inside S3, which are hashed here first: ``quarantine``, ``accept`` or ``raise``.
        gold
            Recipes to bring up to date for the query's symbols and days (:meth:`recipes`).
        executor
            A ``concurrent.futures.Executor`` that the work runs on in parts (:class:`Lake`); without it, it runs here.

        Returns
        -------
        Report
            ``report.months`` has a row for each Silver and Gold file: ``built``, ``unchanged``, ``kept``, ``missing`` or
            ``failed`` (``notebooks/guide/words.md#months-in-a-report``), and which inputs of a recipe are missing.

        Raises
        ------
        InvalidQuery
            There is no such recipe, or the query leaves its leading input out.
        WorkerLost
            A worker of the executor died, and its part is not run again; the same call completes the work.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.transfer(lake.plan(query))
        ...     report = lake.build(query)
        ...     report.built, report.rows
        (1, 744)
        """
        from cryptolake.silver.build import build_asked

        named = [gold] if isinstance(gold, str) else list(gold)
        if executor is not None:
            from cryptolake.executors.spread import build_on

            settings = self._settings("auto", progress, checksum_policy, None)
            return build_on(executor, self.context, query, settings, gold=named, force=force)
        how: dict[str, Any] = {"progress": progress, "force": force}
        report = build_asked(self.context, query, checksum_policy=checksum_policy, **how)
        if named:
            from cryptolake.gold.build import build_recipes

            report = build_recipes(
                self.context, named, query, report, progress=progress, force=force
            )
        return report

    @days_from("archive")
    def pull(
        self,
        query: Query,
        *,
        mode: Mode = "auto",
        progress: Progress = True,
        refresh: bool = False,
        checksum_policy: ChecksumPolicy = "quarantine",
        options: Options = None,
        executor: OnExecutor | None = None,
    ) -> Report:
        """Plan, transfer and build in one call.

        Parameters
        ----------
        query
            Which files: markets, data types, intervals, symbols and UTC days, both ends in.
        mode
            How files move: ``auto``, ``download``, ``direct``, ``relay`` or ``traditional``
            (``notebooks/guide/words.md#routes``).
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.
        refresh
            Whether to ask the archive again even where its cached listing is fresh.
        checksum_policy
            What to do with a file whose CHECKSUM is stale: ``quarantine`` it, ``accept`` it with a mark, or ``raise``
            when everything else is done.
        options
            :class:`cryptolake.TransferOptions`, the name of a preset, or a mapping of option names.
        executor
            A ``concurrent.futures.Executor`` that the work runs on in parts (:class:`Lake`); without it, it runs here.

        Returns
        -------
        Report
            Files moved and months built, in ``report.files`` and ``report.months``; ``report.ok`` says whether all of it
            worked.

        Raises
        ------
        InvalidQuery
            Words that do not exist or do not agree, or a mode that does not fit the lake.
        ArchiveMismatch
            The lake is of another archive than its source, and ``adopt=True`` was not given.
        NoSuchSymbol
            A name or glob matches nothing that the archive lists.
        ListingError
            The archive does not answer, and no cached listing can stand in.
        TransferError
            Nothing could be moved. Where only some files failed, the report says which.
        StorageError
            The lake cannot be written.
        WorkerLost
            A worker of the executor died, and its part is not run again; the same call completes the work.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     first = lake.pull(query)
        ...     again = lake.pull(
        ...         query
        ...     )  # what is here and whole is neither fetched nor built again
        ...     first.transferred, first.built, again.transferred, again.built
        (1, 1, 0, 0)

        On four processes it is ``lake.pull(query, executor=pool)``, with the pool of
        ``ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn"))``.
        """
        from cryptolake.transfer.pull import pull

        settings = self._settings(mode, progress, checksum_policy, options)
        with self._on(executor, settings, "pull") as (how, lake):
            return pull(query, lake, how, refresh=refresh)[1]

    def _on(
        self, executor: OnExecutor | None, settings: RunSettings, kind: str, *, build: bool = True
    ) -> AbstractContextManager[tuple[RunSettings, LakeContext]]:
        """Return what a call works with: on an executor its parts run there, and its run has them as parts."""
        if executor is None:
            return nullcontext((settings, self.context))
        from cryptolake.executors.spread import spread_over

        return spread_over(executor, settings, self.context, kind, build=build)

    def _settings(
        self, mode: Mode, progress: Progress, checksum_policy: ChecksumPolicy, options: Options
    ) -> RunSettings:
        """Choose the route and the options of a call; wrong words are refused before anything is asked."""
        from cryptolake.transfer.pull import RunSettings

        return RunSettings.of(self.source, self.storage, mode, progress, checksum_policy, options)

    @days_from("archive")
    def frame(
        self,
        query: Query,
        *,
        mode: Mode = "auto",
        progress: Progress = True,
        refresh: bool = False,
        checksum_policy: ChecksumPolicy = "quarantine",
        options: Options = None,
        exact: bool = False,
    ) -> pl.DataFrame:
        """Pull what is missing, then return the Silver rows of the range.

        Parameters
        ----------
        query
            What to return: one data type; UTC days, both ends in.
        mode
            How files move: ``auto``, ``download``, ``direct``, ``relay`` or ``traditional``
            (``notebooks/guide/words.md#routes``).
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.
        refresh
            Whether to ask the archive again even where its cached listing is fresh.
        checksum_policy
            What to do with a file whose CHECKSUM is stale: ``quarantine`` it, ``accept`` it with a mark, or ``raise``
            when everything else is done.
        options
            :class:`cryptolake.TransferOptions`, the name of a preset, or a mapping of option names.
        exact
            As :meth:`silver` takes it.

        Returns
        -------
        polars.DataFrame
            The columns of :meth:`silver`: ``market``, ``symbol``, ``interval`` (for types that have one), then the dataset's own
            (:meth:`describe`), sorted by time for each symbol; times are UTC.

        Raises
        ------
        InvalidQuery
            Words that do not exist or do not agree, or not one data type.
        ArchiveMismatch
            The lake is of another archive than its source, and ``adopt=True`` was not given.
        NoSuchSymbol
            A name or glob matches nothing that the archive lists.
        NotPublished
            The archive has no file at all for the query; the message says what comes nearest.
        ListingError
            The archive does not answer, and no cached listing can stand in.
        TransferError
            Some files could not be fetched; ``error.report`` has all of it, and ``lake.silver(query)`` the rows that are
            here.
        StorageError
            A Silver file has the recorded size and bytes that cannot be decoded: :meth:`verify` names it.

        Warns
        -----
        IncompleteWarning
            Files of the range are in quarantine, or published rows end early.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     bars = lake.frame(query)
        ...     bars.height, bars["open_time"].min().isoformat()
        (744, '2025-01-01T00:00:00+00:00')
        """
        from cryptolake.transfer.pull import pull_rows

        settings = self._settings(mode, progress, checksum_policy, options)
        return pull_rows(query, self.context, settings, refresh=refresh, exact=exact)

    # ------------------------------------------------------------------ read

    @days_from("lake")
    def bronze(self, query: Query) -> pl.LazyFrame:
        """Scan Bronze in place, still zipped: the columns as published.

        Parameters
        ----------
        query
            Which files of the lake: one data type; UTC days, both ends in.

        Returns
        -------
        polars.LazyFrame
            The published columns and units under the names of the archive's newest header (times as the file's integers, of milliseconds or microseconds
            since 1970 UTC), then ``key``, the file that a row is of, ``market``, ``symbol`` and ``interval``. Zips are
            opened when it is collected.

        Raises
        ------
        InvalidQuery
            The query names no data type, or several.

        Warns
        -----
        DamagedLakeWarning
            Files of the lake cannot be read; their rows are left out.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     lake.bronze(query).select("open_time", "count", "interval").collect().row(0)
        (1735689600000000, 235, '1h')
        """
        from cryptolake.readers.polars_frames import bronze_frame

        return bronze_frame(query, self.context)

    @days_from("lake")
    def silver(self, query: Query, *, exact: bool = False) -> pl.LazyFrame:
        """Scan the typed rows of a query's days: one data type, with market, symbol and interval.

        It reads what the lake holds and fetches nothing.

        Parameters
        ----------
        query
            Which rows: one data type; UTC days, both ends in. A row is of the day in which its time lies (``open_time`` of a
            bar).
        exact
            Prices and quantities as ``Decimal`` with the published scale instead of ``Float64``; such rows are made from
            Bronze at the call, whole months in memory.

        Returns
        -------
        polars.LazyFrame
            ``market``, ``symbol``, ``interval`` (for types that have one), then the dataset's columns: times are
            ``Datetime("us", "UTC")``, units are those that :meth:`describe` names. Klines have ``open_time, open, high, low,
            close, volume, close_time, quote_volume, trades, taker_buy_volume, taker_buy_quote_volume``.

        Raises
        ------
        InvalidQuery
            The query names no data type, or several.
        CorruptArchive
            With ``exact``: a file of the range cannot be used.
        polars.exceptions.PolarsError
            When the frame is collected: a Silver file has the recorded size and bytes that cannot be decoded (mostly a
            ``ComputeError``). The frame is Polars' own and so is its error; :meth:`frame` raises StorageError then. Most
            bits that flip on a disk raise nothing and give other values: :meth:`verify` finds all of them, and with
            ``repair`` builds the month again.

        Warns
        -----
        DamagedLakeWarning
            Files of the lake cannot be read; their rows are left out.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     lake.silver(query).select("symbol", "open_time", "close").collect().shape
        (744, 3)
        """
        from cryptolake.silver.rows import silver_rows

        return silver_rows(query, self.context, exact=exact)

    def connect(self, path: str | os.PathLike[str] | None = None) -> duckdb.DuckDBPyConnection:
        """Return a DuckDB connection with every view: ``bronze.*``, ``silver.*``, ``gold.*``, ``meta.*``.

        ``silver.spot_klines_1h`` has the bars of one interval. ``silver.spot_klines`` has all of them, so that a
        sum over it counts the same time once an interval. :meth:`views` says what each view holds. A filter on
        ``month`` (text, ``'2024-03'``) opens only the files of those months.

        Parameters
        ----------
        path
            A DuckDB file to keep the views in; in memory when left out. Plain DuckDB can open such a file
            and ask ``silver``, ``gold`` and ``meta`` of a lake on a disk; ``bronze`` needs a connection made
            here, which knows how to look into zips.

        Returns
        -------
        duckdb.DuckDBPyConnection
            Its time zone is UTC. Times are ``TIMESTAMP WITH TIME ZONE``; in a kept file ``TIMESTAMP``, the
            UTC time without a zone, since no setting stays in a file: so days and hours are UTC's for whoever
            opens it.

        Raises
        ------
        StorageError
            The file is not DuckDB's, or another process holds it.
        duckdb.Error
            When a question is asked: as :meth:`sql` says.

        Warns
        -----
        DamagedLakeWarning
            Files of the lake cannot be read; their rows are left out.

        Examples
        --------
        >>> import cryptolake as cl
        >>> con = cl.Lake("/data/empty").connect()
        >>> con.execute(
        ...     "select count(*) from silver.spot_klines_1h where month >= '2024-01'"
        ... ).fetchone()
        (0,)
        """
        from cryptolake.gold.views import recipe_columns
        from cryptolake.readers.duckdb_views import connect

        kept = None if path is None else Path(path)
        return connect(self.context, path=kept, recipes=recipe_columns())

    @days_from("lake")
    def sql(
        self,
        text: str,
        params: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        query: Query | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Ask in SQL; the views are those of :meth:`connect`, as the lake stands at the call.

        Parameters
        ----------
        text
            One statement in DuckDB's dialect. Sums belong over the view of one interval
            (``silver.spot_klines_1h``): ``silver.spot_klines`` has the bars of every interval.
        params
            Values for ``$name`` (a mapping) or ``?`` (a list): a value never becomes SQL.
        query
            Makes a view ``q`` of exactly this query's Silver files and days, for this question alone. The
            query names one data type; an interval too, where its sums are to count each time once.

        Returns
        -------
        duckdb.DuckDBPyRelation
            DuckDB's own, computed when it is read; times are UTC. ``cl.to_polars(relation)`` makes a Polars
            frame of it; ``.df()``, ``.arrow()``, ``.pl()`` and ``.fetchnumpy()`` need the extra ``pandas``
            and say so where it is missing.

        Raises
        ------
        duckdb.Error
            The question is wrong, or lacks a value for a parameter. When the relation is read: a file has the recorded size
            and bytes that cannot be decoded, which :meth:`verify` finds, as :meth:`silver` says.
        InvalidQuery
            ``query`` names no data type, or several.
        MissingTool
            By an exit of the relation: its package is not installed.

        Warns
        -----
        DamagedLakeWarning
            Files that the question reads are damaged or gone; their rows are left out.

        Examples
        --------
        >>> import cryptolake as cl
        >>> asked = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2024-01")
        >>> lake = cl.Lake("/data/empty")
        >>> lake.sql(
        ...     "select count(*) from silver.spot_klines_1h where symbol = $s", {"s": "BTCUSDT"}
        ... ).fetchall()
        [(0,)]
        >>> lake.sql(
        ...     "select count(*), max(close) from q where close > ?", [1], query=asked
        ... ).fetchall()
        [(0, None)]
        """
        from cryptolake.gold.views import recipe_columns
        from cryptolake.readers.duckdb_views import ask, connect

        context = self.context
        self._connection = self._connection or connect(context, views=False)
        return ask(self._connection, context, text, params, query, recipe_columns())

    def views(self) -> pl.DataFrame:
        """Return every view that :meth:`sql` and :meth:`connect` have, and what it holds.

        Returns
        -------
        polars.DataFrame
            ``schema`` (silver, gold, meta, bronze), ``view``, and ``holds``: a sentence with the units. A view of
            every interval (``silver.spot_klines``) has the bars of a time once an interval, and says which view
            to sum over instead. Views of datasets that the lake does not hold are empty; :meth:`datasets` says
            what it holds. ``show tables`` in SQL lists the names of all but Bronze's, ``comment`` in
            ``duckdb_columns()`` has each column's meaning and unit.

        Examples
        --------
        >>> import cryptolake as cl
        >>> views = cl.Lake("/data/empty").views()
        >>> print(views.filter(view="spot_trades")["holds"][0])
        trades of spot, typed. Units: price, quote_quantity in quote asset; quantity in base asset.
        """
        from cryptolake.gold.views import recipe_notes
        from cryptolake.readers.view_notes import views

        return views(self.storage, recipe_notes())

    def datasets(self) -> pl.DataFrame:
        """Return what the lake holds, a row for each zone and dataset. Asks only the lake.

        Returns
        -------
        polars.DataFrame
            ``zone`` (``bronze``, ``silver`` or ``gold``), ``dataset``, the number of ``symbols``, the ``intervals`` (none
            where the type has none), ``first`` and ``last`` UTC day, ``files``, ``bytes`` and ``rows``. Days are those that
            Bronze files cover and those that Silver rows lie in. Rows are null where some file was not built.

        Warns
        -----
        DamagedLakeWarning
            Silver files are gone or cut; they are not counted.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     lake.datasets().select("zone", "dataset", "files", "rows").rows()
        [('bronze', 'spot_klines', 1, 744), ('silver', 'spot_klines', 1, 744)]
        """
        from cryptolake.readers.inventory import datasets

        self._datasets = datasets(self.context)
        return self._datasets

    @days_from("lake")
    def profile(self, query: Query) -> Profile:
        """Look at a query's rows: a histogram a column, sorted and filtered over all of them.

        It reads what the lake holds and fetches nothing. DuckDB counts over all rows of exactly the query's Silver files,
        at each question anew; at most 50 rows at a time are loaded, the first 10,000 in the order chosen can be turned
        to. Columns of which all rows have the same are named, and not drawn.

        Parameters
        ----------
        query
            What to look at: one data type.

        Returns
        -------
        Profile
            In a notebook it is a table to touch: a column's name sorts, its bars (or a range, a value, typed) filter, by
            mouse or by Tab, arrows, Enter and Escape; below it stands the same question for :meth:`sql`. Elsewhere it is
            a table of the summaries. ``.summary()`` is a Polars frame: ``column, type, unit, nulls, distinct, min, max,
            histogram``, times in UTC; ``.rows`` counts, ``.view(filters, sort, page)`` is what the table asks.

        Raises
        ------
        InvalidQuery
            The query names no data type, or several.
        NotPublished
            The lake has no Silver rows for the query.

        Examples
        --------
        >>> import cryptolake as cl
        >>> asked = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> cl.Lake("/data/empty").profile(asked)
        Traceback (most recent call last):
        ...
        cryptolake.errors.NotPublished: the lake has no Silver rows for this; lake.pull(query) fetches and builds them.
        """
        from cryptolake.readers.profile import Profile

        return Profile(lambda text: self.sql(text, query=query), query)

    # ------------------------------------------------------------------ research

    @days_from("lake")
    def panel(
        self,
        query: Query,
        column: str = "close",
        *,
        of: str | pl.LazyFrame | None = None,
        members: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        """Return one column of a query's bars by time and symbol, on the whole UTC grid; holes are null.

        It reads what the lake holds and fetches nothing. The grid has every bar that opens in the query's days:
        weeks from Mondays, months from their first day. A row off the grid, as the archive has some beside
        exchange halts, is not moved onto it: its bar is null. Values are not filled; in Polars that is a line,
        and you choose where a fill ends: ``panel.with_columns(pl.exclude("open_time").forward_fill(limit=3))``.

        Parameters
        ----------
        query
            One market, data type and interval (klines, or mark, index or premium prices); symbols and UTC days, both ends
            in. A symbol that is named has a column whatever is here of it; a glob means those that the lake holds.
        column
            A column of the bars, in its own unit (``lake.describe``); or ``"gap"``, for the cause of each hole.
        of
            What to show instead of the query's bars: the name of a recipe (``lake.panel(query, "basis", of="basis")``,
            made by :meth:`gold`), or a frame with ``open_time, symbol`` and the column.
        members
            A frame of ``from, until, symbol``, as :meth:`universe` returns it: cells outside ``[from, until)`` are
            null, and their cause is ``not_member``.

        Returns
        -------
        polars.DataFrame
            ``open_time`` (UTC) and a column a symbol, by name. With ``"gap"``: text, null where there is a row, else
            ``not_member``, ``off_grid``, ``exchange_halt``, ``archive_gap``, ``not_listed``, ``interval_stopped``,
            ``rejected``, ``not_pulled``, ``not_published`` or ``unknown`` (``notebooks/guide/gaps.md#causes``), as
            :meth:`gaps` finds them with evidence.

        Raises
        ------
        InvalidQuery
            The query mixes markets (the ``volume`` of futures_um is in the base asset, that of futures_cm in
            contracts), data types or intervals; asks for rows that are not bars, as trades; or there is no such
            column.

        Warns
        -----
        IncompleteWarning
            Symbols have no value at all.

        Examples
        --------
        >>> import cryptolake as cl, polars as pl
        >>> query = (
        ...     cl.query()
        ...     .markets("spot")
        ...     .klines("1h")
        ...     .symbols("BTCUSDT", "ETHUSDT")
        ...     .between("2025-01")
        ... )
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     close = lake.panel(query)
        ...     returns = close.select("open_time", pl.exclude("open_time").pct_change())
        ...     close.columns, lake.panel(query, "gap").null_count().row(0)
        (['open_time', 'BTCUSDT', 'ETHUSDT'], (0, 744, 744))
        """
        from cryptolake.research.panel import panel

        rows = self.gold(of, query) if isinstance(of, str) else of
        return panel(query, self.context, column, rows=rows, members=members)

    @days_from("bars")
    def universe(
        self,
        query: Query,
        *,
        top: int = 50,
        by: str = "quote_volume",
        over: str | timedelta = "30d",
        each: str = "1mo",
        mode: Mode = "auto",
        progress: Progress = True,
        refresh: bool = False,
        checksum_policy: ChecksumPolicy = "quarantine",
        options: Options = None,
    ) -> pl.DataFrame:
        """Return a market's most traded symbols as of the start of each period, delisted names included.

        A symbol's rank is its volume of the days before the period, by what was known at its start: nothing
        later moves it. Members traded on the newest day of the market that was known. Stablecoins, money and
        leveraged tokens (BTCUP, not JUP) are left out. Like :meth:`frame` it fetches what it needs: the daily
        klines of the query's symbols, into Bronze; they are kept as one file a month in ``gold/daily``.

        Parameters
        ----------
        query
            One market and the UTC days, both ends in. Symbols and ``.universe(quote=..., contract=..., exclude=...)`` say
            who is ranked; without them the whole market, where its quote assets are one (kinds of US dollars are). Data type
            and interval may be left out: it is 1d klines.
        top
            How many symbols a period has at most.
        by
            ``quote_volume``, ``taker_buy_quote_volume`` or ``trades``; of futures_cm ``volume`` (contracts),
            ``taker_buy_volume`` or ``trades``.
        over
            How long before a period it is summed: text as ``"30d"``, or a timedelta.
        each
            The periods: ``"1mo"`` and ``"1w"`` of the calendar, the first from the range's first day; or ``"7d"``.
        mode
            How files move: ``auto``, ``download``, ``direct``, ``relay`` or ``traditional``
            (``notebooks/guide/words.md#routes``).
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.
        refresh
            Whether to ask the archive again even where its cached listing is fresh.
        checksum_policy
            What to do with a file whose CHECKSUM is stale: ``quarantine`` it, ``accept`` it with a mark, or ``raise``
            when everything else is done.
        options
            :class:`cryptolake.TransferOptions`, the name of a preset, or a mapping of option names.

        Returns
        -------
        polars.DataFrame
            ``from`` and ``until`` (UTC, the end out), ``rank`` from 1, ``symbol``, the sum under its column's name,
            and ``days``, how many days it is of.

        Raises
        ------
        InvalidQuery
            The query is not of one market, or its symbols are quoted in assets that do not compare.
        NotPublished
            The archive has no daily klines for it.
        ListingError
            The archive does not answer, and no cached listing can stand in.
        TransferError
            Some files could not be fetched.

        Examples
        --------
        Two steps keep a query pure: the members' names go into a second one, and their times into the panel.

        >>> import cryptolake as cl
        >>> market = cl.query().markets("spot")
        >>> with cl.sample_lake() as lake:
        ...     asked = market.universe(quote="USDT").between("2025-01")
        ...     members = lake.universe(asked, top=1, over="7d")
        ...     query = market.klines("1h").symbols(members["symbol"].unique()).between("2025-01")
        ...     report = lake.pull(query)
        ...     close = lake.panel(query, "close", members=members)
        ...     members.select("rank", "symbol", "days").rows(), close.columns
        ([(1, 'BTCUSDT', 7)], ['open_time', 'BTCUSDT'])
        """
        from cryptolake.gold.daily import Daily
        from cryptolake.research.universe import universe

        settings = self._settings(mode, progress, checksum_policy, options)
        asked: dict[str, Any] = {"top": top, "by": by, "over": over, "each": each}
        lake = self.context
        return universe(query, lake, settings, Daily(lake), **asked, refresh=refresh)

    @days_from("lake")
    def gold(self, name: str, query: Query, *, progress: Progress = True) -> pl.LazyFrame:
        """Build what is stale of a recipe for a query's symbols and days, and return its rows.

        A recipe's file is stale where its function, its version, or one of its Silver files has changed; nothing
        else is made. Silver itself is read as it stands: pull first.

        Parameters
        ----------
        name
            One of ours (:meth:`recipes`), or a function under ``@cl.recipe``.
        query
            Symbols (of the recipe's first input) and UTC days, both ends in. Markets and intervals pick among those that the
            recipe holds for (``lake.recipes()``): ``lake.gold("panel", query.markets("spot").klines("1d"))``. Without them,
            those of its first input are meant; a data type that is named is that of its first input.
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.

        Returns
        -------
        polars.LazyFrame
            ``market``, ``symbol``, ``interval`` (null where the first input has none), then the recipe's columns, by
            symbol and time, one market and interval after the other. Times are UTC; units are in the recipe's
            docstring.

        Raises
        ------
        InvalidQuery
            There is no such recipe, or it does not hold for the query's markets, data types or intervals.
        BuildError
            The recipe's function failed: the message names recipe and month, ``error.report`` all of them. The
            other months are built.

        Warns
        -----
        IncompleteWarning
            Silver files that the recipe is made of are not in the lake.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query.markets("spot", "futures_um").klines("1h"))
        ...     basis = lake.gold("basis", query).collect()
        ...     rows = lake.sql(
        ...         "select count(*) from gold.basis where symbol = 'BTCUSDT'"
        ...     ).fetchall()
        ...     basis.height, rows
        (744, [(744,)])
        """
        from cryptolake.gold.rows import gold_rows

        return gold_rows(self.context, name, query, progress=progress)

    def recipes(self) -> pl.DataFrame:
        """Return the recipes of Gold: ours, and those under ``@cl.recipe`` in this process.

        Returns
        -------
        polars.DataFrame
            ``name``; ``version``; ``each`` (``symbol-month`` or ``market-month``: what one file is about);
            ``inputs``, as a query without markets and intervals means them; ``markets`` and ``intervals`` that a
            query may pick; ``before``, the warm-up; ``columns`` with their types; ``what``, the first line of the
            function's docstring; ``source``, where the function is.

        Examples
        --------
        >>> import cryptolake as cl
        >>> table = cl.Lake("/data/empty").recipes()
        >>> table.filter(name="basis")["inputs"].to_list()
        [['perp=futures_um_klines:1h', 'spot=spot_klines:1h']]
        """
        from cryptolake.gold.rows import recipe_table

        return recipe_table()

    @days_from("lake")
    def export(
        self,
        query: Query,
        folder: str | os.PathLike[str],
        format: Literal["parquet", "csv", "arrow"] = "parquet",  # noqa: A002 - the contract's word
        each: Literal["symbol", "all"] = "symbol",
        *,
        of: str | None = None,
        overwrite: bool = False,
    ) -> pl.DataFrame:
        """Write a query's rows as files for other programs, with a README beside them.

        The rows are those of :meth:`silver` (or :meth:`gold`), written as they are read: memory does not grow with
        them. Nothing is fetched: pull first. The files get their names when all are finished, so a killed export
        leaves none.

        Parameters
        ----------
        query
            What to write: one data type; UTC days, both ends in; with ``of``, as :meth:`gold` takes it.
        folder
            A folder of this machine; made when absent.
        format
            ``parquet`` (zstd); ``csv``, with times as ISO 8601 in UTC and numbers that read back as the same; or
            ``arrow``, an Arrow IPC file (Feather 2, zstd).
        each
            ``symbol``: a file a symbol, named by it, and by market and interval where the query does not name one
            of each; signs that are unsafe in a file's name are percent-quoted. ``all``: one file, ``all``.
        of
            A table of Gold, whose rows are written instead: a recipe, ``daily``, or ``filled``, which has what
            :meth:`fill` has made.
        overwrite
            Replace what an earlier export wrote there, and files of the same names; other files stay.

        Returns
        -------
        polars.DataFrame
            A row a file: ``path``, ``symbol`` (null for one file of all), ``rows``, ``bytes``. Beside them are
            ``README.md`` (columns, types, units, clock, counts, the lock id), ``sources.sha256`` (a line
            ``sha256  key`` for each file of the archive that the rows are of; its own sha256 is the lock id, as
            :meth:`freeze` gives it for the same query and bytes) and ``files.csv`` (this frame).

        Raises
        ------
        InvalidQuery
            An unknown format or recipe; a query that names no data type, or several; a folder that is a URL.
        StorageError
            The folder holds files and ``overwrite`` is not given, or it cannot be written.

        Warns
        -----
        IncompleteWarning
            Published files have no rows here, or symbols that are named have none.
        DamagedLakeWarning
            Files of the lake cannot be read, so their rows are left out.

        Examples
        --------
        >>> import cryptolake as cl, tempfile
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake, tempfile.TemporaryDirectory() as folder:
        ...     report = lake.pull(query)
        ...     lake.export(query, folder, format="csv").select("symbol", "rows").rows()
        [('BTCUSDT', 744)]
        """
        from cryptolake.maintenance.export import export

        how = {"format": format, "each": each}
        return export(query, self.context, folder, **how, of=of, overwrite=overwrite)

    @days_from("lake")
    def resample(self, query: Query, every: str) -> pl.LazyFrame:
        """Make coarser bars of a query's bars; say of each how many of its bars were there.

        It reads what the lake holds and fetches nothing. Bars are made when the frame is collected, a symbol at a
        time. They equal the bars that the archive publishes: prices and counts exactly, volumes but for the last
        bits of a float. Weeks begin on Monday and months on their first day, UTC.

        Parameters
        ----------
        query
            One data type (klines, or mark, index or premium prices) and one interval; UTC days, both ends in.
        every
            The interval of the result, a multiple of the query's: ``"1h"``, ``"1d"``, ``"1w"``, ``"1mo"``.

        Returns
        -------
        polars.LazyFrame
            ``market, symbol, interval`` (that of the result) and the columns of the bars, times in UTC, sorted
            by market, symbol and ``open_time``. ``open`` and ``close`` are of the first and last bar with trades,
            volumes and counts are sums in their own units, ``close_time`` is the last one. And

            - ``bars`` (Int64): how many bars it is made of
            - ``expected`` (Int64): how many a whole one is made of
            - ``whole``: whether all were there, on the grid; at the ends of the query's days it can be false

            Where no bar was there is no row. A row off the grid, as around halts, counts in the bar in which it
            opens; that bar is not whole, and its ``close_time`` is not before the row's end, so that
            ``cl.known(market, data_type, every)`` holds for the result.

        Raises
        ------
        InvalidQuery
            The query asks for ticks, for several data types or intervals; or ``every`` is no multiple.

        Warns
        -----
        IncompleteWarning
            A named symbol has no rows here, or published files could not be used.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     days = lake.resample(query, "1d").filter("whole").collect()
        ...     days.height, days["bars"].unique().to_list()
        (31, [24])
        """
        from cryptolake.research.resample import resample

        return resample(query, self.context, every)

    @days_from("lake")
    def asof(
        self,
        query: Query,
        *others: str,
        at: At = "end",
        lag: Mapping[str, str | timedelta] | None = None,
        max_age: str | timedelta | Mapping[str, str | timedelta] | None = None,
    ) -> pl.LazyFrame:
        """Put beside a query's rows what was known of other datasets when each was decided.

        Nothing looks ahead: a row is joined from when it is known on (:func:`cryptolake.known`). It reads what
        the lake holds of the same market and symbol, fetches nothing, and joins when the frame is collected, a
        symbol at a time.

        Parameters
        ----------
        query
            One data type; UTC days, both ends in.
        *others
            Data types: ``"fundingRate"``, ``"metrics"``, ``"bookTicker"``, ``"trades"``, ``"aggTrades"``,
            ``"markPriceKlines"`` and the like, of the query's own interval or of one that is named:
            ``"markPriceKlines:1h"``. bookDepth and others with several rows at one time are refused.
        at
            When a bar is decided: at its ``"end"``, when the bar itself is known; or at its ``"open"``, for
            what is traded in the bar. Trades, aggTrades and quotes are decided at their own time in both; other
            rows at ``"end"`` when they are known.
        lag
            How much later than that a type is known to you, as ``{"metrics": "1d"}``: the archive publishes a day
            later, and a feed of your own has its delay.
        max_age
            How long a row stands for the present, counted from when it is known (with ``lag``): for all, or by
            type as ``{"fundingRate": "8h"}``. When left out: less than one interval for bars, so that a missing
            one is null; 15 minutes for metrics, 9 hours for fundingRate, 5 minutes for quotes and trades.

        Returns
        -------
        polars.LazyFrame
            The columns of ``lake.silver(query)``; then of each other its Silver columns and ``<type>_known_at``
            (``funding_rate_known_at``): when its newest row was known, UTC, ``lag`` included. Times, and names that
            two datasets have, begin with the type: ``metrics_time``, ``mark_price_klines_close``. Null where
            nothing was known or it was too old. A null or NaN in the newest row hides no older value of that
            column that is not too old.

            A funding rate is as published, known some milliseconds after the hour: a bar that ends at the hour
            has the rate before it. As a *payment* it belongs to that bar; to add payments up, round
            ``funding_rate_time`` to the hour.

        Raises
        ------
        InvalidQuery
            The query names several data types; a market does not have a type; a word, interval or duration that
            cannot be read.

        Warns
        -----
        IncompleteWarning
            The lake lacks months of what is to be joined, or a named symbol; published files could not be used.

        Examples
        --------
        >>> import cryptolake as cl
        >>> perp = cl.query().markets("futures_um").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     for query in (perp.klines("1h"), perp.data_types("fundingRate")):
        ...         report = lake.pull(query)
        ...     bars = lake.asof(perp.klines("1h"), "fundingRate").collect()
        ...     bars.select("close", "funding_rate", "funding_rate_known_at").null_count().row(0)
        (0, 0, 0)
        """
        from cryptolake.research.asof import asof

        return asof(query, self.context, others, at=at, lag=lag, max_age=max_age)

    # ------------------------------------------------------------------ pin and restore

    @days_from("lake")
    def freeze(self, query: Query, path: str | os.PathLike[str]) -> Lock:
        """Pin what the lake holds of a query: every source file with its sha256, in a file of JSON.

        The lock is recorded in the lake, too (``meta/locks``). From then on a zip that the archive rewrites is kept
        (``meta/kept``) when an update or a pull replaces it, until :meth:`unlock` lets go of it.

        Parameters
        ----------
        query
            What to pin; a range that goes to the newest day ends with the newest that the lake holds.
        path
            Where the lock's file goes. A hundred thousand files take some 13 MB, one file a line.

        Returns
        -------
        Lock
            ``lock.id`` is the sha256 over the sorted lines ``sha256  key``: the same bytes under the same keys have
            the same id, whoever pins them. ``lock.files`` has ``key, size`` (bytes), ``etag, sha256``;
            ``lock.schemas`` and ``lock.recipes`` the versions of the rules, ``lock.gold`` the code of the Gold that
            the lake has of the query; ``cl.Lock.load(path)`` reads the file.

        Raises
        ------
        InvalidQuery
            Words that do not exist or do not agree.
        LockError
            The lake holds nothing of the query, or lacks files of it: pull first. Where the archive does not
            answer, what is here counts.
        StorageError
            The lake or the file cannot be written.

        Warns
        -----
        IncompleteWarning
            Files of the query are in quarantine, and are not pinned.

        Examples
        --------
        >>> import cryptolake as cl, tempfile
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake, tempfile.TemporaryDirectory() as folder:
        ...     report = lake.pull(query)
        ...     lock = lake.freeze(query, f"{folder}/paper.lock.json")
        ...     lock.files["key"].to_list(), lake.diff(lock).height
        (['data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-01.zip'], 0)
        """
        from cryptolake.maintenance.locks import freeze

        return freeze(self.context, query, path)

    def locks(self) -> pl.DataFrame:
        """List the locks that this lake keeps: those that were made of it, and those that were thawed into it.

        Returns
        -------
        polars.DataFrame
            A row a lock, the newest first: ``id``, ``created_at`` (UTC), ``files``, ``bytes`` and Silver ``rows`` that it
            pins, ``kept_files`` and ``kept_bytes`` (what the lake keeps for it since the archive replaced it),
            ``made_by``, ``query`` (JSON), and ``problem``, why a damaged one cannot be read.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Lake("/data/empty").locks().height
        0
        """
        from cryptolake.maintenance.lake_locks import list_locks

        return list_locks(self.context)

    def unlock(self, lock: Lock | str | os.PathLike[str]) -> pl.DataFrame:
        """Drop a lock of this lake, and the zips that are kept for it alone. The lock's own file elsewhere stays.

        Parameters
        ----------
        lock
            A lock, its id, the first letters of its id (six at least), or the ``Path`` of its file.

        Returns
        -------
        polars.DataFrame
            What was removed under ``meta/``: ``path`` and ``size`` (bytes).

        Raises
        ------
        LockError
            The lake keeps no such lock, or several begin with these letters.

        Warns
        -----
        DamagedLakeWarning
            Another lock of the lake is damaged, so that it is not known what it pins: all kept zips stay.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Lake("/data/empty").unlock("d1d084b6")
        Traceback (most recent call last):
        ...
        cryptolake.errors.LockError: the lake at /data/empty keeps no lock, so none is named 'd1d084b6'; lake.freeze makes one.
        """
        from cryptolake.maintenance.lake_locks import drop_lock

        return drop_lock(self.context, lock if isinstance(lock, str) else _lock(lock).id)

    def diff(self, lock: Lock | str | os.PathLike[str], *, refresh: bool = True) -> pl.DataFrame:
        """Say what the archive has done to pinned files since, from its listing alone.

        Parameters
        ----------
        lock
            A lock, or the path of its file. The lake need not hold its files.
        refresh
            Ask the archive anew; otherwise a listing that is still fresh counts.

        Returns
        -------
        polars.DataFrame
            A row a difference, none where all is as it was: ``change`` (``rewritten``, ``removed``, or ``added``: of
            the query, written since or of days that no pinned file covers), ``key``, ``size`` and ``size_now``
            (bytes), ``etag`` and ``etag_now``, the pinned ``sha256``, ``last_modified`` (UTC).

        Raises
        ------
        LockError
            The lock cannot be read, or is of another archive.
        ListingError
            The archive does not answer.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Lake("/data/empty").diff("/data/no.lock.json")
        Traceback (most recent call last):
        ...
        cryptolake.errors.LockError: /data/no.lock.json is no lock that can be read: ...
        """
        from cryptolake.maintenance.locks import diff

        return diff(self.context, _lock(lock), refresh=refresh)

    def thaw(
        self,
        lock: Lock | str | os.PathLike[str],
        donors: Iterable[Lake | str | os.PathLike[str]] | Lake | str | os.PathLike[str] = (),
        *,
        mode: Mode = "auto",
        progress: Progress = True,
        options: Options = None,
    ) -> Report:
        """Restore exactly what a lock pins into this lake, or name each difference; then build its Silver and Gold.

        It goes by the pinned keys and never plans again: days stay days where the archive has their month by now.
        A file comes from a donor that holds the pinned bytes, else from the archive where that still has them; in
        both cases it takes its place only with the pinned sha256. Called again, it completes what is lacking.

        Parameters
        ----------
        lock
            A lock, or the path of its file.
        donors
            Lakes, or their roots, that may hold what the archive has rewritten or removed: the one that was frozen
            and updated since, for one. They are only read. A bucket that needs its own ``storage_options`` is
            given as a Lake.
        mode
            How files move: ``auto``, ``download``, ``direct``, ``relay`` or ``traditional``
            (``notebooks/guide/words.md#routes``).
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.
        options
            :class:`cryptolake.TransferOptions`, the name of a preset, or a mapping of option names.

        Returns
        -------
        Report
            ``files`` has a row a pinned file: ``transferred``, ``cached`` or ``failed``; ``mode`` is ``donor`` where a
            donor had it. The ``error`` of a failed one has the pinned sha256 and the archive's present one.
            ``months`` are Silver's, of which one that lacks a pinned file is not built, and those of the Gold that
            the lock names (``lock.gold``). ``report.ok`` says whether all of it is as it was pinned.

        Raises
        ------
        LockError
            The lock cannot be read or is of another archive, a donor is no lake, or this lake holds other files of
            the lock's months: thaw into a root of its own.
        StorageError
            The lake cannot be written.

        Warns
        -----
        IncompleteWarning
            This release makes Silver of these files by another schema version than the lock names. Gold that the
            lock names is not made, or was made of more than the lock pins: each table is named with its reason
            (another version or code, a recipe that this process has not, ...).

        Examples
        --------
        >>> import cryptolake as cl, tempfile
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake, tempfile.TemporaryDirectory() as folder:
        ...     report = lake.pull(query)
        ...     lock = lake.freeze(query, f"{folder}/paper.lock.json")
        ...     paper = cl.Lake(f"{folder}/paper", source=lake.source)
        ...     thawed = paper.thaw(lock, donors=lake)
        ...     thawed.ok, thawed.files["mode"].to_list(), thawed.rows
        (True, ['donor'], 744)
        """
        from cryptolake.maintenance.thaw import thaw

        settings = self._settings(mode, progress, "accept", options)
        given = [donors] if isinstance(donors, str | os.PathLike | Lake) else donors
        lakes = [donor if isinstance(donor, Lake) else Lake(donor) for donor in given]
        return thaw(self.context, settings, _lock(lock), [donor.storage for donor in lakes])

    # ------------------------------------------------------------------ keep whole and fresh

    def status(self) -> pl.DataFrame:
        """Return per dataset what is here, how new it is, and what was set aside. Asks only the lake.

        Returns
        -------
        polars.DataFrame
            ``dataset``; ``symbols``, ``files``, ``bytes`` of Bronze; ``newest``, the last UTC day that a file covers, and
            ``behind``, the days after it that are due; ``quarantined`` files; ``months``, ``rows``, ``duplicates`` and
            ``rejects`` of Silver; ``damaged`` months, which are not counted; ``last_stored`` (UTC); ``archive``, the one that
            the lake is of. A recipe of Gold has a row, too: ``gold.<recipe>``, whose ``behind`` is null.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     lake.status().select("dataset", "files", "rows", "rejects", "damaged").rows()
        [('spot_klines', 1, 744, 0, 0)]
        """
        from cryptolake.maintenance.status import status

        return status(self.context)

    def metrics(self) -> str:
        """Return what monitoring asks of the lake, as text that Prometheus reads. Asks only the lake.

        Returns
        -------
        str
            Gauges with their HELP and TYPE. By ``market``, ``data_type`` and ``interval``:
            ``cryptolake_behind_seconds`` (whole days, as seconds), ``bronze_files``, ``bronze_bytes``,
            ``quarantined_files``, ``silver_months``, ``silver_rows``, ``rejected_rows``, ``damaged_months``,
            ``failed_months``; by ``kind`` and ``state``: ``cryptolake_runs`` and
            ``cryptolake_run_last_end_timestamp_seconds`` (UTC, since 1970).

        Raises
        ------
        StorageError
            The lake cannot be read.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Lake("/data/empty").metrics()
        ''
        """
        from cryptolake.maintenance.metrics import metrics

        return metrics(self.context)

    def runs(self) -> pl.DataFrame:
        """Return the runs that wrote to the lake, a row each, the first ones first.

        Returns
        -------
        polars.DataFrame
            ``run_id``, ``kind``, ``state`` (``running``, ``done``, ``stopped``, ``failed``, or ``lost`` where the process
            ended without a word: ``notebooks/guide/words.md#runs``), ``started_at`` and ``ended_at`` (UTC), ``files`` and
            ``bytes`` moved (of a build: months, and none), ``failed`` and ``quarantined`` files, ``requests`` and ``retries``, ``seconds``, ``mode``,
            ``note``; ``host``, ``pid`` and ``heartbeat_at`` (UTC) of its process; ``part_of``, the run whose part it is; and
            ``archive``, the one that a transfer fetched from.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     lake.runs().select("kind", "state", "files").rows()
        [('transfer', 'done', 1), ('build', 'done', 1)]
        """
        return self.context.tables.runs()

    def compact(self) -> pl.DataFrame:
        """Merge the files of the lake's own tables, so that each call reads a few; safe beside other writers.

        Runs do this by themselves from time to time. Segments that cannot be read stay as they are.

        Returns
        -------
        polars.DataFrame
            A row a table: ``table``, its segments ``before`` and ``after``, and its ``rows``.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     lake.compact().filter(table="runs")["after"].item()
        1
        """
        from cryptolake.maintenance.compaction import compact

        return compact(self.context.tables)

    def freshness(self, *, refresh: bool = False) -> pl.DataFrame:
        """Return, per dataset held, how many days the archive and the lake are behind. Asks the archive.

        Parameters
        ----------
        refresh
            Whether to ask the archive again even where its cached listing is fresh.

        Returns
        -------
        polars.DataFrame
            ``market, data_type``, ``symbols`` held, ``archive_newest`` and ``lake_newest`` (the last UTC day that a file
            covers), ``archive_behind``, the days after the archive's newest that are due, ``lake_behind``, the days that the
            archive has of the symbols held and the lake has not, and ``status`` in words.

        Raises
        ------
        ListingError
            The archive does not answer, and no cached listing can stand in.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     fresh = lake.freshness()
        ...     fresh.select("lake_newest", "lake_behind").row(0), fresh["status"].item()
        ((datetime.date(2025, 1, 31), 31), 'the archive ends on 2025-03-03')
        """
        from cryptolake.quality.freshness import freshness

        found = freshness(self.context, refresh=refresh)
        self._freshness = found, datetime.now(UTC)
        return found

    def update(
        self,
        query: Query | str | None = None,
        *,
        mode: Mode = "auto",
        progress: Progress = True,
        checksum_policy: ChecksumPolicy = "quarantine",
        options: Options = None,
        executor: OnExecutor | None = None,
    ) -> Update:
        """Bring what the lake holds to the newest published day; done twice, the second does nothing.

        Days that the lake lacks between its first and its newest one are fetched too, and months that Silver
        lacks are built: what a failed or killed run left undone is finished.

        Parameters
        ----------
        query
            Only what the lake holds of this; its days do not matter. Or the name of a stored query
            (:meth:`save_query`), which is followed: what it means by now is fetched, symbols that its globs or
            its universe take in since and days that the lake never had included.
        mode
            How files move: ``auto``, ``download``, ``direct``, ``relay`` or ``traditional``
            (``notebooks/guide/words.md#routes``).
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.
        checksum_policy
            What to do with a file whose CHECKSUM is stale: ``quarantine`` it, ``accept`` it with a mark, or ``raise``
            when everything else is done.
        options
            :class:`cryptolake.TransferOptions`, the name of a preset, or a mapping of option names.
        executor
            A ``concurrent.futures.Executor`` that the work runs on in parts (:class:`Lake`); without it, it runs here.

        Returns
        -------
        Update
            ``changes``: per symbol and reason the files, bytes, and first and last UTC day; ``rows_before``,
            ``rows_after``, ``report``.

        Raises
        ------
        InvalidQuery
            The lake holds nothing of the query, or there is no stored query of that name; the nearest is named.
        ArchiveMismatch
            The lake is of another archive than its source, and ``adopt=True`` was not given.
        ListingError
            The archive does not answer, and no cached listing can stand in.
        TransferError
            Nothing could be moved. Where only some files failed, the report says which.
        WorkerLost
            A worker of the executor died, and its part is not run again; the same call completes the work.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     done = lake.update()
        ...     done.changes.select("symbol", "why", "first", "last").row(0), done.rows_after
        (('BTCUSDT', 'extended', datetime.date(2025, 2, 1), datetime.date(2025, 3, 3)), 1488)
        """
        settings = self._settings(mode, progress, checksum_policy, options)
        from cryptolake.maintenance.stored_queries import update_stored
        from cryptolake.maintenance.update import update
        from cryptolake.planning.dates import require_query

        if query is not None and not isinstance(query, str):
            require_query(query)
        with self._on(executor, settings, "update") as (how, lake):
            if isinstance(query, str):
                return update_stored(lake, how, query)
            return update(lake, how, query)

    def save_query(self, name: str, query: Query) -> None:
        """Store a query in the lake under a name, for :meth:`update`; saving the name again replaces it.

        Parameters
        ----------
        name
            1 to 64 of ``a-z``, ``0-9``, ``-`` and ``_``.
        query
            A complete query. One with ``since`` or ``last`` follows the archive.

        Raises
        ------
        InvalidQuery
            The name cannot be one, or the query is not complete.
        StorageError
            The lake cannot be written.

        Examples
        --------
        >>> import cryptolake as cl, tempfile
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTC*").since("2024")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lake = cl.Lake(folder)
        ...     lake.save_query("core", query)
        ...     lake.stored_query("core") == query, lake.queries()["name"].to_list()
        ...     lake.drop_query("core")
        ...     lake.queries().height
        (True, ['core'])
        0
        """
        from cryptolake.maintenance.stored_queries import save_query

        save_query(self.context.storage, name, query)

    def queries(self) -> pl.DataFrame:
        """Return the stored queries, by name.

        Returns
        -------
        polars.DataFrame
            ``name``, ``query`` (as code), ``json``, ``saved_at`` (UTC).

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Lake("/data/empty").queries().columns
        ['name', 'query', 'json', 'saved_at']
        """
        from cryptolake.maintenance.stored_queries import stored_queries

        return stored_queries(self.context.storage)

    def stored_query(self, name: str) -> Query:
        """Return the query that :meth:`save_query` stored under a name.

        Parameters
        ----------
        name
            As it was saved.

        Returns
        -------
        Query
            As it was saved: one that follows the archive has no last day yet.

        Raises
        ------
        InvalidQuery
            There is none of the name; the message has the nearest one.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Lake("/data/empty").stored_query("core")
        Traceback (most recent call last):
        ...
        cryptolake.errors.InvalidQuery: ...'core'...
        """
        from cryptolake.maintenance.stored_queries import stored_query

        return stored_query(self.context.storage, name)

    def drop_query(self, name: str) -> None:
        """Remove a stored query; the files that it brought stay.

        Parameters
        ----------
        name
            As it was saved.

        Raises
        ------
        InvalidQuery
            There is none of the name; the message has the nearest one.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Lake("/data/empty").drop_query("core")
        Traceback (most recent call last):
        ...
        cryptolake.errors.InvalidQuery: ...'core'...
        """
        from cryptolake.maintenance.stored_queries import drop_query

        drop_query(self.context.storage, name)

    @days_from("lake")
    def verify(
        self, query: Query | None = None, *, against: str | None = None, repair: bool = False
    ) -> pl.DataFrame:
        """Hash Bronze, Silver and Gold again and compare with the records; or rebuild klines from another dataset.

        Parameters
        ----------
        query
            What to look at, everything when left out. Damaged segments of the lake's own tables are always rows.
        against
            ``"trades"``, ``"aggTrades"`` or ``"klines"`` (finer ones): rebuild the query's klines from that, and return
            where they differ.
        repair
            Take damaged files out of Bronze, for the next pull to fetch again; build Silver months, Gold, and the ledger
            again from Bronze. What is ``unrecorded`` is no failure.

        Returns
        -------
        polars.DataFrame
            A row a file as it was found, before any repair, the bad ones first: ``key``; ``status``: ``ok``, ``damaged``,
            ``gone`` or ``unrecorded`` (``notebooks/guide/words.md#files-that-verify-looks-at``); ``size`` (bytes) and
            ``sha256`` as recorded, ``found_size`` and ``found_sha256``; ``zone`` and ``detail``. With ``against``, a row a
            value that differs: ``market, data_type, symbol, interval, open_time`` (UTC), ``column``, ``published`` and
            ``rebuilt`` in the column's unit, their ``difference``, the ``tolerance`` that would have passed, ``against``.

        Raises
        ------
        InvalidQuery
            ``against`` needs a query of klines, or is another word.
        NotPublished
            With ``against``: the lake holds nothing of that dataset for these days.

        Warns
        -----
        IncompleteWarning
            With ``repair``: a damaged Silver month cannot be built before a pull has fetched its files again.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     lake.verify(query).select("zone", "status").rows()
        [('bronze', 'ok'), ('silver', 'ok')]
        """
        from cryptolake.maintenance.audit import verify

        return verify(self.context, query, against=against, repair=repair)

    @days_from("either")
    def quality(self, query: Query, *, refresh: bool = False) -> pl.DataFrame:
        """Say of each symbol-month how much of what it should have is there, and what is wrong with the rest.

        Parameters
        ----------
        query
            Which months: markets, data types, intervals, symbols and UTC days, both ends in. A glob means the symbols that
            the lake holds.
        refresh
            Whether to ask the archive again even where its cached listing is fresh.

        Returns
        -------
        polars.DataFrame
            A row a symbol-month: ``market, data_type, symbol, interval, month``, ``rows``, ``expected`` and ``missing``
            (counted in ``unit``: bars, fundings, hours, days, ...), ``coverage`` (0 to 1), ``gaps`` and their ``causes``,
            ``duplicates``, ``rejects``, ``findings``, ``first`` and ``last`` time (UTC), and ``verdict``: ``whole``, or each
            kind of problem with its count. All columns are in ``notebooks/guide/words.md#quality``.

        Raises
        ------
        InvalidQuery
            Words that do not exist or do not agree.
        ListingError
            The archive does not answer, and no cached listing can stand in.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     lake.quality(query).select("month", "rows", "coverage", "verdict").row(0)
        ('2025-01', 744, 1.0, 'whole')
        """
        from cryptolake.quality.report import quality

        return quality(query, self.context, refresh=refresh)

    @days_from("either")
    def quality_page(
        self, query: Query, path: str | os.PathLike[str], *, refresh: bool = False
    ) -> Path:
        """Write what :meth:`quality` knows as one HTML page for a person; it needs no network.

        Parameters
        ----------
        query
            As :meth:`quality` takes it.
        path
            Where the page goes.
        refresh
            Whether to ask the archive again even where its cached listing is fresh.

        Returns
        -------
        pathlib.Path
            The page's path.

        Raises
        ------
        InvalidQuery
            Words that do not exist or do not agree.
        ListingError
            The archive does not answer, and no cached listing can stand in.
        StorageError
            The page cannot be written.

        Examples
        --------
        >>> import cryptolake as cl, tempfile
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake, tempfile.TemporaryDirectory() as folder:
        ...     report = lake.pull(query)
        ...     lake.quality_page(query, f"{folder}/quality.html").name
        'quality.html'
        """
        from cryptolake.quality.page import write_quality_page

        return write_quality_page(query, self.context, path, refresh=refresh)

    @days_from("either")
    def gaps(self, query: Query, *, refresh: bool = False) -> pl.DataFrame:
        """Find the gaps of a query's rows, each with its cause and the evidence for it.

        Parameters
        ----------
        query
            As :meth:`quality` takes it; each data type is counted in its own unit.
        refresh
            Whether to ask the archive again even where its cached listing is fresh.

        Returns
        -------
        polars.DataFrame
            A row a gap: ``market, data_type, symbol, interval, month``, ``first`` and ``last`` missing bar (open times, UTC,
            both missing), how many ``bars`` (in ``unit``), ``cause`` (``notebooks/guide/gaps.md#causes``),
            ``evidence`` in words, ``healed`` (a sibling file gave the rows), and ``siblings``, the keys of files that may
            have them.

        Raises
        ------
        InvalidQuery
            Words that do not exist or do not agree.
        ListingError
            The archive does not answer, and no cached listing can stand in.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query.between("2025-01-01"))
        ...     lake.gaps(query.between("2025-01-01", "2025-01-02")).select("bars", "cause").rows()
        [(24, 'not_pulled')]
        """
        from cryptolake.quality.report import gaps

        return gaps(query, self.context, refresh=refresh)

    @days_from("lake")
    def ids(self, query: Query) -> pl.DataFrame:
        """Check trade and aggregate ids, inside and across files: where they do not go on by one.

        Parameters
        ----------
        query
            ``trades`` or ``aggTrades`` of the lake; UTC days, both ends in.

        Returns
        -------
        polars.DataFrame
            A row a finding: ``dataset``, ``path`` of the month, ``symbol``, ``kind``: ``id_hole``, ``ids_skipped``,
            ``id_repeat`` or ``id_reused`` (``notebooks/guide/words.md#findings``), ``first`` and ``last`` time (UTC), ``rows``
            (ids or rows it is of), ``detail`` in words. None where all go on by one.

        Raises
        ------
        InvalidQuery
            Words that do not exist or do not agree.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = (
        ...     cl.query()
        ...     .markets("spot")
        ...     .data_types("trades")
        ...     .symbols("BTCUSDT")
        ...     .between("2025-01-01")
        ... )
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query)
        ...     lake.ids(query).height
        0
        """
        from cryptolake.quality.trade_ids import ids

        return ids(query, self.context)

    @days_from("archive")
    def heal(
        self,
        query: Query,
        *,
        mode: Mode = "auto",
        progress: Progress = True,
        refresh: bool = False,
        checksum_policy: ChecksumPolicy = "quarantine",
        options: Options = None,
    ) -> pl.DataFrame:
        """Fill a query's gaps from the sibling files that have the rows: the days of a month, or the month of days.

        Parameters
        ----------
        query
            What to heal: markets, data types, intervals, symbols and UTC days, both ends in. A glob means the symbols that
            the lake holds.
        mode
            How files move: ``auto``, ``download``, ``direct``, ``relay`` or ``traditional``
            (``notebooks/guide/words.md#routes``).
        progress
            Whether a bar shows the steps where a person is watching; or a callable that receives each step.
        refresh
            Whether to ask the archive again even where its cached listing is fresh.
        checksum_policy
            What to do with a file whose CHECKSUM is stale: ``quarantine`` it, ``accept`` it with a mark, or ``raise``
            when everything else is done.
        options
            :class:`cryptolake.TransferOptions`, the name of a preset, or a mapping of option names.

        Returns
        -------
        polars.DataFrame
            A row a gap that was there: ``market, data_type, symbol, interval, month``, ``first`` and ``last`` (UTC), ``bars``
            that were missing (in ``unit``: bars, days, ids or hours) and ``filled`` of them now; ``outcome``
            (``notebooks/guide/words.md#outcomes-of-heal``); ``cause`` and ``evidence`` as they are known now; ``fetched``,
            the keys of the sibling files.

        Raises
        ------
        InvalidQuery
            Words that do not exist or do not agree.
        ArchiveMismatch
            The lake is of another archive.
        ListingError
            The archive does not answer, and no cached listing can stand in.
        TransferError
            Nothing could be moved.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT")
        >>> with cl.sample_lake() as lake:
        ...     report = lake.pull(query.between("2025-01-01"))
        ...     healed = lake.heal(query.between("2025-01-01", "2025-01-02"))
        ...     healed.select("bars", "filled", "outcome").rows()
        [(24, 24, 'healed')]
        """
        from cryptolake.quality.repair import heal

        settings = self._settings(mode, progress, checksum_policy, options)
        return heal(query, self.context, settings, refresh=refresh)

    @days_from("lake")
    def fill(self, query: Query, *, against: str) -> pl.DataFrame:
        """Make missing klines from trades or finer klines, on request only; kept in Gold, marked, never in Silver.

        Parameters
        ----------
        query
            Klines: symbols, intervals and UTC days, both ends in.
        against
            What to make them from: ``"trades"``, ``"aggTrades"``, or ``"klines"`` (of 1m, or the finest that the lake has). The
            lake holds their Silver.

        Returns
        -------
        polars.DataFrame
            The bars that were made: ``market``, ``symbol``, ``interval``, the columns of Silver's klines, and ``origin``
            (``"trades"``, ``"1m klines"``). A bar of which only a part could be seen is not made.

        Raises
        ------
        InvalidQuery
            ``against`` is another word, or the query asks for other types than klines.

        Examples
        --------
        >>> import cryptolake as cl
        >>> spot = cl.query().markets("spot").symbols("BTCUSDT").between("2025-01-01")
        >>> with cl.sample_lake() as lake:
        ...     for query in (spot.klines("1h"), spot.data_types("trades")):
        ...         report = lake.pull(query)
        ...     lake.fill(spot.klines("1h"), against="trades").height  # nothing is missing
        0
        """
        from cryptolake.gold.filled import fill

        return fill(query, self.context, against=against)

    @cached_property
    def plot(self) -> Charts:
        """Charts of what the lake holds: ``lake.plot.candles(query)``, coverage, funding, depth."""
        from cryptolake.planning.dates import published_or_held_days
        from cryptolake.plot import Charts

        return Charts(self, lambda query: published_or_held_days(query, self.context))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle to root, source and options, keys among them (a warning says so), and nothing that was opened."""
        return _opened, (type(self), self.storage, self.source, self._adopt)

    def __repr__(self) -> str:
        return f"Lake({self.root!r}, archive={self._archive!r})"

    @property
    def _archive(self) -> str:
        return archive_text(self.source, self.storage.archive)

    def _repr_html_(self) -> str:
        """Show what a lake on a disk holds by its ledger; one in a bucket as :meth:`datasets` last found it.

        No folder of data is walked, and nothing is asked over the network.
        """
        from cryptolake.readers.inventory import shown
        from cryptolake.render.lake_card import lake_html

        held = shown(lambda: self.context, self._datasets)
        return lake_html(self.root, self._archive, held, self._freshness)

    def __str__(self) -> str:
        """Return the same as text."""
        from cryptolake.readers.inventory import shown
        from cryptolake.render.lake_card import lake_text

        return lake_text(self.root, self._archive, shown(lambda: self.context, self._datasets))


def _opened(kind: type[Lake], storage: Storage, source: Archive, adopt: bool) -> Lake:  # noqa: FBT001
    lake = kind(storage.root, source=source, adopt=adopt)
    lake.storage = storage
    return lake


def _lock(given: Lock | str | os.PathLike[str]) -> Lock:
    from cryptolake.planning.lockfile import Lock

    return given if isinstance(given, Lock) else Lock.load(given)


def klines(
    symbols: str | Iterable[str],
    interval: str,
    first: DayLike,
    last: DayLike = "latest",
    *,
    market: str = "spot",
    lake: Lake | None = None,
    root: str | os.PathLike[str] | None = None,
) -> pl.DataFrame:
    """Return bars as a frame, in one call: what is missing is pulled into a lake first.

    It is ``lake.frame(cl.query().markets(market).klines(interval).symbols(symbols).between(first, last))``.

    Parameters
    ----------
    symbols
        A name or glob, or several.
    interval
        ``"1s"`` to ``"1mo"``.
    first
        The first UTC day: ``"2024-12"``, ``"2024-12-15"``, a date.
    last
        The last UTC day, itself included; the newest that the archive has published when left out.
    market
        ``spot``, ``futures_um`` or ``futures_cm``.
    lake
        The lake to use.
    root
        The root of the lake, in place of ``lake``. Without either it is ``CRYPTOLAKE_ROOT`` of the environment,
        or ``~/cryptolake``.

    Returns
    -------
    polars.DataFrame
        The columns of :meth:`Lake.silver` (``market, symbol, interval, open_time, open, high, low, close, volume, ...``),
        sorted by time for each symbol; times are UTC.

    Raises
    ------
    InvalidQuery
        A word that does not exist, or both ``lake`` and ``root``.
    NoSuchSymbol, NotPublished, TransferError, ListingError
        As :meth:`Lake.frame` raises them.

    Examples
    --------
    >>> import cryptolake as cl
    >>> with cl.sample_lake() as lake:
    ...     cl.klines("BTCUSDT", "1h", "2025-01-01", "2025-01-02", lake=lake).height
    48
    """
    from cryptolake.errors import InvalidQuery
    from cryptolake.query import query

    if lake is not None and root is not None:
        message = "say lake or root, not both: a lake has its root."
        raise InvalidQuery(message, given=root)
    asked = query().markets(market).klines(interval).symbols(symbols).between(first, last)
    here = lake or Lake(root or os.environ.get("CRYPTOLAKE_ROOT") or "~/cryptolake")
    return here.frame(asked)
