r"""Losses of a model at given draws, to rounding, in the arithmetic of the run.

The particles of a step make one number, the mean of their log weights f or a Renyi bound

    log mean exp((1 - alpha) f) / (1 - alpha) = sum w f + excess,       w ~ exp((1 - alpha) f),

whose gradient, as Pyro estimates it, is sum w df: a mean as well, with other weights.

All steps stand side by side: a column is one latent at one step. C is their number, T that of the
steps, P of the particles, L of the latents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.arithmetic import Floats
from elbo_ref.crosscheck.loss_model import LossModel, Terms

_BLOCK = 200_000
"""Draws that are evaluated together."""
_ROUNDINGS, _DIGITS = 4, 1e-10
"""Rounding of a loss in eps of all that it is made of; of the log densities, in float64."""


class Draws(NamedTuple):
    """Draws of c and their logits, (T, P, L)."""

    c: Floats
    logit: FloatArray

    def at(self, steps: slice | NDArray[np.intp]) -> Draws:
        """Draws of some steps."""
        return Draws(self.c[steps], self.logit[steps])


class Columns(NamedTuple):
    """Draws, parameters and data of steps side by side.

    Attributes
    ----------
    c, logit : array, (P, C)
    prior, guide_parameters, outcomes : arrays, (2, C), (k, C), (2, C)
        Outcomes are multiplied by the likelihood's weight, as coefficients are.
    log_coefficient, coefficient_magnitude : array, (C,)
        Log binomial coefficients, and the log factorials they are made of without signs.
    weights : array, (P, C) or (P, 1)
        Weights of the particles; their sum is 1.
    excess : float or array, (C,)
        A Renyi bound less the mean of its particles.
    weight_error : float or array, (C,)
        Relative rounding of the weights, in units of eps.
    """

    c: Floats
    logit: FloatArray
    prior: FloatArray
    guide_parameters: FloatArray
    outcomes: FloatArray
    log_coefficient: FloatArray
    coefficient_magnitude: FloatArray
    weights: FloatArray
    excess: float | FloatArray = 0.0
    weight_error: float | FloatArray = 0.0

    def mean(self, values: FloatArray) -> FloatArray:
        """Average over particles, which are the last axis but one."""
        return np.asarray((self.weights * values).sum(axis=-2))


class GivenLosses(NamedTuple):
    """Losses that follow from draws, and how far rounding may move them, (T,)."""

    values: FloatArray
    allowance: FloatArray


def losses_given(model: LossModel, draws: Draws) -> GivenLosses:
    """Compute the losses of a model at given draws.

    Parameters
    ----------
    model : LossModel
        With an entry for each latent; minibatches are those of its rows.
    draws : Draws

    Returns
    -------
    GivenLosses

    Examples
    --------
    >>> from elbo_ref import Counts
    >>> from elbo_ref.guides import GUIDES
    >>> from elbo_ref.objectives import OBJECTIVES
    >>> prior, own = np.ones((2, 1, 1)), np.array([[[4.0]], [[8.0]]])
    >>> model = LossModel(
    ...     Counts(3, 10), GUIDES["beta"], OBJECTIVES["trace"], 1, prior, own, "float64"
    ... )
    >>> c = np.array([[[0.25]]])
    >>> losses_given(model, Draws(c, np.log(c / (1 - c)))).values  # the guide is the posterior
    array([2.39789527])
    """

    def evaluate(columns: Columns) -> FloatArray:
        terms = terms_of(model, columns)
        constant, magnitude = columns.log_coefficient, columns.coefficient_magnitude
        shape = columns.c.shape
        data, prior, guide = (np.broadcast_to(term.value, shape) for term in terms)
        data = data + constant
        densities = np.abs(data) + np.abs(prior) + np.abs(guide)
        every = np.broadcast_to(terms.magnitude, shape) + magnitude
        rows = columns.mean(np.array([data + prior - guide, densities, every]))
        rows[0] += columns.excess
        return rows

    summed = (model.term_scale * over_steps(model, draws, evaluate)).sum(axis=-1)
    objective, densities, magnitude = summed
    values = model.constant - model.factor * objective
    eps = float(np.finfo(model.dtype).eps)
    rounding = _ROUNDINGS * eps * (abs(model.factor) * magnitude + abs(model.constant))
    if model.dtype == "float64":
        rounding = rounding + _DIGITS * abs(model.factor) * densities
    return GivenLosses(values, rounding)


def terms_of(model: LossModel, columns: Columns) -> Terms:
    """Compute the terms of each particle's log weight."""
    return model.terms(
        columns.c, columns.logit, columns.prior, columns.guide_parameters, columns.outcomes
    )


def over_steps(
    model: LossModel, draws: Draws, evaluate: Callable[[Columns], FloatArray]
) -> FloatArray:
    """Evaluate something of each latent, (..., C), at all steps: (..., T, L)."""
    steps, _, latents = draws.c.shape
    size = max(1, _BLOCK // max(1, draws.c[0].size))
    blocks = []
    for start in range(0, steps, size):
        some = slice(start, start + size)
        values = evaluate(_columns(model.at(some), draws.at(some)))
        blocks.append(values.reshape(*values.shape[:-1], -1, latents))
    return np.concatenate(blocks, axis=-2)


def _columns(model: LossModel, draws: Draws) -> Columns:
    count, particles, latents = draws.c.shape

    def flat(x: FloatArray, scale: float = 1.0) -> FloatArray:
        wide = np.broadcast_to(x, (*x.shape[:-2], count, latents))
        return (scale * wide).reshape(*x.shape[:-2], count * latents)

    rows, weight = model.rows, model.likelihood_weight
    c, logit = (x.transpose(1, 0, 2).reshape(particles, -1) for x in draws)
    columns = Columns(
        c,
        logit,
        prior=flat(model.prior),
        guide_parameters=flat(model.guide_parameters),
        outcomes=flat(rows.outcomes, weight),
        log_coefficient=flat(rows.log_coefficient, weight),
        coefficient_magnitude=flat(rows.magnitude, weight),
        weights=np.full((particles, 1), 1 / particles),
    )
    return columns if model.renyi is None else _weighted(model, columns, latents)


def _weighted(model: LossModel, columns: Columns, latents: int) -> Columns:
    """Weight the particles of columns by a Renyi bound."""
    assert model.renyi is not None
    scale = 1.0 if model.bound == "scaled_after" else model.term_scale
    terms, order = terms_of(model, columns), 1 - model.renyi.alpha
    weights = np.broadcast_to(terms.log_weight + columns.log_coefficient, columns.c.shape)
    f = scale * weights.reshape(len(columns.c), -1, latents)
    magnitude = np.broadcast_to(terms.magnitude + columns.coefficient_magnitude, columns.c.shape)
    magnitude = magnitude.max(axis=0).reshape(f.shape[1:])
    together = model.bound == "together"
    if together:
        f = f.sum(axis=2, keepdims=True)
        magnitude = np.broadcast_to(magnitude.sum(axis=1, keepdims=True), magnitude.shape)
    share = sc.softmax(order * f, axis=0)
    bound = (sc.logsumexp(order * f, axis=0) - np.log(len(f))) / order
    excess = (bound - (share * f).sum(axis=0)) / (latents if together else 1)
    wide = np.broadcast_to(share, (*share.shape[:2], latents))
    return columns._replace(
        weights=wide.reshape(columns.c.shape),
        excess=(np.broadcast_to(excess, magnitude.shape) / scale).ravel(),
        weight_error=abs(order) * (scale * magnitude).ravel(),
    )
