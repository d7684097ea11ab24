"""What the page on operations prints is what an operator copies: units, cron lines, alerts and rights hold."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from typer._click import Context

from cryptolake.cli.app import app
from cryptolake.maintenance.metrics import DATASETS, RUNS

PAGE = (Path(__file__).parents[2] / "notebooks" / "guide" / "operations.md").read_text("utf-8")
PROGRAM = "/opt/cryptolake/bin/cryptolake"
METRICS = {f"cryptolake_{gauge.name}" for gauge in (*DATASETS, *RUNS)}


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_systemd_takes_the_units(tmp_path: Path):
    paths = []
    for kind, text in zip(("service", "timer"), blocks("ini"), strict=True):
        path = tmp_path / f"cryptolake.{kind}"
        path.write_text(text.replace(PROGRAM, sys.executable))
        paths.append(path)
    command = ["systemd-analyze", "verify", "--recursive-errors=no", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (
        done.returncode,
        [line for line in done.stderr.splitlines() if "cryptolake." in line],
    ) == (0, [])


def test_every_command_is_one_that_the_program_takes():
    lines = re.findall(rf"{PROGRAM} ([^>\n]+)", PAGE) + re.findall(
        r"^cryptolake (.+)$", PAGE, re.MULTILINE
    )
    lines += re.findall(r"`cryptolake ([a-z-]+ [^`]*)`", PAGE)
    assert len(lines) > 8
    program: Any = typer.main.get_command(app)
    top = Context(program, info_name="cryptolake")
    for line in lines:
        name, *words = shlex.split(line)
        made = program.get_command(top, name).make_context(name, words, parent=top)
        assert not made.args, line


def test_the_alerts_and_the_table_name_what_the_metrics_are_called():
    [rules] = [yaml.safe_load(text) for text in blocks("yaml")]
    asked = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    named = {name for text in asked for name in re.findall(r"cryptolake_\w+", text)}
    assert named <= METRICS
    table = set(re.findall(r"`(cryptolake_\w+)`", PAGE))
    assert table == METRICS


def test_the_rights_are_those_that_the_page_on_s3_names():
    [policy] = [json.loads(text) for text in blocks("json")]
    by = {statement["Sid"]: statement for statement in policy["Statement"]}
    assert by["ReadTheArchive"]["Action"] == "s3:GetObject"
    page = (Path(__file__).parents[2] / "notebooks" / "guide" / "s3.md").read_text("utf-8")
    ours = {*by["WriteTheLake"]["Action"], by["ListTheLake"]["Action"]}
    assert ours == set(re.findall(r"`(s3:\w+)`", page))
