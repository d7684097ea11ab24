"""The s5cmd lines that fetch a plan's files. Pure.

A named ``cp`` costs two requests (HEAD and GET), a wildcard one costs a LIST for the line and one GET an
object. So files are fetched by wildcards wherever the listing shows that those select exactly the planned
zips and their sidecars; a line has several patterns (``--include``) where one would select too much. What
no wildcard selects exactly, or a name with a wildcard's own signs in it, is named.

s5cmd joins what a listing says after the wildcard to the target folder, so a listed key with ``..`` in it
would be written outside. With ``--flatten`` only the last part of a key is joined: whatever the endpoint
lists, it is written below the folder that s5cmd runs in. That costs no request.

A *selector* is a key prefix below which everything listed is planned: ``…/BTCUSDT-1m-2024-01-``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import polars as pl

from cryptolake.archive.keys import CHECKSUM, folder_name

_LEVELS = {"daily": (5, 8, 9, 10), "monthly": (0, 5, 6, 7)}
"""How much of a period a selector may hold: the year, the month, the month's tens of days, the day."""

_SIGNS = r"[*?\[,]"
"""Signs in a symbol that a wildcard, or s5cmd's list of patterns, would read as its own."""

_MOST_PATTERNS = 40


def copy_line(bucket: str, key: str, target: str | None = None) -> str:
    r"""Return the ``cp`` line that fetches one object, quoted so that nothing in a name is interpreted.

    ``target`` is a path relative to the folder s5cmd runs in (by default the key itself) or an
    ``s3://`` URL.

    Examples
    --------
    >>> copy_line("b", "data/x/A-1m.zip")
    "cp 's3://b/data/x/A-1m.zip' 'data/x/A-1m.zip'"
    >>> copy_line("b", "data/it's.zip", "s3://c/d.zip")
    "cp 's3://b/data/it'\\''s.zip' 's3://c/d.zip'"
    """
    target = key if target is None else target
    # --raw: both are names, not patterns. It is given only where it matters.
    raw = "--raw " if set(key + target) & set("*?") else ""
    return f"cp {raw}{quoted(f's3://{bucket}/{key}')} {quoted(target)}"


def quoted(word: str) -> str:
    """Return a word as s5cmd's command file reads it literally.

    Raises
    ------
    ValueError
        The word holds a line break, which a command file cannot.
    """
    if "\n" in word or "\r" in word or "\0" in word:
        message = f"{word!r} holds a line break and cannot stand in an s5cmd command file"
        raise ValueError(message)
    inner = word.replace("'", "'\\''")
    return f"'{inner}'"


def selectors(listed: pl.DataFrame, stems: pl.DataFrame, strange: pl.DataFrame) -> pl.DataFrame:
    """Find the widest selector of every file that is to move.

    Parameters
    ----------
    listed
        Everything listed: ``row, folder, partition, period, checksum_size`` and ``move``, whether the
        file is to move. The listing has to be whole for every year that a file to move lies in.
    stems
        ``folder, partition, stem``: what the keys begin with, up to the period.
    strange
        ``folder`` and ``key`` of what lies among them and is no file of the archive's pattern.

    Returns
    -------
    polars.DataFrame
        ``row`` and ``selector`` of the files that wildcards select exactly.
    """
    place = ["folder", "partition"]
    # Only folders with something to move matter; all that lies there is in the way of a wildcard.
    files = listed.lazy().filter(pl.col("move").any().over(place))
    in_the_way = (
        strange.lazy()
        .join(stems.lazy(), on="folder")
        .filter(pl.col("key").str.starts_with(pl.col("stem")))
        .select(
            *place, period=pl.col("key").str.strip_prefix(pl.col("stem")), move=pl.lit(value=False)
        )
    )
    slim = files.select("row", *place, "period", "move", sidecar="checksum_size")
    both = pl.concat([slim, in_the_way], how="diagonal")
    move = pl.col("move").all()
    found = pl.concat(
        [_heads(both, partition, levels, move) for partition, levels in _LEVELS.items()]
    )
    rows = found.filter("move", pl.col("head").is_not_null()).collect().lazy()
    heads = (
        rows.select(*place, "head")
        .unique()
        .join(stems.lazy(), on=place)
        .filter(~pl.col("stem").str.contains(_SIGNS))
        .select(*place, "head", selector=pl.concat_str("stem", "head"))
    )
    return rows.join(heads, on=[*place, "head"]).select("row", "selector").collect()


