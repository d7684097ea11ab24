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
