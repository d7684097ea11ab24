"""The s5cmd lines: wildcards that select exactly the planned files, names elsewhere."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from itertools import compress
from typing import NamedTuple

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.archive.periods import Days, parse_days
from cryptolake.planning.commands import Planned, lines, request_count, selectors

BUCKET = "data.binance.vision"
DAILY = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-"
MONTHLY = "data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-"


class Object(NamedTuple):
    """A zip that the archive has."""

    partition: str
    period: str
    move: bool
    sidecar: bool = True


def laid_out(objects: list[Object], strange: list[str], stems: dict[str, str]) -> list[Planned]:
    """Return what a plan gives to ``lines``."""
    listed = pl.DataFrame(
        [
            (n, 0, o.partition, o.period, 90 if o.sidecar else None, o.move)
            for n, o in enumerate(objects)
        ],
        schema={
            "row": pl.UInt32,
            "folder": pl.UInt32,
            "partition": pl.String,
            "period": pl.String,
            "checksum_size": pl.Int64,
            "move": pl.Boolean,
        },
        orient="row",
    )
    stem = pl.DataFrame(
        [(0, partition, stem) for partition, stem in stems.items()],
        schema={"folder": pl.UInt32, "partition": pl.String, "stem": pl.String},
        orient="row",
    )
    odd = pl.DataFrame(
        [(0, key) for key in strange], schema={"folder": pl.UInt32, "key": pl.String}, orient="row"
    )
    found = selectors(listed, stem, odd)
    selector = dict(found.iter_rows())
    counts = Counter(selector.values())
    moves = [(n, o) for n, o in enumerate(objects) if o.move and o.partition in stems]
    return sorted(
        Planned(
            f"{stems[o.partition]}{o.period}.zip",
            o.partition,
            o.period,
            o.sidecar,
            selector.get(n),
            counts[selector.get(n)],
        )
        for n, o in moves
    )


def keys_of(objects: list[Object], stems: dict[str, str]) -> set[str]:
    zips = {f"{stems[o.partition]}{o.period}.zip": o.sidecar for o in objects}
    return set(zips) | {f"{key}.CHECKSUM" for key, sidecar in zips.items() if sidecar}


def selected(commands: list[str], keys: set[str]) -> list[str]:
    """Return the keys that the lines copy, as s5cmd matches them (its ``?`` and ``*`` pass slashes)."""
    found: list[str] = []
    for command in commands:
        words = shlex.split(command)
        assert words.pop(0) == "cp"
        raw = words[0] == "--raw"
        if raw:
            words.pop(0)
        flat = words[0] == "--flatten"
        if flat:
            words.pop(0)
        patterns = []
        while words[0] == "--include":
            words.pop(0)
            patterns.append(words.pop(0))
        source, target = words
        key = source.removeprefix(f"s3://{BUCKET}/")
        if raw or not set(key) & set("*?"):
            assert target == key
            assert not flat
            found.append(key)
            continue
        assert target == key.rsplit("/", 1)[0] + "/"
        assert flat  # else a listed key with '..' would be written outside the target
        hits = [
            k
            for k in keys
            if matches(key, k) and (not patterns or any(matches(p, k) for p in patterns))
        ]
        assert hits, command
        found += hits
    return found


def matches(pattern: str, key: str) -> bool:
    regex = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(regex, key, re.DOTALL) is not None


some_days = [str(day) for day in parse_days("2023-12", "2024-02")]
some_months = [
    str(month)
    for month in Days(*(parse_days("2022", "2024").first, parse_days("2024").last)).months()
]
objects = st.one_of(
    st.builds(Object, st.just("daily"), st.sampled_from(some_days), st.booleans(), st.booleans()),
    st.builds(
        Object, st.just("monthly"), st.sampled_from(some_months), st.booleans(), st.booleans()
    ),
)
stretches = st.builds(
    lambda start, length, moving: [
        Object("daily", period, start + moving[0] <= n < start + moving[1])
        for n, period in enumerate(some_days[start : start + length], start)
    ],
    st.integers(0, 80),
    st.integers(1, 91),
    st.tuples(st.integers(0, 40), st.integers(0, 91)),
)
shelf = st.one_of(
    st.lists(objects, max_size=60, unique_by=lambda o: (o.partition, o.period)),
    stretches,
)
oddities = st.lists(
    st.sampled_from(
        [
            f"{DAILY}2024-1.zip",
            f"{DAILY}2024-01-01.zip.tmp",
            f"{DAILY}1993.zip",
            f"{MONTHLY}2023-5.zip",
            f"{MONTHLY}x",
        ]
    ),
    max_size=2,
    unique=True,
)
STEMS = {"daily": DAILY, "monthly": MONTHLY}


@given(shelf, oddities)
def test_the_lines_copy_exactly_the_planned_files_and_their_sidecars_once(
    shelf: list[Object], odd: list[str]
):
    rows = laid_out(shelf, odd, STEMS)
    wanted = keys_of([o for o in shelf if o.move], STEMS)
    found = selected(lines(rows, BUCKET), keys_of(shelf, STEMS) | set(odd))
    assert sorted(found) == sorted(wanted)
    assert request_count(rows) <= 2 * len(wanted)


@given(stretches, st.data())
def test_lines_for_some_of_the_files_copy_only_those(shelf: list[Object], data: st.DataObject):
    rows = laid_out(shelf, [], STEMS)
    chosen = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    some = list(compress(rows, chosen))
    wanted = {key for row in some for key in (row.key, f"{row.key}.CHECKSUM")}
    assert set(selected(lines(some, BUCKET), keys_of(shelf, STEMS))) == wanted


def test_a_whole_year_is_one_line_and_hardly_more_than_one_request_an_object():
    year = [Object("daily", str(day), move=True) for day in parse_days("2023")]
    rows = laid_out(year, [], STEMS)
    assert lines(rows, BUCKET) == [
        f"cp --flatten 's3://{BUCKET}/{DAILY}2023-*' '{DAILY.rsplit('/', 1)[0]}/'"
    ]
    assert request_count(rows) == 2 * 365 + 1


def test_a_part_of_a_month_is_one_line_with_patterns():
    days = [Object("daily", str(day), move=day.day <= 20) for day in parse_days("2024-01")]
    (line,) = lines(laid_out(days, [], STEMS), BUCKET)
    assert line == (
        "cp --flatten --include '*/BTCUSDT-1m-2024-01-0*' --include '*/BTCUSDT-1m-2024-01-1*' "
        f"--include '*/BTCUSDT-1m-2024-01-20.zip*' 's3://{BUCKET}/{DAILY}2024-01-*' "
        f"'{DAILY.rsplit('/', 1)[0]}/'"
    )


def test_a_strange_key_in_the_way_narrows_the_wildcard():
    days = [Object("daily", str(day), move=True) for day in parse_days("2024-01")]
    rows = laid_out(days, [f"{DAILY}2024-01-3.zip"], STEMS)
    assert {row.selector for row in rows} == {
        *(f"{DAILY}2024-01-{tens}" for tens in range(3)),
        *(f"{DAILY}2024-01-{day}.zip" for day in (30, 31)),
    }


def test_names_with_a_wildcards_signs_or_quotes_are_named_literally():
    stems = {"daily": "data/spot/daily/klines/A*'B/1m/A*'B-1m-"}
    rows = laid_out([Object("daily", "2024-01-01", move=True)], [], stems)
    commands = lines(rows, BUCKET)
    assert all(command.startswith("cp --raw ") for command in commands)
    assert [shlex.split(command)[-1] for command in commands] == sorted(
        keys_of([Object("daily", "2024-01-01", move=True)], stems)
    )


def test_destinations_may_lie_in_a_bucket():
    rows = laid_out([Object("daily", "2024-01-01", move=True)], [], STEMS)
    (line,) = lines(rows, BUCKET, into="s3://mine/lake/")
    assert shlex.split(line)[-1] == f"s3://mine/lake/{DAILY.rsplit('/', 1)[0]}/"
