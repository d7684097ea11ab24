"""What a step of work tells an operator: one line in the log, and a span of OpenTelemetry where a program traces.

The logger is ``cryptolake``; it has no handler of its own that writes. Spans go to OpenTelemetry's API, which is used where the
program has imported it (nothing traces without it) and never imported here. Both carry counts and words of the archive,
and no address, key or text of an error.
"""

from __future__ import annotations

import functools
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

LOG = logging.getLogger("cryptolake")
LOG.addHandler(logging.NullHandler())

_TRACING = "opentelemetry.trace"

Facts = dict[str, Any]
Given = ParamSpec("Given")
Result = TypeVar("Result")


@contextmanager
def step(name: str, done: str, **facts: Any) -> Iterator[Facts]:
    """Trace the block as a span and log a line when it has ended.

    Parameters
    ----------
    name
        The span's name after ``cryptolake.``.
    done
        What the line begins with when the block ends well. One that raises is logged as failed, by its kind alone.
    facts
        What is known when it begins; the block adds to the mapping what it finds. They end the line, and are the
        span's attributes, with ``cryptolake.`` before their names.

    Examples
    --------
    >>> with step("plan", "planned", markets="spot") as facts:
    ...     facts["files"] = 2
    >>> list(facts)
    ['markets', 'files', 'seconds']
    """
    begun = time.monotonic()
    with _span(name, facts):
        try:
            yield facts
        except BaseException as error:
            seconds = time.monotonic() - begun
            LOG.warning("%s failed after %.3f s: %s", name, seconds, type(error).__name__)
            raise
    facts["seconds"] = round(time.monotonic() - begun, 3)
    LOG.info("%s: %s", done, " ".join(f"{key}={value}" for key, value in facts.items()))


def observed(
    name: str, done: str, facts: Callable[[Result], Mapping[str, Any]]
) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Make every call of a function a :func:`step`, with the facts that its result has."""

    def wrap(function: Callable[Given, Result]) -> Callable[Given, Result]:
        @functools.wraps(function)
        def run(*args: Given.args, **options: Given.kwargs) -> Result:
            with step(name, done) as found:
                result = function(*args, **options)
                if is_observed():
                    found.update(facts(result))
                return result

        return run

    return wrap


def is_observed() -> bool:
    """Return whether anyone may see a step: the log takes it, or the program has imported OpenTelemetry's API."""
    return _TRACING in sys.modules or LOG.isEnabledFor(logging.INFO)


@contextmanager
def _span(name: str, facts: Facts) -> Iterator[None]:
    trace = sys.modules.get(_TRACING)
    if trace is None:
        yield
        return
    how = {"record_exception": False, "set_status_on_exception": False}  # a text may name a place
    with trace.get_tracer("cryptolake").start_as_current_span(f"cryptolake.{name}", **how) as span:
        try:
            yield
        except BaseException as error:
            span.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            span.set_attributes({f"cryptolake.{key}": value for key, value in facts.items()})
