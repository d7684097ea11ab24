"""``lake.thaw`` restores what a lock pins into a lake of its own, by the pinned keys, or names each difference.

A donor is another lake that may hold the old bytes, in its Bronze or among what its locks kept. What no donor has is
fetched from the archive where that still lists it with the pinned ETag, or publishes a CHECKSUM of the pinned sha256.
Each file is held against the pinned sha256 before it takes its place.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import DataType, Market, dataset_name
from cryptolake.archive.keys import CHECKSUM, file_name
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import holdings_beside, in_months, with_key_parts
from cryptolake.bronze.verify import parse_sidecar
from cryptolake.errors import CorruptArchive, IncompleteWarning, ListingError, LockError
from cryptolake.listing.identity import claim_archive
from cryptolake.maintenance.locked_gold import restore_gold
from cryptolake.maintenance.locks import listed_now, record, require_same_archive
from cryptolake.planning.planner import plan_of
from cryptolake.planning.status import status_of
from cryptolake.quality.freshness import NAME, OBJECT, held_folders
from cryptolake.report import FILES, Report
from cryptolake.silver.scratch import new_folder
from cryptolake.storage import layout
from cryptolake.storage.files import S3Storage
from cryptolake.storage.spooled import Rows
from cryptolake.storage.tables import new_run_id
from cryptolake.transfer.stores import DiskStore

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.planning.lockfile import Lock
    from cryptolake.storage.files import Storage
    from cryptolake.transfer.pull import RunSettings
    from cryptolake.transfer.stores import BronzeStore

_AT_ONCE = 8
_BATCH = 256
"""Files that are copied before they are placed and recorded: of a bucket they take local disk meanwhile."""

_PARTS = ["market", "data_type", "symbol", "interval", "partition", "period", "first", "last"]


class Pin(NamedTuple):
    """One pinned file."""

    key: str
    size: int
    etag: str | None
    sha256: str


class Found(NamedTuple):
    """A pinned file that a donor held, copied here: the zip, its md5, and its CHECKSUM where that fits."""

    zip_path: Path
    md5: str
    sidecar: Path | None


def thaw(
    lake: LakeContext, settings: RunSettings, lock: Lock, donors: Sequence[Storage] = ()
) -> Report:
    """Restore what a lock pins; what cannot be had is named with its pinned and its present hash.

    Parameters
    ----------
    lake
        Where it goes: a lake that holds no other files of those months.
    settings
        How to transfer and build.
    lock
        What is pinned.
    donors
        Lakes that may hold the bytes; they are only read.

    Returns
    -------
    Report
        ``files`` has a row a pinned file; those that could not be restored are ``failed``, and their months are
        not built. ``months`` has Silver's, and those of the Gold that the lock names.

    Raises
    ------
    LockError
        The lock is of another archive, the lake holds other files of its months, or a donor is no lake.
    StorageError
        The lake cannot be written.
    """
    require_same_archive(lake, lock)
    _require_lakes(donors)
    pinned = with_key_parts(lock.files)
    _require_own_root(lake, pinned)
    _warn_of_versions(lock)
    status = status_of(lock.files.with_columns(checksum_etag=pl.lit(None, pl.String)), lake)
    here = pinned.filter((status == "cached") & _recorded(lake, pinned))
    report = Report("pull", new_run_id(), 0.0, files=Rows([_rows(here["key"], "cached")]))
    claim_archive(lake)
    record(lake, lock)
    lacking = pinned.join(here, on="key", how="anti")
    report = Report.merge([report, _from_donors(lake, settings, lacking, donors)])
    lake.records.forget()
    lacking = lacking.filter(~pl.col("key").is_in(_stored(report).implode()))
    if lacking.height:
        report = Report.merge([report, _from_archive(lake, settings, lacking)])
        lake.records.forget()
    built = _build(lake, settings, pinned, report)
    lake.records.forget()
    gold = restore_gold(lake, lock, progress=settings.progress)
    return Report.merge([report, built, *([gold] if gold else [])])


# ------------------------------------------------------------------------------------ before anything moves


def _require_lakes(donors: Sequence[Storage]) -> None:
    """Refuse a donor that is no lake: a root that was mistyped would donate nothing in silence."""
    absent = [donor.root for donor in donors if not donor.begun()]
    if absent:
        message = f"there is no lake at {absent[0]}: a donor is the root of a lake, or a Lake."
        raise LockError(message, donors=absent)


def _require_own_root(lake: LakeContext, pinned: pl.DataFrame) -> None:
    """Refuse a lake that holds other files, or other bytes, of the months that the lock is of."""
    months = _months(pinned)
    held = in_months(holdings_beside(lake.records, pinned["key"]), months)
    pins = pinned.select("key", pinned_sha256="sha256", pinned_etag="etag")
    both = held.join(pins, on="key", how="left")
    same = pl.coalesce(
        pl.col("sha256") == pl.col("pinned_sha256"), pl.col("etag") == pl.col("pinned_etag")
    )
    others = both.filter(~same.fill_null(value=False)).sort("key")
    if not others.height:
        return
    message = (
        f"the lake at {lake.storage.root} holds {others.height:,} other files of the lock's months, e.g. "
        f"{others['key'][0]}, whose rows would mix with the pinned ones: thaw into a root of its own."
    )
    raise LockError(message, root=lake.storage.root, keys=others["key"].to_list())


def _recorded(lake: LakeContext, pinned: pl.DataFrame) -> pl.Series:
    """Say of each pinned file whether the ledger has it with the pinned sha256."""
    held = holdings_beside(lake.records, pinned["key"]).select("key", has="sha256")
    both = pinned.join(held, on="key", how="left", maintain_order="left")
    return (both["has"] == both["sha256"]).fill_null(value=False)


def _warn_of_versions(lock: Lock) -> None:
    """Warn where this release makes Silver's rows by other rules than those that the lock names."""
    pairs = with_key_parts(lock.files).select("market", "data_type").unique().rows()
    now = {
        dataset_name(market, data_type): schema_of(Market(market), DataType(data_type)).version
        for market, data_type in pairs
    }
    other = [
        f"{name} by {lock.schemas[name]}, here {version}"
        for name, version in sorted(now.items())
        if lock.schemas.get(name, version) != version
    ]
    if other:
        message = (
            f"the sources are restored, and Silver is made of them by other rules than the lock's: "
            f"{'; '.join(other)}. {lock.made_by} made the lock."
        )
        warnings.warn(message, IncompleteWarning, stacklevel=4)


