"""Cumulants of losses by dense rules over each draw, and by enumeration of minibatches."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref import guides, objectives
from elbo_ref.crosscheck.cumulants import (
    GammaCumulants,
    _Known,
    _logarithm,
    _tilt,
    clamped_draws,
    loss_cumulants,
    needs_nodes,
)
from elbo_ref.crosscheck.given_draws import Draws, losses_given
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel, Rows
from elbo_ref.crosscheck.moments import (
    DrawCumulants,
    cumulants_of_batches,
    first_cumulants,
    minibatch_cumulants,
)
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL

COUNTS = er.Counts([3, 7, 2, 0], [10, 9, 6, 4], multiplicity=[2, 1, 1, 1])
OWN = {
    "beta": [[4.0, 8.0, 3.0, 1.5], [8.0, 3.0, 6.0, 5.0]],
    "normal": [[-0.7, 0.9, -0.4, -1.0], [0.5, 0.6, 0.7, 0.4]],
    "delta": [[-0.7, 0.9, -0.4, -1.0]],
    "laplace": [[-0.7, 0.9, -0.4, -1.0]],
    "empty": np.zeros((0, 4)),
    "tied": np.zeros((0, 4)),
}
Y = np.linspace(-45.0, 45.0, 4501)
DRAWN = ("beta", "normal", "empty", "tied")


def model_of(kind, loss="trace", counts=COUNTS, own=None, **fields):
    prior = np.array([[[2.0], [2.2]], [[3.0], [2.5]]])
    own = np.array(OWN[kind] if own is None else own, dtype=float)
    own = np.stack([own, own * 1.1], axis=1)
    settings = {"num_particles": 1, "dtype": "float64", "clamped": False} | fields
    return LossModel(
        counts,
        guides.find(kind),
        objectives.find(loss),
        prior=prior,
        guide_parameters=own,
        **settings,
    )


def dense(form, y=Y):
    """Values of the form at the nodes and their weights, each (N, T, G)."""
    if form.source is BETA:
        a, b = form.parameters
        log_w = a * special.log_expit(y[:, None, None]) + b * special.log_expit(-y[:, None, None])
    elif form.source is LOGIT_NORMAL:
        log_w = -(((y[:, None, None] - form.parameters[0]) / form.parameters[1]) ** 2) / 2
    else:
        y, log_w = form.parameters[0][None], np.zeros((1, *form.constants.shape))
    logit = np.broadcast_to(y if y.ndim == 3 else y[:, None, None], log_w.shape)
    weights = np.exp(log_w - log_w.max(axis=0))
    return (
        form.at_draws(logit, form.tilt[:, None], form.likelihood[:, None], form.parameters[:, None])
        + form.constants,
        weights / weights.sum(axis=0),
    )


def three(values, weights):
    """Mean, variance and third central moment over the first axis."""
    mean = (weights * values).sum(axis=0)
    away = values - mean
    return np.array((mean, *((weights * away**n).sum(axis=0) for n in (2, 3))))


def close(got, wanted, rtol=1e-9):
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=max(rtol * np.abs(wanted).max(), 1e-12))


@pytest.mark.parametrize("loss", ["trace", "trace_mean_field"])
@pytest.mark.parametrize("kind", OWN)
def test_cumulants_of_each_latent(kind, loss):
    if (kind, loss) == ("empty", "trace_mean_field"):
        loss = "sticking_the_landing"
    form = LinearForm.of(model_of(kind, loss, likelihood_weight=0.7))
    close(DrawCumulants().of(form), three(*dense(form)), 1e-8)


def test_draws_that_several_models_share_are_computed_once():
    draws, known = DrawCumulants(), []
    for weight in (1.0, 0.5):
        form = LinearForm.of(model_of("normal", likelihood_weight=weight))
        close(draws.of(form), three(*dense(form)), 1e-8)
        known.append(len(draws._known))
    other = LinearForm.of(model_of("normal", own=np.array(OWN["normal"]) + 0.1))
    close(draws.of(other), three(*dense(other)), 1e-8)
    assert [*known, len(draws._known)] == [1, 1, 2]


def test_clamped_draws_count_as_what_they_are_clamped_to():
    """A guide near an end, in single precision: by a rule over all that is likely."""
    counts = er.Counts([0, 3], [6, 9])
    model = model_of("beta", counts=counts, own=[[0.11, 3.0], [4.0, 5.0]])
    model = model._replace(clamped=True, dtype="float32")
    form = LinearForm.of(model)
    assert needs_nodes(form).tolist() == [True, False]
    assert not needs_nodes(LinearForm.of(model._replace(clamped=False))).any()
    assert not needs_nodes(LinearForm.of(model._replace(dtype="float64"))).all()
    y = np.linspace(-250.0, 60.0, 62_001)
    close(DrawCumulants().of(form), three(*dense(form, y)), 1e-3)
    k = loss_cumulants(form).at(np.zeros(2))
    wanted = three(*dense(form, y)).sum(axis=2)
    close(k[0], np.zeros(2), 1e-9)
    close(k[1], -wanted[0], 1e-3)
    close(k[2], wanted[1], 1e-3)
    low, high = np.finfo(np.float32).eps, 1 - np.finfo(np.float32).eps
    got = clamped_draws(LinearForm.of(model._replace(num_particles=3)))
    each = np.array(
        [stats.beta(*x).cdf(low) + stats.beta(*x).sf(high) for x in ((0.11, 4), (3, 5))]
    )
    later = np.array(
        [stats.beta(*x).cdf(low) + stats.beta(*x).sf(high) for x in ((0.121, 4.4), (3.3, 5.5))]
    )
    assert got[0] == pytest.approx(3 * (each + later)[0], rel=0.05)
    assert np.isinf(clamped_draws(LinearForm.of(model_of("normal")))).all()


@pytest.mark.parametrize("kind", OWN)
def test_cumulant_functions(kind):
    """K, K' and K'' of a loss of three particles: log E exp(s loss), and what it weighs."""
    model = model_of(kind, num_particles=3, factor=2.0, constant=5.0)
    form = LinearForm.of(model)
    found, (f, w) = loss_cumulants(form), dense(form)
    times, unit = form.task.weights, -2.0 / 3
    assert found.closed == (form.source is BETA)
    std = np.sqrt(found.at(np.zeros(2))[2])
    for away in (0.0, -0.6, 0.4):
        s = away / np.maximum(std, 1e-3)
        low, high = found.domain
        assert ((low < s) & (s < high)).all()
        powers = s[:, None] * unit * f
        highest = np.where(w > 0, powers, -np.inf).max(axis=0)
        tilted = w * np.exp(np.minimum(powers - highest, 0.0))
        k = highest + np.log(tilted.sum(axis=0))
        mean, variance, _ = three(f, tilted / tilted.sum(axis=0))
        wanted = (
            3 * k @ times + s * 5.0,
            3 * unit * (mean @ times) + 5.0,
            3 * unit**2 * (variance @ times),
        )
        got = found.at(s)
        for i in range(3):
            close(got[i], wanted[i], 1e-7)
            close(found.at(s[1:], np.array([False, True]))[i], got[i][1:], 1e-12)


