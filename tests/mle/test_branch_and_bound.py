"""Branch and bound, step by step, on profiles whose derivatives and bounds are exact."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from elbo_ref.mle.branch_and_bound import (
    _Cells,
    _chord_bound,
    _Known,
    _parabola_bound,
    search,
    stationary_point,
    superlevel_set,
    union,
)
from elbo_ref.mle.profile import IntervalBounds, Points, Profile


class Parabola:
    """bend (x - center)^2/2, with bounds that are exact on any interval."""

    num_terms = 10

    def __init__(self, grid, center, bend=-2.0, noise=0.0, slope_noise=1e-15, sign=None):
        self.grid, self.center, self.bend = np.array(grid, float), center, bend
        self.noises, self.sign_at_0 = (noise, slope_noise), sign
        self.asked = []

    def points(self, x):
        self.asked.append(x)
        away = x - self.center
        noise, slope_noise = (np.full(x.size, y) for y in self.noises)
        return Points(x, self.bend * away**2 / 2, noise, self.bend * away, slope_noise)

    def chord_excess(self, low, high):
        """Of P = A - B with B = 0: tangents of P alone."""
        return np.zeros(low.size), np.zeros(low.size)

    def slope_in_v(self, _x, slope):
        return slope

    def bounds(self, low, high):
        ends = np.sort([self.bend * (x - self.center) for x in (low, high)], axis=0)
        return IntervalBounds(high - low, *ends, np.full(low.size, self.bend))


GRID = [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("center", [0.75, 1.5, 3.9])
def test_the_interval_with_the_maximum_is_a_peak(center):
    """And no other; the lines through its ends cross at the maximum of a parabola's middle."""
    found = search(Parabola(GRID, center), -np.inf)
    (peak,) = found.peaks
    assert peak.low < center < peak.high and {peak.low, peak.high} <= {*GRID}
    assert peak.curvature == -2.0 and found.unresolved == [] and found.ceiling == -np.inf
    assert peak.x == pytest.approx((peak.low + peak.high) / 2)
    assert found.intervals == 3
    heights = [-((x - center) ** 2) for x in GRID]
    assert found.best == max(heights) and found.at == GRID[int(np.argmax(heights))]


@pytest.mark.parametrize("center", [0.1, 9.0])
def test_a_maximum_outside_is_none(center):
    found = search(Parabola(GRID, center), -np.inf)
    assert found.peaks == [] and found.unresolved == []


def test_a_height_that_is_known_discards_what_is_below():
    """The tangents at 1 and 2 meet at 1/4: a height beyond that leaves nothing."""
    for best, peaks in ((0.26, 0), (0.25, 0), (0.24, 1)):
        found = search(Parabola(GRID, 1.5, slope_noise=0.0), best)
        assert len(found.peaks) == peaks and (found.best, found.at) == (best, None)
    noisy = search(Parabola(GRID, 1.5, noise=0.01), -np.inf)
    assert noisy.best == -0.25 - 0.01 and noisy.at in (1.0, 2.0)


@pytest.mark.parametrize("sign", [None, 1, 0, -1])
def test_at_the_limit_the_exact_sign_of_the_slope_counts(sign):
    """A maximum at 0, or a little beyond: the sign at 0 says which."""
    found = search(Parabola([0.0, 1.0, 2.0], 0.0, sign=sign), -np.inf)
    assert len(found.peaks) == (sign in (None, 1))
    inner = search(Parabola([1.0, 2.0, 3.0], 2.5, sign=sign), -np.inf)
    assert [peak.low for peak in inner.peaks] == [2.0], "only at the first end of the grid"


def test_slopes_that_rounding_drowns_leave_the_interval_open():
    """Both ends within the noise: it may hold the maximum, and its bound is the ceiling."""
    found = search(Parabola([1.0, 1.25], 1.125, slope_noise=0.3), -np.inf)
    assert found.peaks == [] and found.unresolved == [(1.0, 1.25)]
    assert 0 <= found.ceiling < 0.3
    one = search(Parabola([1.0, 1.25], 1.0625, slope_noise=0.2), -np.inf)
    assert len(one.peaks) == 1, "one end within it alone"


def test_a_profile_that_bends_up_has_no_maximum_inside():
    found = search(Parabola(GRID, 1.5, bend=2.0), -np.inf)
    assert found.peaks == [] and found.unresolved == []


@pytest.mark.parametrize("budget", [9, 10, 10**9])
def test_what_is_beyond_the_budget_is_left_over(budget):
    """Intervals times terms that are still open: here one of ten terms."""

    class Doubtful(Parabola):
        def bounds(self, low, high):
            doubt = 30 * (high - low)
            return super().bounds(low, high)._replace(curvature=self.bend + doubt)

    found = search(Doubtful([1.0, 2.0], 1.3), -np.inf, budget)
    if budget < 10:
        assert found.unresolved == [(1.0, 2.0)] and found.peaks == [] and found.intervals == 1
        assert found.ceiling >= 0
    elif budget == 10:
        assert found.intervals > 1
    else:
        (peak,) = found.peaks
        assert peak.low < 1.3 < peak.high and found.unresolved == []


