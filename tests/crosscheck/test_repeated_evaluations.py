"""Evaluations of the same draws: one number, which counts once."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.repeated_evaluations import are_repeated
from loss_models import COUNTS, elbo_losses, model_of, posterior

ROLES = ("prior.concentration1", "prior.concentration0")
ROLES += ("guide.concentration1", "guide.concentration0")
OWN = 1.3 * posterior()
ONE = elbo_losses(np.random.default_rng(3), 1, own=OWN)[0]


def checked(evaluations, **options):
    values = {"a": 2.0, "b": 3.0} | dict(zip("cd", OWN, strict=True))
    names = dict(zip(ROLES, "abcd", strict=True))
    return er.cross_check(COUNTS, values, evaluations=evaluations, names=names, **options)


def test_one_number_for_many_draws_is_of_the_same_draws():
    verdict = checked(np.full(20, ONE))
    assert verdict.mistakes == ("repeated_draws",), verdict
    (found,) = verdict.having("mistake")
    assert found.quantity.startswith("all 20 evaluations are the same number")


def test_numpyros_state_has_its_draws_and_they_count_once():
    """Twenty of which none differs would not be random; one may be."""
    verdict = checked(np.full(20, ONE), framework="numpyro")
    assert verdict.genuine, verdict
    assert "evaluations" in {x.name for x in verdict.having("note")}
    assert ONE in {x.theirs for x in verdict.having("agrees")}


@pytest.mark.thorough
@pytest.mark.parametrize("framework", ["pyro", "numpyro"])
def test_one_number_may_be_wrong_as_well(framework):
    """Many nats off, of draws that count once."""
    verdict = checked(np.full(20, ONE + 50.0), framework=framework)
    assert "loss_mismatch" in verdict.mistakes, verdict
    assert ("repeated_draws" in verdict.mistakes) is (framework == "pyro")


CASES = {
    "all alike": (model_of(own=OWN), np.full(3, ONE), True),
    "one that is not": (model_of(own=OWN), np.append(np.full(9, ONE), ONE + 1e-9), False),
    "two": (model_of(own=OWN), np.full(2, ONE), False),
    "printed in few digits": (model_of(own=OWN), np.full(5, 6.1), False),
    "of a point": (model_of("delta"), np.full(5, ONE), False),
    "of the exact posterior": (model_of(own=posterior()), np.full(5, ONE), False),
    "of a guide without parameters": (model_of("empty"), np.full(5, ONE), False),
    "of a history's end": (model_of(own=OWN, steps=4), np.full(5, ONE), True),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_repeated(case):
    """Not where nothing is random, nor where the printed digits hide what is."""
    model, evaluations, said = CASES[case]
    assert are_repeated(model, evaluations) is said
