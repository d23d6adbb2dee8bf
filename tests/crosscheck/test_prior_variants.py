"""Loss models of other priors, and guides: near those that the guide and the losses tell."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import optimize, special

import elbo_ref as er
from elbo_ref.crosscheck import prior_variants as variants
from elbo_ref.crosscheck.distribution import expected_losses, rough_distribution
from elbo_ref.crosscheck.likelihood_fit import Expected, fitted
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.variants import Fit
from elbo_ref.objectives import RenyiBound
from loss_models import COUNTS, OWN, model_of, posterior
from tiers import few

K, N = np.array([30, 70, 20, 55]), np.array([100, 90, 60, 80])
MANY = er.Counts(K, N, multiplicity=[1, 2, 1, 1])
HELD = (2.0, 3.0)
ROUND = (0.1, 0.2, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10, 11, 12,
         15, 20, 25, 30, 50)  # fmt: skip
WORDS = ", of which the guide is the posterior"


def handed(prior=(4.0, 1.5), steps=30, held=True, noise=0.02, counts=MANY, **fields):
    """A model with another prior than that of which the guide is nearly the posterior."""
    away = np.random.default_rng(1).normal(size=(2, len(counts)))
    own = posterior(counts, prior) * np.exp(noise * away)
    return model_of(counts=counts, own=own, prior=HELD, steps=steps, prior_held=held, **fields)


def losses_of(model, prior, seed=2):
    """Losses of the same guide under another prior."""
    law = rough_distribution(with_prior(model, prior), np.random.default_rng(0))[0]
    return law.mean + np.sqrt(law.variance) * np.random.default_rng(seed).normal(size=law.mean.size)


def with_prior(model, prior):
    return model._replace(
        prior=np.broadcast_to(np.reshape(np.asarray(prior, float), (2, 1, 1)), model.prior.shape)
    )


def fit_of(model, losses):
    law = rough_distribution(model, np.random.default_rng(0))[0]
    return Fit(losses, law, law.variance, expected_losses)


def test_divergences_from_the_posterior():
    """Of each latent, by `Beta.kl`; and of a normal guide, by the ELBO."""
    form = LinearForm.of(model_of().last)
    kl = er.Beta(*np.array(OWN["beta"])).kl(er.Beta(*posterior()))
    np.testing.assert_allclose(variants.divergence_from_posterior(form), kl, rtol=1e-10)
    normal = LinearForm.of(model_of("normal").last)
    guide = er.LogitNormal(*np.array(OWN["normal"]))
    prior = er.Beta(2.0, 3.0)
    gap = er.log_evidence(prior, COUNTS) - er.elbo(guide, prior, COUNTS)
    found = variants.divergence_from_posterior(normal)
    assert found.shape == (3,) and found.sum() == pytest.approx(gap, rel=1e-9)


def nearest(model):
    """The prior under whose posteriors the divergence of the guide is least, and its curvature."""
    counts, own = model.counts, model.guide_parameters[:, -1]

    def divergence(x):
        each = er.Beta(*own).kl(er.Beta(*posterior(counts, np.exp(x))))
        return counts.multiplicity @ each

    best = optimize.minimize(divergence, np.log([4.0, 1.5]), method="Nelder-Mead",
                             options={"xatol": 1e-6, "fatol": 1e-12})  # fmt: skip
    step, left = 1e-3 * np.eye(2), max(best.fun / counts.num_latents, 1e-3)
    second = [[(divergence(best.x + u + v) - divergence(best.x + u - v)
                - divergence(best.x - u + v) + divergence(best.x - u - v)) / 4e-6
               for v in step] for u in step]  # fmt: skip
    precision = np.array(second) / left
    low = np.linalg.eigvalsh(precision)[0]
    return Expected(best.x, precision + max(0.1 - low, 0.0) * np.eye(2))


@pytest.mark.parametrize(
    ("counts", "noise"),
    [
        (MANY, 0.02),
        (MANY, 0.0),
        (er.Counts([1, 2], [3, 4]), 0.3),
        (er.Counts([1, 2, 2], [3, 4, 9]), 0.5),
    ],
)
def test_priors_of_round_numbers(counts, noise):
    """Sixteen, by how near they are to the guide's and to what the losses are in the mean."""
    model = handed(counts=counts, noise=noise)
    losses = losses_of(model, (4.0, 1.5))
    fit = fit_of(model, losses)
    rows = list(variants.round_priors(model, fit))
    assert len(rows) == 16 and {x.number for x in rows} == {"prior"}
    assert noise > 0.1 or rows[0].variant == f"Beta(4, 1.5){WORDS}"
    assert rows[0].model.prior.shape == model.prior.shape
    expected = nearest(model)
    grid = [(a, b) for b in ROUND for a in ROUND]
    distances = np.array([expected.distance(np.log(x)) for x in grid])
    prices = distances + special.logsumexp(-distances)
    near = np.argsort(prices)[:60]
    means = np.full(len(grid), np.inf)
    means[near] = [expected_losses(with_prior(model.last, grid[i]))[0] for i in near]
    shift, error = fit.constant()
    away = (shift - (means - expected_losses(model.last)[0])) / error
    best = np.argsort(prices + away**2 / 2)[:16]
    assert [tuple(x.model.prior[:, 0, 0]) for x in rows[:8]] == [grid[i] for i in best[:8]]
    np.testing.assert_allclose([x.price for x in rows[:8]], prices[best[:8]], rtol=0.02, atol=0.02)


