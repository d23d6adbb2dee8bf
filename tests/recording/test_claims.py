"""Claims about a run beside what its recording states."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.guides import GUIDES
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.claims import _another_guide, compare
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
    found = [x for x in claimed(statement, **claims) if x.status != "untested"]
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


FAMILIES = (("beta", "beta_shared", "conjugate", "conjugate_detached", "tied"), ("empty",),
            ("normal",), ("laplace",), ("delta", "none"))  # fmt: skip


@pytest.mark.parametrize("seen", GUIDES)
@pytest.mark.parametrize("said", GUIDES)
def test_a_guide_of_another_family_or_origin(seen, said):
    """Beta guides are one family, of which another origin may only be said where it is seen."""
    alike = any(seen in x and said in x for x in FAMILIES)
    origin = GUIDES[said].origin in ("own", GUIDES[seen].origin)
    found = _another_guide(GUIDES[seen], GUIDES[said])
    if alike and origin:
        assert found == []
        return
    (finding,) = found
    name = "latent_not_in_guide" if seen == "empty" else "another_guide"
    assert (finding.name, finding.status) == (name, "mistake")
    assert finding.quantity == f"the guide is {seen!r}, said to be {said!r}"


def test_a_prior_that_latents_have_of_their_own():
    """The first latent that departs gives the number."""
    c = np.full((2, 1, 3), 0.25)
    own = np.array([[2.0, 2.0, 2.0], [2.0, 3.0, 4.0]])
    held = read_statement(stated(c, betas((own, 5.0))))
    (finding,) = claimed(held, prior=er.Beta(2.0, 5.0))
    assert finding.quantity == "concentration1 of the prior at step 1"
    assert (finding.theirs, finding.ours) == (3.0, 2.0)


def test_names_that_are_exchanged_where_one_value_is_all_latents():
    """A parameter of one number is the argument of every latent."""
    c = np.full((2, 1, 3), 0.25)
    parameters = {"a": np.full((2, 1), 2.0), "b": np.full((2, 1), 5.0)}
    groups = dict.fromkeys(("before", "constrained", "gradients", "after"), parameters)
    prior = np.array([[2.0, 2.0, 2.0]] * 2), np.array([[5.0, 5.0, 5.0]] * 2)
    made = read_statement(stated(c, betas(prior), **groups))
    names = {"prior.concentration1": "b", "prior.concentration0": "a"}
    (finding,) = claimed(made, names=names)
    assert (finding.theirs, finding.ours, finding.allowance) == (5.0, 2.0, 0.0)
    assert finding.reason == "the site 'c' has it for concentration0"
    untested, finding = claimed(made, names={**names, "prior.concentration0": "z"})
    assert (finding.name, finding.theirs, finding.ours) == ("mixed_roles", 5.0, 2.0)
    assert untested.status == "untested" and "the names z " in untested.quantity
    for wrong in ({"a": 2.5}, {"b": 4.0}):
        off = {name: x + (wrong.get(name, x) - x) * [[0], [1]] for name, x in parameters.items()}
        groups = dict.fromkeys(("before", "constrained", "gradients", "after"), off)
        other = read_statement(stated(c, betas(prior), **groups))
        found = claimed(other, names=names)
        assert {x.name for x in found} == {"mixed_roles"}, "exchanged in every step"


def _moving(**groups):
    """Two steps of three latents with the prior Beta(0.5, 2), then Beta(0.6, 2.4)."""
    c = np.full((2, 1, 3), 0.25)
    groups = dict.fromkeys(("before", "constrained", "gradients", "after"), groups)
    prior = np.array([[0.5] * 3, [0.6] * 3]), np.array([[2.0] * 3, [2.4] * 3])
    return read_statement(stated(c, betas(prior), **groups))


TOTAL = np.array([[2.5], [3.0]])


@pytest.mark.parametrize(
    ("mean", "names", "off"),
    [
        (0.2, {"prior.mean": "m", "prior.concentration": "s"}, []),
        (0.2, {"logit(prior.mean)": "logit(m)", "prior.concentration": "exp(l)"}, []),
        (0.2, {"prior.concentration": "l"}, []),
        (0.2, {"prior.mean": "both[0]", "prior.concentration": "both[1]"}, []),
        (0.25, {"prior.mean": "m", "prior.concentration": "s"}, ["m"]),
        (0.2, {"prior.mean": "s", "prior.concentration": "m"}, ["s", "m"]),
        (0.2, {"prior.concentration1": "s"}, ["s"]),
        (0.2, {"prior.concentration1": "pair[1]", "prior.concentration0": "pair[0]"}, ["pair[1]"]),
        (0.2, {"prior.concentration1": "pair[1]", "prior.concentration0": "l"}, ["pair[1]", "l"]),
        (0.2, {"prior.mean": "four"}, ["four"]),
        (0.2, {"guide.loc": "four"}, []),
        (0.2, {"prior.mean": "0.7", "prior.concentration": "x"}, ["0.7"]),
        (0.2, {"prior.mean": "0.2"}, []),
        (0.2, {"guide.loc": "m"}, []),
    ],
)
def test_names_for_a_mean_and_a_total(mean, names, off):
    """Of the sites' concentrations; what no role, size or parameter fits says nothing."""
    mean = np.full((2, 1), mean)
    both = np.stack((mean[:, 0], TOTAL[:, 0]), axis=1)
    parameters = {"m": mean, "s": TOTAL, "l": np.log(TOTAL), "both": both, "four": np.ones((2, 4))}
    parameters["pair"] = TOTAL * [0.2, 0.8]
    found = [x for x in claimed(_moving(**parameters), names=names) if x.status != "untested"]
    assert [x.quantity.partition(",")[0] for x in found] == off
    name = "swapped_concentrations" if off == ["pair[1]"] else "mixed_roles"
    assert {x.name for x in found} <= {name}
    if off == ["m"]:
        assert (found[0].theirs, found[0].ours) == pytest.approx((0.25, 0.2))


def test_a_name_for_two_roles_one_of_which_is_exchanged():
    """Each role is judged by itself, whatever else has its name."""
    pair = {"one": np.full((2, 1), 0.5) + [[0], [0.1]], "zero": np.full((2, 1), 2.0) + [[0], [0.4]]}
    names = {"prior.concentration1": "zero", "prior.concentration0": "one", "prior.mean": "zero"}
    found = claimed(_moving(**pair), names=names)
    assert [x.name for x in found] == ["swapped_concentrations", "mixed_roles"]
    assert found[1].quantity.startswith("zero, said to be prior.mean")
