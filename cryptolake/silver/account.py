"""What goes into the making of a Silver month, and the account of what came out. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import polars as pl

    from cryptolake.archive.periods import Period
    from cryptolake.errors import CryptolakeError
    from cryptolake.silver.lines import Reject


@dataclass(frozen=True)
class Text:
    """One archive file's text and what its key says of it."""

    key: str
    period: Period
    text: bytes


@dataclass
class Account:
    """What became of one file's lines."""

    key: str
    rows_in: int = 0
    rows_out: int = 0
    duplicates: int = 0
    rejects: int = 0
    first_time: datetime | None = None
    last_time: datetime | None = None
    warnings: list[str] = field(default_factory=list)
    error: CryptolakeError | None = None

    def warn(self, warning: str) -> None:
        """Add a warning, once."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    @property
    def balanced(self) -> bool:
        """Whether every line is accounted for."""
        return self.rows_in == self.rows_out + self.duplicates + self.rejects


class Finding(NamedTuple):
    """Something seen in one file's rows that is worth knowing and changes nothing."""

    kind: str
    key: str
    rows: int
    first: datetime | None
    last: datetime | None
    detail: str


@dataclass
class Normalized:
    """A month's Silver frame, the account of each file, rejected lines, and findings."""

    frame: pl.DataFrame
    accounts: list[Account]
    rejects: list[tuple[str, Reject]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    spills: set[Period] = field(default_factory=set)
    """Other months that rows of these files belong to."""
