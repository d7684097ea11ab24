"""Objects show themselves: escaped, small, without script, and whatever they hold."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.matrix_table import matrix_html
from cryptolake.planning.cards import plan_html
from cryptolake.query import query_html
from cryptolake.render.coverage import coverage_html
from cryptolake.render.html import seconds, size, text
from cryptolake.render.lake_card import lake_html
from cryptolake.report import FILES, MONTHS, Report, report_html

EVIL = "<script>alert('x')</script>\"&"
FILE_COLUMNS = {
    "key": pl.String,
    "market": pl.String,
    "data_type": pl.String,
    "symbol": pl.String,
    "interval": pl.String,
    "partition": pl.String,
    "period": pl.String,
    "size": pl.Int64,
    "etag": pl.String,
    "status": pl.String,
}


def a_plan(files: list[dict[str, Any]], missing: list[dict[str, Any]] | None = None) -> Any:
    """Return the facts of a plan that its card reads."""
    frame = pl.DataFrame(files, schema=FILE_COLUMNS)
    gaps = pl.DataFrame(
        missing or [],
        schema=dict.fromkeys(
            ("market", "data_type", "symbol", "interval", "period", "reason"), pl.String
        ),
    )
    to_move = frame.filter(pl.col("status").is_in(["new", "updated"]))
    return SimpleNamespace(
        id="p1",
        files=frame,
        missing_periods=gaps,
        total_bytes=int(to_move["size"].sum()),
        to_transfer=to_move.height,
        cached=int((frame["status"] == "cached").sum()),
        missing=gaps.height,
        rows_expected=None,
        listed_at=datetime(2024, 5, 1, 12, tzinfo=UTC),
        notes=("a note",),
    )


def a_file(symbol: str, status: str, period: str = "2024-01") -> dict[str, Any]:
    return {
        "key": f"data/{symbol}",
        "market": "spot",
        "data_type": "klines",
        "symbol": symbol,
        "interval": "1h",
        "partition": "monthly",
        "period": period,
        "size": 1_000_000,
        "etag": "e",
        "status": status,
    }


def test_a_query_shows_its_words_and_what_is_still_to_say():
    drawn = cl.query().markets("spot").klines("1h")._repr_html_()
    assert "spot" in drawn
    assert "1h" in drawn
    assert "To do" in drawn
    assert "which symbols" in drawn


def test_a_complete_query_says_so():
    query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2024-01")
    assert "complete" in query._repr_html_()
    assert "31 UTC days" in query._repr_html_()


def test_a_plan_shows_totals_and_what_is_missing_and_why():
    plan = a_plan(
        [a_file("A", "new"), a_file("B", "cached")],
        [
            {"market": "spot", "data_type": "klines", "symbol": "A", "interval": "1h"}
            | {"period": "2024-02", "reason": "delisted"}
        ],
    )
    drawn = plan_html(plan)
    assert "1.0 MB" in drawn
    assert "delisted" in drawn
    assert "2024-05-01 12:00 UTC" in drawn


def test_a_plan_of_a_hundred_thousand_files_stays_small():
    plan = a_plan([])
    plan.files = pl.concat([pl.DataFrame([a_file(f"S{n}", "new") for n in range(1000)])] * 100)
    assert len(plan_html(plan)) < 20_000


def test_a_report_shows_failures_before_the_counts():
    files = pl.DataFrame(
        [{"key": "k", "status": "failed", "error": EVIL}], schema=FILES, strict=False
    )
    drawn = report_html(Report("transfer", "r", 1.0, files))
    assert drawn.index("need a look") < drawn.index('class="facts"')
    assert "not all well" in drawn


def test_a_report_of_a_stopped_run_is_not_shown_as_ok():
    drawn = report_html(Report("transfer", "r", 1.0, state="stopped"))
    assert "stopped" in drawn
    assert ">ok<" not in drawn


def test_a_report_of_many_failures_counts_the_rest():
    files = pl.DataFrame([{"key": f"k{n}", "status": "failed"} for n in range(5000)], schema=FILES)
    drawn = report_html(Report("transfer", "r", 1.0, files, pl.DataFrame(schema=MONTHS)))
    assert "4,980 more" in drawn
    assert len(drawn) < 10_000


def test_a_lake_is_shown_without_asking_it(tmp_path):
    root = tmp_path / "not there"
    drawn = cl.Lake(root)._repr_html_()
    assert text(root) in drawn
    assert not root.exists()


def test_a_lake_that_cannot_be_read_is_shown_all_the_same(tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "lake.json").write_text('{"format": 99}')
    lake = cl.Lake(tmp_path)
    with pytest.raises(cl.StorageError, match="upgrade"):
        lake.status()
    assert text(tmp_path) in lake._repr_html_()
    assert str(tmp_path) in str(lake)


def test_the_lake_shows_the_datasets_it_was_last_told_of(tmp_path):
    told = pl.DataFrame(
        {
            "zone": ["silver"],
            "dataset": ["spot_klines"],
            "symbols": [3],
            "intervals": [["1h"]],
            "first": [datetime(2024, 1, 1, tzinfo=UTC)],
            "last": [None],
            "files": [3],
            "bytes": [1_300_000],
            "rows": [2232],
        }
    )
    drawn = lake_html(str(tmp_path), "s3://a", told)
    assert "spot_klines" in drawn
    assert "1.3 MB" in drawn
    assert "2,232" in drawn


def test_a_lake_shows_the_freshness_it_was_last_told_of_and_when(tmp_path, archive, monkeypatch):
    lake = cl.Lake(tmp_path, source=archive)
    lake.pull(cl.query().markets("spot").klines("1d").symbols("BTCUSDT").between("2025-01"))
    assert "Freshness" not in lake._repr_html_()
    (row,) = lake.freshness().iter_rows(named=True)
    asked = len(list(tmp_path.rglob("*")))
    monkeypatch.setattr("socket.socket.connect", pytest.fail)
    drawn = lake._repr_html_()
    assert f"Freshness, as of {datetime.now(UTC):%Y-%m-%d}" in drawn
    assert row["status"] in drawn
    assert str(row["archive_newest"]) in drawn
    assert len(list(tmp_path.rglob("*"))) == asked


def test_the_matrix_is_a_grid_of_every_row():
    drawn = load_matrix()._repr_html_()
    assert drawn.count("<td title=") == len(load_matrix().rows)
    assert drawn.count("discontinued") > 1
    assert len(drawn) < 20_000


def test_coverage_of_three_thousand_symbols_stays_small():
    months = {f"20{year:02d}-{month:02d}": 1.0 for year in range(17, 27) for month in range(1, 13)}
    drawn = coverage_html({f"SYM{n}": months for n in range(3000)})
    assert "2,940 symbols more" in drawn
    assert len(drawn) < 60_000


@pytest.mark.parametrize(
    "draw",
    [query_html, plan_html, report_html, matrix_html, lake_html],
)
@pytest.mark.parametrize("thing", [None, 3, EVIL, object()])
def test_a_drawing_never_raises(draw, thing):
    drawn = draw(thing)
    assert "<script" not in drawn
    assert drawn.startswith('<div class="cryptolake">')


def test_not_even_for_an_object_whose_repr_raises():
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "Broken" in plan_html(Broken())  # type: ignore[arg-type]


@given(st.text())
def test_no_text_of_a_symbol_or_reason_becomes_markup(word):
    plan = a_plan(
        [a_file(word, "new")],
        [
            {"market": word, "data_type": word, "symbol": word, "interval": word}
            | {"period": word, "reason": word + EVIL}
        ],
    )
    drawn = plan_html(plan) + coverage_html({word + EVIL: {"2024-01": 1.0}})
    assert "<script" not in drawn
    assert "alert('x')" not in drawn


@given(st.integers(min_value=0, max_value=10**18))
def test_a_size_in_words_is_short(count):
    assert len(size(count)) <= 10


@given(st.floats(min_value=0, max_value=1e9))
def test_a_duration_in_words_is_short(duration):
    assert len(seconds(duration)) <= 16


def test_a_lake_on_a_disk_shows_its_ledger_and_reads_nothing_else(tmp_path, monkeypatch):
    lake = cl.Lake(tmp_path)
    assert "empty: lake.pull(query) fills it" in str(lake)
    days = [f"2024-01-{day:02d}" for day in range(1, 32)]
    keys = [f"data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-{day}.zip" for day in days]
    lake.meta.append("files", [{"key": key, "event": "stored", "size": 1000} for key in keys])
    for key in keys:
        path = tmp_path / "bronze" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr("socket.socket.connect", pytest.fail)
    read: list[str] = []
    storage: Any = type(lake.storage)
    for name in ("read", "list", "open", "size"):
        monkeypatch.setattr(storage, name, counted(getattr(storage, name), read))
    again = cl.Lake(tmp_path)
    assert "bronze spot_klines 1h: 1 symbol, 2024-01-01 to 2024-01-31, 31 files, 31.0 kB" in str(
        again
    )
    drawn = again._repr_html_()
    assert "2024-01-31" in drawn
    assert "31.0 kB" in drawn
    assert not [path for path in read if path.startswith("bronze")]
    assert len(set(read)) <= 4


def counted(method: Any, read: list[str]) -> Any:
    def call(self: Any, path: str, *rest: Any, **how: Any) -> Any:
        read.append(path)
        return method(self, path, *rest, **how)

    return call


def test_the_matrix_shows_itself_and_a_part_of_it_is_a_frame():
    whole = cl.matrix()
    lines = str(whole).splitlines()
    assert len(lines) == whole.height + 2
    assert max(map(len, lines)) <= 80
    assert whole._repr_html_() == load_matrix()._repr_html_()
    assert "1s to 1mo" in whole._repr_html_()
    for part in (whole.head(3), whole.filter(market="spot"), whole.select("market")):
        assert str(part).startswith("shape: ")
        assert "<table" in part._repr_html_()
