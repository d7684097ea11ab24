"""A profile's live view: histograms and rows in the page, counted in the kernel as the page asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import anywidget
import traitlets

_STATIC = Path(__file__).parent / "static"


class Answers(Protocol):
    """What answers the page's questions: plain data, and never an error."""

    @property
    def head(self) -> dict[str, Any]:
        """What does not change."""

    @property
    def first(self) -> dict[str, Any]:
        """The view of all rows."""

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the view that a page asks for, or ``{"failed": why}``."""


class ProfileWidget(anywidget.AnyWidget):
    """The view of a profile; of none, it shows nothing.

    The page sends ``{kind: "view", id, filters, sort, page}`` and gets ``{kind: "view", id, …}`` or ``{kind: "view", id,
    failed}``. What it shows first comes with the widget.

    Parameters
    ----------
    page
        What answers; :meth:`show` gives another.
    """

    _esm = _STATIC / "profile.js"
    _css = _STATIC / "profile.css"
    head: Any = traitlets.Dict({}).tag(sync=True)
    first: Any = traitlets.Dict({}).tag(sync=True)
    stale: Any = traitlets.Bool(False).tag(sync=True)  # noqa: FBT003
    """Whether it is of another query than the one that stands beside it: it is drawn faint."""

    def __init__(self, page: Answers | None = None) -> None:
        super().__init__()
        self._page: Answers | None = None
        self.show(page)
        self.on_msg(self._answer)

    def show(self, page: Answers | None) -> None:
        """Show a profile, or nothing."""
        self._page = page
        with self.hold_sync():
            self.stale = False
            self.first = page.first if page else {}
            self.head = page.head if page else {}

    def _answer(self, _widget: Any, asked: Any, _buffers: list[bytes]) -> None:
        if not isinstance(asked, dict) or self._page is None:
            return
        if asked.get("kind") == "view":
            self.send({"kind": "view", "id": asked.get("id"), **self._page.answer(asked)})

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"
