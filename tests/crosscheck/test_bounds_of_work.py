"""What decides how losses are tested, on both sides of each bound: stores, samples, few numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref.crosscheck.prior_alone import can_tell, guide_is_absent, settled
from elbo_ref.crosscheck.unknown_origin import _density
from elbo_ref.guides import GUIDES

COUNTS = er.Counts([3, 11, 0, 7, 5, 9], [10, 20, 6, 7, 30, 12])
PRIOR = {"a0": np.array([2.0]), "b0": np.array([3.0])}
NAMES = {"prior.concentration1": "a0", "prior.concentration0": "b0"}


@pytest.mark.parametrize(
    ("left", "absent"),
    [
        ({}, True),
        ({"w": (8, 2)}, True),
        ({"w": (8,)}, False),
        ({"w": ()}, False),
        ({"w": (6,)}, False),
        ({"w": (6, 2)}, False),
        ({"w": (4, 1)}, False),
        ({"w": (3, 2)}, False),
        ({"w": (8, 2), "v": (6,)}, False),
        ({"enc.0.bias": (6,)}, True),
        ({"guide.loc": (6,)}, False),
    ],
)
def test_a_store_without_a_guide(left, absent):
    """What is left beside the prior is a network's by its name, or by a shape of no latents."""
    values = PRIOR | {name: np.ones(shape) for name, shape in left.items()}
    assert guide_is_absent(COUNTS, values, GUIDES["beta"], NAMES, None) is absent
    for guide in ("empty", "tied", "none"):
        assert not guide_is_absent(COUNTS, values, GUIDES[guide], NAMES, None)
    own = {**NAMES, "guide.concentration1": "a0"}
    assert not guide_is_absent(COUNTS, values, GUIDES["beta"], own, None)


def test_losses_that_can_tell_and_losses_that_have_settled():
    ten, none = np.full(10, 5.0), np.zeros(0)
    assert can_tell(none, ten, 1) and can_tell(ten, none, 2)
    assert not can_tell(ten, none, 1) and not can_tell(none, none, 9)
    assert settled(ten, none).tolist() == [5.0]
    assert settled(ten[:9], none).size == settled(np.arange(10.0), none).size == 0
    assert settled(ten, np.array([1.0, 2.0])).tolist() == [1.0, 2.0]
    for move, still in ((1e-5, True), (1e-2, False)):
        losses = np.append(np.arange(30.0), [5.0] * 9 + [5.0 + move])
        assert (settled(losses, none).size == 1) is still


def test_few_numbers_are_taken_for_normal_ones():
    """Of twenty and more a skewed density may be the likelier, at its price."""
    z = np.sort(stats.gamma.rvs(1.0, size=400, random_state=1)) - 1.0
    normal = stats.norm.logpdf(z).sum()
    assert _density(z) > normal + 5
    for size in (5, 12):
        few = z[:: 400 // size][:size]
        assert _density(few) == pytest.approx(stats.norm.logpdf(few).sum(), rel=1e-12)
    even = stats.norm.ppf((np.arange(400) + 0.5) / 400)
    assert _density(even) == pytest.approx(stats.norm.logpdf(even).sum(), rel=1e-12)
