"""The options that commands share: a query's words, the lake they are asked of, and how files are fetched.

A command that has a parameter ``query``, ``scope``, ``lake`` or ``how`` gets, in its place, the options
that make one (:func:`shared`), so that each option is spelled and explained once.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

import typer

from cryptolake.cli.logs import logged
from cryptolake.query import Query
from cryptolake.query import query as empty_query
from cryptolake.transfer.options import PRESETS, AskedMode, TransferOptions

if TYPE_CHECKING:
    from cryptolake.lake import Lake

DEFAULT_ROOT = "~/cryptolake"

# ---------------------------------------------------------------- output

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]

Limit = Annotated[int, typer.Option("--limit", min=1, help="Rows to print; JSON is always whole.")]

Refresh = Annotated[
    bool, typer.Option("--refresh", help="Ask the archive even where a listing is cached.")
]

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write the result to a .parquet or .csv file."
    ),
]

# ---------------------------------------------------------------- a query

Words = list[str] | None
"""An option that may be repeated, and may hold several words with commas between them."""

Markets = Annotated[
    Words,
    typer.Option("--market", "-m", metavar="WORD", help="spot, futures_um, futures_cm, options."),
]

DataTypes = Annotated[
    Words,
    typer.Option(
        "--data-type", "-t", metavar="WORD", help="klines (the default), trades, aggTrades, …"
    ),
]

Intervals = Annotated[Words, typer.Option("--interval", "-i", metavar="WORD", help="1s to 1mo.")]

SymbolNames = Annotated[
    Words,
    typer.Option("--symbol", "-s", metavar="NAME", help="A name, or a glob in quotes: 'ETH*'."),
]

FirstDay = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="DAY",
        help="First UTC day: 2024-01-15; 2024-01 or 2024 for all its days.",
    ),
]

LastDay = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="DAY", help="Last UTC day, itself included; 'latest': the newest published."
    ),
]

SinceDay = Annotated[
    str | None,
    typer.Option("--since", metavar="DAY", help="First UTC day; short for --from DAY --to latest."),
]

Stretch = Annotated[
    str | None,
    typer.Option(
        "--last", metavar="90d", help="So many days (d, w, mo, y) up to the newest published one."
    ),
]

Quotes = Annotated[
    Words, typer.Option(metavar="ASSET", help="Only symbols quoted in this asset: USDT.")
]

Contracts = Annotated[
    Words,
    typer.Option(metavar="KIND", help="Only spot, perpetual, delivery, index or option symbols."),
]

Excluded = Annotated[Words, typer.Option(metavar="NAME", help="Names or globs to leave out.")]

LeftOut = Annotated[
    Words, typer.Option(metavar="KIND", help="Kinds of bases to leave out: stable, leveraged.")
]

ListedOn = Annotated[
    str | None,
    typer.Option(
        metavar="DAY", help="Only symbols listed on this UTC day, delisted ones included."
    ),
]

QueryFile = Annotated[
    Path | None,
    typer.Option(
        "--query",
        metavar="FILE",
        help="Start from a query saved as JSON ('-': standard input).",
    ),
]


def sentence(
    *,
    market: Markets = None,
    data_type: DataTypes = None,
    interval: Intervals = None,
    symbol: SymbolNames = None,
    first: FirstDay = None,
    last: LastDay = None,
    since: SinceDay = None,
    back: Stretch = None,
    quote: Quotes = None,
    contract: Contracts = None,
    exclude: Excluded = None,
    listed_on: ListedOn = None,
    leave_out: LeftOut = None,
    query_file: QueryFile = None,
) -> Query:
    """Make a query from the options; those of a file hold where an option is left out."""
    query = empty_query() if query_file is None else Query.from_json(_text_of(query_file))
    if market:
        query = query.markets(split(market))
    if data_type or query_file is None:
        query = query.data_types(split(data_type or ["klines"]))
    if interval:
        query = query.intervals(split(interval))
    if symbol:
        query = query.symbols(split(symbol))
    if quote or contract or exclude or listed_on or leave_out:
        query = query.universe(
            quote=split(quote),
            contract=split(contract),
            exclude=split(exclude),
            listed_on=listed_on,
            leave_out=split(leave_out),
        )
    return _with_days(query, first, last, since, back)


def _with_days(
    query: Query, first: str | None, last: str | None, since: str | None, back: str | None
) -> Query:
    """Add the days that the options say; they say them in one way."""
    if sum(bool(word) for word in (first or last, since, back)) > 1:
        message = "say the days once: --from and --to, or --since, or --last"
        raise typer.BadParameter(message)
    if last and not first:
        message = "--to needs --from"
        raise typer.BadParameter(message)
    if back:
        return query.last(back)
    if since:
        return query.since(since)
    return query.between(first, last) if first else query


def scope(**options: Any) -> Query | None:
    """Make a query that narrows the lake down; None, for the whole of it, when no option is given."""
    return sentence(**options) if any(options.values()) else None


scope.__signature__ = inspect.signature(sentence)  # type: ignore[attr-defined]
scope.__annotations__ = sentence.__annotations__


def split(words: Iterable[str] | None) -> tuple[str, ...]:
    """Return the words of a repeatable option.

    Examples
    --------
    >>> split(["BTCUSDT,ETHUSDT", "BNB*"])
    ('BTCUSDT', 'ETHUSDT', 'BNB*')
    """
    return tuple(word.strip() for text in words or () for word in text.split(",") if word.strip())


def _text_of(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.read()
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        message = f"cannot read the query {str(path)!r}: {why}"
        raise typer.BadParameter(message) from None


# ---------------------------------------------------------------- the lake

EndpointUrl = Annotated[
    str | None,
    typer.Option(
        envvar="CRYPTOLAKE_ENDPOINT_URL",
        metavar="URL",
        help="An S3 endpoint that stands in for the archive.",
    ),
]


def open_lake(
    *,
    root: Annotated[
        str,
        typer.Option(
            envvar="CRYPTOLAKE_ROOT",
            metavar="ROOT",
            help="The lake: a folder, or s3://bucket/prefix.",
        ),
    ] = DEFAULT_ROOT,
    endpoint_url: EndpointUrl = None,
    adopt_archive: Annotated[
        bool,
        typer.Option(
            "--adopt-archive", help="Fetch from this archive although the lake is of another."
        ),
    ] = False,
) -> Lake:
    """Open the lake at a root; nothing is touched yet."""
    from cryptolake.archive.source import Archive
    from cryptolake.lake import Lake

    return Lake(root, source=Archive(endpoint_url=endpoint_url), adopt=adopt_archive)


# ---------------------------------------------------------------- how files are fetched


def how(
    *,
    mode: Annotated[
        AskedMode,
        typer.Option(metavar="MODE", help=f"How files come: {', '.join(get_args(AskedMode))}."),
    ] = "auto",
    checksums: Annotated[
        Literal["quarantine", "accept", "raise"],
        typer.Option(
            metavar="POLICY",
            help="What to do with a file whose CHECKSUM is stale: quarantine, accept, raise.",
        ),
    ] = "quarantine",
    profile: Annotated[
        str, typer.Option(metavar="NAME", help=f"Transfer options by name: {', '.join(PRESETS)}.")
    ] = "default",
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="One transfer option, instead of the profile's; may be repeated. "
            f"Of: {', '.join(TransferOptions.model_fields)}.",
        ),
    ] = None,
) -> dict[str, Any]:
    """Return what ``lake.transfer`` takes: mode, policy and options, checked."""
    return {
        "mode": mode,
        "checksum_policy": checksums,
        "options": TransferOptions.preset(profile, **parse_assignments(option or ())),
    }


def parse_assignments(options: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` options; nothing after the ``=`` unsets one, flags for s5cmd add up.

    Examples
    --------
    >>> parse_assignments(["workers=8", "storage_class="])
    {'workers': '8', 'storage_class': None}
    >>> parse_assignments(["s5cmd_args=--request-payer requester", "s5cmd_args=--no-verify-ssl"])
    {'s5cmd_args': ['--request-payer', 'requester', '--no-verify-ssl']}
    """
    found: dict[str, Any] = {}
    for text in options:
        name, separator, value = text.partition("=")
        if not separator:
            message = f"--option takes NAME=VALUE, such as workers=8; {text!r} has no '='"
            raise typer.BadParameter(message)
        if name == "s5cmd_args":
            found[name] = [*found.get(name, ()), *value.split()]
        else:
            found[name] = value or None
    return found


