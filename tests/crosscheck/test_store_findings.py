"""Findings that a store allows: priors of each latent, and ends of constraints."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.parameters import claims_of
from elbo_ref.crosscheck.store_findings import constraint_ends, priors_of_latents
from elbo_ref.guides import GUIDES
from elbo_ref.io.parameters import Parameters
from elbo_ref.objectives import OBJECTIVES

K, N = np.array([3, 11, 0, 7]), np.array([10, 20, 6, 9])
NAMES = {"guide.concentration1": "a", "guide.concentration0": "b"}


def ends(own, constraint):
    prior = np.array([2.0, 3.0])[:, None, None]
    given = LossModel(
        er.Counts(K, N), GUIDES["beta"], OBJECTIVES["trace"], 1, prior, own[:, None], "float64"
    )
    return constraint_ends(given, NAMES, dict.fromkeys("ab", constraint))


def posterior():
    return np.array([2.0 + K, 3.0 + N - K])


@pytest.mark.parametrize(
    ("own", "constraint", "number"),
    [
        (np.full((2, 4), 0.98), "interval", 2),
        (np.minimum(posterior(), 1), "half_open_interval", 2),
        (np.maximum(posterior(), 60.0), "greater_than", 2),
        (posterior(), "interval", 0),
        (posterior(), "greater_than", 0),
        (np.full((2, 4), 0.98), "real", 0),
        (np.full((2, 4), 0.98), "greater_than", 0),
    ],
)
def test_a_guide_at_the_end_of_its_constraint(own, constraint, number):
    """It counts where most latents are there and would be better beyond."""
    found = ends(own, constraint)
    assert [finding.name for finding in found] == ["guide_at_constraint"] * number
    assert all(finding.status == "mistake" for finding in found)


@pytest.mark.parametrize(
    ("guide", "stored", "name"),
    [
        ("tied", True, "shared_parameter"),
        ("beta", True, "outside_model"),
        ("tied", False, None),
    ],
)
def test_a_prior_with_a_value_for_each_latent(guide, stored, name):
    """In a store; elsewhere it may be a history."""
    values = {"a0": np.full(4, 2.0), "b0": np.full(4, 3.0), "a": K + 2.0, "b": N - K + 3.0}
    roles = {"prior.concentration1": "a0", "prior.concentration0": "b0"}
    if guide == "beta":
        roles |= NAMES
    else:
        values = {"a0": values["a0"], "b0": values["b0"]}
    constraints = dict.fromkeys(values, "greater_than") if stored else {}
    given = Parameters(values, dict.fromkeys(values), (), (), constraints)
    claims = claims_of(given.values, GUIDES[guide], 4, roles, None)
    found = priors_of_latents(er.Counts(K, N), given, claims)
    assert {finding.name for finding in found} == ({name} if name else set())


def test_a_prior_of_one_value_is_none_of_each_latent():
    values = {"a0": np.array(2.0), "b0": np.array(3.0)}
    given = Parameters(values, dict.fromkeys(values), (), (), dict.fromkeys(values, "greater_than"))
    roles = {"prior.concentration1": "a0", "prior.concentration0": "b0"}
    claims = claims_of(given.values, GUIDES["tied"], 4, roles, None)
    assert priors_of_latents(er.Counts(K, N), given, claims) == ()
