"""A Silver month as one Parquet file, which says in its metadata what it was made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from cryptolake.silver.months import Month, Source
    from cryptolake.storage.files import Storage

METADATA = "cryptolake"
"""The Parquet key under which a Silver file says, as JSON, what it was made of."""

COMPRESSION: Final = "zstd"
_LEVEL = 3
_SMALLEST, _LARGEST, _GROUPS = 12_288, 131_072, 4


@dataclass(frozen=True)
class Origin:
    """What a Silver file was made of: the schema's version and the files, and what came of them.

    ``refused`` maps the files that could not be used to the reason; ``spills`` names the months that
    rows of these files belong to as well.
    """

    schema_version: str
    sources: tuple[tuple[str, str | None], ...]
    refused: dict[str, str]
    spills: tuple[str, ...]

    @classmethod
    def of(cls, month: Month, refused: dict[str, str], spills: Sequence[str] = ()) -> Origin:
        """Return the origin of a month as it is made from its files."""
        sources = tuple((source.key, source.sha256) for source in month.used)
        return cls(month.series.schema.version, sources, refused, tuple(spills))

    def same_inputs(self, version: str, sources: Sequence[Source]) -> bool:
        """Whether a build from these would make the same file again."""
        return self.schema_version == version and set(self.sources) == {
            (source.key, source.sha256) for source in sources
        }

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
            "spills": list(self.spills),
        }
        if rows is not None:
            metadata["rows"] = rows
        return json.dumps(metadata, separators=(",", ":"))


def row_group_size(rows: int) -> int:
    """Return rows per row group: about a week of a month, small enough to skip, large enough to pack.

    Examples
    --------
    >>> row_group_size(44_640), row_group_size(100), row_group_size(80_000_000)
    (12288, 12288, 131072)
    """
    return min(max(rows // _GROUPS, _SMALLEST), _LARGEST)


def to_parquet(frame: pl.DataFrame, month: Month, origin: Origin) -> bytes:
    """Return the bytes of a month's Parquet file."""
    buffer = BytesIO()
    frame.write_parquet(
        buffer,
        compression=COMPRESSION,
        compression_level=_LEVEL,
        statistics=True,
        row_group_size=row_group_size(frame.height),
        metadata={METADATA: origin.to_json(month, frame.height)},
    )
    return buffer.getvalue()


def sink(rows: pl.LazyFrame, path: Path, month: Month, refused: dict[str, str]) -> None:
    """Write a month's rows to a file on disk as they come, a row group at a time."""
    origin = Origin.of(month, refused)
    rows.sink_parquet(
        path,
        compression=COMPRESSION,
        compression_level=_LEVEL,
        statistics=True,
        row_group_size=_LARGEST,
        metadata={METADATA: origin.to_json(month, None)},
        maintain_order=True,
    )


def read_origin(storage: Storage, path: str) -> Origin | None:
    """Return what a Silver file says it was made of; None when there is no such file, or it is not ours."""
    if not storage.exists(path):
        return None
    try:
        if storage.is_local:
            found = pl.read_parquet_metadata(storage.local(path))
        else:
            found = pl.read_parquet_metadata(storage.url(path), **storage.polars_arguments)
        metadata = json.loads(found[METADATA])
        return Origin(
            metadata["schema_version"],
            tuple((item["key"], item["sha256"]) for item in metadata["sources"]),
            metadata["refused"],
            tuple(metadata["spills"]),
        )
    except (pl.exceptions.PolarsError, OSError, KeyError, ValueError, TypeError):
        # Whatever stands there is not a file of ours: it is built anew.
        return None
