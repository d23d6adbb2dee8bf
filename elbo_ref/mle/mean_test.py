"""Test one mean of the priors of several groups, each with a concentration of its own.

The statistic is twice what the highest log evidence loses if the means are equal. Their common
value lies between the least and the greatest mean of the groups, and is found by a scan over
logits and by golden sections, from the profiles of the log evidence over the mean.

Source: Wilks, Annals of Mathematical Statistics 9 (1938) 60.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special as sc

from elbo_ref.mle.intervals import LEAST_MEAN
from elbo_ref.mle.profile_likelihood import ProfileLikelihood
from elbo_ref.mle.result import EvidenceMaximum
from elbo_ref.mle.tests import TestResult

_SCAN = 9
_CLOSE = 1e-6
"""The tolerance of the logit of the common mean, relative to how far the means are apart, or 1."""
_ONE_MEAN = "one mean for all groups", "one for each group"
_GOLDEN = (np.sqrt(5.0) - 1) / 2


def same_mean_test(groups: Sequence[EvidenceMaximum]) -> TestResult:
    """Test one mean for all groups of latents by the likelihood ratio.

    Parameters
    ----------
    groups : sequence of EvidenceMaximum
        That of each group, nothing held.

    Returns
    -------
    TestResult
        Asymptotically chi-square with a degree of freedom for each group with trials but one.

    Examples
    --------
    >>> from elbo_ref import Counts, maximize_evidence
    >>> groups = [maximize_evidence(Counts(k, 10)) for k in ([1, 2, 0, 3], [7, 9, 6, 8])]
    >>> round(same_mean_test(groups).pvalue, 5)
    0.00059
    """
    some = [group for group in groups if (group.counts.total_count > 0).any()]
    means = np.array([group.mean for group in some], np.float64)
    statistic, dof = 0.0, max(len(some) - 1, 0)
    if some and means.min() < means.max():
        profiles = [ProfileLikelihood(group.counts, "mean", {}) for group in some]
        least, most = sc.logit(np.clip(means, LEAST_MEAN, 1 - 2.0**-53)[[*_ends(means)]])

        def height(logit: float) -> float:
            return sum(profile(float(sc.expit(logit)))[0] for profile in profiles)

        highest = sum(group.log_evidence for group in some)
        statistic = max(2 * (highest - _maximum(height, float(least), float(most))), 0.0)
    return TestResult(statistic, *_ONE_MEAN, "chi-square", dof)


def _ends(means: np.ndarray) -> tuple[int, int]:
    return int(means.argmin()), int(means.argmax())


def _maximum(height: Callable[[float], float], low: float, high: float) -> float:
    """Find the highest value of a function between two points."""
    spots = np.linspace(low, high, _SCAN).tolist()
    heights = [height(x) for x in spots]
    best = int(np.argmax(heights))
    left, right = spots[max(best - 1, 0)], spots[min(best + 1, _SCAN - 1)]
    one, other = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
    at_one, at_other = height(one), height(other)
    while right - left > _CLOSE * min(high - low, 1.0):
        if at_one > at_other:
            right, other, at_other = other, one, at_one
            one = right - _GOLDEN * (right - left)
            at_one = height(one)
        else:
            left, one, at_one = one, other, at_other
            other = left + _GOLDEN * (right - left)
            at_other = height(other)
    return max(*heights, at_one, at_other)
