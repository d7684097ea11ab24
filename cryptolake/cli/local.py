"""Commands that need no network: the demo, the sample archive, and a server for a folder of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cryptolake.archive.periods import parse_days
from cryptolake.cli.options import split


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
    from cryptolake.demo import run

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
    from cryptolake.sample import Defect, generate

    first, _, last = (days or "").partition("..")
    made = generate(
        folder,
        rows=split(rows) or None,
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
    from cryptolake.sample import generate

    with tempfile.TemporaryDirectory(prefix="cryptolake-sample-") as scratch:
        generate(scratch)
        serve_forever(scratch, host=host, port=port)
