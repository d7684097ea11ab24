"""Commands that pin a dataset and restore it: freeze, diff, thaw; and the lake's locks: locks, unlock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryptolake.cli import output as show
from cryptolake.cli.fetch import How, Quiet, finish
from cryptolake.cli.options import Json, shared
from cryptolake.render.html import plural, size

if TYPE_CHECKING:
    from cryptolake.lake import Lake
    from cryptolake.planning.lockfile import Lock
    from cryptolake.query import Query

LockFile = Annotated[Path, typer.Argument(metavar="LOCK", help="The lock's file.")]


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    for command in (freeze, diff, thaw, locks, unlock):
        app.command()(shared(command))


def freeze(query: Query, lake: Lake, lock: LockFile, *, json: Json = False) -> None:
    """Pin what the lake holds of a query, by sha256.

    Writes every source file's key, size, ETag and sha256 to LOCK. From then on the lake keeps what the lock pins
    when the archive rewrites it.
    """
    made = lake.freeze(query, lock)
    if json:
        show.as_json(lock_facts(made))
    else:
        counts = (
            plural(made.files.height, "file"),
            size(made.bytes),
            plural(made.rows, "Silver row"),
        )
        show.text(f"pinned {', '.join(counts)} of {made.query!r}")
        show.text(f"wrote {lock}, id {made.id}")


def diff(lake: Lake, lock: LockFile, *, json: Json = False) -> None:
    """Say what the archive rewrote, removed or added since.

    From its listing alone; the lake need not hold the files. Exit code 1 when there is a difference.
    """
    found = lake.diff(lock)
    show.either(found, json=json, nothing="nothing has changed since")
    if found.height:
        raise typer.Exit(1)


def thaw(
    lake: Lake,
    how: How,
    lock: LockFile,
    *,
    donor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROOT", help="A lake that may hold the pinned bytes; may be repeated."
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Restore what a lock pins, or name each difference.

    Into a root of its own, from donors and from the archive; each file takes its place only with the pinned
    sha256. Then Silver is built. Exit code 1 when something could not be restored.
    """
    how.pop("checksum_policy")  # the pinned sha256 decides
    finish(lake.thaw(lock, donor or (), progress=not quiet, **how), json=json)


def locks(lake: Lake, *, json: Json = False) -> None:
    """List the locks that the lake keeps, and the bytes that are kept for them.

    Exit code 1 when one cannot be read.
    """
    found = lake.locks()
    about = ("id", "created_at", "files", "kept_bytes", "problem")
    nothing = "no lock: cryptolake freeze LOCK with the words of a query makes one"
    shown = found if json else show.in_words(found)
    show.either(shown, json=json, about=about, nothing=nothing, lake=lake)
    if found["problem"].count():
        raise typer.Exit(1)


def unlock(
    lake: Lake,
    lock: Annotated[
        str, typer.Argument(metavar="ID", help="The lock's id, or its first letters, six at least.")
    ],
    *,
    json: Json = False,
) -> None:
    """Drop a lock of the lake, and the zips that are kept for it alone.

    Lists what was removed. The file that freeze wrote elsewhere stays.
    """
    show.absence(lake, json=json)
    show.either(lake.unlock(lock), json=json, about=("path", "bytes"))


def lock_facts(made: Lock) -> dict[str, Any]:
    """Return a lock as plain facts, for ``--json``; its files are in its file."""
    names = ("id", "bytes", "rows", "made_by", "created_at", "schemas", "recipes")
    return {"files": made.files.height, **{name: getattr(made, name) for name in names}}
