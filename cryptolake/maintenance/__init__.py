"""Keeping a lake: ``status`` (here), ``freshness`` (behind), ``update`` (catch up), ``audit`` (hash)."""
