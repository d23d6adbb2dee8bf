"""All maxima of a profile of the evidence that may be the highest, by branch and bound.

A profile P over one coordinate x (`elbo_ref.mle.profile`) is searched by intervals. An interval is
done with when

* P is below the best height known on all of it: P lies below two lines through the ends, tangents
  of A minus the chord of B; or lines with the greatest and the least slope P can have there; or
  parabolas with its own slopes at the ends and the greatest second derivative it can have;
* or its slope has one sign on all of it, so that it holds no maximum;
* or its second derivative is negative on all of it (in x or in log x, which is as good), so that it
  holds one maximum if its ends rise toward each other, a `Peak`, and none otherwise.

Everything else is split. What is left when nothing is left to split are the peaks, and *flat*
intervals, if any, that arithmetic of 53 bits can neither discard nor resolve, or that were still
there when the budget was spent. Each comparison allows for rounding.

Source: bounds by tangents and chords for differences of convex functions, Horst & Tuy, Global
Optimization (1996), chapter X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.mle.profile import Box, Points, Slopes

BUDGET = 2_000_000
"""The most work that is begun in one round: intervals times rungs."""

_PARTS = 4
_THIN = 1e-9
_STALLED = 2


class Peak(NamedTuple):
    """An interval on which P is concave, with ends that rise toward each other."""

    low: float
    high: float
    x: float
    """Where the lines through the ends cross: near the maximum."""
    bend: float
    """The greatest second derivative, in v, of the interval; negative."""


class Flat(NamedTuple):
    """An interval left over, with an upper bound of P."""

    low: float
    high: float
    bound: float


@dataclass
class Found:
    """What a search has found.

    Attributes
    ----------
    peaks : list of Peak
    flats : list of Flat
    best : float
        The highest value of P seen, less its noise, or the height that was given.
    at : float or None
        Where, if it was seen here.
    intervals : int
        How many were bounded.
    """

    peaks: list[Peak]
    flats: list[Flat]
    best: float
    at: float | None
    intervals: int

    def see(self, points: Points) -> None:
        """Take note of the highest of some points."""
        heights = points.height - points.noise
        i = int(np.argmax(heights))
        if heights[i] > self.best:
            self.best, self.at = float(heights[i]), float(points.x[i])


def search(profile: Slopes, grid: FloatArray, best: float, sign_at_0: int | None) -> Found:
    """Find the maxima of P on [grid[0], grid[-1]] that may be the highest.

    Parameters
    ----------
    profile : Slopes
    grid : ndarray
        Rising values of x to begin with; the first may be 0.
    best : float
        A height that is reached somewhere.
    sign_at_0 : int or None
        The sign of the slope at grid[0], where it is known exactly.
    """
    points = profile.points(grid)
    low, high = _neighbours(points)
    stalled = np.zeros(low.x.size)
    found = Found([], [], best, None, 0)
    found.see(points)
    while low.x.size:
        found.intervals += low.x.size
        keep, cells = _bounded(profile, low, high, found.best)
        low, high, box, stalled = cells.low, cells.high, cells.box, stalled[keep]
        concave, bound, noise = cells.concave, cells.bound, cells.noise
        rises = low.slope > -low.slope_noise
        if sign_at_0 is not None:
            rises = np.where(low.x == grid[0], sign_at_0 > 0, rises)
        alive = (bound > found.best) & (cells.most >= 0) & (cells.least <= 0)
        level = (np.abs(low.slope) < low.slope_noise) & (np.abs(high.slope) < high.slope_noise)
        turns = alive & concave & rises & (high.slope < high.slope_noise) & ~level
        crossing = low.x + cells.share * cells.length
        found.peaks += [
            Peak(*map(float, row))
            for row in zip(
                low.x[turns], high.x[turns], crossing[turns], box.bend[turns], strict=True
            )
        ]
        rest = alive & ~concave
        stalled = np.where(bound - found.best <= 2 * noise, stalled + 1, 0)
        flat = rest & _given_up(profile, cells, stalled, rest)
        flat |= alive & concave & level
        found.flats += [
            Flat(*map(float, row))
            for row in zip(low.x[flat], high.x[flat], bound[flat], strict=True)
        ]
        rest &= ~flat
        low, high = _split(profile, low.take(rest), high.take(rest))
        stalled = np.repeat(stalled[rest], _PARTS)
        if low.x.size:
            found.see(low)
    return found


class Stretch(NamedTuple):
    """Intervals next to each other that hold a connected part of where P is not below a level."""

    low: float
    high: float
    x: float
    """A point of that part."""


def above(profile: Slopes, grid: FloatArray, level: float) -> tuple[list[Stretch], bool]:
    """Find the connected parts of {x: P(x) >= level} on [grid[0], grid[-1]].

    An interval is done with when P is below the level, or above it, on all of it; or where its
    slope has one sign, or P is concave: the two ends, and of a concave P with both ends below the
    maximum, then say which part of it is above.

    Parameters
    ----------
    profile : Slopes
    grid : ndarray
        Rising values of x to begin with; the first may be 0.
    level : float

    Returns
    -------
    list of Stretch
        From left to right; a part of it for each.
    bool
        Whether these are all and no two of them are one part, but for rounding.
    """
    low, high = _neighbours(profile.points(grid))
    stalled = np.zeros(low.x.size)
    done: list[_Cell] = []
    proven = True
    while low.x.size:
        keep, cells = _bounded(profile, low, high, level)
        low, high, stalled = cells.low, cells.high, stalled[keep]
        alive = cells.bound >= level
        one_sign = (cells.most < 0) | (cells.least > 0)
        settled = alive & (cells.concave | one_sign | (cells.floor >= level))
        rest = alive & ~settled
        doubtful = np.minimum(cells.bound - level, level - cells.floor) <= 2 * cells.noise
        stalled = np.where(doubtful, stalled + 1, 0)
        left = _given_up(profile, cells, stalled, rest)
        proven = proven and not (rest & left).any()
        for i in np.flatnonzero(settled | (rest & left)):
            ends = float(low.x[i]), float(high.x[i])
            top, hump = float(low.x[i]), -np.inf
            if cells.concave[i] and max(low.height[i], high.height[i]) < level:
                top = turn(profile, *ends)
                hump = float(profile.points(np.array([top])).height[0])
            done.append(_Cell(*ends, float(low.height[i]), float(high.height[i]), hump, top))
        rest &= ~left
        low, high = _split(profile, low.take(rest), high.take(rest))
        stalled = np.repeat(stalled[rest], _PARTS)
    return _joined(sorted(done), level), proven


def turn(profile: Slopes, low: float, high: float) -> float:
    """Where the slope of a concave P changes sign; an end if it does not."""

    def slope(x: float) -> float:
        return float(profile.points(np.array([x])).slope[0])

    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    return float(optimize.brentq(slope, low, high, xtol=1e-300, rtol=1e-12))


def _joined(cells: Sequence[_Cell], level: float) -> list[Stretch]:
    """Parts of intervals above a level, those that touch as one."""
    stretches: list[Stretch] = []
    touching = -np.inf
    for cell in cells:
        if cell.start >= level and cell.low == touching:
            last = stretches.pop()
            stretches.append(last._replace(high=cell.high))
        elif max(cell.start, cell.hump) >= level:
            stretches.append(Stretch(cell.low, cell.high, cell.top))
        if cell.end >= level:
            if cell.start < level:
                stretches.append(Stretch(cell.low, cell.high, cell.high))
            touching = cell.high
    return stretches


class _Cell(NamedTuple):
    """An interval with P at its ends and, of a hump between ends that are below, at its top."""

    low: float
    high: float
    start: float
    end: float
    hump: float
    top: float


def _neighbours(points: Points) -> tuple[Points, Points]:
    """The left and the right ends of the intervals between points."""
    return points.take(slice(None, -1)), points.take(slice(1, None))


def _given_up(
    profile: Slopes, cells: _Bounds, stalled: FloatArray, rest: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Intervals that are split no more: too short or stalled; all, if `rest` is beyond BUDGET."""
    thin: NDArray[np.bool_] = cells.length <= _THIN * cells.high.x
    return thin | (stalled > _STALLED) | bool(rest.sum() * profile.rungs > BUDGET)


