"""The site: built without a warning, what users look for is near its front page, and its code runs as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest

import cryptolake as cl
from cryptolake.archive.matrix import load_matrix
from cryptolake.cli.app import EXIT_CODES
from cryptolake.errors import CryptolakeError
from cryptolake.sample.server import REGION

GUIDE = Path(__file__).parents[2] / "notebooks" / "guide"

ASKED = {
    "pull 50 symbols for a backtest": "lake.universe(perps, top=50",
    "a nightly lake in S3": "s3://my-bucket/cryptolake",
    "why is this bar missing": "exchange_halt",
    "sum volume rightly": "has each trade once an interval",
    "read it with pandas": "frame.to_pandas()",
    "what does exit code 5 mean": "a zip, a checksum, a schema, a month that does not build",
    "add a data type": "A row a market in",
}
"""What a user asks, and words of the page that answers."""


class _Page(HTMLParser):
    """The links of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links |= {value for name, value in attrs if name == "href" and value}

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def near(site: Path) -> dict[str, str]:
    """The text of each page within two clicks from the front page."""
    found: dict[str, str] = {}
    reached = {"index.html"}
    for _ in range(3):
        pages = {name: _Page((site / name).read_text("utf-8")) for name in reached - set(found)}
        found |= {name: page.text for name, page in pages.items()}
        links = {
            urldefrag(urljoin(name, link))[0] for name, page in pages.items() for link in page.links
        }
        reached = {link for link in links if link.endswith(".html") and (site / link).is_file()}
    return found


@pytest.mark.parametrize("question", ASKED)
def test_what_users_ask_is_within_two_clicks(near, question):
    assert [name for name, text in near.items() if ASKED[question] in text]


def test_every_page_is_in_the_navigation(site, near):
    made = {path.relative_to(site).as_posix() for path in site.rglob("*.html")} - {"404.html"}
    assert made <= set(near)


def test_the_reference_has_every_public_name_and_every_dataset(near):
    functions = near["reference/functions.html"] + near["reference/values.html"]
    functions += near["reference/lake.html"] + near["reference/errors.html"]
    assert [name for name in cl.__all__ if name not in functions] == []
    datasets = near["reference/datasets.html"]
    rows = load_matrix().rows
    assert [
        row for row in rows if f"{row.market.value} {row.data_type.value}" not in datasets
    ] == []


SHOWN = ("Profile", "Charts", "CandleChart", "Picture", "Picker", "Update", "Description")
"""Classes that calls return and that have no public name of their own."""


def test_the_reference_shows_docstrings_as_text_with_links(site):
    """No mark-up of docstrings is left over, and each method that takes or returns something has its tables."""
    whole = ""
    for name in ("lake", "values", "functions"):
        text = (site / "reference" / f"{name}.html").read_text("utf-8")
        text = text[text.index("<article") : text.index("</article")]
        plain = _Page(re.sub(r"<(pre|code).*?</\1>", "", text, flags=re.DOTALL)).text
        assert re.findall(r".{30}(?:``|::|:\w+:`|\]\[|Parameters -|>>>).{30}", plain) == []
        whole += text
    assert [name for name in SHOWN if f'.{name}"' not in whole] == []
    assert whole.count("Parameters:") > 60
    assert whole.count("Examples:") > 100
    assert whole.count("../words.html#") > 15
    assert whole.count("autorefs-internal") > 100


def test_troubleshooting_has_every_class_of_error_and_every_exit_code():
    text = (GUIDE / "troubleshooting.md").read_text("utf-8")
    names = [
        name
        for name in cl.__all__
        if isinstance(value := getattr(cl, name), type)
        and issubclass(value, (CryptolakeError, UserWarning))
    ]
    assert [name for name in names if f"`{name}`" not in text and name != "CryptolakeError"] == []
    codes = {code for _, code in EXIT_CODES} | {0, 1, 130}
    assert codes <= {int(code) for code in re.findall(r"^\| (\d+) \|", text, flags=re.M)}


PAGES = ("start", "backtest", "nightly", "exits", "profile", "sql", "gaps")
"""Pages whose code runs as it is printed, one after the other; those with a test of their own are not named."""


BUCKET = """
import boto3
made = {{"LocationConstraint": "{region}"}}
boto3.client("s3").create_bucket(Bucket="{bucket}", CreateBucketConfiguration=made)
"""
"""Makes the bucket that a page names."""

NIGHT = """
from shlex import split
from cryptolake.cli import main
for line in {lines!r}:
    try:
        main(split(line, comments=True)[1:])
    except SystemExit as ended:
        assert not ended.code, (line, ended.code)
"""
"""Runs the commands that a page prints."""


def test_the_code_of_the_guide_runs_as_printed(tmp_path, default_served):
    root = re.search(r'"(s3://(.+?)/.+?)"', (GUIDE / "s3.md").read_text("utf-8"))
    assert root is not None
    pages = {name: _code(name) for name in PAGES}
    pages["nightly_in_s3"] = [line.replace("~/cryptolake", root[1]) for line in _code("nightly")]
    code = BUCKET.format(bucket=root[2], region=REGION) + "".join(
        f"def {name}():\n" + "".join(f"    {line}\n" for line in lines) + f"{name}()\n"
        for name, lines in pages.items()
    )
    code += NIGHT.format(lines=_code("nightly", "console"))
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": REGION}
    own = default_served.variables | keys | {"HOME": str(tmp_path), "CRYPTOLAKE_ROOT": root[1]}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | own,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "quality.html").is_file()
    assert "All 2 symbol-months are whole" in done.stdout  # of the lake in the bucket


def _code(name: str, language: str = "python") -> list[str]:
    text = (GUIDE / f"{name}.md").read_text("utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert blocks
    return "\n".join(blocks).splitlines()
