"""Losses beside the parameters that they belong to."""

from __future__ import annotations

import re

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.alignment import Losses, align, computed_in
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.guides import GUIDES
from elbo_ref.io.parameters import read_parameters
from elbo_ref.objectives import OBJECTIVES

NONE, TRACE = np.zeros(0), OBJECTIVES["trace"]


def model(steps):
    """Priors that tell the steps apart."""
    prior = np.stack([np.arange(1.0, steps + 1), np.ones(steps)])[:, :, None]
    own = np.full((2, steps, 2), 2.0)
    return LossModel(er.Counts([1, 2], 3), GUIDES["beta"], TRACE, 1, prior, own, "float64")


def columns(aligned):
    return (aligned.model.prior[0, :, 0] - 1).astype(int).tolist()


@pytest.mark.parametrize("more", [0, 1])
def test_a_history_of_before_each_step(more):
    """With or without the parameters after the last; evaluations are at the end."""
    aligned = align(model(4 + more), np.arange(4.0) / 7, np.array([0.5, 0.25]), None)
    assert columns(aligned) == [0, 1, 2, 3, 3 + more, 3 + more]
    assert aligned.labels[3:5] == ("loss of step 3", "evaluation 0")
    assert (aligned.kind, aligned.paired) == ("losses", 0 if more else 4)
    assert aligned.losses.allowance(1.0).tolist() == [0, 0, 0, 0, 0.005, 0.005]


def test_a_history_of_after_each_step():
    """Each loss moves to the entry before its own, the first has none; evaluations stay."""
    aligned = align(model(4), np.arange(4.0) / 7, np.array([0.5]), None)
    later = aligned.one_later()
    assert columns(later) == [0, 1, 2, 3]
    assert later.labels == ("loss of step 1", "loss of step 2", "loss of step 3", "evaluation 0")
    assert later.one_later() is None
    assert align(model(5), np.arange(4.0), NONE, None).one_later() is None


def test_three_losses_are_the_fewest_that_are_paired_anew():
    for size, some in ((2, False), (3, True)):
        aligned = align(model(size), np.arange(float(size)) / 7, NONE, None)
        assert (aligned.one_later() is not None) is some


def test_some_losses_are_evenly_spread_and_are_no_history():
    some = align(model(9), np.arange(9.0) / 7, NONE, None).some(3)
    assert columns(some) == [0, 4, 8] and (some.paired, some.one_later()) == (0, None)
    assert some.labels == ("loss of step 0", "loss of step 4", "loss of step 8")
    assert some.losses.values.tolist() == [0.0, 4 / 7, 8 / 7]


def test_one_set_of_parameters():
    """Only the last loss is compared, with an allowance for a step; a shorter one allows less."""
    losses = np.arange(5.0) / 7
    aligned = align(model(1), losses, NONE, None)
    assert aligned.losses.values.tolist() == [losses[-1]]
    assert aligned.labels == ("loss of step 4",)
    slow = align(model(1), losses, NONE, er.Adam(lr=0.01))
    assert 0 < 5 * slow.losses.allowance(1.0)[0] < aligned.losses.allowance(1.0)[0]


@pytest.mark.parametrize(("late", "told"), [(1e-3, True), (5.0, False)])
def test_losses_without_noise_say_how_far_a_step_moves_them(late, told):
    """Three times the largest change between the last five; of four losses it is not known."""
    point = model(1)._replace(guide=GUIDES["delta"], guide_parameters=np.full((1, 1, 2), 0.3))
    losses = 9 / 7 + late * np.array([40.0, 4.0, 3.0, 2.5, 2.0, 1.9])
    whole = align(point, losses[-1:], NONE, None).losses.allowance(1.0)[0]
    (allowance,) = align(point, losses, NONE, None).losses.allowance(1.0)
    assert bool(allowance < whole) is told
    if told:
        assert allowance == pytest.approx(3 * late)
    assert align(point, losses[-4:], NONE, None).losses.allowance(1.0)[0] == whole
    seen = np.array([[[1.0, 2.0]], [[2.0, 1.0]]])
    exact = model(1)._replace(guide=GUIDES["conjugate"], guide_parameters=seen)
    steady = np.full(6, losses[-1])
    assert align(exact, steady, NONE, None).losses.allowance(1.0)[0] == 0.0
    noisy = align(model(1), losses, NONE, None).losses.allowance(1.0)[0]
    assert noisy == align(model(1), losses[-1:], NONE, None).losses.allowance(1.0)[0]


