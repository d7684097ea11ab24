"""Commands that need no network: the demo, the sample archive, and a server for a folder of it."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryptolake.archive.periods import parse_days
from cryptolake.cli.options import split

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
    from cryptolake.sample import sample_archive
    from cryptolake.sample.server import serve_archive

    tell = say or _print
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cryptolake-demo-")))
        folder = root or scratch / "lake"
        tell(_title("A sample archive, served as S3 on loopback"))
        made = sample_archive(
            scratch / "archive",
            datasets=["spot_klines", "futures_um_klines"],
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


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(demo)
    app.command()(sample)
    app.command("serve-archive")(serve_archive)


def demo(
    *,
    root: Annotated[
        Path | None,
        typer.Option(help="Build the demo lake here, and keep it; a temporary folder otherwise."),
    ] = None,
) -> None:
    """See it work, without network.

    Serves a sample archive on loopback, plans, pulls, and shows a frame and SQL.
    """
    run(root)


def sample(
    folder: Annotated[Path, typer.Argument(help="Where to write it; made when absent.")],
    *,
    rows: Annotated[
        list[str] | None,
        typer.Option(metavar="DATASET", help="Only these: spot_klines, futures_um_agg_trades, …"),
    ] = None,
    days: Annotated[
        str | None,
        typer.Option(
            metavar="DAYS", help="Only these UTC days: 2025-01, or 2024-12-30..2025-01-03."
        ),
    ] = None,
    defects: Annotated[
        bool, typer.Option("--defects", help="With every known defect of the real archive in it.")
    ] = False,
    defect: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="With this defect; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed, other prices.")] = 0,
) -> None:
    """Write a sample archive to a folder.

    In the real one's layout and formats; the same bytes for the same seed.
    """
    from cryptolake.sample import Defect, sample_archive

    first, _, last = (days or "").partition("..")
    made = sample_archive(
        folder,
        datasets=split(rows) or None,
        days=parse_days(first, last or None) if first else None,
        defects=tuple(Defect) if defects else split(defect),
        seed=seed,
    )
    typer.echo(f"{made.files:,} zips, {made.bytes:,} bytes, {made.rows:,} rows in {folder}")
    for entry in made.manifest.iter_rows(named=True):
        typer.echo(f"  {entry['defect']}: {entry['key']}: {entry['detail']}")


def serve_archive(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder in archive layout; a sample one when left out.")
    ] = None,
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 0,
) -> None:
    """Serve a folder as the archive's endpoint.

    An S3 server on loopback, until interrupted. With its URL in CRYPTOLAKE_ENDPOINT_URL every other
    command and the Python API ask it instead of the real archive.
    """
    from cryptolake.sample.server import serve_forever

    if folder is not None:
        serve_forever(folder, host=host, port=port)
        return
    from cryptolake.sample import sample_archive

    with tempfile.TemporaryDirectory(prefix="cryptolake-sample-") as scratch:
        sample_archive(scratch)
        serve_forever(scratch, host=host, port=port)
