"""Running a route: the first mode on all files, the next one on those that it could not move."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from cryptolake.storage import S3Storage
from cryptolake.transfer.downloads import Downloads
from cryptolake.transfer.jobs import batches
from cryptolake.transfer.orders import Orders, copy_flags, download_flags
from cryptolake.transfer.progress import Bar
from cryptolake.transfer.staging import Staging
from cryptolake.transfer.vaults import DiskVault
from cryptolake.transfer.work import Mode, Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from cryptolake.planning.plan import Plan
    from cryptolake.storage import Storage
    from cryptolake.transfer.book import Book
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.options import TransferOptions
    from cryptolake.transfer.pipeline import Pipeline
    from cryptolake.transfer.routes import Route
    from cryptolake.verify import Policy
    from cryptolake.watching import Progress


def run_route(
    route: Route,
    plan: Plan,
    rows: pl.DataFrame,
    storage: Storage,
    book: Book,
    options: TransferOptions,
    policy: Policy,
    *,
    progress: Progress,
) -> bool:
    """Move the rows by the route's modes; return whether the last one still found an endpoint.

    What one mode could not move waits for the next; the book counts why.
    """
    answered = True
    bar = Bar(total_bytes=int(rows["size"].sum()), total_files=rows.height, shown=progress)
    try:
        for number, mode in enumerate(route.modes):
            waiting = book.waiting(rows["row"])
            if not waiting:
                break
            # Not copied where nothing is done yet: a large plan's rows are what memory goes to.
            left = rows if len(waiting) == rows.height else rows.filter(rows["row"].is_in(waiting))
            last = number == len(route.modes) - 1
            with ExitStack() as stack:
                staging = stack.enter_context(_staging(storage, book.run_id, stack))
                if storage.is_local:
                    staging.adopt(left["key"])
                work = _Parts(plan, storage, book, bar, options, policy, staging)
                pipeline = work.pipeline(mode, _batched(left, options, probe=not last), last=last)
                answered = pipeline.run()
            if not last:
                book.fell_back(mode, pipeline.reasons, len(book.waiting(rows["row"])))
    finally:
        bar.close()
    return answered


class _Parts:
    """What a mode is put together from."""

    def __init__(
        self,
        plan: Plan,
        storage: Storage,
        book: Book,
        bar: Bar,
        options: TransferOptions,
        policy: Policy,
        staging: Staging,
    ) -> None:
        self._plan, self._storage, self._options = plan, storage, options
        self._given = (book, bar, options, policy)
        self._staging = staging

    def pipeline(self, mode: Mode, jobs: Iterator[list[Job]], *, last: bool) -> Pipeline:
        plan, options, storage = self._plan, self._options, self._storage
        bucket = plan.archive.bucket
        orders = Orders(plan.files, bucket, flags=download_flags(options))
        if not isinstance(storage, S3Storage):
            work = Work(plan.archive, self._staging, DiskVault(storage), *self._given)
            return Downloads(work, jobs, orders, last=last)
        # boto3 is loaded for a lake in a bucket only.
        from cryptolake.transfer.buckets import BucketVault
        from cryptolake.transfer.copies import Copies
        from cryptolake.transfer.relays import Relays, Traditional

        vault = BucketVault(storage, options)
        work = Work(plan.archive, self._staging, vault, *self._given)
        if mode == "relay":
            return Relays(work, jobs, orders, vault=vault, last=last)
        if mode == "traditional":
            return Traditional(work, jobs, orders, vault=vault, last=last)
        into = storage.url("bronze") + "/"
        # Inside S3 a named copy is one request; a wildcard would add a LIST.
        direct = Orders(plan.files, bucket, into=into, flags=copy_flags(options), wildcards=False)
        return Copies(work, jobs, direct, storage=storage, vault=vault, last=last)


def _staging(storage: Storage, run_id: str, stack: ExitStack) -> Staging:
    if storage.is_local:
        return Staging(storage.local("meta/incoming"), run_id)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cryptolake-"))
    return Staging(Path(folder) / "meta" / "incoming", run_id)


def _batched(rows: pl.DataFrame, options: TransferOptions, *, probe: bool) -> Iterator[list[Job]]:
    """Where another mode could take over, one file goes first: it finds out cheaply."""
    if not probe:
        return batches(rows, options.batch_size)
    return chain(batches(rows.head(1), 1), batches(rows.slice(1), options.batch_size))