# -- the parts -------------------------------------------------------------------------------------


def test_intervals_are_joined_with_the_one_before():
    assert union([(5.0, 6.0), (1.0, 2.0), (3.0, 4.0), (3.5, 3.7)]) == [
        (1.0, 2.0), (3.0, 4.0), (5.0, 6.0),
    ]  # fmt: skip
    assert union([(1.0, 2.0), (3.0, 4.0), (4.0, 5.0)]) == [(1.0, 2.0), (3.0, 5.0)]
    assert union([(1.0, 2.0), (3.0, 9.0), (4.0, 5.0), (8.0, 10.0)]) == [(1.0, 2.0), (3.0, 10.0)]


def known(**fields):
    given = {name: np.zeros(2) for name in _Known._fields}
    return _Known(**(given | {name: np.array(x, float) for name, x in fields.items()}))


def test_concave_is_a_second_derivative_below_zero():
    assert known(curvature=[-1e-300, 0.0]).concave.tolist() == [True, False]


def test_an_interval_is_split_into_four_of_equal_ratio():
    """One that begins at 0 shrinks toward it by factors of 8; the others are dropped."""
    cells = _Cells(Parabola([0.0, 8.0, 9.0, 144.0], 1.0), 10**9)
    cells.stalled = np.array([1.0, 5.0, 2.0])
    seen = cells.split(np.array([True, False, True]))
    low = [0.0, 1 / 64, 1 / 8, 1.0, 9.0, 18.0, 36.0, 72.0]
    np.testing.assert_allclose(cells.low.x, low, rtol=1e-14)
    np.testing.assert_allclose(cells.high.x, [*low[1:4], 8.0, *low[5:], 144.0], rtol=1e-14)
    np.testing.assert_array_equal(seen.x, cells.low.x)
    np.testing.assert_allclose(cells.low.height, -((cells.low.x - 1.0) ** 2), rtol=1e-13)
    np.testing.assert_allclose(cells.high.slope, -2 * (cells.high.x - 1.0), rtol=1e-13)
    assert cells.stalled.tolist() == [1.0] * 4 + [2.0] * 4
    assert cells.split(np.zeros(8, bool)).x.size == 0 and cells.stalled.size == 0


def test_what_is_given_up():
    """Too short beside its end, stalled in three rounds running, or all beyond the budget."""
    cells = _Cells(Parabola([1.0, 2.0, 4.0], 1.0), 20)
    both, none = np.ones(2, bool), np.zeros(2, bool)
    short = known(length=[2e-9, 4.1e-9])
    assert cells.given_up(short, both, none).tolist() == [True, False]
    assert cells.given_up(short, ~both, none).tolist() == [False, False]
    assert cells.given_up(known(length=[1.9e-9, 3.9e-9]), both, none).all()
    wide = known(length=[1.0, 2.0])
    rounds = [cells.given_up(wide, both, np.array([True, i != 1])) for i in range(4)]
    assert [x.tolist() for x in rounds] == [
        [False, False], [False, False], [True, False], [True, False],
    ]  # fmt: skip
    for budget, spent in ((19, True), (20, False)):
        cells = _Cells(Parabola([1.0, 2.0, 4.0], 1.0), budget)
        assert cells.given_up(wide, both, none).all() == spent
        assert not cells.given_up(wide, np.array([True, False]), none).any()


def test_where_a_slope_changes_sign_or_an_end():
    """An end where the slope is zero there, or has one sign."""
    profile = Parabola([1.0, 2.0], 1.5)
    assert stationary_point(profile, 1.0, 2.0) == pytest.approx(1.5, rel=1e-12)
    assert stationary_point(profile, 1.5, 2.0) == 1.5 and stationary_point(profile, 1.7, 2.0) == 1.7
    assert stationary_point(profile, 1.0, 1.5) == 1.5 and stationary_point(profile, 1.0, 1.2) == 1.2


@pytest.mark.parametrize(
    ("level", "low", "high"), [(-1.0, 1.5, 3.5), (-0.25, 2.0, 3.0), (-1e-12, 2.499999, 2.500001)]
)
@pytest.mark.parametrize("grid", [[1.0, 2.0, 3.0, 4.0], [1.0, 4.0], [1.0, 2.5, 4.0]])
def test_the_part_of_a_parabola_above_a_level(level, low, high, grid):
    """One part: cells with all of it, and a point in it."""
    (part,), proven = superlevel_set(Parabola(grid, 2.5), level)
    assert proven and part.low <= low and part.high >= high
    assert -((part.x - 2.5) ** 2) >= level


