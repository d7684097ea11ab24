"""Known halts of the exchange, from ``matrix/halts.json``, each with its sources. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, model_validator

from cryptolake.archive.enums import Market
from cryptolake.archive.matrix import data_file


class HaltSource(BaseModel):
    """Where a halt is known from: a public address (or a folder of the archive), and what it says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    says: str


class KnownHalt(BaseModel):
    """A span without trading: ``start`` is its first instant, ``end`` the first after it (both UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    market: Market
    start: AwareDatetime
    end: AwareDatetime
    sources: tuple[str, ...]

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.start >= self.end or not self.sources:
            message = f"the halt at {self.start} has no length, or no source"
            raise ValueError(message)
        return self


class HaltTable(BaseModel):
    """Every known halt, and the sources they name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    sources: dict[str, HaltSource]
    halts: tuple[KnownHalt, ...]

    @model_validator(mode="after")
    def _names_its_sources(self) -> Self:
        unknown = {name for halt in self.halts for name in halt.sources} - set(self.sources)
        if unknown:
            message = f"halts name sources that the table lacks: {sorted(unknown)}"
            raise ValueError(message)
        return self

    def covering(self, market: Market, first: datetime, end: datetime) -> KnownHalt | None:
        """Return the halt that a span lies in; None when there is none.

        Examples
        --------
        >>> from datetime import UTC
        >>> noon = datetime(2018, 2, 8, 12, tzinfo=UTC)
        >>> load_halts().covering(Market.SPOT, noon, noon.replace(hour=13)).sources[0]
        'bpd-365'
        """
        found = (halt for halt in self.halts if halt.market is market)
        return next((halt for halt in found if halt.start <= first and end <= halt.end), None)

    def of(self, market: Market) -> Sequence[KnownHalt]:
        """Return the halts of one market, earliest first."""
        return sorted((h for h in self.halts if h.market is market), key=lambda halt: halt.start)


@lru_cache(maxsize=1)
def load_halts() -> HaltTable:
    """Load and validate the table that ships with the package.

    Examples
    --------
    >>> load_halts().halts[0].start.isoformat()
    '2017-09-06T16:00:00+00:00'
    """
    return HaltTable.model_validate(json.loads(data_file("halts.json").read_bytes()))
