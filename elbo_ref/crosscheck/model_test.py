r"""Test of one loss model against losses, each part computed when it is asked for.

The model implies a distribution of each loss. It is tested by

* the smallest of the losses' own p-values, Bonferroni over the run: one impossible loss;
* their mean, weighted by precision: a small departure in all of them;
* their sum of squares, each made a standard normal number by its p-value: departures that cancel,
  or losses that vary less than they must;
* for each rival model, the sum weighted by where the two differ, which is the most powerful
  test there is for telling them apart (Neyman & Pearson 1933, for normal losses).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.alignment import Losses
from elbo_ref.crosscheck.distribution import (
    loss_distribution,
    rough_distribution,
    sampled_distribution,
)
from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.moments import DrawCumulants
from elbo_ref.crosscheck.saddlepoint import (
    LossDistribution,
    SaddlepointDistribution,
    normal_log_density,
    p_values,
)
from elbo_ref.crosscheck.sampling import MOST_DRAWS

LEVEL = 0.01
"""Rate of false alarms of a whole run."""
PASSES = 1e-3
"""p-value from which on a hypothesis is one that losses fit."""
ALIKE = 30.0
"""Ratio of allowances below which they do not tell models apart."""
_BEYOND = 10.0
"""Nats below a normal density at which rounding has moved a loss beyond the end."""
_NO_DOUBT = 1e-12
_SPREAD, _STILL = 100.0, 10.0
"""Factors that allow for small errors of the tails' formula, which add up in a sum of squares."""
_NOISY = 10.0
"""Ratio of a loss's own deviation to its allowance from which on its spread is known."""
_UNDOUBTED, _HOPELESS = 0.02, 1e-40
"""p-values by a part of what is known, or bounds, beyond which the rest is not looked at."""
_STEP = 1e-3
"""Standard deviations over which the second derivative of cumulants is differenced."""
_RANKED, _MOST_RANKED = 25, 100_000
"""Draws among which a loss has its rank, at least; draws of c for all ranks, at most."""
_FEW_DRAWS = 20_000
"""Draws of c that are tried first for the p-value of one loss."""
_FAR_BELOW = 1e-6
"""Part of a level below which few draws leave no doubt, whose tail has a scale from ten of them."""
MANY = 200
"""Summands of a loss from which on the saddlepoint formula is as good as exact."""


