"""Tables keep the terminal's width: no word is broken, no line is longer, what is left out is named."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from cryptolake.cli import output
from cryptolake.cli.examples import COMMANDS as EXAMPLES
from cryptolake.cli.output import lines_of, table
from tests.cli.conftest import WORDS

DAY = ("-m", "spot", "-s", "BTCUSDT", "--from", "2025-01-01")
LONGER = ("-m", "spot", "-i", "1h", "-s", "BTCUSDT", "--from", "2024-12-30", "--to", "2025-01-08")
LOCK = "x.lock.json"
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
    ("pull", *WORDS),
    ("transfer", *WORDS),
    ("build",),
    ("update",),
    ("save-query", "core", *WORDS),
    ("save-query",),
    ("quality", *WORDS, "--all"),
    ("gaps", *LONGER),
    ("heal", *LONGER),
    ("ids", *DAY, "-t", "trades"),
    ("fill", *DAY, "-i", "1h", "--against", "trades"),
    ("verify",),
    ("compact",),
    ("freeze", LOCK, *WORDS),
    ("locks",),
    ("diff", LOCK),
    ("thaw", LOCK, "--root", "thawed", "--donor", "."),
    ("unlock", "ID"),
    ("frame", *WORDS),
    ("sql", "from silver.spot_klines_1h"),
    ("sql", "from meta.files"),
    ("sql", "from meta.runs"),
    ("export", *WORDS, "--folder", "out", "--overwrite"),
    ("run", "run.json", "--plan"),
    ("sample", "sample", "--rows", "spot_klines", "--days", "2025-01-01", "--defects"),
)
ELSEWHERE = {"demo", "serve-archive", "profile"}
"""What is tried in tests of its own, at whatever width."""


def test_every_command_is_among_those_that_keep_the_width():
    assert {command for command, *_ in COMMANDS} | ELSEWHERE >= set(EXAMPLES)


@pytest.fixture
def lake(pulled, tmp_path, monkeypatch):
    """A copy of the lake that was pulled, and files for the commands, in the working folder."""
    shutil.copytree(pulled, tmp_path / "copy")
    monkeypatch.setenv("CRYPTOLAKE_ROOT", str(tmp_path / "copy"))
    monkeypatch.chdir(tmp_path / "copy")
    selection = {"markets": ["spot"], "symbols": ["BTCUSDT"], "data_types": ["klines"]}
    days = {"start": "2024-12-30", "end": "2025-01-03"}
    more = {"intervals": {"klines": ["1h"]}, "date_range": days}
    Path("run.json").write_text(json.dumps(selection | more))


def test_no_command_prints_a_line_over_the_width(run, lake, monkeypatch):
    """Each runs at 80 columns; its tables are also laid out at 120."""
    wider = []

    def both(frame, limit=None, *, width, **how):
        wider.extend("\n".join(lines_of(frame, limit, width=120, **how)).splitlines())
        return lines_of(frame, limit, width=width, **how)

    monkeypatch.setattr(output, "lines_of", both)
    monkeypatch.setenv("COLUMNS", "80")
    for command in COMMANDS:
        wider.clear()
        done = run(*[_lock_of() if word == "ID" else word for word in command])
        assert done.code == 0, (command, done.err)
        assert done.out.strip(), command
        assert over(80, done.out.splitlines()) == over(120, wider) == [], command


def over(width, lines):
    """Return the lines that are longer; a key or a path is one word, and stands whole."""
    return [line for line in lines if cell_len(line) > width and len(line.split()) > 1]


def _lock_of():
    return next(path.stem for path in Path("meta/locks").glob("*.json"))


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
