"""Every fault against every operation: does it give the right rows, say what is wrong, or neither?

``python -m tests.storm.matrix`` prints the matrix as a Markdown table, and the errors behind its cells;
names of faults or of operations as arguments choose among them.

A lake holds two days of two symbols in Silver and a third day in Bronze only; the archive has a fourth.
So ``build`` has a month to build again, and ``pull``, ``frame`` and ``update`` have a day to fetch. One file of
the first symbol, or one of the lake's own, is then damaged. A cell is one operation on one such lake:

========== ==========================================================================================
``right``  the rows (or counts of rows, or the files to move) are the true ones
``said``   they are not, and it is said: a typed error, a warning to the user, a report that is not
           ok, a row of ``verify`` that names the file
``silent`` wrong or missing rows, and nothing is said
``raw``    an error outside the tree of ``CryptolakeError``
``stops``  a question about the other symbol alone, which nothing is wrong with, is refused
by verify  other values are read from a Silver file of which one bit was flipped. A read cannot see that
           without hashing each file; DESIGN.md gives it to ``verify``, which names the file here. No
           other fault and no other operation has this verdict, and without ``verify`` it is ``silent``
========== ==========================================================================================
"""

from __future__ import annotations

import argparse
import hashlib
import io
import secrets
import shutil
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

import cryptolake as cl
from tests.storm.publisher import Publisher, Row, csv_of, key_of, rows_in, s3_server, zip_of
from tests.transfer.archives import zipped

HURT, OTHER = "BTCUSDT", "ETHUSDT"
BUILT, STORED, PUBLISHED = 2, 3, 4
"""Days that Silver holds, that Bronze holds, that the archive has."""
DAYS = [date(2024, 3, day + 1) for day in range(PUBLISHED)]
KEY = key_of(HURT, DAYS[1])
MEMBER = KEY.rsplit("/", 1)[1].replace(".zip", ".csv")
QUERY = (
    cl.query().markets("spot").klines("1h").symbols(HURT, OTHER).between("2024-03-01", "2024-03-04")
)
SILVER = f"silver/market=spot/data_type=klines/interval=1h/symbol={HURT}/2024-03.parquet"
BAD = frozenset({"silent", "raw", "stops"})
BY_VERIFY = {"silver: flipped byte": frozenset({"silver", "sql"})}
"""Operations that read a fault which only hashing shows: ``verify`` has to name the file."""

Rows = dict[str, list[Row]]
Damage = Callable[[Path], None]


