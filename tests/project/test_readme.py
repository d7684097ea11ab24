"""README says what is so: its code runs, its tables are those of the matrix and the package."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from cryptolake.archive.enums import DataType, Market
from cryptolake.archive.matrix import load_matrix

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_python_snippet_runs_against_the_sample_archive(endpoint, tmp_path):
    snippets = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert snippets
    code = "\n".join(snippets) + "\nassert report.ok and plan.to_transfer and frame.height, report"
    environment = os.environ | {"HOME": str(tmp_path), "CRYPTOLAKE_ENDPOINT_URL": endpoint}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "BTCUSDT" in done.stdout
    assert {path.name for path in (tmp_path / "cryptolake").iterdir()} == {
        "bronze",
        "silver",
        "gold",
        "meta",
    }


def test_the_table_of_what_is_covered_is_the_matrix():
    assert "\n".join(coverage()) in README


def test_the_module_map_is_the_layers_contract_and_names_every_module():
    section = README.partition("## Module map")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", section, flags=re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    package = ROOT / "cryptolake"
    there = {path.stem for path in package.glob("*.py")}
    there |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert sorted(named) == sorted(there - {"__init__"})
    assert named == [name for layer in layers() for name in re.findall(r"\w+", layer)]


def layers() -> list[str]:
    """Return the layers that the import contract draws, top to bottom."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (found,) = (one["layers"] for one in contracts["contracts"] if one["type"] == "layers")
    return list(found)


def test_it_is_short_enough_to_be_read():
    assert len(README.splitlines()) <= 175


def coverage():
    """Return the rows that README's table should have: a row a data type, a column a market."""
    matrix = load_matrix()
    for data_type in DataType:
        cells = [cell(matrix.row(m, data_type)) if (m, data_type) in matrix else "" for m in Market]
        yield f"| {data_type.value} | {' | '.join(cells)} |"


def cell(row):
    partitions = ", ".join(partition.value for partition in row.partitions)
    if row.status == "discontinued":
        return f"{partitions}, until {row.last_date}"
    return f"{partitions} (none seen)" if row.status == "never_observed" else partitions


if __name__ == "__main__":
    print("\n".join(coverage()))
