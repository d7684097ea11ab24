"""Aligned and explained data for research: when a row is known, panels, bars, joins, universes, hand-off."""
