"""Commands that fetch, build and repair: plan, transfer, pull, frame, build, update, save-query, heal, fill."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryptolake.cli import output as show
from cryptolake.cli.options import Json, Limit, Output, Refresh, shared
from cryptolake.errors import IncompleteWarning

if TYPE_CHECKING:
    from cryptolake.lake import Lake
    from cryptolake.planning.plan import Plan
    from cryptolake.query import Query
    from cryptolake.report import Report


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Saved = Annotated[
    Path | None,
    typer.Option("--plan", metavar="FILE", help="Carry out a saved plan instead of a query."),
]
_ROW = (
    *("symbol", "interval", "open_time", "open", "high", "low", "close", "volume"),
    *("time", "price", "quantity", "funding_time", "funding_rate"),
)
"""What a row is about, where not all of it has room."""

_GAP = ("symbol", "interval", "first", "last", "bars", "cause", "outcome")

How = dict[str, Any]
"""Mode, policy and options, as every method that transfers takes them."""


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    for command in (plan, transfer, pull, frame, build, update, save_query, heal, fill):
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
    if commands and json:
        message = "--commands and --json are two formats: say one"
        raise typer.BadParameter(message)
    found = lake.plan(query, refresh=refresh)
    if save is not None:
        found.save(save)
    if commands:
        for line in found.commands():
            show.echo(line)
        if not found.to_transfer:
            show.text("nothing to move: every file is here", err=True)
    elif json:
        show.as_json(plan_facts(found))
    else:
        show.plan(found)


def transfer(
    query: Query,
    lake: Lake,
    how: How,
    *,
    saved: Saved = None,
    refresh: Refresh = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fetch what a query needs into Bronze, verified.

    What pull does, without building Silver.
    """
    made = _planned(query, lake, how, saved, refresh=refresh, quiet=quiet)
    finish(lake.transfer(made, progress=not quiet, **how), json=json)


