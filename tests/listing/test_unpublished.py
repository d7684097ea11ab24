"""Months that cached listings know to be unpublished: by listings alone, and only where these can tell."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Days, Period
from cryptolake.listing.folders import Folder
from cryptolake.listing.listing import Listing
from cryptolake.listing.unpublished import unpublished_months
from cryptolake.storage.files import open_storage
from cryptolake.storage.layout import SilverPath

if TYPE_CHECKING:
    from cryptolake.archive.source import Archive

SPAN = Days(date(2023, 11, 1), date(2024, 4, 30))


@pytest.fixture(scope="module")
def listing(research_source: Archive, tmp_path_factory: pytest.TempPathFactory) -> Listing:
    """A lake that has listed three symbols, one of them misspelled, and is then off line."""
    storage = open_storage(tmp_path_factory.mktemp("lake"))
    row = load_matrix().row(Market.SPOT, DataType.KLINES)
    names = ("ANTUSDT", "JUPUSDT", "JUPPUSDT")
    Listing(research_source, storage).listed([Folder(row, n, Interval.H1) for n in names], SPAN)
    return Listing(research_source, storage)


def months(symbol: str) -> list[SilverPath]:
    place = (Market.SPOT, DataType.KLINES, Interval.H1, symbol)
    return [SilverPath(*place, month) for month in SPAN.months()]


def test_months_outside_of_a_life_are_known_and_those_within_are_not(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Listing, "window", None)  # whoever asks fails
    found = unpublished_months(listing, [*months("ANTUSDT"), *months("JUPUSDT")])
    ended = sorted(str(where.month) for where in found if where.symbol == "ANTUSDT")
    before = sorted(str(where.month) for where in found if where.symbol == "JUPUSDT")
    assert ended == ["2024-03", "2024-04"]
    assert before == ["2023-11", "2023-12"]


def test_what_was_not_listed_or_has_no_file_at_all_is_unknown(listing: Listing):
    assert unpublished_months(listing, months("JUPPUSDT")) == set()
    assert unpublished_months(listing, months("BTCUSDT")) == set()
    later = months("ANTUSDT")[0]._replace(month=Period.parse("2025-06"))  # of a year not listed
    assert unpublished_months(listing, [later]) == set()
