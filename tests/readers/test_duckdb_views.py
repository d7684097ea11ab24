"""DuckDB sees every dataset in bronze and silver, whether it has files or not, and touches few of them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import duckdb
import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.keys import ArchiveKey
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Period
from cryptolake.archive.schemas import schema_of
from cryptolake.errors import InvalidQuery, StorageError
from cryptolake.lake import Lake
from cryptolake.listing.context import LakeContext
from cryptolake.readers.conversions import to_polars
from cryptolake.readers.duckdb_views import connect, refresh
from cryptolake.readers.view_sql import sql_type
from cryptolake.storage.files import open_storage
from tests.readers.lakes import (
    build_all,
    days,
    header,
    klines_key,
    klines_text,
    plan_of,
    put,
    put_days,
    sql,
)

ROWS = {row.dataset: row for row in load_matrix().rows}
WEEK = days("2024-01-29", 7)  # it lies in two months


@pytest.fixture
def lake(tmp_path):
    """A lake that was pulled: two symbols, a week of 1m bars each, 60 a day."""
    lake = Lake(tmp_path / "lake")
    put_days(lake.storage, lake.meta, ["BTCUSDT", "ETHUSDT"], WEEK, rows=60)
    build_all(lake.storage, lake.meta)
    return lake


def views_of(connection, schema):
    found = sql(connection, f"SELECT view_name FROM duckdb_views() WHERE schema_name = '{schema}'")
    return {name for (name,) in found}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A connection to a lake that holds nothing."""
    storage = open_storage(tmp_path_factory.mktemp("empty") / "lake")
    return connect(LakeContext.of(storage))


@pytest.mark.parametrize("dataset", ROWS)
def test_an_empty_lake_has_typed_views_of_every_dataset(empty, dataset):
    row = ROWS[dataset]
    schema = schema_of(row.market, row.data_type)
    silver = dict(sql(empty, f"SELECT column_name, column_type FROM (DESCRIBE silver.{dataset})"))
    assert list(silver) == ["market", "symbol", "interval", *schema.silver_names, "month"]
    assert silver[schema.time] == "TIMESTAMP WITH TIME ZONE"
    bronze = dict(sql(empty, f"SELECT column_name, column_type FROM (DESCRIBE bronze.{dataset})"))
    published = {n: sql_type(t) for n, t in schema.published_dtypes().items()}
    assert bronze.items() >= published.items()
    assert len(bronze) == len(published) + 4
    assert sql(empty, f"FROM silver.{dataset}") == sql(empty, f"FROM bronze.{dataset}") == []


@pytest.mark.parametrize("dataset", [name for name, row in ROWS.items() if row.has_interval])
def test_every_interval_has_a_view_of_its_own(tmp_path, dataset):
    row = ROWS[dataset]
    lake = Lake(tmp_path / "lake")
    begin = date(2024, 1, 1)
    keys = {
        interval.value: ArchiveKey(
            row.market,
            row.data_type,
            "BTCUSDT",
            interval,
            Period(begin, row.partitions_of(interval)[-1]),
        ).key
        for interval in row.all_intervals
    }
    assert len(keys) == (16 if row.market == "spot" else 15)
    put(lake.storage, lake.meta, {key: klines_text(begin, 1) for key in keys.values()})
    build_all(lake.storage, lake.meta)
    con = lake.connect()
    for interval, key in keys.items():
        assert sql(con, f'SELECT key FROM bronze."{dataset}_{interval}"') == [(key,)]
        assert sql(con, f'SELECT interval FROM silver."{dataset}_{interval}"') == [(interval,)]
    (held,) = lake.datasets().filter(zone="silver")["intervals"].to_list()
    assert held == list(keys)


def test_an_empty_lake_has_a_view_of_every_interval(empty):
    names = {
        f"{row.dataset}_{interval.value}" for row in ROWS.values() for interval in row.all_intervals
    }
    assert len(names) == 16 + 8 * 15
    for schema in ("bronze", "silver"):
        assert views_of(empty, schema) == names | set(ROWS)
        assert sql(empty, f"FROM {schema}.futures_cm_mark_price_klines_1mo") == []


def test_an_empty_lake_has_its_tables(empty):
    assert views_of(empty, "meta") == {
        *(
            "files",
            "quarantine",
            "runs",
            "transfers",
            "throughput",
            "lineage",
            "months",
            "sources",
            "rejects",
            "findings",
        )
    }
    for table in views_of(empty, "meta"):
        assert sql(empty, f"FROM meta.{table}") == []
    assert sql(empty, "SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'gold'") == [(1,)]


