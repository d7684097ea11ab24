"""The read side: DuckDB ``views`` and Polars ``frames`` over Bronze, still zipped, and Silver.

``zipfs`` shows DuckDB each zip as its CSV, ``viewdefs`` writes the views, ``duckfiles`` and ``rootfs``
let DuckDB reach any root, ``sharing`` has its threads read one file at once; ``inventory`` tells what is
held, ``describe`` what a dataset's columns mean.
"""
