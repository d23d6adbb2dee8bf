"""Losses of a model at given draws, by SciPy's densities, and how far rounding may move them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from elbo_ref.crosscheck import given_draws
from elbo_ref.crosscheck.given_draws import (
    Columns,
    Draws,
    GivenLosses,
    losses_given,
    over_steps,
    terms_of,
)
from elbo_ref.objectives import RenyiBound
from loss_models import COUNTS, OWN, PRIOR, draws_of, model_of

STEPS, SAMPLES = 5, 3
C = np.random.default_rng(1).beta(2.0, 3.0, (STEPS, SAMPLES, 3))
K, N = COUNTS.successes, COUNTS.total_count
BETA = np.array(OWN["beta"])


def log_weights(weight=1.0):
    """Of each sample and latent."""
    densities = stats.beta.logpdf(C, *PRIOR) - stats.beta.logpdf(C, *BETA)
    return weight * stats.binom.logpmf(K, N, C) + densities


def bound(f, alpha):
    return special.logsumexp((1 - alpha) * f, axis=1, b=1 / f.shape[1]) / (1 - alpha)


KINDS = {
    "each": lambda f, alpha, scale: bound(scale * f, alpha).sum(axis=-1),
    "mixed": lambda f, alpha, scale: bound(scale * f, alpha).sum(axis=-1),
    "scaled_after": lambda f, alpha, scale: scale * bound(f, alpha).sum(axis=-1),
    "together": lambda f, alpha, scale: bound(scale * f.sum(axis=-1), alpha),
}


def test_the_mean_of_particles():
    model = model_of(
        steps=STEPS, particles=SAMPLES, factor=2.0, constant=5.0, likelihood_weight=0.7
    )
    wanted = 5 - 2 * log_weights(0.7).mean(axis=1).sum(axis=-1)
    np.testing.assert_allclose(losses_given(model, draws_of(C)).values, wanted, rtol=1e-12)
    half = losses_given(model._replace(batch_scale=1.5), draws_of(C)).values
    np.testing.assert_allclose(half, 5 + 1.5 * (wanted - 5), rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_bounds(kind, alpha):
    for scale in (1.0, 1.5):
        model = model_of(
            steps=STEPS, loss=RenyiBound(alpha, SAMPLES), bound=kind, batch_scale=scale
        )
        found = losses_given(model, draws_of(C))
        wanted = -KINDS[kind](log_weights(), alpha, scale)
        np.testing.assert_allclose(found.values, wanted, rtol=1e-12)


def columns_of(model):
    """The columns that are handed to a function of all steps at once."""
    kept = []

    def keep(columns):
        kept.append(columns)
        return np.zeros(columns.c.shape[1])

    over_steps(model, draws_of(C), keep)
    return kept


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_samples(kind):
    """In proportion to the power of each sample's weight; rounding grows with what that is of."""
    alpha, scale = 0.3, 1.5
    model = model_of(steps=STEPS, loss=RenyiBound(alpha, SAMPLES), bound=kind, batch_scale=scale)
    (columns,) = columns_of(model)
    used = 1.0 if kind == "scaled_after" else scale
    f = used * log_weights()
    f = np.broadcast_to(f.sum(axis=-1, keepdims=True), f.shape) if kind == "together" else f
    wanted = special.softmax((1 - alpha) * f, axis=1)
    np.testing.assert_allclose(columns.weights.sum(axis=0), 1.0)
    np.testing.assert_allclose(
        columns.weights, wanted.transpose(1, 0, 2).reshape(SAMPLES, -1), rtol=1e-10
    )
    terms = terms_of(model, columns)
    magnitude = (terms.magnitude + columns.coefficient_magnitude).max(axis=0).reshape(STEPS, 3)
    if kind == "together":
        magnitude = np.broadcast_to(magnitude.sum(axis=1, keepdims=True), magnitude.shape)
    np.testing.assert_allclose(columns.weight_error, 0.7 * used * magnitude.ravel())


