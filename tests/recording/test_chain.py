"""Gradients of parameters beside those of the arguments that they are."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from elbo_ref.recording.guide_sites import Argument
from elbo_ref.recording.replay.chain import compare_parameters
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.statement import read_statement
from recorded import Made


@pytest.fixture(scope="module")
def made():
    return Made()


def found(recording):
    return compare_parameters(read_statement(recording))


def with_gradients(made, **changed):
    """The parameters' gradients are others, those of the arguments stay."""
    recording = made.recording()
    return replace(recording, gradients={**recording.gradients, **changed})


def test_a_clean_run_is_silent(made):
    assert found(made.recording()) == []


@pytest.mark.parametrize("factor", [3.0, -1.0, 0.5])
@pytest.mark.parametrize("name", ["a", "qa"])
def test_a_factor_of_all_steps(made, factor, name):
    own = made.recording().gradients[name]
    (finding,) = found(with_gradients(made, **{name: factor * own}))
    assert (finding.name, finding.status) == ("gradient_scaled", "mistake")
    assert name in finding.quantity and finding.reason.startswith(f"{factor:g} times")


def test_another_gradient_may_be_a_hook(made):
    own = made.recording().gradients["qa"]
    (finding,) = found(with_gradients(made, qa=np.clip(own, -1e-3, 1e-3)))
    assert finding.status == "note" and "a hook on the parameter" in finding.reason


def test_gradients_that_an_earlier_loop_left(made):
    own = made.recording().gradients["qa"].copy()
    own[0] += 100.0
    (finding,) = found(with_gradients(made, qa=own))
    assert finding.status == "note"
    assert finding.reason == "those of the first step are others: older gradients were left in them"


def test_rounding_is_none(made):
    own = made.recording().gradients["qa"]
    assert found(with_gradients(made, qa=own * (1 + 1e-6))) == []


@pytest.mark.parametrize("kind", ["interval", "corr_cholesky"])
def test_a_constraint_that_is_not_known_is_not_compared(made, kind):
    recording = with_gradients(made, qa=3 * made.recording().gradients["qa"])
    constraints = {**recording.header["constraints"], "qa": kind}
    assert found(replace(recording, header={**recording.header, "constraints": constraints})) == []


def test_a_tied_guide_adds_to_the_gradient_of_the_prior():
    tied = Made("tied")
    assert found(tied.recording()) == []
    (finding,) = found(with_gradients(tied, a=3 * tied.recording().gradients["a"]))
    assert finding.name == "gradient_scaled"


def test_a_parameter_of_two_arguments_is_not_compared(made):
    """A symmetric prior: its gradient is that of both."""
    recording = with_gradients(made, a=3 * made.recording().gradients["a"])
    both = {"concentration1": ["a"], "concentration0": ["a"]}
    sites = [{**x, "sources": both} if x["program"] == "model" and x["name"] == "c" else x
             for x in recording.header["sites"]]  # fmt: skip
    assert found(replace(recording, header={**recording.header, "sites": sites})) == []


def test_it_is_a_part_of_the_verdict(made):
    own = made.recording().gradients["a"]
    assert "gradient_scaled" in replay(with_gradients(made, a=3 * own)).mistakes


# -- one parameter that is one argument, spelled out ----------------------------------------------


def one(theirs, gradient, values, kind="positive", size=0.0):
    """A parameter q that is the argument x, with gradients of both."""
    values = np.asarray(values)
    return {"x": (np.asarray(theirs, float), np.asarray(gradient, float), values, kind, size)}


def of(**arguments):
    """What is said of some of them; each has the parameter of its own name."""
    statement = SimpleNamespace(
        recording=SimpleNamespace(
            header={"constraints": {name: x[3] for name, x in arguments.items()}},
            constrained={name: x[2] for name, x in arguments.items()},
            gradients={name: x[0] for name, x in arguments.items()},
            num_steps=len(next(iter(arguments.values()))[2]),
        ),
        arguments={
            name: Argument(x[2].reshape(len(x[2]), -1), x[1], (name,), x[4])
            for name, x in arguments.items()
        },
    )
    return compare_parameters(statement)


VALUES = np.array([[0.5], [2.0], [4.0]])
GRADIENT = np.array([[3.0], [-1.0], [0.25]])
SLOPES = {
    "positive": VALUES,
    "softplus_positive": 1 - np.exp(-VALUES),
    "real": np.ones((3, 1)),
}


@pytest.mark.parametrize("kind", SLOPES)
def test_the_slope_of_each_constraint(kind):
    """The parameter's gradient is the argument's times d constrained/d free."""
    theirs = GRADIENT * SLOPES[kind]
    assert of(**one(theirs, GRADIENT, VALUES, kind)) == []
    other = theirs * np.array([[1.0], [1.2], [1.0]])
    assert [x.status for x in of(**one(other, GRADIENT, VALUES, kind))] == ["note"]


