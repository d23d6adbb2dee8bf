"""One loss model, two questions: the losses at given draws, and the law of losses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref.crosscheck.distribution import expected_losses, loss_distribution
from elbo_ref.crosscheck.given_draws import Draws, losses_given
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import Rows, minibatch_fields
from elbo_ref.crosscheck.mistakes import closed_form_hypotheses
from elbo_ref.objectives import find as find_loss
from loss_models import COUNTS, OWN, in_two_steps, model_of


def drawn(model, steps, rng):
    """Draws of a model's source."""
    form = LinearForm.of(model)
    x = form.parameters[:, 0]
    logit = form.source.sample_logits(x, (steps * model.num_particles, x.shape[1]), rng)
    logit = logit.reshape(steps, model.num_particles, -1)
    return Draws(special.expit(logit), logit)


@pytest.mark.parametrize("loss", ["trace", "trace_mean_field"])
@pytest.mark.parametrize("kind", OWN)
def test_losses_at_draws_are_the_linear_form(kind, loss):
    """The run's operations against tilt, residual and constants, which share no line with them."""
    model = model_of(kind, loss=loss, steps=4, likelihood_weight=0.7, factor=2.0, constant=5.0)
    draws = drawn(model, 4, np.random.default_rng(1))
    form = LinearForm.of(model._replace(clamped=False))
    values = form.at_draws(draws.logit[:, 0], form.tilt, form.likelihood, form.parameters)
    values = values + form.constants
    given = losses_given(model, draws)
    np.testing.assert_allclose(given.values, 5 - 2 * values.sum(axis=1), rtol=1e-12)
    assert np.all(given.allowance < 1e-6)


@pytest.mark.parametrize("kind", ["beta", "empty", "tied", "normal"])
def test_the_law_of_losses_is_that_of_losses_at_draws(kind):
    """Mean and variance of 4000 drawn losses; a false alarm in 1e5 (4.4 standard errors)."""
    steps = 4000
    wide = model_of(kind, steps=steps, particles=2)
    values = losses_given(wide, drawn(wide, steps, np.random.default_rng(2))).values
    law = loss_distribution(model_of(kind, particles=2), np.random.default_rng(0))[0]
    error = np.sqrt(law.variance[0] / steps)
    assert abs(values.mean() - law.mean[0]) < 4.4 * error, (values.mean(), law.mean, error)
    spread = np.var((values - law.mean[0]) ** 2)
    assert abs(np.var(values) - law.variance[0]) < 4.4 * np.sqrt(spread / steps)
    assert abs(values.mean() + 20 * error - law.mean[0]) > 4.4 * error  # the negative control


@pytest.mark.thorough
def test_mistakes_move_losses_at_draws_as_they_move_expected_ones():
    """Each model that a mistake makes, averaged over the same draws as the given one's.

    The draws are the guide's, and stay: so only mistakes are compared that leave the source alone.
    """
    steps = 20_000
    given = model_of("beta", steps=steps)
    draws = drawn(given, steps, np.random.default_rng(3))
    compared = set()
    for x in closed_form_hypotheses(given):
        other = x.model
        if other.added or not other.observed or other.guide is not given.guide:
            continue
        if other.guide_parameters.shape != given.guide_parameters.shape:
            continue
        if not np.array_equal(other.guide_parameters, given.guide_parameters):
            continue
        values = losses_given(other, draws).values
        error = 5 * values.std() / np.sqrt(steps)  # a false alarm in 1e6
        assert abs(values.mean() - expected_losses(other)[0]) < error, x.variant
        compared.add(x.name)
    assert compared >= {"swapped_concentrations", "wrong_sign", "likelihood_weight", "wrong_counts"}


def test_rows_that_change_count_in_each_step():
    """A minibatch: each step's loss is that of its own counts."""
    k, n = np.array([[3.0, 7.0, 2.0], [1.0, 4.0, 5.0]]), np.array([[10.0, 9.0, 6.0]] * 2)
    coefficient = np.log(special.binom(n, k))
    model = model_of("beta", steps=2, batch=3, batch_scale=2.5)
    draws = drawn(model, 2, np.random.default_rng(4))
    seen = Rows(np.array((k, n - k)), coefficient, np.abs(coefficient))
    together = losses_given(model._replace(seen=seen), draws).values
    for step in range(2):
        counts = er.Counts(k[step], n[step])
        alone = model.at(slice(step, step + 1)).of_counts(counts)
        one = losses_given(alone, draws.at(slice(step, step + 1))).values
        assert together[step] == pytest.approx(one[0], rel=1e-13)
    bare = losses_given(model._replace(seen=seen, coefficients=False), draws).values
    np.testing.assert_allclose(bare - together, 2.5 * coefficient.sum(axis=1), rtol=1e-11)


@pytest.mark.parametrize("numpyro", [False, True])
def test_a_likelihood_clamps_as_the_framework_does(numpyro):
    c = np.array([[[1e-30, 0.25, 1 - 2.0**-53]]])
    model = model_of("tied", numpyro=numpyro)
    found = losses_given(model, Draws(c, special.logit(c))).values
    eps = np.finfo(float).eps
    low = np.finfo(float).tiny if numpyro else eps
    seen = np.clip(c[0, 0], low, 1 - eps)
    k, f = COUNTS.successes, COUNTS.failures
    each = k * np.log(seen) + f * np.log1p(-seen) + COUNTS.log_coefficient
    assert found[0] == pytest.approx(-each.sum(), rel=1e-13)


