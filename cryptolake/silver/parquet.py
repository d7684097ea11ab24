"""A Silver month as one Parquet file, which says in its metadata what it was made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from cryptolake.archive.schemas import rows_version
from cryptolake.readers.silver_files import METADATA
from cryptolake.storage.identity_columns import IDENTITY, arrow_metadata, constants, named

if TYPE_CHECKING:
    from datetime import datetime
    from io import BytesIO

    from cryptolake.silver.months import Month
    from cryptolake.silver.sources import Source
    from cryptolake.storage.files import Storage

COMPRESSION: Final = "zstd"
_LEVEL = 3
_SMALLEST, _LARGEST, _GROUPS = 14_880, 131_072, 4
"""Rows of a row group: ten days of minutes at least. Polars encodes 12,288 or 16,384 rows a group more slowly."""
_NOT_OURS = (
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError),
    *(KeyError, ValueError, TypeError, RecursionError),
)
"""What reading a file's origin ends in where it is no file of ours: it is built anew."""


@dataclass(frozen=True)
class Origin:
    """What a Silver file was made of: the schema's version and the files, and what came of them.

    ``refused`` maps the files that could not be used to the reason; ``damaged`` names those of them that
    were not the bytes that the ledger records, which a later build may find whole again; ``spills`` names
    the months that rows of these files belong to as well.
    """

    schema_version: str
    sources: tuple[tuple[str, str | None], ...]
    refused: dict[str, str]
    damaged: tuple[str, ...]
    spills: tuple[str, ...]

    @classmethod
    def of(
        cls,
        month: Month,
        refused: dict[str, str],
        damaged: Iterable[str] = (),
        spills: Sequence[str] = (),
    ) -> Origin:
        """Return the origin of a month as it is made from its files."""
        sources = tuple((source.key, source.sha256) for source in month.used)
        version = month.series.schema.file_version
        return cls(version, sources, refused, tuple(sorted(damaged)), tuple(spills))

    @classmethod
    def read(cls, metadata: Mapping[str, Any]) -> Origin:
        """Return the origin that a file's metadata tells of."""
        return cls(
            metadata["schema_version"],
            tuple((item["key"], item["sha256"]) for item in metadata["sources"]),
            metadata["refused"],
            # Files of the first release do not say which of the refused ones were damaged.
            tuple(metadata.get("damaged", metadata["refused"])),
            tuple(metadata["spills"]),
        )

    @property
    def id(self) -> str:
        """A name for what went in: files made of the same bytes by the same schema have the same."""
        inputs = [
            self.schema_version,
            sorted(map(list, self.sources), key=str),
            sorted(self.refused),
        ]
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]

    @property
    def held(self) -> set[str]:
        """The files whose rows are in the month."""
        return {key for key, _ in self.sources} - self.refused.keys()

    def same_inputs(self, version: str, sources: Sequence[Source]) -> bool:
        """Whether a build from these would make the same rows again: a damaged file may be whole now."""
        return (
            not self.damaged
            and rows_version(self.schema_version) == version
            and set(self.sources) == {(source.key, source.sha256) for source in sources}
        )

    def to_json(self, month: Month, rows: int | None) -> str:
        """Return the metadata's text."""
        series = month.series
        metadata: dict[str, Any] = {
            "dataset": series.schema.dataset,
            "symbol": series.symbol,
            "interval": series.interval.value if series.interval else None,
            "month": str(month.period),
            "schema_version": self.schema_version,
            "sources": [{"key": key, "sha256": sha256} for key, sha256 in self.sources],
            "refused": self.refused,
            "damaged": list(self.damaged),
            "spills": list(self.spills),
        }
        if rows is not None:
            metadata["rows"] = rows
        return json.dumps(metadata, separators=(",", ":"))


def row_group_size(rows: int) -> int:
    """Return rows per row group: about ten days of minutes, small enough to skip, large enough to pack.

    Examples
    --------
    >>> row_group_size(44_640), row_group_size(100), row_group_size(80_000_000)
    (14880, 14880, 131072)
    """
    return min(max(rows // _GROUPS, _SMALLEST), _LARGEST)


def write_month(frame: pl.DataFrame, month: Month, origin: Origin, file: BytesIO | Path) -> None:
    """Write a month's Parquet file."""
    own = constants(frame.height, *_identity(month))
    frame = pl.DataFrame([*own, *(c for c in frame.get_columns() if c.name not in IDENTITY)])
    frame.write_parquet(
        file,
        compression=COMPRESSION,
        compression_level=_LEVEL,
        statistics=True,
        row_group_size=row_group_size(frame.height),
        metadata={
            METADATA: origin.to_json(month, frame.height),
            **arrow_metadata(frame.schema, month.path),
        },
    )


def sink(rows: pl.LazyFrame, path: Path, month: Month, origin: Origin) -> None:
    """Write a month's rows to a file on disk as they come, a row group at a time."""
    rows = rows.select(_columns(month, rows.collect_schema()))
    rows.sink_parquet(
        path,
        compression=COMPRESSION,
        compression_level=_LEVEL,
        statistics=True,
        row_group_size=_LARGEST,
        metadata={
            METADATA: origin.to_json(month, None),
            **arrow_metadata(rows.collect_schema(), month.path),
        },
        maintain_order=True,
    )


def _columns(month: Month, names: Iterable[str]) -> list[pl.Expr]:
    """Return the columns of a month's file: what it is of, as its folders say, then those of its rows."""
    own = named(*_identity(month))
    rows = [pl.col(name) for name in names if name not in IDENTITY]
    return [*(value.alias(name) for name, value in own.items()), *rows]


def _identity(month: Month) -> tuple[str, str, str | None]:
    series = month.series
    interval = series.interval.value if series.interval else None
    return series.schema.market.value, series.symbol, interval


def restate(path: Path, month: Month, origin: Origin) -> None:
    """Write a finished file once more with another origin: what its rows said was known only at their end."""
    before = path.with_name("before.parquet")
    path.rename(before)
    sink(pl.scan_parquet(before, glob=False, hive_partitioning=False), path, month, origin)
    before.unlink()


class Standing(NamedTuple):
    """The file that stands at a month's path: its bytes, and what it says it was made of."""

    size: int
    origin: Origin


class MonthRecord(NamedTuple):
    """What the newest build of a month has recorded of its file."""

    size: int
    sha256: str
    origin: str
    run_id: str | None = None
    built_at: datetime | None = None
    schema_version: str | None = None

    def describes(self, standing: Standing) -> bool:
        """Say whether the file that stands is the recorded one, by its size and what it was made of."""
        return (standing.size, standing.origin.id) == (self.size, self.origin)


NO_FILE = MonthRecord(-1, "", "")
"""A record that no file fits: with it a month is built anew."""


def read_standing(storage: Storage, path: str) -> Standing | None:
    """Return what a Silver file says it was made of; None when there is no such file, or it is not ours."""
    size = storage.size(path)
    if size is None:
        return None
    try:
        place = storage.local(path) if storage.is_local else storage.url(path)
        found = pl.read_parquet_metadata(place, **storage.polars_arguments)
        metadata = json.loads(found[METADATA])
        return Standing(size, Origin.read(metadata))
    except _NOT_OURS:
        return None
