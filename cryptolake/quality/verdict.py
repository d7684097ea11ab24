"""What is wrong with a symbol-month in words that a script can ask for, and a sentence about many. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.schemas import load_schemas
from cryptolake.errors import unknown_word
from cryptolake.quality.causes import CAUSES, OUTSIDE
from cryptolake.render.html import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

WHOLE = "whole"
"""The verdict on a month with nothing to say."""

_COUNTS = ("missing", "rejects", "duplicates", "suspect_size", "quarantined", "thin", "silent")
_FINDINGS = (
    *("daily_monthly_disagree", "conflicting_duplicates", "ids_out_of_order", "unusable_file"),
    *("id_hole", "id_repeat", "id_reused", "crosscheck", "not_healed"),
    *("frozen_run", "open_interest_empty"),
)
_IN_WORDS = {
    "rejects": "rejected",
    "duplicates": "twice",
    "suspect_size": "of suspect size",
    "daily_monthly_disagree": "differing in daily and monthly files",
    "frozen_run": "after the last trade",
    "thin": "of few samples",
}
TOLD = ("filled_from_daily", "healed", "ids_skipped", "withdrawn_file")
"""Kinds of findings that tell what was done or is usual, and are no problem."""


def kinds() -> tuple[str, ...]:
    """Return the kinds of problems that a verdict can name, and ``any``.

    Examples
    --------
    >>> [kind for kind in ("any", "missing", "unknown", "quantity_zero") if kind not in kinds()]
    []
    """
    flags = (
        check.rule
        for schema in load_schemas().values()
        for check in schema.checks
        if check.action == "flag"
    )
    causes = (cause for cause in CAUSES if cause not in OUTSIDE)
    return tuple(dict.fromkeys(("any", *_COUNTS, *causes, *_FINDINGS, *flags)))


def verdict(problems: Mapping[str, int]) -> str:
    """Say what is wrong: each kind with its count; ``whole`` where nothing is.

    Examples
    --------
    >>> verdict({"unknown": 24, "rejects": 0, "quarantined": 1}), verdict({})
    ('unknown 24, quarantined 1', 'whole')
    """
    return ", ".join(f"{kind} {count}" for kind, count in problems.items() if count) or WHOLE


def in_words(said: str) -> str:
    """Return a verdict as a person says it.

    Examples
    --------
    >>> in_words("unknown 24, quarantined 1, frozen_run 321")
    '24 missing (unknown), 1 quarantined, 321 after the last trade'
    """
    told = []
    for part in said.split(", "):
        kind, _, count = part.partition(" ")
        name = _IN_WORDS.get(kind, kind.replace("_", " "))
        told.append(f"{count} missing ({name})" if kind in CAUSES else f"{count} {name}".strip())
    return ", ".join(told)


def check_kinds(asked: Sequence[str]) -> None:
    """Check words that are to name kinds of problems.

    Raises
    ------
    InvalidQuery
        A word that names no kind; the message has those there are.
    """
    known = kinds()
    for word in asked:
        if word not in known:
            raise unknown_word("kind of problem", word, known)


def failing(quality: pl.DataFrame, asked: Sequence[str]) -> pl.DataFrame:
    """Return the rows of ``lake.quality`` in which one of the asked kinds occurs.

    Raises
    ------
    InvalidQuery
        As :func:`check_kinds`.

    Examples
    --------
    >>> frame = pl.DataFrame({"missing": [0, 24], "verdict": ["whole", "unknown 24"]})
    >>> failing(frame, ["unknown"]).height, failing(frame, ["rejects"]).height
    (1, 0)
    """
    check_kinds(asked)
    return quality.filter(pl.any_horizontal(pl.lit(value=False), *map(_occurs, asked)))


def _occurs(kind: str) -> pl.Expr:
    if kind == "any":
        return pl.col("verdict") != WHOLE
    if kind == "missing":
        return pl.col("missing") > 0
    return pl.col("verdict").str.contains(rf"(^|, ){kind} \d")


def summary(quality: pl.DataFrame) -> str:
    """Return one sentence about the rows of ``lake.quality``: how many are whole, and what the worst is.

    Examples
    --------
    >>> summary(
    ...     pl.DataFrame({"verdict": ["whole", "whole"], "missing": [0, 0], "expected": [744, 24]})
    ... )
    'All 2 symbol-months are whole: 768 rows were expected and are there.'
    """
    odd = quality.filter(pl.col("verdict") != WHOLE)
    expected, missing = int(quality["expected"].sum()), int(quality["missing"].sum())
    if not quality.height:
        return "Nothing of this query is held or listed."
    if not odd.height:
        several = f"All {quality.height:,} symbol-months are whole"
        many = several if quality.height > 1 else "The one symbol-month is whole"
        return f"{many}: {plural(expected, 'row was expected and is there', 'rows were expected and are there')}."
    worst = worst_first(odd).row(0, named=True)
    name = " ".join(part for part in _name(worst) if part)
    share = f" ({missing / expected:.2%})" if missing else ""
    return (
        f"{odd.height:,} of {plural(quality.height, 'symbol-month')} {'has' if odd.height == 1 else 'have'} "
        f"something to look at; {missing:,} of "
        f"{expected:,} expected rows are missing{share}. The worst is {name}: {in_words(worst['verdict'])}."
    )


def worst_first(quality: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of ``lake.quality`` with the least coverage and the most problems first."""
    return quality.sort(
        pl.col("coverage").fill_null(1.0),
        pl.col("verdict").str.count_matches(",") * -1,
        pl.col("verdict") == WHOLE,
        maintain_order=True,
    )


def _name(row: Mapping[str, str | None]) -> Iterable[str | None]:
    return (row["symbol"], row["interval"] or row["data_type"], row["market"], row["month"])
