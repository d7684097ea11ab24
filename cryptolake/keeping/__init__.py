"""Keeping a lake: ``status`` (what is here), ``freshness`` (how far behind), ``update`` (catch up),
``audit`` (hash Bronze again)."""
