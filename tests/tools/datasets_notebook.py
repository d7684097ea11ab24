"""Write ``notebooks/02_datasets.ipynb`` from the matrix and the schemas.

Run ``python -m tests.tools.datasets_notebook notebooks/02_datasets.ipynb`` after a change of either, and
``python -m tests.tools.notebook_outputs 02`` for its outputs; a test compares the committed cells with what this
writes, so that the notebook cannot fall behind the code.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.readers.describe import Description, describe

INTRODUCTION = """\
# Datasets

What the archive publishes, one section a dataset: where its files are, what is in them, and what to know before use.

It runs without network: the rows shown come from a sample archive, made on this machine in the real one's formats.
**For the real archive** make the second line `lake = cl.Lake("~/cryptolake")`, and name your symbols and days in `look`.

Written by `python -m tests.tools.datasets_notebook notebooks/02_datasets.ipynb` from `matrix/`."""

OPENING = """\
import cryptolake as cl

lake = cl.sample_lake("datasets")"""

ABOUT_LOOK = """\
Each section ends with `look`: it pulls the files of a dataset, and shows its first Silver row, a line for each column."""

LOOK = """\
import polars as pl

pl.Config.set_tbl_rows(-1).set_tbl_hide_column_data_types(True)


def look(market, data_type, *intervals):
    query = cl.query().markets(market).data_types(data_type).intervals(*intervals)
    query = query.symbols("*").between("2023-10-01", "2025-01-31")
    lake.pull(query, progress=False)
    first = lake.silver(query).head(1).collect().row(0, named=True)
    values = [str(value) for value in first.values()]
    return pl.DataFrame({"column": list(first), "first row": values})"""

ABOUT_MATRIX = "This is the availability matrix: what exists, from when on, and in which tree."

MATRIX = "cl.load_matrix()"

UNSEEN = "No file of it was ever seen, so there is no row to show."
WITHDRAWN = frozenset({"futures_um_liquidation_snapshot"})
"""Datasets whose files were taken back: the sample has none either."""


def notebook() -> dict[str, Any]:
    """Return the notebook as nbformat 4 data, without outputs.

    Examples
    --------
    >>> made = notebook()
    >>> made["cells"][0]["source"][0].strip(), made["nbformat"]
    ('# Datasets', 4)
    """
    cells = [
        _markdown("purpose", INTRODUCTION),
        _code("lake", OPENING),
        _markdown("t-look", ABOUT_LOOK),
        _code("look", LOOK),
        _markdown("t-matrix", ABOUT_MATRIX),
        _code("matrix", MATRIX),
    ]
    for row in load_matrix().rows:
        cells += _section(row)
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def text() -> str:
    """Return the notebook's file as it is committed."""
    return json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n"


def _section(row: Row) -> Iterator[dict[str, Any]]:
    about = describe(row.market.value, row.data_type.value)
    name = about.dataset.replace("_", "-")
    yield _markdown(f"t-{name}", "\n".join(_about(about)))
    if row.status == "never_observed" or about.dataset in WITHDRAWN:
        return
    words = [repr(row.market.value), repr(row.data_type.value)] + ["'1h'"] * row.has_interval
    yield _code(name, f"look({', '.join(words)})".replace("'", '"'))


def _about(about: Description) -> Iterator[str]:
    until = f" to {about.last_date}" if about.last_date else ""
    yield f"## {about.dataset}"
    yield ""
    yield f"{about.status.replace('_', ' ').capitalize()}, from {about.first_date}{until}. `{about.key_pattern}`"
    yield ""
    if about.intervals:
        words = (f"{name}: {' '.join(found)}" for name, found in about.intervals.items())
        yield f"Intervals, {'; '.join(words)}."
    else:
        yield f"Files: {' and '.join(about.partitions)}."
    yield ""
    yield f"A row is known at {about.known}."
    yield ""
    yield "| published | Silver | type | unit | meaning | example |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for column in about.columns.iter_rows(named=True):
        cells = (
            column["published"] or "-",
            column["name"] or "left out",
            column["silver_type"] or "",
            column["unit"] or "",
            column["meaning"],
            column["example"] or "",
        )
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"
    yield ""
    for quirk in about.quirks:
        yield f"- {quirk}"
    if about.row.status == "never_observed" or about.dataset in WITHDRAWN:
        yield f"- {UNSEEN}"


def _cell(word: str) -> str:
    return word.replace("|", "\\|")


def _markdown(name: str, source: str) -> dict[str, Any]:
    return {
        "cell_type": "markdown",
        "id": name,
        "metadata": {},
        "source": source.rstrip().splitlines(keepends=True),
    }


def _code(name: str, source: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the datasets notebook.")
    parser.add_argument("file", type=Path)
    parser.parse_args().file.write_text(text(), encoding="utf-8")
