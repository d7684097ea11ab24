"""freeze, diff and thaw: the same work as the API's, in text or JSON, with its exit code."""

import json

import cryptolake as cl
from tests.cli.conftest import WORDS


def test_a_dataset_is_frozen_compared_and_thawed(run, tmp_path, pulled):
    lock = tmp_path / "x.lock.json"
    done = run("freeze", lock, *WORDS, "--root", pulled)
    made = cl.Lock.load(lock)
    assert (done.code, made.id in done.out) == (0, True), done.err
    facts = json.loads(run("freeze", lock, *WORDS, "--root", pulled, "--json").out)
    assert (facts["id"], facts["files"]) == (made.id, made.files.height)
    assert run("diff", lock).code == 0
    done = run("thaw", lock, "--donor", pulled, "--quiet", "--json")
    assert (done.code, json.loads(done.out)["transferred"]) == (0, made.files.height)
    assert cl.Lake(tmp_path / "lake").silver(made.query).collect().height == made.rows
    [held] = json.loads(run("locks", "--json").out)
    assert (held["id"], held["kept_files"]) == (made.id, 0)
    assert run("unlock", "nosuch").code == 2
    assert f"meta/locks/{made.id}.json" in run("unlock", made.id[:8]).out
    assert json.loads(run("locks", "--json").out) == []


def test_differences_and_mistakes_have_their_exit_codes(run, tmp_path, pulled):
    lock = tmp_path / "x.lock.json"
    assert run("freeze", lock, *WORDS).code == 2  # nothing is here
    assert run("diff", lock).code == 2
    assert run("freeze", lock, *WORDS, "--root", pulled).code == 0
    body = json.loads(lock.read_text())
    files = next(iter(body["tree"].values()))
    for name, pinned in files.items():
        files[name] = [
            pinned[0],
            "0" * 32,
            pinned[2],
        ]  # as of a file that the archive has rewritten
    lock.write_text(json.dumps(body))
    done = run("diff", lock, "--json")
    assert (done.code, {row["change"] for row in json.loads(done.out)}) == (1, {"rewritten"})
    done = run("thaw", lock, "--quiet")
    assert done.code == 0, done.out  # its CHECKSUM says that the bytes are the pinned ones
