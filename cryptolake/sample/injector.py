"""Choose the files that defects go into, one to a symbol-month, and write down what was done."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType, Market, Partition, dataset_name
from cryptolake.archive.keys import ArchiveKey, parse_key
from cryptolake.errors import InvalidQuery

if TYPE_CHECKING:
    from cryptolake.sample.defects import Defect
    from cryptolake.sample.folder import ArchiveFolder

MANIFEST = "defects.json"
"""The manifest's name, beside the folder's ``data``."""

MANIFEST_SCHEMA: dict[str, pl.DataType] = {
    "defect": pl.String(),
    "key": pl.String(),
    "dataset": pl.String(),
    "symbol": pl.String(),
    "interval": pl.String(),
    "first": pl.Datetime("us", "UTC"),
    "last": pl.Datetime("us", "UTC"),
    "rows": pl.Int64(),
    "detail": pl.String(),
}


Group = tuple[Market, DataType, str, object, object]
"""A symbol-month: market, data type, symbol, interval, month. At most one defect is put into one."""


@dataclass(frozen=True)
class Target:
    """Which files can show a defect.

    ``siblings`` is how many files of the other partition the file's month must have: None for any number,
    0 for a month whose monthly file is not published; ``since`` is the first day it may cover;
    ``not_last`` asks for a file that a later one of the same month follows.
    """

    data_types: tuple[DataType, ...] = (DataType.KLINES,)
    partition: Partition = Partition.DAILY
    siblings: int | None = None
    market: Market | None = None
    futures: bool = False
    rows: int = 20
    since: date | None = None
    not_last: bool = False


@dataclass
class Site:
    """The file chosen for a defect, and what the damage needs to know about the rest."""

    folder: ArchiveFolder
    parsed: ArchiveKey
    dice: random.Random
    siblings: list[str]
    others: list[str]

    @property
    def key(self) -> str:
        """The file's key."""
        return self.parsed.key


@dataclass
class Harm:
    """What was done to one key."""

    key: str
    first: int | None = None
    last: int | None = None
    rows: int = 0
    detail: str = ""


Damage = Callable[[Site], list[Harm]]


def group_of(parsed: ArchiveKey) -> Group:
    """Return the symbol-month a file belongs to."""
    month = parsed.period.of_month
    return (parsed.market, parsed.data_type, parsed.symbol, parsed.interval, month)


class Injector:
    """Put defects into a folder, each into a symbol-month of its own."""

    def __init__(self, folder: ArchiveFolder, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.claimed: set[Group] = set()
        self.harms: list[dict[str, object]] = []
        parsed = (parse_key(key) for key in folder.zip_keys())
        self.files = [key for key in parsed if key is not None]
        self._groups: dict[Group, list[ArchiveKey]] = {}
        for file in self.files:
            self._groups.setdefault(group_of(file), []).append(file)

    def inject(self, defect: Defect, target: Target, damage: Damage) -> None:
        """Choose a file that can show the defect, and damage it.

        Raises
        ------
        InvalidQuery
            No file of the folder can show it, beside those already damaged.
        """
        dice = random.Random(f"{self.seed}/{defect}")
        fitting = [file for file in self.files if self._fits(file, target)]
        while fitting:
            file = fitting.pop(dice.randrange(len(fitting)))
            text = self.folder.read_text(file.key)
            if text.count(b"\n") > target.rows:
                self._harm(defect, file, damage, dice)
                return
        message = f"no file here can show {defect.value}: it needs {describe(target)}, undamaged."
        raise InvalidQuery(message, what="defect", given=defect.value)

    def note(self, defect: Defect, parsed: ArchiveKey | None, harm: Harm) -> None:
        """Write one line of the manifest."""
        self.harms.append(
            {
                "defect": defect.value,
                "key": harm.key,
                "dataset": dataset_name(parsed.market, parsed.data_type) if parsed else None,
                "symbol": parsed.symbol if parsed else None,
                "interval": parsed.interval.value if parsed and parsed.interval else None,
                "first": _moment(harm.first),
                "last": _moment(harm.last),
                "rows": harm.rows,
                "detail": harm.detail,
            }
        )

    def manifest(self) -> pl.DataFrame:
        """Return what was done, in the order it was done, and write it beside ``data``."""
        frame = pl.DataFrame(self.harms, schema=MANIFEST_SCHEMA)
        self.folder.root.mkdir(parents=True, exist_ok=True)
        frame.write_json(self.folder.root / MANIFEST)
        return frame

    def _fits(self, file: ArchiveKey, target: Target) -> bool:
        group = group_of(file)
        if group in self.claimed or file.partition is not target.partition:
            return False
        if file.data_type not in target.data_types:
            return False
        if target.market not in (None, file.market):
            return False
        if target.futures and file.market not in (Market.FUTURES_UM, Market.FUTURES_CM):
            return False
        if target.since is not None and file.period.first < target.since:
            return False
        same = self._groups[group]
        if target.not_last and file == max(same, key=lambda one: one.period.first):
            return False
        siblings = sum(one.partition is not file.partition for one in same)
        if target.siblings is None:
            return True
        return siblings == 0 if target.siblings == 0 else siblings >= target.siblings

    def _harm(self, defect: Defect, file: ArchiveKey, damage: Damage, dice: random.Random) -> None:
        group = group_of(file)
        same = [one for one in self._groups[group] if one.partition is not file.partition]
        others = [
            one.key
            for one in self.files
            if one[:2] == file[:2] and one[3:] == file[3:] and one.symbol != file.symbol
        ]
        site = Site(self.folder, file, dice, [one.key for one in same], others)
        for harm in damage(site):
            self.note(defect, parse_key(harm.key), harm)
        self.claimed.add(group)


def describe(target: Target) -> str:
    """Say in words what a target asks for."""
    types = ", ".join(data_type.value for data_type in target.data_types)
    market = target.market or ("futures" if target.futures else "any market")
    beside = ""
    if target.siblings is not None:
        few = f" with {target.siblings} daily files beside it"
        beside = few if target.siblings else " of a month not yet published"
    return f"a {target.partition.value} file of {types} ({market}){beside}"


def _moment(time: int | None) -> datetime | None:
    return None if time is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
