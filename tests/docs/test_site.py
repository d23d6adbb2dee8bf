"""The sources of the site: nothing public and no page is left out, figures say what is on them."""

import importlib.util
import re

import elbo_ref
from places import ROOT

DOCS = ROOT / "docs"
MODULES = {"datasets", "recording", "sentences"}


def toctrees(text):
    """The entries of all tables of contents of a page."""
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(":")]


def test_the_reference_has_every_public_name_once():
    text = (DOCS / "api" / "index.md").read_text()
    names = re.findall(r"^   (\w+)$", text, re.MULTILINE)
    assert sorted(names) == sorted(set(elbo_ref.__all__) - MODULES - {"__version__"})
    modules = (DOCS / "api" / "modules.md").read_text()
    for name in MODULES:
        public = getattr(elbo_ref, name).__all__
        shown = re.findall(rf"elbo_ref::{name}\.(\w+)$", modules, re.MULTILINE)
        assert set(shown) == {x for x in public if x not in elbo_ref.__all__}


def test_a_table_of_contents_has_every_page():
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.md")}
    pages = {x for x in pages if not x.startswith(("_", "source/", "api/generated/"))}
    listed = toctrees((DOCS / "index.md").read_text())
    listed += [f"api/{x}" for x in toctrees((DOCS / "api" / "index.md").read_text())]
    assert sorted([*listed, "index"]) == sorted(pages)


def test_cells_that_draw_say_what_is_to_be_seen():
    found = 0
    for page in DOCS.rglob("*.md"):
        for cell in re.findall(r"^```\{code-cell\}\n(.*?)^```$", page.read_text(), re.M | re.S):
            if re.search(r"\.plot\(.*\);$", cell, re.MULTILINE):
                assert re.search(r'^    alt: "\w.{20,}"$', cell, re.MULTILINE), cell
                found += 1
    assert found > 20


def test_the_gallery_has_a_picture_of_every_kind_of_result():
    from elbo_ref.report.dispatch import PICTURES

    text = (DOCS / "gallery.md").read_text()
    lines = {
        "Counts": r"^rats\.plot",
        "ConfidenceRegion": r"confidence_interval\(.*\)\.plot",
        "Diagnosis": r"er\.diagnose\(run\)\.plot",
        "Difference": r"\.difference\(.*\)\.plot",
        "EstimateTable": r"estimate_table\(.*\)\.plot",
        "Estimates": r"estimates\.plot",
        "EvidenceMaxima": r"maxima_by\(.*\)\.plot",
        "EvidenceMaximum": r"maximum\.plot",
        "ExpectedCounts": r"expected_counts\(.*\)\.plot",
        "GradientVariance": r"gradient_variance\(.*\)\.plot",
        "ParetoK": r"pareto_k\(.*\)\.plot",
        "Prediction": r"\.predict\(.*\)\.plot",
        "PosteriorTable": r"posterior_table\(.*\)\.plot",
        "PriorParameter": r"estimates\.rho\.plot",
        "PriorParameters": r"prior_parameters\[None\]\.plot",
        "Priors": r"by=.*\.prior_mean\.plot",
        "Run": r"run\.plot",
        "TestResult": r"\.test\.plot",
        "Verdict": r"verdict\.plot",
    }
    assert {kind.__name__ for kind in PICTURES} == set(lines)
    for pattern in lines.values():
        assert re.search(pattern, text, re.MULTILINE), pattern


def test_the_description_of_the_package_is_up_to_date_and_has_no_dead_links():
    spec = importlib.util.spec_from_file_location("description", DOCS / "make_description.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    text = program.PAGE.read_text("utf-8")
    assert text == program.description()
    assert not re.search(r"\]\((?!http)", text)
    assert "pip install" in text and "three doors" in text.lower()
