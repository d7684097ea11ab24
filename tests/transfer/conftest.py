from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptolake.archive.source import Archive
from cryptolake.listing.context import LakeContext
from cryptolake.storage.files import Storage, open_storage
from cryptolake.storage.tables import Meta
from cryptolake.transfer.engine import transfer
from tests.transfer.archives import FolderPlan, plan_of
from tests.transfer.proxy import Proxy, proxied
from tests.transfer.servers import BUCKET, hadro

if TYPE_CHECKING:
    from cryptolake.report import Report


class Bench:
    """An archive in a folder (a bucket), served by hadro behind the proxy, and a lake."""

    def __init__(self, folder: Path, proxy: Proxy, lake: Path) -> None:
        self.folder = folder
        self.proxy = proxy
        self.root = lake
        self.archive = Archive(bucket=folder.name, endpoint_url=proxy.url)
        self.storage: Storage = open_storage(lake)
        self.meta = Meta(self.storage)

    @property
    def lake(self) -> LakeContext:
        """What a call works with; tables as the test holds them."""
        return replace(LakeContext.of(self.storage, self.archive), tables=self.meta)

    def plan(self, status: str = "new") -> FolderPlan:
        return plan_of(self.folder, self.archive, status)

    def transfer(self, plan: FolderPlan | None = None, **given: object) -> Report:
        options = {"retries": 1, "backoff": 0.0, "workers": 16, **dict(given.pop("options", {}))}  # type: ignore[call-overload]
        return transfer(
            plan or self.plan(),  # type: ignore[arg-type]
            self.lake,
            progress=False,
            options=options,
            **given,  # type: ignore[arg-type]
        )

    def bronze(self, key: str) -> Path:
        return self.root / "bronze" / key

    def whole(self, keys: list[str]) -> bool:
        """Whether these files stand in Bronze, byte for byte, each with its sidecar and a ledger row."""
        same = all(
            self.bronze(name).read_bytes() == (self.folder / name).read_bytes()
            for key in keys
            for name in (key, key + ".CHECKSUM")
        )
        return same and set(keys) <= set(self.meta.ledger()["key"])

    def stray(self) -> list[str]:
        """Files under Bronze or incoming that should not be there."""
        found = [p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file()]
        ledger = {f"bronze/{key}" for key in self.meta.ledger()["key"]}
        fine = ledger | {f"{key}.CHECKSUM" for key in ledger}
        return [
            path
            for path in found
            if path.startswith(("bronze", "meta/incoming")) and path not in fine
        ]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder of buckets and the endpoint that serves it, for the whole session."""
    buckets = tmp_path_factory.mktemp("buckets")
    with hadro(buckets) as endpoint:
        yield buckets, endpoint


@pytest.fixture
def bench(served: tuple[Path, str], tmp_path: Path) -> Iterator[Bench]:
    buckets, endpoint = served
    folder = buckets / f"archive.{secrets.token_hex(6)}"
    folder.mkdir()
    with proxied(endpoint) as proxy:
        yield Bench(folder, proxy, tmp_path / "lake")


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Benches whose hadro has options of its own: latency, errors, bandwidth."""
    with ExitStack() as stack:

        def make(*arguments: str) -> Bench:
            folder = tmp_path / "buckets" / BUCKET
            folder.mkdir(parents=True)
            endpoint = stack.enter_context(hadro(folder.parent, *arguments))
            proxy = stack.enter_context(proxied(endpoint))
            return Bench(folder, proxy, tmp_path / "lake")

        yield make