def test_bronze_is_read_in_place_as_published(lake):
    con = lake.connect()
    found = sql(
        con,
        "SELECT symbol, count(*), min(open_time), max(close) FROM bronze.spot_klines GROUP BY 1 ORDER BY 1",
    )
    begin = 1706486400000
    assert found == [("BTCUSDT", 420, begin, 159.0), ("ETHUSDT", 420, begin, 259.0)]
    (row,) = sql(
        con, "SELECT key, market, symbol, interval, ignore FROM bronze.spot_klines_1m LIMIT 1"
    )
    assert row == (klines_key("BTCUSDT", WEEK[0]), "spot", "BTCUSDT", "1m", 0.0)


def test_headered_and_headerless_files_read_alike(lake):
    text = klines_text(WEEK[0], 3)
    keys = [klines_key("BTCUSDT", day, market="futures_um") for day in WEEK[:2]]
    texts = [text, header("futures_um", "klines") + text]
    put(lake.storage, lake.meta, dict(zip(keys, texts, strict=True)))
    found = sql(
        lake.connect(),
        "SELECT key, count(*), sum(close) FROM bronze.futures_um_klines GROUP BY 1 ORDER BY 1",
    )
    assert found == [(keys[0], 3, 303.0), (keys[1], 3, 303.0)]


def test_odd_cells_and_lines_are_shown_not_fatal(lake):
    key = klines_key("XUSDT", WEEK[0])
    good = klines_text(WEEK[0], 1).strip()
    lines = [good, good.replace("101.0", "no number"), good + ",more", good.rsplit(",", 3)[0], '""']
    put(lake.storage, lake.meta, {key: "\n".join(lines)})
    found = sql(
        lake.connect(),
        "SELECT open, high, count, ignore FROM bronze.spot_klines WHERE symbol = 'XUSDT'",
    )
    assert found == [
        *((100.0, 101.0, 7, 0.0), (100.0, None, 7, 0.0), (100.0, 101.0, 7, 0.0)),
        *((100.0, 101.0, 7, None), (None, None, None, None)),
    ]


def test_a_question_about_one_symbol_opens_no_other_zip(lake):
    text = plan_of(
        lake.connect(), "SELECT count(*) FROM bronze.spot_klines WHERE symbol = 'ETHUSDT'"
    )
    assert "Scanning Files: 7/16" in text
    text = plan_of(
        lake.connect(), "SELECT count(*) FROM bronze.spot_klines WHERE key LIKE '%2024-02-01%'"
    )
    assert "Scanning Files: 2/16" in text


def test_silver_is_typed_and_says_market_symbol_and_interval(lake):
    con = lake.connect()
    (row,) = sql(
        con,
        "SELECT market, symbol, interval, open_time, close FROM silver.spot_klines ORDER BY symbol DESC, open_time LIMIT 1",
    )
    assert row == ("spot", "ETHUSDT", "1m", datetime(2024, 1, 29, tzinfo=UTC), 200.0)
    assert sql(con, "SELECT count(*) FROM silver.spot_klines_1m") == [(840,)]


def test_a_question_about_one_symbol_opens_no_other_silver_file(lake):
    text = plan_of(
        lake.connect(), "SELECT sum(volume) FROM silver.spot_klines WHERE symbol = 'ETHUSDT'"
    )
    assert "Scanning Files: 2/4" in text
    text = plan_of(
        lake.connect(), "SELECT sum(volume) FROM silver.spot_klines WHERE interval = '1h'"
    )
    assert "Scanning Files: 2/4" not in text
    assert "Scanning Files: 4/4" not in text


def test_the_plan_through_the_view_is_the_one_written_by_hand(lake):
    con = lake.connect()
    by_hand = f"read_parquet('{lake.root}/silver/market=spot/data_type=klines/*/*/*.parquet')"
    question = "SELECT symbol, avg(close) FROM {} WHERE open_time < '2024-02-01' GROUP BY symbol"
    plans = []
    for source in ("silver.spot_klines", by_hand):
        text = str(sql(con, f"EXPLAIN {question.format(source)}")[0][1])
        plans.append(
            [
                word
                for word in ("UNION", "FILTER", "READ_PARQUET", "HASH_GROUP_BY")
                if word in text.upper().replace(" ", "_")
            ]
        )
    assert plans[0] == plans[1]


