"""`elbo_ref.mle.tests`: is there more than binomial variation, and what follows from the maximum.

Tarone's Z is held by whole-number sums, and by its identity with the slope of the log evidence at
the binomial limit (E10), taken by a difference of log-gammas with 120 digits; the likelihood ratio
by scipy's betabinom under a general-purpose optimizer; posteriors and cells by scipy, and by what
is printed for two data sets. A statistical test uses a fixed seed, says how often it would fail by
chance, and stands beside the same test with a planted fault.
"""

import json
import re
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import assume, example, given, settings, strategies as st
from scipy import optimize, special, stats

import elbo_ref as er
from elbo_ref.mle import tests as inference
from kinds import entries, one_row

mp = mpmath.mp.clone()
mp.dps = 120

ROW = one_row(st.integers(0, 12))
TABLE = st.lists(st.tuples(ROW, st.integers(0, 4)), min_size=1, max_size=6)

TABLES = {
    "for_two": ([0, 1, 2], [2, 2, 2], [40, 30, 50]),
    "no_variation": ([5, 5, 5], [10, 10, 10], [1, 1, 1]),
    "sizes": ([0, 3, 9, 1, 10], [10, 10, 10, 4, 12], [1, 2, 1, 3, 1]),
    "with_singles": ([1, 0, 2, 0], [1, 1, 5, 0], [7, 2, 3, 9]),
    "one_latent": ([3], [10], [1]),
    "all_or_none": ([0, 6], [6, 6], [3, 2]),
}


def counts_of(table):
    return er.Counts(*table)


def of_rows(rows):
    pairs, w = zip(*rows, strict=True)
    k, n = zip(*pairs, strict=True)
    return er.Counts(k, n, w)


def tarone_parts(counts):
    """S = sum (K - N p)^2/(p q) - sum N and sum N(N - 1), in fractions."""
    rows = entries(counts)
    p = Fraction(sum(w * k for k, _, w in rows), sum(w * n for _, n, w in rows))
    squares = sum(w * (k - n * p) ** 2 for k, n, w in rows)
    score = squares / (p * (1 - p)) - sum(w * n for _, n, w in rows)
    return score, sum(w * n * (n - 1) for _, n, w in rows)


def slow_tarone(counts):
    """S/sqrt(2 sum N(N - 1)), in fractions to the last step."""
    score, pairs = tarone_parts(counts)
    return float(mp.mpf(score.numerator) / score.denominator / mp.sqrt(2 * pairs))


def betabinom(x, counts):
    """The log evidence at log concentrations x, by scipy."""
    terms = stats.betabinom.logpmf(counts.successes, counts.total_count, *np.exp(x))
    return float(counts.multiplicity @ terms)


def binom(counts):
    """The binomial log likelihood at sum K/sum N, by scipy."""
    k, n, w = counts.successes, counts.total_count, counts.multiplicity
    return float(w @ stats.binom.logpmf(k, n, (w @ k) / (w @ n)))


# -- Tarone's test -----------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tarone_in_whole_numbers(table):
    """Z = [sum (K - N p)^2/(p q) - sum N]/sqrt(2 sum N(N - 1))"""
    counts = counts_of(table)
    np.testing.assert_allclose(er.tarone_test(counts).statistic, slow_tarone(counts), rtol=1e-14)


def test_tarone_by_hand():
    """N = 2, numbers 1, 0, 1: p = 1/2, S = 2/(1/4) - 4 = 4, 2 sum N(N - 1) = 8; for 1, 2, 1
    S = 0, and for 0, 1, 0 it is -2 over sqrt 4."""
    for numbers, z in (((1, 0, 1), 4 / np.sqrt(8)), ((1, 2, 1), 0.0), ((0, 1, 0), -1.0)):
        test = er.tarone_test(er.Counts([0, 1, 2], 2, numbers))
        assert test.statistic == pytest.approx(z, rel=1e-15, abs=0)
    assert er.tarone_test(er.Counts([0, 1, 2], 2, (1, 2, 1))).pvalue == 0.5


