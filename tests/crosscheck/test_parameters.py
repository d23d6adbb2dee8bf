"""Somebody's parameters in their roles: names, guesses, shapes, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.assignment import assignments
from elbo_ref.crosscheck.parameters import (
    PRIOR_ROLES,
    assign_roles,
    learned_of,
    one_by_one,
    roles_of,
)
from elbo_ref.guides import GUIDES
from elbo_ref.io.parameters import read_parameters
from tiers import few

BETA = ("guide.concentration1", "guide.concentration0")
SIZE, STEPS = 3, 5


def arrays(**values):
    return {name: np.asarray(value, float) for name, value in values.items()}


def given(names, *values):
    return {name: np.asarray(value, float) for name, value in zip(names, values, strict=True)}


def test_roles_of_every_guide():
    """The prior's where there is one, and one for each parameter of the guide."""
    for guide in GUIDES.values():
        roles = roles_of(guide)
        assert (roles[:2] == PRIOR_ROLES) == guide.has_prior
        assert len(roles) == 2 * guide.has_prior + len(guide.parameter_names)


def test_what_is_learned():
    assert [learned_of(PRIOR_ROLES[i:j]) for i, j in ((0, 2), (0, 1), (1, 2), (0, 0))] == [
        True,
        "concentration1",
        "concentration0",
        False,
    ]


GUESSES = {
    "words": (("prior_alpha", "prior_beta", "guide_alpha", "guide_beta"), (*PRIOR_ROLES, *BETA)),
    "suffixes": (("alpha_p", "beta_p", "alpha_q", "beta_q"), (*PRIOR_ROLES, *BETA)),
    "the roles themselves": ((*PRIOR_ROLES, *BETA), ()),
}


@pytest.mark.parametrize("name", GUESSES)
def test_guesses_are_told(name):
    names, guessed = GUESSES[name]
    found = assign_roles(given(names, 1, 2, 3, 4), GUIDES["beta"], SIZE)
    assert found.guessed == guessed
    assert found.prior[:, 0, 0].tolist() == [1, 2]
    assert found.guide_parameters[:, 0].tolist() == [[3] * SIZE, [4] * SIZE]


def test_a_lone_owner_need_not_be_named():
    found = assign_roles(arrays(alpha=2.0, beta=3.0), GUIDES["empty"], SIZE)
    assert dict(found.names) == dict(zip(PRIOR_ROLES, ("alpha", "beta"), strict=True))


def test_autoguides_of_pyro():
    values = {"a0": 1.0, "b0": 2.0, "AutoNormal.locs.c": 0.5, "AutoNormal.scales.c": 0.25}
    names = dict(zip(PRIOR_ROLES, ("a0", "b0"), strict=True))
    found = assign_roles(given(values, *values.values()), GUIDES["normal"], 1, names=names)
    assert found.guide_parameters[:, 0, 0].tolist() == [0.5, 0.25]
    point = {"a0": 1.0, "b0": 2.0, "AutoDelta.c": 0.25}
    found = assign_roles(given(point, *point.values()), GUIDES["delta"], 1, names=names)
    assert found.guide_parameters[0, 0, 0] == pytest.approx(np.log(1 / 3))


SHAPES = {
    "a number": ((), 1),
    "one": ((1,), 1),
    "each latent": ((SIZE,), 1),
    "history": ((STEPS, 1), STEPS),
    "history of each": ((STEPS, SIZE), STEPS),
}


@pytest.mark.parametrize("shape", few(SHAPES, 2))
@pytest.mark.parametrize("prior_shape", [(), (STEPS,), (STEPS, 1)])
def test_shapes(shape, prior_shape):
    """Whatever has one value for all steps or latents is repeated."""
    size, steps = SHAPES[shape]
    values = given(
        (*PRIOR_ROLES, *BETA), *[np.full(prior_shape, 2.0)] * 2, *[np.full(size, 3.0)] * 2
    )
    found = assign_roles(values, GUIDES["beta"], SIZE)
    assert found.num_steps == max(steps, STEPS if prior_shape else 1)
    assert found.prior.shape == (2, found.num_steps, 1)
    assert found.guide_parameters.shape == (2, found.num_steps, SIZE)
    shared = assign_roles(given(PRIOR_ROLES, 1, 2) | given(BETA, 3, 4), GUIDES["beta_shared"], SIZE)
    assert shared.guide_parameters.shape == (2, 1, 1)


def test_as_many_steps_as_latents():
    """A row of as many values as there are latents is a history where another one is."""
    long = np.arange(1.0, SIZE + 1)
    values = given((*PRIOR_ROLES, *BETA), long, long, 2.0, 3.0)
    assert assign_roles(values, GUIDES["beta"], SIZE).num_steps == SIZE
    values = given((*PRIOR_ROLES, *BETA), 1.0, 1.0, long, long)
    assert assign_roles(values, GUIDES["beta"], SIZE).num_steps == 1
    values = given((*PRIOR_ROLES, *BETA), long[:, None], long[:, None], long, long)
    found = assign_roles(values, GUIDES["beta"], SIZE)
    assert (found.num_steps, found.guide_parameters[0, 1].tolist()) == (SIZE, [2.0] * SIZE)


