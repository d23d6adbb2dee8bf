"""README and docs, executed: Python by doctest, output against the command's.

Cells of notebooks are run by the build of the site, which ends at the first that fails.

A comment right before a block says otherwise: `<!-- not run: reason -->`; `<!-- live -->`, with
Pyro alone; `<!-- needs: pandas -->`, where that is installed; `<!-- output of: python -m
elbo_ref.fit ... -->`, of a command not on the page.
"""

from __future__ import annotations

import contextlib
import doctest
import functools
import importlib
import io
import os
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

import elbo_ref
from elbo_ref.cli import crosscheck, estimate, fit, fit_options
from places import ROOT

COMMANDS = {"fit": fit, "crosscheck": crosscheck, "estimate": estimate}

README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


FENCE = re.compile(
    r"(?:^ *<!-- (?P<mark>[^\n]*) -->\n)?^ *```(?P<language>\w*)\n(?P<body>.*?)^ *```$",
    flags=re.MULTILINE | re.DOTALL,
)
DIRECTIVE = re.compile(r"^```\{.*?^```$", flags=re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"-m elbo_ref[. ](fit|crosscheck|estimate) (.*)")


def made(page: Path) -> bool:
    """Say whether a page is made by the build of the site."""
    folder = page.relative_to(ROOT / "docs").as_posix()
    return folder.startswith(("_build/", "source/", "api/generated/"))


class Block(NamedTuple):
    """A fenced block of a page, and what the comment before it says of it."""

    mark: str
    language: str
    body: str


def fenced(page: Path) -> list[Block]:
    found = []
    for match in FENCE.finditer(DIRECTIVE.sub("", page.read_text("utf-8"))):
        mark, language, body = match.group("mark") or "", match["language"], match["body"]
        found.append(Block(mark, language, body))
    return found


@functools.cache
def printed(module: str, arguments: str) -> str:
    """Standard output, or the last line of standard error."""
    out, err = io.StringIO(), io.StringIO()
    streams = redirect_stdout(out), redirect_stderr(err)
    with contextlib.chdir(ROOT), streams[0], streams[1], contextlib.suppress(SystemExit):
        COMMANDS[module].main(shlex.split(arguments))
    return out.getvalue() or err.getvalue().splitlines(keepends=True)[-1]


def promised(page: Path, live: bool) -> tuple[set[str], set[str]]:
    """The text blocks of a page, and what its commands print."""
    texts, outputs = set(), set()
    for mark, language, body in fenced(page):
        if (mark == "live") == live and not mark.startswith("not run: "):
            if language == "text":
                texts.add(body)
            if language == "sh" or mark.startswith("output of: "):
                lines = (body if language == "sh" else mark).replace("\\\n", " ").splitlines()
                outputs |= {printed(*command) for x in lines for command in COMMAND.findall(x)}
    return texts, outputs


def test_the_estimates_are_as_printed(capsys, tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("successes,total_count\n3,10\n")
    assert fit.main([str(path), "--estimates", "--init-prior", "2,3"]) == 0
    title, rest = capsys.readouterr().out.split("\n", 1)
    assert title.strip() == str(path)
    page = (ROOT / "docs" / "evidence.md").read_text()
    assert any(rest.startswith(block) for block in blocks("text", page))


WRITTEN = [page for page in sorted((ROOT / "docs").rglob("*.md")) if not made(page)]
PAGES = [ROOT / "README.md", *WRITTEN]
LONG = (
    "README.md",
    "crosscheck.md",
    "evidence.md",
    "guides.md",
    "minibatches.md",
    "pipelines.md",
    "weights.md",
)
EACH = pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[pytest.mark.thorough] if p.name in LONG else []) for p in PAGES],
    ids=lambda page: page.name,
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_block_is_run_or_says_why_not(page):
    """A mark gives its reason; Python is a doctest, and a command is one that `printed` runs."""
    for mark, language, body in fenced(page):
        runs = {"python": ">>> " in body, "sh": bool(COMMAND.search(body)), "text": True}
        of = r"output of: python -m elbo_ref[. ](fit|crosscheck|estimate) .*"
        marks = rf"|live|needs: \w+|not run: \S.*|{of}"
        assert re.fullmatch(marks, mark), (mark, body)
        assert mark.startswith("not run: ") or runs.get(language), body


