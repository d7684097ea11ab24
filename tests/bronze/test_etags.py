"""What ETags say is learnt from files that their CHECKSUM proves."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from cryptolake.bronze.etags import EtagMeaning
from cryptolake.bronze.verify import Expected, check
from cryptolake.storage.table_schemas import TABLES
from cryptolake.transfer.evidence import StreamEvidence
from tests.transfer.archives import zipped

NAME = "A-1m-2024-01-01.zip"
DATA = zipped("A-1m-2024-01-01.csv", "1\n")
MD5 = hashlib.md5(DATA).hexdigest()
RIGHT = f"{hashlib.sha256(DATA).hexdigest()}  {NAME}\n".encode()
STALE = f"{'0' * 64}  {NAME}\n".encode()
OTHER = "f" * 32


def verdict(sidecar: bytes | None, etag: str, etags: EtagMeaning, *, found: bool = False) -> Any:
    evidence = StreamEvidence()
    evidence.take(DATA)
    expected = Expected(len(DATA), etag, len(sidecar) if sidecar else None)
    return check(evidence, sidecar, expected, NAME, found=found, etags=etags)


def ledger(*rows: dict[str, Any]) -> pl.DataFrame:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    common = {"verified": "sha256", "md5": MD5, "etag": OTHER, "last_modified": start}
    made = [{**common, "fetched_at": start + timedelta(n), **row} for n, row in enumerate(rows)]
    return pl.DataFrame(
        [{name: row.get(name) for name in TABLES["files"]} for row in made], schema=TABLES["files"]
    )


def test_one_proven_file_tells_that_etags_are_no_md5s():
    etags = EtagMeaning()
    assert verdict(None, OTHER, etags).finding == "transport"
    assert verdict(STALE, OTHER, etags).finding == "transport"
    assert verdict(RIGHT, OTHER, etags).proof == "sha256"
    assert verdict(None, OTHER, etags).proof == "size"
    assert verdict(STALE, OTHER, etags).finding == "stale"


def test_one_proven_file_whose_etag_is_its_md5_tells_that_they_are():
    etags = EtagMeaning()
    for etag in (OTHER, MD5):  # one was rewritten after the listing was taken
        assert verdict(RIGHT, etag, etags).proof == "sha256"
    assert verdict(None, OTHER, etags).finding == "transport"
    assert verdict(None, MD5, etags).proof == "none_published"


def test_an_etag_that_is_no_md5_does_not_hide_another_size():
    evidence = StreamEvidence()
    evidence.take(DATA)
    expected = Expected(len(DATA) + 1, OTHER)
    assert check(evidence, None, expected, NAME, etags=EtagMeaning("opaque")).finding == "transport"


def test_a_found_pair_may_be_of_an_earlier_version_as_long_as_etags_may_be_md5s():
    assert verdict(RIGHT, OTHER, EtagMeaning(), found=True).finding == "transport"


def test_an_upload_in_parts_teaches_nothing():
    etags = EtagMeaning()
    assert verdict(RIGHT, f"{OTHER}-2", etags).md5 is None
    assert not etags.opaque


def test_md5s_are_taken_of_a_few_files_only():
    etags = EtagMeaning()
    assert [verdict(RIGHT, MD5, etags).md5 for _ in range(3)] == [MD5, None, None]
    etags = EtagMeaning()
    assert [verdict(RIGHT, OTHER, etags).md5 for _ in range(5)] == [MD5] * 3 + [None] * 2


@pytest.mark.parametrize(
    ("rows", "opaque"),
    [
        ([], False),
        ([{}], True),
        ([{"etag": MD5}], False),
        ([{"etag": MD5}, {}], True),
        ([{}, {"etag": MD5}], False),
        ([{"md5": None}], False),
        ([{"verified": "size"}], False),
        ([{"etag": f"{OTHER}-2"}], False),
        ([{"last_modified": None}], False),
    ],
)
def test_the_newest_proven_row_of_the_ledger_tells(rows: list[dict[str, Any]], opaque: bool):
    assert EtagMeaning.of(ledger(*rows)).opaque is opaque


def test_what_a_run_learns_counts_more_than_the_ledger():
    etags = EtagMeaning("opaque")
    etags.learn(MD5, MD5)
    assert not etags.opaque
