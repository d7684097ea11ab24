"""What cryptolake logs goes to the log of the Prefect run that it happens in."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from cryptolake.progress import Step

LOGGER = "cryptolake"

_EACH = 15.0
"""Seconds between two lines of progress, at least."""

_ARTIFACT_EACH = 2.0


def run_log() -> Any:
    """Return the logger of the run that this is called in; cryptolake's own outside of one."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(LOGGER)


class _ToRun(logging.Handler):
    """Passes records to the logger of the run that they come from; those from outside a run stay where they are."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        try:
            log: Any = get_run_logger()
        except MissingContextError:
            return
        log.log(record.levelno, "%s", record.getMessage(), exc_info=record.exc_info)


_HANDLER = _ToRun()
_USERS: list[int] = []
_LOCK = threading.Lock()


@contextmanager
def logged() -> Iterator[None]:
    """Let what cryptolake logs inside the block, from INFO up, reach the run's log."""
    log = logging.getLogger(LOGGER)
    with _LOCK:
        if not _USERS:
            _USERS.append(log.level)
            log.addHandler(_HANDLER)
            log.setLevel(min(log.level or logging.INFO, logging.INFO))
        _USERS.append(0)
    try:
        yield
    finally:
        with _LOCK:
            _USERS.pop()
            if len(_USERS) == 1:
                log.removeHandler(_HANDLER)
                log.setLevel(_USERS.pop())


class RunProgress:
    """A progress callable for a flow: a line in its log every now and then, and a progress artifact.

    Parameters
    ----------
    label
        What it is the progress of.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._artifact: UUID | None = None
        self._shown = self._said = time.monotonic()
        self._share = -1.0

    def __call__(self, step: Step) -> None:
        """Show a step."""
        if step.unit not in {"files", "months"}:
            return
        now = time.monotonic()
        if now - self._said >= _EACH:
            self._said = now
            done = f"{step.pieces:,} of {step.all_pieces:,} {step.unit}"
            run_log().info("%s: %s (%.0f %%)", self._label, done, 100 * step.share)
        if self._artifact is None or now - self._shown >= _ARTIFACT_EACH:
            self._shown = now
            self._show(step.share)

    def close(self, *, whole: bool) -> None:
        """Show where it ended, if anything was shown."""
        if self._artifact is not None:
            self._show(1.0 if whole else self._share)

    def _show(self, share: float) -> None:
        if share == self._share:
            return
        self._share, percent = share, 100 * share
        if self._artifact is None:
            self._artifact = create_progress_artifact(percent, description=self._label)  # type: ignore[assignment]
        else:
            update_progress_artifact(self._artifact, percent)
