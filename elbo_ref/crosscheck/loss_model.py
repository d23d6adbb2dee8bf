r"""One model of how losses came about, and the linear forms in a draw that it makes of them.

A particle's estimate for a latent is

    f = A log c + D log(1 - c) + r + const,    c drawn from the source of the guide

(`elbo_ref.guides`); a step's loss with P particles is -(1/P) sum_p sum_g f.

PyTorch keeps draws and probabilities off 0 and 1 (`elbo_ref.crosscheck.float_ends`), and rounds
1 - c to a multiple of eps/2. The Jacobian of a sigmoid is never clamped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.float_ends import draw_ends, probability_ends
from elbo_ref.distributions.base import Source
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.guides import Guide
from elbo_ref.objectives import Objective, RenyiBound
from elbo_ref.objectives.base import Task

_COLUMNS = ("successes", "total_count", "multiplicity", "log_split")


class LossModel(NamedTuple):
    """Parameters, data and formula that losses are taken to come from.

    A loss is `factor` times what it should be, plus `constant`.

    Attributes
    ----------
    counts : Counts
        The data, an entry for each of the G latents.
    guide : Guide
    loss : Objective
        The objective whose negative the losses are.
    num_particles : int
        Particles of a step, P.
    prior : ndarray of shape (2, T, 1)
        Concentrations of the prior, a column for each loss.
    guide_parameters : ndarray of shape (k, T, G)
        Constrained parameters of the guide; G is 1 where all latents share them.
    dtype : str
        Floating-point type of the run.
    clamped : bool
        Whether draws at the ends of `dtype` are clamped.
    factor, constant : float
        Of the losses.
    likelihood_weight : float
        Weight of the log likelihood.
    batch : int or None
        Number of latents, or of a shared latent's single trials, that a step sees; None for all.
    batch_scale : float
        Factor of the terms that a step sees.
    bound : {"each", "scaled_after", "mixed", "together"}
        The way in which a Renyi bound is taken: of each latent, its log weights scaled, as in a
        plate of Pyro's; of each and scaled after, as NumPyro does; mixed, where each sample has a
        batch of its own; or of all latents together, as outside of a plate.
    added : LossModel or None
        A model of an independent term of the losses.
    constrained : tuple of str
        The owners, ``"prior"`` or ``"guide"``, whose values are known to be constrained ones.
    observed : bool
        Whether the successes are observed; if not, the model draws them anew in each step.
    prior_held : bool
        Whether the prior is the caller's, not learned.
    """

    counts: Counts
    guide: Guide
    loss: Objective
    num_particles: int
    prior: FloatArray
    guide_parameters: FloatArray
    dtype: str
    clamped: bool = True
    factor: float = 1.0
    constant: float = 0.0
    likelihood_weight: float = 1.0
    batch: int | None = None
    batch_scale: float = 1.0
    bound: Literal["each", "scaled_after", "mixed", "together"] = "each"
    added: LossModel | None = None
    constrained: tuple[str, ...] = ()
    observed: bool = True
    prior_held: bool = False

    @property
    def renyi(self) -> RenyiBound | None:
        """The objective if it is a Renyi bound."""
        return self.loss if isinstance(self.loss, RenyiBound) else None

    @property
    def pooled_batch(self) -> bool:
        """True if a minibatch is of a shared latent's trials, not of latents."""
        return self.batch is not None and len(self.counts) == 1

    def task(self) -> Task:
        """Join the guide, as the objective sees it, and the counts."""
        return Task(self.loss.adapted(self.guide), self.counts)

    def at(self, steps: slice | np.ndarray) -> LossModel:
        """Model of some of the losses."""
        return self._replace(
            prior=self.prior[:, steps],
            guide_parameters=self.guide_parameters[:, steps],
            added=self.added and self.added.at(steps),
        )

    def equals(self, other: LossModel | None) -> bool:
        """Compare all fields by value; labels of the counts do not matter."""

        def same(x: Any, y: Any) -> bool:
            if isinstance(x, Counts):
                return all(np.array_equal(getattr(x, name), getattr(y, name)) for name in _COLUMNS)
            if isinstance(x, np.ndarray):
                return np.array_equal(x, y)
            return x.equals(y) if isinstance(x, LossModel) else bool(x == y)

        return other is not None and all(map(same, self, other))

    def other_bounds(self) -> Iterator[tuple[LossModel, str]]:
        """Yield the other ways to take a Renyi bound, each with its words."""
        if self.renyi is None or self.renyi.num_samples == 1:
            return
        if self.batch is None:
            if len(self.counts) > 1:
                words = "of all latents together, as Pyro takes it outside of a plate"
                yield self._replace(bound="together"), words
            return
        words = "of samples with a minibatch each, as Pyro takes it unless particles are vectorized"
        yield self._replace(bound="mixed"), words
        if len(self.counts) > 1:
            words = "of each latent and scaled after, as NumPyro takes it of minibatches"
            yield self._replace(bound="scaled_after"), words


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
    likelihood : ndarray of shape (2, 1, G)
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
        task, prior, params = model.task(), model.prior, model.guide_parameters
        guide, outcomes, weight = task.guide, task.outcomes[:, None], model.likelihood_weight
        shape = (prior.shape[1], len(model.counts))
        x = guide.source_parameters(prior, params)
        x = np.broadcast_to(x, (len(x), *shape))
        tilt = np.broadcast_to(guide.tilt(prior, params, outcomes), (2, *shape))
        constants = np.broadcast_to(guide.normalizer(prior, params) + task.log_coefficient, shape)
        form = cls(model, task, guide.source, x, tilt, weight * outcomes, constants)
        if model.loss.name == "trace_mean_field" and guide.source is BETA:
            in_closed_form = (tilt - outcomes) * form.expected_logs()
            tilt, constants = outcomes, constants + in_closed_form.sum(axis=0)
        return form._replace(
            tilt=np.broadcast_to(tilt + (weight - 1) * outcomes, (2, *shape)),
            constants=constants + (weight - 1) * task.log_coefficient,
        )

    @property
    def num_losses(self) -> int:
        """Number of losses, T."""
        return int(self.parameters.shape[1])

    def with_more(self, outcomes: FloatArray) -> LinearForm:
        """Add outcomes, (2,), to those of every latent."""
        more = outcomes[:, None, None]
        return self._replace(tilt=self.tilt + more, likelihood=self.likelihood + more)

    def at_draws(
        self, logit: FloatArray, tilt: FloatArray, likelihood: FloatArray, parameters: FloatArray
    ) -> FloatArray:
        """Evaluate at draws, as the run's arithmetic sees them; all shapes broadcast."""
        guide, model = self.task.guide, self.model
        exact, residual = sc.log_expit(np.array((logit, -logit))), guide.residual(logit, parameters)
        if model.clamped:
            of_sigmoid = 1 + guide.jacobian if self.source is LOGIT_NORMAL else 0
            seen, likely = _logs_in_run(logit, model.dtype, self.source)
            terms = (tilt - likelihood - of_sigmoid) * seen + likelihood * likely
            terms = terms + of_sigmoid * exact
        else:
            terms = tilt * exact
        return np.asarray(terms.sum(axis=0) + (0.0 if residual is None else residual))

    def expected_logs(self) -> FloatArray:
        """E log c and E log(1 - c), (2, T, G)."""
        flat = self.source.expected_logs(self.parameters.reshape(len(self.parameters), -1))
        return flat.reshape(2, *self.parameters.shape[1:])

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


def _logs_in_run(logit: FloatArray, dtype: str, source: Source) -> tuple[FloatArray, FloatArray]:
    """Round c as the run does: log c and log(1 - c) in densities of c, and in the likelihood."""
    drawn, likely = draw_ends(dtype, source), probability_ends(dtype)
    c = np.clip(sc.expit(logit).astype(dtype).astype(np.float64), drawn.low, drawn.high)
    p = np.clip(c, likely.low, likely.high)
    return np.log((c, 1 - c)), np.log((p, 1 - p))
