"""Daily bars of a market straight from Bronze: the rows of the CSVs, and only what changed is read again."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.enums import Market
from cryptolake.archive.keys import parse_key
from cryptolake.archive.periods import Days
from cryptolake.gold.audit import audit_gold, repair_gold
from cryptolake.gold.build import build_gold
from cryptolake.gold.daily import daily_bars
from cryptolake.sample.folder import make_zip, published_at
from tests.research.conftest import daily_key, daily_line, days_of

YEAR = Days(date(2024, 1, 1), date(2024, 12, 31))
JANUARY = days_of(date(2024, 1, 1), date(2024, 1, 31))
FEBRUARY = days_of(date(2024, 2, 1), date(2024, 2, 29))
HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"


def put(lake: cl.Lake, key: str, lines: list[str]) -> None:
    """Store a zip in Bronze as a transfer does: the file, and a row of the ledger."""
    put_text(lake, key, "\n".join([*lines, ""]))


def put_text(lake: cl.Lake, key: str, text: str) -> None:
    """Store a zip of any text."""
    parsed = parse_key(key)
    assert parsed is not None
    moment = published_at(parsed.period, parsed.market)
    data = make_zip(Path(key).stem, text.encode(), moment, parsed.market)
    lake.storage.write(f"bronze/{key}", data)
    record(lake, key, data)


def record(lake: cl.Lake, key: str, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    row = {"key": key, "size": len(data), "sha256": digest, "event": "stored"}
    lake.meta.append("files", [{**row, "fetched_at": datetime.now(UTC)}])


def months(lake: cl.Lake) -> dict[tuple[str, int], float]:
    """Return the sum of quote volumes by symbol and month."""
    found = daily_bars(lake.context, Market.FUTURES_UM, YEAR).collect()
    sums = found.group_by("symbol", pl.col("open_time").dt.month().alias("m")).agg(
        pl.col("quote_volume").sum()
    )
    return {(symbol, month): value for symbol, month, value in sums.iter_rows()}


@pytest.fixture
def lake(tmp_path: Path) -> cl.Lake:
    lake = cl.Lake(tmp_path / "lake")
    for symbol, volume in (("AUSDT", 1.0), ("BUSDT", 2.0)):
        put(lake, daily_key(symbol, "2024-01"), [daily_line(day, volume) for day in JANUARY])
        lines = [HEADER, *(daily_line(day, volume) for day in FEBRUARY)]
        put(lake, daily_key(symbol, "2024-02"), lines)
    return lake


@pytest.fixture
def read_keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of Bronze files that are read."""
    from cryptolake.storage.files import LocalStorage

    keys: list[str] = []
    read = LocalStorage.read

    def noted(self: LocalStorage, path: str) -> bytes:
        if path.startswith("bronze/"):
            keys.append(path.removeprefix("bronze/"))
        return read(self, path)

    monkeypatch.setattr(LocalStorage, "read", noted)
    return keys


