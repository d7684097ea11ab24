"""Keeping a lake: ``status`` (what is here), ``update`` (catch up), ``audit`` (hash again), ``locks`` and ``thaw``."""
