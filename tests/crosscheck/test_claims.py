"""Expressions that are taken for roles: named, held or guessed, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref.crosscheck.claims import (
    UnknownRoleError,
    check_claims,
    check_way_round,
    claim_roles,
    concentrations_of,
)
from elbo_ref.crosscheck.coordinates import Moved
from elbo_ref.crosscheck.expressions import NamesError

FIRST, SECOND = PRIOR = ("prior.concentration1", "prior.concentration0")
OWN = ("guide.concentration1", "guide.concentration0")
MEAN, TOTAL, BOTH = "prior.mean", "prior.concentration", "prior.concentrations"
POINT = (*PRIOR, "guide.logits")
STORE = {"a": 2.0, "b": 3.0, "qa": [4.0, 5.0], "qb": [6.0, 7.0]}
NAMED = dict(zip((*PRIOR, *OWN), STORE, strict=True))


def claims(values, roles=PRIOR, names=None, prior=None, size=2, **options):
    arrays = {name: np.asarray(x, float) for name, x in values.items()}
    return claim_roles(arrays, roles, size, names, prior, **options)


def test_named_roles():
    found = claims(STORE, (*PRIOR, *OWN), NAMED)
    assert found.guessed == () and found.held == {}
    assert dict(found.texts) == NAMED
    arrays = found.arrays()
    assert [arrays[role].tolist() for role in NAMED] == list(STORE.values())
    assert found.moved() == {role: Moved(f"{name}()", (), name) for role, name in NAMED.items()}
    assert found.learned_roles(NAMED) == NAMED


def test_functions_rows_and_numbers():
    names = {"log(prior.concentration1)": "x[1]", SECOND: "2.5"}
    found = claims({"x": [0.5, 1.5]}, names=names)
    arrays = found.arrays()
    assert arrays[FIRST] == np.exp(1.5) and arrays[SECOND] == 2.5
    assert found.moved() == {FIRST: Moved("x(1,)", ("exp",), "x")}
    assert found.learned_roles(PRIOR) == {FIRST: "x[1]"}
    assert found.text_of(FIRST) == "x[1]" and found.text_of(SECOND) == "2.5"


def test_functions_around_a_role_come_after_those_around_the_name():
    found = claims({"x": 0.5, "b": 1.0}, names={"logit(prior.mean)": "log(x)", TOTAL: "b"})
    assert found.arrays()[MEAN] == pytest.approx(special.expit(np.log(0.5)))
    assert found.expressions[MEAN].functions == ("log", "sigmoid")


def test_guesses():
    found = claims({"prior_alpha": 1.0, "prior_beta": 2.0, "unused": 3.0})
    assert found.guessed == PRIOR
    assert found.texts == {FIRST: "prior_alpha", SECOND: "prior_beta"}
    assert claims({FIRST: 1.0, SECOND: 2.0}).guessed == ()


def test_guessed_names_are_those_that_are_left():
    """A parameter that `names` takes is no guess for another role."""
    roles = (*PRIOR, "guide.loc", "guide.scale")
    values = {"a": 1.0, "b": 2.0, "loc": 0.0, "mu": 1.0, "scale": 3.0}
    names = dict(zip((*PRIOR, "guide.loc"), ("a", "b", "loc"), strict=True))
    assert claims(values, roles, names).guessed == ("guide.scale",)
    with pytest.raises(NamesError, match=r"which parameter is guide\.loc"):
        claims(values, roles, {FIRST: "a", SECOND: "b"})


@pytest.mark.parametrize("role", [MEAN, TOTAL])
def test_mean_and_total(role):
    """Where one is given the other is wanted; the concentrations are not."""
    values = {"m": 0.25, "s": 8.0}
    other, letter = {MEAN: (TOTAL, "m"), TOTAL: (MEAN, "s")}[role]
    with pytest.raises(UnknownRoleError, match=f"which parameter is {other}") as caught:
        claims(values, names={role: letter})
    assert caught.value.owners == ["prior"] and caught.value.left == {}
    found = claims(values, names={MEAN: "m", TOTAL: "s"})
    assert found.text_of(FIRST) == found.text_of(SECOND) == "m, s"
    assert found.learned_roles(PRIOR) == dict.fromkeys(PRIOR, "m, s")
    assert found.learned_roles(OWN) == {}
    both = concentrations_of(found.arrays())
    assert [both[x] for x in PRIOR] == [2.0, 6.0] and set(both) == {*PRIOR}


def test_concentrations_leave_others_alone():
    kept = {FIRST: np.ones(1), "guide.mean": np.array(0.25), "guide.concentration": np.array(8.0)}
    found = concentrations_of(kept)
    assert {role: x.item() for role, x in found.items()} == {FIRST: 1.0, OWN[0]: 2.0, OWN[1]: 6.0}
    assert set(kept) == {FIRST, "guide.mean", "guide.concentration"}


def test_a_number_for_one_of_mean_and_total_is_no_parameter():
    found = claims({"s": 8.0}, names={MEAN: "0.5", TOTAL: "s"})
    assert found.moved() == {TOTAL: Moved("s()", (), "s")}
    assert found.learned_roles(PRIOR) == dict.fromkeys(PRIOR, "0.5, s")
    assert claims({}, names={FIRST: "1", SECOND: "2"}).learned_roles(PRIOR) == {}


def test_two_concentrations_in_one_array():
    found = claims({"ab": [2.0, 3.0]}, names={BOTH: "ab"})
    assert [found.arrays()[x] for x in PRIOR] == [2.0, 3.0]
    assert found.moved() == {x: Moved(f"ab(), {x}", (), "ab") for x in PRIOR}
    assert found.text_of(SECOND) == "ab" and found.learned_roles(PRIOR) == dict.fromkeys(
        PRIOR, "ab"
    )
    assert not found.guessed
    turned = found._replace(flipped=True)
    assert [turned.arrays()[x] for x in PRIOR] == [2.0, 3.0], "said, not guessed"
    guess = claims({"ab": [2.0, 3.0]})
    assert guess.guessed == (BOTH,) and guess.text_of(FIRST) == "ab"
    assert [guess.arrays()[x] for x in PRIOR] == [2.0, 3.0]
    assert [guess._replace(flipped=True).arrays()[x] for x in PRIOR] == [3.0, 2.0]


def test_pairs_are_those_of_as_many_latents():
    """Of two arrays of two, one has a row for each of the latents."""
    values = {"x": np.ones((3, 2)), "y": np.ones(2)}
    found = claims(values, (*PRIOR, *OWN), size=3)
    assert found.texts == {BOTH: "y", "guide.concentrations": "x"}
    with pytest.raises(NamesError):
        claims(values, (*PRIOR, *OWN), size=4)


@pytest.mark.parametrize(
    ("shape", "axis"), [((2,), 0), ((5, 2), 1), ((2, 5), 0), ((2, 2), 1), ((2, 3, 2), 2)]
)
def test_the_last_axis_of_two_comes_apart(shape, axis):
    values = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    found = claims({"ab": values}, names={BOTH: "ab"}).arrays()
    for i, role in enumerate(PRIOR):
        np.testing.assert_array_equal(found[role], values.take(i, axis=axis))


def test_an_axis_of_two_is_needed():
    with pytest.raises(ValueError, match=r"prior.concentrations has shape \(3,\): an axis of two"):
        claims({"ab": [1.0, 2.0, 3.0]}, names={BOTH: "ab"}).arrays()


HELD = er.Beta(3.0, 9.0)


def test_a_prior_that_is_held():
    found = claims({}, prior=HELD)
    assert {role: x.item() for role, x in found.held.items()} == {FIRST: 3.0, SECOND: 9.0}
    assert found.arrays() == found.held and found.learned_roles(PRIOR) == {}
    assert found.text_of(FIRST) == FIRST


def test_one_of_its_numbers_may_be_learned():
    found = claims({"a": 2.0}, names={FIRST: "a"}, prior=HELD)
    assert {role: x.item() for role, x in found.held.items()} == {SECOND: 9.0}
    assert found.learned_roles(PRIOR) == {FIRST: "a"}
    found = claims({"m": 0.5}, names={MEAN: "m"}, prior=HELD)
    assert {role: x.item() for role, x in found.held.items()} == {TOTAL: 12.0}
    found = claims({"s": 0.5}, names={TOTAL: "s"}, prior=HELD)
    assert {role: x.item() for role, x in found.held.items()} == {MEAN: 0.25}


def test_a_held_prior_beside_a_guide():
    """The guide's own names leave the prior held."""
    found = claims(STORE, (*PRIOR, *OWN), {role: NAMED[role] for role in OWN}, HELD)
    assert set(found.held) == {*PRIOR}


