"""Commands that fetch, build and check: plan, pull, build, update, verify, heal."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryptolake.cli import show
from cryptolake.cli.words import Json, shared

if TYPE_CHECKING:
    from cryptolake.lake import Lake
    from cryptolake.planning.plan import Plan
    from cryptolake.queries import Query
    from cryptolake.report import Report


class Mode(StrEnum):
    """How files come: ``auto`` chooses."""

    AUTO = "auto"
    DOWNLOAD = "download"
    DIRECT = "direct"
    RELAY = "relay"
    TRADITIONAL = "traditional"


class Checksums(StrEnum):
    """What becomes of a file whose bytes are right by the listing and wrong by their CHECKSUM."""

    QUARANTINE = "quarantine"
    ACCEPT = "accept"
    RAISE = "raise"


Refresh = Annotated[
    bool, typer.Option("--refresh", help="Ask the archive even where a listing is cached.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    for command in (plan, pull, build, update, verify, heal):
        app.command()(shared(command))


def plan(
    query: Query,
    lake: Lake,
    *,
    commands: Annotated[
        bool, typer.Option("--commands", help="Print the s5cmd command lines, nothing else.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Keep the plan in a file, for pull --plan."),
    ] = None,
    refresh: Refresh = False,
    json: Json = False,
) -> None:
    """Show the files a query needs and their bytes.

    The archive's listing is asked; nothing is transferred.
    """
    found = lake.plan(query, refresh=refresh)
    if save is not None:
        found.save(save)
    if commands:
        for line in found.commands():
            typer.echo(line)
    elif json:
        show.as_json(plan_facts(found))
    else:
        show.plan(found)


def pull(
    query: Query,
    lake: Lake,
    *,
    saved: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Carry out a saved plan instead of a query."),
    ] = None,
    mode: Annotated[Mode, typer.Option(help="How files come.")] = Mode.AUTO,
    checksums: Annotated[
        Checksums, typer.Option(help="What to do with a file whose CHECKSUM is stale.")
    ] = Checksums.QUARANTINE,
    refresh: Refresh = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fetch what a query needs, verify it, build Silver.

    Plans, transfers into Bronze with every file verified, and builds the Silver months.
    """
    from cryptolake.planning.plan import Plan

    made = lake.plan(query, refresh=refresh) if saved is None else Plan.load(saved)
    moved = lake.transfer(
        made, mode=mode.value, checksum_policy=checksums.value, progress=not quiet
    )
    finish(moved.combine(lake.build(made.query, progress=not quiet)), json=json)


def build(query: Query, lake: Lake, *, quiet: Quiet = False, json: Json = False) -> None:
    """Build Silver from Bronze, what has changed.

    The symbol-months of a query whose source files changed are built; the others stay.
    """
    finish(lake.build(query, progress=not quiet), json=json)


def update(scope: Query | None, lake: Lake, *, quiet: Quiet = False, json: Json = False) -> None:
    """Bring what is here to the newest published day.

    The whole lake when no word is said. Run twice, the second run does nothing.
    """
    found = lake.update(scope, progress=not quiet)
    if json:
        show.as_json(
            {
                "changes": found.changes,
                "rows_before": found.rows_before,
                "rows_after": found.rows_after,
                "report": found.report and report_facts(found.report),
            }
        )
    else:
        typer.echo(found.summary())
        if found.changed:
            show.table(found.changes)
    if found.report is not None:
        _exit_by(found.report)


def heal(
    query: Query, lake: Lake, *, refresh: Refresh = False, quiet: Quiet = False, json: Json = False
) -> None:
    """Fill gaps from the sibling files that have the rows.

    Says for each gap what it came to; none is filled with rows that the archive does not have.
    """
    show.either(lake.heal(query.check(), refresh=refresh, progress=not quiet), json=json)


def verify(
    scope: Query | None,
    lake: Lake,
    *,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="DATA_TYPE",
            help="Rebuild the query's klines from trades, aggTrades or finer klines; show differences.",
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Take damaged files out, so that the next pull gets them."),
    ] = False,
    json: Json = False,
) -> None:
    """Hash Bronze again and compare with the ledger.

    The whole lake when no word is said; exit code 1 when a file differs or is gone.
    """
    found = lake.verify(scope, against=against, repair=repair)
    if against is None:
        bad = found.filter(found["status"] != "ok")
        if json:
            show.as_json(found)
        else:
            if not bad.is_empty():
                show.table(bad)
            typer.echo(
                f"{found.height - bad.height:,} files are as the ledger says, {bad.height:,} are not"
            )
    else:
        bad = found
        show.either(found, json=json)
    if not bad.is_empty():
        raise typer.Exit(1)


def plan_facts(made: Plan) -> dict[str, Any]:
    """Return a plan as plain facts, for ``--json``."""
    return {
        "id": made.id,
        "query": made.query.to_json(),
        "listed_at": made.listed_at,
        "total_bytes": made.total_bytes,
        "to_transfer": made.to_transfer,
        "cached": made.cached,
        "missing": made.missing,
        "files": made.files,
        "missing_periods": made.missing_periods,
    }


def finish(report: Report, *, json: bool) -> None:
    """Print a report and exit: 1 when something in it failed or was quarantined."""
    if json:
        show.as_json(report_facts(report))
    else:
        typer.echo(report.summary())
    _exit_by(report)


def _exit_by(report: Report) -> None:
    if report.quarantined or not report.ok:
        raise typer.Exit(1)


def report_facts(report: Report) -> dict[str, Any]:
    """Return a report as plain facts, for ``--json``."""
    return {
        "run_id": report.run_id,
        "kind": report.kind,
        "ok": report.ok,
        "transferred": report.transferred,
        "skipped": report.skipped,
        "failed": report.failed,
        "quarantined": report.quarantined,
        "bytes": report.bytes,
        "built": report.built,
        "rows": report.rows,
        "seconds": report.seconds,
        "files": report.files,
        "months": report.months,
    }