class _Bounds(NamedTuple):
    """What holds on each of some intervals."""

    low: Points
    high: Points
    length: FloatArray
    noise: FloatArray
    share: FloatArray
    """Where the lines through the ends cross, in [0, 1]."""
    box: Box
    bound: FloatArray
    """Above P, rounding included; `floor` below."""
    floor: FloatArray
    concave: NDArray[np.bool_]
    least: FloatArray
    most: FloatArray
    """Of the slope, in v."""


def _bounded(
    profile: Slopes, low: Points, high: Points, level: float
) -> tuple[NDArray[np.bool_], _Bounds]:
    """Bounds on intervals, and which they are: those certainly below the level are left out."""
    length = high.x - low.x
    before, after = profile.overshoot(low.x, high.x)
    noise = low.noise + high.noise + (low.slope_noise + high.slope_noise) * length
    bound, share = _roof(low, high, low.slope + before, high.slope - after, length)
    keep = bound + noise > level
    low, high, bound, share = low.take(keep), high.take(keep), bound[keep], share[keep]
    noise, length = noise[keep], length[keep]
    box = profile.box(low.x, high.x)
    other, _ = _roof(low, high, box.most, box.least, box.length)
    start, end = profile.in_v(low.x, low.slope), profile.in_v(high.x, high.slope)
    arched = _arch(low.height, high.height, start, end, box)
    bound = np.minimum(np.minimum(bound, other), arched) + noise
    left, right = low._replace(height=-low.height), high._replace(height=-high.height)
    depth, _ = _roof(left, right, -box.least, -box.most, box.length)
    climb = np.maximum(box.bend, 0.0) * box.length
    doubt = (low.slope_noise + high.slope_noise) * length / box.length
    most = np.minimum(box.most, start + climb + doubt)
    least = np.maximum(box.least, end - climb - doubt)
    floor, concave = -depth - noise, box.bend < 0
    return keep, _Bounds(low, high, length, noise, share, box, bound, floor, concave, least, most)


