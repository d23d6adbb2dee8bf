"""Runs that became NaN: from which step on, and in which quantity."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.not_finite import not_finite

NONE, NAN = np.zeros(0), np.nan
PRIOR = {"prior.concentration1": 2.0, "prior.concentration0": 3.0}
GUIDE = {"guide.concentration1": 4.0, "guide.concentration0": 8.0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"losses": [3.0, NAN, NAN]}, "the losses are nan from step 1 on"),
        (
            {"losses": [3.0, np.inf, 2.0]},
            "the losses are infinite at step 1, and finite again later",
        ),
        ({"evaluations": [NAN, NAN]}, "the evaluations are nan from evaluation 0 on"),
        ({"guide": NAN}, "guide.concentration1 is nan (1 of 1 values)"),
    ],
)
def test_a_verdict_says_where(given, said):
    changed = {"guide.concentration1": given.pop("guide", 4.0)}
    verdict = er.cross_check(er.Counts(3, 10), PRIOR | GUIDE | changed, **given)
    assert (verdict.mistakes, verdict.exit_code) == (("not_finite",), 4)
    assert verdict.findings[0].quantity == said
    assert "NaN" not in verdict.to_json()


@pytest.mark.parametrize(
    ("losses", "values", "impossible"),
    [
        ([np.inf, np.inf], {"a": 2.0}, True),
        ([np.inf, NAN], {"a": 2.0}, False),
        ([-np.inf, -np.inf], {"a": 2.0}, False),
        ([3.0, np.inf], {"a": 2.0}, False),
        ([np.inf, np.inf], {"a": NAN}, False),
    ],
)
def test_losses_that_were_infinite_all_along_are_of_rows_that_cannot_be(losses, values, impossible):
    values = {name: np.asarray(x) for name, x in values.items()}
    found = not_finite(values, np.array(losses), NONE)
    assert ("more successes than trials" in found[0].reason) == impossible


def test_a_history_says_from_which_step():
    steps, losses = 5, np.array([3.0, 3.1, 2.9, NAN, NAN])
    a = np.full((steps + 1, 4), 2.0)
    a[3:, 1] = NAN
    found = [
        finding.quantity for finding in not_finite({"a": a, "b": np.ones((6, 4))}, losses, NONE)
    ]
    assert found[0] == "the losses are nan from step 3 on"
    assert "a is nan from step 3 on" in found


def test_negative_control_finite_numbers_are_no_finding():
    assert not_finite({"a": np.ones(3)}, np.ones(3), np.ones(2)) == ()


@pytest.mark.parametrize("rows", [1, 2])
def test_beside_one_loss_there_is_no_history(rows):
    a = np.append(np.ones(rows - 1), NAN)
    (found,) = not_finite({"a": a}, np.ones(1), NONE)
    assert found.quantity == f"a is nan (1 of {rows} values)"
