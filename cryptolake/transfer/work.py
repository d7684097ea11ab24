"""What the modes of a transfer hand each other: words, what a run works with, what a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from cryptolake.archive.source import Archive
    from cryptolake.bronze.verify import Policy, Proof, Verdict
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.options import TransferOptions
    from cryptolake.transfer.progress import Bar
    from cryptolake.transfer.recorder import Book
    from cryptolake.transfer.staging import Staging
    from cryptolake.transfer.stores import Vault

Mode = Literal["download", "direct", "relay", "traditional"]


@dataclass(frozen=True, slots=True)
class Work:
    """What every mode needs: where files come from, where they go, and who is told."""

    archive: Archive
    staging: Staging
    vault: Vault
    book: Book
    bar: Bar
    options: TransferOptions
    policy: Policy


class Checked(NamedTuple):
    """What a thread found, and did: stored, held in quarantine, or (neither) nothing that lasts."""

    job: Job
    verdict: Verdict | None
    proof: Proof | None = None
    held: str | None = None
    error: str | None = None
