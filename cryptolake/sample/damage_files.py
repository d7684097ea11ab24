"""Damage to a file as a whole: its sidecar, its zip, what the zip holds."""

from __future__ import annotations

import io
import zipfile

from cryptolake.archive.keys import CHECKSUM
from cryptolake.sample.folder import make_sidecar, make_zip, member_info
from cryptolake.sample.injector import Harm, Site
from cryptolake.sample.market import DAY_US

_BOMB = 64_000_000


def stale_checksum(site: Site) -> list[Harm]:
    """Give the file the hash of other bytes."""
    moment = site.folder.moment(site.key)
    sidecar = make_sidecar(b"the bytes before", _basename(site.key), moment)
    site.folder.write(site.key + CHECKSUM, sidecar, moment)
    return [Harm(site.key, detail="the hash of other bytes")]


def missing_checksum(site: Site) -> list[Harm]:
    """Take the sidecar away."""
    site.folder.path(site.key + CHECKSUM).unlink()
    return [Harm(site.key, detail="no sidecar")]


def sidecar_names_other_file(site: Site) -> list[Harm]:
    """Name another file in the sidecar."""
    moment, data = site.folder.moment(site.key), site.folder.path(site.key).read_bytes()
    other = "OTHER-" + _basename(site.key)
    site.folder.write(site.key + CHECKSUM, make_sidecar(data, other, moment), moment)
    return [Harm(site.key, detail=other)]


def sidecar_without_hash(site: Site) -> list[Harm]:
    """Put a web page in the place of the sidecar."""
    page = b"<html><body>Service unavailable</body></html>\n"
    site.folder.write(site.key + CHECKSUM, page, site.folder.moment(site.key))
    return [Harm(site.key, detail="a web page")]


def truncated_zip(site: Site) -> list[Harm]:
    """Cut the last third off."""
    data = site.folder.path(site.key).read_bytes()
    kept = len(data) * 2 // 3
    site.folder.write_pair(site.key, data[:kept], site.folder.moment(site.key))
    return [Harm(site.key, detail=f"{kept} of {len(data)} bytes")]


def _members(site: Site, members: dict[str, bytes]) -> None:
    moment = site.folder.moment(site.key)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(member_info(name, moment, site.parsed.market), text)
    site.folder.write_pair(site.key, buffer.getvalue(), moment)


def two_members(site: Site) -> list[Harm]:
    """Put the CSV in twice, under two names."""
    text, name = site.folder.read_text(site.key), _csv_name(site.key)
    _members(site, {name: text, f"copy-{name}": text})
    return [Harm(site.key, detail=f"copy-{name}")]


def member_path(site: Site) -> list[Harm]:
    """Name the CSV so that it would land outside."""
    _members(site, {"../x.csv": site.folder.read_text(site.key)})
    return [Harm(site.key, detail="../x.csv")]


def bomb(site: Site) -> list[Harm]:
    """Fill the zip with what inflates a thousandfold."""
    _members(site, {_csv_name(site.key): b"0" * _BOMB})
    size = site.folder.path(site.key).stat().st_size
    return [Harm(site.key, detail=f"{_BOMB} bytes from {size}")]


def wrong_symbol(site: Site) -> list[Harm]:
    """Put another symbol's CSV in."""
    other = sorted(site.others)[0] if site.others else "XUSDT"
    text = site.folder.read_text(other if site.others else site.key)
    moment = site.folder.moment(site.key)
    data = make_zip(_csv_name(other), text, moment, site.parsed.market)
    site.folder.write_pair(site.key, data, moment)
    return [Harm(site.key, detail=_csv_name(other))]


def missing_daily_file(site: Site) -> list[Harm]:
    """Delete zip and sidecar."""
    site.folder.path(site.key).unlink()
    site.folder.path(site.key + CHECKSUM).unlink()
    days = site.parsed.period.days
    first = int(days.begin.timestamp()) * 1_000_000
    return [Harm(site.key, first, first + DAY_US - 1, detail="no file")]


def _basename(key: str) -> str:
    return key.rsplit("/", 1)[1]


def _csv_name(key: str) -> str:
    return _basename(key).removesuffix(".zip") + ".csv"
