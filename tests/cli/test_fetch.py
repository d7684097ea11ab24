"""plan, pull, build, verify: the same work as the API's, told in text or JSON, with its exit code."""

import json
import os
import re
import signal
import subprocess
import time

import boto3
import polars as pl
import pytest

import cryptolake as cl
from tests.cli.conftest import WORDS, serving


def test_a_plan_says_what_it_takes(run, tmp_path):
    done = run("plan", *WORDS)
    assert done.code == 0
    assert "spot_klines" in done.out
    assert not (tmp_path / "lake" / "bronze").exists()


def test_a_plan_as_json_has_the_facts(run):
    facts = json.loads(run("plan", *WORDS, "--json").out)
    assert facts["to_transfer"] == len(facts["files"]) > 0
    assert facts["total_bytes"] == sum(file["size"] for file in facts["files"])


def test_a_plans_commands_are_lines_for_s5cmd(run):
    lines = run("plan", *WORDS, "--commands").out.splitlines()
    assert lines
    assert {line.partition(" ")[0] for line in lines} == {"cp"}


def test_a_plan_says_by_which_mode_its_files_move_and_why(run):
    assert "mode download: the lake is on a disk" in run("plan", *WORDS).out
    notes = json.loads(run("plan", *WORDS, "--json").out)["notes"]
    (note,) = notes
    assert re.fullmatch(
        r"files move by mode download: the lake is on a disk; about \d+ requests", note
    )


def test_transfer_fetches_and_builds_nothing(run, tmp_path):
    done = run("transfer", *WORDS, "--quiet", "--json")
    assert (done.code, json.loads(done.out)["built"]) == (0, 0)
    assert not (tmp_path / "lake" / "silver").exists()
    assert json.loads(run("build", "--quiet", "--json").out)["built"] == 2
    assert json.loads(run("build", "--quiet", "--json", "--force").out)["built"] == 2


