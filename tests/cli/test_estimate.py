"""``elbo-ref estimate``: the same numbers as the Python API, in every way out."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import elbo_ref as er
from elbo_ref.cli import estimate
from places import ROOT

COMMAND = estimate


@pytest.mark.parametrize("prior", ["averaged", "mle", "2,8"])
def test_the_table_and_the_csv_are_the_estimates(command, tmp_path, prior):
    output = tmp_path / "rates.csv"
    code, out, err = command("--example", "batting", "--prior", prior, "--output", output)
    assert (code, err) == (0, "")
    wanted = er.Beta(2.0, 8.0) if prior == "2,8" else prior
    found = er.estimate(er.datasets.load("batting"), wanted)
    assert found.summary() in out and out.startswith("batting: ")
    rows = list(csv.DictReader(io.StringIO(output.read_text())))
    for name in ("mean", "lower", "upper", "shrinkage"):
        np.testing.assert_array_equal([float(row[name]) for row in rows], getattr(found, name))


def test_the_document_keeps_the_schema(command):
    code, out, _ = command("--example", "rat_tumors", "--json", "--level", "0.8")
    body = json.loads(out)
    schema = json.loads((ROOT / "elbo_ref" / "schema.json").read_text())
    Draft202012Validator(schema).validate(body)
    found = er.estimate(er.datasets.load("rat_tumors"), level=0.8)
    assert code == 0 and body["columns"]["upper"] == found.upper.tolist()


def test_labels_and_latents_without_trials(command, tmp_path):
    file = tmp_path / "wards.csv"
    file.write_text("ward,successes,total_count\nnorth,3,10\nsouth,0,0\n")
    code, out, _ = command(file, "--group", "ward", "--json")
    columns = json.loads(out)["columns"]
    assert code == 0 and columns["label"] == ["north", "south"] and columns["raw"] == [0.3, None]


def test_pictures_and_pages(command, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    plot, page = tmp_path / "rates.svg", tmp_path / "rates.html"
    code, _, err = command("--example", "coin", "--plot", plot, "--report", page)
    assert (code, err) == (0, "")
    assert "<svg" in plot.read_text()
    text = page.read_text()
    assert "averaged over the prior" in text and "<svg role" in text and "elbo-ref estimate" in text
    code, _, err = command("--example", "coin", "--plot", plot)
    assert code == 73 and "--force" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prior", "best"], "'best' is not averaged, mle or C1,C0"),
        (["--prior", "0,1"], "concentration1 = 0.0 must lie in"),
        (["--level", "1"], "level"),
        (["--output", "rates.txt"], "must end in .json or .csv"),
    ],
)
def test_what_is_refused(command, arguments, words):
    code, out, err = command("--example", "coin", *arguments)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1, err
