"""Profiles and `mle.branch_and_bound`: heights, slopes, and bounds that nothing may pass.

The witness is `elbo_ref.log_evidence` itself, maximised over the mean by a plain search that shares
no code with the profiles, and central differences.
"""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import optimize

import elbo_ref as er
from elbo_ref.mle.binomial import BinomialLimit, totals
from elbo_ref.mle.branch_and_bound import (
    _Cells,
    _chord_bound,
    _parabola_bound,
    search,
    stationary_point,
    superlevel_set,
    union,
)
from elbo_ref.mle.factorial_sums import FactorialSums, WeightedOffsets
from elbo_ref.mle.lines import (
    Concentration0Profile,
    ConcentrationProfile,
    GammaProfile,
    best_mean,
)
from elbo_ref.mle.near_binomial import LARGE, large_from
from elbo_ref.mle.profile import IntervalBounds, Points
from profiles import COUNTS
from tiers import few

DATA = {**COUNTS, "large": er.Counts([40_000, 61_000, 70_500], 10**5)}
GRID = np.array([0.05, 0.4, 1.3, 8.0, 90.0, 4e3])


def mean_profile(kind, counts, mean=None, grid=GRID):
    """A profile of some counts, at the best mean or a given one."""
    k, f = totals(counts)
    at = Fraction(k, k + f) if mean is None else Fraction(mean[0])
    limit = BinomialLimit.of(counts, at)
    return kind(FactorialSums.of(counts), grid, limit=limit, free=mean is None)


def slow_profile(counts, s, mean=None):
    """The slow twin: the highest log evidence at one concentration, over the mean."""

    def height(logit):
        m = 1 / (1 + np.exp(-logit))
        return er.log_evidence(er.Beta(s * m, s / (1 + np.exp(logit))), counts)

    if mean is not None:
        return er.log_evidence(er.Beta(s * mean[0], s * mean[1]), counts)
    result = optimize.minimize_scalar(
        lambda x: -height(x), bounds=(-15, 15), method="bounded", options={"xatol": 1e-9}
    )
    return -result.fun


@pytest.mark.parametrize("mean", [None, (0.25, 0.75)])
@pytest.mark.parametrize("kind", few([GammaProfile, ConcentrationProfile]))
@pytest.mark.parametrize("name", few(DATA, 2))
def test_heights_and_slopes(name, kind, mean):
    counts = DATA[name]
    s = GRID[::-1] if kind is GammaProfile else GRID
    x = 1 / s if kind is GammaProfile else s
    profile = mean_profile(kind, counts, mean)
    profile = profile.anchored(float(x[2]), slow_profile(counts, s[2], mean))
    points = profile.points(x)
    slow = np.array([slow_profile(counts, float(y), mean) for y in s])
    assert (np.abs(points.height - slow) <= points.noise + 1e-13 * np.abs(slow) + 1e-13).all()
    step = 1e-4
    there, back = profile.points(x * (1 + step)), profile.points(x * (1 - step))
    difference = (there.height - back.height) / (2 * step * x)
    allowed = 1e-5 * np.abs(points.slope) + (there.noise + back.noise) / (step * x) + 1e-6 / x
    assert (np.abs(points.slope - difference) <= allowed).all()


@pytest.mark.parametrize("kind", [GammaProfile, ConcentrationProfile])
def test_the_noise_of_heights_is_that_of_its_terms(kind):
    """Eight roundings of each logarithm that is added, and of the place of the mean."""
    counts = DATA["overdispersed"]
    x = np.array([0.04, 0.3, 2.0, 17.0])
    profile = mean_profile(kind, counts).anchored(0.9, 0.0)
    here, start = profile.line(x), profile.line(np.array([0.9]))
    up, down, _, excess, _ = profile.sums

    def tables(line):
        _, p, rest, q, r = (part[:, None] for part in line)
        below = (rest + q * down.offset) / (r + q * down.offset)
        return p + q * up.offset, below, r + q * excess.offset

    noise = here.p * (up.weight / tables(here)[0]).sum(axis=1)
    weights = up.weight, down.weight, excess.weight
    for one, other, weight in zip(tables(here), tables(start), weights, strict=True):
        noise = noise + np.abs(np.log(one / other)) @ weight
    np.testing.assert_allclose(profile.points(x).noise, 8 * 2.0**-52 * noise, rtol=1e-9)


