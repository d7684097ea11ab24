"""No operation on a damaged lake gives wrong rows in silence, or dies of an error that is not typed.

The cells that still do stand in ``EXPECTED_TODAY``, and the table is strict: a cell that has become good has
to be taken out of it. ``python -m tests.storm.matrix FAULT --expected`` prints a fault's line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.storm.matrix import BAD, FAULTS, OPERATIONS, Worlds, worlds

EXPECTED_TODAY: dict[str, str] = {}
"""The bad cells of each fault, as they are today."""

FEW = [
    "bronze: flipped byte",
    "bronze: link that loops",
    "published: bzip2",
    "silver: flipped byte",
    "silver: emptied",
    "meta files: truncated",
    "meta sources: one more column",
    "listing: junk",
]
"""One fault of each kind; CRYPTOLAKE_STORM in the environment runs all of them."""

CHOSEN = list(FAULTS) if os.environ.get("CRYPTOLAKE_STORM") else FEW


def expected(fault: str) -> dict[str, str]:
    cells = EXPECTED_TODAY.get(fault)
    return dict(cell.split(": ") for cell in cells.split(", ")) if cells else {}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with worlds(tmp_path_factory.mktemp("matrix")) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("fault", CHOSEN)
def test_no_cell_is_silent_or_raw_but_the_known_ones(made: Worlds, fault: str):
    cells = made.row(FAULTS[fault], OPERATIONS)
    bad = {operation: word for operation, (word, _) in cells.items() if word in BAD}
    known = expected(fault)
    mended = {operation for operation in known if operation not in bad}
    assert not mended, f"these cells are good now: take them out of EXPECTED_TODAY: {mended}"
    new = {o: (word, cells[o][1]) for o, word in bad.items() if known.get(o) != word}
    assert not new, f"{fault}: {new}"


def test_the_table_of_known_cells_names_faults_operations_and_verdicts_that_exist():
    assert set(EXPECTED_TODAY) <= set(FAULTS)
    assert set(FEW) <= set(FAULTS)
    for fault in EXPECTED_TODAY:
        cells = expected(fault)
        assert cells
        assert set(cells) <= set(OPERATIONS)
        assert set(cells.values()) <= BAD
