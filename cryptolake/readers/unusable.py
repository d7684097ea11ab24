"""Published files whose rows are in no view: those in quarantine, and those that no build could use.

Every read and every build says so from the state of the lake, not only the run that met the file. A file does
not count where others that the lake holds cover its days, and Silver has rows of each of them: a day that a
monthly file has is not lacking.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.periods import Period
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import holdings_beside, narrowed, scope_of, with_key_parts
from cryptolake.errors import IncompleteWarning
from cryptolake.readers.scans import scan_files
from cryptolake.readers.silver_files import current_sources, silver_scope
from cryptolake.storage.layout import silver_path
from cryptolake.storage.scope import EVERYTHING
from cryptolake.storage.tables import empty

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage
    from cryptolake.storage.scope import Scope
    from cryptolake.storage.tables import TableReader

REFUSED = "refused: "
"""What a file's account in ``meta.sources`` begins its error with, among the file's warnings."""

_FOLDER = ["market", "data_type", "symbol", "interval"]
_NAMED = 3
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_TOLD: set[tuple[str, frozenset[str]]] = set()
"""What was said in this process: the lake's root and the keys; none stand for the whole lake's."""


def unusable(
    records: TableReader, query: Query | None = None, storage: Storage | None = None
) -> pl.DataFrame:
    """Return the published files that a query means, or all, whose rows Silver lacks.

    Parameters
    ----------
    records
        The lake's tables.
    query
        What is meant; everything when left out.
    storage
        The lake, to see in Silver whether it has rows of the days that other files cover; when left out, they
        are taken to have them.

    Returns
    -------
    polars.DataFrame
        ``key``; ``state``, ``quarantined`` or ``refused`` (it is in Bronze, and no build could use it); and
        ``reason``.
    """
    scope = EVERYTHING if query is None else scope_of(query)
    held = records.quarantined(scope).select(
        "key",
        pl.lit("quarantined").alias("state"),
        pl.concat_str("reason", "detail", separator=": ", ignore_nulls=True).alias("reason"),
        sha256=pl.lit(None, pl.String),
    )
    refused = _refused(records, EVERYTHING if query is None else silver_scope(query))
    lost = with_key_parts(pl.concat([held, refused]).unique("key", keep="first"))
    lost = lost.drop_nulls("first")
    if query is not None:
        lost = narrowed(lost, query)
    return _uncovered(records, lost, storage).select("key", "state", "reason").sort("key")


def still_quarantined(lake: LakeContext, query: Query | None = None) -> pl.DataFrame:
    """Return the files in quarantine that a query means, or all, whose rows Silver lacks: ``key`` and ``error``.

    What the builds could not use gives no rows of their days either. It is read only where something is in quarantine.
    """
    scope = EVERYTHING if query is None else scope_of(query)
    if not lake.records.quarantined(scope).height:
        return pl.DataFrame(schema={"key": pl.String, "error": pl.String})
    lost = unusable(lake.records, query, lake.storage).filter(pl.col("state") == "quarantined")
    return lost.select("key", error="reason")


def _refused(records: TableReader, scope: Scope) -> pl.DataFrame:
    """Return the files that the newest builds of some paths could not use, as :func:`unusable` does."""
    refused = pl.col("warnings").str.contains(REFUSED, literal=True)
    here = scope.where("path")
    paths = records.read("sources", where=refused if here is None else here & refused)["path"]
    mine = pl.col("path").is_in(paths.unique().implode())
    rows = records.read("sources", where=mine) if paths.len() else empty("sources")
    return (
        current_sources(rows)
        .filter(refused)
        .select(
            "key",
            pl.lit("refused").alias("state"),
            pl.col("warnings").str.split(REFUSED).list.last().alias("reason"),
            "sha256",
        )
    )


def warn_of_unusable(lake: LakeContext, query: Query | None = None) -> None:
    """Say which rows a result lacks: of a query once a process, lake and set of files; of a lake once.

    Warns
    -----
    IncompleteWarning
        Published files are in quarantine, or no build could use them.
    """
    root = lake.storage.root
    if query is None and (root, frozenset[str]()) in _TOLD:
        return
    found = unusable(lake.records, query, None if query is None else lake.storage)
    told = root, frozenset[str]() if query is None else frozenset(found["key"])
    if not found.height or told in _TOLD:
        return
    _TOLD.add(told)
    if query is None:
        states = dict(found.group_by("state").len().iter_rows())
        message = (
            f"{found.height:,} published files have no rows in this lake: {states.get('quarantined', 0):,} are in "
            f"quarantine (meta.quarantine), {states.get('refused', 0):,} could not be used (meta.findings, kind "
            "unusable_file)."
        )
    else:
        named = "; ".join(
            f"{key} ({state}: {reason or 'no reason given'})"
            for key, state, reason in found.head(_NAMED).iter_rows()
        )
        more = f"; and {found.height - _NAMED:,} more" if found.height > _NAMED else ""
        message = (
            f"{found.height:,} published files of the query have no rows in the result: {named}{more}. "
            "See lake.meta.quarantined(), or pull with checksum_policy='accept'."
        )
    warnings.warn(message, IncompleteWarning, stacklevel=4)


def _uncovered(records: TableReader, lost: pl.DataFrame, storage: Storage | None) -> pl.DataFrame:
    """Leave out files that are no longer the ones that were refused, and those whose days other files give."""
    if not lost.height:
        return lost
    ledger = holdings_beside(records, lost["key"])
    now = ledger.select("key", now="sha256")
    same = (pl.col("state") == "quarantined") | pl.col("sha256").eq_missing(pl.col("now"))
    lost = lost.join(now, on="key", how="left", maintain_order="left").filter(same)
    others = _days(ledger.join(lost, on="key", how="anti"))
    mine, on = _days(lost), [*_FOLDER, "day"]
    open_days = mine.join(others, on=on, how="anti", nulls_equal=True)
    if storage is not None:
        covered = mine.join(open_days, on="key", how="anti")
        open_days = pl.concat([open_days, _without_rows(covered, storage)])
    return lost.join(open_days, on="key", how="semi", maintain_order="left")


def _without_rows(days: pl.DataFrame, storage: Storage) -> pl.DataFrame:
    """Return those of some days (``key``, the folder's name and ``day``) of which a Silver month has no row.

    A month that is not there, or cannot be read, is named elsewhere.
    """
    found = [days.clear()]
    for (*name, first), part in (
        days.with_columns(month=pl.col("day").dt.month_start())
        .partition_by(*_FOLDER, "month", as_dict=True)
        .items()
    ):
        market, data_type = Market(str(name[0])), DataType(str(name[1]))
        interval = Interval(str(name[3])) if name[3] else None
        period = Period.month(first.year, first.month)
        path = silver_path(market, data_type, str(name[2]), interval, period)
        time = pl.col(schema_of(market, data_type).time)
        try:
            there = scan_files(storage, [path]).select(time.dt.date().unique()).collect()
        except _UNREADABLE:
            continue
        found.append(part.drop("month").filter(~pl.col("day").is_in(there.to_series().implode())))
    return pl.concat(found)


def _days(files: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each day that a file covers."""
    covered = files.drop_nulls("first").with_columns(day=pl.date_ranges("first", "last"))
    return covered.select("key", *_FOLDER, "day").explode("day")