def test_a_profile_and_options_reach_the_transfer(run, bucket_options, monkeypatch):
    s3 = boto3.client(
        "s3",
        endpoint_url=bucket_options["endpoint_url"],
        aws_access_key_id=bucket_options["key"],
        aws_secret_access_key=bucket_options["secret"],
        region_name="us-east-1",
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket_options["endpoint_url"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket_options["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket_options["secret"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    classes = {}
    for name, more in {"profile": [], "option": ["--option", "storage_class=ONEZONE_IA"]}.items():
        words = ["--root", f"s3://lakes/cli-{name}", "--profile", "cost_optimized", *more]
        done = run("transfer", *WORDS, "--quiet", *words)
        assert done.code == 0, done.err
        listed = s3.list_objects_v2(Bucket="lakes", Prefix=f"cli-{name}/bronze/")["Contents"]
        classes[name] = {item["StorageClass"] for item in listed if item["Key"].endswith(".zip")}
    s3.close()
    assert classes == {"profile": {"INTELLIGENT_TIERING"}, "option": {"ONEZONE_IA"}}


def test_a_frame_is_shown_or_kept(run, tmp_path):
    rows = json.loads(run("frame", *WORDS, "--quiet", "--json").out)
    assert len(rows) == 120
    assert "120 rows" in run("frame", *WORDS, "--quiet", "--limit", 3).out
    for name in ("rows.parquet", "rows.csv"):
        assert run("frame", *WORDS, "--quiet", "--exact", "-o", tmp_path / name).code == 0
    kept = pl.read_parquet(tmp_path / "rows.parquet")
    assert kept.height == pl.read_csv(tmp_path / "rows.csv").height == 120
    assert isinstance(kept.schema["open"], pl.Decimal)


def test_a_frame_that_lacks_rows_is_exit_1_and_says_why(run, broken_archive, monkeypatch):
    monkeypatch.setenv("CRYPTOLAKE_ENDPOINT_URL", broken_archive)
    done = run("frame", *WORDS, "--quiet", "--json")
    assert (done.code, len(json.loads(done.out))) == (1, 96)
    assert "1 file of the range is in quarantine" in done.err


def test_a_frame_that_could_not_be_kept_is_said_before_anything_is_fetched(run, tmp_path):
    done = run("frame", *WORDS, "--quiet", "-o", tmp_path / "rows.xlsx")
    assert done.code == 2
    assert not (tmp_path / "lake").exists()
    assert run("frame", *WORDS, "--quiet", "-o", tmp_path / "absent" / "rows.csv").code == 4


def test_missing_klines_are_filled_from_trades_on_request(run):
    day = ["-m", "spot", "-s", "BTCUSDT", "--from", "2025-01-01"]
    assert run("pull", *day, "-i", "1m", "-t", "klines", "--quiet").code == 0
    assert run("pull", *day, "-t", "trades", "--quiet").code == 0
    done = run("fill", *day, "-i", "1m", "--against", "trades", "--json")
    assert done.code == 0, done.err
    assert isinstance(json.loads(done.out), list)
    assert json.loads(run("ids", *day, "-t", "trades", "--json").out) == []


def test_a_saved_plan_is_pulled_as_it_was_saved(run, tmp_path):
    path = tmp_path / "plan.json"
    run("plan", *WORDS, "--save", path)
    saved = cl.Plan.load(path)
    done = run("pull", "--plan", path, "--quiet", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["transferred"] == saved.to_transfer


def test_a_second_pull_moves_nothing(run):
    first = json.loads(run("pull", *WORDS, "--quiet", "--json").out)
    second = json.loads(run("pull", *WORDS, "--quiet", "--json").out)
    assert (first["ok"], first["rows"]) == (True, 120)
    assert (second["transferred"], second["built"]) == (0, 0)
    assert second["skipped"] == first["transferred"]


def test_build_makes_silver_of_the_bronze_that_is_there(run, pulled):
    assert json.loads(run("build", *WORDS, "--json", "--root", pulled).out)["built"] == 0


def test_quarantined_files_are_exit_1_and_named(run, broken_archive, monkeypatch):
    monkeypatch.setenv("CRYPTOLAKE_ENDPOINT_URL", broken_archive)
    done = run("pull", *WORDS, "--quiet")
    assert done.code == 1
    assert "quarantined" in done.out
    assert "BTCUSDT-1h-2025-01-02.zip" in done.out


def test_verify_finds_a_file_that_was_changed(run, tmp_path):
    run("pull", *WORDS, "--quiet")
    assert run("verify").code == 0
    victim = next((tmp_path / "lake" / "bronze").rglob("*2025-01-02.zip"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    done = run("verify")
    assert done.code == 1
    assert victim.name in done.out


def test_an_interrupted_pull_says_so_and_the_next_one_ends_it(program, endpoint, tmp_path):
    root = tmp_path / "lake"
    command = [*program, "pull", *WORDS, "--root", str(root), "--endpoint-url", endpoint]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not root.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 1, 130)  # it may have been done already
    assert "Traceback" not in err
    assert process.returncode != 130 or "interrupted" in err
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_is_no_error(program, endpoint, tmp_path):
    environment = os.environ | {
        "CRYPTOLAKE_ENDPOINT_URL": endpoint,
        "CRYPTOLAKE_ROOT": str(tmp_path),
    }
    done = subprocess.run(
        f"{program[0]} matrix --json | head -n 1",
        shell=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("[\n", "")


@pytest.fixture
def broken_archive(tmp_path):
    """An archive of which one daily zip does not match its CHECKSUM."""
    import cryptolake as cl

    folder = tmp_path / "archive"
    days = ("2024-12-30", "2025-01-03")
    cl.sample_archive(
        folder, datasets=["spot_klines"], symbols=["BTCUSDT"], intervals=["1h"], days=days
    )
    sidecar = next(folder.rglob("BTCUSDT-1h-2025-01-02.zip.CHECKSUM"))
    sidecar.write_text("0" * 64 + sidecar.read_text()[64:])
    with serving(folder) as endpoint:
        yield endpoint


def test_a_stored_query_is_saved_followed_and_dropped(run):
    nothing = run("update", "-m", "spot", "-i", "1h", "-s", "BTCUSDT")
    assert (nothing.code, "pull it first" in nothing.err) == (2, True)
    words = ["-m", "spot", "-i", "1h", "-s", "BTCUSDT"]
    assert run("save-query", "core", *words, "--last", "2d").code == 0
    assert "last('2d')" in run("save-query", "--json").out
    assert run("update", "core", "--quiet").out.startswith("update: added by 2 files")
    assert run("update", "core", "--quiet").out.startswith("update: everything here")
    assert run("update", "core", "-m", "spot").code == 2
    mistaken = run("update", "cora")
    assert (mistaken.code, "did you mean 'core'" in mistaken.err) == (2, True)
    rows = run("frame", *words, "--since", "2025-02-01", "--json", "--quiet")
    assert rows.out.count("open_time") == 24
    assert run("save-query", "core", "--drop").code == 0
    assert json.loads(run("save-query", "--json").out) == []
