"""Distinct pairs: by a table of all pairs where few are possible, else by sorting."""

import numpy as np
import pytest

from elbo_ref.counts import Counts, distinct


@pytest.mark.parametrize("top", [3, 50, 10**7])
@pytest.mark.parametrize("size", [1, 7, 300])
def test_distinct(size, top):
    """Every entry is found again, multiplicities add up, pairs rise by N, then K."""
    rng = np.random.default_rng(size)
    n = rng.integers(0, top, size)
    counts = Counts(rng.integers(0, n, endpoint=True), n, rng.integers(0, 4, size))
    found, entry = distinct(counts)
    np.testing.assert_array_equal(found.successes[entry], counts.successes)
    np.testing.assert_array_equal(found.total_count[entry], n)
    wanted = np.zeros(len(found), np.int64)
    np.add.at(wanted, entry, counts.multiplicity)
    np.testing.assert_array_equal(found.multiplicity, wanted)
    pairs = list(zip(found.total_count.tolist(), found.successes.tolist(), strict=True))
    assert pairs == sorted(set(pairs))


def test_multiplicities_beyond_53_bits_are_exact():
    found, _ = distinct(Counts([1, 1], 2, [2**60 + 1, 2]))
    assert found.multiplicity.tolist() == [2**60 + 3]
