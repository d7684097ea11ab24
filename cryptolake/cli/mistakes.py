"""What a mistake says on the command line: one sentence, in the words that a person types there.

The library's messages name verbs of Python, and know nothing of the command line; :func:`in_options` says the same by
options and commands: queries and calls by their grammar, and what else is Python by :data:`PHRASES`, of which a test
holds each against the library's messages. What typer finds wrong with the words of a command (:func:`usage`) has the
same form as what the library does.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer

from cryptolake.errors import hint

ClickException: type[Any] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)
"""What typer raises where the words are no command; it has no public name."""

HELP_WANTED = "NoArgsIsHelpError"
"""The kind of it that is raised when the help was printed for want of words."""

# ---------------------------------------------------------------- the library's messages

_OPTIONS = {
    "markets": ("-m",),
    "data_types": ("-t",),
    "intervals": ("-i",),
    "klines": ("-i",),
    "symbols": ("-s",),
    "between": ("--from", "--to"),
    "since": ("--since",),
    "last": ("--last",),
    "universe": (),
}
"""The option of a query's verb; of ``between``, one for each argument."""

_VERBS = "|".join(_OPTIONS)
_ARGUMENTS = r"\((?:[^()']|'[^']*'|\([^()]*\))*\)"
_CALL = re.compile(rf"\.({_VERBS})({_ARGUMENTS})")
_QUERY = re.compile(rf"(?:\bcl\.query\(\)|\bquery(?=\.))?(?:\.(?:{_VERBS}){_ARGUMENTS})+")
_BARE = re.compile(rf"(?<![\w.])(between)({_ARGUMENTS})")

METHODS = (
    *("save_query", "freeze", "symbols", "verify", "fill", "pull"),
    *("plan", "build", "heal", "locks", "datasets"),
)
"""Methods of a lake that a message names; the command that does the same has the same name."""

_NAMED = {"save_query": " NAME", "freeze": " LOCK"}

_METHOD = re.compile(rf"\blake\.({'|'.join(METHODS)})(\((?:[^()']|'[^']*'|{_ARGUMENTS})*\))?")
_SYMBOLS = re.compile(r"\blake\.symbols\('(\w+)', '(\w+)'\)")
PHRASES = {
    "overwrite=True (--overwrite)": "--overwrite",
    "Lake(..., adopt=True), --adopt-archive on the command line": "--adopt-archive",
    "CRYPTOLAKE_ENDPOINT_URL, or Archive(endpoint_url=...)": "CRYPTOLAKE_ENDPOINT_URL, or --endpoint-url",
    "(storage_options, or the AWS environment)": "(the AWS environment)",
    "(storage_options)": "(the AWS environment)",
    "storage_options or the AWS environment": "the AWS environment",
    "lake.plan(query).query names them": "cryptolake plan names them",
    "lake.meta.quarantined()": 'cryptolake sql "from meta.quarantine"',
    "plan.save(path)": "cryptolake plan --save FILE",
    "Write one with query.to_json().": "One is what query.to_json() writes in Python.",
    "WorkflowConfig('selection.json', 'this.json')": "cryptolake run selection.json this.json",
    "repair=True": "--repair",
    "'2024-03-15', or pass a date.": "or '2024-03-15'.",
    "a donor is the root of a lake, or a Lake": "a donor is the root of a lake",
}
"""What the library's messages say of Python's words beside queries and calls, and what is said here instead."""
_VALUES = (
    (re.compile(r"\bchecksum_policy='(\w+)'"), r"--checksums \1"),
    (re.compile(r"\bmode='(\w+)'"), r"--mode \1"),
    (re.compile(r"\bverify\(query, against='[^']*'\)"), "with -m, -i, -s and --from"),
    (re.compile(r"\bverify\(against='([^']*)'\)"), r"verify --against \1"),
    (re.compile(r"\bagainst=(\.\.\.|'[^']*')"), "--against DATA_TYPE"),
    (re.compile(r"\((cryptolake [a-z-]+), \1\)"), r"(\1)"),
)


def in_options(text: str) -> str:
    """Say a message of the library in options and commands.

    Examples
    --------
    >>> in_options("say which symbols: .symbols('BTCUSDT', 'ETH*') or .universe(quote='USDT')")
    "say which symbols: -s 'BTCUSDT,ETH*' or --quote USDT"
    >>> in_options("cl.query().markets('spot').intervals('1h').between('2024-12', '2025-01')")
    '-m spot -i 1h --from 2024-12 --to 2025-01'
    >>> in_options("pull it first (lake.pull(query), cryptolake pull).")
    'pull it first (cryptolake pull).'
    """
    for words, said in PHRASES.items():
        text = text.replace(words, said)
    text = _SYMBOLS.sub(r"cryptolake symbols -m \1 -t \2", text)
    text = _QUERY.sub(lambda found: _of_query(found[0]), text)
    text = _BARE.sub(lambda found: _of_call(found[1], found[2]), text)
    text = _METHOD.sub(lambda found: _command(found[1]), text)
    for pattern, said in _VALUES:
        text = pattern.sub(said, text)
    return text


