"""Candidates of the highest log evidence: mirrored, their covariances, and as plain values."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.mle.candidates import Candidate, Proof
from elbo_ref.mle.intervals import PARAMETERS, check_value, parameter_of, prior_of

PRIOR = er.Beta(1.5, 4.5)
FOUND = Candidate("interior", -7.0, 0.25, 6.0, PRIOR, 1e-12, (0.3, 0.05, 0.7))


def test_the_mirror_exchanges_the_outcomes():
    """The mean becomes 1 - m; logit m changes its sign, and so does the covariance with log s."""
    other = FOUND.mirrored
    assert other.prior.arrays() == (4.5, 1.5)
    assert (other.mean, other.concentration) == (0.75, 6.0)
    assert other.covariance == (0.3, -0.05, 0.7)
    assert other.mirrored == FOUND
    limit = Candidate("binomial", -7.0, 0.25, np.inf, None)
    assert (limit.mirrored.mean, limit.mirrored.prior) == (0.75, None)
    assert limit.mirrored.covariance is None and limit.mirrored.concentration == np.inf
    any_mean = Candidate("no_information", 0.0, None, None, None)
    assert any_mean.mirrored == any_mean


def slopes(name, h=1e-6):
    """Of a parameter by logit m and log s, by differences."""

    def at(logit, log):
        m, s = 1 / (1 + np.exp(-logit)), np.exp(log)
        return PARAMETERS[name](m * s, (1 - m) * s)

    x, y = np.log(1.5 / 4.5), np.log(6.0)
    return np.array(
        [(at(x + h, y) - at(x - h, y)) / (2 * h), (at(x, y + h) - at(x, y - h)) / (2 * h)]
    )


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("other", PARAMETERS)
def test_covariances_by_the_delta_method(name, other):
    inner = np.array([[0.3, 0.05], [0.05, 0.7]])
    found = FOUND.covariance_of(name, other)
    assert found.shape == (2, 2)
    jacobian = np.array([slopes(name), slopes(other)])
    np.testing.assert_allclose(found, jacobian @ inner @ jacobian.T, rtol=1e-7)
    assert FOUND.covariance_of(name).shape == (1, 1)


@pytest.mark.parametrize("field", ["prior", "covariance"])
def test_without_a_prior_there_are_no_standard_errors(field):
    with pytest.raises(ValueError, match="no standard errors"):
        FOUND._replace(kind="binomial", **{field: None}).covariance_of("mean")


def test_plain_values_and_what_they_lack():
    body = FOUND.body()
    assert body["kind"] == "interior" and body["log_evidence"] == -7.0
    assert (body["mean"], body["concentration"], body["relative_error"]) == (0.25, 6.0, 1e-12)
    assert "concentration_why" not in body
    limit = Candidate("binomial", -7.0, 0.25, np.inf, None, 0.0).body()
    assert limit["concentration"] is None and limit["relative_error"] is None
    assert "it tends to infinity" in limit.values() or any(
        "it tends to infinity" in str(x) for x in limit.values()
    )
    anything = Candidate("unidentified", -7.0, 0.25, None, None).body()
    assert any("any concentration" in str(x) for x in anything.values())
    nothing = Candidate("no_information", 0.0, None, None, None).body()
    assert any("any mean" in str(x) for x in nothing.values())


def test_a_proof_has_the_width_of_its_bounds():
    proof = Proof(-7.5, -7.25, True, "one_latent", (FOUND,))
    assert proof.width == 0.25
    assert proof.body()["candidates"] == [FOUND.body()] and proof.body()["decided"] is True
    assert (proof.intervals, proof.left_over) == (0, 0)
    with pytest.raises(AttributeError):
        proof.lower = 0.0


def test_what_a_candidate_has_by_default():
    one = Candidate("binomial", -1.0, 0.5, np.inf, None)
    assert (one.relative_error, one.covariance) == (0.0, None)


@pytest.mark.parametrize(
    ("known", "prior"),
    [
        ({"mean": 0.25, "concentration": 8.0}, (2.0, 6.0)),
        ({"mean": 0.25, "concentration1": 2.0}, (2.0, 6.0)),
        ({"mean": 0.25, "concentration0": 6.0}, (2.0, 6.0)),
        ({"concentration": 8.0, "concentration1": 2.0}, (2.0, 6.0)),
        ({"concentration": 8.0, "concentration0": 6.0}, (2.0, 6.0)),
        ({"concentration1": 2.0, "concentration0": 6.0}, (2.0, 6.0)),
        ({"concentration": 8.0, "concentration1": 8.0}, None),
        ({"concentration": 8.0, "concentration0": 9.0}, None),
        ({"concentration1": 1e-100, "concentration0": 1e100}, (1e-100, 1e100)),
        ({"concentration1": 0.9e-100, "concentration0": 1.0}, None),
        ({"concentration1": 1.0, "concentration0": 1.1e100}, None),
    ],
)
def test_a_prior_by_two_of_its_parameters(known, prior):
    found = prior_of(known)
    assert (found and found.arrays()) == (prior and pytest.approx(prior, rel=1e-14, abs=0.0))
    if prior and prior[0] > 1e-50:
        assert {x: parameter_of(found, x) for x in known} == pytest.approx(known)


@pytest.mark.parametrize("name", ["concentration", "concentration1", "concentration0"])
def test_the_range_of_what_may_be_held(name):
    """From 1e-12 to 1e15, both of them in it; a mean from 1e-80 on."""
    for value in (1e-12, 1e15, 2.0):
        assert check_value(name, value) == value
    for value in (np.nextafter(1e-12, 0), np.nextafter(1e15, np.inf), np.inf, np.nan):
        with pytest.raises(ValueError, match=name):
            check_value(name, value)
    assert check_value("mean", 1e-80) == 1e-80 and check_value("mean", 0.5) == 0.5
    for value in (0.9e-80, 0.0, 1.0):
        with pytest.raises(ValueError, match="mean"):
            check_value("mean", value)
