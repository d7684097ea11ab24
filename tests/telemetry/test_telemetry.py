"""Each step of the work is one line of the log and one span, and neither says more than counts and words."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import cryptolake as cl
from cryptolake.telemetry import LOG, step

ASKED = (
    cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01-30", "2025-02-01")
)
STEPS = ["planned", "transferred batch", "transferred", "built", "built recipe", "verified"]


class Kept(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    found, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    trace.set_tracer_provider(provider)
    return found


@pytest.fixture(scope="module")
def done(
    exporter: InMemorySpanExporter, archive: cl.Archive, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[logging.LogRecord], dict[str, ReadableSpan]]:
    """The records and the spans of a pull, a recipe and an audit."""
    records: list[logging.LogRecord] = []
    handler = Kept(records)
    level = LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    exporter.clear()
    lake = cl.Lake(tmp_path_factory.mktemp("lake"), source=archive)
    lake.pull(ASKED, progress=False)
    lake.build(ASKED, gold=["panel"], progress=False)
    lake.verify()
    LOG.removeHandler(handler)
    LOG.setLevel(level)
    return records, {span.name: span for span in exporter.get_finished_spans()}


def test_a_step_is_one_line(done):
    records, _ = done
    lines = [record.getMessage() for record in records]
    assert list(dict.fromkeys(line.partition(":")[0] for line in lines)) == STEPS
    assert {(record.name, record.levelname) for record in records} == {("cryptolake", "INFO")}
    assert all(re.fullmatch(r"[a-z ]+:( \w+=[\w.,-]*)+ seconds=[\d.]+", line) for line in lines)
    planned = dict(pair.split("=") for pair in lines[0].partition(": ")[2].split())
    assert (planned["markets"], planned["data_types"], planned["cached"]) == ("spot", "klines", "0")
    assert int(planned["files"]) > 0


def test_a_step_is_a_span_below_the_one_that_it_is_part_of(done):
    _, spans = done
    assert {*spans} == {
        f"cryptolake.{name}" for name in ["plan", "transfer", "batch", "build", "recipe", "verify"]
    }
    batch, moved = spans["cryptolake.batch"], spans["cryptolake.transfer"]
    assert batch.parent is not None
    assert batch.parent.span_id == moved.context.span_id
    facts = {name: dict(span.attributes or {}) for name, span in spans.items()}
    size = facts["cryptolake.plan"]["cryptolake.bytes"]
    assert size == facts["cryptolake.batch"]["cryptolake.bytes"] > 0
    assert facts["cryptolake.build"]["cryptolake.datasets"] == "spot_klines"
    assert facts["cryptolake.recipe"]["cryptolake.recipe"] == "panel"


def test_what_fails_is_logged_and_traced_by_its_kind_alone(exporter, caplog):
    exporter.clear()
    with pytest.raises(cl.ListingError), step("plan", "planned", markets="spot"):
        raise cl.ListingError("https://key:secret@host does not answer")
    [span] = exporter.get_finished_spans()
    assert (span.status.is_ok, span.status.description) == (False, "ListingError")
    assert dict(span.attributes) == {"cryptolake.markets": "spot"}
    assert not span.events
    assert re.fullmatch(
        r"plan failed after [\d.]+ s: ListingError", caplog.records[-1].getMessage()
    )
    assert "secret" not in caplog.text


def test_nothing_is_imported_or_printed_where_nobody_looks():
    code = (
        "import sys\nfrom cryptolake.telemetry import is_observed, step\n"
        "try:\n with step('plan', 'planned'):\n  raise OSError\nexcept OSError: pass\n"
        "print(is_observed(), any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (told.stdout, told.stderr) == ("False False\n", "")
