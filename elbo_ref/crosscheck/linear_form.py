"""Linear forms in log c and log(1 - c), of which losses are made.

A particle's estimate for a latent is

    f = A log c + D log(1 - c) + r + const,    c drawn from the source of the guide

(`elbo_ref.guides`); a step's loss with P particles is -(1/P) sum_p sum_g f.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.arithmetic import logs_near_ends
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.distributions.base import Source
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.objectives.base import Task


class DrawTerms(NamedTuple):
    """Terms of a linear form at draws.

    Attributes
    ----------
    own : ndarray
        The term r.
    logs : ndarray, first axis 2
        log c and log(1 - c), as densities of c see them.
    excess : ndarray, first axis 2, or None
        What those that a likelihood sees are more; None if they are the same.
    """

    own: FloatArray
    logs: FloatArray
    excess: FloatArray | None = None

    def combined(self, tilt: FloatArray, likelihood: FloatArray) -> FloatArray:
        """Evaluate a form with some tilt; all shapes broadcast."""
        values: FloatArray = (tilt * self.logs).sum(axis=0) + self.own
        return values if self.excess is None else values + (likelihood * self.excess).sum(axis=0)


class DrawArithmetic(NamedTuple):
    """A source of c, and the arithmetic that its draws are seen in.

    Attributes
    ----------
    source : Source
    source_weight, jacobian : int
        Those of the guide.
    dtype : str
    clamped, numpyro : bool
        Those of the model.
    """

    source: Source
    source_weight: int
    jacobian: int
    dtype: str
    clamped: bool
    numpyro: bool

    def terms(self, logit: FloatArray, parameters: FloatArray) -> DrawTerms:
        """Compute what forms are linear in at draws, as the run's arithmetic sees them."""
        residual, weight = self.source.residual(logit, parameters), self.source_weight
        own = np.zeros(1) if residual is None else weight * residual
        logs = sc.log_expit(np.array((logit, -logit)))
        if not self.clamped:
            return DrawTerms(own, logs)
        near, seen, likely = logs_near_ends(logit, self.source, self.dtype, self.numpyro)
        if not near.any():
            return DrawTerms(own, logs)
        excess = np.zeros_like(logs)
        excess[:, near] = likely - seen
        of_sigmoid = self.jacobian + weight * (self.source is LOGIT_NORMAL)
        if of_sigmoid:
            rounded = np.zeros_like(logit)
            rounded[near] = (seen - logs[:, near]).sum(axis=0)
            own = own - of_sigmoid * rounded
        logs[:, near] = seen
        return DrawTerms(own, logs, excess)


class LinearForm(NamedTuple):
    """The forms A log c + D log(1 - c) + r + const of T losses and G latents.

    Attributes
    ----------
    model : LossModel
        The model whose forms they are.
    task : Task
        Its guide on its counts.
    source : Source
        The family that c is drawn from.
    parameters : ndarray of shape (k, T, G)
        Those of the source.
    tilt : ndarray of shape (2, T, G)
        A and D.
    likelihood : ndarray of shape (2, 1 or T, G)
        The part of the tilt that is the likelihood's.
    constants : ndarray of shape (T, G)
    """

    model: LossModel
    task: Task
    source: Source
    parameters: FloatArray
    tilt: FloatArray
    likelihood: FloatArray
    constants: FloatArray

    @classmethod
    def of(cls, model: LossModel) -> LinearForm:
        """Form of a model."""
        task, prior, params, rows = model.task(), model.prior, model.guide_parameters, model.rows
        guide, weight = task.guide, model.likelihood_weight
        outcomes = weight * rows.outcomes
        shape = (prior.shape[1], len(model.counts))
        x = guide.source_parameters(prior, params)
        x = np.broadcast_to(x, (len(x), *shape))
        tilt = np.broadcast_to(guide.tilt(prior, params, rows.outcomes), (2, *shape))
        constants = guide.normalizer(prior, params) + weight * rows.log_coefficient
        if model.closed:
            logs = _expected_logs(guide.source, x)
            in_closed_form = (tilt - rows.outcomes) * logs
            tilt, constants = rows.outcomes, constants + in_closed_form.sum(axis=0)
        tilt = np.broadcast_to(tilt + (outcomes - rows.outcomes), (2, *shape))
        constants = np.broadcast_to(constants, shape)
        if model.one_draw:
            times, counts = task.weights, model.counts
            tilt, outcomes, constants = times * tilt, times * outcomes, times * constants
            task = Task(guide, Counts(counts.successes, counts.total_count))
        return cls(model, task, guide.source, x, tilt, outcomes, constants)

    @property
    def num_losses(self) -> int:
        """Number of losses, T."""
        return int(self.parameters.shape[1])

    @property
    def arithmetic(self) -> DrawArithmetic:
        """The arithmetic that draws are seen in."""
        guide, model = self.task.guide, self.model
        weights = guide.source_weight, guide.jacobian
        return DrawArithmetic(self.source, *weights, model.dtype, model.clamped, model.numpyro)

    def with_more(self, outcomes: FloatArray) -> LinearForm:
        """Add outcomes, (2,), to those of every latent."""
        more = outcomes[:, None, None]
        return self._replace(tilt=self.tilt + more, likelihood=self.likelihood + more)

    def at_draws(
        self, logit: FloatArray, tilt: FloatArray, likelihood: FloatArray, parameters: FloatArray
    ) -> FloatArray:
        """Evaluate at draws, as the run's arithmetic sees them; all shapes broadcast."""
        return self.arithmetic.terms(logit, parameters).combined(tilt, likelihood)

    def expected_logs(self) -> FloatArray:
        """E log c and E log(1 - c), (2, T, G)."""
        return _expected_logs(self.source, self.parameters)

    def magnitude(self) -> FloatArray:
        """Sum of the absolute values of the terms of a loss, (T,)."""
        counts, logs = self.task.counts, np.abs(self.expected_logs())
        each = np.abs(self.constants) + counts.total_count * logs.sum(axis=0)
        each = each + 2 * sc.gammaln(counts.total_count + 1.0)
        densities = (self.model.prior, *((self.parameters,) if self.source is BETA else ()))
        for x in densities:
            each = each + ((x + 1) * logs + np.abs(sc.gammaln(x))).sum(axis=0)
            each = each + np.abs(sc.gammaln(x.sum(axis=0)))
        summed: FloatArray = each @ self.task.weights
        return summed


def _expected_logs(source: Source, parameters: FloatArray) -> FloatArray:
    """E log c and E log(1 - c), (2, T, G), kept for the hypotheses that leave draws as they are."""
    return _logs_of_bytes(cast(Hashable, source), parameters.tobytes(), parameters.shape)


@lru_cache(maxsize=4)
def _logs_of_bytes(source: Any, values: bytes, shape: tuple[int, ...]) -> FloatArray:
    logs: FloatArray = source.expected_logs(np.frombuffer(values).reshape(shape[0], -1))
    logs.flags.writeable = False
    return logs.reshape(2, *shape[1:])