# ---------------------------------------------------------------- shared options in a command's place

_MAKERS: dict[str, Callable[..., Any]] = {
    "query": sentence,
    "scope": scope,
    "lake": open_lake,
    "how": how,
}
"""The function that makes each shared parameter; its own parameters are the options."""

_PANELS = {"query": "Query", "scope": "Query", "lake": "Lake", "how": "How files come"}
"""The panel of the help that the options stand in."""


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, in place of its ``query``, ``lake`` and the like, the options that make them."""
    makers = {name: _MAKERS[name] for name in _parameters(command) if name in _MAKERS}
    logs = ("verbose",) if "lake" in makers else ()

    @functools.wraps(command)
    def run(**options: Any) -> None:
        verbose = any(options.pop(name) for name in logs)
        made = {
            name: make(**{option: options.pop(option) for option in _parameters(make)})
            for name, make in makers.items()
        }
        with logged(verbose=verbose, quiet=not logs or options.get("quiet", False)):
            command(**made, **options)

    hints: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for panel, function in (
        *((_PANELS[name], made) for name, made in makers.items()),
        *(("Lake", _log) for _ in logs),
        ("", command),
    ):
        hints |= _in_panel(_hints(function), panel)
        parameters += [p for name, p in _parameters(function).items() if name not in makers]
    parameters = [parameter.replace(annotation=hints[parameter.name]) for parameter in parameters]
    parameters.sort(key=lambda parameter: parameter.kind)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = hints | {"return": None}
    del run.__wrapped__
    return run


def _log(
    *,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Write a line a step to standard error."),
    ] = False,
) -> None:
    """Have the options of the log; :func:`shared` reads them."""


def _in_panel(hints: dict[str, Any], panel: str) -> dict[str, Any]:
    for hint in hints.values() if panel else ():
        for option in getattr(hint, "__metadata__", ()):
            option.rich_help_panel = panel
    return hints


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function's options, without those of shared parameters."""
    bare = {name: hint for name, hint in function.__annotations__.items() if name not in _MAKERS}
    bare.pop("return", None)
    holder = type("_", (), {"__annotations__": bare, "__module__": function.__module__})
    return get_type_hints(holder, vars(sys.modules[function.__module__]), include_extras=True)