# ---------------------------------------------------------------------------------------------- from donors


def _from_donors(
    lake: LakeContext, settings: RunSettings, lacking: pl.DataFrame, donors: Sequence[Storage]
) -> Report:
    """Copy what donors hold; each file is hashed on its way, and placed only if it is the pinned one."""
    began, run_id = time.monotonic(), new_run_id()
    report = Report("transfer", run_id, 0.0)
    if not donors or not lacking.height:
        return report
    pins = [Pin(*row) for row in lacking.select(Pin._fields).iter_rows()]
    store, moved = _store(lake.storage, settings), list[Pin]()
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="donor") as pool:
        for start in range(0, len(pins), _BATCH):
            some = pins[start : start + _BATCH]
            moved += _placed(lake, store, some, donors, run_id, pool)
    lake.tables.settle()
    files = _rows([pin.key for pin in moved], "transferred").with_columns(
        bytes=pl.Series([pin.size for pin in moved], dtype=pl.Int64),
        mode=pl.lit("donor"),
        verified=pl.lit("sha256"),
    )
    return replace(report, seconds=time.monotonic() - began, files=Rows([files]))


def _placed(
    lake: LakeContext,
    store: BronzeStore,
    pins: Sequence[Pin],
    donors: Sequence[Storage],
    run_id: str,
    pool: ThreadPoolExecutor,
) -> list[Pin]:
    """Copy, place and record those of some pinned files that a donor holds; return them."""
    with _scratch(lake.storage) as folder:
        find = partial(_found, donors=donors, folder=folder)
        copies = zip(pins, pool.map(find, range(len(pins)), pins), strict=True)
        found = [(pin, copy) for pin, copy in copies if copy is not None]
        rows = [_ledger_row(pin, copy, run_id) for pin, copy in found]
        for pin, copy in found:
            store.place(pin.key, copy.zip_path, copy.sidecar)
    lake.tables.append("files", rows)
    return [pin for pin, _ in found]


