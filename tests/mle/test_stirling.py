"""`elbo_ref.mle.stirling`: derivatives inside their enclosures, by polygamma at 120 digits."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.mle.binomial import BinomialLimit, totals
from elbo_ref.mle.interval_arithmetic import Enclosure
from elbo_ref.mle.stirling import Box, Latents, _binet, _eta, _lambda, _omega, _sigma
from tiers import few

mp = mpmath.mp.clone()
mp.dps = 120
NAMES = "by_gamma", "by_mean", "steepness", "by_gamma_twice", "by_gamma_and_mean"


def example(seed):
    """Three latents of very different N, with a prior that is large and near them."""
    rng = np.random.default_rng([15, seed])
    n = [int(10 ** rng.uniform(0.3, 18)) for _ in range(3)]
    mean = 10 ** -rng.uniform(0.1, 6) if seed % 2 else rng.uniform(0.1, 0.9)
    z = rng.normal(size=3) * 10 ** rng.uniform(-2, 1.5)
    k = [
        min(max(int(x * mean + y * (x * mean * (1 - mean)) ** 0.5), 0), x)
        for x, y in zip(n, z, strict=True)
    ]
    k[0], n[1] = max(k[0], 1), max(n[1], k[1] + 1)
    counts = er.Counts(k, n)
    up, down = totals(counts)
    limit = BinomialLimit.of(counts, Fraction(up, up + down))
    m = float(limit.mean)
    gamma = min(m, 1 - m) / 10 ** rng.uniform(2.5, 20)
    shift = rng.normal() * (m * (1 - m) / max(n)) ** 0.5
    return counts, limit, gamma, shift


def truth(k, n, gamma, m):
    """`NAMES` of one latent's log evidence in (gamma, m), the third negated; and its height."""
    a, b, s, f = m / gamma, (1 - m) / gamma, 1 / gamma, n - k
    first, down, both = (mp.psi(0, x + y) - mp.psi(0, x) for x, y in ((a, k), (b, f), (s, n)))
    second, down2, both2 = (mp.psi(1, x + y) - mp.psi(1, x) for x, y in ((a, k), (b, f), (s, n)))
    slope = a * first + b * down - s * both
    bend = a * a * second + b * b * down2 - s * s * both2
    mixed = s * first + a * s * second - s * down - b * s * down2
    rising = (mp.loggamma(x + y) - mp.loggamma(x) for x, y in ((a, k), (b, f)))
    height = sum(rising) - (mp.loggamma(s + n) - mp.loggamma(s))
    return (
        -slope / gamma, s * (first - down), -s * s * (second + down2),
        (bend + 2 * slope) / gamma**2, -mixed / gamma, height,
    )  # fmt: skip


def box_of(counts, limit, gamma, shift):
    column = [Enclosure(np.array([[x[0]]]), np.array([[x[1]]])) for x in (gamma, shift)]
    return Box(Latents.of(counts, limit), *column)


def true_rows(counts, limit, gamma, shift):
    mean = mp.mpf(limit.mean.numerator) / limit.mean.denominator + mp.mpf(shift)
    rows = zip(counts.successes.tolist(), counts.total_count.tolist(), strict=True)
    return [truth(k, n, mp.mpf(gamma), mean) for k, n in rows]


def missed(box, rows, shrink=1.0):
    """How many of the derivatives lie outside their enclosures, shrunk about the middle."""
    count = 0
    for j, name in enumerate(NAMES):
        found = getattr(box, name)()
        for i, row in enumerate(rows):
            value = row[j]
            middle, radius = (float(x[0, i]) for x in (found.middle, found.radius))
            count += not abs(value - mp.mpf(middle)) <= mp.mpf(radius) * shrink
    return count


@pytest.mark.parametrize("seed", few(range(30), 4))
def test_derivatives_lie_in_their_enclosures(seed):
    counts, limit, gamma, shift = example(seed)
    rows = true_rows(counts, limit, gamma, shift)
    assert missed(box_of(counts, limit, (gamma, gamma), (shift, shift)), rows) == 0
    spread = (limit.mean * (1 - limit.mean) / int(counts.total_count.max())) ** 0.5 / 10
    box = box_of(counts, limit, (gamma / 1.3, gamma * 1.1), (shift - spread, shift + spread / 2))
    assert missed(box, rows) == 0


@pytest.mark.parametrize("seed", few(range(12), 3))
def test_enclosures_are_narrow(seed):
    """At a point they are as narrow as rounding, beside the largest term of each."""
    counts, limit, gamma, shift = example(seed)
    box = box_of(counts, limit, (gamma, gamma), (shift, shift))
    n, (_, k), spread = box.scales[2].high, box.residual, box.spread.high
    sizes = n + k.size**2 * spread, None, None, n * n + n * k.size**2 * spread
    for name, size in zip(NAMES, sizes, strict=False):
        if size is not None:
            assert (getattr(box, name)().radius <= 2e-5 * size).all()
    assert (box.by_gamma().radius <= 1e-9 * sizes[0]).all()