class Off(NamedTuple):
    """Cumulants that are others, and off by so much away from zero."""

    cumulants: GammaCumulants
    off: np.ndarray

    @property
    def domain(self):
        return self.cumulants.domain

    def at(self, s, rows=slice(None)):
        return self.cumulants.at(s, rows) + self.off[:, None] * (s != 0)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_cumulants_that_tails_do_not_tell_apart(which):
    """K to 1e-3 of 1 + K, s K' to 1e-2, s^2 K'' to 2e-2; the mean to 1e-9 deviations."""
    exact = GammaCumulants(np.array([3.0]), np.array([4.0]), np.array([0.5]))
    known = _Known(exact, 6.0)
    assert known.as_by(exact)
    tolerance = (1e-3, 1e-2, 2e-2)[which]
    room = []
    for away in (-6.0, 6.0):
        s = _tilt(exact, away)
        power = s[0] ** which
        room.append(tolerance * (1 + abs(power * exact.at(s)[which, 0])) / abs(power))
    for share, same in ((0.99, True), (1.01, False), (-0.99, True), (-1.01, False)):
        off = np.zeros(3)
        off[which] = share * min(room)
        assert known.as_by(Off(exact, off)) == same, share
    for share, same in ((0.9e-9, True), (1.1e-9, False)):
        assert known.as_by(exact._replace(mean=exact.mean + 2 * share)) == same


