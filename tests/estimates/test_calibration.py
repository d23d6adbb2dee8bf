"""Calibration by simulation: priors from the hyperprior, counts from them, and back.

Where the truth is drawn from the hyperprior that is assumed, the posterior distribution function at
the truth is uniform (Talts et al., arXiv:1804.06788). Kolmogorov's test at a level of 1e-3, with a
fixed seed; the same at the evidence maximum, which takes the prior as known, is refused.
"""

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er

LATENTS, TRIALS, SETS = 8, 20, 150


def shares(prior, seed=11):
    """P(c < truth) of the first latent of each data set."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(SETS):
        m, w = rng.uniform(size=2)
        s = TRIALS / 4 * (1 - w) / w
        c = er.Beta(m * s, (1 - m) * s).sample(LATENTS, rng)
        estimates = er.estimate(er.Counts(rng.binomial(TRIALS, c), TRIALS), prior)
        at = float(np.clip(c[0], 1e-300, 1 - 1e-16))
        found.append(1 - estimates.probability_above(at)[0])
    return found


@pytest.mark.thorough
def test_averaged_estimates_are_calibrated():
    assert stats.kstest(shares("averaged"), "uniform").pvalue > 1e-3


@pytest.mark.thorough
def test_estimates_at_the_maximum_are_not():
    assert stats.kstest(shares("mle"), "uniform").pvalue < 1e-3
