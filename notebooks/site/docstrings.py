"""Make the docstrings' reStructuredText roles plain code, which is what Markdown has."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|func|mod|attr|data|exc):`~?([^`]+)`")


class PlainRoles(griffe.Extension):
    """``:meth:`datasets` `` becomes ``datasets`` in code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change one object's docstring."""
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value.replace("``", "`"))
