"""A lake's own files: bytes at a root, tables, and the layout of its paths."""
