"""Symbols as objects: what a name says."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.archive.enums import Market
from cryptolake.archive.symbols import (
    CONTRACTS,
    Universe,
    Vocabulary,
    in_universe,
    is_glob,
    matching,
    split_symbol,
)

CASES = [
    ("spot", "BTCUSDT", "BTC", "USDT", "spot", None),
    ("spot", "1INCHUSDT", "1INCH", "USDT", "spot", None),
    ("spot", "USDCUSDT", "USDC", "USDT", "spot", None),
    ("spot", "TUSDUSDT", "TUSD", "USDT", "spot", None),
    ("spot", "BTCTUSD", "BTC", "TUSD", "spot", None),
    ("spot", "USDTTRY", "USDT", "TRY", "spot", None),
    ("spot", "USTUSDT", "UST", "USDT", "spot", None),
    ("spot", "BTCFDUSD", "BTC", "FDUSD", "spot", None),
    ("spot", "ADAEUR", "ADA", "EUR", "spot", None),
    ("spot", "ADABKRW", "ADA", "BKRW", "spot", None),
    ("spot", "ETHBTC", "ETH", "BTC", "spot", None),
    ("spot", "1000SATSTRY", "1000SATS", "TRY", "spot", None),
    ("spot", "龙虾USDT", "龙虾", "USDT", "spot", None),
    ("spot", "DOGEU", "DOGE", "U", "spot", None),
    ("spot", "UUSDT", "U", "USDT", "spot", None),
    ("futures_um", "BTCUSDT", "BTC", "USDT", "perpetual", None),
    ("futures_um", "BTCDOMUSDT", "BTCDOM", "USDT", "perpetual", None),
    ("futures_um", "1000SHIBUSDT", "1000SHIB", "USDT", "perpetual", None),
    ("futures_um", "ETHBTC", "ETH", "BTC", "perpetual", None),
    ("futures_um", "ETHBTC_231229", "ETH", "BTC", "delivery", date(2023, 12, 29)),
    ("futures_um", "BTCUSDT_260925", "BTC", "USDT", "delivery", date(2026, 9, 25)),
    ("futures_um", "BTCUSDT_269999", "BTC", "USDT", "delivery", None),
    ("futures_um", "BTCSTUSDTSETTLED", "BTCST", "USDT", "perpetual", None),
    ("futures_um", "LUNAUSDTSETTLEDSETTLED", "LUNA", "USDT", "perpetual", None),
    ("futures_cm", "BTCUSD_PERP", "BTC", "USD", "perpetual", None),
    ("futures_cm", "LUNAUSD_PERP_SETTLED2", "LUNA", "USD", "perpetual", None),
    ("futures_cm", "BTCUSD_240628", "BTC", "USD", "delivery", date(2024, 6, 28)),
    ("futures_cm", "BTCUSD", "BTC", "USD", "index", None),
    ("options", "BTCBVOLUSDT", "BTCBVOL", "USDT", "index", None),
    ("options", "BTCUSDT", "BTC", "USDT", "option", None),
]


@pytest.mark.parametrize(
    ("market", "name", "base", "quote", "contract", "expiry"), CASES, ids=lambda v: str(v)
)
def test_a_name_says(
    market: str, name: str, base: str, quote: str, contract: str, expiry: date | None
):
    split = split_symbol(market, name)
    assert (split.base, split.quote, split.contract, split.expiry) == (
        base,
        quote,
        contract,
        expiry,
    )
    assert split.settled == ("SETTLED" in name)


@given(st.sampled_from(Market), st.text(max_size=20))
def test_any_name_splits_without_losing_a_letter(market: Market, name: str):
    split = split_symbol(market, name)
    assert name.startswith(split.base + split.quote)
    assert split.contract in CONTRACTS


def test_a_universe_takes_in_by_quote_and_contract_and_leaves_out_by_glob():
    rule = Universe(quote=("USDT",), contract=("perpetual",), exclude=("BTC*", "ETHUSDT"))
    names = ["BTCUSDT", "BTCDOMUSDT", "ETHUSDT", "SOLUSDT", "SOLUSDC", "SOLUSDT_240628"]
    assert [name for name in names if in_universe(rule, "futures_um", name)] == ["SOLUSDT"]


def test_an_empty_universe_takes_in_everything():
    assert in_universe(Universe(), "spot", "ANYTHING")


def test_names_match_as_themselves_even_with_glob_signs_in_them():
    listed = ["A*B", "AXB", "BTCUSDT"]
    assert matching(listed, ("A*B",)) == ["A*B", "AXB"]
    assert matching(listed, ("BTCUSDT", "?X?")) == ["AXB", "BTCUSDT"]
    assert [is_glob(word) for word in ("A*", "A?", "[AB]", "AB")] == [True, True, True, False]


# ---------------------------------------------------------------------- what a listing teaches

BASES = ("BTC", "ETH", "SOL", "XRP", "ADA")


@pytest.mark.parametrize("market", ["spot", "futures_um"])
@pytest.mark.parametrize("quote", ["QQD", "X", "NUSDA", "GYEN"])
def test_a_suffix_that_known_bases_share_is_a_quote_asset(market: str, quote: str):
    listed = [f"{base}{end}" for base in BASES for end in ("USDT", quote)]
    known = Vocabulary.learn(market, listed)
    assert known.quotes == (quote,)
    split = split_symbol(market, f"XRP{quote}", known.quotes)
    assert (split.base, split.quote) == ("XRP", quote)


def test_what_two_names_share_or_unknown_bases_have_is_no_quote_asset():
    listed = [f"{base}USDT" for base in BASES]
    assert Vocabulary.learn("spot", [*listed, "BTCQQD", "ETHQQD"]).quotes == ()
    assert Vocabulary.learn("spot", [*listed, "AAQQD", "BBQQD", "CCQQD"]).quotes == ()


@given(
    st.lists(st.text("ABCDEFGHIJU", min_size=1, max_size=9), max_size=40), st.sampled_from(Market)
)
def test_learning_never_changes_what_the_table_splits(names: list[str], market: Market):
    listed = [*names, *(f"{name}USDT" for name in names)]
    known = Vocabulary.learn(market, listed)
    for name in listed:
        plain = split_symbol(market, name)
        taught = split_symbol(market, name, known.quotes)
        assert taught.base + taught.quote == plain.base + plain.quote
        if plain.quote:
            assert taught == plain


def test_a_quote_asset_that_the_rule_names_needs_no_table():
    rule = Universe(quote=("QQD",))
    names = ["BTCQQD", "BTCUSDT", "QQD"]
    assert [name for name in names if in_universe(rule, "spot", name)] == ["BTCQQD"]


@pytest.mark.parametrize(
    ("kinds", "kept"),
    [
        (("leveraged",), ["JUPUSDT", "SYRUPUSDT", "UPUSDT", "WIFUPUSDT", "FDUSDUSDT", "EURUSDT"]),
        (
            ("stable",),
            ["JUPUSDT", "SYRUPUSDT", "UPUSDT", "ETHUPUSDT", "ZZDOWNUSDT", "ZZUPUSDT", "WIFUPUSDT"],
        ),
        (("stable", "leveraged"), ["JUPUSDT", "SYRUPUSDT", "UPUSDT", "WIFUPUSDT"]),
    ],
)
def test_a_universe_leaves_out_kinds_of_bases(kinds: tuple[str, ...], kept: list[str]):
    """``WIFUP`` has no other side in the listing, ``ZZUP`` has."""
    names = ["JUPUSDT", "SYRUPUSDT", "UPUSDT", "ETHUPUSDT", "ZZDOWNUSDT", "ZZUPUSDT", "WIFUPUSDT"]
    names += ["FDUSDUSDT", "EURUSDT"]
    rule = Universe.model_validate({"leave_out": kinds})
    known = Vocabulary.learn("spot", names)
    assert [name for name in names if in_universe(rule, "spot", name, known)] == kept
