"""Commands that look: tables for people, JSON for scripts."""

import json

import polars as pl
import pytest

import cryptolake as cl


@pytest.fixture
def ask(run, pulled):
    """Run a command on the lake that was pulled, and return its JSON."""

    def ask(*arguments):
        done = run(*arguments, "--json", "--root", pulled)
        assert done.code == 0, done.err
        return json.loads(done.out)

    return ask


def test_matrix_is_a_row_a_dataset(run):
    shown = run("matrix").out
    assert [row for row in cl.matrix().iter_rows(named=True) if row["data_type"] not in shown] == []
    rows = json.loads(run("matrix", "-m", "options", "--json").out)
    assert [row["dataset"] for row in rows] == ["options_bvol_index", "options_eoh_summary"]


def test_symbols_are_those_that_the_archive_lists(ask):
    rows = ask("symbols", "--market", "futures_um")
    assert {"BTCUSDT", "ETHUSDT", "龙虾USDT"} <= {row["symbol"] for row in rows}


def test_symbols_are_narrowed_by_contract(ask):
    rows = ask("symbols", "-m", "futures_um", "--contract", "delivery")
    assert [row["symbol"] for row in rows] == ["BTCUSDT_250328"]


def test_datasets_say_what_the_lake_holds(ask):
    rows = {(row["zone"], row["dataset"]): row for row in ask("datasets")}
    assert rows["silver", "spot_klines"]["rows"] == 120
    assert rows["bronze", "spot_klines"]["files"] >= 4


def test_sql_gives_rows(ask):
    rows = ask("sql", "select symbol, count(*) as bars from silver.spot_klines group by all")
    assert rows == [{"symbol": "BTCUSDT", "bars": 120}]


def test_sql_takes_parameters(ask, run, pulled):
    text = "select count(*) as bars from silver.spot_klines_1h where symbol = "
    for words in ([f"{text}$s", "-p", "s=BTCUSDT"], [f"{text}?", "--param", "BTCUSDT"]):
        assert ask("sql", *words)[0]["bars"] == ask("sql", f"{text}'BTCUSDT'")[0]["bars"]
    wrong = run("sql", "select $a, ?", "-p", "a=1", "-p", "2", "--root", pulled)
    assert wrong.code == 2


def test_views_say_what_they_hold(ask, run, pulled):
    rows = {(row["schema"], row["view"]): row["holds"] for row in ask("views")}
    assert "a sum counts the same time once an interval" in rows["silver", "spot_klines"]
    assert ("silver", "options_eoh_summary") not in rows
    assert "silver.options_eoh_summary" in run("views", "--all", "--root", pulled).out


def test_sql_reads_standard_input(run, pulled, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("select 1 as one"))
    assert json.loads(run("sql", "-", "--json", "--root", pulled).out) == [{"one": 1}]


def test_sql_shows_a_table_and_says_when_it_is_cut(run, pulled):
    done = run("sql", "from range(100)", "--limit", 5, "--root", pulled)
    assert len(done.out.splitlines()) == 7
    assert "more rows" in done.out


def test_sql_without_a_result_prints_nothing(run, pulled):
    done = run("sql", "set threads = 1", "--root", pulled)
    assert (done.code, done.out) == (0, "")


def test_sql_writes_parquet(run, pulled, tmp_path):
    path = tmp_path / "out.parquet"
    done = run("sql", "from silver.spot_klines", "--output", path, "--root", pulled)
    assert (done.code, done.out) == (0, "")
    assert pl.read_parquet(path).height == 120


def test_sql_writes_no_format_it_does_not_know(run, pulled, tmp_path):
    done = run("sql", "select 1", "--output", tmp_path / "out.xlsx", "--root", pulled)
    assert done.code == 2
    assert ".parquet or .csv" in " ".join(done.err.replace("│", " ").split())


def test_describe_names_columns_with_unit_and_meaning(run, pulled):
    shown = run("describe", "spot", "klines", "--root", pulled)
    assert shown.code == 0
    assert "taker_buy_quote_volume" in shown.out


def test_quality_is_a_row_a_symbol_month(ask):
    rows = ask(
        "quality",
        "-m",
        "spot",
        "-i",
        "1h",
        "-s",
        "BTCUSDT",
        "--from",
        "2024-12-30",
        "--to",
        "2025-01-03",
    )
    assert len(rows) == 2


def test_status_tells_of_the_lake(run, pulled):
    done = run("status", "--root", pulled)
    assert done.code == 0
    assert done.out.strip()


def test_an_empty_lake_can_be_looked_at(run):
    for command in (["datasets"], ["status"], ["verify"], ["sql", "from silver.spot_klines"]):
        done = run(*command)
        assert done.code == 0, done.err


def test_quality_says_a_sentence_first_and_writes_a_page(run, pulled, tmp_path):
    page = tmp_path / "quality.html"
    asked = ("--market", "spot", "-i", "1h", "-s", "BTCUSDT", "--from", "2024-12", "--root", pulled)
    done = run("quality", *asked, "--page", page)
    assert done.code == 0, done.err
    assert "symbol-month" in done.out.splitlines()[0]
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_quality_fails_on_a_kind_that_occurs_and_on_no_other(run, pulled):
    asked = ("--market", "spot", "-i", "1h", "-s", "ETHUSDT", "--from", "2024-12", "--root", pulled)
    [row] = json.loads(run("quality", *asked, "--json").out)
    assert row["missing"] > 0
    assert run("quality", *asked, "--fail-on", "rejects,duplicates").code == 0
    assert run("quality", *asked, "--fail-on", "missing").code == 1
    assert run("quality", *asked, "--fail-on", "any", "--json").code == 1
    wrong = run("quality", *asked, "--fail-on", "mising")
    assert (wrong.code, "missing" in wrong.err) == (2, True)
