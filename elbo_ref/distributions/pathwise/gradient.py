"""The pathwise derivatives as public functions, and unchecked for the rest of the package."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special as sc

from elbo_ref._validation.arguments import (
    FloatArray,
    IntArray,
    check_broadcast,
    concentration,
    finite,
    float_in,
    plain,
    underflow_is_zero,
)
from elbo_ref._validation.indexes import check_same_index
from elbo_ref._validation.values import by_value
from elbo_ref.distributions.pathwise import few, field
from elbo_ref.distributions.pathwise.table import FEWEST, FEWEST_A_CELL, TOLERANCE, Table, extent

LONG = 4096
"""Fewer draws of a pair, beside those of other pairs, are not worth a table."""


@by_value
class PathwiseGradient(NamedTuple):
    """Derivatives of a draw, or of its logit, with respect to the two concentrations."""

    concentration1: float | FloatArray
    concentration0: float | FloatArray


@underflow_is_zero
def pathwise_gradient(
    logit: ArrayLike, concentration1: ArrayLike, concentration0: ArrayLike
) -> PathwiseGradient:
    """Move the logit of a Beta draw with the concentrations, its quantile held fixed (E6).

    Parameters
    ----------
    logit : float or array_like
        log(c / (1 - c)) of a draw c; any finite value.
    concentration1, concentration0 : float or array_like
        In [1e-100, 1e100]. The three arguments broadcast against each other.

    Returns
    -------
    PathwiseGradient
        `concentration1`, the derivative dlogit/dconcentration1 > 0, and `concentration0`, the
        derivative dlogit/dconcentration0 < 0: floats if every argument is a scalar, else arrays of
        the broadcast shape. Times c (1 - c) they are the derivatives of c itself, which
        `pathwise_gradient_of_draw` gives.

    Raises
    ------
    ValueError
        If a concentration is out of range, a logit is not finite, or the shapes do not
        broadcast.
    TypeError
        If an argument is not made of real numbers.

    Notes
    -----
    The derivative in the sense of Figurnov, Mohamed & Mnih (2018), section 3, on the logit scale.
    One draw is right to 3e-14 and mostly to 1e-15; several of one pair to 5e-13, and mostly to
    1e-14 (docs/pathwise.md). `torch.distributions.Beta.rsample` has an approximation
    of it. A derivative out of the range of a float is infinite.

    Examples
    --------
    Under Beta(a, 1) the quantile function is c = u^(1/a), so dlogit/da = -log(c) / (a (1 - c)):

    >>> from elbo_ref.distributions.pathwise import pathwise_gradient
    >>> gradient = pathwise_gradient(0.0, concentration1=2.0, concentration0=1.0)
    >>> round(gradient.concentration1, 12)  # log(2)
    0.69314718056
    >>> pathwise_gradient([-1e6, 0.0, 1e6], 2.0, 1.0).concentration1.round(6)
    array([5.00000e+05, 6.93147e-01, 5.00000e-01])
    """
    check_same_index(logit=logit, concentration1=concentration1, concentration0=concentration0)
    y = finite("logit", logit)
    a = concentration("concentration1", concentration1)
    b = concentration("concentration0", concentration0)
    check_broadcast(logit=y, concentration1=a, concentration0=b)
    with np.errstate(over="ignore", under="ignore"):
        by_a, by_b = logit_derivatives(y, a, b)
    return PathwiseGradient(plain(by_a), plain(by_b))


@underflow_is_zero
def pathwise_gradient_of_draw(
    c: ArrayLike, concentration1: ArrayLike, concentration0: ArrayLike
) -> PathwiseGradient:
    """Move a Beta draw itself with the concentrations, its quantile held fixed (E6).

    Parameters
    ----------
    c : float or array_like
        A draw, in [0, 1]. At 0 and 1, where a draw is when a float cannot hold it, the derivatives
        are 0, their limits. A draw within 1e-16 of 1 is not known well enough: hold its logit, and
        take `pathwise_gradient`.
    concentration1, concentration0 : float or array_like
        In [1e-100, 1e100]. The three arguments broadcast against each other.

    Returns
    -------
    PathwiseGradient
        `concentration1`, the derivative dc/dconcentration1 >= 0, and `concentration0`, the
        derivative dc/dconcentration0 <= 0: floats if every argument is a scalar, else arrays.

    Raises
    ------
    ValueError
        If a concentration is out of range, a draw not in [0, 1], or the shapes do not
        broadcast.
    TypeError
        If an argument is not made of real numbers.

    Notes
    -----
    This is what PyTorch calls the gradient of ``Beta.rsample`` (Figurnov, Mohamed & Mnih 2018,
    section 3).

    Examples
    --------
    Under Beta(a, 1), c = u^(1/a) and dc/da = -c log(c) / a:

    >>> from elbo_ref.distributions.pathwise import pathwise_gradient_of_draw
    >>> round(pathwise_gradient_of_draw(0.5, 2.0, 1.0).concentration1, 12)  # log(2) / 4
    0.17328679514
    """
    check_same_index(c=c, concentration1=concentration1, concentration0=concentration0)
    draw = float_in("c", c, 0.0, 1.0)
    a = concentration("concentration1", concentration1)
    b = concentration("concentration0", concentration0)
    check_broadcast(c=draw, concentration1=a, concentration0=b)
    inside = (draw > 0) & (draw < 1)
    with np.errstate(over="ignore", under="ignore"):
        y = sc.logit(np.where(inside, draw, 0.5))
        slope = np.where(inside, draw * (1 - draw), 0.0)
        moved = slope * logit_derivatives(y, a, b) + 0.0
    return PathwiseGradient(plain(moved[0]), plain(moved[1]))


def logit_derivatives(y: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Return dy/da and dy/db, stacked, for float64 arrays that broadcast; unchecked, in blocks."""
    if a.size == b.size == 1 and max(a.ndim, b.ndim) <= y.ndim:
        return _of_shared(y.ravel(), a.item(), b.item()).reshape(2, *y.shape)
    shape = np.broadcast(y, a, b).shape
    y = np.broadcast_to(y, shape)
    with np.errstate(all="ignore"):
        if all(x.size in (1, *x.shape[-1:]) for x in (a, b)):
            return of_pairs(y, np.array([np.broadcast_to(x.ravel(), shape[-1:]) for x in (a, b)]))
        pairs = np.array([np.broadcast_to(x, shape).ravel() for x in (a, b)])
        return field.of_pairs(y.ravel(), pairs).reshape(2, *shape)


