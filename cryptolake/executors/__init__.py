"""Work of a lake on any ``concurrent.futures.Executor``: threads, processes, or a Dask cluster.

A call is cut into parts of whole symbol-months. Each part opens the lake by itself, wherever it runs; what is shared
is the lake. This package imports no cluster's library: an executor is what has ``submit``.
"""
