"""Three cumulants of losses, by SciPy's densities at dense nodes and by listing all minibatches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.moments import (
    DrawCumulants,
    cumulants_of_batches,
    first_cumulants,
    minibatch_cumulants,
)
from loss_models import OWN as OWN_OF, central, estimate, in_two_steps, model_of, weighed

COUNTS = er.Counts([3, 7, 2], [10, 9, 6], [2, 1, 1])
OWN = {**OWN_OF, "normal": [[-0.7, 0.9, -0.4], [0.5, 0.6, 0.7]]}
LATENTS = np.repeat(np.arange(3), COUNTS.multiplicity)


def two_steps(kind, counts=COUNTS, own=None, **fields):
    own = OWN[kind] if own is None else own
    return in_two_steps(model_of(kind, counts=counts, own=own, **{"clamped": False} | fields))


def of_each(model):
    """Cumulants of one latent of each entry, (3, T, G)."""
    logit, shares = weighed(model)
    return central(estimate(model, logit), shares)


def of_losses(model, each):
    """Cumulants of the mean of particles, from those of one, times minus the factor."""
    factors = [(-model.factor) ** n / model.num_particles ** (n - 1) for n in (1, 2, 3)]
    return np.reshape(factors, (3, 1)) * each + np.reshape([model.constant, 0, 0], (3, 1))


def close(got, wanted, rtol=1e-8):
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max())


@pytest.mark.parametrize("kind", OWN)
def test_cumulants_of_each_latent(kind):
    model = two_steps(kind, likelihood_weight=0.7)
    close(DrawCumulants().of(LinearForm.of(model)), of_each(model))


def test_cumulants_of_many_latents_are_those_of_each():
    """Of a normal guide, so many at once that no two losses fit into a block."""
    loc, counts = np.linspace(-1.0, 1.0, 100), er.Counts(np.arange(100) % 7, 8)
    model = two_steps("normal", counts, [loc, np.full(100, 0.5)])
    found = DrawCumulants().of(LinearForm.of(model))
    for g in (0, 57, 99):
        one = er.Counts(int(counts.successes[g]), 8)
        alone = two_steps("normal", one, [[loc[g]], [0.5]])
        close(found[..., g], DrawCumulants().of(LinearForm.of(alone))[..., 0], 1e-9)


def test_the_divergence_of_a_beta_in_closed_form_does_not_vary():
    """What is drawn is the likelihood alone; the mean is that of the drawn divergence."""
    closed = two_steps("beta", loss="trace_mean_field", likelihood_weight=0.7)
    found = DrawCumulants().of(LinearForm.of(closed))
    logit, shares = weighed(closed)
    of_likelihood = central(
        estimate(two_steps("none", own=OWN["laplace"], likelihood_weight=0.7), logit), shares
    )
    close(found[1:], of_likelihood[1:])
    close(found[0], of_each(two_steps("beta", likelihood_weight=0.7))[0])


@pytest.mark.parametrize("kind", ["beta", "normal"])
def test_draws_that_several_models_share_are_computed_once(kind):
    draws, known = DrawCumulants(), []
    others = (
        {},
        {"likelihood_weight": 0.5},
        {"prior": (5.0, 1.5)},
        {"own": np.array(OWN[kind]) + 0.1},
        {"dtype": "float32"},
    )
    for fields in others:
        model = two_steps(kind, **fields)
        close(draws.of(LinearForm.of(model)), of_each(model))
        known.append(len(draws._known))
    assert known == [1, 1, 1, 2, 2 if kind == "beta" else 3]


@pytest.mark.parametrize("kind", ["beta", "normal", "empty", "delta"])
def test_cumulants_of_losses(kind):
    model = two_steps(kind, particles=3, factor=2.0, constant=5.0)
    found = first_cumulants(LinearForm.of(model), DrawCumulants())
    close(found, of_losses(model, of_each(model) @ COUNTS.multiplicity))


def test_the_second_cumulant_of_a_beta_is_e5():
    model = model_of("beta")
    (a, b), prior = np.array(OWN["beta"]), np.array([[2.0], [3.0]])
    up, down = prior + np.array(([3, 7, 2], [7, 2, 4])) - (a, b)
    trigamma = [special.polygamma(1, x) for x in (a, b, a + b)]
    variance = up**2 * trigamma[0] + down**2 * trigamma[1] - (up + down) ** 2 * trigamma[2]
    found = first_cumulants(LinearForm.of(model), DrawCumulants())
    assert found.variance == pytest.approx(variance.sum(), rel=1e-13)


def test_clamped_draws_have_the_moments_of_what_they_are_clamped_to():
    """A posterior near zero in single precision: a draw counts at least as 2^-126 in densities."""
    own, eps = [[0.05], [9.0]], float(np.finfo(np.float32).eps)
    model = model_of("beta", er.Counts(0, 6), own, dtype="float32", clamped=True)
    y = np.linspace(-900.0, 20.0, 92_001)
    shares = np.exp(0.05 * special.log_expit(y) + 9.0 * special.log_expit(-y))
    log_c = np.maximum(special.log_expit(y), np.log(np.finfo(np.float32).tiny))
    rest = special.log_expit(-y)
    data = 6 * np.log1p(-np.maximum(np.exp(log_c), eps))
    f = data + (2.0 - 0.05) * log_c + (3.0 - 9.0) * rest
    f += special.betaln(0.05, 9.0) - special.betaln(2.0, 3.0)
    found = DrawCumulants().of(LinearForm.of(model))[:, 0, 0]
    close(found, central(f, shares / shares.sum()), 1e-4)
    free = DrawCumulants().of(LinearForm.of(model._replace(clamped=False)))[:, 0, 0]
    assert abs(free[1] / found[1] - 1) > 0.05  # the control


def mixed(rows, shares):
    """Cumulants over batches, by the law of total cumulance; rows (S, 3, T), shares (S,)."""
    means, variances, thirds = rows.swapaxes(0, 1)
    mean = shares @ means
    away = means - mean
    return np.array(
        (mean, shares @ (variances + away**2), shares @ (thirds + 3 * away * variances + away**3))
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["beta", "normal", "delta"])
def test_cumulants_of_minibatches_of_latents(kind, size):
    """Over all batches; and those given a batch are of the latents in it."""
    model = two_steps(kind, particles=3, factor=2.0, constant=5.0, batch=size, batch_scale=4 / size)
    batches = [LATENTS[list(x)] for x in itertools.combinations(range(4), size)]
    powers = np.reshape([model.batch_scale**n for n in (1, 2, 3)], (3, 1))
    rows = powers * np.array([of_each(model)[:, :, batch].sum(axis=2) for batch in batches])
    shares = np.full(len(batches), 1 / len(batches))
    found = minibatch_cumulants(LinearForm.of(model), DrawCumulants())
    close(found, of_losses(model, mixed(rows, shares)))
    given = cumulants_of_batches(LinearForm.of(model), DrawCumulants(), np.random.default_rng(0), 6)
    possible = np.array(
        [of_losses(model, sum(x) / 3) for x in itertools.combinations_with_replacement(rows, 3)]
    )
    for one in np.moveaxis(np.array(given), 1, 0):
        off = np.abs(possible - one) / np.abs(one).max(axis=1, keepdims=True).clip(1e-9)
        assert off.max(axis=(1, 2)).min() < 1e-7


@pytest.mark.parametrize("kind", ["beta", "normal"])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_cumulants_of_minibatches_of_trials(kind, size):
    """Over all numbers of successes in a batch of a shared latent's trials."""
    model = two_steps(kind, er.Counts(3, 10), np.array(OWN[kind])[:, :1], particles=2, factor=2.0)
    scale, (logit, shares) = 10 / size, weighed(model)
    rest = estimate(model, logit) - stats.binom.logpmf(3, 10, special.expit(logit))
    c, seen = special.expit(logit), np.arange(size + 1)
    rows = np.array(
        [
            central(rest + scale * (k * np.log(c) + (size - k) * np.log1p(-c)), shares)[:, :, 0]
            for k in seen
        ]
    )
    model = model._replace(batch=size, batch_scale=scale, coefficients=False, constant=5.0)
    form, of_batch = LinearForm.of(model), stats.hypergeom(10, 3, size).pmf(seen)
    wanted = mixed(rows, of_batch)
    close(minibatch_cumulants(form, DrawCumulants()), of_losses(model, wanted), 1e-7)
    given = cumulants_of_batches(form, DrawCumulants(), np.random.default_rng(1), 4000)
    mean = of_losses(model, wanted)[0]
    spread = np.sqrt((of_batch @ (rows[:, 0] - wanted[0]) ** 2) * 4 / 2 / 4000)
    assert (np.abs(given.mean.mean(axis=0) - mean) < 4.9 * spread).all()  # fails once in 1e6
    assert (
        np.abs(given.mean.mean(axis=0) - mean - 10 * spread) > 4.9 * spread
    ).all()  # the control


def test_large_and_degenerate_minibatches():
    """Probabilities whose logarithms are thousands; a single latent that may be in the batch."""
    half = model_of("beta", er.Counts(1700, 4000), [[4.0], [8.0]], batch=2000, batch_scale=2.0)
    assert np.isfinite(minibatch_cumulants(LinearForm.of(half), DrawCumulants())).all()
    rows = model_of("beta", er.Counts([3, 7], [10, 9], [1, 0]), np.array(OWN["beta"])[:, :2])
    one = minibatch_cumulants(LinearForm.of(rows._replace(batch=1)), DrawCumulants())
    alone = first_cumulants(LinearForm.of(rows), DrawCumulants())
    close(one, np.array(alone), 1e-12)
