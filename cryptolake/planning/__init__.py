"""From a query to a Plan: which symbols, which files cover the days, where each stands, what it costs.

``planner`` does it, in this order: ``resolve`` (words to folders of the archive), ``cover`` (the cheapest files of a
range), ``status`` (cached, new, updated), ``commands`` (s5cmd's lines). ``plan`` is the value that comes out,
``serialization`` saves it and ``cards`` shows it; ``lockfile`` is the file that pins what a lake holds.
"""
