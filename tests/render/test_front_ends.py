"""What a front end gets of each object: text and HTML always, a widget beside them where a kernel runs.

JupyterLab, Notebook 7, Voila and VS Code draw the widget; GitHub, an export and a saved notebook without its
kernel have the HTML, a terminal the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell

import cryptolake as cl
from cryptolake.plot.chart_widget import ChartWidget
from cryptolake.plot.profile_widget import ProfileWidget

WIDGET = "application/vnd.jupyter.widget-view+json"
QUERY = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
LIVE = ("chart", "profile", "picker")
STILL = ("query", "plan", "report", "lake", "matrix", "coverage", "lock")


@pytest.fixture(scope="module")
def objects(tmp_path_factory, archive) -> Iterator[dict[str, Any]]:
    lake = cl.Lake(tmp_path_factory.mktemp("lake"), source=archive)
    report = lake.pull(QUERY, progress=False)
    picker = cl.picker(lake, QUERY)
    yield {
        "query": QUERY,
        "plan": lake.plan(QUERY),
        "report": report,
        "lake": lake,
        "matrix": cl.matrix(),
        "coverage": lake.plot.coverage(QUERY),
        "lock": lake.freeze(QUERY, tmp_path_factory.mktemp("lock") / "q.lock"),
        "chart": lake.plot.candles(QUERY),
        "profile": lake.profile(QUERY),
        "picker": picker,
    }
    picker.close()


@pytest.fixture
def kernel(monkeypatch) -> None:
    shell = InteractiveShell()
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)


def formatted(thing: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    data, metadata = DisplayFormatter().format(thing)
    return data, metadata


@pytest.mark.parametrize("name", [*STILL, *LIVE])
def test_it_has_text_and_html_for_where_nothing_answers(objects, name):
    data, _ = formatted(objects[name])
    assert set(data) - {WIDGET} == {"text/plain", "text/html"}
    assert " object at 0x" not in data["text/plain"]
    assert "<script" not in data["text/html"]
    for fetched in ("src=", "@import", "url(http"):
        assert fetched not in data["text/html"]


@pytest.mark.parametrize("name", LIVE)
def test_a_kernel_adds_the_widget_and_keeps_the_rest(objects, name, kernel):
    data, metadata = formatted(objects[name])
    assert set(data) == {"text/plain", "text/html", WIDGET}
    assert data["text/plain"].startswith(repr(objects[name])[:100])
    assert set(data[WIDGET]) == {"version_major", "version_minor", "model_id"}
    assert set(metadata) <= {WIDGET}


@pytest.mark.parametrize(("name", "view"), [("chart", ChartWidget), ("profile", ProfileWidget)])
def test_marimo_gets_the_live_view(objects, name, view):
    shown = objects[name]._display_()
    assert isinstance(shown, view)
    shown.close()


def test_marimo_stacks_the_controls_of_the_picker(objects):
    marimo = pytest.importorskip("marimo")  # no extra has it: tried by hand, see the guide's table
    stacked = objects["picker"]._display_()
    assert isinstance(stacked, marimo.Html)
    assert stacked.text.count("<marimo-anywidget") == len(objects["picker"].children)
