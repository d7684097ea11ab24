"""S3's Transfer Acceleration: for the bytes that pass through this machine, and refused where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from botocore.awsrequest import AWSResponse

import cryptolake as cl
from cryptolake.archive.source import Archive
from cryptolake.bronze.etags import EtagMeaning
from cryptolake.listing.context import LakeContext
from cryptolake.progress import TransferProgress
from cryptolake.storage.files import S3Storage, open_storage
from cryptolake.storage.spooled import Rows
from cryptolake.storage.tables import Meta
from cryptolake.transfer.direct import DirectPipeline
from cryptolake.transfer.engine import transfer
from cryptolake.transfer.jobs import CommandWriter
from cryptolake.transfer.options import TransferOptions
from cryptolake.transfer.pipeline import TransferContext
from cryptolake.transfer.recorder import RunRecorder
from cryptolake.transfer.s3_store import S3Store
from cryptolake.transfer.staging import Staging
from tests.transfer.archives import plan_of, write_archive

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest

ACCELERATED = "https://my-lake.s3-accelerate.amazonaws.com/"
REGIONAL = "https://my-lake.s3.eu-west-1.amazonaws.com/"
AT_AWS = {"key": "K", "secret": "S", "client_kwargs": {"region_name": "eu-west-1"}}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """A store at AWS, accelerated, whose requests stop before the network."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    storage = open_storage("s3://my-lake/root", AT_AWS)
    assert isinstance(storage, S3Storage)
    return S3Store(storage, TransferOptions(acceleration=True))


def sent_by(client: Any) -> list[str]:
    """Answer a client's requests here; return the list that their URLs go to."""
    urls: list[str] = []

    class Nothing:
        def stream(self, **_: Any) -> list[bytes]:
            return []

        def read(self, *_: Any) -> bytes:
            return b""

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        urls.append(f"{request.method} {request.url}")
        headers = {"Content-Length": "5", "ETag": '"0"'}
        return AWSResponse(request.url, 200, headers, Nothing())  # type: ignore[arg-type]

    client.meta.events.register("before-send.s3", answer)
    return urls


def test_bytes_that_are_sent_go_by_the_accelerated_endpoint(store: S3Store):
    urls = sent_by(store.carrier)
    store.put("bronze/x", b"1")
    store.get("bronze/x")
    assert urls == [f"PUT {ACCELERATED}root/bronze/x", f"GET {ACCELERATED}root/bronze/x"]


def test_copies_and_deletions_stay_at_the_regions_own_endpoint(store: S3Store):
    urls = sent_by(store.client)
    store.copy("data.binance.vision", "data/k.zip", "bronze/data/k.zip")
    store.remove("data/k.zip")
    own = [url.split(" ")[1] for url in urls if "data.binance.vision" not in url]
    assert len(own) == 3
    assert all(url.startswith(REGIONAL) for url in own)


def test_a_copy_by_s5cmd_is_never_sent_to_the_accelerated_endpoint(store: S3Store, tmp_path: Path):
    storage = open_storage("s3://my-lake/root", AT_AWS)
    assert isinstance(storage, S3Storage)
    rows = Rows.of(pl.DataFrame({"key": ["k"]}))
    options = TransferOptions(acceleration=True)
    recorder = RunRecorder(Meta(open_storage(tmp_path)), rows, "direct")
    progress = TransferProgress(total_bytes=0, total_files=0, progress=False)
    staging = Staging(tmp_path / "incoming", "run")
    context = TransferContext(
        Archive(), staging, recorder, progress, options, "quarantine", EtagMeaning()
    )
    commands = CommandWriter("data.binance.vision", wildcards=False)
    copies = DirectPipeline(context, iter(()), commands, store=store, last=True)
    said = copies._flags(8).arguments()
    assert "--endpoint-url" not in said
    assert not [word for word in said if "accelerate" in word]


@pytest.mark.parametrize(
    ("root", "given", "why"),
    [
        ("lake", {}, "is for lakes in a bucket, and this one is on a disk"),
        ("s3://my-lake", {"endpoint_url": "http://127.0.0.1:1"}, "a service of AWS.*127.0.0.1:1"),
        ("s3://my.lake", {}, "needs a bucket whose name has no dots"),
    ],
)
def test_acceleration_that_cannot_be_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, given: dict[str, str], why: str
):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    write_archive(tmp_path / "archive", 1)
    plan = plan_of(tmp_path / "archive", Archive())
    storage = open_storage(root if "://" in root else tmp_path / root, given)
    with pytest.raises(cl.InvalidQuery, match=why):
        transfer(plan, LakeContext.of(storage), options={"acceleration": True})  # type: ignore[arg-type]
    assert not (tmp_path / "lake").exists()
