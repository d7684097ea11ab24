"""Each configuration runs, on a disk and in a bucket; each wrong key, type and combination gets one sentence."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.archive.matrix import load_matrix

HERE = Path(__file__).parent / "configs"
CONFIGS = sorted(path.name for path in HERE.glob("*.json"))
NAMING = {"basic_collection.json", "multi_market_research.json"}
SMALL = {
    "markets": ["spot"],
    "symbols": ["BTCUSDT"],
    "data_types": ["klines"],
    "intervals": {"klines": ["1h"]},
    "date_range": {"start": "2025-01-01", "end": "2025-01-02"},
}


def test_there_are_eight():
    assert len(CONFIGS) == 8


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_names_its_data_or_says_what_is_missing(name):
    config = cl.WorkflowConfig(HERE / name)
    assert cl.WorkflowConfig(config.to_dict()) == config == pickle.loads(pickle.dumps(config))
    if name in NAMING:
        assert config.queries()
    else:
        with pytest.raises(cl.InvalidQuery, match="markets, symbols and data_types are missing"):
            config.queries()
    assert cl.WorkflowConfig(HERE / "basic_collection.json", HERE / name).queries()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_runs_on_a_disk(name, archive, tmp_path):
    config = cl.WorkflowConfig(HERE / name, SMALL, output_directory=str(tmp_path / "lake"))
    found = cl.ArchiveCollectionWorkflow(config, source=archive, progress=False).run().to_dict()
    assert (found["status"], found["success_rate"]) == ("success", 1.0)
    assert found["collection_stats"]["total"] == found["collection_stats"]["successful"] > 0
    assert found["storage_zones_used"] == ["bronze", "silver"]


WRONG = [
    ({"batch_sise": 3}, "did you mean 'batch_size'"),
    ({"batch_size": 0}, "batch_size is 1 to 500, not 0"),
    ({"batch_size": "20"}, "a whole number, not '20'"),
    ({"markets": 3}, "a list of names"),
    ({"markets": ["spott"]}, "did you mean 'spot'"),
    ({"symbols": {"spot": 3}}, "an object of lists by market"),
    ({"operation_mode": "direct"}, "did you mean 'direct_sync'"),
    ({"s3_config": {"storage_clas": "STANDARD"}}, "did you mean 's3_config.storage_class'"),
    ({"max_concurrent": 3}, "did you mean 'performance_optimization.max_concurrent'"),
    ({"date_range": {"end": "2025-01-01"}}, "date_range.start is missing"),
    ({"enable_resume": "yes"}, "true or false"),
    ({"s5cmd_extra_args": ["--retry-cont=3"]}, "did you mean --retry-count"),
    ({"batch_size": 3, "performance_optimization": {"batch_size": 4}}, "one setting"),
    ({"output_directory": "a", "destination_bucket": "bbb"}, "both say where the lake is"),
    ({"destination_prefix": "a"}, "needs destination_bucket"),
    ({"enable_s3_direct_sync": False, "operation_mode": "direct_sync"}, "do not agree"),
    ({"workflow_type": "x"}, "is 'archive_collection', not 'x'"),
    ({"a.b": 1}, "choose from markets, "),
]


@pytest.mark.parametrize(("given", "told"), WRONG)
def test_what_is_wrong_gets_one_sentence(given, told):
    with pytest.raises(cl.InvalidQuery, match=told):
        cl.WorkflowConfig(given)


def test_the_later_spelling_of_a_setting_counts():
    config = cl.WorkflowConfig(
        {"batch_size": 3, "output_directory": "a"},
        {"performance_optimization": {"batch_size": 4}, "destination_bucket": "lakes"},
    )
    assert (config.options().batch_size, config.root) == (4, "s3://lakes")


@pytest.mark.parametrize(
    "given",
    [
        {"output_directory": "s3://AK:S3CR3T@bucket/lake"},
        {"output_directory": "s3://AK:S3CR3T@bucket/lake", "destination_bucket": "abc"},
        {"output_directory": "s3://bucket/lake?key=S3CR3T"},
        {"destination_bucket": "AK:S3CR3T@b"},
        {"destination_bucket": "bbb", "destination_prefix": "?key=S3CR3T"},
        {"matrix_path": "https://me:S3CR3T@host/x"},
        {"aws_secret_access_key": "S3CR3T"},
        {"s3_config": {"secret": "S3CR3T"}},
    ],
)
def test_a_configuration_with_credentials_is_refused_and_does_not_show_them(given):
    with pytest.raises(cl.InvalidQuery) as caught:
        cl.WorkflowConfig(given)
    error = caught.value
    shown = [error, error.facts, error.__cause__, error.__context__, pickle.dumps(error)]
    assert "S3CR3T" not in "".join(map(repr, shown))


def test_a_file_that_is_nested_without_end_is_no_json(tmp_path):
    (tmp_path / "c.json").write_text('{"a":' * 100_000)
    with pytest.raises(cl.InvalidQuery, match="is no JSON"):
        cl.WorkflowConfig(tmp_path / "c.json")


@pytest.mark.parametrize(
    "wrong",
    ["../../{}", "/{}", "a//{}", "./{}", "a\nrm s3://lake/*\n{}", "\x1b[31m{}", "a'b{}", "*/{}", "a\0{}", "(a+)+{}"],
)  # fmt: skip
def test_a_matrix_of_a_stranger_has_keys_that_stay_in_the_lake_and_need_no_quotes(wrong, tmp_path):
    own = json.loads(load_matrix().model_dump_json())
    own["rows"][0]["key_pattern"] = wrong.format(own["rows"][0]["key_pattern"])
    (tmp_path / "m.json").write_text(json.dumps(own))
    with pytest.raises(cl.InvalidQuery, match="key_pattern of spot_klines is no key"):
        cl.WorkflowConfig(matrix_path=str(tmp_path / "m.json"))


def test_flags_that_cost_money_or_trust_are_told():
    config = cl.WorkflowConfig(
        output_directory="a", s5cmd_extra_args=["--no-verify-ssl", "--request-payer=requester"]
    )
    assert [note.partition(":")[0].split()[-1] for note in config.notes()] == [
        "--no-verify-ssl",
        "--request-payer",
    ]
