"""The picker's controls: synchronized traits here, their views in ``static/``.

Each is a standard widget to the notebook (its own comm, no script fetched from elsewhere), so JupyterLab,
Notebook 7, VS Code and Voila show it alike.

ipywidgets has buttons, toggles and HTML of its own. In JupyterLab they lack what these controls have:

- The notebook takes keys pressed on them as shortcuts: D twice on a toggle deletes the picker's cell.
- A button that is disabled when pressed loses the keyboard's focus.
- Each toggle is a Tab stop and has no ``aria-pressed``; a row has no group role.
- HTML replaces its live region with each text, so screen readers do not announce it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_STATIC = Path(__file__).parent / "static"


def _synced(kind: type[traitlets.TraitType[Any, Any]], default: Any) -> Any:
    return kind(default).tag(sync=True)


def _script(name: str) -> str:
    """Return a view's module: the functions that all views share, then its own text."""
    return "\n".join((_STATIC / file).read_text("utf-8") for file in ("shared.js", name))


class _Control(anywidget.AnyWidget):
    """A widget with a view of its own."""

    _css = _STATIC / "picker.css"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Chips(_Control):
    """A row of toggles: ``options`` are ``{value, enabled, why}``; ``value`` those that are on."""

    _esm = _script("chips.js")
    label = _synced(traitlets.Unicode, "")
    options = _synced(traitlets.List, [])
    value = _synced(traitlets.List, [])


class SymbolSearch(_Control):
    """Search and choice: ``rows`` are ``[name, quote, contract]``; ``value`` the chosen names.

    ``listed`` is a day and the names that were listed on it, once the page has asked by a message.
    """

    _esm = _script("symbols.js")
    rows = _synced(traitlets.List, [])
    value = _synced(traitlets.List, [])
    rule = _synced(traitlets.Dict, {})
    listed = _synced(traitlets.List, ["", []])
    busy = _synced(traitlets.Unicode, "")
    note = _synced(traitlets.Unicode, "")


class DateRange(_Control):
    """Days over coverage: ``value`` is two ISO days or empty; ``coverage`` symbol to month to share.

    ``problem`` says why what is typed on the page is no range.
    """

    _esm = _script("range.js")
    value = _synced(traitlets.List, [])
    earliest = _synced(traitlets.Unicode, "2017-08-01")
    latest = _synced(traitlets.Unicode, "2017-08-02")
    coverage = _synced(traitlets.Dict, {})
    presets = _synced(traitlets.List, [])
    problem = _synced(traitlets.Unicode, "")
    note = _synced(traitlets.Unicode, "")


class Notice(_Control):
    """HTML that the kernel made (and escaped), announced to screen readers as ``status`` or ``alert``."""

    _esm = _script("notice.js")
    html = _synced(traitlets.Unicode, "")
    stale = _synced(traitlets.Bool, default=False)
    """Whether it is about another query than the one that stands now: it is drawn faint."""

    role = _synced(traitlets.Unicode, "status")


class ButtonRow(_Control):
    """Buttons in a row, with a text field before them when ``field`` names one.

    Parameters
    ----------
    actions
        Button name to tooltip and what the button does. A name in ``disabled`` does nothing.
    **traits
        The widget's other traits.
    """

    _esm = _script("buttons.js")
    label = _synced(traitlets.Unicode, "")
    names = _synced(traitlets.List, [])
    hints = _synced(traitlets.List, [])
    disabled = _synced(traitlets.List, [])
    field = _synced(traitlets.Unicode, "")
    text = _synced(traitlets.Unicode, "")

    def __init__(self, actions: dict[str, tuple[str, Callable[[], None]]], **traits: Any) -> None:
        hints = [hint for hint, _ in actions.values()]
        super().__init__(names=list(actions), hints=hints, **traits)
        self._actions = {name: action for name, (_, action) in actions.items()}
        self.on_msg(self._on_message)

    def press(self, name: str) -> None:
        """Do what a button does, unless it is disabled."""
        if name in self._actions and name not in self.disabled:
            self._actions[name]()

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and content.get("kind") == "pressed":
            self.press(str(content.get("name")))


class Code(_Control):
    """The query as code, with a copy button."""

    _esm = _script("code.js")
    code = _synced(traitlets.Unicode, "")
