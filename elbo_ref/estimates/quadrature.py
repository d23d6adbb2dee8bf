"""Nodes and weights for the posterior of the prior's parameters, and few of them for the latents.

In y = logit m and z = log s the density is smooth with exponential tails, where the trapezoidal
rule converges geometrically: a step of sigma/1.3 leaves exp(-2 pi^2 1.3^2) = 3e-15 of a normal
density, one of 0.27 exp(-pi^2/0.27) = 1e-16 of the logarithm of an exponential. So over y the nodes
stand about the ridge, by its curvature; over z the step is halved until the integrals no longer
change.

Each latent's posterior is a mixture over these nodes of Beta(m s + K, (1 - m) s + N - K). What is
integrated then, a distribution function, is smooth in y and z on a scale of about one posterior
standard deviation of the latent. Where the posterior is narrow, Gauss rules of the measures found
are left (`gauss_rules`): over m at each z, and over z. Where a Beta of concentration s is narrower
than the posterior of y, few z beyond are left by a Gauss rule over 1/s, in which the binomial limit
is an ordinary point, and nodes in y as dense as these Betas need.

Sources: Trefethen & Weideman, SIAM Review 56 (2014) 385, for the trapezoidal rule; Golub & Welsch,
Math. Comp. 23 (1969) 221, for Gauss rules of a discrete measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray, IntArray
from elbo_ref.estimates.density import LogDensity, Ridge

_DEEP = 34.0
"""Nats below the highest density that the nodes reach."""
_SHALLOW = 6.0
"""Nats below a ridge that nodes reach at least."""
_ROWS = 24
_NEAREST = 2.0**-53
_WIDEST = 0.27
_SETTLED = 1e-7
_NARROW = 2.5
_GOAL = 23.0
_ALL = 10**6
_NEGLIGIBLE = 1e-11
_TAIL_ORDER = 6
_TAME = 4.0
_MOST_HALVINGS = 6
_MOST_ZOOMS = 20


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
        Anchored at its mode.
    z : float64 ndarray, shape (Z,)
    step : float
        The step between them.
    ridge : Ridge
        At each z.
    y, log_weight : float64 ndarray, shape (Z, M)
        Nodes over y at each z, and their log weights.
    """

    density: LogDensity
    z: FloatArray
    step: float
    ridge: Ridge
    y: FloatArray
    log_weight: FloatArray

    @classmethod
    def of(cls, density: LogDensity) -> Grid:
        """Find the mode, the range and a step that is fine enough."""
        density, low, high, scale = _located(density)
        z0, step = density.anchor[1], min(scale / 1.2, 1.0)
        below, above = int(np.ceil((z0 - low) / step)), int(np.ceil((high - z0) / step))
        grid = cls._at(density, np.asarray(z0 + step * np.arange(-below, above + 1.0)), step)
        before, last = grid._integrals(), np.inf
        for _ in range(_MOST_HALVINGS):
            grid = grid.halved()
            now = grid._integrals()
            change = float(np.max(np.abs(now - before) / (1 + np.abs(now))))
            if change < _SETTLED or change > last / 2:
                break
            before, last = now, change
        return grid

    @classmethod
    def _at(cls, density: LogDensity, z: FloatArray, step: float) -> Grid:
        ridge = density.ridge(z)
        y, log_weight = over_y(density, z, ridge)
        return cls(density, z, step, ridge, y, log_weight + np.log(step))

    def halved(self) -> Grid:
        """Add the points half-way between."""
        between = Grid._at(self.density, self.z[:-1] + self.step / 2, self.step)
        size = max(self.y.shape[1], between.y.shape[1])
        z = np.concatenate([self.z, between.z])
        order = np.argsort(z)
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
        halved = replace(self, z=z[order], step=self.step / 2, ridge=ridge)
        return replace(halved, y=y, log_weight=weight - np.log(2))

    @property
    def log_mass(self) -> FloatArray:
        """The log mass at each z, relative to the density at the anchor."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.exp(self.log_weight).sum(axis=1)))

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
        z = np.repeat(self.z, self.y.shape[1])
        return Nodes(self.y.ravel(), z, weight).kept(1e-16)


def normalized(log_weight: FloatArray) -> FloatArray:
    """Scale weights to a sum of 1 along the last axis."""
    weight = np.exp(log_weight - log_weight.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def over_y(
    density: LogDensity, z: FloatArray, ridge: Ridge, finest: FloatArray | float = np.inf
) -> tuple[FloatArray, FloatArray]:
    """Place nodes about the best y at each z.

    Parameters
    ----------
    density : LogDensity
    z : float64 ndarray, shape (Z,)
    ridge : Ridge
        At each z.
    finest : float or float64 ndarray, shape (Z,)
        The largest step allowed.

    Returns
    -------
    y, log_weight : float64 ndarray, shape (Z, M)
    """
    fine = ridge.scale / (1.3 + 0.7 * np.minimum(3 * ridge.scale, 1.0))
    step = np.minimum(np.minimum(fine, _WIDEST), finest)
    left, right = (_reach(density, z, ridge, sign) for sign in (-1, 1))
    sides = [np.ceil(reach / step).astype(np.int64) for reach in (left, right)]
    below, above = (int(side.max()) for side in sides)
    away = np.arange(-below, above + 1) * step[:, None]
    inside = (away > -left[:, None] - step[:, None]) & (away < right[:, None] + step[:, None])
    y = ridge.y[:, None] + away
    from_anchor = (ridge.y - density.anchor[0])[:, None] + away
    value = np.full(y.shape, -np.inf)
    for start in range(0, z.size, _ROWS):
        rows = slice(start, start + _ROWS)
        first, last = below - int(sides[0][rows].max()), below + int(sides[1][rows].max())
        part = rows, slice(first, last + 1)
        value[part] = density(from_anchor[part], z[rows] - density.anchor[1])
    return y, np.where(inside, value + np.log(step)[:, None], -np.inf)


def _reach(density: LogDensity, z: FloatArray, ridge: Ridge, sign: int) -> FloatArray:
    """Bound the way from the ridge down to where the density is e^-34 of the highest.

    Where the ridge is low itself, that is not far. The density over y is normal at first and may be
    exponential farther out, with the rate of its end at least; where that would be far, the density
    is asked.
    """
    deep = np.clip(_DEEP + 3 + ridge.height, _SHALLOW, _DEEP)
    rate, normal = density.rates[sign > 0], np.sqrt(2 * deep)
    steep = rate * ridge.scale
    bound = np.where(steep > normal, normal * ridge.scale, deep / rate + steep * ridge.scale / 2)
    far = np.flatnonzero(bound > 3 * normal * ridge.scale)
    todo, tried = far, (normal * ridge.scale)[far]
    while todo.size:
        from_anchor = ridge.y[todo] + sign * tried - density.anchor[0]
        value = density(from_anchor[:, None], z[todo] - density.anchor[1])[:, 0]
        low = (value < (ridge.height - deep)[todo]) | (tried > bound[todo])
        bound[todo[low]] = np.minimum(tried, bound[todo])[low]
        todo, tried = todo[~low], 1.5 * tried[~low]
    return bound * 1.05


def _located(density: LogDensity) -> tuple[LogDensity, float, float, float]:
    """Find the mode in z, the range that matters, and the scale of the density there.

    The mass over y at each z is taken from the curvature at the ridge.
    """
    _, _, p, q = density.exponents
    left, right = min(q + density.at_0[2], 1.0), min(p, 1.0)
    low, high = min(density.log_trials), max(density.log_trials)
    z = near = np.arange(low - 1.2 * _DEEP / left - 5, high + 1.2 * _DEEP / right + 30, 1.5)
    for _ in range(_MOST_ZOOMS):
        height, y = _marginal(density, near)
        i = min(max(int(np.argmax(height)), 1), near.size - 2)
        mode, width = float(near[i]), float(near[i + 1] - near[i])
        bend = float(2 * height[i] - height[i - 1] - height[i + 1])
        density = density.anchored(float(y[i]), mode)
        if bend < 0.5:
            break
        near = mode + width * np.linspace(-1, 1, 13)
    scale = float(width / np.sqrt(max(bend, 1e-3)))
    away = scale * 2.0 ** np.arange(2.5, max(3.0, np.log2(4 / scale)), 0.5)
    z = np.concatenate([z, mode - away, [mode], mode + away])
    height, _ = _marginal(density, z)
    order = np.argsort(z)
    z, height = z[order], height[order]
    above = np.flatnonzero(height > height.max() - _DEEP)
    first, last = max(above[0] - 1, 0), min(above[-1] + 1, z.size - 1)
    return density, float(z[first]), float(z[last]), scale


def _marginal(density: LogDensity, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Approximate the log mass at each z; and where the ridge is."""
    ridge = density.ridge(z)
    return ridge.height + np.log(ridge.scale), ridge.y


