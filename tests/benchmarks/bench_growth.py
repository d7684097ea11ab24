"""Plans of millions of files, and a pull beside a ledger of a million rows: requests, processor time, memory.

Run it with ``python -m tests.benchmarks.bench_growth [PART ...] [--files N ...] [--five-million]``; it needs Linux, and
for the part ``ledger`` moto. The parts, all of them when none is named:

- ``days``: a plan of daily files, cold (the archive is listed) and from the cached listing, for each number of files;
- ``months``: the same of monthly files, whole months of klines whose days are published as well;
- ``held``: a plan of the same days by a lake that has them all, and by it a plan of 100 symbols' last month;
- ``ledger``: a pull of 20 files into lakes whose ledger has no other rows, 100,000 and a million.

The archive is a server that makes up its listings when it is asked, in a process of its own, so that millions of
files lie on no disk. Each call runs in a fresh process; memory is its peak, RSS and the anonymous part of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import urllib.request
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

FIRST, LAST = date(2021, 1, 1), date(2024, 12, 31)
DAYS = (LAST - FIRST).days + 1
MONTHS = 48
INTERVALS = ("1m", "5m", "15m", "1h", "4h", "1d")
SIZES = (10_000, 100_000, 1_000_000)
PAGE = 1000
SIZE = 60_000

PLAN = """
import json, resource, sys
import cryptolake as cl
root, url, text = sys.argv[1:]
lake = cl.Lake(root, source=cl.Archive(endpoint_url=url, region="us-east-1"))
plan = lake.plan(cl.Query.from_json(text), progress=False)
used = resource.getrusage(resource.RUSAGE_SELF)
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([plan.rows.height, plan.cached, used.ru_utime + used.ru_stime, int(lines["VmHWM"].split()[0]) / 1000]))
"""


# ----------------------------------------------------------------------------------------------- the archive


@cache
def periods(partition: str) -> list[str]:
    """Return the periods of a partition's files, in the order of their names."""
    days = [FIRST + timedelta(number) for number in range(DAYS)]
    if partition == "daily":
        return [f"{day}" for day in days]
    return sorted({f"{day:%Y-%m}" for day in days})


def names_below(prefix: str) -> tuple[str, list[str]]:
    """Return what the keys of a folder begin with, and their ends, in order."""
    parts = prefix.rstrip("/").split("/")
    partition = "daily" if "daily" in parts else "monthly"
    if "metrics" in parts:
        name, word = parts[-1], "metrics"
    else:
        name, word = parts[-2], parts[-1]
    ends = [f"{period}.zip{end}" for period in periods(partition) for end in ("", ".CHECKSUM")]
    return f"{prefix}{name}-{word}-", ends


def is_folder_of_files(prefix: str) -> bool:
    """Say whether a prefix is that of a symbol's files."""
    parts = prefix.rstrip("/").split("/")
    if "metrics" in parts:
        return parts[-1] != "metrics"
    return len(parts) > 2 and parts[-3] == "klines"


def etag(key: str) -> str:
    """Return the ETag of a key in the listing."""
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()


def answer(symbols: Sequence[str], asked: dict[str, list[str]]) -> bytes:
    """Return a page of the listing."""

    def word(name: str) -> str:
        return asked.get(name, [""])[0]

    prefix, after = word("prefix"), word("continuation-token") or word("start-after")
    most = int(word("max-keys") or PAGE)
    if is_folder_of_files(prefix):
        stem, ends = names_below(prefix)
        begin = bisect_right(ends, after.removeprefix(stem)) if after > stem else 0
        page = ends[begin : begin + most]
        more = len(ends) > begin + most
        last = f"{stem}{page[-1]}" if page else ""
        cells = "".join(
            f"<Contents><Key>{stem}{end}</Key><Size>{SIZE if end[-1] == 'p' else 91}</Size>"
            f'<ETag>"{etag(stem + end)}"</ETag>'
            "<LastModified>2025-01-02T03:04:05.000Z</LastModified></Contents>"
            for end in page
        )
    else:
        known = any(name in prefix for name in ("/daily/metrics/", "/klines/")) and word(
            "delimiter"
        )
        folders = [f"{prefix}{name}/" for name in symbols] if known else []
        begin = bisect_right(folders, after)
        chosen = folders[begin : begin + most]
        more, last = len(folders) > begin + most, chosen[-1] if chosen else ""
        cells = "".join(
            f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in chosen
        )
    token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
    truncated = str(more).lower()
    return f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{token}{cells}</ListBucketResult>".encode()


def symbol(number: int) -> str:
    """Return the name of a symbol."""
    return f"S{number:06}USDT"


