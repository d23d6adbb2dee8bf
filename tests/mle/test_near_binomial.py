"""`mle.near_binomial`: the profile latent by latent, beside factorial sums and 40 digits.

The counts are small enough for both; where concentrations are large, the two must agree.
"""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.mle.binomial import BinomialLimit, totals
from elbo_ref.mle.factorial_sums import FactorialSums
from elbo_ref.mle.interval_arithmetic import Enclosure
from elbo_ref.mle.lines import GammaProfile
from elbo_ref.mle.near_binomial import NearBinomialProfile
from elbo_ref.mle.newton import FromBinomialLimit, LogitMeanLogConcentration, refine
from elbo_ref.mle.stirling import Box, Latents

mp = mpmath.mp.clone()
mp.dps = 40
COUNTS = er.Counts([700, 515, 600, 548], [1700, 1300, 1400, 1450], multiplicity=[2, 1, 1, 3])
FEW = er.Counts([310, 298], [1000, 1000])


def profile_of(counts, mean=None, low=500.0, high=np.inf):
    k, f = totals(counts)
    limit = BinomialLimit.of(counts, Fraction(k, k + f) if mean is None else Fraction(mean))
    inner = GammaProfile(FactorialSums.of(counts), np.array([0.0, 1.0]), limit=limit,
                         free=mean is None)  # fmt: skip
    return NearBinomialProfile.between(low, high, inner, Latents.of(counts, limit))


def height(counts, m, gamma):
    """The log evidence but for the coefficients, with 40 digits."""
    m, s, total = mp.mpf(m), 1 / mp.mpf(gamma), mp.mpf(0)
    for k, n, w in zip(counts.successes, counts.total_count, counts.multiplicity, strict=True):
        k, n, a, b = int(k), int(n), m * s, (1 - m) * s
        rising = mp.loggamma(a + k) - mp.loggamma(a) + mp.loggamma(b + n - k) - mp.loggamma(b)
        total += int(w) * (rising - mp.loggamma(s + n) + mp.loggamma(s))
    return total


def best(counts, gamma):
    """The best mean at gamma, by Newton's method with 40 digits."""
    k, f = totals(counts)
    m, h = mp.mpf(k) / (k + f), mp.mpf(10) ** -12
    for _ in range(8):
        up, at, down = (height(counts, m + i * h, gamma) for i in (1, 0, -1))
        m -= (up - down) / 2 * h / (up - 2 * at + down)
    return m


@pytest.mark.parametrize("mean", [None, 0.375])
@pytest.mark.parametrize("counts", [COUNTS, FEW], ids=["four", "two"])
def test_points_beside_forty_digits(counts, mean):
    """Heights within 16 roundings of their parts' sizes, slopes within their noise."""
    gammas = np.array([2e-5, 1e-4, 1e-3])
    profile = profile_of(counts, mean).anchored(1e-4, 0.0)
    points, eps = profile.points(gammas), 2.0**-52
    means = [best(counts, x) if mean is None else mp.mpf(mean) for x in gammas]
    exact = [height(counts, m, x) for m, x in zip(means, gammas, strict=True)]
    for i, (m, x) in enumerate(zip(means, gammas, strict=True)):
        away = abs(mp.mpf(points.height[i]) - (exact[i] - exact[1]))
        assert away <= points.noise[i], (i, away)
        h = mp.mpf(x) * mp.mpf(10) ** -12
        slope = (height(counts, m, x + h) - height(counts, m, x - h)) / (2 * h)
        assert abs(mp.mpf(points.slope[i]) - slope) <= points.slope_noise[i], i
        line = profile.line(gammas[i : i + 1])
        assert float(line.m[0]) == pytest.approx(float(m), rel=1e-13)
        assert (line.q[0], line.r[0]) == (x, 1.0)
        assert line.p[0] == line.m[0] and line.rest[0] == pytest.approx(1 - line.m[0], rel=1e-14)
    box = profile._best(gammas)
    _, sizes = box.heights()
    _, start = profile._best(np.array([1e-4])).heights()
    least = 16 * eps * (sizes + start)
    assert (least <= points.noise).all() and (points.noise <= 1.01 * least).all()
    n = float(counts.multiplicity @ counts.total_count)
    assert (points.slope_noise <= 1e-5 * n).all()


