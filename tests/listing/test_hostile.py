"""Listings that lie or never end: a typed error at a stated limit, or one key left out, and said."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import itertools
import resource
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

import cryptolake as cl
from cryptolake.archive.enums import DataType, Market, Partition
from cryptolake.archive.matrix import load_matrix
from cryptolake.listing import cache, client
from cryptolake.listing.client import Pages
from cryptolake.listing.pages import NO_LISTING, NoAnswer, read

DAY = "data/spot/daily/klines/{symbol}/1h/{symbol}-1h-2024-03-{day:02}.zip"
QUERY = cl.query().markets("spot").klines("1h").between("2024-03-01", "2024-03-04")


def page(
    objects: Any = (), folders: Any = (), token: str | None = None, *, encoded: bool = True
) -> bytes:
    def name(text: str) -> str:
        return quote(text) if encoded else text

    items = "".join(
        f"<Contents><Key>{name(key)}</Key><LastModified>2024-05-01T00:00:00.000Z</LastModified>"
        f'<ETag>"{"0" * 32}"</ETag><Size>{size}</Size></Contents>'
        for key, size in objects
    )
    levels = "".join(
        f"<CommonPrefixes><Prefix>{name(text)}</Prefix></CommonPrefixes>" for text in folders
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{str(bool(token)).lower()}"
        f"</IsTruncated>{more}{items}{levels}</ListBucketResult>"
    ).encode()


Answerer = Callable[[Mapping[str, str]], bytes | Iterator[bytes]]


@contextlib.contextmanager
def serving(answer: Answerer, **headers: str) -> Iterator[tuple[str, list[Mapping[str, str]]]]:
    """Answer every GET with what ``answer`` makes of its parameters; yield the URL and what was asked."""
    asked: list[Mapping[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            words = dict(parse_qsl(urlsplit(self.path).query))
            asked.append(words)
            found = answer(words)
            body = [found] if isinstance(found, bytes) else found
            self.send_response(200)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Connection", "close")
            self.end_headers()
            with contextlib.suppress(OSError):  # the client left
                for piece in body:
                    self.wfile.write(piece)
                    self.wfile.flush()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def pages_of(url: str) -> list[Any]:
    return list(Pages(cl.Archive(endpoint_url=url)).of("data/"))


def lake_at(folder: Path, url: str) -> cl.Lake:
    return cl.Lake(folder / "lake", source=cl.Archive(endpoint_url=url))


def test_a_token_that_comes_twice_ends_the_listing():
    tokens = itertools.cycle(["a", "b", "c"])
    with serving(lambda _: page([("data/x", 1)], token=next(tokens))) as (url, asked):
        with pytest.raises(cl.ListingError, match="goes round in circles"):
            pages_of(url)
        assert len(asked) == 4


@pytest.mark.parametrize(("names", "pages"), [(0, 50), (10, 20)])
def test_fresh_tokens_without_end_are_read_up_to_a_stated_limit(
    names: int, pages: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "_MOST_PAGES", 50)
    monkeypatch.setattr(client, "_MOST_NAMES", 200)
    count = itertools.count()

    def answer(_: Mapping[str, str]) -> bytes:
        number = next(count)
        return page([(f"data/{number}-{i}", 1) for i in range(names)], token=f"t{number}")

    with serving(answer) as (url, asked):
        with pytest.raises(cl.ListingError, match="at most 200 names and 50 pages") as caught:
            pages_of(url)
        assert len(asked) == pages
        assert "does not end" in caught.value.facts["why"]


def test_an_answer_that_drips_is_left_after_a_while_and_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(client, "_PATIENCE", 0.3)
    ended = []

    def drip() -> Iterator[bytes]:
        for _ in range(2000):
            yield b" "
            time.sleep(0.02)
        ended.append(True)

    with serving(lambda _: drip()) as (url, asked):
        with pytest.raises(cl.ListingError, match="too slowly"):
            pages_of(url)
        assert not ended
        assert len(asked) == 1


def test_an_answer_that_is_slow_and_steady_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "_PATIENCE", 0.4)
    whole = page([(f"data/{n}", 1) for n in range(200)])
    size = len(whole) // 10

    def steady() -> Iterator[bytes]:
        for start in range(0, len(whole), size):
            yield whole[start : start + size]
            time.sleep(0.05)

    with serving(lambda _: steady()) as (url, _):
        (found,) = pages_of(url)
    assert len(found.objects) == 200


@pytest.mark.parametrize("zipped", [False, True])
def test_more_bytes_than_a_page_can_have_are_not_read(zipped: bool):
    bomb = b"<ListBucketResult>" + b" " * (200 * 2**20)
    body = gzip.compress(bomb, 1) if zipped else bomb
    del bomb
    headers = {"Content_Encoding": "gzip"} if zipped else {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serving(lambda _: body, **headers) as (url, asked):
        with pytest.raises(cl.ListingError, match="larger than 8 MiB"):
            pages_of(url)
        assert len(asked) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024


def test_a_gzipped_page_is_read_and_another_encoding_is_named():
    whole = page([("data/x", 7)])
    with serving(lambda _: gzip.compress(whole), Content_Encoding="gzip") as (url, _):
        assert [item.size for found in pages_of(url) for item in found.objects] == [7]
    with (
        serving(lambda _: whole, Content_Encoding="br") as (url, _),
        pytest.raises(cl.ListingError, match="encoding that was not asked for"),
    ):
        pages_of(url)


@pytest.mark.parametrize(
    "body",
    [
        b"<ListBucketResult>" + b"<a/>" * 300_000 + b"</ListBucketResult>",
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x [<!ENTITY y "y">]>'
        "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>".encode("utf-16"),
        b'<?xml version="1.0" encoding="none-such"?><ListBucketResult/>',
    ],
    ids=["elements", "entities", "encoding"],
)
def test_what_would_swell_is_no_listing(body: bytes):
    with pytest.raises(NoAnswer) as caught:
        read(200, {}, body, anonymous=True)
    assert str(caught.value) == NO_LISTING


@pytest.mark.parametrize("size", [-1, -(2**80), 2**63, 2**63 - 1, 10**40])
def test_a_size_that_no_file_has_leaves_out_that_key_alone(size: int, tmp_path: Path):
    keys = [DAY.format(symbol="BTCUSDT", day=day) for day in (1, 2, 3, 4)]
    sizes = [(keys[0], 10), (keys[1], size), (keys[2], 2**40), (keys[3], 0)]
    with serving(lambda words: page(sizes if words.get("max-keys") == "740" else ())) as (url, _):
        plan = lake_at(tmp_path, url).plan(QUERY.symbols("BTCUSDT"))
        assert plan.files["key"].to_list() == [keys[0], keys[2], keys[3]]
        assert plan.total_bytes == 10 + 2**40
        assert any(
            "a size or an ETag that no file has" in note and keys[1] in note for note in plan.notes
        )
        assert not any("-03-0" in line and "*" in line for line in plan.commands())


@pytest.mark.parametrize("etag", ["&#x9b;2J", "&#x202e;zip", "e" * 3000])
def test_an_etag_that_no_file_has_leaves_out_that_key_and_the_plan_is_read_again(
    etag: str, tmp_path: Path
):
    keys = [DAY.format(symbol="BTCUSDT", day=day) for day in (1, 2)]
    whole = page([(key, 5) for key in keys]).replace(b"0" * 32, etag.encode(), 1)
    with serving(lambda words: whole if words.get("max-keys") == "740" else page()) as (url, _):
        plan = lake_at(tmp_path, url).plan(QUERY.symbols("BTCUSDT"))
        plan.save(tmp_path / "plan.json")
        assert cl.Plan.load(tmp_path / "plan.json").files["key"].to_list() == [keys[1]]
        assert any("a size or an ETag that no file has" in note for note in plan.notes)


def test_a_sidecar_with_an_impossible_size_is_left_out_and_its_zip_is_planned(tmp_path: Path):
    key = DAY.format(symbol="BTCUSDT", day=1)
    objects = [(key, 5), (f"{key}.CHECKSUM", -7)]
    with serving(lambda words: page(objects if words.get("max-keys") == "740" else ())) as (url, _):
        plan = lake_at(tmp_path, url).plan(QUERY.symbols("BTCUSDT"))
        assert plan.files["key"].to_list() == [key]
        assert any(f"{key}.CHECKSUM" in note for note in plan.notes)


def test_keys_that_repeat_or_lie_outside_what_was_asked_count_once(tmp_path: Path):
    inside = [(DAY.format(symbol="BTCUSDT", day=day), day) for day in (1, 2, 3)]
    others = [(key.replace("2024-03", "2021-03"), size) for key, size in inside]

    def answer(words: Mapping[str, str]) -> bytes:
        if "/daily/" not in words["prefix"]:
            return page()
        half = [*others, *inside, *inside[1:]]
        if "continuation-token" in words:
            return page(inside)
        return page(half, token="more")  # whatever was asked: start-after and max-keys do not count

    with serving(answer) as (url, _):
        lake = lake_at(tmp_path, url)
        plan = lake.plan(QUERY.symbols("BTCUSDT"))
        assert plan.files["key"].to_list() == [key for key, _ in inside]
        assert plan.total_bytes == 6
        years = QUERY.symbols("BTCUSDT").between("2020-01-01", "2024-12-31")
        assert lake.plan(years).files["key"].is_unique().all()


ODD = (
    "..", ".", "", "A=B", "A\\B", "A\0B", "A%2FB", "A%3DB", "A" * 300, "A*", "A?", "[A]", "{A}",
    "A B", "A\nB", "A\u202eB", "A\x1b[31mB", ".HIDDEN", "A'B", "A,B", "$(A)", "龙" * 40,
)  # fmt: skip
GOOD = ("BTCUSDT", "ETHUSDT_240329", "龙虾USDT", "1000SATSUSDT", "A-B.C")


def test_names_that_cannot_be_folders_are_left_out_and_said(tmp_path: Path):
    head = "data/spot/daily/klines/"

    def answer(words: Mapping[str, str]) -> bytes:
        if words["prefix"] == head:
            return page(folders=[f"{head}{name}/" for name in (*ODD, *GOOD, *GOOD[:2])])
        symbol = words["prefix"].removeprefix(head).partition("/")[0]
        if words.get("max-keys") == "740":
            return page([(DAY.format(symbol=symbol, day=1), 3)])
        return page()

    with serving(answer) as (url, asked):
        lake = lake_at(tmp_path, url)
        with pytest.warns(cl.IncompleteWarning, match=f"{len(ODD)} listed names of spot_klines"):
            assert lake.symbols("spot", "klines")["symbol"].to_list() == sorted(GOOD)
        for _ in range(2):  # asked, and from the cache
            plan = lake.plan(QUERY.symbols("*"))
            assert plan.files["symbol"].to_list() == sorted(GOOD)
            (note,) = (note for note in plan.notes if "cannot be symbols" in note)
            assert note.isprintable()
            assert f"{len(ODD)} listed names" in note
        assert not any(name in words["prefix"] for words in asked for name in ("A=B", ".HIDDEN"))


def test_a_cached_level_of_an_earlier_release_is_read_with_the_names_told_apart(tmp_path: Path):
    with serving(lambda _: page()) as (url, asked):
        lake = lake_at(tmp_path, url)
        listing = lake.context.listing
        klines = load_matrix().row(Market.SPOT, DataType.KLINES)
        for partition in Partition:
            path = listing._symbols_path(klines, partition)
            cache.write_symbols(lake.storage, path, ["BTCUSDT", "A=B"])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert lake.symbols("spot", "klines")["symbol"].to_list() == ["BTCUSDT"]
        assert "'A=B'" in str(said[0].message)
        assert asked == []
