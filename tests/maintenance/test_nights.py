"""A nightly update costs no more on a later night than on the first, and one that finds nothing writes nothing."""

from __future__ import annotations

from datetime import date, timedelta

import cryptolake as cl
from cryptolake.storage import segments
from tests.storm.publisher import LAKES, Publisher, options, s3_server
from tests.transfer.proxy import proxied

START, HELD, NIGHTS = date(2024, 3, 1), 3, 5
QUERY = cl.query().markets("spot").klines("1h").symbols("BTCUSDT")


def test_a_nights_requests_do_not_grow_and_a_night_without_news_writes_nothing(monkeypatch) -> None:
    with s3_server() as (url, client), proxied(url) as proxy:
        publisher = Publisher(client, url, "data.binance.vision")
        source = cl.Archive(endpoint_url=url, region="us-east-1")

        def lake() -> cl.Lake:
            monkeypatch.setattr(segments, "_FRAMES", segments._Frames(segments._CACHED_BYTES))
            return cl.Lake(
                f"s3://{LAKES}/nights", source=source, storage_options=options(proxy.url)
            )

        for day in range(HELD):
            publisher.publish("BTCUSDT", START + timedelta(day))
        lake().pull(QUERY.between(START, START + timedelta(HELD - 1)), progress=False)
        counts = []
        for night in range(NIGHTS):
            publisher.publish("BTCUSDT", START + timedelta(HELD + night))
            proxy.forget()
            assert lake().update(progress=False).changed
            counts.append(sum(proxy.asked.values()))
            proxy.forget()
            assert not lake().update(progress=False).changed
            assert {method for method, _ in proxy.asked} <= {"GET", "HEAD"}
        assert max(counts) <= 1.2 * counts[0], counts
        assert lake().silver(QUERY).collect().height == 24 * (HELD + NIGHTS)
