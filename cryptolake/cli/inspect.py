"""Commands that look: what can exist, what the archive lists, what the lake holds, and SQL over it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cryptolake.archive.enums import parse_data_type, parse_market
from cryptolake.archive.source import archive_text
from cryptolake.cli import output as show
from cryptolake.cli.options import Json, Limit, Output, Refresh, shared, split
from cryptolake.errors import CorruptArchive, InvalidQuery, StorageError
from cryptolake.render.html import plural
from cryptolake.user_files import written_whole

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from cryptolake.lake import Lake
    from cryptolake.query import Query


NO_DATA = "the lake holds no data yet: cryptolake pull brings some"
_MONTH = (
    "symbol",
    "interval",
    "month",
    "rows",
    "expected",
    "missing",
    "causes",
    "rejects",
    "verdict",
)
"""What a month's quality is about, where not all of it has room."""


def add_to(app: typer.Typer) -> None:
    """Register this module's commands."""
    looking = (matrix, symbols, datasets, status, freshness, runs, quality, gaps, ids)
    for command in (*looking, verify, compact, describe, views, export, sql):
        app.command()(shared(command))


def matrix(
    *,
    market: Annotated[
        list[str] | None, typer.Option("--market", "-m", metavar="WORD", help="Only these.")
    ] = None,
    json: Json = False,
) -> None:
    """Show which data can exist, market by market."""
    import polars as pl

    import cryptolake as cl

    frame = cl.matrix()
    if market:
        chosen = [parse_market(word).value for word in split(market)]
        frame = frame.filter(pl.col("market").is_in(chosen))
    if json:
        show.as_json(frame)
        return
    columns = ("market", "data_type", "status", "first_date", "partitions", "intervals")
    show.table(frame.select(columns), about=columns)


def symbols(
    lake: Lake,
    *,
    market: Annotated[
        str, typer.Option("--market", "-m", metavar="WORD", help="spot, futures_um, …")
    ] = "spot",
    data_type: Annotated[
        str, typer.Option("--data-type", "-t", metavar="WORD", help="klines, trades, …")
    ] = "klines",
    quote: Annotated[
        str | None, typer.Option(metavar="ASSET", help="Only those quoted in: USDT.")
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Only spot, perpetual, delivery, index or option."),
    ] = None,
    listed_on: Annotated[
        str | None, typer.Option(metavar="DAY", help="Only those listed on this UTC day.")
    ] = None,
    spans: Annotated[
        bool,
        typer.Option("--spans", help="Each symbol's first and last day; asks about every one."),
    ] = False,
    refresh: Refresh = False,
    json: Json = False,
) -> None:
    """Show the symbols that the archive lists."""
    found = lake.symbols(
        parse_market(market).value,
        parse_data_type(data_type).value,
        quote=quote,
        contract=contract,
        listed_on=listed_on,
        spans=spans,
        refresh=refresh,
    )
    about = ("symbol", "contract", "first", "last", "status")
    show.either(found, json=json, about=about, nothing="no symbol matches")


def datasets(lake: Lake, *, json: Json = False) -> None:
    """Show the datasets that the lake holds."""
    about = ("zone", "dataset", "intervals", "first", "last", "bytes", "rows")
    show.either(lake.datasets(), json=json, about=about, nothing=NO_DATA, lake=lake)