def test_where_the_slope_is_that_of_the_limit():
    """Close to gamma = 0 the two ways of a slope are met: narrower than either, and no farther."""
    profile = profile_of(COUNTS).anchored(0.0, 0.0)
    near = np.array([0.0, 1e-9, 5e-8])
    assert (near * 1700 < 1e-4).all()
    points, limit = profile.points(near), float(profile.limit.slope)
    assert points.slope[0] == pytest.approx(limit, rel=1e-12)
    assert points.slope_noise[0] <= 1e-14 * abs(limit)
    bend = profile._curvature(profile._range(np.zeros(1), near[2:])[0])
    ends = limit + near[2] * np.array([bend.low[0], bend.high[0]])
    assert ends[0] - 1e-9 <= points.slope[2] <= ends[1] + 1e-9
    assert points.slope_noise[2] <= (ends[1] - ends[0]) / 2 + 1e-9
    m = best(COUNTS, near[2])
    h = mp.mpf(near[2]) * mp.mpf(10) ** -6
    slope = (height(COUNTS, m, near[2] + h) - height(COUNTS, m, near[2] - h)) / (2 * h)
    assert abs(points.slope[2] - slope) <= points.slope_noise[2] + mp.mpf(10) ** -3


@pytest.mark.parametrize("mean", [None, 0.375])
@pytest.mark.parametrize("ends", [(1e-5, 1.2e-5), (1e-4, 1.3e-4), (5e-4, 9e-4), (0.0, 1e-5)])
def test_nothing_passes_the_bounds(mean, ends):
    """Slopes and second derivatives, by 40 digits at five points of an interval."""
    profile = profile_of(COUNTS, mean).anchored(1e-4, 0.0)
    low, high = (np.array([x]) for x in ends)
    box = profile.bounds(low, high)
    assert box.length[0] == high[0] - low[0]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = ends[0] + share * (ends[1] - ends[0])
        x = max(x, 1e-9)
        h = mp.mpf(x) * mp.mpf(10) ** -8

        def at(gamma):
            m = best(COUNTS, gamma) if mean is None else mean
            return height(COUNTS, m, gamma)

        up, here, down = at(x + h), at(x), at(x - h)
        slope, bend = (up - down) / (2 * h), (up - 2 * here + down) / h**2
        assert box.least[0] <= slope <= box.greatest[0]
        assert bend <= box.curvature[0] + 1e-3 * abs(box.curvature[0])


def test_on_short_intervals_the_bounds_are_close():
    """The slope to the interval's length times the second derivative; that to a tenth."""
    profile = profile_of(COUNTS).anchored(1e-4, 0.0)
    low, high = np.array([1e-4]), np.array([1.0001e-4])
    box, points = profile.bounds(low, high), profile.points(np.array([1e-4, 1.0001e-4]))
    rise = np.diff(points.slope)[0]
    wide = np.ptp(points.slope) + 4 * points.slope_noise.max()
    assert box.greatest[0] - box.least[0] <= 12 * wide
    assert box.curvature[0] == pytest.approx(rise / (high - low)[0], rel=0.1)


def test_how_far_the_best_mean_may_be_is_known_of_short_intervals_only():
    """Of one that is not, the bounds are those by factorial sums."""
    profile = profile_of(COUNTS).anchored(1e-4, 0.0)
    low, high = np.array([1e-4, 1e-5]), np.array([1.1e-4, 0.9])
    _, known = profile._range(low, high)
    assert known.tolist() == [True, False]
    both, alone = profile.bounds(low, high), profile.bounds(low[:1], high[:1])
    for part, first in zip(both, alone, strict=True):
        assert part[0] == pytest.approx(first[0], rel=1e-12)
    inner = GammaProfile(profile.sums, profile.grid, limit=profile.limit, free=True)
    other = inner.bounds(low[1:], high[1:])
    for part, second in zip(both, other, strict=True):
        assert part[1] == pytest.approx(second[0], rel=1e-12)
    held = profile_of(COUNTS, 0.375)
    assert held._range(low, high)[1].all()


@pytest.mark.parametrize("mean", [None, 0.375])
def test_a_refined_maximum_is_that_of_the_other_coordinates(mean):
    """Its concentrations, its error and the covariance of (logit m, log s)."""
    counts = er.Counts([700, 515, 600, 548], [1700, 1300, 1400, 1450], multiplicity=[200] * 4)
    profile = profile_of(counts, mean)
    k, f = totals(counts)
    m = k / (k + f) if mean is None else mean
    held = 0 if mean is None else 1
    start = er.Beta(900 * m, 900 * (1 - m))
    sums, (a, b) = FactorialSums.of(counts), map(float, start.arrays())
    wanted = refine(LogitMeanLogConcentration(a, b, sums, held), start)
    found = profile.refined(er.Beta(2.5 * a, 2.5 * b))
    error = found.relative_error
    np.testing.assert_allclose(found.prior.arrays(), wanted.prior.arrays(), rtol=error)
    assert 4 * 2.0**-52 < error < (1e-9 if mean is None else 1e-6)
    np.testing.assert_allclose(found.covariance, wanted.covariance, rtol=1e-4, atol=1e-8)
    if held:
        assert found.covariance[:2] == (0.0, 0.0)
    near = refine(FromBinomialLimit.of(start, sums, profile.limit, held), start)
    np.testing.assert_allclose(near.covariance, wanted.covariance, rtol=1e-6, atol=1e-16)


