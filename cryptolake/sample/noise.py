"""Repeatable noise in integers: the same on every machine and with every version of Polars.

A number is hashed by plain integer arithmetic, so any value of any series can be had alone:
the trades of one day do not depend on which other days are made.
"""

from __future__ import annotations

import zlib

import polars as pl

_MASK = 0xFFFFFFFF
_PRIMES = (2_147_483_647, 2_147_483_629)
_HALF = 1 << 15


def stream(*words: object) -> int:
    """Return the number that names one series of noise.

    Examples
    --------
    >>> stream(0, "spot", "BTCUSDT") == stream(0, "spot", "BTCUSDT")
    True
    >>> stream(0, "spot", "BTCUSDT") == stream(1, "spot", "BTCUSDT")
    False
    """
    return zlib.crc32("/".join(map(str, words)).encode())


def bits(index: pl.Expr, series: int) -> pl.Expr:
    """Hash an integer column to 31 even bits (Int64, 0 to 2**31 - 1).

    Two rounds of multiplying, adding and squaring modulo a prime. Each step names the one before it only
    once, for Polars would work out a column as often as an expression names it.

    Examples
    --------
    >>> frame = pl.DataFrame({"index": range(3)})
    >>> frame.select(bits(pl.col("index"), 7)).to_series().dtype
    Int64
    """
    start = (series * 0x9E3779B1 + 0x7F4A7C15) & 0x7FFFFFFF
    mixed = index.cast(pl.Int64) % _PRIMES[0]
    for factor, prime in zip((1_103_515_245, 1_289_706_101), _PRIMES, strict=True):
        mixed = ((mixed * factor + start) % prime).pow(2) % prime
    return mixed


def below(index: pl.Expr, series: int, limit: int) -> pl.Expr:
    """Hash an integer column to numbers from 0 to ``limit - 1``."""
    return bits(index, series) % limit


def wave(time_ms: pl.Expr, series: int, period_ms: int, height: int) -> pl.Expr:
    """Return straight lines between random heights, one each ``period_ms``: from -height to height."""
    step, part = time_ms // period_ms, time_ms % period_ms
    left, right = (bits(step + ahead, series) // _HALF for ahead in (0, 1))
    level = (left * (period_ms - part) + right * part) // period_ms - _HALF
    return level * height // _HALF


def waves(time_ms: pl.Expr, series: int, periods: tuple[tuple[int, int], ...]) -> pl.Expr:
    """Add up waves of several ``(minutes, height)``: slow and high, quick and low."""
    parts = [
        wave(time_ms, (series + 7919 * number) & _MASK, minutes * 60_000, height)
        for number, (minutes, height) in enumerate(periods)
    ]
    return pl.sum_horizontal(parts)
