"""Derived datasets: recipes, where they come from, and rebuilding only what changed."""
