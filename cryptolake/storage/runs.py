"""The table of runs: which process does a run, its heartbeat, and its newest state.

A run writes a row when it begins to write, one a minute while it goes on, and a last one. A run that was
killed has no last row: it counts as ``lost`` once its process is gone or its heartbeat is old.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

HEARTBEAT = 60.0
"""Seconds between two heartbeats of a run, at least."""

QUIET = timedelta(minutes=10)
"""Age of a running run's newest heartbeat from which on it counts as lost; one so far ahead counts as lost too."""


def signs_of_life() -> dict[str, Any]:
    """Return the columns that say which process does a run, and that it does now."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "heartbeat_at": datetime.now(UTC)}


def run_row(
    run_id: str, kind: str, state: str, started_at: datetime, **facts: Any
) -> dict[str, Any]:
    """Return a row of a run as it stands now, with the signs of life of this process."""
    now = datetime.now(UTC)
    return {
        "run_id": run_id,
        "kind": kind,
        "state": state,
        "started_at": started_at,
        "ended_at": None if state == "running" else now,
        "seconds": (now - started_at).total_seconds(),
        **facts,
        **signs_of_life(),
    }


def newest(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the newest row of each run, in the order of their beginning."""
    return rows.unique("run_id", keep="last", maintain_order=True)


def with_lost(runs: pl.DataFrame, now: datetime | None = None) -> pl.DataFrame:
    """Return runs with the state ``lost`` where a running one's process is gone or was quiet for long.

    Runs of releases before have no heartbeat: their beginning counts.
    """
    running = runs.filter(state="running", host=socket.gethostname())
    gone = [pid for pid in running["pid"].drop_nulls().unique() if not lives(pid)]
    here = pl.col("host").eq_missing(pl.lit(socket.gethostname()))
    last = pl.coalesce("heartbeat_at", "started_at")
    # One of the future is of a clock that was wrong: it says as little as an old one, and would go on for a year.
    quiet = (pl.lit(now or datetime.now(UTC)) - last).abs() > QUIET
    lost = (pl.col("state") == "running") & (quiet | (here & pl.col("pid").is_in(gone)))
    return runs.with_columns(state=pl.when(lost).then(pl.lit("lost")).otherwise("state"))


def lives(pid: int) -> bool:
    """Say whether a process of this machine lives; where that cannot be asked, it counts as alive."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
