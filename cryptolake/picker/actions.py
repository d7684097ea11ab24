"""What the picker does beside the kernel, which stays free: list, plan, pull, build and preview."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from cryptolake.picker import messages
from cryptolake.picker.backend import MAX_FOLDERS, Backend, count_folders, error_text
from cryptolake.picker.tasks import Worker
from cryptolake.planning.cards import plan_html
from cryptolake.render.html import number
from cryptolake.report import report_html

if TYPE_CHECKING:
    from cryptolake.picker import controls
    from cryptolake.picker.backend import Overview, Preview
    from cryptolake.planning.plan import Plan
    from cryptolake.plot.profile_widget import ProfileWidget
    from cryptolake.progress import Step, Watch
    from cryptolake.query import Query
    from cryptolake.readers.profile_page import ProfilePage
    from cryptolake.report import Report

DEBOUNCE = 0.25
"""Seconds without a change before coverage and plan line are computed again."""

TICK = 0.1
"""Seconds between two drawings of progress: more would only fill the notebook's channel."""

Task = Literal["plan", "move"]
"""What can be cancelled: a plan, and what moves or builds files."""

PLAN_STOPPED = "<p>Stopped. What was listed is kept; Plan goes on from there.</p>"
MOVE_STOPPED = "<p>Stopped. What arrived is kept; Pull goes on from there.</p>"