@settings(max_examples=25)
@given(rows=TABLE)
def test_tarone_of_any_table(rows):
    """The twin; the same mirrored, repeated, and beside what says nothing."""
    counts = of_rows(rows)
    k, n, w = counts.successes, counts.total_count, counts.multiplicity
    assume(w @ k and w @ (n - k) and w @ (n * (n - 1)))
    z = er.tarone_test(counts).statistic
    np.testing.assert_allclose(z, slow_tarone(counts), rtol=1e-13, atol=1e-15)
    for other in (
        er.Counts(n - k, n, w),
        er.Counts(np.repeat(k, w), np.repeat(n, w)),
        er.Counts([*k, 0, 3], [*n, 0, 5], [*w, 4, 0]),
    ):
        assert er.tarone_test(other).statistic == pytest.approx(z, rel=1e-14, abs=1e-300)


def log_evidence_near_the_limit(counts, gamma, without=0):
    """(E1) at m = p and a + b = 1/gamma, from log-gammas of 120 digits."""
    rows = entries(counts)
    p = mp.mpf(sum(w * k for k, _, w in rows)) / sum(w * n for _, n, w in rows)
    a, b, total = p / gamma, (1 - p) / gamma, mp.mpf(0)
    for k, n, w in rows:
        inside = mp.loggamma(a + k) + mp.loggamma(b + n - k) - mp.loggamma(a + b + n - without)
        total += w * (inside - mp.loggamma(a) - mp.loggamma(b) + mp.loggamma(a + b - without))
    return total


def slope_at_the_limit(counts, without=0):
    """A one-sided difference, the log evidence at gamma = 0 being extrapolated."""
    h = mp.mpf(10) ** -30
    near, far = (log_evidence_near_the_limit(counts, x, without) for x in (h, 2 * h))
    return (far - near) / h


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tarone_is_the_slope_at_the_binomial_limit(table):
    """Z = 2 slope/sqrt(2 sum N(N - 1)), slope = d log evidence/d(1/(a + b)) at 0 (E10)"""
    counts = counts_of(table)
    _, pairs = tarone_parts(counts)
    root = float(mp.sqrt(2 * pairs))
    z = er.tarone_test(counts).statistic
    np.testing.assert_allclose(z, 2 * float(slope_at_the_limit(counts)) / root, rtol=1e-13)
    planted = 2 * float(slope_at_the_limit(counts, without=1)) / root
    assert abs(z - planted) > 1e-3


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tarone_pvalue(table):
    """1 - Phi(Z), right far out in either tail."""
    test = er.tarone_test(counts_of(table))
    wanted = float(mp.erfc(mp.mpf(test.statistic) / mp.sqrt(2)) / 2)
    assert test.pvalue == pytest.approx(wanted, rel=1e-13, abs=0.0)
    assert (test.null, test.alternative) == ("binomial", "more variation than a binomial's")
    names = ["statistic", "pvalue", "null", "alternative", "distribution", "dof"]
    assert test.to_dict() == {name: getattr(test, name) for name in names}
    assert (test.distribution, test.dof) == ("normal", 0)


@pytest.mark.parametrize(
    ("k", "n", "w"),
    [
        ([3 * 10**11, 5 * 10**11], [10**12, 10**12], [10**9, 10**6]),
        ([3, 5 * 10**11], [10**12, 10**12], [10**9, 10**6]),
        ([10**18 - 1, 5], [10**18, 10**18], [1, 1]),
        ([0, 1, 2], [2, 2, 2], [10**17, 4 * 10**17, 10**17]),
        ([5 * 10**11 - 1, 5 * 10**11 + 1], [10**12, 10**12], [10**5, 10**5]),
    ],
)
def test_tarone_of_large_counts(k, n, w):
    """Sums beyond 63 bits, and S that nearly cancels."""
    counts = er.Counts(k, n, w)
    np.testing.assert_allclose(er.tarone_test(counts).statistic, slow_tarone(counts), rtol=1e-14)


