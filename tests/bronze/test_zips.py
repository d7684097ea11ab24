"""A zip gives its one CSV, and nothing else: what the archive never publishes is refused by name."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from cryptolake.bronze.zips import Limits, inflate, inflate_chunks
from cryptolake.errors import CorruptArchive
from tests.silver.texts import zipped

TEXT = b"".join(b"%d,10.0,11.0\n" % number for number in range(20_000))


def refused(data: bytes, limits: Limits | None = None) -> str:
    limits = limits or Limits()
    with pytest.raises(CorruptArchive, match=r"a\.zip") as at_once:
        inflate(data, "a.zip", limits)
    with pytest.raises(CorruptArchive) as in_chunks:
        list(inflate_chunks(io.BytesIO(data), "a.zip", limits, chunk=1000))
    assert at_once.value.reason == in_chunks.value.reason
    return str(at_once.value.reason)


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_the_text_comes_out_as_it_went_in(method: int):
    data = packed({"a.csv": TEXT}, method)
    assert inflate(data, "a.zip") == TEXT
    assert b"".join(inflate_chunks(io.BytesIO(data), "a.zip", chunk=777)) == TEXT


def test_an_empty_csv_is_empty_text():
    assert inflate(zipped(b""), "a.zip") == b""


def test_a_members_name_is_never_used():
    assert inflate(packed({"../../etc/passwd": b"1\n"}), "a.zip") == b"1\n"


def test_two_members_are_refused():
    assert refused(packed({"a.csv": b"1\n", "b.csv": b"2\n"})) == "members"


def test_what_is_no_zip_is_refused():
    assert refused(b"<html>404</html>") == "not_a_zip"
    assert refused(b"") == "not_a_zip"


def test_a_truncated_zip_is_refused():
    data = zipped(TEXT)
    assert refused(data[: len(data) // 2]) == "not_a_zip"


def test_a_flipped_bit_is_found_by_the_crc():
    data = bytearray(packed({"a.csv": TEXT}, zipfile.ZIP_STORED))
    data[200] ^= 1
    assert refused(bytes(data)) == "crc"


def test_damaged_deflate_is_refused():
    data = bytearray(zipped(TEXT))
    data[60:90] = b"\xff" * 30
    assert refused(bytes(data)) in {"deflate", "crc", "size"}


def lying(data: bytes, size: int) -> bytes:
    """The same zip, whose directory states another size."""
    place = data.rindex(b"PK\x01\x02") + 24
    return data[:place] + struct.pack("<I", size) + data[place + 4 :]


def test_a_zip_that_inflates_to_more_than_it_states_is_refused():
    assert refused(lying(zipped(TEXT), 100)) == "size"


def test_a_zip_that_inflates_to_less_than_it_states_is_refused():
    assert refused(lying(zipped(TEXT), len(TEXT) + 1)) == "size"


def test_a_bomb_is_refused_before_it_is_inflated_unless_the_limit_is_raised():
    bomb = zipped(b"0" * 5_000_000)
    assert refused(bomb) == "too_big"
    assert len(inflate(bomb, "a.zip", Limits(max_ratio=2000))) == 5_000_000


def test_the_limit_on_bytes_is_the_callers():
    assert refused(zipped(TEXT), Limits(max_bytes=1000)) == "too_big"


def test_an_encrypted_member_is_refused():
    data = bytearray(zipped(TEXT))
    place = data.rindex(b"PK\x01\x02") + 8
    data[place] |= 1
    assert refused(bytes(data)) == "encrypted"


def test_an_unknown_compression_is_refused():
    assert refused(packed({"a.csv": TEXT}, zipfile.ZIP_BZIP2)) == "compression"