@pytest.mark.parametrize("counts", DATA.values(), ids=DATA)
def test_at_the_best_mean_the_derivative_vanishes(counts):
    gamma = 1 / GRID
    m, rest = best_mean(FactorialSums.of(counts), gamma, gamma)
    np.testing.assert_allclose(m + rest, 1, rtol=1e-15)
    for x, y, s in zip(m, rest, GRID, strict=True):
        d1, d0 = er.log_evidence_gradient(er.Beta(s * x, s * y), counts)
        assert abs(d1 - d0) <= 1e-12 * (abs(d1) + abs(d0)) + 1e-10 * counts.total_count.sum() / s


@pytest.mark.parametrize("counts", DATA.values(), ids=DATA)
def test_the_evidence_at_a_given_concentration1(counts):
    a = 2.5
    profile = Concentration0Profile.of(FactorialSums.of(counts), a)
    points = profile.anchored(1.3, er.log_evidence(er.Beta(a, 1.3), counts)).points(GRID)
    slow = [er.log_evidence(er.Beta(a, b), counts) for b in GRID]
    slopes = [er.log_evidence_gradient(er.Beta(a, b), counts)[1] for b in GRID]
    np.testing.assert_allclose(points.height, slow, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(points.slope, slopes, rtol=1e-10, atol=1e-9)


def chords(low, high, left, right, length, at):
    """The lower of the two lines at a share of the way."""
    return np.minimum(low.height + left * length * at, high.height - right * length * (1 - at))


@st.composite
def intervals(draw):
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20)),
            min_size=1, max_size=5,
        )
    )  # fmt: skip
    k, f, w = (np.array(column) for column in zip(*rows, strict=True))
    k[0], f[0] = max(k[0], 1), max(f[0], 1)
    start = np.exp(draw(st.floats(-6, 9)))
    return er.Counts(k, k + f, w), start, start * np.exp(draw(st.floats(1e-3, 2)))


def bounded_profiles(counts, low, high):
    yield mean_profile(GammaProfile, counts), low, high
    yield mean_profile(GammaProfile, counts), 0.0, high
    yield mean_profile(ConcentrationProfile, counts), low, high
    yield mean_profile(GammaProfile, counts, (0.3, 0.7)), low, high
    yield mean_profile(ConcentrationProfile, counts, (0.3, 0.7)), low, high
    yield Concentration0Profile.of(FactorialSums.of(counts), 1.7), low, high


def violations(bounds, counts, start, end):
    """The most by which P, P' and P'' pass their bounds inside an interval, on 60 points."""
    worst = []
    share = np.linspace(0, 1, 60)
    for profile, low, high in bounded_profiles(counts, start, end):
        profile = profile.anchored(high, 0.0)
        ends = profile.points(np.array([low, high]))
        a, b = ends.take(slice(0, 1)), ends.take(slice(1, 2))
        inside = profile.points(low + share * (high - low))
        before, after = profile.chord_excess(a.x, b.x)
        box = bounds(profile, a.x, b.x)
        logarithmic = isinstance(profile, ConcentrationProfile)
        way = np.log(inside.x / low) / box.length if logarithmic else share
        slope = inside.slope * (inside.x if logarithmic else 1.0)
        scale = 1e-11 * (1 + np.abs(inside.height).max() + counts.total_count.sum())
        tangents = chords(a, b, a.slope + before, b.slope - after, high - low, share)
        lines = chords(a, b, box.greatest, box.least, box.length, way)
        slopes = profile.slope_in_v(a.x, a.slope), profile.slope_in_v(b.x, b.slope)
        parabolas = _parabola_bound(a.height, b.height, *slopes, box)
        worst.append(np.max(inside.height - tangents) / scale)
        worst.append(np.max(inside.height - lines) / scale)
        worst.append(np.max(inside.height - parabolas) / scale)
        rise = 1e-9 * (np.abs(slope).max() + 1e-3)
        worst.append(np.max(slope - box.greatest) / rise)
        worst.append(np.max(box.least - slope) / rise)
        bend = np.diff(slope) / (np.diff(way) * box.length)
        turn = 1e-5 * (np.abs(bend).max() + np.abs(box.curvature[0]))
        worst.append(np.max(bend - box.curvature[0]) / turn)
    return np.array(worst)


