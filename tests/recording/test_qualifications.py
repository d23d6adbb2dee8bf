"""Notes without which a verdict on a recording would say too much."""

from __future__ import annotations

import numpy as np
import pytest

from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording.replay.qualifications import qualifications
from elbo_ref.recording.rows import Data
from recorded import COUNTS

ONE = Data.of(COUNTS)
TWO = ONE._replace(
    successes=np.vstack([ONE.successes, ONE.successes[:, ::-1]]),
    total_count=np.vstack([ONE.total_count, ONE.total_count[:, ::-1]]),
)
SCALE = (Finding("scale", "", status="note"),)


@pytest.mark.parametrize(
    ("data", "counts", "known", "said"),
    [
        (TWO, None, (), True),
        (TWO, COUNTS, (), False),
        (TWO, None, SCALE, False),
        (TWO._replace(batched=True), None, (), False),
        (ONE, None, (), False),
    ],
)
def test_minibatches_of_unknown_data(data, counts, known, said):
    """A plate or the counts say of how many rows they are, or a scale does."""
    found = list(qualifications(known, data, counts))
    assert [x.name for x in found] == ["scale"] * said
    assert all("their scale may be wrong" in x.of for x in found)


def test_rows_with_a_mistake_are_those_of_the_exact_numbers():
    noted = [Finding("likelihood_weight", "", status=status) for status in ("mistake", "note")]
    for finding, said in zip(noted, (True, False), strict=True):
        found = list(qualifications((), ONE._replace(findings=(finding,)), None))
        assert [x.name for x in found] == ["as_handed_in"] * said
