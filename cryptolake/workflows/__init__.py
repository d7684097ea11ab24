"""Workflows: a collection told by a configuration file, run by one call."""
