"""Results as documents: one schema, every digit, no NaN, the same bytes again."""

import json
import math

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref._format import documents
from elbo_ref._format.documents import put, to_json
from elbo_ref.cli import fit, fit_options
from places import SCHEMA, SCHEMA_TEXT
from tiers import few

jsonschema = pytest.importorskip("jsonschema")
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

LABELLED = er.Counts.grouped([3, 1, 0, 4], [5, 5, 2, 6], ["b", 1, "b", "<i>"])
DATA = {
    "labelled": LABELLED,
    "one latent": er.Counts(3, 10),
    "all failures": er.Counts([0, 0], [5, 7]),
    "all or none": er.Counts([0, 5, 0, 3], [4, 5, 7, 3]),
    "unidentified": er.Counts([0, 1, 1], 1),
    "nothing": er.Counts([0, 0], 0),
    "multiplicities": er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]),
}


def finished(counts=LABELLED, guide="beta", loss="exact", **options):
    options = {"optimizer": er.Adam(lr=0.1), "num_steps": 20} | options
    return er.maximize_elbo(counts, guide, loss=loss, **options)


def walk(value, path=()):
    """Every mapping of a document, with its path."""
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from walk(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from walk(inner, (*path, i))


def assert_sound(text):
    """Valid against the schema, sorted, and every null, and nothing else, has its reason."""
    document = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    VALIDATOR.validate(document)
    for path, mapping in walk(document):
        assert list(mapping) == sorted(mapping), path
        for key, value in mapping.items():
            if not key.endswith("_reason"):
                assert (value is None) == (f"{key}_reason" in mapping), (path, key)
    return document


@pytest.mark.parametrize("guide", few(["beta", "empty", "tied", "none", "delta", "normal"], 3))
@pytest.mark.parametrize("counts", few(DATA.values(), 4), ids=DATA)
def test_runs_and_diagnoses(counts, guide):
    run = finished(counts, guide)
    assert_sound(run.to_json())
    assert_sound(er.diagnose(run).to_json())


@pytest.mark.parametrize(
    "run",
    [
        finished(loss="trace"),
        finished(rng=np.random.default_rng(3), loss="trace"),
        finished(learn_prior=False, num_steps=2000),
        finished(er.datasets.load("forum"), "empty", num_steps=1000),
        finished(optimizer=er.ClippedAdam(lr=0.1, lrd=0.99)),
    ],
    ids=["trace", "generator", "fixed", "unbounded", "clipped"],
)
def test_other_runs(run):
    document = assert_sound(run.to_json())
    assert document["stopped"] == run.stopped
    assert_sound(er.diagnose(run).to_json())


@pytest.mark.parametrize("counts", DATA.values(), ids=DATA)
def test_maxima_and_estimates(counts):
    assert_sound(er.maximize_evidence(counts).to_json())
    held = er.maximize_evidence(counts, fixed={"concentration0": 2.0})
    assert_sound(held.to_json())
    table = er.estimate_table(counts, er.Beta(0.5, 2.0))
    document = json.loads(table.to_json(), parse_constant=lambda word: pytest.fail(word))
    VALIDATOR.validate(document)


def test_the_schema_is_sound_and_strict():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    good = json.loads(er.diagnose(finished()).to_json())
    for spoil in (
        lambda d: d.update(extra=1),
        lambda d: d.pop("gap"),
        lambda d: d["run"].update(extra=1),
        lambda d: d["run"].update(stopped="finished"),
        lambda d: d["run"]["losses"].append("x"),
        lambda d: d["counts"].pop("successes"),
        lambda d: d["evidence_supremum"].update(kind="other"),
        lambda d: d.update(schema="elbo_ref/diagnosis/1"),
    ):
        bad = json.loads(json.dumps(good))
        spoil(bad)
        assert not VALIDATOR.is_valid(bad)
    assert VALIDATOR.is_valid(good)


def test_every_digit_travels():
    run = finished(loss="trace")
    document = json.loads(run.to_json())
    assert document["losses"] == run.losses.tolist()
    assert document["history"]["concentration1"] == run.history.prior.concentration1.tolist()
    assert document["guide"]["concentration0"] == run.guide.concentration0.tolist()
    assert document["prior"]["concentration1"] == run.prior.concentration1
    assert document["objective"] == run.objective
    assert er.Counts.from_columns(**document["counts"]) == er.Counts.grouped(
        [3, 1, 0, 4], [5, 5, 2, 6], ["b", 1, "b", "<i>"]
    )
    assert document["settings"]["seed"] == 0
    assert document["versions"]["numpy"] == np.__version__
    assert document["versions"]["elbo_ref"] == er.__version__


def test_the_same_bytes_again():
    texts = {er.diagnose(finished(loss="trace", rng=5)).to_json() for _ in range(2)}
    assert len(texts) == 1
    assert texts.pop().isascii()


def test_diagnosis_says_what_the_oracle_says():
    seen = er.diagnose(finished())
    document = json.loads(seen.to_json())
    assert document["log_evidence"] == er.log_evidence(seen.run.prior, LABELLED)
    assert document["gap"] == pytest.approx(document["log_evidence"] - document["objective"])
    assert document["distance"] == seen.distance
    assert document["posterior"]["mean"] == seen.posterior.mean.tolist()


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, np.float64("nan")])
def test_what_is_not_a_number_has_a_reason(value):
    target = {}
    put(target, "x", value, "because")
    assert target == {"x": None, "x_reason": "because"}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        to_json({"x": [value]})


def test_the_version_is_one():
    for kind, version in documents.SCHEMA_VERSIONS.items():
        name = documents.document(kind)["schema"]
        assert name == f"elbo_ref/{kind}/{version}"
        assert f'"{name}"' in SCHEMA_TEXT


def command(capsys, *arguments):
    code = fit.main([str(x) for x in arguments])
    return code, capsys.readouterr()


@pytest.mark.parametrize("name", few(["coin", "forum", "colds_father", "rat_tumors"]))
def test_the_command_s_document(capsys, name):
    code, streams = command(capsys, "--example", name, "--json")
    assert (code, streams.err) == (0, "")
    document = assert_sound(streams.out)
    assert [d["run"]["settings"]["guide"] for d in document["diagnoses"]] == list(
        fit_options.GUIDES
    )
    assert document["input"]["name"] == name
    assert not document["interrupted"]
    code, again = command(capsys, "--example", name, "--json")
    assert again.out == streams.out


def test_where_counts_come_from(capsys, tmp_path):
    import hashlib

    path = tmp_path / "counts.csv"
    path.write_text("ward;successes;total_count\na;3;10\nb;;4\na;1;5\n")
    target = tmp_path / "result.json"
    arguments = [path, "--group", "ward", "--na", "drop", "--json", "--output", target]
    code, streams = command(capsys, *arguments)
    assert code == 0
    document = assert_sound(streams.out)
    assert document["input"] == {
        "dropped": 1,
        "format": "table",
        "name": str(path),
        "rows": 2,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert document["counts"]["labels"] == ["a"]
    assert target.read_text() == streams.out
    assert er.read_counts(target) == er.Counts.grouped([3, 1], [10, 5], ["a", "a"])