def test_a_hundredth_of_the_gradient_is_near():
    """Across it no factor is near; along it a factor is, whatever the unit of the gradient."""
    for unit in (1e-3, 1.0, 1e3):
        ours = unit * np.array([[3.0], [4.0]])
        across, length = unit * np.array([[4.0], [-3.0]]), 1.0
        values = np.ones((2, 1))
        for off, status in ((0.0099, None), (0.0101, "note")):
            found = of(**one(ours + off * length * across, ours, values))
            assert [x.status for x in found] == ([status] if status else [])
        for factor in (0.989, 1.011, 40.0, -0.02):
            (finding,) = of(**one(factor * ours, ours, values))
            assert (finding.name, finding.status) == ("gradient_scaled", "mistake")
            assert finding.reason.startswith(f"{factor:g} times")
        for factor in (0.991, 1.009):
            assert of(**one(factor * ours, ours, values)) == []
        for factor, off, name in ((20.0, 0.19, "gradient_scaled"), (20.0, 0.21, "parameter")):
            (finding,) = of(**one(factor * ours + off * across, ours, values))
            assert finding.name == name


def test_zero_beside_something_is_no_factor():
    ones, zeros = np.ones((3, 1)), np.zeros((3, 1))
    for theirs, ours in ((ones, zeros), (zeros, ones)):
        (finding,) = of(**one(theirs, ours, ones))
        assert finding.status == "note" and "hook" in finding.reason
    assert of(**one(zeros, zeros, ones)) == []


def test_the_first_step_alone_has_older_gradients():
    ours = np.array([[1.0], [2.0], [-1.0]])
    for off, older in (([9.0, 0.0, 0.0], True), ([9.0, 1.0, 0.0], False), ([0, 0, 5.0], False)):
        (finding,) = of(**one(ours + np.array(off)[:, None], ours, np.ones((3, 1))))
        assert ("first step" in finding.reason) is older
    for steps, older in ((2, True), (1, False)):
        off = np.array([[9.0], [0.0]])[:steps]
        zero = np.zeros((steps, 1))  # beside nothing there is no factor
        (finding,) = of(**one(zero + off, zero, np.ones((steps, 1))))
        assert ("first step" in finding.reason) is older


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_256_roundings_of_what_a_gradient_is_added_up_from(dtype):
    """In the precision of the parameter; its slope, the largest, is a factor."""
    values = np.array([[0.5], [4.0]], dtype)
    room = 256 * np.finfo(dtype).eps * 1e3 * 4.0
    for share, status in ((0.9, []), (1.1, ["note"])):
        off = np.array([[share * room], [0.0]])
        found = of(**one(off, np.zeros((2, 1)), values, size=1e3))
        assert [x.status for x in found] == status
        later = off[::-1] + [[9.0], [0.0]]
        (finding,) = of(**one(later, np.zeros((2, 1)), values, size=1e3))
        assert ("first step" in finding.reason) is not status


def test_gradients_of_latents_add_up_to_that_of_one_value():
    by_latent = np.array([[1.0, 2.0, 4.0], [0.5, -1.0, 3.0]])
    values = np.array([[2.0], [3.0]])
    theirs = values * by_latent.sum(axis=1, keepdims=True)
    assert of(**one(theirs, by_latent, values)) == []
    assert of(**one(2 * theirs, by_latent, values))[0].name == "gradient_scaled"
    wide = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert of(**one((wide * by_latent)[:, :, None], by_latent, wide[:, :, None])) == []
    assert of(**one(3 * wide * by_latent, by_latent, wide))[0].name == "gradient_scaled"


def test_what_is_passed_over_does_not_hide_what_follows():
    """Each is passed over for a reason of its own, and the last has twice its gradient."""
    ones = np.ones((3, 1))
    (bad,) = one(2 * GRADIENT, GRADIENT, ones).values()
    unknown = (bad[0], bad[1], ones, "interval", 0.0)
    unlike = (np.ones((3, 2)), np.ones((3, 3)), np.ones((3, 2)), "real", 0.0)
    none = (bad[0], None, ones, "real", 0.0)
    for first in (unknown, unlike, none):
        assert [x.quantity for x in of(first=first, last=bad)] == [
            "the gradients of the parameter last"
        ]
    assert of(first=unknown) == of(first=unlike) == of(first=none) == []


def test_a_parameter_that_is_computed_into_an_argument_is_not_compared():
    """Or reshaped into one of another width."""
    statement = SimpleNamespace(
        recording=SimpleNamespace(
            header={}, constrained={"q": VALUES}, gradients={"q": GRADIENT}, num_steps=3
        ),
        arguments={"x": Argument(VALUES, GRADIENT / 7, ("q",))},
    )
    for header, said in (({}, 0), ({"constraints": {"q": "real"}}, 1)):
        statement.recording.header = header
        assert len(compare_parameters(statement)) == said
    for values in (2 * VALUES, np.repeat(VALUES, 2, axis=1)):
        statement.arguments = {"x": Argument(values, GRADIENT / 7, ("q",))}
        assert compare_parameters(statement) == []
    for sources in ((), ("q", "r")):
        statement.arguments = {"x": Argument(VALUES, GRADIENT / 7, sources)}
        assert compare_parameters(statement) == []
