"""A mistake gives one message on standard error and an exit code that means something; no traceback."""

import json
import re
from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.cli import output
from cryptolake.cli.app import app
from cryptolake.cli.mistakes import METHODS, PHRASES, in_options
from tests.cli.conftest import WORDS

BEFORE = WORDS[:-4]


def said(**changes):
    """Return WORDS with some options said otherwise; None leaves one out."""
    options = dict(zip(WORDS[::2], WORDS[1::2], strict=True)) | changes
    return [word for option, value in options.items() if value for word in (option, value)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (said(**{"-m": "spott"}), "unknown market 'spott'; did you mean 'spot'?"),
        (said(**{"-t": "kline"}), "unknown data type 'kline'; did you mean 'klines'?"),
        (said(**{"-i": "7h"}), "unknown interval '7h'"),
        (said(**{"-m": "futures_um", "-i": "1s"}), "futures_um klines has no interval 1s"),
        (said(**{"-s": "NOSUCHUSDT"}), "NOSUCHUSDT"),
        (said(**{"-s": "ZZZ*"}), "no symbol matches 'ZZZ*' among the "),
        (said(**{"-s": "BTC;rm -rf"}), "cannot be a symbol"),
        (said(**{"--from": "2024-13"}), "cannot read '2024-13' as a day"),
        (
            said(**{"--from": "2025-02", "--to": "2025-01"}),
            "swap the ends: --from 2025-01 --to 2025-02.",
        ),
        (said(**{"--from": "2999-01-01", "--to": None}), "2999"),
        (
            said(**{"--from": "2009-01-01", "--to": "2009-01-02"}),
            "before the archive's first month",
        ),
        (
            said(**{"--from": None, "--to": None}),
            "say which days: --from 2024-01-01 --to 2024-03-31, ",
        ),
        (said(**{"--from": None}), "--to needs --from"),
        (said(**{"-i": None}), "klines needs an interval: -i 1m."),
        ([], "say which markets: -m spot,futures_um,futures_cm,options; say which symbols: -s "),
        ([*said(**{"-s": None}), "--quote", "ZZZ"], "no symbol matches the universe (quote ZZZ)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_in_the_words_is_exit_2_and_says_what_is_allowed(run, words, message):
    done = run("plan", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--profile", "cheap"], "unknown transfer preset 'cheap'"),
        (["--profile", "cost_optimised"], "did you mean 'cost_optimized'?"),
        (["--option", "worker=8"], "no transfer option 'worker'; did you mean 'workers'?"),
        (["--option", "workers=0"], "workers: Input should be greater than or equal to 1, not '0'"),
        (["--option", "workers=many"], "workers: Input should be a valid integer"),
        (["--option", "workers"], "NAME=VALUE"),
        (["--option", "s5cmd_args=--dry-run"], "s5cmd has no flag '--dry-run'"),
        (["--mode", "direct"], "does not fit a lake on a disk"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("command", ["pull", "transfer", "frame"])
def test_a_mistake_in_how_to_transfer_is_exit_2(run, command, words, message):
    done = run(command, *WORDS, *words, "--quiet")
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


LOOKING = {
    "status": [],
    "datasets": [],
    "freshness": [],
    "verify": [],
    "build": ["--quiet"],
    "update": ["--quiet"],
    "sql": ["from silver.spot_klines"],
    "gaps": WORDS,
    "quality": WORDS,
}


@pytest.mark.parametrize("command", LOOKING)
def test_looking_where_no_lake_is_names_the_root(run, tmp_path, command):
    done = run(command, *LOOKING[command], "--root", tmp_path / "typo")
    assert done.code == 0, done.err
    assert f"no lake at {tmp_path / 'typo'} yet" in done.out + done.err
    assert (done.out + done.err).count(" yet") == 1, "it is said once"
    assert not (tmp_path / "typo" / "bronze").exists()


def test_json_stays_json_where_no_lake_is(run, tmp_path):
    done = run("status", "--json", "--root", tmp_path / "typo")
    assert done.out == "[]\n"
    assert "no lake at" in done.err


@pytest.mark.parametrize("command", [*LOOKING, "plan"])
def test_looking_where_no_lake_can_be_is_exit_4(run, tmp_path, command):
    (tmp_path / "file").write_text("not a folder")
    done = run(command, *(LOOKING | {"plan": WORDS})[command], "--root", tmp_path / "file")
    assert (done.code, done.out) == (4, "")
    assert f"the lake at {tmp_path / 'file'}: a part of the path is a file" in done.err


def test_looking_into_a_bucket_that_does_not_exist_is_exit_4(run, bucket_options, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket_options["endpoint_url"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket_options["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket_options["secret"])
    for command in ("status", "datasets"):
        done = run(command, "--root", "s3://absent-bucket/lake")
        assert (done.code, done.out) == (4, "")
        assert "there is no bucket 'absent-bucket'" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pul"], "there is no command 'pul'; did you mean 'pull'? Help: cryptolake -h"),
        (["plan", "--symbols", "BTCUSDT"], "there is no option --symbols; did you mean --symbol? "),
        (
            ["pull", *WORDS, "--mode", "downlod"],
            "--mode cannot be 'downlod'; did you mean 'download'?",
        ),
        (["frame", *WORDS, "--limit", "0"], "--limit is 1 or more, not '0'. Help: "),
        (["frame", *WORDS, "--limit", "x"], "--limit is a whole number, not 'x'. "),
        (["fill", *WORDS], "say --against DATA_TYPE: trades, aggTrades, or klines (finer ones). "),
        (["describe"], "say MARKET: spot, futures_um, futures_cm, options. "),
        (["run"], "say CONFIG: JSON files, merged left to right. "),
        (["datasets", "x"], "more words than it takes: x. "),
        (["plan", "--from"], "--from needs a value. "),
        (["sql", " "], 'say what to ask: cryptolake sql "from silver'),
        (["plan", *WORDS, "--commands", "--json"], "--commands and --json are two formats"),
        (["sample", "x", "--days", "..2025-01-01"], "--days: cannot read '..2025-01-01'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_that_are_no_command_are_one_sentence(run, words, message):
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"cryptolake: {message}")
    assert len(done.err.splitlines()) == 1


def test_a_root_is_a_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("pull", *WORDS, "--root", "")
    assert (done.code, "a lake needs a root" in done.err) == (4, True)
    assert list(tmp_path.iterdir()) == []
    assert run("plan", *WORDS, "--root", "/proc/absent").code == 4
    (tmp_path / "file").write_text("not a folder")
    done = run("sample", tmp_path / "file", "--rows", "spot_klines", "--days", "2025-01-01")
    assert (done.code, "cannot write the sample archive into" in done.err) == (4, True)


def test_an_archive_that_refuses_is_exit_3(run):
    done = run("plan", *WORDS, "--endpoint-url", "http://127.0.0.1:9")
    assert (done.code, done.out) == (3, "")
    assert "127.0.0.1:9" in done.err
    assert "Traceback" not in done.err


def test_a_root_that_cannot_be_written_is_exit_4(run, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    done = run("pull", *WORDS, "--quiet", "--root", tmp_path / "file" / "lake")
    assert (done.code, done.out) == (4, "")
    assert str(tmp_path / "file") in done.err
    assert "Traceback" not in done.err


def test_a_plan_file_that_is_none_is_exit_2(run, tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    done = run("pull", "--plan", tmp_path / "plan.json")
    assert done.code == 2
    assert "plan.json" in done.err


@pytest.mark.parametrize("text", ["selec 1", "from silver.no_such_view", "select 'x'::int"])
def test_sql_that_does_not_run_is_exit_2(run, text):
    done = run("sql", text)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_a_dataset_that_does_not_exist_cannot_be_described(run):
    done = run("describe", "spot", "fundingRate")
    assert done.code == 2
    assert "futures_um" in done.err


def test_a_folder_that_is_no_archive_is_not_served(run, tmp_path):
    done = run("serve-archive", tmp_path)
    assert done.code == 4
    assert "no archive folder" in done.err


def test_a_mode_that_does_not_fit_is_said_before_anything_is_asked(run, monkeypatch):
    monkeypatch.setenv("CRYPTOLAKE_ENDPOINT_URL", "http://127.0.0.1:9")
    for command in ("pull", "transfer", "frame"):
        done = run(command, *WORDS, "--mode", "direct")
        assert done.code == 2
        assert "does not fit a lake on a disk" in done.err


HOSTILE = "\x1b]0;title\x07\x1b[31mred\x9b2J\u202egnp.exe"
"""A window's title, colours, a cleared screen, and an order of reading that hides an ending."""


@pytest.mark.parametrize("key", [HOSTILE, f".symbols({HOSTILE!r})", f".between({HOSTILE!r})"])
def test_a_name_from_a_file_of_a_stranger_does_nothing_to_a_terminal(run, tmp_path, key):
    (tmp_path / "c.json").write_text(json.dumps({key: 1}))
    done = run("run", tmp_path / "c.json")
    assert done.code == 2
    assert "title" in done.err
    assert done.err.replace("\n", "").isprintable()


def test_a_name_in_a_table_or_in_json_does_nothing_to_a_terminal(capsys):
    import polars as pl

    frame = pl.DataFrame({"name": [HOSTILE], HOSTILE: [1]})
    output.table(frame)
    output.either(frame, json=True)
    output.rows_as_json(frame.iter_rows(named=True))
    said = capsys.readouterr().out
    assert said.replace("\n", "").isprintable()
    assert json.loads(said[said.index("[\n ") :].partition("]\n")[0] + "]")[0]["name"] == HOSTILE


def test_the_command_that_lists_symbols_is_said_whole():
    assert (
        in_options("See lake.symbols('spot', 'klines').")
        == "See cryptolake symbols -m spot -t klines."
    )


def test_what_is_said_otherwise_is_said_by_the_library():
    modules = [p for p in Path(cl.__file__).parent.rglob("*.py") if p.parent.name != "cli"]
    text = re.sub(r'"\s*\n\s*f?"', "", "".join(path.read_text("utf-8") for path in modules))
    assert [phrase for phrase in PHRASES if phrase not in text] == []
    assert [name for name in METHODS if f"lake.{name}" not in text] == []
    commands = [
        command.callback.__name__ for command in app.registered_commands if command.callback
    ]
    assert set(METHODS) <= set(commands)