def test_a_loss_that_a_step_may_have_changed_by_more_than_it_is_worth():
    """It is untested, in numbers, and rules nothing out; with a small rate it is compared."""
    counts, c = er.Counts([162, 300], [2087, 5000]), [0.078, 0.06]
    said = {"guide": "delta", "prior": er.Beta(2.0, 20.0), "names": {"guide.probs": "c"}}
    found = er.cross_check(counts, {"c": c}, losses=[3.0], **said)
    (words,) = (x.quantity for x in found.having("untested") if x.quantity.startswith("the losses"))
    numbers = re.search(
        r"may have changed it by (\S+) nats, more than the (\S+) nats that would tell a mistake;",
        words,
    )
    assert (
        float(numbers[1]) > float(numbers[2]) == pytest.approx(1 - found.exact["objective"], 1e-4)
    )
    assert found.ruled_out == () and not found.genuine
    loss = -found.exact["objective"]
    slow = er.cross_check(counts, {"c": c}, losses=[loss], optimizer=er.Adam(lr=1e-3), **said)
    assert slow.genuine and "wrong_sign" in slow.ruled_out
    assert er.cross_check(counts, {"c": c}, evaluations=[[loss], [loss]], **said).genuine


def test_the_allowance_holds_a_step_of_each_parameter():
    from elbo_ref.crosscheck.distribution import expected_losses

    here, losses = model(1), np.array([1 / 7])
    (allowance,) = align(here, losses, NONE, er.Adam(lr=0.1)).losses.allowance(1.0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        prior, own = (x * np.exp(rng.choice([-0.1, 0.1], x.shape)) for x in here[4:6])
        moved = here._replace(prior=prior, guide_parameters=own)
        assert abs(expected_losses(moved) - expected_losses(here))[0] < allowance


def test_nothing_and_what_does_not_fit():
    assert align(model(3), NONE, NONE, None) is None
    with pytest.raises(ValueError, match="there are 2 losses and 4 sets of parameters"):
        align(model(4), np.ones(2), NONE, None)
    with pytest.raises(ValueError, match="loss 1 is nan"):
        align(model(2), np.array([1.0, np.nan]), NONE, None)


def test_the_type_of_a_run():
    short, long = np.float32([1 / 3, 2 / 7]).astype(float), np.array([1 / 3, 2 / 7])
    plain, single = (read_parameters({"a": x}) for x in (1.0, np.float32([1.0])))
    assert computed_in(plain, short, NONE) == computed_in(single, long, NONE) == "float32"
    assert computed_in(plain, long, NONE) == computed_in(plain, NONE, NONE) == "float64"
    assert computed_in(plain, np.array([0.25, 1.5]), NONE) == "float64"  # printed so
    numbers = read_parameters({"a": short.tolist()})  # losses averaged over particles are not short
    assert computed_in(numbers, short / 3, NONE) == "float32"
    assert computed_in(read_parameters({"a": long.tolist()}), short / 3, NONE) == "float64"


@pytest.mark.parametrize("kind", ["losses", "evaluations"])
@pytest.mark.parametrize("values", [[1e308], [3.0, -1e101], [1e200, 1e180]])
def test_a_loss_too_large_for_any_model(kind, values):
    with pytest.raises(ValueError, match=r"loss [01] is .*: leave out what is beyond 1e\+100"):
        er.cross_check(COUNTS_OF_ONE, GIVEN, names=ROLES, **{kind: values})


@pytest.mark.thorough
def test_a_rate_that_takes_a_step_anywhere():
    """The loss before that step then says nothing; evaluations do."""
    rate = {"names": ROLES, "optimizer": er.Adam(lr=1e308)}
    found = er.cross_check(COUNTS_OF_ONE, GIVEN, losses=[9.3], **rate)
    untested = [finding.quantity for finding in found.having("untested")]
    assert "the losses (at this learning rate a step changes them by any amount)" in untested
    found = er.cross_check(COUNTS_OF_ONE, GIVEN, losses=[9.3], evaluations=[900.0] * 3, **rate)
    assert found.outcome == "mistake"


COUNTS_OF_ONE = er.Counts(3, 10)
GIVEN = {"a0": 2.0, "b0": 3.0, "a": 4.0, "b": 8.0}
ROLES = {
    "prior.concentration1": "a0",
    "prior.concentration0": "b0",
    "guide.concentration1": "a",
    "guide.concentration0": "b",
}


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.01])
def test_what_a_step_changes_is_multiplied_as_losses_are(factor):
    """Rounding of the numbers that were handed in is not."""
    losses = Losses(np.array([0.25, 0.5]), np.array([0.005, 0.005]), np.array([2.0, 0.0]))
    assert losses.allowance(factor) == pytest.approx([0.005 + 2 * abs(factor), 0.005], rel=1e-15)
    (last,) = losses.at(np.array([1])).allowance(factor)
    assert last == 0.005
