"""`elbo_ref.special`: the pieces that (E1), (E5) and the entropy are put together from.

Each is held against textbook mpmath at 80 digits over 25 decades of arguments, `cross_difference`
against exact rational numbers, and the rising ratio also against its product, factor by factor.
"""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from scipy import optimize

from elbo_ref import special
from elbo_ref.special import arithmetic, digamma, log_gamma

mp = mpmath.mp.clone()
mp.dps = 80

POSITIVE = st.floats(-10, 15).map(lambda e: 10.0**e)
COUNTS = st.integers(0, 2**63 - 1) | st.integers(0, 100)
WHOLE = st.floats(0, 18).map(lambda e: float(round(10.0**e)))
UNIT = st.floats(0, 1, exclude_min=True)


def close(got, wanted, rtol, **inputs):
    """Relative closeness; a failure prints inputs, got, wanted, error."""
    got, error = float(got), abs(mp.mpf(float(got)) - wanted)
    allowed = rtol * abs(wanted)
    assert error <= allowed, f"{inputs}: got {got!r}, wanted {mp.nstr(wanted, 20)}, error {error}"


def arrays(*values):
    return [np.array(value, dtype=np.float64) for value in values]


def gap(x):
    return mp.log(x) - mp.digamma(x)


@settings(max_examples=100)
@given(*[COUNTS | POSITIVE] * 4)
@example(2**63 - 1, 2**63 - 1, 2**63 - 2, 2**63 - 1)
@example(1e15, 10**18 + 1, 1e15, 10**18)
@example(0.1, 10, 0.3, 3)
@example(3, 133352.1432163324, 3, 111507)
def test_cross_difference_is_exact_but_for_the_last_roundings(a, d, b, c):
    left, right = Fraction(a) * Fraction(d), Fraction(b) * Fraction(c)
    got = special.cross_difference(*map(np.array, (a, d, b, c)))
    error = abs(Fraction(float(got)) - (left - right))
    allowed = abs(left - right) * Fraction(2) ** -51 + (left + right) * Fraction(2) ** -94
    assert error <= allowed, f"{(a, d, b, c)}: got {got}, wanted {float(left - right)}"