@pytest.mark.thorough
@settings(max_examples=30)
@given(intervals())
def test_nothing_inside_an_interval_passes_its_bounds(case):
    found = violations(lambda profile, low, high: profile.bounds(low, high), *case)
    assert found.max() <= 1, (case, found)


@pytest.mark.parametrize("ends", [(0.01, 0.09), (0.1, 1.0), (1.0, 6.0), (30.0, 300.0)])
@pytest.mark.parametrize("name", few(DATA, 4))
def test_nothing_passes_the_bounds_of_a_long_interval(name, ends):
    found = violations(lambda profile, low, high: profile.bounds(low, high), DATA[name], *ends)
    assert found.max() <= 1, found


def test_bounds_a_little_too_tight_would_be_noticed():
    """Negative control: slopes and curvature bounded by their values at the ends alone."""

    def tight(profile, low, high):
        box = profile.bounds(low, high)
        ends = profile.points(np.concatenate([low, high])).slope
        if isinstance(profile, ConcentrationProfile):
            ends = ends * np.concatenate([low, high])
        bend = (ends[1:] - ends[:1]) / box.length
        least, greatest = ends.min(keepdims=True), ends.max(keepdims=True)
        return box._replace(least=least, greatest=greatest, curvature=bend)

    case = DATA["overdispersed"], 0.1, 1.0
    assert violations(lambda profile, low, high: profile.bounds(low, high), *case).max() <= 1
    assert violations(tight, *case).max() > 100


def test_bounds_close_in_with_the_length():
    """Half the interval: the lines are four times closer, the second derivative's bound twice."""
    counts = DATA["overdispersed"]
    for kind, x in ((GammaProfile, 0.3), (ConcentrationProfile, 3.0)):
        profile, gaps = mean_profile(kind, counts).anchored(x, 0.0), []
        for length in (0.04, 0.02, 0.01):
            low, high = np.array([x]), np.array([x * (1 + length)])
            a, b, middle = (profile.points(y) for y in (low, high, (low + high) / 2))
            before, after = profile.chord_excess(low, high)
            box = profile.bounds(low, high)
            first = chords(a, b, a.slope + before, b.slope - after, high - low, 0.5)
            second = chords(a, b, box.greatest, box.least, box.length, 0.5)
            bend = profile.slope_in_v(b.x, b.slope) - profile.slope_in_v(a.x, a.slope)
            gaps.append([float(x[0]) for x in (first - middle.height, second - middle.height,
                                               box.curvature - bend / box.length)])  # fmt: skip
        gaps = np.array(gaps)
        np.testing.assert_allclose(gaps[:-1] / gaps[1:], [[4, 4, 2]] * 2, rtol=0.15)


@pytest.mark.parametrize("name", DATA)
def test_bounds_of_a_short_interval_are_the_derivatives(name):
    """Of the slope, and of the second derivative, by a difference over ten intervals."""
    counts = DATA[name]
    for start in (0.02, 0.7, 30.0, 1e5):
        for profile, low, high in bounded_profiles(counts, start, start * (1 + 1e-7)):
            if low == 0:
                continue
            x = np.array([low, high])
            box = profile.bounds(x[:1], x[1:])
            logarithmic = isinstance(profile, ConcentrationProfile)
            assert box.length[0] == pytest.approx(1e-7 * (1 if logarithmic else start), rel=1e-6)
            near = start * np.array([1 - 1e-4, 1.0, 1 + 1e-4])
            points = profile.anchored(start, 0.0).points(near)
            slopes = profile.slope_in_v(points.x, points.slope)
            step = 2e-4 * (1 if logarithmic else start)
            bend, size = (slopes[2] - slopes[0]) / step, np.abs(box.curvature[0])
            terms = points.slope_noise[1] * (start if logarithmic else 1) / 2**-52
            for bound in (box.greatest[0], box.least[0]):
                away = abs(bound - slopes[1])
                assert away <= 1e-5 * terms + size * box.length[0], (profile, start, away, terms)
            assert box.least[0] <= slopes[1] <= box.greatest[0]
            noise = 2 * points.slope_noise.max() * (start if logarithmic else 1) / step
            allowed = 3e-2 * (np.abs(bend) + np.abs(slopes[1]) / (1 if logarithmic else start))
            assert abs(box.curvature[0] - bend) <= allowed + noise, (profile, start, bend, box)


