"""Ctrl-C at any moment of the first call leaves a process in which the same call works."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = """
import sys, time, warnings
import cryptolake as cl

def call(root):
    lake = cl.Lake(root)
    query = cl.query().markets("spot").klines("1m").symbols("BTCUSDT").between("2025-01")
    found = lake.silver(query).collect().height, lake.datasets().height, cl.matrix().height > 20
    return *found, lake.sql("select count(*) from silver.spot_klines").fetchall()[0][0]

began = time.monotonic()
print("go", flush=True)
interrupted = False
try:
    try:
        call(sys.argv[1])
        time.sleep(0.2)
    except BaseException:  # DuckDB and Polars have words of their own for it
        interrupted = True
    time.sleep(0.1)
except KeyboardInterrupt:
    interrupted = True
assert call(sys.argv[1]) == (0, 0, True, 0)
import polars, duckdb
assert polars.DataFrame({"a": [1]}).lazy().select(polars.col("a") + 1).collect().item() == 2
print("whole", interrupted, flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_in_the_first_second_leaves_a_process_that_works(tmp_path: Path):
    moments = random.Random(15)
    interrupted = 0
    parts = 6
    for part in range(parts):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "lake")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        time.sleep(0.8 * (part + moments.random()) / parts)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=120)
        assert child.returncode == 0, err[-2000:]
        interrupted += out.split() == ["whole", "True"]
    assert interrupted >= 4


SEEN = """
import os, signal, sys
import cryptolake as cl
from cryptolake import interrupts

class Sends:
    def find_spec(self, name, path=None, target=None):
        if name == "polars._plr" or name == "polars.dataframe":
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, Sends())
handler = signal.getsignal(signal.SIGINT)
import time
try:
    import polars
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted", "polars" in sys.modules, hasattr(sys.modules["polars"], "DataFrame"))
assert signal.getsignal(signal.SIGINT) is handler
assert type(sys.modules["polars"].__loader__).__module__ == "_frozen_importlib_external"
import polars
print(polars.DataFrame({"a": [1]}).height)
"""


def test_the_signal_comes_when_the_import_is_done():
    done = subprocess.run(
        [sys.executable, "-c", SEEN], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["interrupted True True", "1"]


OTHERS = """
import signal, sys, threading
import cryptolake as cl

signal.signal(signal.SIGINT, signal.SIG_IGN)
import duckdb
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
signal.signal(signal.SIGINT, signal.SIG_DFL)
thread = threading.Thread(target=lambda: __import__("polars"))
thread.start(); thread.join()
assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
print(sys.modules["polars"].__name__)
"""


def test_a_handler_of_the_users_own_is_left_as_it_is():
    done = subprocess.run(
        [sys.executable, "-c", OTHERS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "polars", done.stderr


LOST = """
import os, signal, time
from cryptolake.cli import app

class Compiled:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def call(*arguments, **options):
    value = Compiled()
    del value
    {goes_on}

app.app = call
app.main([])
"""
"""A program whose Ctrl-C comes where Python has to ignore the exception, as within compiled code."""


@pytest.mark.parametrize("goes_on", ["raise TypeError('half a result')", "time.sleep(30)"])
def test_ctrl_c_that_compiled_code_lost_ends_the_program_in_one_sentence(goes_on):
    done = subprocess.run(
        [sys.executable, "-c", LOST.format(goes_on=goes_on)],
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines() == [
        "cryptolake: interrupted; what was done is kept, and the same command goes on from there"
    ]