@pytest.mark.parametrize("table", [([0, 0], [3, 9]), ([4], [4]), ([0], [0]), ([2], [5], [0])])
def test_tarone_needs_both_outcomes(table):
    words = "^Tarone's test needs a success and a failure: all trials end alike$"
    with pytest.raises(ValueError, match=words):
        er.tarone_test(counts_of(table))


@pytest.mark.parametrize("table", [([0, 1], [1, 1]), ([1, 0, 1], [1, 1, 3], [2, 5, 0])])
def test_tarone_needs_two_trials(table):
    words = "^Tarone's test needs a latent with two trials or more$"
    with pytest.raises(ValueError, match=words):
        er.tarone_test(counts_of(table))


def test_a_small_ratio_in_closed_form():
    """Of two trials each the Beta-Binomial is saturated (E11): outcomes 26, 48, 26 of a hundred."""
    test = er.likelihood_ratio_test(er.Counts([0, 1, 2], 2, multiplicity=[26, 48, 26]))
    wanted = 2 * (52 * np.log(0.26 / 0.25) + 48 * np.log(0.48 / 0.5))
    assert 0.1 < wanted < 0.2
    assert test.statistic == pytest.approx(wanted, rel=1e-9)
    assert test.pvalue == pytest.approx(stats.chi2.sf(wanted, 1) / 2, rel=1e-9)


@pytest.mark.parametrize("test", [er.tarone_test, er.likelihood_ratio_test])
def test_only_counts_are_tested(test):
    with pytest.raises(TypeError, match=r"^counts must be a Counts, not list: make it by"):
        test([1, 2])


def distance_from_normal(rng, draw):
    """Kolmogorov's, of 2000 values of Z for 200 latents of 30 trials."""
    z = [er.tarone_test(er.Counts(rng.binomial(30, draw(rng)), 30)).statistic for _ in range(2000)]
    return stats.kstest(z, "norm").statistic


@pytest.mark.thorough
def test_tarone_is_standard_normal_under_the_binomial():
    """sqrt(2000) D > 2.7 has probability 1e-6; that S is skewed at 200 latents moves D by 0.014.
    Means of c that are spread by 0.025 (a binomial of 30 has 0.09) are noticed."""
    rng = np.random.default_rng(20240301)
    assert distance_from_normal(rng, lambda _: np.full(200, 0.4)) < 2.7 / np.sqrt(2000) + 0.014
    planted = distance_from_normal(rng, lambda rng: rng.beta(0.4 * 400, 0.6 * 400, 200))
    assert planted > 2 * (2.7 / np.sqrt(2000) + 0.014)


# -- the likelihood ratio ----------------------------------------------------------------------

OVERDISPERSED = {
    "for_two": counts_of(TABLES["for_two"]),
    "sizes": counts_of(TABLES["sizes"]),
    **{
        name: er.datasets.load(name)
        for name in ("saxony", "alcohol_week1", "chromosome", "rat_tumors", "litters_treated")
    },
}


@pytest.mark.parametrize("counts", OVERDISPERSED.values(), ids=OVERDISPERSED)
def test_likelihood_ratio_by_scipy(counts):
    """2 (highest betabinom - binom at sum K/sum N), by Nelder and Mead's search."""
    best = max(
        -optimize.minimize(
            lambda x: -betabinom(x, counts),
            [start, start],
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 2000},
        ).fun
        for start in (0.0, 3.0)
    )
    wanted = 2 * (best - binom(counts))
    test = er.likelihood_ratio_test(counts)
    assert test.statistic == pytest.approx(wanted, rel=1e-7, abs=1e-7)
    assert test.pvalue == pytest.approx(stats.chi2.sf(test.statistic, 1) / 2, rel=1e-12, abs=0.0)
    assert (test.null, test.alternative) == ("binomial", "beta-binomial")
    halved = 2 * (best - binom(counts)) / 2
    assert test.statistic != pytest.approx(halved, rel=1e-3)


