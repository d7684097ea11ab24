"""What each Gold file was made of: in its Parquet metadata, and in the table ``meta.lineage``.

A row is written before its file is placed. The newest row of a path counts, and a file is current only where it
has the size that this row says and was made by the same code of the same inputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.readers.silver_files import METADATA

if TYPE_CHECKING:
    from datetime import datetime

    from cryptolake.gold.recipes import Recipe
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader


class Input(NamedTuple):
    """One Silver file that went in: its path, a hash of its sources and their sha256, its own sha256, its schema."""

    path: str
    origin: str
    sha256: str | None
    schema_version: str


@dataclass(frozen=True)
class Lineage:
    """What a Gold file was, or would be, made of.

    Parameters
    ----------
    recipe, version, code
        The recipe's name and version, and the hash of what it computes.
    inputs
        The Silver files, by path.
    missing
        Silver files that the recipe asks for and that are not in the lake.
    """

    recipe: str
    version: str
    code: str
    inputs: tuple[Input, ...]
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, recipe: Recipe, inputs: Iterable[Input], missing: Iterable[str] = ()) -> Lineage:
        """Return the lineage of a recipe's file from these inputs."""
        parts = tuple(sorted(set(inputs))), tuple(sorted(missing))
        return cls(recipe.name, recipe.version, recipe.code, *parts)

    @property
    def id(self) -> str:
        """A name for what went in: the same code of the same inputs has the same."""
        inputs = [(item.path, item.origin) for item in self.inputs]
        words = [self.recipe, self.version, self.code, inputs]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]

    @property
    def inputs_json(self) -> str:
        """The inputs as a JSON list of objects, as ``meta.lineage`` has them."""
        return json.dumps([item._asdict() for item in self.inputs], separators=(",", ":"))

    @property
    def metadata(self) -> dict[str, str]:
        """What the Parquet file says of itself."""
        said = {
            "recipe": self.recipe,
            "version": self.version,
            "code": self.code,
            "origin": self.id,
            "inputs": [item._asdict() for item in self.inputs],
            "missing": list(self.missing),
        }
        return {METADATA: json.dumps(said, separators=(",", ":"))}


class Written(NamedTuple):
    """A Gold file as it was written."""

    size: int
    sha256: str
    rows: int
    first: datetime | None
    last: datetime | None


class GoldRecord(NamedTuple):
    """What the newest row of ``meta.lineage`` says of a Gold file."""

    size: int
    sha256: str
    origin: str
    recipe: str
    inputs: str | None

    @property
    def paths(self) -> set[str]:
        """The Silver files that went in."""
        return {item["path"] for item in json.loads(self.inputs or "[]")}


_UNREADABLE = (
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
    *(OSError, KeyError, ValueError, RecursionError),
)

DAMAGED = -1
"""The size in a record that no file has: with it a file is made anew."""


def gold_records(
    records: TableReader,
    recipe: str | None = None,
    *,
    paths: Sequence[str] | None = None,
    inputs_of: Iterable[str] | None = None,
) -> dict[str, GoldRecord]:
    """Return the newest record of each Gold file, by path: of all recipes, or of one.

    ``paths``: only of these files. ``inputs_of``: only of these do the records say what went in.
    """
    where = None if recipe is None else pl.col("recipe") == recipe
    if paths is not None and where is not None:
        # Merged segments are sorted by path: of a range only some row groups are read.
        near = pl.col("path").is_between(pl.lit(min(paths)), pl.lit(max(paths)))
        where &= near & pl.col("path").is_in(pl.Series(paths).implode())
    newest = records.read("lineage", where=where).unique("path", keep="last")
    if inputs_of is not None:
        asked = pl.Series(list(inputs_of), dtype=pl.String).implode()
        inputs = pl.when(pl.col("path").is_in(asked)).then("inputs")
        newest = newest.with_columns(inputs=inputs)
    rows = newest.drop_nulls(["path", "size"]).select("path", *GoldRecord._fields).iter_rows()
    return {path: GoldRecord(*facts) for path, *facts in rows}


def lineage_row(
    path: str, lineage: Lineage, file: Written, run: str, now: datetime
) -> dict[str, Any]:
    """Return the row of ``meta.lineage`` of a file."""
    return {
        "path": path,
        "recipe": lineage.recipe,
        "version": lineage.version,
        "code": lineage.code,
        "origin": lineage.id,
        "inputs": lineage.inputs_json,
        "missing": ", ".join(lineage.missing) or None,
        **file._asdict(),
        "built_at": now,
        "run_id": run,
    }


def damaged_rows(
    records: Mapping[str, GoldRecord], paths: Iterable[str], run: str, now: datetime
) -> list[dict[str, Any]]:
    """Return, for each path whose file is damaged, a row that no file fits: the next build makes it anew."""
    return [
        {
            "path": path,
            "recipe": records[path].recipe,
            "origin": "damaged",
            "inputs": records[path].inputs,
            "size": DAMAGED,
            "sha256": "",
            "built_at": now,
            "run_id": run,
        }
        for path in paths
    ]


def standing_lineage(storage: Storage, path: str) -> dict[str, Any] | None:
    """Return what a Gold file's metadata says; None where there is no such file, or it says nothing."""
    place = storage.local(path) if storage.is_local else storage.url(path)
    try:
        found = pl.read_parquet_metadata(place, **storage.polars_arguments)
        said = json.loads(found[METADATA])
    except _UNREADABLE:
        return None
    return said if isinstance(said, dict) else None
