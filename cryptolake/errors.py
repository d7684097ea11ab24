"""Every error cryptolake raises on purpose, in one tree.

::

    CryptolakeError
    ├── InvalidQuery (ValueError)        a word or a sentence that cannot be asked
    ├── NotPublished (LookupError)       the archive has nothing for the range asked
    ├── NoSuchSymbol (LookupError)       a name or glob that matches no listed symbol
    ├── PlanError (ValueError)           a saved plan that cannot be read, or does not fit the lake
    ├── LockError (ValueError)           a lock file that cannot be read, or does not fit the lake
    ├── ArchiveMismatch (ValueError)     the lake is of another archive, which was not adopted
    ├── StorageError (OSError)           the lake's root cannot be read or written
    ├── ListingError (OSError)           the archive cannot be listed, and no cached listing serves
    ├── TransferError (RuntimeError)     files could not be moved
    │   └── ChecksumMismatch             bytes that do not match their CHECKSUM, under policy ``raise``
    ├── CorruptArchive (ValueError)      a zip that is not what the archive publishes
    ├── SchemaMismatch (ValueError)      a file whose columns do not fit its dataset
    ├── BuildError (RuntimeError)        Silver months that could not be built
    ├── WorkerLost (RuntimeError)        a worker of an executor died, and its part is not run again
    └── MissingTool (RuntimeError)       s5cmd, or an optional package, is absent or too old

Two warnings (UserWarning): ``IncompleteWarning``, a result lacks rows; ``DamagedLakeWarning``, a file of the
lake's own cannot be read. Each message says what was given, what is allowed, and the nearest valid choice;
the same facts are in ``error.facts``, and attributes of the exception.
"""

from __future__ import annotations

import difflib
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


class CryptolakeError(Exception):
    """Base of every error the toolkit raises on purpose.

    Parameters
    ----------
    message
        What was wrong, what is allowed, and what to do next.
    **facts
        The same facts as data; each becomes an attribute.

    Examples
    --------
    >>> import cryptolake as cl
    >>> error = cl.CryptolakeError("no such thing", given="x")
    >>> error.given, str(error)
    ('x', 'no such thing')
    """

    _says_all = True
    """Whether the sentence is all that a person needs: a notebook shows it without the trace."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(printable(message))
        self.facts: dict[str, Any] = facts

    def __getattr__(self, name: str) -> Any:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        message = f"{type(self).__name__} has no fact {name!r}; it has {sorted(facts)}"
        raise AttributeError(message)

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """Give IPython the sentence alone; ``%xmode Verbose`` asks for traces, of these too.

        Raises
        ------
        AttributeError
            The trace is wanted: IPython shows its own then.
        """
        if not self._says_all or _traces_wanted():
            raise AttributeError
        return lambda: [f"{type(self).__name__}: {self}"]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args[0] if self.args else "", self.facts)


def _traces_wanted() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(getattr(shell, "InteractiveTB", None), "mode", "") == "Verbose"


def _rebuild(kind: type[CryptolakeError], message: str, facts: dict[str, Any]) -> CryptolakeError:
    return kind(message, **facts)


class InvalidQuery(CryptolakeError, ValueError):
    """A word that does not exist, or words that do not agree. Raised before anything is moved."""


class NotPublished(CryptolakeError, LookupError):
    """The archive publishes nothing for what was asked; the message names what comes nearest."""


class NoSuchSymbol(CryptolakeError, LookupError):
    """A symbol name or glob that matches nothing the archive lists."""


class PlanError(CryptolakeError, ValueError):
    """A saved plan that cannot be read, or that was made for another lake."""


class LockError(CryptolakeError, ValueError):
    """A lock that cannot be read, or a lake that a lock cannot be made of or restored into."""


class ArchiveMismatch(CryptolakeError, ValueError):
    """The lake is of another archive than the one it was opened with. ``facts`` name both."""


class StorageError(CryptolakeError, OSError):
    """The lake's root cannot be read or written: permission, full disk, absent bucket."""


class ListingError(CryptolakeError, OSError):
    """The archive's listing cannot be fetched, and no cached listing can stand in."""


