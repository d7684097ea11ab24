"""Bring a lake's Silver months up to date with Bronze: only those whose files changed, several at once.

What a month is made of stands in its Parquet metadata, so a stopped build goes on where it was and a
second one does nothing. ``meta.sources``, ``meta.rejects`` and ``meta.findings`` are written before the
months that they tell of appear, so a month that is there is always accounted for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from os import cpu_count
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.bronze.ledger import holdings
from cryptolake.bronze.zips import DEFAULT_LIMITS, Limits
from cryptolake.errors import BuildError, ChecksumMismatch
from cryptolake.progress import Step, watched
from cryptolake.report import Report
from cryptolake.silver.month import STREAM_ABOVE, Made
from cryptolake.silver.months import months_to_build
from cryptolake.silver.run import Run
from cryptolake.silver.scratch import sweep

if TYPE_CHECKING:
    from cryptolake.bronze.verify import Policy
    from cryptolake.progress import Progress, Watch
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta


def build(
    storage: Storage,
    meta: Meta,
    bronze_rows: pl.DataFrame,
    *,
    progress: Progress = True,
    strict: bool = False,
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    threads: int | None = None,
    stream_above: int = STREAM_ABOVE,
    checksum_policy: Policy = "quarantine",
) -> Report:
    """Build every Silver month that the given Bronze files lie in, where its files changed.

    Parameters
    ----------
    storage, meta
        The lake.
    bronze_rows
        Ledger rows with their key parts (:func:`cryptolake.bronze.ledger.holdings`): what the build is
        about. A month is always made of all its files in the lake, not only of these.
    progress
        Show a bar of months, where a person watches; or a callable that is told each step
        (:mod:`cryptolake.progress`).
    strict
        Raise BuildError at the end when a month failed or a file could not be used.
    force
        Build months anew although nothing changed.
    limits
        The largest zip and the longest line that are read.
    threads
        Months worked on at a time; None for one a processor (two, where the lake is in a
        bucket), at most eight processors.
    stream_above
        Bytes of zips from which a month is made in pieces, in memory that does not grow with it.
    checksum_policy
        What to do with a file that was copied inside S3, is read for the first time, and is not what its
        CHECKSUM says: as :func:`cryptolake.transfer.engine.transfer` does.

    Returns
    -------
    Report
        One row per month: ``built``, ``unchanged`` or ``failed``, with what was wrong with its files; and
        one per file that the build put into quarantine.

    Raises
    ------
    BuildError
        Only when ``strict``: some months failed, or some files could not be used.
    ChecksumMismatch
        Under ``checksum_policy="raise"``, when everything else is done.
    StorageError
        The lake cannot be read or written; what was built until then is kept.
    """
    begun = time.perf_counter()
    processors = min(cpu_count() or 1, 8)
    # A bucket answers late, not slowly: more months at a time hide the waiting.
    at_once = processors if storage.is_local else 2 * processors
    run = Run(
        storage, meta, threads or at_once, lambda made, total: _bar(made, total, shown=progress)
    )
    months = months_to_build(bronze_rows, holdings(meta)) if bronze_rows.height else []
    sweep(storage)
    try:
        options = {"limits": limits, "stream_above": stream_above, "policy": checksum_policy}
        run.all(months, force=force, **options)
        run.state = "done"
    finally:
        run.close()
    report = Report(
        "build",
        run.id,
        time.perf_counter() - begun,
        files=run.files(),
        months=run.months(),
        state=run.state,
    )
    if checksum_policy == "raise":
        _raise_if_quarantined(report)
    if strict:
        _raise_for(report)
    return report


def _bar(months: Iterable[Made], total: int, *, shown: Progress) -> Iterable[Made]:
    """Wrap months in a tqdm bar, when there are some to wait for and a person watches."""
    if callable(shown):
        return _told(months, total, shown)
    if not shown or total < 2 or not watched():
        return months
    from tqdm.auto import tqdm

    bar: Iterable[Made] = tqdm(months, total=total, unit="month", desc="build")
    return bar


def _told(months: Iterable[Made], total: int, watch: Watch) -> Iterator[Made]:
    """Tell a watcher of each month as it is made."""
    watch(Step(0, total, 0, total, "months"))
    for count, made in enumerate(months, 1):
        yield made
        watch(Step(min(count, total), total, count, max(count, total), "months"))


def _raise_if_quarantined(report: Report) -> None:
    if not report.quarantined:
        return
    said = "; ".join(
        f"{key}: {error}" for key, error in report.files.select("key", "error").head(3).rows()
    )
    message = (
        f"{report.quarantined} files are not what their CHECKSUM says, and lie in meta/quarantine: {said}. "
        "Everything else is done. Policy 'accept' uses them, with a mark."
    )
    raise ChecksumMismatch(message, keys=report.files["key"].to_list(), report=report)


def _raise_for(report: Report) -> None:
    bad = report.months.filter(pl.col("error").is_not_null())
    if not bad.height:
        return
    listed = "; ".join(
        f"{path}: {error}" for path, error in bad.select("path", "error").head(5).rows()
    )
    message = f"{bad.height} Silver months have files that could not be used: {listed}."
    raise BuildError(message, months=bad["path"].to_list(), report=report)
