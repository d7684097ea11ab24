"""The transfer: a plan's files into Bronze, each verified before it is at its final name."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

import polars as pl

from cryptolake.bronze.verify import Policy
from cryptolake.errors import ChecksumMismatch, StorageError, TransferError, unknown_word
from cryptolake.listing.identity import claim_archive, require_own_archive, require_own_plan
from cryptolake.progress import TransferProgress
from cryptolake.render.html import plural
from cryptolake.report import facts_of_transfer
from cryptolake.storage import layout
from cryptolake.storage.files import S3Storage
from cryptolake.telemetry import observed
from cryptolake.transfer.download import DownloadPipeline
from cryptolake.transfer.jobs import (
    CommandWriter,
    WorkList,
    batches,
    copy_flags,
    download_flags,
    jobs_of,
)
from cryptolake.transfer.kept import keep_pinned
from cryptolake.transfer.options import TransferOptions
from cryptolake.transfer.pipeline import TransferContext
from cryptolake.transfer.recorder import RunRecorder
from cryptolake.transfer.routing import check_acceleration, route
from cryptolake.transfer.s5cmd import find_s5cmd
from cryptolake.transfer.staging import Staging, temporary
from cryptolake.transfer.stores import DiskStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from cryptolake.archive.source import Archive
    from cryptolake.listing.context import LakeContext
    from cryptolake.planning.plan import Plan
    from cryptolake.progress import Progress
    from cryptolake.report import Report, State
    from cryptolake.storage.files import Storage
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.options import Mode
    from cryptolake.transfer.pipeline import Pipeline
    from cryptolake.transfer.routing import Route

NOT_TRIED = "not tried: the endpoint had stopped answering"
"""The error of files that a run did not come to."""


@observed("transfer", "transferred", facts_of_transfer)
def transfer(
    plan: Plan,
    lake: LakeContext,
    *,
    mode: str | Route = "auto",
    progress: Progress = True,
    checksum_policy: Policy = "quarantine",
    options: TransferOptions | Mapping[str, Any] | str | None = None,
    pins: Mapping[str, str] | None = None,
) -> Report:
    """Move a plan's files into Bronze.

    A file is fetched into ``meta/incoming``, checked (sha256 against its CHECKSUM, size and ETag against
    the listing, the zip's structure), and renamed to its final name. Whatever ends the run, files that
    were stored stay stored, and the same call completes the rest.

    Parameters
    ----------
    plan
        What to move. Files that the lake got since it was made are not fetched again.
    lake
        The lake and its archive, which alone is asked: a plan of another one is refused.
    mode
        ``download`` for a lake on a disk. For one in a bucket: ``direct`` (S3 copies by itself), ``relay``
        (streamed through memory) or ``traditional`` (downloaded, then uploaded). ``auto`` takes the first
        of them that can work, and the next for files that it could not move. Or the route itself, where
        the caller has chosen it already.
    progress
        Show a bar where a person is watching (a terminal, a notebook); or a callable that is called with each
        step (:mod:`cryptolake.progress`).
    checksum_policy
        What to do with a file whose bytes are the listed ones and whose CHECKSUM says otherwise: set it
        aside (``quarantine``), store it with a mark (``accept``; also takes such files from quarantine),
        or set it aside and raise ``ChecksumMismatch`` when everything else is done (``raise``).
    options
        :class:`TransferOptions`, a preset's name, or a mapping of option names.
    pins
        The sha256 that a lock pins of some keys, the only bytes that are taken for them.

    Raises
    ------
    InvalidQuery
        A mode, policy or option that does not exist, or a mode or acceleration that does not fit the lake.
    ArchiveMismatch
        The lake is of another archive.
    PlanError
        The plan is of another archive.
    MissingTool
        s5cmd is absent or too old.
    TransferError
        Nothing could be moved: the endpoint refuses everything or is no S3.
    ChecksumMismatch
        Under policy ``raise``.
    StorageError
        The lake cannot be written, or its disk is full.
    KeyboardInterrupt
        Ctrl-C; its ``report`` says what was done until then.
    """
    if checksum_policy not in get_args(Policy):
        raise unknown_word("checksum policy", str(checksum_policy), get_args(Policy))
    chosen = route(mode, lake.archive, lake.storage) if isinstance(mode, str) else mode
    settings = TransferOptions.of(options)
    if settings.acceleration:
        check_acceleration(lake.storage)
    require_own_archive(lake)
    require_own_plan(plan.archive.place, plan.rows, lake)
    work = WorkList(
        plan, lake.records, lake.storage, quarantined_too=checksum_policy != "quarantine"
    )
    place = str(lake.archive.place)
    recorder = RunRecorder(lake.tables, plan.rows, chosen.modes[0], str(chosen), archive=place)
    recorder.cached(work.cached)
    recorder.leave_quarantined(work.quarantined)
    if not work.rows.height:
        return recorder.report("done")
    find_s5cmd()
    claim_archive(lake)
    keep_pinned(lake, work.pieces())
    # What is moved changes the ledger: it is read again afterwards, and not held in memory meanwhile.
    lake.records.forget()
    how = (settings, checksum_policy, pins)
    state, answered = _recorded(chosen, work, lake, recorder, *how, progress=progress)
    report = recorder.report(state)
    if not answered:
        _raise_if_nothing_worked(report, lake.archive, lake.storage)
    if checksum_policy == "raise":
        _raise_if_quarantined(report)
    return report


def _recorded(
    route: Route,
    work: WorkList,
    lake: LakeContext,
    recorder: RunRecorder,
    settings: TransferOptions,
    policy: Policy,
    pins: Mapping[str, str] | None,
    *,
    progress: Progress,
) -> tuple[State, bool]:
    """Run the modes with the recorder open; return how the run ended, and whether the endpoint answered."""
    state: State = "stopped"
    with sigterm_raises():
        recorder.open()
        try:
            how = (settings, policy, pins)
            answered = _run_modes(route, work, lake, recorder, *how, progress=progress)
            recorder.abandon(work.numbers, NOT_TRIED)
            state = "failed" if recorder.failed else "done"
        except (KeyboardInterrupt, SystemExit) as stop:
            vars(stop)["report"] = recorder.report(state)
            raise
        finally:
            recorder.close(state)
    return state, answered


def _run_modes(
    route: Route,
    work: WorkList,
    lake: LakeContext,
    recorder: RunRecorder,
    options: TransferOptions,
    policy: Policy,
    pins: Mapping[str, str] | None,
    *,
    progress: Progress,
) -> bool:
    """Move the files by the route's modes in turn; return whether the last one still found an endpoint.

    Files that one mode cannot move are left to the next; the recorder counts why.
    """
    answered, storage = True, lake.storage
    shown = TransferProgress(
        total_bytes=work.total_bytes, total_files=work.rows.height, progress=progress
    )
    try:
        for mode in route.modes:
            if not recorder.waiting(work.numbers):
                break
            last = mode == route.modes[-1]
            with _staging(storage, recorder, work) as staging:
                context = TransferContext(
                    lake.archive, staging, recorder, shown, options, policy, work.etags
                )
                jobs = jobs_of(map(recorder.still_waiting, work.pieces()), pins)
                batched = _batched(jobs, options, probe=not last)
                pipeline = _pipeline(mode, context, storage, batched, last=last)
                answered = pipeline.run()
            recorder.fell_back(mode, pipeline.reasons, recorder.waiting(work.numbers))
    finally:
        shown.close()
    return answered


def _pipeline(
    mode: Mode, context: TransferContext, storage: Storage, jobs: Iterator[list[Job]], *, last: bool
) -> Pipeline:
    bucket, options = context.archive.bucket, context.options
    commands = CommandWriter(bucket, flags=download_flags(options))
    if not isinstance(storage, S3Storage):
        return DownloadPipeline(context, jobs, commands, store=DiskStore(storage), last=last)
    # boto3 is loaded for a lake in a bucket only.
    from cryptolake.transfer.direct import DirectPipeline
    from cryptolake.transfer.relay import RelayPipeline, TraditionalPipeline
    from cryptolake.transfer.s3_store import S3Store

    store = S3Store(storage, options)
    if mode == "relay":
        return RelayPipeline(context, jobs, commands, store=store, last=last)
    if mode == "traditional":
        return TraditionalPipeline(context, jobs, commands, store=store, last=last)
    into = storage.url(layout.BRONZE) + "/"
    # Inside S3 a named copy is one request; a wildcard would add a LIST.
    flags = copy_flags(options, storage.config)
    copies = CommandWriter(bucket, into=into, flags=flags, wildcards=False)
    return DirectPipeline(context, jobs, copies, store=store, last=last)


@contextmanager
def _staging(storage: Storage, recorder: RunRecorder, work: WorkList) -> Iterator[Staging]:
    """Yield the run's staging folder, with the files that earlier runs left for this one."""
    run_id = recorder.run_id
    if not storage.is_local:
        with temporary(run_id) as staging:
            yield staging
        return
    base = storage.target(layout.inside(layout.INCOMING, run_id)).parent
    with Staging(base, run_id, lambda keys: work.among(keys, recorder.unfinished)) as staging:
        staging.adopt(work.among)
        yield staging


def _batched(jobs: Iterator[Job], options: TransferOptions, *, probe: bool) -> Iterator[list[Job]]:
    """Yield batches. Where another mode could take over, one file goes first: it finds out cheaply."""
    if probe and (first := list(islice(jobs, 1))):
        yield first
    yield from batches(jobs, options.batch_size)


def _raise_if_nothing_worked(report: Report, archive: Archive, storage: Storage) -> None:
    moved = report.files.filter(pl.col("status").is_in(["transferred", "adopted", "quarantined"]))
    failed = report.files.filter(pl.col("status") == "failed")
    if moved.height or failed.is_empty():
        return
    where = archive.endpoint or "the archive"
    first = failed.filter(pl.col("fault").is_not_null()).row(0, named=True)
    if first["fault"] == "lake":
        message = (
            f"nothing could be stored: the lake at {storage.root} refuses it ({first['error']}). Let its "
            "credentials (storage_options) write there; then the same call completes the work."
        )
        raise StorageError(message, root=storage.root, failed=failed.height, report=report)
    what, advice = f"fetched from {where}", "Check the endpoint and the network;"
    if first["fault"] == "skewed":  # its reason says by itself what to do
        advice = "Then"
    elif first["fault"] == "denied" and first["mode"] == "direct":
        what = f"copied from {where} into {storage.root}"
        advice = (
            "The lake's credentials must be allowed to read the one and to write the other; then"
        )
    message = (
        f"nothing could be {what}: {first['error']}. {advice} the same call completes the work."
    )
    raise TransferError(message, endpoint=where, failed=failed.height, report=report)


def _raise_if_quarantined(report: Report) -> None:
    bad = report.files.filter(pl.col("status") == "quarantined")
    if bad.is_empty():
        return
    shown = "; ".join(f"{key}: {error}" for key, error in bad.select("key", "error").head(3).rows())
    message = (
        f"{plural(bad.height, 'file is not what its CHECKSUM says, and lies', 'files are not what their CHECKSUM says, and lie')} in meta/quarantine: {shown}. "
        "Everything else is done. Policy 'accept' stores them with a mark."
    )
    raise ChecksumMismatch(message, keys=bad["key"].to_list(), report=report)


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM end the transfer in order, as Ctrl-C does, unless the program handles it otherwise."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
