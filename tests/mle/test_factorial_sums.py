"""`mle.factorial_sums`: sums over weighted offsets against the sums themselves, at any size."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import special

import elbo_ref as er
from elbo_ref.mle.factorial_sums import FactorialSums, WeightedOffsets, _in_pieces, _octave

FUNCTIONS = {
    "log(1 + t/a)": lambda t, a: np.log1p(t / a),
    "1/(a + t)": lambda t, a: 1 / (a + t),
    "t/(a + t)": lambda t, a: t / (a + t),
    "1/(a + t)^2": lambda t, a: 1 / (a + t) ** 2,
    "t^2/(a + t)^2": lambda t, a: (t / (a + t)) ** 2,
}


def every_offset(outcome, multiplicity):
    """The slow twin: each offset j, weighted by how many latents have an outcome above j."""
    j = np.arange(outcome.max(initial=0))
    weight = (multiplicity[:, None] * (outcome[:, None] > j)).sum(axis=0)
    return WeightedOffsets(j.astype(float), weight.astype(float))


def total(offsets, function, a):
    return math.fsum((offsets.weight * function(offsets.offset, a)).tolist())


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 9)), min_size=1,
        max_size=8,
    ),
    log_a=st.floats(-7, 16),
)  # fmt: skip
def test_sums_are_the_sums_over_all_offsets(rows, log_a):
    k, f, w = (np.array(column) for column in zip(*rows, strict=True))
    sums = FactorialSums.of(er.Counts(k, k + f, w))
    a = math.exp(log_a)
    up, down, both = (every_offset(x, w) for x in (k, f, k + f))
    excess = WeightedOffsets(both.offset, both.weight.copy())
    excess.weight[: down.weight.size] -= down.weight
    for name, function in FUNCTIONS.items():
        for offsets, slow in zip(sums[:4], (up, down, both, excess), strict=True):
            got, wanted = total(offsets, function, a), total(slow, function, a)
            assert got == pytest.approx(wanted, rel=4e-15, abs=1e-300), (name, a, rows)


def test_a_rule_of_too_few_nodes_would_be_noticed():
    """Negative control: the same comparison with one octave left to 3 Gauss nodes."""
    n, name = np.array([256]), "1/(a + t)"
    offsets, slow = FactorialSums.of(er.Counts(n, n)).successes, every_offset(n, np.array([1]))
    octave = offsets.offset >= 128
    nodes, weights = np.polynomial.legendre.leggauss(3)
    few = WeightedOffsets(
        np.append(offsets.offset[~octave], 191.5 + 64 * nodes),
        np.append(offsets.weight[~octave], 64 * weights),
    )
    wanted = total(slow, FUNCTIONS[name], 40.0)
    assert total(offsets, FUNCTIONS[name], 40.0) == pytest.approx(wanted, rel=1e-15)
    assert abs(total(few, FUNCTIONS[name], 40.0) / wanted - 1) > 1e-7


@pytest.mark.parametrize("n", [10**6, 2**40 + 1, 10**18, 2**63 - 1])
@pytest.mark.parametrize("a", [1e-3, 7.0, 1e6, 1e15])
def test_huge_counts_against_polygammas(n, a):
    """sum 1/(a + t) = psi(a + n) - psi(a), and two more, at 40 digits."""
    offsets = FactorialSums.of(er.Counts(n, n)).successes
    assert offsets.offset.size < 750
    with mpmath.workdps(60):
        x, m = mpmath.mpf(a), mpmath.mpf(n)
        digamma = mpmath.psi(0, x + m) - mpmath.psi(0, x)
        trigamma = mpmath.psi(1, x) - mpmath.psi(1, x + m)
        logs = mpmath.loggamma(x + m) - mpmath.loggamma(x) - m * mpmath.log(x)
    wanted = [float(digamma), float(trigamma), float(logs)]
    names = ("1/(a + t)", "1/(a + t)^2", "log(1 + t/a)")
    got = [total(offsets, FUNCTIONS[name], a) for name in names]
    np.testing.assert_allclose(got, wanted, rtol=3e-15)


@pytest.mark.thorough
def test_many_distinct_outcomes():
    """More runs in an octave than nodes: Lanczos's rule is still the sum."""
    rng = np.random.default_rng(5)
    k = rng.integers(0, 40_000, 3000)
    sums = FactorialSums.of(er.Counts(k, 40_000))
    slow = every_offset(k, np.ones_like(k))
    assert sums.successes.offset.size <= 32 + 12 * 11
    for function in FUNCTIONS.values():
        for a in (0.01, 30.0, 1e5):
            assert total(sums.successes, function, a) == pytest.approx(
                total(slow, function, a), rel=4e-15
            )


