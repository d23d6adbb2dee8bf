r"""Tests of loss models, the given one and those of mistakes, against losses.

A model (`elbo_ref.crosscheck.loss_model.LossModel`) implies a distribution of each loss. It is
tested by

* the smallest of the losses' own p-values, Bonferroni over the run: one impossible loss;
* their mean, weighted by precision: a small departure in all of them;
* their sum of squares, each made a standard normal number by its p-value: departures that cancel,
  or losses that vary less than they must;
* for each rival model, the sum weighted by where the two differ, which is the most powerful
  test there is for telling them apart (Neyman & Pearson 1933, for normal losses).

The given model is rejected at a level of 1% for the whole run. A hypothesis explains the losses if
it passes the same test where the given model does not. Its posterior probability is that among all
that do and "something else", losses whose mean and spread nobody knows
(`elbo_ref.crosscheck.unknown_origin`), each at its price. A mistake is certain only if hardly
anything is left for all others: a wrong name is worse than none.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.alignment import Losses, evenly
from elbo_ref.crosscheck.distribution import (
    loss_distribution,
    rough_distribution,
    rounding_of,
    sampled_distribution,
)
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.mistakes import closed_form_hypotheses, fitted_hypotheses
from elbo_ref.crosscheck.saddlepoint import LossDistribution, normal_log_density, p_values
from elbo_ref.crosscheck.unknown_origin import log_marginal_likelihood
from elbo_ref.crosscheck.variants import Fit, Hypothesis, other_meanings
from elbo_ref.distributions.beta_source import BETA

LEVEL = 0.01
"""Rate of false alarms of a whole run."""

CERTAIN = 0.95
"""Posterior probability from which on a mistake is named alone."""
_POSSIBLE = 0.01
"""Posterior probability below which a mistake is not mentioned."""
_PASSES, _SCREENED = 1e-3, 1e-6
_BEYOND = 10.0
"""Nats below a normal density at which rounding has moved a loss beyond the end."""
_ALIKE = 30.0
"""Ratio of allowances below which they do not tell models apart."""
_UNKNOWN = 4.0
"""Log of the prior odds of something else to one known mistake."""
_OF_MEANING = 2.0
"""Log-likelihood penalty of a mistake in another meaning of the given model."""
_MOST, _MOST_SAMPLED = 200, 40
"""Losses that are compared with hypotheses: as many of a longer run, evenly spread."""
_NO_DOUBT = 1e-12
_SPREAD, _STILL = 100.0, 10.0
"""Factors that allow for small errors of the tails' formula, which add up in a sum of squares."""
_NOISY = 10.0
"""Ratio of a loss's own deviation to its allowance from which on its spread is known."""
_MANY = 200
"""Summands of a loss from which on the saddlepoint formula is as good as exact."""


class ModelTest:
    """Test of a model of T losses; each part is computed when it is asked for."""

    def __init__(
        self, model: LossModel, losses: Losses, rng: np.random.Generator, *, rough: bool = False
    ) -> None:
        self.distribution: LossDistribution
        if rough:
            self.distribution, rounding = rough_distribution(model, rng), rounding_of(model)
        else:
            self.distribution, rounding = loss_distribution(model, rng)
        self.allowance = rounding + losses.allowance
        self._losses, self.model, self._rng = losses.values, model, rng
        self._summands = model.num_particles * model.counts.num_latents
        if rough or not model.observed:
            self._summands = _MANY

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
                drawn = sampled_distribution(self.model.at(one), self._rng)
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
            drawn = sampled_distribution(self.model, self._rng)
            p = max(p, self._p_of_sum(drawn, weights))
        return p

    @property
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
        small = self._small_spread(self.distribution, noisy)
        doubted = not (self.distribution.closed or self.model.renyi or self.model.batch)
        if doubted and small < LEVEL and self.model.observed:
            small = self._small_spread(sampled_distribution(self.model, self._rng), noisy)
        return min(large, small)

    def _small_spread(self, distribution: LossDistribution, rows: NDArray[np.bool_]) -> float:
        tails = distribution.outer_tail(self._losses)[rows]
        squares = sc.ndtri(np.clip(tails, 1e-300, 1 - 1e-16)) ** 2
        return _STILL * float(sc.chdtr(squares.size, squares.sum()))

    @property
    def p_any(self) -> float:
        """Bonferroni over the losses, their mean and their spread."""
        each = len(self.p) * self.p.min(), self.p_mean, self.p_spread
        return float(min(1.0, 3 * min(each)))

    def against(self, rival: ModelTest) -> float:
        """p-value of the sum that tells this model from a rival."""
        weights = (rival.distribution.mean - self.distribution.mean) / self._spread
        largest = np.abs(weights).max()
        return self._p_of_sum(self.distribution, weights / largest) if largest > 0 else 1.0

    def passes(self, rival: ModelTest, level: float = _PASSES) -> bool:
        """Return True if the losses may have come about so, also where a rival says otherwise.

        A model whose rounding exceeds the rival's and is no small part of its own spread has
        nothing to say about the losses.
        """
        own = 0.1 * np.sqrt(np.maximum(self.distribution.variance, 0.0))
        if np.median(self.allowance / np.maximum(_ALIKE * rival.allowance, own + 1e-300)) > 1:
            return False
        return self.against(rival) >= level and self.p_any >= level

    @cached_property
    def _spread(self) -> FloatArray:
        return np.asarray(np.maximum(self.distribution.variance + self.allowance**2, 1e-300))

    def _p_of_sum(self, distribution: LossDistribution, weights: FloatArray) -> float:
        total = np.array([weights @ self._losses])
        allowance = np.array([np.abs(weights) @ self.allowance])
        return float(p_values(distribution.weighted(weights), total, allowance)[0])


