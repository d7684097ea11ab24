"""What happens beside the kernel while the picker stays usable: listing, planning, pulling, previewing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from cryptolake.picker import messages
from cryptolake.picker.backend import MOST_FOLDERS, Session, folders, words_of
from cryptolake.picker.tasks import Worker
from cryptolake.render import plan_html, report_html
from cryptolake.render.html import number

if TYPE_CHECKING:
    from cryptolake.picker import controls
    from cryptolake.planning.plan import Plan
    from cryptolake.progress import Step, Watch
    from cryptolake.query import Query
    from cryptolake.report import Report

PAUSE = 0.25
"""Seconds without a change before the plan line is worked out again."""

Run = Literal["plan", "move"]
"""What runs long enough to be stopped: a plan, and what moves or builds files."""

STOPPED_PLANNING = "<p>Stopped. What was listed is kept; Plan goes on from there.</p>"

TICK = 0.1
"""Seconds between two drawings of progress: more would only fill the notebook's channel."""


class Actions:
    """The picker's work, on two threads: one that asks, one that moves and builds.

    Parameters
    ----------
    session
        The lake's answers.
    symbols, days, line, said
        Where the answers are shown.
    """

    def __init__(
        self,
        session: Session,
        symbols: controls.Symbols,
        days: controls.DateRange,
        line: controls.Said,
        said: controls.Said,
    ) -> None:
        self._session = session
        self._symbols, self._days, self._line, self._said = symbols, days, line, said
        self._asking = Worker("cryptolake-picker-asks")
        self._moving = Worker("cryptolake-picker-moves")
        self._stop = threading.Event()
        self._on_running: Callable[[frozenset[Run]], None] = lambda _: None
        self._runs: set[Run] = set()
        self._rate: float | None = None
        self._rate_known = False
        self._followed: dict[str, Any] = {}

    # ---------------------------------------------------------------- the live side

    def follow(self, query: Query) -> None:
        """Bring the symbol list, the coverage and the plan line in step with the query."""
        pairs = tuple((row.market, row.data_type) for row in query.selection.rows())
        if self._changed("symbols", pairs):
            self._list_symbols(query)
        problems = query.problems()
        missing_only_days = [
            problem for problem in problems if not problem.startswith("say which days")
        ]
        said = query.selection
        if self._changed("coverage", (pairs, said.intervals, said.symbols, said.universe)):
            if missing_only_days:
                self._asking.forget("coverage")
                self._days.coverage, self._days.note = {}, ""
            else:
                self._cover(query)
        if self._changed("line", query):
            self._replan(query, problems)

    def plan(self, query: Query) -> None:
        """Plan now, and show the whole plan."""
        if self._complain(query):
            return
        self.tell(messages.working("Planning"))
        self._running("plan")

        def work() -> Plan:
            try:
                return self._session.plan(query, self._asked_for("Planning"))
            except KeyboardInterrupt:
                if "plan" not in self._runs:  # else it is another that is waited for
                    self.tell(STOPPED_PLANNING)
                raise

        def done(plan: Plan) -> None:
            self._ended("plan")
            self._show_plan(plan)

        def failed(error: Exception) -> None:
            self._ended("plan")
            self._say_error(error)

        self._asking.submit("plan", work, done, failed)

    def preview(self, query: Query) -> None:
        """Show what the lake holds of the query."""
        if self._complain(query):
            return
        self._ended("plan")  # the answer below comes in its place
        self.tell(messages.working("Reading"))
        self._asking.submit(
            "plan",
            lambda: messages.preview_html(self._session.preview(query)),
            self.tell,
            self._say_error,
        )

    def _changed(self, what: str, now: Any) -> bool:
        before = self._followed.get(what, self)
        self._followed[what] = now
        return bool(before != now)

    def _list_symbols(self, query: Query) -> None:
        if not query.selection.rows():
            self._asking.forget("symbols")
            self._symbols.rows, self._symbols.busy = [], ""
            return
        names = ", ".join(row.dataset for row in query.selection.rows())
        self._symbols.busy = f"Listing the symbols of {names} …"

        def done(rows: list[Any]) -> None:
            self._symbols.note = "the archive lists no symbol for this"
            self._symbols.rows = [list(row) for row in rows]
            self._symbols.busy = ""

        def failed(error: Exception) -> None:
            self._followed.pop("symbols", None)
            self._symbols.note = "the symbols could not be listed; names can still be typed"
            self._symbols.rows, self._symbols.busy = [], ""
            self._say_error(error)

        watch = self._asked_for()
        self._asking.submit("symbols", lambda: self._session.symbols(query, watch), done, failed)

    def listed_on(self, query: Query, day: str) -> None:
        """Find which of the listed symbols had files on a UTC day."""
        self._symbols.busy = f"Asking the archive what was listed on {day} …"

        def done(names: list[str]) -> None:
            self._symbols.busy, self._symbols.listed = "", [day, names]

        def failed(error: Exception) -> None:
            self._symbols.busy = ""
            self._say_error(error)

        watch = self._asked_for()
        self._asking.submit(
            "listed", lambda: self._session.listed_on(query, day, watch), done, failed
        )

    def _cover(self, query: Query) -> None:
        def work() -> Any:
            known = [row[0] for row in self._symbols.rows]
            many = folders(query, known)
            if many > MOST_FOLDERS:
                return many
            self._days.note = "Listing what the archive has of these symbols …"
            return self._session.coverage(query, self._asked_for())

        def done(answer: Any) -> None:
            if isinstance(answer, int):
                note = f"{number(answer)} folders: too many to draw unasked"
                self._days.coverage, self._days.note = {}, note
            else:
                self._days.coverage, self._days.note = answer, ""

        def failed(error: Exception) -> None:
            self._days.coverage, self._days.note = {}, words_of(error)

        self._asking.submit("coverage", work, done, failed, delay=PAUSE)

    def _replan(self, query: Query, problems: list[str]) -> None:
        if problems:
            self._asking.forget("line")
            self._line.html = messages.to_do(problems)
            return

        def work() -> Any:
            known = [row[0] for row in self._symbols.rows]
            if folders(query, known) > MOST_FOLDERS:
                return None
            self._line.html = messages.working("Planning")
            plan = self._session.plan(query, self._asked_for())
            return plan, self._past_rate()

        def done(answer: tuple[Plan, float | None] | None) -> None:
            if answer is None:
                self._line.html = "Many symbols: Plan lists them all and says what they cost."
            else:
                self._line.html = messages.plan_line(*answer)

        def failed(error: Exception) -> None:
            self._line.html = messages.wrong(words_of(error))

        self._asking.submit("line", work, done, failed, delay=PAUSE)

    def _past_rate(self) -> float | None:
        if not self._rate_known:
            self._rate = self._session.bytes_per_second()
            self._rate_known = True
        return self._rate

    def _show_plan(self, plan: Plan) -> None:
        self._line.html = messages.plan_line(plan, self._rate)
        self.tell(plan_html(plan))

    # ---------------------------------------------------------------- the long side

    def on_running(self, call: Callable[[frozenset[Run]], None]) -> None:
        """Call back with what runs, whenever something begins or has ended."""
        self._on_running = call

    def _running(self, what: Run) -> None:
        self._runs.add(what)
        self._on_running(frozenset(self._runs))

    def _ended(self, what: Run) -> None:
        if what in self._runs:
            self._runs.discard(what)
            self._on_running(frozenset(self._runs))

    def pull(self, query: Query) -> None:
        """Plan, transfer and build beside the kernel."""
        self._move(query, "Pulling", self._session.pull)

    def build(self, query: Query) -> None:
        """Build beside the kernel."""
        self._move(query, "Building", self._session.build)

    def cancel(self) -> None:
        """Stop what runs as Ctrl-C would: what arrived stays, the rest is for the next time."""
        if "plan" in self._runs:
            self._asking.forget("plan")
            self._ended("plan")
            self.tell(STOPPED_PLANNING)
        if self._moving.busy:
            self._stop.set()
            self.tell(messages.working("Stopping"))

    def _move(self, query: Query, what: str, work: Callable[..., Report]) -> None:
        if self._complain(query) or self._moving.busy:
            return
        self._stop.clear()
        self._running("move")
        self.tell(messages.working(what))

        def ended(html: str, *, alert: bool = False) -> None:
            self._rate_known = False
            self._ended("move")
            self.tell(html, alert=alert)
            self._followed.pop("line", None)
            self.follow(query)

        def run() -> Report | None:
            try:
                return work(query, self._watcher(what))
            except KeyboardInterrupt:  # the watcher's own, see there
                return None

        def done(report: Report | None) -> None:
            stopped = "<p>Stopped. What arrived is kept; Pull goes on from there.</p>"
            ended(stopped if report is None else report_html(report))

        def failed(error: Exception) -> None:
            ended(messages.wrong(words_of(error)), alert=True)

        self._moving.submit("move", run, done, failed)

    def _watcher(self, what: str, stopped: Callable[[], bool] | None = None) -> Watch:
        """Return what the lake tells its progress to; it stops the work by Ctrl-C's own error.

        Parameters
        ----------
        what
            What is done, to be shown with how far it is; nothing is shown when empty.
        stopped
            Whether to stop; Cancel for what moves when left out.
        """
        last = 0.0

        def watch(step: Step) -> None:
            nonlocal last
            if (stopped or self._stop.is_set)():
                raise KeyboardInterrupt
            now = time.monotonic()
            if what and now - last >= TICK:
                last = now
                self._said.html = messages.progress(what, step)

        return watch

    def _asked_for(self, what: str = "") -> Watch:
        """Return what stops a question that nobody waits for any more: a newer one came, or Cancel."""
        return self._watcher(what, lambda: self._asking.stale)

    # ---------------------------------------------------------------- saying

    def tell(self, html: str, *, alert: bool = False) -> None:
        """Show finished HTML below the buttons."""
        self._said.role = "alert" if alert else "status"
        self._said.html = html

    def idle(self, timeout: float) -> bool:
        """Wait until nothing runs; False when that takes longer than ``timeout`` seconds."""
        return self._moving.idle(timeout) and self._asking.idle(timeout)

    def close(self) -> None:
        """Stop what runs and end the threads."""
        self._stop.set()
        self._asking.close()
        self._moving.close()

    def _complain(self, query: Query) -> bool:
        problems = query.problems()
        if problems:
            self.tell(messages.to_do(problems))
        return bool(problems)

    def _say_error(self, error: Exception) -> None:
        self.tell(messages.wrong(words_of(error)), alert=True)
