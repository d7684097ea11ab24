"""Pages of the site that are made from the package, and the notebooks, which lie beside the guide.

The reference of commands comes from the program, that of datasets from the matrix and the schemas, that of
errors from their classes; so none of them can fall behind the code.
"""

from __future__ import annotations

import base64
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from typer._click import Context

import cryptolake
from cryptolake.archive.matrix import load_matrix
from cryptolake.cli.app import app, exit_code
from cryptolake.errors import CryptolakeError
from cryptolake.readers.describe import describe

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent
ROOT = NOTEBOOKS.parent


@event_priority(100)  # before the plugin that turns notebooks into pages
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks, the pictures, the style, and the pages that are made."""
    for path in (*sorted(NOTEBOOKS.glob("*.ipynb")), *sorted((NOTEBOOKS / "pictures").iterdir())):
        files.append(_file(config, path, ROOT))
    for name in ("style.css", "icon.svg"):
        files.append(_file(config, HERE / name, HERE))
    for name, make in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(make())))
    return files


def _file(config: MkDocsConfig, path: Path, below: Path) -> File:
    name = path.relative_to(below).as_posix()
    return File(name, str(below), config.site_dir, config.use_directory_urls)


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Let links that lead out of the guide, to the notebooks and pictures beside it, stay within the site."""
    if page.file.src_uri.startswith("reference/"):
        return markdown
    return re.sub(r"""(\]\(|src="|srcset=")\.\./""", r"\1notebooks/", markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Put charts of notebooks into the page instead of beside it, so that they take its colour, dark or light."""
    return re.sub(r'<img [^>]*src="data:image/svg\+xml;base64,([^"]+)"[^>]*>', _drawing, html)


def _drawing(found: re.Match[str]) -> str:
    return base64.b64decode(found[1]).decode()


def commands() -> Iterator[str]:
    """Yield the page of commands: what ``--help`` says of each."""
    program: Any = typer.main.get_command(app)
    program.rich_markup_mode = None  # as plain text: a page needs no frames
    top = Context(program, info_name="cryptolake", terminal_width=100)  # no summary is cut
    yield "# Commands\n\nWhat `cryptolake COMMAND --help` says. All commands take the words of a query alike.\n"
    yield f"```text\n{program.get_help(top).rstrip()}\n```\n"
    for name in program.list_commands(top):
        command = program.get_command(top, name)
        command.rich_markup_mode = None
        yield f"## {name}\n"
        yield f"```text\n{command.get_help(Context(command, parent=top, info_name=name)).rstrip()}\n```\n"


def datasets() -> Iterator[str]:
    """Yield the page of datasets: one section each, as ``lake.describe`` has it."""
    yield "# Datasets\n\nEvery row of the availability matrix: where its files are, its columns, and what to know"
    yield "before use. `lake.describe(market, data_type)` shows the same in a notebook.\n"
    for row in load_matrix().rows:
        found = describe(row.market.value, row.data_type.value)
        yield f"## {row.market.value} {row.data_type.value}\n"
        yield "| | |\n|---|---|"
        for name, text in found.facts():
            yield f"| {name} | {_cell(text)} |"
        yield "\n| published | in Silver | type | unit | meaning |\n|---|---|---|---|---|"
        for column in found.columns.iter_rows(named=True):
            cells = (
                column[name] for name in ("published", "name", "silver_type", "unit", "meaning")
            )
            yield f"| {' | '.join(_cell(cell) for cell in cells)} |"
        yield ""
        yield from (f"- {quirk}" for quirk in found.quirks)
        yield ""


def _cell(value: object) -> str:
    return str("" if value is None else value).replace("|", "\\|").replace("{", "&#123;")


def lake() -> Iterator[str]:
    """Yield the page of the lake."""
    yield "# Lake\n\nThe only object that does I/O. [Concepts](../concepts.md) explains the words.\n"
    yield "::: cryptolake.lake.Lake\n"
    yield "## lake.profile\n\n::: cryptolake.readers.profile.Profile\n"
    yield "## lake.plot\n"
    for path in ("plot.charts.Charts", "plot.candle_chart.CandleChart", "render.picture.Picture"):
        yield f"::: cryptolake.{path}\n"


def values() -> Iterator[str]:
    """Yield the page of what goes into a lake's methods and comes out."""
    yield "# Queries, plans, reports\n\nValues: they do no I/O.\n"
    for path in ("query.Query", "planning.plan.Plan", "report.Report", "planning.lockfile.Lock"):
        yield f"::: cryptolake.{path}\n"
    more = ("transfer.options.TransferOptions", "archive.source.Archive")
    more += ("picker.widget.Picker", "maintenance.update.Update", "readers.describe.Description")
    flows = ("workflows.config.WorkflowConfig", "workflows.collection.ArchiveCollectionWorkflow")
    for path in (*more, *flows):
        yield f"::: cryptolake.{path}\n"


def functions() -> Iterator[str]:
    """Yield the page of the package's functions."""
    yield "# Functions\n\nCalled as `cl.NAME` after `import cryptolake as cl`.\n"
    for name in cryptolake.__all__:
        value = getattr(cryptolake, name)
        if callable(value) and not isinstance(value, type):
            yield f"::: {value.__module__}.{value.__qualname__}\n"
    yield "## cl.handoff\n\n::: cryptolake.handoff\n"


def errors() -> Iterator[str]:
    """Yield the page of errors: each class and the exit code that stands for it."""
    yield "# Errors\n\nWhat a call can raise on purpose: each is a `cl.CryptolakeError`, and the command line"
    yield "ends with the exit code beside it. [Troubleshooting](../troubleshooting.md) says what to do.\n"
    yield "| class | is also | exit code | when |\n|---|---|---|---|"
    for name in cryptolake.__all__:
        value = getattr(cryptolake, name)
        if isinstance(value, type) and issubclass(value, CryptolakeError):
            bases = ", ".join(f"`{base.__name__}`" for base in value.__bases__)
            said = (inspect.getdoc(value) or "").partition("\n")[0].replace("``", "`")
            yield f"| `{name}` | {bases} | {exit_code(value('x'))} | {_cell(said)} |"


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "datasets": datasets,
    "lake": lake,
    "values": values,
    "functions": functions,
    "errors": errors,
}
