"""Real archive files, laid out and served as the archive does."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptolake.sample.server import serve_archive


@pytest.fixture(scope="session")
def real_folder(real_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every real zip as it is, and every real CSV and excerpt zipped under the key it would have."""
    root = tmp_path_factory.mktemp("real")
    shutil.copytree(real_archive / "zips", root, dirs_exist_ok=True)
    for tier in ("csv", "excerpts"):
        for source in sorted((real_archive / tier).rglob("*.csv")):
            _put(root, source.relative_to(real_archive / tier), source.read_bytes())
    return root


@pytest.fixture(scope="session")
def real_endpoint(real_folder: Path) -> Iterator[str]:
    """The real files, served as S3 on loopback."""
    with serve_archive(real_folder) as served:
        yield served.endpoint


def _put(root: Path, path: Path, text: bytes) -> None:
    name = (
        path.name.removesuffix(".csv")
        .removesuffix(".head")
        .removesuffix(".tail")
        .removesuffix(".excerpt")
    )
    target = root / path.parent / f"{name}.zip"
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(f"{name}.csv", text)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    target.with_name(target.name + ".CHECKSUM").write_text(f"{digest}  {target.name}\n")