@pytest.mark.parametrize("name", DATA)
def test_bounds_have_room_for_rounding(name):
    """At one point eight roundings of the terms that are added, to either side."""
    counts = DATA[name]
    for profile, x, _ in bounded_profiles(counts, 0.3, 0.3):
        if not isinstance(profile, GammaProfile) or x == 0:
            continue
        at = np.array([x])
        box, line = profile.bounds(at, at), profile.line(at)
        up, _, _, excess, _ = profile.sums
        size = (up.weight * up.offset / (line.m[0] + x * up.offset)).sum()
        size += (excess.weight * excess.offset / (1 + x * excess.offset)).sum()
        room = (box.greatest[0] - box.least[0]) / 2.0**-52 / size
        assert 12 < room < 24, (name, room)


@pytest.mark.parametrize("kind", [GammaProfile, ConcentrationProfile])
def test_what_is_known_of_each_interval(kind):
    """P, its slope and its second derivative on 200 points of each, and their rounding."""
    profile = mean_profile(kind, DATA["overdispersed"]).anchored(1.3, 0.0)
    cells = _Cells(profile, 10**9)
    known = cells.bounded(-np.inf)
    low, high = cells.low, cells.high
    assert known.length.tolist() == np.diff(GRID).tolist()
    noise = low.noise + high.noise + (low.slope_noise + high.slope_noise) * known.length
    np.testing.assert_allclose(known.noise, noise, rtol=1e-13)
    for i in range(known.length.size):
        inside = profile.points(np.linspace(GRID[i], GRID[i + 1], 200))
        assert (inside.height <= known.upper[i]).all()
        assert (inside.height >= known.lower[i]).all()
        slopes = profile.slope_in_v(inside.x, inside.slope)
        room = 1e-9 * np.abs(slopes).max()
        assert (slopes <= known.greatest[i] + room).all()
        assert (slopes >= known.least[i] - room).all()
    some = (known.upper.min() + known.upper.max()) / 2
    kept = cells.bounded(some).length.tolist()
    assert {*known.length[known.upper > some].tolist()} <= {*kept} < {*known.length.tolist()}


def test_the_zero_of_a_slope():
    counts = DATA["two trials"]
    profile = mean_profile(GammaProfile, counts).anchored(1.0, 0.0)
    assert stationary_point(profile, 0.5, 2.0) == pytest.approx(71 / 72, rel=1e-11)


@pytest.mark.parametrize("seed", range(40))
def test_tops_of_chords_and_parabolas(seed):
    """By trying 20,000 places, for rising, falling and turning ends, of any curvature."""
    rng = np.random.default_rng([9, seed])
    low, high, first, second = rng.normal(size=4)
    length, bend = rng.uniform(0.3, 3.0), rng.choice([-1.0, 0.0, 0.7, 4.0])
    t = np.linspace(0.0, length, 20_001)
    arrays = [np.array([x]) for x in (low, high, first, second)]
    box = IntervalBounds(*(np.array([x]) for x in (length, 0.0, 0.0, bend)))
    least = max(low, high)
    bent = max(bend, 0.0)
    lower = (
        low + first * t + bent * t**2 / 2,
        high - second * (length - t) + bent * (length - t) ** 2 / 2,
    )
    crossing = np.minimum(*lower)
    if first - second + bent * length > 0:  # or the two do not cross from below
        got = _parabola_bound(*arrays, box)[0]
        assert got == pytest.approx(max(crossing.max(), least), abs=1e-3)
    left, right = max(first, second), min(first, second)
    chord = np.minimum(low + left * t, high - right * (length - t))
    arrays = [np.array([x]) for x in (low, high, left, right, length)]
    top, where = _chord_bound(*arrays)
    assert top[0] == pytest.approx(max(chord.max(), least), abs=1e-3)
    assert 0.0 <= where[0] <= 1.0
    if left > 0 > right and chord.max() > least + 1e-3:
        assert where[0] == pytest.approx(t[chord.argmax()] / length, abs=1e-3)


