"""Keep the notebooks' outputs: ``python -m tests.tools.notebook_outputs [NAME ...]``.

It runs the notebooks, all or those whose names begin as given (``05``), and writes what their cells show into
them, so that GitHub, the site and an editor show it without a kernel. ``tests/project/test_notebooks.py`` runs
each once and compares.

Two machines, or two days, show the same, except for what :func:`normalize` takes out before anything is kept:

- views of widgets, which only their kernel can show, and their state; a progress bar has nothing else
- run and plan ids, ports, when a listing was asked for, seconds and bytes a second: each becomes one constant
- the plain text beside HTML, and when each cell ran

A chart is kept as SVG, which the site shows, and as PNG: JupyterLab takes drawings out of the HTML of a notebook that
did not run on this machine, and GitHub does too.

What another release of a library changes is kept as it is, and not compared: see :func:`visible`.
"""

from __future__ import annotations

import argparse
import base64
import difflib
import html
import os
import re
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "notebooks"

LIMIT = 1_000_000
"""The most bytes of a notebook."""

WIDGET = "application/vnd.jupyter.widget-view+json"

ONCE = (
    (r"\b\d{8}T\d{6}-[0-9a-f]{6,8}\b", "20250304T050607-89abcd"),
    (r"\b127\.0\.0\.1:\d+", "127.0.0.1:9000"),
    (r"(listing of )\d{4}-\d\d-\d\d \d\d:\d\d UTC", r"\g<1>2025-03-04 05:06 UTC"),
    (r"(<b>)[\d.,]+ (?:s|min|h)(</b>)", r"\g<1>1.0 s\2"),
    (r"(<b>)[\d.,]+ [kMG]?B(</b> <span[^>]*>a second)", r"\g<1>1.0 MB\2"),
    (r"(\bseconds=)[\d.]+", r"\g<1>1.0"),
    # The throughput of a run, drawn where it took some seconds.
    (r'<div role="img" aria-label="[^"]* a second"[^>]*>.*?</svg></div>', ""),
)
"""What differs from run to run, and what stands for it."""

LIBRARIES = (
    (r"<style.*?</style>", ""),
    (r"\b[\d.,]+ (?:[kMG]?B|bytes)\b(?!=)", "# B"),  # of a zip, of a Parquet file
    (r"\bbytes=\d+", "bytes=#"),
    (r"\b[0-9a-f]{8,64}\b", "#"),  # their digests
)
"""What differs from one release of a library to another, and is not compared."""


CHART = re.compile(
    r'<div role="img" aria-label="([^"]*)"[^>]*>\s*<svg (.*</svg>)\s*</div>', re.DOTALL
)


def execute(notebook: Any, folder: Path) -> Any:
    """Run a notebook's cells in a kernel whose working folder is ``folder``; return it with their outputs."""
    from nbclient import NotebookClient
    from traitlets.config import Config

    # Sockets in a folder: of free ports, two kernels that start at once may choose the same. A socket's path
    # has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="kernel-") as short:
        sockets = {"transport": "ipc", "connection_file": f"{short}/kernel.json"}
        NotebookClient(
            notebook,
            config=Config(KernelManager=sockets),
            timeout=300,
            startup_timeout=180,
            record_timing=False,
            store_widget_state=False,
            resources={"metadata": {"path": str(folder)}},
        ).execute()
    normalize(notebook)
    return notebook


def normalize(notebook: Any) -> None:
    """Bring a notebook's outputs into the form in which they are kept."""
    notebook.metadata.pop("widgets", None)
    for number, cell in enumerate(_code(notebook), 1):
        cell.execution_count = number
        cell.metadata.pop("execution", None)
        cell.outputs = [_normal(output, number) for output in cell.outputs if not _is_view(output)]


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _is_view(output: Any) -> bool:
    return {WIDGET, "text/plain"} >= set(output.get("data", {})) > {"text/plain"}


