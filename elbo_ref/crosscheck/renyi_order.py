"""The order alpha of a Renyi bound that nobody said, from evaluations at one set of parameters.

The bound falls as alpha rises, from the largest sample's to the smallest one's, so that at most one
alpha has a given mean. It is found by bisection over one set of draws.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.mle.binomial import log_coefficient
from elbo_ref.special import root

USUAL = (0.0, 0.5)
"""Orders that are tried first: Pyro's default, and the most usual other one."""
_MOST, _FURTHEST = 2_000_000, 60.0
"""Draws of c; and the largest order, of either sign, that is looked for."""
_ONE = 1e-6
"""Distance from 1 below which the bound is the ELBO."""
_TIMES = 100
"""Repeats for each evaluation: the error of their mean is a tenth of that of the evaluations'."""
_ERRORS = 6.0
"""Standard errors of the mean beyond which an order is not tried."""


class BoundDraws:
    """Log weights of K samples of each latent, drawn at the last set of a model's parameters."""

    def __init__(
        self, model: LossModel, num_samples: int, repeats: int, rng: np.random.Generator
    ) -> None:
        form = LinearForm.of(model.last)
        entry = form.task.entry_of_latent
        repeats = max(min(repeats, _MOST // (num_samples * entry.size)), 100)
        x = form.parameters[:, 0, entry]
        logit = form.source.sample_logits(x, (num_samples * repeats, entry.size), rng)
        values = form.at_draws(logit, form.tilt[:, :1, entry], form.likelihood[:, :, entry], x)
        values = values + form.constants[0][entry]
        self._values = values.reshape(num_samples, repeats, entry.size)
        self._together = self._values.sum(axis=-1, keepdims=True)

    def mean_loss(self, alpha: float, *, together: bool) -> float:
        """Mean loss for an order, of each latent's bound or of all latents' together."""
        values, power = self._together if together else self._values, 1 - alpha
        if abs(power) < _ONE:
            return -float(values.mean(axis=0).sum(axis=-1).mean())
        bound = (sc.logsumexp(power * values, axis=0) - np.log(len(values))) / power
        return -float(bound.sum(axis=-1).mean())

    def order(self, mean: float, *, together: bool) -> float | None:
        """Find the order whose losses have a mean; None if none has."""

        def excess(alpha: float) -> float:
            return self.mean_loss(alpha, together=together) - mean

        if not excess(-_FURTHEST) < 0 < excess(_FURTHEST):
            return None
        return round(root(excess, -_FURTHEST, _FURTHEST, xtol=1e-3), 3)


class Order(NamedTuple):
    """An order, whether it is of all latents together, and a constant of the losses."""

    alpha: float
    together: bool = False
    constant: float = 0.0


def possible_orders(
    model: LossModel, num_samples: int, evaluations: FloatArray, rng: np.random.Generator
) -> list[Order]:
    """List orders that evaluations can have, usual ones first.

    They may be those of single trials, without the binomial coefficients.
    """
    if num_samples < 2 or not evaluations.size:
        return [Order(USUAL[0])]
    draws = BoundDraws(model, num_samples, _TIMES * evaluations.size, rng)
    near = _ERRORS * float(evaluations.std(ddof=evaluations.size > 1)) / np.sqrt(evaluations.size)
    usual, fitted = list[Order](), list[Order]()
    for constant in dict.fromkeys((0.0, log_coefficient(model.counts))):
        mean = float(evaluations.mean()) - constant
        for together in (False, True)[: 1 + (model.counts.num_latents > 1)]:
            order = draws.order(mean, together=together)
            rounded = () if order is None else (round(order), round(order, 1))
            for alpha in dict.fromkeys(map(float, (*USUAL, *rounded))):
                found = Order(alpha, together, constant)
                fits = abs(alpha - 1) > _ONE
                fits = fits and abs(draws.mean_loss(alpha, together=together) - mean) <= near
                if fits:
                    (usual if alpha in USUAL else fitted).append(found)
            if order is not None and abs(order - 1) > _ONE:
                fitted.append(Order(order, together, constant))
    return [*usual, *fitted] or [Order(USUAL[0])]
