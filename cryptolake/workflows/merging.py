"""Reads the mappings and files of a configuration, and merges them: the one that is named later wins.

A setting that can be spelled in two ways (``batch_size``, ``performance_optimization.batch_size``) is written in one
before the merge, so that the later file wins however it spells it. Said twice in one file, it has to be the same.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptolake.errors import InvalidQuery, hint, nearest
from cryptolake.transfer.options import S5CMD_FLAGS
from cryptolake.user_files import user_path

WHAT = "configuration"

PERFORMANCE = {
    "batch_size": "batch_size",
    "max_concurrent": "max_parallel_downloads",
    "part_size_mb": "part_size_mb",
}
"""The settings of ``performance_optimization``, and the key that each is another spelling of."""

TRANSLATED = ("--retry-count", "--numworkers", "--part-size", "--no-sign-request")
"""Flags of s5cmd that a transfer option stands for, or that it always has."""

_INSTEAD = (
    ({"output_directory"}, {"destination_bucket", "destination_prefix"}),
    ({"destination_bucket"}, {"output_directory"}),
    ({"operation_mode"}, {"enable_s3_direct_sync"}),
    ({"enable_s3_direct_sync"}, {"operation_mode"}),
)
"""Keys that, where a later mapping names them, take the place of others of earlier ones."""

_SIZE = re.compile(r"(\d+)(?:MB|MiB|M)?", re.IGNORECASE)


def merged(sources: Iterable[object], dump: Any) -> dict[str, Any]:
    """Return one mapping of several mappings, paths or configurations, merged left to right, objects deep.

    Parameters
    ----------
    sources
        What was given.
    dump
        Returns a configuration as a mapping; None for what is none.

    Raises
    ------
    InvalidQuery
        A file that cannot be read or holds no JSON object; a setting said twice in one mapping.
    """
    found: dict[str, Any] = {}
    for source in sources:
        own = dump(source)
        new = lifted(read(source) if own is None else own)
        for named, dropped in _INSTEAD:
            if named & set(new):
                found = {key: value for key, value in found.items() if key not in dropped}
        found = _deep(found, new)
    return found


def read(source: object) -> dict[str, Any]:
    """Return a mapping, or the JSON object that a file holds; a relative ``matrix_path`` is beside that file.

    Raises
    ------
    InvalidQuery
        The file cannot be read, or holds something else.
    """
    if isinstance(source, Mapping):
        return dict(source)
    if not isinstance(source, str | os.PathLike):
        message = f"a configuration is a mapping or the path of a JSON file, not {source!r}."
        raise InvalidQuery(message, what=WHAT, given=source)
    path = user_path(source)
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        why = f"{error.strerror or error}{_beside(path)}"
        message = f"cannot read the configuration {str(path)!r}: {why}"
        raise InvalidQuery(message, what=WHAT, given=str(path)) from None
    except (ValueError, RecursionError) as error:
        message = f"the configuration {str(path)!r} is no JSON: {error}."
        raise InvalidQuery(message, what=WHAT, given=str(path)) from None
    if not isinstance(found, dict):
        message = (
            f"the configuration {str(path)!r} holds no JSON object, but {type(found).__name__}."
        )
        raise InvalidQuery(message, what=WHAT, given=str(path))
    matrix = found.get("matrix_path")
    if isinstance(matrix, str) and (path.parent / matrix).is_file():
        found["matrix_path"] = str((path.parent / matrix).resolve())
    return found


def _beside(path: Path) -> str:
    return hint(path.name, sorted(other.name for other in path.parent.glob("*.json")))


def lifted(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping in which every setting has its one spelling; what is wrong in it stays to be refused.

    Raises
    ------
    InvalidQuery
        A setting is said twice, and differently.

    Examples
    --------
    >>> lifted({"performance_optimization": {"max_concurrent": 8}})
    {'max_parallel_downloads': 8}
    >>> lifted({"s5cmd_extra_args": ["--numworkers=8", "--retry-count=3"]})
    {'s5cmd_extra_args': ['--retry-count=3'], 'max_parallel_downloads': 8}
    """
    found = dict(given)
    said = {key: key for key in found}
    performance = found.get("performance_optimization")
    if isinstance(performance, Mapping):
        rest = {key: value for key, value in performance.items() if key not in PERFORMANCE}
        _keep(found, "performance_optimization", rest)
        for name, key in PERFORMANCE.items():
            if name in performance:
                _say(found, said, key, performance[name], f"performance_optimization.{name}")
    words = found.get("s5cmd_extra_args")
    if isinstance(words, list | tuple) and all(isinstance(word, str) for word in words):
        kept: list[str] = []
        for flag, value, text in flags(words):
            setting = _as_setting(flag, value)
            if setting is None:
                kept += text
            else:
                _say(found, said, *setting, f"s5cmd_extra_args {flag}")
        _keep(found, "s5cmd_extra_args", kept)
    return found