def test_weights_of_particles():
    (columns,) = columns_of(model_of(steps=STEPS, particles=SAMPLES))
    assert columns.weights.tolist() == [[1 / 3]] * 3
    assert columns.excess == 0.0 and columns.weight_error == 0.0
    values = np.arange(6.0).reshape(3, 2)
    assert columns.mean(values).tolist() == [2.0, 3.0]


def test_columns_stand_side_by_side():
    """One latent at one step each, whatever is the same for all of them repeated."""
    model = model_of(steps=STEPS, likelihood_weight=0.5)
    model.prior[0] += np.arange(STEPS)[:, None]
    (columns,) = columns_of(model)
    np.testing.assert_array_equal(columns.c, C.transpose(1, 0, 2).reshape(SAMPLES, -1))
    np.testing.assert_allclose(columns.logit, special.logit(columns.c))
    np.testing.assert_array_equal(columns.prior[0], np.repeat(2.0 + np.arange(STEPS), 3))
    np.testing.assert_array_equal(columns.guide_parameters, np.tile(BETA, (1, STEPS)))
    np.testing.assert_array_equal(columns.outcomes[0], 0.5 * np.tile(K, STEPS))
    logs = np.log(special.binom(N, K))
    np.testing.assert_allclose(columns.log_coefficient, 0.5 * np.tile(logs, STEPS))
    parts = special.gammaln(N + 1.0) + special.gammaln(K + 1.0) + special.gammaln(N - K + 1.0)
    np.testing.assert_allclose(columns.coefficient_magnitude, 0.5 * np.tile(parts, STEPS))


@pytest.mark.parametrize("most", [1, 9, 10, 18, 100])
def test_blocks_of_steps(monkeypatch, most):
    """As many draws together as may be, one step at least; the losses are the same."""
    model = model_of(steps=STEPS, particles=SAMPLES)
    model.prior[0] += np.arange(STEPS)[:, None]
    whole = losses_given(model, draws_of(C))
    monkeypatch.setattr(given_draws, "_BLOCK", most)
    sizes = [x.c.shape[1] // 3 for x in columns_of(model)]
    each = max(1, most // 9)
    assert sizes == [min(each, STEPS - start) for start in range(0, STEPS, each)]
    np.testing.assert_array_equal(losses_given(model, draws_of(C)).values, whole.values)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_allowances(dtype):
    """Four eps of all that a loss is made of and, in float64, ten digits of log densities."""
    model = model_of(steps=STEPS, particles=SAMPLES, dtype=dtype, factor=-2.0, constant=1e6,
                     batch_scale=1.5)  # fmt: skip
    c = C.astype(dtype)
    found = losses_given(model, Draws(c, special.logit(c.astype(float))))
    (columns,) = columns_of(model)
    terms = terms_of(model, columns)
    made = (terms.magnitude + columns.coefficient_magnitude).mean(axis=0)
    data = terms.likelihood.value + columns.log_coefficient
    densities = (np.abs(data) + np.abs(terms.prior.value) + np.abs(terms.guide.value)).mean(axis=0)
    eps = np.finfo(dtype).eps
    wanted = 4 * eps * (2 * 1.5 * made.reshape(STEPS, 3).sum(axis=1) + 1e6)
    if dtype == "float64":
        wanted = wanted + 1e-10 * 2 * 1.5 * densities.reshape(STEPS, 3).sum(axis=1)
    np.testing.assert_allclose(found.allowance, wanted, rtol=1e-4)
    exact = losses_given(model._replace(dtype="float64"), draws_of(C)).values
    assert np.all(np.abs(found.values - exact) <= found.allowance)


def test_draws_of_some_steps():
    some = draws_of(C).at(slice(1, 3))
    np.testing.assert_array_equal(some.c, C[1:3])
    np.testing.assert_array_equal(some.logit, special.logit(C[1:3]))
    assert isinstance(losses_given(model_of(steps=2), some), GivenLosses)
    assert Columns._fields[-1] == "weight_error"
