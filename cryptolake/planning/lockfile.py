"""The Lock: which bytes a dataset was made of. Every source file with its sha256, and the versions of the rules.

A lock's file is one JSON object: facts first, then ``tree``, where each folder of the archive has its files, one a
line, as ``"period": [size, ETag, sha256]``. What is read is checked like a plan's file: its keys become paths.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import Interval, Market, Partition
from cryptolake.archive.keys import IN_TREE, ZIP, stem_in
from cryptolake.archive.periods import Period
from cryptolake.archive.source import BUCKET_NAME, ArchivePlace, checked_endpoint
from cryptolake.errors import CryptolakeError, LockError
from cryptolake.planning.file_rows import LARGEST, MOST_FILES, is_text, moment, quoted, refused
from cryptolake.query import Query
from cryptolake.render.html import plural, size
from cryptolake.user_files import user_path, written_whole

if TYPE_CHECKING:
    import os

FILES: dict[str, Any] = {
    "key": pl.String,
    "size": pl.Int64,
    "etag": pl.String,
    "sha256": pl.String,
}
"""The columns of ``lock.files``: the archive's key, bytes, the ETag that the archive listed, and the sha256."""

FORMAT = 1
"""The format's number, in the file under ``cryptolake_lock``. It changes when older readers cannot."""

LARGEST_FILE = 2**28
"""Bytes of a lock's file that is read: some two million files."""

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(r"[\w-]{1,100}")
"""A dataset or a recipe, whose name is its function's, in any script."""

_SHORT = 12
"""Letters of an id that a person is shown."""


class GoldLabel(NamedTuple):
    """A table of Gold at one market and interval, as a lock names it.

    Examples
    --------
    >>> GoldLabel.parse("panel/futures_um/1h").interval.value, GoldLabel.parse("daily/spot").text
    ('1h', 'daily/spot')
    """

    recipe: str
    market: Market
    interval: Interval | None

    @property
    def text(self) -> str:
        """The label as the lock's file has it."""
        level = [self.interval.value] if self.interval else []
        return "/".join([self.recipe, self.market.value, *level])

    @classmethod
    def parse(cls, text: str) -> GoldLabel:
        """Read a label.

        Raises
        ------
        ValueError
            It is none.
        """
        name, *words = text.split("/")
        if not _NAME.fullmatch(name) or not 1 <= len(words) <= 2:
            message = f"{quoted(text)} is no table of Gold with a market"
            raise ValueError(message)
        return cls(name, Market(words[0]), Interval(words[1]) if len(words) > 1 else None)


