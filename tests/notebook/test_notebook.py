"""A notebook that is executed: every result shows as HTML, every figure once, none is left open.

Where nbclient or ipykernel is not installed the tests are skipped, unless
ELBO_REF_REQUIRE_NOTEBOOK=1 says that they must be there.
"""

from __future__ import annotations

import base64
import html
import importlib
import json
import os
import pkgutil
import re
import sys
from importlib.util import find_spec

import pytest

import elbo_ref
from elbo_ref._format.result import Result, Rows, Shown, Tabular
from elbo_ref.report.dispatch import PICTURES
from places import ROOT

pytestmark = pytest.mark.thorough

NAMES = {f"prior.concentration{i}": name for i, name in enumerate("ba")}
RESULTS = {
    "Counts": "counts",
    "ConfidenceRegion": "maximum.confidence_interval('mean')",
    "Diagnosis": "er.diagnose(run)",
    "Difference": "er.estimate(counts).difference('north', '$x$')",
    "EstimateTable": "er.estimate_table(counts)",
    "Estimates": "er.estimate(counts)",
    "EvidenceMaxima": "maxima_by(counts, [*'aabb'])",
    "EvidenceMaximum": "maximum",
    "ExpectedCounts": "er.expected_counts(maximum)",
    "GradientVariance": "er.gradient_variance(guide, prior, counts)",
    "PosteriorTable": "er.posterior_table(prior, counts)",
    "Prediction": "er.estimate(counts).predict(10, 'north')",
    "PriorParameter": "er.estimate(counts).prior_mean",
    "PriorParameters": "er.estimate(counts).prior_parameters[None]",
    "Priors": "er.estimate(counts, by=[*'aabb']).prior_parameters",
    "Run": "run",
    "Table": "er.estimate(counts).table()",
    "TestResult": "er.tarone_test(counts)",
    "Verdict": f"er.cross_check(counts, {{'a': 2.0, 'b': 8.0}}, guide='tied', names={NAMES})",
    "ParetoK": "er.pareto_k(er.Beta(2.0, 3.0), prior, counts)",  # last: arviz-stats has matplotlib
}
DRAWN = sorted(kind.__name__ for kind in PICTURES)
START = """
import json, sys
import elbo_ref as er
from elbo_ref.estimates.maxima import maxima_by
counts = er.Counts.grouped([3, 0, 7, 12], [10, 4, 20, 18], ["north", "<b>south", "a & b", "$x$"])
prior, guide = er.Beta(2.0, 8.0), er.Beta([5.0, 2.0, 9.0, 14.0], [15.0, 12.0, 21.0, 14.0])
run = er.maximize_elbo(counts, num_steps=20)
maximum = er.maximize_evidence(counts)
assert "matplotlib" not in sys.modules
"""


def executed(**cells):
    """Execute a notebook; the outputs of each of its cells, by name."""
    for name in ("nbformat", "nbclient", "ipykernel", "matplotlib"):
        if find_spec(name) is None:
            if os.environ.get("ELBO_REF_REQUIRE_NOTEBOOK") == "1":
                pytest.fail(f"{name} is not installed, and ELBO_REF_REQUIRE_NOTEBOOK=1")
            pytest.skip(f"{name} is not installed")
    import nbclient
    from nbformat import v4

    page = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in [START, *cells.values()]])
    place = {"metadata": {"path": str(ROOT)}}
    nbclient.NotebookClient(page, timeout=120, allow_errors=True, resources=place).execute()
    start, *rest = [cell.outputs for cell in page.cells]
    assert start == []
    return dict(zip(cells, rest, strict=True))


@pytest.fixture(scope="module")
def outputs():
    cells = {}
    for name, code in RESULTS.items():
        if name == "ParetoK":
            cells["before"] = "assert 'matplotlib' not in sys.modules"
        cells[f"{name} shown"] = code
        cells[f"{name} printed"] = f"print({code})"
    for name in DRAWN:
        cells[f"{name} last"] = f"{RESULTS[name]}.plot()"
        cells[f"{name} within"] = f"{RESULTS[name]}.plot()\nanswer = 6 * 7\nanswer"
    cells["quiet"] = "maximum.plot();"
    cells["assigned"] = "axes = er.plot(run)"
    cells["several"] = "for c in (0.1, 0.2, 0.3):\n    er.estimate(counts).plot(above=c)\nNone"
    cells["none"] = "axes[0].get_title(loc='left')"
    cells["in axes"] = (
        "from matplotlib import pyplot\nfigure, pair = pyplot.subplots(1, 2)\n"
        "maximum.plot(pair[0])\ner.expected_counts(maximum).plot(pair[1])\nNone"
    )
    cells["refused"] = "er.estimate(counts).plot(latent='nobody')"
    cells["left"] = "pyplot.get_fignums()"
    return executed(**cells)


