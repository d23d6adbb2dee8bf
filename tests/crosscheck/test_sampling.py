"""Losses drawn as a run draws them, beside loops that are slow and plain."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck import sampling
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.sampling import sample_losses
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import RenyiBound, find as find_loss

K, N = np.array([2, 7, 0]), np.array([5, 9, 4])
OWN = np.array([[2.0, 6.0, 1.5], [3.0, 2.5, 5.0]])
PRIOR = np.array([1.5, 2.5])


def model(steps=1, moving=0.0, **fields):
    times = 1 + moving * np.arange(steps)[:, None]
    return LossModel(
        counts=er.Counts(K, N),
        guide=GUIDES["beta"],
        loss=find_loss("trace"),
        num_particles=1,
        prior=PRIOR[:, None, None] * np.ones((1, steps, 1)),
        guide_parameters=OWN[:, None, :] * times,
        dtype="float64",
    )._replace(**fields)


def samples(given, seed=3, **options):
    return sample_losses(LinearForm.of(given), seed, **options)


def estimates(rng, rows, own=OWN):
    """log p(k, c) + log p(c) - log q(c) of some rows, by densities of SciPy."""
    a, b = own[:, rows]
    c = rng.beta(a, b)
    prior, guide = stats.beta.logpdf(c, *PRIOR), stats.beta.logpdf(c, a, b)
    return stats.binom.logpmf(K[rows], N[rows], c) + prior - guide


def every(*shape):
    return np.broadcast_to(np.arange(3), (*shape, 3))


def some(rng, *shape):
    """Two of three rows."""
    return rng.permuted(every(*shape), axis=-1)[..., :2]


def alike(got, wanted):
    """Mean, spread and distribution function, at a level of 1e-4 in all."""
    return stats.ks_2samp(got, wanted).pvalue > 1e-4


def test_every_step_has_its_own_distribution(monkeypatch):
    """In blocks of any size; a step's is not that of its neighbour."""
    given, rng = model(steps=3, moving=0.8), np.random.default_rng(0)
    wanted = [-estimates(rng, every(4000), OWN * (1 + 0.8 * t)).sum(axis=1) for t in (0, 2)]
    for block in (500_000, 9_000, 2_000):
        monkeypatch.setattr(sampling, "_BLOCK", block)
        got = samples(given, most=36_000)
        assert got.shape == (3, 4000)
        assert alike(got[0], wanted[0]) and alike(got[2], wanted[1])
        assert not alike(got[0], wanted[1])
        assert len(np.unique(got)) == got.size  # no block repeats another's draws


def test_a_block_is_a_particle_at_least(monkeypatch):
    monkeypatch.setattr(sampling, "_BLOCK", 2)  # of three latents
    got = samples(model(steps=2, moving=0.8), most=0, fewest=10)
    assert got.shape == (2, 10) and np.unique(got).size == 20


@pytest.mark.parametrize(
    ("fields", "streams"),
    [
        ({}, 1),
        ({"batch": 2}, 2),
        ({"observed": False}, 2),
        ({"batch": 4, "counts": er.Counts(7, 9), "guide_parameters": OWN[:, None, :1]}, 2),
    ],
)
def test_random_numbers_of_each_kind_have_a_stream_of_their_own(monkeypatch, fields, streams):
    """Draws of c, minibatches and outcomes: none is made of the numbers of another."""
    asked, plain = [], sampling._Seed.rng
    monkeypatch.setattr(
        sampling._Seed, "rng", lambda self, stream: asked.append(stream) or plain(self, stream)
    )
    sampling._draws.cache_clear()
    samples(model(**fields), most=0, fewest=10)
    assert len(asked) == len(set(asked)) == streams


def test_minibatches_of_trials_are_drawn_in_each_step():
    """As independent as the draws are: 4000 pairs are correlated by less than 5/sqrt(4000)."""
    counts, own = er.Counts(30, 60), np.array([[400.0], [400.0]])
    given = model(steps=2, moving=0.01, counts=counts, batch=4, batch_scale=15.0)
    given = given._replace(guide_parameters=own[:, None] * np.array([[1.0], [1.01]]))
    one, other = samples(given, most=0, fewest=4000)
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(4000)


def test_losses_of_one_distribution_have_the_same_samples():
    same, other = (samples(model(steps=3, moving=x), most=600) for x in (0.0, 0.1))
    assert (same == same[:1]).all() and (other[1] != other[0]).all()


