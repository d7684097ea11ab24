"""A module has one job, a function fits on a screen, and a class's name means one thing.

Branches (10) and nesting (3) are ruff's to check: see ``mccabe`` and ``pylint`` in pyproject.toml.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cryptolake

PACKAGE = Path(__file__).parents[2] / "cryptolake"
MODULES = {
    path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")
}
PUBLIC = {f"{home.replace('.', '/')}.py" for home in cryptolake._HOMES.values()}
MODULE_LINES, CODE_LINES = 600, 40

PRIVATE_NAMES = re.compile(
    r"care|reads|holdings|mishaps|vaults|wire|ahead|watching|outcome", re.IGNORECASE
)
"""Names of modules and classes from before the field's words; none comes back."""

Defined = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Defined]]:
    for name, text in MODULES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Defined):
                yield name, node


def code_lines(text: str, function: Defined) -> int:
    """Count a function's lines without its docstring, comments and blank lines."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = range(first.lineno, (first.end_lineno or 0) + 1) if documented else range(0)
    lines = text.splitlines()
    return sum(
        number not in docstring and bool(line := lines[number - 1].strip()) and line[0] != "#"
        for number in range(function.lineno, (function.end_lineno or 0) + 1)
    )


def classes() -> dict[str, list[str]]:
    found = defaultdict(list)
    for name, text in MODULES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(name)
    return found


def docstring_lines(text: str) -> int:
    """Count the lines of the docstrings of a module's classes and functions."""
    total = 0
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Defined | ast.ClassDef) and ast.get_docstring(node) is not None:
            total += (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
    return total


def module_lines(name: str) -> int:
    """Count a module's lines; where public names live without docstrings, which are the users' reference."""
    text = MODULES[name]
    return len(text.splitlines()) - (docstring_lines(text) if name in PUBLIC else 0)


def test_no_module_is_too_long_to_have_one_job():
    lengths = {name: module_lines(name) for name in MODULES}
    assert {name: length for name, length in lengths.items() if length > MODULE_LINES} == {}


def test_no_function_is_longer_than_a_screen():
    lengths = {
        f"{name}: {node.name}": code_lines(MODULES[name], node) for name, node in functions()
    }
    assert {where: length for where, length in lengths.items() if length > CODE_LINES} == {}


def test_code_lines_are_counted_without_docstring_comments_and_blank_lines():
    text = '''
def f(a):
    """Say.

    More.
    """
    # why
    b = a

    return """
x"""
'''
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(text, function) == 4


def test_a_class_name_means_one_thing():
    assert {name: where for name, where in classes().items() if len(where) > 1} == {}


def test_modules_and_classes_have_the_fields_words():
    modules = {Path(name).stem for name in MODULES} | {Path(name).parent.name for name in MODULES}
    assert [name for name in modules | {*classes()} if PRIVATE_NAMES.fullmatch(name)] == []
