"""All maxima of a profile of the evidence that may be the highest, by branch and bound.

A profile P over one coordinate x (`elbo_ref.mle.profile`) is searched by intervals. An interval is
done with when

* P is below the best height known on all of it: P lies below two lines through the ends (a chord
  bound), tangents of A minus the chord of B; or lines with the greatest and the least slope P can
  have there; or below parabolas with its own slopes at the ends and the greatest second derivative
  it can have (a parabola bound);
* or its slope has one sign on all of it, so that it holds no maximum;
* or its second derivative is negative on all of it (in x or in log x, which is as good), so that it
  holds one maximum if its ends rise toward each other, a `Peak`, and none otherwise.

Everything else is split. What is left when nothing is left to split are the peaks, and *unresolved*
intervals, if any, that arithmetic of 53 bits can neither discard nor resolve, or that were still
there when the budget was spent. Each comparison allows for rounding.

Source: bounds by tangents and chords for differences of convex functions, Horst & Tuy, Global
Optimization (1996), chapter X.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.mle.profile import IntervalBounds, Points, Profile
from elbo_ref.special import root

BUDGET = 2_000_000
"""The most work that is begun in one round: intervals times terms,"""
SCREENING = 150_000
"""and where another profile can take over."""
_PARTS = 4
"""An interval is split into so many."""
_THIN = 1e-9
"""An interval is not split when it is shorter than this, relative to its end,"""
_STALLED = 2
"""or when its bound has been within the noise of what is asked in more rounds than this."""


class Peak(NamedTuple):
    """An interval on which P is concave, with ends that rise toward each other.

    `x` is where the lines through the ends cross, near the maximum, and `curvature` the greatest
    second derivative on the interval, in v; negative.
    """

    low: float
    high: float
    x: float
    curvature: float


class SearchResult(NamedTuple):
    """All that may be the highest in a profile.

    Attributes
    ----------
    peaks : list of Peak
    unresolved : list of (low, high)
        Intervals that are left over, those that touch as one.
    ceiling : float
        An upper bound of P on them; -inf without any.
    best : float
        The highest value of P seen, less its noise, or the height that was given.
    at : float or None
        Where, if it was seen here.
    intervals : int
        The number of intervals that were bounded.
    """

    peaks: list[Peak]
    unresolved: list[tuple[float, float]]
    ceiling: float
    best: float
    at: float | None
    intervals: int


def search(profile: Profile, best: float, budget: int = BUDGET) -> SearchResult:
    """Find the maxima of P on its grid that may be the highest.

    Parameters
    ----------
    profile : Profile
    best : float
        A height that is reached somewhere.
    budget : int, optional
        The most work that is begun in one round: intervals times terms.
    """
    peaks: list[Peak] = []
    unresolved: list[tuple[float, float]] = []
    cells = _Cells(profile, budget)
    ceiling, at, intervals, seen = -np.inf, None, 0, cells.points
    while seen.x.size:
        heights = seen.height - seen.noise
        i = int(np.argmax(heights))
        if heights[i] > best:
            best, at = float(heights[i]), float(seen.x[i])
        intervals += cells.low.x.size
        known = cells.bounded(best)
        low, high = cells.low, cells.high
        alive = (known.upper > best) & (known.greatest >= 0) & (known.least <= 0)
        concave, bent = alive & known.concave, alive & ~known.concave
        rises, falls = low.slope > -low.slope_noise, high.slope < high.slope_noise
        if profile.sign_at_0 is not None:
            rises = np.where(low.x == profile.grid[0], profile.sign_at_0 > 0, rises)
        drowned = (np.abs(low.slope) < low.slope_noise) & (np.abs(high.slope) < high.slope_noise)
        crossing = low.x + known.crossing * known.length
        found = concave & rises & falls & ~drowned
        peaks += map(Peak._make, _rows(found, low.x, high.x, crossing, known.curvature))
        given_up = cells.given_up(known, bent, known.upper - best <= 2 * known.noise)
        left = given_up | (concave & drowned)
        unresolved += _rows(left, low.x, high.x)
        ceiling = max(ceiling, known.upper[left].max(initial=-np.inf))
        seen = cells.split(bent & ~given_up)
    return SearchResult(peaks, union(unresolved), float(ceiling), best, at, intervals)


def union(intervals: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join intervals that touch; the others stay apart, from low to high."""
    merged: list[tuple[float, float]] = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1]:
            low, before = merged.pop()
            high = max(before, high)
        merged.append((low, high))
    return merged


