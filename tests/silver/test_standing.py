"""What stands at a month's path, whatever became of its bytes: a file of ours, or one that is built anew."""

from __future__ import annotations

from pathlib import Path

from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import build
from cryptolake.silver.parquet import read_standing
from tests.silver.texts import day_text, key, stored, zipped

PATH = "silver/market=futures_um/data_type=klines/interval=1h/symbol=BTCUSDT/2024-01.parquet"


def test_no_flipped_bit_of_its_footer_stops_a_build(tmp_path: Path) -> None:
    storage, _ = stored(tmp_path, {key("2024-01-01"): zipped(day_text("2024-01-01"))})
    lake = LakeContext.of(storage)
    assert build(lake, holdings(lake.records), progress=False).ok
    file = storage.local(PATH)
    whole = file.read_bytes()
    origin = read_standing(storage, PATH)
    assert origin is not None
    unknown = 0
    for place in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole)):
        for bit in (0, 7):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            file.write_bytes(flipped)
            unknown += read_standing(storage, PATH) is None
    assert unknown > 0
    file.write_bytes(whole)
    assert read_standing(storage, PATH) == origin
