"""The evidence along one coordinate, with bounds on intervals of it.

With the rungs t of `elbo_ref.mle.factorial_sums`, up U, down D, total T and excess E = T - D, the
log evidence is, up to a constant and for any r and q with mean p/r and concentration r/q,

    sum_U log(p + t q) + sum_D log(r - p + t q) - sum_T log(r + t q)                          (E10)

`Terrain` is its profile P, the best over the mean (or at a given one), in one of two coordinates x:

    gamma = 1/(a + b):  r = 1, q = x          concentration s = a + b:  r = x, q = 1

The first two sums are jointly concave in (x, p): the best mean is unique and P a difference of
two concave functions A - B, so that on an interval it lies below each tangent of A minus the chord
of B. Those two lines are the first bound. Where D and T are much alike they are wide, and
differences are formed on paper: in the coordinate v = gamma, or v = log s,

    P_v = sum_U t/(m + t gamma) + sum_D m t/[(1 - m + t gamma)(1 + t gamma)]
                                                      - sum_E t/(1 + t gamma)        (v = gamma)
    P_v = sum_U a/(a + t) - sum_D a t/[(b + t)(s + t)] - sum_E s/(s + t)             (v = log s)

and P_vv = f_vv + f_vm^2/|f_mm|, with the derivatives f of the log evidence in (v, m). Every sum has
terms of one sign that are monotone in each of m, 1 - m and v, so that ranges of these give the
second bound: the least and the greatest slope, and the greatest second derivative, on an interval.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.mle.factorial_sums import Ladder, Rungs

EPS = 2.0**-52
_BLOCK = 2**19
_FARTHEST = 300.0

_Range: TypeAlias = tuple[FloatArray, FloatArray]
"""The least and the greatest value on each interval."""


class Points(NamedTuple):
    """Values of x with what the bounds need there; arrays of one length."""

    x: FloatArray
    height: FloatArray
    noise: FloatArray
    """How far rounding may have moved the height."""
    slope: FloatArray
    slope_noise: FloatArray

    def take(self, index: NDArray[np.bool_] | slice) -> Points:
        """Some of the points."""
        return Points(*(column[index] for column in self))


class Box(NamedTuple):
    """What holds on all of an interval, in the coordinate v."""

    length: FloatArray
    least: FloatArray
    most: FloatArray
    """Of the slope P_v."""
    bend: FloatArray
    """The greatest P_vv, or more."""


class Slopes(Protocol):
    """What `elbo_ref.mle.branch_and_bound.search` asks of a profile."""

    @property
    def rungs(self) -> int:
        """The number of terms in each sum."""

    def points(self, x: FloatArray) -> Points:
        """P and its slope in x."""

    def overshoot(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """B' at the lower end less the slope of B's chord, and that less B' at the upper; >= 0."""

    def box(self, low: FloatArray, high: FloatArray) -> Box:
        """Bounds of the slope and of the second derivative on intervals, in v."""

    def in_v(self, x: FloatArray, slope: FloatArray) -> FloatArray:
        """A slope in x at x, in the coordinate of the boxes."""