def test_how_far_cumulants_are_compared():
    """So many deviations from the mean, or half of the way to the end of the domain."""
    normal = GammaCumulants(np.array([3.0]), np.array([4.0]), np.array([0.0]))
    assert _tilt(normal, -6.0) == pytest.approx(-3.0)
    for scale in (1.0, -1.0):
        exponential = GammaCumulants(np.array([scale]), np.array([1.0]), np.array([2.0 * scale]))
        assert _tilt(exponential, 6.0 * scale) == pytest.approx(0.5 * scale)
        s = _tilt(exponential, 0.5 * scale)
        assert s == pytest.approx(0.7**2 * 0.5 * scale)
        assert abs(exponential.at(s)[1, 0] - scale) <= 0.5


def test_the_logarithm_of_a_gamma():
    """-(log(1 - x) + x)/x^2 through 0, on either side of the change of formula."""
    for x in (-0.9, -1.01e-4, -0.99e-4, 1e-9, 0.99e-4, 1.01e-4, 0.7):
        series = sum(x**k / (k + 2) for k in range(400)) if x < 0.5 else None
        wanted = series if abs(x) < 1e-3 else -(np.log1p(-x) + x) / x**2
        assert _logarithm(np.array(x)) == pytest.approx(
            wanted, rel=1e-11 if abs(x) < 1e-4 else 1e-7
        )
    assert _logarithm(np.array(0.0)) == 0.5


def test_a_quadrature_that_is_not_affordable_is_not_taken():
    size = 50_000
    counts = er.Counts(np.zeros(size, int), 6)
    model = model_of("beta", counts=counts, own=np.full((2, size), 0.01))
    model = model._replace(clamped=True, dtype="float32")
    assert not needs_nodes(LinearForm.of(model)).any()
    fewer = model._replace(
        counts=er.Counts(np.zeros(9, int), 6), guide_parameters=model.guide_parameters[..., :9]
    )
    assert needs_nodes(LinearForm.of(fewer)).all()


@pytest.mark.parametrize("kind", ["normal", "laplace"])
def test_clamped_draws_are_those_of_the_run(kind):
    """Near the ends of single precision: the form against the run's own operations."""
    model = model_of(kind, counts=er.Counts(3, 10), own=np.array(OWN[kind])[:, :1])
    model = model._replace(clamped=True, dtype="float32", prior=model.prior[:, :1])
    model = model._replace(guide_parameters=model.guide_parameters[:, :1])
    form = LinearForm.of(model)
    for y in (-18.0, -17.0, -3.0, 2.0):
        logit = np.array([[[y]]])
        draws = Draws(special.expit(logit).astype(np.float32), logit)
        given = losses_given(model, draws)
        values = form.at_draws(logit[:, 0], form.tilt, form.likelihood, form.parameters)
        wanted = -(values + form.constants).sum()
        assert given.values[0] == pytest.approx(wanted, rel=2e-5), y


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_domains(sign):
    """Up to where a concentration of a latent that is there would be zero; past no other end."""
    model = model_of("beta", num_particles=3, factor=2.0 * sign)
    form, unit = LinearForm.of(model), -2.0 * sign / 3
    low, high = loss_cumulants(form).domain
    for t in range(2):
        ends = (-form.parameters[:, t] / (form.tilt[:, t] * unit)).ravel()
        assert low[t] == pytest.approx(ends[ends < 0].max(initial=-np.inf), rel=1e-13)
        assert high[t] == pytest.approx(ends[ends > 0].min(initial=np.inf), rel=1e-13)
    absent = er.Counts(COUNTS.successes, COUNTS.total_count, [1, 0, 1, 1])
    form = LinearForm.of(model._replace(counts=absent))
    low, high = loss_cumulants(form).domain
    for t in range(2):
        ends = (-form.parameters[:, t] / (form.tilt[:, t] * unit))[:, [0, 2, 3]].ravel()
        assert (low[t], high[t]) == (
            pytest.approx(ends[ends < 0].max(initial=-np.inf), rel=1e-13),
            pytest.approx(ends[ends > 0].min(initial=np.inf), rel=1e-13),
        )
    normal = loss_cumulants(LinearForm.of(model_of("normal", num_particles=3, factor=2.0 * sign)))
    end = np.full(2, 1 / unit)
    wanted = (end, np.full(2, np.inf)) if sign > 0 else (np.full(2, -np.inf), end)
    np.testing.assert_allclose(normal.domain, wanted, rtol=1e-14)


