"""The lines of a summary: which parameters are known, held, or have an error."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import elbo_ref as er
from elbo_ref.mle.intervals import PARAMETERS
from elbo_ref.mle.summary import LEVEL, _error, _held, _spread, _values, parameters, summary

MAXIMUM = er.maximize_evidence(er.Counts([0, 3, 9, 1, 10], [10, 10, 10, 4, 12]))


@pytest.mark.parametrize("name", ["mean", "concentration", "concentration1"])
def test_an_error_of_more_than_half_the_value_says_nothing(name):
    """Two of them would reach 0."""
    assert _error(name, 4.0, {name: 2.0}) == 2.0
    assert _error(name, 4.0, {name: 2.0000001}) is None
    assert _error(name, 4.0, {}) is None


def test_the_error_of_rho_is_that_of_the_concentration():
    """rho = 1/(1 + s), so that |d rho/ds| = rho^2."""
    rho = 1 / (1 + 3.0)
    h = 1e-6
    slope = (1 / (1 + 3.0 + h) - 1 / (1 + 3.0 - h)) / (2 * h)
    assert _error("rho", rho, {"concentration": 1.5}) == pytest.approx(-slope * 1.5, rel=1e-8)
    assert _error("rho", rho, {"concentration": 2.01}) is None
    assert _error("rho", rho, {"rho": 1.0}) is None


def test_the_parameters_that_are_known_of_a_limit():
    """A prior has all, a limit its mean and, where it is one, its concentration."""
    values = _values(MAXIMUM)
    assert [*values] == [*PARAMETERS, "rho"]
    a, b = map(float, MAXIMUM.prior.arrays())
    assert values["concentration"] == a + b and values["rho"] == pytest.approx(1 / (1 + a + b))
    binomial = _values(er.maximize_evidence(er.Counts([5, 5, 5], 10)))
    assert binomial["mean"] == 0.5 and binomial["concentration"] == float("inf")
    assert set(binomial) <= {"mean", "concentration", "rho"} and binomial["rho"] == 0.0
    ends = _values(er.maximize_evidence(er.Counts([0, 10, 0], 10)))
    assert ends["concentration"] == 0.0 and ends["rho"] == 1.0
    single = _values(er.maximize_evidence(er.Counts([0, 1, 0], 1)))
    assert set(single) == {"mean"}
    assert _values(er.maximize_evidence(er.Counts(0, 0))) == {}


def test_what_is_held_has_no_spread():
    held = er.maximize_evidence(MAXIMUM.counts, {"concentration": 3.0})
    assert _held(held, "concentration") and _held(held, "rho") and not _held(held, "mean")
    text = summary(held, {"mean": 0.01}).splitlines()
    assert "concentration held at 3" in text[0]
    assert "concentration: 3" in text and "rho: 0.25" in text
    assert any(x.startswith("mean: ") and x.endswith(" +- 0.01") for x in text)


def test_an_interval_stands_where_no_error_does():
    value = MAXIMUM.mean
    assert _spread(MAXIMUM, "mean", value, {"mean": value / 4}).startswith(" +- ")
    text = _spread(MAXIMUM, "mean", value, {})
    sentence = MAXIMUM.confidence_interval("mean", level=0.95).sentence
    assert text == f" ({sentence}, 95% profile)" and LEVEL == 0.95


def test_a_proof_that_is_not_decided_says_so():
    text = summary(MAXIMUM, {})
    assert f"proof: to {MAXIMUM.proof.width:.2g} nats" in text and "undecided" not in text
    proof = SimpleNamespace(width=1.0, how="by hand", decided=False, undecided="two of them")
    doubtful = SimpleNamespace(
        counts=MAXIMUM.counts, fixed={}, kind="x", sentence="y", log_evidence=-1.0, mean=None,
        prior=None, rho=None, proof=proof,
    )  # fmt: skip
    assert summary(doubtful, {}).splitlines()[-1] == "undecided: two of them"


def test_a_table_of_the_parameters():
    errors = {"mean": 0.01, "concentration": 0.1}
    table = parameters(MAXIMUM, errors)
    assert [*table.column("parameter")] == [*PARAMETERS, "rho"]
    at = [*PARAMETERS].index("mean")
    region = MAXIMUM.confidence_interval("mean")
    ends = table.column("lower")[at], table.column("upper")[at]
    assert ends == (region.lower, region.upper)
    errors_shown = [*table.column("standard_error")]
    assert errors_shown[at] == 0.01 and errors_shown[[*PARAMETERS].index("concentration1")] is None
    assert not any(table.column("held"))
    held = parameters(er.maximize_evidence(MAXIMUM.counts, {"mean": 0.25}), {})
    assert [*held.column("held")] == [x == "mean" for x in (*PARAMETERS, "rho")]
    assert held.column("lower")[at] is None and held.column("lower")[-1] is not None
