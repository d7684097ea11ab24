"""Real published files: what their holes are said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.archive.keys import parse_key
from cryptolake.sample.folder import ArchiveFolder, published_at
from cryptolake.sample.server import serve_archive

HOURS = "data/spot/monthly/klines/BTCUSDT/1h"


@pytest.mark.real
def test_every_hole_of_the_real_hours_is_a_cited_halt_or_before_the_listing(
    real_archive: Path, tmp_path: Path
):
    folder = ArchiveFolder(tmp_path / "archive")
    for path in sorted((real_archive / "csv" / HOURS).glob("BTCUSDT-1h-20[12][0-9]-[01][0-9].csv")):
        parsed = parse_key(f"{HOURS}/{path.stem}.zip")
        assert parsed is not None
        moment = published_at(parsed.period, parsed.market)
        folder.write_zip(parsed.key, path.read_bytes(), moment, parsed.market)
    with serve_archive(folder.root, bucket="real-hours") as served:
        source = cl.Archive(bucket="real-hours", endpoint_url=served.endpoint)
        lake = cl.Lake(tmp_path / "lake", source=source)
        query = (
            cl.query()
            .markets("spot")
            .klines("1h")
            .symbols("BTCUSDT")
            .between("2017-08-17", "2022-02-28")
        )
        assert lake.pull(query, progress=False).ok
        gaps, quality = lake.gaps(query), lake.quality(query)
    absent = {row["month"] for row in quality.rows(named=True) if not row["rows"]}
    here = gaps.filter(~gaps["month"].is_in(sorted(absent)))
    assert set(here["cause"]) == {"exchange_halt", "not_listed"}
    assert here.filter(cause="not_listed").select("month", "bars").rows() == [("2017-08", 4)]
    assert here.filter(cause="exchange_halt")["bars"].sum() == 90
    # Months that were not captured: nothing is known of them, but for the halts in the table.
    unseen = gaps.filter(gaps["month"].is_in(sorted(absent)))
    assert set(unseen["cause"]) == {"not_published", "exchange_halt"}
    assert unseen["evidence"].str.contains("no file that covers it was read").all()
    odd = lake.meta.read("findings").filter(kind="off_grid_open_time")
    assert odd["rows"].sum() == 43
