"""Memory is lent in bytes of text: months wait for room, and a small zip of much text is read in pieces."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from unittest.mock import Mock

import polars as pl
import pytest

from cryptolake.bronze.ledger import holdings
from cryptolake.silver.budget import STREAMED, TEXTS, Budget
from cryptolake.silver.month import make_month
from cryptolake.silver.months import months_to_build
from cryptolake.silver.stream import StreamedMonth
from tests.silver.texts import HEADER, as_text, bar, hours, key, stored, zipped


def test_never_more_is_lent_than_there_is():
    budget, lock = Budget(10), threading.Lock()
    held, most = 0, 0

    def work(size: int) -> None:
        nonlocal held, most
        with budget.room(size):
            with lock:
                held += size
                most = max(most, held)
            time.sleep(0.001)
            with lock:
                held -= size

    threads = [threading.Thread(target=work, args=(1 + n % 10,)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert 0 < most <= 10
    assert budget.free == 10


def test_a_large_month_is_not_passed_by_smaller_ones_that_asked_later():
    budget, order = Budget(10), list[int]()

    def work(size: int) -> None:
        with budget.room(size):
            order.append(size)

    threads = [threading.Thread(target=work, args=(size,)) for size in (10, 1)]
    with budget.room(5):
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        assert order == []
    for thread in threads:
        thread.join(20)
    assert order == [10, 1]


def test_room_is_given_back_when_a_month_fails():
    budget = Budget(10)
    with pytest.raises(ValueError, match="no"), budget.room(7):
        raise ValueError("no")
    assert budget.free == 10


def test_two_months_are_never_made_in_pieces_at_once():
    assert TEXTS.total < 2 * STREAMED


def test_a_small_zip_of_much_text_is_made_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    in_pieces = Mock(wraps=StreamedMonth)
    monkeypatch.setattr("cryptolake.silver.month.StreamedMonth", in_pieces)
    day = "2024-01-02"
    lines = [bar(hours(day)[0])] * 20_000
    data = zipped(as_text([HEADER, *lines, *(bar(hour) for hour in hours(day))]))
    storage, meta = stored(tmp_path, {key(day): data})
    held = holdings(meta)
    (month,) = months_to_build(held, held)
    above = 500_000
    assert len(data) * 3 < above < 20_000 * len(lines[0])
    made = make_month(storage, month, stream_above=above)
    assert in_pieces.call_count == 1
    assert made.draft is not None
    assert (made.rows, made.duplicates) == (24, 20_000)
    assert pl.read_parquet(made.draft).height == 24
    assert TEXTS.free == TEXTS.total
