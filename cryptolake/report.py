"""The Report: the receipt of a run. What a transfer moved, what a build built, and what failed."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from cryptolake.render.html import (
    and_more,
    drawing,
    facts,
    never_raises,
    number,
    plural,
    seconds,
    size,
    table,
    text,
)
from cryptolake.render.picture import FEWEST_STEPS
from cryptolake.storage.layout import GOLD, SILVER
from cryptolake.storage.spooled import Rows, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cryptolake.render.picture import Picture

Kind = Literal["transfer", "build", "pull"]

State = Literal["done", "stopped", "failed"]
"""How a run ended: completely, before its end (Ctrl-C, SIGTERM, a full disk), or with failed files."""

FILES: dict[str, Any] = {
    "key": pl.String,
    "status": pl.String,
    "bytes": pl.Int64,
    "seconds": pl.Float64,
    "ended_at": pl.Datetime("us", "UTC"),
    "attempts": pl.Int64,
    "retries": pl.Int64,
    "mode": pl.String,
    "verified": pl.String,
    "error": pl.String,
    "fault": pl.String,
}
"""Columns of ``Report.files``. ``status``: ``transferred``, ``adopted`` (it was in the lake already,
unrecorded, and was verified without a fetch), ``cached``, ``quarantined`` or ``failed``. ``bytes`` counts
what moved of the zip; ``seconds`` run from the file's batch being handed out to its being stored, which was
``ended_at`` (null for files that needed nothing); ``attempts`` are the engine's, ``retries`` the requests for
the file that were made again within them; ``verified``: ``sha256``, ``etag``, ``none_published``,
``size`` (there is no CHECKSUM or it was not read, and the ETag is no md5) or ``stale_accepted``; ``error`` is the
last attempt's, and ``fault`` its kind: ``full`` (the disk), ``skewed`` (this machine's clock), ``denied`` (403),
``lake`` (the lake's bucket refuses), ``absent`` (404), ``unreachable``, ``page`` (a web page instead of S3),
``busy`` (503), ``bytes`` (not the listed ones), ``stalled``, ``broken`` (s5cmd ended early) or ``other``; null where
nothing failed."""

MONTHS: dict[str, Any] = {
    "path": pl.String,
    "status": pl.String,
    "rows": pl.Int64,
    "duplicates": pl.Int64,
    "rejects": pl.Int64,
    "seconds": pl.Float64,
    "error": pl.String,
    "missing": pl.String,
}
"""Columns of ``Report.months``, Silver's and Gold's. ``status``: ``built``; ``unchanged``; ``kept`` (a file of it
cannot be used now, and the month that stands has its rows); ``missing`` (of Gold: its leading input has no such
month); or ``failed``. ``error`` says which files could not be used, or what a recipe's function raised;
``missing`` is no failure: of Silver, files that the archive has withdrawn, whose rows other files of the month have; of
Gold, Silver files that its recipe asks for and the lake has not (a symbol may have no such market, and warm-up rows lie
before a first month)."""

THROUGHPUT: dict[str, Any] = {
    "time": pl.Datetime("us", "UTC"),
    "files": pl.Int64,
    "bytes": pl.Int64,
    "bytes_per_second": pl.Float64,
}
"""Columns of ``Report.throughput()``: when a step begins, and what was stored within it."""

_UNSAID = datetime.min.replace(tzinfo=UTC)

_STEPS = (1, 2, 5, 10, 30, 60, 300, 900, 3600)
_MOST_STEPS = 60
_MOST_KINDS = 10

_KIND = re.compile(r"\S*\.(?:zip|parquet|csv)\S*|\b[0-9a-f]{32,64}\b|\d+")
"""What differs between two errors of one kind: names of files, hashes, numbers."""


@dataclass(frozen=True, repr=False)
class Report:
    """What a run did. Counts are computed from ``files`` and ``months``, so that they cannot disagree.

    Parameters
    ----------
    kind
        ``transfer``, ``build`` or ``pull``.
    run_id
        The run's name in ``meta.runs``.
    seconds
        Wall-clock seconds of the whole run.
    files
        A row a Bronze file: ``key``, ``status``, ``bytes`` moved, ``seconds``, ``ended_at`` (UTC), ``attempts``,
        ``retries``, ``mode``, ``verified``, ``error`` and ``fault``
        (``notebooks/guide/words.md#files-in-a-report``).
    months
        A row a Silver or Gold file: ``path``, ``status``, ``rows``, ``duplicates``, ``rejects``, ``seconds``, ``error``
        and ``missing`` (``notebooks/guide/words.md#months-in-a-report``).
    state
        How the run ended: ``done``, ``stopped`` or ``failed``.
    requests
        Requests that the transfer made to S3; None where it made none.
    fallbacks
        Why files were moved in another mode than the first choice: reason to number of files.
    retries
        Why requests were repeated within an attempt: reason to number of requests. ``files`` has their
        number for each file.
    damaged
        Keys of Bronze files that a build could not use, because they are no longer the bytes that were
        verified.
    started_at
        When the run began, UTC; ``seconds`` ago where it is left out.

    Examples
    --------
    >>> import cryptolake as cl
    >>> report = cl.Report("transfer", "20240101T000000-00000000", 1.5)
    >>> report.ok, report.transferred
    (True, 0)
    """

    kind: Kind
    run_id: str
    seconds: float
    files: Table = Table(FILES)  # noqa: RUF009 - a descriptor
    months: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MONTHS))
    state: State = "done"
    requests: int | None = None
    fallbacks: dict[str, int] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    started_at: datetime = _UNSAID
    _files: Rows = field(init=False)

    def __post_init__(self) -> None:
        """Set when the run began, where it was not said: reports are made as runs end."""
        if self.started_at == _UNSAID:
            began = datetime.now(UTC) - timedelta(seconds=self.seconds)
            object.__setattr__(self, "started_at", began)

    @property
    def rows_of_files(self) -> Rows:
        """The rows of ``files``, which need not be in memory."""
        return self._files

    @property
    def transferred(self) -> int:
        """Files moved and verified by this run."""
        return self._total("files", "transferred")

    @property
    def adopted(self) -> int:
        """Files that were in the lake unrecorded (after a killed run), verified without a fetch."""
        return self._total("files", "adopted")

    @property
    def skipped(self) -> int:
        """Files that needed no transfer: cached and adopted ones."""
        return self._total("files", "cached") + self.adopted

    @property
    def failed(self) -> int:
        """Files that could not be fetched, and months that lack the rows of a file; their ``error`` says why."""
        return self._total("files", "failed") + self.months["error"].count()

    def count(self, status: str) -> int:
        """Return how many files and months have a status.

        Parameters
        ----------
        status
            A word of ``files["status"]`` or ``months["status"]``.

        Returns
        -------
        int
            Files and months together.

        Examples
        --------
        >>> import cryptolake as cl
        >>> import polars as pl
        >>> months = pl.DataFrame(
        ...     {"path": ["a", "b"], "status": ["built", "kept"], "error": [None, "x"]}
        ... )
        >>> cl.Report("build", "20240101T000000-00000000", 1.5, months=months).count("kept")
        1
        """
        return self._total("files", status) + _count(self.months, status)

    @property
    def quarantined(self) -> int:
        """Files in quarantine because they are not what their CHECKSUM or their format says."""
        return self._total("files", "quarantined")

    @property
    def bytes(self) -> int:
        """Bytes of zips moved (sidecars are not counted, as in ``plan.total_bytes``)."""
        return self._total("bytes") - self._total("bytes", "cached")

    @property
    def retried(self) -> int:
        """Files for which a request, or a whole attempt, was repeated."""
        return self._total("retried")

    @property
    def modes(self) -> dict[str, int]:
        """Files moved, by mode."""
        return {
            mode: n
            for (what, status, mode), n in sorted(self._totals.items(), key=str)
            if (what, status) == ("files", "transferred") and mode
        }

    def throughput(self, every: timedelta | None = None) -> pl.DataFrame:
        """Return files and bytes by the time they were stored; steps without any are rows of zeros.

        Parameters
        ----------
        every
            The length of a step; by default one that makes at most sixty steps.

        Returns
        -------
        polars.DataFrame
            Columns as in :data:`THROUGHPUT`: UTC, bytes, bytes per second. In SQL, by minute and also
            while a run goes on: ``from meta.throughput``.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Report("transfer", "20240101T000000-00000000", 1.5).throughput().columns
        ['time', 'files', 'bytes', 'bytes_per_second']
        """
        moved = self._files.select("bytes", "ended_at").filter(
            pl.col("bytes") > 0, pl.col("ended_at").is_not_null()
        )
        if moved.is_empty():
            return pl.DataFrame(schema=THROUGHPUT)
        every = every or self._step(moved["ended_at"])
        began = moved["ended_at"].min()
        step = pl.lit(every).dt.total_microseconds()
        after = (pl.col("ended_at") - began).dt.total_microseconds() // step
        counted = moved.group_by(slot=after).agg(pl.len().alias("files"), pl.col("bytes").sum())
        slots = pl.DataFrame({"slot": range(int(counted["slot"].max()) + 1)})  # type: ignore[arg-type]
        return (
            slots.join(counted, on="slot", how="left", maintain_order="left")
            .with_columns(
                pl.col("files", "bytes").fill_null(0).cast(pl.Int64),
                time=pl.lit(began) + pl.col("slot") * pl.lit(every),
            )
            .with_columns(bytes_per_second=pl.col("bytes") / every.total_seconds())
            .select(list(THROUGHPUT))
        )

    def chart(self) -> Picture:
        """Return a small chart of the throughput over the run's time.

        Returns
        -------
        Picture
            It shows itself; ``.save("run.svg")`` keeps it.

        Raises
        ------
        MissingTool
            vl-convert, which draws it, is not installed (when it is drawn).
        InvalidQuery
            The run moved nothing, so there is no throughput.

        Examples
        --------
        >>> from datetime import UTC, datetime
        >>> import cryptolake as cl
        >>> import polars as pl
        >>> from cryptolake.report import FILES
        >>> at = datetime(2024, 1, 1, tzinfo=UTC)
        >>> row = {"key": "a.zip", "status": "transferred", "bytes": 1000, "ended_at": at}
        >>> files = pl.DataFrame([row], schema=FILES)
        >>> cl.Report("transfer", "20240101T000000-00000000", 1.5, files=files).chart()
        <Picture: 1 file, 1.0 kB in 1 step of 1 s, at most 1.0 kB a second>
        """
        from cryptolake.errors import InvalidQuery
        from cryptolake.render.picture import throughput_picture

        slots = self.throughput()
        if slots.is_empty():
            message = "this run moved no file, so it has no throughput to draw."
            raise InvalidQuery(message, run_id=self.run_id)
        return throughput_picture(
            slots, self._step(self._files.select("ended_at")["ended_at"].drop_nulls())
        )

    @staticmethod
    def _step(ended: pl.Series) -> timedelta:
        lasted = (ended.max() - ended.min()).total_seconds()  # type: ignore[operator,union-attr]
        fit = (step for step in _STEPS if lasted / step < _MOST_STEPS)
        return timedelta(seconds=next(fit, _STEPS[-1]))

    @property
    def built(self) -> int:
        """Silver and Gold months built by this run."""
        return _count(self.months, "built")

    @property
    def rows(self) -> int:
        """Silver and Gold rows written by this run."""
        return int(self.months.filter(pl.col("status") == "built")["rows"].sum() or 0)

    def _built(self, zone: str) -> pl.DataFrame:
        here = pl.col("path").str.starts_with(f"{zone}/")
        return self.months.filter(here, pl.col("status") == "built")

    @property
    def ok(self) -> bool:
        """Whether the run was complete and nothing failed. Quarantined files are no failure."""
        return self.failed == 0 and self.state == "done"

    def naming(self, files: pl.DataFrame, status: str = "quarantined") -> Report:
        """Return the report with a row for each file that lies in quarantine since an earlier run, or has failed.

        Parameters
        ----------
        files
            A row a file: ``key`` and ``error``. What the report has already is not added.
        status
            What they are: ``quarantined`` or ``failed``.

        Returns
        -------
        Report
            A report with a row more for each of them.

        Examples
        --------
        >>> import cryptolake as cl
        >>> import polars as pl
        >>> lost = pl.DataFrame({"key": ["a.zip"], "error": ["stale_checksum"]})
        >>> cl.Report("pull", "20240101T000000-00000000", 1.5).naming(lost).quarantined
        1
        """
        nothing = {"bytes": 0, "seconds": 0.0, "attempts": 0, "retries": 0}
        rows = [
            {"key": key, "status": status, "error": error, **nothing}
            for key, error in files.select("key", "error").iter_rows()
        ]
        lost = pl.col("status") == status
        known = self._files.filter(lost)["key"].implode()
        new = pl.DataFrame(rows, schema=FILES).filter(~pl.col("key").is_in(known))
        return replace(self, files=Rows([*self._files.pieces(), new])) if new.height else self

    @property
    def ended_at(self) -> datetime:
        """When the run ended, UTC."""
        return self.started_at + timedelta(seconds=self.seconds)

    @staticmethod
    def merge(reports: Iterable[Report]) -> Report:
        """Return one report of several: of parts that ran side by side, or of runs that followed each other.

        Parameters
        ----------
        reports
            At least one, in the order in which they began where that matters: of a month in several of them the
            last one's row counts, and one that was built and looked at again stays ``built``.

        Returns
        -------
        Report
            ``requests``, ``fallbacks`` and ``retries`` add up, and so does what ``files`` counts, whose rows are kept
            (a file in quarantine is named once). ``seconds`` run from the earliest start to the latest end, which
            the clocks of several machines may say differently. ``state`` is the worst, ``run_id`` the first one's,
            and ``kind`` is ``pull`` where they are of several kinds.

        Raises
        ------
        InvalidQuery
            There is no report.

        Examples
        --------
        >>> import cryptolake as cl
        >>> one = cl.Report(
        ...     "transfer", "20240101T000000-00000000", 1.5, requests=3, retries={"503": 1}
        ... )
        >>> other = cl.Report(
        ...     "transfer", "20240101T000001-00000000", 1.5, requests=4, retries={"503": 2}
        ... )
        >>> both = cl.Report.merge([one, other])
        >>> both.requests, both.retries
        (7, {'503': 3})
        """
        given = list(reports)
        if not given:
            from cryptolake.errors import InvalidQuery

            message = "Report.merge takes at least one report."
            raise InvalidQuery(message, what="reports")
        first = given[0]
        began = min(report.started_at for report in given)
        states = {report.state for report in given}
        kinds = {report.kind for report in given}
        requests = [report.requests for report in given if report.requests is not None]
        return replace(
            first,
            kind=first.kind if len(kinds) == 1 else "pull",
            started_at=began,
            seconds=(max(report.ended_at for report in given) - began).total_seconds(),
            files=_files_of(given),
            months=_months_of(report.months for report in given),
            state=next(state for state in ("stopped", "failed", "done") if state in states),
            requests=sum(requests) if requests else None,
            fallbacks=_sum(report.fallbacks for report in given),
            retries=_sum(report.retries for report in given),
            damaged=tuple(sorted({key for report in given for key in report.damaged})),
        )

    def summary(self) -> str:
        """Return the report in words, a few lines.

        Returns
        -------
        str
            The first line says how the run ended and counts; the others say why files and months failed.

        Examples
        --------
        >>> import cryptolake as cl
        >>> print(cl.Report("transfer", "20240101T000000-00000000", 0.0).summary())
        transfer 20240101T000000-00000000: done in 0.0 s, nothing to do
        """
        return "\n".join([f"{self.kind} {self.run_id}: {self._headline()}", *self._details()])

    def _headline(self) -> str:
        ended = {"done": "done", "stopped": "stopped", "failed": "ended with failures"}[self.state]
        parts = [f"{ended} in {self.seconds:.1f} s"]
        if self.transferred:
            rate = self.bytes / self.seconds if self.seconds else 0
            parts.append(
                f"{plural(self.transferred, 'file')} moved ({_size(self.bytes)}, {_size(rate)}/s)"
            )
        for zone in (SILVER, GOLD):
            built = self._built(zone)
            if built.height:
                rows = int(built["rows"].sum() or 0)
                parts.append(
                    f"{plural(built.height, f'{zone.title()} month')} built ({plural(rows, 'row')})"
                )
        same, lacking = _count(self.months, "unchanged"), _count(self.months, "missing")
        counts: list[tuple[int, str, str]] = [
            (self._total("files", "cached"), "here already", "here already"),
            (self.adopted, "found here and verified", "found here and verified"),
            (same, "month unchanged", "months unchanged"),
            (self.quarantined, "quarantined", "quarantined"),
            (lacking, "month without its input", "months without their input"),
            (self.failed, "failed", "failed"),
        ]
        parts += [plural(count, one, many) for count, one, many in counts if count]
        return ", ".join(parts if len(parts) > 1 else [*parts, "nothing to do"])

    def _details(self) -> list[str]:
        lines = []
        if len(self.modes) > 1 or self.fallbacks:
            lines.append("  modes: " + ", ".join(f"{n:,} {mode}" for mode, n in self.modes.items()))
        lines += [f"  fell back for {n:,}: {why}" for why, n in self.fallbacks.items()]
        if self.retried:
            again = self._total("retries")
            lines.append(
                f"  {plural(self.retried, 'file')} came at a second try ({plural(again, 'request')} made again)"
            )
        lines += [f"  {plural(n, 'request')} repeated: {why}" for why, n in self.retries.items()]
        files = self._files.filter(pl.col("status").is_in(["failed", "quarantined"]))
        months = self.months.filter(pl.col("error").is_not_null())
        lacking = self.months.filter(pl.col("missing").is_not_null()).select(
            "path", pl.lit("lacks").alias("status"), error=pl.col("missing")
        )
        for bad, name in ((files, "key"), (months, "path"), (lacking, "path")):
            lines += _by_kind(bad.select(name, "status", "error"))
        return lines

    @cached_property
    def _totals(self) -> Counter[tuple[str, str, str | None]]:
        """Return sums over ``files`` by what is summed, status and mode."""
        totals: Counter[tuple[str, str, str | None]] = Counter()
        columns = ("status", "mode", "bytes", "attempts", "retries")
        for piece in self._files.pieces():
            for status, mode, moved, attempts, retries in piece.select(columns).iter_rows():
                totals["files", status, mode] += 1
                totals["bytes", status, mode] += moved or 0
                totals["retries", status, mode] += retries or 0
                totals["retried", status, mode] += (attempts or 0) > 1 or (retries or 0) > 0
        return totals

    def _total(self, what: str, status: str | None = None) -> int:
        found = (
            n for (name, of, _), n in self._totals.items() if name == what and status in {of, None}
        )
        return sum(found)

    def __repr__(self) -> str:
        return f"<Report {self.summary()}>"

    def _repr_html_(self) -> str:
        return report_html(self)


def _by_kind(bad: pl.DataFrame) -> list[str]:
    """Return a line for each kind of error among files or months: its number, and the first one's error."""
    kinds: dict[tuple[str, str], list[Any]] = {}
    for what, status, error in bad.iter_rows():
        text = error or "no reason given"
        kind = kinds.setdefault((status, _KIND.sub("…", text)), [0, what, text])
        kind[0] += 1
    lines = [
        f"  {status}: {what}: {text}" if n == 1 else f"  {status}: {n:,}, such as {what}: {text}"
        for (status, _), (n, what, text) in kinds.items()
    ]
    more = [f"  and {len(lines) - _MOST_KINDS:,} kinds more"] if len(lines) > _MOST_KINDS else []
    return lines[:_MOST_KINDS] + more


def _files_of(reports: Sequence[Report]) -> Rows:
    """Return the rows of all files; those of one in quarantine once."""
    lost = pl.col("status") == "quarantined"

    def pieces() -> Iterator[pl.DataFrame]:
        named = pl.Series("key", [], pl.String)
        for report in reports:
            known = lost & pl.col("key").is_in(named.implode())
            yield from (piece.filter(~known) for piece in report.rows_of_files.pieces())
            named = named.append(report.rows_of_files.filter(lost)["key"])

    return Rows(pieces())


def _months_of(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return a row a month, the last one; of one that was built, and is unchanged now, the row of its build."""
    rows = pl.concat(parts)
    last = rows.unique("path", keep="last", maintain_order=True)
    built = rows.filter(pl.col("status") == "built").unique("path", keep="last")
    again = built.join(last.filter(pl.col("status") == "unchanged"), on="path", how="semi")
    stand = pl.concat([last.join(again, on="path", how="anti"), again])
    return last.select("path").join(stand, on="path", how="left", maintain_order="left")


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def _count(frame: pl.DataFrame, status: str) -> int:
    return int((frame["status"] == status).sum())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def facts_of_transfer(report: Report) -> dict[str, Any]:
    """Return what the log says of a transfer."""
    names = ("run_id", "transferred", "skipped", "failed", "quarantined", "bytes")
    return {name: getattr(report, name) for name in names}


def facts_of_build(report: Report) -> dict[str, Any]:
    """Return what the log says of a build: the datasets by the paths of their months, and months by status."""
    months = report.months
    named = months["path"].str.extract_groups(r"market=([^/]+)/(?:data_type=([^/]+)/)?").unique()
    names = {"_".join(filter(None, each.values())) for each in named if each}
    counts = dict(months.group_by("status").len().sort("status").iter_rows())
    facts = {"run_id": report.run_id, "datasets": ",".join(sorted(names)), "months": months.height}
    return facts | counts | {"rows": report.rows}


# ---------------------------------------------------------------------- the card of a notebook

MAX_FAULTS = 20
"""Faults of a report that are shown one by one; the rest is counted."""


@never_raises
def report_html(report: Report) -> str:
    """Draw a report: what went wrong first, then the counts."""
    files = report.files  # held: each use of a large report's files reads them from disk
    state = {"stopped": "stopped before its end"}.get(report.state, "not all well")
    mark = '<span class="good">ok</span>' if report.ok else f'<span class="bad">{state}</span>'
    kind, run = text(report.kind), text(report.run_id)
    return drawing(
        f'<h4>Report: {kind} {mark} <span class="dim">{run}</span></h4>',
        _faults(files, "key", "Files"),
        _faults(report.months, "path", "Silver months"),
        facts(_figures(report, files)),
        _reasons("Moved another way than asked", report.fallbacks),
        _retries(report, files),
        _throughput(report),
    )


def _faults(frame: pl.DataFrame, name: str, title: str) -> str:
    faulty = frame.filter(pl.col("status").is_in(["failed", "quarantined"]))
    if faulty.is_empty():
        return ""
    rows = faulty.head(MAX_FAULTS).select(name, "status", pl.col("error").fill_null("")).rows()
    drawn = table([name, "what", "why"], rows)
    heading = f'<h5 class="bad">{text(title)} that need a look: {number(faulty.height)}</h5>'
    return heading + drawn + and_more(faulty.height - MAX_FAULTS)


def _figures(report: Report, files: pl.DataFrame) -> Iterator[tuple[str, str]]:
    if files.height:
        yield "moved", number(report.transferred)
        yield "here before", number(report.skipped)
        yield "failed", number(report.failed)
        yield "quarantined", number(report.quarantined)
        yield "moved", size(report.bytes)
    if report.months.height:
        yield "Silver months built", number(report.built)
        yield "rows", number(report.rows)
        for name in ("duplicates", "rejects"):
            total = int(report.months[name].sum() or 0)
            if total:
                yield name, number(total)
    yield "", seconds(report.seconds)
    if report.bytes and report.seconds:
        yield "a second", size(report.bytes / report.seconds)


def _retries(report: Report, files: pl.DataFrame) -> str:
    if not report.retried:
        return ""
    again = number(int(files["retries"].sum()))
    heading = f"{again} requests made again for {plural(report.retried, 'file')}"
    return _reasons(heading, report.retries) or f"<h5>{heading}</h5>"


def _reasons(heading: str, counts: Mapping[str, int]) -> str:
    items = "".join(f"<li>{number(count)}: {text(why)}</li>" for why, count in counts.items())
    return f"<h5>{heading}</h5><ul>{items}</ul>" if items else ""


def _throughput(report: Report) -> str:
    """Draw the throughput where there are steps enough to see, and a library to draw them with."""
    if importlib.util.find_spec("vl_convert") is None:
        return ""
    if report.throughput().height < FEWEST_STEPS:
        return ""
    return report.chart()._repr_html_()
