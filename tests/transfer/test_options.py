"""Transfer options: ranges, presets, and words for what does not exist."""

from __future__ import annotations

import pytest

import cryptolake as cl
from cryptolake.transfer.options import PRESETS, TransferOptions


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name: str):
    assert TransferOptions.of(name) == TransferOptions.preset(name)


def test_the_default_batch_is_a_hundred_files():
    assert (
        TransferOptions.of(None).batch_size == TransferOptions.preset("default").batch_size == 100
    )


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(cl.InvalidQuery, match="did you mean 'cost_optimized'"):
        TransferOptions.of("cost_optimised")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": 501}, "batch_size: Input should be less than or equal to 500"),
        ({"worker": 3}, "there is no transfer option 'worker'; did you mean 'workers'"),
        ({"storage_class": "COLD"}, "storage_class: Input should be 'STANDARD'"),
        ({"s5cmd_args": ["--parallelism"]}, "s5cmd has no flag '--parallelism'"),
        ({"s5cmd_args": ["--no-verify-sll"]}, "did you mean --no-verify-ssl"),
        ({"s5cmd_args": ["--request-payer"]}, "--request-payer needs a value"),
        ({"workers": 0, "retries": -1}, "workers: .*; retries: "),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(given: dict[str, object], said: str):
    with pytest.raises(cl.InvalidQuery, match=said):
        TransferOptions.of(given)


def test_flags_that_s5cmd_has_are_passed_on():
    options = TransferOptions.of(
        {"s5cmd_args": ["--request-payer", "requester", "--no-verify-ssl"]}
    )
    assert options.s5cmd_args == ("--request-payer", "requester", "--no-verify-ssl")


def test_a_preset_takes_changes():
    changed = TransferOptions.preset("cost_optimized", workers=8, storage_class=None)
    assert (changed.workers, changed.storage_class, changed.part_size) == (8, None, 512)


@pytest.mark.parametrize(
    "make",
    [TransferOptions, lambda **given: TransferOptions.preset("default", **given)],
    ids=["made", "preset"],
)
def test_options_are_checked_alike_however_they_are_said(make):
    with pytest.raises(cl.InvalidQuery, match=r"did you mean 'workers'\?$"):
        make(worker=3)
    with pytest.raises(cl.InvalidQuery, match=r"workers: .* equal to 1, not 0\.$"):
        make(workers=0)


def test_an_option_like_none_lists_those_that_there_are():
    with pytest.raises(cl.InvalidQuery, match="choose from batch_size, workers"):
        TransferOptions.of({"zzz": 1})


def test_a_wrong_option_is_said_before_the_archive_is_asked(tmp_path):
    lake = cl.Lake(tmp_path, source=cl.Archive(endpoint_url="http://127.0.0.1:9"))
    query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
    for ask in (lake.pull, lake.frame, lake.update, lake.heal):
        with pytest.raises(cl.InvalidQuery, match="workers"):
            ask(query, options={"workers": 0})
