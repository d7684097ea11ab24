"""Bronze: the ledger of verified zips, their verification, and how they are opened."""
