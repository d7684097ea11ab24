"""cryptolake: query, mirror and normalize the public Binance archive from a notebook.

Four words are enough to start: a **Query** is a sentence (pure, offline), a **Plan** the receipt before
paying, a **Report** the receipt after, and the **Lake** the only object that does I/O.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cryptolake import interrupts

if TYPE_CHECKING:
    from cryptolake.archive.matrix import load_matrix as load_matrix
    from cryptolake.archive.matrix import matrix as matrix
    from cryptolake.archive.source import Archive as Archive
    from cryptolake.demo import sample_lake as sample_lake
    from cryptolake.errors import ArchiveMismatch as ArchiveMismatch
    from cryptolake.errors import BuildError as BuildError
    from cryptolake.errors import ChecksumMismatch as ChecksumMismatch
    from cryptolake.errors import CorruptArchive as CorruptArchive
    from cryptolake.errors import CryptolakeError as CryptolakeError
    from cryptolake.errors import DamagedLakeWarning as DamagedLakeWarning
    from cryptolake.errors import IncompleteWarning as IncompleteWarning
    from cryptolake.errors import InvalidQuery as InvalidQuery
    from cryptolake.errors import ListingError as ListingError
    from cryptolake.errors import LockError as LockError
    from cryptolake.errors import MissingTool as MissingTool
    from cryptolake.errors import NoSuchSymbol as NoSuchSymbol
    from cryptolake.errors import NotPublished as NotPublished
    from cryptolake.errors import PlanError as PlanError
    from cryptolake.errors import SchemaMismatch as SchemaMismatch
    from cryptolake.errors import StorageError as StorageError
    from cryptolake.errors import TransferError as TransferError
    from cryptolake.errors import WorkerLost as WorkerLost
    from cryptolake.gold.recipes import recipe as recipe
    from cryptolake.lake import Lake as Lake
    from cryptolake.lake import klines as klines
    from cryptolake.picker import picker as picker
    from cryptolake.planning.lockfile import Lock as Lock
    from cryptolake.planning.plan import Plan as Plan
    from cryptolake.query import Query as Query
    from cryptolake.query import query as query
    from cryptolake.readers.conversions import to_polars as to_polars
    from cryptolake.report import Report as Report
    from cryptolake.research.known import known as known
    from cryptolake.sample.archive import sample_archive as sample_archive
    from cryptolake.sample.server import serve_archive as serve_archive
    from cryptolake.transfer.options import TransferOptions as TransferOptions
    from cryptolake.workflows.collection import (
        ArchiveCollectionWorkflow as ArchiveCollectionWorkflow,
    )
    from cryptolake.workflows.config import WorkflowConfig as WorkflowConfig

__version__ = "0.1.0"

_HOMES = {
    "ArchiveCollectionWorkflow": "workflows.collection",
    "WorkflowConfig": "workflows.config",
    "Archive": "archive.source",
    "Lake": "lake",
    "Lock": "planning.lockfile",
    "Plan": "planning.plan",
    "Query": "query",
    "Report": "report",
    "TransferOptions": "transfer.options",
    "query": "query",
    "recipe": "gold.recipes",
    "known": "research.known",
    "klines": "lake",
    "load_matrix": "archive.matrix",
    "matrix": "archive.matrix",
    "picker": "picker",
    "sample_archive": "sample.archive",
    "sample_lake": "demo",
    "serve_archive": "sample.server",
    "to_polars": "readers.conversions",
    "ArchiveMismatch": "errors",
    "BuildError": "errors",
    "ChecksumMismatch": "errors",
    "CorruptArchive": "errors",
    "CryptolakeError": "errors",
    "DamagedLakeWarning": "errors",
    "IncompleteWarning": "errors",
    "InvalidQuery": "errors",
    "ListingError": "errors",
    "LockError": "errors",
    "MissingTool": "errors",
    "NoSuchSymbol": "errors",
    "NotPublished": "errors",
    "PlanError": "errors",
    "SchemaMismatch": "errors",
    "StorageError": "errors",
    "TransferError": "errors",
    "WorkerLost": "errors",
}
"""Where each public name lives; a module is imported when one of its names is first used."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if name == "handoff":  # a module that users call by its name, as cl.handoff.ohlcv(frame)
        return importlib.import_module("cryptolake.handoff")
    if home is None:
        message = f"module 'cryptolake' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(f"cryptolake.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """The package, in which a public name wins over the module of the same name.

    When ``cryptolake.query`` is first imported, Python sets the package's attribute ``query`` to that
    module. Users call ``cryptolake.query()``, so that assignment is dropped.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in _HOMES):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

interrupts.install()