def test_enclosures_a_little_too_tight_would_be_noticed():
    """Negative control: a thousandth of each interval does not hold them all."""
    outside = 0
    for seed in range(4):
        counts, limit, gamma, shift = example(seed)
        rows = true_rows(counts, limit, gamma, shift)
        outside += missed(
            box_of(counts, limit, (gamma / 1.3, gamma * 1.1), (shift, shift)), rows, 1e-3
        )
    assert outside > 10


@pytest.mark.parametrize("seed", few(range(20), 3))
def test_heights_differ_as_log_gammas_do(seed):
    counts, limit, gamma, shift = example(seed)
    found = []
    for x in (gamma, gamma / 3):
        (height,), (size,) = box_of(counts, limit, (x, x), (shift, shift)).heights()
        found.append((height, size, sum(row[5] for row in true_rows(counts, limit, x, shift))))
    (one, size, exact), (other, more, true) = found
    assert abs(mp.mpf(one) - mp.mpf(other) - (exact - true)) <= 4e-15 * (size + more)


def test_functions_of_the_pull():
    """Through 0, on either side of the change of formula, to rounding."""
    for x in (-0.9, -0.4, -0.0101, -1e-9, 1e-12, 0.3, 0.7, 2.0, 900.0):
        z = mp.mpf(x)
        share = mp.log1p(z) / z
        eta = (1 - share) / z
        wanted = share, eta, 1 / (1 + z) - eta, (2 * eta - 1 / (1 + z)) / z
        for function, value in zip((_lambda, _eta, _omega, _sigma), wanted, strict=True):
            got = function(np.array([x]))[0]
            assert got == pytest.approx(float(value), rel=4e-14), (function.__name__, x)
    at_0 = [function(np.zeros(1))[0] for function in (_lambda, _eta, _omega, _sigma)]
    assert at_0 == pytest.approx([1.0, 1 / 2, 1 / 2, 1 / 3], rel=1e-15)


def test_differences_of_binets_function():
    """mu(a) - mu(a + K), to 1/(252 a^5)."""

    def remainder(a):
        return mp.loggamma(a) - (a - 0.5) * mp.log(a) + a - mp.log(2 * mp.pi) / 2

    for a, k in ((30.0, 1.0), (30.0, 500.0), (1e3, 7.0)):
        wanted = remainder(mp.mpf(a)) - remainder(mp.mpf(a) + k)
        gamma = 1 / (4 * a)
        got = _binet(np.array([0.25]), np.array([k]), np.array([gamma]))[0]
        assert abs(got - wanted) <= 1 / (252 * a**5) + 1e-14 * wanted, (a, k)


def twin(k, n, gamma, mean):
    """Both ends of each enclosure at a point, from the formulas of the module's opening."""
    m, rest, f = mean, 1 - mean, n - k
    y, e = 1 + gamma * n, mp.mpf(k) / n - mean
    less, inverse = n / y, 1 / y
    q, pull = gamma * less, less * e
    d = q * e
    p, other, u, v = m + d, rest - d, d / m, -d / rest
    up, down = 1 + e / (p * y), 1 - e / (other * y)

    def lam(x):
        return mp.log1p(x) / x

    def eta(x):
        return (1 - lam(x)) / x

    def omega(x):
        return 1 / (1 + x) - eta(x)

    def sigma(x):
        return (2 * eta(x) - 1 / (1 + x)) / x

    spread = eta(u) / m + eta(v) / rest
    r, r_f, r_n = inverse * m / p, inverse * rest / other, inverse
    least = min(m, rest) / gamma
    shares = gamma * (1 + r) / m, gamma * (1 + r_f) / rest, gamma * (1 + r_n)
    g = [[x / 6 * (1 - 1 / (5 * least**2)), x / 6] for x in shares]
    plain = pull**2 * spread - less * (up + down - 1) / 2
    binet = [up * g[0][i] + down * g[1][i] - g[2][1 - i] for i in (0, 1)]
    by_gamma = plain - less / 2 * binet[1], plain - less / 2 * binet[0]
    half = [up * (1 + g[0][i]) / m - down * (1 + g[1][1 - i]) / rest for i in (0, 1)]
    first = pull * (lam(u) / m + lam(v) / rest)
    by_mean = first + q / 2 * half[0], first + q / 2 * half[1]
    steep = less * (up * (1 + shares[0] / 2) / m + down * (1 + shares[1] / 2) / rest)
    steepness = steep, steep * (1 + 1 / (2 * least**2))
    twice = -2 * pull**2 * less * spread
    twice -= pull**3 * (sigma(u) / m**2 - sigma(v) / rest**2) / y
    twice += less**2 * (up**2 + down**2 - 1) / 2
    twice -= less / 6 * (up * r / (p * y) + down * r_f / (other * y) - inverse**2)
    error = less * (up / m + down / rest + 1) / (5 * least**2)
    by_gamma_twice = twice - error, twice + error
    mixed = -2 * pull * less * spread
    mixed -= pull**2 * ((omega(u) - q * sigma(u)) / m**2 - (omega(v) - q * sigma(v)) / rest**2)
    mixed += less * (up / p - down / other) / (2 * y)
    doubt = less * gamma * (up / m**2 + down / rest**2) / 2
    assert f > 0
    return by_gamma, by_mean, steepness, by_gamma_twice, (mixed - doubt, mixed + doubt)


