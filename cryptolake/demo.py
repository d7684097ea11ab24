"""The demo: a sample archive served on loopback, a lake built from it, and what comes back.

Every part is the real one: S3 requests, s5cmd, checksums, Parquet, DuckDB. Only the prices are made up.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptolake.query import Query

FIRST, LAST = "2024-12-01", "2025-01-09"
"""December comes as monthly files, the days of January, whose month is not out, as daily ones; spot times
change from milliseconds to microseconds between them."""

SQL = """
select market, symbol, date_trunc('month', open_time)::date as month,
       count(*) as bars, min(low) as low, max(high) as high, round(sum(volume), 1) as volume
from (from silver.spot_klines union all by name from silver.futures_um_klines)
where interval = '1h' group by all order by all
"""


def query() -> Query:
    """Return the demo's query: two markets, two symbols, hours of forty days."""
    import cryptolake as cl

    sentence = cl.query().markets("spot", "futures_um").klines("1h").symbols("BTCUSDT", "ETHUSDT")
    return sentence.between(FIRST, LAST)


def run(root: Path | None = None, *, say: Callable[[str], object] | None = None) -> None:
    """Run the demo and tell it line by line.

    Parameters
    ----------
    root
        Where to build the lake, which stays; a temporary folder, which goes, when None.
    say
        What takes each piece of text; standard output when None.

    Raises
    ------
    MissingTool
        moto, the ``demo`` extra, is not installed.
    """
    import cryptolake as cl
    from cryptolake.sample import generate
    from cryptolake.sample.server import serve_archive

    tell = say or _print
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cryptolake-demo-")))
        folder = root or scratch / "lake"
        tell(_title("A sample archive, served as S3 on loopback"))
        made = generate(
            scratch / "archive",
            rows=["spot_klines", "futures_um_klines"],
            symbols=["BTCUSDT", "ETHUSDT"],
            intervals=["1h"],
            days=(FIRST, LAST),
        )
        served = stack.enter_context(serve_archive(scratch / "archive"))
        tell(f"{made.files} zips and their checksums at {served.endpoint}/{served.bucket}")

        lake = cl.Lake(folder, source=cl.Archive(endpoint_url=served.endpoint))
        sentence = query()
        tell(_title("The plan: what it takes, before a byte moves"))
        plan = lake.plan(sentence)
        tell(str(plan))
        tell("\nfirst commands for s5cmd:")
        tell("\n".join(f"  {line}" for line in plan.commands()[:3]))

        tell(_title("The pull: s5cmd into Bronze, verified, then Silver"))
        tell(lake.pull(sentence, progress=sys.stderr.isatty()).summary())
        again = lake.plan(sentence)
        tell(f"a second plan: {again.to_transfer} to move, {again.cached} here")

        tell(_title("A Polars frame: lake.frame(query)"))
        began = time.perf_counter()
        frame = lake.frame(sentence, progress=False)
        tell(str(frame))
        tell(f"{frame.height:,} rows in {time.perf_counter() - began:.2f} s")

        tell(_title("SQL, by DuckDB: lake.sql(...)"))
        tell(SQL.strip())
        tell(str(lake.sql(SQL)))

        if root is None:
            tell("The temporary lake is gone now; 'cryptolake demo --root DIR' keeps it.")
        else:
            tell(f"The lake is at {folder}; try: cryptolake datasets --root {folder}")


def _title(text: str) -> str:
    return f"\n== {text}\n"


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