def shard_heads(files: pl.DataFrame) -> pl.DataFrame:
    """Find how much of a period, at the least, picks up files of one shard only, once a plan is cut into shards.

    What a plan's selector lists are exactly files of the plan, so only longer ones are looked for.

    Parameters
    ----------
    files
        The plan's files to move that have a selector: ``row, selector, partition, period, checksum_size``, and the
        number of their ``shard``.

    Returns
    -------
    polars.DataFrame
        ``row`` and ``head``, of which :func:`shard_selector` makes the selector.
    """
    # A selector takes the place of a folder: all that it lists is known.
    slim = files.lazy().select(
        "row", "partition", "period", "shard", folder="selector", sidecar="checksum_size"
    )
    one = pl.col("shard").n_unique() == 1
    parts = [_heads(slim, partition, levels, one) for partition, levels in _LEVELS.items()]
    return pl.concat(parts).select("row", "head").collect()


def shard_selector() -> pl.Expr:
    """Return a file's selector in its shard, from ``key``, ``period``, the plan's ``selector``, and ``head``."""
    ending = pl.col("period").str.len_chars() + len(".zip")
    stem = pl.col("key").str.head(pl.col("key").str.len_chars() - ending)
    own = pl.concat_str(stem, "head")
    wider = pl.col("selector").str.starts_with(own)
    return pl.when(wider).then("selector").otherwise(own).alias("selector")


def _heads(
    files: pl.LazyFrame, partition: str, levels: tuple[int, ...], alone: pl.Expr
) -> pl.LazyFrame:
    """Add how much of a period, at the least, picks up files that are ``alone``: none that is not wanted."""
    good: list[pl.Expr] = []
    for level in levels:
        head = pl.col("period").str.head(level)
        group = ["folder", head]
        objects = (pl.len() + pl.col("sidecar").count()).over(group)
        fits = alone.over(group) & (objects > 1)
        good.append(pl.when(fits).then(head + ".zip" if level == levels[-1] else head))
    part = files.filter(pl.col("partition") == partition)
    return part.with_columns(head=pl.coalesce(good))


class Planned(NamedTuple):
    """What decides which line fetches a zip.

    ``selected`` counts the files to move that have this selector. Where fewer of them are given than that,
    none of the others is fetched with them. ``sidecar`` says whether a CHECKSUM comes with it.
    """

    key: str
    partition: str
    period: str
    sidecar: bool
    selector: str | None
    selected: int

    @property
    def line(self) -> str:
        """The line that fetches it: one for each folder and year (for all years, where it is monthly)."""
        if self.selector is None:
            return self.key
        folder = folder_name(self.key)
        return f"{folder}/{self.period[:4]}" if self.partition == "daily" else folder


def lines(files: Iterable[Planned], bucket: str, *, into: str = "") -> list[str]:
    """Return the command lines that fetch files and their sidecars.

    Parameters
    ----------
    files
        The zips.
    bucket
        The archive's bucket.
    into
        What destinations begin with: nothing for a path relative to s5cmd's working directory, or
        ``"s3://bucket/prefix/"``.
    """
    files = list(files)
    found = list(_wildcards(files, bucket, into))
    for file in files:
        if file.selector is None:
            parts = (file.key, file.key + CHECKSUM) if file.sidecar else (file.key,)
            found += [copy_line(bucket, part, f"{into}{part}") for part in parts]
    return found


def request_count(files: Iterable[Planned]) -> int:
    """Return how many requests the lines for these files make, by their known sizes.

    Files that one line fetches are expected in a row, as a plan has them.
    """
    asked = 0
    for _, line in groupby(files, lambda file: file.line):
        together = list(line)
        asked += sum((1 + file.sidecar) * (1 + (file.selector is None)) for file in together)
        asked += sum(1 for _ in _wildcards(together, "bucket", ""))
    return asked


def _wildcards(files: Sequence[Planned], bucket: str, into: str) -> Iterator[str]:
    given = Counter(file.selector for file in files)
    picks: dict[str, dict[str, None]] = {}
    for file in files:
        if file.selector is not None:
            whole = given[file.selector] == file.selected
            picks.setdefault(file.line, {})[file.selector if whole else file.key] = None
    for names in picks.values():
        patterns = list(names)
        folder = folder_name(patterns[0]) + "/"
        for start in range(0, len(patterns), _MOST_PATTERNS):
            yield _wildcard(folder, patterns[start : start + _MOST_PATTERNS], bucket, into)


def _wildcard(folder: str, patterns: list[str], bucket: str, into: str) -> str:
    shared = os.path.commonprefix(patterns)  # noqa: RUF071 - of letters, not of path parts
    source = quoted(f"s3://{bucket}/{shared}*")
    target = quoted(f"{into}{folder}")
    if len(patterns) == 1:
        return f"cp --flatten {source} {target}"
    # s5cmd matches a pattern against the whole key or its end: from a '/' on, it means one name.
    names = (f"*/{pattern.removeprefix(folder)}*" for pattern in patterns)
    included = " ".join(f"--include {quoted(name)}" for name in names)
    return f"cp --flatten {included} {source} {target}"
