"""Which case checked bytes are (DESIGN 5.2), and what a policy does with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.bronze.verify import agrees

if TYPE_CHECKING:
    from cryptolake.bronze.verify import Policy, Proof, Verdict
    from cryptolake.transfer.jobs import Job


def triage(job: Job, verdict: Verdict, policy: Policy) -> tuple[Proof | None, bool]:
    """Decide on checked bytes: what proves them good, or else whether they go to quarantine."""
    if verdict.proof is not None:
        return verdict.proof, False
    if verdict.finding not in {"stale", "bad_sidecar", "corrupt"}:
        return None, False
    # Without an ETag that can be compared, bytes count as the archive's when they came twice.
    undecided = verdict.md5 is not None and agrees(verdict.md5, job.expected.etag) is None
    if undecided and job.last_sha256 != verdict.sha256:
        job.last_sha256 = verdict.sha256
        return None, False
    if verdict.finding != "corrupt" and policy == "accept":
        return "stale_accepted", False
    return None, True
