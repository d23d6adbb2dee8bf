"""Shapes in a store: a prior that the guide made first, under the same name."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.parameters import claims_of
from elbo_ref.crosscheck.shapes import several_priors, shared_by_shape
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


@pytest.mark.parametrize(
    ("size", "stored", "found"), [(2, True, 1), (3, True, 1), (2, False, 0), (1, True, 0)]
)
def test_a_prior_of_several_groups(size, stored, found):
    """In a store; elsewhere it may be a history. Two concentrations in one array are one prior."""
    values = {"a": np.full(size, 2.0), "b": np.full(size, 3.0), "ab": np.array([2.0, 3.0])}
    constraints = dict.fromkeys(values, "positive") if stored else {}
    given = Parameters(values, dict.fromkeys(values), (), (), constraints)
    claims = claims_of(values, GUIDES["tied"], 4, NAMES, None)
    outside = several_priors(COUNTS, claims, given)
    assert [finding.status for finding in outside] == ["outside"] * found
    assert all(f"{size} values" in finding.quantity for finding in outside)
    together = claims_of(values, GUIDES["tied"], 4, {"prior.concentrations": "ab"}, None)
    rows = dict(zip(NAMES, ("ab[0]", "ab[1]"), strict=True))
    for one in (together, claims_of(values, GUIDES["tied"], 4, rows, None)):
        assert several_priors(COUNTS, one, given) == ()


ROLES = ("prior.concentration1", "prior.concentration0")
ROLES += ("guide.concentration1", "guide.concentration0")


@pytest.mark.parametrize("size", [1, 4])
def test_one_name_for_prior_and_guide_is_shared(size):
    """Whether it has one value or one for each latent."""
    params = {"a": np.full(size, 2.0), "b": np.full(size, 3.0)}
    names = dict(zip(ROLES, "abab", strict=True))
    verdict = er.cross_check(COUNTS, params, names=names, evaluations=[9.0, 9.5])
    assert verdict.mistakes[0] == "shared_parameter"


def test_negative_control_priors_of_each_latent_by_other_names_are_outside():
    params = {name: np.full(4, 2.0) for name in "abcd"}
    names = dict(zip(ROLES, "abcd", strict=True))
    verdict = er.cross_check(COUNTS, params, names=names, evaluations=[9.0, 9.5])
    assert (verdict.exit_code, verdict.mistakes) == (6, ())


@pytest.mark.parametrize(
    ("size", "name"), [(1, "wrong_latents"), (36, "wrong_latents"), (5, "wrong_counts")]
)
def test_values_of_another_number_of_latents(size, name):
    """One for all rows, or one for each trial, is another model of the rows; else rows differ."""
    counts = COUNTS if size > 1 else er.Counts.from_columns([3, 4], [9, 9], [2, 2])
    trials = int(counts.multiplicity @ counts.total_count)
    own = np.full(trials if size == 36 else size, 3.0)
    params = {"a": 2.0, "b": 3.0, "c": own, "d": own}
    names = dict(zip(ROLES, "abcd", strict=True))
    found = er.cross_check(counts, params, names=names, losses=np.arange(3.0))
    expected = () if size == 1 else (name,)
    assert found.mistakes[:1] == expected


def test_concentrations_of_three_outcomes_are_another_model():
    names = {"prior.concentrations": "p", "guide.concentrations": "q"}
    params = {"p": np.full(3, 2.0), "q": np.full((4, 3), 5.0)}
    found = er.cross_check(COUNTS, params, names=names)
    assert found.outcome == "outside_model" and "more than two outcomes" in found.answer


@pytest.mark.parametrize("more", [[], ["gate"], [f"w{i}" for i in range(9)]])
def test_parameters_without_a_role_are_noted(more):
    params = {"a": 2.0, "b": 3.0, "c": np.full(4, 2.0), "d": np.full(4, 3.0)}
    params |= dict.fromkeys(more, 0.1)
    names = dict(zip(ROLES, "abcd", strict=True))
    verdict = er.cross_check(COUNTS, params, names=names)
    said = [x.quantity for x in verdict.having("note") if x.name == "unused"]
    assert len(said) == bool(more)
    assert all(more[0] in text and ("more" in text) == (len(more) > 6) for text in said)
