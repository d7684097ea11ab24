"""What the lake's data lacks, why, and how to mend it: gaps, causes, ids, sizes, cross-checks, healing."""
