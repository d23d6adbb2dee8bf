r"""Loss models of other priors than the given one: those whose posterior the guide is.

A guide of a run that has converged is the posterior under the run's own prior, but for the noise
of its gradients. The prior under which it is nearest to the posteriors has a standard error: with
H the second derivative of the divergence and kappa the divergence that is left for each latent,
covariance kappa H^-1. It is where a prior of round numbers is looked for, and where a prior is
fitted to the losses, by Laplace's approximation (MacKay 2003, chapter 27).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.likelihood_fit import Expected, fitted, second_derivatives
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel, unchanged
from elbo_ref.crosscheck.variants import Fit, Hypothesis, has_pair

_ROUND = (0.1, 0.2, 0.25, 0.5, 0.75, *np.arange(1.0, 6.0, 0.5), *range(6, 13), 15, 20, 25, 30, 50)
"""Concentrations of priors that are held."""
_MOST = 16
"""Priors of round numbers that are tried."""
_LEAST = 1e-3
"""Nats of divergence, for each latent, that a converged guide has at least."""
_FAR = 20.0
"""Natural logarithm of the largest concentration."""
_WIDE = 1.5
"""Standard deviation of the logarithms of a parameter about the one that is handed in."""
_TWICE_WIDE = 3.0
"""That of the logit of the part of a way."""
_DIGITS, _MANY = (1, 2, 3, 4), 3
"""Digits of a prior that was written down: under an exact one losses may be still. One of many has
a reason only if it is by far likelier than what is beside it, as some rounding always fits."""
_BY_FAR = 3.0


def divergence_from_posterior(form: LinearForm) -> FloatArray:
    """Divergence of each latent's guide from its posterior, (G,), by the form of one loss."""
    counts, prior = form.task.counts, form.model.prior.squeeze(axis=1)
    expected = (form.tilt * form.expected_logs()).sum(axis=0) + form.constants
    evidence = sc.betaln(prior[0] + counts.successes, prior[1] + counts.failures)
    each = evidence - sc.betaln(*prior) + counts.log_coefficient - expected
    return np.asarray(each.squeeze(axis=0))