def test_a_level_that_is_reached_counts():
    """At an end of an interval exactly; a little more is not reached."""
    profile = Parabola([1.0, 2.0, 3.0], 2.0)
    (part,), proven = superlevel_set(profile, 0.0)
    assert (part.low, part.high, part.x, proven) == (1.0, 3.0, 2.0, True)
    assert superlevel_set(profile, 1e-300) == ([], True)
    (part,), _ = superlevel_set(profile, -1.0)
    assert (part.low, part.high) == (1.0, 3.0)
    outside = Parabola([1.0, 2.0, 3.0], 0.0)
    (part,), _ = superlevel_set(outside, -1.0)
    assert (part.low, part.high, part.x) == (1.0, 2.0, 1.0)
    (part,), _ = superlevel_set(Parabola([1.0, 2.0, 3.0], 4.0), -1.0)
    assert (part.low, part.high, part.x) == (2.0, 3.0, 3.0)


def test_a_valley_is_two_parts():
    """Above the level at both ends, below between."""
    parts, proven = superlevel_set(Parabola([1.0, 2.0, 3.0], 2.0, bend=2.0), 0.25)
    assert proven and len(parts) == 2
    assert (parts[0].low, parts[0].x, parts[1].high) == (1.0, 1.0, 3.0)
    assert 1.5 < parts[0].high < 2.0 < parts[1].low < 2.5
    whole, _ = superlevel_set(Parabola([1.0, 2.0, 3.0], 2.0, bend=2.0), -0.25)
    assert [(x.low, x.high) for x in whole] == [(1.0, 3.0)]


def test_what_rounding_leaves_open_is_not_proven():
    """Flat at the level, within its noise."""

    class Flat(Parabola):
        def bounds(self, low, high):
            tiny = np.full(low.size, 1e-18)
            return IntervalBounds(high - low, -tiny, tiny, tiny)

    flat = Flat([1.0, 2.0], 1.5, bend=0.0, noise=1e-15)
    parts, proven = superlevel_set(flat, 0.0)
    assert not proven and (parts[0].low, parts[-1].high) == (1.0, 2.0)
    assert superlevel_set(flat, -1e-3)[1] and superlevel_set(flat, 1e-3) == ([], True)


@pytest.mark.parametrize("slopes", [(1.0, -2.0), (0.0, -1.0), (1.0, 0.0), (-1.0, -2.0), (3.0, 1.0)])
def test_the_top_under_two_lines(slopes):
    """By trying; where the first does not rise or the second does not fall it is at an end."""
    left, right = slopes
    low, high, length = 0.5, 0.25, 2.0
    t = np.linspace(0.0, length, 4001)
    lines = np.minimum(low + left * t, high - right * (length - t))
    top, crossing = _chord_bound(*(np.array([x]) for x in (low, high, left, right, length)))
    inner = max(lines.max(), low, high)
    assert top[0] == pytest.approx(inner, abs=2e-3) or top[0] >= inner
    assert 0 <= crossing[0] <= 1
    if left > 0 > right:
        where = (high - low - right * length) / (left - right) / length
        assert crossing[0] == pytest.approx(where) and top[0] == pytest.approx(
            low + left * where * 2
        )


def test_the_top_under_two_parabolas_of_a_parabola_is_its_own():
    """Where the curvature is exact and positive both are P itself, highest at an end."""
    one = SimpleNamespace(length=np.array([2.0]), curvature=np.array([3.0]))
    low, start = 1.0, -2.0
    high, end = low + start * 2 + 3 * 2, start + 3 * 2
    top = _parabola_bound(*(np.array([x]) for x in (low, high, start, end)), one)
    assert top[0] == pytest.approx(max(low, high))
    flat = SimpleNamespace(length=np.array([2.0]), curvature=np.array([-1.0]))
    top = _parabola_bound(*(np.array([x]) for x in (0.0, 0.0, 1.0, -1.0)), flat)
    assert top[0] == pytest.approx(1.0), "of one that bends down: the lines"


def test_slopes_are_bounded_from_the_ends_too():
    """By the greatest second derivative on the way from there, with the noise of both slopes."""

    class Wide(Parabola):
        def bounds(self, low, high):
            wide = np.full(low.size, 100.0)
            return IntervalBounds(high - low, -wide, wide, np.full(low.size, 0.25))

    cells = _Cells(Wide([1.0, 3.0], 1.5, slope_noise=0.125), 10**9)
    found = cells.bounded(-np.inf)
    assert found.greatest == [1.0 + 0.25 * 2 + 0.25] and found.least == [-3.0 - 0.25 * 2 - 0.25]
    assert found.noise == [0.25 * 2]


def test_a_profile_has_to_say_all_of_it():
    """How it is refined too."""
    needed = {"line", "_slope", "_bounds", "x_of", "refined", "_scales"}
    assert Profile.__abstractmethods__ == needed
    partial = type("Partial", (Profile,), dict.fromkeys(needed - {"refined"}))
    with pytest.raises(TypeError, match="refined"):
        partial(None, None)