@pytest.mark.parametrize("shape", [(4, 1), (1, 4), (2, 2)])
def test_a_column_or_a_grid_of_latents_is_one_step(shape):
    """Also beside a prior of one number; with a history of the prior as long a column is one."""
    grid = np.arange(1.0, 5.0).reshape(shape)
    values = given((*PRIOR_ROLES, *BETA), 1.0, [2.0], grid, 5.0)
    found = assign_roles(values, GUIDES["beta"], 4)
    assert found.guide_parameters[0].tolist() == [[1.0, 2.0, 3.0, 4.0]]
    if shape == (4, 1):
        values |= given(PRIOR_ROLES, np.ones(4), np.ones(4))
        found = assign_roles(values, GUIDES["beta"], 4)
        assert found.guide_parameters[0].tolist() == [[x] * 4 for x in (1.0, 2.0, 3.0, 4.0)]


def test_numbered_parameters_in_the_order_of_their_numbers():
    values = given([f"a_{i}" for i in (10, 2, 1)], 10, 2, 1) | given([*PRIOR_ROLES, "b"], 1, 2, 3)
    names = dict(zip(BETA, ("a_*", "b"), strict=True))
    found = assign_roles(values, GUIDES["beta"], SIZE, names=names)
    assert found.guide_parameters[0, 0].tolist() == [1, 2, 10]


def four(prior, own):
    return dict(zip((*PRIOR_ROLES, *BETA), (prior, prior, own, own), strict=True))


REFUSED = {
    "none of the roles": ({"x": 1.0}, {"guide.loc": "x"}),
    "there is no parameter 'y'": ({"x": 1.0}, {BETA[0]: "y"}),
    "'x' has two roles": (four(1.0, 1.0) | {"x": 1.0}, {BETA[0]: "x", PRIOR_ROLES[1]: "x"}),
    "does not say which parameter is prior.concentration1; the store has: x": ({"x": 1.0}, {}),
    r"has shape \(2,\): one value or 3": (four(1.0, [1.0, 2.0]), {}),
    "different lengths": (four([1.0, 2.0], [[1.0] * 3] * 3), {}),
    "one number and one shape each": ({"a_1": 1.0, "a_01": 2.0}, {BETA[0]: "a_*"}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refusals(message):
    values, names = REFUSED[message]
    with pytest.raises(ValueError, match=message):
        assign_roles(given(values, *values.values()), GUIDES["beta"], SIZE, names=names)


def test_logarithms_are_recognised():
    """A concentration that is not positive: exp is applied to all of them, and it is a mistake."""
    counts, values = er.Counts([1, 2, 3], 4), given([*PRIOR_ROLES, *BETA], -0.5, 0.5, 1.0, 2.0)
    found = assignments(counts, read_parameters(values), GUIDES["beta"], None, None)[0]
    assert [x.name for x in found.findings if x.status == "mistake"] == ["unconstrained_values"]
    assert found.roles.prior[:, 0, 0].tolist() == np.exp([-0.5, 0.5]).tolist()
    values |= arrays(x=np.inf)
    with pytest.raises(ValueError, match="the guide's parameters are not finite at step 0"):
        assignments(counts, read_parameters(values), GUIDES["beta"], {BETA[0]: "x"}, None)


def test_equal_latents_with_parameters_of_their_own():
    counts = er.Counts([0, 1], 1, multiplicity=[2, 1])
    values = given([*PRIOR_ROLES, *BETA], 1.0, 2.0, [3.0, 4.0, 5.0], 6.0)
    (found,) = assignments(counts, read_parameters(values), GUIDES["beta"], None, None)
    assert found.counts == one_by_one(counts)
    assert found.roles.guide_parameters[0, 0].tolist() == [3, 4, 5]


def test_a_prior_that_is_held_has_no_parameters():
    """Names for all of it are refused beside it; one concentration may be held, the other not."""
    values = given("a", 2.0) | arrays(qa=np.full(SIZE, 3.0), qb=np.full(SIZE, 4.0), b=5.0)
    own = dict(zip(BETA, ("qa", "qb"), strict=True))
    both = dict(zip(PRIOR_ROLES, "ab", strict=True))
    held = {"prior": er.Beta(3.0, 9.0)}
    for names in (both, {"prior.mean": "0.3", "prior.concentration": "b"}):
        with pytest.raises(ValueError, match="stand beside a prior that is held: if the prior was"):
            assign_roles(values, GUIDES["beta"], SIZE, names={**own, **names}, **held)
    one = {**own, PRIOR_ROLES[0]: "a"}
    roles = assign_roles(values, GUIDES["beta"], SIZE, names=one, **held)
    assert roles.prior[:, 0, 0].tolist() == [2.0, 9.0]
    assert learned_of(roles.names) == "concentration1"


def test_parameters_beyond_any_distribution_are_refused_without_a_warning():
    """1e300 is said to be too large before anything is computed of it."""
    values = {"a": 1e300, "b": 1.0, "qa": 3.0, "qb": 4.0}
    names = dict(zip((*PRIOR_ROLES, *BETA), ("a", "b", "qa", "qb"), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"the prior's parameters are not at most 1e\+100"):
            er.cross_check(er.Counts(3, 10), values, names=names, losses=[1.0, 2.0])