def status(
    lake: Lake,
    *,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print metrics in the text format of Prometheus.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the metrics there, at once or not at all."
        ),
    ] = None,
    fail_if_behind: Annotated[
        str | None,
        typer.Option(
            "--fail-if-behind",
            metavar="STRETCH",
            help="Exit code 1 where a dataset is further behind than 2d, 1w, …, or the lake holds none.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show which archive the lake is of, how fresh and how whole it is.

    Only the lake is asked, not the archive.
    """
    limit = None if fail_if_behind is None else _days_of(fail_if_behind)
    _refuse_two_formats(prometheus=prometheus, json=json, output=output)
    if json or prometheus:
        show.absence(lake, json=True)
    found = None if prometheus and limit is None else lake.status()
    if prometheus:
        _keep_metrics(lake.metrics(), output)
    elif found is not None and json:
        show.as_json(found)
    elif found is not None:
        show.echo(f"archive: {_archive_of(lake)}")
        about = ("dataset", "newest", "behind", "quarantined", "rejects", "damaged")
        show.table(found.drop("archive"), about=about, nothing=show.nothing_in(lake, NO_DATA))
    if limit is not None and found is not None:
        _exit_if_behind(found, limit)


def _archive_of(lake: Lake) -> str:
    from cryptolake.listing.identity import archive_of
    from cryptolake.storage.lake_format import archive_is_lost

    own = archive_of(lake.context)
    if own is None and archive_is_lost(lake.storage):
        return "not known, since meta/lake.json is damaged"
    return archive_text(lake.source, own)


def _refuse_two_formats(*, prometheus: bool, json: bool, output: Path | None) -> None:
    if output is not None and not prometheus:
        message = "--output is for --prometheus; of the table, write --json to a file"
        raise typer.BadParameter(message)
    if prometheus and json:
        message = "--prometheus and --json are two formats: say one"
        raise typer.BadParameter(message)


def _days_of(stretch: str) -> int:
    """Read a number of days or weeks, as a query's ``last`` does."""
    found = re.fullmatch(r"(\d{1,5})([dw])", stretch.strip())
    if found is None:
        message = f"cannot read {stretch!r} as a number of days: write 2d or 1w"
        raise typer.BadParameter(message, param_hint="--fail-if-behind")
    return int(found[1]) * {"d": 1, "w": 7}[found[2]]


def _keep_metrics(text: str, output: Path | None) -> None:
    """Print metrics, or write them beside their file and rename them, so that no reader sees half of them."""
    if output is None:
        show.echo(text, nl=False)
        return
    with written_whole(
        output, "the metrics"
    ) as draft:  # its name is not *.prom: no collector reads it
        draft.write_text(text, "utf-8")
        draft.chmod(0o644)  # node_exporter runs as another user


def _exit_if_behind(found: pl.DataFrame, limit: int) -> None:
    held = found.filter(~found["dataset"].str.starts_with("gold."))
    late = held.filter(held["behind"].is_null() | (held["behind"] > limit))
    for dataset, behind in late.select("dataset", "behind").iter_rows():
        days = (
            "holds no file"
            if behind is None
            else f"{plural(behind, 'day')} behind, more than {limit}"
        )
        show.echo(f"cryptolake: {dataset}: {days}", err=True)
    if held.is_empty():
        show.echo(f"cryptolake: {NO_DATA}", err=True)
    if held.is_empty() or not late.is_empty():
        raise typer.Exit(1)


def runs(lake: Lake, *, json: Json = False) -> None:
    """Show the runs that wrote to the lake.

    One row a run; ``lost`` is one that was killed, or has been quiet for ten minutes.
    """
    about = ("kind", "state", "started_at", "seconds", "files", "bytes", "failed", "note")
    nothing = "no run has written here yet"
    show.either(lake.runs(), json=json, about=about, nothing=nothing, lake=lake)


def compact(lake: Lake, *, json: Json = False) -> None:
    """Merge the files of the lake's own tables.

    Runs do so by themselves when there are many; this leaves one a table.
    """
    show.either(lake.compact(), json=json, nothing="nothing to merge", lake=lake)


def freshness(lake: Lake, *, refresh: Refresh = False, json: Json = False) -> None:
    """Show how far the archive and the lake are behind.

    By market and data type held, in days; asks the archive's listing.
    """
    about = ("market", "data_type", "archive_newest", "lake_newest", "lake_behind", "status")
    found = lake.freshness(refresh=refresh)
    show.either(found, json=json, about=about, nothing=NO_DATA, lake=lake)


def quality(
    query: Query,
    lake: Lake,
    *,
    page: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE", help="Also write all of it as one HTML page."),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="KIND",
            help="Exit code 1 where it occurs: any, missing, unknown, archive_gap, rejects, …",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Print the months that are whole, too.")
    ] = False,
    refresh: Refresh = False,
    json: Json = False,
) -> None:
    """Show gaps, duplicates and rejects by month: a sentence first, then the months to look at."""
    from cryptolake.quality.verdict import WHOLE, check_kinds, failing, summary, worst_first

    kinds = split(fail_on or [])
    check_kinds(kinds)
    show.absence(lake, json=json)
    found = lake.quality(query.check(), refresh=refresh)
    bad = failing(found, kinds)
    if json:
        show.as_json(found)
    else:
        show.text(summary(found))
        shown = worst_first(found if every else found.filter(found["verdict"] != WHOLE))
        if not shown.is_empty():
            show.table(shown, about=_MONTH)
    if page is not None:
        show.echo(f"wrote {lake.quality_page(query, page)}", err=True)
    if not bad.is_empty():
        raise typer.Exit(1)


def gaps(query: Query, lake: Lake, *, refresh: Refresh = False, json: Json = False) -> None:
    """Show each gap of a query's klines, with its cause."""
    show.absence(lake, json=json)
    about = ("symbol", "interval", "first", "last", "bars", "cause", "evidence")
    found = lake.gaps(query.check(), refresh=refresh)
    show.either(found, json=json, about=about, nothing=show.no_gaps(query))


def ids(query: Query, lake: Lake, *, json: Json = False) -> None:
    """Show holes and repeats in trade and aggregate ids."""
    show.absence(lake, json=json)
    has_ids = {"trades", "aggTrades"} & {kind.value for kind in query.selection.data_types}
    nothing = (
        "no holes and no repeats" if has_ids else "only trades and aggTrades have ids: -t trades"
    )
    show.either(lake.ids(query.check()), json=json, nothing=nothing)


def verify(
    scope: Query | None,
    lake: Lake,
    *,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="DATA_TYPE",
            help="Rebuild the query's klines from trades, aggTrades or finer klines; show differences.",
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Take damaged files out, so that the next pull gets them; build damaged months again.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Hash Bronze and Silver again and compare with what was recorded.

    The whole lake when no option narrows it; exit code 1 when a file differs or is gone, or a segment of the
    lake's own tables is damaged. A file without a record is shown, and is no failure.
    """
    show.absence(lake, json=json)
    found = lake.verify(scope, against=against, repair=repair)
    if against is None:
        bad = found.filter(found["status"].is_in(["damaged", "gone"]))
        if json:
            show.as_json(found)
        else:
            _audited(found, bad)
    else:
        bad = found
        show.either(found, json=json)
    if not bad.is_empty():
        raise typer.Exit(1)


_CORRUPT = re.compile(r"CorruptArchive: (.+)")
"""What DuckDB passes on of an error of the reader of zips."""


def _audited(found: pl.DataFrame, bad: pl.DataFrame) -> None:
    told = found.filter(found["status"] != "ok")
    if not told.is_empty():
        show.table(told, about=("key", "path", "status", "reason"))
    unrecorded = told.height - bad.height
    more = f", {plural(unrecorded, 'has', 'have')} no record" if unrecorded else ""
    show.text(
        f"{plural(found.height - told.height, 'file is', 'files are')} as recorded, {plural(bad.height, 'is', 'are')} not{more}"
    )


def describe(
    lake: Lake,
    market: Annotated[str, typer.Argument(help="spot, futures_um, futures_cm, options.")],
    data_type: Annotated[str, typer.Argument(help="klines, trades, metrics, …")] = "klines",
    *,
    json: Json = False,
) -> None:
    """Show a dataset's columns and their meaning."""
    found = lake.describe(market, data_type)
    if json:
        show.as_json(found.to_dict())
        return
    for name, fact in found.facts():
        show.text(f"{name:<12}{fact}", " " * 12)
    show.echo()
    columns = ("published", "name", "silver_type", "unit", "meaning")
    show.table(found.columns.select(columns), about=("name", "unit", "meaning"))
    show.echo()
    for quirk in found.quirks:
        show.text(f"- {quirk}")


def views(
    lake: Lake,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also views of what the lake does not hold.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the views that SQL has, and what each holds.

    silver.spot_klines_1h has the bars of one interval; silver.spot_klines has all of them, so a sum over it
    counts each time several times.
    """
    import polars as pl

    found = lake.views()
    if not every:
        held = lake.datasets()
        names = set(held["dataset"])
        for dataset, intervals in held.select("dataset", "intervals").iter_rows():
            names |= {f"{dataset}_{interval}" for interval in intervals}
        found = found.filter(pl.col("view").is_in(list(names)) | (pl.col("schema") == "meta"))
    if json:
        show.as_json(found)
        return
    for schema, view, holds in found.iter_rows():
        show.text(f"{schema}.{view}\n    {holds}", " " * 4)


def export(
    query: Query,
    lake: Lake,
    *,
    folder: Annotated[
        Path,
        typer.Option("--folder", metavar="FOLDER", help="Where the files go; made when absent."),
    ],
    format: Annotated[  # noqa: A002
        Literal["parquet", "csv", "arrow"], typer.Option(help="The format.")
    ] = "parquet",
    each: Annotated[
        Literal["symbol", "all"], typer.Option(help="A file a symbol, or one of all.")
    ] = "symbol",
    of: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="The rows of a recipe of Gold, not Silver's."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier export wrote there.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the lake's rows of a query as files for other programs.

    With a README of columns, units, sources and the lock id beside them. Nothing is fetched: pull first.
    """
    show.absence(lake, json=json)
    asked = query.data_types() if of else query  # the recipe says which
    found = lake.export(asked, folder, format, each, of=of, overwrite=overwrite)
    nothing = "the lake holds no rows of this query: cryptolake pull brings them"
    show.either(found, json=json, about=("path", "rows", "bytes"), nothing=nothing)


def _given(words: list[str] | None) -> dict[str, str] | list[str] | None:
    """Return the values of ``--param``: ``name=value`` each, or values alone, in their order."""
    if not words:
        return None
    named = [re.fullmatch(r"([A-Za-z_]\w*)=(.*)", word, re.DOTALL) for word in words]
    found = {match[1]: match[2] for match in named if match}
    if not found:
        return words
    if len(found) < len(words):
        message = "each --param is name=value, for $name, or each is a value, for ?"
        raise typer.BadParameter(message)
    return found


def sql(
    lake: Lake,
    text: Annotated[str, typer.Argument(help="The statement; '-' reads it from standard input.")],
    *,
    json: Json = False,
    output: Output = None,
    limit: Limit = 40,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", "-p", metavar="VALUE", help="A value: name=value for $name, or for ?."
        ),
    ] = None,
) -> None:
    """Ask the lake in SQL.

    The views are bronze.*, silver.*, gold.* and meta.* (cryptolake views), the dialect is DuckDB's.
    silver.spot_klines has the bars of every interval: sum over silver.spot_klines_1h and its like.

    Example: cryptolake sql "select max(high) from silver.spot_klines_1h where symbol = $s" -p s=BTCUSDT
    """
    import duckdb

    statement = _statement(text)
    if output is not None:
        show.kind_of(output)  # before anything is asked
    given = _given(param)
    show.absence(lake, json=True)  # beside the result, which may be for another program
    try:
        if output is not None:
            _write(lake.sql(statement, given), output)
        else:
            asked = lake.connect().execute(statement, given)
            names = [str(column[0]) for column in asked.description or ()]
            if json:
                show.rows_as_json(_rows(asked, names))
            else:
                show.rows(names, asked.fetchmany(limit + 1), limit)
    except duckdb.IOException as error:
        message = f"DuckDB cannot read or write a file: {error}"
        raise StorageError(message) from None
    except duckdb.Error as error:
        # A large zip may be found damaged while it is read.
        if found := _CORRUPT.search(str(error)):
            raise CorruptArchive(found[1]) from None
        raise InvalidQuery(str(error), given=statement) from None


def _statement(text: str) -> str:
    statement = sys.stdin.read() if text == "-" else text
    if not statement.strip():
        message = 'say what to ask: cryptolake sql "from silver.spot_klines_1h limit 5"'
        raise typer.BadParameter(message)
    return statement


def _write(relation: duckdb.DuckDBPyRelation, output: Path) -> None:
    if show.kind_of(output) == ".csv":
        relation.write_csv(str(output))
    else:
        relation.write_parquet(str(output), compression="zstd")
    show.echo(f"wrote {output}", err=True)


def _rows(asked: duckdb.DuckDBPyConnection, names: list[str]) -> Iterator[dict[str, Any]]:
    while rows := asked.fetchmany(10_000):
        for row in rows:
            yield dict(zip(names, row, strict=True))
