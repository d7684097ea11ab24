"""``lake.metrics``: what monitoring asks of a lake, in the text format that Prometheus reads. Asks only the lake.

node_exporter's textfile collector takes the text as a file ``*.prom``. Units are base units, so days are seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.bronze.ledger import with_key_parts
from cryptolake.maintenance.status import standing
from cryptolake.readers.unusable import unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from cryptolake.listing.context import LakeContext
    from cryptolake.storage.tables import TableReader

_SERIES = ("market", "data_type", "interval")
_DAY = 86_400


class Gauge(NamedTuple):
    """A metric: its name without ``cryptolake_``, what it says, its labels, and the column of its values."""

    name: str
    help: str
    labels: tuple[str, ...]
    column: str


_MAY_LACK = frozenset({"behind", "ended", "rows", "rejects"})

DATASETS = (
    Gauge(
        "behind_seconds",
        "Whole days that are due after the newest day held, as seconds.",
        _SERIES,
        "behind",
    ),
    Gauge("bronze_files", "Verified archive files.", _SERIES, "files"),
    Gauge("bronze_bytes", "Bytes of verified archive files.", _SERIES, "bytes"),
    Gauge("quarantined_files", "Files that failed verification.", _SERIES, "quarantined"),
    Gauge(
        "silver_months", "Symbol-months of typed rows that stand as recorded.", _SERIES, "months"
    ),
    Gauge("silver_rows", "Typed rows.", _SERIES, "rows"),
    Gauge("rejected_rows", "Published rows that failed normalization.", _SERIES, "rejects"),
    Gauge(
        "damaged_months",
        "Symbol-months whose file is gone or has another size than recorded.",
        _SERIES,
        "damaged",
    ),
    Gauge(
        "failed_months",
        "Symbol-months that lack the rows of a file that no build could use.",
        _SERIES,
        "failed",
    ),
)
"""Metrics by market, data type and interval (empty where a type has none)."""

RUNS = (
    Gauge("runs", "Runs that wrote to the lake.", ("kind", "state"), "runs"),
    Gauge(
        "run_last_end_timestamp_seconds",
        "When the newest ended run of a kind and state ended.",
        ("kind", "state"),
        "ended",
    ),
)
"""Metrics by kind and state of runs."""


def metrics(lake: LakeContext, today: date | None = None) -> str:
    """Return a lake's metrics as text.

    Parameters
    ----------
    lake
        The lake, and the cached listing of its archive.
    today
        The UTC day to count from.

    Returns
    -------
    str
        The exposition format, version 0.0.4, with HELP and TYPE of each metric; a metric without samples is left
        out.
    """
    records = lake.records
    held = standing(lake, _SERIES, today).join(
        _failed(records), on=_SERIES, how="full", coalesce=True, nulls_equal=True
    )
    held = held.with_columns(pl.col("behind") * _DAY).sort(_SERIES)
    lines = [*exposition(DATASETS, held), *exposition(RUNS, _runs(records))]
    return "".join(f"{line}\n" for line in lines)


def _failed(records: TableReader) -> pl.DataFrame:
    """Count the symbol-months that files lie in which no build could use."""
    files = with_key_parts(unusable(records).filter(state="refused"))
    month = pl.struct("symbol", pl.col("period").str.head(7))
    return files.group_by(_SERIES).agg(month.n_unique().alias("failed"))


def _runs(records: TableReader) -> pl.DataFrame:
    whole = records.runs().filter(pl.col("part_of").is_null())  # what an executor ran is one run
    ended = pl.col("ended_at").max().dt.timestamp("ms") / 1000
    by = ("kind", "state")
    return whole.group_by(by).agg(pl.len().alias("runs"), ended.alias("ended")).sort(by)


def exposition(gauges: Iterable[Gauge], rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of some metrics; a null is a sample that is not there, but for most counts, which are 0.

    Examples
    --------
    >>> gauge = Gauge("runs", "Runs.", ("kind",), "runs")
    >>> for line in exposition([gauge], pl.DataFrame({"kind": ["build"], "runs": [2]})):
    ...     print(line)
    # HELP cryptolake_runs Runs.
    # TYPE cryptolake_runs gauge
    cryptolake_runs{kind="build"} 2
    """
    for gauge in gauges:
        filled = rows if gauge.column in _MAY_LACK else rows.fill_null(0)
        samples = filled.select(
            *(pl.col(label).cast(pl.String).fill_null("") for label in gauge.labels), gauge.column
        ).drop_nulls()
        if samples.is_empty():
            continue
        name = f"cryptolake_{gauge.name}"
        yield f"# HELP {name} {gauge.help}"
        yield f"# TYPE {name} gauge"
        for *labels, value in samples.iter_rows():
            pairs = zip(gauge.labels, labels, strict=True)
            named = ",".join(f'{label}="{_escaped(text)}"' for label, text in pairs)
            yield f"{name}{{{named}}} {value}"


def _escaped(text: str) -> str:
    r"""Return a label's value as the format writes it.

    Examples
    --------
    >>> print(_escaped('a"b\\c'))
    a\"b\\c
    """
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