@pytest.mark.parametrize("reference", [0.0, 500.0])
@pytest.mark.parametrize("least", [9.0, 40.0])
def test_enclosures_are_as_wide_as_what_is_not_known_of_binets_function(least, reference):
    """At a point, where a and b are not so large that rounding is wider."""
    counts = er.Counts([40, 260, 13], [100, 900, 45])
    k, n = totals(counts)
    limit = BinomialLimit.of(counts, Fraction(k, k + n))
    m = float(limit.mean)
    gamma = min(m, 1 - m) / least
    for shift in (-0.03, 0.001, 0.05):
        column = [Enclosure.exact(np.array([[x]])) for x in (gamma, shift)]
        box = Box(Latents.of(counts, limit), *column, reference=reference)
        mean = mp.mpf(limit.mean.numerator) / limit.mean.denominator + mp.mpf(shift)
        rows = zip(counts.successes.tolist(), counts.total_count.tolist(), strict=True)
        wanted = [twin(*row, mp.mpf(gamma), mean) for row in rows]
        for j, name in enumerate(NAMES):
            if reference and name not in ("by_mean", "steepness"):
                continue
            found = getattr(box, name)()
            times = 1 + reference * gamma
            for i, row in enumerate(wanted):
                low, high = (float(x) * times for x in row[j])
                room = 2e-3 * (high - low) + 1e-10 * (abs(low) + abs(high))
                assert found.low[0, i] == pytest.approx(low, abs=room), (name, i)
                assert found.high[0, i] == pytest.approx(high, abs=room), (name, i)


def wide_box(gamma=(1e-4, 3e-3), shift=(-0.05, 0.04)):
    counts = er.Counts([40, 260, 13], [100, 900, 45])
    k, f = totals(counts)
    limit = BinomialLimit.of(counts, Fraction(k, k + f))
    return box_of(counts, limit, gamma, shift), counts, limit


def test_residuals_are_the_fractions_less_the_mean():
    """Over the range of the mean, to its last digits."""
    box, counts, limit = wide_box()
    e, _ = box.residual
    for i, (k, n) in enumerate(zip(counts.successes, counts.total_count, strict=True)):
        away = Fraction(int(k), int(n)) - limit.mean
        for got, wanted in ((e.low, away - Fraction(0.04)), (e.high, away + Fraction(0.05))):
            assert float(got[0, i]) == pytest.approx(float(wanted), rel=1e-13)
    point, _, _ = wide_box(shift=(0.0, 0.0))
    tail = point.latents.more_away
    assert (tail != 0).any() and (np.abs(tail) <= 2.0**-53 * np.abs(point.latents.away)).all()
    e, _ = point.residual
    for i, (k, n) in enumerate(zip(counts.successes, counts.total_count, strict=True)):
        away = Fraction(int(k), int(n)) - limit.mean
        assert Fraction(float(e.low[0, i])) <= away <= Fraction(float(e.high[0, i]))
        assert float(e.high[0, i] - e.low[0, i]) <= 2.0**-48 * abs(float(away))


def test_a_pull_is_no_farther_than_the_means_allow():
    """u is p/m - 1, so that p and m bound it beside d/m; and it is above -1."""
    box, _, _ = wide_box(gamma=(0.0, 0.02), shift=(-0.2, 0.2))
    (m, rest), (p, other, u, v) = box.mean, box.pull
    d, active = box.scales[1] * box.residual[0], 0
    for one, part, whole, alone in ((u, p, m, d / m), (v, other, rest, -d / rest)):
        assert (one.low >= part.low / whole.high * (1 - 1e-14) - 1 - 1e-15).all()
        assert (one.low > -1).all() and (one.low <= one.high).all()
        bounds = np.broadcast_arrays(one.low, part.low, whole.high, alone.low)
        for low, part_low, whole_high, first in zip(*(x.ravel() for x in bounds), strict=True):
            exact = Fraction(float(part_low)) / Fraction(float(whole_high)) - 1
            active += low > first
            assert low == first or Fraction(float(low)) <= exact
    assert active >= 2


def test_at_the_limit_nothing_is_divided_by_zero():
    with np.errstate(all="raise"):
        box, _, _ = wide_box(gamma=(0.0, 0.0), shift=(0.0, 0.0))
        assert (box.binet[2].low == 1.0).all() and (box.binet[2].high == 1.0).all()
        assert np.isfinite(box.by_gamma().low).all()
