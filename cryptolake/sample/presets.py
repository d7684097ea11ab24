"""Named sample archives, for a notebook, a test or an example: ``cl.sample_lake(preset)`` opens a lake on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptolake.errors import unknown_word
from cryptolake.sample.archive import sample_archive

_RECENT = ("2024-12-01", "2025-03-03")
"""Three whole months, so that monthly fundingRate has them too, and days whose month is not out yet."""

_EARLIER = ("2024-06-01", "2024-11-30")
_BORDER = ("2024-12-30", "2025-01-03")
_MAIN = ("BTCUSDT", "ETHUSDT")
_PERPETUALS = ("BTCUSD_PERP", "ETHUSD_PERP")
_ALTCOINS = ("SOLUSDT", "BNBUSDT", "XRPUSDT", "ADAUSDT", "DOGEUSDT", "LINKUSDT")
_AWKWARD = ("ETHBTC", "1INCHUSDT", "1000SHIBUSDT", "龙虾USDT", "OMGUSDT", "OMGUSDTSETTLED")
_DATED = ("BTCUSDT_241227", "BTCUSDT_250328", "BTCUSD_250328")
_MANY = (*_MAIN, *_ALTCOINS, *_AWKWARD, *_DATED, *_PERPETUALS)
_KLINES = ("spot_klines", "futures_um_klines")
_ALL_KLINES = (*_KLINES, "futures_cm_klines")
_TRADES = ("spot_trades", "futures_um_trades")
_FUNDING = ("futures_um_funding_rate", "futures_um_metrics")

Part = Mapping[str, Any]
"""Arguments of one call of :func:`~cryptolake.sample.sample_archive`."""


def _part(datasets: Sequence[str], symbols: Sequence[str], days: object, **more: object) -> Part:
    return {"datasets": datasets, "symbols": symbols, "days": days, **more}


_DEFAULT = (
    _part(_KLINES, _MAIN, _RECENT, intervals=("1m", "1h")),
    _part((*_TRADES, *_FUNDING), _MAIN, _RECENT),
)
_RESEARCH = (
    *_DEFAULT,
    _part(_ALL_KLINES, _MANY, _EARLIER, intervals=("1h", "1d"), partitions=("monthly",)),
    _part(_KLINES, _MAIN, _RECENT, intervals=("1d",)),
    _part(_ALL_KLINES, _MANY[2:], _RECENT, intervals=("1h", "1d")),
    _part(_FUNDING, _ALTCOINS, _RECENT),
    _part(("futures_cm_funding_rate", "futures_cm_metrics"), _PERPETUALS, _RECENT),
    _part(
        (
            "futures_um_mark_price_klines",
            "futures_um_index_price_klines",
            "futures_um_premium_index_klines",
        ),
        _MAIN,
        _RECENT,
        intervals=("1h",),
    ),
    _part(("futures_cm_trades", "futures_cm_agg_trades"), _PERPETUALS, _BORDER),
    _part(("spot_agg_trades", "futures_um_agg_trades", "futures_um_book_depth"), _MAIN, _BORDER),
    _part(("options_bvol_index",), ("BTCBVOLUSDT",), ("2024-12-31", "2025-01-01")),
    _part(("options_eoh_summary",), _MAIN, ("2023-10-20", "2023-10-23")),
)

PRESETS: Mapping[str, Sequence[Part]] = {"default": _DEFAULT, "research": _RESEARCH}
"""What each preset writes, a part after the other."""


def parts_of(preset: str) -> Sequence[Part]:
    """Return what a preset writes.

    Raises
    ------
    InvalidQuery
        There is no such preset; the message names those there are.

    Examples
    --------
    >>> parts_of("reserch")
    Traceback (most recent call last):
    ...
    cryptolake.errors.InvalidQuery: unknown preset 'reserch'; did you mean 'research'? Choose from: default, research.
    """
    if preset not in PRESETS:
        raise unknown_word("preset", str(preset), PRESETS)
    return PRESETS[preset]


def write_parts(folder: Path, parts: Sequence[Part]) -> None:
    """Write a preset's files to a folder."""
    for part in parts:
        sample_archive(folder, **part)
