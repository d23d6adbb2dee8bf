"""Few weighted points in place of many latents of very many trials.

The evidence (E1) of one latent is an analytic function of its counts: it is singular where K = -a,
F = -b or N = -s, which are no counts. So a sum over latents whose K are within a factor of 2 of
each other, and whose F are too, is one over the points of a Chebyshev grid, weighted by the
interpolation from the grid to the latents. The grid is in F and K - slope F, with the slope of
least squares, so that latents of nearly one rate need few points beside those for F: where all
singularities are outside an ellipse with half-axes that add up to rho, in units of half the range,
n points are right to rho^-n.

Source: Trefethen, Approximation Theory and Approximation Practice (SIAM, 2013), theorem 8.2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from elbo_ref._validation.arguments import FloatArray, IntArray

_DIGITS = 38.0
"""Minus the logarithm of the error of the interpolation."""
_WORTH = 2
"""Latents to a point from which on points are worth it."""


class Points(NamedTuple):
    """Counts with weights, which may be negative, shape (P,) each.

    Attributes
    ----------
    successes, failures : int64 ndarray
        Above 0.
    beyond : (float64 ndarray, float64 ndarray)
        What is added to successes and failures, up to 1/2 in size.
    weight : float64 ndarray
    """

    successes: IntArray
    failures: IntArray
    beyond: tuple[FloatArray, FloatArray]
    weight: FloatArray


def few_points(successes: IntArray, failures: IntArray, weight: IntArray) -> Points:
    """Find few points for some latents, all with successes and failures.

    Parameters
    ----------
    successes, failures : int64 ndarray, shape (G,)
        Above 0.
    weight : int64 ndarray, shape (G,)

    Returns
    -------
    Points
        Those of a grid for each group of latents that is large enough, and the other latents.
    """
    cell = np.stack([np.frexp(x.astype(np.float64))[1] for x in (successes, failures)])
    _, place = np.unique(cell, axis=1, return_inverse=True)
    parts = []
    for i in range(int(place.max()) + 1):
        columns = [x[place.ravel() == i] for x in (successes, failures, weight)]
        parts.append(_grid(*columns))
    k, f, beyond_k, beyond_f, w = (np.concatenate(x) for x in zip(*parts, strict=True))
    return Points(k, f, (beyond_k, beyond_f), w)


def _grid(k: IntArray, f: IntArray, weight: IntArray) -> tuple[np.ndarray, ...]:
    """Lay a grid over latents of one cell, or keep them: points, what is beyond them, weights."""
    k0, f0 = int(k[0]), int(f[0])
    dk, df = (k - k0).astype(np.float64), (f - f0).astype(np.float64)  # exact, or nearly
    slope = slope_of(df, dk)
    residual = dk - slope * df
    along, across = Axis.of(df), Axis.of(residual)
    far = min(float(f.min()) + along.half, float(k.min()) / max(abs(slope), 1e-300) + along.half)
    sizes = along.points(far), across.points(float(k.min()) + across.half)
    if sizes[0] * sizes[1] * _WORTH > k.size:
        zero = np.zeros(k.size)
        return k, f, zero, zero, weight.astype(np.float64)
    (u, to_u), (v, to_v) = along.grid(df, sizes[0]), across.grid(residual, sizes[1])
    share = (to_u * weight[:, None]).T @ to_v
    at_f, at_r = np.repeat(u, sizes[1]), np.tile(v, sizes[0])
    at_k = slope * at_f + at_r
    whole_k, whole_f = np.rint(at_k), np.rint(at_f)
    points = k0 + whole_k.astype(np.int64), f0 + whole_f.astype(np.int64)
    return *points, at_k - whole_k, at_f - whole_f, share.ravel()


def slope_of(x: FloatArray, y: FloatArray) -> float:
    """Fit a straight line by least squares."""
    scale = float(np.abs(x).max())
    if scale == 0:
        return 0.0
    x = x / scale
    x = x - x.mean()
    square = float(x @ x)
    return float(x @ y) / square / scale if square > 0 else 0.0


class Axis(NamedTuple):
    """A range of values."""

    middle: float
    half: float

    @classmethod
    def of(cls, values: FloatArray) -> Axis:
        """Take the middle and half the width of the range."""
        low, high = float(values.min()), float(values.max())
        return cls((low + high) / 2, (high - low) / 2)

    def points(self, far: float) -> int:
        """Return the number of points for a function that is singular so far from the middle."""
        if self.half == 0:
            return 1
        c = far / self.half
        if not c > 1:
            return 2**31
        return int(np.ceil(_DIGITS / np.log(c + np.sqrt(c * c - 1)))) + 2

    def grid(self, values: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
        """Return Chebyshev points, and the weights (G, size) of the interpolation at values."""
        if size == 1:
            return np.array([self.middle]), np.ones((values.size, 1))
        x = chebyshev.chebpts1(size)
        known = chebyshev.chebvander(x, size - 1)
        known[:, 0] /= 2
        wanted = chebyshev.chebvander((values - self.middle) / self.half, size - 1)
        share = wanted @ known.T
        return self.middle + self.half * x, share / share.sum(axis=1, keepdims=True)
