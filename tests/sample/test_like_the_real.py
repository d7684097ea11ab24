"""The sample beside the real files: the same columns, decimals, booleans, headers and units."""

import re
import zipfile
from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.archive.keys import parse_key
from cryptolake.sample.folder import ArchiveFolder

pytestmark = pytest.mark.real

DECIMAL = re.compile(r"-?\d+\.(\d+)")
KNOWN = re.compile("BTC|ETH")
WIDE = 8
MANY_ROWS = 20


def real_files(folder):
    """One real file of each dataset, interval, partition and year: its key, its text, what it is."""
    found: dict[object, tuple[Path, str, str]] = {}
    for tier in ("zips", "csv", "excerpts"):
        for path in sorted((folder / tier).rglob("*.*")):
            name = path.name.removesuffix(path.suffix)
            stem = name.removesuffix(".head").removesuffix(".tail").removesuffix(".excerpt")
            key = (path.relative_to(folder / tier).parent / f"{stem}.zip").as_posix()
            parts = parse_key(key)
            if parts is None or path.suffix not in (".zip", ".csv"):
                continue
            kind = "excerpt" if name.endswith(".excerpt") else "whole"
            found.setdefault(
                (*parts[:2], parts[3], parts.partition, key[-14:-10]), (path, key, kind)
            )
    return list(found.values())


def text_of(path):
    if path.suffix == ".csv":
        return path.read_text()
    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0]).decode()


def form(cell):
    """What a cell looks like: a whole number, a decimal, a word in its spelling, or nothing."""
    if re.fullmatch(r"-?\d+", cell):
        return "whole"
    if DECIMAL.fullmatch(cell):
        return "decimal"
    if re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", cell):
        return "date"
    if re.fullmatch(r"-?\d(\.\d)?E-\d", cell):
        return "scientific"
    return cell if cell.lower() in ("true", "false", '""') else "text"


def decimals(column):
    return {len(match[1]) for cell in column if (match := DECIMAL.fullmatch(cell))}


def split(text):
    lines = text.splitlines()
    head = [] if lines[0][:1].isdigit() else lines[:1]
    return head, [line.split(",") for line in lines[len(head) :]]


def columns(*tables):
    """The columns of two tables, side by side."""
    return zip(*(zip(*table, strict=True) for table in tables), strict=True)


def pairs(real_archive, root):
    """Each real file and the sample's file of the same key."""
    folder = ArchiveFolder(root)
    for path, key, kind in real_files(real_archive):
        parts = parse_key(key)
        assert parts is not None
        dataset = [(parts.market.value, parts.data_type.value)]
        interval = [parts.interval.value] if parts.interval else None
        last = parts.period.days.last
        first = parts.period.days.first if interval is None else last
        days = (first if parts.data_type == "fundingRate" else last, last)
        cl.sample_archive(
            root, datasets=dataset, symbols=[parts.symbol], intervals=interval, days=days
        )
        yield kind, key, split(text_of(path)), split(folder.read_text(key).decode())


@pytest.fixture(scope="module")
def compared(real_archive, tmp_path_factory):
    found = list(pairs(real_archive, tmp_path_factory.mktemp("like")))
    assert len(found) > 30
    return found


def test_the_columns_are_as_many(compared):
    for _, key, (_, real), (_, sample) in compared:
        assert {len(row) for row in sample} == {len(row) for row in real}, key


def test_the_headers_are_the_same(compared):
    for kind, key, (real, _), (sample, _) in compared:
        if kind == "whole" or real:
            assert sample == real, key


def test_the_cells_look_the_same(compared):
    for _, key, (_, real), (_, sample) in compared:
        for number, (there, here) in enumerate(columns(real, sample)):
            missing = {form(cell) for cell in there} - {form(cell) for cell in here}
            if not KNOWN.search(key):  # a made-up symbol has another lot size
                missing -= {"whole", "decimal"}
            assert not missing, (key, number, there[0], here[0])


def test_decimals_are_padded_or_trimmed_alike(compared):
    for _, key, (_, real), (_, sample) in compared:
        for number, (there, here) in enumerate(columns(real, sample)):
            wanted = decimals(there)
            known = KNOWN.search(key) and len(there) > MANY_ROWS
            if wanted == {WIDE} or (known and len(wanted) == 1):
                assert decimals(here) == wanted, (key, number, there[0], here[0])


def test_times_have_the_same_unit(compared):
    for _, key, (_, real), (_, sample) in compared:
        for there, here in columns(real, sample):
            if re.fullmatch(r"1\d{12}|1\d{15}", there[0]):
                assert len(here[0]) == len(there[0]), key
