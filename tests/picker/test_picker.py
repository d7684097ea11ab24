"""The picker without a browser: its query, its background work, and the lake behind it."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import cryptolake as cl
from cryptolake.picker import messages
from cryptolake.picker.backend import Backend, count_folders, coverage_of, error_text
from cryptolake.planning import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptolake.picker.widget import Picker

JANUARY = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")


@pytest.fixture
def lake(tmp_path, archive) -> cl.Lake:
    return cl.Lake(tmp_path / "lake", source=archive)


@pytest.fixture
def picker(lake) -> Iterator[Picker]:
    made = cl.picker(lake)
    yield made
    made.close()


def shown(picker: Picker) -> None:
    """Do what the page does when it has drawn the picker, and wait for the answers."""
    picker._symbols._handle_custom_msg({"kind": "shown"}, [])
    assert picker.actions.idle(60)


def test_making_a_picker_touches_nothing_and_starts_no_thread(tmp_path):
    threads = set(threading.enumerate())
    made = cl.picker(
        cl.Lake(tmp_path / "lake", source=cl.Archive(endpoint_url="http://127.0.0.1:9"))
    )
    assert set(threading.enumerate()) <= threads
    assert not (tmp_path / "lake").exists()
    assert isinstance(made.query, cl.Query)
    made.close()


@pytest.mark.parametrize("query", [JANUARY.last("90d"), JANUARY.since("2025-01-15")])
def test_a_picker_holds_an_open_range_until_days_are_chosen(lake, query):
    made = cl.picker(lake, query)
    assert made.query == query
    ends = made._days.value
    assert ends[1] == str(datetime.now(UTC).date() - timedelta(days=1))
    assert repr(query).rpartition(").")[2] in made._code.code
    made._symbols.value = ["ETHUSDT"]
    assert made.query == query.symbols("ETHUSDT")
    made._days.value = ["2025-01-01", "2025-01-31"]
    assert made.query == JANUARY.symbols("ETHUSDT")
    made.close()


def test_a_picker_can_begin_with_a_query(lake):
    made = cl.picker(lake, JANUARY)
    assert made.query == JANUARY
    assert made._symbols.value == ["BTCUSDT"]
    made.close()


def test_its_repr_does_no_io_and_names_the_query(picker):
    assert "markets('spot')" in repr(picker)
    assert not picker.actions._questions.busy


def test_it_shows_itself_by_the_standard_widget_mime_type(picker):
    assert set(picker._repr_mimebundle_()) == {
        "text/html",
        "text/plain",
        "application/vnd.jupyter.widget-view+json",
    }


def test_no_part_fetches_a_script_from_elsewhere(picker):
    for part in picker.children:
        for text in (part._esm, part._css):
            assert "http" not in str(text).replace("http://www.w3.org/2000/svg", "")


def test_what_the_page_says_goes_into_the_query(picker):
    picker._markets.value = ["futures_um"]
    picker._data_types.value = ["klines", "trades"]
    picker._intervals.value = ["1h", "1d"]
    picker._symbols.value = ["ETH*"]
    picker._symbols.rule = {"quote": "USDT", "exclude": ["ETHW*"]}
    picker._days.value = ["2025-01-01", "2025-01-15"]
    assert picker.query == (
        cl.query()
        .markets("futures_um")
        .data_types("klines", "trades")
        .intervals("1h", "1d")
        .symbols("ETH*")
        .universe(quote="USDT", exclude="ETHW*")
        .between("2025-01-01", "2025-01-15")
    )
    assert "universe" in picker._code.code


def test_setting_the_query_moves_every_part(picker):
    picker.query = JANUARY.markets("futures_cm").klines("1d").universe(quote="USD")
    assert picker._markets.value == ["futures_cm"]
    assert picker._intervals.value == ["1d"]
    assert picker._symbols.value == ["BTCUSDT"]
    assert picker._symbols.rule["quote"] == ["USD"]
    assert picker._days.value == ["2025-01-01", "2025-01-31"]
    said = picker._code.code.split("query = ")[1].rpartition("\nframe = ")[0]
    assert eval(said, {"cl": cl}) == picker.query


def test_a_query_can_be_observed(picker):
    seen = []
    picker.observe(lambda change: seen.append(change["new"]), "query")
    picker._symbols.value = ["BTCUSDT"]
    assert seen[-1].selection.symbols == ("BTCUSDT",)


def test_only_a_query_can_be_set(picker):
    with pytest.raises(Exception, match="query"):
        picker.query = "spot"


def test_a_word_that_cannot_be_is_said_and_taken_back(picker):
    before = picker.query
    picker._symbols.value = ["A B"]
    assert picker.query == before
    assert picker._symbols.value == []
    assert "cannot be a symbol" in picker._notice.html
    assert picker._notice.role == "alert"


def test_shown_it_lists_the_symbols_and_says_what_is_still_to_choose(picker):
    shown(picker)
    names = [row[0] for row in picker._symbols.rows]
    assert {"BTCUSDT", "ETHUSDT", "龙虾USDT"} <= set(names)
    assert picker._symbols.busy == ""
    assert "which symbols" in picker._plan_line.html


def test_the_line_says_files_bytes_cached_and_missing(picker):
    picker.query = JANUARY
    shown(picker)
    assert "1 file" in picker._plan_line.html
    assert "kB" in picker._plan_line.html
    assert "0 cached" in picker._plan_line.html
    assert "missing" in picker._plan_line.html


def test_coverage_is_what_the_archive_has_of_the_chosen_symbols(picker):
    picker.query = JANUARY
    shown(picker)
    assert picker._days.coverage["BTCUSDT"]["2025-01"] == 1.0
    assert 0 < picker._days.coverage["BTCUSDT"]["2025-02"] < 0.1


def test_the_filter_by_day_listed_asks_the_archive(picker):
    picker._symbols._handle_custom_msg({"kind": "listed on", "day": "2025-01-15"}, [])
    assert picker.actions.idle(60)
    assert picker._symbols.listed[0] == "2025-01-15"
    assert "BTCUSDT" in picker._symbols.listed[1]


def test_pull_stores_and_the_preview_shows_a_profile_chart_and_months(picker, lake):
    picker.query = JANUARY
    picker.press("Pull")
    assert picker.actions.idle(120)
    assert "Report: pull" in picker._notice.html
    assert lake.silver(JANUARY).collect().height == 744
    assert "nothing to fetch" in picker._plan_line.html
    picker.press("Preview")
    assert picker.actions.idle(60)
    assert picker._profile.head["heading"] == "744 rows of klines"
    assert "nothing was fetched" in picker._notice.html
    assert "<svg" in picker._notice.html
    assert "Held in Silver" in picker._notice.html
    picker.query = JANUARY.between("2025-01-05", "2025-01-06")
    assert picker._profile.stale
    picker.press("Plan")
    assert picker.actions.idle(60)
    assert picker._profile.head == {}


def test_without_the_drawing_library_the_preview_shows_the_profile_and_says_what_to_install(
    picker, monkeypatch
):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    picker.query = JANUARY
    picker.press("Pull")
    picker.actions.idle(120)
    picker.press("Preview")
    assert picker.actions.idle(60)
    assert picker._profile.head["rows"] == 744
    assert "pip install" in picker._notice.html


def test_after_a_pull_the_line_estimates_by_the_lakes_own_pace(picker):
    picker.query = JANUARY
    picker.press("Pull")
    assert picker.actions.idle(120)
    picker.query = JANUARY.symbols("BTCUSDT", "ETHUSDT")
    assert picker.actions.idle(60)
    assert "about 1.0 s" in picker._plan_line.html


def test_cancel_stops_as_ctrl_c_does_and_the_next_pull_completes(picker, lake):
    picker.query = JANUARY.symbols("BTCUSDT", "ETHUSDT").between("2024-12-30", "2025-01-20")

    def at_the_first_step(change):
        if "<progress" in change["new"]:
            picker.press("Cancel")

    picker._notice.observe(at_the_first_step, "html")
    picker.press("Pull")
    assert picker.actions.idle(120)
    assert "Stopped" in picker._notice.html
    assert picker._action_buttons.disabled == ["Cancel"]
    picker._notice.unobserve(at_the_first_step, "html")
    picker.press("Pull")
    assert picker.actions.idle(120)
    assert "Report: pull" in picker._notice.html
    assert lake.plan(picker.query).to_transfer == 0


def test_cancel_stops_a_plan_over_thousands_of_symbols(picker, lake, monkeypatch):
    monkeypatch.setattr(resolve, "_MANY_NAMES", 10_000)  # else the list of symbols ends it at once
    many = [f"S{number}USDT" for number in range(3000)]
    picker.query = JANUARY.symbols(*many)
    seen = []
    picker._action_buttons.observe(lambda change: seen.append(change["new"]), "disabled")

    def at_the_first_step(change):
        if "<progress" in change["new"]:
            assert "of 3,000 listings" in change["new"]
            picker.press("Cancel")

    picker._notice.observe(at_the_first_step, "html")
    picker.press("Plan")
    assert picker.actions.idle(60)
    assert "Stopped" in picker._notice.html
    assert seen == [[], ["Cancel"]]
    assert len(lake.storage.list("meta/listings")) < len(many)


@pytest.fixture
def silent():
    """The endpoint of a server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = []

        def take():
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        thread = threading.Thread(target=take)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


