"""A hash of what a recipe computes, so that files are made again once its function is another one.

It covers the function's own text without its decorators, docstring and comments; the functions of the same
module that it names, and those that these name; and the plain constants (numbers, text, times, and tuples of
them) that they take from their module, from around them, and as defaults. It is the same in every process and
on every patch release of Python. It does not cover libraries and other modules: for a change there, raise the
recipe's ``version``. Where there is no text (a function made by ``exec``), bytecode stands for it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from types import CodeType, FunctionType
from typing import Any

_PLAIN = (bool, int, float, complex, str, bytes, date, timedelta, type(None))


def code_hash(function: Callable[..., Any]) -> str:
    """Return the hash of a function and what it names, as 32 hexadecimal digits.

    Examples
    --------
    >>> def double(x):
    ...     return 2 * x
    >>> code_hash(double) == code_hash(double), len(code_hash(double))
    (True, 32)
    """
    seen: dict[str, Any] = {}
    _collect(_unwrapped(function), seen)
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:32]


def _unwrapped(function: Callable[..., Any]) -> FunctionType | None:
    found = inspect.unwrap(function)
    return found if isinstance(found, FunctionType) else None


def _collect(function: FunctionType | None, seen: dict[str, Any]) -> None:
    if function is None or function.__qualname__ in seen:
        return
    seen[function.__qualname__] = _text(function)
    seen[f"{function.__qualname__}()"] = repr((function.__defaults__, function.__kwdefaults__))
    for name, value in _named(function):
        plain = isinstance(value, tuple | frozenset) and all(isinstance(v, _PLAIN) for v in value)
        if isinstance(value, _PLAIN):
            seen[f"={name}"] = repr(value)
        elif plain:
            seen[f"={name}"] = repr(
                sorted(value, key=repr) if isinstance(value, frozenset) else value
            )
        elif isinstance(value, FunctionType) and value.__module__ == function.__module__:
            _collect(value, seen)


def _named(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the globals, and the variables around it, that a function names."""
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    for name in sorted(names & function.__globals__.keys()):
        yield name, function.__globals__[name]
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        try:
            yield name, cell.cell_contents
        except ValueError:  # not set yet
            continue


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _text(function: FunctionType) -> str:
    """Return a function's text in one form, however it is laid out; its bytecode where there is no text."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return _bytecode(function.__code__)
    found = next(
        (
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.FunctionDef) and n.name == function.__name__
        ),
        None,
    )
    if found is None:  # a lambda
        return _bytecode(function.__code__)
    found.decorator_list = []
    if ast.get_docstring(found) is not None:
        found.body = found.body[1:] or [ast.Pass()]
    return ast.unparse(found)


def _bytecode(code: CodeType) -> str:
    constants = [_bytecode(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, constants))
