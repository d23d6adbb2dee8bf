"""Distributions of losses: tails against closed forms and draws, guides against simulations."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import special as sc, stats

import elbo_ref as er
from elbo_ref.crosscheck import distribution as module
from elbo_ref.crosscheck.distribution import (
    _cumulants,
    _many_particles,
    _rounding,
    _seed,
    expected_losses,
    loss_distribution,
    quick_distribution,
    rough_distribution,
    sampled_distribution,
)
from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.moments import (
    DrawCumulants,
    cumulants_of_batches,
    minibatch_cumulants,
)
from elbo_ref.crosscheck.saddlepoint import SaddlepointDistribution, SampledDistribution
from elbo_ref.crosscheck.sampling import draws_of_particle, sample_losses
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES, RenyiBound, find as find_loss
from loss_models import central, estimate, in_two_steps, model_of, weighed
from tiers import few

DRAWS = 200_000
K, N = np.array([2, 7, 0]), np.array([5, 9, 4])


def model(guide, prior, own, loss="trace", dtype="float64", particles=1, counts=None):
    own = np.asarray(own, float)
    return LossModel(
        counts=er.Counts(K, N) if counts is None else counts,
        guide=GUIDES[guide],
        loss=find_loss(loss),
        num_particles=particles,
        prior=np.asarray(prior, float).reshape(2, 1, 1),
        guide_parameters=own[:, None, :],
        dtype=dtype,
    )


def distribution(*args, **options):
    return loss_distribution(model(*args, **options), np.random.default_rng(0))[0]


@pytest.mark.parametrize("a", [0.3, 2.0, 40.0])
def test_an_exponential_loss(a):
    """Guide Beta(a, 1), prior Beta(a0, 1), no trials: the loss is exponential, shifted."""
    found = distribution("beta", (a / 2, 1.0), [[a], [1.0]], counts=er.Counts(0, 0))
    rate, shift = 2.0, np.log(2)  # -f = log 2 + (a/2) log c, and -log c is exponential of rate a
    x = shift - np.array([1.0, 2.0, 5.0, 15.0])[:, None]
    tails = np.array([found.outer_tail(value) for value in x])[:, 0]
    assert tails == pytest.approx(np.exp(rate * (x[:, 0] - shift)), rel=0.05, abs=0.0)
    assert found.mean[0] == pytest.approx(shift - 1 / rate)
    beyond = found.outer_tail(np.array([shift + 1e-3]))
    assert beyond[0] < 1e-6


@pytest.mark.parametrize("half", few([3, 20, 1]))
def test_the_density_of_a_loss_near_the_posterior(half):
    """One latent, as many successes as failures: c and 1 - c have one loss, an exact density.

    On average over draws the log density is right to 2e-3 nats.
    """
    counts, a = er.Counts(half, 2 * half), half + 1.2
    c = np.random.default_rng(0).beta(a, a, 20_000)
    same = model("beta", (1.2, 1.2), [[a], [a]], "trace_mean_field", counts=counts)
    every = same._replace(
        prior=same.prior.repeat(c.size, 1), guide_parameters=same.guide_parameters.repeat(c.size, 1)
    )
    found, _ = loss_distribution(every._replace(clamped=False), np.random.default_rng(0))
    constant = found.mean[0] + 2 * half * (sc.psi(a) - sc.psi(2 * a))
    slope = half * np.abs(1 / c - 1 / (1 - c))
    exact = np.log(2) + stats.beta.logpdf(c, a, a) - np.log(slope)
    density = found.log_density(constant - half * (np.log(c) + np.log1p(-c)))
    assert np.mean(exact - density) == pytest.approx(0.0, abs=2e-3)


def simulated(guide, loss, prior, own, rng):
    """Losses by NumPy's draws and SciPy's densities."""
    shape = (DRAWS, K.size)
    if guide == "normal":
        z = rng.standard_normal(shape)
        logit = own[0] + own[1] * z
        c = sc.expit(logit)
        log_q = stats.norm.logpdf(logit, *own) - np.log(c) - np.log1p(-c)
    else:
        source = own if guide.startswith("beta") else np.array(prior)[:, None]
        c = rng.beta(*np.broadcast_to(source[:, None], (2, *shape)))
        log_q = stats.beta.logpdf(c, *source)
    log_p, likelihood = stats.beta.logpdf(c, *prior), stats.binom.logpmf(K, N, c)
    if loss == "trace_mean_field":
        from_guide, model = er.Beta(*own), er.Beta(*prior)
        divergence = np.broadcast_to(from_guide.kl(model), K.size)
        return -(likelihood - divergence).sum(axis=1)
    counted = {"empty": log_p, "tied": 0.0}.get(guide, log_p - log_q)
    return -(likelihood + counted).sum(axis=1)


CASES = {
    "beta": ("beta", "trace", [[2.0, 8.0, 1.3], [4.0, 3.0, 5.0]]),
    "mean field": ("beta", "trace_mean_field", [[2.0, 8.0, 1.3], [4.0, 3.0, 5.0]]),
    "beta_shared": ("beta_shared", "trace", [[2.0], [4.0]]),
    "empty": ("empty", "trace", np.zeros((0, 1))),
    "tied": ("tied", "trace", np.zeros((0, 1))),
    "normal": ("normal", "trace", [[-1.0, 0.5, -2.0], [0.5, 0.8, 1.0]]),
}


@pytest.mark.parametrize("name", few(CASES))
def test_a_distribution_is_that_of_simulated_losses(name):
    """Mean and variance within five standard errors, tails within 20%, a normal's 35%, and
    their noise.

    A normal guide's loss has no exponential moments far down, and its lower tail is a bound.
    """
    guide, loss, own = CASES[name]
    prior, own = (1.5, 2.5), np.asarray(own)
    draws = simulated(guide, loss, prior, own, np.random.default_rng(3))
    found = distribution(guide, prior, own, loss)
    error = draws.std() / np.sqrt(DRAWS)
    assert abs(draws.mean() - found.mean[0]) < 5 * error
    fourth = np.mean((draws - draws.mean()) ** 4)
    assert abs(draws.var() - found.variance[0]) < 5 * np.sqrt(fourth / DRAWS)
    for p in (1e-3, 1e-2, 0.1):
        for q in (p, 1 - p):
            tail = found.outer_tail(np.quantile(draws, q)[None])[0]
            slack = (0.35 if name == "normal" else 0.2) + 5 / np.sqrt(p * DRAWS)
            assert tail > p * (1 - slack), (name, q)
            assert tail < p * (1 + slack) or (name == "normal" and q < 0.5), (name, q)


def test_negative_control_another_guide_has_another_distribution():
    prior, own = (1.5, 2.5), np.asarray(CASES["beta"][2])
    draws = simulated("beta", "trace", prior, own, np.random.default_rng(3))
    found = distribution("beta", prior[::-1], own)
    assert abs(draws.mean() - found.mean[0]) > 50 * draws.std() / np.sqrt(DRAWS)


def test_means_are_those_of_the_distribution():
    for guide, loss, own in CASES.values():
        one = model(guide, (1.5, 2.5), own, loss)
        exact = loss_distribution(one, np.random.default_rng(0))[0].mean
        assert expected_losses(one) == pytest.approx(exact, rel=1e-9)


def in_float32(prior, rng):
    """The empty guide's losses in NumPy's float32, clamped as PyTorch clamps."""
    eps, tiny = np.finfo(np.float32).eps, np.finfo(np.float32).tiny
    c = rng.beta(*prior, (DRAWS, K.size)).astype(np.float32)
    c = np.clip(c, tiny, np.float32(1 - eps / 2))
    p = np.clip(c, eps, np.float32(1 - eps))
    logs = np.log(c), np.log(np.float32(1) - c)
    a, b = np.float32(prior[0] - 1), np.float32(prior[1] - 1)
    k, f = K.astype(np.float32), (N - K).astype(np.float32)
    form = a * logs[0] + b * logs[1] + k * np.log(p) + f * np.log1p(-p)
    constants = er.Counts(K, N).log_coefficient.sum() - K.size * sc.betaln(*prior)
    return -(form.sum(axis=1) + constants)


def test_clamped_draws_have_a_distribution_of_their_own():
    """float32 and small concentrations: mean and spread; without clamping they are far off."""
    prior = (0.1, 0.06)
    draws = in_float32(prior, np.random.default_rng(5)).astype(float)
    one = model("empty", prior, np.zeros((0, 1)), dtype="float32")
    found = loss_distribution(one, np.random.default_rng(0))[0]
    error = draws.std() / np.sqrt(DRAWS)
    assert abs(draws.mean() - found.mean[0]) < 6 * error + 2e-2 * draws.std()
    assert draws.std() == pytest.approx(np.sqrt(found.variance[0]), rel=0.03)
    exact = loss_distribution(one._replace(clamped=False), np.random.default_rng(0))[0]
    assert abs(draws.mean() - exact.mean[0]) > 100 * error


@pytest.mark.thorough
def test_the_drawn_distribution_is_the_closed_one():
    """Means and tails of `sampled_distribution`, with two independent models as well."""
    one = model("beta", (1.5, 2.5), CASES["beta"][2], particles=2)
    apart = one._replace(prior=np.ones((2, 1, 1)), counts=er.Counts(0 * K, 0))
    for given in (
        one,
        one._replace(guide=GUIDES["empty"], guide_parameters=np.zeros((0, 1, 3)), added=apart),
    ):
        closed = loss_distribution(given, np.random.default_rng(0))[0]
        drawn = sampled_distribution(given, np.random.default_rng(0))
        size = np.sqrt(closed.variance)
        assert drawn.mean == pytest.approx(closed.mean, abs=float(0.02 * size[0]))
        x = closed.mean + 2 * size
        assert drawn.outer_tail(x) == pytest.approx(closed.outer_tail(x), rel=0.15)


@pytest.mark.parametrize("moving", ["prior", "guide"])
def test_two_models_of_which_one_stands_still(moving):
    """One is drawn for each step and the other once for all: their sum is that of both."""
    one = model("beta", (1.5, 2.5), CASES["beta"][2])
    steps = np.array([1.0, 1.1, 1.2])[:, None]
    if moving == "prior":
        one = one._replace(prior=one.prior * steps, guide_parameters=one.guide_parameters * steps)
        apart = one._replace(prior=np.ones((2, 3, 1)), counts=er.Counts(0 * K, 0))
    else:
        apart = one._replace(prior=one.prior + 0 * steps)
        apart = apart._replace(guide_parameters=one.guide_parameters * steps)
        one = one._replace(
            prior=one.prior + 0 * steps, guide_parameters=one.guide_parameters + 0 * steps
        )
    given = one._replace(added=apart)
    drawn = sampled_distribution(given, np.random.default_rng(0), 3_000, 1_000)
    closed = loss_distribution(given, np.random.default_rng(0))[0]
    assert drawn.mean == pytest.approx(closed.mean, abs=float(0.2 * np.sqrt(closed.variance).max()))


SHAPES = {
    "normal": (stats.norm(), 0.05),
    "exponential": (stats.expon(), 0.05),
    "lognormal": (stats.lognorm(1.5), 0.08),
    "gamma": (stats.gamma(0.3), 0.15),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", SHAPES)
def test_the_density_by_draws(name):
    """Of 2000 numbers, each with 4000 draws of its own: how much less log likelihood is found.

    A kernel of one width loses 1 nat a number or more where a tail is long: its draws lie apart
    by many widths there.
    """
    (shape, most), rng = SHAPES[name], np.random.default_rng(7)
    drawn = SampledDistribution(shape.rvs((2000, 4000), random_state=rng))
    x = shape.rvs(2000, random_state=rng)
    lost = shape.logpdf(x) - drawn.log_density(x)
    error = lost.std() / np.sqrt(x.size)
    assert -4 * error < lost.mean() < most


def test_the_density_of_draws_that_are_all_the_same():
    """It is finite, high there and low elsewhere."""
    drawn = SampledDistribution(np.full((2, 500), 3.0))
    there, away = drawn.log_density(np.array([3.0, 3.5]))
    assert np.isfinite(there) and np.isfinite(away) and there > 100 > -100 > away
    assert drawn.outer_tail(np.array([3.0, 3.5])).tolist() == [1.0, 0.0]


@pytest.mark.thorough
@pytest.mark.parametrize("particles", [10, 200])
def test_many_particles_of_minibatches_by_their_cumulants(particles):
    """Mean, spread and tails beside 6000 drawn means, within five standard errors."""
    own = CASES["beta"][2]
    one = model("beta", (1.5, 2.5), own, particles=particles)._replace(batch=2, batch_scale=1.5)
    drawn = sampled_distribution(one, np.random.default_rng(1), 12_000 * particles)
    cumulants = minibatch_cumulants(LinearForm.of(one), DrawCumulants())
    mean, variance = cumulants.mean, cumulants.variance
    assert abs(drawn.mean - mean) < 5 * np.sqrt(variance / 6000)
    assert drawn.variance == pytest.approx(variance, rel=0.1)
    found = SaddlepointDistribution(cumulants)
    for away in (-2.0, 2.0):
        x = mean + away * np.sqrt(variance)
        assert found.outer_tail(x) == pytest.approx(drawn.outer_tail(x), rel=0.4)


BATCHES = {
    "latents": (None, [[3.1, 7.9, 1.2], [4.2, 3.3, 5.5]], 2),
    "equal latents": (er.Counts([2, 7], [5, 9], [2, 1]), [[3.1, 7.9], [4.2, 3.3]], 2),
    "trials of one latent": (er.Counts(7, 16), [[8.0], [10.0]], 5),
    "trials of two equal latents": (er.Counts(7, 16, 2), [[8.0], [10.0]], 5),
}


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("name", BATCHES)
def test_cumulants_given_the_minibatches(name, particles):
    """Their mixture has the cumulants of all, by 20,000 batches; the density is nearly normalised.

    Within five standard errors of the batches' means (a false alarm in 1e6).
    """
    counts, own, batch = BATCHES[name]
    of = model("beta", (1.5, 2.5), own, particles=particles, counts=counts)
    form = LinearForm.of(of._replace(batch=batch, batch_scale=1.5))
    whole = minibatch_cumulants(form, DrawCumulants())
    given = cumulants_of_batches(form, DrawCumulants(), np.random.default_rng(1), 20_000)
    away = given.mean - whole.mean
    assert abs(away.mean()) < 5 * away.std() / 141
    squares = given.variance + away**2
    assert abs(squares.mean() - whole.variance) < 5 * squares.std() / 141
    thirds = given.third + 3 * away * given.variance + away**3
    assert abs(thirds.mean() - whole.third) < 5 * thirds.std() / 141


@pytest.mark.thorough
def test_the_density_of_minibatches():
    """Near to that of a million draws but at the very end, which is said to be unknown.

    A normal distribution's is not.
    """
    own = [[1.5, 4.0, 1.2], [9.0, 1.3, 2.5]]
    one = model("beta", (1.5, 2.5), own)._replace(batch=1, batch_scale=3.0)
    mixture, _ = loss_distribution(one, np.random.default_rng(1))
    many = sampled_distribution(one, np.random.default_rng(2), 3_000_000)
    assert not mixture.closed
    std = np.sqrt(many.variance)
    x = many.mean + std * np.linspace(-1.2, 2.5, 17)[:, None]
    wanted = np.array([many.log_density(value) for value in x])
    off = np.array([mixture.log_density(value) for value in x]) - wanted
    normal = stats.norm(many.mean, std).logpdf(x) - wanted
    assert np.abs(off).mean() < 0.1 < 0.3 < np.abs(normal).mean()


@pytest.mark.parametrize(
    ("latents", "particles", "batches"), [(3, 1, 400), (100, 4, 250), (50, 12, 200)]
)
def test_so_many_minibatches_make_a_density(latents, particles, batches):
    """Of a hundred thousand latents in all, but 200 and 400 at most."""
    counts = er.Counts(np.arange(latents) % 4, 6)
    given = model_of(counts=counts, own=np.full((2, latents), 3.0), particles=particles, batch=2)
    assert loss_distribution(given, seed())[0]._parts.mean.shape[0] == batches


SIX = er.Counts([3, 11, 0, 7, 5, 9], [10, 20, 6, 7, 30, 12])


def form_of(size=3, **given):
    own = np.full((2, size, 6), 4.0)
    model = LossModel(
        counts=SIX, guide=GUIDES["beta"], loss=OBJECTIVES["trace"], num_particles=1,
        prior=np.full((2, size, 1), 2.0), guide_parameters=own, dtype="float64",
    )._replace(**given)  # fmt: skip
    return LinearForm.of(model)


@pytest.mark.parametrize(
    ("given", "samples", "drawn"),
    [
        ({}, 1, 6),
        ({"batch": 2}, 1, 2),
        ({"loss": RenyiBound(0.0, 5)}, 5, 6),
        ({"loss": RenyiBound(0.0, 5), "batch": 3}, 5, 3),
    ],
)
def test_draws_of_a_particle(given, samples, drawn):
    assert draws_of_particle(form_of(**given)) == (samples, drawn)


@pytest.mark.parametrize(
    ("size", "particles", "given", "many"),
    [
        (3, 200, {"batch": 2}, True),
        (3, 199, {"batch": 2}, False),
        (600, 100, {"batch": 2}, True),  # 24 million draws
        (400, 100, {"batch": 2}, False),
        (600, 1, {"loss": RenyiBound(0.0, 50)}, False),
        (600, 2, {"loss": RenyiBound(0.0, 50)}, True),
        (3, 34, {"observed": False}, True),
        (3, 33, {"observed": False}, False),
    ],
)
def test_so_many_particles_that_a_loss_need_not_be_sampled(size, particles, given, many):
    """200; or as many draws where sampling would be 20 million; or latents that draw their rows."""
    assert _many_particles(form_of(size, num_particles=particles, **given)) is many


def seed():
    return np.random.default_rng(0)


SPLIT = er.Counts.shared([1, 0, 0, 1], 1)
OF_TRIALS = [[4.0], [8.0]]
UNOBSERVED = {
    "rows of different sizes": model_of(likelihood_weight=0.7, factor=2.0, constant=3.0),
    "equal latents": model_of(counts=er.Counts([3, 2], [10, 4], [2, 1]), own=np.full((2, 2), 3.0)),
    "single trials": model_of(counts=SPLIT, own=OF_TRIALS),
    "two steps": in_two_steps(model_of("empty")),
}


def with_drawn_rows(model):
    """Mean, variance and third moment of losses whose successes are drawn, (3, T).

    By a sum over all outcomes, and a rule over the draw of each latent.
    """
    total = np.zeros((3, model.prior.shape[1]))
    for g, n in enumerate(model.counts.total_count.tolist()):
        own = model.guide_parameters[..., g : g + 1]
        one = model._replace(counts=er.Counts(0, n), guide_parameters=own)
        logit, shares = weighed(one)
        values, weights = [], []
        for k in range(n + 1):
            f = estimate(one.of_counts(er.Counts(k, n)), logit)
            if model.counts.log_split.any():
                f = f - model.likelihood_weight * np.log(sc.binom(n, k))
            values.append(f)
            weights.append(shares * stats.binom.pmf(k, n, sc.expit(logit)))
        times = model.counts.multiplicity[g]
        total += times * central(np.concatenate(values), np.concatenate(weights))[..., 0]
    total *= (-model.factor) ** np.arange(1, 4)[:, None]
    return total + np.array([[model.constant], [0.0], [0.0]])


@pytest.mark.parametrize("case", few(UNOBSERVED))
def test_losses_whose_successes_the_model_draws(case):
    """Drawn ones, and cumulants by 4000 simulated draws: within six standard errors.

    The mean of infinitely many particles has the variance of its simulation alone.
    """
    given = UNOBSERVED[case]._replace(observed=False)
    mean, variance, third = with_drawn_rows(given)
    std = np.sqrt(variance)
    drawn = sampled_distribution(given, seed(), 60_000)
    many = drawn._draws.shape[1]
    assert (np.abs(drawn.mean - mean) < 6 * std / np.sqrt(many)).all()
    np.testing.assert_allclose(drawn.variance, variance, rtol=0.1)
    rough = rough_distribution(given, seed())[0]
    assert (np.abs(rough.mean - mean) < 6 * std / 4000**0.5).all()
    np.testing.assert_allclose(rough.variance, variance, rtol=0.25)
    np.testing.assert_allclose(rough.third, third, atol=float(1.5 * std.max() ** 3))
    for particles in (200, 10**9):
        of_many = given._replace(num_particles=particles)
        found = loss_distribution(of_many, seed())[0]
        np.testing.assert_allclose(
            found.variance, rough.variance * (1 / particles + 1 / 4000) / (1 + 1 / 4000), rtol=1e-9
        )
        each = 1 / particles**2 - 1 / 4000**2
        np.testing.assert_allclose(found.third, rough.third * each / (1 - 1 / 4000**2), rtol=1e-9)


@pytest.mark.thorough
def test_simulated_draws_are_shared_by_latents():
    """A hundred thousand in all, and no fewer than so many of each.

    Their number is what the mean of infinitely many particles is uncertain by.
    """
    for latents, fewest, wanted in ((100, 50, 1000), (400, 50, 250), (4000, 50, 50)):
        counts = er.Counts(np.arange(latents) % 7, 6)
        own = np.full((2, latents), 3.0)
        given = model_of(counts=counts, own=own, observed=False)
        one, many = (
            rough_distribution(given._replace(num_particles=x), seed())[0].variance[0]
            for x in (1, 10**12)
        )
        assert one / many == pytest.approx(wanted + 1, rel=1e-6), fewest


@pytest.mark.parametrize("moving", [True, False])
def test_a_distribution_has_no_more_samples_than_tell_its_tail(moving):
    """Twenty thousand, of each of two losses or once for both."""
    given = model_of(counts=er.Counts(3, 10), own=[[3.0], [6.0]], loss=RenyiBound(0.5, 2), steps=2)
    law = loss_distribution(in_two_steps(given) if moving else given, seed())[0]
    assert law._draws.shape[1] == 20_000


def test_one_generator_gives_another_seed_each_time():
    rng = seed()
    assert len({_seed(rng) for _ in range(400)}) == 400


def test_a_mean_of_as_many_particles_as_draws_departs_from_theirs_to_either_side(monkeypatch):
    """The difference of two means of so many is symmetric; of fewer particles it has their skew."""
    counts, own = er.Counts(3, 10), [[3.0], [6.0]]
    monkeypatch.setattr(module, "sample_losses", partial(sample_losses, most=500, fewest=500))
    given = model_of(counts=counts, own=own, loss=RenyiBound(0.5, 2))
    few_particles, same, more = (
        _cumulants(LinearForm.of(given._replace(num_particles=x)), seed()) for x in (250, 500, 1000)
    )
    assert same.third == 0 and few_particles.third * more.third < 0
    np.testing.assert_allclose(few_particles.third, -4 * more.third, rtol=1e-12)
    np.testing.assert_allclose(few_particles.variance, 1.5 * same.variance, rtol=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_the_bound_of_a_few_samples(alpha):
    """Renyi's bound of two samples of one latent: by a rule over both of its draws."""
    given = model_of(
        counts=er.Counts(3, 10), own=[[3.0], [6.0]], loss=RenyiBound(alpha, 2), factor=2.0
    )
    logit, shares = weighed(given, 401, 12.0)
    f, shares = estimate(given, logit)[:, 0, 0], shares[:, 0, 0]
    power = 1 - alpha
    bound = np.logaddexp(power * f[:, None], power * f) / power - np.log(2) / power
    weights = shares[:, None] * shares
    mean, variance, third = central(-2 * bound.ravel(), weights.ravel())
    for particles in (1, 200):
        of = given._replace(num_particles=particles)
        law = loss_distribution(of, seed())[0]
        assert isinstance(law, SampledDistribution) == (particles == 1)
        std = np.sqrt(variance / particles)
        assert abs(law.mean[0] - mean) < 6 * std / 150  # by 20,000 draws and more
        np.testing.assert_allclose(law.variance, variance / particles, rtol=0.1)
    np.testing.assert_allclose(law.third, third / 200**2, rtol=0.2)
    one = law.variance * 200 / (1 + 200 / 200_000)
    least = given._replace(num_particles=10**12)
    of_least = loss_distribution(least, seed())[0].variance
    assert one / of_least == pytest.approx(200_000, rel=1e-6)


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("name", BATCHES)
def test_drawn_losses_of_minibatches_have_the_cumulants(name, particles):
    """Within five standard errors of 20,000 draws (a false alarm in 1e6)."""
    counts, own, batch = BATCHES[name]
    of = model("beta", (1.5, 2.5), own, particles=particles, counts=counts)
    of = of._replace(batch=batch, batch_scale=16 / 5 if name.startswith("trials") else 1.5)
    whole = minibatch_cumulants(LinearForm.of(of), DrawCumulants())
    size = 20_000
    each = of._replace(num_particles=particles)
    drawn = sampled_distribution(each, seed(), 1, size)
    away = drawn._draws[0] - whole.mean
    assert abs(away.mean()) < 5 * away.std() / size**0.5
    assert abs((away**2).mean() - whole.variance[0]) < 5 * (away**2).std() / size**0.5
    assert abs((away**3).mean() - whole.third[0]) < 5 * (away**3).std() / size**0.5