def pull(
    query: Query,
    lake: Lake,
    how: How,
    *,
    saved: Saved = None,
    refresh: Refresh = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fetch what a query needs, verify it, build Silver.

    Plans, transfers into Bronze with every file verified, and builds the Silver months.
    """
    from cryptolake.report import Report

    made = _planned(query, lake, how, saved, refresh=refresh, quiet=quiet)
    moved = lake.transfer(made, progress=not quiet, **how)
    policy = how["checksum_policy"]
    built = lake.build(made.query, progress=not quiet, checksum_policy=policy)
    finish(Report.merge([moved, built]), json=json)


def frame(
    query: Query,
    lake: Lake,
    how: How,
    *,
    exact: Annotated[
        bool, typer.Option("--exact", help="Prices and quantities as exact decimals.")
    ] = False,
    output: Output = None,
    limit: Limit = 40,
    refresh: Refresh = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Pull what is missing, then show or keep the rows.

    The Silver rows of one data type and the days asked for. Exit code 1 when files of the range are in
    quarantine, or the published rows end days before those asked for, so that rows are missing.
    """
    if output is not None:
        show.kind_of(output)  # before anything is fetched
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", IncompleteWarning)
        rows = lake.frame(query, exact=exact, refresh=refresh, progress=not quiet, **how)
    if output is not None:
        show.keep(rows, output)
    elif json:
        show.rows_as_json(rows.iter_rows(named=True))
    else:
        show.table(rows, limit, about=_ROW)
    missing = [one for one in caught if issubclass(one.category, IncompleteWarning)]
    for one in missing:
        show.echo(f"cryptolake: {one.message}", err=True)
    if missing:
        raise typer.Exit(1)


def build(
    scope: Query | None,
    lake: Lake,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Build months anew although nothing changed.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Build Silver from Bronze, what has changed.

    The symbol-months whose source files changed are built, of the whole lake when no option narrows it; the
    others stay.
    """
    show.absence(lake, json=json)
    finish(lake.build(scope, force=force, progress=not quiet), json=json)


def update(
    scope: Query | None,
    lake: Lake,
    how: How,
    *,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A query that save-query stored, to follow."),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Bring what is here to the newest published day.

    The whole lake when no option narrows it; or what a stored query means by now, symbols listed since
    included. Run twice, the second run does nothing.
    """
    if name is not None and scope is not None:
        message = "give a stored query's NAME or options that narrow the lake, not both"
        raise typer.BadParameter(message)
    show.absence(lake, json=json)
    found = lake.update(name or scope, progress=not quiet, **how)
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
        show.text(found.summary())
        if found.changed:
            show.table(
                found.changes, about=("data_type", "symbol", "interval", "why", "files", "bytes")
            )
    if found.report is not None:
        _exit_by(found.report)


def save_query(
    query: Query,
    lake: Lake,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Under which name; none: show what is stored."),
    ] = None,
    *,
    drop: Annotated[bool, typer.Option("--drop", help="Remove the stored query NAME.")] = False,
    json: Json = False,
) -> None:
    """Store a query in the lake, for update NAME to follow.

    One of the name is replaced. With --since or --last it goes to the newest published day.
    """
    if name is None:
        if drop:
            message = "say which stored query to drop: save-query NAME --drop"
            raise typer.BadParameter(message)
        nothing = "no stored query: cryptolake save-query NAME with the words of a query stores one"
        found = lake.queries()
        shown = found if json else show.in_words(found.drop("json"))
        show.either(shown, json=json, about=("name", "query"), nothing=nothing)
    elif drop:
        lake.drop_query(name)
    else:
        lake.save_query(name, query)
        show.text(f"saved {name!r}: {query!r}", err=json)


def heal(
    query: Query,
    lake: Lake,
    how: How,
    *,
    refresh: Refresh = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fill gaps from the sibling files that have the rows.

    Says for each gap what it came to; none is filled with rows that the archive does not have.
    """
    show.absence(lake, json=json)
    found = lake.heal(query.check(), refresh=refresh, progress=not quiet, **how)
    show.either(found, json=json, about=_GAP, nothing=show.no_gaps(query))


def fill(
    query: Query,
    lake: Lake,
    *,
    against: Annotated[
        str, typer.Option(metavar="DATA_TYPE", help="trades, aggTrades, or klines (finer ones).")
    ],
    json: Json = False,
) -> None:
    """Make missing klines from trades or finer klines.

    Of what the lake has; kept in Gold, marked, and never mixed with what the archive published.
    """
    show.absence(lake, json=json)
    found = lake.fill(query.check(), against=against)
    show.either(found, json=json, about=_ROW, nothing="no bar is missing that can be made")


def _planned(
    query: Query, lake: Lake, how: How, saved: Path | None, *, refresh: bool, quiet: bool
) -> Plan:
    if saved is None:
        from cryptolake.transfer.routing import route

        route(how["mode"], lake.source, lake.storage)  # a wrong mode is refused before any request
        return lake.plan(query, refresh=refresh, progress=not quiet)
    from cryptolake.planning.plan import Plan

    return Plan.load(saved)


def plan_facts(made: Plan) -> dict[str, Any]:
    """Return a plan as plain facts, for ``--json``."""
    names = ("listed_at", "total_bytes", "to_transfer", "cached", "missing", "notes", "files")
    facts = {name: getattr(made, name) for name in (*names, "missing_periods")}
    return {"id": made.id, "query": made.query.to_json(), **facts}


def finish(report: Report, *, json: bool) -> None:
    """Print a report and exit: 1 when something in it failed or was quarantined."""
    if json:
        show.as_json(report_facts(report))
    else:
        show.text(report.summary())
    _exit_by(report)


def _exit_by(report: Report) -> None:
    if report.quarantined or not report.ok:
        raise typer.Exit(1)


_REPORT_FACTS = (
    *("run_id", "kind", "ok", "transferred", "skipped", "failed", "quarantined", "bytes"),
    *("built", "rows", "seconds", "files", "months"),
)


def report_facts(report: Report) -> dict[str, Any]:
    """Return a report as plain facts, for ``--json``."""
    return {name: getattr(report, name) for name in _REPORT_FACTS}
