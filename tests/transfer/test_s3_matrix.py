"""Every kind of bucket with every mode: what a pull does there, or the sentence that says why it does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest

import cryptolake as cl
from cryptolake.sample.server import BUCKET, serve_archive
from tests.transfer.archives import write_archive
from tests.transfer.front import DOMAIN, Asked, Front, Refusal, front, in_parts, kms

LAKE = "lakes-of-the-matrix"
MODES = ("auto", "download", "direct", "relay", "traditional")
BUILT = {"auto", "download", "direct"}
"""Modes after which Silver is built: it verifies what S3 copied by itself, and a lake on a disk is fast."""

QUERY = (
    cl.query().markets("spot").klines("1m").symbols("BTCUSDT").between("2020-01-01", "2020-01-03")
)
KEYS_OF_DAYS = [
    f"data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2020-01-0{day}.zip" for day in (1, 2, 3)
]
ROWS_A_DAY = 18
BARE = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2020-01-02.zip"
"""The file that has no CHECKSUM."""

BY_ETAG = "none_published"
"""What proves the bare file where ETags are md5s."""

BY_SIZE = "size"
"""What is known of it where they are not."""

UNFIT = "InvalidQuery: mode 'download' does not fit a lake in a bucket"
UNWRITABLE = "StorageError: cannot write 'meta/lake.json' in the lake at s3://lakes-of-the-matrix"
EXPIRED = "StorageError: cannot read 'meta/lake.json' in the lake at s3://lakes-of-the-matrix/N: ExpiredToken"
REFUSED = "StorageError: nothing could be stored: the lake at s3://lakes-of-the-matrix/N refuses it (An error occurred (AccessDenied)"
UNCOPIED = "TransferError: nothing could be copied from ARCHIVE into s3://lakes-of-the-matrix/N: AccessDenied"
UNFETCHED = "TransferError: nothing could be fetched from ARCHIVE: "
NO_STYLE = "InvalidQuery: s5cmd writes the bucket into the path at http://s3.test"


@dataclass(frozen=True)
class Row:
    """A kind of bucket, and what comes of each mode.

    ``outcomes`` are by mode: the mode that moves the files and the proof of the bare one, or how an error begins.
    """

    name: str
    outcomes: dict[str, str]
    lake_etags: Callable[[str], str] | None = None
    archive_etags: Callable[[str], str] | None = None
    refuse: Callable[[Asked], Refusal | None] | None = None
    style: str | None = None
    plain_listings: bool = False


def works(proof: str, **others: str) -> dict[str, str]:
    """Outcomes where every mode works, but for those given; the lake of ``download`` is on a disk."""
    return {mode: f"{'direct' if mode == 'auto' else mode}, {proof}" for mode in MODES} | others


def fails(error: str, **others: str) -> dict[str, str]:
    """Outcomes where no mode works; ``download`` does not fit a bucket."""
    return dict.fromkeys(MODES, error) | {"download": UNFIT} | others


def read_only(asked: Asked) -> Refusal | None:
    return (
        (403, "AccessDenied")
        if asked.bucket == LAKE and asked.method in {"PUT", "POST", "DELETE"}
        else None
    )


def expired(asked: Asked) -> Refusal | None:
    return (400, "ExpiredToken") if asked.bucket == LAKE else None


def other_kms(etag: str) -> str:
    return kms(f"other {etag}")


def no_bronze(asked: Asked) -> Refusal | None:
    denied = asked.bucket == LAKE and "/bronze/" in asked.key and asked.method in {"PUT", "POST"}
    return (403, "AccessDenied") if denied else None


def no_archive_prefix(asked: Asked) -> Refusal | None:
    source = asked.key.startswith("data/") and asked.method == "GET"
    return (403, "AccessDenied") if source and asked.bucket == BUCKET else None


ROWS = (
    Row("md5 ETags", works(BY_ETAG)),
    Row("KMS-like ETags on the lake", works(BY_ETAG), lake_etags=kms),
    Row("KMS-like ETags on the archive", works(BY_SIZE), archive_etags=kms),
    Row("KMS-like ETags on both", works(BY_SIZE), lake_etags=other_kms, archive_etags=kms),
    Row("ETags of its own, which copies keep", works(BY_SIZE), lake_etags=kms, archive_etags=kms),
    Row("multipart ETags", works(BY_SIZE), lake_etags=in_parts, archive_etags=in_parts),
    Row("path style", works(BY_ETAG), style="path"),
    Row(
        "virtual style", works(BY_ETAG, auto=f"relay, {BY_ETAG}", direct=NO_STYLE), style="virtual"
    ),
    Row("no extras of ListObjectsV2", works(BY_ETAG), plain_listings=True),
    Row("read-only credentials", fails(UNWRITABLE), refuse=read_only),
    Row("expired token", fails(EXPIRED), refuse=expired),
    Row("prefix bronze/ of the lake denied", fails(REFUSED, direct=UNCOPIED), refuse=no_bronze),
    Row(
        "prefix data/ of the archive denied",
        works(BY_ETAG, download=UNFETCHED, relay=UNFETCHED, traditional=UNFETCHED),
        refuse=no_archive_prefix,
    ),
)
NUMBERS = count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Front]]:
    """An archive of three days, one without a CHECKSUM, and a bucket for lakes, behind a front."""
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder, 3)
    (folder / f"{BARE}.CHECKSUM").unlink()
    with serve_archive(folder, lakes=[LAKE]) as real, front(real.endpoint) as made:
        client: Any = boto3.client(
            "s3",
            endpoint_url=made.url,
            region_name="us-east-1",
            aws_access_key_id="k",
            aws_secret_access_key="s",
        )
        client.create_bucket(Bucket=LAKE)
        yield folder, made


def lake_of(row: Row, made: Front, mode: str, folder: Path) -> cl.Lake:
    endpoint = "http://s3.test" if row.style else made.url
    if mode == "download" and row.outcomes[mode] != UNFIT:
        return cl.Lake(folder / "lake", source=cl.Archive(endpoint_url=endpoint))
    options: dict[str, Any] = {
        "key": "k",
        "secret": "s",
        "endpoint_url": endpoint,
        "client_kwargs": {"region_name": "us-east-1"},
    }
    if row.style:
        style = {"addressing_style": row.style}
        options["config_kwargs"] = {"s3": style, "proxies": {"http": made.url}}
    root = f"s3://{LAKE}/{next(NUMBERS)}"
    return cl.Lake(root, source=cl.Archive(endpoint_url=endpoint), storage_options=options)


def outcome(lake: cl.Lake, mode: str) -> str:
    """Pull, and say what came of it as a row does. Where a transfer verifies all by itself, it is left at that."""
    options = {"retries": 0, "backoff": 0.0}
    try:
        if mode in BUILT:
            report = lake.pull(QUERY, mode=mode, progress=False, options=options)  # type: ignore[arg-type]
        else:
            report = lake.transfer(lake.plan(QUERY), mode=mode, progress=False, options=options)  # type: ignore[arg-type]
    except cl.CryptolakeError as error:
        text = f"{type(error).__name__}: {error}"
        return re.sub(rf"({LAKE})/\d+", r"\1/N", re.sub(r"http://127\S+\d", "ARCHIVE", text))
    proofs = dict(lake.meta.ledger().select("key", "verified").iter_rows())
    bare = proofs.pop(BARE)
    assert set(proofs.values()) == {"sha256"}
    assert report.ok, report.summary()
    assert not report.fallbacks
    return f"{', '.join(report.modes)}, {bare}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_pull_does_what_the_matrix_says(
    row: Row, mode: str, served: tuple[Path, Front], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, made = served
    made.become_plain()
    if row.style:
        monkeypatch.setenv("HTTP_PROXY", made.url)
        monkeypatch.setenv("http_proxy", made.url)
    pairs = ((LAKE, row.lake_etags), (BUCKET, row.archive_etags))
    made.etags = {bucket: etags for bucket, etags in pairs if etags}
    made.refuse, made.plain_listings = row.refuse, row.plain_listings
    lake = lake_of(row, made, mode, tmp_path)
    found, wanted = outcome(lake, mode), row.outcomes[mode]
    if ": " in wanted:
        assert found.startswith(wanted)
        return
    assert found == wanted
    assert {
        key: lake.storage.read(f"bronze/{key}") == (folder / key).read_bytes()
        for key in lake.meta.ledger()["key"]
    } == dict.fromkeys(KEYS_OF_DAYS, True)
    assert lake.plan(QUERY).to_transfer == 0
    if mode in BUILT:
        assert lake.silver(QUERY).collect().height == 3 * ROWS_A_DAY
    if row.style == "virtual" and mode != "download":
        assert f"{LAKE}{DOMAIN}" in made.hosts