def test_likelihood_ratio_for_two_trials():
    """(E11): for N = 2 and numbers 40, 30, 50 the fit is perfect, so the statistic is
    2 sum n log(observed/binomial expected)."""
    observed, p = np.array([40, 30, 50]), Fraction(130, 240)
    expected = 120 * np.array([float(x) for x in ((1 - p) ** 2, 2 * p * (1 - p), p**2)])
    wanted = 2 * float(observed @ np.log(observed / expected))
    test = er.likelihood_ratio_test(OVERDISPERSED["for_two"])
    np.testing.assert_allclose(test.statistic, wanted, rtol=1e-12)


@pytest.mark.parametrize(("k", "n", "w"), [([0, 6], 6, [3, 2]), ([0, 1, 4], [1, 1, 4], [2, 3, 5])])
def test_likelihood_ratio_of_all_or_none(k, n, w):
    """The supremum is that of a latent being full, f^f (1 - f)^(1 - f) for each."""
    counts = er.Counts(k, n, w)
    assert er.maximize_evidence(counts).kind == "all_or_none"
    full, latents = int(counts.multiplicity @ (counts.successes > 0)), counts.num_latents
    f = full / latents
    height = full * np.log(f) + (latents - full) * np.log1p(-f)
    test = er.likelihood_ratio_test(counts)
    np.testing.assert_allclose(test.statistic, 2 * (height - binom(counts)), rtol=1e-12)
    np.testing.assert_allclose(test.pvalue, stats.chi2.sf(test.statistic, 1) / 2, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("binomial", ([3], [10])),
        ("binomial", ([5, 5, 5], [10, 10, 10])),
        ("binomial", ([0, 1, 2], [2, 2, 2], [10, 20, 10])),
        ("degenerate", ([0], [5000])),
        ("degenerate", ([3, 7], [3, 7])),
        ("unidentified", ([0, 1], [1, 1], [4, 9])),
        ("no_information", ([0], [0])),
    ],
)
def test_likelihood_ratio_is_zero(kind, table):
    """The supremum is the binomial's own."""
    counts = counts_of(table)
    assert er.maximize_evidence(counts).kind == kind
    test = er.likelihood_ratio_test(counts)
    assert (test.statistic, test.pvalue) == (0.0, 1.0)


def test_likelihood_ratio_of_large_counts():
    """Multiplicities of 1e9 multiply the statistic; N of 1e12 is no obstacle."""
    one = er.likelihood_ratio_test(OVERDISPERSED["for_two"]).statistic
    many = er.Counts([0, 1, 2], 2, 10**9 * np.array([40, 30, 50]))
    np.testing.assert_allclose(er.likelihood_ratio_test(many).statistic, 1e9 * one, rtol=1e-11)
    large = er.likelihood_ratio_test(er.Counts([3 * 10**11, 5 * 10**11], 10**12, [10**9, 10**6]))
    assert np.isfinite(large.statistic)
    assert large.statistic > 1e16
    assert large.pvalue == 0.0


@pytest.mark.parametrize("w", [10**5, 10**6])
def test_both_tests_agree_near_the_binomial(w):
    """The likelihood ratio tends to Z^2 for Z > 0: here Z is near 0.04 sqrt(w)/..., small beside
    the number of latents 4 w."""
    away = 3 * int(np.sqrt(w))
    counts = er.Counts([0, 1, 2], 2, [w + away, 2 * (w - away), w + away])
    z = er.tarone_test(counts).statistic
    np.testing.assert_allclose(z, 4 * away / np.sqrt(4 * w), rtol=1e-12)
    np.testing.assert_allclose(er.likelihood_ratio_test(counts).statistic, z**2, rtol=3 * away / w)


