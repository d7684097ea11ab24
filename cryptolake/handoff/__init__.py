"""Frames in the shapes that backtesters read. No backtester is imported.

:func:`ohlcv` shapes klines for backtesting.py (a pandas frame per symbol) and for vectorbt and bt (wide),
:func:`nautilus` shapes bars, trades and quotes for nautilus_trader's wranglers, and :func:`hft_events` makes
hftbacktest's event array. They need ``pip install 'cryptolake[pandas]'``. ``notebooks/guide/handoff.md``
shows each with its backtester.
"""

from cryptolake.handoff.events import hft_events
from cryptolake.handoff.ohlcv_frames import ohlcv
from cryptolake.handoff.ticks import NautilusData, nautilus

__all__ = ["NautilusData", "hft_events", "nautilus", "ohlcv"]
