"""Claims about a run beside what its recording states."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.claims import compare
from elbo_ref.recording.statement import read_statement
from recorded import NAMES, Made, betas, stated

NOTHING = {"guide": None, "loss": None, "names": {}, "prior": None}


@pytest.fixture(scope="module")
def made():
    return Made()


@pytest.fixture(scope="module")
def statement(made):
    return read_statement(made.recording())


def claimed(statement, **claims):
    return compare(statement, **{**NOTHING, **claims})


def test_nothing_claimed(statement):
    assert claimed(statement) == []


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"guide": "beta"}, None),
        ({"guide": "normal"}, "another_guide"),
        ({"loss": "trace"}, None),
        ({"loss": "trace_mean_field"}, "another_loss"),
        ({"names": NAMES}, None),
        ({"names": {"prior.concentration1": "a"}}, None),
        ({"names": {**NAMES, "guide.logits": "y"}}, None),
    ],
)
def test_claims_that_hold_say_nothing(statement, claims, name):
    found = claimed(statement, **claims)
    assert [x.name for x in found] == ([name] if name else [])
    assert all(x.status == "mistake" for x in found)


@pytest.mark.parametrize("owner", ["prior", "guide"])
def test_names_that_are_exchanged(statement, owner):
    one, zero = f"{owner}.concentration1", f"{owner}.concentration0"
    (finding,) = claimed(statement, names={one: NAMES[zero], zero: NAMES[one]})
    assert finding.name == "swapped_concentrations"
    assert finding.quantity.startswith(f"{NAMES[zero]}, said to be {one}")


def test_names_of_equal_values_are_not_exchanged():
    c = np.full((3, 1, 3), 0.25)
    parameters = {name: np.full(3, 2.0) for name in "ab"}
    groups = dict.fromkeys(("before", "constrained", "gradients", "after"), parameters)
    symmetric = read_statement(stated(c, betas((2.0, 2.0)), **groups))
    for first, second in ("ab", "ba"):
        names = {"prior.concentration1": first, "prior.concentration0": second}
        assert claimed(symmetric, names=names) == []


def test_a_prior_that_was_held(made):
    c = np.full((3, 1, 3), 0.25)
    held = read_statement(stated(c, betas((2.0, 5.0))))
    assert claimed(held, prior=er.Beta(2.0, 5.0)) == []
    (finding,) = claimed(held, prior=er.Beta(2.0, 4.0))
    assert (finding.name, finding.theirs, finding.ours) == ("wrong_fixed_prior", 5.0, 4.0)
    assert finding.quantity == "concentration0 of the prior at step 0"
    moving = replay(made.recording(), prior=er.Beta(2.0, 5.0))
    assert moving.mistakes == ("wrong_fixed_prior",)
    assert "at step 1" in moving.having("mistake")[0].quantity


@pytest.mark.parametrize("first", [1e-3, 2.0, 1e3])
def test_a_prior_is_held_to_a_millionth(first):
    c = np.full((3, 1, 3), 0.25)
    held = read_statement(stated(c, betas((first, 5.0))))
    for off, some in ((0.9e-6, False), (1.1e-6, True)):
        for sign in (1, -1):
            claim = er.Beta(first * (1 + sign * off), 5.0)
            assert bool(claimed(held, prior=claim)) is some


def test_a_claim_does_not_change_what_is_compared(made):
    recording = made.recording()
    alone = replay(recording)
    claims = {"guide": "delta", "loss": "trace_mean_field", "prior": er.Beta(1.0, 1.0)}
    verdict = replay(recording, **claims)
    assert set(verdict.mistakes) == {"another_guide", "another_loss", "wrong_fixed_prior"}
    assert verdict.having("agrees") == alone.having("agrees")


def test_claims_in_words_that_are_none(made):
    recording = made.recording()
    with pytest.raises(TypeError, match="prior must be one Beta"):
        replay(recording, prior=er.Beta([1.0, 2.0], 1.0))
    with pytest.raises((TypeError, ValueError)):
        replay(recording, names={"prior.concentration1": 1})
    with pytest.raises(ValueError, match=r"a=prior\.concentration1 is the wrong way round"):
        replay(recording, names={"a": "prior.concentration1"})