BESIDE = {
    "both": {FIRST: "a", SECOND: "b"},
    "in one array": {BOTH: "ab"},
    "mean and total": {MEAN: "a", TOTAL: "b"},
}


@pytest.mark.parametrize("case", BESIDE)
def test_all_of_a_prior_is_not_learned_beside_one_that_is_held(case):
    said = " and ".join(BESIDE[case])
    with pytest.raises(NamesError, match=f"{said} stand beside a prior that is held: if the prior"):
        claims({"a": 1.0, "b": 2.0, "ab": [1.0, 2.0]}, names=BESIDE[case], prior=HELD)


@pytest.mark.parametrize("names", [None, {"guide.probs": "AutoDelta.c"}])
def test_a_point_is_turned_into_its_logit(names):
    values = {"prior_alpha": 1.0, "prior_beta": 2.0, "AutoDelta.c": [0.25, 0.75]}
    found = claims(values, POINT, names)
    np.testing.assert_allclose(found.arrays()["guide.logits"], special.logit([0.25, 0.75]))
    assert found.texts["guide.logits"] == "AutoDelta.c" and "guide.probs" not in found.texts
    assert found.expressions["guide.logits"].functions == ("logit",)
    for wrong in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"AutoDelta\.c"):
            claims({**values, "AutoDelta.c": [wrong, 0.5]}, POINT, names)


