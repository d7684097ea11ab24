"""The page of words has each word of the code: causes, statuses, faults, routes, kinds and columns, once; what links to it arrives."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import cryptolake as cl
from cryptolake import report
from cryptolake.archive.lives import STATES
from cryptolake.archive.schemas import load_schemas
from cryptolake.bronze.verify import REASONS as QUARANTINED
from cryptolake.bronze.verify import Policy, Proof
from cryptolake.maintenance.audit import _ORDER, AUDIT
from cryptolake.maintenance.update import CHANGES
from cryptolake.planning.cover import REASONS
from cryptolake.planning.serialization import FILES as PLANNED
from cryptolake.quality.causes import CAUSES
from cryptolake.quality.repair import HEALED, _told
from cryptolake.quality.report import GAPS, QUALITY
from cryptolake.quality.verdict import _FINDINGS, TOLD
from cryptolake.silver.month import Status as MonthStatus
from cryptolake.transfer.faults import Fault
from cryptolake.transfer.recorder import STATUSES
from cryptolake.transfer.routing import WORDS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "notebooks" / "guide"
CHECKS = [check for schema in load_schemas().values() for check in schema.checks]

SAID: dict[str, Iterable[str]] = {
    "Routes": (*WORDS, "donor"),
    "Files in a plan": ("new", "updated", "cached", "unrecorded", "quarantined", *PLANNED),
    "Periods that are missing": REASONS,
    "Files in a report": (
        *(status for status in STATUSES if status != "waiting"),
        *(*get_args(Proof), *get_args(Fault), *report.FILES),
    ),
    "Quarantine": QUARANTINED.values(),
    "Months in a report": (*get_args(MonthStatus), "missing", *report.MONTHS),
    "Runs": (*get_args(report.State), "running", "lost"),
    "Files that verify looks at": (*_ORDER, *AUDIT),
    "Causes of gaps": GAPS,
    "Quality": QUALITY,
    "Findings": (*_FINDINGS, *TOLD, *(one.rule for one in CHECKS if one.action == "flag")),
    "Rows that are refused": [one.rule for one in CHECKS if one.action == "reject"],
    "Outcomes of heal": HEALED,
    "Reasons of an update": CHANGES,
    "Lives of symbols": STATES,
}
"""By section of the page, the words that the code says."""


def told(name: str) -> dict[str, set[str]]:
    """Return the words in code in the first cells of each section's tables."""
    parts = re.split(r"^## (.+)$", (GUIDE / f"{name}.md").read_text("utf-8"), flags=re.MULTILINE)
    rows = re.compile(r"^\| (.+?) \|", flags=re.MULTILINE)
    return {
        title: {word for cell in rows.findall(text) for word in re.findall(r"`([\w ]+)`", cell)}
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the site makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


def test_the_page_has_each_word_of_the_code():
    words = told("words")
    assert {
        name: {*said} - words[name] for name, said in SAID.items() if {*said} - words[name]
    } == {}
    assert set(CAUSES) == told("gaps")["Causes"]
    assert set(get_args(Policy)) <= set(
        re.findall(r"`(\w+)`", (GUIDE / "words.md").read_text("utf-8"))
    )


def test_the_outcomes_of_heal_are_those_that_it_says():
    outcomes = told("words")["Outcomes of heal"] - set(HEALED)
    assert {outcome: _told(outcome, []) for outcome in outcomes}


def test_a_page_of_the_guide_that_a_docstring_names_is_there():
    named: set[Any] = set()
    for path in Path(cl.__file__).parent.rglob("*.py"):
        named |= set(
            re.findall(r"notebooks/guide/(\w+\.md)(?:#([\w-]+))?", path.read_text("utf-8"))
        )
    absent = {
        (page, anchor)
        for page, anchor in named
        if not (GUIDE / page).is_file() or (anchor and anchor not in anchors(GUIDE / page))
    }
    assert named
    assert absent == set()
