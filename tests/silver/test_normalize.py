"""What the normalizer does with a file, line by line and as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from cryptolake.errors import SchemaMismatch
from tests.silver.texts import HEADER, as_text, bar, day_text, hours, key, read, read_day, rules

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


def test_a_header_is_seen_by_the_first_byte_and_makes_no_difference():
    with_header = read_day(day_text("2024-01-02"))
    without = read_day(day_text("2024-01-02", header=False))
    assert with_header.frame.equals(without.frame)
    assert with_header.accounts[0].rows_in == without.accounts[0].rows_in == 24


def test_microseconds_and_milliseconds_give_the_same_open_times():
    in_millis = read_day(day_text("2024-01-02")).frame
    in_micros = read_day(day_text("2024-01-02", scale=1000)).frame
    assert in_millis["open_time"].equals(in_micros["open_time"])
    assert in_millis["open_time"].dtype == pl.Datetime("us", "UTC")


def test_a_file_that_changes_its_unit_comes_out_right_with_a_warning():
    lines = [bar(hour, scale=1 if hour < NOON else 1000) for hour in hours("2024-01-02")]
    done = read_day(as_text(lines))
    assert done.frame["open_time"].to_list() == hours("2024-01-02")
    assert "mixed_time_units" in done.accounts[0].warnings


def test_rows_come_out_in_order_of_time():
    lines = [bar(hour) for hour in reversed(hours("2024-01-02"))]
    assert read_day(as_text(lines)).frame["open_time"].is_sorted()


def test_columns_are_found_by_name_in_whatever_order_a_header_has_them():
    names = HEADER.split(",")
    swapped = [names[1], names[0], *names[2:]]
    cells = bar(NOON).split(",")
    line = ",".join([cells[1], cells[0], *cells[2:]])
    done = read_day(as_text([",".join(swapped), line]))
    assert done.frame.row(0, named=True)["open"] == 10.0


def test_an_unknown_column_is_kept_as_text_with_a_warning():
    done = read_day(as_text([HEADER + ",Fee-Rate", bar(NOON) + ",0.10"]))
    assert done.frame["fee_rate"].to_list() == ["0.10"]
    assert done.accounts[0].warnings == ["extra_column:fee_rate"]


def test_a_missing_optional_column_is_null_with_a_warning():
    spot = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-01-02.zip"
    text = b"id,price,qty,quote_qty,time,is_buyer_maker\n1,2.5,1,2.5,1704196800000,True\n"
    done = read({spot: text})
    assert done.frame["is_best_match"].to_list() == [None]
    assert done.accounts[0].warnings == ["missing_column:is_best_match"]


def test_a_missing_required_column_is_a_schema_mismatch_naming_file_and_column():
    done = read_day(as_text([HEADER.replace(",volume", "", 1), "1,2,3"]))
    error = done.accounts[0].error
    assert isinstance(error, SchemaMismatch)
    assert error.column == "volume"
    assert key("2024-01-02") in str(error)
    assert done.accounts[0].balanced
    assert rules(done) == [(0, "schema_mismatch")]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        pytest.param("1704196800000,10.0,11.0", "wrong_column_count", id="too few cells"),
        pytest.param(bar(NOON) + ",1", "wrong_column_count", id="too many cells"),
        pytest.param(bar(NOON).replace("11.0", "eleven"), "unreadable_value", id="a word"),
        pytest.param(bar(NOON).replace("11.0", ""), "empty_cell", id="an empty cell"),
        pytest.param(bar(NOON).replace("11.0", "nan"), "not_finite", id="NaN"),
        pytest.param(bar(NOON).replace("11.0", "inf"), "not_finite", id="infinity"),
        pytest.param(bar(NOON).replace("11.0", "0"), "price_not_positive", id="price of zero"),
        pytest.param(bar(NOON).replace("9.0", "-9"), "price_not_positive", id="price below zero"),
        pytest.param(bar(NOON).replace("11.0", "8.5"), "high_below_low", id="high below low"),
        pytest.param(bar(NOON).replace(",100,", ",-1,"), "quantity_negative", id="volume below 0"),
        pytest.param(bar(NOON - timedelta(days=1)), "time_outside_period", id="the day before"),
        pytest.param(bar(NOON + timedelta(days=1)), "time_outside_period", id="the day after"),
        pytest.param(bar(NOON)[:20] + "\0" + bar(NOON)[20:], "nul_byte", id="a NUL byte"),
        pytest.param("1" * 200_000, "line_too_long", id="a line of 200 kB"),
        pytest.param(HEADER, "header_line", id="a header in the middle"),
    ],
)
def test_a_bad_line_is_rejected_by_a_named_rule_and_the_others_stay(line: str, rule: str):
    lines = [bar(hour) for hour in hours("2024-01-02") if hour != NOON]
    done = read_day(as_text([HEADER, *lines[:5], line, *lines[5:]]))
    assert rules(done) == [(7, rule)]
    assert done.frame.height == 23
    assert done.accounts[0].balanced
    assert done.rejects[0][1].text == line[:500].replace("\0", "\x00")


def test_bytes_that_are_no_text_are_rejected():
    good = day_text("2024-01-02")
    done = read_day(good + b"\xff\xfe\x81,\xc3\n")
    assert rules(done) == [(26, "not_text")]
    assert done.frame.height == 24


def test_a_file_of_nothing_but_noise_is_refused_and_every_line_counted():
    done = read_day(b"\x89PNG\x0d\x0a\x1a\x0a noise\nmore noise\n")
    account = done.accounts[0]
    assert isinstance(account.error, SchemaMismatch)
    assert account.balanced
    assert account.rows_out == 0


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_any_line_end_will_do(end: str):
    text = day_text("2024-01-02").replace(b"\n", end.encode())
    assert read_day(text).frame.equals(read_day(day_text("2024-01-02")).frame)


def test_mixed_line_ends_will_do():
    lines = day_text("2024-01-02").split(b"\n")
    text = b"\r\n".join(lines[:9]) + b"\r" + b"\n".join(lines[9:])
    done = read_day(text)
    assert done.frame.equals(read_day(day_text("2024-01-02")).frame)
    assert not done.rejects


def test_a_byte_order_mark_is_skipped_with_a_warning():
    for header in (True, False):
        done = read_day(b"\xef\xbb\xbf" + day_text("2024-01-02", header=header))
        assert done.frame.height == 24
        assert done.accounts[0].warnings == ["byte_order_mark"]


def test_a_last_line_without_an_end_is_a_row_with_a_warning():
    done = read_day(day_text("2024-01-02").rstrip(b"\n"))
    assert done.frame.height == 24
    assert done.accounts[0].warnings == ["no_final_line_end"]


def test_blank_lines_are_nothing():
    done = read_day(b"\n\n" + day_text("2024-01-02").replace(b"\n", b"\n\n"))
    assert done.frame.height == 24
    assert not done.rejects


def test_an_empty_file_is_a_month_without_rows():
    done = read_day(b"")
    assert done.frame.height == 0
    assert done.accounts[0].balanced
    assert done.frame.columns[0] == "open_time"


def test_a_line_cut_short_in_its_last_cell_but_one_is_not_taken_for_whole():
    cut = bar(NOON).rsplit(",", 1)[0]
    done = read_day(as_text([bar(NOON - timedelta(hours=1)), cut]))
    assert rules(done) == [(2, "wrong_column_count")]


def test_a_halted_bar_stays_and_is_flagged():
    odd = bar(NOON).replace(str(1704196800000 + 3_599_999), str(1704196800000 - 759_479))
    done = read_day(as_text([bar(NOON - timedelta(hours=1)), odd]))
    assert done.frame.height == 2
    assert {f.kind for f in done.findings} == {"odd_close_time", "closes_before_it_opens"}


def test_a_bar_off_the_grid_stays_and_is_flagged():
    done = read_day(as_text([bar(NOON + timedelta(minutes=28, seconds=14.789))]))
    assert done.frame.height == 1
    assert "off_grid_open_time" in {finding.kind for finding in done.findings}


def test_exact_repeats_are_counted_and_removed():
    done = read_day(day_text("2024-01-02", header=False) * 2)
    assert done.frame.height == 24
    assert done.accounts[0].duplicates == 24
    assert not done.findings


def test_of_lines_that_disagree_the_first_stays_and_it_is_a_finding():
    done = read_day(as_text([bar(NOON, close=10.5), bar(NOON, close=9.5)]))
    assert done.frame["close"].to_list() == [10.5]
    (finding,) = done.findings
    assert finding.kind == "conflicting_duplicates"
    assert "close 10.5 against 9.5" in finding.detail


def test_a_daily_row_wins_over_the_monthly_one_and_the_difference_is_a_finding():
    monthly = as_text([bar(NOON, close=9.5), bar(NOON + timedelta(hours=1))])
    done = read({key("2024-01"): monthly, key("2024-01-02"): as_text([bar(NOON, close=10.5)])})
    assert done.frame["close"].to_list() == [10.5, 10.5]
    assert [finding.kind for finding in done.findings] == ["daily_monthly_disagree"]


def test_a_day_that_the_monthly_file_lacks_comes_from_its_daily_file_and_is_marked():
    texts = {key("2024-01"): day_text("2024-01-01"), key("2024-01-02"): day_text("2024-01-02")}
    done = read(texts)
    assert done.frame.height == 48
    (finding,) = done.findings
    assert (finding.kind, finding.rows, finding.key) == ("filled_from_daily", 24, key("2024-01-02"))


def test_of_three_lines_that_disagree_one_stays_and_the_finding_counts_two():
    done = read_day(as_text([bar(NOON, close=close) for close in (10.5, 9.5, 9.0)]))
    assert done.accounts[0].duplicates == 2
    assert done.findings[0].rows == 2


def test_a_file_of_another_day_is_refused_by_name():
    done = read(
        {key("2024-01-02"): day_text("2024-01-03"), key("2024-01-03"): day_text("2024-01-03")}
    )
    wrong, right = done.accounts
    assert isinstance(wrong.error, SchemaMismatch)
    assert wrong.error.rule == "time_outside_period"
    assert (wrong.rows_in, wrong.rejects, right.rows_out) == (24, 24, 24)


def test_a_file_of_another_symbol_is_refused_by_name():
    metrics = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-01-02.zip"
    done = read({metrics: b"2024-01-02 00:00:00,ETHUSDT,1,2,3,4,5,6\n"})
    error = done.accounts[0].error
    assert isinstance(error, SchemaMismatch)
    assert error.rule == "wrong_symbol"


def test_counts_printed_with_a_point_are_read():
    done = read_day(as_text([bar(NOON).replace(",7,", ",7.0,")]))
    assert done.frame["trades"].to_list() == [7]


def test_the_premium_index_may_be_negative():
    name = "data/futures/um/daily/premiumIndexKlines/BTCUSDT/1h/BTCUSDT-1h-2024-01-02.zip"
    line = "1704196800000,-0.00075,-0.0005,-0.0009,-0.0006,0,1704200399999,0,12,0,0,0"
    assert read({name: as_text([line])}).frame["open"].to_list() == [-0.00075]


def test_empty_and_stated_values_of_metrics_are_null():
    name = "data/futures/cm/daily/metrics/BTCUSD_PERP/BTCUSD_PERP-metrics-2023-06-25.zip"
    line = '2023-06-25 00:00:00,BTCUSD_PERP,0.00000000,18265.0,"","","",0.00855776'
    row = read({name: as_text([line])}).frame.row(0, named=True)
    assert row["open_interest"] is None
    assert row["count_long_short_ratio"] is None
    assert row["sum_taker_long_short_vol_ratio"] == 0.00855776


def test_a_label_at_the_end_of_the_month_goes_to_the_next_month():
    name = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2020-12-31.zip"
    rest = "BTCUSDT,1,2,3,4,5,6"
    done = read({name: as_text([f"2020-12-31 23:55:00,{rest}", f"2021-01-01 00:00:00,{rest}"])})
    assert done.frame.height == 1
    assert done.accounts[0].rows_in == 1
    assert [str(month) for month in done.spills] == ["2021-01"]


def test_a_liquidation_written_twice_is_one_row():
    name = "data/futures/cm/daily/liquidationSnapshot/BTCUSD_PERP/BTCUSD_PERP-liquidationSnapshot-2023-06-25.zip"
    line = "1687656471926,BUY,LIMIT,IOC,7,30741.3,30631.6,FILLED,6,7"
    done = read({name: as_text([line, line])})
    assert done.frame.height == 1
    assert done.frame["side"].dtype == pl.Categorical


@pytest.mark.parametrize(
    "time",
    [9 * 10**18, 2**63 - 1, -(9 * 10**18), 253_402_300_800_000_000, -62_135_596_800_000_001],
)
def test_a_time_that_python_does_not_have_is_outside_the_period(time: int):
    hour = hours("2024-01-02")
    lines = [bar(moment, scale=1000) for moment in hour]
    cells = lines[3].split(",")
    lines[3] = ",".join([str(time), *cells[1:]])
    done = read_day(as_text(lines))
    assert done.frame["open_time"].to_list() == hour[:3] + hour[4:]
    assert [(reject.line, reject.rule) for _, reject in done.rejects] == [
        (4, "time_outside_period")
    ]


@pytest.mark.parametrize("before", [0, 1, 65_500, 65_535, 70_000, 200_000])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_number_of_blank_lines_may_stand_before_the_header(before: int, mark: bytes):
    done = read_day(mark + b"\n" * before + day_text("2024-01-02"))
    assert done.frame.equals(read_day(day_text("2024-01-02")).frame)
    assert not done.rejects