def flags(words: Sequence[str]) -> Iterator[tuple[str, str | None, list[str]]]:
    """Yield the flags of a command line: name, value, and the words that say them.

    Examples
    --------
    >>> list(flags(["--retry-count", "5", "--stat"]))
    [('--retry-count', '5', ['--retry-count', '5']), ('--stat', None, ['--stat'])]
    """
    rest = iter(words)
    for word in rest:
        flag, separator, value = word.partition("=")
        takes = S5CMD_FLAGS.get(flag, flag in TRANSLATED[:3])
        if separator or not takes:
            yield flag, value if separator else None, [word]
            continue
        following = next(rest, None)
        yield flag, following, [word] if following is None else [word, following]


def flags_for_s5cmd(given: Iterable[tuple[str, str | None, list[str]]]) -> tuple[str, ...]:
    """Return the words for option ``s5cmd_args``: of the flags that no option stands for.

    Raises
    ------
    ValueError
        A flag that may not be added, or the value of a translated one is no number.
    """
    found: list[str] = []
    for flag, value, words in given:
        if flag not in TRANSLATED:
            if flag not in S5CMD_FLAGS:
                near = nearest(flag, [*TRANSLATED, *S5CMD_FLAGS])
                hint = f"; did you mean {near}?" if near else ""
                allowed = ", ".join([*TRANSLATED, *S5CMD_FLAGS])
                message = f"s5cmd_extra_args: {flag!r} may not be added{hint} (allowed: {allowed})"
                raise ValueError(message)
            found += words
        elif flag != "--no-sign-request" and not (value or "").isdecimal():
            message = f"s5cmd_extra_args: {flag} takes a whole number ({flag}=5), not {value!r}"
            raise ValueError(message)
    return tuple(found)


def _as_setting(flag: str, value: str | None) -> tuple[str, int] | None:
    """Return the key that a flag is another spelling of, and its value; None for the others, and for a wrong value."""
    if flag == "--numworkers" and value is not None and value.isdecimal():
        return "max_parallel_downloads", int(value)
    size = _SIZE.fullmatch(value or "")
    if flag == "--part-size" and size:
        return "part_size_mb", int(size[1])
    return None


def _say(found: dict[str, Any], said: dict[str, str], key: str, value: object, where: str) -> None:
    if key in found and found[key] != value:
        message = f"{said[key]} is {found[key]!r} and {where} is {value!r}, and they are one setting: say it once."
        raise InvalidQuery(message, what=key, given=value)
    found[key] = value
    said[key] = where


def _keep(found: dict[str, Any], key: str, rest: Any) -> None:
    if rest or not found[key]:
        found[key] = rest
    else:
        del found[key]


def _deep(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(left)
    for key, value in right.items():
        before = both.get(key)
        nested = isinstance(before, Mapping) and isinstance(value, Mapping)
        both[key] = _deep(before, value) if nested else value  # type: ignore[arg-type]
    return both
