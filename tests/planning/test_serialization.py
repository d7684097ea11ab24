"""A saved plan: read back as it was, or refused with what is wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import cryptolake as cl

if TYPE_CHECKING:
    from tests.planning.source import Source


@pytest.fixture
def plan(origin: Source, lake: cl.Lake) -> cl.Plan:
    origin.days("BTCUSDT", "2024-01-01", "2024-01-20")
    origin.days("ETHUSDT", "2024-01-10", "2024-01-20")
    origin.publish()
    query = cl.query().markets("spot").klines("1m").symbols("*").between("2024-01-05", "2024-01-25")
    return lake.plan(query)


def test_a_plan_reads_back_as_it_was(plan: cl.Plan, tmp_path: Path):
    plan.save(tmp_path / "plan.json")
    back = cl.Plan.load(tmp_path / "plan.json")
    assert back.files.equals(plan.files)
    assert back.missing_periods.equals(plan.missing_periods)
    assert back.commands() == plan.commands()
    assert (back.id, back.query, back.notes) == (plan.id, plan.query, plan.notes)
    assert (back.archive, back.created_at, back.listed_at) == (
        plan.archive,
        plan.created_at,
        plan.listed_at,
    )
    assert repr(back) == repr(plan)


def test_a_plans_file_is_json_with_a_line_for_each_file(plan: cl.Plan, tmp_path: Path):
    path = tmp_path / "plan.json"
    plan.save(path)
    said = json.loads(path.read_text())
    assert [row[said["columns"].index("key")] for row in said["files"]] == plan.files[
        "key"
    ].to_list()
    lines = path.read_text().splitlines()
    assert [plan.files["key"][0] in line for line in lines[:3]] == [False, True, False]
    path.write_text(json.dumps(said))  # as a program that knows nothing of the lines writes it
    assert cl.Plan.load(path).files.equals(plan.files)


def test_a_plan_of_many_files_reads_back_in_pieces(plan: cl.Plan, tmp_path: Path):
    rows = pl.int_range(2500, dtype=pl.UInt32, eager=True) % plan.files.height
    many = dataclasses.replace(plan, files=plan.files[rows])
    many.save(tmp_path / "plan.json")
    assert cl.Plan.load(tmp_path / "plan.json").files.equals(many.files)


@pytest.mark.parametrize("lost", [1, 4, 200])
def test_a_plan_that_breaks_off_is_refused(lost: int, plan: cl.Plan, tmp_path: Path):
    path = tmp_path / "plan.json"
    plan.save(path)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(cl.PlanError):
        cl.Plan.load(path)


def test_an_empty_plan_reads_back_too(lake: cl.Lake, origin: Source, tmp_path: Path):
    query = cl.query().markets("spot").data_types("bookDepth").symbols("X").between("2024-01-01")
    empty = lake.plan(query)
    empty.save(tmp_path / "plan.json")
    assert cl.Plan.load(tmp_path / "plan.json").files.equals(empty.files)


def test_the_endpoint_of_the_environment_is_kept_with_the_plan(
    plan: cl.Plan, lake: cl.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CRYPTOLAKE_ENDPOINT_URL", str(plan.archive.endpoint))
    same = cl.Lake(lake.root, source=cl.Archive(bucket=plan.archive.bucket)).plan(plan.query)
    same.save(tmp_path / "plan.json")
    monkeypatch.delenv("CRYPTOLAKE_ENDPOINT_URL")
    assert cl.Plan.load(tmp_path / "plan.json").archive.endpoint == plan.archive.endpoint


def test_a_file_that_is_no_plan_says_so(tmp_path: Path):
    for name, text in {
        "a": "",
        "b": "{}",
        "c": "[1]",
        "d": "PAR1",
        "e": '{"cryptolake_plan": 99}',
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(cl.PlanError, match="is no plan that can be read"):
            cl.Plan.load(tmp_path / name)
    with pytest.raises(cl.PlanError, match="No such file"):
        cl.Plan.load(tmp_path / "absent")
    (tmp_path / "half").write_text('{"cryptolake_plan": 2, "files": []}')
    with pytest.raises(cl.PlanError, match="it has no 'columns'"):
        cl.Plan.load(tmp_path / "half")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(cl.PlanError):
        cl.Plan.load(tmp_path / "binary")


def changed(plan: cl.Plan, path: Path, column: str, value: Any) -> Path:
    plan.save(path)
    said = json.loads(path.read_text())
    said["files"][0][said["columns"].index(column)] = value
    path.write_text(json.dumps(said))
    return path


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("key", "data/spot/daily/klines/../../../../etc/passwd"),
        ("key", "/etc/passwd"),
        ("key", "data/spot/daily/klines/A\nB/1m/A\nB-1m-2024-01-01.zip"),
        ("selector", "data/"),
        ("selector", "data/spot/daily/klines/ETHUSDT/1m/ETHUSDT-1m-2024-"),
        ("status", "excellent"),
        ("size", "many"),
        ("last_modified", "yesterday"),
    ],
)
def test_a_plan_that_somebody_edited_cannot_reach_outside_the_lake(
    column: str, value: Any, plan: cl.Plan, tmp_path: Path
):
    with pytest.raises(cl.PlanError):
        cl.Plan.load(changed(plan, tmp_path / "plan.json", column, value))


def test_a_place_that_cannot_be_written_is_named(plan: cl.Plan, tmp_path: Path):
    with pytest.raises(cl.StorageError, match="cannot write the plan"):
        plan.save(tmp_path / "absent" / "plan.json")
