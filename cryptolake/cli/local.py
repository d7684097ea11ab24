"""Commands that need no network: the demo, the sample archive, and a server for a folder of it."""

from __future__ import annotations

import signal
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer


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
    """See it work: a sample archive on loopback, a plan, a pull, a frame and SQL. Needs no network."""
    from cryptolake.demo import run

    run(root)


def sample(
    folder: Annotated[Path, typer.Argument(help="Where to write it; made when absent.")],
    *,
    defects: Annotated[
        bool, typer.Option("--defects", help="With every known defect of the real archive in it.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed, other prices.")] = 0,
) -> None:
    """Write a small archive in the real one's layout and formats, the same for the same seed."""
    from cryptolake.sample import DEFECTS, generate

    summary = generate(folder, defects=tuple(DEFECTS) if defects else (), seed=seed)
    typer.echo(str(summary))


def serve_archive(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder in archive layout; a sample one when left out.")
    ] = None,
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 0,
) -> None:
    """Serve a folder as the archive's S3 endpoint, until interrupted."""
    from cryptolake import serve

    with tempfile.TemporaryDirectory(prefix="cryptolake-sample-") as scratch:
        if folder is None:
            from cryptolake.sample import generate

            folder = Path(scratch)
            generate(folder)
        with serve.serve_archive(folder, host, port) as endpoint:
            typer.echo(f"serving {folder} at {endpoint}")
            typer.echo(f"export CRYPTOLAKE_ENDPOINT_URL={endpoint}")
            stop = threading.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())
            stop.wait()
