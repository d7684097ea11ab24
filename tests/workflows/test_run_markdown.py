"""The report of a run as Markdown."""

from __future__ import annotations

import polars as pl

from cryptolake.workflows.run_markdown import Collected, run_markdown


def test_the_coverage_of_a_symbol_is_a_row_that_a_page_of_prefect_shows():
    quality = pl.DataFrame(
        {
            "market": ["futures_um"] * 2,
            "data_type": ["klines", "metrics"],
            "interval": ["1h", None],
            "symbol": ["BTCUSDT"] * 2,
            "rows": [700, 10],
            "expected": [744, None],
            "missing": [44, None],
            "gaps": [2, None],
            "verdict": ["unknown 44, duplicates 1", "rejects 3"],
        }
    )
    text = run_markdown(Collected("/data/lake", quality=quality))
    table = text.partition("## Coverage")[2].strip().splitlines()
    assert [line.count(" | ") + 1 for line in table] == [8] * 4
    assert table[0].startswith("| dataset | symbol |")
    assert table[2].startswith(
        "| futures\\_um\\_klines 1h | BTCUSDT | 1 | 700 | 744 | 44 | 94.08 % |"
    )
    assert table[2].endswith("| unknown 44, duplicates 1 (2 gaps) |")
    assert table[3].endswith("| rejects 3 |")