@pytest.mark.thorough
@settings(max_examples=25)
@given(rows=TABLE)
@example([((0, 3), 1), ((3, 3), 1), ((1, 3), 2)])
def test_a_positive_slope_is_a_positive_ratio(rows):
    """If the log evidence rises from the binomial limit, its supremum is above that limit."""
    counts = of_rows(rows)
    k, n, w = counts.successes, counts.total_count, counts.multiplicity
    assume(w @ k and w @ (n - k) and w @ (n * (n - 1)))
    test = er.likelihood_ratio_test(counts)
    assert test.statistic >= 0
    assert (test.pvalue == 1.0) == (test.statistic == 0)
    if er.tarone_test(counts).statistic > 1e-6:
        assert 0 < test.pvalue <= 0.5
        assert test.statistic > 0


def ratios(rng, draw, times):
    """Statistics of 100 latents with 8 trials each, from 101 distinct counts at most."""
    found = []
    for _ in range(times):
        numbers = np.bincount(rng.binomial(8, draw(rng)), minlength=9)
        found.append(er.likelihood_ratio_test(er.Counts(np.arange(9), 8, numbers)).statistic)
    return np.array(found)


@pytest.mark.slow
def test_half_of_the_ratios_are_zero_under_the_binomial():
    """The mixture of 0 and chi-square(1), for 400 binomial tables. The fraction of zeros is within
    5 standard deviations of a half (0.125; by chance outside with probability 6e-7) and 0.03 for
    the skewness of 100 latents. Of p-values below a half, the distribution is uniform:
    sqrt(n) D > 2.7 has probability 1e-6. Noticed are: the whole chi-square, and more variation."""
    rng = np.random.default_rng(20240302)
    found = ratios(rng, lambda _: np.full(100, 0.3), 400)
    zero = np.mean(found == 0)
    assert abs(zero - 0.5) < 5 * 0.5 / np.sqrt(400) + 0.03, zero
    p = stats.chi2.sf(found[found > 0], 1)
    level = 2.7 / np.sqrt(p.size) + 0.03
    assert stats.kstest(p, "uniform").statistic < level
    assert stats.kstest(p / 2, "uniform").statistic > level
    varied = ratios(rng, lambda rng: rng.beta(3.0, 7.0, 100), 40)
    assert np.mean(varied == 0) < 0.1


# -- expected counts ---------------------------------------------------------------------------


def slow_cells(counts):
    """Observed numbers by dictionary: {N: [number with K = 0, ..., N]}."""
    found = {}
    for k, n, w in entries(counts):
        if n and w:
            found.setdefault(n, [0] * (n + 1))[k] += w
    return dict(sorted(found.items()))


def slow_join(observed, expected, least):
    """Neighbours joined from below until each expects enough; what is left joins the last."""
    joined, o, e = [], 0.0, 0.0
    for seen, wanted in zip(observed, expected, strict=True):
        o, e = o + seen, e + wanted
        if e >= least:
            joined.append((o, e))
            o, e = 0.0, 0.0
    if e or o:
        last = joined.pop() if joined else (0.0, 0.0)
        joined.append((last[0] + o, last[1] + e))
    return joined


def slow_fit(cells, expected, least, parameters):
    """Pearson's statistic, joined cells, degrees of freedom."""
    joined, start = [], 0
    for observed in cells.values():
        joined.append(slow_join(observed, expected[start : start + len(observed)], least))
        start += len(observed)
    statistic = sum((o - e) ** 2 / e for part in joined for o, e in part)
    cells = sum(map(len, joined))
    return statistic, cells, max(cells - len(joined) - parameters, 0)


def check_cells(found, counts):
    """The cells are those that the data could have hit; each N has its number of latents."""
    cells = slow_cells(counts)
    assert found.total_count.tolist() == [n for n in cells for _ in range(n + 1)]
    assert found.successes.tolist() == [k for n in cells for k in range(n + 1)]
    assert found.observed.tolist() == [x for row in cells.values() for x in row]
    for n, row in cells.items():
        total = found.expected[found.total_count == n].sum()
        np.testing.assert_allclose(total, sum(row), rtol=1e-12)


