"""The picker: a Query by mouse or keyboard, beside what it costs and what it gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from cryptolake.archive.matrix import load_matrix
from cryptolake.errors import CryptolakeError, InvalidQuery
from cryptolake.picker import choices, controls, messages
from cryptolake.picker.actions import Actions
from cryptolake.picker.backend import Session
from cryptolake.query import Query

if TYPE_CHECKING:
    from cryptolake.lake import Lake


class Picker(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """A widget that holds a Query. See :func:`cryptolake.picker.picker`.

    Parameters
    ----------
    lake
        The lake to ask; nothing is asked before the widget is shown or used.
    query
        The sentence to begin with.
    """

    query = traitlets.Instance(Query)

    def __init__(self, lake: Lake, query: Query | None = None) -> None:
        today = choices.today()
        self._lake = lake
        self._markets = controls.Chips(label="Market")
        self._data_types = controls.Chips(label="Data type")
        self._intervals = controls.Chips(label="Interval")
        self._symbols = controls.Symbols(note="choose a market and a data type first")
        self._days = controls.DateRange(
            earliest=load_matrix().first_date.isoformat(),
            latest=choices.newest_day(today).isoformat(),
            presets=[list(preset) for preset in choices.presets(today, load_matrix().first_date)],
        )
        self._line = controls.Said()
        self._said = controls.Said()
        self._code = controls.Code()
        self.actions = Actions(Session(lake), self._symbols, self._days, self._line, self._said)
        self._does = self._buttons()
        self._keeps = controls.Buttons(
            {
                "Save": ("Write the selection to the file", self._save),
                "Load": ("Read the selection from the file", self._load),
            },
            label="Keep the selection",
            field="File",
            text="selection.json",
        )
        self._pushing = False
        super().__init__(
            children=[
                self._markets,
                self._data_types,
                self._intervals,
                self._symbols,
                self._days,
                self._line,
                self._does,
                self._said,
                self._code,
                self._keeps,
            ],
            query=query if query is not None else choices.beginning(today),
        )
        self.add_class("cl-picker")
        self._push()
        self._listen()

    # ---------------------------------------------------------------- the sentence

    def __repr__(self) -> str:
        return f"<Picker of {self._lake!r}: {self.query!r}>"

    def save(self, path: str | Path) -> Path:
        """Write the selection to a file (JSON, as ``query.to_json()``)."""
        target = Path(path).expanduser()
        target.write_text(self.query.to_json(), encoding="utf-8")
        return target

    def load(self, path: str | Path) -> Query:
        """Read a selection that :meth:`save` wrote, and hold it.

        Raises
        ------
        InvalidQuery
            The file's text is no query.
        """
        self.query = Query.from_json(Path(path).expanduser().read_text(encoding="utf-8"))
        return self.query

    def close(self) -> None:
        """Take the widget away and end its threads; what runs is stopped as by Cancel."""
        self.actions.close()
        super().close()

    # ---------------------------------------------------------------- page to sentence

    def _listen(self) -> None:
        self.observe(self._on_query, "query")
        self._markets.observe(
            lambda change: self._say(choices.choose_markets, change["new"]), "value"
        )
        self._data_types.observe(
            lambda change: self._say(choices.choose_data_types, change["new"]), "value"
        )
        self._intervals.observe(
            lambda change: self._say(choices.choose_intervals, change["new"]), "value"
        )
        self._symbols.observe(lambda change: self._say(_symbols, change["new"]), "value")
        self._symbols.observe(lambda change: self._say(choices.choose_rule, change["new"]), "rule")
        self._days.observe(lambda change: self._say(_between, change["new"]), "value")
        self._symbols.on_msg(self._on_message)

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind == "shown":
            self.actions.follow(self.query)
        elif kind == "listed on":
            self.actions.listed_on(self.query, str(content.get("day")))

    def _say(self, verb: Any, value: Any) -> None:
        """Put what the page says into the sentence; what cannot be said is shown and taken back."""
        if self._pushing:
            return
        try:
            self.query = verb(self.query, value)
        except CryptolakeError as error:
            self.actions.tell(messages.wrong(str(error)), alert=True)
        self._push()

    def _on_query(self, _: Any) -> None:
        self._push()
        self.actions.follow(self.query)

    # ---------------------------------------------------------------- sentence to page

    def _push(self) -> None:
        said = self.query.selection
        self._pushing = True
        try:
            _offer(self._markets, choices.market_options(), said.markets)
            _offer(self._data_types, choices.data_type_options(self.query), said.data_types)
            _offer(self._intervals, choices.interval_options(self.query), said.intervals)
            self._symbols.value = list(said.symbols)
            self._symbols.rule = choices.rule_of(self.query)
            self._days.value = (
                [said.first.isoformat(), said.last.isoformat()] if said.first and said.last else []
            )
            self._code.code = choices.code(self.query, self._lake.root)
        finally:
            self._pushing = False

    # ---------------------------------------------------------------- buttons

    def press(self, name: str) -> None:
        """Press a button by its name: Plan, Pull, Build, Preview, Cancel."""
        self._does.press(name)

    def _buttons(self) -> controls.Buttons:
        act = self.actions
        made = controls.Buttons(
            {
                "Plan": ("List what the selection needs", lambda: act.plan(self.query)),
                "Pull": ("Fetch what is missing and build it", lambda: act.pull(self.query)),
                "Build": ("Build Silver from what is here", lambda: act.build(self.query)),
                "Preview": ("Rows, chart and months held", lambda: act.preview(self.query)),
                "Cancel": ("Stop what runs", act.cancel),
            },
            label="Do it",
            disabled=["Cancel"],
        )

        def on_running(what: frozenset[str]) -> None:
            held = ["Pull", "Build"] if "move" in what else []
            made.disabled = held if what else ["Cancel"]

        act.on_running(on_running)
        return made

    def _save(self) -> None:
        try:
            path = self.save(self._keeps.text)
        except OSError as error:
            self.actions.tell(messages.wrong(f"{self._keeps.text}: {error.strerror}"), alert=True)
        else:
            self.actions.tell(messages.working(f"saved to {path}").replace(" …", ""))

    def _load(self) -> None:
        try:
            self.load(self._keeps.text)
        except OSError as error:
            self.actions.tell(messages.wrong(f"{self._keeps.text}: {error.strerror}"), alert=True)
        except (InvalidQuery, UnicodeDecodeError) as error:
            self.actions.tell(messages.wrong(str(error)), alert=True)
        else:
            self.actions.tell(messages.working(f"loaded {self._keeps.text}").replace(" …", ""))


def _offer(chips: controls.Chips, options: list[choices.Option], chosen: Any) -> None:
    chips.options = [option._asdict() for option in options]
    chips.value = [word.value for word in chosen]


def _symbols(query: Query, value: list[str]) -> Query:
    return query.symbols(*value)


def _between(query: Query, value: list[str]) -> Query:
    return query.between(*value) if len(value) == 2 else query
