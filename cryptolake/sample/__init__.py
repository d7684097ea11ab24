"""A sample archive, made on this machine: every file format of the real one, and its defects."""

from __future__ import annotations

from cryptolake.sample.archive import DEFAULT_DAYS, SampleSummary, sample_archive
from cryptolake.sample.defects import Defect
from cryptolake.sample.injector import MANIFEST
from cryptolake.sample.instruments import Instrument

__all__ = ["DEFAULT_DAYS", "MANIFEST", "Defect", "Instrument", "SampleSummary", "sample_archive"]