def test_a_sigmoid_around_a_point_is_undone():
    values = {"prior_alpha": 1.0, "prior_beta": 2.0, "x": [-3.0, 3.0]}
    found = claims(values, POINT, {"guide.probs": "sigmoid(x)"})
    assert found.arrays()["guide.logits"].tolist() == [-3.0, 3.0]
    assert found.expressions["guide.logits"].functions == ()
    assert found.texts["guide.logits"] == "sigmoid(x)" and "guide.probs" not in found.texts
    found = claims(values, POINT, {"guide.probs": "sigmoid(sigmoid(x))"})
    np.testing.assert_allclose(found.arrays()["guide.logits"], special.expit([-3.0, 3.0]))
    assert found.expressions["guide.logits"].functions == ("sigmoid",)


def test_points_that_are_no_guess():
    """Two points say nothing; NumPyro's name of AutoDelta's point says it of that guide alone."""
    priors = {"prior_alpha": 1.0, "prior_beta": 2.0}
    with pytest.raises(NamesError, match=r"which parameter is guide\.logits"):
        claims(priors | {"AutoDelta.c": 0.5, "probs": 0.5}, POINT)
    numpyro = priors | {"c_auto_loc": 0.25}
    assert claims(numpyro, POINT).arrays()["guide.logits"] == 0.25
    delta = claims(numpyro, POINT, delta=True).arrays()["guide.logits"]
    assert delta == pytest.approx(special.logit(0.25))
    said = claims(numpyro | {"y": 1.5}, POINT, {"guide.logits": "y"}, delta=True)
    assert said.arrays()["guide.logits"] == 1.5


def test_numbered_parameters():
    values = {f"a_{i}": float(i) for i in (10, 9, 2)} | {"b": 1.0}
    found = claims(values, names={FIRST: "exp(a_*)", SECOND: "b"})
    np.testing.assert_array_equal(found.arrays()[FIRST], np.exp([2.0, 9.0, 10.0]))
    assert set(found.values) == {"a_*", "b"}
    histories = {"a_0": [1.0, 2.0, 3.0], "a_1": [4.0, 5.0, 6.0], "b": 1.0}
    found = claims(histories, names={FIRST: "a_*", SECOND: "b"})
    assert found.arrays()[FIRST].tolist() == [[1, 4], [2, 5], [3, 6]]
    literal = claims({"a*": 1.0, "a_1": 2.0, "b": 1.0}, names={FIRST: "a*", SECOND: "b"})
    assert literal.arrays()[FIRST] == 1.0


