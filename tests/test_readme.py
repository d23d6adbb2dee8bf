"""The README, executed: its Python by doctest, its output against the command's."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest

from elbo_ref import fit, fit_options

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_the_forum_answer_is_as_printed(capsys):
    (command,) = (line for line in README.splitlines() if "--example forum" in line)
    arguments = shlex.split(command.split("elbo_ref.fit")[1])
    assert fit.main(arguments) == 0
    assert capsys.readouterr().out == blocks("text")[0]


def test_the_maximum_is_as_printed(capsys):
    (command,) = (line for line in README.splitlines() if line.endswith("--exact"))
    assert fit.main(shlex.split(command.split("elbo_ref.fit")[1])) == 0
    assert capsys.readouterr().out == blocks("text")[1]


def test_the_estimates_are_as_printed(capsys, tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("successes,total_count\n3,10\n")
    assert fit.main([str(path), "--estimates", "--init-prior", "2,3"]) == 0
    title, rest = capsys.readouterr().out.split("\n", 1)
    assert title.strip() == str(path)
    assert rest.startswith(blocks("text")[2])


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
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


def test_commands_name_real_options():
    options = fit_options.fit_parser().format_help()
    for block in blocks("sh"):
        for option in re.findall(r" (--[a-z-]+)", block):
            assert option in options
