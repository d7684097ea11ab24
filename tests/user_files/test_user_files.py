"""Paths that a person gives: no name is a raw error of the system, and no link at a draft's name is followed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.user_files import user_path, written_whole

NOBODY, NUL, HALF = "~no-such-user-x/a.json", "a\0b.json", "\ud800.json"
OPENS = {
    "lake": lambda path: cl.Lake(path).status(),
    "lock": cl.Lock.load,
    "plan": cl.Plan.load,
    "configuration": cl.WorkflowConfig,
    "donor": lambda path: cl.Lake("/no/lake").thaw("/no/lock", [path]),
}


@pytest.mark.parametrize("path", [NOBODY, NUL, HALF], ids=["nobody", "NUL", "half a pair"])
@pytest.mark.parametrize("what", OPENS)
def test_a_path_that_is_none_is_one_of_our_errors(what, path):
    with pytest.raises(cl.CryptolakeError):
        OPENS[what](path)


@pytest.mark.parametrize("what", [*OPENS, "written", "page", "export"])
def test_a_url_is_no_path_and_its_login_is_not_shown(what, tmp_path):
    query = cl.query().markets("spot").klines("1h").symbols("A").between("2024")
    more = {
        "written": query_path,
        "page": lambda path: cl.Lake(tmp_path).quality_page(query, path),
        "export": lambda path: cl.Lake(tmp_path).export(query, path),
    }
    for url in ("s3://AK:S3CR3T@bucket/x", Path("https://me:S3CR3T@host/x")):
        with pytest.raises(cl.CryptolakeError) as caught:
            {**OPENS, **more}[what](url)
        assert "S3CR3T" not in f"{caught.value!r}{caught.value.facts}"


def query_path(path):
    with written_whole(user_path(path), "it"):
        pass


def test_a_link_at_the_name_of_a_draft_is_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    target = tmp_path / "paper.lock.json"
    for name in (".paper.lock.json.draft", f".paper.lock.json.{os.getpid()}"):
        (tmp_path / name).symlink_to(victim)
    target.symlink_to(victim)
    with written_whole(target, "the lock") as draft:
        draft.write_text("new")
    assert (victim.read_text(), target.read_text()) == ("as it was", "new")
    assert not target.is_symlink()


def test_what_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("as it was")

    def fail(target):
        with written_whole(target, "it") as draft:
            draft.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail(target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "as it was"
    with pytest.raises(cl.StorageError, match=r"cannot write it to .*/no/a: No such file"):
        fail(tmp_path / "no" / "a")


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path(pipe).read_text()))
    reader.start()
    with written_whole(pipe, "it") as draft:
        draft.write_text("through")
    reader.join(5)
    assert read == ["through"]
    assert pipe.is_fifo()
