"""The maximum that a parametrisation of the prior can reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

import elbo_ref as er
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


def one_parameter(a, b):
    held = held_by(read_statement(recording(a, b, guide=(np.full(3, 4.0), np.full(3, 6.0)))))
    return held and (held.what, held.value)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_what_is_kept_and_what_moves_are_so_relatively(unit):
    """Kept to a hundred thousandth of its size, moved by more than a ten thousandth."""
    steps = np.array([0.0, 0.3, 1.0, 0.5])

    def prior(mean, total):
        return unit * total * mean, unit * total * (1 - mean)

    for moved, is_held in ((0.9e-4, False), (1.1e-4, True)):
        total = 4.0 * (1 + moved * steps)
        found = one_parameter(*prior(0.25, total))
        assert found == (("mean", pytest.approx(0.25)) if is_held else None)
        mean = 0.25 * (1 + moved * steps)
        found = one_parameter(*prior(mean, 4.0))
        assert found == (("concentration", pytest.approx(4.0 * unit)) if is_held else None)
    for kept, is_held in ((0.9e-5, True), (1.1e-5, False)):
        drift = 0.25 * (1 + kept * steps)
        found = one_parameter(*prior(drift, 4.0 * (1 + steps)))
        assert found == (("mean", pytest.approx(drift[-1], rel=1e-12)) if is_held else None)
        drift = 4.0 * (1 + kept * steps)
        found = one_parameter(*prior(0.25 * (1 + steps), drift))
        wanted = ("concentration", pytest.approx(unit * drift[-1], rel=1e-12))
        assert found == (wanted if is_held else None)


def test_a_symmetric_prior_is_held_even_where_it_rests():
    assert one_parameter([2.0, 2.0], [2.0, 2.0]) == ("mean", 0.5)
    assert one_parameter([2.0, 2.0], [3.0, 3.0]) is None
