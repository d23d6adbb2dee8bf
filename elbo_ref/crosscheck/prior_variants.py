r"""Loss models of other priors than the given one: those whose posterior the guide is.

A guide of a run that has converged is the posterior under the run's own prior, but for the noise
of its gradients. The prior under which it is nearest to the posteriors has a standard error: with
H the second derivative of the divergence and kappa the divergence that is left for each latent,
covariance kappa H^-1. It is where a prior of round numbers is looked for, and where a prior is
fitted to the losses, by Laplace's approximation (MacKay 2003, chapter 27).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.distribution import rough_distribution
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.moments import DrawCumulants
from elbo_ref.crosscheck.variants import Fit, Hypothesis

_ROUND = (0.1, 0.2, 0.25, 0.5, 0.75, *np.arange(1.0, 6.0, 0.5), *range(6, 13), 15, 20, 25, 30, 50)
"""Concentrations of priors that are held."""
_MOST = 16
"""Priors of round numbers that are tried."""
_LEAST = 1e-3
"""Nats of divergence, for each latent, that a converged guide has at least."""
_FAR = 20.0
"""Natural logarithm of the largest concentration."""
_STEP = 1e-3
_DIGITS = (1, 2, 3, 4)
"""Digits of a prior that was written down: under an exact one losses may be still."""


def divergence_from_posterior(form: LinearForm) -> FloatArray:
    """Divergence of each latent's guide from its posterior, at the last loss, (G,)."""
    counts, prior = form.task.counts, form.model.prior[:, -1]
    expected = (form.tilt * form.expected_logs()).sum(axis=0)[-1] + form.constants[-1]
    evidence = sc.betaln(prior[0] + counts.successes, prior[1] + counts.failures)
    return np.asarray(evidence - sc.betaln(*prior) + counts.log_coefficient - expected)


class _Nearest(NamedTuple):
    """Logarithms of the prior of which a guide is the posterior, and their precision, (2, 2).

    A guide that has not arrived errs by more: the density is a Student distribution's with two
    degrees of freedom.
    """

    logs: FloatArray
    precision: FloatArray

    def distance(self, logs: FloatArray) -> float:
        """Minus the log of its density at others, but for a constant."""
        away = logs - self.logs
        return 2 * float(np.log1p(away @ self.precision @ away / 2))


def round_priors(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Hold a prior of round numbers that the losses have in the mean, near that of the guide."""
    nearest = _nearest_prior(given) if given.prior_held else None
    if nearest is None:
        return
    grid = np.array(np.meshgrid(_ROUND, _ROUND)).reshape(2, -1)
    form = LinearForm.of(given.at(slice(-1, None)))
    logs, weights = form.expected_logs()[:, -1], form.task.weights
    held, change = given.prior[:, -1], grid - given.prior[:, -1]
    more = weights.sum() * (sc.betaln(*grid) - sc.betaln(*held)) - (logs @ weights) @ change
    shift, error = fit.constant()
    away = (shift - given.factor * more) / error
    distances = np.array([nearest.distance(np.log(x)) for x in grid.T])
    prices = distances + sc.logsumexp(-distances)
    for i in np.argsort(prices + away**2 / 2)[:_MOST]:
        words = f"Beta({grid[0, i]:g}, {grid[1, i]:g}), of which the guide is the posterior"
        yield Hypothesis(words, _with_prior(given, grid[:, i]), "prior", prices[i])


def fitted_prior(given: LossModel, fit: Fit, *, held: bool) -> Iterator[Hypothesis]:
    """Take the prior that is likeliest by the losses and by the guide."""
    nearest = _nearest_prior(given) if given.prior_held is held else None
    if nearest is None:
        return
    draws, last = DrawCumulants(), given.at(slice(-1, None))
    beside = np.maximum(fit.variance - fit.distribution.variance, 0.0)

    def height(logs: FloatArray) -> float:
        model = _with_prior(last, np.exp(np.clip(logs, -_FAR, _FAR)))
        of_losses, _ = rough_distribution(model, np.random.default_rng(0), draws)
        variance = np.maximum(of_losses.variance[0] + beside, 1e-24 * (1 + fit.losses**2))
        away = fit.losses - of_losses.mean[0]
        return float((away**2 / variance + np.log(variance)).sum()) / 2 + nearest.distance(logs)

    with np.errstate(all="ignore"):
        found = scipy.optimize.minimize(
            height, nearest.logs, method="Nelder-Mead", options={"maxfev": 150}
        )
        curvature = _curvature(height, found.x)
    sign, log_ratio = np.linalg.slogdet(curvature @ np.linalg.inv(2 * nearest.precision))
    if sign <= 0 or not np.isfinite(log_ratio):
        return
    at = np.exp(np.clip(found.x, -_FAR, _FAR))
    rounded = (np.array([float(f"{x:.{digits}g}") for x in at]) for digits in _DIGITS)
    a, b = min((at, *rounded), key=lambda prior: height(np.log(prior)))
    price = nearest.distance(found.x) + max(float(log_ratio) / 2, 0.0)
    words = f"Beta({a:.4g}, {b:.4g}), of which the guide is the posterior"
    yield Hypothesis(words, _with_prior(given, np.array((a, b))), "prior", price)


def _with_prior(given: LossModel, prior: FloatArray) -> LossModel:
    wide = np.broadcast_to(np.reshape(prior, (2, 1, 1)), given.prior.shape)
    return given._replace(prior=wide)


def _curvature(function: Callable[[FloatArray], float], x: FloatArray) -> FloatArray:
    """Second derivatives by differences, (2, 2)."""
    steps = _STEP * np.eye(2)

    def mixed(u: FloatArray, v: FloatArray) -> float:
        corners = function(x + u + v) - function(x + u - v) - function(x - u + v)
        return (corners + function(x - u - v)) / (4 * _STEP**2)

    return np.array([[mixed(u, v) for v in steps] for u in steps])


def _nearest_prior(given: LossModel) -> _Nearest | None:
    """Find the prior under which the guide is nearest to the posterior; None if it says nothing."""
    guide, counts = given.guide, given.counts
    own = guide.origin == "own" and guide.is_elbo and not guide.shared
    if not own or given.batch is not None or given.renyi or len(counts) < 2:
        return None
    if (given.prior != given.prior[:, :1]).any():
        return None
    form = LinearForm.of(given.at(slice(-1, None)))
    weights, logs = form.task.weights, form.expected_logs()[:, -1]
    k, f = counts.successes, counts.failures

    def less_own(a: FloatArray, b: FloatArray) -> FloatArray:
        return np.asarray(sc.betaln(a + k, b + f) - a * logs[0] - b * logs[1])

    own_part = divergence_from_posterior(form) - less_own(*given.prior[:, -1])

    def divergence(x: Any) -> float:
        return float(weights @ (own_part + less_own(*np.exp(np.clip(x, -_FAR, _FAR)))))

    found = scipy.optimize.minimize(divergence, np.log(given.prior[:, -1, 0]), method="Nelder-Mead")
    left = max(divergence(found.x) / form.task.num_latents, _LEAST)
    precision = _curvature(divergence, found.x) / left
    low = np.linalg.eigvalsh(precision)[0]
    if not np.isfinite(precision).all() or np.abs(found.x).max() > _FAR / 2:
        return None
    return _Nearest(found.x, precision + (max(0.1 - low, 0.0)) * np.eye(2))
