"""The days of a call's query: a method of the lake that takes a query gets it with plain days.

Nothing heavy is imported before a call; :mod:`cryptolake.planning.dates` finds the days.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

from cryptolake.progress import shown

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query


class _HasContext(Protocol):
    """What has the context of a lake, as the lake itself."""

    @property
    def context(self) -> LakeContext:
        """What one call works with."""


Source = Literal["archive", "lake", "either", "bars"]
"""Where the newest day is looked for."""

P = ParamSpec("P")
R = TypeVar("R")
L = TypeVar("L", bound=_HasContext)


def days_from(
    source: Source, *, plans: bool = False
) -> Callable[[Callable[Concatenate[L, P], R]], Callable[Concatenate[L, P], R]]:
    """Give a method its ``query`` with plain days, and refuse there what is no Query.

    ``"archive"``: an open range ends with the newest day published, asked with the call's ``refresh``,
    ``max_age`` and ``progress``. ``"lake"``: with the newest day held; nothing is asked of the archive.
    ``"either"``: as the archive says, or the lake where the archive cannot be asked. ``"bars"``: with the newest
    day of the market's daily bars, whatever else the query says or leaves out. With ``plans`` the method takes a
    Plan as well, whose days are plain.
    """

    def decorate(method: Callable[Concatenate[L, P], R]) -> Callable[Concatenate[L, P], R]:
        place = list(inspect.signature(method).parameters).index("query") - 1

        @wraps(method)
        def call(self: L, /, *args: P.args, **kwargs: P.kwargs) -> R:
            given: dict[str, Any] = kwargs
            positional: list[Any] = list(args)
            query = positional[place] if place < len(positional) else given.get("query")
            if query is not None and not (plans and _is_plan(query)):
                plain = _plain(query, self, source, given)
                if place < len(positional):
                    positional[place] = plain
                else:
                    given["query"] = plain
            return method(self, *positional, **given)

        return call

    return decorate


def _is_plan(given: object) -> bool:
    from cryptolake.planning.plan import Plan

    return isinstance(given, Plan)


def _plain(query: Query, lake: _HasContext, source: Source, options: Mapping[str, Any]) -> Query:
    from cryptolake.planning import dates

    dates.require_query(query)
    if not query.selection.is_open:
        return query
    if source == "lake":
        return dates.held_days(query, lake.context)
    how = {name: options[name] for name in ("refresh", "max_age") if name in options}
    with shown(options.get("progress", True)):
        if source == "either":
            return dates.published_or_held_days(query, lake.context, **how)
        if source == "bars":
            return dates.published_bar_days(query, lake.context, **how)
        return dates.published_days(query, lake.context, **how)
