"""``elbo-ref estimate``: the same numbers as the Python API, in every way out."""

from __future__ import annotations

import csv
import io
import json
from typing import get_args

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import elbo_ref as er
from elbo_ref.cli import estimate
from elbo_ref.io.counts_file import Format
from places import ROOT
from tiers import few

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


ROWS = [("a", "old", 3, 10), ("b", "old", 1, 12), ("c", "old", 3, 10), ("d", "new", 8, 9)]
ROWS += [("e", "new", 5, 10), ("f", "old", 0, 0)]
NAMES = ("ward", "arm", "k", "n")


def csv_of(path):
    path.write_text("\n".join([",".join(NAMES), *(",".join(map(str, row)) for row in ROWS)]))


def json_of(path):
    path.write_text(json.dumps([dict(zip(NAMES, row, strict=True)) for row in ROWS]))


def npz_of(path):
    with path.open("wb") as file:
        np.savez(file, **dict(zip(NAMES, map(np.array, zip(*ROWS, strict=True)), strict=True)))


def parquet_of(path):
    for package in ("duckdb", "narwhals"):
        pytest.importorskip(package)
    arrow, parquet = (pytest.importorskip(x) for x in ("pyarrow", "pyarrow.parquet"))
    columns = dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True))
    parquet.write_table(arrow.table(columns), path)


@pytest.mark.parametrize("form", few([csv_of, json_of, npz_of, parquet_of], 2))
@pytest.mark.parametrize("group", few([(("--group", "ward"),), ((),)]), ids=["groups", "rows"])
def test_one_prior_for_each_level(command, tmp_path, form, group):
    """From any format, the estimates of the Python API: each level alone, and the test."""
    file = tmp_path / "counts"
    form(file)
    arguments = file, "--by", "arm", "--successes", "k", "--total-count", "n", *group, "--json"
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    body = json.loads(out)
    schema = json.loads((ROOT / "elbo_ref" / "schema.json").read_text())
    Draft202012Validator(schema).validate(body)
    wards, arms, k, n = (list(x) for x in zip(*ROWS, strict=True))
    found = er.estimate(er.Counts(k, n), by=arms)
    assert body["test"] == found.test.to_dict()
    columns = body["columns"]
    shown = zip(*(columns[x] for x in ("group", "successes", "total_count", "mean")), strict=True)
    wanted = zip(arms, k, n, found.mean.tolist(), strict=True)
    assert dict.fromkeys(sorted(shown)).keys() == dict.fromkeys(sorted(wanted)).keys()
    if group:
        assert dict(zip(columns["label"], columns["group"], strict=True)) == dict(
            zip(wards, arms, strict=True)
        )


def test_the_schema_has_every_format():
    schema = json.loads((ROOT / "elbo_ref" / "schema.json").read_text())
    formats = schema["$defs"]["input"]["properties"]["format"]["enum"]
    assert set(formats) == {"example", *get_args(Format)}


@pytest.mark.thorough
def test_levels_in_text_and_pages(command, tmp_path):
    pytest.importorskip("jinja2")
    file, page = tmp_path / "counts.csv", tmp_path / "page.html"
    csv_of(file)
    code, out, _ = command(file, "--by", "arm", "--report", page)
    found = er.estimate(er.Counts([3, 1, 8, 5, 0], [10, 12, 9, 10, 0], [2, 1, 1, 1, 1]),
                        by=["old", "old", "new", "new", "old"])  # fmt: skip
    assert code == 0 and out.endswith(found.summary() + "\n")
    text = f"one prior for all groups: p = {found.test.pvalue:.5g}"
    assert text in out and f"<p>{text}." in page.read_text()


@pytest.mark.parametrize("prior", few(["mle", "averaged"]))
def test_a_threshold_and_two_latents(command, tmp_path, prior):
    """The column and the difference are those of the Python API, in text, JSON, CSV and page."""
    pytest.importorskip("jinja2")
    file, table, page = (tmp_path / x for x in ("counts.csv", "rates.csv", "page.html"))
    csv_of(file)
    arguments = [file, "--group", "ward", "--prior", prior, "--above", "0.3"]
    arguments += ["--compare", "d", "b", "--report", page]
    code, text, _ = command(*arguments, "--output", table)
    again, out, _ = command(*arguments, "--json", "--force")
    assert (code, again) == (0, 0)
    body = json.loads(out)
    schema = json.loads((ROOT / "elbo_ref" / "schema.json").read_text())
    Draft202012Validator(schema).validate(body)
    wards, _, k, n = zip(*ROWS, strict=True)
    found = er.estimate(er.Counts.grouped(k, n, wards), prior, above=0.3)
    above = found.probability_above(0.3).tolist()
    assert body["above"] == 0.3 and body["columns"]["probability_above"] == above
    rows = csv.DictReader(io.StringIO(table.read_text()))
    assert [float(row["probability_above"]) for row in rows] == above
    difference = found.difference("d", "b")
    assert body["difference"] == {
        "label1": "d", "label2": "b", "mean": difference.mean, "lower": difference.lower,
        "upper": difference.upper, "probability": difference.probability,
    }  # fmt: skip
    assert found.summary() in text and f"d - b: {difference.mean:.5g} (" in text
    words = f"P(d > b): {difference.probability:.5g}"
    assert text.endswith(words + "\n") and words.replace(">", "&gt;") in page.read_text()


@pytest.mark.thorough
def test_a_difference_that_is_open(command, tmp_path):
    """The limit of the evidence leaves no density: null with the reason, and words."""
    file = tmp_path / "counts.csv"
    file.write_text("arm,k,n\nold,3,10\nold,3,12\nnew,9,10\nnew,1,10\n")
    arguments = file, "--prior", "mle", "--by", "arm", "--compare", "2", "0"
    code, out, _ = command(*arguments, "--json")
    found = json.loads(out)["difference"]
    assert code == 0 and found["mean"] > 0
    assert found["probability"] is None and found["probability_reason"]
    assert "P(2 > 0): open" in command(*arguments)[1]


@pytest.mark.parametrize("form", [csv_of, json_of])
def test_levels_that_contradict(command, tmp_path, form):
    file = tmp_path / "counts"
    form(file)
    for arguments, code, words in (
        (("--by", "limb"), 65, 'no column "limb" of by'),
        (("--by", "arm", "--shared"), 2, "shared and by exclude each other"),
        (("--by", "ward", "--group", "arm"), 65, "a latent has one, so make a column of both"),
        (("--by", "arm", "--group", "arm"), 2, "group and by are both"),
    ):
        ended, out, err = command(file, *arguments)
        assert (ended, out) == (code, "") and words in err and err.count("\n") == 1, err
    file.write_text("arm,k,n\n,3,10\nold,3,10\n")
    code, _, err = command(file, "--by", "arm")
    assert code == 65 and "the label is blank; add --na drop" in err
    assert command(file, "--by", "arm", "--na", "drop")[0] == 0


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
        (["--above", "1.5"], "above = 1.5 must lie strictly between 0 and 1"),
        (["--compare", "0", "x"], "'x' is no latent of the table; --group COLUMN names latents"),
        (["--compare", "0", "0"], "label1 and label2 are both 0"),
        (["--output", "rates.txt"], "must end in .json or .csv"),
    ],
)
def test_what_is_refused(command, arguments, words):
    code, out, err = command("--example", "coin", *arguments)
    assert (code, out) == (2, "") and words in err and err.count("\n") == 1, err
