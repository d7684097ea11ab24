"""The notebook's widget: ``cl.picker(lake)`` makes a Query by mouse or keyboard.

ipywidgets and anywidget are imported when a picker is made, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.errors import missing_package

if TYPE_CHECKING:
    from cryptolake.lake import Lake
    from cryptolake.picker.widget import Picker
    from cryptolake.query import Query


def picker(lake: Lake, query: Query | None = None) -> Picker:
    """Return a widget that selects markets, data types, intervals, symbols and days.

    Making it does no I/O. Once shown, it lists the symbols of what is chosen. Plan, pull, build and preview
    run in background threads, so the kernel stays free.

    Parameters
    ----------
    lake
        The lake to plan for, pull into and preview from.
    query
        The query to begin with; hourly spot klines of last month when left out.

    Returns
    -------
    Picker
        ``picker.query`` is the query it holds, at any time; setting it moves the widget.

    Raises
    ------
    MissingTool
        ipywidgets or anywidget is not installed.

    Examples
    --------
    >>> import cryptolake as cl
    >>> asked = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2024-01")
    >>> picked = cl.picker(cl.Lake("/data/lake"), asked)
    >>> picked.query.selection.symbols
    ('BTCUSDT',)
    """
    try:
        from cryptolake.picker.widget import Picker
    except ImportError as error:
        if error.name not in ("anywidget", "ipywidgets", "traitlets"):
            raise
        raise missing_package("the picker", error.name, "notebook") from None
    return Picker(lake, query)


__all__ = ["picker"]