class Component(NamedTuple):
    """Intervals next to each other that hold a connected part of where P is not below a level.

    `x` is a point of that part.
    """

    low: float
    high: float
    x: float


def superlevel_set(
    profile: Profile, level: float, budget: int = BUDGET
) -> tuple[list[Component], bool]:
    """Find the connected parts of {x: P(x) >= level} on the grid of a profile.

    An interval is done with when P is below the level, or above it, on all of it; or where its
    slope has one sign, or P is concave: the two ends, and of a concave P with both ends below the
    maximum, then say which part of it is above.

    Returns
    -------
    list of Component
        From left to right.
    bool
        Whether these are all and no two of them are one part, but for rounding.
    """
    cells, proven = _Cells(profile, budget), True
    parts: list[_Part] = []
    while cells.low.x.size:
        known = cells.bounded(level)
        alive = known.upper >= level
        one_sign = (known.greatest < 0) | (known.least > 0)
        settled = alive & (known.concave | one_sign | (known.lower >= level))
        stalling = np.minimum(known.upper - level, level - known.lower) <= 2 * known.noise
        left = cells.given_up(known, alive & ~settled, stalling)
        proven = proven and not left.any()
        columns = cells.low.x, cells.high.x, cells.low.height, cells.high.height
        for low, high, start, end, concave in _rows(settled | left, *columns, known.concave):
            x = low if start >= level else high
            hump = -np.inf
            if concave and max(start, end) < level:
                x = stationary_point(profile, low, high)
                hump = float(profile.points(np.array([x])).height[0])
            if max(start, end, hump) >= level:
                parts.append(_Part(low, high, x, start >= level, end >= level))
        cells.split(alive & ~settled & ~left)
    components: list[Component] = []
    touching = None
    for part in sorted(parts):
        if part.from_low and part.low == touching:
            components[-1] = components[-1]._replace(high=part.high)
        else:
            components.append(Component(part.low, part.high, part.x))
        touching = part.high if part.to_high else None
    return components, proven


class _Part(NamedTuple):
    """The part of an interval that is above a level: a point, and the ends that belong to it."""

    low: float
    high: float
    x: float
    from_low: bool
    to_high: bool


def stationary_point(profile: Profile, low: float, high: float) -> float:
    """Find where the slope of a concave P changes sign; an end if it does not."""

    def slope(x: float) -> float:
        return float(profile.points(np.array([x])).slope[0])

    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    return root(slope, low, high, rtol=1e-12)


def _rows(which: BoolArray, *columns: FloatArray | BoolArray) -> Iterator[tuple[Any, ...]]:
    """Iterate over the chosen rows of a table."""
    return zip(*(column[which].tolist() for column in columns), strict=True)


class _Known(NamedTuple):
    """Bounds on each of some intervals, rounding included.

    P lies between `lower` and `upper`, its slope in v between `least` and `greatest`, and its
    second derivative is at most `curvature`; `crossing`, in [0, 1], is where the lines through the
    ends meet.
    """

    length: FloatArray
    noise: FloatArray
    crossing: FloatArray
    lower: FloatArray
    upper: FloatArray
    least: FloatArray
    greatest: FloatArray
    curvature: FloatArray

    @property
    def concave(self) -> BoolArray:
        """True where P is concave on the interval."""
        return self.curvature < 0


