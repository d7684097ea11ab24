"""Which symbols a query means, and so which folders of the archive: names, globs, universes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import parse_dataset
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Days
from cryptolake.archive.symbols import Vocabulary, in_universe, is_glob, matching
from cryptolake.errors import ListingError, NoSuchSymbol, nearest
from cryptolake.listing.folders import folders_of, left_out
from cryptolake.listing.lifetimes import Lifetimes
from cryptolake.render.html import some_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptolake.archive.matrix import Row
    from cryptolake.archive.symbols import Universe
    from cryptolake.listing.folders import Folder
    from cryptolake.listing.listing import Listing
    from cryptolake.listing.snapshot import Listed
    from cryptolake.query import Selection


_MANY_NAMES = 16
"""Names from which on the list of symbols, a few requests, is asked before folders are, some for each name."""

_NAMED = 10
"""Unknown names that a message has in full; ``error.absent`` has all of them."""


class Targets(NamedTuple):
    """The folders a query means, notes on them, and each dataset's symbols where they were listed."""

    folders: list[Folder]
    notes: list[str]
    levels: dict[str, list[str]] | None

    def checked(self, selection: Selection, listed: Listed, listing: Listing) -> Targets:
        """Check that every name was found somewhere, now that the folders are listed.

        Raises
        ------
        NoSuchSymbol
            A name that no dataset of the query lists.
        """
        rows = selection.rows()
        if self.levels is not None:
            return self._replace(notes=[*self.notes, *_empty_rows(rows, self.levels)])
        absent = _without_files(self.folders, listed)
        if not absent:
            return self
        # A name without files may still have some of another interval; only the level above can tell.
        try:
            levels, odd = _levels(listing, list({f.row.dataset: f.row for f in absent}.values()))
        except ListingError:
            return self
        _require_names(selection, self.folders, absent, levels)
        notes = [*self.notes, *odd, *_empty_rows(rows, levels), *_elsewhere(absent, levels)]
        return self._replace(notes=notes)


def find_targets(
    selection: Selection,
    listing: Listing,
    *,
    refresh: bool = False,
    max_age: timedelta | None = None,
) -> Targets:
    """Find the folders that a selection means.

    Plain names need no listing of symbols; globs and universes do.

    Raises
    ------
    NoSuchSymbol
        A glob, a name or the universe matches nothing that is listed.
    ListingError
        The symbols cannot be listed, and no cached listing can stand in.
    """
    rows = selection.rows()
    if selection.universe is None and not any(is_glob(word) for word in selection.symbols):
        if len(selection.symbols) >= _MANY_NAMES:
            _require_listed(selection, listing, rows, refresh=refresh, max_age=max_age)
        names = {row.dataset: list(selection.symbols) for row in rows}
        return Targets(list(folders_of(selection, names)), [], None)
    levels, odd = _levels(listing, rows, refresh=refresh, max_age=max_age)
    unmatched = [
        word
        for word in selection.symbols
        if not any(matching(found, (word,)) for found in levels.values())
    ]
    if unmatched and any(levels.values()):
        raise _no_such_symbol(unmatched, levels)
    chosen = {row.dataset: _chosen(selection, row, levels[row.dataset]) for row in rows}
    if selection.universe is not None and selection.universe.listed_on is not None:
        day = Days(selection.universe.listed_on, selection.universe.listed_on)
        asker = Lifetimes(listing, datetime.now(UTC).date(), refresh, max_age)
        for row in rows:
            some = chosen[row.dataset]
            lives = asker.lives_of_symbols(row, some, around=day)
            pairs = zip(some, lives, strict=True)
            chosen[row.dataset] = [name for name, life in pairs if life.meets(day)]
    if any(levels.values()) and not any(chosen.values()):
        raise _empty_universe(selection.universe, levels)
    return Targets(list(folders_of(selection, chosen)), odd, levels)


def _require_names(
    selection: Selection,
    folders: list[Folder],
    absent: list[Folder],
    levels: dict[str, list[str]],
) -> None:
    """Raise NoSuchSymbol for a name that has no file in any dataset and that no dataset lists."""
    if not any(levels.values()):
        return
    there = {(f.row.dataset, f.symbol) for f in folders}
    there -= {(f.row.dataset, f.symbol) for f in absent}
    listed = {symbol for symbols in levels.values() for symbol in symbols}
    known = listed | {symbol for _, symbol in there}
    unknown = [name for name in selection.symbols if name not in known]
    if unknown:
        raise _no_such_symbol(unknown, levels)


def _require_listed(selection: Selection, listing: Listing, rows: list[Row], **how: Any) -> None:
    """Raise NoSuchSymbol for names that no dataset lists, before their folders are asked for one by one.

    A cached list may lack a symbol of the last hour, so it is asked again before a name is refused.
    """
    try:
        levels, _ = _levels(listing, rows, **how)
        if _unlisted(selection, levels):
            levels, _ = _levels(listing, rows, **(how | {"refresh": True}))
    except ListingError:
        return
    if any(levels.values()) and (unknown := _unlisted(selection, levels)):
        raise _no_such_symbol(unknown, levels)


