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

from cryptolake.archive.periods import Days, parse_days
from cryptolake.cli import output
from cryptolake.cli.options import split
from cryptolake.errors import ArchiveMismatch
from cryptolake.render.html import plural, size
from cryptolake.storage.files import open_storage
from cryptolake.storage.lake_format import check_format
from cryptolake.storage.layout import BRONZE

if TYPE_CHECKING:
    from cryptolake.lake import Lake
    from cryptolake.query import Query
    from cryptolake.sample.archive import SampleSummary

DEMO_DAYS = ("2024-12-01", "2025-01-09")
"""December comes as monthly files; the days of January, whose month is not out, as daily ones. Spot times
change from milliseconds to microseconds between them."""

DEMO_SQL = """
select market, symbol, date_trunc('month', open_time)::date as month,
       count(*) as bars, min(low) as low, max(high) as high,
       round(sum(volume), 1) as volume
from (from silver.spot_klines_1h
      union all by name from silver.futures_um_klines_1h)
group by all order by all
"""


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
    run_demo(root)


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
        bool,
        typer.Option(
            "--defects",
            help="With every known defect of the real archive that these files can show.",
        ),
    ] = False,
    defect: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="With this defect; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed, other prices.")] = 0,
) -> None:
    """Write a sample archive to a folder.

    In the real one's layout and formats; the same bytes for the same seed.
    """
    from cryptolake.sample import sample_archive

    made = sample_archive(
        folder,
        datasets=split(rows) or None,
        days=_days(days) if days else None,
        defects=[*(["fitting"] if defects else []), *split(defect)],
        seed=seed,
    )
    counts = plural(made.files, "zip"), size(made.bytes), plural(made.rows, "row")
    output.text(f"{', '.join(counts)} in {folder}")
    if not made.files:
        output.text("nothing of these datasets was published on these days: say others, or none")
    _show_defects(made)


def _show_defects(made: SampleSummary) -> None:
    for entry in made.manifest.iter_rows(named=True):
        output.text(f"  {entry['defect']}: {entry['key']}: {entry['detail']}", "    ")
    for name, why in made.left_out.items():
        output.text(f"  {name}: left out, {why.partition(': ')[2]}", "    ")


def _days(text: str) -> Days:
    first, _, last = text.partition("..")
    if not first:
        message = f"cannot read {text!r}: write 2025-01, or 2024-12-30..2025-01-03"
        raise typer.BadParameter(message, param_hint="--days")
    return parse_days(first, last or None)


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
    command and the Python API ask it instead of the real archive: standard output has the lines that set it,
    for serve-archive archive > endpoint.sh & and then . ./endpoint.sh
    """
    from cryptolake.sample.server import require_moto, serve_forever

    require_moto()
    if folder is not None:
        serve_forever(folder, host=host, port=port)
        return
    from cryptolake.sample import sample_archive

    with tempfile.TemporaryDirectory(prefix="cryptolake-sample-") as scratch:
        sample_archive(scratch)
        serve_forever(scratch, host=host, port=port)


def run_demo(root: Path | None = None, *, write: Callable[[str], object] | None = None) -> None:
    """Build a lake from a sample archive on loopback, and show what comes back, step by step.

    Every part is the real one: S3 requests, s5cmd, checksums, Parquet, DuckDB. Only the prices are made up.

    Parameters
    ----------
    root
        Where to build the lake, which stays; None for a temporary folder, which is removed.
    write
        Takes each piece of text; standard output when None.

    Raises
    ------
    MissingTool
        moto, the ``demo`` extra, is not installed.
    ArchiveMismatch
        The root is a lake of another archive.
    """
    import cryptolake as cl

    show = write or _print
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cryptolake-demo-")))
        folder = root or scratch / "lake"
        _require_own(folder)
        show(_title("A sample archive, served as S3 on loopback"))
        made = cl.sample_archive(
            scratch / "archive",
            days=DEMO_DAYS,
            symbols=["BTCUSDT", "ETHUSDT"],
            datasets=["spot_klines", "futures_um_klines"],
            intervals=["1h"],
        )
        served = stack.enter_context(cl.serve_archive(scratch / "archive"))
        show(f"{made.files} zips and their checksums at {served.endpoint}/{served.bucket}")
        _fill_and_read(cl.Lake(folder, source=cl.Archive(endpoint_url=served.endpoint)), show)
        if root is None:
            show("The temporary lake is gone now; 'cryptolake demo --root DIR' keeps it.")
        else:
            show(f"The lake is at {folder}; try:\n  cryptolake datasets --root {folder}")


def _require_own(folder: Path) -> None:
    """Refuse to fill a lake that is not the demo's; one of another sample is refused by its pull."""
    storage = open_storage(folder)
    check_format(storage)
    own = storage.archive
    if (own is None and not storage.list(BRONZE)) or (own is not None and own.is_loopback):
        return
    what = f"of {own}" if own else "that does not say which archive it is of"
    message = (
        f"at {folder} is a lake {what}, and the demo fills only its own: choose another --root."
    )
    raise ArchiveMismatch(message, root=str(folder), archive=str(own) if own else None)


def demo_query() -> Query:
    """Return the demo's query: two markets, two symbols, hours of forty days."""
    import cryptolake as cl

    sentence = cl.query().markets("spot", "futures_um").klines("1h").symbols("BTCUSDT", "ETHUSDT")
    return sentence.between(*DEMO_DAYS)


def _fill_and_read(lake: Lake, show: Callable[[str], object]) -> None:
    """Plan, pull, and read the demo's query as a frame and in SQL."""
    from cryptolake.readers.conversions import to_polars

    query = demo_query()
    width = output.terminal_width()
    show(_title("The plan: what it takes, before a byte moves"))
    plan = lake.plan(query)
    show(_folded(str(plan), width))
    show("\nfirst commands for s5cmd:")
    show(_folded("\n".join(f"  {line}" for line in plan.commands()[:3]), width, "    "))

    show(_title("The pull: s5cmd into Bronze, verified, then Silver"))
    show(_folded(lake.pull(query, progress=sys.stderr.isatty()).summary(), width))
    again = lake.plan(query)
    show(f"a second plan: {again.to_transfer} to move, {again.cached} here")

    show(_title("A Polars frame: lake.frame(query)"))
    began = time.perf_counter()
    frame = lake.frame(query, progress=False)
    seconds = time.perf_counter() - began
    about = ("market", "symbol", "open_time", "open", "high", "low", "close", "volume")
    show("\n".join(output.lines_of(frame, 5, width=width, about=about)))
    show(f"{frame.height:,} rows of {frame.width} columns in {seconds:.2f} s")

    show(_title("SQL, by DuckDB: lake.sql(...)"))
    show(DEMO_SQL.strip())
    show("\n".join(["", *output.lines_of(to_polars(lake.sql(DEMO_SQL)), width=width)]))


def _folded(text: str, width: int, indent: str = "  ") -> str:
    return "\n".join(output.folded(line, width, indent) for line in text.splitlines())


def _title(text: str) -> str:
    return f"\n== {text}\n"


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
