"""Charts of what the lake holds: ``lake.plot.candles(query)`` and its siblings.

A chart is a Vega-Lite specification, the grammar that ``polars.DataFrame.plot`` speaks through altair,
drawn to SVG and PNG by vl-convert inside the process: no script, browser or network is needed to see it.
"""

from cryptolake.plot.charts import Charts
from cryptolake.render.picture import Picture

__all__ = ["Charts", "Picture"]