class _Cells:
    """The intervals of a profile that are neither discarded nor resolved, by their two ends."""

    def __init__(self, profile: Profile, budget: int) -> None:
        self.budget = budget
        self.profile, self.points = profile, profile.points(profile.grid)
        self.low, self.high = self.points.take(slice(None, -1)), self.points.take(slice(1, None))
        self.stalled = np.zeros(self.low.x.size)

    def bounded(self, level: float) -> _Known:
        """Bound P on each interval; drop those on which it is certainly below the level."""
        profile, low, high = self.profile, self.low, self.high
        length = high.x - low.x
        before, after = profile.chord_excess(low.x, high.x)
        noise = low.noise + high.noise + (low.slope_noise + high.slope_noise) * length
        heights = low.height, high.height
        upper, crossing = _chord_bound(*heights, low.slope + before, high.slope - after, length)
        keep = upper + noise > level
        self.low, self.high, self.stalled = low.take(keep), high.take(keep), self.stalled[keep]
        low, high, length, noise = self.low, self.high, length[keep], noise[keep]
        bounds, heights = profile.bounds(low.x, high.x), (low.height, high.height)
        slopes = profile.slope_in_v(low.x, low.slope), profile.slope_in_v(high.x, high.slope)
        by_slope, _ = _chord_bound(*heights, bounds.greatest, bounds.least, bounds.length)
        by_curvature = _parabola_bound(*heights, *slopes, bounds)
        upper = np.minimum(np.minimum(upper[keep], by_slope), by_curvature) + noise
        depth, _ = _chord_bound(
            -low.height, -high.height, -bounds.least, -bounds.greatest, bounds.length
        )
        gain = np.maximum(bounds.curvature, 0.0) * bounds.length
        doubt = (low.slope_noise + high.slope_noise) * length / bounds.length
        greatest = np.minimum(bounds.greatest, slopes[0] + gain + doubt)
        least = np.maximum(bounds.least, slopes[1] - gain - doubt)
        lower, curvature = -depth - noise, bounds.curvature
        return _Known(length, noise, crossing[keep], lower, upper, least, greatest, curvature)

    def given_up(self, known: _Known, open_: BoolArray, stalling: BoolArray) -> BoolArray:
        """Choose the open intervals to split no more: too short, stalled, or beyond the budget."""
        self.stalled = np.where(stalling, self.stalled + 1, 0)
        thin = known.length <= _THIN * self.high.x
        spent = bool(open_.sum() * self.profile.num_terms > self.budget)
        return open_ & (thin | (self.stalled > _STALLED) | spent)

    def split(self, which: BoolArray) -> Points:
        """Split some intervals, drop all others, and give the lower ends of what is left.

        The parts are equal in ratio; of an interval that begins at 0 they shrink toward it.
        """
        low, high = self.low.take(which), self.high.take(which)
        if low.x.size:
            part, from_0 = np.arange(1, _PARTS) / _PARTS, low.x[:, None] == 0
            start = np.where(low.x == 0, high.x, low.x)[:, None]
            shrinking = high.x[:, None] * 8.0 ** -np.arange(_PARTS - 1, 0, -1)
            inner = np.where(from_0, shrinking, start * (high.x[:, None] / start) ** part)
            new = self.profile.points(inner.ravel())
            tables = [middle.reshape(-1, _PARTS - 1) for middle in new]
            first = [_beside(edge, table) for edge, table in zip(low, tables, strict=True)]
            last = [_beside(table, edge) for edge, table in zip(high, tables, strict=True)]
            low, high = Points(*first), Points(*last)
        self.low, self.high, self.stalled = low, high, np.repeat(self.stalled[which], _PARTS)
        return low


def _beside(*columns: FloatArray) -> FloatArray:
    """Put columns and tables of as many rows side by side, and their rows in one."""
    return np.column_stack(columns).ravel()


def _chord_bound(
    low: FloatArray, high: FloatArray, left: FloatArray, right: FloatArray, length: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Find the top under lines of two slopes through the ends, and where, in [0, 1]."""
    turn = np.maximum(left - right, 1e-300)
    along = np.clip((high - low - right * length) / turn, 0.0, length)
    along = np.where(left <= 0, 0.0, along)
    top = np.where(right >= 0, high, low + np.maximum(left, 0.0) * along)
    return np.maximum(top, np.maximum(low, high)), along / length


def _parabola_bound(
    low: FloatArray, high: FloatArray, start: FloatArray, end: FloatArray, bounds: IntervalBounds
) -> FloatArray:
    """Find the top under parabolas that leave the ends with P's slopes and the most curvature.

    Their difference is linear. Where the left one is the lower it is convex, and so highest at an
    end of that part; and so is the right one.
    """
    bend, length = np.maximum(bounds.curvature, 0.0), bounds.length
    steep = np.maximum(start - end + bend * length, 1e-300)
    meet = (high - low - end * length + bend * length**2 / 2) / steep
    meet = np.clip(meet, 0.0, length)
    top: FloatArray = low + meet * (start + bend * meet / 2)
    return np.maximum(top, np.maximum(low, high))
