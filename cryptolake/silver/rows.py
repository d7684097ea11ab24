"""``lake.silver``: the typed rows of a query, as Silver stores them or with the published decimals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.readers.polars_frames import silver_frame
from cryptolake.readers.unusable import warn_of_unusable

if TYPE_CHECKING:
    import polars as pl

    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query


def silver_rows(
    query: Query, lake: LakeContext, *, exact: bool = False, told: bool = False
) -> pl.LazyFrame:
    """Scan the rows of a query's days.

    Parameters
    ----------
    query, lake
        What to read, and of which lake.
    exact
        Make the rows from Bronze, with prices and quantities as they were published.
    told
        Whether the caller has warned already of published files that have no rows.
    """
    if not told:
        warn_of_unusable(lake, query)
    if not exact:
        return silver_frame(query, lake)
    from cryptolake.silver.decimals import exact_rows  # with it, the modules of a build

    return exact_rows(query, lake).lazy()