class TransferError(CryptolakeError, RuntimeError):
    """Files could not be moved. ``facts`` name the files, the command and its exit code."""

    _says_all = False


class ChecksumMismatch(TransferError):
    """Bytes that match the listing's ETag but not their CHECKSUM, under policy ``raise``."""


class CorruptArchive(CryptolakeError, ValueError):
    """A zip that does not open, holds other than one CSV, or inflates past the stated limit."""

    _says_all = False


class SchemaMismatch(CryptolakeError, ValueError):
    """A file that lacks a required column, or whose rows do not fit its dataset."""

    _says_all = False


class BuildError(CryptolakeError, RuntimeError):
    """Silver or Gold months that could not be built. ``facts`` name the months and their reasons."""

    _says_all = False


class WorkerLost(CryptolakeError, RuntimeError):
    """A worker of an executor died. ``report`` has what was done; the same call completes the rest."""


class MissingTool(CryptolakeError, RuntimeError):
    """A program or optional package that is absent or too old; the message says how to get it."""


class IncompleteWarning(UserWarning):
    """A result lacks rows that the archive has, for a reason that the message gives."""


class DamagedLakeWarning(UserWarning):
    """A file of the lake's own cannot be read; the message names it, and says what repairs it."""


@dataclass(frozen=True)
class Damaged:
    """A file of the lake's own that cannot be read (a segment, a Silver file), why, and the root of its lake."""

    path: str
    reason: str
    root: str = ""


_HIDDEN = re.compile(r"[^\x20-\x7e\n\t]")


def printable(text: str) -> str:
    r"""Return a text in which signs that a terminal acts upon, or does not show, are written as Python writes them.

    A name from outside may hold them: colours, a window's title, an order of reading that hides its ending.

    Examples
    --------
    >>> print(printable("\x1b[31mred\u202e, 龙虾"))
    \x1b[31mred\u202e, 龙虾
    """
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(lambda found: found[0] if _is_shown(found[0]) else _escape(found[0]), text)


def _is_shown(sign: str) -> bool:
    return sign.isprintable() or (sign.isspace() and unicodedata.category(sign) == "Zs")


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice most like ``word``, or None when nothing is close.

    Examples
    --------
    >>> nearest("kline", ["klines", "trades"])
    'klines'
    >>> nearest("zzz", ["klines", "trades"]) is None
    True
    """
    by_lower: dict[str, str] = {}
    for choice in choices:
        by_lower.setdefault(choice.lower(), choice)
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[found[0]] if found else None


def hint(word: str, choices: Iterable[str]) -> str:
    """Return how the part of a sentence ends that names a wrong word: with the nearest right one, where one is close.

    Examples
    --------
    >>> hint("kline", ["klines"]), hint("zzz", ["klines"])
    ("; did you mean 'klines'?", '.')
    """
    near = nearest(word, choices)
    return f"; did you mean {near!r}?" if near else "."


def unknown_word(what: str, given: str, choices: Iterable[str]) -> InvalidQuery:
    """Build the InvalidQuery for a word outside a vocabulary, naming the nearest valid one.

    Examples
    --------
    >>> print(unknown_word("market", "spott", ["spot", "options"]))
    unknown market 'spott'; did you mean 'spot'? Choose from: spot, options.
    """
    allowed = tuple(str(choice) for choice in choices)
    message = f"unknown {what} {given!r}{hint(given, allowed)} Choose from: {', '.join(allowed)}."
    facts = {"allowed": allowed, "nearest": nearest(given, allowed)}
    return InvalidQuery(message, what=what, given=given, **facts)


def missing_package(use: str, package: str, extra: str) -> MissingTool:
    """Build the MissingTool for an optional package that is not installed: what needs it, what installs it.

    Examples
    --------
    >>> print(missing_package("handoff.ohlcv", "pandas", "pandas"))
    handoff.ohlcv needs pandas: pip install 'cryptolake[pandas]'
    """
    message = f"{use} needs {package}: pip install 'cryptolake[{extra}]'"
    return MissingTool(message, tool=package)
