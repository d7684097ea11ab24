"""A zip that was stored before its CHECKSUM was published: that one is fetched when the listing has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import cryptolake as cl
from tests.quality.conftest import world
from tests.quality.world import World, key_of
from tests.transfer.archives import write_archive
from tests.transfer.proxy import proxied
from tests.transfer.s3bench import s3_bench

__all__ = ["world"]

FUNDING = cl.query().markets("futures_um").data_types("fundingRate").symbols("ETHUSDT")
MONTHS = FUNDING.between("2023-03", "2023-05")
KEY = key_of("2023-04", symbol="ETHUSDT", data_type="fundingRate")


@pytest.fixture
def late(world: Callable[..., World]) -> tuple[World, bytes]:
    """A lake with a file that had no CHECKSUM when it was pulled; and the right CHECKSUM."""
    here = world(
        datasets=["futures_um_funding_rate"], symbols=["ETHUSDT"], days=("2023-03-01", "2023-05-31")
    )
    beside = here.folder.path(f"{KEY}.CHECKSUM")
    right = beside.read_bytes()
    beside.unlink()
    here.publish()
    here.pull(MONTHS)
    assert proof(here) == "none_published"
    return here, right


def proof(here: World) -> str | None:
    ledger = here.lake.meta.ledger()
    rows = ledger.filter(ledger["key"] == KEY)
    return rows["verified"][0] if rows.height else None


def publish(here: World, sidecar: bytes) -> None:
    here.folder.path(f"{KEY}.CHECKSUM").write_bytes(sidecar)
    here.publish()


def again(here: World, verb: str, endpoint: str) -> cl.Report:
    source = cl.Archive(bucket=here.lake.source.bucket, endpoint_url=endpoint)
    lake = cl.Lake(here.lake.root, source=source)
    if verb == "pull":
        return lake.pull(MONTHS, refresh=True, progress=False)
    report = lake.update(progress=False).report
    assert report is not None
    return report


@pytest.mark.parametrize("verb", ["pull", "update"])
def test_only_the_checksum_is_fetched_and_the_file_is_verified_by_it(
    late: tuple[World, bytes], verb: str
):
    here, right = late
    publish(here, right)
    with proxied(here.served.endpoint) as proxy:
        report = again(here, verb, proxy.url)
        assert report.ok
        assert (report.adopted, report.transferred) == (1, 0)
        assert proxy.gets(KEY) == 0
        assert proxy.gets(f"{KEY}.CHECKSUM") == 1
        proxy.forget()
        assert (
            cl.Lake(here.lake.root, source=here.lake.source).plan(MONTHS, refresh=True).cached == 3
        )
    stored = Path(here.lake.root) / "bronze" / f"{KEY}.CHECKSUM"
    assert stored.read_bytes() == right
    assert proof(here) == "sha256"
    assert not here.lake.update(progress=False).changed


def test_a_file_that_its_late_checksum_contradicts_goes_to_quarantine(late: tuple[World, bytes]):
    here, right = late
    publish(here, b"0" * 64 + right[64:])
    report = again(here, "pull", here.served.endpoint)
    assert report.quarantined == 1
    assert proof(here) is None
    assert not (Path(here.lake.root) / "bronze" / KEY).exists()
    assert (Path(here.lake.root) / "meta" / "quarantine" / KEY).exists()
    status = here.lake.plan(MONTHS, refresh=True).files
    assert status.filter(status["key"] == KEY)["status"].to_list() == ["quarantined"]
    # The archive mends it: it is fetched again.
    publish(here, right)
    assert here.lake.pull(MONTHS, refresh=True, progress=False).ok
    assert proof(here) == "sha256"
    assert here.lake.silver(MONTHS).collect().height == 3 * (31 + 30 + 31)


def test_a_copied_file_stays_while_its_late_checksum_is_copied(tmp_path: Path):
    keys = write_archive(tmp_path / "archive", 3)
    late = f"{keys[1]}.CHECKSUM"
    beside = tmp_path / "archive" / late
    right = beside.read_bytes()
    with s3_bench(tmp_path / "archive", same=True) as bench:
        bench.publish(name for key in keys for name in (key, f"{key}.CHECKSUM") if name != late)
        beside.unlink()
        bench.transfer(mode="direct", options={"sidecars": True})
        beside.write_bytes(right)
        bench.client.put_object(Bucket=bench.archive.bucket, Key=late, Body=right)
        plan = bench.plan("unrecorded")
        report = bench.transfer(plan, mode="direct", options={"sidecars": True})
        assert (report.skipped + report.transferred, report.failed) == (3, 0)
        assert bench.whole(keys)
