"""Why periods have no file, by the lives of symbols: the cover's reasons made exact.

The cover sees one folder at a time. Whether a symbol ended or the archive does, whether it was away and came
back, or only an interval stopped, is told by the files of others
(:mod:`cryptolake.listing.lifetimes`), which are asked for only where a period lacks a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.listing.lifetimes import published_of

if TYPE_CHECKING:
    from cryptolake.archive.lives import Life, State
    from cryptolake.archive.periods import Days
    from cryptolake.listing.folders import Folder
    from cryptolake.listing.lifetimes import Lifetimes
    from cryptolake.listing.snapshot import Listed

_AFTER: dict[State, str] = {
    "live": "not_yet_published",
    "delisted": "delisted",
    "delivered": "delivered",
    "interval_stopped": "interval_stopped",
    "discontinued": "discontinued",
}
_ENDED = ("delisted", "not_yet_published")


def with_reasons(
    missing: pl.DataFrame,
    folders: Sequence[Folder],
    listed: Listed,
    days: Days,
    asker: Lifetimes,
) -> pl.DataFrame:
    """Return the missing periods with the reasons that lives tell.

    Parameters
    ----------
    missing
        ``folder, period, reason`` as the cover gives them.
    folders, listed, days
        What was asked, and what the listing says of it.
    asker
        What finds lives, and asks the archive where it must.
    """
    doubtful = missing.filter(pl.col("reason").is_in([*_ENDED, "not_published"]))
    numbers: list[int] = doubtful["folder"].unique().sort().to_list()
    if not numbers:
        return missing
    some = [folders[number] for number in numbers]
    mine = listed._replace(zips=listed.zips.filter(pl.col("folder").is_in(numbers)))
    published = published_of(folders, mine, days)
    lives = asker.lives(some, [published[number] for number in numbers], days)
    facts = [_facts(number, life) for number, life in zip(numbers, lives, strict=True)]
    schema: dict[str, Any] = {
        "folder": pl.UInt32,
        "after": pl.String,
        "away": pl.List(pl.String),
    }
    told = missing.join(
        pl.DataFrame(facts, schema=schema, orient="row"),
        on="folder",
        how="left",
        maintain_order="left",
    )
    away = pl.col("away").list.contains(pl.col("period")).fill_null(value=False)
    reason = pl.col("reason")
    return told.with_columns(
        reason=pl.when(reason.is_in(_ENDED))
        .then(pl.coalesce("after", reason))
        .when((reason == "not_published") & away)
        .then(pl.lit("not_listed"))
        .otherwise(reason)
    ).drop("after", "away")


def _facts(number: int, life: Life) -> tuple[int, str | None, list[str]]:
    """Return a folder's number, the reason after its end, and the periods in which it was away."""
    periods = {
        text
        for left, back in life.holes
        for day in pl.date_range(left, back, closed="left", eager=True)
        for text in (f"{day:%Y-%m-%d}", f"{day:%Y-%m}")
    }
    return number, _AFTER.get(life.state), sorted(periods)
