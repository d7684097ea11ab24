"""Bronze to Silver: archive zips become typed, sorted, checked Parquet months.

:mod:`cryptolake.unzip` opens a zip within stated limits and :mod:`cryptolake.detect` sees what its text
is. ``parse`` types it (once for a whole month; line by line only where a file is irregular), ``check``
holds rows to the schema's rules, ``merge`` sorts and removes repeats, ``normalize`` puts these together,
``stream`` does the same for months too big to hold, ``write`` makes the Parquet file, ``make`` one month of
a lake, and ``build`` brings a lake's months up to date.
"""