@pytest.mark.parametrize("mean", [None, 0.25, 1e-9])
@pytest.mark.parametrize("name", DATA)
def test_where_both_concentrations_are_large(name, mean):
    """The first of the doubled concentrations from which on the lesser one is."""
    sums = FactorialSums.of(DATA[name])
    found = large_from(sums, mean)

    def lesser(s):
        m, rest = best_mean(sums, np.array([1 / s]), np.array([1 / s]))
        return s * (min(m[0], rest[0]) if mean is None else min(mean, 1 - mean))

    assert min(lesser(found * 2**i) for i in range(4)) >= LARGE
    assert found == 2 * LARGE or lesser(found / 2) < LARGE


def test_the_grid_of_a_given_concentration1():
    """The slope is positive at its lower end and negative at its upper one, by the bounds there."""
    for counts in DATA.values():
        sums = FactorialSums.of(counts)
        down, excess = sums.failures, sums.excess
        for a in (0.01, 2.5, 300.0):
            profile = Concentration0Profile.of(sums, a)
            share = 0.5 * down.weight[0] / (excess.weight / (a + excess.offset)).sum()
            ratio = down.weight.sum() / excess.weight.sum()
            most = max(down.offset[-1], excess.offset[-1]) + 1
            ends = 0.5 * min(a, share), 2 * max(most, 2 * a * ratio)
            np.testing.assert_allclose(profile.grid[[0, -1]], ends, rtol=1e-12)
            slope = profile.anchored(1.0, 0.0).points(profile.grid[[0, -1]]).slope
            assert slope[0] > 0 > slope[1]
            assert (np.diff(np.log(profile.grid)) < 1).all()


# -- where the answer has a closed form, the profile says the same ---------------------------------


@settings(max_examples=30)
@given(k=st.integers(1, 5000), f=st.integers(1, 5000))
def test_one_latent_always_gains_by_concentration(k, f):
    """(E9): P falls in gamma everywhere, and is the binomial at gamma = 0."""
    profile = mean_profile(GammaProfile, er.Counts(k, k + f))
    points = profile.points(np.concatenate([[0.0], 1 / GRID[::-1]]))
    assert (points.slope <= points.slope_noise).all()
    line = profile.line(np.zeros(1))
    np.testing.assert_allclose([line.m[0], line.rest[0]], [k / (k + f), f / (k + f)], rtol=1e-14)


ENDS = st.lists(st.tuples(st.integers(1, 400), st.booleans()), min_size=2, max_size=6)


@pytest.mark.thorough
@settings(max_examples=30)
@given(ENDS)
def test_all_or_none_data_always_lose_by_concentration(rows):
    """P falls in s everywhere, to G (f log f + (1 - f) log(1 - f)) as s -> 0."""
    n, full = (np.array(column) for column in zip(*rows, strict=True))
    n[0], full[0], full[1] = max(n[0], 2), True, False
    counts = er.Counts(np.where(full, n, 0), n)
    profile = mean_profile(ConcentrationProfile, counts)
    x = np.concatenate([[1e-13], GRID])
    fraction = full.mean()
    limit = n.size * (fraction * np.log(fraction) + (1 - fraction) * np.log1p(-fraction))
    points = profile.anchored(float(x[0]), limit).points(x)
    assert (points.slope <= points.slope_noise).all()
    slow = [slow_profile(counts, s) for s in GRID]
    np.testing.assert_allclose(points.height[1:], slow, rtol=1e-9, atol=1e-9)
    assert er.maximize_evidence(counts).log_evidence == pytest.approx(limit, rel=1e-13)


@settings(max_examples=30)
@given(ups=st.integers(1, 10**6), downs=st.integers(1, 10**6))
def test_single_trials_do_not_care_about_concentration(ups, downs):
    """Every N = 1: P is flat, at the binomial."""
    counts = er.Counts([0, 1], 1, multiplicity=[downs, ups])
    points = mean_profile(ConcentrationProfile, counts).anchored(1.0, 0.0).points(GRID)
    assert (np.abs(points.height) <= points.noise + 1e-12).all()
    assert (np.abs(points.slope) <= points.slope_noise + 1e-15).all()


