"""A nightly update costs no more on a later night than on the first, and one that finds nothing writes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

import cryptolake as cl
from cryptolake.storage import segments
from cryptolake.storage.files import LocalStorage
from cryptolake.storage.tables import Meta
from tests.storm.publisher import LAKES, Publisher, options, s3_server
from tests.transfer.proxy import Proxy, proxied

START, HELD, NIGHTS = date(2024, 3, 1), 3, 3
AGED, AT_ONCE = 300, 6
NIGHTLY = ("files", "months", "sources")
"""Tables to which a night with news adds rows, and which a night without reads."""

MOST, LONGER = 20, 6
"""Requests of a night without news, to the lake and to the archive; and how many more a later one may make: tables
grow by a segment each time that they have several times as many rows."""

QUERY = cl.query().markets("spot").klines("1h").symbols("BTCUSDT")


def test_a_nights_requests_do_not_grow_and_a_night_without_news_writes_nothing(
    monkeypatch, tmp_path: Path
) -> None:
    with s3_server() as (url, client), proxied(url) as proxy, proxied(url) as origin:
        publisher = Publisher(client, url, "data.binance.vision")
        source = cl.Archive(endpoint_url=origin.url, region="us-east-1")

        def lake() -> cl.Lake:
            monkeypatch.setattr(segments, "_FRAMES", segments._Frames(segments._CACHED_BYTES))
            return cl.Lake(
                f"s3://{LAKES}/nights", source=source, storage_options=options(proxy.url)
            )

        for day in range(HELD):
            publisher.publish("BTCUSDT", START + timedelta(day))
        lake().pull(QUERY.between(START, START + timedelta(HELD - 1)), progress=False)
        counts, quiet = [], []
        for night in range(NIGHTS):
            publisher.publish("BTCUSDT", START + timedelta(HELD + night))
            proxy.forget()
            assert lake().update(progress=False).changed
            counts.append(sum(proxy.asked.values()))
            quiet.append(night_without_news(lake, proxy, origin))
        assert max(counts) <= 1.2 * counts[0], counts
        lived(client, lake().meta, tmp_path)
        quiet.append(night_without_news(lake, proxy, origin))
        assert max(quiet) <= MOST, quiet
        assert quiet[-1] <= quiet[0] + LONGER, quiet
        assert lake().silver(QUERY).collect().height == 24 * (HELD + NIGHTS)


def night_without_news(lake: Callable[[], cl.Lake], lakes: Proxy, archive: Proxy) -> int:
    """Update when there is no news; return the requests to the lake and to the archive. None of them writes."""
    lakes.forget()
    archive.forget()
    assert not lake().update(progress=False).changed
    assert {method for method, _ in lakes.asked} == {"GET"}
    return sum(lakes.asked.values()) + sum(archive.asked.values())


def lived(client: Any, meta: Meta, folder: Path) -> None:
    """Give the lake's tables the rows of hundreds of nights more, and leave them as those nights would have."""
    aged = Meta(LocalStorage(folder))
    model = {table: meta.read(table) for table in NIGHTLY}
    for _ in range(AGED // AT_ONCE):
        for table, rows in model.items():
            few = pl.concat([rows.tail(1)] * AT_ONCE)
            names = {"key", "path", "sha256", "etag"} & set(rows.columns)
            told = [
                pl.Series(name, [secrets.token_hex(32) for _ in range(AT_ONCE)]) for name in names
            ]
            aged.append(table, few.with_columns(told))
            aged.compact(table, many=2)  # as a run in a bucket ends
    for table in NIGHTLY:
        for file in (folder / "meta" / table).iterdir():
            client.upload_file(str(file), LAKES, f"nights/meta/{table}/{file.name}")