@pytest.mark.thorough
def test_very_many_distinct_outcomes(monkeypatch):
    """Tens of thousands of runs in one octave, in pieces first: as without the pieces, and
    sum_j U_j/(a + j) = sum over latents of psi(a + K) - psi(a)."""
    k = np.random.default_rng(9).integers(2**20, 2**21, 60_000)
    counts = er.Counts(k, 2**21)
    offsets = FactorialSums.of(counts).successes
    assert offsets.offset.size <= 32 + 12 * 16
    for a in (0.3, 40.0, 1e4):
        wanted = math.fsum((special.psi(a + k) - special.psi(a)).tolist())
        assert total(offsets, FUNCTIONS["1/(a + t)"], a) == pytest.approx(wanted, rel=1e-13)
    monkeypatch.setattr("elbo_ref.mle.factorial_sums._MANY", 10**9)
    whole = FactorialSums.of(counts).successes
    assert not np.array_equal(whole.offset, offsets.offset)
    for function in FUNCTIONS.values():
        for a in (0.3, 1e4, 1e8):
            wanted = total(whole, function, a)
            assert total(offsets, function, a) == pytest.approx(wanted, rel=4e-15)


def test_weights_are_positive_and_offsets_rise():
    rng = np.random.default_rng(6)
    for scale in (5, 100, 10**5, 10**12):
        n = rng.integers(0, scale, 50)
        for offsets in FactorialSums.of(er.Counts(rng.binomial(n, 0.3), n))[:4]:
            assert (offsets.weight > 0).all()
            assert (np.diff(offsets.offset) > 0).all()


def test_mixed_counts_latents_with_both_outcomes():
    counts = er.Counts([0, 3, 5, 2, 0], [4, 5, 5, 7, 0], multiplicity=[2, 3, 4, 5, 6])
    assert FactorialSums.of(counts).mixed == 8.0


def test_empty_sides():
    sums = FactorialSums.of(er.Counts(0, 5))
    assert [offsets.offset.size for offsets in sums[:4]] == [0, 5, 5, 0]
    assert sums.successes.positive.offset.size == 0
    assert sums.failures.positive.offset.tolist() == [1, 2, 3, 4]


def test_very_many_nodes_of_an_octave_are_reduced():
    """Five on each 64th of it, with which the sums are the same."""
    rng = np.random.default_rng(3)
    offset, mass = rng.uniform(1024.0, 2048.0, 5000), rng.uniform(0.5, 2.0, 5000)
    found = _in_pieces(offset, mass)
    assert found.offset.size == 64 * 5
    assert found.weight.sum() == pytest.approx(mass.sum(), rel=1e-13)
    slow = WeightedOffsets(offset, mass)
    for a in (1.0, 3e3, 1e9):
        for name, function in FUNCTIONS.items():
            got, wanted = total(found, function, a), total(slow, function, a)
            assert got == pytest.approx(wanted, rel=4e-15, abs=0.0), (name, a)


def test_short_runs_of_equal_weight_need_few_nodes():
    """One below 1e-8 of their octave's size, two below 1e-4, three below 2e-3, twelve beyond."""
    start = np.array([2**40, 2**40 + 10**10, 2**40 + 10**11])
    for length, nodes in (
        ([10_000, 10_000, 10_000], 3), ([12_000, 10_000, 10_000], 4),
        ([10_000, 10**8, 10**9], 1 + 2 + 3), ([10**8, 10**8, 10**8], 6),
        ([1, 2, 1], 3),
    ):  # fmt: skip
        found = _octave(start, np.array(length), np.ones(3))
        assert found.offset.size == nodes
        assert found.weight.sum() == pytest.approx(sum(length), rel=1e-12)
        assert (np.diff(found.offset) > 0).all()
        wanted = sum(x * (s + (x - 1) / 2) for s, x in zip(start, length, strict=True))
        assert found.weight @ found.offset == pytest.approx(wanted, rel=1e-12)
    whole = _octave(start[:1], np.array([2**39]), np.ones(1))
    assert whole.offset.size == 12


def test_runs_are_short_beside_the_least_of_their_octave():
    """15,000 of 2^40 take two nodes, though of 2^41 they would take one."""
    found = _octave(np.array([2**40, 2**41 - 10**5]), np.array([15_000, 10_000]), np.ones(2))
    assert found.offset.size == 3


def test_pieces_of_few_nodes_are_kept_as_they_are():
    """On a 64th of an octave; six become five."""
    edge = np.arange(1024.0, 2048.0, 16.0)
    few = [x + np.arange(3) for x in edge[1:]]
    few[-1][-1] = 2048.0
    offset = np.concatenate([edge[0] + np.arange(6), *few])
    found = _in_pieces(offset, np.ones(offset.size))
    assert found.offset.size == 5 + 63 * 3
    assert np.isin(offset[6:], found.offset).all() and not np.isin(offset[:6], found.offset).all()
