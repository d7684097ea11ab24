"""A Query: an immutable, offline sentence that selects files of the archive.

:class:`~cryptolake.query.Selection` is the data (frozen, JSON); :class:`Query` the grammar. Every
verb returns a new Query; a verb used again replaces its words; verbs commute. A word is checked at
its verb; whether the words agree is checked by :meth:`Query.check`; what exists, by ``lake.plan``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Concatenate, NoReturn, ParamSpec, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from cryptolake.archive.assets import ASSET_KINDS
from cryptolake.archive.enums import (
    DataType,
    Interval,
    Market,
    parse_data_type,
    parse_interval,
    parse_market,
    parse_symbol,
)
from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.archive.periods import (
    LATEST,
    DayLike,
    Days,
    days_back,
    format_days,
    parse_days,
    parse_stretch,
)
from cryptolake.archive.symbols import CONTRACTS, Universe
from cryptolake.errors import InvalidQuery, NotPublished, unknown_word
from cryptolake.render.html import drawing, never_raises, plural, some_of, text

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Selection(BaseModel):
    """What a Query holds: plain words, in the order they were given, without repeats.

    Its days are ``first`` and ``last``; or ``first`` and ``latest``, up to the newest published day; or
    ``back``, so many days, weeks, months or years up to that day. A field that is left out is not in the JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    markets: tuple[Market, ...] = ()
    data_types: tuple[DataType, ...] = ()
    intervals: tuple[Interval, ...] = ()
    symbols: tuple[str, ...] = ()
    universe: Universe | None = None
    first: date | None = None
    last: date | None = None
    latest: bool = False
    back: str | None = None

    @field_validator("back")
    @classmethod
    def _is_a_stretch(cls, back: str | None) -> str | None:
        return None if back is None else parse_stretch(back)

    @field_validator("symbols")
    @classmethod
    def _are_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(parse_symbol(symbol) for symbol in symbols)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        named = (self.first is not None, self.last is not None, self.latest, self.back is not None)
        if named not in _RANGES:
            message = (
                "a selection has both ends of its range (first and last, or first and latest), or back "
                "alone, or none of them"
            )
            raise ValueError(message)
        if self.first is not None and self.last is not None:
            Days(self.first, self.last)
        return self

    @property
    def is_open(self) -> bool:
        """Whether the range ends with the newest published day, which only the archive or the lake knows."""
        return self.latest or self.back is not None

    @property
    def days(self) -> Days | None:
        """The days asked for; None where the query names none.

        Raises
        ------
        InvalidQuery
            The range is open: its days are known when its newest day is (:meth:`Query.ending`).
        """
        if self.is_open:
            message = (
                f"the days of {''.join(_range(self))} are known when the newest published day is: "
                "lake.plan(query).query names them."
            )
            raise InvalidQuery(message, what="dates", given=self.back or self.first)
        return Days(self.first, self.last) if self.first and self.last else None

    def days_to(self, newest: date) -> Days | None:
        """Return the days asked for, given the newest published day; None where there are none.

        A range of so many days begins with the archive's first month at the earliest.
        """
        if self.back is not None:
            days = days_back(self.back, newest)
            return Days(min(max(days.first, load_matrix().first_date), newest), newest)
        if self.latest and self.first is not None:
            return Days(self.first, newest) if self.first <= newest else None
        return self.days

    def rows(self) -> list[Row]:
        """Return the matrix rows of those markets and data types that exist together."""
        matrix = load_matrix()
        pairs = ((market, data_type) for market in self.markets for data_type in self.data_types)
        return [matrix.row(*pair) for pair in pairs if pair in matrix]


_RANGES = {
    (False, False, False, False),
    (True, True, False, False),
    (True, False, True, False),
    (False, False, False, True),
}
"""Which of ``first``, ``last``, ``latest`` and ``back`` a selection may name together."""


