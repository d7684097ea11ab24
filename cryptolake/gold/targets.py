"""Which Gold files a query means, and which Silver files each is made of, as the lake stands now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from cryptolake.archive.periods import Period
from cryptolake.archive.symbols import is_glob
from cryptolake.bronze.ledger import means
from cryptolake.errors import Damaged, InvalidQuery
from cryptolake.gold.lineage import Input
from cryptolake.listing.unpublished import unpublished_months
from cryptolake.readers.silver_files import SilverFile, readable
from cryptolake.render.html import some_of
from cryptolake.silver.parquet import read_standing
from cryptolake.silver.records import month_records
from cryptolake.storage.layout import GoldPath, SilverPath, silver_folder

if TYPE_CHECKING:
    from cryptolake.archive.feeds import Feed
    from cryptolake.gold.recipes import Recipe
    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.listing import Listing
    from cryptolake.query import Query, Selection
    from cryptolake.silver.parquet import MonthRecord
    from cryptolake.storage.files import Storage


class GoldMonth(NamedTuple):
    """One Gold file to be: where it is, and the Silver files it is made of."""

    where: GoldPath
    inputs: Mapping[str, list[SilverFile]]
    """The files of each input, in the order of symbols and months."""
    missing: tuple[str, ...]
    """Silver files that are asked for and are not there: by path, and of a market-month a line for each input and month."""
    bad: tuple[Damaged, ...]
    """Silver files that are asked for and cannot be read."""

    @property
    def path(self) -> str:
        """The path under the lake's root."""
        return self.where.path

    @property
    def begun(self) -> bool:
        """Whether the leading input has the month itself: without it there are no rows."""
        lead = next(iter(self.inputs.values()))
        return any(file.where.month == self.where.month for file in lead)

    @property
    def files(self) -> list[SilverFile]:
        """The files of all inputs."""
        return [file for files in self.inputs.values() for file in files]


_FEW = 32
"""Symbols up to which their folders are listed one by one; beyond, the whole dataset's is."""

_LOOKED = 64
"""Files on a disk of which it is remembered what they said."""

Months = dict[str, dict[Period, SilverFile]]
"""An input's files, by symbol and month."""


class Silver:
    """The Silver files that a recipe may read, and what their newest builds have recorded."""

    def __init__(self, lake: LakeContext) -> None:
        self._lake = lake
        self.bad: dict[str, Damaged] = {}
        self.records: dict[str, MonthRecord] = {}
        self._looked: dict[str, tuple[tuple[int, ...], Input]] = {}

    def months(self, feed: Feed, symbols: Iterable[str] | None) -> Months:
        """Return an input's readable files: of some symbols, or of all."""
        found: Months = defaultdict(dict)
        folders = (
            [silver_folder(*feed)]
            if symbols is None
            else [silver_folder(*feed, symbol) for symbol in sorted(set(symbols))]
        )
        held = readable(self._lake.storage, self._lake.records, folders)
        self.bad |= {item.path: item for item in held.bad}
        for file in held.whole:
            found[file.where.symbol][file.where.month] = file
        self.records |= month_records(self._lake.records, [file.path for file in held.whole])
        return dict(found)

    def input(self, file: SilverFile, *, look: bool = False) -> Input | None:
        """Return what a file is by its record, or, with ``look`` or where that does not fit, by its metadata.

        None where it is gone meanwhile, or no file of ours.
        """
        record = self.records.get(file.path)
        fits = record is not None and record.size == file.size
        if record is not None and fits and not look:
            return Input(file.path, record.origin, record.sha256, _version(record))
        mark = _mark(self._lake.storage, file.path)
        known = self._looked.get(file.path)
        if known is not None and known[0] == mark:
            return known[1]
        standing = read_standing(self._lake.storage, file.path)
        if standing is None:
            return None
        sha256 = record.sha256 if record is not None and record.describes(standing) else None
        found = Input(file.path, standing.origin.id, sha256, standing.origin.schema_version)
        if mark is not None:
            self._remember(file.path, mark, found)
        return found

    def _remember(self, path: str, mark: tuple[int, ...], found: Input) -> None:
        """Keep what a file said: a month is looked at before and after, and as the warm-up of the next one."""
        self._looked[path] = (mark, found)
        for oldest in list(self._looked)[:-_LOOKED]:
            self._looked.pop(oldest, None)