@pytest.mark.parametrize("button", ["Plan", "Pull"])
def test_cancel_does_not_wait_for_an_archive_that_does_not_answer(tmp_path, silent, button):
    query = JANUARY.symbols(*(f"S{number}USDT" for number in range(100)))
    picker = cl.picker(cl.Lake(tmp_path, source=cl.Archive(endpoint_url=silent)))
    picker._data_types.value = []  # so that nothing else asks
    told = threading.Event()

    def hear(change):
        if "<progress" in change["new"]:
            told.set()

    picker._notice.observe(hear, "html")
    act = picker.actions
    begin, worker = {"Plan": (act.plan, act._questions), "Pull": (act.pull, act._moves)}[button]
    begin(query)
    assert told.wait(30)
    picker.press("Cancel")
    assert worker.idle(10)
    assert "Stopped" in picker._notice.html
    picker.close()
    assert act.idle(10)


def test_while_it_pulls_cancel_can_be_pressed_and_pull_cannot(picker):
    seen = []
    picker._action_buttons.observe(lambda change: seen.append(change["new"]), "disabled")
    picker.query = JANUARY
    picker.press("Pull")
    assert picker.actions.idle(120)
    assert seen == [["Pull", "Build"], ["Cancel"]]


def test_an_incomplete_sentence_is_not_planned_but_said(picker):
    picker.press("Pull")
    assert "which symbols" in picker._notice.html
    assert not picker.actions._moves.busy


