"""The read side: SQL views in DuckDB and Polars frames over Bronze, still zipped, and Silver.

``filesystems`` shows DuckDB each zip as its CSV text, ``view_sql`` writes the views and ``duckdb_views``
makes them in a connection; ``polars_frames`` reads the same rows as frames. ``silver_files`` and
``inventory`` say what the lake holds, ``describe`` what a dataset's columns mean.
"""
