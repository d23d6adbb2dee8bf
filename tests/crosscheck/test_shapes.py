"""Shapes in a store: a prior that the guide made first, under the same name."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.parameters import claims_of
from elbo_ref.crosscheck.shapes import (
    more_outcomes,
    other_latents,
    several_priors,
    shared_by_name,
    shared_by_shape,
)
from elbo_ref.guides import GUIDES
from elbo_ref.io.parameters import Parameters
from tiers import few

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
    ("size", "name"), few([(36, "wrong_latents"), (5, "wrong_counts"), (1, "wrong_latents")], 2)
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


def claimed(values, names=None, guide="beta", size=4, prior=None):
    arrays = {name: np.asarray(x, float) for name, x in values.items()}
    return claims_of(arrays, GUIDES[guide], size, names, prior)


OWN = {"qa": np.ones(4), "qb": np.ones(4)}
ALL = dict(zip(ROLES, ("a", "b", "qa", "qb"), strict=True))


def test_names_that_prior_and_guide_share():
    """The same parameter, in the same row and under the same functions."""
    values = {"a": 2.0, "b": 3.0} | OWN
    assert list(shared_by_name(claimed(values, ALL))) == []
    both = dict(zip(ROLES, ("a", "b", "a", "b"), strict=True))
    first, second = shared_by_name(claimed(values, both))
    assert first.quantity == f"a is {ROLES[0]} and {ROLES[2]}" and first.status == "mistake"
    assert second.quantity == f"b is {ROLES[1]} and {ROLES[3]}"
    other = dict(zip(ROLES, ("a", "b", "exp(a)", "b"), strict=True))
    assert [x.quantity[:1] for x in shared_by_name(claimed(values, other))] == ["b"]
    numbers = dict(zip(ROLES, ("2", "3", "2", "3"), strict=True))
    assert list(shared_by_name(claimed({}, numbers))) == []


def test_more_outcomes_than_two():
    names = {"prior.concentrations": "p", "guide.concentrations": "q"}
    for shape, found in (((3,), 1), ((5, 3), 1), ((4,), 1), ((2,), 0), ((4, 2), 0), ((2, 3), 0)):
        claims = claimed({"p": np.ones(2), "q": np.ones(shape)}, names)
        outside = more_outcomes(claims)
        assert [x.status for x in outside] == ["outside"] * found, shape
        for x in outside:
            assert x.quantity == f"q has {shape[-1]} concentrations: more than two outcomes"
    assert (
        more_outcomes(claimed({"a": 2.0, "b": 3.0, "qa": np.ones(3), "qb": np.ones(3)}, ALL)) == ()
    )


EACH = "every latent has a prior of its own (a, b: 4 values)"
AXES = {
    "one prior": ({}, 0, ""),
    "a prior for each": ({"a": np.ones(4), "b": np.ones(4)}, 0, EACH),
    "beside as many losses it is a history": ({"a": np.ones(4), "b": np.ones(4)}, 4, ""),
    "beside one fewer too": ({"a": np.ones(4), "b": np.ones(4)}, 3, ""),
    "beside two fewer it is none": ({"a": np.ones(4), "b": np.ones(4)}, 2, EACH),
    "a column for each": (
        {name: np.ones((4, 1)) for name in ("a", "b", "qa", "qb")}, 0, EACH
    ),
    "a history for each": ({name: np.ones((7, 4)) for name in ("a", "b", "qa", "qb")}, 4, EACH),
    "a history of one beside latents": ({"a": np.ones((4, 1)), "b": np.ones((4, 1)),
                                         "qa": np.ones((4, 4)), "qb": np.ones((4, 4))}, 4, ""),
    "four steps beside a history": ({"a": np.ones(4), "b": np.ones(4), "qa": np.ones((4, 4)),
                                     "qb": np.ones((4, 4))}, 0, ""),
    "one of two": ({"a": np.ones(4)}, 0, "every latent has a prior of its own (a: 4 values)"),
}  # fmt: skip


@pytest.mark.parametrize("case", AXES)
def test_an_axis_of_latents_that_a_prior_must_not_have(case):
    changes, losses, text = AXES[case]
    found = other_latents(COUNTS, claimed({"a": 2.0, "b": 3.0} | OWN | changes, ALL), losses)
    assert [x.quantity for x in found] == [text] * bool(text)
    assert all(x.status == "outside" for x in found)


def test_a_shared_name_explains_the_axis():
    both = dict(zip(ROLES, ("a", "b", "a", "b"), strict=True))
    found = other_latents(COUNTS, claimed({"a": np.ones(4), "b": np.ones(4)}, both), 0)
    assert [x.name for x in found] == ["shared_parameter"] * 2


def test_one_latent_may_have_one_value():
    one = er.Counts(3, 10)
    values = {name: np.ones(1) for name in ("a", "b", "qa", "qb")}
    assert other_latents(one, claimed(values, ALL, size=1), 0) == ()


TRIALS = 45
LATENTS = {
    "as many": (np.ones(4), 0, ""),
    "a history of them": (np.ones((9, 4)), 0, ""),
    "one for all": (np.ones(()), 0, ""),
    "a history of one for all": (np.ones(9), 9, ""),
    "one step more": (np.ones(10), 9, ""),
    "others": (np.ones(5), 0, "wrong_counts"),
    "one, of which there are several": (np.ones(1), 0, ""),
    "one for each trial": (np.ones(TRIALS), 0, "wrong_latents"),
    "one for each trial of a group": (np.ones(20), 0, "wrong_latents"),
    "a grid of as many": (np.ones((2, 2)), 0, ""),
    "a history of others": (np.ones((9, 5)), 9, "wrong_counts"),
}


@pytest.mark.parametrize("case", LATENTS)
def test_an_axis_of_latents_that_the_counts_do_not_have(case):
    own, losses, name = LATENTS[case]
    values = {"a": 2.0, "b": 3.0, "qa": own, "qb": own}
    found = other_latents(COUNTS, claimed(values, ALL), losses)
    assert [x.name for x in found] == [name] * bool(name)
    for x in found:
        assert x.quantity == f"qa has values for {own.shape[-1]} latents; the counts have 4"
        assert x.status == "mistake"


def test_latents_of_one_row():
    """Several beside one row are others in another grouping."""
    values = {"a": 2.0, "b": 3.0, "qa": np.ones(5), "qb": np.ones(5)}
    found = other_latents(er.Counts(3, 10), claimed(values, ALL, size=1), 0)
    assert [x.name for x in found] == ["wrong_latents"]


def test_entries_and_latents_are_both_known():
    counts = er.Counts([3, 7], [10, 9], multiplicity=[3, 2])
    for size, found in ((2, 0), (5, 0), (3, 1)):
        values = {"a": 2.0, "b": 3.0, "qa": np.ones(size), "qb": np.ones(size)}
        assert len(other_latents(counts, claimed(values, ALL, size=2), 0)) == found
