"""Nodes and weights for the posterior of the prior's parameters, and few of them for the latents.

In y = logit m and z = log s the density is smooth with exponential tails. As a function of t with
z = z0 + d sinh t, and so over y about the ridge at each z, its tails are as short as those of a
normal density, and the trapezoidal rule converges geometrically. Over y its step is fixed; over z
it is halved until the integrals no longer change.

Source: Trefethen & Weideman, SIAM Review 56 (2014) 385.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.estimates.density import LogDensity, Ridge

_DEEP = 30.0
"""Nats below the highest density that the nodes reach."""
_SHALLOW = 6.0
"""Nats below a ridge that nodes reach at least."""
STEP_Y, _STEP_Z = 0.13, 0.25
"""Steps of t; that over z is halved once at least."""
_STRETCH = 3.0
"""d, in standard deviations..."""
_WIDE_Y, _WIDE_Z = 1.5, 2.5
"""... and at most."""
END = 300.0
"""A z beyond which s is as good as 0 or infinite beside any number of trials."""
_SETTLED = 2e-6
"""A change of the integrals whose square is rounding: the error of the halved step."""
_MOST_HALVINGS = 6
_MOST_ZOOMS = 20
_MOST_STEPS, _HALVINGS = 40, 5
"""Steps to an end beyond which it is looked for, by so many halves."""


class Nodes(NamedTuple):
    """Priors with weights of sum 1, arrays of one length.

    Attributes
    ----------
    y, z : float64 ndarray
        logit m and log s.
    weight : float64 ndarray
    """

    y: FloatArray
    z: FloatArray
    weight: FloatArray

    @property
    def concentrations(self) -> tuple[FloatArray, FloatArray]:
        """The two concentrations m s and (1 - m) s."""
        s = np.exp(self.z)
        return sc.expit(self.y) * s, sc.expit(-self.y) * s

    @property
    def mirrored(self) -> Nodes:
        """The priors of 1 - c."""
        return self._replace(y=-self.y)

    def kept(self, least: float) -> Nodes:
        """Drop the lightest nodes, of a total weight of at most `least`."""
        order = np.argsort(self.weight)
        keep = np.ones(order.size, bool)
        keep[order[np.cumsum(self.weight[order]) < least]] = False
        weight = self.weight[keep]
        return Nodes(self.y[keep], self.z[keep], weight / weight.sum())


@dataclass(frozen=True, eq=False)
class Grid:
    """The trapezoidal rule over both coordinates.

    Attributes
    ----------
    density : LogDensity
        Anchored at its mode, about which z is stretched.
    width : float
        d of z = z0 + d sinh t.
    t : float64 ndarray, shape (Z,)
    step : float
        The step between them.
    ridge : Ridge
        At each z.
    y, log_weight : float64 ndarray, shape (Z, M)
        Nodes over y at each z, and their log weights.
    """

    density: LogDensity
    width: float
    t: FloatArray
    step: float
    ridge: Ridge
    y: FloatArray
    log_weight: FloatArray

    @classmethod
    def of(cls, density: LogDensity) -> Grid:
        """Find the mode, the range and a step that is fine enough."""
        grid = cls._at(*_located(density), _STEP_Z)
        before, change_before = grid._integrals(), np.inf
        for _ in range(_MOST_HALVINGS):
            grid = grid.halved()
            now = grid._integrals()
            change = float(np.max(np.abs(now - before) / (1 + np.abs(now))))
            if change < _SETTLED or change > change_before / 2:
                break
            before, change_before = now, change
        return grid

    @classmethod
    def _at(
        cls, density: LogDensity, width: float, t: FloatArray, y: FloatArray | None, step: float
    ) -> Grid:
        z = density.anchor[1] + width * np.sinh(t)
        ridge = density.ridge(z, y)
        points, log_weight = over_y(density, z, ridge)
        log_weight = log_weight + np.log(step * width * np.cosh(t))[:, None]
        return cls(density, width, t, step, ridge, points.y, log_weight)

    @property
    def z(self) -> FloatArray:
        """The z = log s of each row."""
        return self.density.anchor[1] + self.width * np.sinh(self.t)

    def halved(self) -> Grid:
        """Add the points half-way between."""
        y = (self.ridge.y[1:] + self.ridge.y[:-1]) / 2
        between = Grid._at(self.density, self.width, self.t[:-1] + self.step / 2, y, self.step)
        size = max(self.y.shape[1], between.y.shape[1])
        t = np.concatenate([self.t, between.t])
        order = np.argsort(t)
        ridge = Ridge(
            *(np.concatenate(x)[order] for x in zip(self.ridge, between.ridge, strict=True))
        )
        y, weight = (
            np.concatenate([_padded(a, size, fill), _padded(b, size, fill)])[order]
            for a, b, fill in (
                (self.y, between.y, 0.0),
                (self.log_weight, between.log_weight, -np.inf),
            )
        )
        halved = replace(self, t=t[order], step=self.step / 2, ridge=ridge)
        return replace(halved, y=y, log_weight=weight - np.log(2))

    @property
    def mass(self) -> FloatArray:
        """The share of each z in the whole."""
        mass = np.exp(self.log_weight).sum(axis=1)
        return np.asarray(mass / mass.sum())

    def _integrals(self) -> FloatArray:
        """Compute the total mass, and means that show what a coarse grid gets wrong."""
        weight = np.exp(self.log_weight)
        total = float(weight.sum())
        weight /= total
        shrinkage = sc.expit(self.z - self.density.anchor[1])
        return np.array(
            [np.log(total), (weight * sc.expit(self.y)).sum(), weight.sum(axis=1) @ shrinkage]
        )

    def nodes(self) -> Nodes:
        """Return all nodes but those without weight."""
        weight = normalized(self.log_weight.ravel())
        z = np.repeat(np.clip(self.z, -END, END), self.y.shape[1])
        return Nodes(self.y.ravel(), z, weight).kept(1e-16)


def normalized(log_weight: FloatArray) -> FloatArray:
    """Scale weights to a sum of 1 along the last axis."""
    weight = np.exp(log_weight - log_weight.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


class Stretched(NamedTuple):
    """Points y + d sinh t about the ridge at each z, t equidistant.

    Attributes
    ----------
    middle, width, step : float64 ndarray, shape (Z,)
        y, d, and the step of t.
    t : float64 ndarray, shape (Z, M)
    inside : bool ndarray, shape (Z, M)
        The points that matter; the others fill the rows.
    """

    middle: FloatArray
    width: FloatArray
    step: FloatArray
    t: FloatArray
    inside: BoolArray

    @classmethod
    def about(
        cls,
        density: LogDensity,
        z: FloatArray,
        ridge: Ridge,
        width: FloatArray,
        step: FloatArray | float,
        deep: FloatArray | float = _DEEP,
    ) -> Stretched:
        """Place points down to e^-deep of the highest density, or to e^-6 of that of the row."""
        deep = np.clip(deep + ridge.height, _SHALLOW, deep)
        step = np.broadcast_to(step, width.shape)
        reach = np.array([_reach(ridge, rate, deep) for rate in density.rates])
        ends = np.arcsinh(reach / width)
        far = np.any(ends > _MOST_STEPS * step, axis=0)
        if far.any():
            ends[:, far] = _halved(
                density, z[far], ridge.at(far), width[far], deep[far], ends[:, far]
            )
        left, right = ends + step
        below, above = (int((side / step).max()) for side in (left, right))
        t = np.arange(-below, above + 1) * step[:, None]
        left, right = -left[:, None], right[:, None]
        return cls(ridge.y, width, step, np.clip(t, left, right), (t > left) & (t < right))

    def at(self, rows: BoolArray) -> Stretched:
        """Take some of the rows."""
        middle, width, step, t, inside = self
        return Stretched(middle[rows], width[rows], step[rows], t[rows], inside[rows])

    @property
    def y(self) -> FloatArray:
        """The points, shape (Z, M)."""
        return self.middle[:, None] + self.width[:, None] * np.sinh(self.t)

    def log_weight(self, density: LogDensity, z: FloatArray) -> FloatArray:
        """Weigh the points: log density with the weights of the trapezoidal rule, shape (Z, M)."""
        away = self.width[:, None] * np.sinh(self.t)
        from_anchor = (self.middle - density.anchor[0])[:, None] + away
        row, _ = np.nonzero(self.inside)
        value = np.full(self.t.shape, -np.inf)
        value[self.inside] = density(from_anchor[self.inside], (z - density.anchor[1])[row])
        return value + np.log(np.cosh(self.t)) + np.log(self.width * self.step)[:, None]


def over_y(
    density: LogDensity,
    z: FloatArray,
    ridge: Ridge,
    step: float = STEP_Y,
    deep: FloatArray | float = _DEEP,
) -> tuple[Stretched, FloatArray]:
    """Place nodes about the best y at each z.

    Parameters
    ----------
    density : LogDensity
    z : float64 ndarray, shape (Z,)
    ridge : Ridge
        At each z.
    step : float
        That of t.
    deep : float or float64 ndarray, shape (Z,)
        As of `Stretched.about`.

    Returns
    -------
    points : Stretched
    log_weight : float64 ndarray, shape (Z, M)
    """
    width = np.minimum(_STRETCH * ridge.scale, _WIDE_Y)
    points = Stretched.about(density, z, ridge, width, step, deep)
    return points, points.log_weight(density, z)


def _reach(ridge: Ridge, rate: float, deep: FloatArray) -> FloatArray:
    """Bound the way from the ridge down to where the density is e^-deep of that there.

    It is normal at first and may be exponential farther out, with the rate of its end at least.
    """
    normal, steep = np.sqrt(2 * deep), rate * ridge.scale
    far = deep / rate + steep * ridge.scale / 2
    return 1.05 * np.where(steep > normal, normal * ridge.scale, far)


def _halved(
    density: LogDensity,
    z: FloatArray,
    ridge: Ridge,
    width: FloatArray,
    deep: FloatArray,
    ends: FloatArray,
) -> FloatArray:
    """Shorten the way to both ends in t, (2, Z), by halves, where the density is too low already.

    At each z it has one maximum.
    """
    inner, sign = np.zeros(ends.shape), np.array([[-1.0], [1.0]])
    from_anchor = np.broadcast_to(z - density.anchor[1], ends.shape).ravel()
    for _ in range(_HALVINGS):
        t = (inner + ends) / 2
        y = ridge.y - density.anchor[0] + sign * width * np.sinh(t)
        height = density(y.ravel(), from_anchor).reshape(t.shape) + np.log(np.cosh(t))
        low = height - ridge.height < -deep
        inner, ends = np.where(low, inner, t), np.where(low, t, ends)
    return ends


def _located(density: LogDensity) -> tuple[LogDensity, float, FloatArray, FloatArray]:
    """Find the mode in z, the width d of the stretching, the t that matter and the best y there.

    The mass over y at each z is taken from the curvature at the ridge.
    """
    _, _, p, q = density.exponents
    left, right = min(q + density.mixed, 1.0), min(p, 1.0)
    low, high = min(density.log_trials), max(density.log_trials)
    # s far below both 1 and the trials is in the left tail, whatever the counts
    ends = np.array([min(low, 0.0) - 1.2 * _DEEP / left - 5, high + 1.2 * _DEEP / right + 30])
    middle, wide = (low + high) / 2, 6 + high - low
    z = middle + wide * np.sinh(_steps((ends - middle) / wide))
    for _ in range(_MOST_ZOOMS):
        height, y = _marginal(density, z)
        i = min(max(int(np.argmax(height)), 1), z.size - 2)
        mode, (before, after) = float(z[i]), np.diff(z[i - 1 : i + 2])
        down, up = np.diff(height[i - 1 : i + 2]) / (before, after)
        curvature = 2 * float(down - up) / (before + after)
        density = density.anchored(float(y[i]), mode)
        if curvature * max(before, after) ** 2 < 0.5:
            break
        z = mode + np.concatenate([np.linspace(-before, 0, 7), np.linspace(0, after, 7)[1:]])
    scale = 1 / np.sqrt(max(curvature, 1e-3 / after**2))
    width = float(min(_STRETCH * scale, _WIDE_Z))
    t = _steps((ends - mode) / width)
    height, y = _marginal(density, mode + width * np.sinh(t))
    height += np.log(np.cosh(t))
    above = np.flatnonzero(height > height.max() - _DEEP)
    part = slice(max(above[0] - 1, 0), above[-1] + 2)
    return density, width, t[part], y[part]


def _steps(ends: FloatArray) -> FloatArray:
    """Return equidistant t that reach two values of sinh t."""
    t = np.arcsinh(ends) / _STEP_Z
    return _STEP_Z * np.arange(np.floor(t[0]), np.ceil(t[1]) + 1)


def _marginal(density: LogDensity, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Approximate the log mass at each z; and where the ridge is."""
    ridge = density.ridge(z)
    return ridge.height + np.log(ridge.scale), ridge.y


def _padded(x: FloatArray, size: int, fill: float) -> FloatArray:
    return np.pad(x, ((0, 0), (0, size - x.shape[1])), constant_values=fill)
