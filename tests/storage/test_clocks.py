"""Clocks that are wrong: what was written last counts as last, whatever time its writer thought it was."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptolake.storage import tables as module
from cryptolake.storage.files import open_storage
from cryptolake.storage.tables import Meta

KEY = "data/spot/daily/klines/A/1m/A-1m-2024-01-01.zip"
offsets = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-400_000_000, 400_000_000)), min_size=1, max_size=6
)


class Clock(datetime):
    """A clock that is off by some seconds."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.now(tz) + cls.ahead


@pytest.fixture(scope="module", autouse=True)
def clock() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "datetime", Clock)
        yield


@given(offsets)
@settings(deadline=None, max_examples=25)
def test_the_newest_row_is_the_one_written_last_by_who_knew_the_others(
    writes: list[tuple[int, int]],
):
    with tempfile.TemporaryDirectory() as folder:
        processes = [Meta(open_storage(folder)) for _ in range(3)]
        for version, (number, ahead) in enumerate(writes):
            Clock.ahead = timedelta(seconds=ahead)
            process = processes[number]
            process.ledger()  # whoever stores a file has looked what is there
            process.append("files", [{"key": KEY, "size": version, "event": "stored"}])
            assert process.ledger()["size"].to_list() == [version]
        reader = Meta(open_storage(folder))
        assert reader.ledger()["size"].to_list() == [len(writes) - 1]
        assert reader.read("files")["size"].to_list() == list(range(len(writes)))


def test_a_clock_set_back_within_one_process_changes_no_order(tmp_path: Any):
    own = Meta(open_storage(tmp_path))
    for version, ahead in enumerate((3600, 0, -3600)):
        Clock.ahead = timedelta(seconds=ahead)
        own.append("files", [{"key": KEY, "size": version, "event": "stored"}])
    assert own.ledger()["size"].to_list() == [2]


def test_a_file_accepted_by_a_machine_whose_clock_is_behind_is_in_quarantine_no_more(
    tmp_path: Any,
):
    own, now = Meta(open_storage(tmp_path)), datetime.now(UTC)
    own.append("quarantine", [{"key": KEY, "etag": "e", "at": now + timedelta(hours=1)}])
    assert own.quarantined().height == 1
    row = {"key": KEY, "etag": "e", "fetched_at": now, "event": "stored"}
    own.append("files", [row | {"verified": "stale_accepted"}])
    assert own.quarantined().is_empty()
    own.append("quarantine", [{"key": KEY, "etag": "f", "at": now + timedelta(hours=2)}])
    assert own.quarantined().height == 1, "a new version that is stale too"
