"""Every notebook says its purpose, is committed without outputs, and runs from a clean kernel."""

import json
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert NOTEBOOKS


@each
def test_it_is_valid_and_names_its_kernel(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


@each
def test_it_begins_with_a_title_and_its_purpose(path):
    first = json.loads(path.read_text("utf-8"))["cells"][0]
    title, blank, purpose, *_ = "".join(first["source"]).splitlines()
    assert (first["cell_type"], title[:2], blank) == ("markdown", "# ", "")
    assert len(purpose.split()) > 5


@each
def test_it_is_committed_without_outputs(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"]] == []


@each
@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:jupyter_client", "ignore::ResourceWarning:zmq"
)
def test_it_runs_from_a_clean_kernel(path, tmp_path):
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(tmp_path)}}).execute()