class ModelTest:
    """Test of a model of T losses; each part is computed when it is asked for."""

    def __init__(
        self,
        model: LossModel,
        losses: Losses,
        rng: np.random.Generator,
        *,
        rough: bool = False,
        draws: DrawCumulants | None = None,
    ) -> None:
        self.distribution: LossDistribution
        self._seed = int(rng.integers(2**63))
        if rough:
            self.distribution, rounding = rough_distribution(model, self._rng, draws)
        else:
            self.distribution, rounding = loss_distribution(model, self._rng)
        self.allowance = rounding + losses.allowance(model.factor)
        self._losses, self.model = losses.values, model
        self._summands = model.num_particles * model.counts.num_latents
        if rough:
            self._summands = MANY

    @property
    def _rng(self) -> np.random.Generator:
        """The same random numbers for all samples."""
        return np.random.default_rng(self._seed)

    def log_likelihood(self, least: FloatArray) -> float:
        """Log likelihood, with allowances of at least so much for models that round alike.

        Where an allowance matters beside the distribution's own spread, what exceeds it counts as
        if it were normal. A quadrature does not know the very ends of a loss; draws do.
        """
        distribution, allowance = self.distribution, np.maximum(self.allowance, least)
        spread = np.maximum(distribution.variance + allowance**2, 1e-300)
        away = np.maximum(np.abs(self._losses - distribution.mean) - 2 * allowance, 0.0)
        normal = normal_log_density(away / np.sqrt(spread), spread)
        density = distribution.log_density(self._losses)
        wide = distribution.variance > 100 * allowance**2
        if np.any(wide & (density < normal - _BEYOND)):
            nearest = np.clip(distribution.mean, self._losses - allowance, self._losses + allowance)
            density = np.maximum(density, distribution.log_density(nearest))
        rows = np.flatnonzero(wide & (density < normal - _BEYOND))
        if rows.size and not distribution.closed:
            drawn = sampled_distribution(self.model.at(rows), self._rng)
            density[rows] = np.maximum(density[rows], drawn.log_density(self._losses[rows]))
        return float(np.where(wide, density, normal).sum())

    @cached_property
    def p(self) -> FloatArray:
        """p-value of each loss; those that would decide, from draws as well if these say more."""
        p = p_values(self.distribution, self._losses, self.allowance)
        for t in np.argsort(p) if self._summands < MANY else ():
            before, one = p[t], slice(t, t + 1)
            doubted = before > _NO_DOUBT or not self.distribution.closed
            if doubted and 2 * len(p) * before < LEVEL:
                p[t] = max(before, self._drawn_p(one, LEVEL / (2 * len(p))))
            if 2 * len(p) * p[t] < LEVEL or p[t] == before:
                break
        return p

    def _drawn_p(self, one: slice, level: float) -> float:
        """p-value of one loss from draws, from few where these leave no doubt."""
        for most in (_FEW_DRAWS, MOST_DRAWS):
            drawn = sampled_distribution(self.model.at(one), self._rng, most)
            p = float(p_values(drawn, self._losses[one], self.allowance[one])[0])
            if p < _FAR_BELOW * level:
                break
        return p

    @cached_property
    def p_mean(self) -> float:
        """p-value of their mean, weighted by precision; from draws as well if it would decide."""
        weights = self._spread.min() / self._spread
        p = self._p_of_sum(weights)
        few = len(weights) * self._summands < MANY
        if few and _NO_DOUBT < p < LEVEL / 2:
            drawn = sampled_distribution(self.model, self._rng)
            p = max(p, self._p_by(drawn.weighted(weights), weights))
        return p

    @cached_property
    def p_spread(self) -> float:
        """p-value of their sum of squares, each made normal by its p-value, with its factor.

        Too small a sum counts where the losses have a spread of their own, beside rounding; there
        each is made normal by its tail probability, which is uniform where a p-value is not.
        """
        squares = sc.ndtri(np.maximum(self.p, 1e-300) / 2) ** 2
        large = _SPREAD * float(sc.chdtrc(squares.size, squares.sum()))
        noisy = self.distribution.variance > (_NOISY * self.allowance) ** 2
        if not noisy.any() or squares.sum() > squares.size:
            return large
        at_least = _small_spread(self.p[noisy] / 2)  # a tail is p/2 or, within allowances, more
        if at_least > _UNDOUBTED:
            return min(large, at_least)
        small = _small_spread(self.distribution.outer_tail(self._losses)[noisy])
        doubted = not (self.distribution.closed or self.model.renyi or self.model.batch)
        if doubted and small < LEVEL < min(self._p_others, large):
            drawn = sampled_distribution(self.model, self._rng, most=_MOST_RANKED, fewest=_RANKED)
            small = _small_spread(drawn.uniform(self._losses, self._rng)[noisy])
        return min(large, small)

    @property
    def _p_others(self) -> float:
        return min(len(self.p) * float(self.p.min()), self.p_mean)

    @property
    def p_any(self) -> float:
        """Bonferroni over the losses, their mean and their spread."""
        return float(min(1.0, 3 * min(self._p_others, self.p_spread)))

    def against(self, rival: ModelTest) -> float:
        """p-value of the sum that tells this model from a rival."""
        return self.p_along(rival.distribution.mean - self.distribution.mean)

    def p_along(self, direction: FloatArray) -> float:
        """p-value of the sum that tells this model from one whose means differ like this."""
        weights = direction / self._spread
        largest = np.abs(weights).max()
        if not largest > 0:
            return 1.0
        return self._p_of_sum(weights / largest)

    @cached_property
    def _third_order(self) -> GammaCumulants:
        distribution = self.distribution
        if isinstance(distribution, GammaCumulants):
            return distribution
        assert isinstance(distribution, SaddlepointDistribution)
        known = distribution.cumulants
        step = _STEP / np.sqrt(np.maximum(distribution.variance, 1e-300))
        ends = np.clip(step, 0.0, np.abs(known.domain).min(axis=0) / 2)
        with np.errstate(all="ignore"):
            slope = (known.at(ends)[2] - known.at(-ends)[2]) / (2 * ends)
        third = np.where(np.isfinite(slope), slope, 0.0)
        return GammaCumulants(distribution.mean, distribution.variance, third)

    def passes(self, rival: ModelTest, level: float = PASSES) -> bool:
        """Return True if the losses may have come about so, also where a rival says otherwise."""
        return self.sums_pass(rival, level) and self.p_any >= level

    def sums_pass(self, rival: ModelTest, level: float) -> bool:
        """Return True if their sums may have, which three cumulants tell well.

        A model whose rounding exceeds the rival's and is no small part of its own spread has
        nothing to say about the losses.
        """
        own = 0.1 * np.sqrt(np.maximum(self.distribution.variance, 0.0))
        if np.median(self.allowance / np.maximum(ALIKE * rival.allowance, own + 1e-300)) > 1:
            return False
        return self.against(rival) >= level and 3 * self.p_mean >= level

    @cached_property
    def _spread(self) -> FloatArray:
        return np.asarray(np.maximum(self.distribution.variance + self.allowance**2, 1e-300))

    def _p_of_sum(self, weights: FloatArray) -> float:
        """p-value of a weighted sum, by three cumulants where these leave no doubt.

        They may end where the sum does not, so that only what two would rule out is hopeless.
        """
        if isinstance(self.distribution, SaddlepointDistribution | GammaCumulants):
            by_three = self._third_order.summed(weights)
            p = self._p_by(by_three, weights)
            by_two = by_three._replace(third=np.zeros(1))
            if p > _UNDOUBTED or (p < _HOPELESS and self._p_by(by_two, weights) < _HOPELESS):
                return p
        return self._p_by(self.distribution.weighted(weights), weights)

    def _p_by(self, of_sum: LossDistribution, weights: FloatArray) -> float:
        total = np.array([weights @ self._losses])
        allowance = np.array([np.abs(weights) @ self.allowance])
        return float(p_values(of_sum, total, allowance)[0])


def _small_spread(tails: FloatArray) -> float:
    """p-value, with its factor, of tails whose normal numbers are all too near to the middle."""
    squares = sc.ndtri(np.clip(tails, 1e-300, 1 - 1e-16)) ** 2
    return _STILL * float(sc.chdtr(squares.size, squares.sum()))
