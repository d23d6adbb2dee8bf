"""What is equal has the same hash, and every result has one."""

import numpy as np
import pytest

import elbo_ref as er

COUNTS = er.Counts([3, 0, 9], 10)
PRIOR = er.Beta(2.0, 3.0)
RUN = er.maximize_elbo(COUNTS, loss="exact", num_steps=3)

SIGNED = {
    "LogitNormal": lambda zero: er.LogitNormal(zero, 1.0),
    "LogitNormal array": lambda zero: er.LogitNormal([zero, 1.0], 2.0),
    "Delta": lambda zero: er.Delta(logits=zero),
    "Parameter array": lambda zero: er.Parameter(logits=[zero, 1.0]),
    "Renyi": lambda zero: er.Renyi(alpha=zero),
    "ScoreFunction": lambda zero: er.ScoreFunction(baseline=zero),
    "Adam": lambda zero: er.Adam(eps=zero, weight_decay=zero, betas=(zero, zero)),
    "ClippedAdam": lambda zero: er.ClippedAdam(eps=zero),
    "ExponentialLR": lambda zero: er.ExponentialLR(er.Adam(eps=zero), 0.5),
    "Counts": lambda zero: er.Counts.from_columns([1], [2], log_split=[zero]),
}
TYPED = {
    "Beta": lambda kind: er.Beta(kind(2), kind(3)),
    "LogitNormal": lambda kind: er.LogitNormal(kind(2), kind(3)),
    "Parameter": lambda kind: er.Parameter(logits=kind(2)),
    "Adam": lambda kind: er.Adam(lr=kind(2), eps=kind(1)),
    "ClippedAdam": lambda kind: er.ClippedAdam(clip_norm=kind(2), lrd=kind(1)),
    "Renyi": lambda kind: er.Renyi(alpha=kind(2)),
    "ScoreFunction": lambda kind: er.ScoreFunction(baseline=kind(2)),
    "Counts": lambda kind: er.Counts(kind(2), kind(3)),
}
RESULTS = {
    "EvidenceMaximum": lambda: er.maximize_evidence(COUNTS, {"mean": 0.5}),
    "Proof": lambda: er.maximize_evidence(COUNTS).proof,
    "ConfidenceRegion": lambda: er.maximize_evidence(COUNTS, {"mean": 0.5}).confidence_interval(
        "concentration"
    ),
    "TestResult": lambda: er.tarone_test(COUNTS),
    "DataSet": lambda: er.datasets.describe("saxony"),
    "Stationarity": lambda: RUN.stationarity,
    "Verdict": lambda: er.cross_check(
        COUNTS,
        {"a0": 1.0, "b0": 1.0},
        guide="empty",
        names={"prior.concentration1": "a0", "prior.concentration0": "b0"},
    ),
}
HELD = {
    "Gradient": lambda: er.log_evidence_gradient(er.Beta([1.0, 2.0, 3.0], 2.0), COUNTS),
    "Interval": lambda: er.Beta([1.0, 2.0], 2.0).interval(0.9),
    "ElboGradient": lambda: er.elbo_gradient(er.Beta([1.0, 2.0, 3.0], 2.0), PRIOR, COUNTS),
    "LogitNormal": lambda: er.elbo_gradient(er.LogitNormal([0.0, 1.0, 2.0], 1.0), PRIOR, COUNTS),
    "GradientVariance": lambda: er.gradient_variance(er.Beta([1.0, 2, 3], 2.0), PRIOR, COUNTS),
    "PathwiseGradient": lambda: er.pathwise_gradient([0.1, 0.2], 2.0, 3.0),
    "Estimates": lambda: er.estimate_table(COUNTS).rows,
    "ParetoK": lambda: er.pareto_k(er.Beta([1.0, 2.0, 3.0], 2.0), PRIOR, COUNTS, num_samples=200),
    "Average": lambda: RUN.average(),
    "Optimum": lambda: er.diagnose(RUN).optimum,
}
BY_IDENTITY = {
    "Run": lambda: RUN,
    "History": lambda: RUN.history,
    "Diagnosis": lambda: er.diagnose(RUN),
    "PosteriorTable": lambda: er.posterior_table(er.Beta(1.0, 1.0), COUNTS),
    "EstimateTable": lambda: er.estimate_table(COUNTS),
    "ExpectedCounts": lambda: er.expected_counts(er.maximize_evidence(COUNTS)),
    "Recording": lambda: er.recording.Recording(losses=np.array([1.0, 2.0])),
}


@pytest.mark.parametrize("name", SIGNED)
def test_zero_has_one_hash(name):
    positive, negative = SIGNED[name](0.0), SIGNED[name](-0.0)
    assert positive == negative
    assert hash(positive) == hash(negative)


@pytest.mark.parametrize("name", TYPED)
def test_the_type_of_a_number_does_not_matter(name):
    wanted = TYPED[name](int)
    for kind in (float, np.float16, np.float32, np.int8, np.uint64, np.longdouble, np.array):
        value = TYPED[name](kind)
        assert value == wanted, kind
        assert hash(value) == hash(wanted), kind


@pytest.mark.parametrize("name", [*RESULTS, *HELD])
def test_results_are_keys(name):
    result = (RESULTS | HELD)[name]
    one, other = result(), result()
    assert one == other and (one != other) is False
    assert len({one, other}) == 1


@pytest.mark.parametrize("name", BY_IDENTITY)
def test_results_that_are_equal_to_themselves_only(name):
    one = BY_IDENTITY[name]()
    assert {one: "found"}[one] == "found"
    assert one == one and one != RESULTS


def test_tuples_of_arrays_differ_where_an_array_does():
    one, other = (er.pathwise_gradient([0.1, y], 2.0, 3.0) for y in (0.2, 0.3))
    assert one != other
    assert one == tuple(one) and hash(one) == hash(er.pathwise_gradient([0.1, 0.2], 2.0, 3.0))
    scalar = er.Beta(2.0, 3.0).interval(0.9)
    assert scalar == tuple(scalar) and hash(scalar) == hash(tuple(scalar))
