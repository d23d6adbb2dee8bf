"""Two arrays side by side: which entries are off, the first of them, and the farthest."""

from __future__ import annotations

import numpy as np
import pytest

from elbo_ref.recording.replay.comparison import Comparison

OURS = np.zeros((3, 2))


def compared(theirs, allowance=1.0):
    return Comparison(np.asarray(theirs, float), OURS, np.broadcast_to(allowance, OURS.shape))


@pytest.mark.parametrize(
    ("value", "off"),
    [
        (1.0, False),
        (-1.0, False),
        (1.0 + 1e-12, True),
        (np.nan, True),
        (np.inf, True),
        (0.0, False),
    ],
)
def test_an_entry_is_off_beyond_its_allowance_or_where_it_is_no_number(value, off):
    theirs = OURS.copy()
    theirs[1, 1] = value
    found = compared(theirs)
    assert found.off.sum() == off and found.agree is not off
    assert not off or found.first() == (1, 1)


def test_the_farthest_is_so_in_units_of_its_allowance():
    theirs = [[0.5, -0.8], [0.3, 0.1], [0.0, 0.2]]
    assert compared(theirs).farthest() == (0, 1)
    allowance = np.array([[1.0, 1.0], [0.1, 1.0], [1.0, 1.0]])
    found = compared(theirs, allowance)
    assert found.farthest() == found.first() == (1, 0)
    assert compared(theirs, np.where(OURS == 0, 0.0, 1.0)).farthest() == (0, 1)
    small = compared(1e-9 * np.array(theirs), 1e-9 * allowance)
    assert small.farthest() == (1, 0)


def test_the_first_is_that_of_the_first_step():
    assert compared([[0.0, 0.0], [0.0, 5.0], [9.0, 9.0]]).first() == (1, 1)
    assert compared([[0.0, 7.0], [8.0, 5.0], [9.0, 9.0]]).first() == (0, 1)


def test_a_finding_has_the_values_at_its_index():
    found = compared([[0.0, 7.0], [8.0, 5.0], [9.0, 9.5]], 0.25)
    finding = found.finding("losses", "loss", (2, 1), "why", "mistake")
    assert (finding.theirs, finding.ours, finding.allowance) == (9.5, 0.0, 0.25)
    assert (finding.name, finding.quantity, finding.reason) == ("losses", "loss", "why")
