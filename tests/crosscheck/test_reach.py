"""The maximum that a parametrisation can reach, where that is a line of priors."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import optimize, special, stats

import elbo_ref as er
from elbo_ref.crosscheck.optimum import Pace
from elbo_ref.crosscheck.reach import (
    Held,
    _highest_of_normal,
    held_by_names,
    maximum_findings,
    reach_finding,
)
from elbo_ref.crosscheck.wording import MAY_BE_NOISE
from elbo_ref.diagnostics.point import PointDiagnosis
from elbo_ref.guides import GUIDES
from loss_models import COUNTS, model_of, point_of, posterior

FIRST, SECOND = "prior.concentration1", "prior.concentration0"
K, N = COUNTS.successes, COUNTS.total_count
POINT = point_of()


def evidence(a, b):
    return stats.betabinom.logpmf(K, N, a, b).sum()


def test_what_names_hold():
    """One parameter for both, or a number, which an expression without a parameter is."""
    model, same = model_of(), model_of(prior=(2.5, 2.5))
    known = {"s": 2.0, "6": 2.0}
    names = {FIRST: "s", SECOND: "s"}
    assert held_by_names(names, known, same) == Held("mean", 0.5)
    assert held_by_names(names, known, model) is None
    assert held_by_names({FIRST: "s", SECOND: "t"}, known, same) is None
    assert (
        held_by_names({FIRST: "s"}, known, same) is None and held_by_names({}, known, same) is None
    )
    for names, held in (
        ({"prior.mean": "sigmoid(0)", "prior.concentration": "s"}, Held("mean", 0.5)),
        ({"prior.mean": "s", "prior.concentration": "exp(0)"}, Held("concentration", 1.0)),
        ({"prior.concentration": "s"}, None),
        ({"prior.concentration": "6"}, None),  # the name of a parameter
    ):
        assert held_by_names(names, known, model) == held, names


def highest(held):
    """The highest log evidence of a line of priors, by a search."""
    if held.what == "mean":
        line = lambda x: evidence(held.value * np.exp(x), (1 - held.value) * np.exp(x))  # noqa: E731
    else:
        line = lambda x: evidence(*(held.value * special.expit([x, -x])))  # noqa: E731
    return -optimize.minimize_scalar(lambda x: -line(x), bracket=(0, 1), tol=1e-12).fun


HELD = {"mean": Held("mean", 0.3), "concentration": Held("concentration", 6.0)}


@pytest.mark.parametrize("what", HELD)
def test_the_highest_evidence_of_a_line(what):
    found = er.maximize_evidence(COUNTS, {what: HELD[what].value}).log_evidence
    assert found == pytest.approx(highest(HELD[what]))


def below(nats, rate=None, higher=0.25, **changes):
    """The finding of a point so many nats below the highest that it can reach."""
    point = replace(POINT, rate=rate, **changes)
    seen = SimpleNamespace(
        point=point,
        family=GUIDES[point.guide_name],
        objective=highest(HELD["mean"]) - nats,
        supremum=SimpleNamespace(log_evidence=highest(HELD["mean"]) + higher),
    )
    return reach_finding(HELD["mean"], seen)


CASES = (
    (0.9e-3, None, "at_optimum", 1e-3, ""),
    (1.1e-3, None, "not_converged", 1e-3, MAY_BE_NOISE),
    (0.499, None, "not_converged", 1e-3, MAY_BE_NOISE),
    (0.501, None, "not_converged", 0.5, ""),
    (0.499, 0.01, "at_optimum", 0.5, ""),
    (0.501, 0.01, "not_converged", 0.5, ""),
)


@pytest.mark.parametrize(("nats", "rate", "name", "allowance", "of"), CASES)
def test_how_far_below_what_can_be_reached(nats, rate, name, allowance, of):
    """A thousandth of a nat, or half of one where the learning rate is known."""
    found = below(nats, rate)
    assert (found.name, found.allowance, found.of) == (name, allowance, of)
    assert found.status == ("agrees" if name == "at_optimum" else "optimum")
    assert found.ours - found.theirs == pytest.approx(nats)
    assert found.quantity == (
        f"the objective is {nats:.5g} nats below the maximum that this parametrisation can reach, "
        "with mean 0.3; over all priors it is 0.25 nats higher"
    )
    if not of:
        noise = "if noise costs as much"
        assert noise not in found.reason


def test_never_below_nothing():
    """What is above, by rounding, is told as nothing."""
    found = below(-1e-9, higher=-1e-9)
    assert found.name == "at_optimum"
    assert found.quantity.startswith("the objective is 0 nats below")
    assert found.quantity.endswith("with mean 0.3")


@pytest.mark.parametrize("guide", ["empty", "tied", "delta", "none", "beta_shared"])
def test_what_is_not_known_to_be_compared(guide):
    """No ELBO of a guide of its own for each latent."""
    assert below(1.0, guide_name=guide) is None
    assert below(1.0, guide_name="beta") is not None


def test_a_line_is_taken_before_all_priors():
    point = replace(POINT, prior=er.Beta(3.0, 7.0), guide_parameters=posterior(prior=(3.0, 7.0)))
    seen = PointDiagnosis(point)
    (found,) = maximum_findings(seen, HELD["mean"], 0.0, pace=None)
    assert "can reach" in found.quantity
    found, decay = maximum_findings(seen, None, 0.1, pace=None)
    assert "can reach" not in found.quantity and decay.name == "weight_decay"


def test_what_keeps_parameters_from_a_maximum_is_noted():
    """A history that moved away, and a learning rate at which nothing moves, or soon will not."""
    prior = er.Beta(2.0, 60.0)
    point = replace(POINT, prior=prior, guide_parameters=posterior(prior=(2.0, 60.0)))
    history = model_of(steps=20)
    history.guide_parameters[:] = posterior()[:, None]
    history.prior[1, -1, 0] = 60.0
    names = [
        [x.name for x in maximum_findings(PointDiagnosis(point), None, 0.0, *more, pace=pace)]
        for more, pace in (
            ((), None),
            ((history,), None),
            ((), Pace(1e-9)),
            ((), Pace(1e-3)),
            ((), Pace(1e-3, falls=0.5)),
        )
    ]
    away, still = ["not_converged", "moved_away"], ["not_converged", "stands_still"]
    assert names == [away[:1], away, still, still[:1], still]


def _normal_elbo(prior):
    """Highest ELBO of a normal guide on the logit, by quadrature and a search for each latent."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()

    def less(x, k, n):
        y = x[0] + np.exp(x[1]) * nodes
        log_c, log_f = -np.logaddexp(0, -y), -np.logaddexp(0, y)
        joint = stats.binom.logpmf(k, n, np.exp(log_c)) + stats.beta.logpdf(np.exp(log_c), *prior)
        density = stats.norm.logpdf(y, x[0], np.exp(x[1])) - log_c - log_f
        return -float(weights @ (joint - density))

    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 2000}
    return -sum(
        optimize.minimize(less, (0.0, -0.5), (k, n), method="Nelder-Mead", options=options).fun
        for k, n in zip(K, N, strict=True)
    )


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("held", "prior"),
    [
        (Held("mean", 0.3), lambda x: (0.3 * np.exp(x), 0.7 * np.exp(x))),
        (Held("concentration", 6.0), lambda x: (6 / (1 + np.exp(-x)), 6 / (1 + np.exp(x)))),
    ],
)
def test_the_highest_elbo_of_a_normal_guide_within_reach(held, prior):
    best = optimize.minimize_scalar(lambda x: -_normal_elbo(prior(x)), bracket=(0.5, 1.5), tol=1e-6)
    within = er.maximize_evidence(COUNTS, {held.what: held.value})
    found = _highest_of_normal(held, COUNTS, within.prior)
    assert found == pytest.approx(-best.fun, abs=1e-7)
    assert found < within.log_evidence


