"""What every task on a lake is given: the lake's files and tables, its archive, and the archive's listing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cryptolake.archive.source import Archive
from cryptolake.listing.listing import Listing
from cryptolake.storage.process import check_process
from cryptolake.storage.tables import Meta, Snapshot

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage


@dataclass(frozen=True)
class LakeContext:
    """One lake and its archive, for one call. Making it opens nothing and asks nothing.

    Parameters
    ----------
    storage
        The lake's files.
    archive
        The archive that the lake is of.
    listing
        What the archive's S3 listing says exists, cached in the lake.
    tables
        The lake's own tables, to append to, and to read as they are now.
    adopt
        Whether the lake becomes one of this archive where it is of another.
    """

    storage: Storage
    archive: Archive
    listing: Listing
    tables: Meta
    adopt: bool = False

    def __post_init__(self) -> None:
        """Refuse a process in which no call can work: see :func:`check_process`."""
        check_process()

    @cached_property
    def records(self) -> Snapshot:
        """The tables as this call sees them: each is read once, however many functions need it."""
        return Snapshot(self.tables)

    @classmethod
    def of(cls, storage: Storage, archive: Archive | None = None) -> LakeContext:
        """Return the context of a lake and its archive; of the public archive when left out."""
        source = archive or Archive()
        return cls(storage, source, Listing(source, storage), Meta(storage))
