"""Pure facts of the archive: words, days, keys, the matrix, symbols and schemas."""
