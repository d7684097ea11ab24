"""Numbers as the archive writes them: padded, of fixed width, or trimmed. Integer columns to text."""

from __future__ import annotations

import polars as pl


def fixed(value: pl.Expr, scale: int) -> pl.Expr:
    """Write an integer of ``10**-scale`` with exactly ``scale`` decimals.

    Examples
    --------
    >>> frame = pl.DataFrame({"ticks": [4341710, -5, 0]})
    >>> frame.select(fixed(pl.col("ticks"), 2)).to_series().to_list()
    ['43417.10', '-0.05', '0.00']
    """
    if scale == 0:
        return value.cast(pl.String)
    size = value.abs()
    sign = pl.when(value < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    whole = (size // 10**scale).cast(pl.String)
    part = (size % 10**scale).cast(pl.String).str.zfill(scale)
    return pl.concat_str(sign, whole, pl.lit("."), part)


def padded(value: pl.Expr, scale: int, decimals: int = 8) -> pl.Expr:
    """Write an integer of ``10**-scale`` with ``decimals`` decimals: zeros at the end, or cut off.

    Examples
    --------
    >>> pl.select(padded(pl.lit(9279205), 2)).item()
    '92792.05000000'
    >>> pl.select(padded(pl.lit(942152), 9)).item()
    '0.00094215'
    """
    ticks = value.cast(pl.Int64)
    if scale > decimals:
        return fixed(ticks // 10 ** (scale - decimals), decimals)
    # Zeros as text: a coin's volume times 10**8 is more than 64 bits hold.
    point = "" if scale or not decimals else "."
    return pl.concat_str(fixed(ticks, scale), pl.lit(point + "0" * (decimals - scale)))


def scientific(value: pl.Expr) -> pl.Expr:
    """Write an integer of ``1e-8`` as Java does: below a millionth, and zero, with an exponent.

    Examples
    --------
    >>> frame = pl.DataFrame({"value": [0, -1, 53, 100]})
    >>> frame.select(scientific(pl.col("value"))).to_series().to_list()
    ['0E-8', '-1E-8', '5.3E-7', '0.00000100']
    """
    tiny = value.cast(pl.String) + "E-8"
    small = fixed(value, 1) + "E-7"
    size = value.abs()
    return pl.when(size < 10).then(tiny).when(size < 100).then(small).otherwise(fixed(value, 8))


def trimmed(value: pl.Expr, scale: int) -> pl.Expr:
    """Write an integer of ``10**-scale`` without zeros at the end, but with one decimal at least.

    Examples
    --------
    >>> frame = pl.DataFrame({"ticks": [7815300, 7815290]})
    >>> frame.select(trimmed(pl.col("ticks"), 2)).to_series().to_list()
    ['78153.0', '78152.9']
    """
    if scale == 0:
        return value.cast(pl.String) + ".0"
    short = fixed(value, scale).str.strip_chars_end("0")
    return pl.when(short.str.ends_with(".")).then(short + "0").otherwise(short)


def flag(value: pl.Expr, *, capital: bool) -> pl.Expr:
    """Write a boolean: ``True`` in spot, ``true`` in futures."""
    yes, no = ("True", "False") if capital else ("true", "false")
    return pl.when(value).then(pl.lit(yes)).otherwise(pl.lit(no))


def clock(time_ms: pl.Expr) -> pl.Expr:
    """Write a time as ``YYYY-MM-DD HH:MM:SS``, without a zone."""
    return time_ms.cast(pl.Datetime("ms")).dt.to_string("%Y-%m-%d %H:%M:%S")
