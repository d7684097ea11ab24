"""Every public name says what it takes, returns and raises, and has an example that runs as it is printed."""

from __future__ import annotations

import ast
import builtins
import doctest
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import cryptolake as cl
from cryptolake import errors, handoff
from cryptolake.errors import CryptolakeError

SECTIONS = ("Parameters", "Returns", "Yields", "Raises", "Warns", "Notes", "Examples")
TYPED = {name for name, value in vars(errors).items() if isinstance(value, type)}
FRAMES = ("DataFrame", "LazyFrame")


class Public(NamedTuple):
    """A public function, method, property or class, by the name that a user calls it by."""

    name: str
    value: Any

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.value) or ""

    @property
    def function(self) -> Callable[..., Any]:
        found: Any = self.value.fget if isinstance(self.value, property) else self.value
        found = getattr(found, "func", found)  # a cached property
        found = getattr(found, "__func__", found)
        unwrapped: Callable[..., Any] = inspect.unwrap(found)
        return unwrapped

    @property
    def is_property(self) -> bool:
        return isinstance(self.value, property) or hasattr(self.value, "func")

    def section(self, name: str) -> str:
        """Return the text of a section of a numpy docstring."""
        named = "|".join(SECTIONS)
        found = re.search(
            rf"^{name}\n-+\n(.*?)(?=^(?:{named})\n-+$|\Z)", self.doc, flags=re.MULTILINE | re.DOTALL
        )
        return found.group(1) if found else ""

    def entries(self, name: str) -> list[str]:
        """Return the names at the margin of a section: one line may have several."""
        lines = [line for line in self.section(name).splitlines() if re.match(r"[\w*]", line)]
        return [word.strip() for line in lines for word in line.split(",")]

    @property
    def parameters(self) -> list[str]:
        signature = inspect.signature(self.function)
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
        return [
            stars.get(each.kind.name, "") + each.name
            for each in signature.parameters.values()
            if each.name not in ("self", "cls")
        ]

    @property
    def returns(self) -> str:
        return str(inspect.signature(self.function).return_annotation)

    @property
    def raised(self) -> set[str]:
        """The typed errors that the body itself raises."""
        tree = ast.parse(textwrap.dedent(inspect.getsource(self.function)))
        calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
        names = {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}  # fmt: skip
        names = {"InvalidQuery" if name == "unknown_word" else name for name in names}
        return names & TYPED


def _members(name: str, kind: type) -> Iterator[Public]:
    for member, value in vars(kind).items():
        documented = callable(value) or isinstance(value, property | classmethod | staticmethod | cached_property)  # fmt: skip
        if not member.startswith(("_", "model_")) and documented and not isinstance(value, type):
            yield Public(f"{name}.{member}", value)


def _all() -> Iterator[Public]:
    named = {name: getattr(cl, name) for name in cl.__all__}
    named |= {f"handoff.{name}": getattr(handoff, name) for name in handoff.__all__}

    from cryptolake.demo import SampleLake
    from cryptolake.maintenance.update import Update
    from cryptolake.picker.widget import Picker
    from cryptolake.plot import Charts
    from cryptolake.plot.candle_chart import CandleChart
    from cryptolake.readers.describe import Description
    from cryptolake.readers.profile import Profile
    from cryptolake.render.picture import Picture
    from cryptolake.sample.server import Served
    from cryptolake.workflows.collection import CollectionResult

    for kind in (Profile, Charts, CandleChart, Update, Picker, Description, Picture, Served, SampleLake, CollectionResult):  # fmt: skip
        named[kind.__name__] = kind
    for name, value in named.items():
        yield Public(name, value)
        if isinstance(value, type):
            yield from _members(name, value)


EVERY = {each.name: each for each in _all()}


def unbound(each: Public) -> set[str]:
    """Return the names that an example uses and nothing in it makes: it would not run as it is printed."""
    code = "".join(example.source for example in doctest.DocTestParser().get_examples(each.doc))
    nodes = list(ast.walk(ast.parse(code)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    made = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    made |= {name.asname or name.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names}  # fmt: skip
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    made |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return {node.id for node in names} - made - set(vars(builtins))


def unequal(each: Public) -> Iterator[str]:
    """Yield lines of several parameters whose defaults differ: the site shows the first one's for all."""
    signature = inspect.signature(each.function).parameters
    for line in each.section("Parameters").splitlines():
        names = [name.strip() for name in line.split(",")] if re.match(r"\w", line) else []
        if len({repr(signature[name].default) for name in names if name in signature}) > 1:
            yield f"{line}: their defaults differ"


def problems(each: Public) -> Iterator[str]:
    summary = each.doc.partition("\n\n")[0]
    if not re.search(r"[.:]$", summary.replace("\n", " ").strip()):
        yield f"no summary sentence: {summary!r}"
    if lacking := unbound(each):
        yield f"its example uses {sorted(lacking)}, which it does not make"
    if isinstance(each.value, type):
        error = issubclass(each.value, CryptolakeError | Warning)
        if not error and ">>> " not in each.section("Examples"):
            yield "no example"
        return
    if each.is_property:
        if any(frame in each.returns for frame in FRAMES) and "``" not in each.doc:
            yield "no columns"
    else:
        documented = each.entries("Parameters")
        if sorted(documented) != sorted(each.parameters):
            yield f"parameters {documented}, not {each.parameters}"
        yield from unequal(each)
        returns = each.section("Returns") + each.section("Yields")
        if each.returns not in ("None", "") and not returns:
            yield "no Returns"
        if any(frame in each.returns for frame in FRAMES) and "``" not in returns:
            yield "no columns in Returns"
        if not re.search(r">>> |^See :", each.section("Examples")):
            yield "no example"
    if lacking := each.raised - set(each.entries("Raises")):
        yield f"raises {sorted(lacking)}, and does not say so"
    if each.name.startswith("Lake."):
        names = {"query": "InvalidQuery", "refresh": "ListingError", "executor": "WorkerLost"}
        told = {error for name, error in names.items() if name in each.parameters}
        if lacking := told - set(each.entries("Raises")):
            yield f"can raise {sorted(lacking)}, and does not say so"


def test_every_public_name_says_what_it_takes_returns_and_raises():
    found = {name: list(problems(each)) for name, each in EVERY.items()}
    assert {name: said for name, said in found.items() if said} == {}
