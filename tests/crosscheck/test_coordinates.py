"""Free coordinates that an optimizer moves, and the gradients with respect to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from elbo_ref.crosscheck.coordinates import Coordinates, Moved, mean_and_total
from elbo_ref.guides.constraints import EXP, SOFTPLUS
from loss_models import OWN, model_of

FIRST, SECOND = "prior.concentration1", "prior.concentration0"
A, B = "guide.concentration1", "guide.concentration0"


def softplus(u):
    return np.log1p(np.exp(u))


def test_mean_and_total():
    np.testing.assert_array_equal(mean_and_total(np.array([[1.0, 6.0], [3.0, 2.0]])),
                                  [[0.25, 0.75], [4.0, 8.0]])  # fmt: skip


KNOWN = {
    "mean": ((), ("sigmoid",)),
    "concentration": ((), ("exp",), ("softplus",)),
    "concentration1": ((), ("exp",), ("softplus",)),
    "scale": ((), ("exp",), ("softplus",)),
    "logits": ((), ("logit",)),
    "loc": ((),),
}
FUNCTIONS = ((), ("exp",), ("softplus",), ("sigmoid",), ("logit",), ("exp", "exp"))


@pytest.mark.parametrize("what", KNOWN)
def test_functions_whose_free_coordinate_is_known(what):
    for functions in FUNCTIONS:
        role = f"guide.{what}"
        found = Coordinates({role: Moved("x", functions)})
        known = functions in KNOWN[what]
        assert found.known == ({"x": role} if known else {}), functions
        assert found.unknown == (() if known else (role,)), functions


def test_roles_that_move_together():
    moved = {
        FIRST: Moved("x"),
        SECOND: Moved("x"),
        A: Moved("y", ("exp",)),
        B: Moved("z", ("log",)),
    }
    found = Coordinates(moved)
    assert found.of_prior == (FIRST, SECOND)
    assert found.known == {"x": FIRST, "y": A}
    assert found.unknown == (B,)


def test_values():
    model = model_of(steps=2)
    plain = Coordinates({}).values(model)
    assert list(plain) == [FIRST, SECOND, A, B]
    assert plain[SECOND].tolist() == [[3.0], [3.0]] and plain[A].tolist() == [OWN["beta"][0]] * 2
    by_mean = Coordinates({}, ("prior",)).values(model)
    assert list(by_mean) == ["prior.mean", "prior.concentration", A, B]
    assert by_mean["prior.mean"].tolist() == [[0.4], [0.4]]
    both = Coordinates({}, ("guide",)).values(model)
    np.testing.assert_allclose(both["guide.concentration"], [[12.0, 11.0, 9.0]] * 2)


FREE = {
    (FIRST, ()): (np.log, 2.0),
    (FIRST, ("softplus",)): (lambda x: np.log(np.expm1(x)), 2.0),
    (FIRST, ("exp",)): (np.log, 2.0),
}


@pytest.mark.parametrize("case", FREE)
def test_free_coordinates(case):
    """Where nothing says the constraint it is the one that is given."""
    (role, functions), (free, value) = case, FREE[case]
    found = Coordinates({role: Moved("x", functions)}).free(model_of(), EXP)
    np.testing.assert_allclose(found[role], [[free(value)]])
    assert set(found) == {role}


def test_free_coordinates_of_every_kind():
    normal = model_of("normal")
    moved = {"guide.loc": Moved("l"), "guide.scale": Moved("s"), FIRST: Moved("p")}
    found = Coordinates(moved).free(normal, SOFTPLUS)
    loc, scale = map(np.array, OWN["normal"])
    np.testing.assert_allclose(found["guide.loc"], [loc])
    np.testing.assert_allclose(found["guide.scale"], [np.log(np.expm1(scale))])
    np.testing.assert_allclose(found[FIRST], [[np.log(np.expm1(2.0))]])
    point = Coordinates({"guide.logits": Moved("x", ("logit",))}).free(model_of("delta"), EXP)
    np.testing.assert_allclose(point["guide.logits"], [OWN["delta"][0]])
    by_mean = Coordinates({"prior.mean": Moved("m"), "prior.concentration": Moved("s")}, ("prior",))
    found = by_mean.free(normal, EXP)
    np.testing.assert_allclose(found["prior.mean"], special.logit([[0.4]]))
    np.testing.assert_allclose(found["prior.concentration"], np.log([[5.0]]))


def test_what_is_unknown_or_held_has_no_free_coordinate():
    moved = {FIRST: Moved("x", ("sigmoid",)), "guide.loc": Moved("y")}
    assert Coordinates(moved).free(model_of(), EXP) == {}


def height(prior, own):
    """Some function of two concentrations and of two for each latent, and its gradients."""
    w = np.arange(1.0, 1 + own.size).reshape(own.shape)
    value = (np.array([2.0, -0.7]) * prior**2).sum() + prior[0] * prior[1] + (w * own**1.5).sum()
    by_prior = np.array([4.0 * prior[0] + prior[1], -1.4 * prior[1] + prior[0]])
    return value, by_prior, 1.5 * w * np.sqrt(own)


GRADIENTS = {
    "concentrations": ((), {FIRST: np.exp, SECOND: softplus, A: np.exp, B: np.exp}),
    "mean and total of both": (
        ("prior", "guide"),
        {"prior.mean": special.expit, "prior.concentration": np.exp,
         "guide.mean": special.expit, "guide.concentration": softplus},
    ),
}  # fmt: skip
SAID = {softplus: ("softplus",), np.exp: (), special.expit: ()}


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients_are_those_of_free_coordinates(case):
    """Against central differences in each free coordinate."""
    by_mean, constraints = GRADIENTS[case]
    model = model_of(steps=3)
    model.prior[:, 2] *= 1.3
    prior, own = model.prior[:, 2, 0], model.guide_parameters[:, 2]
    _, by_prior, by_own = height(prior, own)
    moved = {role: Moved(role, SAID[f]) for role, f in constraints.items()}
    found = Coordinates(moved, by_mean).gradient(model, 2, EXP, (by_prior, by_own))
    assert set(found) == set(constraints)
    tables = {"prior": prior[:, None], "guide": own}
    names = {owner: [x for x in constraints if x.startswith(owner)] for owner in tables}

    def at(role, latent, shift):
        changed = {}
        for owner, x in tables.items():
            values = mean_and_total(x) if owner in by_mean else x.copy()
            for row, name in zip(values, names[owner], strict=True):
                if name == role:
                    free = {np.exp: np.log, softplus: lambda x: np.log(np.expm1(x)),
                            special.expit: special.logit}[constraints[role]](row)  # fmt: skip
                    free[latent] += shift
                    row[:] = constraints[role](free)
            if owner in by_mean:
                values = np.array((values[0] * values[1], (1 - values[0]) * values[1]))
            changed[owner] = values
        return height(changed["prior"][:, 0], changed["guide"])[0]

    for role in constraints:
        for latent, slope in enumerate(np.ravel(found[role])):
            difference = (at(role, latent, 1e-5) - at(role, latent, -1e-5)) / 2e-5
            assert slope == pytest.approx(difference, rel=1e-7), (role, latent)


def test_gradients_of_one_parameter_add_up():
    model = model_of("normal")
    slopes = np.array([5.0, 7.0]), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    moved = {FIRST: Moved("x"), SECOND: Moved("x"), "guide.loc": Moved("y"),
             "guide.scale": Moved("z", ("log",))}  # fmt: skip
    found = Coordinates(moved).gradient(model, 0, EXP, slopes)
    assert set(found) == {FIRST, "guide.loc"}
    np.testing.assert_allclose(found[FIRST], [5.0 * 2.0 + 7.0 * 3.0])
    np.testing.assert_allclose(found["guide.loc"], [1.0, 2.0, 3.0])
