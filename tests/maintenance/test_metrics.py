"""Metrics say what ``status`` and ``runs`` say, in a text that Prometheus' own parser reads."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import cryptolake as cl
from cryptolake.archive.source import Archive
from cryptolake.maintenance.metrics import DATASETS, RUNS, metrics
from cryptolake.maintenance.status import status
from cryptolake.sample.server import serve_archive

BARS = (
    cl.query()
    .markets("spot")
    .symbols("BTCUSDT", "ETHUSDT")
    .klines("1h", "1d")
    .between("2025-01-28", "2025-02-02")
)
TODAY = date(2025, 2, 6)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    """A lake with bars of two intervals, rejected rows and a quarantined file, two days behind its archive."""
    folder = tmp_path_factory.mktemp("archive")
    cl.sample_archive(
        folder,
        symbols=["BTCUSDT", "ETHUSDT"],
        days=("2025-01-28", "2025-02-04"),
        datasets=["spot_klines"],
        intervals=["1h", "1d"],
        partitions=["daily"],
        defects=["stale_checksum", "blank_cells"],
    )
    with serve_archive(folder) as served:
        lake = cl.Lake(folder / "lake", source=Archive(endpoint_url=served.endpoint))
        lake.pull(BARS, progress=False)
    return lake


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type == "gauge"
        for sample in family.samples:
            found[sample.name][tuple(sample.labels.values())] = sample.value
    return found


def test_prometheus_parses_what_status_says(lake: cl.Lake):
    found = samples(metrics(lake.context, TODAY))
    assert {*found} == {f"cryptolake_{gauge.name}" for gauge in (*DATASETS, *RUNS)}
    told = status(lake.context, TODAY).row(0, named=True)
    for name, column in [
        ("bronze_files", "files"),
        ("bronze_bytes", "bytes"),
        ("silver_rows", "rows"),
        ("silver_months", "months"),
        ("rejected_rows", "rejects"),
        ("quarantined_files", "quarantined"),
    ]:
        values = found[f"cryptolake_{name}"]
        assert {*values} == {("spot", "klines", "1h"), ("spot", "klines", "1d")}
        assert sum(values.values()) == told[column] > 0
    behind = found["cryptolake_behind_seconds"]
    assert min(behind.values()) == told["behind"] * 86_400
    runs = lake.runs()
    assert sum(found["cryptolake_runs"].values()) == runs.height
    ends = found["cryptolake_run_last_end_timestamp_seconds"].values()
    assert max(ends) == pytest.approx(max(runs["ended_at"].to_list()).timestamp(), abs=0.01)


def test_metrics_are_written_whole_for_a_collector_of_another_user(lake: cl.Lake, tmp_path: Path):
    from cryptolake.cli import main

    file = tmp_path / "cryptolake.prom"
    file.write_text("old")
    with pytest.raises(SystemExit) as ended:
        main(["status", "--prometheus", "-o", str(file), "--root", lake.root])
    assert not ended.value.code
    assert samples(file.read_text())
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("limit", "code"), [("99999d", 0), ("1d", 1), ("2x", 2)])
def test_a_lake_that_is_behind_is_an_exit_code(
    lake: cl.Lake, limit: str, code: int, capfd: pytest.CaptureFixture[str]
):
    from cryptolake.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["status", "--fail-if-behind", limit, "--root", lake.root])
    assert (ended.value.code or 0) == code
    if code == 1:
        assert "spot_klines: " in capfd.readouterr().err


def test_an_absent_lake_is_an_alert_too(tmp_path: Path):
    from cryptolake.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["status", "--fail-if-behind", "2d", "--root", str(tmp_path / "none")])
    assert ended.value.code == 1