def test_every_pair_of_round_numbers_may_be_one(monkeypatch):
    monkeypatch.setattr(variants, "_MOST", 1000)
    model = handed()
    rows = variants.round_priors(model, fit_of(model, losses_of(model, HELD)))
    pairs = {tuple(x.model.prior[:, 0, 0]) for x in rows}
    assert pairs == {(float(a), float(b)) for a in ROUND for b in ROUND}


@pytest.mark.parametrize(("a", "b"), few([(4.2, 1.5), (4.0, 2.0), (4.25, 1.52), (4.125, 1.527)]))
def test_digits_of_a_prior_that_was_written_down(a, b):
    """One to four of them, under which losses are still."""
    model = handed((a, b), noise=0.0)
    near, _ = variants.fitted_prior(model, fit_of(model, losses_of(model, (a, b))), held=True)
    assert near.model.prior[:, -1, 0].tolist() == [a, b] and near.reasoned


def test_losses_that_are_multiplied_tell_the_same_prior():
    model = handed(factor=-2.0)
    fit = fit_of(model, losses_of(model, (4.0, 1.5)))
    first = next(variants.round_priors(model, fit))
    assert first.variant == f"Beta(4, 1.5){WORDS}"


NOTHING = {
    "a prior that is learned": {"held": False},
    "minibatches": {"batch": 2, "batch_scale": 2.5},
    "a bound": {"loss": RenyiBound(0.0, 2)},
}


@pytest.mark.parametrize("case", NOTHING)
def test_guides_that_say_nothing_of_a_prior(case):
    model = handed()
    fit = fit_of(model, losses_of(model, (4.0, 1.5)))
    assert list(variants.round_priors(handed(**NOTHING[case]), fit)) == []


def test_guides_without_a_posterior_of_their_own():
    for guide in ("beta_shared", "delta", "empty", "tied", "none"):
        model = model_of(guide, prior_held=True)
        assert list(variants.round_priors(model, None)) == []
    one = model_of(counts=er.Counts(3, 10), own=[[5.0], [10.0]], prior_held=True)
    assert list(variants.round_priors(one, None)) == []
    moving = handed()
    moving.prior[0, -1] = 2.5
    assert list(variants.round_priors(moving, None)) == []


def test_a_prior_beyond_all_numbers_is_none():
    """Latents that do not differ: the likeliest prior has no end."""
    same = er.Counts([30, 30], [100, 100])
    model = model_of(counts=same, own=posterior(same, (1e9, 2e9)), prior_held=True)
    assert list(variants.round_priors(model, None)) == []


def test_a_normal_guide_tells_a_prior_too():
    a, b = posterior(MANY, (4.0, 1.5))
    own = np.array((special.psi(a) - special.psi(b),
                    np.sqrt(special.zeta(2, a) + special.zeta(2, b))))  # fmt: skip
    model = model_of("normal", MANY, own, HELD, steps=30, prior_held=True)
    first = next(variants.round_priors(model, fit_of(model, losses_of(model, (4.0, 1.5)))))
    assert first.variant == f"Beta(4, 1.5){WORDS}"


