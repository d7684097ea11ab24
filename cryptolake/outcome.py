"""Whether a pull brought what a frame needs: nothing is left out of one in silence."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from cryptolake.errors import IncompleteWarning, NotPublished, TransferError

if TYPE_CHECKING:
    from cryptolake.planning.plan import Plan
    from cryptolake.report import Report


def require_rows(plan: Plan, report: Report) -> None:
    """Say what a frame of a plan's rows would lack.

    Raises
    ------
    NotPublished
        The plan has no file.
    TransferError
        Files or months failed.

    Warns
    -----
    IncompleteWarning
        Files are in quarantine.
    """
    if not plan.rows.height:
        raise _not_published(plan)
    if report.failed:
        message = (
            f"{report.failed:,} of the range's files or months could not be had; error.report says "
            "which and why. lake.silver(query) has the rows that are here; pull again for the rest.\n"
            f"{report.summary()}"
        )
        raise TransferError(message, report=report, plan=plan)
    if report.quarantined:
        warnings.warn(
            f"{report.quarantined:,} files of the range are in quarantine, so their rows are missing: "
            f"see lake.meta.quarantined(), or pull with checksum_policy='accept'.\n{report.summary()}",
            IncompleteWarning,
            stacklevel=3,
        )


def _not_published(plan: Plan) -> NotPublished:
    reasons = plan.missing_periods.group_by("reason").len("periods").sort("reason").rows()
    why = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in reasons)
    notes = " ".join(plan.notes)
    message = f"the archive has no file for {plan.query!r} (periods: {why or 'none'}). {notes}"
    return NotPublished(message.strip(), plan=plan, reasons=dict(reasons))