def test_lake_sql_takes_a_from_first_question_and_sees_what_came_since(lake):
    question = "from silver.spot_klines where symbol = 'BTCUSDT' and interval = '1m'"
    first = lake.sql(question)
    assert len(first.fetchall()) == 420
    put_days(lake.storage, lake.meta, ["BTCUSDT"], days("2024-03-01", 1), rows=60)
    build_all(lake.storage, lake.meta)
    assert len(lake.sql(question).fetchall()) == 480


def test_a_dataset_that_comes_later_is_seen_by_an_open_connection(tmp_path):
    lake = Lake(tmp_path / "lake")
    con = lake.connect()
    assert sql(con, "SELECT count(*) FROM silver.spot_klines") == [(0,)]
    put_days(lake.storage, lake.meta, ["BTCUSDT"], WEEK[:1], rows=5)
    build_all(lake.storage, lake.meta)
    for _ in range(2):
        assert sql(
            con, "SELECT count(*), max(close) FROM silver.spot_klines WHERE symbol = 'BTCUSDT'"
        ) == [(5, 104.0)]
        assert sql(con, "SELECT count(*) FROM silver.spot_klines_1m") == [(5,)]
        assert sql(con, "SELECT count(*) FROM bronze.spot_klines_1m") == [(5,)]
        assert sql(con, "SELECT key FROM meta.files") == [(klines_key("BTCUSDT", WEEK[0]),)]
        refresh(con, lake.context)


def test_relations_can_be_read_in_any_order(lake):
    first, second = lake.sql("from silver.spot_klines"), lake.sql("from meta.files")
    rows = iter(first.limit(3).iter_rows(1))
    next(rows)
    assert len(second.fetchall()) == 14
    assert len(lake.sql("from bronze.spot_klines").limit(3).fetchall()) == 3
    assert len(list(rows)) == 2


def test_a_relation_becomes_a_polars_frame_without_pyarrow(lake):
    frame = to_polars(
        lake.sql(
            "select symbol, open_time, close, open_time - min(open_time) over () as age from silver.spot_klines order by all limit 2"
        )
    )
    assert frame.schema["open_time"] == pl.Datetime("us", "UTC")
    assert frame["age"].to_list() == ["00:00:00", "00:01:00"]


def test_meta_files_has_each_files_newest_row(lake):
    key = klines_key("BTCUSDT", WEEK[0])
    lake.meta.append("files", [{"key": key, "event": "stored", "run_id": "second"}])
    lake.meta.append("files", [{"key": klines_key("BTCUSDT", WEEK[1]), "event": "removed"}])
    con = lake.connect()
    found = sql(con, "SELECT key, run_id FROM meta.files ORDER BY key")
    assert found == lake.meta.ledger().select("key", "run_id").sort("key").rows()
    assert (key, "second") in found
    assert len(found) == 13


def test_a_repeated_segment_is_not_counted_twice(lake):
    (entry,) = lake.storage.list("meta/sources")
    rows = lake.meta.read("sources").height
    stamp, _, digest = entry.path.rsplit("-", 2)
    lake.storage.write(f"{stamp}-00000000-{digest}", lake.storage.read(entry.path))
    assert lake.meta.read("sources").height == rows
    assert sql(lake.connect(), "SELECT count(*) FROM meta.sources") == [(rows,)]


def test_extra_columns_of_some_files_are_there_as_text(tmp_path):
    lake = Lake(tmp_path / "lake")
    line = "1704067200000,8,0.0001"
    key = "data/futures/um/monthly/fundingRate/{0}/{0}-fundingRate-2024-01.zip"
    names = header("futures_um", "fundingRate").strip()
    texts = {
        key.format("AUSDT"): f"{names}\n{line}\n",
        key.format("BUSDT"): f"{names},remark,month\n{line},odd,May\n",
    }
    put(lake.storage, lake.meta, texts)
    build_all(lake.storage, lake.meta)
    # ``month`` is ours, by which a question opens few files; a file's own has another name.
    names = "symbol, funding_rate, remark, month, published_month"
    for view in ("silver.futures_um_funding_rate", "q"):
        asked = cl.query().markets("futures_um").data_types("fundingRate")
        assert lake.sql(f"select {names} from {view} order by 1", query=asked).fetchall() == [
            ("AUSDT", 0.0001, None, "2024-01", None),
            ("BUSDT", 0.0001, "odd", "2024-01", "May"),
        ]


