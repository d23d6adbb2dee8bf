"""`maximize_evidence` of huge counts: decided, and the bracket holds the truth at 60 digits.

The sets are the first ones of `benchmarks/huge_counts.py`, each recipe in turn.
"""

import sys

import mpmath
import numpy as np
import pytest

from places import ROOT
from tiers import few

sys.path.append(str(ROOT / "benchmarks"))
import huge_counts

mp = mpmath.mp.clone()
mp.dps = 60


def height_at(counts, a, b):
    """The log evidence of all counts, by log-gammas."""
    columns = counts.successes, counts.total_count, counts.multiplicity
    total = mp.mpf(0)
    for k, n, w in zip(*(column.tolist() for column in columns), strict=True):
        choose = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)
        up = mp.loggamma(a + k) - mp.loggamma(a)
        down = mp.loggamma(b + n - k) - mp.loggamma(b)
        total += w * (choose + up + down - (mp.loggamma(a + b + n) - mp.loggamma(a + b)))
    return total


def binomial_height(counts):
    """The highest binomial log likelihood, with one c for all latents."""
    columns = counts.successes, counts.total_count, counts.multiplicity
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    c = mp.mpf(sum(w * k for k, _, w in rows)) / sum(w * n for _, n, w in rows)
    total = mp.mpf(0)
    for k, n, w in rows:
        choose = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)
        total += w * (choose + k * mp.log(c) + (n - k) * mp.log(1 - c))
    return total


def others(counts, maximum, rng):
    """Priors near the maximum, along its ridge and beside it, from 1e-3 to 1e6 times as far."""
    s = maximum.concentration if maximum.prior else float(counts.total_count.max())
    mean = mp.mpf(maximum.mean)
    step = mp.sqrt(mean * (1 - mean) / int(counts.total_count.max()))
    for far in (0.0, 1e-6, -1e-6, 1e-2, -1e-2, 0.3, -0.3, 2.0, -2.0, 7.0, -7.0, 14.0):
        m = mean + step * mp.mpf(rng.normal()) * min(abs(far), 1)
        x = mp.mpf(s) * mp.exp(mp.mpf(far))
        yield x * m, x * (1 - m)


@pytest.mark.parametrize("index", few([i for i in range(1, 72) if i != 54], 2))
def test_decided_and_the_bracket_holds_the_truth(index):
    _, counts = huge_counts.set_of(index)
    counts = type(counts)(*(x[:30] for x in (counts.successes, counts.total_count)),
                          multiplicity=counts.multiplicity[:30])  # fmt: skip
    maximum, _ = huge_counts.answer(counts)
    proof = maximum.proof
    assert proof.decided, maximum
    assert huge_counts.is_narrow(maximum), maximum
    limit = binomial_height(counts)
    reached = limit
    if maximum.prior is not None:
        a, b = (mp.mpf(float(x)) for x in maximum.prior.arrays())
        reached = height_at(counts, a, b)
    assert proof.lower <= reached <= proof.upper, (maximum, reached)
    rng = np.random.default_rng(index)
    for a, b in others(counts, maximum, rng):
        assert height_at(counts, a, b) <= proof.upper, (maximum, a, b)
    assert limit <= proof.upper


def test_a_lower_bracket_would_be_noticed():
    """Negative control: the height of a prior one standard error away is below the bracket."""
    _, counts = huge_counts.set_of(2)
    maximum, _ = huge_counts.answer(counts)
    a, b = (mp.mpf(float(x)) for x in maximum.prior.arrays())
    shift = mp.sqrt((a + b) / int(counts.total_count.max()))
    assert height_at(counts, a + mp.sqrt(a) / 10 * shift, b) < maximum.proof.lower
    assert height_at(counts, a * 2, b * 2) < maximum.proof.lower


@pytest.mark.thorough
@pytest.mark.parametrize("index", [2, 20, 38, 1, 6])
def test_confidence_regions_are_proven(index):
    _, counts = huge_counts.set_of(index)
    region = huge_counts.answer(counts)[0].confidence_interval("concentration")
    assert region.proven