def pictures(outputs):
    """The pictures in a cell's output, each of them more than white."""
    found = [x["data"]["image/png"] for x in outputs if "image/png" in x.get("data", {})]
    decoded = [base64.b64decode(x) for x in found]
    assert all(x.startswith(b"\x89PNG") for x in decoded)
    return decoded


def mistakes(outputs):
    return [x["ename"] for x in outputs if x["output_type"] == "error"]


def shown(outputs):
    """What the cell's last expression shows, by type."""
    (data,) = [x["data"] for x in outputs if x["output_type"] == "execute_result"]
    return data


def numbers(text):
    return {*re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)}


def kinds_with_a_form():
    """Names of all classes of the package that a notebook shows as HTML."""
    for module in pkgutil.walk_packages(elbo_ref.__path__, "elbo_ref."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    named = [x for key, x in [*sys.modules.items()] if key.startswith("elbo_ref")]
    classes = {x for module in named for x in vars(module).values() if isinstance(x, type)}
    own = {x for x in classes if x.__module__.startswith("elbo_ref") and hasattr(x, "_repr_html_")}
    return {x.__name__ for x in own - {Result, Rows, Shown, Tabular}}


def test_every_kind_of_result_is_in_the_notebook():
    assert kinds_with_a_form() == {*RESULTS}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_shows_as_html_what_print_says(outputs, name):
    both = outputs[f"{name} shown"] + outputs[f"{name} printed"]
    assert mistakes(both) == [] and pictures(both) == []
    text = shown(outputs[f"{name} shown"])["text/html"]
    printed = "".join(x["text"] for x in outputs[f"{name} printed"])  # in one piece or several
    plain = html.unescape(re.sub(r"<[^>]+>", " ", text))
    wanted = numbers(printed)
    assert wanted and wanted <= numbers(plain), wanted - numbers(plain)
    assert "<b>south" not in text
    assert ("<b>south" in printed) == ("&lt;b&gt;south" in text)


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_shows_by_itself_once(outputs, name):
    """As the last expression of a cell, and within it."""
    last, within = outputs[f"{name} last"], outputs[f"{name} within"]
    assert mistakes(last + within) == []
    assert len(pictures(last)) == len(pictures(within)) == 1
    assert "Axes" in shown(last)["text/plain"] and "image/png" not in shown(last)
    assert shown(within)["text/plain"] == "42"
    assert len(last) == len(within) == 2


def test_as_many_pictures_as_figures(outputs):
    wanted = {"before": 0, "quiet": 1, "assigned": 1, "several": 3, "none": 0, "in axes": 1}
    assert {name: len(pictures(outputs[name])) for name in wanted} == wanted
    assert not any(mistakes(outputs[name]) for name in wanted)
    assert len({*pictures(outputs["several"])}) == 3
    assert [len(outputs[name]) for name in ("quiet", "assigned", "several")] == [1, 1, 3]


def test_what_is_refused_shows_no_empty_figure(outputs):
    assert mistakes(outputs["refused"]) == ["KeyError"] and pictures(outputs["refused"]) == []


def test_no_figure_is_left(outputs):
    assert shown(outputs["left"])["text/plain"] == "[]"


def test_what_would_be_wrong_is_seen():
    """A figure shown by hand is there twice, one unknown to pyplot not at all, one kept is left."""
    unknown = "from matplotlib.figure import Figure\nmaximum.plot(Figure().subplots());"
    seen = executed(
        twice="maximum.plot().figure",
        unknown=unknown,
        kept="%config InlineBackend.close_figures = False\nmaximum.plot();",
        left="from matplotlib import pyplot\nlen(pyplot.get_fignums())",
    )
    assert [len(pictures(x)) for x in seen.values()] == [2, 0, 1, 0], json.dumps(seen)[:500]
    assert shown(seen["left"])["text/plain"] == "1"