@EACH
def test_commands_print_what_the_page_says(page):
    """Neither an output that is not on the page nor a text that no command prints."""
    texts, outputs = promised(page, live=False)
    assert outputs == texts


@pytest.mark.live
def test_live_commands_print_what_the_page_says():
    """In every word; the numbers are those of one machine."""
    try:
        importlib.import_module("pyro")
    except ModuleNotFoundError:
        if os.environ.get("ELBO_REF_REQUIRE_LIVE") == "1":
            raise
        pytest.skip("pyro is not installed")
    for page in PAGES:
        texts, outputs = promised(page, live=True)
        assert {words(x) for x in outputs} == {words(x) for x in texts}


def words(text: str) -> str:
    """The text on one line, each number as #."""
    number = r"(?<![\w.])-?\d+(\.\d+)?(e[+-]?\d+)?(?!\w)"
    return re.sub(number, "#", " ".join(text.split()))


@EACH
def test_python_examples(page):
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    for i, (mark, language, block) in enumerate(fenced(page)):
        missing = mark.startswith("needs: ") and find_spec(mark.removeprefix("needs: ")) is None
        if language != "python" or missing or mark.startswith("not run: "):
            continue
        runner.run(parser.get_doctest(block, {}, f"{page.name}[{i}]", page.name, 0))
    assert runner.failures == 0


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_outward_links_have_the_form_of_one(page):
    """A scheme that is encrypted, a host with a dot, nothing that a sentence left behind."""
    for link in re.findall(r"https?:[^\s)>\]`\"']+", page.read_text("utf-8")):
        parts = urlsplit(link)
        assert parts.scheme == "https" and "." in parts.netloc.strip("."), link
        assert not parts.netloc.endswith(("example.com", "localhost")), link
        assert link[-1] not in ".,;:", link


def test_every_equation_tag_stands_on_the_page_of_equations():
    page = (ROOT / "docs" / "equations.md").read_text()
    used = {
        tag
        for folder in ("elbo_ref", "tests", "docs")
        for path in (ROOT / folder).rglob("*.[pm][yd]")
        for tag in re.findall(r"\(E(\d+)\)", path.read_text())
    }
    assert used == {str(number) for number in range(1, 16)}
    for tag in used:
        assert f'<a id="e{tag}"></a>**(E{tag})' in page


@pytest.mark.parametrize("folder", ["elbo_ref", "docs", "README.md"])
def test_hints_name_what_an_index_has(folder):
    """Not extras of this project, which is on none; and each is in an extra of setup.cfg."""
    extras = (ROOT / "setup.cfg").read_text().split("[options.extras_require]")[1]
    path = ROOT / folder
    files = [path] if path.is_file() else [x for x in path.rglob("*") if x.suffix in (".py", ".md")]
    for file in files:
        text = file.read_text("utf-8")
        assert "elbo_ref[" not in text, file
        for name in re.findall(r"pip install ([a-z][a-z0-9-]*)", text):
            assert re.search(rf"^\s+{name}>=", extras, re.MULTILINE), (file, name)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_what_is_installed_is_enough_for_the_commands(page):
    """The extra of the install line has what those that are asked for by options need."""
    text = (ROOT / page).read_text()
    (extra,) = set(re.findall(r"pip install -q '\.\[(\w+)\]'", text))
    setup = (ROOT / "setup.cfg").read_text()
    (needs,) = re.findall(rf"^{extra} = ?\n((?:[ \t]+.*\n)+)", setup, re.MULTILINE)
    assert ("matplotlib" in needs) >= ("--plot" in README)
    assert ("jinja2" in needs) >= ("--report" in README)


def test_commands_name_real_options():
    options = fit_options.fit_parser().format_help() + crosscheck.crosscheck_parser().format_help()
    for block in blocks("sh"):
        for option in re.findall(r" (--[a-z-]+)", block):
            assert option in options


def test_what_is_said_of_the_release_agrees():
    version = elbo_ref.__version__
    citation, changelog = (ROOT / "CITATION.cff").read_text(), (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {version}\n" in citation
    unreleased = f"## {version} (unreleased)" in changelog
    released = re.compile(rf"^## {version} \(\d{{4}}-\d\d-\d\d\)$", re.MULTILINE)
    assert unreleased or released.search(changelog)
    assert ("date-released" in citation) != unreleased
    assert (f"Version {version} (unreleased)." in README) == unreleased
    assert unreleased or "example.invalid" not in (ROOT / "setup.cfg").read_text() + citation
