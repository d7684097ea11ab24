"""Names, texts and paths as SQL: nothing from a root, a symbol or a key is ever interpreted. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def quoted(name: str) -> str:
    """Return an identifier, quoted.

    Examples
    --------
    >>> quoted('a "b" c')
    '"a ""b"" c"'
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text literal.

    Examples
    --------
    >>> print(literal("it's"))
    'it''s'
    """
    return "'" + text.replace("'", "''") + "'"


def listed(texts: Iterable[str]) -> str:
    """Return a list of text literals.

    Examples
    --------
    >>> listed(["a", "b"])
    "['a', 'b']"
    """
    return "[" + ", ".join(literal(text) for text in texts) + "]"


def struct(values: dict[str, str]) -> str:
    """Return a struct literal of texts, as ``read_csv(columns = ...)`` takes it.

    Examples
    --------
    >>> print(struct({"open": "DOUBLE"}))
    {'open': 'DOUBLE'}
    """
    fields = ", ".join(f"{literal(name)}: {literal(value)}" for name, value in values.items())
    return "{" + fields + "}"


def unglobbed(path: str) -> str:
    """Return a pattern that matches a path literally: a sign between brackets stands for itself.

    Examples
    --------
    >>> print(unglobbed("/data/a*[b]"))
    /data/a[*][[]b]
    """
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)
