"""Where files stand: the status of each, whatever the order in which lake and archive tell of them."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from cryptolake.listing.context import LakeContext
from cryptolake.planning.status import status_of
from cryptolake.storage.files import open_storage
from cryptolake.storage.tables import Meta


class File(NamedTuple):
    """A planned file, and what the lake knows of it."""

    ledger: str | None
    held: str | None
    there: bool

    @property
    def status(self) -> str:
        """The status, by the words of the documentation."""
        if self.ledger == "same" and self.there:
            return "cached"
        if self.held == "same":
            return "quarantined"
        if self.ledger == "older":
            return "updated"
        if self.ledger is None and self.there:
            return "unrecorded"
        return "new"


EVERY = [
    File(ledger, held, there)
    for ledger in (None, "same", "older")
    for held in (None, "same", "older")
    for there in (False, True)
]


@pytest.mark.parametrize("seed", range(5))
def test_every_file_has_its_own_status(seed: int, tmp_path: Path):
    drawn = random.Random(seed)
    files = drawn.choices(EVERY, k=200)
    keys = [
        f"data/spot/daily/klines/S{n % 7}USDT/1m/S{n % 7}USDT-1m-{n:04d}.zip" for n in range(200)
    ]
    storage = open_storage(tmp_path)
    meta = Meta(storage)
    for key, file in zip(keys, files, strict=True):
        if file.there:
            storage.write(f"bronze/{key}", b"four")
    rows = list(zip(keys, files, strict=True))
    drawn.shuffle(rows)
    at = datetime(2024, 1, 1, tzinfo=UTC)
    meta.append(
        "files",
        [
            {
                "key": key,
                "etag": f"{key}{file.ledger}",
                "size": 4,
                "event": "stored",
                "fetched_at": at,
            }
            for key, file in rows
            if file.ledger
        ],
    )
    meta.append(
        "quarantine",
        [
            {
                "key": key,
                "etag": f"{key}{file.held}",
                "checksum_etag": "c",
                "at": at.replace(month=2),
            }
            for key, file in rows
            if file.held
        ],
    )
    planned = pl.DataFrame(
        {"key": keys, "etag": [f"{key}same" for key in keys], "checksum_etag": ["c"] * len(keys)}
    )
    found = status_of(planned, LakeContext.of(storage))
    assert found.to_list() == [file.status for file in files]
