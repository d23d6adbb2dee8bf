"""The best mean at each concentration.

At a given gamma = 1/(a + b) the log evidence is concave in the mean m (E10), and its derivative

    sum_U 1/(m + t gamma) - sum_D 1/(1 - m + t gamma)

has one zero. The difference of the two sums' logarithms falls in logit m with a slope between -1
and 0: Newton's method, kept to the side that is known to hold the zero.
"""

from __future__ import annotations

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.mle.factorial_sums import FactorialSums

_FARTHEST = 300.0
"""The largest logit of a mean."""


def best_mean(
    sums: FactorialSums, gamma_up: FloatArray, gamma_down: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Maximise the log evidence over the mean.

    Parameters
    ----------
    sums : FactorialSums
    gamma_up, gamma_down : float64 ndarray, shape (X,)
        gamma in the first and in the second sum. The zero falls in the one and rises in the other,
        so that the two ends of a range of gamma bound the best mean on all of it.

    Returns
    -------
    float64 ndarray, shape (X,)
        m, and 1 - m.
    """
    up, down = sums.successes, sums.failures
    theta = np.full(gamma_up.shape, np.log(up.weight[0] / down.weight[0]))
    low, high = np.full(theta.shape, -np.inf), np.full(theta.shape, np.inf)
    above, below = gamma_up[:, None] * up.offset, gamma_down[:, None] * down.offset
    for _ in range(100):
        m, rest = _logistic(theta)
        z, w = 1 / (above + m[:, None]), 1 / (below + rest[:, None])
        one, other = z @ up.weight, w @ down.weight
        unequal = np.log(one / other)
        steep = m * rest * ((z * z) @ up.weight / one + (w * w) @ down.weight / other)
        low = np.where(unequal > 0, theta, low)
        high = np.where(unequal < 0, theta, high)
        moved = theta + unequal / steep
        inside = (moved >= low) & (moved <= high)
        bounded = ~inside & np.isfinite(low) & np.isfinite(high)
        half = np.where(bounded, low, theta) / 2 + np.where(bounded, high, theta) / 2
        moved = np.where(inside, moved, np.where(bounded, half, theta + unequal))
        moved = np.clip(moved, -_FARTHEST, _FARTHEST)
        settled = np.abs(moved - theta) <= 1e-8 * (1 + np.abs(theta))
        theta = moved
        if settled.all():
            break
    return _logistic(theta)


def _logistic(theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    small = np.exp(-np.abs(theta))
    large, small = 1 / (1 + small), small / (1 + small)
    return np.where(theta > 0, large, small), np.where(theta > 0, small, large)
