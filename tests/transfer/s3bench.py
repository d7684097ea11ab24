"""An archive and a lake in buckets of real S3 servers (moto's), at one endpoint or at two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from cryptolake.archive.source import Archive
from cryptolake.listing.context import LakeContext
from cryptolake.sample.server import serve_archive
from cryptolake.storage.files import open_storage
from cryptolake.storage.tables import Meta
from cryptolake.transfer.engine import transfer
from tests.transfer.archives import FolderPlan, plan_of
from tests.transfer.proxy import Proxy, proxied

if TYPE_CHECKING:
    from cryptolake.report import Report

LAKE = "lakes-of-transfers"
PUBLISHED = "an-archive-that-grows"
"""A bucket for tests that publish files while a lake is there; the served archive is read only."""
KEYS = {"key": "AKIDTEST", "secret": "sesame-open-wide"}


class S3Bench:
    """What a test of a lake in a bucket holds."""

    def __init__(self, folder: Path, source: Proxy, target: Proxy) -> None:
        self.folder, self.source, self.target = folder, source, target
        self.archive = Archive(endpoint_url=source.url)
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=target.url,
            region_name="us-east-1",
            aws_access_key_id=KEYS["key"],
            aws_secret_access_key=KEYS["secret"],
        )
        self.client.create_bucket(Bucket=LAKE)
        self._options = {
            **KEYS,
            "endpoint_url": target.url,
            "client_kwargs": {"region_name": "us-east-1"},
        }
        self.settle("my lake")
        source.forget()
        target.forget()

    def publish(self, names: Iterable[str]) -> None:
        """Publish files of the folder in a bucket of their own, which is the archive from then on."""
        self.archive = Archive(endpoint_url=self.source.url, bucket=PUBLISHED)
        self.client.create_bucket(Bucket=PUBLISHED)
        for name in names:
            body = (self.folder / name).read_bytes()
            self.client.put_object(Bucket=PUBLISHED, Key=name, Body=body)

    def settle(self, name: str) -> None:
        """Have the lake below this name in its bucket."""
        self.storage = open_storage(f"s3://{LAKE}/{name}", self._options)
        self.meta = Meta(self.storage)

    @property
    def lake(self) -> LakeContext:
        """What a call works with; tables as the test holds them."""
        return replace(LakeContext.of(self.storage, self.archive), tables=self.meta)

    def plan(self, status: str = "new") -> FolderPlan:
        return plan_of(self.folder, self.archive, status)

    def transfer(self, plan: FolderPlan | None = None, mode: str = "auto", **given: Any) -> Report:
        options = {"retries": 1, "backoff": 0.0, "workers": 8, **given.pop("options", {})}
        return transfer(
            plan or self.plan(),  # type: ignore[arg-type]
            self.lake,
            mode=mode,
            progress=False,
            options=options,
            **given,
        )

    def objects(self, below: str) -> dict[str, bytes]:
        """The lake's objects below a folder."""
        return {
            entry.path.removeprefix(below): self.storage.read(entry.path)
            for entry in self.storage.list(below)
        }

    def whole(self, keys: list[str]) -> bool:
        """Whether Bronze holds exactly these files with their sidecars, each with a ledger row."""
        wanted = {
            name: (self.folder / name).read_bytes()
            for key in keys
            for name in (key, key + ".CHECKSUM")
        }
        return self.objects("bronze/") == wanted and set(keys) == set(self.meta.ledger()["key"])

    def unfinished(self) -> list[str]:
        """Multipart uploads that nobody completed or aborted."""
        found = self.client.list_multipart_uploads(Bucket=LAKE).get("Uploads", [])
        return [upload["Key"] for upload in found]


@contextmanager
def s3_bench(folder: Path, *, same: bool) -> Iterator[S3Bench]:
    """Serve ``folder`` and a bucket for the lake, each request seen by a proxy."""
    with ExitStack() as stack:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        served = stack.enter_context(serve_archive(folder, lakes=[LAKE, PUBLISHED]))
        source = stack.enter_context(proxied(served.endpoint))
        target = source
        if not same:
            other = folder.parent / "other"
            (other / "data").mkdir(parents=True)
            target = stack.enter_context(
                proxied(stack.enter_context(serve_archive(other, lakes=[LAKE])).endpoint)
            )
        bench = S3Bench(folder, source, target)
        bench.refresh = served.refresh  # type: ignore[attr-defined]
        yield bench
