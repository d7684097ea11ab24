"""Bronze to Silver: archive zips become typed, sorted, checked Parquet months.

:mod:`cryptolake.bronze.zips` opens a zip within stated limits and :mod:`cryptolake.bronze.sniff` finds its
columns. ``parse`` types the text (once for a whole month; line by line only where a file is irregular),
``checks`` holds rows to the schema's rules, ``dedupe`` sorts and removes repeats, ``assembly`` accounts for
every line. ``normalize`` makes a month of whole files; ``stream``, with ``external_sort``, one that is too
big to hold. ``parquet`` writes the file, ``months`` says which files a month is made of, ``month`` makes one
month of a lake, ``records`` makes the rows of ``meta``, and ``build`` brings a lake's months up to date.

What happens to a line or a row, by rule (``meta.rejects`` has each rejected line with its file, number, text
and reason; ``meta.findings`` has a row for each file and kind):

========================  =================================================================================
rule                      what becomes of it
========================  =================================================================================
``line_too_long``         rejected: more bytes than ``Limits.max_line`` (64 KiB)
``nul_byte``              rejected
``not_text``              rejected: not UTF-8
``header_line``           rejected: a header among the rows
``wrong_column_count``    rejected: more or fewer cells than the file's first lines
``empty_cell``            rejected, where the schema does not allow it; else null
``unreadable_value``      rejected: a cell that is no number, time or boolean; ``unreadable_time`` (expiry,
                          strike_price): a derived value that cannot be made
``not_finite``            rejected: NaN or infinite
``price_not_positive``    rejected (``price_negative`` for options, which trade at 0)
``quantity_negative``     rejected
``high_below_low``        rejected: the row contradicts itself
``time_outside_period``   rejected: outside the file's day or month and ``Schema.tolerance``; all rows of a
                          file: the file is refused
``impossible_time``       rejected: another time of the row (``close_time``, ``event_time``) does not lie between
                          0001-01-02 and 9999-12-30, so that Python does not have it in each time zone
``wrong_symbol``          rejected: the row names another symbol; all rows: the file is refused
``schema_mismatch``       the file is refused: a required column is absent, or one is named twice
``unusable_file``         the file is refused: damaged zip, other bytes than verified, over a limit
blank lines               nothing; not counted
exact repeats             removed, counted as duplicates
conflicting_duplicates    one row kept (of the daily file before the monthly one's, else the first): finding
daily_monthly_disagree    the daily row kept: finding
filled_from_daily         rows that only daily files have: kept, finding
withdrawn_file            the archive withdrew a file that was here; other files have its rows: finding
odd_close_time            kept, finding: exchange halts leave such bars
off_grid_open_time        kept, finding: as above
closes_before_it_opens    kept, finding: as above
open_outside_range        kept, finding; also ``close_outside_range``, ``crossed_book``
trade_ids_reversed        kept, finding
id_reused                 kept, finding: one aggregate id names several trades
ids_out_of_order          kept, finding: running numbers fall while time rises, in a month made in pieces
mixed_time_units          read right, row by row; a warning in ``meta.sources``
extra or missing columns  kept as text, or null; a warning in ``meta.sources``
byte order mark, CR LF    read right; a warning in ``meta.sources`` where lines end in several ways
========================  =================================================================================
"""
