"""The public face: its names are what __all__ says, each is documented, and importing it is light."""

import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import cryptolake as cl

HEAVY = {
    "altair",
    "boto3",
    "botocore",
    "duckdb",
    "ipywidgets",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
}
HEAVY |= {
    "IPython",
    "aiobotocore",
    "fsspec",
    "moto",
    "opentelemetry",
    "plotly",
    "pydantic",
    "rich",
    "s3fs",
    "tqdm",
}

CONTRACT = {"Archive", "Lake", "Plan", "Query", "Report", "matrix", "query"}
CONTRACT |= {"ChecksumMismatch", "CorruptArchive", "CryptolakeError", "InvalidQuery", "MissingTool"}
CONTRACT |= {"picker", "sample_archive", "sample_lake", "serve_archive"}
CONTRACT |= {"NoSuchSymbol", "NotPublished", "SchemaMismatch", "StorageError", "TransferError"}


def modules_after(statement: str) -> set[str]:
    """Run a statement in a fresh interpreter; return the top-level modules it has loaded."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_every_module_can_be_imported():
    for module in pkgutil.walk_packages(cl.__path__, "cryptolake."):
        if not module.name.endswith("__main__"):  # which runs the program
            importlib.import_module(module.name)


def test_the_contract_is_public():
    assert set(cl.__all__) >= CONTRACT


def test_all_is_sorted_without_repeats_and_dir_shows_it():
    assert sorted(set(cl.__all__)) == list(cl.__all__)
    assert dir(cl) == list(cl.__all__)


@pytest.mark.parametrize("name", cl.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    found = getattr(cl, name)
    assert inspect.getdoc(found), f"cl.{name} has no docstring"
    if inspect.isclass(found):
        for member, value in vars(found).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"cl.{name}.{member} has no docstring"


def test_what_type_checkers_see_is_what_there_is():
    tree = ast.parse(Path(cl.__file__).read_text("utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = [
        name.name
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    ]
    assert sorted(seen) == list(cl.__all__)


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="no attribute 'Pool'"):
        _ = cl.Pool


def test_importing_cryptolake_loads_nothing_heavy():
    assert not modules_after("import cryptolake") & HEAVY


def test_a_query_needs_no_library_that_does_io():
    said = "cl.query().markets('spot').klines('1m').symbols('BTCUSDT').between('2024-01').check()"
    assert modules_after(f"import cryptolake as cl\n{said}") & HEAVY == {"pydantic"}


def test_opening_a_lake_loads_nothing_heavy_and_touches_nothing(tmp_path):
    statement = f"import cryptolake as cl\nrepr(cl.Lake({str(tmp_path / 'lake')!r}))"
    assert modules_after(statement) & HEAVY == {"pydantic"}
    assert not list(tmp_path.iterdir())


def test_the_command_lines_help_loads_nothing_heavy():
    statement = (
        "import contextlib, io\nfrom cryptolake.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['pull', '--help'])"
    )
    assert not modules_after(statement) & (HEAVY - {"pydantic", "rich"})  # rich draws the help