def serve(count: int) -> None:
    """Serve the listing of some symbols until the process ends; print the port."""
    symbols = [symbol(number) for number in range(count)]
    told = [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/asked":
                body = str(told[0]).encode()
                told[0] = 0
            else:
                told[0] += 1
                body = answer(symbols, parse_qs(parts.query))
            self.send_response_only(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def archive(symbols: int) -> Iterator[str]:
    """Run the server of a listing with that many symbols; yield its URL."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_growth", "--serve", str(symbols)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        finally:
            child.terminate()


# ------------------------------------------------------------------------------------------------- the parts


def planned(root: Path, url: str, query: Any, what: str) -> None:
    """Plan in a fresh process; print its requests, processor time and memory."""
    with urllib.request.urlopen(f"{url}/asked"):
        pass
    command = [sys.executable, "-c", PLAN, str(root), url, query.to_json()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        sys.exit(done.stderr)
    files, cached, cpu, rss = json.loads(done.stdout.splitlines()[-1])
    with urllib.request.urlopen(f"{url}/asked") as told:
        asked = int(told.read())
    each = 1e6 * (rss - 90) / files
    print(
        f"  {files:9,} files ({cached:9,} here), {what:6}: {asked:7,} requests, {cpu:6.1f} s CPU, {rss:6.0f} MB"
        f" ({each:5.0f} bytes a file beyond 90 MB)",
        flush=True,
    )


def days(folder: Path, sizes: Sequence[int]) -> None:
    """Plan daily files of a type that has no monthly ones."""
    import cryptolake as cl

    for size in sizes:
        query = (
            cl.query().markets("futures_um").data_types("metrics").symbols("*").between(FIRST, LAST)
        )
        with archive(-(-size // DAYS)) as url:
            for what in ("cold", "cached"):
                planned(folder / f"days-{size}", url, query, what)


def months(folder: Path, sizes: Sequence[int]) -> None:
    """Plan whole months of klines."""
    import cryptolake as cl

    for size in sizes:
        query = cl.query().markets("spot").klines(*INTERVALS).symbols("*").between(FIRST, LAST)
        with archive(-(-size // (MONTHS * len(INTERVALS)))) as url:
            for what in ("cold", "cached"):
                planned(folder / f"months-{size}", url, query, what)


def held(folder: Path, sizes: Sequence[int]) -> None:
    """Plan days that the lake has, all of them and a few."""
    import cryptolake as cl

    for size in sizes:
        query = (
            cl.query().markets("futures_um").data_types("metrics").symbols("*").between(FIRST, LAST)
        )
        root = folder / f"held-{size}"
        with archive(-(-size // DAYS)) as url:
            planned(root, url, query, "cold")
            fill_ledger(root, url, -(-size // DAYS))
            planned(root, url, query, "held")
            few = query.symbols(
                *(symbol(7 * number) for number in range(100) if 7 * number * DAYS < size)
            )
            planned(root, url, few.between("2024-12-01", LAST), "few")


def fill_ledger(root: Path, url: str, symbols: int) -> None:
    """Enter all days of symbols into a lake's ledger, as runs of 20 symbols each would have, and merge its segments.

    In Bronze stand files of their size without content.
    """
    import polars as pl

    import cryptolake as cl

    tables = cl.Lake(root, source=cl.Archive(endpoint_url=url, region="us-east-1")).meta
    stems = [
        f"data/futures/um/daily/metrics/{symbol(n)}/{symbol(n)}-metrics-" for n in range(symbols)
    ]
    ends = [f"{period}.zip" for period in periods("daily")]
    for start in range(0, symbols, 20):
        keys = [stem + end for stem in stems[start : start + 20] for end in ends]
        rows = pl.DataFrame(
            {
                "key": keys,
                "sha256": [secrets.token_hex(32) for _ in keys],
                "etag": [etag(key) for key in keys],
                "checksum_etag": [etag(f"{key}.CHECKSUM") for key in keys],
            }
        ).with_columns(event=pl.lit("stored"), size=SIZE, verified=pl.lit("checksum"))
        tables.append("files", rows)
        tables.settle()
        for stem in stems[start : start + 20]:
            folder = root / "bronze" / stem.rpartition("/")[0]
            folder.mkdir(parents=True)
            for end in ends:
                with (folder / f"{stem.rpartition('/')[2]}{end}").open("wb") as file:
                    file.truncate(SIZE)


def ledger(folder: Path, sizes: Sequence[int]) -> None:
    """Pull 20 files of one symbol beside ledgers of other symbols' rows."""
    from tests.benchmarks.bench_age import BUCKET, PULL, PULLED, START, aged, publish, watched
    from tests.storm.publisher import Publisher, s3_server

    with s3_server() as (url, client):
        publisher = Publisher(client, url, BUCKET)
        publish(publisher, 1 + PULLED)
        days = [f"{START + timedelta(day)}" for day in (1, PULLED)]
        for rows in (0, *(size for size in sizes if size in SIZES[1:])):
            root = folder / f"ledger-{rows}"
            if rows:
                aged(root, publisher, 50, rows)
            cpu, rss, anonymous = watched(PULL, str(root), url, *days)
            print(
                f"  {rows:9,} ledger rows: {cpu:.2f} s CPU, {rss:.0f} MB ({anonymous:.0f} MB anonymous)",
                flush=True,
            )


PARTS: dict[str, Callable[[Path, Sequence[int]], None]] = {
    "days": days,
    "months": months,
    "held": held,
    "ledger": ledger,
}


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all when left out")
    parser.add_argument("--files", type=int, nargs="*", default=SIZES)
    parser.add_argument("--five-million", action="store_true", help="plan five million files too")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {sorted(unknown)}; there are {', '.join(PARTS)}")
    sizes = [*given.files, *([5_000_000] if given.five_million else [])]
    for name in given.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"\n{name}:", flush=True)
            PARTS[name](Path(folder), sizes)


if __name__ == "__main__":
    main()
