"""How objects show themselves in a notebook: pure functions from data to small, escaped HTML.

They contain no script, do no I/O, follow the page's colours (dark or light), and never raise: what cannot
be drawn is shown as its plain text. Import a function where it is used::

    def _repr_html_(self) -> str:
        from cryptolake.render import plan_html

        return plan_html(self)
"""

from cryptolake.render.cards import (
    lake_html,
    lake_text,
    lock_html,
    plan_html,
    query_html,
    report_html,
)
from cryptolake.render.grids import coverage_html, matrix_html, matrix_text

__all__ = [
    "coverage_html",
    "lake_html",
    "lake_text",
    "lock_html",
    "matrix_html",
    "matrix_text",
    "plan_html",
    "query_html",
    "report_html",
]
