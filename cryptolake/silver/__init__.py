"""Bronze to Silver: archive zips become typed, sorted, checked Parquet months.

``unzip`` opens a zip within stated limits, ``detect`` sees what its text is, ``parse`` types it (once for
a whole month; line by line only where a file is irregular), ``check`` holds rows to the schema's rules,
``merge`` sorts and removes repeats, ``normalize`` puts these together, ``stream`` does the same for
months too big to hold, ``write`` makes the Parquet file, and ``build`` brings a lake's months up to date.
"""