def test_gold_recipes_have_views(lake, tmp_path):
    folder = tmp_path / "lake" / "gold" / 'dollar "bars"' / "market=spot"
    folder.mkdir(parents=True)
    pl.DataFrame({"a": [1, 2]}).write_parquet(folder / "x.parquet")
    assert len(lake.sql('from gold."dollar ""bars"""').fetchall()) == 2


def test_a_recipe_of_which_nothing_was_made_is_an_empty_view(lake):
    text = "select column_name, column_type from (describe gold.basis)"
    types = dict(lake.sql(text).fetchall())
    assert list(types)[:3] == ["market", "symbol", "interval"]
    assert "TIMESTAMP WITH TIME ZONE" in types.values()
    con = lake.connect()
    assert dict(sql(con, text)) == types
    assert sql(con, "from gold.basis") == []
    daily = [name for name, *_ in sql(con, "describe gold.daily")]
    assert (daily[:4], sql(con, "from gold.daily")) == (
        ["market", "symbol", "interval", "open_time"],
        [],
    )


ODD_NAMES = [
    "with space",
    "it's",
    "star*x",
    "br[ack]et",
    "sem;i",
    "new\nline",
    "<i x=1>",
    "q?m",
    'dq"x',
    "hash#x",
    "pct%20",
    "龙虾",
    "brace{a,b}",
    "x'); DROP SCHEMA silver; --",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_root_with_an_odd_name_is_read_and_its_neighbours_are_not(tmp_path, name):
    for root, rows in [(name, 4), ("star_x", 5), ("bra", 5), ("qXm", 5)]:
        lake = Lake(tmp_path / root)
        put_days(lake.storage, lake.meta, ["BTCUSDT"], WEEK[:1], rows=rows)
        build_all(lake.storage, lake.meta)
    lake = Lake(tmp_path / name)
    for table in ("bronze.spot_klines", "silver.spot_klines", "silver.spot_klines_1m"):
        assert lake.sql(f"select count(*), max(close) from {table}").fetchall() == [(4, 103.0)]
    assert lake.sql("select count(*) from meta.files").fetchall() == [(1,)]


def test_a_kept_file_serves_silver_and_meta_to_plain_duckdb(lake, tmp_path):
    path = tmp_path / "views.duckdb"
    lake.connect(path).close()
    with duckdb.connect(str(path)) as plain:
        assert sql(plain, "SELECT count(*) FROM silver.spot_klines WHERE symbol = 'BTCUSDT'") == [
            (420,)
        ]
        assert sql(plain, "SELECT count(*) FROM meta.files") == [(14,)]
        assert sql(plain, "SELECT count(*) FROM silver.futures_cm_metrics") == [(0,)]
        with pytest.raises(duckdb.Error):
            sql(plain, "FROM bronze.spot_klines")
    with lake.connect(path) as again:
        assert sql(again, "SELECT count(*) FROM bronze.spot_klines") == [(840,)]


def test_a_path_that_is_no_duckdb_file_is_refused_in_words(lake, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database at all, " * 1000)
    with pytest.raises(StorageError, match=r"cannot keep the views in .*notes\.txt"):
        lake.connect(path)


def test_nothing_is_downloaded_at_query_time(empty):
    assert sql(empty, "SELECT current_setting('autoinstall_known_extensions')") == [(False,)]


def test_a_process_that_asked_in_sql_ends_quietly(lake):
    code = (
        "import cryptolake as cl\nfrom cryptolake.readers.conversions import to_polars\n"
        f"relation = cl.Lake({lake.root!r}).sql('from bronze.spot_klines limit 1')\n"
        "print(relation.fetchall(), to_polars(relation))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_parameters_are_values_by_name_or_by_place(lake):
    named = "select symbol, count(*) from silver.spot_klines_1m where symbol = $s group by 1"
    assert lake.sql(named, {"s": "BTCUSDT"}).fetchall() == [("BTCUSDT", 420)]
    assert lake.sql(named, {"s": "x' or true --"}).fetchall() == []
    placed = "select count(*) from silver.spot_klines_1m where symbol = ? and close >= ?"
    assert lake.sql(placed, ["ETHUSDT", 259]).fetchall() == [(7,)]
    assert lake.sql(named, {"s": "BTCUSDT"}).filter("symbol > 'C'").fetchall() == []
    with pytest.raises(duckdb.Error, match="s"):
        lake.sql(named, {"other": 1}).fetchall()


def asked(*symbols, first=WEEK[1], last=WEEK[-2]):
    return cl.query().markets("spot").klines("1m").symbols(*symbols).between(first, last)


def test_q_has_exactly_the_querys_files_and_days(lake):
    text = "select symbol, count(*), min(open_time), max(open_time) from q group by 1"
    found = lake.sql(text, query=asked("BTCUSDT")).fetchall()
    assert found == [
        ("BTCUSDT", 300, datetime(2024, 1, 30, tzinfo=UTC), datetime(2024, 2, 3, 0, 59, tzinfo=UTC))
    ]
    frame = lake.silver(asked("*")).collect()
    rows = lake.sql("select * exclude (month) from q order by symbol, open_time", query=asked("*"))
    assert to_polars(rows).equals(frame)
    absent = lake.sql("from q", query=asked("XUSDT"))
    assert absent.fetchall() == []
    assert absent.columns == ["market", "symbol", "interval", *frame.columns[3:], "month"]
    with pytest.raises(InvalidQuery):
        lake.sql("from q", query=cl.query().markets("spot").symbols("BTCUSDT"))


def test_questions_with_queries_do_not_meet(lake):
    text = "select symbol, count(*) from q group by 1"
    one, two = (lake.sql(text, query=asked(symbol)) for symbol in ("BTCUSDT", "ETHUSDT"))
    with pytest.raises(duckdb.CatalogException):
        lake.sql("from q")
    again = one.query("inner_rows", "from inner_rows")  # a question to the answer of a question
    assert two.fetchall() == [("ETHUSDT", 300)]
    assert one.fetchall() == again.fetchall() == [("BTCUSDT", 300)]
    with ThreadPoolExecutor(4) as pool:
        symbols = ["BTCUSDT", "ETHUSDT"] * 4
        answers = list(pool.map(lambda s: lake.sql(text, query=asked(s)).fetchall(), symbols))
    assert answers == [[(symbol, 300)] for symbol in symbols]


def test_q_of_two_markets_has_the_columns_of_both(lake):
    key = klines_key("BTCUSD_PERP", WEEK[1], market="futures_cm")
    put(lake.storage, lake.meta, {key: klines_text(WEEK[1], 60)})
    build_all(lake.storage, lake.meta)
    query = asked("BTC*").markets("spot", "futures_cm")
    found = lake.sql("select market, count(*), count(base_volume) from q group by 1", query=query)
    assert sorted(found.fetchall()) == [("futures_cm", 60, 60), ("spot", 300, 0)]


@pytest.mark.parametrize("view", ["silver.spot_klines", "silver.spot_klines_1m", "q"])
def test_a_month_opens_only_its_files(lake, view):
    query = asked("*") if view == "q" else None
    text = f"select count(*) from {view} where month = '2024-02'"
    plan = str(lake.sql(f"explain {text}", query=query).fetchall()[0][1])
    assert "Scanning Files: 2/4" in plan
    ((rows,),) = lake.sql(text, query=query).fetchall()
    assert rows == (360 if view == "q" else 480)
    both = lake.sql(f"select distinct month from {view} order by 1", query=query).fetchall()
    assert both == [("2024-01",), ("2024-02",)]
    one = f"explain select count(*) from {view} where month >= '2024-02' and symbol = 'ETHUSDT'"
    assert "Scanning Files: 1/4" in str(lake.sql(one, query=query).fetchall()[0][1])


def test_a_month_is_known_of_a_dataset_that_comes_later(tmp_path):
    lake = Lake(tmp_path / "lake")
    con = lake.connect()
    put_days(lake.storage, lake.meta, ["BTCUSDT"], WEEK[:1], rows=5)
    build_all(lake.storage, lake.meta)
    assert sql(con, "select month, count(*) from silver.spot_klines_1m group by 1") == [
        ("2024-01", 5)
    ]


def test_views_and_columns_say_what_they_hold(lake):
    frame = lake.views()
    assert frame.columns == ["schema", "view", "holds"]
    con = lake.connect()
    assert {"basis", "daily"} <= views_of(con, "gold") & {*frame.filter(schema="gold")["view"]}
    for schema in ("bronze", "silver", "meta"):
        assert set(frame.filter(schema=schema)["view"]) == views_of(con, schema)
    every = frame.filter(schema="silver", view="spot_klines")["holds"][0]
    assert "a sum counts the same time once an interval" in every
    assert "spot_klines_1h" in every
    noted = "select comment from duckdb_views() where schema_name = 'silver' and view_name = "
    assert sql(con, f"{noted}'spot_klines'") == [(every,)]
    columns = "select comment from duckdb_columns() where schema_name = 'silver' and table_name = 'spot_klines_1m'"
    assert ("Quantity traded in the bar. Unit: base asset.",) in sql(con, columns)
    assert all(comment for (comment,) in sql(con, columns))


def test_show_tables_shows_the_views(lake):
    for shown in (sql(lake.connect(), "show tables"), lake.sql("show tables").fetchall()):
        assert {("spot_klines_1h",), ("files",)} <= set(shown)


NEW_YORK = {"TZ": "America/New_York"}


def test_a_kept_file_has_the_days_of_utc_for_whoever_opens_it(lake, tmp_path):
    path = tmp_path / "views.duckdb"
    with lake.connect(path) as kept:
        days_here = sql(
            kept,
            "select open_time::date, count(*) from silver.spot_klines_1m group by 1 order by 1",
        )
        assert sql(kept, "select current_setting('TimeZone')") == [("UTC",)]
    code = f"""
import duckdb
con = duckdb.connect({str(path)!r})
assert con.execute("select current_setting('TimeZone')").fetchone() == ("America/New_York",)
view = "silver.spot_klines_1m"
print(con.execute(f"select open_time::date, count(*) from {{view}} group by 1 order by 1").fetchall())
print(con.execute(f"select date_trunc('day', open_time), count(*) from {{view}} group by 1 order by 1").fetchall()[0])
print(con.execute(f"select count(*) from {{view}} where open_time >= '2024-01-30' and open_time < '2024-01-31'").fetchall())
print(con.execute("select fetched_at > '2024-01-01' from meta.files limit 1").fetchall())
plan = con.execute(f"explain analyze select count(*) from {{view}} where open_time < '2024-01-02'").fetchall()
print("Row Groups Scanned: 0" in plan[0][1], plan[0][1])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | NEW_YORK,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == str(days_here) == str([(day, 120) for day in WEEK])
    assert lines[1] == "(datetime.datetime(2024, 1, 29, 0, 0), 120)"
    assert lines[2:4] == ["[(120,)]", "[(True,)]"]
    assert lines[4].startswith("True"), done.stdout


def test_every_exit_has_utc(lake):
    relation = lake.sql("select symbol, open_time, close from silver.spot_klines_1m order by all")
    first = datetime(2024, 1, 29, tzinfo=UTC)
    frame = relation.df()
    assert str(frame["open_time"].dtype.tz) == "UTC"
    assert frame["open_time"][0] == first
    table = relation.to_arrow_table()
    assert str(table.schema.field("open_time").type) == "timestamp[us, tz=UTC]"
    assert relation.pl().schema["open_time"] == pl.Datetime("us", "UTC")
    assert relation.fetchnumpy()["close"][0] == 100.0
    silver = lake.silver(asked("*")).collect()
    assert str(silver.to_pandas()["open_time"].dtype.tz) == "UTC"
    assert str(silver.to_arrow().schema.field("open_time").type) == "timestamp[us, tz=UTC]"


WITHOUT_PACKAGES = """
import sys
import cryptolake as cl
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pandas", "pyarrow", "numpy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in ("pandas", "pyarrow", "numpy") else real(name, *more)
lake = cl.Lake(sys.argv[1])
relation = lake.sql("select count(*) as n from silver.spot_klines_1m")
for name in ("df", "arrow", "pl", "fetchnumpy", "to_df", "to_arrow_table"):
    for source in (relation, lake.connect().execute("select 1")):
        if hasattr(source, name):
            try:
                getattr(source, name)()
            except cl.MissingTool as error:
                print(error)
print(cl.to_polars(relation).rows())
"""


def test_an_exit_without_its_package_says_what_to_install(lake):
    command = [sys.executable, "-c", WITHOUT_PACKAGES, lake.root]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *said, rows = done.stdout.splitlines()
    assert rows == "[(840,)]"
    assert len(said) == 9
    assert all("pip install 'cryptolake[pandas]'" in line for line in said), said