def _command(method: str) -> str:
    return f"cryptolake {method.replace('_', '-')}{_NAMED.get(method, '')}"


def _of_query(chain: str) -> str:
    return " ".join(_of_call(verb, arguments) for verb, arguments in _CALL.findall(chain))


def _of_call(verb: str, arguments: str) -> str:
    """Return the options of one verb; as it stands where its arguments are no plain values."""
    try:
        call: Any = ast.parse(f"f{arguments}", mode="eval").body
        given = [ast.literal_eval(argument) for argument in call.args]
        named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError):
        return f".{verb}{arguments}"
    return " ".join(_words(verb, given, named))


def _words(verb: str, given: list[Any], named: dict[str, Any]) -> Iterator[str]:
    flags = _OPTIONS[verb]
    if len(flags) == 1:
        yield flags[0]
        if given != [...]:
            yield _value(given)
    else:
        for flag, value in zip(flags, given, strict=False):
            yield f"{flag} {_value([value])}"
    for name, value in named.items():
        yield f"--{name.replace('_', '-')} {_value(value if isinstance(value, list | tuple) else [value])}"


def _value(words: Any) -> str:
    return shlex.quote(",".join(map(str, words)))


# ---------------------------------------------------------------- what typer finds

_SAID = (
    (re.compile(r"^Invalid value for (?:.* / )?'?([^':]+)'?: "), r"\1: "),
    (re.compile(r"^Invalid value: "), ""),
    (re.compile(r"^Invalid value for '"), "'"),
    (re.compile(r"Value error, "), ""),
    (re.compile(r"Input should be greater than or equal to (\S+)"), r"\1 or more"),
    (re.compile(r"Input should be less than or equal to (\S+)"), r"\1 or less"),
    (re.compile(r"Input should be a valid integer.*"), "a whole number"),
    (re.compile(r"^No such command '(.*?)'\. D(?=id)"), r"there is no command '\1'; d"),
    (re.compile(r"^No such command"), "there is no command"),
    (
        re.compile(r"^Got unexpected extra arguments?(?:\(s\))? \((.*)\)"),
        r"more words than it takes: \1",
    ),
    (re.compile(r"^Option '(.*?)' requires an argument"), r"\1 needs a value"),
    (re.compile(r"^Option '(.*?)' does not take a value"), r"\1 takes no value"),
)
_CHOICES = re.compile(r"^(\S+): '(.*)' is not one of (.*?)\.?$")


def usage(error: Any) -> str:
    """Return what is wrong with a command's words, in one sentence that ends with where the help is."""
    text = _missing(error) or _unknown_option(error) or error.format_message()
    for pattern, said in _SAID:
        text = pattern.sub(said, text)
    text = _with_given(_CHOICES.sub(_chosen, text), error).rstrip(".")
    context = getattr(error, "ctx", None)
    place = context.command_path if context is not None else "cryptolake COMMAND"
    end = "" if text.endswith("?") else "."
    return in_options(f"{_small(text)}{end} Help: {place} -h")


def _small(text: str) -> str:
    """Begin a sentence with a small letter, but for an abbreviation."""
    return text if text[1:2].isupper() else f"{text[:1].lower()}{text[1:]}"


def _missing(error: Any) -> str | None:
    """Name a word that is missing, and what it says."""
    parameter = getattr(error, "param", None)
    if type(error).__name__ != "MissingParameter" or parameter is None:
        return None
    is_option = parameter.param_type_name == "option"
    name = parameter.opts[0] if is_option else parameter.metavar or str(parameter.name).upper()
    kind = f" {parameter.metavar}" if is_option and parameter.metavar else ""
    help_text = getattr(parameter, "help", None)
    return f"say {name}{kind}" + (f": {_small(help_text)}" if help_text else "")


def _unknown_option(error: Any) -> str | None:
    if type(error).__name__ != "NoSuchOption":
        return None
    near = sorted(error.possibilities or ())
    told = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no option {error.option_name}{told}"


def _chosen(found: re.Match[str]) -> str:
    option, given, listed = found.groups()
    choices = re.findall(r"'([^']*)'", listed)
    told = hint(given, choices)
    return f"{option} cannot be {given!r}{told} Choose from: {', '.join(choices)}"


def _with_given(text: str, error: Any) -> str:
    """Add what was given to a limit that it breaks."""
    problems = getattr(error.__cause__, "errors", None)
    given = problems()[0].get("input") if callable(problems) else None
    if given is None or repr(given) in text:
        return text
    option, _, limit = text.partition(": ")
    return f"{option} is {limit}, not {given!r}"
