"""Parameters that a recording shows not to be moved, or not to be reached by a gradient."""

from __future__ import annotations

import numpy as np
import pytest

from elbo_ref.recording import Recording
from elbo_ref.recording.guide_sites import Argument
from elbo_ref.recording.parameter_findings import (
    _enters,
    left_behind,
    lost_on_the_way,
    moved_between,
    never_reached,
    nothing_registered,
)

STEPS = 6
ONES = np.ones((STEPS, 1))


def recording(gradients, **groups):
    """Parameters that stay where they are, unless it is said otherwise."""
    still = {name: np.ones(np.shape(x)) for name, x in gradients.items()}
    same = dict.fromkeys(("before", "after", "constrained"), still)
    steps = len(next(iter(gradients.values())))
    return Recording(losses=np.zeros(steps), gradients=gradients, **{**same, **groups})


def moves(**lengths):
    """Parameters before and after each step, and gradients of 1."""
    before = {x: np.ones((STEPS, 2)) for x in lengths}
    after = {x: before[x] + lengths[x] for x in lengths}
    return {"before": before, "after": after, "gradients": dict(before)}


@pytest.mark.parametrize(("learnable", "status"), [(["concentration1"], "mistake"), ([], "note")])
def test_a_run_without_a_parameter(learnable, status):
    """Tensors that could be learned were not registered; numbers were meant to be none."""
    site = {"program": "model", "name": "c", "class": "Beta", "observed": False}
    header = {"framework": "pyro", "sites": [{**site, "learnable": learnable}]}
    (finding,) = nothing_registered(Recording(losses=np.zeros(STEPS), header=header))
    assert finding.status == status and "the SVI has no parameter" in finding.quantity
    assert nothing_registered(recording(**moves(a=0.1), header=header)) == []


@pytest.mark.parametrize(
    ("rate", "reason"), [(0.0, "the learning rate is 0"), (0.1, "the optimizer does not have it")]
)
def test_a_parameter_that_no_step_moves(rate, reason):
    lr = {"a": np.full(STEPS, rate), "b": np.full(STEPS, 0.1)}
    (finding,) = left_behind(recording(**moves(a=0.0, b=0.1), lr=lr))
    assert (finding.name, finding.status) == ("gradient_detached", "mistake")
    assert finding.quantity == "a: there is a gradient, and no step follows it"
    assert finding.reason == reason


def test_negative_control_all_stand_still_or_there_is_no_gradient():
    assert left_behind(recording(**moves(a=0.0, b=0.0))) == []
    groups = moves(a=0.0, b=0.1)
    groups["gradients"]["a"] = np.zeros((STEPS, 2))
    assert left_behind(recording(**groups)) == []
    assert left_behind(recording(**moves(a=0.1, b=0.1))) == []


@pytest.mark.parametrize(("gradient", "told"), [(1e-15, False), (1e-13, True)])
def test_a_step_below_the_last_digit_moves_nothing(gradient, told):
    """A rate of 0.01 times the gradient beside the spacing of doubles at 1, 2e-16."""
    groups = moves(a=0.0, b=0.1)
    groups["gradients"]["a"] = np.full((STEPS, 2), gradient)
    lr = {"a": np.full(STEPS, 0.01)}
    for rates in (lr, {"b": lr["a"]}):
        assert bool(left_behind(recording(**groups, lr=rates))) is told


@pytest.mark.parametrize(("spacings", "told"), [(0.75, False), (1.0, False), (1.5, True)])
def test_without_a_rate_the_gradient_itself_is_the_step(spacings, told):
    groups = moves(a=0.0, b=0.1)
    groups["gradients"]["a"] = np.full((STEPS, 2), spacings * np.spacing(1.0))
    assert bool(left_behind(recording(**groups))) is told


@pytest.mark.parametrize(("rest", "told"), [(8e-6, False), (1e-3, True)])
def test_gradients_that_cancel_where_a_run_has_arrived(rest, told):
    """In float32 those of 120 latents leave rounding, of which a sum elsewhere is 0."""
    values = np.ones((STEPS, 1), np.float32)
    felt = Argument(values, np.full((STEPS, 1), rest), ("a",), size=2 * np.sqrt(120 * STEPS))
    found = recording(gradients={"a": np.zeros(STEPS)})
    assert bool(lost_on_the_way(found, {"prior.concentration1": felt})) is told


def argument(gradient, *sources):
    return Argument(np.ones((STEPS, 1)), gradient, sources)


@pytest.mark.parametrize(
    ("come", "lost"),
    [([1, 1, 1, 0, 0, 1], 2), ([0] * 6, 6), ([1] * 6, 0), ([1] * 5 + [0], 0)],
)
def test_a_clamp_between_a_parameter_and_its_argument(come, lost):
    felt = {"prior.concentration1": argument(np.ones((STEPS, 1)), "a")}
    gradients = {"a": np.array(come, float)}
    found = lost_on_the_way(recording(gradients=gradients), felt)
    words = "prior.concentration1 has a gradient, and none comes to a, in {} of 6 steps"
    assert [x.quantity for x in found] == [words.format(lost)] * (lost > 0)
    assert {x.name for x in found} <= {"gradient_detached"}