def test_cross_difference_of_integers_is_exact():
    """The first is one beyond 2**53, of which a float loses the last digit; N = 2**62."""
    n = 2**62
    for a, d, b, c in (
        (2**53 + 1, 1, 2**53, 1),
        (n + 2, n + 2, n + 1, n + 3),
        (n + 5, 4, n // 2 + 1, 8),
        (n - 7, 6, n - 5, 6),
    ):
        assert special.cross_difference(*map(np.array, (a, d, b, c))) == a * d - b * c, (a, d, b, c)


@settings(max_examples=100)
@given(POSITIVE, st.floats(-1, 20) | st.floats(-30, 0).map(lambda e: 10.0**e))
@example(1e15, 1e-12)
@example(1.0, -1.0)
@example(1.0, 0.2222)  # on either side of the change of formula
@example(1.0, 0.2223)
def test_deviance(expected, relative):
    difference = expected * relative if abs(relative) > 1e-30 else 0.0  # 80 digits would not do
    observed = mp.mpf(expected) + mp.mpf(difference)
    wanted = (observed * mp.log(observed / expected) if observed else 0) - difference
    got = special.deviance(*arrays(float(observed), expected, difference))
    close(got, wanted, 2e-14, expected=expected, difference=difference)


def test_deviance_of_nothing_is_zero():
    assert special.deviance(*arrays(0, 0, 0)) == 0
    assert special.deviance(*arrays(0, 3, -3)) == 3


@settings(max_examples=100)
@given(POSITIVE | WHOLE)
@example(15.999999999999998)
@example(16.0)
def test_log_factorial_remainder(x):
    wanted = mp.loggamma(mp.mpf(x) + 1) - mp.mpf(x) * mp.log(x) + x
    got = special.log_factorial_remainder(*arrays(x))
    assert abs(got - wanted) <= 2e-14 * max(1, abs(wanted)), (x, got, wanted)


def test_log_factorial_remainder_starts_at_zero():
    assert special.log_factorial_remainder(*arrays(0)) == 0


@settings(max_examples=100)
@given(POSITIVE, POSITIVE)
def test_log_beta_remainder(a, b):
    s = mp.mpf(a) + b
    log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(s)
    wanted = log_beta - a * mp.log(a / s) - b * mp.log(b / s)
    got = special.log_beta_remainder(*arrays(a, b))
    assert abs(got - wanted) <= 3e-14 * max(1, abs(wanted)), (a, b, got, wanted)


@settings(max_examples=100)
@given(POSITIVE, POSITIVE)
@example(1.0, 1.0)
@example(1e-100, 1e100)
@example(1e100, 1e100)
def test_log_beta(a, b):
    with mp.workdps(150):
        wanted = float(mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(mp.mpf(a) + b))
    pairs = np.full((2, 5000), ((a,), (b,)))
    for got in (special.log_beta(*arrays(a, b)), special.log_beta(*pairs)[[0, 4999]]):
        assert np.all(abs(got - wanted) <= 4e-15 * max(1, abs(wanted))), (a, b, got, wanted)


@settings(max_examples=60)
@given(st.integers(0, 10**18), st.integers(0, 10**18) | st.integers(0, 20))
@example(0, 0)
@example(1, 0)
@example(1, 1)
@example(10**18, 1)
@example(2, 1)
def test_log_choose(one, other):
    """C(n, k) and C(n, n - k), for both orders of k and n - k."""
    n = one + other
    wanted = mp.loggamma(n + 1) - mp.loggamma(one + 1) - mp.loggamma(other + 1)
    for k in (one, other):
        got = special.log_choose(np.array(k), np.array(n))
        assert abs(got - wanted) <= 2e-15 * abs(wanted), (k, n, got, wanted)


@settings(max_examples=60)
@given(st.integers(0, 10**9), st.integers(0, 10**9) | st.integers(0, 20), st.floats(0.001, 0.999))
@example(3, 7, 0.3)
@example(0, 10, 0.1)
@example(10, 0, 0.1)
@example(0, 0, 0.1)
def test_log_binomial(k, f, mean):
    n, c = k + f, mp.mpf(mean)
    wanted = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(f + 1)
    wanted += k * mp.log(c) + f * mp.log(1 - c)
    pair = (np.array(mean), np.array(float(1 - c)))
    got = special.log_binomial(np.array(k), np.array(n), pair, np.array(float(k - n * c)))
    assert abs(got - wanted) <= 2e-15 * max(1, abs(wanted)), (k, n, mean, got, wanted)


@pytest.mark.thorough
@settings(max_examples=100)
@given(POSITIVE, POSITIVE, st.integers(1, 200))
@example(1e-10, 1e15, 1)
@example(15.5, 1e-10, 200)
def test_log_rising_ratio_is_its_product(x, h, n):
    wanted = -mp.fsum(mp.log1p(mp.mpf(h) / (mp.mpf(x) + j)) for j in range(n))
    close(special.log_rising_ratio(*arrays(x, h, n)), wanted, 1e-14, x=x, h=h, n=n)


@settings(max_examples=100)
@given(POSITIVE, POSITIVE, WHOLE)
@example(1e15, 1e-10, 1.0)
@example(1e15, 1e-10, 1e18)
def test_log_rising_ratio_is_four_log_gammas(x, h, n):
    y = mp.mpf(x) + h
    wanted = mp.loggamma(mp.mpf(x) + n) - mp.loggamma(x) - mp.loggamma(y + n) + mp.loggamma(y)
    close(special.log_rising_ratio(*arrays(x, h, n)), wanted, 1e-14, x=x, h=h, n=n)


@settings(max_examples=100)
@given(POSITIVE, POSITIVE | WHOLE)
@example(1e12, 2e12)  # a series for one of them will not do
@example(3.0, 1e-10)  # nor will the values
@example(63.999, 1e-10)
@example(64.0, 1e-10)
@example(63.0, 63.0)
@example(1.0, 1e-10)
def test_jensen_gap_difference(x, n):
    wanted = gap(mp.mpf(x)) - gap(mp.mpf(x) + n)
    close(special.jensen_gap_difference(*arrays(x, n)), wanted, 2e-14, x=x, n=n)


@settings(max_examples=100)
@given(POSITIVE, POSITIVE)
@example(1e-20, 1e20)
@example(1e25, 1e25)
@example(1e-30, 1e-30)
@example(1e12, 2e-12)
@example(3.0, 1e-10)
def test_both_jensen_gaps(a, b):
    for x, n, found in zip((a, b), (b, a), special.jensen_gaps(*arrays(a, b)), strict=True):
        close(found, gap(mp.mpf(x)) - gap(mp.mpf(x) + n), 2e-14, x=x, n=n)


@pytest.mark.thorough
@settings(max_examples=100)
@given(POSITIVE, WHOLE)
@example(63.999, 1.0)
@example(1e15, 1.0)
def test_polygamma_differences_over_whole_numbers(x, n):
    for order, sign, function in (
        (0, 1, special.digamma_difference),
        (1, -1, special.trigamma_difference),
    ):
        wanted = sign * (mp.psi(order, mp.mpf(x) + n) - mp.psi(order, x))
        close(function(*arrays(x, n)), wanted, 1e-13, order=order, x=x, n=n)


@settings(max_examples=60)
@given(POSITIVE, POSITIVE, WHOLE)
@example(3.0, 1e-10, 1.0)  # two differences of which nothing would be left
@example(1e15, 1e-10, 1e18)
@example(2.0, 1.0, 5.0)  # on either side of the change of formula
@example(2.0, 0.9999999, 5.0)
def test_digamma_second_difference(x, h, n):
    def difference(y):
        return mp.digamma(y + n) - mp.digamma(y)

    wanted = difference(mp.mpf(x)) - difference(mp.mpf(x) + h)
    got = special.digamma_second_difference(*arrays([x, 2.0], [h, 2.0], [n, n]))
    close(got[0], wanted, 1e-13 if h < x else 1e-12, x=x, h=h, n=n)
    close(got[1], difference(mp.mpf(2)) - difference(mp.mpf(4)), 1e-13, n=n)
    alone = special.digamma_second_difference(*arrays([x], [h], [n]))
    assert alone == got[0]


@settings(max_examples=60)
@given(st.floats(1.302, 9), st.floats(1.302, 9))
@example(1.302, 1.31)
def test_gap_slope(low, high):
    """The psi function itself, and its series of five terms to rounding."""
    t, u = 10.0**-low, 10.0 ** -(high + 1e-9)
    x, z = 1 / mp.mpf(t), 1 / mp.mpf(u)
    got = special.gap_slope(t, u)

    def series(y):
        return 1 / (2 * y) + sum(c / y**k for k, c in terms)

    terms = [
        (2, mp.mpf(1) / 12),
        (4, -mp.mpf(1) / 120),
        (6, mp.mpf(1) / 252),
        (8, -mp.mpf(1) / 240),
    ]
    close(got, (gap(x) - gap(z)) / (z - x), 5e-13, x=x, z=z)
    close(got, (series(x) - series(z)) / (z - x), 1e-15, x=x, z=z)


@settings(max_examples=60)
@given(st.floats(0, 15).map(lambda e: 10.0**e), POSITIVE)
@example(63.999, 1e-10)
@example(64.0, 1e-10)
@example(64.0, 64.0)
@example(0.5, 0.2499999)  # on either side of the change of formula
@example(0.5, 0.25)
def test_trigamma_excess_difference(x, n):
    def excess(y):
        return mp.psi(1, y) - 1 / y

    wanted = excess(mp.mpf(x)) - excess(mp.mpf(x) + n)
    close(special.trigamma_excess_difference(*arrays(x, n)), wanted, 1e-13, x=x, n=n)


@settings(max_examples=100)
@given(POSITIVE, POSITIVE)
@example(1e-12, 1e15)
@example(1e-6, 1e-6)
def test_digamma_remainders(a, b):
    for order in ((a, b), (b, a)):
        x, n = mp.mpf(order[0]) + 1, mp.mpf(order[1])
        logarithm = mp.log((x + n + special.SHIFT) / (x + special.SHIFT))
        wanted = mp.digamma(x + n) - mp.digamma(x) - logarithm
        one, other = (np.array([x]) for x in order)
        close(special.digamma_remainders(one, other)[0][0], wanted, 2e-15, order=order)
        close(special.digamma_remainders(other, one)[1][0], wanted, 2e-15, order=order)


@settings(max_examples=100)
@given(POSITIVE)
@example(63.999)
@example(64.0)
def test_trigamma_and_its_excess(x):
    close(special.trigamma(*arrays(x)), mp.psi(1, x), 2e-15, x=x)
    close(special.trigamma_excess(*arrays(x)), mp.psi(1, x) - 1 / mp.mpf(x), 1e-13, x=x)


@pytest.mark.parametrize(
    "function",
    [special.jensen_gap_difference, special.digamma_difference, special.trigamma_difference],
)
def test_differences_over_nothing_are_zero(function):
    x = np.logspace(-10, 15, 26)
    assert (function(x, np.zeros_like(x)) == 0).all()


def test_gauss_legendre_to_the_last_digit():
    """NumPy's nodes and weights of the same order are not."""
    nodes, weights = special.gauss_legendre(36)
    with mpmath.workdps(30):
        for node, weight in zip(nodes, weights, strict=True):
            start = mpmath.mpf(float(2 * node - 1))
            exact = mpmath.findroot(lambda x: mpmath.legendre(36, x), start)
            slope = 36 * (exact * mpmath.legendre(36, exact) - mpmath.legendre(35, exact))
            slope /= exact**2 - 1
            assert float(abs(node / ((1 + exact) / 2) - 1)) < 2e-16
            assert float(abs(weight * (1 - exact**2) * slope**2 - 1)) < 2e-16
    theirs = np.polynomial.legendre.leggauss(36)[1] / 2
    assert np.abs(theirs / weights - 1).max() > 1e-13


def test_recurrences():
    """psi(x + 1) - psi(x) = 1/x and psi_1(x) - psi_1(x + 1) = 1/x^2."""
    x = np.logspace(-10, 15, 101)
    one = np.ones_like(x)
    np.testing.assert_allclose(special.digamma_difference(x, one), 1 / x, rtol=1e-13)
    np.testing.assert_allclose(special.trigamma_difference(x, one), 1 / x**2, rtol=1e-13)


@settings(max_examples=30)
@given(st.lists(POSITIVE | st.floats(1, 20), min_size=1, max_size=4), st.integers(0, 500))
def test_digamma_and_trigamma(few, padding):
    """Both from one evaluation, and alike whatever they are evaluated with."""
    x = np.array(few + [1.5] * padding)
    digammas, trigammas = special.digamma_trigamma(x)
    for value, first, second in zip(few, digammas, trigammas, strict=False):
        wanted = mp.digamma(value)
        assert abs(first - wanted) <= 1e-15 * max(1, abs(wanted)), (value, first)
        close(second, mp.psi(1, value), 1e-15, x=value)
    assert special.trigamma(np.zeros((0, 3))).shape == (0, 3)
    together = special.trigamma(np.tile(x, 20))[: x.size]
    alone = np.concatenate([special.trigamma(x[i : i + 1]) for i in range(len(few))])
    assert together.tobytes()[: alone.nbytes] == alone.tobytes()


def test_log_factorial_remainder_across_the_change_of_formula():
    x = np.concatenate([np.nextafter(2.0, [0.0, 2.0, 10.0]), np.linspace(1, 20, 200)])
    for value, got in zip(x, special.log_factorial_remainder(x), strict=True):
        wanted = mp.loggamma(mp.mpf(value) + 1) - mp.mpf(value) * (mp.log(value) - 1)
        close(got, wanted, 5e-16, x=value)


@settings(max_examples=100)
@given(
    st.floats(-3, 3), st.floats(-8, 2), st.sampled_from([1e-300, 1e-13, 1e-3]), st.integers(0, 3)
)
def test_root_is_scipys(place, log_scale, xtol, kind):
    """The same point to the last bit, and as many evaluations."""
    seen = []

    def function(x):
        seen.append(x)
        away = (x - place) / 10**log_scale
        return [away, np.arctan(away), away**3, np.expm1(away)][kind] if abs(away) < 700 else away

    def found(finder):
        seen.clear()
        try:
            return finder(function, -4.0, 5.0, xtol=xtol, rtol=1e-12), *seen
        except RuntimeError:
            return tuple(seen)

    assert found(special.root) == found(optimize.brentq)


def test_bisected_finds_each_root_to_its_last_digits():
    roots = np.array([-29.5, -1e-9, 0.0, 1e-17, 3.25, 30.0])
    found = special.bisected(lambda z: z < roots, roots.size, 30.0)
    np.testing.assert_allclose(found, roots, rtol=1e-15, atol=1e-19)


def test_blocks_are_all_elements_once():
    for size in (0, 1, 7, 8, 9):
        for length in (1, 8, 2**15):
            parts = [np.arange(size)[part] for part in special.blocks(size, length)]
            assert all(0 < part.size <= length for part in parts)
            assert np.array_equal(np.concatenate([[], *parts]), np.arange(size))
    assert len(list(special.blocks(2**16))) == 2


def test_series_have_the_coefficients_of_bernoulli():
    """DLMF 5.11.1 and 5.15.8, each to the last digit."""
    bernoulli = [mp.bernoulli(k) for k in range(24)]
    for k, got in enumerate(log_gamma._STIRLING, 1):
        assert got == float(bernoulli[2 * k] / (2 * k * (2 * k - 1))), k
    assert len(log_gamma._STIRLING) == 10
    assert (0.0, 0.5, *(float(bernoulli[k]) for k in range(2, 9))) == digamma._EXCESS
    assert tuple(float(1 / mp.mpf(k)) for k in range(3, 33, 2)) == arithmetic.ODD_RECIPROCALS


def remainder(y):
    return mp.loggamma(y) - (y - 0.5) * mp.log(y) + y - mp.log(2 * mp.pi) / 2


FITTED = {
    "log_gamma": (log_gamma._TAIL, 2, 1e-16, lambda y: y * remainder(y)),
    "gap": (digamma._GAP, 6, 6e-15, lambda y: y * y * (gap(y) - 1 / (2 * y))),
    "digamma": (digamma._DIGAMMA_TAIL, 8, 6e-15, lambda y: y * y * (gap(y) - 1 / (2 * y))),
    "trigamma": (
        *(digamma._TRIGAMMA_TAIL, 8, 5e-14),
        lambda y: y**3 * (mp.psi(1, y) - 1 / y - 1 / (2 * y * y)),
    ),
}


@pytest.mark.parametrize("name", FITTED)
def test_fitted_polynomials(name):
    """The polynomial in 1/y^2 itself, evaluated exactly."""
    coefficients, start, rtol, wanted = FITTED[name]
    for y in [start + mp.mpf(i) ** 2 / 7 for i in range(16)]:
        got = sum(c / y ** (2 * k) for k, c in enumerate(coefficients))
        assert abs(got - wanted(y)) <= rtol * abs(wanted(y)), (y, got, wanted(y))


def test_log_rising_ratio_of_arrays():
    x, h, n = arrays([0.5, 3.0, 1e3], [[2.0], [1e-9]], [2.0, 40.0, 1e7])
    got = special.log_rising_ratio(x, h, n)
    assert got.shape == (2, 3)
    for place in np.ndindex(2, 3):
        row = [np.broadcast_to(z, (2, 3))[place] for z in (x, h, n)]
        close(got[place], mp.mpf(float(special.log_rising_ratio(*arrays(*row)))), 1e-15)


def test_root_refuses():
    for function in (lambda x: 1 + x * x, lambda _: float("nan")):
        with pytest.raises(ValueError):
            special.root(function, -1.0, 1.0, xtol=1e-9)
    with pytest.raises(RuntimeError):
        special.root(lambda x: np.sign(x - 0.3) or 1.0, -1e300, 1e300, xtol=1e-300, rtol=0.0)


@pytest.mark.parametrize(
    ("a", "b"), [(2e5, 1e5), (2e8, 1.5e8), (7e9, 2e9), (6e15, 4e15), (9e18, 2e8)]
)
def test_share_below(a, b):
    """1e-11 of its tail where 1 - c is exact, or as SciPy has it; against the density."""
    exact = mpmath.mp.clone()
    exact.dps = 40
    p, q = exact.mpf(a), exact.mpf(b)
    mean, scale = p / (p + q), exact.sqrt(p * q / (p + q) ** 3)
    norm = exact.loggamma(p) + exact.loggamma(q) - exact.loggamma(p + q)

    def density(t):
        c = mean + scale * t
        return scale * exact.exp((p - 1) * exact.log(c) + (q - 1) * exact.log(1 - c) - norm)

    for t in (-5.0, -1.0, -2e-3, 0.0, 1e-3, 4e-3, 0.3):
        c = float(mean + scale * t)
        end = (exact.mpf(c) - mean) / scale
        first = max(-25, -mean / scale)
        wanted = exact.quad(density, [*exact.linspace(first, end, 15)])
        got = special.beta_share(*arrays(a, b, c, 1 - c))
        close(got, wanted, 1e-11 if min(a, b) > 1e8 else 1e-9, a=a, b=b, t=t)


def test_a_share_of_a_beta_is_a_probability_far_out():
    a, b = 14030740980588.684, 3957382149029.5703
    c = np.linspace(0.7799, 0.7801, 20001)
    share = special.beta_share(np.array(a), np.array(b), c, 1 - c)
    assert share.min() >= 0 and share.max() <= 1 and (np.diff(share) >= -1e-15).all()
    assert share[0] == 0 and share[-1] == 1


@pytest.mark.parametrize("b", [1e-13, 1e-6, 0.01, 0.7])
def test_shares_near_1_and_of_small_concentrations(b):
    """Nine digits of probabilities that one minus the complement would lose, and of others."""
    a, rest = 60.0, np.geomspace(1e-12, 0.04, 25)
    got = special.beta_share(np.array(a), np.array(b), 1 - rest, rest)
    exact = mpmath.mp.clone()
    exact.dps = 30
    wanted = [
        float(1 - exact.betainc(b, a, 0, exact.mpf(float(x)), regularized=True)) for x in rest
    ]
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    assert np.min(wanted) < 30 * b
