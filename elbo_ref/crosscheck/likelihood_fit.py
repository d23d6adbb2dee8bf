r"""Numbers of a loss model fitted to noisy losses by their likelihood.

A wrong number moves the mean of losses and their spread, either of which may say more. It is
fitted to both, as if losses were normal, and charged as Laplace's approximation of a marginal
likelihood charges: by the density of what is expected of it, times its range once the losses are
known (MacKay 2003, chapter 27).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.alignment import evenly
from elbo_ref.crosscheck.distribution import rough_cumulants
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.moments import DrawCumulants
from elbo_ref.crosscheck.variants import Fit

_STEP = 1e-3
_ENOUGH, _MOST_TRIED = 0.01, 150
"""Error of numbers, and nats of their likelihood, that do not matter; values tried at most."""
_MOST_ROWS = 25
"""Losses, each of parameters of its own, to which numbers are fitted."""


class Expected(NamedTuple):
    """Numbers where they are expected, (K,), and the precision of that, (K, K).

    They may be farther off: the density (1 + q/2)^-2 of the square q of their distance is that of a
    Student distribution, of two numbers with two degrees of freedom.
    """

    centre: FloatArray
    precision: FloatArray

    @classmethod
    def about(cls, centre: FloatArray, deviation: float) -> Expected:
        """Expect each number about a value, with the same standard deviation."""
        return cls(centre, np.eye(centre.size) / deviation**2)

    def distance(self, at: FloatArray) -> float:
        """Minus the log of its density elsewhere, but for a constant."""
        away = at - self.centre
        return 2 * float(np.log1p(away @ self.precision @ away / 2))


class Fitted(NamedTuple):
    """Numbers that are likeliest by losses and by what is expected of them.

    Attributes
    ----------
    at : ndarray of shape (K,)
    price : float
        Log-likelihood penalty of their freedom.
    height : callable
        Minus the log density of losses and numbers, but for a constant.
    """

    at: FloatArray
    price: float
    height: Callable[[FloatArray], float]


def fitted(
    given: LossModel,
    fit: Fit,
    expected: Expected,
    changed: Callable[[LossModel, FloatArray], LossModel],
) -> Fitted | None:
    """Fit the numbers by which a model is `changed`; None where their density has no maximum."""
    draws, size = DrawCumulants(), fit.losses.size
    rows = np.arange(size) if given.still else evenly(size, _MOST_ROWS)
    model = given.at(slice(-1, None) if given.still else rows)
    losses = fit.losses[rows]
    beside = np.maximum(fit.variance - fit.distribution.variance, 0.0)[rows]

    def height(at: FloatArray) -> float:
        found = rough_cumulants(changed(model, at), np.random.default_rng(0), draws)
        variance = np.maximum(found.variance + beside, 1e-24 * (1 + losses**2))
        away = losses - found.mean
        return float((away**2 / variance + np.log(variance)).sum()) / 2 + expected.distance(at)

    with np.errstate(all="ignore"):
        best = scipy.optimize.minimize(
            height,
            expected.centre,
            method="Nelder-Mead",
            options={"xatol": _ENOUGH, "fatol": _ENOUGH, "maxfev": _MOST_TRIED},
        )
        curvature = second_derivatives(height, best.x)
    sign, log_ratio = np.linalg.slogdet(curvature @ np.linalg.inv(2 * expected.precision))
    if sign <= 0 or not np.isfinite(log_ratio):
        return None
    price = expected.distance(best.x) + max(float(log_ratio) / 2, 0.0)
    return Fitted(best.x, price, height)


def second_derivatives(function: Callable[[FloatArray], float], x: FloatArray) -> FloatArray:
    """Second derivatives by differences, (K, K)."""
    steps = _STEP * np.eye(x.size)

    def mixed(u: FloatArray, v: FloatArray) -> float:
        corners = function(x + u + v) - function(x + u - v) - function(x - u + v)
        return (corners + function(x - u - v)) / (4 * _STEP**2)

    return np.array([[mixed(u, v) for v in steps] for u in steps])
