"""The options say what the API's verbs say."""

import pytest
import typer

import cryptolake as cl
from cryptolake.cli.options import how, scope, sentence
from cryptolake.errors import InvalidQuery


def test_options_make_the_sentence_that_the_verbs_make():
    said = sentence(
        market=["spot,futures_um"],
        interval=["1m", "1h"],
        symbol=["BTCUSDT", "eth*"],
        first="2024-01",
        last="2024-03-15",
    )
    query = cl.query().markets("spot", "futures_um").klines("1m", "1h").symbols("BTCUSDT", "ETH*")
    assert said == query.between("2024-01", "2024-03-15")


def test_one_day_option_stands_for_its_whole_period():
    assert sentence(first="2024-02") == cl.query().klines().between("2024-02-01", "2024-02-29")


def test_a_universe_is_said_by_its_parts():
    said = sentence(market=["spot"], quote=["USDT"], exclude=["*UP,*DOWN"], listed_on="2024-01-01")
    query = cl.query().markets("spot").klines()
    assert said == query.universe(quote="USDT", exclude=["*UP", "*DOWN"], listed_on="2024-01-01")


def test_words_replace_those_of_a_saved_query(tmp_path):
    saved = cl.query().markets("spot").data_types("aggTrades").symbols("BTCUSDT").between("2024-01")
    path = tmp_path / "query.json"
    path.write_text(saved.to_json())
    assert sentence(query_file=path) == saved
    assert sentence(query_file=path, symbol=["ETHUSDT"]) == saved.symbols("ETHUSDT")


def test_a_scope_without_words_is_everything():
    assert scope() is None
    assert scope(symbol=["BTCUSDT"]) == cl.query().klines().symbols("BTCUSDT")


def test_a_bad_word_fails_at_once_and_names_the_nearest():
    with pytest.raises(InvalidQuery, match="did you mean 'spot'"):
        sentence(market=["spott"])


def test_options_count_instead_of_the_profiles():
    made = how(profile="cost_optimized", option=["workers=8", "storage_class=", "backoff=0.5"])
    assert made["options"] == cl.TransferOptions.preset(
        "cost_optimized", workers=8, storage_class=None, backoff=0.5
    )


def test_flags_for_s5cmd_add_up():
    made = how(option=["s5cmd_args=--request-payer requester", "s5cmd_args=--no-verify-ssl"])
    assert made["options"].s5cmd_args == ("--request-payer", "requester", "--no-verify-ssl")


def test_open_days_are_said_in_three_ways_and_only_once():
    klines = cl.query().klines()
    assert sentence(first="2024-01", last="latest") == klines.since("2024-01")
    assert sentence(since="2024-01") == klines.since("2024-01")
    assert sentence(back="90d") == klines.last("90d")
    with pytest.raises(typer.BadParameter, match="say the days once"):
        sentence(first="2024-01", back="90d")
    with pytest.raises(typer.BadParameter, match="say the days once"):
        sentence(since="2024-01", back="90d")