INTERIOR = {
    **OVERDISPERSED,
    "three": er.Counts([3, 4, 9], 10),
    "batting": er.datasets.load("batting"),
}


@pytest.mark.parametrize("counts", INTERIOR.values(), ids=INTERIOR)
def test_expected_by_scipy(counts):
    """latents with N trials x betabinom(K; N, a, b)"""
    maximum = er.maximize_evidence(counts)
    found = er.expected_counts(maximum)
    check_cells(found, counts)
    latents = {n: sum(row) for n, row in slow_cells(counts).items()}
    each = np.array([latents[n] for n in found.total_count.tolist()])
    a, b = maximum.prior.concentration1, maximum.prior.concentration0
    wanted = each * stats.betabinom.pmf(found.successes, found.total_count, a, b)
    np.testing.assert_allclose(found.expected, wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("binomial", ([1, 0, 2, 3], [1, 1, 2, 5])),
        ("binomial", ([0, 1, 2], [2, 2, 2], [10, 20, 10])),
        ("binomial", ([3], [10])),
    ],
)
def test_expected_of_the_binomial(kind, table):
    counts = counts_of(table)
    maximum = er.maximize_evidence(counts)
    assert maximum.kind == kind
    found = er.expected_counts(maximum)
    check_cells(found, counts)
    latents = {n: sum(row) for n, row in slow_cells(counts).items()}
    each = np.array([latents[n] for n in found.total_count.tolist()])
    wanted = each * stats.binom.pmf(found.successes, found.total_count, maximum.mean)
    np.testing.assert_allclose(found.expected, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "table", "least"),
    [
        ("all_or_none", ([0, 3, 5], [3, 3, 5], [8, 8, 4]), 1.0),
        ("unidentified", ([0, 1], [1, 1], [20, 60]), 5.0),
    ],
)
def test_expected_where_latents_are_full_or_empty(kind, table, least):
    """1 - m of them at K = 0, m at K = N, none between."""
    counts = counts_of(table)
    maximum = er.maximize_evidence(counts)
    assert maximum.kind == kind
    found = er.expected_counts(maximum, least=least)
    check_cells(found, counts)
    for n, row in slow_cells(counts).items():
        expected = found.expected[found.total_count == n]
        wanted = np.zeros(n + 1)
        wanted[[0, n]] = sum(row) * (1 - maximum.mean), sum(row) * maximum.mean
        np.testing.assert_allclose(expected, wanted, rtol=1e-13)


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("size", [1, 3, 5000])
def test_expected_where_all_trials_end_alike(size, end):
    """In the limit every latent has K = 0, or K = N: nothing else is expected."""
    counts = er.Counts([end * size], size, [7])
    maximum = er.maximize_evidence(counts)
    assert (maximum.kind, maximum.mean) == ("degenerate", float(end))
    found = er.expected_counts(maximum)
    wanted = np.zeros(size + 1)
    wanted[end * size] = 7.0
    np.testing.assert_allclose(found.expected, wanted, atol=1e-12)
    assert (found.statistic, found.cells) == (0.0, 1)
    assert found.pvalue is None


def test_expected_as_printed_for_the_drinkers():
    """fitODBOD prints the expected numbers of alcohol_week1 to two digits, and from these X-squared
    9.5171 with 5 degrees of freedom, p = 0.0901."""
    printed = np.array([54.62, 42, 38.9, 38.54, 40.07, 44, 53.09, 87.78])
    found = er.expected_counts(er.maximize_evidence(er.datasets.load("alcohol_week1")))
    np.testing.assert_allclose(found.expected, printed, atol=0.0051)
    rounded = ((found.observed - printed) ** 2 / printed).sum()
    assert round(rounded, 4) == 9.5171
    assert (found.cells, found.dof) == (8, 5)
    np.testing.assert_allclose(found.statistic, rounded, atol=0.005)
    np.testing.assert_allclose(found.pvalue, 0.0901, atol=2e-4)


