"""What SQL costs that is about one month of a large lake, against the same by hand; each figure a ratio, by turns.

``python tests/benchmarks/bench_sql.py`` prints, in seconds of processor time over 20,000 Silver files,

- one day of all symbols with a filter on ``month``, against ``lake.silver`` of the same, against ``read_parquet``
  of that month's files by hand, and against the same question without the filter;
- ``lake.connect()`` of that lake, and of an empty one;
- in a bucket without httpfs, the requests that a question makes for each file it reads.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import duckdb
import polars as pl

import cryptolake as cl
from cryptolake.readers import duckdb_views

MONTH = "2022-03"
DAY = "open_time >= '2022-03-05' and open_time < '2022-03-06'"
QUESTION = "select symbol, sum(volume) from {} where {} group by symbol"


def month_of_bars(year: int, month: int) -> bytes:
    """A month of 1d bars as a Silver file."""
    begin, end = (datetime(year + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in (month - 1, month))
    times = pl.datetime_range(
        begin, end, "1d", closed="left", time_unit="us", time_zone="UTC", eager=True
    )
    numbers = pl.Series(range(len(times)), dtype=pl.Float64)
    prices = dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), numbers)
    taker = dict.fromkeys(("taker_buy_volume", "taker_buy_quote_volume"), numbers)
    whole = {"open_time": times, **prices, "close_time": times, "trades": numbers.cast(pl.Int64)}
    buffer = BytesIO()
    frame = pl.DataFrame({**whole, **taker})
    frame.write_parquet(buffer, compression="zstd", metadata={"cryptolake": "{}"})
    return buffer.getvalue()


def fill(put: Callable[[str, bytes], object], symbols: int, months: int) -> None:
    for number in range(months):
        year, month = 2020 + number // 12, number % 12 + 1
        data = month_of_bars(year, month)
        for symbol in range(symbols):
            folder = f"silver/market=spot/data_type=klines/interval=1d/symbol=S{symbol:04}USDT"
            put(f"{folder}/{year}-{month:02}.parquet", data)


def best(rounds: int, *jobs: Callable[[], object]) -> list[float]:
    """Run the jobs by turns; return the least processor seconds of each."""
    times = [float("inf")] * len(jobs)
    for _ in range(rounds):
        for place, job in enumerate(jobs):
            begin = time.process_time()
            job()
            times[place] = min(times[place], time.process_time() - begin)
    return times


def local(root: Path, symbols: int, months: int, rounds: int) -> None:
    lake = cl.Lake(root / "lake")
    fill(lake.storage.write, symbols, months)
    query = cl.query().markets("spot").klines("1d").symbols("*").between("2022-03-05")
    con = lake.connect()
    pattern = f"{lake.root}/silver/market=spot/data_type=klines/interval=1d/*/{MONTH}.parquet"
    hand = f"read_parquet('{pattern}', hive_partitioning = true)"
    plain = duckdb.connect()

    def frame() -> object:
        return lake.silver(query).group_by("symbol").agg(pl.sum("volume")).collect()

    view = QUESTION.format("silver.spot_klines_1d", f"month = '{MONTH}' and {DAY}")
    whole = QUESTION.format("silver.spot_klines_1d", DAY)
    sql, silver, by_hand, unpruned = best(
        rounds,
        lambda: con.execute(view).fetchall(),
        frame,
        lambda: plain.execute(QUESTION.format(hand, DAY)).fetchall(),
        lambda: con.execute(whole).fetchall(),
    )
    lake_sql, q = best(
        rounds,
        lambda: lake.sql(view).fetchall(),
        lambda: lake.sql(QUESTION.format("q", "true"), query=query).fetchall(),
    )
    connect, empty = best(rounds, lake.connect, cl.Lake(root / "empty").connect)
    print(f"one day, {symbols} symbols, {symbols * months:,} files; processor seconds")
    print(f"view with a filter on month, connect()      {sql:.2f}")
    print(f"lake.silver                                 {silver:.2f}   view: {sql / silver:.2f} x")
    print(
        f"read_parquet of that month by hand          {by_hand:.2f}   view: {sql / by_hand:.2f} x"
    )
    print(
        f"view without the filter                     {unpruned:.2f}   view: {sql / unpruned:.2f} x"
    )
    print(
        f"lake.sql (looks at the lake first)          {lake_sql:.2f}   {lake_sql / silver:.2f} x lake.silver"
    )
    print(f"lake.sql of q, query=query                  {q:.2f}")
    print(f"connect(), this lake and an empty one       {connect:.2f}, {empty:.2f}")


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count requests about single Silver objects, by method."""
    from werkzeug.serving import WSGIRequestHandler

    seen: Counter[str] = Counter()
    real = WSGIRequestHandler.run_wsgi

    def run_wsgi(self: WSGIRequestHandler) -> None:
        if "silver/" in self.path and ".parquet" in self.path:
            seen[self.command] += 1
        real(self)

    WSGIRequestHandler.run_wsgi = run_wsgi  # type: ignore[method-assign]
    yield seen
    WSGIRequestHandler.run_wsgi = real  # type: ignore[method-assign]


def bucket(symbols: int) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="k",
        aws_secret_access_key="s",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="lakes")
    fill(lambda path, data: client.put_object(Bucket="lakes", Key=path, Body=data), symbols, 2)
    duckdb_views._loads = lambda *_: False
    options = {"key": "k", "secret": "s", "endpoint_url": url}
    lake = cl.Lake("s3://lakes", storage_options=options)
    text = QUESTION.format("silver.spot_klines_1d", "month = '2020-02'")
    for what, ask in (("connect()", lake.connect().execute), ("lake.sql", lake.sql)):
        with counted() as seen:
            ask(text).fetchall()
        each = sum(seen.values()) / symbols
        print(f"bucket, {what}: {dict(seen)} for {symbols} files read: {each:.2f} a file")
    server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=400)
    parser.add_argument("--months", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        local(Path(folder), given.symbols, given.months, given.rounds)
    bucket(250)
