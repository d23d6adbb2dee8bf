"""Cumulant generating functions of losses, by dense rules over each draw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref import guides, objectives
from elbo_ref.crosscheck.clamping import clamped_draws, needs_nodes
from elbo_ref.crosscheck.cumulants import (
    Sum,
    Weighted,
    _Known,
    _stride,
    _tilt,
    loss_cumulants,
)
from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.moments import (
    DrawCumulants,
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


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cumulants_of_draws_of_which_many_are_clamped_at_an_end(up, dtype):
    """However far out it is: that of float64 is at a logit of 36."""
    own = np.array([[3.0], [0.03]])
    own, k = (own, 6) if up else (own[::-1], 0)
    given = model_of("beta", counts=er.Counts([k], [6]), own=own, clamped=True, dtype=dtype)
    form = LinearForm.of(given)
    y = np.linspace(-1500.0, 60.0, 156_001) * (-1 if up else 1)
    wanted = three(*dense(form, y))[:2, :, 0]
    _, mean, variance = loss_cumulants(form).at(np.zeros(2))
    close(np.array((-mean, variance)), wanted, 1e-3)
    close(DrawCumulants().of(form)[:2, :, 0], wanted, 1e-3)


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


@pytest.mark.parametrize("sign", [1.0, -1.0, 30.0, -30.0])
def test_domains(sign):
    """Up to where a concentration of a latent that is there would be zero; past no other end."""
    model = model_of("beta", num_particles=3, factor=2.0 * sign)
    form, unit = LinearForm.of(model), -2.0 * sign / 3
    low, high = loss_cumulants(form).domain
    for t in range(2):
        ends = (-form.parameters[:, t] / (form.tilt[:, t] * unit)).ravel()
        assert low[t] == pytest.approx(ends[ends < 0].max(initial=-np.inf), rel=1e-13)
        assert high[t] == pytest.approx(ends[ends > 0].min(initial=np.inf), rel=1e-13)
    for end in (low, high):
        if np.isfinite(end).all():
            with np.errstate(over="ignore"):
                inside, beyond = (loss_cumulants(form).at(x * end)[0] for x in (0.9, 1.3))
            assert (beyond > 100 + inside).all(), "as good as infinite, and a number"
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


@pytest.mark.parametrize("factor", [1.0, 4.0, -4.0, -0.4])
def test_the_domain_of_a_normal_guide(factor):
    """Its squared deviate, half of z^2, has exponential moments up to one end, by particles."""
    found = loss_cumulants(LinearForm.of(model_of("normal", num_particles=3, factor=factor)))
    end = -3 / factor
    wanted = (end, np.inf) if end < 0 else (-np.inf, end)
    for got, each in zip(found.domain, wanted, strict=True):
        assert got.tolist() == [pytest.approx(each, rel=1e-13)] * 2


@pytest.mark.parametrize("factor", [1.0, 50.0])
def test_domains_near_and_far(factor):
    """However large the factor of the losses is."""
    near, far = (
        np.array(loss_cumulants(LinearForm.of(model_of("beta", factor=x))).domain)
        for x in (factor, 1.0)
    )
    np.testing.assert_allclose(near * factor, far, rtol=1e-12)


def test_what_rests_on_a_closed_form():
    """Weights change nothing of it, and a sum does if each of its parts does."""
    closed = loss_cumulants(LinearForm.of(model_of("beta")))
    other = loss_cumulants(LinearForm.of(model_of("normal")))
    for cumulants, rests in ((closed, True), (other, False)):
        assert Weighted(cumulants, np.ones(2)).closed is rests
        assert Sum((cumulants, closed)).closed is rests


@pytest.mark.parametrize("at", [0, 40, -1])
@pytest.mark.parametrize("wide", [2.0, 5.0])
def test_nodes_are_left_out_if_no_loss_feels_it(at, wide):
    """Of many steps a few are looked at, among them the first, the last and that in the middle."""
    own = np.zeros((2, 81, 1))
    own[1] = 0.5

    def stride(parameters):
        given = model_of("normal", counts=er.Counts(3, 10))
        prior = np.ones((2, parameters.shape[1], 1))
        form = LinearForm.of(given._replace(guide_parameters=parameters, prior=prior))
        return _stride(form, needs_nodes(form), 6.0)

    plenty = stride(own)
    own[1, at] = wide
    assert stride(own) == stride(own[:, [at]]) < plenty
