"""The picker: a widget that holds a Query, with what it costs and what the lake has of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from cryptolake.archive.matrix import load_matrix
from cryptolake.errors import CryptolakeError, InvalidQuery, StorageError
from cryptolake.picker import choices, controls, messages
from cryptolake.picker.actions import Actions, Task
from cryptolake.picker.backend import Backend
from cryptolake.plot.profile_widget import ProfileWidget
from cryptolake.query import Query
from cryptolake.user_files import user_path, written_whole

if TYPE_CHECKING:
    from enum import StrEnum

    from cryptolake.lake import Lake


class Picker(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """A widget that holds a Query; :func:`cryptolake.picker` makes one.

    Parameters
    ----------
    lake
        The lake to ask; nothing is asked before the widget is shown or used.
    query
        The query to begin with.

    Examples
    --------
    >>> import cryptolake as cl
    >>> picker = cl.picker(cl.Lake("/data/lake"))
    >>> picker.query = picker.query.symbols("ETHUSDT")  # the widget follows
    >>> picker.query.selection.symbols
    ('ETHUSDT',)
    >>> picker.close()
    """

    query = traitlets.Instance(Query)

    def __init__(self, lake: Lake, query: Query | None = None) -> None:
        today = choices.today()
        self._lake = lake
        self._pushing = False
        self._make_controls(today)
        shown = self._symbols, self._days, self._plan_line, self._notice, self._profile
        self.actions = Actions(Backend(lake), *shown)
        self.actions.on_tasks(self._on_tasks)
        super().__init__(
            children=[
                self._markets,
                self._data_types,
                self._intervals,
                self._symbols,
                self._days,
                self._plan_line,
                self._action_buttons,
                self._notice,
                self._profile,
                self._code,
                self._file_buttons,
            ],
            query=query if query is not None else choices.initial_query(today),
        )
        self.add_class("cl-picker")
        self._push()
        self._listen()

    def _make_controls(self, today: date) -> None:
        first_date = load_matrix().first_date
        self._markets = controls.Chips(label="Market")
        self._data_types = controls.Chips(label="Data type")
        self._intervals = controls.Chips(label="Interval")
        self._symbols = controls.SymbolSearch(note="choose a market and a data type first")
        self._days = controls.DateRange(
            earliest=first_date.isoformat(),
            latest=choices.newest_day(today).isoformat(),
            presets=[list(preset) for preset in choices.presets(today, first_date)],
        )
        self._plan_line = controls.Notice()
        self._action_buttons = self._make_action_buttons()
        self._notice = controls.Notice()
        self._profile = ProfileWidget()
        self._code = controls.Code()
        self._file_buttons = controls.ButtonRow(
            {
                "Save": ("Write the selection to the file", self._save),
                "Load": ("Read the selection from the file", self._load),
            },
            label="Keep the selection",
            field="File",
            text="selection.json",
        )

    def _make_action_buttons(self) -> controls.ButtonRow:
        return controls.ButtonRow(
            {
                "Plan": ("List what the selection needs", lambda: self.actions.plan(self.query)),
                "Pull": (
                    "Fetch what is missing and build it",
                    lambda: self.actions.pull(self.query),
                ),
                "Build": ("Build Silver from what is here", lambda: self.actions.build(self.query)),
                "Preview": (
                    "What the lake holds of it: columns, rows, chart, months; fetches nothing",
                    lambda: self.actions.preview(self.query),
                ),
                "Cancel": ("Stop what runs", lambda: self.actions.cancel()),
            },
            label="Do it",
            disabled=["Cancel"],
        )

    # ---------------------------------------------------------------- the query

    def __repr__(self) -> str:
        return f"<Picker of {self._lake!r}: {self.query!r}>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Say beside the live view which query it held, for a page that shows the notebook without its kernel."""
        held = "<p>A picker, which needs a running notebook. It held this:</p>"
        bundle: dict[str, Any] = super()._repr_mimebundle_(**options)
        return bundle | {"text/html": held + self.query._repr_html_()}

    def _display_(self) -> Any:
        """Return what marimo shows: it has no boxes of ipywidgets, and stacks the controls itself."""
        import marimo

        return marimo.vstack(self.children)

    def save(self, path: str | Path) -> Path:
        """Write the selection to a file (JSON, as ``query.to_json()``).

        Parameters
        ----------
        path
            Where it goes.

        Returns
        -------
        pathlib.Path
            The file's path.

        Examples
        --------
        >>> import cryptolake as cl, tempfile
        >>> picker = cl.picker(cl.Lake("/data/lake"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = picker.save(f"{folder}/selection.json")
        ...     picker.load(path) == picker.query
        True
        >>> picker.close()
        """
        target = user_path(path)
        with written_whole(target, "the selection") as draft:
            draft.write_text(self.query.to_json(), encoding="utf-8")
        return target

    def load(self, path: str | Path) -> Query:
        """Read a selection that :meth:`save` wrote, and hold it.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        Query
            What the picker holds now.

        Raises
        ------
        InvalidQuery
            The file's text is no query.

        Examples
        --------
        >>> import cryptolake as cl, tempfile
        >>> from pathlib import Path
        >>> picker = cl.picker(cl.Lake("/data/lake"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "selection.json")
        ...     _ = path.write_text(picker.query.symbols("ETHUSDT").to_json())
        ...     picker.load(path).selection.symbols
        ('ETHUSDT',)
        >>> picker.close()
        """
        self.query = Query.from_json(user_path(path).read_text(encoding="utf-8"))
        return self.query

    def close(self) -> None:
        """Remove the widget and end its threads; what runs is stopped as by Cancel.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.picker(cl.Lake("/data/lake")).close()
        """
        self.actions.close()
        super().close()

    # ---------------------------------------------------------------- page to query

    def _listen(self) -> None:
        self.observe(self._on_query, "query")
        for control, trait, verb in (
            (self._markets, "value", choices.choose_markets),
            (self._data_types, "value", choices.choose_data_types),
            (self._intervals, "value", choices.choose_intervals),
            (self._symbols, "value", _symbols),
            (self._symbols, "rule", choices.choose_rule),
            (self._days, "value", _between),
        ):
            control.observe(partial(self._on_change, verb), trait)
        self._symbols.on_msg(self._on_message)

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind == "shown":
            self.actions.follow(self.query)
        elif kind == "listed on":
            self.actions.listed_on(self.query, str(content.get("day")))

    def _on_change(self, verb: Callable[[Query, Any], Query], change: Any) -> None:
        """Put a change on the page into the query; one that the query refuses is shown and undone."""
        if self._pushing:
            return
        try:
            self.query = verb(self.query, change["new"])
        except CryptolakeError as error:
            self.actions.show(messages.failure(str(error)), alert=True)
        self._push()

    def _on_query(self, _: Any) -> None:
        self._push()
        self.actions.follow(self.query)

    # ---------------------------------------------------------------- query to page

    def _push(self) -> None:
        selection = self.query.selection
        self._pushing = True
        try:
            _offer(self._markets, choices.market_options(), selection.markets)
            _offer(self._data_types, choices.data_type_options(self.query), selection.data_types)
            _offer(self._intervals, choices.interval_options(self.query), selection.intervals)
            self._symbols.value = list(selection.symbols)
            self._symbols.rule = choices.rule_of(self.query)
            self._days.value = choices.shown_days(self.query, choices.today())
            self._code.code = choices.code(self.query, _from_home(self._lake.root))
        finally:
            self._pushing = False

    # ---------------------------------------------------------------- buttons

    def press(self, name: str) -> None:
        """Press a button, as a click does.

        Parameters
        ----------
        name
            ``Plan``, ``Pull``, ``Build``, ``Preview`` or ``Cancel``.

        Examples
        --------
        >>> import cryptolake as cl
        >>> picker = cl.picker(cl.Lake("/data/lake"))
        >>> picker.press("Cancel")  # nothing runs
        >>> picker.close()
        """
        self._action_buttons.press(name)

    def _on_tasks(self, running: frozenset[Task]) -> None:
        if not running:
            self._action_buttons.disabled = ["Cancel"]
        else:
            self._action_buttons.disabled = ["Pull", "Build"] if "move" in running else []

    def _save(self) -> None:
        name = self._file_buttons.text
        try:
            path = self.save(name)
        except StorageError as error:
            self.actions.show(messages.failure(str(error)), alert=True)
        else:
            self.actions.show(messages.note(f"saved to {path}"))

    def _load(self) -> None:
        name = self._file_buttons.text
        try:
            self.load(name)
        except OSError as error:
            why = str(error) if isinstance(error, StorageError) else f"{name}: {error.strerror}"
            self.actions.show(messages.failure(why), alert=True)
        except (InvalidQuery, UnicodeDecodeError) as error:
            self.actions.show(messages.failure(str(error)), alert=True)
        else:
            self.actions.show(messages.note(f"loaded {name}"))


def _offer(chips: controls.Chips, options: list[choices.Option], chosen: Sequence[StrEnum]) -> None:
    chips.options = [option._asdict() for option in options]
    chips.value = [word.value for word in chosen]


def _symbols(query: Query, value: list[str]) -> Query:
    return query.symbols(*value)


def _between(query: Query, value: list[str]) -> Query:
    return query.between(*value) if len(value) == 2 else choices.without_days(query)


def _from_home(root: str) -> str:
    """Return a root below the user's home as ``~/...``, which fits whoever the code is given to.

    Examples
    --------
    >>> _from_home(str(Path.home() / "lake")), _from_home("s3://bucket/lake")
    ('~/lake', 's3://bucket/lake')
    """
    try:
        home = f"{Path.home()}{os.sep}"
    except RuntimeError:  # a user without one
        return root
    return f"~/{root.removeprefix(home)}" if root.startswith(home) else root