@pytest.mark.parametrize("held", few([False, True]))
def test_fitted_priors(held):
    """About the guide's, which gives it a reason where it is of few digits, and about the given."""
    model = handed(held=held)
    fit = fit_of(model, losses_of(model, (4.0, 1.5)))
    near, about = variants.fitted_prior(model, fit, held=held)
    np.testing.assert_allclose(near.model.prior[:, -1, 0], [4.0, 1.5], rtol=0.05)
    assert near.variant.endswith(WORDS)
    exact = handed(held=held, noise=0.0)
    fit = fit_of(exact, losses_of(exact, (4.0, 1.5)))
    near, about = variants.fitted_prior(exact, fit, held=held)
    assert near.variant == f"Beta(4, 1.5){WORDS}" and near.reasoned
    assert not about.reasoned and WORDS not in about.variant
    assert near.number == about.number == "prior" and near.price != about.price
    assert near.model.prior[:, -1, 0].tolist() == [4.0, 1.5]
    again = fitted(exact, fit, Expected.about(np.log(HELD), 1.5),
                   lambda given, logs: with_prior(given, np.exp(logs)))  # fmt: skip
    assert about.price == pytest.approx(again.price, rel=1e-6)
    assert list(variants.fitted_prior(model, fit, held=not held)) == []


def test_what_has_no_fitted_prior():
    """A prior that moves, or is none, or losses without noise."""
    model = handed(held=False)
    fit = fit_of(model, losses_of(model, (4.0, 1.5)))
    moving = handed(held=False)
    moving.prior[0, -1] = 2.5
    assert list(variants.fitted_prior(moving, fit, held=False)) == []
    assert list(variants.fitted_prior(model_of("none"), fit, held=False)) == []
    still = fit._replace(distribution=SimpleNamespace(variance=np.zeros(30)))
    assert list(variants.fitted_prior(model, still, held=False)) == []
    shared = model_of("beta_shared", own=[[6.0], [8.0]], steps=30)
    fit = fit_of(shared, losses_of(shared, (4.0, 1.5)))
    (about,) = variants.fitted_prior(shared, fit, held=False)
    assert WORDS not in about.variant


def guide_losses(model, own):
    other = model._replace(guide_parameters=np.broadcast_to(own, model.guide_parameters.shape))
    return losses_of(other, HELD, 3)


def test_a_fitted_pair():
    """Of one latent, or of one guide for all."""
    wanted = np.array([40.0, 60.0])
    for guide, counts in (("beta", er.Counts([30], [100])), ("beta_shared", COUNTS)):
        model = model_of(guide, counts, [[34.0], [73.0]], HELD, steps=40)
        fit = fit_of(model, guide_losses(model, wanted[:, None, None]))
        (one,) = variants.fitted_guide(model, fit)
        found = one.model.guide_parameters[:, 0, 0]
        assert np.abs(np.log(found / wanted)).max() < 1.0
        assert one.variant == "the guide's are {:.4g} and {:.4g}".format(*found)
        assert not one.reasoned and one.number == "prior" and one.price > 0
        assert one.model.guide_parameters.shape == model.guide_parameters.shape


def test_a_guide_on_its_way_to_the_posterior():
    """Of several latents: all of them some part of the way, in the logarithms."""
    start = np.full((2, 4), 6.0)
    model = model_of(counts=MANY, own=start, prior=HELD, steps=40)
    part = 0.6
    there = start ** (1 - part) * posterior(MANY, HELD) ** part
    fit = fit_of(model, guide_losses(model, there[:, None]))
    (one,) = variants.fitted_guide(model, fit)
    assert one.variant == "the guide is nearer to the posterior"
    found = np.log(one.model.guide_parameters[:, 0] / 6.0) / np.log(posterior(MANY, HELD) / 6.0)
    np.testing.assert_allclose(found, part, atol=0.1)
    assert not one.reasoned and one.number == "prior"
    on_the_way = lambda given, x: given._replace(  # noqa: E731
        guide_parameters=np.broadcast_to(
            (start ** special.expit(-x) * posterior(MANY, HELD) ** special.expit(x))[:, None],
            given.guide_parameters.shape,
        )
    )
    again = fitted(model, fit, Expected.about(np.zeros(1), 3.0), on_the_way)
    assert one.price == pytest.approx(again.price, rel=1e-6)


def test_what_has_no_fitted_guide():
    model = model_of(counts=MANY, own=np.full((2, 4), 6.0), prior=HELD, steps=4)
    fit = fit_of(model, np.full(4, 50.0))
    still = fit._replace(distribution=SimpleNamespace(variance=np.zeros(4)))
    assert list(variants.fitted_guide(model, still)) == []
    moving = model._replace(guide_parameters=model.guide_parameters * np.ones(4)[:, None])
    moving.guide_parameters[:, -1] *= 1.1
    assert list(variants.fitted_guide(moving, fit)) == []
    for guide in ("empty", "tied", "normal"):
        assert list(variants.fitted_guide(model_of(guide, steps=4), fit)) == []