def test_the_mean_of_particles():
    got = samples(model(num_particles=4), most=48_000)[0]
    rng = np.random.default_rng(1)
    each = -estimates(rng, every(16_000)).sum(axis=1)
    assert alike(got, each.reshape(4000, 4).mean(axis=1))
    assert not alike(got, each[:4000])


def test_minibatches_without_replacement():
    got = samples(model(batch=2, batch_scale=1.5), most=8_000)[0]
    rng = np.random.default_rng(2)
    wanted = -1.5 * estimates(rng, some(rng, 4000)).sum(axis=1)
    assert got.size == 4000 and alike(got, wanted)


def test_minibatches_of_the_trials_of_one_latent():
    """Successes of a batch are hypergeometric, and scaled with their number of trials."""
    counts, own = er.Counts(7, 9), np.array([[4.0], [3.0]])
    given = model(counts=counts, batch=4, batch_scale=9 / 4, guide_parameters=own[:, None])
    got, rng = samples(given, most=4000)[0], np.random.default_rng(3)
    c, seen = rng.beta(4.0, 3.0, 4000), rng.hypergeometric(7, 2, 4, 4000)
    likelihood = 9 / 4 * (special.xlogy(seen, c) + special.xlogy(4 - seen, 1 - c))
    densities = stats.beta(*PRIOR).logpdf(c) - stats.beta(4.0, 3.0).logpdf(c)
    wanted = -(likelihood + densities + np.log(special.comb(9, 7)))
    assert alike(got, wanted)


@pytest.mark.parametrize("bound", ["each", "together", "mixed"])
def test_renyi_bounds(bound):
    """Of each latent, of all together, or each sample with a batch of its own."""
    batch = {"batch": 2, "batch_scale": 1.5} if bound == "mixed" else {}
    given = model(loss=RenyiBound(0.5, 3), bound=bound, **batch)
    got, rng = samples(given, most=18_000)[0], np.random.default_rng(4)
    rows = some(rng, 3000, 3) if bound == "mixed" else every(3000, 3)
    f = given.batch_scale * estimates(rng, rows)
    f = f.sum(axis=-1, keepdims=True) if bound == "together" else f
    wanted = -2 * (special.logsumexp(f / 2, axis=1) - np.log(3)).sum(axis=-1)
    assert alike(got, wanted)


@pytest.mark.parametrize("bound", ["each", "together"])
def test_renyi_bounds_of_several_steps(bound):
    """Each is that of its own parameters."""
    given = model(steps=2, moving=0.8, loss=RenyiBound(0.5, 3), bound=bound)
    both = samples(given, most=36_000)
    alone = [samples(given.at(slice(t, t + 1)), seed=5, most=18_000)[0] for t in range(2)]
    assert alike(both[0], alone[0]) and alike(both[1], alone[1])
    assert not alike(both[0], alone[1])


def test_outcomes_that_the_model_draws():
    """Without `obs=` the successes are drawn, with their coefficients."""
    got, rng = samples(model(observed=False), most=12_000)[0], np.random.default_rng(5)
    c = rng.beta(*OWN, (4000, 3))
    f = stats.binom.logpmf(rng.binomial(N, c), N, c)
    f += stats.beta.logpdf(c, *PRIOR) - stats.beta.logpdf(c, *OWN)
    assert alike(got, -f.sum(axis=1))


def test_models_of_one_source_have_the_same_draws():
    """Their difference has no noise but what the models make; another seed has other draws."""
    one, other = model(), model(prior=PRIOR[:, None, None] + [[[1.0]], [[0.0]]])
    shift = samples(one) - samples(other)
    log_c = shift[0] - 3 * (special.betaln(*PRIOR) - special.betaln(*(PRIOR + [1, 0])))
    assert log_c.max() < 0  # the sum of log c of three draws
    mean = (special.psi(OWN[0]) - special.psi(OWN.sum(axis=0))).sum()
    assert log_c.mean() == pytest.approx(mean, abs=0.02)
    assert (samples(one, seed=4) != samples(one)).all()
    assert (samples(one) == samples(one)).all()


def test_draws_are_seen_in_the_arithmetic_of_each_model():
    """Those of float32, near an end, are clamped; those of float64 are not, from the same seed."""
    own = np.array([[0.02], [1.0]])
    given = {"counts": er.Counts(0, 0), "guide_parameters": own[:, None]}
    exact, rounded = (
        samples(model(dtype=x, **given), most=20_000)[0] for x in ("float64", "float32")
    )
    assert len(np.unique(rounded)) < 0.9 * rounded.size == 0.9 * len(np.unique(exact))