REFUSED = {
    "'guide.loc' is none of the roles prior.concentration1": (STORE, {"guide.loc": "a"}),
    "prior.concentration1 is given twice": (STORE, {FIRST: "a", "log(prior.concentration1)": "b"}),
    "there is no parameter 'x'": (STORE, {FIRST: "x"}),
    r"there is no parameter 'x_\*'; the store has: a, b": (STORE, {FIRST: "x_*"}),
    r"there is no parameter 'a_\*_\*'": ({"a_1_2": 1.0, "a_2_2": 1.0}, {FIRST: "a_*_*"}),
    r"'a_\*' is one number and one shape each, not a_01: \(\), a_1: \(\)": (
        {"a_1": 1.0, "a_01": 1.0}, {FIRST: "a_*"}
    ),
    r"one number and one shape each, not a_1: \(\), a_2: \(2,\)": (
        {"a_1": 1.0, "a_2": [1.0, 2.0]}, {FIRST: "a_*"}
    ),
    "the prior is given by the two concentrations, or mean and concentration": (
        STORE, {FIRST: "a", MEAN: "b"}
    ),
    "not by several of these": (STORE, {BOTH: "qa", TOTAL: "b"}),
    "'a' has two roles, prior.mean and prior.concentration": (STORE, {MEAN: "a", TOTAL: "a"}),
    f"a={FIRST} is the wrong way round: the role comes first, as in {FIRST}=a": (
        STORE, {"a": FIRST}
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refusals(message):
    values, names = REFUSED[message]
    with pytest.raises(NamesError, match=message):
        claims(values, names=names)


def test_roles_that_may_be_one_parameter():
    """Both concentrations, the same one of prior and guide, or other functions of it."""
    same = claims({"a": 1.0}, names={FIRST: "a", SECOND: "a"})
    assert same.texts == {FIRST: "a", SECOND: "a"}
    roles = (*PRIOR, *OWN)
    shared = {FIRST: "a", SECOND: "b", OWN[0]: "a", OWN[1]: "b"}
    assert claims(STORE, roles, shared).texts == shared
    with pytest.raises(NamesError, match=f"'a' has two roles, {FIRST} and {OWN[1]}"):
        claims(STORE, roles, {FIRST: "a", SECOND: "b", OWN[1]: "a"})
    functions = {MEAN: "sigmoid(a)", TOTAL: "exp(a)"}
    assert claims({"a": 1.0}, names=functions).texts == functions
    rows = {MEAN: "qa[0]", TOTAL: "qa[1]"}
    assert claims(STORE, names=rows).texts == rows
    numbers = {MEAN: "0.5", TOTAL: "0.5"}
    assert claims({}, names=numbers).texts == numbers


def test_roles_of_the_guide():
    """Mean, total and one array belong to an owner of concentrations; probs to a point."""
    roles = (*PRIOR, "guide.loc", "guide.scale")
    for role in ("guide.mean", "guide.concentrations", "guide.probs"):
        with pytest.raises(NamesError, match=f"'{role}' is none of the roles"):
            claims(STORE, roles, {role: "a"})
    names = {FIRST: "a", SECOND: "b", "guide.mean": "qa", "guide.concentration": "qb"}
    assert claims(STORE, (*PRIOR, *OWN), names).text_of(OWN[0]) == "qa, qb"
    with pytest.raises(NamesError, match=r"prior\.concentrations, guide\.probs"):
        claims(STORE, POINT, {"x": "a"})


OTHERS = (
    "a prior that is computed from more than its two",
    "a prior of neither two concentrations nor a mean",
)
MISSING = {
    "two unknown names": ({"conc": 1.0, "x": 2.0}, {}, None, 2),
    "more names than roles": ({"x": 1.0, "y": 2.0, "z": 3.0}, {}, 0, 3),
    "none that is a concentration": ({"x": 1.0, "y": 2.0}, {}, 1, 2),
    "nothing": ({}, {}, 1, 0),
    "one of two": ({"x": 1.0, "a": 2.0}, {FIRST: "x"}, None, 0),
    "one of two, no concentration": ({"x": 1.0, "y": 2.0}, {FIRST: "x"}, 1, 0),
}


@pytest.mark.parametrize("case", MISSING)
def test_a_role_without_a_parameter(case):
    values, names, which, left = MISSING[case]
    with pytest.raises(UnknownRoleError) as caught:
        claims(values, names=names)
    text, error = str(caught.value), caught.value
    missing = SECOND if names else FIRST
    stored = ", ".join(sorted(values)) or "nothing"
    assert text.startswith(
        f"names does not say which parameter is {missing}; the store has: {stored}"
    )
    assert [x in text for x in OTHERS] == [which == 0, which == 1]
    assert error.owners == ["prior"] and len(error.left) == left


def test_parameters_that_differ_in_a_label():
    """In the order in which they stand; numbers come first where there are any."""
    values = {"a_south": [1.0], "a_north": [2.0], "b": 3.0}
    found = claims(values, names={FIRST: "a_*", SECOND: "b"}).arrays()
    np.testing.assert_array_equal(found[FIRST], [[1.0, 2.0]])
    numbered = {"a_1": [1.0], "a_0": [2.0], "b": 3.0}
    found = claims(numbered, names={FIRST: "a_*", SECOND: "b"}).arrays()
    np.testing.assert_array_equal(found[FIRST], [[2.0, 1.0]])


def test_a_store_without_a_guide_may_be_of_an_empty_one():
    """That is said where nothing of the guide is named."""
    prior = {FIRST: "a", SECOND: "b"}
    with pytest.raises(UnknownRoleError, match="a guide that has no parameters is called empty"):
        claims({"a": 1.0, "b": 2.0, "w": 3.0}, (*PRIOR, *OWN), prior)
    with pytest.raises(UnknownRoleError) as caught:
        claims({"a": 1.0, "b": 2.0, "w": 3.0}, (*PRIOR, *OWN), {**prior, OWN[0]: "w"})
    assert "empty" not in str(caught.value)


def test_a_guide_without_a_name_is_no_other_prior():
    with pytest.raises(UnknownRoleError) as caught:
        claims({"a": 1.0, "b": 2.0, "x": 3.0, "y": 4.0}, (*PRIOR, *OWN),
               {FIRST: "a", SECOND: "b"})  # fmt: skip
    assert not any(x in str(caught.value) for x in OTHERS)
    assert caught.value.owners == ["guide"] and set(caught.value.left) == {"x", "y"}
    with pytest.raises(UnknownRoleError) as caught:
        claims(STORE, (*PRIOR, *OWN))
    assert caught.value.owners == ["guide", "prior"] and set(caught.value.left) == {*STORE}
    with pytest.raises(UnknownRoleError, match=OTHERS[1]):
        claims({"w": 1.0, "x": 2.0, "y": 3.0, "z": 4.0}, (*PRIOR, *OWN))


def test_arguments_are_checked():
    check_claims(None, None)
    check_claims({FIRST: "a"}, HELD)
    for names in ("a", {1: "a"}, {"a": 1}):
        with pytest.raises(TypeError, match="names must be a mapping of roles to names, all str"):
            check_claims(names, None)
    for prior in (3.0, er.Beta([1.0, 2.0], 1.0)):
        with pytest.raises(TypeError, match="prior must be one Beta, not"):
            check_claims(None, prior)


def test_what_is_the_right_way_round():
    check_way_round({FIRST: "a"}, ["a"])
    check_way_round({FIRST: FIRST}, [FIRST])
    check_way_round({"x": FIRST}, ["a"])
    with pytest.raises(NamesError, match=f"a={FIRST} is the wrong way round"):
        check_way_round({"a": FIRST}, ["a"])