def test_a_symbol_that_is_not_listed_is_said_in_words(picker):
    picker.query = JANUARY.symbols("NOSUCHUSDT")
    picker.press("Plan")
    assert picker.actions.idle(60)
    assert "NOSUCHUSDT" in picker._notice.html
    assert picker._notice.role == "alert"


def test_an_archive_that_does_not_answer_is_said_in_words(tmp_path):
    made = cl.picker(
        cl.Lake(tmp_path, source=cl.Archive(endpoint_url="http://127.0.0.1:9")), JANUARY
    )
    shown(made)
    assert "Not done" in made._notice.html
    assert "could not be listed" in made._symbols.note
    made.close()


def test_a_selection_is_saved_and_loaded(picker, tmp_path):
    picker.query = JANUARY
    picker._file_buttons.text = str(tmp_path / "january.json")
    picker._file_buttons.press("Save")
    picker.query = cl.query()
    picker._file_buttons.press("Load")
    assert picker.query == JANUARY


def test_a_file_that_holds_no_selection_is_said_in_words(picker, tmp_path):
    picker._file_buttons.text = str(tmp_path / "absent.json")
    picker._file_buttons.press("Load")
    assert "No such file" in picker._notice.html
    (tmp_path / "absent.json").write_text("{")
    picker._file_buttons.press("Load")
    assert "is no query" in picker._notice.html


def test_a_preview_of_nothing_says_how_to_get_something(picker):
    picker.query = JANUARY
    picker.press("Preview")
    assert picker.actions.idle(60)
    assert "Pull fetches and builds" in picker._notice.html


def test_folders_counts_names_and_globs_once():
    query = cl.query().markets("spot").klines("1h", "1d").symbols("A*", "B")
    assert count_folders(query, ["A1", "A2", "B", "C"]) == 6


def test_a_rule_alone_counts_every_known_symbol():
    query = cl.query().markets("spot").klines("1h").universe(quote="USDT")
    assert count_folders(query, ["A", "B", "C"]) == 3


def test_monthly_and_daily_files_of_one_month_are_not_counted_twice(lake):
    files = lake.plan(JANUARY.between("2024-12-30", "2025-02-01")).files
    assert all(0 < share <= 1 for share in coverage_of(files)["BTCUSDT"].values())


def test_the_preview_of_several_types_shows_the_first_and_says_so(lake):
    lake.pull(JANUARY, progress=False)
    query = JANUARY.data_types("klines", "trades")
    preview = Backend(lake).preview(query)
    assert "only klines" in preview.note
    assert preview.page is not None
    told = preview.page.first
    assert eval(told["code"], {"lake": lake, "cl": cl}).pl().height == told["rows"]


def test_an_error_of_another_package_is_shown_with_its_type():
    assert error_text(KeyError("x")) == "KeyError: 'x'"


def test_what_is_said_is_escaped():
    assert "<b>" not in messages.failure("<b>").replace("<b>Not done.</b>", "")