def _unlisted(selection: Selection, levels: dict[str, list[str]]) -> list[str]:
    listed = {symbol for symbols in levels.values() for symbol in symbols}
    return [name for name in selection.symbols if name not in listed]


def _empty_universe(universe: Universe | None, levels: dict[str, list[str]]) -> NoSuchSymbol:
    rule = universe.model_dump(exclude_defaults=True, mode="json") if universe else {}
    words = ", ".join(
        f"{name.replace('_', ' ')} {' or '.join(value) if isinstance(value, list) else value}"
        for name, value in rule.items()
    )
    message = (
        f"no symbol matches the universe ({words}): it takes in none of the {_among(levels)}. "
        f"Say a wider one; see {_all_of(levels)}."
    )
    return NoSuchSymbol(message, given=universe, listed=levels)


def _chosen(selection: Selection, row: Row, symbols: list[str]) -> list[str]:
    named = matching(symbols, selection.symbols) if selection.symbols else symbols
    rule = selection.universe
    if rule is None:
        return named
    market = row.market.value
    known = Vocabulary.learn(market, symbols)
    return [symbol for symbol in named if in_universe(rule, market, symbol, known)]


def _levels(
    listing: Listing,
    rows: Iterable[Row],
    *,
    refresh: bool = False,
    max_age: timedelta | None = None,
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the symbols listed a dataset, of both partitions, sorted; and notes on names left out."""
    wanted = [(row, partition) for row in rows for partition in row.partitions]
    found = listing.symbol_levels(wanted, refresh=refresh, max_age=max_age)
    levels: dict[str, set[str]] = {}
    odd: dict[str, set[str]] = {}
    for (dataset, _), names in found.items():
        levels.setdefault(dataset, set()).update(names.plain)
        odd.setdefault(dataset, set()).update(names.odd)
    notes = [left_out(dataset, names) for dataset, names in odd.items() if names]
    return {dataset: sorted(symbols) for dataset, symbols in levels.items()}, notes


def _without_files(folders: list[Folder], listed: Listed) -> list[Folder]:
    there = set(listed.zips["folder"].unique()) | set(
        listed.folders.filter(pl.col("first_daily").is_not_null())["folder"]
    )
    return [folder for number, folder in enumerate(folders) if number not in there]


def _empty_rows(rows: Iterable[Row], levels: dict[str, list[str]]) -> Iterator[str]:
    """Yield a note for each row that lists no symbol at all, with the nearest live row."""
    for row in rows:
        if levels.get(row.dataset, ["?"]):
            continue
        near = load_matrix().live_row_near(row)
        hint = (
            f"; the nearest live one is {near.market.value} {near.data_type.value}" if near else ""
        )
        why = {
            "never_observed": "was never seen in the archive",
            "discontinued": f"was discontinued (last day seen: {row.last_date})",
            "live": "is not in this archive",
        }[row.status]
        yield f"{row.market.value} {row.data_type.value} {why}; nothing is listed{hint}"


def _elsewhere(absent: list[Folder], levels: dict[str, list[str]]) -> Iterator[str]:
    """Yield a note for each name that a row does not list, with the nearest name that it lists."""
    seen: set[tuple[str, str]] = set()
    for folder in absent:
        dataset, symbol = folder.row.dataset, folder.symbol
        listed = levels.get(dataset, [])
        if not listed or symbol in listed or (dataset, symbol) in seen:
            continue
        seen.add((dataset, symbol))
        near = nearest(symbol, listed)
        hint = f"; the nearest name is {near}" if near else ""
        yield f"{folder.row.market.value} {folder.row.data_type.value} lists no {symbol}{hint}"


def _among(levels: dict[str, list[str]]) -> str:
    count = len({symbol for symbols in levels.values() for symbol in symbols})
    return f"{count:,} that the archive lists for {', '.join(levels)}"


def _all_of(levels: dict[str, list[str]]) -> str:
    """Return the call that shows the names, of the first dataset asked for."""
    market, data_type = parse_dataset(next(iter(levels)))
    return f"lake.symbols({market.value!r}, {data_type.value!r}) for all of them"


def _no_such_symbol(words: list[str], levels: dict[str, list[str]]) -> NoSuchSymbol:
    names = sorted({symbol for symbols in levels.values() for symbol in symbols})
    near = {word: nearest(word.strip("*?"), names) for word in words[:_NAMED]}
    first = words[0]
    globs = any(map(is_glob, words))
    what = "no symbol matches" if globs else "no symbol is named"
    meant = [repr(name) for name in dict.fromkeys(near.values()) if name]
    hint = f"Did you mean {', '.join(meant)}? " if meant else ""
    message = (
        f"{what} {some_of(map(repr, words), _NAMED)} among the {_among(levels)}. "
        f"{hint}See {_all_of(levels)}."
    )
    given = first if len(words) == 1 else tuple(words)
    return NoSuchSymbol(message, given=given, absent=words, nearest=near[first], listed=names)