class GoldPin(NamedTuple):
    """By which version and code a table of Gold was made, and of how many files that the lock does not pin whole."""

    version: str
    code: str
    unpinned: int


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Lock:
    r"""What a dataset was made of, so that it can be restored, or each difference named.

    ``lake.freeze(query, path)`` makes one. Two locks are equal where their ids are: the id says which bytes under
    which keys, nothing else.

    Parameters
    ----------
    query
        The query, with plain days.
    archive
        Which archive the files are of; it is compared with a lake's, and never asked.
    created_at
        When the lock was made, UTC.
    made_by
        The release that made it.
    schemas
        The schema version of each dataset's Silver rows.
    recipes
        The version of each Gold recipe that the lake held.
    rows
        Silver's rows of the pinned files.
    files
        A row a file: ``key``, ``size`` (bytes), ``etag`` as the archive listed it, ``sha256``.
    gold
        How Gold was made of these files, by table, market and interval (``"panel/futures_um/1h"``).

    Examples
    --------
    >>> import cryptolake as cl, hashlib, tempfile
    >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
    >>> with cl.sample_lake() as lake, tempfile.TemporaryDirectory() as folder:
    ...     report = lake.pull(query)
    ...     lock = lake.freeze(query, f"{folder}/paper.lock.json")
    >>> key, sha256 = lock.files.select("key", "sha256").row(0)
    >>> lock.id == hashlib.sha256(f"{sha256}  {key}\n".encode()).hexdigest()
    True
    """

    query: Query
    archive: ArchivePlace
    created_at: datetime
    made_by: str
    schemas: Mapping[str, str]
    recipes: Mapping[str, str]
    rows: int
    files: pl.DataFrame
    gold: Mapping[str, GoldPin] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """The sha256 over the sorted lines ``sha256  key``, as ``sha256sum`` and ``sort`` give it."""
        return lock_id(self.files)

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return int(self.files["size"].sum())

    @property
    def versions(self) -> list[str]:
        """The versions of schemas and recipes, in words."""
        named = [("schema", self.schemas), ("recipe", self.recipes)]
        return [
            f"{kind} {name} {version}" for kind, of in named for name, version in sorted(of.items())
        ]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the lock to a file; what is there is replaced when all is written.

        Parameters
        ----------
        path
            Where it goes.

        Raises
        ------
        StorageError
            The file cannot be written.

        Examples
        --------
        >>> from datetime import UTC, datetime
        >>> import cryptolake as cl, polars as pl, tempfile
        >>> lock = cl.Lock(
        ...     query=cl.query()
        ...     .markets("spot")
        ...     .data_types("trades")
        ...     .symbols("A")
        ...     .between("2024-01-01"),
        ...     archive=cl.Archive().place,
        ...     created_at=datetime(2024, 1, 2, tzinfo=UTC),
        ...     made_by="by hand",
        ...     schemas={},
        ...     recipes={},
        ...     rows=1,
        ...     files=pl.DataFrame(
        ...         {
        ...             "key": ["data/spot/daily/trades/A/A-trades-2024-01-01.zip"],
        ...             "size": [9],
        ...             "etag": ["1" * 32],
        ...             "sha256": ["0" * 64],
        ...         }
        ...     ),
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lock.save(f"{folder}/paper.lock.json")
        ...     cl.Lock.load(f"{folder}/paper.lock.json") == cl.Lock.from_text(
        ...         lock.to_text()
        ...     ) == lock
        True
        """
        with written_whole(user_path(path), "the lock") as draft:
            draft.write_text(self.to_text(), "utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Lock:
        """Read a lock's file. Nothing else is read, and nothing is asked.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        Lock
            As it was saved.

        Raises
        ------
        LockError
            The file is absent, too large, damaged, or holds no lock that this release reads.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Lock.load("/data/no.lock.json")
        Traceback (most recent call last):
        ...
        cryptolake.errors.LockError: /data/no.lock.json is no lock that can be read: No such file or directory. ...
        """
        source = user_path(path)
        with refused("lock", partial(_no_lock, str(source))):
            size = source.stat().st_size
            if size > LARGEST_FILE:
                raise _no_lock(str(source), f"it has {size:,} bytes, more than {LARGEST_FILE:,}")
            text = source.read_bytes().decode("utf-8", "replace")
        return cls.from_text(text, str(source))

    def to_text(self) -> str:
        """Return the lock as its file holds it: JSON, a line a file.

        Returns
        -------
        str
            What :meth:`from_text` reads; :meth:`save` writes it to a file.

        Examples
        --------
        See :meth:`save`.
        """
        return self._text

    @cached_property
    def _text(self) -> str:
        head = {
            "cryptolake_lock": FORMAT,
            "id": self.id,
            "query": json.loads(self.query.to_json()),
            "archive": self.archive._asdict(),
            "created_at": self.created_at.isoformat(),
            "made_by": self.made_by,
            "schemas": dict(self.schemas),
            "recipes": dict(self.recipes),
            "gold": {label: list(pin) for label, pin in self.gold.items()},
            "files": self.files.height,
            "bytes": self.bytes,
            "rows": self.rows,
        }
        tree = ",\n".join(_folders(self.files))
        text = json.dumps(head, indent=1, ensure_ascii=False)
        return f'{text[:-2]},\n "tree": {{\n{tree}\n }}\n}}\n'

    @classmethod
    def from_text(cls, text: str, path: str = "the text") -> Lock:
        """Read a lock from its file's text.

        Parameters
        ----------
        text
            What :meth:`to_text` gave.
        path
            Where it is from, for messages.

        Returns
        -------
        Lock
            As it was saved.

        Raises
        ------
        LockError
            It is no lock that this release reads.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Lock.from_text("{}")
        Traceback (most recent call last):
        ...
        cryptolake.errors.LockError: the text is no lock that can be read: it has no 'cryptolake_lock': 1. ...
        """
        with refused("lock", partial(_no_lock, path)):
            return _read(json.loads(text), cls)

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Lock) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        try:
            what = f"{plural(self.files.height, 'file')}, {size(self.bytes)}, {plural(self.rows, 'Silver row')}"
            when = f"made {self.created_at:%Y-%m-%d %H:%M} UTC by {self.made_by}"
            return f"<Lock {self.id[:_SHORT]}: {what}, of {self.archive}; {when}\n  {self.query!r}>"
        except Exception as error:  # noqa: BLE001 - a repr never raises
            return f"<Lock (cannot be drawn: {type(error).__name__}: {error})>"

    def _repr_html_(self) -> str:
        from cryptolake.planning.cards import lock_html

        return lock_html(self)


def lock_id(files: pl.DataFrame) -> str:
    """Return the id of some files: the sha256 over the sorted lines ``sha256  key``."""
    lines = sorted(
        f"{sha256}  {key}\n" for key, sha256 in files.select("key", "sha256").iter_rows()
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _folders(files: pl.DataFrame) -> Iterator[str]:
    """Yield each folder's part of the tree, its files a line each."""
    named = files.sort("key").with_columns(folder=pl.col("key").str.replace(r"/[^/]*$", ""))
    stems = {folder: stem_in(folder) or "" for folder in named["folder"].unique()}
    stem = pl.col("folder").replace_strict(stems, return_dtype=pl.String)
    period = pl.col("key").str.strip_prefix(stem).str.strip_suffix(ZIP)
    etags = pl.Series([json.dumps(etag) for etag in named["etag"]], dtype=pl.String)
    line = pl.format('   "{}": [{}, {}, "{}"]', period, "size", etags, "sha256")
    lines = named.select("folder", line=line).group_by("folder", maintain_order=True)
    for folder, text in lines.agg(pl.col("line").str.join(",\n")).iter_rows():
        yield f"  {json.dumps(folder, ensure_ascii=False)}: {{\n{text}\n  }}"


def _read(found: Any, kind: type[Lock]) -> Lock:
    """Return the lock of a file's object, each part checked."""
    if not isinstance(found, dict) or found.get("cryptolake_lock") != FORMAT:
        message = f"it has no 'cryptolake_lock': {FORMAT}"
        raise ValueError(message)
    query = Query.from_json(json.dumps(found["query"])).check()
    if query.selection.is_open:
        message = "its query names no last day"
        raise ValueError(message)
    made_by, rows = found["made_by"], found["rows"]
    if not is_text(made_by, 100) or type(rows) is not int or not 0 <= rows < 2**63:
        message = "its 'made_by' is no short text, or its 'rows' no count"
        raise ValueError(message)
    files = pl.DataFrame(list(_rows(found["tree"])), schema=FILES, orient="row").sort("key")
    lock = kind(
        query=query,
        archive=_place(found["archive"]),
        created_at=moment(found["created_at"]),
        made_by=made_by,
        schemas=_versions(found["schemas"], "schemas"),
        recipes=_versions(found["recipes"], "recipes"),
        rows=rows,
        files=files,
        gold=_gold(found.get("gold", {})),
    )
    if lock.id != found["id"]:
        message = (
            f"its files have the id {lock.id}, and it says {quoted(found['id'])}: it was changed"
        )
        raise ValueError(message)
    return lock


def _rows(tree: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the files of a tree."""
    if not isinstance(tree, dict) or not tree:
        message = "its tree is no object of folders"
        raise ValueError(message)
    count = total = 0
    for folder, files in tree.items():
        stem = stem_in(folder) if is_text(folder) else None
        if stem is None or not isinstance(files, dict):
            message = f"{quoted(folder)} is no folder of the archive, or not one of files"
            raise ValueError(message)
        monthly = IN_TREE[Partition.MONTHLY] in stem
        count += len(files)
        for period, facts in files.items():
            _check(stem, period, facts, monthly=monthly)
            total += facts[0]
            yield f"{stem}{period}{ZIP}", *facts
        if count > MOST_FILES or total >= 2**63:
            message = f"it names more than {MOST_FILES:,} files, or more bytes than 64 bits count"
            raise ValueError(message)


def _check(stem: str, period: str, facts: Any, *, monthly: bool) -> None:
    """Raise ValueError for a file that no lock of this release names."""
    if len(period) > len("2024-01-01") or _kind(period) is not monthly:
        message = f"{quoted(period)} is no period of {stem}"
        raise ValueError(message)
    if not isinstance(facts, list) or len(facts) != 3:
        message = f"{stem}{period} has not its size, ETag and sha256"
        raise ValueError(message)
    size, etag, sha256 = facts
    if type(size) is not int or not 0 <= size <= LARGEST:
        message = f"{stem}{period} has a size that no file has: {quoted(size)}"
    elif etag is not None and not is_text(etag):
        message = f"{stem}{period} has an ETag that is no text, or a long one"
    elif not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        message = f"{stem}{period} has no sha256: {quoted(sha256)}"
    else:
        return
    raise ValueError(message)


@lru_cache(maxsize=16_384)
def _kind(period: str) -> bool | None:
    """Say whether a period is a month, or a day (False); None for anything else."""
    try:
        found = Period.parse(period)
    except (ValueError, CryptolakeError):
        return None
    return found.partition is Partition.MONTHLY if str(found) == period else None


def _place(found: Any) -> ArchivePlace:
    bucket, endpoint = found["bucket"], found["endpoint"]
    named = is_text(bucket) and BUCKET_NAME.fullmatch(bucket)
    if not named or not (endpoint is None or is_text(endpoint)):
        message = "its archive is no bucket and endpoint"
        raise ValueError(message)
    return ArchivePlace(bucket, endpoint and checked_endpoint(endpoint))


def _versions(found: Any, name: str) -> dict[str, str]:
    pairs: Iterable[tuple[Any, Any]] = found.items() if isinstance(found, dict) else [(None, None)]
    kept = {
        key: version
        for key, version in pairs
        if is_text(key) and _NAME.fullmatch(key) and is_text(version, 100)
    }
    if not isinstance(found, dict) or len(kept) < len(found) or len(kept) > 10_000:
        message = f"its {name} are no versions by name"
        raise ValueError(message)
    return kept


def _gold(found: Any) -> dict[str, GoldPin]:
    if not isinstance(found, dict) or len(found) > 10_000:
        message = "its gold is no object of tables"
        raise ValueError(message)
    pins = {}
    for label, facts in found.items():
        GoldLabel.parse(label)
        known = isinstance(facts, list) and len(facts) == 3
        texts = known and is_text(facts[0], 100) and is_text(facts[1], 100)
        if not texts or type(facts[2]) is not int or not 0 <= facts[2] < 2**63:
            message = f"{quoted(label)} has not its version, code and count"
            raise ValueError(message)
        pins[label] = GoldPin(*facts)
    return pins


def _no_lock(path: str, why: str) -> LockError:
    message = f"{path} is no lock that can be read: {why.removesuffix('.')}. lake.freeze(query, path) writes one."
    return LockError(message, path=path, why=why)