class Explanation(NamedTuple):
    """A hypothesis that losses fit.

    Attributes
    ----------
    hypothesis : Hypothesis
        The likeliest variant of its name.
    test : ModelTest
    probability : float
        Posterior probability of its name: of all variants that the losses fit.
    """

    hypothesis: Hypothesis
    test: ModelTest
    probability: float


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
    explanations : tuple of Explanation
        Those that the losses fit, the likeliest first: mistakes and, without a name, other meanings
        of the given model.
    ruled_out : tuple of str
        Mistakes that the losses exclude.
    shift, shift_error : float
        The constant that fits best, nats, and its standard error.
    """

    given: ModelTest
    rejected: bool
    p: float
    explanations: tuple[Explanation, ...] = ()
    ruled_out: tuple[str, ...] = ()
    shift: float = 0.0
    shift_error: float = 0.0

    @property
    def score(self) -> float:
        """Log likelihood of the given model or, if it is rejected, of the best explanation."""
        if not self.rejected:
            return self.given.log_likelihood(self.given.allowance)
        heights = [
            x.test.log_likelihood(x.test.allowance) - x.hypothesis.price for x in self.explanations
        ]
        return max(heights, default=-np.inf)

    @property
    def certain(self) -> Explanation | None:
        """The explanation beside which hardly anything is possible; None if there is none."""
        best = self.explanations[0] if self.explanations else None
        if best is None or not best.hypothesis.name:
            return best
        return best if best.probability >= CERTAIN else None


def try_hypotheses(
    given: LossModel, losses: Losses, rng: np.random.Generator, *, bases: bool = True
) -> HypothesisReport:
    """Test a model of losses and, beside it, the models that mistakes make of it.

    With `bases` mistakes are tried of the other meanings of the given model as well.
    """
    test = ModelTest(given, losses, rng)
    closed = [x for x in closed_form_hypotheses(given) if x.model.observed]
    rivals = [ModelTest(x.model, losses, rng, rough=True) for x in closed]
    contrasts = [test.against(other) for other in rivals]
    p = min(1.0, 2 * min([test.p_any, *(len(contrasts) * x for x in contrasts)]))
    if p >= LEVEL:
        pairs = zip(closed, rivals, strict=True)
        names = (x.name for x, other in pairs if x.number != "prior" and not other.passes(test))
        return HypothesisReport(test, False, p, ruled_out=tuple(dict.fromkeys(names)))
    some = evenly(losses.values.size, _MOST_SAMPLED if given.renyi else _MOST)
    fewer = Losses(losses.values[some], losses.allowance[some])
    of_fewer = test if some.size == len(test.allowance) else ModelTest(given.at(some), fewer, rng)
    compared = _Compared(given.at(some), of_fewer, fewer, rng)
    shift, shift_error = compared.fit(of_fewer).constant()
    meaning = compared.meaning()
    if meaning is not None:
        return HypothesisReport(test, True, p, (meaning,), (), shift, shift_error)
    explanations, excluded = compared.explanations(bases=bases)
    return HypothesisReport(test, True, p, explanations, excluded, shift, shift_error)


Tested: TypeAlias = tuple[Hypothesis, ModelTest]


class _Compared:
    """Losses that a given model does not fit, beside hypotheses that they may fit."""

    def __init__(
        self, given: LossModel, test: ModelTest, losses: Losses, rng: np.random.Generator
    ) -> None:
        self._given, self._test, self._losses, self._rng = given, test, losses, rng
        self._meanings = [
            (x, ModelTest(x.model, losses, rng))
            for x in other_meanings(given)
            if not x.model.equals(given)
        ]

    def fit(self, test: ModelTest) -> Fit:
        """Losses beside the distribution of a test, rough where it is no closed form."""
        mean, variance = test.distribution.mean, test.distribution.variance
        spread = np.maximum(variance + test.allowance**2, 1e-24 * (1 + mean**2))
        distribution = test.distribution
        if not distribution.closed:
            distribution = rough_distribution(test.model, self._rng)
        return Fit(self._losses.values, distribution, spread)

    def meaning(self) -> Explanation | None:
        """Find the other meaning of the given model that the losses fit, if one is certain."""
        fitting = [pair for pair in self._meanings if pair[1].passes(self._test)]
        found = [x for x in self._weighed(fitting) if x.probability > _POSSIBLE]
        together = sum(x.probability for x in found)
        odds = together / max(1 - together, 1e-300) * np.exp(_UNKNOWN)
        return found[0]._replace(probability=odds / (1 + odds)) if odds > 1 else None

    def explanations(self, *, bases: bool) -> tuple[tuple[Explanation, ...], tuple[str, ...]]:
        """Find the mistakes that the losses fit, and the names of those that they exclude."""
        fit = self.fit(self._test)
        closed, fitted = closed_form_hypotheses(self._given), fitted_hypotheses(self._given, fit)
        tried = self._screened([*closed, *fitted])
        if bases and all(test is None for _, test in tried):
            tried += self._screened(self._of_meanings())
        passing = [pair for pair in tried if pair[1] is not None]
        names = {x.name for x, test in tried if test is not None or x.number == "prior"}
        excluded = dict.fromkeys(x.name for x, test in tried if x.name not in names)
        full = [(x, test) for x, test in passing if test is not None]
        return self._weighed(full), tuple(excluded)

    def _of_meanings(self) -> list[Hypothesis]:
        """List the hypotheses, at a price, of the other meanings of the given model."""
        found = []
        for meaning, test in self._meanings:
            more = closed_form_hypotheses(meaning.model)
            for x in [*more, *fitted_hypotheses(meaning.model, self.fit(test))]:
                words = f"{x.variant}; and they are {meaning.variant}"
                found.append(x._replace(variant=words, price=x.price + _OF_MEANING))
        return found

    def _screened(self, hypotheses: list[Hypothesis]) -> list[tuple[Hypothesis, ModelTest | None]]:
        """Test hypotheses roughly and those that fit in full; None for one that does not."""
        tested: list[tuple[Hypothesis, ModelTest | None]] = []
        for x in hypotheses:
            rough = ModelTest(x.model, self._losses, self._rng, rough=True)
            test: ModelTest | None = rough if rough.passes(self._test, _SCREENED) else None
            if test is not None and x.model.guide.source is BETA and not x.model.renyi:
                full = ModelTest(x.model, self._losses, self._rng)
                test = full if full.distribution.closed else rough
            if test is not None and not test.passes(self._test):
                test = None
            tested.append((x, test))
        return tested

    def _weighed(self, passing: list[Tested]) -> tuple[Explanation, ...]:
        """Give each name that losses fit its posterior probability beside something else."""
        if not passing:
            return ()
        given, losses = self._test.distribution, self._losses
        allowances = [self._test.allowance, *(test.allowance for _, test in passing)]
        finest = np.min(allowances, axis=0)
        least = np.minimum(_ALIKE * finest, np.max(allowances, axis=0))
        heights = [test.log_likelihood(least) - x.price for x, test in passing]
        unknown = _UNKNOWN + log_marginal_likelihood(
            losses.values, least, given.mean, given.variance
        )
        total = sc.logsumexp([*heights, unknown])
        names: dict[str, list[int]] = {}
        for i in map(int, np.argsort(heights)[::-1]):
            x = passing[i][0]
            names.setdefault(x.name or x.variant, []).append(i)
        found = [
            Explanation(
                *passing[rows[0]],
                float(np.exp(sc.logsumexp([heights[i] for i in rows]) - total)),
            )
            for rows in names.values()
        ]
        found.sort(key=lambda x: x.probability, reverse=True)
        return tuple(x for x in found if x.probability >= _POSSIBLE)