def of_pairs(y: FloatArray, pairs: FloatArray, remainders: FloatArray | None = None) -> FloatArray:
    """Differentiate draws (..., L) of L pairs (2, L), which may stand in runs of equal ones.

    Their `digamma_remainders` may be known. Callers silence NumPy's warnings.
    """
    if y.size >= LONG:
        changes = np.logical_or(*(pairs[:, 1:] != pairs[:, :-1]))
        if (np.count_nonzero(changes) + 1) * LONG <= y.size:
            return _of_runs(y, pairs[0], pairs[1], 1 + np.flatnonzero(changes))
    return field.of_pairs(y.ravel(), pairs, remainders).reshape(2, *y.shape)


def _of_runs(y: FloatArray, a: FloatArray, b: FloatArray, starts: IntArray) -> FloatArray:
    """Differentiate columns of draws, each with its pair, where equal pairs stand together."""
    gradient = np.empty((2, *y.shape))
    for start, stop in itertools.pairwise((0, *starts.tolist(), y.shape[-1])):
        draws = y[..., start:stop]
        rows = _of_shared(draws.ravel(), a[start].item(), b[start].item())
        gradient[..., start:stop] = rows.reshape(2, *draws.shape)
    return gradient


def _of_shared(y: FloatArray, a: float, b: float) -> FloatArray:
    if y.size >= FEWEST:
        low, cells = extent(a, b, float(y.min()), float(y.max()))
        if y.size >= FEWEST_A_CELL * cells:
            table = Table.covering(a, b, low, cells)
            if table.error <= TOLERANCE:
                return table(y)
    gradient = few.derivatives(y, a, b) if 0 < y.size <= few.MOST else None
    if gradient is None and FEWEST <= y.size <= few.MOST:
        gradient = _of_outer_apart(y, a, b)
    return field.derivatives(y, a, b) if gradient is None else gradient


def _of_outer_apart(y: FloatArray, a: float, b: float) -> FloatArray | None:
    """Differentiate some hundreds of draws, the outer ones as single draws; None if too many."""
    outer = y.size // 40
    low, high = np.partition(y, (outer, y.size - 1 - outer))[[outer, y.size - 1 - outer]]
    inner = (y >= low) & (y <= high)
    found = few.derivatives(y[inner], a, b)
    if found is None:
        return None
    gradient = np.empty((2, y.size))
    gradient[:, inner], gradient[:, ~inner] = found, field.derivatives(y[~inner], a, b)
    return gradient