def test_expected_as_printed_for_saxony():
    """Wikipedia's article on the beta-binomial distribution prints both fits to one digit."""
    counts = er.datasets.load("saxony")
    printed = [2.3, 22.6, 104.8, 310.9, 655.7, 1036.2, 1257.9, 1182.1, 853.6, 461.9, 177.9, 43.8]
    found = er.expected_counts(er.maximize_evidence(counts), least=1.0)
    np.testing.assert_allclose(found.expected, [*printed, 5.2], atol=0.1)
    assert (found.cells, found.dof) == (13, 10)
    wanted = stats.chisquare(found.observed, found.expected, ddof=2)
    np.testing.assert_allclose(found.statistic, wanted.statistic, rtol=1e-12)
    np.testing.assert_allclose(found.pvalue, wanted.pvalue, rtol=1e-12)


def fit_of(found):
    return found.statistic, found.cells, found.dof


@pytest.mark.parametrize("least", [1e-3, 0.5, 5.0, 30.0])
@pytest.mark.parametrize("counts", INTERIOR.values(), ids=INTERIOR)
def test_joined_cells(counts, least):
    """Pearson's sum over joined cells; the degrees lose one for each N, and two."""
    found = er.expected_counts(er.maximize_evidence(counts), least=least)
    wanted = slow_fit(slow_cells(counts), found.expected.tolist(), least, 2)
    assert (found.least, found.cells, found.dof) == (least, *wanted[1:])
    np.testing.assert_allclose(found.statistic, wanted[0], rtol=1e-9, atol=1e-12)
    if found.dof:
        assert found.pvalue == pytest.approx(special.chdtrc(found.dof, found.statistic))
    else:
        assert found.pvalue is None


@pytest.mark.parametrize(
    ("observed", "expected", "wanted"),
    [
        ([9, 8, 7], [9.0, 8.0, 7.0], [(9, 9), (8, 8), (7, 7)]),
        ([1, 8, 7], [1.0, 8.0, 7.0], [(9, 9), (7, 7)]),
        ([9, 8], [9.0, 1.0], [(17, 10)]),
        ([9, 8, 1], [9.0, 8.0, 1.0], [(9, 9), (9, 9)]),
        ([9, 8, 1, 2], [9.0, 8.0, 1.0, 1.0], [(9, 9), (11, 10)]),
        ([1, 2], [1.0, 1.0], [(3, 2)]),
        ([9, 8], [9.0, 5.0], [(9, 9), (8, 5)]),
        ([5, 8], [5.0, 8.0], [(5, 5), (8, 8)]),
    ],
)
def test_joining_by_hand(observed, expected, wanted):
    """At least 5 in each: from below, and a short last cell goes to the one before it."""
    assert slow_join(observed, expected, 5.0) == wanted
    seen, hoped = inference._joined(np.array(observed), np.array(expected), 5.0)
    assert list(zip(seen.tolist(), hoped.tolist(), strict=True)) == wanted


def test_the_smallest_table_with_a_short_last_cell():
    """4 of 9 coins: 5 and 4 expected, which 5 at least joins to one cell."""
    found = er.expected_counts(er.maximize_evidence(er.Counts([1, 0], 1, [4, 5])))
    np.testing.assert_allclose(found.expected, [5.0, 4.0], rtol=1e-13)
    assert fit_of(found) == (pytest.approx(0.0, abs=1e-20), 1, 0)


@settings(settings(max_examples=25), max_examples=30)
@given(rows=TABLE, least=st.sampled_from([0.1, 1.0, 5.0]))
def test_joining_any_table(rows, least):
    """No latent is lost, for whatever kind of maximum, and the twin agrees."""
    counts = of_rows(rows)
    maximum = er.maximize_evidence(counts)
    assume(maximum.kind not in ("no_information", "degenerate"))
    found = er.expected_counts(maximum, least=least)
    check_cells(found, counts)
    wanted = slow_fit(slow_cells(counts), found.expected.tolist(), least, 2)
    assert (found.cells, found.dof) == wanted[1:]
    np.testing.assert_allclose(found.statistic, wanted[0], rtol=1e-9, atol=1e-12)


