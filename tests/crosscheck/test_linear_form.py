"""Linear forms against SciPy's densities, and near the ends against the run's own operations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck.given_draws import Draws, losses_given
from elbo_ref.crosscheck.linear_form import LinearForm
from loss_models import OWN as OWN_OF, draws_of, estimate, in_two_steps, model_of

COUNTS = er.Counts([3, 7, 2], [10, 9, 6], [2, 1, 3])
OWN = {**OWN_OF, "conjugate": np.array((COUNTS.successes, COUNTS.failures))}
Y = np.array([[[-1.2, 0.4, -0.3], [0.9, -3.0, 2.2]], [[-0.1, 1.4, 0.6], [-2.0, 0.2, 5.0]]])
"""Two draws of three latents in two steps."""


def form_of(kind, **fields):
    """The form of two steps, and its model."""
    model = in_two_steps(model_of(kind, counts=COUNTS, own=OWN[kind], clamped=False, **fields))
    if kind == "conjugate":
        model = model._replace(guide_parameters=np.repeat(OWN[kind][:, None], 2, axis=1))
    return LinearForm.of(model), model


def at(form, logit):
    """Values of a form, its constants too, at logits (..., T, G)."""
    values = [form.at_draws(y, form.tilt, form.likelihood, form.parameters) for y in logit]
    return np.array(values) + form.constants


@pytest.mark.parametrize("weight", [1.0, 0.7])
@pytest.mark.parametrize("kind", OWN)
def test_a_form_is_the_log_densities_that_its_guide_counts(kind, weight):
    form, model = form_of(kind, likelihood_weight=weight)
    assert form.num_losses == 2
    np.testing.assert_allclose(at(form, Y), estimate(model, Y), rtol=1e-12)
    np.testing.assert_allclose(
        form.likelihood, weight * np.array((COUNTS.successes, COUNTS.failures))[:, None]
    )


def divergence(q, prior):
    """KL(Beta(q) || Beta(prior)), by the trapezoidal rule over the logit."""
    y = np.linspace(-30.0, 30.0, 1001)[:, None, None]
    c = special.expit(y)
    log_q = stats.beta.logpdf(c, *q)
    weights = np.exp(log_q) * c * special.expit(-y) * 0.06
    return (weights * (log_q - stats.beta.logpdf(c, *prior))).sum(axis=0)


@pytest.mark.parametrize("kind", ["beta", "beta_shared", "conjugate", "tied"])
def test_a_divergence_in_closed_form_is_a_constant(kind):
    form, model = form_of(kind, loss="trace_mean_field", likelihood_weight=0.7)
    own = np.broadcast_to(model.guide_parameters, (len(model.guide_parameters), 2, 3))
    prior = np.broadcast_to(model.prior, (2, 2, 3))
    q = {"conjugate": lambda: own + prior, "tied": lambda: prior}.get(kind, lambda: own)()
    tied = form_of("tied", likelihood_weight=0.7)[1]
    np.testing.assert_allclose(at(form, Y), estimate(tied, Y) - divergence(q, prior), rtol=1e-9)


def test_pyros_mean_field_drops_the_jacobian_of_a_normal_guide():
    form, model = form_of("normal", loss="trace_mean_field")
    jacobian = special.log_expit(Y) + special.log_expit(-Y)
    np.testing.assert_allclose(at(form, Y), estimate(model, Y) - jacobian, rtol=1e-12)


@pytest.mark.parametrize("kind", ["beta", "beta_shared"])
def test_latents_that_have_one_draw_are_as_many_terms_of_it(kind):
    form, model = form_of(kind, one_draw=True)
    np.testing.assert_allclose(at(form, Y), COUNTS.multiplicity * estimate(model, Y), rtol=1e-12)
    np.testing.assert_array_equal(form.task.weights, 1.0)
    np.testing.assert_array_equal(form.likelihood[0, 0], COUNTS.multiplicity * COUNTS.successes)


def test_more_outcomes_are_added_to_those_of_every_latent():
    form, _ = form_of("normal", likelihood_weight=0.7)
    more = form.with_more(np.array([2.0, -0.5]))
    added = 2 * special.log_expit(Y) - 0.5 * special.log_expit(-Y)
    np.testing.assert_allclose(at(more, Y), at(form, Y) + added, rtol=1e-12)
    for part in ("tilt", "likelihood"):
        gained = getattr(more, part) - getattr(form, part)
        np.testing.assert_allclose(gained, np.broadcast_to([[[2.0]], [[-0.5]]], gained.shape))


def test_expected_logarithms():
    """By psi and by quadrature; also of equal numbers that are a Beta's and then a normal's."""
    pair = np.array([[0.7, 0.9, 0.4], [0.5, 0.6, 0.7]])
    for kind in ("beta", "normal", "beta"):
        form, model = form_of(kind)
        form = LinearForm.of(model._replace(guide_parameters=np.repeat(pair[:, None], 2, axis=1)))
        for g, (first, second) in enumerate(pair.T):
            if kind == "beta":
                wanted = special.psi([first, second]) - special.psi(first + second)
            else:
                z = np.linspace(-9.0, 9.0, 401)
                draws = [special.log_expit(sign * (first + second * z)) for sign in (1, -1)]
                wanted = draws @ stats.norm.pdf(z) * (z[1] - z[0])
            np.testing.assert_allclose(form.expected_logs()[:, 1, g], wanted, rtol=1e-9)
        with pytest.raises(ValueError, match="read-only"):
            form.expected_logs()[:] = 0.0


@pytest.mark.parametrize("kind", ["beta", "normal"])
def test_magnitudes_are_sums_of_what_is_added(kind):
    form, model = form_of(kind)
    logs, n = np.abs(form.expected_logs()), COUNTS.total_count
    each = np.abs(form.constants) + n * logs.sum(axis=0) + 2 * special.gammaln(n + 1)
    for x in (model.prior, form.parameters)[: 2 if kind == "beta" else 1]:
        gammas = np.abs(special.gammaln(x)).sum(axis=0) + np.abs(special.gammaln(x.sum(axis=0)))
        each = each + ((x + 1) * logs).sum(axis=0) + gammas
    np.testing.assert_allclose(form.magnitude(), each @ COUNTS.multiplicity, rtol=1e-13)


EPS = float(np.finfo(np.float32).eps)
ENDS = (-100.0, -18.0, -16.2, -7.0, -3.0, 2.0, 7.0, 15.0, 16.2, 18.0, 40.0)
"""Logits of draws, the first and the last beyond what single precision can hold."""


def rounded(y, gap):
    """A draw in single precision, as it is kept off 0 and 1."""
    low = np.finfo(np.float32).tiny
    return float(np.clip(np.float32(special.expit(y)), low, np.float32(1 - gap)))


@pytest.mark.parametrize("kind", ["beta", "empty", "tied", "normal", "laplace", "delta", "none"])
def test_draws_near_the_ends_are_seen_as_the_run_rounds_them(kind):
    """Densities see the draw as it is kept, likelihoods a clamped one, a Jacobian the logit."""
    own = np.array(OWN[kind])[:, :1]
    model = model_of(kind, counts=er.Counts(3, 10), own=own, dtype="float32", clamped=True)
    form, prior = LinearForm.of(model), model.prior[:, 0, 0]
    drawn_by_beta = kind in ("beta", "empty", "tied")
    for y in ENDS:
        c = rounded(y, EPS / 2 if drawn_by_beta else EPS)
        seen = np.clip(c, EPS, 1 - EPS)
        wanted = 3 * np.log(seen) + 7 * np.log1p(-seen) + np.log(special.binom(10, 3))
        if kind not in ("tied", "none"):
            wanted += stats.beta.logpdf(c, *prior)
        if kind == "beta":
            wanted -= stats.beta.logpdf(c, *own[:, 0])
        if kind == "normal":
            wanted -= stats.norm.logpdf(y, *own[:, 0])
        if kind in ("normal", "laplace"):
            wanted += special.log_expit(y) + special.log_expit(-y)
        assert at(form, np.full((1, 1, 1), y)).item() == pytest.approx(
            wanted, rel=2e-6, abs=2e-6
        ), y


def test_what_is_far_from_the_ends_is_not_rounded():
    """Up to 1e4 times the precision; and nothing is where the run clamps nothing."""
    model = model_of("beta", counts=er.Counts(3, 10), own=[[4.0], [8.0]], dtype="float32")
    bare = LinearForm.of(model._replace(clamped=False))
    for y, share in ((-6.742, 0.99), (-6.722, 1.01)):
        assert special.expit(y) == pytest.approx(share * 1e4 * EPS, rel=5e-3)
        terms = LinearForm.of(model).arithmetic.terms(np.array([[y]]), bare.parameters)
        assert (terms.excess is None) == (share > 1)
    assert bare.arithmetic.terms(np.array([[-100.0]]), bare.parameters).excess is None
    assert at(bare, np.array([[[-100.0]]])).item() == pytest.approx(
        estimate(model, np.array([[-100.0]])).item(), rel=1e-12
    )


@pytest.mark.parametrize("kind", ["normal", "laplace", "beta"])
def test_clamped_draws_are_those_of_the_run(kind):
    """At the ends of single precision: the form against the run's own operations."""
    own = np.array(OWN[kind])[:, :1]
    model = model_of(kind, counts=er.Counts(3, 10), own=own, dtype="float32", clamped=True)
    form = LinearForm.of(model)
    for y in ENDS:
        c = np.float32(rounded(y, EPS / 2 if kind == "beta" else EPS))
        given = losses_given(model, Draws(np.full((1, 1, 1), c), np.full((1, 1, 1), y)))
        wanted = -at(form, np.full((1, 1, 1), y)).sum()
        assert given.values[0] == pytest.approx(wanted, rel=2e-5), y


@pytest.mark.parametrize("kind", ["beta", "normal", "empty", "tied"])
def test_the_log_weight_of_a_particle_is_the_form(kind):
    form, model = form_of(kind)
    terms = model.terms(
        special.expit(Y[0]), Y[0], model.prior, model.guide_parameters, model.rows.outcomes
    )
    wanted = at(form, Y[:1])[0] - model.rows.log_coefficient
    np.testing.assert_allclose(terms.log_weight, wanted, rtol=1e-12)
    assert (np.asarray(terms.magnitude) >= np.abs(terms.log_weight)).all()
    losses = losses_given(model, draws_of(special.expit(Y[0])[:, None]))
    np.testing.assert_allclose(losses.values, -at(form, Y[:1])[0].sum(axis=1), rtol=1e-12)