def _mark(storage: Storage, path: str) -> tuple[int, ...] | None:
    """Return what tells a file on a disk from another one in its place; None in a bucket, and where it is gone."""
    if not storage.is_local:
        return None
    try:
        found = storage.local(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _version(record: MonthRecord) -> str:
    return record.schema_version or ""


def variants_of(recipe: Recipe, query: Query) -> list[Recipe]:
    """Return the recipe of each market and interval that a query picks; of the leading input's where it names none.

    Raises
    ------
    InvalidQuery
        The query names markets, data types or intervals, and none that the recipe holds for.
    """
    asked, lead = query.selection, recipe.lead
    for what, named, own, held in (
        ("markets", asked.markets, lead.market, recipe.markets),
        ("data types", asked.data_types, lead.data_type, ()),
        ("intervals", asked.intervals, lead.interval, recipe.intervals),
    ):
        if named and own is not None and not {own, *held} & {*named}:
            words = [word.value for word in named]
            _refuse(recipe, what, words, [word.value for word in held or [own]])
    found = list(recipe.variants(asked.markets, asked.intervals))
    if not found:
        words = [word.value for word in (*asked.markets, *asked.intervals)]
        _refuse(recipe, "markets and intervals", words, [str(recipe.lead)])
    return found


def _refuse(recipe: Recipe, what: str, named: list[str], held: list[str]) -> None:
    words = ", ".join(named)
    own = repr(held[0]) if len(held) == 1 else f"one of {', '.join(map(repr, held))}"
    message = (
        f"recipe {recipe.name!r} is led by {recipe.lead}, and the query names the {what} {words}; "
        f"name {own} too, or no {what}: a recipe says them itself."
    )
    raise InvalidQuery(message, what=what, given=words, recipe=recipe.name)


def find_targets(lake: LakeContext, recipe: Recipe, query: Query) -> tuple[list[GoldMonth], Silver]:
    """Return the files of a recipe that a query means, and the Silver that was looked at."""
    silver = Silver(lake)
    if recipe.each == "market-month":
        found = _market_months(recipe, query.selection, silver, lake.listing)
    else:
        found = _symbol_months(recipe, query.selection, silver)
    return list(found), silver


def _symbol_months(recipe: Recipe, asked: Selection, silver: Silver) -> Iterator[GoldMonth]:
    exact = [word for word in asked.symbols if not is_glob(word)]
    by_name = bool(asked.symbols) and len(exact) == len(asked.symbols)
    lead = silver.months(recipe.lead, exact if by_name else None)
    symbols = [s for s in sorted({*lead, *exact}) if means(asked, recipe.lead.market, s)]
    held: dict[str, Months] = {}
    for name, feed in recipe.inputs.items():
        pairs = {own for symbol in symbols if (own := recipe.symbol_of(name, symbol))}
        held[name] = (
            lead if not held else silver.months(feed, pairs if len(pairs) <= _FEW else None)
        )
    for symbol in symbols:
        of = {name: recipe.symbol_of(name, symbol) for name in recipe.inputs}
        for month in _asked_months(asked, lead.get(symbol, {}), named=symbol in exact):
            where = GoldPath(recipe.name, recipe.lead.market, symbol, recipe.lead.interval, month)
            chosen: dict[str, list[SilverFile]] = {}
            missing: list[str] = []
            for name, feed in recipe.inputs.items():
                own = of[name]
                months = held[name].get(own, {})
                wanted = recipe.months_of(name, month) if own else []
                chosen[name] = [months[m] for m in wanted if m in months]
                missing += [SilverPath(*feed, own, m).path for m in wanted if m not in months]
            yield _target(where, chosen, missing, silver)


def _market_months(
    recipe: Recipe, asked: Selection, silver: Silver, listing: Listing
) -> Iterator[GoldMonth]:
    held = {name: silver.months(feed, None) for name, feed in recipe.inputs.items()}
    lead = next(iter(held.values()))
    every = {month: file for months in lead.values() for month, file in months.items()}
    wanted = {
        month: {name: recipe.months_of(name, month) for name in recipe.inputs}
        for month in _asked_months(asked, every, named=True)
    }
    lacks = {
        (name, m): _lacking(recipe, name, m, held, asked)
        for levels in wanted.values()
        for name, months in levels.items()
        for m in months
    }
    places = {
        SilverPath(*recipe.inputs[name], s, m)
        for (name, m), absent in lacks.items()
        for s in absent
    }
    never = unpublished_months(listing, places) if places else set()
    known = {where.path for where in never} | silver.bad.keys()
    for month, levels in wanted.items():
        where = GoldPath(recipe.name, recipe.lead.market, None, recipe.lead.interval, month)
        chosen = {
            name: [months[s][m] for s in sorted(months) for m in levels[name] if m in months[s]]
            for name, months in held.items()
        }
        missing = [
            line
            for name, months in levels.items()
            for m in months
            if (line := _line(recipe.inputs[name], m, held[name], lacks[name, m], known))
        ]
        yield _target(where, chosen, missing, silver)


def _lacking(
    recipe: Recipe, name: str, month: Period, held: Mapping[str, Months], asked: Selection
) -> set[str]:
    """Return the symbols that an input has not in a month, and is expected to have.

    Those that it has before and after; of the leading input, those that the query names; of another one of the same
    market, those that the leading input has.
    """
    own, lead = held[name], next(iter(held.values()))
    found = {s for s, months in own.items() if min(months) < month < max(months)}
    if own is lead:
        found |= {word for word in asked.symbols if not is_glob(word)}
    elif recipe.inputs[name].market is recipe.lead.market:
        found |= {s for s, months in lead.items() if month in months}
    return {s for s in found if month not in own.get(s, {})}


def _line(feed: Feed, month: Period, held: Months, absent: set[str], known: set[str]) -> str | None:
    """Say in one line what an input lacks in a month: all of it, or some symbols; None where it lacks nothing.

    ``known``: paths that are known to be unpublished, or are named as damaged.
    """
    have = sum(month in months for months in held.values())
    if not have:
        return f"{silver_folder(*feed)}/**/{month}.parquet"
    names = sorted(s for s in absent if SilverPath(*feed, s, month).path not in known)
    if not names:
        return None
    of = f"{some_of(names, between=' ')} of {have + len(names):,} symbols without"
    return f"{of} {silver_folder(*feed)}/symbol=*/{month}.parquet"


def _target(
    where: GoldPath, chosen: dict[str, list[SilverFile]], missing: list[str], silver: Silver
) -> GoldMonth:
    """Make a target; of what is missing, the files that stand and cannot be read are damaged."""
    bad = tuple(silver.bad[path] for path in missing if path in silver.bad)
    if where.symbol is None:  # missing names no file there: any damaged one of the months counts
        months = {file.where.month for files in chosen.values() for file in files}
        bad = tuple(
            d for p, d in silver.bad.items() if any(p.endswith(f"/{m}.parquet") for m in months)
        )
    names = {item.path for item in bad}
    return GoldMonth(where, chosen, tuple(p for p in missing if p not in names), bad)


def _asked_months(
    asked: Selection, held: Mapping[Period, SilverFile], *, named: bool
) -> list[Period]:
    """Return the months of a symbol that are asked for: of one not named, between its first and last one."""
    if asked.days is None:
        return sorted(held)
    months = list(asked.days.months())
    if named:
        return months
    return [m for m in months if held and min(held) <= m <= max(held)]