def test_an_argument_of_several_parameters_or_none_says_nothing():
    gradients = {"a": np.zeros(STEPS), "b": np.zeros(STEPS)}
    for sources in ((), ("a", "b"), ("c",)):
        felt = {"prior.concentration1": argument(np.ones((STEPS, 1)), *sources)}
        assert lost_on_the_way(recording(gradients=gradients), felt) == []
    later = {"prior.concentration1": argument(None, "b"), "guide.v": argument(ONES, "a")}
    (found,) = lost_on_the_way(recording(gradients=gradients), later)
    assert found.quantity.startswith("guide.v has a gradient, and none comes to a")
    none = {"prior.concentration1": argument(np.zeros((STEPS, 1)), "a")}
    assert lost_on_the_way(recording(gradients=gradients), none) == [], "nothing to be lost"


def test_values_that_no_gradient_reaches_are_noted_unless_there_are_minibatches():
    gradients = np.ones((STEPS, 3))
    gradients[:, 1:] = 0
    (note,) = never_reached(recording(gradients={"u": gradients, "v": np.ones((STEPS, 3))}))
    assert (note.name, note.status) == ("parameter", "note")
    assert note.quantity == "no gradient goes to 2 of the 3 values of u"
    rows = {"plate.rows": np.zeros((STEPS, 1))}
    assert never_reached(recording(gradients={"u": gradients}, observed=rows)) == []
    assert never_reached(recording(gradients={"u": np.zeros((STEPS, 3))})) == []


@pytest.mark.parametrize(("names", "name"), [("ab", "parameters_reset"), ("b", "parameter")])
def test_parameters_that_begin_anew_in_every_step(names, name):
    """All of them, as of a store that is cleared; one alone is something else's."""
    groups = moves(a=0.5, b=0.5)
    for x in "ab":
        if x in names:
            groups["before"][x] = 0 * groups["before"][x] + 2.0
        else:
            groups["before"][x] = groups["before"][x] + 0.5 * np.arange(STEPS)[:, None]
        groups["after"][x] = groups["before"][x] + 0.5
    (found,) = moved_between(recording(**groups))
    assert found.name == name


@pytest.mark.parametrize(("steps", "name"), [(3, "parameter"), (4, "parameters_reset")])
def test_three_returns_to_the_beginning_are_no_accident(steps, name):
    before = np.full((steps, 1), 2.0)
    groups = {"before": {"a": before}, "after": {"a": before + 0.5}}
    (found,) = moved_between(recording({"a": np.ones((steps, 1))}, **groups))
    assert found.name == name


@pytest.mark.parametrize("left_out", [0, 3])
def test_parameters_that_something_else_changes_between_steps(left_out):
    """After steps that were left out nobody knows."""
    groups = moves(a=0.5, b=0.5)
    for name, x in groups["before"].items():
        groups["before"][name] = x + 0.5 * np.arange(STEPS)[:, None]
        groups["after"][name] = groups["before"][name] + 0.5
    assert moved_between(recording(**groups)) == []
    groups["before"]["b"] = np.minimum(groups["before"]["b"], 2.0)
    header = {"left_out": left_out} if left_out else {}
    found = moved_between(recording(**groups, header=header))
    words = "b: changed between steps, 3 times"
    assert [(x.quantity, x.status) for x in found] == [(words, "note")] * (not left_out)


@pytest.mark.parametrize(
    ("steps", "lost", "told"), [(9, 2, False), (8, 2, False), (8, 3, True), (9, 3, True)]
)
def test_a_quarter_of_the_steps_may_lose_a_gradient(steps, lost, told):
    """A value may come to an end of its range now and then."""
    come, ones = np.ones(steps), np.ones((steps, 1))
    come[:lost] = 0.0
    felt = {"prior.concentration1": Argument(ones, ones, ("a",))}
    assert bool(lost_on_the_way(recording(gradients={"a": come}), felt)) == told


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_parameter_whose_function_is_the_mean_or_the_total(dtype):
    """By exp, softplus or sigmoid in the program, in the precision of the run."""
    one, zero = (np.linspace(*x, STEPS, dtype=dtype)[:, None] for x in ((0.5, 0.9), (2.0, 1.0)))
    both = {f"prior.concentration{i}": Argument(x, None, ("m",)) for i, x in ((1, one), (0, zero))}
    total, mean = one + zero, one / (one + zero)
    inverses = np.log(total), np.log(np.expm1(total)), np.log(mean / (1 - mean))
    for value in inverses:
        assert _enters(value, both, "prior."), value
        assert not _enters(value + np.asarray(1e-3, dtype), both, "prior.")


def test_a_parameter_that_is_the_mean_or_the_total_of_two_that_move():
    """To rounding, however small; with one concentration alone there is neither."""
    one = Argument(np.linspace(1e-4, 3e-4, STEPS)[:, None], None, ("a",))
    zero = Argument(np.linspace(2.0, 1.0, STEPS)[:, None], None, ("b",))
    both = {"prior.concentration1": one, "prior.concentration0": zero}
    total = one.values + zero.values
    for value in (total, one.values / total, (one.values / total)[:, 0]):
        assert _enters(value, both, "prior.")
        assert _enters(value * (1 + 2e-16), both, "prior.")
        assert not _enters(value * (1 + 1e-11), both, "prior.")
        for role, x in both.items():
            assert not _enters(value, {role: x}, "prior.")
        wide = {role: x._replace(values=np.tile(x.values, 3)) for role, x in both.items()}
        assert _enters(value, wide, "prior."), "spelled out for each latent"
        assert _enters(np.tile(value.reshape(STEPS, 1), 3), wide, "prior."), "of as many values"
        assert not _enters(np.tile(value.reshape(STEPS, 1), 2), wide, "prior.")
        still = {
            **both,
            "prior.concentration1": Argument(one.values[:1] + 0 * one.values, None, ()),
        }
        assert not _enters(value, still, "prior.")
