"""The program: its commands, its exit codes, and one line instead of a traceback for a mistake."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, NoReturn, TextIO

import typer

import cryptolake
from cryptolake.cli import examples, fetch, inspect, local, locks, output, workflow
from cryptolake.cli.mistakes import HELP_WANTED, ClickException, in_options, usage
from cryptolake.errors import (
    BuildError,
    ChecksumMismatch,
    CorruptArchive,
    CryptolakeError,
    DamagedLakeWarning,
    IncompleteWarning,
    ListingError,
    MissingTool,
    SchemaMismatch,
    StorageError,
    TransferError,
    WorkerLost,
)
from cryptolake.interrupts import sent_again

DONE, SOME_FAILED, MISTAKE, UNREACHABLE, STORAGE, BAD_DATA, NO_TOOL = range(7)
INTERRUPTED = 130
INTERRUPTED_TEXT = "interrupted; what was done is kept, and the same command goes on from there"

EXIT_CODES: tuple[tuple[type[CryptolakeError], int], ...] = (
    (MissingTool, NO_TOOL),
    (ChecksumMismatch, BAD_DATA),
    (CorruptArchive, BAD_DATA),
    (SchemaMismatch, BAD_DATA),
    (BuildError, BAD_DATA),
    (StorageError, STORAGE),
    (ListingError, UNREACHABLE),
    (TransferError, UNREACHABLE),
    (WorkerLost, SOME_FAILED),
    (CryptolakeError, MISTAKE),
)
"""The exit code of an error: that of the first class it is an instance of."""

HELP = """Query, mirror and normalize the public Binance archive.

\b
Exit codes:
  0  done
  1  done in part: files or months failed, or findings were made
  2  a mistake in what was asked: an unknown word, symbol or day; bad SQL
  3  the archive cannot be reached or listed, or refuses to hand out files
  4  the lake's storage cannot be read or written
  5  data that is not as it should be: a zip, checksum, schema or month
  6  a program or an optional package is missing or too old
  130  interrupted; the same command goes on from there

\b
Environment:
  CRYPTOLAKE_ROOT          the lake's root where --root is not given
  CRYPTOLAKE_ENDPOINT_URL  an S3 endpoint in the archive's place
"""

app = typer.Typer(
    name="cryptolake",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer's way to call
    if asked:
        typer.echo(f"cryptolake {cryptolake.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


for commands in (local, inspect, fetch, workflow, locks):
    commands.add_to(app)
examples.explain(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program on its arguments (the process's own when None) and exit with its code."""
    with sent_again() as came, warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            code = app(arguments, prog_name="cryptolake", standalone_mode=False)
        except CryptolakeError as error:
            _end(in_options(str(error)), exit_code(error))
        except ClickException as error:
            if type(error).__name__ == HELP_WANTED:
                sys.exit(error.exit_code)
            _end(usage(error), error.exit_code)
        except OSError as error:
            if came():
                _end(INTERRUPTED_TEXT, INTERRUPTED)
            _end(_of_system(error), STORAGE)
        except (KeyboardInterrupt, typer.Abort):
            _end(INTERRUPTED_TEXT, INTERRUPTED)
        except Exception:
            if not came():
                raise
            _end(INTERRUPTED_TEXT, INTERRUPTED)
        if code == INTERRUPTED:
            _end(INTERRUPTED_TEXT, INTERRUPTED)
        sys.exit(code or DONE)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - Python gives it
    line: str | None = None,
) -> None:
    """Say a warning of the library as its errors are said; others stay as Python writes them."""
    if issubclass(category, IncompleteWarning | DamagedLakeWarning):
        output.text(f"cryptolake: {message}", err=True)
        return
    text = warnings.formatwarning(message, category, filename, lineno, line)
    output.echo(text, err=True, nl=False)


def _end(text: str, code: int) -> NoReturn:
    """Say what ended the program, in one message on standard error."""
    output.text(f"cryptolake: {text}", err=True)
    sys.exit(code)


def _of_system(error: OSError) -> str:
    """Say what the system refused; no part of the lake's own storage, whose errors have words of their own."""
    why = error.strerror or str(error) or type(error).__name__
    return f"{str(error.filename)!r}: {why}" if error.filename is not None else why


def exit_code(error: CryptolakeError) -> int:
    """Return the exit code that stands for an error.

    Examples
    --------
    >>> from cryptolake.errors import ListingError, NoSuchSymbol
    >>> exit_code(ListingError("no answer")), exit_code(NoSuchSymbol("no such symbol"))
    (3, 2)
    """
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