def _handed_in(prior, names, **claims):
    a, b = prior
    own = {"c": a + K, "d": b + N - K}
    losses = [-er.log_evidence(er.Beta(a, b), COUNTS)] * 3
    return er.cross_check(
        COUNTS,
        {"m": a / (a + b), "s": a + b, **own},
        names=names | {"guide.concentration1": "c", "guide.concentration0": "d"},
        evaluations=losses,
        **claims,
    )


@pytest.mark.thorough
def test_a_number_for_the_mean_or_the_concentration_is_held():
    """From numbers alone: what is handed in as one is not learned."""
    counts = COUNTS
    for what, value, names in (
        ("mean", 0.3, {"prior.mean": "0.3", "prior.concentration": "s"}),
        ("concentration", 6.0, {"prior.mean": "m", "prior.concentration": "6"}),
    ):
        best = er.maximize_evidence(counts, {what: value})
        verdict = _handed_in(tuple(map(float, best.prior.arrays())), names)
        assert f"can reach, with {what} {value:g}" in verdict.answer, verdict
        assert verdict.outcome == "agrees"
        other = (0.3 * 2, 0.7 * 2) if what == "mean" else (1.5, 4.5)
        below = _handed_in(other, names)
        gap = best.log_evidence - er.log_evidence(er.Beta(*other), counts)
        assert below.having("optimum")[0].ours == pytest.approx(best.log_evidence)
        assert below.having("optimum")[0].of == ("may_be_noise" if gap < 0.5 else "")
        told = _handed_in(other, names, optimizer=er.Adam(lr=0.01))
        assert (told.outcome == "agrees") == (gap < 0.5)