def problems(selection: Selection, today: date) -> Iterator[str]:
    """Yield everything that keeps a selection from being planned, as seen on a UTC day."""
    if not selection.markets:
        yield f"say which markets: .markets({', '.join(repr(m.value) for m in Market)})"
    if not selection.data_types:
        yield "say which data types: .klines('1m') or .data_types('aggTrades')"
    if not selection.symbols and not selection.universe:
        yield "say which symbols: .symbols('BTCUSDT', 'ETH*') or .universe(quote='USDT')"
    if not selection.is_open and not selection.days:
        yield "say which days: .between('2024-01-01', '2024-03-31'), .since('2024-01') or .last('90d')"
    yield from _pair_problems(selection)
    yield from _interval_problems(selection)
    yield from _day_problems(selection, today)


def _pair_problems(selection: Selection) -> Iterator[str]:
    matrix = load_matrix()
    for market, data_type in itertools.product(selection.markets, selection.data_types):
        try:
            matrix.row(market, data_type)
        except InvalidQuery as error:
            yield str(error).removesuffix(".")


def _interval_problems(selection: Selection) -> Iterator[str]:
    rows = selection.rows()
    with_interval = [row for row in rows if row.has_interval]
    if rows and selection.intervals and not with_interval:
        names = ", ".join(_unique_data_types(rows))
        yield f"{names} has no interval: drop .intervals(...)"
    if with_interval and not selection.intervals:
        names = ", ".join(_unique_data_types(with_interval))
        yield f"{names} needs an interval: .intervals('1m')"
    for row in with_interval:
        for interval in selection.intervals:
            if interval not in row.all_intervals:
                have = [known.value for known in row.all_intervals]
                near = _nearest_interval(interval, row.all_intervals)
                yield (
                    f"{row.market.value} {row.data_type.value} has no interval {interval.value}; "
                    f"it has {', '.join(have)}; the nearest is {near.value}"
                )


def _nearest_interval(interval: Interval, known: tuple[Interval, ...]) -> Interval:
    order = list(Interval)
    return min(known, key=lambda other: abs(order.index(other) - order.index(interval)))


def _day_problems(selection: Selection, today: date) -> Iterator[str]:
    yesterday = today - timedelta(days=1)
    if selection.latest and selection.first and selection.first > yesterday:
        yield (
            f"the range begins on {selection.first}, after the newest day that can be published, {yesterday} "
            "(UTC): begin there or before"
        )
        return
    days = selection.days_to(yesterday) if selection.is_open else selection.days
    if not days:
        return
    if days.last > today:
        yield (
            f"{days.last} is in the future; the archive's newest day is at most the day before "
            f"{today} (UTC): end the range there"
        )
    matrix = load_matrix()
    first = min((row.first_date for row in selection.rows()), default=matrix.first_date)
    if days.first < matrix.first_date:
        yield (
            f"{days.first} is before the archive's first month; begin at {matrix.first_date} or later"
        )
    elif days.last < first:
        names = ", ".join(row.dataset for row in selection.rows())
        yield f"{names} begins at {first}, after the range {days.first} to {days.last}"


def _unique_data_types(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row.data_type.value for row in rows))