def _found(number: int, pin: Pin, *, donors: Sequence[Storage], folder: Path) -> Found | None:
    """Copy a pinned file from the first donor that holds these bytes; None where none does."""
    draft = folder / f"{number}.zip"
    for donor in donors:
        for path in (layout.bronze_path(pin.key), layout.kept_path(pin.sha256)):
            md5 = _copied(donor, path, pin, draft)
            if md5 is not None:
                return Found(draft, md5, _sidecar(donor, path, pin, folder / f"{number}.CHECKSUM"))
    draft.unlink(missing_ok=True)
    return None


def _copied(donor: Storage, path: str, pin: Pin, draft: Path) -> str | None:
    """Copy a donor's file; return its md5, None where it is absent or holds other bytes."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size = 0
    with suppress(FileNotFoundError), draft.open("wb") as file:
        for piece in donor.pieces(path, pin.size):
            size += len(piece)
            if size > pin.size:
                return None
            sha256.update(piece)
            md5.update(piece)
            file.write(piece)
    return md5.hexdigest() if sha256.hexdigest() == pin.sha256 else None


def _sidecar(donor: Storage, path: str, pin: Pin, draft: Path) -> Path | None:
    """Copy the CHECKSUM beside a donor's file, where it gives the pinned sha256."""
    try:
        text = donor.read(path + CHECKSUM)
        if parse_sidecar(text, file_name(pin.key)) != pin.sha256:
            return None
    except (FileNotFoundError, CorruptArchive):
        return None
    draft.write_bytes(text)
    return draft


def _ledger_row(pin: Pin, found: Found, run_id: str) -> dict[str, Any]:
    """Return the ledger's row of a donor's file, proven as a fetched one: by its CHECKSUM, its ETag or its size."""
    checksum = None
    if found.sidecar is not None:
        checksum = hashlib.md5(found.sidecar.read_bytes(), usedforsecurity=False).hexdigest()
    proof = "sha256" if checksum else "etag" if found.md5 == pin.etag else "size"
    return {
        **pin._asdict(),
        "md5": found.md5,
        "verified": proof,
        "checksum_etag": checksum,
        "fetched_at": datetime.now(UTC),
        "run_id": run_id,
        "mode": "donor",
        "event": "stored",
    }


def _store(storage: Storage, settings: RunSettings) -> BronzeStore:
    if not isinstance(storage, S3Storage):
        return DiskStore(storage)
    from cryptolake.transfer.s3_store import S3Store  # boto3 is loaded for a lake in a bucket only

    return S3Store(storage, settings.options)


@contextmanager
def _scratch(storage: Storage) -> Iterator[Path]:
    folder = new_folder(storage)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ----------------------------------------------------------------------------------------- from the archive