class Terrain:
    """The profile over gamma or s.

    Parameters
    ----------
    ladder : Ladder
    by_gamma : bool
        The coordinate: gamma, or else s.
    mean : (m, 1 - m), optional
        Where the mean is given; else the best is taken.
    """

    def __init__(
        self, ladder: Ladder, by_gamma: bool, mean: tuple[float, float] | None = None
    ) -> None:
        self.ladder, self.by_gamma, self.mean = ladder, by_gamma, mean
        self._base = 0.0
        self._from = 1.0, np.ones(1), np.ones(1)

    @property
    def rungs(self) -> int:
        return sum(rungs.offset.size for rungs in self.ladder[:4])

    def best_mean(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """m and 1 - m at each x."""
        if self.mean is not None:
            return np.full(x.shape, self.mean[0]), np.full(x.shape, self.mean[1])
        q, r = self._scales(x)
        return ridge(self.ladder, q / r, q / r)

    def start_from(self, x: float, height: float) -> None:
        """Measure heights from a point whose height is known otherwise."""
        self._from = x, *self.best_mean(np.array([x]))
        self._base = height

    def _scales(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """q and r."""
        return (x, np.ones_like(x)) if self.by_gamma else (np.ones_like(x), x)

    def points(self, x: FloatArray) -> Points:
        return _in_blocks(self._points, self.ladder, x)

    def _points(self, x: FloatArray) -> Points:
        up, down, excess = self.ladder.up, self.ladder.down, self.ladder.excess
        start = np.array([self._from[0]])
        (q, r), (q0, r0) = self._scales(x), self._scales(start)
        (m, rest), (m0, rest0) = self.best_mean(x), self._from[1:]
        shift, scale = (m * r - m0 * r0)[:, None], (r - r0)[:, None]
        climb = (q - q0)[:, None]

        def terms(
            rungs: Rungs, part: FloatArray, part0: FloatArray
        ) -> tuple[FloatArray, FloatArray]:
            return _grid(part * r, q, rungs), _grid(part0 * r0, q0, rungs)

        z, z0 = terms(up, m, m0)
        rises = _log_ratio(z, z0, (shift + climb * up.offset) / z0)
        w, w0 = terms(down, rest, rest0)
        all_w, all_w0 = _grid(r, q, down), _grid(r0, q0, down)
        p, p0 = (m * r)[:, None], (m0 * r0)[:, None]
        twist = (p0 * (climb * down.offset + scale) - shift * all_w0) / (all_w * w0)
        falls = _log_ratio(w / all_w, w0 / all_w0, twist)
        e, e0 = _grid(r, q, excess), _grid(r0, q0, excess)
        sinks = _log_ratio(e, e0, (scale + climb * excess.offset) / e0)
        height = self._base + rises @ up.weight + falls @ down.weight - sinks @ excess.weight
        noise = np.abs(rises) @ up.weight + np.abs(falls) @ down.weight
        noise = noise + np.abs(sinks) @ excess.weight
        if self.by_gamma:
            gains = (1 / z) @ (up.weight * up.offset)
            extra = (p / (w * all_w)) @ (down.weight * down.offset)
            losses = (1 / e) @ (excess.weight * excess.offset)
            slope = gains + extra - losses
        else:
            raised, sunk = up.raised, excess.raised
            gains = (1 / _grid(m * r, q, raised)) @ raised.weight * m
            extra = (p / (w * all_w)) @ (down.weight * down.offset) / r
            losses = (1 / _grid(r, q, sunk)) @ sunk.weight
            slope = self.ladder.mixed / r + (gains - extra - losses)
        noise = noise + p[:, 0] * ((1 / z) @ up.weight)
        return Points(x, height, 4 * EPS * noise, slope, 8 * EPS * (gains + extra + losses))

    def overshoot(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        total, length = self.ladder.total, (high - low)[:, None]
        t = total.offset
        line, slope = (1 + low[:, None] * t, t) if self.by_gamma else (low[:, None] + t, 1.0)
        step = length * slope / line
        gap = np.log1p(step)
        before = (step - gap) @ total.weight / length[:, 0]
        after = (gap - step / (1 + step)) @ total.weight / length[:, 0]
        return before, after

    def box(self, low: FloatArray, high: FloatArray) -> Box:
        if not low.size:
            return Box(low, low, low, low)
        return _in_blocks(self._box, self.ladder, low, high)

    def in_v(self, x: FloatArray, slope: FloatArray) -> FloatArray:
        return slope if self.by_gamma else x * slope

    def _mean_ranges(self, low: FloatArray, high: FloatArray) -> tuple[_Range, _Range]:
        """The least and the most of m and of 1 - m between two values of x."""
        if self.mean is not None:
            m, rest = self.best_mean(low)
            return (m, m), (rest, rest)
        (q0, r0), (q1, r1) = self._scales(low), self._scales(high)
        one, other = q0 / r0, q1 / r1
        gamma, more = np.minimum(one, other), np.maximum(one, other)
        most, rest_least = ridge(self.ladder, gamma, more)
        least, rest_most = ridge(self.ladder, more, gamma)
        return (least, most), (rest_least, rest_most)

    def _box(self, low: FloatArray, high: FloatArray) -> Box:
        bounds = _gamma_box if self.by_gamma else _log_box
        return bounds(self.ladder, (low, high), *self._mean_ranges(low, high), self.mean is None)


def _gamma_box(ladder: Ladder, x: _Range, m: _Range, rest: _Range, free: bool) -> Box:
    up, down, excess, (low, high) = ladder.up, ladder.down, ladder.excess, x
    t, d = up.offset, down.offset
    z0, z1 = _grid(m[0], low, up), _grid(m[1], high, up)
    w0, w1 = _grid(rest[0], low, down), _grid(rest[1], high, down)
    a0, a1 = _grid(1.0, low, down), _grid(1.0, high, down)
    e0, e1 = _grid(1.0, low, excess), _grid(1.0, high, excess)
    ut, dt, et = up.weight * t, down.weight * d, excess.weight * excess.offset
    most = (1 / z0) @ ut + m[1] * ((1 / (w0 * a0)) @ dt) - (1 / e1) @ et
    least = (1 / z1) @ ut + m[0] * ((1 / (w1 * a1)) @ dt) - (1 / e0) @ et
    rounding = 8 * EPS * ((1 / z0) @ ut + (1 / e0) @ et)
    plus = (1 / (e0 * e0)) @ (et * excess.offset)
    minus = (1 / (z1 * z1)) @ (ut * t) + m[0] * ((1 / w1 + 1 / a1) / (w1 * a1) @ (dt * d))
    bend = plus - minus + 8 * EPS * (plus + minus)
    if free:
        cross1 = (1 / (w0 * w0)) @ dt - (1 / (z1 * z1)) @ ut
        cross0 = (1 / (w1 * w1)) @ dt - (1 / (z0 * z0)) @ ut
        steep = (1 / (z1 * z1)) @ up.weight + (1 / (w1 * w1)) @ down.weight
        bend = bend + np.maximum(cross1**2, cross0**2) / steep * (1 + 1e-12)
    return Box(high - low, least - rounding, most + rounding, bend)


def _log_box(ladder: Ladder, x: _Range, m: _Range, rest: _Range, free: bool) -> Box:
    up, down, excess, (low, high) = ladder.up.raised, ladder.down, ladder.excess.raised, x
    t, d, g = up.offset, down.offset, excess.offset
    a0, a1, b0, b1 = m[0] * low, m[1] * high, rest[0] * low, rest[1] * high
    one = np.ones_like(low)
    z0, z1 = _grid(a0, one, up), _grid(a1, one, up)
    w0, w1 = _grid(b0, one, down), _grid(b1, one, down)
    s0, s1 = _grid(low, one, down), _grid(high, one, down)
    e0, e1 = _grid(low, one, excess), _grid(high, one, excess)
    dt = down.weight * d
    gain1, gain0 = a1 * ((1 / z1) @ up.weight), a0 * ((1 / z0) @ up.weight)
    loss0, loss1 = a0 * ((1 / (w1 * s1)) @ dt), a1 * ((1 / (w0 * s0)) @ dt)
    sink0, sink1 = low * ((1 / e0) @ excess.weight), high * ((1 / e1) @ excess.weight)
    rounding = 8 * EPS * (ladder.mixed + gain1 + loss1 + sink1)
    most, least = gain1 - loss0 - sink0, gain0 - loss1 - sink1
    most, least = ladder.mixed + most, ladder.mixed + least

    def hump(x0: FloatArray, x1: FloatArray, offset: FloatArray) -> FloatArray:
        """The most of x t/(x + t)^2 on [x0, x1]; it rises until x = t."""
        x = np.clip(offset, x0[:, None], x1[:, None])
        return x * offset / (x + offset) ** 2

    sum_sink0 = low[:, None] * g / (e0 * e0)
    sum_sink1 = high[:, None] * g / (e1 * e1)
    plus = hump(a0, a1, t) @ up.weight
    forward = (high * b1)[:, None] - d * d
    down_part = np.where(
        forward > 0, a1[:, None] * forward / (w0 * s0) ** 2, a0[:, None] * forward / (w1 * s1) ** 2
    )
    minus = np.minimum(sum_sink0, sum_sink1) @ excess.weight
    extra = down_part @ dt
    bend = plus + extra - minus + 8 * EPS * (plus + np.abs(down_part) @ dt + minus)
    if free:
        ut = up.weight * t
        cross1 = high * ((1 / (z0 * z0)) @ ut) - low * ((1 / (w1 * w1)) @ dt)
        cross0 = low * ((1 / (z1 * z1)) @ ut) - high * ((1 / (w0 * w0)) @ dt)
        steep = low**2 * ((1 / (z1 * z1)) @ up.weight + (1 / (w1 * w1)) @ down.weight)
        steep = steep + ladder.up.weight[0] / m[1] ** 2 * (low / high) ** 2
        bend = bend + np.maximum(cross1**2, cross0**2) / steep * (1 + 1e-12)
    return Box(np.log(high / low), least - rounding, most + rounding, bend)


class Slice:
    """The profile over a, for a given b, with V = T - U:

        sum_U log[(a + t)/(a + b + t)] - sum_V log(a + b + t),

    again a difference of two concave functions. `up` is U, `excess` V.
    """

    def __init__(self, up: Rungs, excess: Rungs, concentration0: float) -> None:
        self.up, self.excess, self.b = up, excess, concentration0
        self._from, self._base = 1.0, 0.0

    @property
    def rungs(self) -> int:
        return 2 * self.up.offset.size + self.excess.offset.size

    def start_from(self, x: float, height: float) -> None:
        """Measure heights from a point whose height is known otherwise."""
        self._from, self._base = x, height

    def _lines(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """a + t and a + b + t over U, and a + b + t over V."""
        z = x[:, None] + self.up.offset
        return z, z + self.b, x[:, None] + self.b + self.excess.offset

    def points(self, x: FloatArray) -> Points:
        up, excess, b, away = self.up, self.excess, self.b, (x - self._from)[:, None]
        (z, w, e), (z0, w0, e0) = self._lines(x), self._lines(np.array([self._from]))
        rises = _log_ratio(z / w, z0 / w0, away / w * (b / z0))
        sinks = _log_ratio(e, e0, away / e0)
        height = self._base + rises @ up.weight - sinks @ excess.weight
        noise = np.abs(rises) @ up.weight + np.abs(sinks) @ excess.weight
        gains, losses = (b / z / w) @ up.weight, (1 / e) @ excess.weight
        return Points(x, height, 4 * EPS * noise, gains - losses, 8 * EPS * (gains + losses))

    def overshoot(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        length = (high - low)[:, None]
        step = length / self._lines(low)[2]
        gap, weight = np.log1p(step), self.excess.weight
        before, after = step - gap, gap - step / (1 + step)
        return before @ weight / length[:, 0], after @ weight / length[:, 0]

    def in_v(self, x: FloatArray, slope: FloatArray) -> FloatArray:
        return slope

    def box(self, low: FloatArray, high: FloatArray) -> Box:
        up, excess, b = self.up.weight, self.excess.weight, self.b
        (z0, w0, e0), (z1, w1, e1) = self._lines(low), self._lines(high)
        gain0, gain1 = (b / z0 / w0) @ up, (b / z1 / w1) @ up
        loss0, loss1 = (1 / e0) @ excess, (1 / e1) @ excess
        rounding = 8 * EPS * (gain0 + loss0)
        plus, minus = (1 / e0**2) @ excess, (b / z1 / w1 * (1 / z1 + 1 / w1)) @ up
        bend = plus - minus + 8 * EPS * (plus + minus)
        return Box(high - low, gain1 - loss0 - rounding, gain0 - loss1 + rounding, bend)


def ridge(ladder: Ladder, up: FloatArray, down: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The best mean m, and 1 - m, for each gamma; with different gamma in U and D a bound of it.

    log sum_U 1/(m + t gamma) - log sum_D 1/(1 - m + t gamma) falls in logit m with a slope between
    -1 and 0, and is 0 at the best: Newton's method, kept to the side that is known to hold it.
    """
    rises, falls = ladder.up, ladder.down
    theta = np.full(up.shape, np.log(rises.weight[0] / falls.weight[0]))
    low, high = np.full(theta.shape, -np.inf), np.full(theta.shape, np.inf)
    above, below = up[:, None] * rises.offset, down[:, None] * falls.offset
    for _ in range(100):
        m, rest = _logistic(theta)
        z, w = 1 / (above + m[:, None]), 1 / (below + rest[:, None])
        one, other = z @ rises.weight, w @ falls.weight
        unequal = np.log(one / other)
        steep = m * rest * ((z * z) @ rises.weight / one + (w * w) @ falls.weight / other)
        low = np.where(unequal > 0, theta, low)
        high = np.where(unequal < 0, theta, high)
        moved = theta + unequal / steep
        inside = (moved >= low) & (moved <= high)
        bounded = ~inside & np.isfinite(low) & np.isfinite(high)
        half = np.where(bounded, low, theta) / 2 + np.where(bounded, high, theta) / 2
        moved = np.where(inside, moved, np.where(bounded, half, theta + unequal))
        moved = np.clip(moved, -_FARTHEST, _FARTHEST)
        settled = np.abs(moved - theta) <= 1e-8 * (1 + np.abs(theta))
        theta = moved
        if settled.all():
            break
    return _logistic(theta)


def _logistic(theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    small = np.exp(-np.abs(theta))
    large, small = 1 / (1 + small), small / (1 + small)
    return np.where(theta > 0, large, small), np.where(theta > 0, small, large)


def _grid(constant: FloatArray | float, slope: FloatArray, rungs: Rungs) -> FloatArray:
    """constant + slope t, a row for each slope."""
    base = constant if np.ndim(constant) == 0 else np.asarray(constant)[:, None]
    return base + slope[:, None] * rungs.offset


def _log_ratio(z: FloatArray, z0: FloatArray, away: FloatArray) -> FloatArray:
    """log(z/z0), where z/z0 = 1 + away."""
    near = np.abs(away) < 0.5
    return np.where(near, np.log1p(np.where(near, away, 0.0)), np.log(z / z0))


_Rows = TypeVar("_Rows", Points, Box)


def _in_blocks(function: Callable[..., _Rows], ladder: Ladder, *arrays: FloatArray) -> _Rows:
    """A function of rows, a bounded number at a time."""
    length = max(1, _BLOCK // ladder.total.weight.size)
    starts = range(0, arrays[0].size, length)
    parts = [function(*(x[i : i + length] for x in arrays)) for i in starts]
    return type(parts[0])(*(np.concatenate(column) for column in zip(*parts, strict=True)))
