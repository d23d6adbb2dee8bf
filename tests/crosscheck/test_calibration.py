"""Calibration by simulation: the p-values of clean runs.

Every run has counts, parameters and a number of particles of its own, and losses that NumPy and
SciPy draw at them. Then the distribution function of each loss at that loss is uniform; and so is
the p-value of a loss, of the weighted mean, of the sum against a rival, and of the spread of
evaluations. A two-sided p-value doubles the tail on the side of the mean where the loss is, which
makes it uniform up to twice the smaller of the probabilities of the two sides, and too large
beyond; p-values are therefore compared up to 0.3, and nowhere may they be too small. The p-value
of a whole run, by Bonferroni, is at most x in at most a share x of all runs.

Tests are Kolmogorov and Smirnov's at a level of 1e-3 each, with fixed seeds. Beside them stand the
p-values that a normal distribution of the exact mean and variance would give, and those of another
prior, which are refused.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck.alignment import Losses, align
from elbo_ref.crosscheck.hypothesis_test import try_hypotheses
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.loss_spread import p_of_evaluations
from elbo_ref.crosscheck.model_test import LEVEL, ModelTest
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES

CHANCE, REACH = 1e-3, 0.3
STEPS, RUNS, BATCHED_RUNS = 8, 400, 100
KINDS = ["beta", "beta_shared", "empty", "tied", "normal", "mean field", "minibatches"]


def run_of(kind, rng, steps=STEPS):
    """A model of losses, and losses that are drawn from it."""
    size, particles = int(rng.integers(2, 9)), int(rng.choice([1, 1, 2, 5]))
    n = rng.integers(1, 40, size)
    k = rng.binomial(n, rng.beta(2, 4, size))
    start = np.exp(rng.normal(0.5, 0.7, 2))
    prior = (start[:, None] * wander(rng, (2, steps)))[:, :, None]
    own = np.zeros((0, steps, 1))
    if kind == "normal":
        own = np.array([rng.normal(-0.7, 0.5, size), np.exp(rng.normal(-0.5, 0.3, size))])
        own = own[:, None] * wander(rng, (2, steps, size))
    elif kind not in ("empty", "tied"):
        near = np.array((start[0] + k, start[1] + n - k)) * np.exp(rng.normal(0, 0.4, (2, size)))
        own = near[:, None] * wander(rng, (2, steps, size))
    if kind == "beta_shared":
        own = own[..., :1]
    guide = GUIDES[kind if kind in GUIDES else "beta"]
    loss = OBJECTIVES["trace_mean_field" if kind == "mean field" else "trace"]
    model = LossModel(er.Counts(k, n), guide, loss, particles, prior, own, "float64")
    if kind == "minibatches":
        seen = (size + 1) // 2
        model = model._replace(batch=seen, batch_scale=size / seen)
    return model, drawn(model, rng)


def wander(rng, shape):
    """Factors that change little from step to step."""
    return np.exp(np.cumsum(rng.normal(0, 0.05, shape), axis=1))


def drawn(model, rng):
    """Losses of a model, by other means than its own."""
    k, n = model.counts.successes, model.counts.total_count
    prior, own = model.prior, model.guide_parameters
    shape = (model.num_particles, prior.shape[1], k.size)
    if model.guide.name == "normal":
        y = rng.normal(*own, shape)
        c = special.expit(y)
        log_q = stats.norm.logpdf(y, *own) - special.log_expit(y) - special.log_expit(-y)
    else:
        source = own if len(own) else prior
        c = rng.beta(*source, shape)
        log_q = stats.beta.logpdf(c, *source)
    log_p = stats.beta.logpdf(c, *prior)
    counted = {"empty": log_p, "tied": 0.0}.get(model.guide.name, log_p - log_q)
    if model.loss.name == "trace_mean_field":
        counted = -er.Beta(*own).kl(er.Beta(*prior))
    values = stats.binom.logpmf(k, n, c) + counted
    if model.batch is not None:
        order = rng.random(shape).argpartition(model.batch - 1, axis=-1)[..., : model.batch]
        values = np.take_along_axis(values, order, axis=-1) * model.batch_scale
    losses = -values.sum(axis=-1).mean(axis=0)
    return Losses(losses, np.zeros(losses.size))


class Found(NamedTuple):
    """What was found in clean runs, all of a kind."""

    functions: np.ndarray
    single: np.ndarray
    mean: np.ndarray
    against: np.ndarray
    normal: np.ndarray
    otherwise: np.ndarray


@functools.cache
def found(kind):
    rng, every = np.random.default_rng(7), []
    for seed in range(BATCHED_RUNS if kind == "minibatches" else RUNS):
        model, losses = run_of(kind, rng)
        test = ModelTest(model, losses, np.random.default_rng(seed))
        swapped = model._replace(prior=model.prior[::-1])
        rival = ModelTest(swapped, losses, np.random.default_rng(seed), rough=True)
        tail = test.distribution.outer_tail(losses.values)
        away = losses.values - test.distribution.mean
        z = np.abs(away) / np.sqrt(test.distribution.variance)
        every.append(
            Found(
                np.where(away > 0, 1 - tail, tail),
                test.p,
                np.array([test.p_mean]),
                np.array([test.against(rival)]),
                2 * stats.norm.sf(z),
                rival.p,
            )
        )
    return Found(*map(np.concatenate, zip(*every, strict=True)))


def chance(p, reach=1.0):
    """Probability that uniform numbers depart so far, those up to `reach` being looked at."""
    p = np.sort(p)
    rank = np.arange(p.size + 1) / p.size
    seen = p <= reach
    above, below = rank[1:][seen] - p[seen], p[seen] - rank[:-1][seen]
    last = reach - seen.mean()
    return stats.kstwo.sf(max(above.max(initial=0), below.max(initial=0), last), p.size)


def too_small(p):
    """Probability that uniform numbers are so much too small somewhere."""
    return stats.kstest(p, "uniform", alternative="greater").pvalue


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_p_values_of_clean_runs_are_uniform(kind):
    seen = found(kind)
    assert chance(seen.functions) > CHANCE
    for p in (seen.single, seen.mean, seen.against):
        assert chance(p, REACH) > CHANCE
        assert too_small(p) > CHANCE


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_negative_control_another_prior(kind):
    assert too_small(found(kind).otherwise) < CHANCE


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["empty", "tied"])
def test_negative_control_normal_distributions_of_skewed_losses(kind):
    assert chance(found(kind).normal, REACH) < CHANCE


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["beta", "empty"])
def test_the_p_value_of_a_run_is_no_smaller_than_it_may_be(kind):
    """Of 60 runs, so many at most are rejected at the level of a run."""
    rng, p = np.random.default_rng(8), []
    for seed in range(60):
        model, losses = run_of(kind, rng)
        p.append(try_hypotheses(model, losses, np.random.default_rng(seed), explained=False).p)
    assert too_small(p) > CHANCE
    assert sum(x < LEVEL for x in p) <= stats.binom.isf(CHANCE, len(p), LEVEL)


def spread_of_evaluations(share, runs=60):
    """p-values of evaluations that are nearer to their mean by a share."""
    rng, p = np.random.default_rng(9), []
    for _ in range(runs):
        model, _ = run_of("beta", rng, steps=1)
        every = model.at(np.zeros(20, int))
        values = drawn(every, rng).values
        values = values.mean() + share * (values - values.mean())
        p.append(p_of_evaluations(align(model, np.zeros(0), values, None)))
    return np.array(p)


@pytest.mark.thorough
def test_p_values_of_the_spread_of_evaluations_are_uniform():
    """Evaluations that are nearer to their mean by a third are refused."""
    assert chance(spread_of_evaluations(1.0)) > CHANCE
    assert too_small(spread_of_evaluations(2 / 3)) < CHANCE
