"""Tables keep the terminal's width: no word is broken, no line is longer, what is left out is named."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cryptolake.cli.output import table
from tests.cli.conftest import WORDS

DAYS = ("--from", "2025-01-01", "--to", "2025-01-05")
COMMANDS = (
    ("status",),
    ("datasets",),
    ("runs",),
    ("freshness",),
    ("matrix",),
    ("symbols", "-m", "spot", "--spans"),
    ("views",),
    ("describe", "spot", "klines"),
    ("describe", "futures_um", "metrics"),
    ("plan", *WORDS),
    ("quality", *WORDS, "--all"),
    ("gaps", *WORDS),
    (
        "gaps",
        "-m",
        "spot",
        "-i",
        "1h",
        "-s",
        "BTCUSDT",
        "--from",
        "2024-12-30",
        "--to",
        "2025-01-08",
    ),
    ("verify",),
    ("save-query",),
    ("compact",),
    ("frame", *WORDS, "--quiet"),
    ("sql", "from silver.spot_klines_1h"),
    ("sql", "from meta.files"),
    ("sql", "from meta.runs"),
)


@pytest.mark.parametrize("width", [80, 120])
def test_no_command_prints_a_line_over_the_width(run, pulled, monkeypatch, width):
    monkeypatch.setenv("CRYPTOLAKE_ROOT", str(pulled))
    monkeypatch.setenv("COLUMNS", str(width))
    for command in COMMANDS:
        done = run(*command)
        assert done.code == 0, done.err
        assert done.out.strip(), command
        long = [line for line in done.out.splitlines() if cell_len(line) > width]
        # A key or a path is one word, and stands whole.
        assert [line for line in long if len(line.split()) > 1] == [], command


def test_a_table_at_80_columns_has_what_the_command_is_about(run, pulled, monkeypatch):
    monkeypatch.setenv("CRYPTOLAKE_ROOT", str(pulled))
    monkeypatch.setenv("COLUMNS", "80")
    out = run("runs").out
    head, *rows = out.splitlines()
    assert head.split()[:4] == ["kind", "state", "started_at", "files"]
    assert "left out for the width: run_id" in out
    assert rows[0].split()[:2] == ["transfer", "done"]
    assert run("status").out.splitlines()[1].split()[:1] == ["dataset"]


def test_a_pipe_reads_every_column(run, pulled, monkeypatch):
    monkeypatch.setenv("CRYPTOLAKE_ROOT", str(pulled))
    monkeypatch.delenv("COLUMNS", raising=False)
    out = run("runs").out
    assert "run_id" in out
    assert "left out" not in out


def test_numbers_bytes_and_times_have_one_form(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    at = datetime(2025, 1, 2, 3, 4, 5, 678, UTC)
    table(pl.DataFrame({"rows": [1_234_567], "bytes": [11_391], "seconds": [75.0], "at": [at]}))
    assert capsys.readouterr().out.splitlines() == [
        "     rows    bytes     seconds  at",
        "1,234,567  11.4 kB  1 min 15 s  2025-01-02 03:04:05Z",
    ]


def test_a_table_without_rows_says_so(capsys):
    table(pl.DataFrame({"a": []}), nothing="no gaps")
    assert capsys.readouterr().out == "(no gaps)\n"


WORD = st.text(alphabet="abcxyz龙虾_-:/", min_size=1, max_size=18)
CELL = st.lists(WORD, max_size=5).map(" ".join)


@given(
    cells=st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=9),
    width=st.integers(40, 130),
)
def test_no_word_is_broken_and_no_line_is_over_the_width(cells, width):
    from rich.console import Console

    from cryptolake.cli.tables import columns_of, fitted, laid_out

    frame = pl.DataFrame({f"c{at}": list(column) for at, column in enumerate(cells)}, strict=False)
    columns, left_out = fitted(columns_of(frame), width)
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(laid_out(columns, width))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(map(cell_len, lines)) <= width
    printed = {word for line in lines for word in line.split()}
    wanted = {word for column in columns for text in column.cells for word in text.split()}
    assert wanted <= printed
    assert {column.name for column in columns} | set(left_out) == set(frame.columns)
