"""The datasets notebook is what the matrix and the schemas say, and nothing else."""

from __future__ import annotations

from pathlib import Path

from cryptolake.archive.enums import Market
from cryptolake.archive.matrix import load_matrix
from tests.tools.datasets_notebook import notebook, text

COMMITTED = Path(__file__).parents[2] / "notebooks" / "02_datasets.ipynb"


def test_the_committed_notebook_is_what_the_code_writes():
    import nbformat  # its checks of formats take a second to load

    committed, written = nbformat.read(COMMITTED, 4), nbformat.reads(text(), 4)
    assert [(cell.id, cell.source) for cell in committed.cells] == [
        (cell.id, cell.source) for cell in written.cells
    ], "run: python -m tests.tools.datasets_notebook notebooks/02_datasets.ipynb"


def test_every_row_of_the_matrix_has_a_section():
    headings = {
        line.strip()
        for cell in notebook()["cells"]
        if cell["cell_type"] == "markdown"
        for line in cell["source"]
    }
    assert {f"## {row.dataset}" for row in load_matrix().rows} <= headings
    assert {row.market for row in load_matrix().rows} == set(Market)
