"""What a call reads of the ledger: the keys that it is about, and all of them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.bronze.ledger import holdings, narrowed, scope_of, scope_of_keys, with_key_parts
from cryptolake.storage.files import open_storage
from cryptolake.storage.scope import EVERYTHING, Scope
from cryptolake.storage.tables import Meta, Snapshot

SYMBOLS = (
    "BTCUSDT",
    "BTCUSDT_240628",
    "BTCUSD",
    "ETHUSDT",
    "币安人生USDT",
    "1000SATSUSDT",
    "A[B]USDT",
)
KEYS = [
    f"data/{path}/{partition}/{data_type}/{symbol}/{middle}{symbol}-{name}-{period}.zip"
    for path in ("spot", "futures/um", "futures/cm")
    for partition, period in (("daily", "2024-03-09"), ("monthly", "2024-03"))
    for data_type, middle, name in (("klines", "1m/", "1m"), ("trades", "", "trades"))
    for symbol in SYMBOLS
]


@pytest.fixture(scope="module")
def meta(tmp_path_factory: pytest.TempPathFactory) -> Meta:
    found = Meta(open_storage(tmp_path_factory.mktemp("scope") / "lake"))
    found.append("files", [{"key": key, "size": 1, "event": "stored"} for key in KEYS])
    return found


def some(*words: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), max_size=3, unique=True)


@settings(max_examples=60, deadline=None)
@given(
    some("spot", "futures_um", "futures_cm", "options"),
    some("klines", "trades", "metrics"),
    some("BTCUSDT", "BTC*", "*USDT", "B?CUSD", "[BE]*", "ETHUSDT", "币安*", "*"),
)
def test_a_scope_leaves_out_nothing_that_a_query_means(
    meta: Meta, markets: list[str], types: list[str], symbols: list[str]
) -> None:
    query = cl.query()
    query = query.markets(markets) if markets else query
    query = query.data_types(types) if types else query
    query = query.symbols(symbols) if symbols else query
    whole = narrowed(with_key_parts(meta.ledger()), query)
    assert sorted(holdings(Snapshot(meta), query)["key"]) == sorted(whole["key"])


def test_a_query_for_a_symbol_reads_that_symbol(meta: Meta) -> None:
    query = cl.query().markets("spot").klines("1m").symbols("BTCUSDT")
    found = meta.ledger(scope=scope_of(query))
    assert sorted(found["key"]) == [
        key for key in sorted(KEYS) if "spot" in key and "/BTCUSDT/1m/" in key
    ]


def test_what_is_beside_a_key_is_in_both_partitions() -> None:
    (key,) = [key for key in KEYS if "um/daily/klines/ETH" in key]
    assert scope_of_keys(pl.Series([key])).covers(
        scope_of_keys(pl.Series([key.replace("daily", "monthly")]))
    )
    assert scope_of_keys(pl.Series([key, "x"])) == EVERYTHING


def test_many_prefixes_are_read_as_one_range_of_the_folder_above_and_no_others_are_kept_where_they_are_folders() -> (
    None
):
    keys = pl.DataFrame(
        {"key": [f"data/spot/daily/trades/{n:04}/x" for n in range(500)] + ["data/zzz"]}
    )
    scope = Scope.of(key.removesuffix("x") for key in keys["key"][:300])
    where = scope.where()
    assert where is not None
    assert keys.filter(where)["key"].to_list() == keys["key"][:300].to_list()
    assert len(str(where)) < 2000
    letters = Scope.of(key.removesuffix("/x") for key in keys["key"][:300])
    wide = letters.where()
    assert wide is not None
    assert len(str(wide)) < 1000
    assert keys.filter(wide)["key"].to_list() == keys["key"][:300].to_list()


def test_a_call_reads_once_what_it_is_about_and_again_what_is_wider(
    meta: Meta, monkeypatch
) -> None:
    reads: list[Scope] = []
    ledger = Meta.ledger

    def counted(
        self: Meta, where: pl.Expr | None = None, scope: Scope = EVERYTHING
    ) -> pl.DataFrame:
        reads.append(scope)
        return ledger(self, where, scope)

    monkeypatch.setattr(Meta, "ledger", counted)
    call = Snapshot(meta)
    wide = scope_of(cl.query().markets("spot").klines("1m").symbols("BTC*"))
    call.about(wide)
    narrow = scope_of(cl.query().markets("spot").klines("1m").symbols("BTCUSD"))
    assert call.ledger(scope=narrow).height == 2
    assert call.ledger(scope=wide).height == 6
    assert call.quarantined(narrow).is_empty()
    assert reads == [wide]
    assert call.ledger().height == len(KEYS)
    assert call.ledger(scope=narrow).height == 2
    assert reads == [wide, EVERYTHING]
    call.forget()
    assert call.ledger(scope=narrow).height == 2
    assert reads == [wide, EVERYTHING, wide]
