"""The README, executed: its Python by doctest, its output against the command's."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest

import elbo_ref
from elbo_ref import fit, fit_options

crosscheck = importlib.import_module("elbo_ref.crosscheck.__main__")

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str, module: str) -> list[list[str]]:
    """The arguments of each command line for a module."""
    joined = text.replace("\\\n", " ")
    lines = (line for block in blocks("sh", joined) for line in block.splitlines())
    return [shlex.split(line.split(module)[1]) for line in lines if module in line]


def test_the_verdict_is_as_printed(capsys, monkeypatch):
    """On this page and on docs/crosscheck.md, which also prints the swapped reading."""
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "crosscheck.md").read_text()
    (short,) = commands(README, "elbo_ref.crosscheck")
    first, given, *_ = commands(page, "elbo_ref.crosscheck")
    assert short == first == ["--example", "forum"]
    assert crosscheck.main(short) == 3
    out = capsys.readouterr().out
    assert crosscheck.main(given) == 3
    assert capsys.readouterr().out == out
    assert out in blocks("text")
    assert out in blocks("text", page)
    swapped = str.maketrans("ab", "ba")
    names = ",".join(
        f"{role}={name.translate(swapped)}"
        for role, name in (pair.split("=") for pair in given[-1].split(","))
    )
    assert crosscheck.main([*given[:-1], names]) == 4
    assert capsys.readouterr().out in blocks("text", page)


def test_the_forum_answer_is_as_printed(capsys):
    (arguments,) = (x for x in commands(README, "elbo_ref.fit") if x == ["--example", "forum"])
    assert fit.main(arguments) == 0
    assert capsys.readouterr().out in blocks("text")


def test_the_maximum_is_as_printed(capsys):
    (arguments,) = (x for x in commands(README, "elbo_ref.fit") if "rat_tumors" in x)
    assert fit.main(arguments) == 0
    assert capsys.readouterr().out in blocks("text")


def test_the_estimates_are_as_printed(capsys, tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("successes,total_count\n3,10\n")
    assert fit.main([str(path), "--estimates", "--init-prior", "2,3"]) == 0
    title, rest = capsys.readouterr().out.split("\n", 1)
    assert title.strip() == str(path)
    page = (ROOT / "docs" / "evidence.md").read_text()
    assert any(rest.startswith(block) for block in blocks("text", page))


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LONG = "guides.md"


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[pytest.mark.slow] if p.name == LONG else []) for p in PAGES],
    ids=lambda page: page.name,
)
def test_python_examples(page):
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    for i, block in enumerate(blocks("python", page.read_text())):
        runner.run(parser.get_doctest(block, {}, f"{page.name}[{i}]", page.name, 0))
    assert runner.failures == 0


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("folder", ["elbo_ref", "docs", "README.md"])
def test_hints_name_what_an_index_has(folder):
    """Not extras of this project, which is on none; each is in an extra, or comes with pyro-ppl."""
    extras = (ROOT / "setup.cfg").read_text().split("[options.extras_require]")[1]
    extras += "    torch>="
    path = ROOT / folder
    files = [path] if path.is_file() else [x for x in path.rglob("*") if x.suffix in (".py", ".md")]
    for file in files:
        text = file.read_text("utf-8")
        assert "elbo_ref[" not in text, file
        for name in re.findall(r"pip install ([a-z][a-z-]*)", text):
            assert f"    {name}>=" in extras, (file, name)


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
    assert unreleased or re.search(
        rf"^## {version} \(\d{{4}}-\d\d-\d\d\)$", changelog, re.MULTILINE
    )
    assert ("date-released" in citation) != unreleased
    assert f"Version {version} (unreleased)." in README or not unreleased
