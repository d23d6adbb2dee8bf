"""What is said of a release agrees, and nox runs what CI runs."""

import importlib.util
import re
from pathlib import Path

from places import ROOT


def flat(path: Path) -> str:
    """A program on one line, without what only its language needs."""
    text = re.sub(r"\\\n", " ", path.read_text("utf-8"))
    return re.sub(r"[\s\"',\[\]*()]+", " ", text)


def test_nox_runs_what_ci_runs():
    ci, nox = (ROOT / ".ci" / "run").read_text("utf-8"), flat(ROOT / "noxfile.py")
    runs = [line for line in re.sub(r"\\\n", " ", ci).splitlines() if re.search(r"\btests/", line)]
    paths = {path for line in runs for path in re.findall(r"(?:tests|elbo_ref)/[\w/.]+", line)}
    marks = set(re.findall(r'tests -m "([^"]+)"', ci))
    tools = ("ruff check", "ruff format --check", "mypy", "lint-imports", "check-wheel-contents")
    tools += ("sp-repo-review",)
    extras = set(re.findall(r"-e '\.\[([\w,]+)\]'", ci))
    assert len(paths) > 12 and len(marks) == 2 and len(extras) == 3
    for words in (
        *paths,
        *tools,
        "twine check --strict",
        "sphinx-build -j 2 -W --keep-going -q docs",
    ):
        assert f" {words} " in f" {nox} ", words
    for mark in marks:
        assert " ".join(re.sub(r"[()]", " ", mark).split()) in nox, mark
    known = {x for names in re.findall(r"-e \.([\w ]+)", nox) for x in names.split()}
    assert {x for names in extras for x in names.split(",")} <= known


def test_the_source_archive_has_what_its_tests_need():
    packed = (ROOT / "MANIFEST.in").read_text("utf-8")
    for name in re.findall(r"^(?:include|graft) (.*)$", packed, re.MULTILINE):
        for path in name.split():
            assert (ROOT / path).exists(), path
    for folder in ("benchmarks", "docs", "tests"):
        assert f"graft {folder}\n" in packed
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    for made in (x for x in ignored if x.startswith("docs/")):
        assert f"prune {made.rstrip('/')}\n" in packed


def test_the_licence_is_an_spdx_expression():
    setup = (ROOT / "setup.cfg").read_text("utf-8")
    assert re.search(r"^license_expression = MIT$", setup, re.MULTILINE)
    assert "License ::" not in setup


def test_the_changelog_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == ["Added", "Changed", "Fixed"]


def test_the_paper_has_the_tables_of_the_benchmarks_and_its_references():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "paper" / "make_tables.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    paper = program.PAPER.read_text("utf-8")
    assert paper.split(program.MARK)[1].strip() == program.tables().strip()
    known = re.findall(r"^@\w+{(\w+),", program.PAPER.with_suffix(".bib").read_text("utf-8"), re.M)
    assert set(re.findall(r"@([a-z]+\d{4})", paper)) == set(known)


def test_the_paper_has_the_form_of_its_journal():
    """JOSS asks for these sections, in 750 to 1750 words."""
    _, head, text = (ROOT / "paper" / "paper.md").read_text("utf-8").split("---\n", 2)
    for field in ("title", "tags", "authors", "affiliations", "date", "bibliography"):
        assert re.search(rf"^{field}:", head, re.MULTILINE)
    assert re.findall(r"^# (.*)$", text, re.MULTILINE) == [
        *("Summary", "Statement of need", "State of the field", "Software design"),
        *("Research impact statement", "AI usage disclosure", "Acknowledgements", "References"),
    ]
    assert 750 < len(re.sub(r"^\|.*$", "", text, flags=re.MULTILINE).split()) < 1750
