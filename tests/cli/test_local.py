"""The demo, the sample archive and its server, as a person starts them."""

import json
import os
import subprocess

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

import cryptolake as cl
from cryptolake.cli.local import run_demo
from tests.cli.conftest import serving


@pytest.mark.slow
@pytest.mark.parametrize("record", [None, {"bucket": "data.binance.vision", "endpoint": None}])
def test_the_demo_refuses_a_lake_that_is_not_its_own(tmp_path, record):
    bronze = tmp_path / "bronze" / "data" / "spot" / "mine.zip"
    bronze.parent.mkdir(parents=True)
    bronze.write_bytes(b"mine")
    if record is not None:
        (tmp_path / "meta").mkdir()
        text = json.dumps({"format": 1, "archive": record})
        (tmp_path / "meta" / "lake.json").write_text(text)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(cl.ArchiveMismatch, match="fills only its own: choose another --root"):
        run_demo(tmp_path, write=lambda _: None)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_demo_shows_each_step_and_keeps_the_lake_it_is_given(program, tmp_path):
    root = tmp_path / "demo"
    without = tmp_path / "without"
    without.mkdir()
    for name in ("anywidget", "numpy", "pandas", "pyarrow", "vl_convert"):
        (without / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    done = subprocess.run([*program, "demo", "--root", str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for shown in (
        "Plan ",
        "'s3://data.binance.vision/data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-*'",
        "verified",
        "3,840 rows of ",
        "bars",
    ):
        assert shown in done.stdout
    # the same sample, at another port, and where only the extra `demo` is installed
    bare = os.environ | {"PYTHONPATH": os.pathsep.join([str(without), os.getenv("PYTHONPATH", "")])}
    again = subprocess.run(
        [*program, "demo", "--root", str(root)], env=bare, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert {path.name for path in root.iterdir()} == {"bronze", "silver", "meta"}
    assert {path.name for path in root.rglob("*.parquet") if "silver" in path.parts} == {
        "2024-12.parquet",
        "2025-01.parquet",
    }


def test_the_sample_is_the_same_for_the_same_seed(run, tmp_path):
    few = ["--rows", "spot_klines", "--days", "2025-01-01"]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("sample", tmp_path / name, "--seed", seed, *few).code == 0
    files = {
        name: {
            str(path.relative_to(tmp_path / name)): path.read_bytes()
            for path in (tmp_path / name).rglob("*.zip")
        }
        for name in "abc"
    }
    assert files["a"] == files["b"] != {}
    assert files["a"].keys() == files["c"].keys()
    assert files["a"] != files["c"]


def test_the_server_answers_until_it_is_told_to_stop(sample_archive):
    with serving(sample_archive) as endpoint:
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            config=Config(signature_version=UNSIGNED),
        )
        listed = client.list_objects_v2(
            Bucket="data.binance.vision", Prefix="data/spot/", MaxKeys=1
        )
        client.close()
        assert listed["KeyCount"] == 1