def _padded(x: FloatArray, size: int, fill: float) -> FloatArray:
    return np.pad(x, ((0, 0), (0, size - x.shape[1])), constant_values=fill)


# -- few nodes for the latents ---------------------------------------------------------------------


def reduced(grid: Grid) -> Nodes:
    """Leave few nodes, enough for the latents' distribution functions to 1e-9."""
    density, log_mass = grid.density, grid.log_mass
    weight = normalized(log_mass)
    tail = _ratio(grid.ridge, grid.z) > _NARROW
    tail &= np.arange(tail.size) >= int(np.argmin(tail[::-1].cumprod()[::-1]))
    z, shares = _few_z(grid, weight, ~tail)
    if weight[tail].sum() > _NEGLIGIBLE:
        inverse = np.exp(grid.z[tail][0] - grid.z[tail])
        x, share = gauss_rules(inverse[None], weight[tail][None], _TAIL_ORDER)
        z, shares = np.append(z, grid.z[tail][0] - np.log(x[0])), np.append(shares, share[0])
    parts = [_few_y(density, *each) for each in _by_order(density, z, shares)]
    nodes = Nodes(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return nodes._replace(weight=nodes.weight / nodes.weight.sum()).kept(_NEGLIGIBLE)


def _ratio(ridge: Ridge, z: FloatArray) -> FloatArray:
    """Divide the posterior deviation of y by the narrowest deviation of logit c."""
    inner = np.sign(ridge.y) * np.maximum(np.abs(ridge.y) - 2 * ridge.scale, 0.0)
    return np.asarray(ridge.scale * np.exp(z / 2) * np.sqrt(sc.expit(inner) * sc.expit(-inner)))


def _few_z(grid: Grid, weight: FloatArray, body: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Leave a Gauss rule where the posterior of z is narrow, else every so many of its nodes."""
    z, weight = grid.z[body], weight[body]
    share = weight / weight.sum()
    mean = float(share @ z)
    scale = float(np.sqrt(share @ (z - mean) ** 2))
    order = int(_order(np.array([scale]), np.array([_GOAL]))[0])
    heavy = weight > _NEGLIGIBLE / 10
    if order < heavy.sum() / 3:
        u = np.tanh((z - mean) / _TAME)
        x, shares = gauss_rules(u[None], weight[None], order)
        return mean + _TAME * np.arctanh(x[0]), shares[0]
    return z[heavy], weight[heavy]


def _order(scale: FloatArray, goal: FloatArray) -> IntArray:
    """Return the nodes of Gauss rules that integrate what varies on a scale of 1 to e^-goal.

    For a normal density of deviation d the error of n nodes is about (d^2 / 2)^n; the posterior is
    skewed, and a latent at odds with its prior varies faster: (2 d^2)^n.
    """
    square = np.minimum(2 * scale**2, 0.9)
    order = np.ceil(goal / -np.log(square)).astype(np.int64)
    return np.where(square < 0.8, order, _ALL)


def _by_order(
    density: LogDensity, z: FloatArray, weight: FloatArray
) -> Iterator[tuple[FloatArray, FloatArray, Ridge, int, FloatArray]]:
    """Group nodes over z by how many they need over y: the fewer, the less their weight."""
    ridge = density.ridge(z)
    ratio = _ratio(ridge, z)
    goal = np.maximum(_GOAL + np.log(weight / weight.sum()), 1.0)
    finest = ridge.scale / np.sqrt(1 + ratio**2) * np.pi * np.sqrt(2 / goal)
    orders = _order(np.maximum(ratio, ridge.scale), goal)
    for order in np.unique(orders).tolist():
        chosen = orders == order
        yield z[chosen], weight[chosen], ridge.at(chosen), order, finest[chosen]


def _few_y(
    density: LogDensity,
    z: FloatArray,
    weight: FloatArray,
    ridge: Ridge,
    order: int,
    finest: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Place nodes over y at each z: those of a Gauss rule over m, or all."""
    y, log_weight = over_y(density, z, ridge, finest if order == _ALL else np.inf)
    share = normalized(log_weight)
    if order < y.shape[1]:
        middle = ridge.y[:, None]
        m, rest = sc.expit(middle), sc.expit(-middle)
        growth = np.expm1(y - middle)
        x, share = gauss_rules(m * rest * growth / (1 + m * growth), share, order)
        up, down = (np.maximum(part, _NEAREST - 1) for part in (x / m, -x / rest))  # rounded
        y = middle + np.log1p(up) - np.log1p(down)
    each = np.repeat(z, y.shape[1])
    return y.ravel(), each, (weight[:, None] * share).ravel()


def gauss_rules(x: FloatArray, weight: FloatArray, order: int) -> tuple[FloatArray, FloatArray]:
    """Find the Gauss rules of discrete measures, one a row, by Lanczos's method.

    Examples
    --------
    >>> x, weight = gauss_rules(np.array([[0.0, 1.0, 2.0]]), np.full((1, 3), 1 / 3), 2)
    >>> x.round(4), weight.round(4)
    (array([[0.1835, 1.8165]]), array([[0.5, 0.5]]))
    """
    total = weight.sum(axis=1, keepdims=True)
    order = min(order, x.shape[1])
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-300)
    basis = np.zeros((order, *x.shape))
    basis[0] = np.sqrt(weight / total)
    matrix = np.zeros((x.shape[0], order, order))
    scaled = (x - middle) / half
    for k in range(order):
        following = scaled * basis[k]
        matrix[:, k, k] = (basis[k] * following).sum(axis=1)
        if k + 1 < order:
            for _ in range(2):
                along = (basis[: k + 1] * following).sum(axis=2)
                following = following - (along[..., None] * basis[: k + 1]).sum(axis=0)
            norm = np.sqrt((following**2).sum(axis=1))
            matrix[:, k + 1, k] = norm
            basis[k + 1] = following / np.maximum(norm, 1e-300)[:, None]
    nodes, vectors = np.linalg.eigh(matrix)
    return middle + half * nodes, total * vectors[:, 0, :] ** 2
