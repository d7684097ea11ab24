"""Each part of a preset writes files, and a wrong name is answered with the right ones."""

import pytest

import cryptolake as cl
from cryptolake.sample.presets import PRESETS, parts_of


@pytest.mark.parametrize("preset", PRESETS)
def test_every_part_writes_files_of_every_dataset_it_names(preset, tmp_path):
    for number, part in enumerate(PRESETS[preset]):
        one_day = {**part, "days": part["days"][1]}
        for dataset in part["datasets"]:
            if dataset.endswith("funding_rate"):  # published by the month
                one_day["days"] = "2025-02"
            made = cl.sample_archive(tmp_path / str(number), **one_day | {"datasets": [dataset]})
            assert made.files, (dataset, part)


def test_the_research_preset_is_bigger():
    assert set(map(str, PRESETS["default"])) < set(map(str, PRESETS["research"]))


def test_an_unknown_preset_names_the_valid_ones():
    with pytest.raises(cl.InvalidQuery, match=r"'default'.*default, research") as caught:
        parts_of("defualt")
    assert caught.value.nearest == "default"
