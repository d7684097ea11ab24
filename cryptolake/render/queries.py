"""A Query, drawn: its words, and what is still to be said as a to-do list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.render.html import drawing, never_raises, text, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptolake.query import Query
    from cryptolake.selection import Selection


@never_raises
def query_html(query: Query) -> str:
    """Draw a query: one line per word said, then its problems.

    Examples
    --------
    >>> import cryptolake as cl
    >>> drawn = query_html(cl.query().markets("spot"))
    >>> "To do" in drawn, "<script" in drawn
    (True, False)
    """
    said = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>'
        for name, value in _said(query.selection)
    )
    problems = query.problems()
    if problems:
        items = "".join(f"<li>{text(problem)}</li>" for problem in problems)
        ending = f'<h5 class="bad">To do before it can be planned</h5><ul>{items}</ul>'
    else:
        ending = (
            '<p><span class="good">complete</span> <span class="dim">lake.plan(query)</span></p>'
        )
    table = f'<div class="box"><table><tbody>{said}</tbody></table></div>' if said else ""
    return drawing("<h4>Query</h4>", table, ending)


def _said(said: Selection) -> Iterator[tuple[str, str]]:
    for name, values in (
        ("markets", said.markets),
        ("data types", said.data_types),
        ("intervals", said.intervals),
        ("symbols", said.symbols),
    ):
        if values:
            yield name, words((getattr(value, "value", value) for value in values), most=12)
    if said.universe:
        rules = [
            ("quote", words(said.universe.quote)),
            ("contract", words(said.universe.contract)),
            ("without", words(said.universe.exclude)),
            ("listed on", str(said.universe.listed_on or "")),
        ]
        yield "universe", "; ".join(f"{rule} {value}" for rule, value in rules if value)
    days = said.days
    if days:
        count = f"{len(days):,} UTC day{'' if len(days) == 1 else 's'}"
        yield "between", f"{days.first} and {days.last} ({count}, both ends in)"
