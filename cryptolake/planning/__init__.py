"""From a query to a Plan: which symbols, which files cover the days, where each stands, what it costs.

``make`` does it, in this order: ``targets`` (words to folders of the archive), ``cover`` (the cheapest
files of a range), ``standing`` (cached, new, updated), ``commands`` (s5cmd's lines). ``plan`` is the value
that comes out, ``file`` and ``text`` save and print it.
"""
