r"""Tests of loss models, the given one and those of mistakes, against losses.

A model (`elbo_ref.crosscheck.loss_model.LossModel`) implies a distribution of each loss. It is
tested by

* the smallest of the losses' own p-values, Bonferroni over the run: one impossible loss;
* their mean, weighted by precision: a small departure in all of them;
* their sum of squares, each made a standard normal number by its p-value: departures that cancel;
* for each rival model, the sum weighted by where the two differ, which is the most powerful
  test there is for telling them apart (Neyman & Pearson 1933, for normal losses).

The given model is rejected at a level of 1% for the whole run. A hypothesis explains the losses if
it passes the same test where the given model does not; of several, the more likely one comes
first, at its price, and beside it stand those that are not a hundred times less likely.
"""

from __future__ import annotations

from functools import cached_property
from operator import itemgetter
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.alignment import Losses
from elbo_ref.crosscheck.distribution import loss_distribution, sampled_distribution
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.mistakes import closed_form_hypotheses, fitted_hypotheses
from elbo_ref.crosscheck.saddlepoint import LossDistribution, normal_log_density, p_values
from elbo_ref.crosscheck.variants import Fit, Hypothesis

LEVEL = 0.01
"""Rate of false alarms of a whole run."""

_PASSES = 1e-3
_BEYOND = 10.0
"""Nats below a normal density at which rounding has moved a loss beyond the end."""
_ALIKE = 30.0
"""Ratio of allowances below which they do not tell models apart."""
_AS_GOOD = 5.5
"""Nats by which a number that has a reason may be less likely than the best one, p = 1e-3."""
_NO_DOUBT = 1e-12
_SPREAD = 100.0
"""Factor that allows for small errors of the tails' formula, which add up in a sum of squares."""
_MANY = 200
"""Summands of a loss from which on the saddlepoint formula is as good as exact."""