@pytest.mark.parametrize("kind", OWN)
def test_cumulants_of_losses(kind):
    form = LinearForm.of(model_of(kind, num_particles=3, factor=2.0, constant=5.0))
    got = first_cumulants(form, DrawCumulants())
    mean, variance, third = three(*dense(form)) @ form.task.weights
    close(got.mean, 5 - 2 * mean, 1e-8)
    close(got.variance, 4 * variance / 3, 1e-7)
    close(got.third, -8 * third / 9, 1e-7)


def mixed(shares, means, variances, thirds):
    """Cumulants by the law of total cumulance; shares (S,), the others (S, T)."""
    mean = np.tensordot(shares, means, 1)
    away = means - mean
    return (
        mean,
        np.tensordot(shares, variances + away**2, 1),
        np.tensordot(shares, thirds + 3 * away * variances + away**3, 1),
    )


@pytest.mark.parametrize("size", [1, 2, 4, 5])
@pytest.mark.parametrize("kind", ["beta", "normal", "delta"])
def test_cumulants_of_minibatches_of_latents(kind, size):
    """Over all batches; and those given a batch are of the latents in it."""
    model = model_of(
        kind, num_particles=3, factor=2.0, constant=5.0, batch=size, batch_scale=5 / size
    )
    form, unit = LinearForm.of(model), -2.0 * 5 / size
    each = three(*dense(form))
    entries = np.repeat(np.arange(4), COUNTS.multiplicity)
    batches = [entries[list(x)] for x in itertools.combinations(range(5), size)]
    rows = np.array([each[:, :, batch].sum(axis=2) for batch in batches])
    shares = np.full(len(batches), 1 / len(batches))
    wanted = mixed(shares, *rows.swapaxes(0, 1))
    got = minibatch_cumulants(form, DrawCumulants())
    close(got.mean, 5 + unit * wanted[0], 1e-8)
    close(got.variance, unit**2 * wanted[1] / 3, 1e-7)
    close(got.third, unit**3 * wanted[2] / 9, 1e-7)
    given = cumulants_of_batches(form, DrawCumulants(), np.random.default_rng(0), 6)
    possible = [sum(x) / 3 for x in itertools.combinations_with_replacement(rows[:, 0], 3)]
    for mean in given.mean:
        assert np.abs(5 + unit * np.array(possible) - mean).sum(axis=1).min() < 1e-6


@pytest.mark.parametrize("kind", ["beta", "normal"])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_cumulants_of_minibatches_of_trials(kind, size):
    """Over all numbers of successes in a batch of a shared latent's trials."""
    counts, own = er.Counts(3, 10), np.array(OWN[kind])[:, :1]
    scale = 10 / size
    model = model_of(kind, counts=counts, own=own, num_particles=2, factor=2.0, constant=5.0)
    model = model._replace(batch=size, batch_scale=scale, coefficients=False)
    form = LinearForm.of(model)
    k = np.arange(size + 1)
    shares = stats.hypergeom(10, 3, size).pmf(k)
    logs = form._replace(tilt=form.tilt * 0 + [[[1.0]], [[0.0]]], constants=form.constants * 0)
    rests = form._replace(tilt=form.tilt * 0 + [[[0.0]], [[1.0]]], constants=form.constants * 0)
    (log_c, weights), (log_rest, _) = dense(logs), dense(rests)
    residual = dense(form._replace(tilt=form.tilt * 0, constants=form.constants * 0))[0]
    log_c, log_rest = log_c - residual, log_rest - residual
    f = dense(form)[0]
    rows = np.array(
        [
            three(f + (scale * i - 3) * log_c + (scale * (size - i) - 7) * log_rest, weights)
            for i in k
        ]
    )[..., 0]
    wanted = mixed(shares, *rows.swapaxes(0, 1))
    got = minibatch_cumulants(form, DrawCumulants())
    close(got.mean, 5 - 2 * wanted[0], 1e-8)
    close(got.variance, 4 * wanted[1] / 2, 1e-7)
    close(got.third, -8 * wanted[2] / 4, 1e-7)


