"""Counts that are read off a guide which does not fit those given."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.guide_counts import counts_of_guide
from loss_models import COUNTS, PRIOR, model_of

K, N = COUNTS.successes, COUNTS.total_count


def guide_of(k, n):
    """The posterior of other counts."""
    return np.array([PRIOR[0] + k, PRIOR[1] + n - k])


def noted(counts, own, guide="beta"):
    return counts_of_guide(model_of(guide, counts=counts, own=own))


@pytest.mark.parametrize("times", [2, 10])
def test_other_counts_than_the_run_had(times):
    """The latent that is farthest off is told, as it was and as it is given."""
    later = er.Counts(times * K + np.array([0, 0, 3]), times * N + np.array([0, 0, 9]))
    (found,) = noted(later, guide_of(K, N))
    assert found.quantity == (
        f"the guide of latent 2 is the posterior of about {K[2]} of {N[2]}, "
        f"where {later.successes[2]} of {later.total_count[2]} are given"
    )
    assert found.status == "note" and found.reason.startswith("100% of the latents")


def test_negative_control_guides_that_are_near_their_posterior():
    """Exactly so, or off by a fifth; half of the latents, none of a point, a start below it."""
    assert noted(COUNTS, guide_of(K, N)) == []
    assert noted(COUNTS, guide_of(K, N) * 1.02) == []
    assert noted(COUNTS, guide_of(K, N * np.array([1, 1, 3]))) == []
    assert noted(COUNTS, np.full((2, 3), 1.5)) == []
    assert noted(COUNTS, np.full((1, 3), 0.5), "delta") == []
    assert noted(er.Counts([3, 0, 9], [10, 0, 20]), guide_of(3 * K, 3 * N)) == []
