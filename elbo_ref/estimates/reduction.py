"""Few nodes for the latents, of the many for the posterior of the prior's parameters.

Each latent's posterior is a mixture over nodes (m, s) of Beta(m s + K, (1 - m) s + N - K). What is
integrated then, a distribution function, is smooth in y = logit m and z = log s on a scale of about
one posterior standard deviation of the latent. Over z the nodes are those of a Gauss rule of the
measure found, in tanh(log(1 + T/s)/d): the binomial limit is an ordinary point of it, and small s,
which have little weight, are close together. At each of these z they are those of a Gauss rule over
m; or, where a Beta of concentration s is not much wider than the posterior of y, as dense as these
Betas need. Where they are narrower than that posterior by a factor r, s is as good as infinite to
about r^-2: z is no greater than it has to be for that.

Source: Golub & Welsch, Math. Comp. 23 (1969) 221, for Gauss rules of a discrete measure.
"""

from __future__ import annotations

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.estimates.density import LogDensity, Ridge
from elbo_ref.estimates.quadrature import END, Grid, Nodes, Stretched, normalized, over_y

_NEAREST = 2.0**-53
_FARTHEST = 600.0
_STEP = 0.18
"""The step of t of a measure that a Gauss rule is found for."""
_GOAL = 23.0
"""Minus the logarithm of the error of a distribution function."""
_NEGLIGIBLE = 1e-10
_DENSE_Z = 32
_GOAL_OF_PAIRS, _LIGHT = 14.0, 1e-8
"""The same for a difference, and the weight of nodes that it does without."""
_MOST_ORDER = 32
"""The most nodes over y of a Gauss rule."""
_POINT = 14.0
"""Twice the logarithm of r from which a Beta is as good as a point, to some 1e-7."""
_MARGIN = 1.3
"""Factor of the goal of nodes that are dense, whose Betas are not quite normal."""
_WIDEST, _DENSE_STRETCH = 0.27, 6.0
"""The largest step over y, and d in standard deviations, of nodes that are dense."""


