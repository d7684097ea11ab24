"""The picker's parts with a front end of their own: traits here, drawing in ``static/``.

Each is a standard widget to the notebook (its own comm, no script fetched from anywhere), so JupyterLab,
Notebook 7, VS Code and Voila show it alike.
"""

from __future__ import annotations

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


class Code(_Part):
    """The sentence as code, with a copy button."""

    _esm = _STATIC / "code.js"
    code = _synced(traitlets.Unicode, "")