# ------------------------------------------------------------------------------------------------ faults


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. ``plant`` damages a lake's folder; ``published`` is what the archive has."""

    name: str
    plant: Damage = lambda root: None
    published: bytes | None = None
    usable: bool = True
    """Whether the archive's file, which its CHECKSUM confirms, can be read as that day."""
    resized: bool = False
    """Whether the Bronze file differs in what a directory listing shows."""

    @property
    def zone(self) -> str:
        return self.name.split(":", 1)[0]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _junk(path: Path) -> None:
    path.write_bytes(b"hello " * 100)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nonexistent/file")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _flip_other_rows(path: Path) -> None:
    """Flip a bit of a Parquet file such that other prices are read from it without an error."""
    # DuckDB reads the trials: Polars panics on some of them, and prints a stack.
    prices = f"select list(close) from read_parquet('{path}')"
    where = (
        "select data_page_offset, total_compressed_size"
        f" from parquet_metadata('{path}') where path_in_schema = 'close'"
    )
    data = path.read_bytes()
    with duckdb.connect() as connection:
        real = connection.sql(prices).fetchall()
        start, size = connection.sql(where).fetchall()[0]
        for at in range(start + size // 2, start + size):
            spoiled = bytearray(data)
            spoiled[at] ^= 0x20
            path.write_bytes(spoiled)
            try:
                if connection.sql(prices).fetchall() != real:
                    return
            except duckdb.Error:
                continue
    message = "no flip is read as other rows"
    raise AssertionError(message)


def _flip_unreadable(path: Path) -> None:
    """Flip a bit of a Parquet file's footer such that the file cannot be read."""
    data = path.read_bytes()
    for at in range(len(data) - 9, 0, -1):
        spoiled = bytearray(data)
        spoiled[at] ^= 0x80
        path.write_bytes(spoiled)
        try:
            pl.read_parquet(path)
        except pl.exceptions.PolarsError:
            return
    message = "no flip makes the file unreadable"
    raise AssertionError(message)


def _one_more_column(path: Path) -> None:
    pl.read_parquet(path).with_columns(added_later=pl.lit("x")).write_parquet(path)


def _other_types(path: Path) -> None:
    frame = pl.read_parquet(path)
    times = pl.selectors.datetime().dt.cast_time_unit("ns")
    numbers = pl.selectors.integer().cast(pl.String) + pl.lit(" units")
    frame.with_columns(times, numbers, added_later=pl.lit(2)).write_parquet(path)


def _compressed(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(MEMBER, csv_of(HURT, DAYS[1]))
    return buffer.getvalue()


def _in_bronze(damage: Damage) -> Damage:
    return lambda root: damage(root / "bronze" / KEY)


def _segment(table: str, damage: Damage) -> Damage:
    """Damage the oldest segment of one of the lake's tables.

    What is wrong with a file may be said once a process and path, so each has a name of its own. Where a
    name ends in a hash of the bytes, a segment that another release wrote whole has the hash of its bytes.
    """

    def plant(root: Path) -> None:
        path = sorted((root / "meta" / table).glob("*.parquet"))[0]
        stamp, _, *rest = path.stem.split("-")
        hashed = hashlib.sha256(path.read_bytes()).hexdigest()
        damage(path)
        if rest and hashed.startswith(rest[0]) and damage in {_one_more_column, _other_types}:
            rest = [hashlib.sha256(path.read_bytes()).hexdigest()[: len(rest[0])]]
        path.rename(path.with_name("-".join([stamp, secrets.token_hex(4), *rest]) + ".parquet"))

    return plant


def _listing(damage: Damage) -> Damage:
    def plant(root: Path) -> None:
        cached = [path for path in (root / "meta" / "listings").rglob("*") if path.is_file()]
        mine = [path for path in cached if HURT in path.as_posix()]
        for path in mine or cached:
            damage(path)

    return plant


_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore\n"
)
_SEGMENTS: dict[str, Damage] = {
    "flipped": _flip_unreadable,
    "truncated": _cut,
    "empty": _empty,
    "junk": _junk,
    "directory": _directory,
    "dangling link": _dangling,
    "one more column": _one_more_column,
    "newer version": _other_types,
}
TABLES = ("files", "sources", "runs")


def _faults() -> Iterator[Fault]:
    bronze, silver = "bronze: ", "silver: "
    yield Fault(bronze + "flipped byte", lambda root: _flip(root / "bronze" / KEY))
    damages: dict[str, Damage] = {
        "cut": _cut,
        "emptied": _empty,
        "removed": Path.unlink,
        "dangling link": _dangling,
        "directory in its place": _directory,
        "link that loops": _loop,
    }
    for name, damage in damages.items():
        yield Fault(bronze + name, _in_bronze(damage), resized=True)
    text = csv_of(HURT, DAYS[1])
    other = zipped(MEMBER.replace("-02.", "-01."), csv_of(HURT, DAYS[0]))
    published = "published: "
    yield Fault(published + "bzip2", published=_compressed(zipfile.ZIP_BZIP2), usable=False)
    yield Fault(published + "another day's CSV", published=other, usable=False)
    utf16 = zipped_bytes(MEMBER, text.encode("utf-16"))
    yield Fault(published + "UTF-16", published=utf16, usable=False)
    yield Fault(published + "empty CSV", published=zip_of(KEY, ""), usable=False)
    yield Fault(published + "header only", published=zip_of(KEY, _HEADER))
    yield Fault(silver + "flipped byte", lambda root: _flip_other_rows(root / SILVER))
    yield Fault(silver + "cut", lambda root: _cut(root / SILVER))
    yield Fault(silver + "emptied", lambda root: _empty(root / SILVER))
    yield Fault(silver + "removed", lambda root: (root / SILVER).unlink())
    for table in TABLES:
        for name, damage in _SEGMENTS.items():
            yield Fault(f"meta {table}: {name}", _segment(table, damage))
    yield Fault("listing: junk", _listing(_junk))
    yield Fault("listing: truncated", _listing(_cut))


def zipped_bytes(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (2024, 1, 2, 0, 30, 0)), data)
    return buffer.getvalue()


FAULTS = {fault.name: fault for fault in _faults()}


# -------------------------------------------------------------------------------------------- operations


