"""Shapes in a store: a prior that the guide made first, under the same name."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.assignment import shared_by_shape
from elbo_ref.crosscheck.parameters import claims_of
from elbo_ref.guides import GUIDES
from elbo_ref.io.parameters import Parameters

COUNTS = er.Counts([3, 11, 0, 7], [10, 20, 6, 9])
NAMES = {"prior.concentration1": "a", "prior.concentration0": "b"}


@pytest.mark.parametrize(
    ("size", "stored", "found"), [(4, True, 1), (4, False, 0), (1, True, 0), (3, True, 0)]
)
def test_a_tied_prior_with_a_value_for_each_latent(size, stored, found):
    """In a store; elsewhere it may be a history."""
    values = {"a": np.full(size, 2.0), "b": np.full(size, 3.0)}
    constraints = dict.fromkeys(values, "greater_than") if stored else {}
    given = Parameters(values, dict.fromkeys(values), (), (), constraints)
    claims = claims_of(values, GUIDES["tied"], 4, NAMES, None)
    names = [finding.name for finding in shared_by_shape(COUNTS, claims, given)]
    assert names == ["shared_parameter"] * found
