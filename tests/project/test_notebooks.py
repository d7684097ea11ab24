"""Every notebook says its purpose, runs from a clean kernel, and shows what is kept in it."""

import copy
import json
from itertools import pairwise

import pytest

from tests.tools.notebook_outputs import (
    FOLDER,
    LIMIT,
    difference,
    execute,
    normalize,
    read,
    text_of,
)

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
AGAIN = "python -m tests.tools.notebook_outputs"

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert NOTEBOOKS


@each
def test_it_is_valid_and_names_its_kernel(path):
    import nbformat

    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


@each
def test_it_begins_with_a_title_and_its_purpose(path):
    first = json.loads(path.read_text("utf-8"))["cells"][0]
    title, blank, purpose, *_ = "".join(first["source"]).splitlines()
    assert (first["cell_type"], title[:2], blank) == ("markdown", "# ", "")
    assert len(purpose.split()) > 5


@each
def test_its_first_cell_opens_a_sample_lake(path):
    notebook = read(path)
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    imported, opened = filter(None, first.splitlines())
    assert imported == "import cryptolake as cl"
    assert opened.startswith("lake = cl.sample_lake(")
    assert 'lake = cl.Lake("' in notebook.cells[0].source, "how to read the real archive"


@each
def test_a_sentence_stands_before_each_cell(path):
    kinds = [cell.cell_type for cell in read(path).cells]
    assert ("code", "code") not in pairwise(kinds)


@each
def test_its_outputs_are_kept_without_what_a_run_leaves_in_them(path):
    text = path.read_text("utf-8")
    notebook = read(path)
    normalize(notebook)
    assert text_of(notebook) == text, f"run: {AGAIN} {path.stem}"
    assert len(text.encode()) < LIMIT
    assert "/tmp/" not in text, "a temporary folder"
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    assert outputs, f"run: {AGAIN} {path.stem}"
    assert [out for out in outputs if out.get("name") == "stderr"] == []


@each
@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:jupyter_client", "ignore::ResourceWarning:zmq"
)
def test_it_runs_from_a_clean_kernel_and_shows_what_is_kept(path, tmp_path):
    kept = read(path)
    differing = difference(kept, execute(copy.deepcopy(kept), tmp_path))
    assert not differing, f"{path.name} shows something else; run: {AGAIN} {path.stem}\n{differing}"
