"""One module a recipe: what is expected of it, as ``CASE``."""