# -- the search ------------------------------------------------------------------------------------


def test_the_search_finds_all_peaks_that_may_be_highest():
    """Two interior maxima, 1e-3 apart in height and far apart in s."""
    counts = er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50])
    grid = np.array([0.0, 0.01, 0.5, 2.0, 60.0])
    profile = mean_profile(GammaProfile, counts, grid=grid)
    assert profile.sign_at_0 == 1
    profile = profile.anchored(1.0, er.log_evidence(er.Beta(130 / 240, 110 / 240), counts))
    found = search(profile, -np.inf)
    assert len(found.peaks) == 1
    assert not found.unresolved
    (peak,) = found.peaks
    assert peak.low < 71 / 72 < peak.high
    assert peak.curvature < 0


class Double:
    """A made-up profile with two equal maxima, at 1 and 3: -((x - 1)(x - 3))^2."""

    num_terms = 1
    sign_at_0 = None

    def __init__(self, grid):
        self.grid = grid

    def points(self, x):
        height = -(((x - 1) * (x - 3)) ** 2)
        slope = -4 * (x - 1) * (x - 2) * (x - 3)
        noise = np.full(x.size, 1e-15)
        return Points(x, height, noise, slope, noise)

    def chord_excess(self, low, high):
        return 50 * (high - low), 50 * (high - low)

    def slope_in_v(self, x, slope):
        return slope

    def bounds(self, low, high):
        edges = np.linspace(low, high, 9)
        slopes = self.points(edges.ravel()).slope.reshape(edges.shape)
        reach = 4 * (high - low) * (1 + (high - low))
        bend = np.max(-4 * (3 * edges**2 - 12 * edges + 11), axis=0) + reach
        return IntervalBounds(high - low, slopes.min(0) - reach, slopes.max(0) + reach, bend)


def test_equal_maxima_are_both_kept():
    found = search(Double(np.linspace(0.1, 4.0, 6)), -np.inf)
    assert not found.unresolved
    assert len(found.peaks) == 2
    for peak, x in zip(sorted(found.peaks), (1, 3), strict=True):
        assert peak.low <= x <= peak.high


def test_connected_parts_above_a_level():
    """-((x - 1)(x - 3))^2 >= -h^2 where x is 2 +- sqrt(1 +- h): two parts below 1, one above."""
    profile = Double(np.linspace(0.1, 4.0, 6))
    parts, proven = superlevel_set(profile, -(0.7**2))
    assert proven
    assert len(parts) == 2
    near, far = np.sqrt(0.3), np.sqrt(1.7)
    for part, (low, high) in zip(parts, [(2 - far, 2 - near), (2 + near, 2 + far)], strict=True):
        assert part.low <= low <= part.x <= high <= part.high
    assert parts[0].high <= parts[1].low
    parts, proven = superlevel_set(profile, -(1.1**2))
    assert (len(parts), proven) == (1, True)
    assert superlevel_set(profile, 0.1) == ([], True)


def test_intervals_that_touch_are_joined():
    assert union([(4.0, 5.0), (1.0, 2.0), (2.0, 3.0), (1.5, 1.7)]) == [(1.0, 3.0), (4.0, 5.0)]
    assert union([]) == []


def test_what_cannot_be_resolved_is_left_over_with_its_bound():
    """A profile that is flat on an interval: nothing is lost, and the search ends."""

    class Flat(Double):
        def points(self, x):
            return super().points(x)._replace(height=np.zeros(x.size), slope=np.zeros(x.size))

        def bounds(self, low, high):
            tiny = np.full(low.size, 1e-16)
            return IntervalBounds(high - low, -tiny, tiny, tiny)

        def chord_excess(self, low, high):
            return np.full(low.size, 1e-16), np.full(low.size, 1e-16)

    found = search(Flat(np.array([1.0, 2.0])), -np.inf)
    assert found.unresolved == [(1.0, 2.0)]
    assert found.ceiling >= 0


def test_an_excess_is_weighted_offsets_too():
    assert isinstance(FactorialSums.of(er.Counts([1, 2], [2, 2])).excess, WeightedOffsets)