@dataclass
class Case:
    """One damaged lake, and what is true of it."""

    root: Path
    fault: Fault
    publisher: Publisher
    lake: cl.Lake

    def truth(self, days: int) -> Rows:
        """The rows of that many days that the archive's usable files hold."""
        return {symbol: self.publisher.rows(symbol, DAYS[days - 1]) for symbol in (HURT, OTHER)}

    def whole(self, rows: Rows, days: int) -> bool:
        """Whether these rows are all that the archive means to publish."""
        return self.fault.usable and rows == self.truth(days)

    def silver(self) -> Rows:
        """The rows of the Silver files that can be read, without cryptolake."""
        return silver_rows(self.root)

    def zips(self) -> int:
        """How many zips Bronze holds."""
        return sum(1 for _ in (self.root / "bronze").rglob("*.zip"))


def silver_rows(root: Path) -> Rows:
    found: Rows = {HURT: [], OTHER: []}
    for path in sorted((root / "silver").rglob("*.parquet")):
        try:
            frame = pl.read_parquet(path, columns=["open_time", "close"])
        except (OSError, pl.exceptions.PolarsError):
            continue
        symbol = path.parent.name.removeprefix("symbol=")
        found[symbol] = found.get(symbol, []) + _pairs(frame)
    return found


def _pairs(frame: pl.DataFrame) -> list[Row]:
    return [
        (int(when.timestamp()) * 1000, price)
        for when, price in frame.select("open_time", "close").iter_rows()
    ]


def _by_symbol(frame: pl.DataFrame) -> Rows:
    return {
        symbol: _pairs(frame.filter(pl.col("symbol").cast(pl.String) == symbol))
        for symbol in (HURT, OTHER)
    }


Answer = tuple[bool, bool]
"""Whether the rows are right, and whether something is said."""


def _told(report: Any) -> bool:
    return report is not None and bool(not report.ok or report.failed or report.quarantined)


def _plan(case: Case) -> Answer:
    plan = case.lake.plan(QUERY, progress=False)
    moving = set(plan.files.filter(pl.col("status").is_in(["new", "updated"]))["key"])
    if plan.to_transfer != len(moving):  # a status with another name: count it as to be moved
        moving = set(plan.files.filter(pl.col("status") != "cached")["key"])
    wanted = {key_of(HURT, DAYS[-1]), key_of(OTHER, DAYS[-1])}
    if case.fault.resized:
        wanted.add(KEY)
    return wanted <= moving and plan.files.height == 2 * PUBLISHED, False


def _pull(case: Case) -> Answer:
    report = case.lake.pull(QUERY, progress=False)
    return case.whole(case.silver(), PUBLISHED), _told(report)


def _build(case: Case) -> Answer:
    report = case.lake.build(progress=False)
    return case.whole(case.silver(), STORED), _told(report)


def _update(case: Case) -> Answer:
    done = case.lake.update(progress=False)
    return case.whole(case.silver(), PUBLISHED), _told(done.report)


def _frame(case: Case) -> Answer:
    return case.whole(_by_symbol(case.lake.frame(QUERY, progress=False)), PUBLISHED), False


def _silver(case: Case) -> Answer:
    return case.whole(_by_symbol(case.lake.silver(QUERY).collect()), BUILT), False


_SILVER_SQL = (
    "select epoch_ms(open_time), close from silver.spot_klines where symbol = '{}' order by 1"
)


def _sql(case: Case) -> Answer:
    found = {s: case.lake.sql(_SILVER_SQL.format(s)).fetchall() for s in (HURT, OTHER)}
    return case.whole(found, BUILT), False


_BRONZE_SQL = (
    "select epoch_ms(make_timestamp(open_time::bigint * 1000)), close::double"
    " from bronze.spot_klines where symbol = '{}' order by 1"
)


def _bronze_sql(case: Case) -> Answer:
    found = {s: case.lake.sql(_BRONZE_SQL.format(s)).fetchall() for s in (HURT, OTHER)}
    truth = case.truth(STORED)
    if case.fault.name.endswith("another day's CSV"):  # as published: twice
        first = rows_in(csv_of(HURT, DAYS[0]))
        return found == {**truth, HURT: sorted(truth[HURT] + first)}, False
    if case.fault.name.endswith(("bzip2", "UTF-16")):  # as published: the rows are there
        hurt = sorted(truth[HURT] + rows_in(csv_of(HURT, DAYS[1])))
        return found == {**truth, HURT: hurt}, False
    return found == truth, False


def _status(case: Case) -> Answer:
    row = case.lake.status().filter(pl.col("dataset") == "spot_klines")
    there = case.silver()
    count = sum(map(len, there.values()))
    right = row.height == 1 and row["rows"][0] == count
    if case.fault.zone not in {"bronze", "silver"}:
        right = right and (row["symbols"][0], row["files"][0], row["months"][0]) == (
            2,
            case.zips(),
            2,
        )
    return right, row.height == 1 and row["quarantined"][0] > 0


