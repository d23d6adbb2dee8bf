"""The order of a Renyi bound that nobody said, from evaluations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck import renyi_order
from elbo_ref.crosscheck.renyi_order import BoundDraws, Order, possible_orders
from loss_models import COUNTS, PRIOR, model_of

WIDE = np.array([[1.5, 2.0, 1.2], [2.0, 1.5, 3.0]])
"""A guide far from the posterior, whose bounds differ."""
SEVERAL = er.Counts([3, 7, 2], [10, 9, 6], multiplicity=[1, 2, 1])


def rng():
    return np.random.default_rng(0)


def log_weights(size, samples, seed=1):
    """Of each latent, drawn by NumPy: (samples, size, latents)."""
    c = np.random.default_rng(seed).beta(*WIDE, (samples, size, 3))
    joint = stats.binom.logpmf(COUNTS.successes, COUNTS.total_count, c)
    return joint + stats.beta.logpdf(c, *PRIOR) - stats.beta.logpdf(c, *WIDE)


def bounds(f, alpha, together):
    """Losses by the definition."""
    f = f.sum(axis=-1, keepdims=True) if together else f
    x = (special.logsumexp((1 - alpha) * f, axis=0) - np.log(len(f))) / (1 - alpha)
    return -x.sum(axis=-1)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("alpha", [-2.0, 0.0, 0.5, 3.0])
def test_mean_losses(alpha, together):
    """Against other draws, within five standard errors: a false alarm in a million."""
    losses = bounds(log_weights(4000, 3), alpha, together)
    draws = BoundDraws(model_of(own=WIDE), 3, 4000, rng())
    error = losses.std() * np.sqrt(2 / 4000)
    assert abs(draws.mean_loss(alpha, together=together) - losses.mean()) < 5 * error
    assert abs(draws.mean_loss(alpha, together=together) - losses.mean() + 20 * error) > 5 * error


def test_order_one_is_the_elbo():
    """And near it; the bound falls as the order rises."""
    draws = BoundDraws(model_of(own=WIDE), 3, 2000, rng())
    one = draws.mean_loss(1.0, together=False)
    elbo = er.elbo(er.Beta(*WIDE), er.Beta(*PRIOR), COUNTS)
    assert one == pytest.approx(-elbo, abs=0.3)
    assert one == pytest.approx(draws.mean_loss(1.0, together=True), rel=1e-12)
    assert one == pytest.approx(draws.mean_loss(1 + 1e-4, together=False), rel=1e-3)
    losses = [draws.mean_loss(x, together=False) for x in (-50.0, -1.0, 0.0, 0.9, 1.0, 1.1, 40.0)]
    assert losses == sorted(losses)


def test_draws_of_latents_that_are_alike():
    """Each of several latents of an entry has draws of its own; at the last parameters."""
    model = model_of(counts=SEVERAL, own=WIDE, steps=2)
    model.guide_parameters[:, 0] = 1.0
    draws = BoundDraws(model, 3, 500, rng())
    assert draws._values.shape == (3, 500, 4)
    assert abs(np.corrcoef(draws._values[0, :, 1], draws._values[0, :, 2])[0, 1]) < 0.3
    last = BoundDraws(model.at(slice(1, 2)), 3, 500, rng())
    np.testing.assert_array_equal(draws._values, last._values)


def test_the_number_of_draws(monkeypatch):
    """As many repeats as were asked for, unless these are too many; at least a hundred."""
    monkeypatch.setattr(renyi_order, "_MOST", 9_000)
    sizes = [BoundDraws(model_of(own=WIDE), 3, x, rng())._values.shape[1] for x in (50, 400, 2000)]
    assert sizes == [100, 400, 1000]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("alpha", [-3.0, 0.375, 2.0])
def test_the_order_of_a_mean(alpha, together):
    draws = BoundDraws(model_of(own=WIDE), 3, 500, rng())
    mean = draws.mean_loss(alpha, together=together)
    found = draws.order(mean, together=together)
    assert found == pytest.approx(alpha, abs=2e-3) and found == round(found, 3)
    ends = [draws.mean_loss(x, together=together) for x in (-60.0, 60.0)]
    for mean, some in ((ends[0] - 0.01, False), (ends[1] + 0.01, False), (ends[1] - 1e-9, True)):
        assert (draws.order(mean, together=together) is not None) is some


def drawn(alpha, samples=3, size=60, together=False, constant=0.0):
    return bounds(log_weights(size, samples, 5), alpha, together) + constant


def listed(evaluations, samples=3, model=None):
    return possible_orders(model or model_of(own=WIDE), samples, evaluations, rng())


def test_usual_orders_come_first():
    """Where they fit within six errors of the mean, and then the ones that are fitted."""
    for alpha in (0.0, 0.5):
        found = listed(drawn(alpha))
        first = [x for x in found if not x.together and not x.constant]
        assert first[0].alpha in (0.0, 0.5) and Order(alpha) in found
        usual = [x.alpha in (0.0, 0.5) for x in found]
        assert usual == sorted(usual, reverse=True)


def test_another_order_is_fitted():
    """Rounded to a whole number, to a tenth and as it is found, where those fit."""
    evaluations = drawn(3.0, size=200)
    near = 6 * evaluations.std(ddof=1) / np.sqrt(200)
    found = [x.alpha for x in listed(evaluations) if not x.together and not x.constant]
    draws = BoundDraws(model_of(own=WIDE), 3, 100 * 200, rng())
    best = draws.order(float(evaluations.mean()), together=False)
    tried = dict.fromkeys((0.0, 0.5, float(round(best)), round(best, 1)))
    wanted = [x for x in tried
              if abs(draws.mean_loss(x, together=False) - evaluations.mean()) <= near]  # fmt: skip
    assert found == [*wanted, best] and len(found) >= 2


def test_all_latents_together():
    """Only of several latents."""
    found = listed(drawn(0.0, together=True))
    assert Order(0.0, True) in found
    single = model_of(counts=er.Counts(3, 10), own=WIDE[:, :1])
    assert not any(x.together for x in listed(np.array([2.0, 2.1, 2.2]), model=single))


def test_losses_without_coefficients():
    constant = float(COUNTS.log_coefficient.sum())
    found = listed(drawn(0.0, constant=constant))
    assert Order(0.0, False, constant) in found and Order(0.0) not in found
    ones = model_of(counts=er.Counts([1, 0, 1], 1), own=WIDE)
    assert {x.constant for x in listed(np.array([3.0, 3.1, 3.2]), model=ones)} == {0.0}


def test_where_nothing_tells_it_is_the_usual_one():
    """One sample, no evaluation, or none that any order has."""
    assert listed(drawn(0.5), samples=1) == [Order(0.0)]
    assert listed(np.zeros(0)) == [Order(0.0)]
    assert listed(np.full(5, 1e4)) == [Order(0.0)]
    assert listed(drawn(0.5, samples=2), samples=2) != [Order(0.0)]
    elbo = -er.elbo(er.Beta(*WIDE), er.Beta(*PRIOR), COUNTS)
    assert listed(elbo + np.array((-1.0, 1.0)), samples=1) == [Order(0.0)]
    assert not Order(0.0).together


def test_six_errors_of_the_mean():
    """Those of two evaluations have one degree of freedom."""
    draws = BoundDraws(model_of(own=WIDE), 3, 100 * 2, rng())
    mean, half = draws.mean_loss(0.0, together=False), 0.01
    for errors, some in ((5.9, True), (6.1, False)):
        evaluations = mean + errors * half + half * np.array((-1.0, 1.0))
        assert (Order(0.0) in listed(evaluations)) is some


def test_two_latents_may_be_taken_together():
    counts = er.Counts([3, 7], [10, 9])
    model = model_of(counts=counts, own=WIDE[:, :2])
    losses = bounds(log_weights(60, 3)[..., :2], 0.0, True)
    assert Order(0.0, True) in listed(losses, model=model)


def test_one_is_no_order():
    """Evaluations of the ELBO are near order one, which no bound has."""
    elbo = -er.elbo(er.Beta(*WIDE), er.Beta(*PRIOR), COUNTS)
    found = listed(elbo + np.array((-1.0, 1.0)) * 0.5)
    assert found and not any(x.alpha == 1 for x in found)


@pytest.mark.parametrize(("order", "fitted"), [(1.0, False), (2.0, True), (3.0, True)])
def test_an_order_that_is_fitted_exactly_is_one_unless_it_is_the_elbo_s(order, fitted):
    """The mean is that of the very draws that are compared; order one is no Renyi bound."""
    size = 40
    draws = BoundDraws(model_of(own=WIDE), 3, 100 * size, rng())
    noise = np.random.default_rng(1).normal(size=size)
    evaluations = draws.mean_loss(order, together=False) + noise - noise.mean()
    found = [x.alpha for x in listed(evaluations) if not x.together and not x.constant]
    assert any(abs(x - order) < 1e-3 for x in found) == fitted
