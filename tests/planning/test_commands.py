"""The commands, run by the real s5cmd: it copies exactly the planned files to their places."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.archive.keys import CHECKSUM
from cryptolake.planning.commands import copy_line, quoted
from cryptolake.transfer.s5cmd import find_s5cmd
from tests.planning.source import SPOT, Source

ODD = "X*Y'USDT"
"""A name that no lake has a folder for."""

LONE = "LONEUSDT"
"""A name with one file."""


@pytest.fixture
def plan(origin: Source, lake: cl.Lake) -> cl.Plan:
    """Parts of months, whole ones, a strange key in the way, and names that need care."""
    origin.days("BTCUSDT", "2023-12-20", "2024-03-05")
    origin.months("BTCUSDT", "2023-10", "2023-11", "2024-01")
    origin.put("data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02-1.zip")
    origin.days("ETHUSDT", "2024-01-10", "2024-02-10")
    origin.days("龙虾USDT", "2024-01-30", "2024-02-02")
    origin.days(ODD, "2024-02-01", "2024-02-02")
    lone = SPOT.format(partition="daily", symbol=LONE, interval="1m", period="2024-02-03")
    origin.put(lone, sidecar=False)
    origin.publish()
    query = cl.query().markets("spot").klines("1m").symbols("*").between("2023-12-25", "2024-02-27")
    return lake.plan(query)


def run(commands: list[str], plan: cl.Plan, folder: Path) -> dict[str, str]:
    """Run lines in an empty folder; return the MD5 of each file they left, by its path."""
    folder.mkdir()
    endpoint = ["--endpoint-url", str(plan.archive.endpoint), "--no-sign-request"]
    text = "\n".join(commands)
    done = subprocess.run(
        [find_s5cmd(), *endpoint, "run"], cwd=folder, input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {
        path.relative_to(folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def wanted(files: pl.DataFrame) -> dict[str, str]:
    zips = dict(files.select("key", "etag").rows())
    sidecars = files.filter(pl.col("checksum_etag").is_not_null()).select(
        pl.col("key") + CHECKSUM, "checksum_etag"
    )
    return zips | dict(sidecars.rows())


def test_s5cmd_copies_exactly_the_planned_files_and_sidecars(plan: cl.Plan, tmp_path: Path):
    assert run(plan.commands(), plan, tmp_path / "incoming") == wanted(plan.moving)


def test_lines_for_some_keys_copy_only_those(plan: cl.Plan, tmp_path: Path):
    some = plan.moving.gather_every(3)
    assert run(plan.commands(some["key"]), plan, tmp_path / "incoming") == wanted(some)


def test_there_are_few_lines_and_few_requests(plan: cl.Plan):
    wild = [command for command in plan.commands() if "*" in command]
    named = [command for command in plan.commands() if "*" not in command]
    assert len(wild) <= 6
    assert [LONE in command for command in named] == [True]
    assert ODD not in plan.files["symbol"]
    objects = plan.to_transfer + plan.moving["checksum_size"].count()
    assert plan.request_count < 1.2 * objects


# ---------------------------------------------------------------------- quoting

names = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), min_size=1)


@given(names)
def test_quoting_is_undone_by_a_shells_rules(name: str):
    assert shlex.split(quoted(name)) == [name]
    assert shlex.split(copy_line("b", name))[-1] == name


@pytest.mark.parametrize("sign", ["\n", "\r", "\0"])
def test_a_line_break_cannot_stand_in_a_command(sign: str):
    with pytest.raises(ValueError, match="line break"):
        copy_line("b", f"a{sign}b")