def _datasets(case: Case) -> Answer:
    found = case.lake.datasets().filter(pl.col("dataset") == "spot_klines")
    silver, bronze = (found.filter(pl.col("zone") == zone) for zone in ("silver", "bronze"))
    there = case.silver()
    months = sum(1 for rows in there.values() if rows)
    right = (
        silver["rows"].sum() == sum(map(len, there.values())) and silver["files"].sum() == months
    )
    if case.fault.zone not in {"bronze", "silver"}:
        right = right and bronze["files"].sum() == case.zips()
    return right, False


def _quality(case: Case) -> Answer:
    found = case.lake.quality(QUERY)
    there = case.silver()
    counts = {
        symbol: int(found.filter(pl.col("symbol") == symbol)["rows"].sum()) for symbol in there
    }
    return counts == {symbol: len(rows) for symbol, rows in there.items()}, False


def _named(case: Case, checked: pl.DataFrame) -> bool:
    """Whether ``verify`` has a row for the damaged file that says it is not as it was recorded."""
    bad = checked.filter(pl.col("status") != "ok")
    words = {"bronze": KEY, "silver": f"symbol={HURT}/2024-03", "meta": "meta/", "listing": "meta/"}
    word = words.get(case.fault.zone.split(" ")[0])
    return word is not None and any(word in str(row) for row in bad.iter_rows())


def _verify(case: Case) -> Answer:
    checked = case.lake.verify()
    fine = set(checked.filter(pl.col("status") == "ok")["key"].cast(pl.String))
    every = {key_of(symbol, day) for symbol in (HURT, OTHER) for day in DAYS[:STORED]}
    if not case.fault.usable:
        every.discard(KEY)  # it may have been set aside
    nothing_to_find = case.fault.zone not in {"bronze", "silver"}
    return nothing_to_find and every <= fine, _named(case, checked)


def _repair(case: Case) -> Answer:
    case.lake.verify(repair=True)
    report = fresh(case).pull(QUERY, progress=False)
    bronze = all(
        (case.root / "bronze" / key).read_bytes() == data
        for key, data in case.publisher.held.items()
        if key.endswith(".zip") and (case.fault.usable or key != KEY)
    )
    return bronze and case.whole(case.silver(), PUBLISHED), _told(report)


def _other(case: Case) -> Answer:
    truth = case.truth(STORED)[OTHER]
    there = truth[: BUILT * 24]
    found = case.lake.silver(QUERY.symbols(OTHER)).collect()
    return (
        _pairs(found) == there
        and case.lake.sql(_SILVER_SQL.format(OTHER)).fetchall() == there
        and case.lake.sql(_BRONZE_SQL.format(OTHER)).fetchall() == truth
    ), False


OPERATIONS: dict[str, Callable[[Case], Answer]] = {
    "plan": _plan,
    "pull": _pull,
    "build": _build,
    "update": _update,
    "frame": _frame,
    "silver": _silver,
    "sql": _sql,
    "bronze sql": _bronze_sql,
    "status": _status,
    "datasets": _datasets,
    "quality": _quality,
    "verify": _verify,
    "verify(repair)": _repair,
    "other symbol": _other,
}
CHANGING = frozenset({"pull", "build", "update", "frame", "verify(repair)"})
"""Operations that may change the lake: each has a copy of its own, the others share one."""


# ---------------------------------------------------------------------------------------------- the judge


def fresh(case: Case) -> cl.Lake:
    """The lake as another process opens it."""
    return cl.Lake(case.root, source=case.lake.source)


