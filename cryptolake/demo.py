"""A lake to try things on: empty, its archive a sample on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from cryptolake.archive.source import Archive
from cryptolake.lake import Lake
from cryptolake.sample.presets import Part, parts_of, write_parts
from cryptolake.sample.server import require_moto, serve_archive


def sample_lake(preset: str = "default") -> AbstractContextManager[Lake]:
    """Open an empty lake whose archive is a sample, made here and served on loopback.

    The archive, its server and the lake live in a temporary folder, which is removed when the block ends.

    Parameters
    ----------
    preset
        ``"default"``: BTCUSDT and ETHUSDT in spot and futures_um; klines of 1m, 1h and 1d, trades, fundingRate
        and metrics from 2024-12-01 to 2025-03-03 (fundingRate, which is monthly, to 2025-02-28).
        ``"research"``: 30 perpetuals and their spot pairs, klines of 1h and 1d and fundingRate from
        2023-11-01 to 2024-04-02; 1m, trades, metrics, mark, index and premium prices of the largest from
        2024-01-01 on, bookTicker beside trades in March; a listing, a delisting, a settled contract,
        funding that changes its interval, a halt of spot (:mod:`cryptolake.sample.research`).

    Returns
    -------
    context manager
        Gives the :class:`~cryptolake.Lake`.

    Raises
    ------
    InvalidQuery
        There is no such preset.
    MissingTool
        moto, the ``demo`` extra, is not installed.

    Examples
    --------
    ::

        with cl.sample_lake() as lake:
            query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
            frame = lake.frame(query)
    """
    parts = parts_of(preset)
    require_moto()
    return _opened(parts)


@contextmanager
def _opened(parts: Sequence[Part]) -> Iterator[Lake]:
    with tempfile.TemporaryDirectory(prefix="cryptolake-sample-") as scratch:
        folder = Path(scratch)
        write_parts(folder / "archive", parts)
        with serve_archive(folder / "archive") as served:
            yield Lake(folder / "lake", source=Archive(endpoint_url=served.endpoint))
