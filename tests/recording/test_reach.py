"""The maximum that a parametrisation of the prior can reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

import elbo_ref as er
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.reach import Held, _highest_within, held_by_names
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.reach import held_by
from elbo_ref.recording.statement import read_statement
from recorded import K, N, betas, site, stated

STEPS = 4


def recording(a, b, sources=(("x",), ("x",)), guide=None):
    """A prior that is computed from these parameters, under its exact posterior."""
    a, b = (np.asarray(x, float).reshape(-1, 1) for x in (a, b))
    named = {f"concentration{1 - i}": list(x) for i, x in enumerate(sources)}
    own = (a + K, b + N - K) if guide is None else guide
    sites = [site("model", "c", sources=named), site("guide", "c", sources=named)]
    c = np.full((len(a), 1, 3), 0.25)
    gradients = {f"model.c.{name}": np.zeros((len(a), 1)) for name in named}
    return stated(c, betas((a, b), own), sites=sites, argument_gradients=gradients)


RISING = np.linspace(2.0, 3.0, STEPS)


@pytest.mark.parametrize(
    ("a", "b", "sources", "what", "value"),
    [
        (RISING, RISING, (("x",), ("x",)), "mean", 0.5),
        (0.25 * RISING, 0.75 * RISING, (("x",), ("x",)), "mean", 0.25),
        (RISING, 10 - RISING, (("x",), ("x",)), "concentration", 10.0),
        (RISING, RISING, (("x",), ("y",)), None, None),  # two parameters may part
        (RISING, RISING**2, (("x",), ("x",)), None, None),
        (RISING, RISING, (("x", "y"), ("x", "y")), None, None),
    ],
)
def test_a_line_of_priors(a, b, sources, what, value):
    held = held_by(read_statement(recording(a, b, sources)))
    assert (held and held.what) == what
    assert held is None or held.value == pytest.approx(value, rel=1e-6)


def _evidence(a, b):
    return sum(stats.betabinom.logpmf(k, n, a, b) for k, n in zip(K, N, strict=True))


def test_both_maxima_are_said_where_they_differ():
    """At the best symmetric prior: a maximum of what can be reached, below that of all priors."""
    best = optimize.minimize_scalar(
        lambda x: -_evidence(np.exp(x), np.exp(x)), bracket=(0, 2), tol=1e-12
    )
    a = np.exp(best.x + np.linspace(-1, 0, 30))
    verdict = replay(recording(a, a))
    (finding,) = (x for x in verdict.findings if x.name in ("at_optimum", "not_converged"))
    assert finding.name == "at_optimum", finding
    assert finding.ours == pytest.approx(-best.fun, abs=1e-7)
    higher = er.maximize_evidence(er.Counts(K, N)).log_evidence + best.fun
    assert "can reach" in finding.quantity and f"{higher:.3g}"[:4] in finding.quantity
    below = replay(recording(a[:10], a[:10]))
    assert [x.status for x in below.findings if x.name == "not_converged"] == ["optimum"]


def test_a_guide_that_holds_nothing_is_compared_with_all_priors():
    a = np.full(3, 2.0)
    verdict = replay(recording(a, a, (("x",), ("y",))))
    (finding,) = (x for x in verdict.findings if x.name == "not_converged")
    assert "can reach" not in finding.quantity
    fixed = replace(recording(a, a, ((), ())), argument_gradients={})
    assert not any("can reach" in x.quantity for x in replay(fixed).findings)


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
    found = _highest_within(held, er.Counts(K, N), normal=True)
    assert found == pytest.approx(-best.fun, abs=1e-7)
    assert found < _highest_within(held, er.Counts(K, N), normal=False)


def _handed_in(prior, names, **claims):
    a, b = prior
    own = {"c": a + K, "d": b + N - K}
    losses = [-er.log_evidence(er.Beta(a, b), er.Counts(K, N))] * 3
    return er.cross_check(
        er.Counts(K, N),
        {"m": a / (a + b), "s": a + b, **own},
        names=names | {"guide.concentration1": "c", "guide.concentration0": "d"},
        evaluations=losses,
        **claims,
    )


def test_an_expression_without_a_parameter_is_a_number():
    model = LossModel(
        er.Counts(K, N), GUIDES["beta"], OBJECTIVES["trace"], 1,
        np.array([[[2.0]], [[3.0]]]), np.ones((2, 1, 3)), "float64",
    )  # fmt: skip
    assert held_by_names({"prior.mean": "sigmoid(0)"}, {"s": 2.0}, model) == Held("mean", 0.5)
    assert held_by_names({"prior.concentration": "s"}, {"s": 2.0}, model) is None
    assert held_by_names({"prior.concentration": "6"}, {"6": 2.0}, model) is None


@pytest.mark.thorough
def test_a_number_for_the_mean_or_the_concentration_is_held():
    """From numbers alone: what is handed in as one is not learned."""
    counts = er.Counts(K, N)
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
