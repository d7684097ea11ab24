"""The eight configurations run by API and by command line, on a disk and in a bucket; each key has its effect."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from pydantic import BaseModel

import cryptolake as cl
from cryptolake.archive.matrix import load_matrix
from cryptolake.sample.server import serve_archive
from tests.workflows.test_config import CONFIGS, HERE, SMALL

if TYPE_CHECKING:
    from cryptolake.progress import Step

WHERE = {**SMALL, "date_range": {"start": "2025-01-01", "end": "2025-01-01"}}


@pytest.fixture
def selection(tmp_path: Path) -> Path:
    """A file that names one symbol's day."""
    path = tmp_path / "selection.json"
    path.write_text(json.dumps(WHERE))
    return path


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_runs_by_command_on_a_disk(run, selection, tmp_path, name):
    words = [HERE / name, selection, "--root", tmp_path / "lake", "--quiet", "--json"]
    done = run("run", *words)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["status"], found["collection_stats"]["successful"]) == ("success", 1)
    assert found["output_directory"] == str(tmp_path / "lake")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_runs_in_a_bucket(run, keys, monkeypatch, selection, name):
    monkeypatch.setenv("CRYPTOLAKE_ENDPOINT_URL", keys["CRYPTOLAKE_ENDPOINT_URL"])
    place = {"destination_bucket": "flows", "destination_prefix": f"api/{name}"}
    config = cl.WorkflowConfig(HERE / name, WHERE, place)
    found = cl.ArchiveCollectionWorkflow(config, progress=False).run()
    assert found.ok, found.summary()
    assert config.root == f"s3://flows/api/{name}"
    words = [HERE / name, selection, "--root", f"s3://flows/cli/{name}", "--quiet", "--json"]
    done = run("run", *words)
    assert done.code == 0, done.err
    assert json.loads(done.out)["success_rate"] == 1
    frames = [
        cl.Lake(f"s3://flows/{way}/{name}").silver(config.queries()[0]).collect()
        for way in ("api", "cli")
    ]
    assert frames[0].height == 24
    assert frames[0].equals(frames[1])
    if config.mode == "direct":
        report = found.report
        assert report is not None
        assert set(report.files["mode"]) == {"direct"}


def test_a_plan_is_shown_and_nothing_is_fetched(run, selection, tmp_path):
    done = run("run", selection, "--root", tmp_path / "lake", "--plan", "--quiet")
    assert (done.code, "to move: 1 file" in done.out) == (0, True), done.err
    assert not list((tmp_path / "lake").rglob("*.zip"))
    done = run("run", selection, "--root", tmp_path / "lake", "--plan", "--quiet", "--json")
    assert [plan["to_transfer"] for plan in json.loads(done.out)] == [1]


def test_a_mistake_in_a_configuration_is_exit_2_in_one_sentence(run, tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"batch_sise": 3}')
    done = run("run", wrong)
    assert (done.code, done.out) == (2, "")
    assert "did you mean 'batch_size'" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_collection_beside_an_event_loop_and_one_that_is_cancelled(archive, tmp_path):
    config = cl.WorkflowConfig(SMALL, output_directory=str(tmp_path / "lake"))
    seen: list[Step] = []

    async def cancelled() -> bool:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def watch(step: Step) -> None:
            seen.append(step)
            loop.call_soon_threadsafe(begun.set)

        workflow = cl.ArchiveCollectionWorkflow(config, source=archive, progress=watch)
        task = asyncio.create_task(workflow.execute())
        await begun.wait()
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return True
        return False  # it was done already

    async def whole() -> cl.Report | None:
        done = await cl.ArchiveCollectionWorkflow(config, source=archive, progress=False).execute()
        assert done.ok, done.summary()
        return done.report

    with ThreadPoolExecutor(1) as thread:  # other tests may have a loop in this one
        thread.submit(lambda: asyncio.run(cancelled())).result()
    assert seen
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(whole())).result()
    lake = cl.Lake(config.root, source=archive)
    assert lake.silver(config.queries()[0]).collect().height == 48
    assert set(lake.runs()["state"]) <= {"done", "stopped"}