def test_where_it_bends_up_there_is_no_maximum():
    found = profile_of(FEW).refined(er.Beta(1e7, 2e7))
    bends_down = found.covariance is not None
    assert np.isfinite(found.relative_error) == bends_down


@pytest.mark.parametrize("high", [np.inf, 1e9, 2e4])
def test_the_grid_goes_from_the_largest_concentration_to_the_least(high):
    """From gamma N = 0.05 on by less than e^2; the ends of the range are in it."""
    profile = profile_of(COUNTS, low=500.0, high=high)
    grid = profile.grid
    assert grid[0] == 1 / high and grid[-1] == 1 / 500.0
    inner = grid[1:] if high > 1700 / 0.05 else grid
    assert inner[0] == pytest.approx(1 / min(high, 1700 / 0.05), rel=1e-12)
    assert (np.diff(np.log(inner)) < 2.0 + 1e-12).all() and (np.diff(grid) > 0).all()
    assert profile.num_terms == 4 and profile.row_size >= 8 * 4


def test_a_box_is_that_of_its_latents():
    profile = profile_of(COUNTS)
    box = profile._box(Enclosure.exact(np.array([[1e-4]])), Enclosure.exact(np.array([[0.0]])))
    total = profile._sum(Enclosure.exact(np.ones((1, 4))))
    assert box.latents is profile.latents
    assert total.low[0] == pytest.approx(7.0) and total.low[0] <= 7.0 <= total.high[0]


@pytest.mark.parametrize("high", [np.inf, 2e4])
def test_the_grid_has_as_few_points_as_its_steps_allow(high):
    """Two of each e^2, and the ends."""
    profile = profile_of(COUNTS, low=500.0, high=high)
    first = min(high, 1700 / 0.05)
    inner = int(np.log(first / 500.0) / 2) + 2
    assert profile.grid.size == inner + (high == np.inf)


@pytest.mark.parametrize("mean", [None, 0.375])
def test_the_best_mean_takes_few_steps(monkeypatch, mean):
    """Newton's method ends where the slope is rounding; a mean that is held takes none."""
    profile, boxes = profile_of(COUNTS, mean), []
    own = NearBinomialProfile._box

    def counted(self, *x):
        boxes.append(x)
        return own(self, *x)

    monkeypatch.setattr(NearBinomialProfile, "_box", counted)
    profile._best(np.array([2e-5, 1e-4, 1e-3]))
    assert len(boxes) == 1 if mean else 2 <= len(boxes) < 8
    boxes.clear()
    profile._best(np.array([1e-4]), steps=1)
    assert len(boxes) == (1 if mean else 2)


@pytest.mark.parametrize("ends", [(1e-4, 1.1e-4), (1e-5, 1.3e-5), (0.0, 1e-6)])
def test_how_far_the_best_mean_may_be(ends):
    """By r (1 + t)^2/h with t = 2 r/(h min(m, 1 - m)): the best means are in it, 40 digits."""
    profile = profile_of(COUNTS)
    low, high = (np.array([x]) for x in ends)
    box, known = profile._range(low, high)
    assert known.all()
    middle = profile._best((low + high) / 2, steps=2).shift
    whole = Box(profile.latents, Enclosure(low[:, None], high[:, None]), middle_of(middle),
                reference=float(profile.latents.trials.max()))  # fmt: skip
    reach = profile._sum(whole.by_mean()).size / profile._sum(whole.steepness()).low
    part = 2 * reach / np.minimum(*(x.low[:, 0] for x in whole.mean))
    wide = reach * (1 + part) ** 2
    np.testing.assert_allclose(box.shift.high - box.shift.low, [2 * wide], rtol=1e-6)
    for x in ends:
        m = best(COUNTS, max(x, 1e-9)) - mp.mpf(profile.limit.mean.numerator) / (
            profile.limit.mean.denominator
        )
        assert box.shift.low[0, 0] <= m <= box.shift.high[0, 0]


def middle_of(shift):
    return shift if isinstance(shift, Enclosure) else Enclosure.exact(shift)


