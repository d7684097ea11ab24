"""What a profile's page is told, as plain data: the columns once, and a view for each question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import duckdb

from cryptolake.errors import CryptolakeError
from cryptolake.readers.profile import DEEPEST, PAGE

if TYPE_CHECKING:
    from cryptolake.readers.profile import Profile, ProfileColumn, ProfileView


class ProfilePage:
    """Answers a page's questions about a profile; a page gets at most 50 rows at a time.

    Parameters
    ----------
    profile
        The profile to show.
    query
        How the code that the page shows names the query.
    """

    def __init__(self, profile: Profile, query: str = "query") -> None:
        self._profile, self._query = profile, query

    @property
    def head(self) -> dict[str, Any]:
        """What does not change: how many rows of what, the columns with their bins, what all rows have alike."""
        profile = self._profile
        # Rows that are no bars have no interval: there is nothing to say.
        named = [each for each in profile.constants if each.low or each.name != "interval"]
        alike = [f"{each.name} {each.low or 'null'}" for each in named]
        return {
            "heading": profile.heading,
            "rows": profile.rows,
            "alike": ", ".join(alike),
            "columns": [_column(column) for column in profile.shown],
            "page": PAGE,
            "deepest": DEEPEST,
        }

    @property
    def first(self) -> dict[str, Any]:
        """The view of all rows."""
        return self._told(self._profile.first)

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the view that a page asks for, or ``{"failed": why}``."""
        filters, sort, page = (asked.get(name) for name in ("filters", "sort", "page"))
        known = (
            isinstance(filters or [], list)
            and (not sort or (isinstance(sort, list) and len(sort) == 2))
            and type(page or 0) is int
        )
        if not known:
            return {"failed": "the page asks for what is no view of a profile"}
        try:
            by = (str(sort[0]), bool(sort[1])) if sort else None
            view = self._profile.view(filters or (), by, page or 0)
        except (CryptolakeError, duckdb.Error, OSError) as error:
            return {"failed": str(error)}
        return self._told(view)

    def _told(self, view: ProfileView) -> dict[str, Any]:
        pairs = zip(self._profile.columns, view.counts, strict=True)
        return {
            "rows": view.rows,
            "counts": [counts for column, counts in pairs if not column.is_constant],
            "cells": view.cells,
            "page": view.page,
            "pages": view.pages,
            "filters": [{**asdict(each), "label": each.label} for each in view.filters],
            "sort": view.sort,
            "code": f"lake.sql({_python(view.sql)}, query={self._query})",
        }


def _python(sql: str) -> str:
    """Return SQL, in which names and texts are quoted, as a Python literal that is easy to read."""
    if "\\" in sql or '""' in sql or "'" not in sql or '"' not in sql:
        return repr(sql)
    end = " " if sql.endswith('"') else ""
    return f'"""{sql}{end}"""'


def _column(column: ProfileColumn) -> dict[str, Any]:
    """Return a column with its bins: their text, and what a filter by them says."""
    if column.bins is None:
        rest = [None] * (len(column.counts) - len(column.values))
        values: list[Any] = [{"value": value} for value in column.values] + rest
        bins = [
            _bin(ends, count, by)
            for ends, count, by in zip(column.labels, column.counts, values, strict=True)
        ]
    else:
        ends = [{"low": low, "high": high} for low, high in column.bins.pairs]
        bins = [
            _bin(told, count, by)
            for told, count, by in zip(column.labels, column.counts, ends, strict=True)
        ]
    return {
        "name": column.name,
        "kind": column.kind,
        "type": column.type,
        "unit": column.unit,
        "nulls": column.nulls,
        "low": column.low,
        "high": column.high,
        "distinct": column.distinct,
        "scale": column.bins.scale if column.bins else "",
        "bins": bins,
    }


def _bin(ends: tuple[str, str], rows: int, by: dict[str, Any] | None) -> dict[str, Any]:
    low, high = ends
    return {"text": f"{low} to {high}" if high else low, "rows": rows, "by": by}