def _from_archive(lake: LakeContext, settings: RunSettings, lacking: pl.DataFrame) -> Report:
    """Fetch what the archive still has as it is pinned; the rest is named with both hashes."""
    try:
        listed = listed_now(lake, lacking, held_folders(lacking), refresh=True)
    except ListingError as error:
        why = f"no donor holds it, and the archive does not answer: {error}"
        return _failed(dict.fromkeys(lacking["key"], why))
    pins = lacking.select("key", "sha256", pinned_etag="etag", pinned_size="size")
    both = pins.join(listed.select(*OBJECT, *_PARTS), on="key", how="left", maintain_order="left")
    same = (pl.col("size") == pl.col("pinned_size")) & (pl.col("etag") == pl.col("pinned_etag"))
    alike = same.fill_null(value=False)
    other, lost = both.filter(~alike), dict[str, str]()
    stated = _stated(lake, settings, other)
    for row in other.iter_rows(named=True):
        if stated.get(row["key"]) != row["sha256"]:
            lost[row["key"]] = _difference(row, stated.get(row["key"]))
    wanted = both.filter(~pl.col("key").is_in(list(lost)))
    report = _failed(lost)
    if not wanted.height:
        return report
    notes = ["what a lock pins, by its keys"]
    plan = plan_of(wanted.select(*OBJECT, *_PARTS), lake, notes=notes)
    # A CHECKSUM may have been stale when the file was pinned: the pin decides.
    full = settings.options.model_copy(update={"verify": "full"})
    ways = replace(settings, options=full, checksum_policy="accept")
    moved = ways.transfer(plan, lake, dict(wanted.select("key", "sha256").iter_rows()))
    return Report.merge([moved, report])


def _stated(lake: LakeContext, settings: RunSettings, other: pl.DataFrame) -> dict[str, str]:
    """Return the sha256 that the archive's CHECKSUM states now of files that it lists otherwise than pinned."""
    keys = other.drop_nulls("checksum_size")["key"].to_list()
    if not keys:
        return {}
    from cryptolake.transfer.s3_store import TROUBLES, archive_client

    client = archive_client(lake.archive, settings.options)
    expected: tuple[type[Exception], ...] = (CorruptArchive, *TROUBLES)

    def ask(key: str) -> str | None:
        try:
            found = client.get_object(Bucket=lake.archive.bucket, Key=key + CHECKSUM)
            return parse_sidecar(found["Body"].read(4096), file_name(key))
        except expected:
            return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = zip(keys, pool.map(ask, keys), strict=True)
        return {key: sha256 for key, sha256 in found if sha256 is not None}


def _difference(row: dict[str, Any], stated: str | None) -> str:
    """Say how the archive's file differs from the pinned one."""
    pinned = f"the lock pins sha256 {row['sha256']}"
    if row["size"] is None:
        return f"removed from the archive: {pinned}, and no donor holds it"
    now = f"sha256 {stated}" if stated else f"ETag {row['etag']}, of which no CHECKSUM is published"
    return f"rewritten by the archive: {pinned}, the archive has {now}, and no donor holds the pinned one"


# ---------------------------------------------------------------------------------------------------- after


def _build(
    lake: LakeContext, settings: RunSettings, pinned: pl.DataFrame, report: Report
) -> Report:
    """Build the Silver months that have all their pinned files; the others would lack rows."""
    lost = report.files.filter(pl.col("status") == "failed").select("key")
    broken = _months(pinned.join(lost, on="key", how="semi"))
    months = _months(pinned).join(broken, on=[*NAME, "month"], how="anti", nulls_equal=True)
    held = holdings_beside(lake.records, pinned["key"])
    return settings.build(in_months(held, months), lake)


def _months(files: pl.DataFrame) -> pl.DataFrame:
    return files.select(*NAME, month=pl.col("period").str.slice(0, 7)).unique()


def _stored(report: Report) -> pl.Series:
    return report.files.filter(pl.col("status").is_in(["transferred", "cached", "adopted"]))["key"]


def _failed(lost: dict[str, str]) -> Report:
    rows = _rows(list(lost), "failed").with_columns(
        error=pl.Series(list(lost.values()), dtype=pl.String)
    )
    state: Any = "failed" if lost else "done"
    return Report("transfer", new_run_id(), 0.0, files=Rows([rows]), state=state)


def _rows(keys: Iterable[str], status: str) -> pl.DataFrame:
    """Return the report's rows of files of one status."""
    nothing = {"bytes": 0, "seconds": 0.0, "attempts": 0, "retries": 0}
    rows = [{"key": key, "status": status, **nothing} for key in keys]
    return pl.DataFrame(rows, schema=FILES)
