"""Background work: the newest request of a slot counts, errors are handed back, nothing piles up."""

from __future__ import annotations

import threading
import time

import pytest

from cryptolake.picker.tasks import Worker


@pytest.fixture
def worker():
    made = Worker("test")
    yield made
    made.close()


def test_an_answer_is_handed_to_done(worker):
    answers: list[object] = []
    worker.submit("a", lambda: 42, answers.append, answers.append)
    assert worker.idle(5)
    assert answers == [42]


def test_an_error_is_handed_to_failed(worker):
    errors: list[Exception] = []
    worker.submit("a", lambda: 1 / 0, lambda _: None, errors.append)
    assert worker.idle(5)
    assert isinstance(errors[0], ZeroDivisionError)


def test_an_error_while_an_answer_is_shown_is_handed_to_failed(worker):
    errors: list[Exception] = []
    worker.submit("a", lambda: 0, lambda answer: 1 / answer, errors.append)
    assert worker.idle(5)
    assert isinstance(errors[0], ZeroDivisionError)


def test_of_a_burst_in_one_slot_only_the_newest_is_done(worker):
    done: list[int] = []
    gate = threading.Event()
    worker.submit("gate", gate.wait, lambda _: None, lambda _: None)
    for number in range(20):
        worker.submit("a", lambda number=number: number, done.append, lambda _: None)
    gate.set()
    assert worker.idle(5)
    assert done == [19]


def test_an_answer_that_a_newer_request_overtook_is_dropped(worker):
    done: list[str] = []
    begun, gate = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        gate.wait(5)
        return "old"

    worker.submit("a", slow, done.append, lambda _: None)
    assert begun.wait(5)
    worker.submit("a", lambda: "new", done.append, lambda _: None)
    gate.set()
    assert worker.idle(5)
    assert done == ["new"]


def test_a_forgotten_request_is_not_answered(worker):
    done: list[str] = []
    begun, gate = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        gate.wait(5)
        return "old"

    worker.submit("a", slow, done.append, lambda _: None)
    assert begun.wait(5)
    worker.forget("a")
    gate.set()
    assert worker.idle(5)
    assert done == []


def test_a_delayed_request_lets_others_go_first(worker):
    order: list[str] = []
    worker.submit("late", lambda: "late", order.append, lambda _: None, delay=0.2)
    worker.submit("now", lambda: "now", order.append, lambda _: None)
    assert worker.idle(5)
    assert order == ["now", "late"]


def test_no_thread_is_started_before_it_is_needed():
    before = threading.active_count()
    Worker("test")
    assert threading.active_count() == before


def test_a_closed_worker_takes_nothing_on(worker):
    done: list[int] = []
    worker.close()
    worker.submit("a", lambda: 1, done.append, lambda _: None)
    assert worker.idle(1)
    assert done == []


def test_what_waits_when_a_worker_is_closed_is_not_begun(worker):
    done: list[str] = []
    begun, gate = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        gate.wait(5)
        return "running"

    worker.submit("a", slow, done.append, lambda _: None)
    worker.submit("b", lambda: "queued", done.append, lambda _: None)
    worker.submit("c", lambda: "delayed", done.append, lambda _: None, delay=0.1)
    assert begun.wait(5)
    worker.close()
    gate.set()
    assert worker.idle(5)
    assert done == []


def test_work_that_is_stale_can_stop_itself(worker):
    answers: list[object] = []
    begun = threading.Event()

    def until_stale():
        begun.set()
        while not worker.stale:
            time.sleep(0.001)
        raise KeyboardInterrupt

    for end in (
        lambda: worker.submit("a", lambda: "newer", answers.append, answers.append),
        lambda: worker.forget("a"),
    ):
        begun.clear()
        worker.submit("a", until_stale, answers.append, answers.append)
        assert begun.wait(5)
        end()
        assert worker.idle(5)
    assert answers == ["newer"]
    assert not worker.stale
