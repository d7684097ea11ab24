"""Named sample archives, for a notebook, a test or an example: ``cl.sample_lake(preset)`` opens a lake on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptolake.errors import unknown_word
from cryptolake.sample.archive import sample_archive
from cryptolake.sample.research import HALTS, RESEARCH, RESEARCH_DAYS, research_symbols

if TYPE_CHECKING:
    from cryptolake.sample.instruments import Instrument

_RECENT = ("2024-12-01", "2025-03-03")
"""Three whole months, so that monthly fundingRate has them too, and days whose month is not out yet."""

_MAIN = ("BTCUSDT", "ETHUSDT")
_KLINES = ("spot_klines", "futures_um_klines")
_TRADES = ("spot_trades", "futures_um_trades")
_FUNDING = ("futures_um_funding_rate", "futures_um_metrics")

_SEVERAL = (*_MAIN, "SOLUSDT", "LTCUSDT", "ETHBTC", "1000SHIBUSDT")
_WINTER = ("2024-11-01", _RECENT[1])

_ONE_EACH = ("BTCUSDT", "BTCUSD_PERP", "BTCUSD", "BTCBVOLUSDT")
_STOPPED = (
    *("futures_um_book_ticker", "futures_cm_book_ticker", "futures_cm_liquidation_snapshot"),
    *("options_eoh_summary", "options_bvol_index"),
)

_NIGHTS = ("2025-01-29", "2025-02-03")

_QUARTER = ("2024-01-01", RESEARCH_DAYS[1])
_LATEST = "2024-03-30"
"""From when on the research archive has daily files beside the monthly ones."""

_QUOTED = ("2024-03-25", "2024-03-30")
"""The last days of futures_um bookTicker: trades of the same days lie beside its quotes."""

_ALL_KLINES = (*_KLINES, "futures_cm_klines")
_PRICES = tuple(
    f"futures_um_{kind}_klines" for kind in ("mark_price", "index_price", "premium_index")
)
_PAIRS = research_symbols(*_MAIN)
_PRICED = research_symbols(*_MAIN, "STXUSDT")
_EVENTFUL = research_symbols("JUPUSDT", "ANTUSDT", "CVCUSDTSETTLED")
_QUIET = tuple(one for one in RESEARCH if one not in _EVENTFUL)

Part = Mapping[str, Any]
"""Arguments of one call of :func:`~cryptolake.sample.sample_archive`."""


def _part(
    datasets: Sequence[str] | None,
    symbols: Sequence[str | Instrument],
    days: object,
    **more: object,
) -> Part:
    return {"datasets": datasets, "symbols": symbols, "days": days, **more}


_DEFAULT = (
    _part(_KLINES, _MAIN, _RECENT, intervals=("1m", "1h", "1d")),
    _part((*_TRADES, *_FUNDING), _MAIN, _RECENT),
)
_BARS = (
    _part(_KLINES, _SEVERAL, _WINTER, intervals=("1h", "1d"), daily_from="2025-02-01"),
    _part(_FUNDING[:1], _SEVERAL, _WINTER),
)
_DATASETS = (
    _part(None, _ONE_EACH, "2025-01-01", intervals=("1h",)),
    _part(("futures_um_funding_rate", "futures_cm_funding_rate"), _ONE_EACH, "2025-01"),
    _part(_STOPPED, _ONE_EACH, None, partitions=("daily",)),
)
_NIGHTLY = (
    _part(
        *(_KLINES, _MAIN, _NIGHTS),
        intervals=("1h",),
        partitions=("daily",),
        defects=("stale_checksum",),
    ),
)
_RESEARCH = (
    _part(_ALL_KLINES, _QUIET, RESEARCH_DAYS, intervals=("1h", "1d"), daily_from=_LATEST),
    # Days tell when a life begins and ends; the others' months are whole.
    _part(_KLINES, _EVENTFUL, RESEARCH_DAYS, intervals=("1h", "1d")),
    _part(_KLINES, _PAIRS, _QUARTER, intervals=("1m",), daily_from=_LATEST),
    _part(_TRADES, _PAIRS, _QUARTER, daily_from=_LATEST),
    _part(("futures_um_funding_rate", "futures_cm_funding_rate"), RESEARCH, RESEARCH_DAYS),
    _part(("futures_um_metrics",), _PRICED, _QUARTER),
    _part(_PRICES, _PRICED, _QUARTER, intervals=("1h",), daily_from=_LATEST),
    _part(("spot_agg_trades", "futures_um_agg_trades"), _PAIRS, _QUOTED),
    _part(("futures_um_book_ticker",), _PAIRS, _QUOTED),
    _part(("futures_um_book_depth",), research_symbols("BTCUSDT"), _QUOTED[1]),
    _part(("options_eoh_summary",), _MAIN, ("2023-10-20", "2023-10-23")),
)

PRESETS: Mapping[str, Sequence[Part]] = {
    "default": _DEFAULT,
    "bars": _BARS,
    "datasets": _DATASETS,
    "nightly": _NIGHTLY,
    "research": [{**part, "halts": HALTS} for part in _RESEARCH],
}
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
    cryptolake.errors.InvalidQuery: unknown preset 'reserch'; did you mean 'research'? Choose from: default, bars, datasets, nightly, research.
    """
    if preset not in PRESETS:
        raise unknown_word("preset", str(preset), PRESETS)
    return PRESETS[preset]


def write_parts(folder: Path, parts: Sequence[Part]) -> None:
    """Write a preset's files to a folder."""
    for part in parts:
        sample_archive(folder, **part)
