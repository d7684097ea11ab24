"""Every defect that the sample archive can have, all at once, and every trace that the lake shows of it.

Run with ``-s`` to see the table: the defect injected, what is reported of its symbol-month.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.bronze.ledger import with_key_parts
from cryptolake.sample import Defect
from cryptolake.sample.server import serve_archive

DAYS = ("2024-12-01", "2025-01-08")
KINDS = {
    "klines": ["spot", "futures_um"],
    "trades": ["spot"],
    "aggTrades": ["futures_um"],
    "metrics": ["futures_um"],
}
NAME = ["market", "data_type", "symbol", "interval", "month"]
NOTHING: frozenset[str] = frozenset()

EXPECTED: dict[Defect, frozenset[str]] = {
    Defect.STALE_CHECKSUM: frozenset({"quarantined: stale_checksum"}),
    Defect.MISSING_CHECKSUM: frozenset({"verified: none_published"}),
    Defect.SIDECAR_NAMES_OTHER_FILE: frozenset({"quarantined: bad_sidecar"}),
    Defect.SIDECAR_WITHOUT_HASH: frozenset({"quarantined: bad_sidecar"}),
    Defect.TRUNCATED_ZIP: frozenset({"quarantined: corrupt_zip"}),
    Defect.TWO_MEMBERS: frozenset({"quarantined: corrupt_zip"}),
    Defect.MEMBER_PATH: frozenset({"quarantined: corrupt_zip"}),
    Defect.BOMB: frozenset({"quarantined: corrupt_zip"}),
    Defect.TINY_FILE: frozenset({"suspect_size", "gap: archive_gap (healed)"}),
    Defect.MISSING_DAILY_FILE: frozenset({"gap: not_published"}),
    Defect.WRONG_SYMBOL: frozenset({"quarantined: corrupt_zip"}),
    Defect.MONTHLY_LACKS_DAY: frozenset({"gap: archive_gap (healed)"}),
    Defect.MONTHLY_CUT_SHORT: frozenset({"gap: archive_gap (healed)"}),
    Defect.MONTHLY_DISAGREES: frozenset({"daily_monthly_disagree"}),
    Defect.ARCHIVE_GAP: frozenset({"gap: archive_gap (healed)"}),
    Defect.EXCHANGE_HALT: frozenset({"gap: not_published"}),  # of one symbol: others go on
    Defect.DOUBLED_ROWS: frozenset({"duplicates"}),
    Defect.INTERLEAVED_ROWS: NOTHING,  # the rows are all there: Silver is sorted
    Defect.UNSORTED_ROWS: NOTHING,
    Defect.HEADER_FLIP: NOTHING,
    Defect.HEADER_IN_MIDDLE: frozenset({"rejected: header_line"}),
    Defect.MIXED_UNITS: NOTHING,
    Defect.BLANK_CELLS: frozenset({"rejected: empty_cell"}),
    Defect.NON_FINITE_PRICE: frozenset({"rejected: not_finite"}),
    Defect.HIGH_BELOW_LOW: frozenset({"rejected: high_below_low"}),
    Defect.OUTSIDE_PERIOD: frozenset({"rejected: time_outside_period"}),
    Defect.NUL_BYTES: frozenset({"rejected: nul_byte"}),
    Defect.LONG_LINE: frozenset({"rejected: line_too_long"}),
    Defect.MIXED_LINE_ENDS: NOTHING,
    Defect.BOM: NOTHING,
    Defect.ID_GAP: frozenset({"id_hole"}),
    Defect.DUPLICATE_ID: frozenset({"id_repeat", "conflicting_duplicates"}),
}
"""What has to be told of each; of those with nothing, that no row is missing."""

WHERE_DAYS_ARE_LOST = {
    *(Defect.STALE_CHECKSUM, Defect.SIDECAR_NAMES_OTHER_FILE, Defect.SIDECAR_WITHOUT_HASH),
    *(Defect.TRUNCATED_ZIP, Defect.TWO_MEMBERS, Defect.MEMBER_PATH, Defect.BOMB),
    *(Defect.WRONG_SYMBOL, Defect.LONG_LINE, Defect.BLANK_CELLS, Defect.NON_FINITE_PRICE),
    *(Defect.HIGH_BELOW_LOW, Defect.NUL_BYTES, Defect.MISSING_DAILY_FILE),
}
"""Where no sibling is published, rows are missing besides."""


def queries() -> list[cl.Query]:
    found = []
    for data_type, markets in KINDS.items():
        query = cl.query().markets(markets).data_types(data_type).symbols("*").between(*DAYS)
        found.append(query.intervals("15m", "30m", "1h", "2h") if data_type == "klines" else query)
    return found


def traces(lake: cl.Lake) -> pl.DataFrame:
    """Return everything told of each symbol-month: its name, and the word."""
    month = pl.col("period").str.slice(0, 7).alias("month")
    meta, rows = lake.meta, []

    def keyed(frame: pl.DataFrame, word: pl.Expr) -> None:
        named = with_key_parts(frame.filter(pl.col("key").str.starts_with("data/")))
        rows.append(named.select(*NAME[:4], month, word.alias("word")))

    keyed(meta.read("quarantine").select("key", "reason"), pl.format("quarantined: {}", "reason"))
    keyed(meta.read("rejects").select("key", "rule"), pl.format("rejected: {}", "rule"))
    builds = meta.read("findings").filter(~pl.col("kind").is_in(["healed", "not_healed"]))
    keyed(builds.drop_nulls("key").select("key", "kind"), pl.col("kind"))
    unverified = meta.ledger().filter(verified="none_published")
    keyed(unverified.select("key"), pl.lit("verified: none_published"))
    for query in queries():
        gaps = lake.gaps(query)
        cause = pl.format("gap: {}", "cause") + pl.when("healed").then(
            pl.lit(" (healed)")
        ).otherwise(pl.lit(""))
        rows.append(gaps.select(*NAME, cause.alias("word")))
        quality = lake.quality(query)
        suspect = quality.filter(pl.col("suspect_size").list.len() > 0)
        rows.append(suspect.select(*NAME, pl.lit("suspect_size").alias("word")))
        rows.append(
            quality.filter(pl.col("duplicates") > 0).select(
                *NAME, pl.lit("duplicates").alias("word")
            )
        )
        if query.selection.data_types[0] in ("trades", "aggTrades"):
            ids = lake.ids(query)
            parts = [
                pl.col("path").str.extract(f"/{name}=([^/]+)/").alias(name) for name in NAME[:3]
            ]
            rows.append(
                ids.select(
                    *parts,
                    pl.lit(None, pl.String).alias("interval"),
                    pl.col("path").str.extract(r"/(\d{4}-\d{2})\.parquet$").alias("month"),
                    pl.col("kind").alias("word"),
                )
            )
    return pl.concat(rows).unique()


@pytest.mark.slow
def test_every_defect_of_the_sample_archive_leaves_the_trace_it_should(tmp_path, capsys):
    rows = [
        f"{market}_{data_type}"
        for data_type, markets in (
            ("klines", KINDS["klines"]),
            ("trades", ["spot"]),
            ("agg_trades", ["futures_um"]),
            ("metrics", ["futures_um"]),
        )
        for market in markets
    ]
    summary = cl.sample_archive(
        tmp_path / "archive",
        datasets=rows,
        symbols=["BTCUSDT", "ETHUSDT", "1000SHIBUSDT", "ETHBTC"],
        intervals=["15m", "30m", "1h", "2h"],
        days=DAYS,
        defects=["all"],
    )
    with serve_archive(tmp_path / "archive", bucket="all-defects") as served:
        source = cl.Archive(bucket="all-defects", endpoint_url=served.endpoint)
        lake = cl.Lake(tmp_path / "lake", source=source)
        for query in queries():
            # The whole month by its monthly file, and its days by theirs: both trees are seen.
            lake.pull(query, progress=False)
            lake.pull(query.between("2024-12-01", "2024-12-30"), progress=False)
            lake.heal(query, progress=False)
        told = traces(lake)
    table, wrong = [], []
    for line in with_key_parts(summary.manifest).iter_rows(named=True):
        defect = Defect(line["defect"])
        if line["market"] is None:
            continue  # keys that are none: nothing of them is in the lake
        mine: dict[str, Any] = {name: line[name] for name in NAME[:4]}
        same = pl.all_horizontal(pl.col(n).eq_missing(pl.lit(v)) for n, v in mine.items())
        words = set(told.filter(same & (pl.col("month") == line["period"][:7]))["word"])
        table.append(
            (defect.value, line["key"].rsplit("/", 1)[1], ", ".join(sorted(words)) or "whole")
        )
        expected = EXPECTED[defect]
        if defect is Defect.EXCHANGE_HALT and not line["rows"]:
            expected = NOTHING  # a halt shorter than the bar: no bar is missing
        lost = {word for word in words - expected if word.startswith("gap: ")}
        if not expected <= words or (lost and defect not in WHERE_DAYS_ARE_LOST):
            wrong.append((defect.value, line["key"], sorted(words)))
    with capsys.disabled():
        print()
        for word, file, reported in sorted(table):
            print(f"{word:25} {file:34} {reported}")
    assert wrong == []
    assert {defect for defect, *_ in table} == set(EXPECTED)