class Query:
    """A selection of markets, data types, intervals, symbols and UTC days. Pure and immutable.

    Examples
    --------
    >>> import cryptolake as cl
    >>> q = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2024-01")
    >>> q
    cl.query().markets('spot').data_types('klines').intervals('1h').symbols('BTCUSDT').between('2024-01-01', '2024-01-31')
    >>> eval(repr(q)) == q
    True
    >>> cl.Query.from_json(q.to_json()) == q
    True
    """

    __slots__ = ("_selection",)
    _selection: Selection

    def __init__(self, selection: Selection | None = None) -> None:
        object.__setattr__(self, "_selection", selection or Selection())

    # ---------------------------------------------------------------- verbs

    def markets(self, *markets: str | Iterable[str]) -> Query:
        """Say which markets: ``spot``, ``futures_um``, ``futures_cm``, ``options``.

        Parameters
        ----------
        *markets
            Words, or lists of words; they replace those said before.

        Returns
        -------
        Query
            A new query; this one stays as it is.

        Raises
        ------
        InvalidQuery
            A word that is no market.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().markets("spot", "futures_um")
        cl.query().markets('spot', 'futures_um')
        """
        return self._replace(markets=_unique(parse_market(word) for word in _flat(markets)))

    def data_types(self, *data_types: str | Iterable[str]) -> Query:
        """Say which data types, as the archive spells them (``aggTrades``) or in snake case.

        ``premiumIndex`` is taken for ``premiumIndexKlines``.

        Parameters
        ----------
        *data_types
            Words, or lists of words; they replace those said before.

        Returns
        -------
        Query
            A new query; this one stays as it is.

        Raises
        ------
        InvalidQuery
            A word that is no data type.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().data_types("agg_trades")
        cl.query().data_types('aggTrades')
        """
        return self._replace(data_types=_unique(parse_data_type(w) for w in _flat(data_types)))

    def intervals(self, *intervals: str | Iterable[str]) -> Query:
        """Say which kline intervals: ``1s`` to ``1mo`` (``1M`` is taken for ``1mo``).

        Parameters
        ----------
        *intervals
            Words, or lists of words; they replace those said before.

        Returns
        -------
        Query
            A new query; this one stays as it is.

        Raises
        ------
        InvalidQuery
            A word that is no interval.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().data_types("markPriceKlines").intervals("1h", "1M")
        cl.query().data_types('markPriceKlines').intervals('1h', '1mo')
        """
        return self._replace(intervals=_unique(parse_interval(word) for word in _flat(intervals)))

    def klines(self, *intervals: str | Iterable[str]) -> Query:
        """Say klines of these intervals: ``.data_types("klines").intervals(...)``.

        Parameters
        ----------
        *intervals
            Words, or lists of words; they replace those said before.

        Returns
        -------
        Query
            A new query; this one stays as it is.

        Raises
        ------
        InvalidQuery
            A word that is no interval.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().klines("1m", "1h")
        cl.query().data_types('klines').intervals('1m', '1h')
        """
        return self.data_types(DataType.KLINES).intervals(*intervals)

    def symbols(self, *symbols: str | Iterable[str]) -> Query:
        """Say which symbols, by name or glob (``ETH*``); case does not matter.

        Globs are matched against the archive's listing when a plan is made.

        Parameters
        ----------
        *symbols
            Names or globs, or lists of them; they replace those said before.

        Returns
        -------
        Query
            A new query; this one stays as it is.

        Raises
        ------
        InvalidQuery
            A word that cannot be a symbol.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().symbols(["btcusdt", "ETH*"])
        cl.query().symbols('BTCUSDT', 'ETH*')
        """
        return self._replace(symbols=_unique(parse_symbol(word) for word in _flat(symbols)))

    def universe(
        self,
        *,
        quote: str | Iterable[str] = (),
        contract: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        listed_on: DayLike | None = None,
        leave_out: str | Iterable[str] = (),
    ) -> Query:
        """Say which symbols by rule; together with ``symbols`` both must hold.

        Parameters
        ----------
        quote
            Quote assets, e.g. ``"USDT"``.
        contract
            Contract kinds: ``spot``, ``perpetual``, ``delivery``, ``index``, ``option``.
        exclude
            Names or globs to leave out.
        listed_on
            A UTC day on which the symbol has to be listed (delisted names included).
        leave_out
            Kinds of bases to leave out: ``stable`` (stablecoins and money), ``leveraged`` (tokens as BTCUP
            and BTCDOWN; JUP and SYRUP are coins).

        Returns
        -------
        Query
            A new query; this one stays as it is. Without any rule it has no universe.

        Raises
        ------
        InvalidQuery
            A contract kind or kind of base that does not exist, a name that cannot be a symbol, or an unreadable day.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().universe(quote="USDT", contract="perpetual", exclude="1000*")
        cl.query().universe(quote=['USDT'], contract=['perpetual'], exclude=['1000*'])
        """
        kinds = tuple(_flat((contract,)))
        for kind in kinds:
            if kind not in CONTRACTS:
                raise unknown_word("contract", kind, CONTRACTS)
        unwanted = tuple(_flat((leave_out,)))
        for kind in unwanted:
            if kind not in ASSET_KINDS:
                raise unknown_word("kind to leave out", kind, ASSET_KINDS)
        day = None if listed_on is None else parse_days(listed_on).last
        universe = Universe.model_validate(
            {
                "quote": _unique(parse_symbol(word) for word in _flat((quote,))),
                "contract": _unique(kinds),
                "exclude": _unique(parse_symbol(word) for word in _flat((exclude,))),
                "listed_on": day,
                "leave_out": _unique(unwanted),
            }
        )
        return self._replace(universe=None if universe == Universe() else universe)

    def between(self, first: DayLike, last: DayLike | None = None) -> Query:
        """Say which UTC days, both ends included; ``"2024-03"`` and ``"2024"`` stand for all their days.

        Parameters
        ----------
        first
            The first day: ``"2024-01-15"``, a date, or a datetime that is midnight UTC.
        last
            The last day, itself included. ``"latest"`` is the newest day that the archive has published for
            the query when it is asked. Left out, the range is that of ``first``.

        Returns
        -------
        Query
            A new query; this one stays as it is.

        Raises
        ------
        InvalidQuery
            A text that is no day, a datetime with another time of day, or a range that ends before it begins.

        Examples
        --------
        >>> from datetime import date
        >>> import cryptolake as cl
        >>> cl.query().between("2024-02")
        cl.query().between('2024-02-01', '2024-02-29')
        >>> cl.query().between(date(2024, 1, 15), "latest")
        cl.query().since('2024-01-15')
        """
        if last == LATEST:
            return self.since(first)
        days = parse_days(first, last)
        return self._on(first=days.first, last=days.last)

    def since(self, first: DayLike) -> Query:
        """Say a first UTC day, and all from then to the newest that the archive has published for the query.

        Which day that is, is found when the query is used: each use can see a newer one.

        Parameters
        ----------
        first
            As :meth:`between` takes it; of a month or a year, its first day.

        Returns
        -------
        Query
            A new query; this one stays as it is.

        Raises
        ------
        InvalidQuery
            A text that is no day, or a datetime with a time of day.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().klines("1h").since("2024-01")
        cl.query().data_types('klines').intervals('1h').since('2024-01-01')
        """
        return self._on(first=parse_days(first).first, latest=True)

    def last(self, stretch: str) -> Query:
        """Say so many UTC days, weeks, months or years up to the newest that the archive has published.

        Parameters
        ----------
        stretch
            ``"90d"``, ``"12w"``, ``"3mo"``, ``"1y"``. The newest published day is the last of them; months
            and years are those of the calendar, so that three months to the end of May begin on 1 March.

        Returns
        -------
        Query
            A new query; this one stays as it is.

        Raises
        ------
        InvalidQuery
            Another unit: a query's days are whole.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().data_types("trades").last("90d")
        cl.query().data_types('trades').last('90d')
        """
        return self._on(back=parse_stretch(stretch))

    def ending(self, newest: date) -> Query:
        """Return the query with plain days, given the newest published day; one that names them stays as it is.

        Parameters
        ----------
        newest
            The newest published UTC day, itself included.

        Returns
        -------
        Query
            A query whose range has a first and a last day.

        Raises
        ------
        NotPublished
            The range begins after that day.

        Examples
        --------
        >>> from datetime import date
        >>> import cryptolake as cl
        >>> cl.query().data_types("trades").last("2d").ending(date(2024, 3, 1))
        cl.query().data_types('trades').between('2024-02-29', '2024-03-01')
        """
        selection = self._selection
        if not selection.is_open:
            return self
        days = selection.days_to(newest)
        if days is None:
            message = (
                f"nothing is published for {''.join(_range(selection))}: the query's newest day is {newest}; "
                f"begin there or before: .since('{newest}')."
            )
            raise NotPublished(message, given=selection.first, nearest=newest)
        return self._on(first=days.first, last=days.last)

    def undated(self) -> Query:
        """Return the query without its days.

        Returns
        -------
        Query
            A new query; this one stays as it is.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().symbols("BTCUSDT").between("2024").undated()
        cl.query().symbols('BTCUSDT')
        """
        return self._on()

    def _on(self, **days: Any) -> Query:
        return self._replace(
            **({"first": None, "last": None, "latest": False, "back": None} | days)
        )

    def pipe(
        self, function: Callable[Concatenate[Query, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call ``function(self, ...)``, so that your own verbs can join the chain.

        Parameters
        ----------
        function
            A function whose first parameter is a query.
        *args, **kwargs
            What it takes beside.

        Returns
        -------
        object
            What the function returns.

        Examples
        --------
        >>> import cryptolake as cl
        >>> def majors(asked, quote):
        ...     return asked.symbols(f"BTC{quote}", f"ETH{quote}")
        >>> cl.query().markets("spot").pipe(majors, "USDT")
        cl.query().markets('spot').symbols('BTCUSDT', 'ETHUSDT')
        """
        return function(self, *args, **kwargs)

    # ---------------------------------------------------------------- questions

    @property
    def selection(self) -> Selection:
        """The words of the query, as frozen data."""
        return self._selection

    def problems(self, today: date | None = None) -> list[str]:
        """List everything that keeps the query from being planned; empty when it is complete.

        Parameters
        ----------
        today
            The UTC day after which days are in the future; today's when left out.

        Returns
        -------
        list of str
            A sentence a problem.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().markets("spot").klines("1h").symbols("BTCUSDT").problems()
        ["say which days: .between('2024-01-01', '2024-03-31'), .since('2024-01') or .last('90d')"]
        """
        return list(problems(self._selection, today or datetime.now(UTC).date()))

    def check(self) -> Query:
        """Check that the words agree, all problems at once; still no I/O.

        Returns
        -------
        Query
            The query itself.

        Raises
        ------
        InvalidQuery
            ``error.problems`` lists every problem.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Query().markets("futures_um").klines("1s").symbols("BTCUSDT").between(
        ...     "2024-01"
        ... ).check()
        Traceback (most recent call last):
        ...
        cryptolake.errors.InvalidQuery: futures_um klines has no interval 1s; ...
        """
        wrong = self.problems()
        if wrong:
            message = f"{'; '.join(wrong)}."
            raise InvalidQuery(message, problems=tuple(wrong), query=self)
        return self

    def to_json(self) -> str:
        """Return the query as JSON, which :meth:`from_json` reads back.

        Returns
        -------
        str
            One line; what was not said is not in it.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.query().symbols("BTCUSDT").last("90d").to_json()
        '{"symbols":["BTCUSDT"],"back":"90d"}'
        """
        return self._selection.model_dump_json(exclude_defaults=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Query:
        """Read a query that :meth:`to_json` wrote.

        Parameters
        ----------
        text
            The JSON.

        Returns
        -------
        Query
            An equal query.

        Raises
        ------
        InvalidQuery
            The text is no query; the message says which words are wrong.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Query.from_json('{"symbols":["BTCUSDT"],"back":"90d"}')
        cl.query().symbols('BTCUSDT').last('90d')
        """
        try:
            return cls(Selection.model_validate_json(text))
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(str(part) for part in item['loc']) or 'text'}: {item['msg']}"
                for item in error.errors()
            )
            message = f"this JSON is no query: {wrong}. Write one with query.to_json()."
            raise InvalidQuery(message, given=text) from None

    # ---------------------------------------------------------------- what it is

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Query) and self._selection == other._selection

    def __hash__(self) -> int:
        return hash(self._selection)

    def __repr__(self) -> str:
        return "cl.query()" + "".join(_verbs(self._selection))

    def _repr_html_(self) -> str:
        return query_html(self)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        message = f"a Query does not change; say the verb again: query = query.{name}(...)."
        raise AttributeError(message)

    def __bool__(self) -> NoReturn:
        message = "a Query has no truth value; use lake.plan(query) to see what it matches."
        raise TypeError(message)

    def __iter__(self) -> NoReturn:
        message = "a Query cannot be iterated; lake.plan(query).files lists the files it matches."
        raise TypeError(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return Query, (self._selection,)

    def _replace(self, **changes: Any) -> Query:
        words = {name: getattr(self._selection, name) for name in Selection.model_fields}
        return Query(Selection.model_validate(words | changes))


def query() -> Query:
    """Begin a query; its verbs (:class:`Query`) say the rest.

    Returns
    -------
    Query
        A query without words.

    Examples
    --------
    >>> import cryptolake as cl
    >>> cl.query().markets("spot").data_types("aggTrades")
    cl.query().markets('spot').data_types('aggTrades')
    """
    return Query()


def _flat(words: Iterable[object]) -> Iterator[str]:
    """Take words and lists of words alike; a string is one word, not its letters."""
    for word in words:
        if isinstance(word, str):
            yield word
        elif isinstance(word, Iterable):
            yield from word
        else:
            message = f"{word!r} is no word; pass text, or a list of texts."
            raise InvalidQuery(message, given=word)


def _unique(words: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(words))


def _verbs(selection: Selection) -> Iterator[str]:
    for verb in ("markets", "data_types", "intervals", "symbols"):
        words = getattr(selection, verb)
        if words:
            yield f".{verb}({', '.join(repr(str(word)) for word in words)})"
    if selection.universe:
        rule = selection.universe.model_dump(exclude_defaults=True, mode="json")
        yield f".universe({', '.join(f'{name}={value!r}' for name, value in rule.items())})"
    yield from _range(selection)


def _range(selection: Selection) -> Iterator[str]:
    if selection.back is not None:
        yield f".last({selection.back!r})"
    elif selection.latest and selection.first is not None:
        yield f".since({selection.first.isoformat()!r})"
    elif selection.days:
        first, last = format_days(selection.days)
        yield f".between({first!r}, {last!r})"


@never_raises
def query_html(query: Query) -> str:
    """Draw a query: one line for each verb, then its problems."""
    verbs = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>'
        for name, value in _card_lines(query.selection)
    )
    problems = query.problems()
    if problems:
        items = "".join(f"<li>{text(problem)}</li>" for problem in problems)
        ending = f'<h5 class="bad">To do before it can be planned</h5><ul>{items}</ul>'
    else:
        ending = (
            '<p><span class="good">complete</span> <span class="dim">lake.plan(query)</span></p>'
        )
    box = f'<div class="box"><table><tbody>{verbs}</tbody></table></div>' if verbs else ""
    return drawing("<h4>Query</h4>", box, ending)


def _card_lines(selection: Selection) -> Iterator[tuple[str, str]]:
    for name, values in (
        ("markets", selection.markets),
        ("data types", selection.data_types),
        ("intervals", selection.intervals),
        ("symbols", selection.symbols),
    ):
        if values:
            yield name, some_of(values, most=12)
    universe = selection.universe
    if universe:
        rules = [
            ("quote", some_of(universe.quote, most=8)),
            ("contract", some_of(universe.contract, most=8)),
            ("without", some_of(universe.exclude, most=8)),
            ("without", some_of(universe.leave_out, most=8)),
            ("listed on", str(universe.listed_on or "")),
        ]
        yield "universe", "; ".join(f"{rule} {value}" for rule, value in rules if value)
    if selection.back:
        yield "last", f"{selection.back}, up to the newest published UTC day"
        return
    if selection.is_open:
        yield "since", f"{selection.first}, up to the newest published UTC day"
        return
    days = selection.days
    if days:
        count = plural(len(days), "UTC day")
        yield "between", f"{days.first} and {days.last} ({count}, both ends in)"