def round_priors(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Hold a prior of round numbers that the losses have in the mean, near that of the guide."""
    nearest = _nearest_prior(given) if given.prior_held else None
    if nearest is None:
        return
    grid = np.array([(a, b) for b in _ROUND for a in _ROUND]).T
    form = LinearForm.of(given.last)
    logs, weights = form.expected_logs().squeeze(axis=1), form.task.weights
    held = form.model.prior.squeeze(axis=1)
    change = grid - held
    more = weights.sum() * (sc.betaln(*grid) - sc.betaln(*held)) - (logs @ weights) @ change
    shift, error = fit.constant()
    away = (shift - given.factor * more) / error
    distances = np.array([nearest.distance(np.log(x)) for x in grid.T])
    prices = distances + sc.logsumexp(-distances)
    for i in np.argsort(prices + away**2 / 2)[:_MOST]:
        words = f"Beta({grid[0, i]:g}, {grid[1, i]:g}), of which the guide is the posterior"
        yield Hypothesis(words, _with_prior(given, grid[:, i]), "prior", prices[i])


def fitted_prior(given: LossModel, fit: Fit, *, held: bool) -> Iterator[Hypothesis]:
    """Take the prior that is likeliest by the losses, near that of the guide or the given one.

    One of few digits has a reason if the guide tells it.
    """
    alike = given.prior_held is held and given.guide.has_prior and unchanged(given.prior)
    if not (alike and fit.noisy):
        return

    def changed(model: LossModel, logs: FloatArray) -> LossModel:
        return _with_prior(model, np.exp(np.clip(logs, -_FAR, _FAR)))

    given_one = Expected.about(np.log(given.last.prior.ravel()), _WIDE)
    posterior = ", of which the guide is the posterior"
    for near, words in ((_nearest_prior(given), posterior), (given_one, "")):
        found = near and fitted(given, fit, near, changed)
        if found is None:
            continue
        at = np.exp(np.clip(found.at, -_FAR, _FAR))
        tried = {0: at} | {n: np.array([float(f"{x:.{n}g}") for x in at]) for n in _DIGITS}
        heights = {digits: found.height(np.log(prior)) for digits, prior in tried.items()}
        digits = min(heights, key=lambda x: heights[x])
        by_far = heights[0] - heights[digits] > _BY_FAR
        best, model = tried[digits], _with_prior(given, tried[digits])
        told = bool(words) and digits > 0 and (digits < _MANY or by_far)
        words = f"Beta({best[0]:.4g}, {best[1]:.4g}){words}"
        yield Hypothesis(words, model, "prior", found.price, reasoned=told)


def fitted_guide(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Take other parameters of the guide: a pair for all, or some of the way to the posterior."""
    guide, params = given.guide, given.guide_parameters
    if guide.origin != "own" or not fit.noisy or not unchanged(params):
        return

    def with_guide(model: LossModel, values: FloatArray) -> LossModel:
        shape = model.guide_parameters.shape
        return model._replace(guide_parameters=np.broadcast_to(values[:, None], shape))

    def of_pair(model: LossModel, free: FloatArray) -> LossModel:
        return with_guide(model, guide.constrain(np.clip(free, -_FAR, _FAR))[:, None])

    if params.shape[::2] == (2, 1):
        centre = guide.unconstrain(given.last.guide_parameters.ravel())
        found = fitted(given, fit, Expected.about(centre, _WIDE), of_pair)
        if found is not None:
            words = "the guide's are {:.4g} and {:.4g}".format(*guide.constrain(found.at))
            yield Hypothesis(words, of_pair(given, found.at), "prior", found.price, reasoned=False)
    elif has_pair(given) and given.guide.has_prior:
        counts, last = given.counts, given.last
        start = last.guide_parameters.squeeze(axis=1)
        posterior = last.prior.squeeze(axis=1) + np.array((counts.successes, counts.failures))

        def on_the_way(model: LossModel, logit: FloatArray) -> LossModel:
            part = sc.expit(logit)
            return with_guide(model, start ** (1 - part) * posterior**part)

        found = fitted(given, fit, Expected.about(np.zeros(1), _TWICE_WIDE), on_the_way)
        if found is not None:
            words = "the guide is nearer to the posterior"
            yield Hypothesis(
                words, on_the_way(given, found.at), "prior", found.price, reasoned=False
            )


def _with_prior(given: LossModel, prior: FloatArray) -> LossModel:
    wide = np.broadcast_to(np.reshape(prior, (2, 1, 1)), given.prior.shape)
    return given._replace(prior=wide)


def _nearest_prior(given: LossModel) -> Expected | None:
    """Find the prior under which the guide is nearest to the posterior; None if it says nothing."""
    guide, counts = given.guide, given.counts
    own = guide.origin == "own" and guide.is_elbo and not guide.shared
    if not own or given.batch is not None or given.renyi or len(counts) < 2:
        return None
    if not unchanged(given.prior):
        return None
    form = LinearForm.of(given.last)
    weights, logs = form.task.weights, form.expected_logs().squeeze(axis=1)
    held = form.model.prior.ravel()
    k, f = counts.successes, counts.failures

    def less_own(a: FloatArray, b: FloatArray) -> FloatArray:
        return np.asarray(sc.betaln(a + k, b + f) - a * logs[0] - b * logs[1])

    own_part = divergence_from_posterior(form) - less_own(*held)

    def divergence(x: Any) -> float:
        return float(weights @ (own_part + less_own(*np.exp(np.clip(x, -_FAR, _FAR)))))

    found = scipy.optimize.minimize(divergence, np.log(held), method="Nelder-Mead")
    left = max(divergence(found.x) / form.task.num_latents, _LEAST)
    precision = second_derivatives(divergence, found.x) / left
    low = np.linalg.eigvalsh(precision)[0]
    if not np.isfinite(precision).all() or np.abs(found.x).max() > _FAR / 2:
        return None
    return Expected(found.x, precision + (max(0.1 - low, 0.0)) * np.eye(2))
