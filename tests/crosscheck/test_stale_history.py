"""Histories without copies: every row the last one, beside losses that change."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref.crosscheck.stale_history import stale_history
from loss_models import in_two_steps, model_of

K, N = np.array([3, 11, 0, 7, 5, 9]), np.array([10, 20, 6, 7, 30, 12])
COUNTS, PRIOR = er.Counts(K, N), np.array([2.0, 3.0])
OWN = PRIOR[:, None] + [K, N - K]
ROLES = ("prior.concentration1", "prior.concentration0")
ROLES += ("guide.concentration1", "guide.concentration0")


def aliased(losses, prior=PRIOR, steps=60):
    """A history whose rows are all the last one, with a guide away from its posterior."""
    values = {"a": prior[0], "b": prior[1]} | dict(zip("cd", 1.3 * OWN, strict=True))
    rows = {name: np.repeat(np.asarray(x)[None], steps, axis=0) for name, x in values.items()}
    return er.cross_check(COUNTS, rows, losses=losses, names=dict(zip(ROLES, "abcd", strict=True)))


def drawn_losses(size, prior=PRIOR):
    rng = np.random.default_rng(3)
    c = rng.beta(*1.3 * OWN, (size, K.size))
    joint = stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, *prior)
    return -(joint - stats.beta.logpdf(c, *1.3 * OWN)).sum(axis=1)


@pytest.mark.thorough
def test_a_history_without_copies_is_said_to_be_one():
    """Judged as one set of final parameters, of which the last loss is."""
    losses = drawn_losses(30) + 40.0 * np.exp(-np.arange(30) / 8.0)
    verdict = aliased(losses, steps=30)
    assert verdict.mistakes == ("stale_history",), verdict
    assert verdict.tested


@pytest.mark.thorough
def test_a_history_without_copies_of_a_run_that_arrived_early():
    """Nothing in the losses changes but their noise, which is that of a guide further away."""
    noise = np.append(np.random.default_rng(5).normal(0, 9, 59), 0.0)
    assert aliased(drawn_losses(60) + noise).mistakes == ("stale_history",)


def test_negative_control_parameters_that_did_not_move():
    assert aliased(drawn_losses(60)).genuine


@pytest.mark.thorough
def test_negative_control_a_mistake_in_losses_of_parameters_that_did_not_move():
    assert "stale_history" not in aliased(-drawn_losses(60)).mistakes


def test_what_is_a_history_without_copies():
    """Several equal rows beside losses; what changes, or stands alone, is none."""
    one = stale_history(model_of(steps=3), np.arange(3.0))
    assert (one.name, one.status) == ("stale_history", "mistake")
    assert one.quantity.startswith("all 3 rows of the history are equal")
    assert stale_history(model_of(steps=1), np.arange(3.0)) is None
    assert stale_history(model_of(steps=3), np.zeros(0)) is None
    assert stale_history(model_of(steps=3), np.ones(3)) is None
    assert stale_history(in_two_steps(model_of()), np.arange(2.0)) is None
