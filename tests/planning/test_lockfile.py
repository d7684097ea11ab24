"""A lock's file: what is written is read, its id is what sha256sum and sort give, and a wrong one is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.source import ArchivePlace
from cryptolake.planning import lockfile
from cryptolake.planning.lockfile import FILES, Lock

DAY = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-0{}.zip"
KEYS = [DAY.format(day) for day in (1, 2, 3)]
KEYS += ["data/futures/um/monthly/fundingRate/龙虾USDT/龙虾USDT-fundingRate-2024-01.zip"]
FOLDER = "data/spot/daily/klines/BTCUSDT/1m"


def sha256_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
def lock() -> Lock:
    rows = [(key, 100 + len(key), 'a"b{}' if "um" in key else None, sha256_of(key)) for key in KEYS]
    return Lock(
        query=cl.query().markets("spot").klines("1m").symbols("BTCUSDT").between("2024-01"),
        archive=ArchivePlace("data.binance.vision", None),
        created_at=datetime(2025, 1, 1, tzinfo=UTC),
        made_by="cryptolake 0.2.0",
        schemas={"spot_klines": "1.1"},
        recipes={"basis": "1", "größe_龙": "2"},
        rows=4320,
        files=pl.DataFrame(rows, schema=FILES, orient="row"),
    )


def test_what_is_written_is_read(lock: Lock, tmp_path: Path):
    lock.save(tmp_path / "x.lock.json")
    again = Lock.load(tmp_path / "x.lock.json")
    assert again == lock
    assert again.files.equals(lock.files.sort("key"))
    names = ("query", "archive", "created_at", "made_by", "schemas", "recipes", "rows")
    assert [getattr(again, name) for name in names] == [getattr(lock, name) for name in names]
    lines = (tmp_path / "x.lock.json").read_text().splitlines()
    assert sum(sha256_of(key) in line for key in KEYS for line in lines) == len(KEYS)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.lock.json"]


def test_the_id_is_that_of_sorted_lines_and_of_nothing_else(lock: Lock):
    lines = "".join(sorted(f"{sha256_of(key)}  {key}\n" for key in KEYS))
    assert lock.id == hashlib.sha256(lines.encode()).hexdigest()
    assert lock.id in lock.to_text()


def test_it_shows_itself(lock: Lock):
    assert f"<Lock {lock.id[:12]}: 4 files" in repr(lock)
    html = lock._repr_html_()
    assert lock.id in html
    assert "schema spot_klines 1.1" in html


def put(path: list[str], value: Any) -> Callable[[Any], Any]:
    def change(body: Any) -> Any:
        inner = body
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        return body

    return change


ROW = [1, None, "0" * 64]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda _: [], "no 'cryptolake_lock'"),
        (put(["cryptolake_lock"], 2), "no 'cryptolake_lock'"),
        (lambda body: {**body, "tree": {}}, "no object of folders"),
        (lambda body: {n: v for n, v in body.items() if n != "archive"}, "it has no 'archive'"),
        (put(["tree", "../../etc"], {"2024-01": ROW}), "no folder of the archive"),
        (put(["tree", "data/spot/daily/klines/../1m"], {"2024-01-01": ROW}), "no folder"),
        (put(["tree", "data/spot/daily/klines/A=B/1m"], {"2024-01-01": ROW}), "no folder"),
        (put(["tree", "/" + FOLDER], {"2024-01-01": ROW}), "no folder of the archive"),
        (put(["tree", "d" * 5000], {"2024-01-01": ROW}), "no folder of the archive"),
        (put(["tree", FOLDER, "../../x"], ROW), "no period of"),
        (put(["tree", FOLDER, "2024-02-31"], ROW), "no period of"),
        (put(["tree", FOLDER, "2024-02"], ROW), "no period of"),
        (put(["tree", FOLDER, "2024-01-01"], [1, None]), "has not its size, ETag and sha256"),
        (put(["tree", FOLDER, "2024-01-01"], [-1, None, "0" * 64]), "a size that no file has"),
        (put(["tree", FOLDER, "2024-01-01"], [True, None, "0" * 64]), "a size that no file has"),
        (put(["tree", FOLDER, "2024-01-01"], [2**63, None, "0" * 64]), "a size that no file"),
        (put(["tree", FOLDER, "2024-01-01"], [1, "e" * 5000, "0" * 64]), "an ETag that is no"),
        (put(["tree", FOLDER, "2024-01-01"], [1, None, "../../../x"]), "no sha256"),
        (put(["tree", FOLDER, "2024-01-01"], ROW), "it was changed"),
        (put(["id"], "0" * 64), "it was changed"),
        (put(["query", "symbols"], ["../x"]), "InvalidQuery"),
        (put(["query"], {}), "InvalidQuery"),
        (put(["archive", "endpoint"], "http://user:word@host"), "no credentials"),
        (put(["archive", "bucket"], 7), "no bucket"),
        (put(["schemas"], {"a/b": "1"}), "schemas are no versions"),
        (put(["recipes"], ["basis"]), "recipes are no versions"),
        (put(["recipes"], {"a/b": "1"}), "recipes are no versions"),
        (put(["rows"], 1.5), "no count"),
        (put(["made_by"], "\x1b[2Jme"), "'made_by' is no short text"),
        (put(["schemas"], {"spot_klines": "\x9b2J"}), "schemas are no versions"),
        (put(["gold"], {"basis/spot/1h": ["1\u202e", "c", 0]}), "its version, code and count"),
        (put(["tree", FOLDER, "2024-01-01"], [1, "e\x07", "0" * 64]), "an ETag that is no"),
        (put(["archive", "bucket"], "a/../b"), "no bucket"),
        (put(["created_at"], "yesterday"), "no lock that can be read"),
    ],
)
def test_a_wrong_file_is_refused_with_its_reason(
    lock: Lock, tmp_path: Path, change: Callable[[Any], Any], why: str
):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(change(json.loads(lock.to_text()))))
    with pytest.raises(cl.LockError, match=r"bad\.json is no lock that can be read") as caught:
        Lock.load(path)
    assert why in str(caught.value)
    assert "word" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_what_is_no_json_is_refused(lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.json"
    text = lock.to_text()
    for wrong in ("", "{", text[: len(text) // 2], "[" * 100_000, "\x00", '{"a": NaN'):
        path.write_text(wrong)
        with pytest.raises(cl.LockError):
            Lock.load(path)
    path.write_bytes(b"\xff\xfe" + text.encode())
    with pytest.raises(cl.LockError):
        Lock.load(path)
    with pytest.raises(cl.LockError, match="No such file"):
        Lock.load(tmp_path / "absent.json")
    lock.save(path)
    monkeypatch.setattr(lockfile, "LARGEST_FILE", 100)
    with pytest.raises(cl.LockError, match="more than 100"):
        Lock.load(path)
    with pytest.raises(cl.StorageError, match="cannot write the lock"):
        lock.save(tmp_path / "absent" / "x.json")
