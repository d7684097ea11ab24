"""Make of the docstrings' reStructuredText what Markdown has: code, and links to what the site shows."""

from __future__ import annotations

import re
from typing import Any

import griffe

import cryptolake

_ROLE = re.compile(r":(?:class|meth|func|mod|attr|data|exc):`~?([^`]+)`")
_PAGE = re.compile(r"`notebooks/guide/(\w+)\.md(?:#([\w-]+))?`")


class PlainRoles(griffe.Extension):
    """``:meth:`datasets` `` becomes a link to that method, and a page of the guide that is named a link to it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change one object's docstring."""
        if obj.docstring:
            text = obj.docstring.value.replace("``", "`")
            text = _ROLE.sub(lambda role: _reference(role[1], obj), text)
            obj.docstring.value = _PAGE.sub(_page, text)


def _reference(name: str, obj: griffe.Object) -> str:
    words = name.removeprefix("cryptolake.").split(".")
    kind = obj if obj.is_class else obj.parent
    public = cryptolake.__all__
    if words[0] not in public and kind is not None and kind.name in public:
        words = [kind.name, *words]
    target = _shown(words)
    return f"[`{name}`][{target}]" if target else f"`{name}`"


def _shown(words: list[str]) -> str | None:
    """Return the path of a public name, or of a member of one, as the reference has it; None where it has none."""
    if words[0] not in cryptolake.__all__ or len(words) > 2:
        return None
    value = getattr(cryptolake, words[0])
    if value.__module__ == "cryptolake.errors":  # their page is a table
        return None
    if len(words) == 2 and not hasattr(value, words[1]):
        return None
    return ".".join([value.__module__, *words])


def _page(found: re.Match[str]) -> str:
    page, anchor = found.groups()
    text = f"{page}: {anchor.replace('-', ' ')}" if anchor else f"the guide: {page}"
    return f"[{text}](../{page}.md{f'#{anchor}' if anchor else ''})"
