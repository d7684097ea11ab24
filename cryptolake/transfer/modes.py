"""Running a route: the first mode on all files, the next one on those that it could not move."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from cryptolake.storage.files import S3Storage
from cryptolake.transfer.download import Downloads
from cryptolake.transfer.jobs import batches, jobs_of
from cryptolake.transfer.orders import Orders, copy_flags, download_flags
from cryptolake.transfer.progress import Bar
from cryptolake.transfer.staging import Staging, temporary
from cryptolake.transfer.stores import DiskVault
from cryptolake.transfer.work import Mode, Work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from cryptolake.bronze.verify import Policy
    from cryptolake.planning.plan import Plan
    from cryptolake.progress import Progress
    from cryptolake.storage.files import Storage
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.moves import Moves
    from cryptolake.transfer.options import TransferOptions
    from cryptolake.transfer.pipeline import Pipeline
    from cryptolake.transfer.recorder import Book
    from cryptolake.transfer.routing import Route


def run_route(
    route: Route,
    plan: Plan,
    moves: Moves,
    storage: Storage,
    book: Book,
    options: TransferOptions,
    policy: Policy,
    *,
    progress: Progress,
) -> bool:
    """Move what is to move by the route's modes; return whether the last one still found an endpoint.

    What one mode could not move waits for the next; the book counts why.
    """
    answered = True
    bar = Bar(total_bytes=moves.total_bytes, total_files=moves.rows.height, shown=progress)
    try:
        for number, mode in enumerate(route.modes):
            if not book.waiting(moves.numbers):
                break
            last = number == len(route.modes) - 1
            with _staging(storage, book.run_id) as staging:
                if storage.is_local:
                    staging.adopt(moves.among)
                work = _Parts(plan, storage, book, bar, options, policy, staging)
                left = jobs_of(map(book.still_waiting, moves.pieces()))
                pipeline = work.pipeline(mode, _batched(left, options, probe=not last), last=last)
                answered = pipeline.run()
            if not last:
                book.fell_back(mode, pipeline.reasons, book.waiting(moves.numbers))
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
        orders = Orders(bucket, flags=download_flags(options))
        if not isinstance(storage, S3Storage):
            work = Work(plan.archive, self._staging, DiskVault(storage), *self._given)
            return Downloads(work, jobs, orders, last=last)
        # boto3 is loaded for a lake in a bucket only.
        from cryptolake.transfer.direct import Copies
        from cryptolake.transfer.relay import Relays, Traditional
        from cryptolake.transfer.s3_store import BucketVault

        vault = BucketVault(storage, options)
        work = Work(plan.archive, self._staging, vault, *self._given)
        if mode == "relay":
            return Relays(work, jobs, orders, vault=vault, last=last)
        if mode == "traditional":
            return Traditional(work, jobs, orders, vault=vault, last=last)
        into = storage.url("bronze") + "/"
        # Inside S3 a named copy is one request; a wildcard would add a LIST.
        direct = Orders(bucket, into=into, flags=copy_flags(options), wildcards=False)
        return Copies(work, jobs, direct, storage=storage, vault=vault, last=last)


def _staging(storage: Storage, run_id: str) -> AbstractContextManager[Staging]:
    if storage.is_local:
        return Staging(storage.local("meta/incoming"), run_id)
    return temporary(run_id)


def _batched(jobs: Iterator[Job], options: TransferOptions, *, probe: bool) -> Iterator[list[Job]]:
    """Where another mode could take over, one file goes first: it finds out cheaply."""
    if probe and (first := list(islice(jobs, 1))):
        yield first
    yield from batches(jobs, options.batch_size)