def test_rows_are_those_of_the_csvs_with_a_header_or_without(lake: cl.Lake) -> None:
    found = daily_bars(lake.context, Market.FUTURES_UM, YEAR).collect()
    assert found.columns[:5] == ["market", "symbol", "interval", "open_time", "open"]
    assert found.height == 2 * 60
    assert found["symbol"].to_list() == [s for n in (31, 29) for s in ["AUSDT"] * n + ["BUSDT"] * n]
    row = found.row(0, named=True)
    assert row["open_time"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert row["close_time"] == datetime(2024, 1, 1, 23, 59, 59, 999000, tzinfo=UTC)
    numbers = (
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "trades",
        "taker_buy_volume",
    )
    assert [row[name] for name in numbers] == [1.5, 2.5, 0.5, 1.0, 10, 1.0, 7, 5]
    silver = lake.silver(cl.query().markets("futures_um").klines("1d")).collect_schema()
    assert found.schema == silver
    few = daily_bars(lake.context, Market.FUTURES_UM, Days(date(2024, 1, 30), date(2024, 2, 2)))
    assert few.collect().height == 8


def test_only_months_whose_files_changed_are_made_again(
    lake: cl.Lake, read_keys: list[str]
) -> None:
    assert months(lake) == {("AUSDT", 1): 31, ("AUSDT", 2): 29, ("BUSDT", 1): 62, ("BUSDT", 2): 58}
    assert len(read_keys) == 4
    read_keys.clear()
    assert months(lake)["AUSDT", 1] == 31
    assert read_keys == []

    put(lake, daily_key("BUSDT", "2024-02"), [daily_line(day, 3.0) for day in FEBRUARY])
    before = Path(lake.root, "gold/daily/market=futures_um/2024-01.parquet").stat()
    assert months(lake)["BUSDT", 2] == 87
    assert read_keys == [daily_key("BUSDT", "2024-02")]
    assert Path(lake.root, "gold/daily/market=futures_um/2024-01.parquet").stat() == before

    read_keys.clear()
    put(lake, daily_key("CUSDT", "2024-03-01"), [daily_line(date(2024, 3, 1), 5.0)])
    assert months(lake)["CUSDT", 3] == 5
    put(lake, daily_key("CUSDT", "2024-03-02"), [daily_line(date(2024, 3, 2), 6.0)])
    assert months(lake)["CUSDT", 3] == 11
    assert read_keys == [daily_key("CUSDT", f"2024-03-0{n}") for n in (1, 2)]


def test_a_days_own_file_counts_before_its_months(lake: cl.Lake) -> None:
    day = date(2024, 1, 10)
    put(lake, daily_key("AUSDT", "2024-01-10"), [daily_line(day, 100.0)])
    assert months(lake)["AUSDT", 1] == 130
    gone = {"key": daily_key("AUSDT", "2024-01-10"), "event": "removed"}
    lake.meta.append("files", [gone])
    assert months(lake)["AUSDT", 1] == 31


def test_lineage_names_the_inputs(lake: cl.Lake) -> None:
    months(lake)
    path = Path(lake.root, "gold/daily/market=futures_um/2024-01.parquet")
    told: dict[str, Any] = json.loads(pl.read_parquet_metadata(path)["cryptolake"])
    ledger = dict(lake.meta.ledger().select("key", "sha256").iter_rows())
    assert told["recipe"] == "daily"
    keys = [daily_key(symbol, "2024-01") for symbol in ("AUSDT", "BUSDT")]
    assert told["inputs"] == [[key, ledger[key]] for key in keys]


def test_a_file_that_cannot_be_used_is_named_and_tried_again(lake: cl.Lake) -> None:
    key = daily_key("AUSDT", "2024-01")
    whole = lake.storage.read(f"bronze/{key}")
    lake.storage.write(f"bronze/{key}", whole[:200])
    with pytest.warns(cl.IncompleteWarning, match="AUSDT-1d-2024-01.zip"):
        assert ("AUSDT", 1) not in months(lake)
    lake.storage.delete(f"bronze/{key}")
    with pytest.warns(cl.IncompleteWarning, match="not in Bronze"):
        assert months(lake)["BUSDT", 1] == 62
    lake.storage.write(f"bronze/{key}", whole)
    assert months(lake)["AUSDT", 1] == 31


def test_lines_that_are_no_rows_and_damaged_gold(lake: cl.Lake) -> None:
    lines = [daily_line(day, 2.0) for day in JANUARY]
    low = lines[9].split(",")
    below = ",".join([*low[:3], "-1.0", *low[4:]])
    put(
        lake, daily_key("BUSDT", "2024-01"), [*lines[:5], "no,row", *lines[5:9], below, *lines[10:]]
    )
    with pytest.warns(cl.IncompleteWarning, match=r"2 rows .*BUSDT-1d-2024-01.zip, line 6 \(has 2"):
        assert months(lake)["BUSDT", 1] == 60
    told = lake.meta.read("rejects").select("key", "line", "rule", "text").rows()
    key = daily_key("BUSDT", "2024-01")
    assert told == [
        (key, 6, "wrong_column_count", "no,row"),
        (key, 11, "price_not_positive", below),
    ]
    assert months(lake)["BUSDT", 1] == 60
    Path(lake.root, "gold/daily/market=futures_um/2024-01.parquet").write_bytes(b"PAR1 no")
    with pytest.warns(cl.IncompleteWarning, match="2 rows"):
        assert months(lake)["BUSDT", 1] == 60


def test_a_month_whose_rows_are_damaged_is_made_whole_when_a_file_comes(lake: cl.Lake) -> None:
    assert months(lake)["AUSDT", 1] == 31
    place = Path(lake.root, "gold/daily/market=futures_um/2024-01.parquet")
    data = bytearray(place.read_bytes())
    data[4:400] = b"\xff" * 396  # the footer, which names the inputs, stays as it is
    place.write_bytes(data)
    put(lake, daily_key("AUSDT", "2024-01-10"), [daily_line(date(2024, 1, 10), 100.0)])
    found = months(lake)
    assert (found["AUSDT", 1], found["BUSDT", 1]) == (130, 62)


def test_a_flipped_bit_that_decodes_is_not_carried_into_the_next_file(lake: cl.Lake) -> None:
    assert months(lake)["BUSDT", 1] == 62
    place = Path(lake.root, "gold/daily/market=futures_um/2024-01.parquet")
    told = pl.read_parquet_metadata(place)
    other = pl.read_parquet(place).with_columns(quote_volume=pl.col("quote_volume") + 1)
    kept = {name: told[name] for name in ("cryptolake", "cryptolake.digest")}
    other.write_parquet(place, metadata=kept)  # other bytes that decode, under the same metadata
    put(lake, daily_key("AUSDT", "2024-01-10"), [daily_line(date(2024, 1, 10), 100.0)])
    found = months(lake)
    assert (found["AUSDT", 1], found["BUSDT", 1]) == (130, 62)


def test_nothing_here_is_an_empty_typed_frame(tmp_path: Path) -> None:
    found = daily_bars(cl.Lake(tmp_path / "none").context, Market.SPOT, YEAR).collect()
    assert found.height == 0
    assert found.schema["quote_volume"] == pl.Float64


def test_in_a_bucket(bucket_options: dict[str, Any]) -> None:
    lake = cl.Lake("s3://lakes/daily-bars", storage_options=bucket_options)
    put(lake, daily_key("AUSDT", "2024-01"), [daily_line(day, 1.0) for day in JANUARY])
    assert months(lake) == {("AUSDT", 1): 31}
    put(lake, daily_key("BUSDT", "2024-01-05"), [daily_line(date(2024, 1, 5), 4.0)])
    assert months(lake) == {("AUSDT", 1): 31, ("BUSDT", 1): 4}


def test_daily_is_a_recipe_with_lineage_that_verify_checks(lake: cl.Lake) -> None:
    asked = cl.query().markets("futures_um").symbols("B*").between("2024-01", "2024-02-10")
    rows = lake.gold("daily", asked).collect()
    assert (rows.height, rows["symbol"].unique().to_list()) == (41, ["BUSDT"])
    again = build_gold(lake.context, "daily", asked)
    assert again.months["status"].to_list() == ["unchanged"] * 2
    recipe = lake.recipes().filter(name="daily").rows(named=True)[0]
    assert recipe["columns"] == [f"{name} {kind}" for name, kind in rows.schema.items()]
    lineage = lake.sql("select path, rows, inputs from meta.lineage order by path").fetchall()
    assert [(path[-15:-8], count) for path, count, _ in lineage] == [
        ("2024-01", 62),
        ("2024-02", 58),
    ]
    keys = [item["path"] for item in json.loads(lineage[0][2])]
    assert keys == [f"bronze/{daily_key(symbol, '2024-01')}" for symbol in ("AUSDT", "BUSDT")]
    path = Path(lake.root, lineage[0][0])
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    [(found, status)] = audit_gold_rows(lake)
    assert (found, status) == (lineage[0][0], "damaged")
    repair_gold(lake.context, audit_gold(lake.context, None))
    assert path.read_bytes() == whole
    assert audit_gold_rows(lake) == []


def audit_gold_rows(lake: cl.Lake) -> list[tuple[str, str]]:
    found = audit_gold(lake.context, None)
    return [(item.path, item.status) for item in found if item.status != "ok"]


def test_daily_bars_are_of_one_market(lake: cl.Lake) -> None:
    with pytest.raises(cl.InvalidQuery, match="names no market; write"):
        lake.gold("daily", cl.query().between("2024-01"))
    with pytest.raises(cl.InvalidQuery, match="names 1h"):
        lake.gold("daily", cl.query().markets("spot").klines("1h"))


def test_a_rejected_row_is_shown_with_its_own_line_whatever_ends_the_lines(tmp_path: Path) -> None:
    lake = cl.Lake(tmp_path / "lake")
    bad = daily_line(JANUARY[2], 1.0).replace(",0.5,", ",-0.5,")
    lines = [HEADER, *(daily_line(day, 1.0) for day in JANUARY[:2]), bad, ""]
    text = "\n".join(lines)
    texts = {
        "AUSDT": text.replace("\n", "\r\n"),
        "BUSDT": text.replace("\n", "\r"),
        "CUSDT": "\n" + text,
        "DUSDT": "\n\n\n" + text,
        "EUSDT": text.replace(",0.5,", "\r,0.5,", 1),
    }
    for symbol, changed in texts.items():
        put_text(lake, daily_key(symbol, "2024-01"), changed)
    with pytest.warns(cl.IncompleteWarning, match="7 rows of daily bars were rejected"):
        found = months(lake)
    assert found == dict.fromkeys([(symbol, 1) for symbol in texts], 2.0) | {("EUSDT", 1): 1.0}
    told = lake.meta.read("rejects").select("key", "line", "text").rows()
    first, second = lines[1].split(",0.5,")
    assert told == [
        (daily_key("AUSDT", "2024-01"), 4, bad),
        (daily_key("BUSDT", "2024-01"), 4, bad),
        (daily_key("CUSDT", "2024-01"), 5, bad),
        (daily_key("DUSDT", "2024-01"), 7, bad),
        (daily_key("EUSDT", "2024-01"), 2, first),
        (daily_key("EUSDT", "2024-01"), 3, f",0.5,{second}"),
        (daily_key("EUSDT", "2024-01"), 5, bad),
    ]
