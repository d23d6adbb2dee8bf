"""One model of how losses came about.

It answers two questions. Given the draws of a run, `elbo_ref.crosscheck.given_draws` computes the
losses to rounding, by `LossModel.terms`. Without them `elbo_ref.crosscheck.distribution` gives the
distribution that each loss then has, by its linear forms in log c and log(1 - c)
(`elbo_ref.crosscheck.linear_form`). Both see a draw in the run's own arithmetic
(`elbo_ref.crosscheck.arithmetic`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.arithmetic import (
    Floats,
    LikelihoodForm,
    Term,
    divergence,
    likelihood,
    log_beta,
    log_normal,
    minus_log_jacobian,
    probability_ends,
)
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.guides import Guide
from elbo_ref.objectives import Objective, RenyiBound
from elbo_ref.objectives.base import Task

_COLUMNS = ("successes", "total_count", "multiplicity", "log_split")


class Rows(NamedTuple):
    """Outcomes that losses count for G latents, at T steps or at all of them alike.

    Attributes
    ----------
    outcomes : ndarray of shape (2, 1 or T, G)
        Successes and failures.
    log_coefficient : ndarray of shape (1 or T, G)
        Log binomial coefficients, of all rows of a latent.
    magnitude : ndarray of shape (1 or T, G)
        The log factorials that these are made of, in units of the run's precision.
    """

    outcomes: FloatArray
    log_coefficient: FloatArray
    magnitude: FloatArray

    @classmethod
    def of(cls, counts: Counts) -> Rows:
        """Take those of counts."""
        k, f = (x[None].astype(np.float64) for x in (counts.successes, counts.failures))
        magnitude = sc.gammaln(k + f + 1) + sc.gammaln(k + 1) + sc.gammaln(f + 1)
        return cls(np.array((k, f)), counts.log_coefficient[None], magnitude)

    def at(self, steps: slice | np.ndarray) -> Rows:
        """Rows of some of the losses."""
        same = self.outcomes.shape[1] == 1
        return self if same else Rows(*(x[..., steps, :] for x in self))


_rows_of = lru_cache(maxsize=2)(Rows.of)
"""Rows of counts, kept for the models that have the same."""


class Terms(NamedTuple):
    """Summands of the log weight of a particle, likelihood + prior - guide, without coefficients.

    Where the divergence is taken in closed form it stands for both densities.
    """

    likelihood: Term
    prior: Term
    guide: Term

    @property
    def log_weight(self) -> FloatArray | float:
        """The sum of all."""
        return self.likelihood.value + self.prior.value - self.guide.value

    @property
    def magnitude(self) -> FloatArray | float:
        """The sum of all that they are made of, without signs."""
        return sum(term.magnitude for term in self)


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
    likelihood : {"binomial", "trials", "logits", "by_hand"}
        The way in which the likelihood is computed (`elbo_ref.crosscheck.arithmetic`).
    numpyro : bool
        Whether the arithmetic is NumPyro's.
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
    seen : Rows or None
        Rows that the losses are known to count, where these are not those of the counts.
    coefficients : bool
        Whether the log binomial coefficients are counted.
    by_mean : tuple of str
        The owners whose two concentrations were given by their mean and total.
    one_draw : bool
        Whether all latents of an entry have the same draw, whose terms a scale multiplies.
    """

    counts: Counts
    guide: Guide
    loss: Objective
    num_particles: int
    prior: FloatArray
    guide_parameters: FloatArray
    dtype: str
    clamped: bool = True
    likelihood: LikelihoodForm = "binomial"
    numpyro: bool = False
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
    seen: Rows | None = None
    coefficients: bool = True
    by_mean: tuple[str, ...] = ()
    one_draw: bool = False

    @property
    def rows(self) -> Rows:
        """The rows that the losses count."""
        rows = _rows_of(self.counts) if self.seen is None else self.seen
        if self.coefficients:
            return rows
        none = np.zeros_like(rows.log_coefficient)
        return rows._replace(log_coefficient=none, magnitude=none)

    @property
    def term_scale(self) -> float | FloatArray:
        """Factor of all terms of a draw, or of the draw of each entry, (G,)."""
        if not self.one_draw:
            return self.batch_scale
        return self.batch_scale * self.counts.multiplicity.astype(np.float64)

    @property
    def closed(self) -> bool:
        """True if the divergence of guide and prior is taken in closed form."""
        subtracted = self.guide.source_weight != 0
        return self.loss.name == "trace_mean_field" and self.guide.source is BETA and subtracted

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

    @property
    def still(self) -> bool:
        """True if all losses are those of the same parameters and rows."""
        seen = (self.seen.outcomes,) if self.seen else ()
        return unchanged(self.prior, self.guide_parameters, *seen)

    def at(self, steps: slice | np.ndarray) -> LossModel:
        """Model of some of the losses."""
        return self._replace(
            prior=self.prior[:, steps],
            guide_parameters=self.guide_parameters[:, steps],
            added=self.added and self.added.at(steps),
            seen=self.seen and self.seen.at(steps),
        )

    @property
    def last(self) -> LossModel:
        """Model of the last loss alone."""
        return self.at(slice(-1, None))

    def of_batches(self, other: LossModel) -> LossModel:
        """Model of losses on the minibatches of another."""
        return self._replace(batch=other.batch, batch_scale=other.batch_scale)

    def of_counts(self, counts: Counts) -> LossModel:
        """Model of losses that count other data."""
        return self._replace(counts=counts, seen=None)

    def terms(
        self,
        c: Floats,
        logit: FloatArray,
        prior: FloatArray,
        parameters: FloatArray,
        outcomes: FloatArray,
    ) -> Terms:
        """Compute the terms of a particle's log weight at draws as the run does.

        All shapes broadcast; the first axis of `prior`, `parameters` and `outcomes` is that of the
        concentrations, the guide's own parameters, and successes and failures.
        """
        kind, guide = np.dtype(self.dtype).type, self.loss.adapted(self.guide)
        y, prior, params = (x.astype(kind) for x in (logit, prior, parameters))
        ends = probability_ends(self.dtype, numpyro=self.numpyro)
        k, f = outcomes.astype(kind)
        data = likelihood(c, k, f, self.likelihood, ends)
        x = guide.source_parameters(prior, params)
        if self.closed:
            return Terms(data, Term(), divergence(x, prior))
        subtracted: tuple[Floats, ...] = ()
        of_sigmoid = guide.jacobian
        if guide.source is BETA and guide.source_weight:
            subtracted = log_beta(c, *x).parts
        elif guide.source is LOGIT_NORMAL:
            subtracted, of_sigmoid = log_normal(y, *x).parts, of_sigmoid + guide.source_weight
        if of_sigmoid:
            subtracted += minus_log_jacobian(y).parts
        counted = log_beta(c, *prior) if guide.prior_weight else Term()
        return Terms(data, counted, Term(subtracted))

    def equals(self, other: LossModel | None) -> bool:
        """Compare all fields by value; labels of the counts do not matter."""

        def same(x: Any, y: Any) -> bool:
            if x is y:
                return True
            if isinstance(x, Counts):
                return all(np.array_equal(getattr(x, name), getattr(y, name)) for name in _COLUMNS)
            if isinstance(x, np.ndarray):
                return np.array_equal(x, y)
            if isinstance(x, Rows):
                return isinstance(y, Rows) and all(map(np.array_equal, x, y))
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


def unchanged(*arrays: FloatArray) -> bool:
    """Return True if arrays are the same at all steps, their second axis."""
    return all(bool((x == x[:, :1]).all()) for x in arrays)


def minibatch_fields(counts: Counts, size: int | None) -> dict[str, Any]:
    """Fields of a `LossModel` for minibatches of some size, scaled as they should be."""
    if size is None:
        return {}
    total = counts.num_latents if len(counts) > 1 else int(counts.total_count[0])
    if size > total:
        raise ValueError(f"subsample_size = {size} exceeds the {total} there are")
    return {"batch": size, "batch_scale": total / size}