def test_a_matrix_of_ones_own_counts_where_it_is_named(sample_archive, monkeypatch, tmp_path):
    """Fewer rows, and another bucket: what the matrix says is what is asked for, and of whom."""
    own = json.loads(load_matrix().model_dump_json()) | {"bucket": "mirror.archive"}
    wanted = {"market": "spot", "data_type": "klines"}
    own["rows"] = [row for row in own["rows"] if wanted.items() <= row.items()]
    path = tmp_path / "matrix.json"
    path.write_text(json.dumps(own))
    both = {**WHERE, "markets": ["spot", "futures_um"], "matrix_path": str(path)}
    config = cl.WorkflowConfig(both, output_directory=str(tmp_path / "lake"))
    assert [(one.market, one.data_type) for one in config.skipped()] == [("futures_um", "klines")]
    with serve_archive(sample_archive, bucket="mirror.archive") as served:
        monkeypatch.setenv("CRYPTOLAKE_ENDPOINT_URL", served.endpoint)
        found = cl.ArchiveCollectionWorkflow(config, progress=False).run()
    assert found.ok, found.summary()
    lake = cl.Lake(config.root, source=config.archive)
    assert set(lake.datasets()["dataset"]) == {"spot_klines"}
    assert "mirror.archive" in repr(lake)
    assert len(load_matrix().rows) > 1  # the package's own counts again


def test_the_page_of_configurations_has_every_key():
    page = (Path(__file__).parents[2] / "notebooks/guide/configurations.md").read_text("utf-8")
    named = re.findall(r"^\| `([\w.]+)` \|", page, flags=re.M)
    assert sorted(named) == sorted(keys_of(cl.WorkflowConfig))


def keys_of(model: type[BaseModel], within: str = "") -> list[str]:
    """Every key of a model, those of its objects with a dot."""
    found = []
    for name, about in model.model_fields.items():
        kinds = [k for k in (about.annotation, *get_args(about.annotation)) if isinstance(k, type)]
        inner = [kind for kind in kinds if issubclass(kind, BaseModel)]
        found += keys_of(inner[0], f"{within}{name}.") if inner else [f"{within}{name}"]
    return found


EFFECTS = [
    ({"max_parallel_downloads": 7}, lambda c: c.options().workers == 7),
    ({"performance_optimization": {"max_concurrent": 9}}, lambda c: c.options().workers == 9),
    ({"part_size_mb": 64}, lambda c: c.options().part_size == 64),
    ({"timeout_seconds": 33}, lambda c: c.options().stall_timeout == 33),
    ({"download_checksum": False}, lambda c: not c.options().sidecars),
    ({"enable_batch_mode": False}, lambda c: c.options().batch_size == 1),
    ({"s5cmd_extra_args": ["--numworkers=5"]}, lambda c: c.options().workers == 5),
    (
        {"s5cmd_extra_args": ["--no-verify-ssl"]},
        lambda c: c.options().s5cmd_args == ("--no-verify-ssl",),
    ),
    (
        {"operation_mode": "traditional", "destination_bucket": "bbb"},
        lambda c: c.mode == "traditional",
    ),
    ({"operation_mode": "direct_sync", "destination_bucket": "bbb"}, lambda c: c.mode == "direct"),
    (
        {"s3_config": {"storage_class": "STANDARD_IA"}, "destination_bucket": "bbb"},
        lambda c: c.options().storage_class == "STANDARD_IA",
    ),
    (
        {"destination_bucket": "bbb", "destination_prefix": "p/q"},
        lambda c: c.root == "s3://bbb/p/q",
    ),
]
NOTED = ("enable_resume", "environment", "enable_monitoring", "logging", "local_data_dir")


@pytest.mark.parametrize(("given", "holds"), EFFECTS, ids=[str(given) for given, _ in EFFECTS])
def test_a_key_has_its_effect(given, holds):
    assert holds(cl.WorkflowConfig(WHERE, given))


def test_a_key_without_an_effect_is_told():
    given = {
        "enable_resume": False,
        "environment": "development",
        "enable_monitoring": True,
        "logging": {"level": "INFO"},
        "local_data_dir": "/data",
    }
    for key in NOTED:
        notes = cl.WorkflowConfig(WHERE, {key: given[key]}).notes()
        assert [note for note in notes if key in note], (key, notes)


def test_an_underlying_is_a_pattern_and_an_absent_range_the_newest_day():
    config = cl.WorkflowConfig(markets=["options"], data_types=["BVOLIndex"], symbols=["BTC"])
    (query,) = config.queries()
    assert "symbols('BTC*')" in repr(query)
    assert "last('1d')" in repr(query)
    assert len(config.notes()) == 3


def test_force_redownload_fetches_again_and_puts_right_what_differs(archive, tmp_path):
    config = cl.WorkflowConfig(WHERE, output_directory=str(tmp_path / "lake"))
    assert cl.ArchiveCollectionWorkflow(config, source=archive, progress=False).run().ok
    (zipped,) = (tmp_path / "lake" / "bronze").rglob("*.zip")
    whole = zipped.read_bytes()
    zipped.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    forced = cl.WorkflowConfig(config, force_redownload=True)
    found = cl.ArchiveCollectionWorkflow(forced, source=archive, progress=False).run()
    assert found.ok, found.summary()
    assert zipped.read_bytes() == whole
    assert found.to_dict()["collection_stats"]["successful"] == 1
