"""Folders of Silver that are named like a symbol's and can be none: ``symbol=*``, put there by hand or by another program.

No listing gives such a name to a lake. Polars and DuckDB each take some of its signs for a pattern, and then read no
file beside it either, so its files are named and passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cryptolake.archive.keys import is_plain
from cryptolake.errors import Damaged

if TYPE_CHECKING:
    from cryptolake.readers.silver_files import SilverFiles
    from cryptolake.storage.files import Storage
    from cryptolake.storage.layout import SilverPath

_SYMBOL, _LEVEL = "symbol=", "="


def without_odd_symbols(files: SilverFiles, root: str) -> SilverFiles:
    """Return Silver files with those of odd symbols among the damaged ones."""
    names = {file.where.symbol for file in files.whole}
    odd = {name for name in names if not is_plain(name)}
    if not odd:
        return files
    bad = [odd_symbol(file.path, root) for file in files.whole if file.where.symbol in odd]
    whole = [file for file in files.whole if file.where.symbol not in odd]
    return files._replace(whole=whole, damaged=[*files.damaged, *bad])


def is_odd(place: SilverPath | None) -> bool:
    """Say whether a Silver path names what can be no symbol."""
    return place is not None and not is_plain(place.symbol)


def odd_symbol(path: str, root: str) -> Damaged:
    """Return what is wrong with a file of an odd symbol."""
    return Damaged(path, "its folder can be no symbol's: move it out of the lake", root)


def has_odd_symbols(storage: Storage, folders: Iterable[str]) -> bool:
    """Say whether some folder below these, on a disk, is an odd symbol's; no folder of a symbol is looked into."""
    return storage.is_local and any(_has(str(storage.local(folder))) for folder in folders)


def _has(folder: str) -> bool:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - thousands of names
    except OSError:  # the listing of its files says why, in words
        return False
    symbols = [name.removeprefix(_SYMBOL) for name in names if name.startswith(_SYMBOL)]
    if not all(map(is_plain, symbols)):
        return True
    below = (name for name in names if _LEVEL in name and not name.startswith(_SYMBOL))
    return any(_has(os.path.join(folder, name)) for name in below)  # noqa: PTH118
