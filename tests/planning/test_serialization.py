"""A saved plan: read back as it was, or refused with what is wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.planning import file_rows, serialization

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


@pytest.fixture
def written(plan: cl.Plan, tmp_path: Path) -> dict[str, Any]:
    plan.save(tmp_path / "plan.json")
    found: dict[str, Any] = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    return found


def loading(path: Path, written: dict[str, Any]) -> cl.Plan:
    path.write_text(json.dumps(written), "utf-8")
    return cl.Plan.load(path)


STRANGE_CELLS: dict[str, list[Any]] = {
    "key": [
        "data/spot/daily/klines/../../../../home/1m/..-1m-2024-01-01.zip",
        "/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip",
        "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-32.zip",
        "data/spot/daily/klines/\ud800/1m/\ud800-1m-2024-01-01.zip",
        "x" * 5000,
        "",
        None,
        7,
        ["data"],
    ],
    "market": ["futures_um", None, 1],
    "symbol": ["../../x", "XRPUSDT", None],
    "interval": ["1h", None],
    "partition": ["monthly", "x"],
    "period": ["../../x", "2024-01", "2031-01-01", None],
    "size": [-1, 2**47, 2**63, 2**70, 10**400, 1.5, "1", True, None, [1], {"a": 1}],
    "checksum_size": [-7, 2**64, "90", 0.5, False],
    "etag": [1, ["a"], {"a": 1}, "e" * 2000, "\udfff"],
    "checksum_etag": [0, "e" * 2000],
    "status": ["moved", None, 1, ["new"]],
    "last_modified": ["yesterday", 7, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
    "selector": ["data/", "--help", "data/spot/daily/klines/*", 3],
    "suspect_size": ["yes", 2],
}


def test_a_cell_that_no_plan_has_is_refused(written: dict[str, Any], tmp_path: Path) -> None:
    row = written["files"][-1]
    for place, column in enumerate(written["columns"]):
        good = row[place]
        for value in STRANGE_CELLS.get(column, ()):
            row[place] = value
            with pytest.raises(cl.PlanError, match="is no plan that can be read") as caught:
                loading(tmp_path / "strange.json", written)
            assert len(str(caught.value)) < 1000
        row[place] = good
    assert loading(tmp_path / "good.json", written).files.height == len(written["files"])


STRANGE_HEADERS: list[tuple[str, object]] = [
    ("id", "../../evil"),
    ("id", 7),
    ("id", ""),
    ("notes", ["x" * 20_000]),
    ("notes", ["x"] * 2000),
    ("notes", [1]),
    ("notes", "text"),
    ("archive", []),
    ("archive", {"bucket": "b", "endpoint_url": "http://u:p@h"}),
    ("archive", {"region": "x\ny --endpoint"}),
    ("archive", {"no": "field"}),
    ("query", [[]]),
    ("created_at", 5),
    ("created_at", None),
    ("listed_at", {"a": 1}),
    ("columns", "key"),
    ("columns", [1, 2]),
    ("columns", []),
    ("missing_periods", []),
    ("missing_periods", {}),
    ("missing_periods", {"market": [["a"]]}),
    ("files", {}),
    ("files", [1]),
    ("files", [[]]),
    ("files", [[None] * 15]),
]


def test_a_header_that_no_plan_has_is_refused(written: dict[str, Any], tmp_path: Path) -> None:
    for name, value in STRANGE_HEADERS:
        with pytest.raises(cl.PlanError, match="is no plan that can be read"):
            loading(tmp_path / "strange.json", {**written, name: value})


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 200_000,
        '{"cryptolake_plan": 2, "notes": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"cryptolake_plan": ' + "9" * 5000 + "}",
        '{"cryptolake_plan": NaN}',
        "\x00" * 1000,
    ],
    ids=["lists", "objects", "closed", "long number", "nan", "zeros"],
)
def test_json_that_is_made_to_hurt_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deep.json"
    path.write_text(text, "utf-8")
    with pytest.raises(cl.PlanError, match="is no plan that can be read"):
        cl.Plan.load(path)


def test_a_nested_row_on_a_line_of_its_own_is_refused(plan: cl.Plan, tmp_path: Path) -> None:
    plan.save(tmp_path / "plan.json")
    head, *lines = (tmp_path / "plan.json").read_text("utf-8").splitlines(keepends=True)
    for row in ("[" * 5000 + "]" * 5000, json.dumps(["x" * 10_000])):
        (tmp_path / "nested.json").write_text("".join([head, f"{row}\n", *lines[-1:]]), "utf-8")
        with pytest.raises(cl.PlanError, match="is no plan that can be read"):
            cl.Plan.load(tmp_path / "nested.json")


def test_a_plan_of_more_than_its_limits_is_refused_before_it_is_held(
    plan: cl.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan.save(tmp_path / "plan.json")
    monkeypatch.setattr(file_rows, "MOST_FILES", 2)
    with pytest.raises(cl.PlanError, match="names more than 2 files"):
        cl.Plan.load(tmp_path / "plan.json")
    monkeypatch.undo()
    monkeypatch.setattr(serialization, "_LONGEST_HEADER", 100)
    with pytest.raises(cl.PlanError, match="has 100 letters or more before its files"):
        cl.Plan.load(tmp_path / "plan.json")


def test_a_file_without_end_is_not_read_to_it() -> None:
    with pytest.raises(cl.PlanError, match="letters or more before its files"):
        cl.Plan.load("/dev/zero")


def test_sizes_that_add_up_past_64_bits_are_refused(
    written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = written["columns"].index("size")
    for row in written["files"]:
        row[size] = 2**46
    assert loading(tmp_path / "large.json", written).rows.height == len(written["files"])
    monkeypatch.setattr(file_rows, "_TOTAL", 2**46)
    with pytest.raises(cl.PlanError, match="more bytes than 64 bits count"):
        loading(tmp_path / "large.json", written)
