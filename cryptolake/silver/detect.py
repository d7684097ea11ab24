"""The name by which the normalizer knows :mod:`cryptolake.detect`, which the Bronze readers share."""

from cryptolake.detect import BOM, Layout, detect, is_header

__all__ = ["BOM", "Layout", "detect", "is_header"]
