"""Every command explains itself, and README's list of commands is there."""

import shlex
from typing import Any

import pytest
import typer.main
from typer._click import Context

import cryptolake
from cryptolake.cli.app import EXIT_CODES, app
from cryptolake.cli.examples import COMMANDS as EXAMPLES
from cryptolake.errors import CryptolakeError


def test_the_help_lists_the_commands_and_the_exit_codes(run):
    done = run("--help")
    assert done.code == 0
    assert [name for name in EXAMPLES if f"\n│ {name} " not in done.out] == []
    assert [
        code for code in {code for _, code in EXIT_CODES} if f"\n   {code}  " not in done.out
    ] == []


@pytest.mark.parametrize("command", EXAMPLES)
def test_every_command_and_every_option_is_explained(run, command):
    done = run(command, "--help")
    assert done.code == 0
    assert len(done.out.splitlines()) > 4


def test_every_command_has_a_place_in_the_help_and_an_example_of_words_it_takes():
    program: Any = typer.main.get_command(app)
    top = Context(program, info_name="cryptolake")
    assert sorted(program.list_commands(top)) == sorted(EXAMPLES)
    for name, (_, example) in EXAMPLES.items():
        began, called, *words = shlex.split(example)
        assert (began, called) == ("cryptolake", name)
        command = program.get_command(top, name)
        made = command.make_context(name, words, parent=top)
        assert not made.args, example


def test_no_command_shows_the_help(run):
    assert "Usage: cryptolake" in (run().out + run().err)


def test_the_version_is_the_packages(run):
    assert run("--version").out == f"cryptolake {cryptolake.__version__}\n"


def test_every_kind_of_error_has_an_exit_code_of_its_own_kind():
    kinds, seen = [CryptolakeError], []
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        seen.append(next(code for known, code in EXIT_CODES if issubclass(kind, known)))
    assert set(seen) == {1, 2, 3, 4, 5, 6}
