"""A second reading of the archive's files, with Python's csv and zipfile and nothing of the toolkit.

What every column is called and how it is read is written down here once more, by hand, from the archive's
description, so that a mistake in the schemas shows.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def when(text: str) -> datetime:
    number = int(text)
    return EPOCH + timedelta(microseconds=number if number >= 10**14 else number * 1000)


def said(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


def flag(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def number(text: str) -> float | None:
    return float(text) if text else None


def interest(text: str) -> float | None:
    return float(text) or None


def asked(text: str) -> float | None:
    return None if not text or float(text) == -1e-8 else float(text)


Reader = Callable[[str], Any]
Columns = list[tuple[str, Reader | None]]


def klines(volume: str, quote: str, count: str, taker: str, taker_quote: str) -> Columns:
    return [
        ("open_time", when),
        ("open", float),
        ("high", float),
        ("low", float),
        ("close", float),
        (volume, float),
        ("close_time", when),
        (quote, float),
        (count, int),
        (taker, float),
        (taker_quote, float),
        ("ignore", None),
    ]


QUOTED = ("volume", "quote_volume")
TAKEN = ("taker_buy_volume", "taker_buy_quote_volume")
BASED = ("volume", "base_volume")
BASE_TAKEN = ("taker_buy_volume", "taker_buy_base_volume")
FUNDING: Columns = [("time", when), ("funding_interval_hours", int), ("funding_rate", float)]
AGGREGATES: Columns = [
    ("agg_trade_id", int),
    ("price", float),
    ("quantity", float),
    ("first_trade_id", int),
    ("last_trade_id", int),
    ("time", when),
    ("is_buyer_maker", flag),
]
BEST: Columns = [("is_best_match", flag)]
METRICS: Columns = [
    ("time", said),
    ("symbol", None),
    ("open_interest", interest),
    ("open_interest_value", interest),
    ("count_toptrader_long_short_ratio", number),
    ("sum_toptrader_long_short_ratio", number),
    ("count_long_short_ratio", number),
    ("sum_taker_long_short_vol_ratio", number),
]
DEPTH: Columns = [("time", said), ("percentage", float), ("depth", float), ("notional", float)]


def trades(value: str) -> Columns:
    return [
        ("trade_id", int),
        ("price", float),
        ("quantity", float),
        (value, float),
        ("time", when),
        ("is_buyer_maker", flag),
    ]


COLUMNS: dict[str, Columns] = {
    "spot/klines": klines(*QUOTED, "trades", *TAKEN),
    "spot/trades": trades("quote_quantity") + BEST,
    "spot/aggTrades": AGGREGATES + BEST,
    "futures/um/klines": klines(*QUOTED, "trades", *TAKEN),
    "futures/um/markPriceKlines": klines(*QUOTED, "samples", *TAKEN),
    "futures/um/indexPriceKlines": klines(*QUOTED, "samples", *TAKEN),
    "futures/um/premiumIndexKlines": klines(*QUOTED, "samples", *TAKEN),
    "futures/um/trades": trades("quote_quantity"),
    "futures/um/aggTrades": AGGREGATES,
    "futures/um/fundingRate": FUNDING,
    "futures/um/metrics": METRICS,
    "futures/um/bookDepth": DEPTH,
    "futures/um/bookTicker": [
        ("update_id", int),
        ("best_bid_price", float),
        ("best_bid_quantity", float),
        ("best_ask_price", float),
        ("best_ask_quantity", float),
        ("time", when),
        ("event_time", when),
    ],
    "futures/cm/klines": klines(*BASED, "trades", *BASE_TAKEN),
    "futures/cm/markPriceKlines": klines(*BASED, "samples", *BASE_TAKEN),
    "futures/cm/indexPriceKlines": klines(*BASED, "samples", *BASE_TAKEN),
    "futures/cm/premiumIndexKlines": klines(*BASED, "samples", *BASE_TAKEN),
    "futures/cm/trades": trades("base_quantity"),
    "futures/cm/aggTrades": AGGREGATES,
    "futures/cm/fundingRate": FUNDING,
    "futures/cm/metrics": METRICS,
    "futures/cm/bookDepth": DEPTH,
    "futures/cm/liquidationSnapshot": [
        ("time", when),
        ("side", str),
        ("order_type", str),
        ("time_in_force", str),
        ("original_quantity", float),
        ("price", float),
        ("average_price", float),
        ("order_status", str),
        ("last_fill_quantity", float),
        ("accumulated_fill_quantity", float),
    ],
    "option/BVOLIndex": [
        ("time", when),
        ("symbol", None),
        ("base_asset", str),
        ("quote_asset", str),
        ("index_value", float),
    ],
    "option/EOHSummary": [
        ("date", str),
        ("hour", str),
        ("option_symbol", str),
        ("underlying", str),
        ("option_type", str),
        ("strike", str),
        ("open", number),
        ("high", number),
        ("low", number),
        ("close", number),
        ("volume", number),
        ("quote_volume", number),
        ("best_bid_price", number),
        ("best_ask_price", number),
        ("best_bid_quantity", number),
        ("best_ask_quantity", number),
        ("best_buy_iv", asked),
        ("best_sell_iv", asked),
        ("mark_price", number),
        ("mark_iv", number),
        ("delta", number),
        ("gamma", number),
        ("vega", number),
        ("theta", number),
        ("open_interest", number),
        ("open_interest_value", number),
    ],
}

ORDER = {
    "trades": ("time", "trade_id"),
    "aggTrades": ("time", "agg_trade_id"),
    "bookTicker": ("time", "update_id"),
    "bookDepth": ("time", "percentage"),
    "EOHSummary": ("time", "option_symbol"),
}


def read_csv(path: Path) -> str:
    if path.suffix != ".zip":
        return path.read_text("utf-8")
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        return archive.read(name).decode("utf-8")


def dataset_of(key: str) -> str:
    """``spot/klines`` of ``data/spot/daily/klines/...``."""
    parts = key.split("/")
    place = next(n for n, part in enumerate(parts) if part in {"daily", "monthly"})
    return "/".join([*parts[1:place], parts[place + 1]])


def read_rows(path: Path, key: str) -> list[dict[str, Any]]:
    """Every row of a file under the names and in the order of Silver, exact repeats left out."""
    dataset = dataset_of(key)
    lines = [line for line in csv.reader(io.StringIO(read_csv(path))) if line]
    if not lines[0][0][:1].isdigit():
        lines = lines[1:]
    rows: list[dict[str, Any]] = []
    for line in lines:
        cells = zip(COLUMNS[dataset], line, strict=True)
        row = {name: read(cell) for (name, read), cell in cells if read is not None}
        if dataset == "option/EOHSummary":
            row["time"] = said(f"{row.pop('date')} {row.pop('hour')}:00:00")
            expiry, strike = row["strike"].split("-")
            row["expiry"] = date(2000 + int(expiry[:2]), int(expiry[2:4]), int(expiry[4:]))
            row["strike_price"] = float(strike)
        if row not in rows[-2:]:
            rows.append(row)
    kind = dataset.rsplit("/", 1)[1]
    order = ORDER.get(kind, ("open_time",) if kind.lower().endswith("klines") else ("time",))
    return sorted(rows, key=lambda row: tuple(row[name] for name in order))