def test_a_held_parameter_is_not_fitted():
    """One degree of freedom more than with both free."""
    counts = er.datasets.load("alcohol_week1")
    free = er.expected_counts(er.maximize_evidence(counts))
    held = er.expected_counts(er.maximize_evidence(counts, {"mean": 0.55}))
    assert held.dof == free.dof + 1 == 6
    np.testing.assert_allclose(held.pvalue, stats.chi2.sf(held.statistic, 6), rtol=1e-12)


def test_summary_of_expected():
    found = er.expected_counts(er.maximize_evidence(er.datasets.load("chromosome")))
    lines = str(found).splitlines()
    assert lines == found.summary().splitlines()
    assert [line.split()[:3] for line in lines[1:-1]] == [
        ["3", str(k), str(o)] for k, o in enumerate((32, 103, 122, 80))
    ]
    assert lines[0].split() == ["of", "successes", "observed", "expected"]
    assert lines[-1] == (
        f"Pearson {found.statistic:.5g} in 4 cells of at least 5, degrees 1, p = {found.pvalue:.5g}"
    )


def test_summary_without_a_degree_of_freedom():
    found = er.expected_counts(er.maximize_evidence(er.Counts([0, 1, 2], 2, [40, 30, 50])))
    assert (found.dof, found.pvalue) == (0, None)
    assert found.summary().endswith(" in 3 cells of at least 5, degrees 0, no degree of freedom")


@pytest.mark.thorough
def test_too_many_cells():
    """N + 1 for each distinct N; one N of 999999 is still allowed."""
    maximum = er.maximize_evidence(er.Counts([3, 5, 700], [10**6, 10**6, 20000]))
    with pytest.raises(ValueError, match=r"^more than 1000000 cells would be needed$"):
        er.expected_counts(maximum)
    huge = er.maximize_evidence(er.Counts([3, 500], 10**18))
    with pytest.raises(ValueError, match=r"^more than 1000000 cells would be needed$"):
        er.expected_counts(huge)
    most = er.expected_counts(er.maximize_evidence(er.Counts([3, 700, 90], 999_999)), least=1e-3)
    assert most.expected.size == inference.MOST_CELLS
    np.testing.assert_allclose(most.expected.sum(), 3.0, rtol=1e-11)


@pytest.mark.parametrize("table", [([0], [0]), ([3], [7], [0])])
def test_nothing_to_expect(table):
    with pytest.raises(ValueError, match=r"^counts hold no trials: there is nothing to expect$"):
        er.expected_counts(er.maximize_evidence(counts_of(table)))


def test_expected_counts_want_a_maximum():
    with pytest.raises(
        TypeError, match=r"^maximum must be an EvidenceMaximum, not Counts: make it by max"
    ):
        er.expected_counts(er.Counts([3, 4, 9], 10))


@pytest.mark.parametrize("least", [0.0, -5, float("nan"), float("inf")])
def test_least_is_positive(least):
    with pytest.raises(ValueError, match=f"^least = {re.escape(repr(least))} must be positive$"):
        er.expected_counts(er.maximize_evidence(er.Counts([3, 4, 9], 10)), least=least)


def test_expected_counts_as_plain_values():
    found = er.expected_counts(er.maximize_evidence(er.Counts([0, 1, 2], 2, [40, 30, 50])))
    plain = found.to_dict()
    assert plain["observed"] == [40, 30, 50]
    assert (plain["cells"], plain["dof"], plain["pvalue"]) == (3, 0, None)
    assert json.loads(json.dumps(plain)) == plain
    page, (head, *_, fit) = found._repr_html_(), found.summary().splitlines()
    assert fit in page and all(f"<th>{name}</th>" in page for name in head.split())
