"""`elbo_ref.estimates.maxima`: the evidence maximum of each group."""

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.estimates import maxima
from elbo_ref.estimates.parameters import MOST_PRIORS, given


@pytest.fixture
def asked(monkeypatch):
    """The maxima whose intervals were asked for; each costs a tenth of a second."""
    found = []

    def noted(maximum, _):
        found.append(maximum)
        return given(1.0, 1.0)

    monkeypatch.setattr(maxima, "of_maximum", noted)
    return found


def test_intervals_are_computed_when_they_are_asked_for(asked):
    """Those of the rows that are printed, of a row that is looked up; all in a frame, once."""
    size = MOST_PRIORS + 10
    counts = er.Counts(np.zeros(2 * size, int), 10)
    found = maxima.maxima_by(counts, np.repeat(np.arange(size), 2))
    found.to_dict()
    assert not asked
    assert found[3].mean == 0.5
    assert len(asked) == 1
    assert "... 10 more ..." in str(found)
    assert len(asked) <= MOST_PRIORS + 1
    assert found.to_csv().count("\n") == size + 1
    assert len(asked) == len({id(x) for x in asked}) == size
    assert found.parameters[3].mean.value == 0.5