def _normal(output: Any, number: int) -> Any:
    if output.output_type == "stream":
        output.text = _replaced(output.text, ONCE)
        return output
    if output.output_type == "execute_result":
        output.execution_count = number
    if drawn := CHART.fullmatch(output.data.get("text/html", "").strip()):
        output.data = _chart(*drawn.groups())
        output.metadata["needs_background"] = "light"
        return output
    dropped = {WIDGET, "text/plain"} if "text/html" in output.data else {WIDGET}
    output.data = {
        kind: _replaced(value, ONCE) if isinstance(value, str) else value
        for kind, value in output.data.items()
        if kind not in dropped
    }
    return output


def _chart(label: str, svg: str) -> dict[str, str]:
    """Return a chart as an SVG that says what it shows, and as a PNG on white."""
    import vl_convert

    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    white = f'<rect width="{size[1]}" height="{size[2]}" fill="white"/>' if size else ""
    drawing = f"<svg {svg}"
    png = vl_convert.svg_to_png(drawing.replace(">", f">{white}", 1), scale=1.5)
    return {
        "image/svg+xml": drawing.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1),
        "image/png": base64.b64encode(_packed(png)).decode() + "\n",
    }


def _packed(png: bytes) -> bytes:
    """Deflate a PNG's pixels as well as they can be: a tenth of the bytes, since it was written in haste."""
    head, rest, pixels, at = png[:8], b"", b"", 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        if kind == b"IDAT":
            pixels += data
        elif kind == b"IEND":
            rest += _chunk(b"IDAT", zlib.compress(zlib.decompress(pixels), 9)) + _chunk(kind, data)
        else:
            rest += _chunk(kind, data)
        at += 12 + size
    return head + rest


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _replaced(text: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    return text


def visible(notebook: Any) -> list[str]:
    """Return what a reader sees of the outputs, line by line, a heading before those of a cell.

    Of HTML and SVG that is the text: where a mark is drawn depends on the fonts of a machine.
    """
    lines: list[str] = []
    for cell in _code(notebook):
        lines.append(f"[{cell.execution_count}] {cell.source.partition(chr(10))[0]}")
        for output in cell.outputs:
            data = output.get("data", {"text/plain": output.get("text", "")})
            for kind, value in data.items():
                if kind == "image/png":
                    continue
                text = _replaced(str(value), LIBRARIES)
                if kind in {"text/html", "image/svg+xml"}:
                    text = html.unescape(re.sub(r"(?s)<[^>]*>", "\n", text))
                lines += [f"{kind}: {line.strip()}" for line in text.split("\n") if line.strip()]
    return lines


def difference(kept: Any, shown: Any) -> str:
    """Return how what cells show differs from what is kept: a unified diff, empty where they agree."""
    lines = difflib.unified_diff(visible(kept), visible(shown), "kept", "shown", lineterm="", n=2)
    return "\n".join(lines)


def read(path: Path) -> Any:
    """Return a notebook.

    Its package is loaded here: that compiles forty grammars of addresses, which takes a second.
    """
    import nbformat

    return nbformat.read(path, as_version=4)


def text_of(notebook: Any) -> str:
    """Return a notebook's file as it is committed."""
    import nbformat

    written: str = nbformat.writes(notebook, indent=1, ensure_ascii=False, sort_keys=True)
    return f"{written}\n"


def main() -> None:
    """Run the notebooks named on the command line, or all, and write their outputs."""
    parser = argparse.ArgumentParser(description="Run notebooks, and keep their outputs.")
    parser.add_argument("names", nargs="*", default=[""], help="how their names begin; all")
    names = tuple(parser.parse_args().names)
    root = str(FOLDER.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    for name in [name for name in os.environ if name.startswith(("CRYPTOLAKE_", "AWS_"))]:
        del os.environ[name]
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not path.name.startswith(names):
            continue
        notebook = read(path)
        with tempfile.TemporaryDirectory() as scratch:
            execute(notebook, Path(scratch))
        path.write_text(text_of(notebook), encoding="utf-8")
        print(f"{path.name}: {path.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