def judged(case: Case, operation: str) -> tuple[str, str]:
    """Run one operation; return the verdict, and the error where there was one."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            right, said = OPERATIONS[operation](case)
        except cl.CryptolakeError as error:
            verdict = "stops" if operation == "other symbol" else "said"
            return verdict, f"{type(error).__name__}: {error}"
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of Polars is no Exception
            return "raw", f"{type(error).__module__}.{type(error).__name__}: {error}"
    said = said or any(issubclass(warning.category, UserWarning) for warning in heard)
    return ("right" if right else "said" if said else "silent"), ""


class Worlds:
    """An undamaged lake for each archive, copied for every cell."""

    def __init__(self, folder: Path, url: str, client: Any) -> None:
        self._folder, self._url, self._client = folder, url, client
        self._made: dict[bytes | None, tuple[Path, Publisher]] = {}
        self._copies = 0

    def case(self, fault: Fault) -> Case:
        """Return a lake with the fault in it."""
        if fault.published not in self._made:
            self._made[fault.published] = self._make(fault)
        model, publisher = self._made[fault.published]
        self._copies += 1
        root = self._folder / f"case-{self._copies}"
        shutil.copytree(model, root, copy_function=shutil.copyfile)
        fault.plant(root)
        return Case(root, fault, publisher, cl.Lake(root, source=self._source(publisher)))

    def row(self, fault: Fault, operations: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return the verdict of each operation on a lake with the fault, and the error behind it."""
        read_only = self.case(fault)
        cells = {}
        for operation in operations:
            # What is said once a lake, or once a file of its own, is said again of another copy.
            once = ("meta", "listing", "published")
            alone = operation in CHANGING or fault.zone.startswith(once)
            case = self.case(fault) if alone else read_only
            cells[operation] = judged(case, operation)
            hidden = operation in BY_VERIFY.get(fault.name, ())
            if hidden and cells[operation][0] == "silent" and _named(case, case.lake.verify()):
                cells[operation] = ("by verify", "")
            if alone:
                shutil.rmtree(case.root, ignore_errors=True)
        shutil.rmtree(read_only.root, ignore_errors=True)
        return cells

    def _make(self, fault: Fault) -> tuple[Path, Publisher]:
        number = len(self._made)
        publisher = Publisher(self._client, self._url, f"archive-{number}")
        for symbol in (HURT, OTHER):
            for day in DAYS:
                publisher.publish(symbol, day)
        if fault.published is not None:
            publisher.put(KEY, fault.published)
            del publisher.texts[KEY]  # no row of it can be used
        root = self._folder / f"model-{number}"
        lake = cl.Lake(root, source=self._source(publisher))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.IncompleteWarning)
            lake.pull(QUERY.between(DAYS[0], DAYS[BUILT - 1]), progress=False)
            later = lake.plan(QUERY.between(DAYS[BUILT], DAYS[STORED - 1]), progress=False)
            lake.transfer(later, progress=False)
        return root, publisher

    def _source(self, publisher: Publisher) -> cl.Archive:
        return cl.Archive(bucket=publisher.bucket, endpoint_url=self._url, region="us-east-1")


@contextmanager
def worlds(folder: Path) -> Iterator[Worlds]:
    """Serve the archives and keep the lakes below a folder until the block ends."""
    with s3_server() as (url, client):
        yield Worlds(folder, url, client)


def expected(cells: dict[str, dict[str, str]]) -> str:
    """Return the bad cells as the lines of a table in Python."""
    lines = []
    for fault, verdicts in cells.items():
        bad = [f"{operation}: {word}" for operation, word in verdicts.items() if word in BAD]
        if bad:
            lines.append(f'    "{fault}": "{", ".join(bad)}",')
    return "\n".join(lines)


def main() -> None:
    """Print the matrix."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="faults and operations; all when left out")
    parser.add_argument("--expected", action="store_true", help="print EXPECTED_TODAY's lines too")
    given = parser.parse_args()
    named = set(given.names)
    if unknown := named - set(FAULTS) - set(OPERATIONS):
        parser.error(f"no such fault or operation: {sorted(unknown)}; faults: {sorted(FAULTS)}")
    faults = [f for f in FAULTS.values() if f.name in named or not named & set(FAULTS)]
    operations = [o for o in OPERATIONS if o in named or not named & set(OPERATIONS)]
    verdicts: dict[str, dict[str, str]] = {}
    notes = []
    print("| fault |", " | ".join(operations), "|")
    print("|---|" + "---|" * len(operations))
    with tempfile.TemporaryDirectory() as name, worlds(Path(name)) as made:
        for fault in faults:
            cells = made.row(fault, operations)
            verdicts[fault.name] = {operation: word for operation, (word, _) in cells.items()}
            shown = [f"**{word}**" if word in BAD else word for word, _ in cells.values()]
            print(f"| {fault.name} |", " | ".join(shown), "|", flush=True)
            notes += [
                f"- {fault.name}, {operation}: {word}: " + " ".join(error.split())[:160]
                for operation, (word, error) in cells.items()
                if error
            ]
    counts = Counter(word for row in verdicts.values() for word in row.values())
    print("\n", dict(counts), "\n\n", "\n".join(notes), sep="")
    if given.expected:
        print("\n", expected(verdicts), sep="")


if __name__ == "__main__":
    main()