class Actions:
    """The picker's work, on two threads: one for questions, one that moves and builds files.

    Parameters
    ----------
    backend
        What answers the questions.
    symbols, days, plan_line, notice
        The controls that show the answers.
    profile
        Where a preview is shown.
    """

    def __init__(
        self,
        backend: Backend,
        symbols: controls.SymbolSearch,
        days: controls.DateRange,
        plan_line: controls.Notice,
        notice: controls.Notice,
        profile: ProfileWidget,
    ) -> None:
        self._backend = backend
        self._symbols, self._days = symbols, days
        self._plan_line, self._notice, self._profile = plan_line, notice, profile
        self._questions = Worker("cryptolake-picker-questions")
        self._moves = Worker("cryptolake-picker-moves")
        self._cancelled = threading.Event()
        self._on_tasks: Callable[[frozenset[Task]], None] = lambda _: None
        self._tasks: set[Task] = set()
        self._rate: float | None = None
        self._rate_known = False
        self._followed: dict[str, Any] = {}

    # ---------------------------------------------------------------- follow the query

    def follow(self, query: Query) -> None:
        """Bring the symbol list, the coverage and the plan line in step with the query."""
        selection = query.selection
        pairs = tuple((row.market, row.data_type) for row in selection.rows())
        if self._changed("symbols", pairs):
            self._list_symbols(query)
        problems = query.problems()
        if self._changed(
            "coverage", (pairs, selection.intervals, selection.symbols, selection.universe)
        ):
            if all(problem.startswith("say which days") for problem in problems):
                self._cover(query)
            else:
                self._questions.forget("coverage")
                self._days.coverage, self._days.note = {}, ""
        if self._changed("line", query):
            # until the answer for this query is here
            self._plan_line.stale = self._notice.stale = self._profile.stale = True
            self._update_plan_line(query, problems)

    def _changed(self, what: str, now: Any) -> bool:
        before = self._followed.get(what, self)
        self._followed[what] = now
        return bool(before != now)

    def _list_symbols(self, query: Query) -> None:
        rows = query.selection.rows()
        if not rows:
            self._questions.forget("symbols")
            self._symbols.rows, self._symbols.busy = [], ""
            return
        names = ", ".join(row.dataset for row in rows)
        self._symbols.busy = f"Listing the symbols of {names} …"

        def done(found: list[Any]) -> None:
            self._symbols.note = "the archive lists no symbol for this"
            self._symbols.rows = [list(row) for row in found]
            self._symbols.busy = ""

        def failed(error: Exception) -> None:
            self._followed.pop("symbols", None)
            self._symbols.note = "the symbols could not be listed; names can still be typed"
            self._symbols.rows, self._symbols.busy = [], ""
            self._show_error(error)

        watch = self._question_watch()
        self._questions.submit("symbols", lambda: self._backend.symbols(query, watch), done, failed)

    def listed_on(self, query: Query, day: str) -> None:
        """Find which of the listed symbols had files on a UTC day."""
        self._symbols.busy = f"Asking the archive what was listed on {day} …"

        def done(names: list[str]) -> None:
            self._symbols.busy, self._symbols.listed = "", [day, names]

        def failed(error: Exception) -> None:
            self._symbols.busy = ""
            self._show_error(error)

        watch = self._question_watch()
        self._questions.submit(
            "listed", lambda: self._backend.listed_on(query, day, watch), done, failed
        )

    def _cover(self, query: Query) -> None:
        def work() -> Any:
            folders = self._count_folders(query)
            if folders > MAX_FOLDERS:
                return folders
            self._days.note = "Listing what the archive has of these symbols …"
            return self._backend.coverage(query, self._question_watch())

        def done(answer: Any) -> None:
            if isinstance(answer, int):
                note = f"{number(answer)} folders: too many to draw unasked"
                self._days.coverage, self._days.note = {}, note
            else:
                self._days.coverage, self._days.note = answer, ""

        def failed(error: Exception) -> None:
            said = error_text(error)
            told = messages.failure(said) in (self._notice.html, self._plan_line.html)
            self._days.coverage, self._days.note = {}, "" if told else said

        self._questions.submit("coverage", work, done, failed, delay=DEBOUNCE)

    def _update_plan_line(self, query: Query, problems: list[str]) -> None:
        if problems:
            self._questions.forget("line")
            self._tell_line(messages.to_do(problems, self._days.problem))
            return

        def work() -> Any:
            if self._count_folders(query) > MAX_FOLDERS:
                return None
            self._tell_line(messages.working("Planning"))
            plan = self._backend.plan(query, self._question_watch())
            return plan, self._past_rate()

        def done(answer: tuple[Plan, float | None] | None) -> None:
            if answer is None:
                self._tell_line("Many symbols: Plan lists them all and says what they cost.")
            else:
                self._tell_line(messages.plan_line(*answer))

        def failed(error: Exception) -> None:
            said = messages.failure(error_text(error))
            # what failed is said once: below the buttons, where a question before this one met it too
            self._tell_line(messages.note("no plan yet") if said == self._notice.html else said)

        self._questions.submit("line", work, done, failed, delay=DEBOUNCE)

    def _tell_line(self, html: str) -> None:
        self._plan_line.html, self._plan_line.stale = html, False

    def _count_folders(self, query: Query) -> int:
        return count_folders(query, (row[0] for row in self._symbols.rows))

    def _past_rate(self) -> float | None:
        if not self._rate_known:
            self._rate = self._backend.bytes_per_second()
            self._rate_known = True
        return self._rate

    # ---------------------------------------------------------------- buttons

    def plan(self, query: Query) -> None:
        """Plan, and show the whole plan."""
        if self._is_incomplete(query):
            return
        self.show(messages.working("Planning"))
        self._began("plan")

        def work() -> Plan:
            try:
                return self._backend.plan(query, self._question_watch("Planning"))
            except KeyboardInterrupt:
                if "plan" not in self._tasks:  # cancelled, not replaced by another plan
                    self.show(PLAN_STOPPED)
                raise

        def done(plan: Plan) -> None:
            self._ended("plan")
            self._tell_line(messages.plan_line(plan, self._rate))
            self.show(plan_html(plan))

        def failed(error: Exception) -> None:
            self._ended("plan")
            self._show_error(error)

        self._questions.submit("plan", work, done, failed)

    def preview(self, query: Query) -> None:
        """Show what the lake holds of the query: its rows as a profile, then a chart and the months held."""
        if self._is_incomplete(query):
            return
        self._ended("plan")  # the preview replaces a plan that runs
        self.show(messages.working("Reading"))

        def done(preview: Preview) -> None:
            said = messages.preview_html(preview)
            self.show(said, page=preview.page)
            if preview.page is not None:
                self._add_overview(preview, said)

        self._questions.submit("plan", lambda: self._backend.preview(query), done, self._show_error)

    def _add_overview(self, preview: Preview, said: str) -> None:
        """Add the chart and the months held, unless something else is shown by then."""

        def done(overview: Overview) -> None:
            if self._notice.html == said:
                self._notice.html = messages.preview_html(preview, overview)

        self._questions.submit(
            "plan", lambda: self._backend.overview(preview), done, self._show_error
        )

    def pull(self, query: Query) -> None:
        """Plan, transfer and build."""
        self._move(query, "Pulling", self._backend.pull)

    def build(self, query: Query) -> None:
        """Build Silver from the Bronze files in the lake."""
        self._move(query, "Building", self._backend.build)

    def cancel(self) -> None:
        """Stop what runs as Ctrl-C would: finished files are kept, the next run does the rest."""
        if "plan" in self._tasks:
            self._questions.forget("plan")
            self._ended("plan")
            self.show(PLAN_STOPPED)
        if self._moves.busy:
            self._cancelled.set()
            self.show(messages.working("Stopping"))

    def on_tasks(self, call: Callable[[frozenset[Task]], None]) -> None:
        """Call back with the running tasks, whenever one begins or ends."""
        self._on_tasks = call

    def _began(self, task: Task) -> None:
        self._tasks.add(task)
        self._on_tasks(frozenset(self._tasks))

    def _ended(self, task: Task) -> None:
        if task in self._tasks:
            self._tasks.discard(task)
            self._on_tasks(frozenset(self._tasks))

    def _move(self, query: Query, what: str, run: Callable[[Query, Watch], Report]) -> None:
        if self._is_incomplete(query) or self._moves.busy:
            return
        self._cancelled.clear()
        self._began("move")
        self.show(messages.working(what))

        def work() -> Report | None:
            try:
                return run(query, self._watch(what, self._cancelled.is_set))
            except KeyboardInterrupt:  # raised by the watch
                return None

        def ended(html: str, *, alert: bool = False) -> None:
            self._rate_known = False
            self._ended("move")
            self.show(html, alert=alert)
            self._followed.pop("line", None)
            self.follow(query)

        def done(report: Report | None) -> None:
            ended(MOVE_STOPPED if report is None else report_html(report))

        def failed(error: Exception) -> None:
            ended(messages.failure(error_text(error)), alert=True)

        self._moves.submit("move", work, done, failed)

    # ---------------------------------------------------------------- progress and messages

    def _watch(self, what: str, stopped: Callable[[], bool]) -> Watch:
        """Return a progress callback that stops the work by raising ``KeyboardInterrupt``.

        Parameters
        ----------
        what
            What is done, shown with its progress; nothing is shown when empty.
        stopped
            Whether to stop.
        """
        last = 0.0

        def watch(step: Step) -> None:
            nonlocal last
            if stopped():
                raise KeyboardInterrupt
            now = time.monotonic()
            if what and now - last >= TICK:
                last = now
                self._notice.html = messages.progress(what, step)

        return watch

    def _question_watch(self, what: str = "") -> Watch:
        """Return a progress callback that stops a question whose answer would be dropped."""
        return self._watch(what, lambda: self._questions.stale)

    def show(self, html: str, *, alert: bool = False, page: ProfilePage | None = None) -> None:
        """Show finished HTML below the buttons, and a profile below it or none."""
        self._profile.show(page)
        self._notice.role = "alert" if alert else "status"
        self._notice.html, self._notice.stale = html, False

    def _show_error(self, error: Exception) -> None:
        self.show(messages.failure(error_text(error)), alert=True)

    def _is_incomplete(self, query: Query) -> bool:
        """Return whether the query cannot be planned yet, and show why."""
        problems = query.problems()
        if problems:
            self.show(messages.to_do(problems))
        return bool(problems)

    def idle(self, timeout: float) -> bool:
        """Wait until nothing runs; False when that takes longer than ``timeout`` seconds."""
        return self._moves.idle(timeout) and self._questions.idle(timeout)

    def close(self) -> None:
        """Stop what runs and end the threads."""
        self._cancelled.set()
        self._questions.close()
        self._moves.close()
