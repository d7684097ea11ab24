"""Processes that are killed at random moments, four at once on one lake, while the archive changes.

``python -m tests.storm.storm [KILLS] [--seed N] [--seeds N] [--where disk|bucket]`` runs storms and prints what each
left behind: problems by kind, with the seed that found them.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from select import select
from typing import Any

import polars as pl

import cryptolake as cl
from tests.storm.publisher import LAKES, Publisher, options, rows_in, s3_server
from tests.storm.worker import QUERY, SYMBOLS

ROOT = Path(__file__).parents[2]
BUCKET = "data.binance.vision"
FIRST = date(2024, 3, 1)
BEGIN = 6
"""Days that are published when a storm begins."""
MOST = 45
AT_ONCE = 4
VERBS = ("pull", "pull", "build", "update", "update", "heal", "repair", "compact")
TABLES = ("files", "sources", "runs", "transfers", "quarantine", "rejects", "findings")


class Sky:
    """The archive that a storm goes on under: it adds days and rewrites files."""

    def __init__(self, publisher: Publisher, dice: random.Random) -> None:
        self._publisher, self._dice, self.days = publisher, dice, 0
        for _ in range(BEGIN):
            self.add_day()

    def add_day(self) -> None:
        day = FIRST + timedelta(self.days)
        self.days += 1
        for symbol in SYMBOLS:
            # Some files lack hours, so that there is something to heal.
            self._publisher.publish(symbol, day, hours=24 if self._dice.random() < 0.8 else 20)

    def change(self) -> None:
        """Add a day, rewrite a file, or both."""
        if self._dice.random() < 0.5 and self.days < MOST:
            self.add_day()
        if self._dice.random() < 0.6:
            day = FIRST + timedelta(self._dice.randrange(self.days))
            self._publisher.publish(self._dice.choice(SYMBOLS), day)


@dataclass
class Ground:
    """Where the lake of a storm is."""

    root: str
    url: str
    client: Any
    publisher: Publisher
    given: dict[str, Any] = field(default_factory=dict)

    def lake(self) -> cl.Lake:
        """The lake as a new process opens it."""
        source = cl.Archive(endpoint_url=self.url, region="us-east-1")
        return cl.Lake(self.root, source=source, storage_options=self.given or None)

    def files(self, below: str) -> dict[str, bytes]:
        """The files below a folder of the lake, read without cryptolake."""
        if not self.given:
            root = Path(self.root)
            found = [path for path in sorted((root / below).rglob("*")) if path.is_file()]
            return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}
        prefix = self.root.removeprefix(f"s3://{LAKES}/") + "/"
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=LAKES, Prefix=f"{prefix}{below}/"
        )
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {
            key.removeprefix(prefix): self.client.get_object(Bucket=LAKES, Key=key)["Body"].read()
            for key in keys
        }


@contextmanager
def ground(folder: Path, where: str) -> Iterator[Ground]:
    """Serve an archive that is empty yet; the lake is on a disk or in a bucket of the same server."""
    with s3_server() as (url, client):
        publisher = Publisher(client, url, BUCKET)
        root = f"s3://{LAKES}/storm" if where == "bucket" else str(folder / "lake")
        yield Ground(root, url, client, publisher, options(url) if where == "bucket" else {})


@dataclass
class Log:
    """What the processes of a storm came to."""

    killed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    words: list[str] = field(default_factory=list)
    """What those said that did not end well, each once."""


def storm(place: Ground, sky: Sky, kills: int, dice: random.Random) -> Log:
    """Start processes and kill most of them, until that many were killed."""
    log, running = Log(), list[_Process]()
    verbs = [verb for verb in VERBS if verb != "compact" or hasattr(cl.Lake, "compact")]
    changed = time.monotonic()
    while log.killed.total() < kills:
        while len(running) < AT_ONCE:
            running.append(_Process(place, dice.choice(verbs), dice))
        if time.monotonic() - changed > 0.4:
            sky.change()
            changed = time.monotonic()
        running = [process for process in running if not process.over(log)]
        time.sleep(0.01)
    for process in running:
        process.kill(log)
    return log


class _Process:
    """One worker, with the moment at which it is killed, counted from when it has opened the lake."""

    def __init__(self, place: Ground, verb: str, dice: random.Random) -> None:
        self.verb = verb
        self._lasts = dice.uniform(0.02, 1.5) if dice.random() < 0.85 else 60.0
        self._due: float | None = None
        command = [sys.executable, "-m", "tests.storm.worker", place.root, place.url, verb]
        command += [str(dice.randrange(1 << 30)), json.dumps(place.given)]
        self._child = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def over(self, log: Log) -> bool:
        """Whether it has ended, or was killed just now."""
        assert self._child.stdout is not None
        if self._due is None:
            if select([self._child.stdout], [], [], 0)[0]:
                self._child.stdout.readline()
                self._due = time.monotonic() + self._lasts
            return False
        if self._child.poll() is None:
            if time.monotonic() < self._due:
                return False
            self.kill(log)
            return True
        with self._child.stdout as out:
            said = out.read().strip()
        word = said.split(" ", 1)[0] or f"exit {self._child.returncode}"
        log.ended[f"{self.verb}: {word}"] += 1
        line = f"{self.verb}: {said}"
        if word != "done" and line not in log.words:
            log.words.append(line)
        return True

    def kill(self, log: Log) -> None:
        assert self._child.stdout is not None
        self._child.kill()
        self._child.wait()
        self._child.stdout.close()
        log.killed[self.verb] += 1


# ------------------------------------------------------------------------------------ what must hold after


def aftermath(place: Ground, folder: Path, log: Log) -> dict[str, str]:
    """Let one quiet pull and update finish the work; return what is wrong then, by kind."""
    checks: dict[str, Callable[[], str]] = {
        "a worker died of an untyped error": lambda: _untyped(log),
        "the quiet pull or update is not ok": lambda: _finish(place),
        "Bronze is not what its ledger says": lambda: ledger(place),
        "Bronze is not what the archive has": lambda: _bronze(place),
        "Silver is not what the archive's rows are": lambda: archive_rows(place),
        "Silver is not what a fresh build makes": lambda: fresh_build(place, folder),
        "a table cannot be read": lambda: _tables(place),
        "status, datasets, SQL and frames disagree": lambda: _counts(place),
        "a second run is not without work": lambda: _again(place),
    }
    problems = {}
    for kind, check in checks.items():
        try:
            found = check()
        except Exception as error:  # noqa: BLE001 - a lake that cannot be read is a problem like others
            found = f"{type(error).__module__}.{type(error).__name__}: {error}"
        if found:
            problems[kind] = found[:2000]
    return problems


def _untyped(log: Log) -> str:
    return "\n".join(words for words in log.words if not words.split(": ", 1)[1].startswith("said"))


def _finish(place: Ground) -> str:
    report = place.lake().pull(QUERY, progress=False, refresh=True)
    update = place.lake().update(progress=False)
    bad = [r for r in (report, update.report) if r is not None and not (r.ok and not r.quarantined)]
    return "\n".join(r.summary() for r in bad)


def ledger(place: Ground) -> str:
    held = place.files("bronze")
    sums = {
        path.removeprefix("bronze/"): sha256(data).hexdigest()
        for path, data in held.items()
        if path.endswith(".zip")
    }
    told = dict(place.lake().sql("select key, sha256 from meta.files").fetchall())
    return _differing(sums, told)


def _bronze(place: Ground) -> str:
    held = {path.removeprefix("bronze/"): data for path, data in place.files("bronze").items()}
    return _differing(held, place.publisher.held)


def _differing(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    lines = [f"only found: {key}" for key in sorted(set(found) - set(wanted))]
    lines += [f"lacking: {key}" for key in sorted(set(wanted) - set(found))]
    lines += [
        f"other: {key}" for key in sorted(wanted) if found.get(key, wanted[key]) != wanted[key]
    ]
    return "\n".join(lines)


def archive_rows(place: Ground) -> str:
    """Hold Silver against the rows of the archive's files, read by other means."""
    found: dict[str, list[tuple[int, float]]] = {symbol: [] for symbol in SYMBOLS}
    for path, data in sorted(place.files("silver").items()):
        frame = pl.read_parquet(data).select(pl.col("open_time").dt.epoch("ms"), "close")
        found[path.split("symbol=")[1].split("/")[0]] += list(frame.iter_rows())
    lines = []
    for symbol in SYMBOLS:
        true, mine = place.publisher.rows(symbol), found[symbol]
        if mine != true:
            days = Counter(t // 86_400_000 for t, _ in set(true) ^ set(mine))
            named = [f"{FIRST + timedelta(day - 19783)}" for day in sorted(days)]
            lines.append(f"{symbol}: {len(mine)} rows of {len(true)}; days that differ: {named}")
    return "\n".join(lines)


def fresh_build(place: Ground, folder: Path) -> str:
    """Build a new lake of the same Bronze files, served as an archive, and compare file by file."""
    bronze = {path.removeprefix("bronze/"): d for path, d in place.files("bronze").items()}
    copy = Publisher(place.client, place.url, f"bronze-copy-{secrets.token_hex(4)}")
    for key, data in bronze.items():
        if key.endswith(".zip"):
            copy.put(key, data)
    fresh = folder / copy.bucket
    source = cl.Archive(bucket=copy.bucket, endpoint_url=place.url, region="us-east-1")
    report = cl.Lake(fresh, source=source).pull(QUERY, progress=False)
    wanted = Ground(str(fresh), place.url, place.client, copy).files("silver")
    found = place.files("silver")
    lines = [_differing(dict.fromkeys(found), dict.fromkeys(wanted))]
    for path in sorted(set(found) & set(wanted)):
        mine, theirs = pl.read_parquet(found[path]), pl.read_parquet(wanted[path])
        if not mine.equals(theirs):
            sources = _sources_of(bronze, path)
            lines.append(f"{path}: {mine.height} rows, {theirs.height} fresh; Bronze has {sources}")
    lines.append("" if report.ok else report.summary())
    return "\n".join(line for line in lines if line)


def _sources_of(bronze: dict[str, bytes], path: str) -> int:
    """The rows that Bronze has for a Silver file."""
    symbol, month = path.split("symbol=")[1].removesuffix(".parquet").split("/")
    count = 0
    for key, data in bronze.items():
        if f"/{symbol}-" in key and key.endswith(".zip") and key[-14:-7] == month:
            with zipfile.ZipFile(BytesIO(data)) as archive:
                count += len(rows_in(archive.read(archive.namelist()[0]).decode()))
    return count


def _tables(place: Ground) -> str:
    lake = place.lake()
    for table in TABLES:
        lake.sql(f"select * from meta.{table}").fetchall()
    segments = {p: d for p, d in place.files("meta").items() if p.endswith(".parquet")}
    unreadable = []
    for path, data in segments.items():
        try:
            pl.read_parquet(data)
        except pl.exceptions.PolarsError as error:
            unreadable.append(f"{path}: {error}")
    return "\n".join(unreadable)


def _counts(place: Ground) -> str:
    lake = place.lake()
    status, datasets = lake.status(), lake.datasets().filter(pl.col("zone") == "silver")
    with warnings.catch_warnings():  # the query reaches further than what is published
        warnings.filterwarnings("ignore", "The published rows end", cl.IncompleteWarning)
        frame = lake.frame(QUERY, progress=False)
    counts = {
        "status": int(status["rows"].sum()),
        "datasets": int(datasets["rows"].sum()),
        "sql": lake.sql("select count(*) from silver.spot_klines").fetchall()[0][0],
        "silver": lake.silver(QUERY).collect().height,
        "frame": frame.height,
        "quality": int(lake.quality(QUERY)["rows"].sum()),
    }
    return "" if len(set(counts.values())) == 1 else f"rows: {counts}"


def _again(place: Ground) -> str:
    report = place.lake().pull(QUERY, progress=False)
    update = place.lake().update(progress=False)
    built = place.lake().build(progress=False)
    done = {
        "transferred": report.transferred,
        "adopted": report.adopted,
        "built by pull": report.built,
        "changed by update": update.changes.height,
        "built by build": built.built,
    }
    return "" if not any(done.values()) else f"{done}"


def run(folder: Path, where: str, kills: int, seed: int) -> tuple[Log, dict[str, str]]:
    """One storm and what it leaves behind."""
    dice = random.Random(seed)
    with ground(folder, where) as place:
        sky = Sky(place.publisher, random.Random(seed + 1))
        place.lake().pull(QUERY, progress=False)
        log = storm(place, sky, kills, dice)
        return log, aftermath(place, folder, log)


def main() -> None:
    """Run storms and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", nargs="?", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after another")
    parser.add_argument("--where", choices=["disk", "bucket"], default="disk")
    given = parser.parse_args()
    kinds: Counter[str] = Counter()
    for seed in range(given.seed, given.seed + given.seeds):
        with tempfile.TemporaryDirectory() as name:
            begun = time.monotonic()
            log, problems = run(Path(name), given.where, given.kills, seed)
        took = time.monotonic() - begun
        print(f"\n{given.where}, seed {seed}: {dict(log.killed)} killed in {took:.0f} s")
        print("ended:", dict(log.ended))
        print("\n".join(f"  {words}" for words in log.words))
        for kind, found in problems.items():
            kinds[kind] += 1
            print(f"PROBLEM {kind}:\n  " + found.replace("\n", "\n  "), flush=True)
    print("\nproblems by kind:", dict(kinds))


if __name__ == "__main__":
    main()