def reduced(grid: Grid, goal: float = _GOAL) -> Nodes:
    """Leave few nodes, enough for the latents' distribution functions to about e^-goal."""
    density = grid.density
    z, weight = _few_z(grid, goal)
    ridge = density.ridge(z, np.interp(z, grid.z, grid.ridge.y))
    goals = np.maximum(goal + np.log(weight), 1.0)
    z = z - np.maximum(2 * np.log(_ratio(ridge, z)) - np.minimum(goals, _POINT), 0.0)
    ridge = density.ridge(z, ridge.y)
    ratio = _ratio(ridge, z)
    width = _DENSE_STRETCH * ridge.scale
    finest = ridge.scale / np.sqrt(1 + ratio**2) * np.pi * np.sqrt(2 / (_MARGIN * goals))
    step = np.minimum(finest, _WIDEST) / width
    dense = Stretched.about(density, z, ridge, width, step, goals + 2 - ridge.height)
    order = _order(np.maximum(ratio, ridge.scale), goals)
    few = order < np.minimum(dense.inside.sum(axis=1), _MOST_ORDER)
    parts = [_all_y(density, z[~few], weight[~few], dense, ~few)] if not few.all() else []
    if few.any():
        ridge, deep = ridge.at(few), goals[few] + 2 - ridge.height[few]
        parts.append(_few_y(density, z[few], weight[few], ridge, order[few], deep))
    nodes = Nodes(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return nodes._replace(weight=nodes.weight / nodes.weight.sum()).kept(_NEGLIGIBLE)


def for_pairs(grid: Grid) -> Nodes:
    """Leave few nodes for the difference of two latents that have the prior in common.

    Given m and s their difference is about 0 and varies slowly with m, however narrow the Betas
    are: a Gauss rule over m does. How wide it is depends on s as far as s goes, so that z is that
    of the grid; of many every second, or fourth, is enough to about 3e-7.
    """
    rows = np.flatnonzero(grid.mass > _LIGHT)
    rows = rows[:: 1 if rows.size < _DENSE_Z else 2 if rows.size < 5 * _DENSE_Z else 4]
    weight = grid.mass[rows] / grid.mass[rows].sum()
    z, ridge = np.clip(grid.z[rows], -END, END), grid.ridge.at(rows)
    goals = np.maximum(_GOAL_OF_PAIRS + np.log(weight), 1.0)
    order = np.minimum(_order(ridge.scale, goals), _MOST_ORDER)
    found = _few_y(grid.density, z, weight, ridge, order, goals + 2 - ridge.height)
    return Nodes(*found).kept(_LIGHT)


def _ratio(ridge: Ridge, z: FloatArray) -> FloatArray:
    """Divide the posterior deviation of y by the narrowest deviation of logit c."""
    inner = np.sign(ridge.y) * np.maximum(np.abs(ridge.y) - 2 * ridge.scale, 0.0)
    return np.asarray(ridge.scale * np.exp(z / 2) * np.sqrt(sc.expit(inner) * sc.expit(-inner)))


def _order(ratio: FloatArray, goal: FloatArray | float) -> FloatArray:
    """Return the nodes of Gauss rules that integrate what varies on a scale of 1 to e^-goal.

    For a normal density of deviation r and a normal distribution function of deviation 1 the error
    of n nodes is about (1 + 1/r^2)^-n; the posterior is skewed, and a latent at odds with its prior
    varies faster.
    """
    return np.ceil(goal / np.log1p(1 / (2 * ratio**2)))


def _few_z(grid: Grid, goal: float) -> tuple[FloatArray, FloatArray]:
    """Leave a Gauss rule over z; z from high to low."""
    z, share, log_trials = grid.z, grid.mass, grid.density.log_trials[0]
    mean = float(share @ z)
    scale = float(np.sqrt(share @ (z - mean) ** 2))
    span = mean - float(z[np.searchsorted(np.cumsum(share), 1e-9)])
    order = int(min((12 + span) * goal / _GOAL, float(_order(np.array(scale), goal))))
    centre, wide = log_trials + 0.5, max(4.5, 0.7 * log_trials)
    u = np.tanh(np.logaddexp(0, centre - z) / wide)
    x, weight = (found[0] for found in gauss_rules(u[None], share[None], order))
    heavy = (weight > _NEGLIGIBLE / 100) & (x > 0)
    few = centre - np.log(np.expm1(wide * np.arctanh(np.minimum(x[heavy], 1 - _NEAREST))))
    return few, weight[heavy]


def _all_y(
    density: LogDensity, z: FloatArray, weight: FloatArray, points: Stretched, rows: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Take all points over y at each z."""
    points = points.at(rows)
    share = weight[:, None] * normalized(points.log_weight(density, z))
    row, _ = np.nonzero(points.inside)
    return points.y[points.inside], z[row], share[points.inside]


def _few_y(
    density: LogDensity,
    z: FloatArray,
    weight: FloatArray,
    ridge: Ridge,
    order: FloatArray,
    deep: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Leave a Gauss rule over m at each z."""
    points, log_weight = over_y(density, z, ridge, _STEP, deep)
    middle = ridge.y[:, None]
    m, rest = sc.expit(middle), sc.expit(-middle)
    growth = np.expm1(np.minimum(points.y - middle, _FARTHEST))
    away, share = m * rest * growth / (1 + m * growth), normalized(log_weight)
    x, own = gauss_rules(away, share, order)
    up, down = (np.maximum(x / part, _NEAREST - 1) for part in (m, -rest))
    few = middle + np.log1p(up) - np.log1p(down)  # 1 + up may have been rounded to 0
    row, column = np.nonzero(own)
    return few[row, column], z[row], weight[row] * own[row, column]


def gauss_rules(
    x: FloatArray, weight: FloatArray, order: FloatArray | int
) -> tuple[FloatArray, FloatArray]:
    """Find the Gauss rules of discrete measures, one a row, by Lanczos's method.

    Rows of a lower order than others end with nodes without weight.

    Examples
    --------
    >>> x, weight = gauss_rules(np.array([[0.0, 1.0, 2.0]]), np.full((1, 3), 1 / 3), 2)
    >>> x.round(4), weight.round(4)
    (array([[0.1835, 1.8165]]), array([[0.5, 0.5]]))
    """
    total = weight.sum(axis=1, keepdims=True)
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-300)
    orders = np.broadcast_to(np.minimum(order, x.shape[1]).astype(np.int64), x.shape[:1])
    most = int(orders.max())
    basis = np.zeros((x.shape[0], most, x.shape[1]))
    basis[:, 0] = np.sqrt(weight / total)
    matrix = np.zeros((x.shape[0], most, most))
    scaled = (x - middle) / half
    for k in range(most):
        following = scaled * basis[:, k]
        matrix[:, k, k] = (basis[:, k] * following).sum(axis=1)
        if k + 1 < most:
            for first in (max(k - 1, 0), 0):  # once more against all: rounding
                known = basis[:, first : k + 1]
                along = known @ following[..., None]
                following = following - (along.swapaxes(1, 2) @ known)[:, 0]
            norm = np.sqrt((following**2).sum(axis=1))
            matrix[:, k + 1, k] = np.where(k + 1 < orders, norm, 0.0)
            basis[:, k + 1] = following / np.maximum(norm, 1e-300)[:, None]
    beyond = np.arange(most) >= orders[:, None]
    matrix[:, np.arange(most), np.arange(most)] += np.where(beyond, 9.0, 0.0)  # last, and apart
    nodes, vectors = np.linalg.eigh(matrix)
    return middle + half * nodes, total * vectors[:, 0, :] ** 2
