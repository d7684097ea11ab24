"""A zip gives its one CSV, and nothing else; a transfer and a reader judge it alike."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest

from cryptolake.bronze.verify import Expected, check_file
from cryptolake.bronze.zips import Limits, inflate, inflate_chunks
from cryptolake.errors import CorruptArchive
from tests.silver.texts import zipped

TEXT = b"".join(b"%d,10.0,11.0\n" % number for number in range(20_000))


def refused(data: bytes, key: str = "a.zip", limits: Limits | None = None) -> str:
    """The reason for which a reader refuses a zip, in whichever way it reads it."""
    limits = limits or Limits()
    with pytest.raises(CorruptArchive, match=key) as at_once:
        inflate(data, key, limits)
    with pytest.raises(CorruptArchive) as in_chunks:
        list(inflate_chunks(io.BytesIO(data), key, limits, chunk=1000))
    assert str(at_once.value) == str(in_chunks.value)
    return str(at_once.value.reason)


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def lying(data: bytes, size: int) -> bytes:
    """The same zip, whose directory states another size."""
    place = data.rindex(b"PK\x01\x02") + 24
    return data[:place] + struct.pack("<I", size) + data[place + 4 :]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_the_text_comes_out_as_it_went_in(method: int):
    data = packed({"a.csv": TEXT}, method)
    assert inflate(data, "a.zip") == TEXT
    assert b"".join(inflate_chunks(io.BytesIO(data), "a.zip", chunk=777)) == TEXT


def test_an_empty_csv_is_empty_text():
    assert inflate(zipped(b""), "a.zip") == b""


def test_a_flipped_bit_is_found_by_the_crc():
    data = bytearray(packed({"a.csv": TEXT}, zipfile.ZIP_STORED))
    data[200] ^= 1
    assert refused(bytes(data)) == "crc"


def test_damaged_deflate_is_refused():
    data = bytearray(zipped(TEXT))
    data[60:90] = b"\xff" * 30
    assert refused(bytes(data)) in {"deflate", "crc", "size"}


def test_a_zip_that_inflates_to_more_than_it_states_is_refused():
    assert refused(lying(zipped(TEXT), 100)) == "size"


def test_a_zip_that_inflates_to_less_than_it_states_is_refused():
    assert refused(lying(zipped(TEXT), len(TEXT) + 1)) == "size"


def test_the_limits_are_the_readers():
    bomb = zipped(b"0" * 5_000_000)
    assert len(inflate(bomb, "a.zip", Limits(max_ratio=2000))) == 5_000_000
    assert refused(zipped(TEXT), limits=Limits(max_bytes=1000)) == "too_big"


KEY = "BTCUSDT-1h-2024-01.zip"


def encrypted() -> bytes:
    data = bytearray(zipped(TEXT))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


STRUCTURES = [
    (b"<html>404</html>", "not_a_zip", "is not a sound zip"),
    (b"", "not_a_zip", "is not a sound zip"),
    (zipped(TEXT)[:-30], "not_a_zip", "is not a sound zip"),
    (b"X" + zipped(TEXT)[1:], "not_a_zip", "no member where its directory says"),
    (packed({}), "members", "holds 0 members"),
    (packed({"a.csv": b"1\n", "b.csv": b"2\n"}), "members", "holds 2 members"),
    (packed({"../x": b"1\n"}), "member_name", "'../x', which is not a plain file name"),
    (packed({"/etc/x": b"1\n"}), "member_name", "not a plain file name"),
    (packed({"a\\b.csv": b"1\n"}), "member_name", "not a plain file name"),
    (packed({"folder/": b""}), "member_name", "not a plain file name"),
    (packed({"ETHUSDT-1h-2024-01.csv": b"1\n"}), "wrong_file", "the CSV of another file, 'ETH"),
    (encrypted(), "encrypted", "is encrypted"),
    (packed({"a.csv": TEXT}, zipfile.ZIP_BZIP2), "compression", "compression method 12"),
    (lying(zipped(TEXT), 2**31), "too_big", "inflates to 2,147,483,648 bytes"),
    (zipped(b"0" * 5_000_000), "too_big", "above the limit of 400 times"),
]


@pytest.mark.parametrize(("data", "reason", "said"), STRUCTURES)
def test_a_transfer_and_a_reader_refuse_the_same_zips_for_the_same_reason(
    tmp_path: Path, data: bytes, reason: str, said: str
):
    path = tmp_path / KEY
    path.write_bytes(data)
    verdict = check_file(path, None, Expected(len(data), None), KEY)
    assert verdict.finding == "corrupt"
    assert verdict.detail.startswith(KEY)
    assert said in verdict.detail
    assert refused(data, KEY) == reason


def test_only_what_may_be_damage_is_to_be_fetched_again():
    with pytest.raises(CorruptArchive, match=r"\. Fetch it again"):
        inflate(zipped(TEXT)[:-30], KEY)
    with pytest.raises(CorruptArchive, match=r"'ETHUSDT-1h-2024-01\.csv'\. Leave it out\.$"):
        inflate(packed({"ETHUSDT-1h-2024-01.csv": b"1\n"}), KEY)


@pytest.mark.parametrize("name", ["BTCUSDT-1h-2024-01.csv", "btcusdt-1h-2024-01.csv", "data.csv"])
def test_a_transfer_and_a_reader_take_the_same_zips(tmp_path: Path, name: str):
    data = packed({name: TEXT})
    (tmp_path / KEY).write_bytes(data)
    assert check_file(tmp_path / KEY, None, Expected(len(data), None), KEY).finding == "good"
    assert inflate(data, KEY) == TEXT