@pytest.mark.parametrize("how", [loss_distribution, rough_distribution])
@pytest.mark.parametrize("moving", ["prior", "guide", "added"])
def test_losses_of_several_parameters_have_a_distribution_each(moving, how):
    """That of each alone, whether those before it are the same."""
    steps = np.array([1.0, 1.0, 1.3, 1.3, 1.0])[:, None]
    one = model_of(steps=5)
    if moving == "prior":
        given = one._replace(prior=one.prior * steps)
    elif moving == "guide":
        given = one._replace(guide_parameters=one.guide_parameters * steps)
    else:
        given = one._replace(
            added=one._replace(prior=one.prior * steps, counts=er.Counts([0] * 3, 0))
        )
    found, rounding = how(given, seed())
    x = found.mean + 0.3 * np.sqrt(found.variance)
    density = found.log_density(x)
    for t in range(5):
        alone, rounded = how(given.at(np.array([t])), seed())
        assert found.mean[t] == pytest.approx(alone.mean[0], rel=1e-13)
        assert found.variance[t] == pytest.approx(alone.variance[0], rel=1e-13)
        assert rounding[t] == pytest.approx(rounded[0], rel=1e-13)
        assert density[t] == pytest.approx(alone.log_density(x[[t]])[0], abs=1e-9)
    assert found.mean[2] != found.mean[1]


def test_rounding_is_four_units_of_all_terms():
    """In the run's precision, as the losses are multiplied."""
    form = LinearForm.of(model_of())
    size = 4 * 2.0**-52 * form.magnitude()
    np.testing.assert_allclose(_rounding(form), size, rtol=1e-14)
    for change, times in (({"dtype": "float32"}, 2.0**29), ({"factor": -3.0}, 3.0)):
        changed = _rounding(LinearForm.of(model_of(**change)))
        np.testing.assert_allclose(changed, times * size, rtol=1e-14)


def test_a_quick_distribution_is_closed_where_that_costs_nothing():
    """Else it has three cumulants, also where only what is added would be sampled."""
    beta = model_of()
    bound = model_of(loss=RenyiBound(0.0, 2))
    apart = model_of("normal")
    for given, closed in (
        (beta, True),
        (beta._replace(added=beta), True),
        (bound, False),
        (apart, False),
        (beta._replace(added=bound), False),
        (beta._replace(added=apart), False),
        (beta._replace(observed=False), False),
        (beta._replace(batch=2, batch_scale=1.5), False),
    ):
        found, _ = quick_distribution(given, seed(), DrawCumulants())
        assert found.closed == closed
        assert isinstance(found, GammaCumulants) != closed
