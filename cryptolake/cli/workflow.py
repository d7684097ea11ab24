"""The command that runs a workflow from its JSON configurations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryptolake.cli import output as show
from cryptolake.cli.fetch import Quiet, plan_facts, report_facts
from cryptolake.cli.options import EndpointUrl, Json  # noqa: TC001 - typer reads it

if TYPE_CHECKING:
    from cryptolake.workflows.collection import ArchiveCollectionWorkflow


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(run)


def run(
    configs: Annotated[
        list[Path],
        typer.Argument(metavar="CONFIG", help="JSON files, merged left to right."),
    ],
    *,
    root: Annotated[
        str | None,
        typer.Option("--root", metavar="ROOT", help="The lake, in place of the configuration's."),
    ] = None,
    endpoint_url: EndpointUrl = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Show what it would fetch; nothing is transferred.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Collect what JSON configurations name, into Bronze and Silver.

    Where two files name a setting, the later one counts. Exit code 1 when not all of it came.
    """
    from cryptolake.archive.source import Archive
    from cryptolake.workflows.collection import ArchiveCollectionWorkflow
    from cryptolake.workflows.config import WorkflowConfig

    place = {} if root is None else _place(root)
    config = WorkflowConfig(*configs, place)
    source = Archive(endpoint_url=endpoint_url) if endpoint_url else None
    workflow = ArchiveCollectionWorkflow(config, source=source, progress=not quiet)
    if only_plan:
        _show_plans(workflow, json=json)
        return
    found = workflow.run()
    if json:
        report = report_facts(found.report) if found.report else None
        show.as_json({**found.to_dict(), "report": report, "notes": found.notes})
    else:
        show.text(found.summary())
    if not found.ok:
        raise typer.Exit(1)


def _show_plans(workflow: ArchiveCollectionWorkflow, *, json: bool) -> None:
    plans = workflow.plans()
    if json:
        show.as_json([plan_facts(plan) for plan in plans])
        return
    for plan in plans:
        show.plan(plan)
    show.text("\n".join(f"note: {note}" for note in workflow.config.notes()))


def _place(root: str) -> dict[str, str]:
    if not root.startswith("s3://"):
        return {"output_directory": root}
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    return {"destination_bucket": bucket} | ({"destination_prefix": prefix} if prefix else {})
