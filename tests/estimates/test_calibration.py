"""Calibration by simulation: priors from the hyperprior, counts from them, and back.

Where the truth is drawn from the hyperprior that is assumed, for the numbers of trials at hand, the
posterior distribution function at the truth is uniform, of whatever the posterior is asked (Talts
et al., arXiv:1804.06788): a latent, the successes in new trials of it (whose share is spread evenly
over its step), and, by the 50 % intervals, below, inside or above which the truth lies with
probabilities 1/4, 1/2 and 1/4, the difference of two latents and the mean and concentration of the
prior. So it is among data that are chosen by what they are, as those are of which differences are
computed. Tests at a level of 1e-3 each, Kolmogorov's and Pearson's, with a fixed seed. A latent at
the evidence maximum, which takes the prior as known, is refused.
"""

import functools

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er

TRIALS = np.array([5, 10, 10, 20, 20, 40, 40, 80])
MEDIAN = TRIALS.size / np.sum(1 / TRIALS) / 4
NEW, SETS, LEVEL = 12, 200, 1e-3


def latent(estimates, c, prior, rng):
    return 1 - estimates.probability_above(float(np.clip(c[0], 1e-300, 1 - 1e-16)))[0]


def prediction(estimates, c, prior, rng):
    k, new = rng.binomial(NEW, c[0]), estimates.predict(NEW, 0).probability
    return new[:k].sum() + rng.uniform() * new[k]


def side(value, found):
    """0 below an interval, 1 inside, 2 above."""
    return int(value >= found.lower) + int(value > found.upper)


def difference(estimates, c, prior, rng):
    ends = estimates.counts.successes * estimates.counts.failures
    return side(c[0] - c[1], estimates.difference(0, 1)) if ends[:2].all() else None


def mean(estimates, c, prior, rng):
    return side(prior[0], estimates.prior_mean)


def concentration(estimates, c, prior, rng):
    return side(prior[1], estimates.prior_concentration)


SHARES, INTERVALS = (latent, prediction), (difference, mean, concentration)


@functools.cache
def found(prior, questions, seed=11):
    """Answers about the truth of each data set."""
    rng, answers = np.random.default_rng(seed), {question: [] for question in questions}
    for _ in range(SETS):
        m, w = rng.uniform(size=2)
        s = MEDIAN * (1 - w) / w
        c = er.Beta(m * s, (1 - m) * s).sample(TRIALS.size, rng)
        counts = er.Counts(rng.binomial(TRIALS, c), TRIALS)
        estimates = er.estimate(counts, prior, level=0.5)
        for question in questions:
            answers[question].append(question(estimates, c, (m, s), rng))
    return answers


def p_value(question, answers):
    if question in SHARES:
        return stats.kstest(answers, "uniform").pvalue
    times = np.bincount([x for x in answers if x is not None], minlength=3)
    return stats.chisquare(times, times.sum() * np.array([0.25, 0.5, 0.25])).pvalue


@pytest.mark.thorough
@pytest.mark.parametrize("question", SHARES + INTERVALS, ids=lambda x: x.__name__)
def test_averaged_estimates_are_calibrated(question):
    assert p_value(question, found("averaged", SHARES + INTERVALS)[question]) > LEVEL


@pytest.mark.thorough
def test_estimates_at_the_maximum_are_not():
    assert p_value(latent, found("mle", (latent,))[latent]) < LEVEL
