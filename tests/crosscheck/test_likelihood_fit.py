"""Numbers fitted to noisy losses: by their mean and their spread, and what that costs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

import elbo_ref as er
from elbo_ref.crosscheck.distribution import expected_losses, rough_distribution
from elbo_ref.crosscheck.likelihood_fit import Expected, fitted, second_derivatives
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.variants import Fit
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES

PRIOR = np.array([2.0, 3.0])
OWN = np.array([30.0, 20.0])
SIZE = 60


def model(weight=1.0, steps=1):
    own = np.tile(OWN[:, None, None], (1, steps, 1)) * np.linspace(1, 2, steps)[:, None]
    return LossModel(
        counts=er.Counts([51], [59]),
        guide=GUIDES["beta"],
        loss=OBJECTIVES["trace"],
        num_particles=2,
        prior=np.tile(PRIOR[:, None, None], (1, steps, 1)),
        guide_parameters=own,
        dtype="float64",
        likelihood_weight=weight,
    )


def drawn(weight, rng, rows=None):
    """Losses of the weighted likelihood, by SciPy's densities."""
    own = OWN[:, None] if rows is None else OWN[:, None] * rows
    c = rng.beta(*own, (2, SIZE))
    joint = weight * stats.binom.logpmf(51, 59, c) + stats.beta.logpdf(c, *PRIOR)
    return -(joint - stats.beta.logpdf(c, *own)).mean(axis=0)


def fit_of(losses, given):
    law = rough_distribution(given, np.random.default_rng(0))[0]
    return Fit(losses, law, np.broadcast_to(law.variance, losses.shape), expected_losses)


def weighted(given, logs):
    return given._replace(likelihood_weight=float(np.exp(logs.item())))


WIDE = Expected(np.zeros(1), np.eye(1) / 4)


@pytest.mark.parametrize("weight", [0.3, 3.0])
@pytest.mark.parametrize("steps", [1, SIZE])
def test_a_weight_is_found(weight, steps):
    """Within four standard errors by the second derivative, at one set of parameters or many."""
    rows = None if steps == 1 else np.linspace(1, 2, SIZE)
    losses = drawn(weight, np.random.default_rng(1), rows)
    found = fitted(model(steps=steps), fit_of(losses, model(steps=SIZE)), WIDE, weighted)
    (curvature,) = second_derivatives(found.height, found.at).ravel()
    assert abs(found.at.item() - np.log(weight)) < 4 / np.sqrt(curvature)


@pytest.mark.thorough
def test_the_price_is_that_of_a_marginal_likelihood():
    """Height less price is the log of the integral, by quadrature, but for a constant."""
    losses = drawn(3.0, np.random.default_rng(2))
    found = fitted(model(), fit_of(losses, model(steps=SIZE)), WIDE, weighted)
    x = np.linspace(-6, 6, 4001)
    heights = np.array([found.height(np.array([t])) for t in x])
    lowest = heights.min()
    integral = np.log(integrate.trapezoid(np.exp(lowest - heights), x)) - lowest
    normalizer = np.log(np.sqrt(8) * np.pi / 2)  # of (1 + x^2/8)^-2
    without_price = WIDE.distance(found.at) - lowest
    assert integral - normalizer == pytest.approx(without_price - found.price, abs=0.3)


def test_a_number_that_changes_nothing_costs_nothing():
    given = fit_of(np.full(SIZE, 50.0), model(steps=SIZE))
    found = fitted(model(), given, WIDE, lambda same, _: same)
    assert found.price == pytest.approx(0.0, abs=1e-4)


def test_second_derivatives_of_a_parabola():
    wanted = np.array([[2.0, 0.7], [0.7, 5.0]])
    found = second_derivatives(lambda x: 3.0 + x.sum() + x @ wanted @ x / 2, np.array([0.5, -2.0]))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_losses_of_one_set_of_parameters_are_all_taken():
    """The height is minus half of the sum of normal log densities, and what is expected."""
    given, losses = model(), drawn(1.0, np.random.default_rng(4))
    found = fitted(given, fit_of(losses, model(steps=SIZE)), WIDE, weighted)
    at = np.array([0.1])
    law = rough_distribution(weighted(given, at), np.random.default_rng(0))[0]
    wanted = -stats.norm.logpdf(losses, law.mean, np.sqrt(law.variance)).sum()
    wanted += WIDE.distance(at) - SIZE * np.log(2 * np.pi) / 2
    assert found.height(at) == pytest.approx(wanted, rel=1e-6)
