"""What a command writes to standard error beside its bar: the log where it is asked for, a heartbeat where none watches."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cryptolake.progress import Heartbeat, watched
from cryptolake.telemetry import LOG

FORMAT = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def logged(*, verbose: bool, quiet: bool) -> Iterator[None]:
    """Write the log to standard error while a command runs.

    Parameters
    ----------
    verbose
        A line a step, and the heartbeat.
    quiet
        No heartbeat. Without either, it is written where no terminal watches.
    """
    if not verbose and (quiet or watched()):
        yield
        return
    log = LOG if verbose else Heartbeat.log
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