def test_models_are_compared_by_value():
    model = model_of("beta")
    assert model.equals(model_of("beta")) and not model.equals(None)
    seen = Rows.of(COUNTS)
    assert model._replace(seen=seen).equals(model._replace(seen=Rows.of(COUNTS)))
    assert not model._replace(seen=seen).equals(model)
    for change in ({"factor": 2.0}, {"prior": model.prior + 1}, {"coefficients": False}):
        assert not model._replace(**change).equals(model), change


def test_rows():
    """Successes, failures and log factorials; those of some losses where they change."""
    k, f = COUNTS.successes, COUNTS.failures
    rows = Rows.of(COUNTS)
    np.testing.assert_array_equal(rows.outcomes, np.array((k, f))[:, None])
    np.testing.assert_allclose(rows.log_coefficient[0], np.log(special.binom(k + f, k)), rtol=1e-13)
    factorials = special.gammaln(np.array((k + f, k, f)) + 1).sum(axis=0)
    np.testing.assert_allclose(rows.magnitude[0], factorials, rtol=1e-14)
    assert rows.at(slice(1, 2)) is rows
    many = Rows(*(np.concatenate([x, x + 1.0], axis=-2) for x in rows))
    for got, wanted in zip(many.at(slice(1, 2)), rows, strict=True):
        np.testing.assert_array_equal(got, wanted + 1.0)


@pytest.mark.parametrize(
    ("loss", "single", "batch", "bounds"),
    [
        ("trace", False, 2, []),
        (er.Renyi(0.0, 1), False, 2, []),
        (er.Renyi(0.0, 2), False, None, ["together"]),
        (er.Renyi(0.0, 2), True, None, []),
        (er.Renyi(0.0, 2), False, 2, ["mixed", "scaled_after"]),
        (er.Renyi(0.0, 2), True, 2, ["mixed"]),
    ],
)
def test_other_ways_to_take_a_renyi_bound(loss, single, batch, bounds):
    counts, own = (er.Counts(3, 10), [[4.0], [8.0]]) if single else (COUNTS, None)
    loss = loss if isinstance(loss, str) else find_loss(loss)
    model = model_of("beta", counts, own, loss=loss, batch=batch)
    assert [other.bound for other, _ in model.other_bounds()] == bounds


def test_fields_of_minibatches():
    """They are scaled up to all latents, or to all trials of one."""
    assert minibatch_fields(COUNTS, None) == {}
    twice = er.Counts([3, 7], [10, 9], [2, 1])
    one = er.Counts(3, 10)
    for counts, size, total in ((COUNTS, 2, 3), (twice, 3, 3), (one, 4, 10), (one, 10, 10)):
        wanted = {"batch": size, "batch_scale": total / size}
        assert minibatch_fields(counts, size) == wanted
        with pytest.raises(ValueError, match=f"subsample_size = {total + 1} exceeds the {total}"):
            minibatch_fields(counts, total + 1)


@pytest.mark.parametrize("loss", ["trace", er.Renyi(0.5, 2)])
def test_entries_that_have_one_draw_are_as_many_latents_of_equal_draws(loss):
    """A scale multiplies the terms of a draw, and so those of a bound of all together."""
    times = np.array([2, 1, 3])
    counts = er.Counts(COUNTS.successes, COUNTS.total_count, times)
    model = model_of("beta", counts, loss=find_loss(loss), particles=2, bound="together")
    one = model._replace(one_draw=True)
    entry = np.repeat(np.arange(3), times)
    spread = model._replace(
        counts=er.Counts(COUNTS.successes[entry], COUNTS.total_count[entry]),
        guide_parameters=model.guide_parameters[..., entry],
    )
    rng = np.random.default_rng(4)
    logit = rng.normal(size=(1, 4 if loss != "trace" else 2, 3))
    draws, many = (Draws(special.expit(y), y) for y in (logit, logit[..., entry]))
    np.testing.assert_allclose(losses_given(one, draws), losses_given(spread, many), rtol=1e-13)


def test_the_last_loss_has_the_last_parameters():
    both = in_two_steps(model_of("beta", steps=2))
    np.testing.assert_array_equal(both.last.prior, both.prior[:, 1:])
    np.testing.assert_array_equal(both.last.guide_parameters, both.guide_parameters[:, 1:])


def test_losses_of_one_set_of_parameters_and_rows_stand_still():
    one = model_of("beta", steps=3)
    rows = Rows.of(COUNTS)
    changing = Rows(*(np.concatenate([x, x, x + 1.0], axis=-2) for x in rows))
    assert one.still is True and one._replace(seen=rows).still is True
    assert one._replace(seen=changing).still is False
    assert in_two_steps(one).still is False
    assert one._replace(prior=one.prior * [[[1.0], [1.0], [1.1]]]).still is False