def test_large_and_degenerate_minibatches():
    """Probabilities whose logarithms are thousands; a single latent that may be in the batch."""
    model = model_of("beta", counts=er.Counts(1700, 4000), own=[[4.0], [8.0]])
    found = minibatch_cumulants(
        LinearForm.of(model._replace(batch=2000, batch_scale=2.0)), DrawCumulants()
    )
    assert np.isfinite(found).all()
    form = LinearForm.of(model_of("beta", coefficients=False))
    rows = model_of(
        "beta", counts=er.Counts([3, 7], [10, 9], [1, 0]), own=np.array(OWN["beta"])[:, :2]
    )
    one = minibatch_cumulants(LinearForm.of(rows._replace(batch=1)), DrawCumulants())
    close(one.mean, -DrawCumulants().of(LinearForm.of(rows))[0, :, 0])
    close(one.variance, DrawCumulants().of(form)[1, :, 0])


@pytest.mark.parametrize("kind", ["beta", "normal"])
def test_magnitudes_are_sums_of_what_is_added(kind):
    form = LinearForm.of(model_of(kind))
    logs, n = np.abs(form.expected_logs()), COUNTS.total_count
    each = np.abs(form.constants) + n * logs.sum(axis=0) + 2 * special.gammaln(n + 1)
    for x in (form.model.prior, form.parameters)[: 2 if kind == "beta" else 1]:
        gammas = np.abs(special.gammaln(x)).sum(axis=0) + np.abs(special.gammaln(x.sum(axis=0)))
        each = each + ((x + 1) * logs).sum(axis=0) + gammas
    np.testing.assert_allclose(form.magnitude(), each @ form.task.weights, rtol=1e-13)


def test_rows():
    rows = Rows.of(COUNTS)
    factorials = [special.gammaln(x + 1) for x in (COUNTS.total_count, *COUNTS_SIDES)]
    np.testing.assert_allclose(rows.magnitude, np.sum(factorials, axis=0)[None], rtol=1e-14)
    assert rows.at(slice(1, 2)) is rows
    many = Rows(*(np.concatenate([x, x + 1.0], axis=-2) for x in rows))
    for got, wanted in zip(many.at(slice(1, 2)), rows, strict=True):
        np.testing.assert_array_equal(got, wanted + 1.0)


COUNTS_SIDES = (COUNTS.successes, COUNTS.failures)


@pytest.mark.parametrize("kind", DRAWN)
def test_the_log_weight_of_a_particle_is_the_form(kind):
    model = model_of(kind)
    form, logit = LinearForm.of(model), np.array([[-1.2, 0.4, -0.3, -2.0]])
    outcomes = model.rows.outcomes
    terms = model.terms(
        special.expit(logit), logit, model.prior[:, :1], model.guide_parameters[:, :1], outcomes
    )
    wanted = form.at_draws(logit, form.tilt[:, :1], form.likelihood[:, :1], form.parameters[:, :1])
    wanted = wanted + form.constants[:1] - model.rows.log_coefficient
    np.testing.assert_allclose(terms.log_weight, wanted, rtol=1e-12)
    assert (np.asarray(terms.magnitude) >= np.abs(terms.log_weight)).all()


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
    model = model_of("beta", loss, counts=counts, own=own, batch=batch)
    assert [other.bound for other, _ in model.other_bounds()] == bounds
