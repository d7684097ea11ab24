"""When the archive does not answer: the cached listing stands in, or the error says what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import parse_days
from cryptolake.listing.listing import Listing
from cryptolake.storage.files import open_storage
from tests.planning.source import Source, source

ROW = load_matrix().row(Market.SPOT, DataType.KLINES)
MONTH = parse_days("2024-01")

PAGE = b"<!DOCTYPE html><html><body><p>Log in to the hotel's network<br></body></html>"
TIDY_PAGE = b"<html><body>Hello</body></html>"


@contextmanager
def answering(status: int, body: bytes, kind: str = "text/html") -> Iterator[str]:
    """A real HTTP server that gives every request the same answer; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def ask(url: str, lake: Path) -> None:
    listing = Listing(cl.Archive(endpoint_url=url), open_storage(lake))
    listing.files(ROW, "BTCUSDT", Interval.M1, days=MONTH)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, PAGE, "not with an S3 listing"),
        (200, TIDY_PAGE, "not with an S3 listing"),
        (200, b"", "not with an S3 listing"),
        (200, b'{"json": true}', "not with an S3 listing"),
        (200, b"<ListBucketResult><Name>x</Name></ListBucketResult>", "not with an S3 listing"),
        (403, PAGE, "cannot be listed anonymously"),
        (403, b"<Error><Code>AccessDenied</Code></Error>", "cannot be listed anonymously"),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", "no such bucket"),
        (404, TIDY_PAGE, "no S3 endpoint"),
        (301, b"", "301"),
    ],
)
def test_an_answer_that_is_no_listing_is_an_error_and_not_an_empty_archive(
    status: int, body: bytes, says: str, tmp_path: Path
):
    with answering(status, body) as url, pytest.raises(cl.ListingError, match=says) as caught:
        ask(url, tmp_path)
    assert url in str(caught.value)
    assert "CRYPTOLAKE_ENDPOINT_URL" in str(caught.value)
    assert "No cached listing stands in" in str(caught.value)
    assert caught.value.endpoint == url


def test_a_port_where_nothing_listens_is_named(tmp_path: Path):
    with pytest.raises(cl.ListingError, match="nothing answers there"):
        ask("http://127.0.0.1:9", tmp_path)


def test_a_wrong_profile_does_not_matter_to_an_anonymous_archive(
    origin: Source, lake: cl.Lake, monkeypatch: pytest.MonkeyPatch
):
    origin.days("BTCUSDT", "2024-01-01")
    origin.publish()
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # the lake's, not the archive's
    assert lake.listing.files(ROW, "BTCUSDT", Interval.M1, days=MONTH).height == 1


def test_offline_a_cached_listing_stands_in_whatever_its_age(tmp_path: Path):
    storage = open_storage(tmp_path / "lake")
    with source(tmp_path / "archive", "gone") as origin:
        origin.days("BTCUSDT", "2024-01-01", "2024-01-05")
        origin.publish()
        online = Listing(origin.archive, storage)
        before = online.files(ROW, "BTCUSDT", Interval.M1, days=MONTH)
        online.symbols(ROW, Partition.DAILY)
    offline = Listing(origin.archive, storage, max_age=timedelta(0))
    assert offline.files(ROW, "BTCUSDT", Interval.M1, days=MONTH).equals(before)
    assert offline.symbols(ROW, Partition.DAILY) == ["BTCUSDT"]
    with pytest.raises(cl.ListingError, match="were never listed"):
        offline.files(ROW, "BTCUSDT", Interval.M1, days=parse_days("2021"))
    with pytest.raises(cl.ListingError, match="symbols were never listed"):
        offline.symbols(ROW, Partition.MONTHLY)


def test_offline_a_plan_is_made_and_says_how_old_its_listing_is(tmp_path: Path):
    query = (
        cl.query()
        .markets("spot")
        .klines("1m")
        .symbols("BTCUSDT")
        .between("2024-01-01", "2024-01-05")
    )
    with source(tmp_path / "archive", "gone-too") as origin:
        origin.days("BTCUSDT", "2024-01-01", "2024-01-05")
        origin.days("ETHUSDT", "2024-01-01", "2024-02-05")
        origin.months("ETHUSDT", "2024-01")
        origin.publish()
        lake = cl.Lake(tmp_path / "lake", source=origin.archive)
        online = lake.plan(query)
        month = lake.plan(query.symbols("ETHUSDT").between("2024-01"))
    offline = lake.plan(query, refresh=True)
    assert offline.files.equals(online.files)
    assert offline.listed_at == online.listed_at
    assert any("does not answer" in note and "cached listing" in note for note in offline.notes)
    assert "listing of s3://gone-too" in repr(offline)
    # Of whole months no day was listed: their files have the days of a part of them.
    part = lake.plan(query.symbols("ETHUSDT").between("2024-01-05", "2024-01-09"))
    assert part.files["key"].to_list() == month.files["key"].to_list()
    assert (part.files["period"].to_list(), part.missing) == (["2024-01"], 0)
    assert any("does not answer" in note and "cached listing" in note for note in part.notes)
    with pytest.raises(cl.ListingError, match="never listed"):
        lake.plan(query.symbols("ETHUSDT").between("2024-01-30", "2024-02-02"))
