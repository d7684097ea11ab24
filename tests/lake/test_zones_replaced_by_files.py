"""A zone's folder that is a file: the error names the folder and what to do, and doing it brings the zone back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.gold import recipes

QUERY = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01-01")
ROWS = "select count(*) from silver.spot_klines"

VERBS: dict[str, dict[str, Callable[[cl.Lake], object]]] = {
    "bronze": {
        "pull": lambda lake: lake.pull(QUERY, progress=False),
        "verify": lambda lake: lake.verify(),
        "bronze": lambda lake: lake.bronze(QUERY).collect(),
    },
    "silver": {
        "build": lambda lake: lake.build(QUERY, progress=False),
        "sql": lambda lake: lake.sql(ROWS),
        "silver": lambda lake: lake.silver(QUERY).collect(),
    },
    "gold": {
        "gold": lambda lake: lake.gold("closes", QUERY, progress=False).collect(),
        "datasets": lambda lake: lake.datasets(),
    },
    "meta": {
        "update": lambda lake: lake.update(progress=False),
        "status": lambda lake: lake.status(),
    },
}


@pytest.fixture
def lake(tmp_path: Path, archive: cl.Archive, monkeypatch: pytest.MonkeyPatch) -> cl.Lake:
    monkeypatch.setattr(recipes, "_RECIPES", recipes.recipes())

    @cl.recipe(bars="spot_klines:1h")
    def closes(bars):
        return bars.select("open_time", "close")

    lake = cl.Lake(tmp_path / "lake", source=archive)
    assert lake.pull(QUERY, progress=False).ok
    lake.gold("closes", QUERY, progress=False)
    return lake


def _repaired(lake: cl.Lake) -> None:
    lake.verify(repair=True)
    lake.build(progress=False)


AGAIN: dict[str, Callable[[cl.Lake], object]] = {
    "bronze": lambda lake: lake.pull(QUERY, progress=False),
    "silver": _repaired,
    "gold": _repaired,
    "meta": _repaired,
}


def held(lake: cl.Lake) -> list[int]:
    """The rows of each zone that has data."""
    gold = lake.gold("closes", QUERY, progress=False).collect()
    return [frame.collect().height for frame in (lake.bronze(QUERY), lake.silver(QUERY))] + [
        gold.height
    ]


@pytest.mark.parametrize("zone", VERBS)
def test_it_is_named_and_comes_back_once_it_is_moved_away(lake: cl.Lake, zone: str) -> None:
    before, folder = held(lake), Path(lake.root) / zone
    folder.rename(Path(lake.root).with_name("aside"))
    folder.write_bytes(b"a file")
    for name, verb in VERBS[zone].items():
        with pytest.raises(cl.StorageError) as caught:
            verb(cl.Lake(lake.root, source=lake.source))
        said = str(caught.value)
        assert f"the folder '{zone}' of the lake is a file: move it out of the lake" in said, name
        assert "another root" not in said, name
    folder.unlink()
    AGAIN[zone](cl.Lake(lake.root, source=lake.source))
    assert held(cl.Lake(lake.root, source=lake.source)) == before
    assert 0 not in before


def test_a_folder_further_down_is_named_whole(lake: cl.Lake) -> None:
    place = Path(lake.root) / "silver" / "market=spot"
    place.rename(Path(lake.root).with_name("aside"))
    place.write_bytes(b"a file")
    with pytest.raises(cl.StorageError, match=r"the folder 'silver/market=spot' of the lake is"):
        lake.build(QUERY, progress=False)
