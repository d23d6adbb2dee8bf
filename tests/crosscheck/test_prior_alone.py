"""Stores that hold the parameters of the prior and none of the guide."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref.crosscheck.distribution import loss_distribution
from elbo_ref.crosscheck.prior_alone import (
    can_tell,
    guide_is_absent,
    height_of,
    settled,
    worth_of_prior,
)
from elbo_ref.guides import GUIDES
from loss_models import COUNTS, elbo_losses, model_of

PRIOR = {"a": 2.0, "b": 3.0}
NAMES = {"prior.concentration1": "a", "prior.concentration0": "b"}
BETA = GUIDES["beta"]


def shaped(**shapes):
    return {name: np.ones(shape) for name, shape in shapes.items()}


def absent(values, names=NAMES, guide=BETA, prior=None):
    arrays = {name: np.asarray(x, float) for name, x in values.items()}
    return guide_is_absent(COUNTS, arrays, guide, names, prior)


WEIGHTS = shaped(**{"net.0.weight": (20, 6), "net.0.bias": (20,)})
LEFT = {
    "nothing": ({}, True),
    "a network's layers by name": (WEIGHTS, True),
    "a bias of as many as latents, by name": (shaped(**{"net.bias": 3}), True),
    "a matrix that no latents have": (shaped(w=(20, 6)), True),
    "a matrix with as many columns as latents": (shaped(w=(20, 3)), False),
    "a matrix of as many values as latents": (shaped(w=(1, 3)), False),
    "a matrix with an axis of one": (shaped(w=(20, 1)), False),
    "a vector": (shaped(w=20), False),
    "one value": (shaped(w=()), False),
    "the guide's by name": (shaped(guide_w=(20, 6)), False),
    "the guide's weight by name": (shaped(**{"guide.weight": (20, 6)}), True),
    "one of both kinds": (WEIGHTS | shaped(w=4), False),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_is_left_beside_the_prior(case):
    values, expected = LEFT[case]
    assert absent(PRIOR | values) is expected


def test_stores_that_say_something_of_a_guide():
    """By a name, by a role, or by being of a guide without parameters or a model without prior."""
    assert not absent(PRIOR, NAMES | {"guide.concentration1": "a"})
    for guide in ("empty", "tied", "none"):
        assert not absent(PRIOR, guide=GUIDES[guide])
    owned = {"prior.concentration1": "guide_a", "prior.concentration0": "b"}
    assert not absent({"guide_a": 2.0, "b": 3.0}, owned)
    assert not absent({"x": 2.0}, None), "no role can be told"
    assert absent({"prior_alpha": 2.0, "prior_beta": 3.0}, None)


def test_a_prior_that_is_held():
    """Then something of a network must be left, and nothing be used at all is enough."""
    held = er.Beta(2.0, 3.0)
    assert not absent({}, None, prior=held)
    assert absent(WEIGHTS, None, prior=held)
    assert absent(WEIGHTS | {"a": 1.0}, {"prior.concentration1": "a"}, prior=held)
    assert not absent({"a": 1.0}, {"prior.concentration1": "a"}, prior=held)


def test_losses_of_known_parameters():
    none, some = np.zeros(0), np.ones(3)
    assert can_tell(none, some, 1) and can_tell(some, some, 1) and can_tell(some, none, 2)
    assert not can_tell(some, none, 1) and not can_tell(none, none, 5)


def test_losses_that_have_settled():
    """Ten that change by a ten-thousandth of what they are; the last is then an evaluation."""
    none = np.zeros(0)
    for change, still in ((0.95, True), (1.05, False)):
        losses = np.r_[50.0, np.full(9, 9.0), 9.0 - change * 1e-3]
        assert settled(losses, none).tolist() == ([losses[-1]] if still else [])
    assert settled(np.full(9, 9.0), none).size == 0
    assert settled(np.full(10, -9.0), none).tolist() == [-9.0]
    assert settled(np.r_[8.0, np.full(9, 9.0)], none).size == 0
    assert settled(np.full(10, 9.0), np.array([3.0, 4.0])).tolist() == [3.0, 4.0]


def height(model, losses):
    return height_of(model, np.zeros(0), losses, 0)


def test_the_height_of_a_model_that_losses_fit():
    """The log likelihood, by their density; none where they do not fit."""
    losses = elbo_losses(np.random.default_rng(1), 10)
    found = height(model_of(), losses)
    law = loss_distribution(model_of(steps=10), np.random.default_rng(0))[0]
    assert found == pytest.approx(law.log_density(losses).sum(), rel=1e-6)
    assert height(model_of(), losses + 40) is None
    assert height(model_of(), losses[:9]) is None, "too few"
    assert height(model_of(), np.full(10, law.mean[0])) is None, "too little spread"
    assert height_of(model_of(), np.zeros(0), np.zeros(0), 0) is None


@pytest.mark.parametrize("still", [True, False])
@pytest.mark.parametrize("off", [1e-6, 1e-2])
def test_one_evaluation_of_a_model_without_noise(still, off):
    """In float32 it is right within rounding, if the last losses have no noise either."""
    outcomes = np.array([COUNTS.successes, COUNTS.failures], float)
    model = model_of("conjugate", own=outcomes, dtype="float32")
    exact = loss_distribution(model, np.random.default_rng(0))[0].mean[0]
    losses = exact + np.random.default_rng(2).normal(0, 1e-7 if still else 3.0, 20)
    found = height_of(model, losses, np.array([exact * (1 + off)]), 0)
    assert (found == np.inf) is (still and off < 1e-3)


def test_a_spread_that_is_too_little():
    """A sum of squares as small as in one of a hundred runs."""
    law = loss_distribution(model_of(particles=50), np.random.default_rng(0))[0]
    ends = np.where(np.arange(10) % 2, 1.0, -1.0) * np.sqrt(law.variance)
    edge = np.sqrt(stats.chi2.ppf(0.01, 10) / 10)
    for factor, some in ((0.99, False), (1.01, True)):
        found = height(model_of(particles=50), law.mean + factor * edge * ends)
        assert (found is not None) is some


def test_a_model_without_noise_is_infinitely_high():
    given = model_of("delta")
    law = loss_distribution(given, np.random.default_rng(0))[0]
    assert height(given, law.mean) == np.inf and height(given, law.mean + 1) is None


def test_the_worth_of_a_prior():
    prior = er.Beta(2.0, 3.0)
    here, highest = er.log_evidence(prior, COUNTS), er.maximize_evidence(COUNTS).log_evidence
    note, untested = worth_of_prior(COUNTS, prior, np.zeros(0))
    assert note.quantity == (
        f"the log evidence of the prior is {here:.5g}, {highest - here:.5g} nats below "
        "the highest of any prior"
    )
    assert (note.status, untested.status) == ("note", "untested")
    _, gap, _ = worth_of_prior(COUNTS, prior, np.array([0.5, 1.5]) - here)
    assert gap.quantity.startswith(
        "the mean of 2 evaluations is 1 nats above minus the log evidence"
    )