def _roof(
    low: Points, high: Points, left: FloatArray, right: FloatArray, length: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The top under lines of slope `left` and `right` through the ends, and where, in [0, 1]."""
    turn = np.maximum(left - right, 1e-300)
    along = np.clip((high.height - low.height - right * length) / turn, 0.0, length)
    along = np.where(left <= 0, 0.0, along)
    top = np.where(right >= 0, high.height, low.height + np.maximum(left, 0.0) * along)
    return np.maximum(top, np.maximum(low.height, high.height)), along / length


def _arch(
    low: FloatArray, high: FloatArray, start: FloatArray, end: FloatArray, box: Box
) -> FloatArray:
    """The top under two parabolas that leave the ends with P's slopes and bend as P at most may.

    Their difference is linear. Where the left one is the lower it is convex, and so highest at an
    end of that part; and so is the right one.
    """
    bend, length = np.maximum(box.bend, 0.0), box.length
    steep = np.maximum(start - end + bend * length, 1e-300)
    meet = (high - low - end * length + bend * length**2 / 2) / steep
    meet = np.clip(meet, 0.0, length)
    top: FloatArray = low + meet * (start + bend * meet / 2)
    return np.maximum(top, np.maximum(low, high))


def _split(profile: Slopes, low: Points, high: Points) -> tuple[Points, Points]:
    """Each interval in four, by equal ratios where it does not begin at 0."""
    if not low.x.size:
        return low, high
    part = np.arange(1, _PARTS) / _PARTS
    start = np.where(low.x == 0, high.x, low.x)[:, None]
    inner = np.where(
        low.x[:, None] == 0,
        high.x[:, None] * 8.0 ** -np.arange(_PARTS - 1, 0, -1),
        start * (high.x[:, None] / start) ** part,
    )
    new = profile.points(inner.ravel())

    def ends(old: Points, first: bool) -> Points:
        columns = []
        for edge, middle in zip(old, new, strict=True):
            table = middle.reshape(-1, _PARTS - 1)
            pair = (edge[:, None], table) if first else (table, edge[:, None])
            columns.append(np.concatenate(pair, axis=1).ravel())
        return Points(*columns)

    return ends(low, True), ends(high, False)
