"""Which Silver months a build is about, and which Bronze files each is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.periods import Period
from cryptolake.archive.schemas import Schema, schema_of
from cryptolake.bronze.etags import EtagMeaning
from cryptolake.silver.sources import Source
from cryptolake.storage.layout import silver_path

if TYPE_CHECKING:
    from cryptolake.silver.late_verification import LateVerification

_FOLDER = ("market", "data_type", "symbol", "interval")


@dataclass(frozen=True)
class Series:
    """A symbol's files of one dataset and interval, in the archive's order."""

    market: Market
    data_type: DataType
    symbol: str
    interval: Interval | None
    sources: tuple[Source, ...] = field(repr=False, compare=False)

    @cached_property
    def schema(self) -> Schema:
        """The dataset's schema."""
        return schema_of(self.market, self.data_type)

    @cached_property
    def _by_month(self) -> dict[Period, list[Source]]:
        found: dict[Period, list[Source]] = {}
        for source in self.sources:
            for month in self.months_of(source.period):
                found.setdefault(month, []).append(source)
        return found

    @cached_property
    def _tolerance(self) -> tuple[int, int]:
        return self.schema.tolerance(self.interval)

    def months_of(self, period: Period) -> set[Period]:
        """Return the month of a file, and neighbours that its rows may step over into."""
        early, late = self._tolerance
        if not early and not late:
            return {period.of_month}
        first = period.days.first - timedelta(days=-(-early // 86_400))
        last = period.days.last + timedelta(days=-(-late // 86_400))
        return {period.of_month, *_months_of((first, last))}

    def sources_of(self, month: Period) -> list[Source]:
        """Return the month's files, and neighbours whose rows may step over into it."""
        return self._by_month.get(month, [])


@dataclass(frozen=True)
class Month:
    """One Silver file to be: a series and a month."""

    series: Series
    period: Period
    verifications: Mapping[str, LateVerification] = field(
        default_factory=dict, repr=False, compare=False
    )
    """What reading found of files whose sha256 is not in the ledger, by key."""

    @property
    def sources(self) -> list[Source]:
        """The Bronze files it is about, with what reading found of them."""
        found = self.series.sources_of(self.period)
        if not self.verifications:
            return found
        return [
            self.verifications[s.key].source if s.key in self.verifications else s for s in found
        ]

    @property
    def used(self) -> list[Source]:
        """The Bronze files it is made of: without those that go into quarantine."""
        return [source for source in self.sources if source.key not in self.quarantined]

    @property
    def quarantined(self) -> dict[str, LateVerification]:
        """The files that go into quarantine, by key."""
        return {key: item for key, item in self.verifications.items() if item.proof is None}

    def knowing(self, verifications: Iterable[LateVerification]) -> Month:
        """Return the month with more late verifications of its files."""
        return replace(
            self, verifications={**self.verifications, **{item.key: item for item in verifications}}
        )

    @cached_property
    def path(self) -> str:
        """Its path in the lake."""
        own = self.series
        return silver_path(own.market, own.data_type, own.symbol, own.interval, self.period)


def months_to_build(asked: pl.DataFrame, held: pl.DataFrame) -> list[Month]:
    """Return the months that some asked file lies in, each with all its files that the lake holds.

    Parameters
    ----------
    asked, held
        Ledger rows with their key parts (:func:`cryptolake.bronze.ledger.with_key_parts`): the files that a
        build is about, and everything that the lake holds.
    """
    months = _months_asked(asked)
    opaque = EtagMeaning.of(held).opaque
    folders = held.join(asked.select(_FOLDER).unique(), on=_FOLDER, how="semi", nulls_equal=True)
    found = []
    for name, files in folders.partition_by(*_FOLDER, as_dict=True, maintain_order=True).items():
        market, data_type, symbol, interval = (str(part) if part else None for part in name)
        if market is None or data_type is None or symbol is None:
            continue  # a key that the archive's grammar does not know
        sources = sorted(_sources(files, opaque=opaque), key=_place)
        series = Series(
            Market(market),
            DataType(data_type),
            symbol,
            Interval(interval) if interval else None,
            tuple(sources),
        )
        found += [Month(series, month) for month in sorted(months[name])]
    return found


def _months_asked(asked: pl.DataFrame) -> Mapping[tuple[Any, ...], set[Period]]:
    begins = asked.select(*_FOLDER, pl.col("first").dt.month_start()).unique()
    found: dict[tuple[Any, ...], set[Period]] = {}
    for *name, first in begins.iter_rows():
        if first is not None:
            found.setdefault(tuple(name), set()).add(Period.month(first.year, first.month))
    return found


def _sources(files: pl.DataFrame, *, opaque: bool) -> Iterator[Source]:
    facts = ("key", "size", "sha256", "etag", "period", "checksum_etag", "verified")
    for key, size, sha256, etag, period, checksum_etag, verified in files.select(facts).iter_rows():
        counts = verified != "size" and not opaque
        yield Source(key, int(size), sha256, etag, _period(period), checksum_etag, counts)


def _place(source: Source) -> tuple[date, str, str]:
    return source.period.first, source.period.partition, source.key


_period = lru_cache(maxsize=4096)(Period.parse)
"""Many symbols have files of the same days."""


def _months_of(days: tuple[date, date]) -> Iterator[Period]:
    first, last = days
    month = Period.month(first.year, first.month)
    while month.first <= last:
        yield month
        month = Period.day(month.days.last + timedelta(days=1)).of_month
