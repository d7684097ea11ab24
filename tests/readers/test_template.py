"""Bronze's views may come ready from the user's cache: nobody can tell, and nothing depends on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

import cryptolake as cl
from cryptolake.readers import view_template


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache's"))
    return tmp_path / "cache's" / "cryptolake"


class First(NamedTuple):
    """What the first connection of a user made: the file in the cache, and the views of a lake that is not there."""

    file: Path
    lake: Path
    views: list[tuple[object, ...]]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    """Made once: it takes a second."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        made = views(folder / "lake")
    (file,) = (folder / "cryptolake").iterdir()
    return First(file, folder / "lake", made)


@pytest.fixture
def kept(cache: Path, first: First) -> Path:
    """The file of the test's own cache, as a connection before has left it."""
    cache.mkdir(mode=0o700, parents=True)
    return Path(shutil.copy2(first.file, cache))


def views(root: Path) -> list[tuple[object, ...]]:
    """Every view of a lake with its text and its columns, as a new connection has them."""
    with cl.Lake(root).connect() as connection:
        made = connection.execute(
            "select database_name, schema_name, view_name, sql from duckdb_views() "
            "where not internal order by all"
        ).fetchall()
        columns = connection.execute(
            "select table_schema, table_name, column_name, data_type, ordinal_position "
            "from information_schema.columns order by all"
        ).fetchall()
        databases = connection.execute("select database_name from duckdb_databases()").fetchall()
    return [*made, *columns, *databases]


def test_views_from_the_cache_are_those_that_are_made(cache, kept, first):
    written = kept.stat()
    assert views(first.lake) == first.views
    assert list(cache.iterdir()) == [kept]
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert not first.lake.exists()


def test_copied_views_are_of_the_lake_that_took_them(tmp_path, cache):
    count = "select count(*) from spot_klines_1d"
    with cl.Lake(tmp_path / "other").connect() as first:
        file = tmp_path / "a[*]'s" / "silver/market=spot/data_type=klines/interval=1d"
        file = file / "symbol=AUSDT/2024-01.parquet"
        file.parent.mkdir(parents=True)
        names = "open_time, open, high, low, close, volume, close_time, quote_volume, trades, "
        names += "taker_buy_volume, taker_buy_quote_volume"
        one = f"select {names} from (select 1) left join silver.spot_klines_1d on true"
        first.sql(one).write_parquet(str(file))
        with cl.Lake(tmp_path / "a[*]'s").connect() as second:
            assert second.execute(count).fetchall() == [(1,)]
            second.execute("attach ':memory:' as elsewhere; use elsewhere")
            found = second.execute("from memory.silver.spot_klines_1d select symbol, month")
            assert found.fetchall() == [("AUSDT", "2024-01")]
        assert first.execute(count).fetchall() == [(0,)]


def test_a_damaged_cache_is_made_anew(cache, kept, first):
    whole = kept.stat().st_size
    for data in (b"", b"no database" * 1000, kept.read_bytes()[: whole // 2]):
        kept.write_bytes(data)
        assert views(first.lake) == first.views
        assert [path.stat().st_size for path in cache.iterdir()] == [whole]


def test_where_nothing_can_be_kept_the_views_are_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert views(tmp_path / "lake")


def test_a_kept_duckdb_file_is_whole_in_itself(tmp_path, cache):
    cl.Lake(tmp_path / "lake").connect(tmp_path / "views.duckdb").close()
    assert not cache.exists()


def test_other_views_have_another_file():
    assert view_template.place(["create view a"]) != view_template.place(["create view b"])


def test_any_number_of_connections_may_begin_at_once(tmp_path, cache):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(views, [tmp_path] * 4))
    assert found[0] == found[1] == found[2] == found[3]
    assert [path for path in cache.iterdir() if path.suffix != ".duckdb"] == []


def planted_views(file: Path) -> None:
    """Another program's views, at the name of the cache's file."""
    with duckdb.connect(str(file)) as connection:
        connection.execute("create schema bronze")
        connection.execute("create view bronze.spot_klines as select 666 as open_time")


PLANTED: dict[str, Callable[[Path], object]] = {
    "no views": lambda file: duckdb.connect(str(file)).close(),
    "other views": planted_views,
    "a folder": lambda file: file.mkdir(),
    "a pipe": lambda file: os.mkfifo(file),
    "a link to itself": lambda file: file.symlink_to(file),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_others_planted_in_the_cache_is_not_run(kept, first, planted):
    kept.unlink()
    PLANTED[planted](kept)
    assert views(first.lake) == first.views


def test_a_file_that_others_may_write_or_wrote_is_not_run(first, kept):
    assert not kept.stat().st_mode & 0o077
    for others in (lambda: kept.chmod(0o666), lambda: os.chown(kept, 12345, 12345)):
        kept.unlink()
        shutil.copy2(first.file, kept)
        with duckdb.connect(str(kept)) as connection:
            text = "create or replace view bronze.spot_klines as select 666 as open_time"
            connection.execute(text)
        with suppress(PermissionError):  # who is not root cannot give a file away
            others()
        if kept.stat().st_uid != os.getuid() or kept.stat().st_mode & 0o022:
            assert views(first.lake) == first.views


@pytest.mark.parametrize("folder", ["relative", "", "/dev/null", "/proc/self/nothing"])
def test_where_there_is_no_cache_the_views_are_made(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("XDG_CACHE_HOME", folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert views(tmp_path / "lake")
    assert not (tmp_path / "relative").exists()
