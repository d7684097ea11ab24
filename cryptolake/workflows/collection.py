"""The workflow that collects what a configuration names: into Bronze, verified, and on into Silver."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryptolake.errors import NoSuchSymbol, NotPublished
from cryptolake.lake import Lake
from cryptolake.report import Report
from cryptolake.workflows.config import Skipped, WorkflowConfig
from cryptolake.workflows.redownload import fetched_again

if TYPE_CHECKING:
    from cryptolake.archive.source import Archive
    from cryptolake.planning.plan import Plan
    from cryptolake.progress import Progress, Step
    from cryptolake.query import Query

Status = Literal["success", "partial", "failed"]


@dataclass(frozen=True)
class CollectionResult:
    """What a collection came to.

    Parameters
    ----------
    report
        Files moved and months built, of all queries; None where the archive has nothing for any.
    root
        Where the lake is.
    problems
        For each query that the archive has nothing for: why.
    skipped
        The pairs of market and data type that were not asked for, and why.
    notes
        What the configuration's keys mean where that is not plain.

    Examples
    --------
    >>> from cryptolake.workflows.collection import CollectionResult
    >>> CollectionResult(None, "/data/lake").status
    'failed'
    """

    report: Report | None
    root: str
    problems: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """How it ended: ``success``; ``partial``, where files or months failed or are in quarantine; ``failed``, where nothing came."""
        counts = self.collection_stats
        if self.report is None or (counts["failed"] and counts["failed"] == counts["total"]):
            return "failed"
        whole = self.report.ok and not self.report.quarantined and not self.problems
        return "success" if whole else "partial"

    @property
    def ok(self) -> bool:
        """Whether all of it came."""
        return self.status == "success"

    @property
    def collection_stats(self) -> dict[str, Any]:
        """Files by what became of them (``total`` is their sum), bytes moved, and seconds of the whole run."""
        report = self.report
        if report is None:
            names = ("total", "successful", "failed", "skipped", "bytes")
            return dict.fromkeys(names, 0) | {"seconds": 0.0}
        # A file that differed, and was fetched once more, is in the report twice: what came of it last counts.
        status = pl.col("status")
        came = status.is_in(["transferred"]).any().alias("came")
        files = report.rows_of_files.filter(pl.lit(value=True)).group_by("key", maintain_order=True)
        last = files.agg(status.last().is_in(["failed", "quarantined"]).alias("bad"), came)
        bad = int(last["bad"].sum())
        good = last.filter(~pl.col("bad"), pl.col("came")).height
        return {
            "total": last.height,
            "successful": good,
            "failed": bad,
            "skipped": last.height - good - bad,
            "bytes": report.bytes,
            "seconds": report.seconds,
        }

    @property
    def success_rate(self) -> float:
        """The part of all files, 0 to 1, that are in the lake and verified; 1 where there was nothing to do."""
        counts = self.collection_stats
        total = counts["total"]
        return (counts["successful"] + counts["skipped"]) / total if total else float(self.ok)

    @property
    def storage_zones_used(self) -> list[str]:
        """The zones of the lake that hold something of the collection: ``bronze``, ``silver``."""
        counts, report = self.collection_stats, self.report
        zones = {"bronze": counts["successful"] + counts["skipped"]}
        zones["silver"] = (
            0 if report is None else report.months.filter(pl.col("status") != "failed").height
        )
        return [zone for zone, count in zones.items() if count]

    def to_dict(self) -> dict[str, Any]:
        """Return the result in JSON's own types.

        Returns
        -------
        dict
            ``status``, ``collection_stats`` (files by what became of them, ``bytes``, ``seconds``), ``success_rate`` (0 to 1),
            ``output_directory`` and ``storage_zones_used``.

        Examples
        --------
        >>> from cryptolake.workflows.collection import CollectionResult
        >>> CollectionResult(None, "/data/lake").to_dict()["collection_stats"]["total"]
        0
        """
        return {
            "status": self.status,
            "collection_stats": self.collection_stats,
            "success_rate": self.success_rate,
            "output_directory": self.root,
            "storage_zones_used": self.storage_zones_used,
        }

    def summary(self) -> str:
        """Return the result in words: the report, and what was left out.

        Returns
        -------
        str
            A line first, then the report's, then one each for what was left out and for each note.

        Examples
        --------
        >>> from cryptolake.workflows.collection import CollectionResult
        >>> print(CollectionResult(None, "/data/lake", ("...: nothing is listed",)).summary())
        collection: failed, into /data/lake
        nothing for: ...: nothing is listed
        """
        lines = [f"collection: {self.status}, into {self.root}"]
        lines += [self.report.summary()] if self.report else []
        lines += [f"nothing for: {problem}" for problem in self.problems]
        lines += [f"skipped {one.market} {one.data_type}: {one.reason}" for one in self.skipped]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


class ArchiveCollectionWorkflow:
    """Collects what a configuration names: plans, transfers into Bronze, verified, and builds Silver.

    Parameters
    ----------
    config
        The configuration, or a mapping or path of one.
    source
        The archive, where it is another than the configuration's (:attr:`WorkflowConfig.archive`).
    storage_options
        As :class:`cryptolake.Lake` takes them.
    progress
        Show a bar where a person is watching, or a callable that receives each step.

    Examples
    --------
    >>> import cryptolake as cl
    >>> config = cl.WorkflowConfig(
    ...     markets=["spot"],
    ...     symbols=["BTCUSDT"],
    ...     data_types=["klines"],
    ...     intervals={"klines": ["1h"]},
    ...     date_range={"start": "2025-01-01", "end": "2025-01-02"},
    ...     output_directory="/data/lake",
    ... )
    >>> cl.ArchiveCollectionWorkflow(config).lake
    Lake('/data/lake', archive='s3://data.binance.vision')
    """

    def __init__(
        self,
        config: WorkflowConfig | Mapping[str, Any] | str,
        *,
        source: Archive | None = None,
        storage_options: Mapping[str, Any] | None = None,
        progress: Progress = True,
    ) -> None:
        self.config = config if isinstance(config, WorkflowConfig) else WorkflowConfig(config)
        self.lake = Lake(
            self.config.root,
            source=source or self.config.archive,
            storage_options=storage_options,
        )
        self._progress: Progress = progress

    def plans(self) -> list[Plan]:
        """Return the plan of each query that the archive has something for. Transfers nothing.

        Returns
        -------
        list of Plan
            In the order of :meth:`WorkflowConfig.queries`.

        Raises
        ------
        InvalidQuery
            The configuration does not say which files.
        NotPublished, NoSuchSymbol
            The archive has nothing for any query.
        ListingError
            The archive does not answer, and no cached listing can stand in.

        Examples
        --------
        >>> import cryptolake as cl, tempfile
        >>> which = {"markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["klines"]}
        >>> when = {
        ...     "intervals": {"klines": ["1h"]},
        ...     "date_range": {"start": "2025-01", "end": "2025-01"},
        ... }
        >>> with cl.sample_lake() as lake, tempfile.TemporaryDirectory() as folder:
        ...     config = cl.WorkflowConfig(which, when, output_directory=folder)
        ...     plans = cl.ArchiveCollectionWorkflow(config, source=lake.source).plans()
        ...     [plan.to_transfer for plan in plans]
        [1]
        """
        return self._each(
            lambda query: self.lake.plan(
                query, progress=self._progress, refresh=bool(self.config.force_redownload)
            )
        )[0]

    def run(self) -> CollectionResult:
        """Collect; what is here and verified is not fetched again, so that a run that was ended goes on.

        Returns
        -------
        CollectionResult
            ``result.ok`` says whether all of it came.

        Raises
        ------
        InvalidQuery
            The configuration does not say which files, or its mode does not fit the lake.
        NotPublished, NoSuchSymbol
            The archive has nothing for any query.
        ListingError, TransferError, StorageError
            The archive or the lake's storage cannot be reached.

        Examples
        --------
        >>> import cryptolake as cl, tempfile
        >>> which = {"markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["klines"]}
        >>> when = {
        ...     "intervals": {"klines": ["1h"]},
        ...     "date_range": {"start": "2025-01", "end": "2025-01"},
        ... }
        >>> with cl.sample_lake() as lake, tempfile.TemporaryDirectory() as folder:
        ...     config = cl.WorkflowConfig(which, when, output_directory=folder)
        ...     result = cl.ArchiveCollectionWorkflow(config, source=lake.source).run()
        ...     result.status, result.collection_stats["successful"], result.storage_zones_used
        ('success', 1, ['bronze', 'silver'])
        """
        return self._run(self._progress)

    async def execute(self) -> CollectionResult:
        """Collect as :meth:`run` does, beside the event loop, which goes on meanwhile.

        A cancelled task ends the run as Ctrl-C does: what was fetched is verified and recorded, s5cmd is ended, and
        the task ends after that.

        Returns
        -------
        CollectionResult
            As :meth:`run` gives it.

        Raises
        ------
        InvalidQuery, NotPublished, NoSuchSymbol, ListingError, TransferError, StorageError
            As :meth:`run` raises them.
        asyncio.CancelledError
            The task was cancelled.

        Examples
        --------
        In a notebook, ``await cl.ArchiveCollectionWorkflow(config).execute()``; in a program:

        >>> import asyncio
        >>> import cryptolake as cl, tempfile
        >>> which = {"markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["klines"]}
        >>> when = {
        ...     "intervals": {"klines": ["1h"]},
        ...     "date_range": {"start": "2025-01", "end": "2025-01"},
        ... }
        >>> with cl.sample_lake() as lake, tempfile.TemporaryDirectory() as folder:
        ...     config = cl.WorkflowConfig(which, when, output_directory=folder)
        ...     workflow = cl.ArchiveCollectionWorkflow(config, source=lake.source)
        ...     asyncio.run(workflow.execute()).ok
        True
        """
        stop = threading.Event()

        def watch(step: Step) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            if callable(self._progress):
                self._progress(step)

        def work() -> CollectionResult | None:
            try:
                return self._run(watch)
            except KeyboardInterrupt:
                if stop.is_set():
                    return None
                raise

        running = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            found = await asyncio.shield(running)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([running])
            raise
        if found is None:
            raise asyncio.CancelledError
        return found

    def _run(self, progress: Progress) -> CollectionResult:
        reports, problems = self._each(lambda query: self._collect(query, progress))
        return CollectionResult(
            Report.merge(reports),
            self.lake.root,
            tuple(problems),
            self.config.skipped(),
            self.config.notes(),
        )

    def _collect(self, query: Query, progress: Progress) -> Report:
        how: dict[str, Any] = {
            "mode": self.config.mode,
            "options": self.config.options(),
            "progress": progress,
        }
        if not self.config.force_redownload:
            return self.lake.pull(query, **how)
        done = self.lake.pull(query, refresh=True, **how)
        if not fetched_again(self.lake, query, done, self.config.options(), progress):
            return done
        return Report.merge([done, self.lake.pull(query, **how)])

    def _each(self, work: Any) -> tuple[list[Any], list[str]]:
        """Do something with each query; return what came of it, and why the archive has nothing for the others."""
        found, absent = [], []
        with self.config.using_matrix():
            for query in self.config.queries():
                try:
                    found.append(work(query))
                except (NotPublished, NoSuchSymbol) as error:
                    absent.append((query, error))
        if not found:
            raise absent[0][1]
        return found, [f"{query!r}: {error}" for query, error in absent]
