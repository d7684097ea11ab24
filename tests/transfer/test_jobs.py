"""What a run takes up of a plan: each row once, on the right heap, also where the plan is on disk."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cryptolake.archive.source import Archive
from cryptolake.storage.files import open_storage
from cryptolake.storage.spooled import FEW, PIECE
from cryptolake.storage.tables import Meta
from cryptolake.transfer.jobs import WorkList
from tests.transfer.archives import KEY, FolderPlan

STATUSES = ("new", "updated", "cached", "unrecorded", "quarantined")
SELECTOR = "data/spot/daily/klines/S{}/1m/"


def row(number: int) -> dict[str, Any]:
    return {
        "key": KEY.format(symbol=f"S{number // 100}", day=f"day-{number % 100:02}"),
        "size": number,
        "etag": f"e{number}",
        "last_modified": datetime(2024, 1, 2, tzinfo=UTC),
        "checksum_size": 90,
        "checksum_etag": "c",
        "status": STATUSES[number % len(STATUSES)],
        "partition": "daily",
        "period": "2024-01-01",
        "selector": SELECTOR.format(number // 100) if number % 100 < 50 else None,
    }


@pytest.mark.parametrize("quarantined_too", [False, True])
@pytest.mark.parametrize("height", [0, 60, PIECE + 1, FEW + PIECE + 1])
def test_every_row_is_moved_or_here_or_set_aside(
    height: int, quarantined_too: bool, tmp_path: Path
):
    rows = [row(number) for number in range(height)]
    files = pl.DataFrame(rows, schema_overrides={"checksum_size": pl.Int64}) if rows else None
    plan = FolderPlan(pl.DataFrame([row(0)])[:0] if files is None else files, Archive())
    storage = open_storage(tmp_path)
    meta = Meta(storage)
    # Recorded since the plan was made: every seventh, but of those only the ones that are there in their
    # recorded size count, and of these only those with the planned ETag.
    recorded = rows[::7]
    for number, one in enumerate(recorded):
        if number % 3:
            storage.write(f"bronze/{one['key']}", b"zip" if number % 5 else b"zi")
    meta.append(
        "files",
        [
            {
                "key": one["key"],
                "etag": one["etag"] if number % 2 else "old",
                "size": 3,
                "event": "stored",
            }
            for number, one in enumerate(recorded)
        ],
    )
    got = {n * 7 for n in range(len(recorded)) if n % 3 and n % 2 and n % 5}

    moves = WorkList(plan, meta, storage, quarantined_too=quarantined_too)  # type: ignore[arg-type]

    by_status = {
        status: {n for n, one in enumerate(rows) if one["status"] == status} for status in STATUSES
    }
    wanted = {"new", "updated", "unrecorded"} | ({"quarantined"} if quarantined_too else set())
    changed = got & (by_status["new"] | by_status["updated"] | by_status["quarantined"])
    expected = set().union(*(by_status[status] for status in wanted)) - changed
    assert list(moves.numbers) == sorted(expected)
    assert set(moves.cached) == by_status["cached"] | changed
    assert set(moves.quarantined) == (
        set() if quarantined_too else by_status["quarantined"] - changed
    )
    assert moves.total_bytes == sum(expected)
    assert moves.rows.height == len(expected)
    told = pl.concat(moves.pieces())
    assert told["row"].to_list() == sorted(expected)
    assert told["key"].to_list() == [rows[number]["key"] for number in sorted(expected)]
    for number, selector, selected in told.select("row", "selector", "selected").iter_rows():
        assert selector == rows[number]["selector"]
        same = [one for one in rows if selector and one["selector"] == selector]
        assert selected == sum(one["status"] in {"new", "updated"} for one in same)


def test_it_says_which_keys_it_would_fetch(tmp_path: Path):
    plan = FolderPlan(pl.DataFrame([row(number) for number in range(PIECE + 50)]), Archive())
    storage = open_storage(tmp_path)
    moves = WorkList(plan, Meta(storage), storage, quarantined_too=False)  # type: ignore[arg-type]
    keys = plan.files["key"]
    asked = {keys[0], keys[2], keys[PIECE], keys[PIECE + 2], "data/else.zip"}
    assert moves.among(asked) == {keys[0], keys[PIECE]}
    assert moves.among(set()) == set()