@pytest.mark.parametrize(("share", "narrowed"), [(0.99, True), (1.01, False)])
def test_the_limit_narrows_slopes_below_a_ten_thousandth(monkeypatch, share, narrowed):
    """Of gamma N, of the largest N; the others keep what they have."""
    profile = profile_of(COUNTS).anchored(0.0, 0.0)
    x = np.array([share * 1e-4 / 1700, 1e-3])
    asked = []
    own = NearBinomialProfile._range

    def counted(self, low, high):
        asked.append((low, high))
        return own(self, low, high)

    monkeypatch.setattr(NearBinomialProfile, "_range", counted)
    wide = Enclosure(np.array([-1e12, -3.0]), np.array([1e12, 4.0]))
    found = profile._from_limit(x, wide)
    assert len(asked) == narrowed and (found.low[1], found.high[1]) == (-3.0, 4.0)
    assert (found.high[0] - found.low[0] < 1e9) == narrowed
    if narrowed:
        ((low, high),) = asked
        assert low.tolist() == [0.0] and high.tolist() == [x[0]]
        limit = float(profile.limit.slope)
        assert found.low[0] <= limit + abs(limit) and found.high[0] >= limit - abs(limit)


def test_what_is_kept_of_the_profile_it_is_made_of():
    profile = profile_of(COUNTS, 0.375, low=700.0, high=1e5)
    assert (profile.free, profile.limit.mean) == (False, Fraction(3, 8))
    assert profile_of(COUNTS).grid[0] == 0.0
    assert profile.line(np.array([1e-4])).m[0] == pytest.approx(0.375, rel=1e-15)
    assert profile.line(np.array([1e-4])).rest[0] == pytest.approx(0.625, rel=1e-15)


@pytest.mark.parametrize("start", [0.7, 1.0, 9.0])
def test_a_maximum_is_refined_in_few_steps(monkeypatch, start):
    """No step goes beyond twice gamma, or a thousandth of it; it ends at a tenth of its error."""
    counts = er.Counts([700, 515, 600, 548], [1700, 1300, 1400, 1450], multiplicity=[200] * 4)
    profile, seen = profile_of(counts), []
    own = NearBinomialProfile.points

    def counted(self, x):
        seen.append(float(x[0]))
        return own(self, x)

    monkeypatch.setattr(NearBinomialProfile, "points", counted)
    maximum = profile.refined(er.Beta(900 * 0.4, 900 * 0.6))
    best_gamma = profile.x_of(maximum.prior)
    seen.clear()
    found = profile.refined(er.Beta(0.4 * start / best_gamma, 0.6 * start / best_gamma))
    assert len(seen) < 12 and profile.x_of(found.prior) == pytest.approx(best_gamma, rel=1e-9)
    ratios = np.array(seen[1:]) / seen[:-1]
    assert (ratios <= 2 * (1 + 1e-12)).all() and (ratios >= 1e-3 * (1 - 1e-12)).all()
    assert abs(seen[-1] / best_gamma - 1) <= max(1e-15, 0.2 * found.relative_error)
    assert found.relative_error == pytest.approx(maximum.relative_error, rel=0.2)


@pytest.mark.parametrize("mean", [None, 0.375])
def test_the_covariance_is_the_inverse_of_the_information(mean):
    """Of (logit m, log s), by differences of 40 digits; with a mean held of log s alone."""
    counts = er.Counts([700, 515, 600, 548], [1700, 1300, 1400, 1450], multiplicity=[200] * 4)
    profile = profile_of(counts, mean)
    maximum = profile.refined(er.Beta(360.0, 540.0) if mean is None else er.Beta(337.5, 562.5))
    a, b = map(float, maximum.prior.arrays())
    x, y, h = mp.log(mp.mpf(a) / b), mp.log(mp.mpf(a) + b), mp.mpf(10) ** -8

    def at(i, j):
        m = 1 / (1 + mp.exp(-(x + i * h)))
        return height(counts, m, mp.exp(-(y + j * h)))

    bends = [at(1, 0) - 2 * at(0, 0) + at(-1, 0), at(0, 1) - 2 * at(0, 0) + at(0, -1)]
    mixed = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    if mean is not None:
        wanted = (0.0, 0.0, -float(h**2 / bends[1]))
    else:
        size = bends[0] * bends[1] - mixed**2
        wanted = [float(-z * h**2 / size) for z in (bends[1], -mixed, bends[0])]
    np.testing.assert_allclose(maximum.covariance, wanted, rtol=1e-5, atol=1e-8)


def test_a_row_has_room_for_eight_numbers_of_each_latent():
    """Where that is more than the factorial sums take."""
    profile = profile_of(er.Counts(700 + np.arange(300), 1700))
    assert profile.num_terms == 300 and profile.row_size == 8 * 300
    few = profile_of(FEW)
    assert few.row_size == GammaProfile.row_size.fget(few) > 8 * 2
