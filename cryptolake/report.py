"""A Report: the receipt after. What a transfer moved, what a build built, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import polars as pl

Kind = Literal["transfer", "build", "pull"]

State = Literal["done", "stopped", "failed"]
"""How a run ended: to its end, ended before it (Ctrl-C, SIGTERM, a full disk), or with failed files."""

FILES: dict[str, Any] = {
    "key": pl.String,
    "status": pl.String,
    "bytes": pl.Int64,
    "seconds": pl.Float64,
    "ended_at": pl.Datetime("us", "UTC"),
    "attempts": pl.Int64,
    "retries": pl.Int64,
    "mode": pl.String,
    "verified": pl.String,
    "error": pl.String,
}
"""Columns of ``Report.files``. ``status``: ``transferred``, ``adopted`` (it was in the lake already,
unrecorded, and was verified without a fetch), ``cached``, ``quarantined`` or ``failed``. ``bytes`` counts
what moved of the zip; ``seconds`` run from the file's batch being handed out to its being stored, which was
``ended_at`` (null for files that needed nothing); ``attempts`` are the engine's, ``retries`` the requests for
the file that were made again within them; ``verified``: ``sha256``, ``etag``, ``none_published`` or ``stale_accepted``."""

MONTHS: dict[str, Any] = {
    "path": pl.String,
    "status": pl.String,
    "rows": pl.Int64,
    "duplicates": pl.Int64,
    "rejects": pl.Int64,
    "seconds": pl.Float64,
    "error": pl.String,
}
"""Columns of ``Report.months``. ``status``: ``built``, ``unchanged`` or ``failed``."""


@dataclass(frozen=True, repr=False)
class Report:
    """What a run did. Counts are computed from ``files`` and ``months``, so that they cannot disagree.

    Parameters
    ----------
    kind
        ``transfer``, ``build`` or ``pull``.
    run_id
        The run's name in ``meta.runs``.
    seconds
        Wall-clock seconds of the whole run.
    files, months
        One row per Bronze file or Silver month; see :data:`FILES` and :data:`MONTHS`.
    state
        How the run ended.
    requests
        Requests that the transfer made to S3.
    fallbacks
        Why files were moved in another mode than the first choice: reason to number of files.
    retries
        Why requests were repeated within an attempt: reason to number of requests. ``files`` has their
        number for each file.

    Examples
    --------
    >>> report = Report("transfer", "20240101T000000-00000000", 1.5)
    >>> report.ok, report.transferred
    (True, 0)
    """

    kind: Kind
    run_id: str
    seconds: float
    files: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FILES))
    months: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MONTHS))
    state: State = "done"
    requests: int | None = None
    fallbacks: dict[str, int] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)

    @property
    def transferred(self) -> int:
        """Files moved and verified by this run."""
        return _count(self.files, "transferred")

    @property
    def adopted(self) -> int:
        """Files that were in the lake unrecorded (after a killed run), verified without a fetch."""
        return _count(self.files, "adopted")

    @property
    def skipped(self) -> int:
        """Files that needed no transfer: cached and adopted ones."""
        return _count(self.files, "cached") + self.adopted

    @property
    def failed(self) -> int:
        """Files and months that could not be had; ``files`` and ``months`` say why."""
        return _count(self.files, "failed") + _count(self.months, "failed")

    @property
    def quarantined(self) -> int:
        """Files set aside because they are not what their CHECKSUM or their format says."""
        return _count(self.files, "quarantined")

    @property
    def bytes(self) -> int:
        """Bytes of zips moved (sidecars are not counted, as in ``plan.total_bytes``)."""
        moved = self.files.filter(pl.col("status") != "cached")
        return int(moved["bytes"].sum() or 0)

    @property
    def retried(self) -> int:
        """Files for which something had to be done again: a request, or a whole attempt."""
        return self.files.filter((pl.col("attempts") > 1) | (pl.col("retries") > 0)).height

    @property
    def modes(self) -> dict[str, int]:
        """Files moved, by mode."""
        moved = self.files.filter(pl.col("status") == "transferred").group_by("mode").len("files")
        return dict(sorted(moved.iter_rows()))

    @property
    def built(self) -> int:
        """Silver months built by this run."""
        return _count(self.months, "built")

    @property
    def rows(self) -> int:
        """Silver rows written by this run."""
        return int(self.months.filter(pl.col("status") == "built")["rows"].sum() or 0)

    @property
    def ok(self) -> bool:
        """Whether the run came to its end and nothing failed. Quarantined files are no failure."""
        return self.failed == 0 and self.state == "done"

    def combine(self, other: Report) -> Report:
        """Return one report of two runs that follow each other: a pull is a transfer and a build."""
        return replace(
            self,
            kind=self.kind if self.kind == other.kind else "pull",
            seconds=self.seconds + other.seconds,
            files=pl.concat([self.files, other.files]),
            months=pl.concat([self.months, other.months]),
            state=self.state if self.state != "done" else other.state,
            fallbacks={**self.fallbacks, **other.fallbacks},
            retries={**self.retries, **other.retries},
        )

    def summary(self) -> str:
        """Return the report in words, a few lines.

        Examples
        --------
        >>> print(Report("transfer", "20240101T000000-00000000", 0.0).summary())
        transfer 20240101T000000-00000000: done in 0.0 s, nothing to do
        """
        return "\n".join([f"{self.kind} {self.run_id}: {self._headline()}", *self._details()])

    def _headline(self) -> str:
        ended = {"done": "done", "stopped": "stopped", "failed": "ended with failures"}[self.state]
        parts = [f"{ended} in {self.seconds:.1f} s"]
        if self.transferred:
            rate = self.bytes / self.seconds if self.seconds else 0
            parts.append(f"{self.transferred:,} files moved ({_size(self.bytes)}, {_size(rate)}/s)")
        if self.built:
            parts.append(f"{self.built:,} Silver months built ({self.rows:,} rows)")
        parts += [
            f"{count:,} {word}"
            for count, word in (
                (_count(self.files, "cached"), "here already"),
                (self.adopted, "found here and verified"),
                (_count(self.months, "unchanged"), "months unchanged"),
                (self.quarantined, "quarantined"),
                (self.failed, "failed"),
            )
            if count
        ]
        return ", ".join(parts if len(parts) > 1 else [*parts, "nothing to do"])

    def _details(self) -> list[str]:
        lines = []
        if len(self.modes) > 1 or self.fallbacks:
            lines.append("  modes: " + ", ".join(f"{n:,} {mode}" for mode, n in self.modes.items()))
        lines += [f"  fell back for {n:,}: {why}" for why, n in self.fallbacks.items()]
        if self.retried:
            again = int(self.files["retries"].sum())
            lines.append(f"  {self.retried:,} files came at a second try ({again:,} requests made again)")
        lines += [f"  {n:,} requests repeated: {why}" for why, n in self.retries.items()]
        for frame, name in ((self.files, "key"), (self.months, "path")):
            bad = frame.filter(pl.col("status").is_in(["failed", "quarantined"]))
            lines += [
                f"  {status}: {what}: {error or 'no reason given'}"
                for what, status, error in bad.select(name, "status", "error").head(10).iter_rows()
            ]
            if bad.height > 10:
                lines.append(f"  and {bad.height - 10:,} more")
        return lines

    def __repr__(self) -> str:
        return f"<Report {self.summary()}>"

    def _repr_html_(self) -> str:
        from cryptolake.render.reports import report_html

        return report_html(self)


def _count(frame: pl.DataFrame, status: str) -> int:
    return int((frame["status"] == status).sum())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