class ModelTest:
    """Test of a model of T losses; each part is computed when it is asked for."""

    def __init__(self, model: LossModel, losses: Losses, rng: np.random.Generator) -> None:
        self.distribution, rounding = loss_distribution(model, rng)
        self.allowance = rounding + losses.allowance
        self._losses, self._model, self._rng = losses.values, model, rng
        self._summands = model.num_particles * model.counts.num_latents

    def log_likelihood(self, least: FloatArray) -> float:
        """Log likelihood, with allowances of at least so much for models that round alike.

        Where an allowance matters beside the distribution's own spread, what exceeds it counts as
        if it were normal.
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
        return float(np.where(wide, density, normal).sum())

    @cached_property
    def p(self) -> FloatArray:
        """p-value of each loss; those that would decide, from draws as well if these say more."""
        p = p_values(self.distribution, self._losses, self.allowance)
        for t in np.argsort(p) if self._summands < _MANY else ():
            before, one = p[t], slice(t, t + 1)
            doubted = before > _NO_DOUBT or not self.distribution.closed
            if doubted and 2 * len(p) * before < LEVEL:
                drawn = sampled_distribution(self._model.at(one), self._rng)
                p[t] = max(before, *p_values(drawn, self._losses[one], self.allowance[one]))
            if 2 * len(p) * p[t] < LEVEL or p[t] == before:
                break
        return p

    @cached_property
    def p_mean(self) -> float:
        """p-value of their mean, weighted by precision; from draws as well if it would decide."""
        weights = self._spread.min() / self._spread
        p = self._p_of_sum(self.distribution, weights)
        few = len(weights) * self._summands < _MANY
        if few and _NO_DOUBT < p < LEVEL / 2:
            drawn = sampled_distribution(self._model, self._rng)
            p = max(p, self._p_of_sum(drawn, weights))
        return p

    @property
    def p_spread(self) -> float:
        """p-value of their sum of squares, each made normal by its p-value; too large only."""
        scores = sc.ndtri(np.maximum(self.p, 1e-300) / 2)
        return float(sc.chdtrc(scores.size, np.sum(scores**2)))

    @property
    def p_any(self) -> float:
        """Bonferroni over the losses, their mean and their spread."""
        each = len(self.p) * self.p.min(), self.p_mean, _SPREAD * self.p_spread
        return float(min(1.0, 3 * min(each)))

    def against(self, rival: ModelTest) -> float:
        """p-value of the sum that tells this model from a rival."""
        weights = (rival.distribution.mean - self.distribution.mean) / self._spread
        largest = np.abs(weights).max()
        return self._p_of_sum(self.distribution, weights / largest) if largest > 0 else 1.0

    def passes(self, rival: ModelTest) -> bool:
        """Return True if the losses may have come about so, also where a rival says otherwise."""
        return self.against(rival) >= _PASSES and self.p_any >= _PASSES

    @cached_property
    def _spread(self) -> FloatArray:
        return np.asarray(np.maximum(self.distribution.variance + self.allowance**2, 1e-300))

    def _p_of_sum(self, distribution: LossDistribution, weights: FloatArray) -> float:
        total = np.array([weights @ self._losses])
        allowance = np.array([np.abs(weights) @ self.allowance])
        return float(p_values(distribution.weighted(weights), total, allowance)[0])


Tested: TypeAlias = tuple[Hypothesis, ModelTest]


class HypothesisReport(NamedTuple):
    """Outcome of the test of a given model and of all hypotheses.

    Attributes
    ----------
    given : ModelTest
        Test of the given model.
    rejected : bool
        Whether the given model is.
    p : float
        Its p-value, Bonferroni over everything tested.
    explanations : tuple of (Hypothesis, ModelTest)
        Mistakes that explain the losses; the best first, then those that it does not rule out.
    ruled_out : tuple of str
        Mistakes that the losses exclude.
    shift, shift_error : float
        The constant that fits best, nats, and its standard error.
    """

    given: ModelTest
    rejected: bool
    p: float
    explanations: tuple[Tested, ...]
    ruled_out: tuple[str, ...]
    shift: float
    shift_error: float

    @property
    def score(self) -> float:
        """Log likelihood of the given model or, if it is rejected, of the best explanation."""
        if not self.rejected:
            return self.given.log_likelihood(self.given.allowance)
        scores = [
            test.log_likelihood(test.allowance) - hypothesis.price
            for hypothesis, test in self.explanations
        ]
        return max(scores, default=-np.inf)


def try_hypotheses(given: LossModel, losses: Losses, rng: np.random.Generator) -> HypothesisReport:
    """Test a model of losses and, beside it, the models that mistakes make of it."""
    test = ModelTest(given, losses, rng)
    mean, variance = test.distribution.mean, test.distribution.variance
    spread = np.maximum(variance + test.allowance**2, 1e-24 * (1 + mean**2))
    fit = Fit(losses.values, test.distribution, spread)

    def tested(hypotheses: list[Hypothesis]) -> list[Tested]:
        return [(x, ModelTest(x.model, losses, rng)) for x in hypotheses]

    tried = tested(closed_form_hypotheses(given))
    contrasts = [test.against(other) for _, other in tried]
    p = min(1.0, 2 * min([test.p_any, *(len(contrasts) * x for x in contrasts)]))
    rejected = p < LEVEL
    excluded = [hypothesis.name for hypothesis, other in tried if not other.passes(test)]
    passing: list[Tested] = []
    if rejected:
        tried += tested(fitted_hypotheses(given, fit))
        passing = [pair for pair in tried if pair[1].passes(test)]
    names = {hypothesis.name for hypothesis, _ in passing}
    shift, shift_error = fit.constant()
    return HypothesisReport(
        test,
        rejected,
        p,
        _best(passing),
        tuple(dict.fromkeys(name for name in excluded if name not in names)),
        shift,
        shift_error,
    )


def _best(passing: list[Tested]) -> tuple[Tested, ...]:
    """Rank explanations: the best, then those that it does not rule out."""
    if not passing:
        return ()
    least = _ALIKE * np.min([test.allowance for _, test in passing], axis=0)
    scored = [(test.log_likelihood(least), hypothesis, test) for hypothesis, test in passing]

    def has_reason(height: float, fitted: Hypothesis) -> bool:
        """Return True if a number with a reason fits as well as this one."""
        return any(
            x.number == fitted.number != "" and best > height - _AS_GOOD
            for best, x, _ in scored
            if not x.fitted
        )

    ranked = sorted(
        (
            (height - hypothesis.price, (hypothesis, test))
            for height, hypothesis, test in scored
            if not (hypothesis.fitted and has_reason(height, hypothesis))
        ),
        key=itemgetter(0),
        reverse=True,
    )
    best: dict[str, Tested] = {}
    for score, pair in ranked:
        if score - ranked[0][0] >= np.log(LEVEL):
            best.setdefault(pair[0].name, pair)
    return tuple(best.values())
