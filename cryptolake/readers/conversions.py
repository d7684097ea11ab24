"""The ways out of a relation: to Polars without more, to pandas, Arrow and NumPy with the extra ``pandas``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import duckdb
import polars as pl

from cryptolake.errors import MissingTool
from cryptolake.readers.view_sql import quoted

EXTRA = "pandas"
"""What to install: ``pip install 'cryptolake[pandas]'``."""

_EXITS = {
    "pyarrow": ("pl", "arrow", "to_arrow_table", "fetch_arrow_table", "to_arrow_reader"),
    "numpy": ("fetchnumpy", "df", "fetchdf", "to_df"),
    "pandas": ("df", "fetchdf", "to_df"),
}
"""The methods of DuckDB's relations and connections that need a package."""


def to_polars(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """Return a relation's rows as a Polars frame, without pyarrow (which ``relation.pl()`` needs).

    Intervals become text, since Polars has no type for months and days at once.

    Parameters
    ----------
    relation
        As ``lake.sql`` returns it, or any of DuckDB's.

    Returns
    -------
    polars.DataFrame
        The relation's columns, ``relation.columns``, in their order; times with a zone are UTC where the connection's zone is, as
        that of ``lake.sql`` is.

    Examples
    --------
    >>> import duckdb
    >>> import cryptolake as cl
    >>> cl.to_polars(duckdb.sql("select 1::BIGINT as a, interval '2 hours' as b")).row(0)
    (1, '02:00:00')
    """
    cells = [
        f"{quoted(name)}::VARCHAR AS {quoted(name)}" if str(kind) == "INTERVAL" else quoted(name)
        for name, kind in zip(relation.columns, relation.types, strict=True)
    ]
    if any(str(kind) == "INTERVAL" for kind in relation.types):
        relation = relation.project(", ".join(cells))
    # Only the stream is handed over: Polars' look at the relation itself leaves references behind, of
    # which DuckDB complains on standard error when the process ends.
    stream = [relation.__arrow_c_stream__()]
    return pl.DataFrame(SimpleNamespace(__arrow_c_stream__=stream.pop))


@cache
def explain_missing_packages() -> None:
    """Let exits that lack their package say what to install; where all are installed this changes nothing.

    A relation is DuckDB's own and its class cannot be extended, so the methods that would fail are wrapped
    in place. They call DuckDB's first: a package that is installed later in the process works.
    """
    lacking = {
        name for package, names in _EXITS.items() if not find_spec(package) for name in names
    }
    for kind in (duckdb.DuckDBPyRelation, duckdb.DuckDBPyConnection):
        for name in lacking:
            if real := getattr(kind, name, None):
                setattr(kind, name, _explained(real, name))


def _explained(real: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(real)
    def wrapped(*args: Any, **given: Any) -> Any:
        try:
            return real(*args, **given)
        except ModuleNotFoundError as error:
            message = (
                f".{name}() needs {error.name or 'pandas, pyarrow and numpy'}: "
                f"pip install 'cryptolake[{EXTRA}]'; cl.to_polars(relation) needs nothing more."
            )
            raise MissingTool(message, missing=error.name) from error

    return wrapped
