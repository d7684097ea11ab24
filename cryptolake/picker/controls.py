"""The picker's parts with a front end of their own: traits here, drawing in ``static/``.

Each is a standard widget to the notebook (its own comm, no script fetched from anywhere), so JupyterLab,
Notebook 7, VS Code and Voila show it alike.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_STATIC = Path(__file__).parent / "static"
_CSS = _STATIC / "picker.css"


def _synced(kind: type[traitlets.TraitType[Any, Any]], default: Any) -> Any:
    return kind(default).tag(sync=True)


class _Part(anywidget.AnyWidget):
    """Anything of the picker that the page draws by itself."""

    _css = _CSS

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Chips(_Part):
    """A row of toggles: ``options`` are ``{value, label, enabled, why}``; ``value`` those that are on."""

    _esm = _STATIC / "chips.js"
    label = _synced(traitlets.Unicode, "")
    options = _synced(traitlets.List, [])
    value = _synced(traitlets.List, [])


class Symbols(_Part):
    """Search and choice: ``rows`` are ``[name, quote, contract]``; ``value`` the chosen.

    ``listed`` is a day and the names that were listed on it, once the page has asked by a message.
    """

    _esm = _STATIC / "symbols.js"
    rows = _synced(traitlets.List, [])
    value = _synced(traitlets.List, [])
    rule = _synced(traitlets.Dict, {})
    listed = _synced(traitlets.List, ["", []])
    busy = _synced(traitlets.Unicode, "")
    note = _synced(traitlets.Unicode, "")


class DateRange(_Part):
    """Days over coverage: ``value`` is two ISO days or nothing; ``coverage`` symbol to month to share."""

    _esm = _STATIC / "range.js"
    value = _synced(traitlets.List, [])
    earliest = _synced(traitlets.Unicode, "2017-08-01")
    latest = _synced(traitlets.Unicode, "2017-08-02")
    coverage = _synced(traitlets.Dict, {})
    presets = _synced(traitlets.List, [])
    note = _synced(traitlets.Unicode, "")


class Said(_Part):
    """HTML that the kernel made (and escaped), announced as ``status`` or ``alert``."""

    _esm = _STATIC / "say.js"
    html = _synced(traitlets.Unicode, "")
    role = _synced(traitlets.Unicode, "status")


class Buttons(_Part):
    """Buttons in a row, with a text field before them when ``field`` names one.

    Parameters
    ----------
    acts
        Name to hint and what the button does; while its name is in ``disabled``, nothing.
    **traits
        The widget's other traits.
    """

    _esm = _STATIC / "buttons.js"
    label = _synced(traitlets.Unicode, "")
    names = _synced(traitlets.List, [])
    hints = _synced(traitlets.List, [])
    disabled = _synced(traitlets.List, [])
    field = _synced(traitlets.Unicode, "")
    text = _synced(traitlets.Unicode, "")

    def __init__(self, acts: dict[str, tuple[str, Callable[[], None]]], **traits: Any) -> None:
        super().__init__(names=list(acts), hints=[hint for hint, _ in acts.values()], **traits)
        self._acts = {name: act for name, (_, act) in acts.items()}
        self.on_msg(self._on_message)

    def press(self, name: str) -> None:
        """Do what a button does, unless it is disabled."""
        if name in self._acts and name not in self.disabled:
            self._acts[name]()

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and content.get("kind") == "pressed":
            self.press(str(content.get("name")))


class Code(_Part):
    """The sentence as code, with a copy button."""

    _esm = _STATIC / "code.js"
    code = _synced(traitlets.Unicode, "")
