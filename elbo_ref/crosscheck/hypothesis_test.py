r"""Tests of loss models, the given one and those of mistakes, against losses.

Each is tested as `elbo_ref.crosscheck.model_test` does.

The given model is rejected at a level of 1% for the whole run. A hypothesis explains the losses if
it passes the same test where the given model does not. Its posterior probability is that among all
that do and "something else", losses whose mean and spread nobody knows
(`elbo_ref.crosscheck.unknown_origin`), each at its price. A mistake is certain only if hardly
anything is left for all others: a wrong name is worse than none.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref.crosscheck.alignment import Losses, evenly
from elbo_ref.crosscheck.distribution import expected_losses, quick_distribution
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.mistakes import (
    closed_form_hypotheses,
    excluded_names,
    fitted_hypotheses,
)
from elbo_ref.crosscheck.model_test import ALIKE, LEVEL, ModelTest
from elbo_ref.crosscheck.moments import DrawCumulants
from elbo_ref.crosscheck.unknown_origin import log_marginal_likelihood
from elbo_ref.crosscheck.variants import Fit, Hypothesis, other_meanings

CERTAIN = 0.95
"""Posterior probability from which on a mistake is named alone."""
_FITS_WELL = 0.05
"""p-value of its losses from which on a mistake is named alone."""
_POSSIBLE = 0.003
"""Posterior probability below which a mistake is not mentioned."""
_SCREENED = 1e-6
_UNKNOWN = 5.0
"""Log of the prior odds of something else to one known mistake."""
_OF_MEANING = 2.0
"""Log-likelihood penalty of a mistake in another meaning of the given model."""
_MOST, _MOST_SAMPLED = 200, 40
"""Losses that are compared with hypotheses: as many of a longer run, evenly spread."""
_FIRST = 25
"""Of these, losses that most hypotheses which do not fit fail already."""
_EXACT = 1e-3
"""Nats within which losses without noise agree by no coincidence."""
_BEYOND_DOUBT = 1e-6
"""p-value of these below which the others are not looked at."""
_MOST_FORMS = 40_000
"""Forms, one for each loss and latent, of a hypothesis."""


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
        fits = best.probability >= CERTAIN and best.test.p_any >= _FITS_WELL
        return best if fits and best.hypothesis.reasoned else None


def try_hypotheses(
    given: LossModel,
    losses: Losses,
    rng: np.random.Generator,
    *,
    bases: bool = True,
    explained: bool = True,
) -> HypothesisReport:
    """Test a model of losses and, beside it, the models that mistakes make of it.

    With `bases` mistakes are tried of the other meanings of the given model as well, where none of
    the given one is possible; unless `explained`, nothing is tried for a given model that is
    rejected. The report is on the losses that are compared with hypotheses where these alone reject
    the given model beyond doubt.
    """
    some = evenly(losses.values.size, _number_compared(given))
    fewer, whole = losses.at(some), some.size == losses.values.size
    of_fewer = ModelTest(given.at(some), fewer, rng)
    if not whole and of_fewer.p_any < _BEYOND_DOUBT:
        return try_hypotheses(of_fewer.model, fewer, rng, bases=bases, explained=explained)
    test, draws = of_fewer if whole else ModelTest(given, losses, rng), DrawCumulants()
    p = min(1.0, 2 * test.p_any)
    if p >= LEVEL:
        closed = [x for x in closed_form_hypotheses(of_fewer.model) if x.model.observed]
        rivals = [ModelTest(x.model, fewer, rng, rough=True, draws=draws) for x in closed]
        contrasts = [_contrast(test, other, some) for other in rivals]
        p = min([p, *(2 * len(contrasts) * x for x in contrasts)])
        if p >= LEVEL:
            exact = not test.distribution.variance.any() and test.allowance.max() < _EXACT
            tried = [(x, y.passes(of_fewer)) for x, y in zip(closed, rivals, strict=True)]
            return HypothesisReport(test, False, p, ruled_out=excluded_names(tried, exact=exact))
    if not explained:
        return HypothesisReport(test, True, p)
    compared = _Compared(of_fewer.model, of_fewer, fewer, rng, draws)
    shift, shift_error = compared.fit(of_fewer.model).constant()
    meaning = compared.meaning()
    if meaning is not None:
        return HypothesisReport(test, True, p, (meaning,), (), shift, shift_error)
    explanations, excluded = compared.explanations(bases=bases)
    return HypothesisReport(test, True, p, explanations, excluded, shift, shift_error)


def _number_compared(given: LossModel) -> int:
    """Count the losses that are compared with hypotheses."""
    if given.renyi:
        return _MOST_SAMPLED
    return int(np.clip(_MOST_FORMS // len(given.counts), _MOST_SAMPLED, _MOST))


def _contrast(test: ModelTest, rival: ModelTest, some: NDArray[np.intp]) -> float:
    """p-value of the sum that tells a model from a rival of some of its losses.

    A sum with any weights is a test, so that those between may be interpolated.
    """
    mean = test.distribution.mean
    away = rival.distribution.mean - mean[some]
    return test.p_along(np.interp(np.arange(len(mean)), some, away))


Tested: TypeAlias = tuple[Hypothesis, ModelTest]


class _Compared:
    """Losses that a given model does not fit, beside hypotheses that they may fit."""

    def __init__(
        self,
        given: LossModel,
        test: ModelTest,
        losses: Losses,
        rng: np.random.Generator,
        draws: DrawCumulants,
    ) -> None:
        self._given, self._test, self._losses = given, test, losses
        self._draws, self._seed = draws, int(rng.integers(2**63))
        size = losses.values.size
        some, every = (evenly(size, most) for most in (_FIRST, size))
        self._rounds = [(every, losses, test)]
        if some.size < size:
            of_some = self._rough(given.at(some), losses.at(some))
            self._rounds.insert(0, (some, losses.at(some), of_some))
        self._meanings = [x for x in other_meanings(given) if not x.model.equals(given)]

    @property
    def _rng(self) -> np.random.Generator:
        """The same random numbers for every model, whose noise cancels where models are alike."""
        return np.random.default_rng(self._seed)

    def fit(self, model: LossModel) -> Fit:
        """Losses beside their distribution, by three cumulants where it is no closed form."""
        distribution, rounding = quick_distribution(model, self._rng, self._draws)
        allowance = rounding + self._losses.allowance(model.factor)
        spread = distribution.variance + allowance**2
        spread = np.maximum(spread, 1e-24 * (1 + distribution.mean**2))
        return Fit(self._losses.values, distribution, spread, expected_losses)

    def meaning(self) -> Explanation | None:
        """Find the other meaning of the given model that the losses fit, if one is certain.

        It is rejected at the level of the given model.
        """
        tried = self._screened(self._meanings)
        fitting = [(x, y) for x, y in tried if y is not None and 2 * y.p_any >= LEVEL]
        found = [x for x in self._weighed(fitting) if x.probability > _POSSIBLE]
        together = sum(x.probability for x in found)
        odds = together / max(1 - together, 1e-300) * np.exp(_UNKNOWN)
        return found[0]._replace(probability=odds / (1 + odds)) if odds > 1 else None

    def explanations(self, *, bases: bool) -> tuple[tuple[Explanation, ...], tuple[str, ...]]:
        """Find the mistakes that the losses fit, and the names of those that they exclude."""
        fit = self.fit(self._given)
        closed, fitted = closed_form_hypotheses(self._given), fitted_hypotheses(self._given, fit)
        tried = self._screened([*closed, *fitted])
        found = self._explained(tried)
        if bases and not any(x.hypothesis.reasoned for x in found):
            tried += self._screened(self._of_meanings())
            found = self._explained(tried)
        return found, excluded_names([(x, test is not None) for x, test in tried])

    def _explained(
        self, tried: list[tuple[Hypothesis, ModelTest | None]]
    ) -> tuple[Explanation, ...]:
        """Weigh the hypotheses that passed."""
        return self._weighed([(x, test) for x, test in tried if test is not None])

    def _of_meanings(self) -> list[Hypothesis]:
        """List the hypotheses, at a price, of the other meanings of the given model."""
        found = []
        for meaning in self._meanings:
            closed, fit = closed_form_hypotheses(meaning.model), self.fit(meaning.model)
            for x in [*closed, *fitted_hypotheses(meaning.model, fit)]:
                words = f"{x.variant}; and they are {meaning.variant}"
                reasoned = x.reasoned and not self._given.still
                price = x.price + _OF_MEANING
                found.append(x._replace(variant=words, price=price, reasoned=reasoned))
        return found

    def _screened(self, hypotheses: list[Hypothesis]) -> list[tuple[Hypothesis, ModelTest | None]]:
        """Test hypotheses, those whose sums fit in full; None for one that does not fit."""
        return [(x, self._tested(x.model)) for x in hypotheses]

    def _tested(self, model: LossModel) -> ModelTest | None:
        """Test a model by the sums of few losses, by those of all, and in full."""
        for some, losses, rival in self._rounds:
            if not self._rough(model.at(some), losses).sums_pass(rival, _SCREENED):
                return None
        test = ModelTest(model, self._losses, self._rng)
        return test if test.passes(self._test) else None

    def _rough(self, model: LossModel, losses: Losses) -> ModelTest:
        return ModelTest(model, losses, self._rng, rough=True, draws=self._draws)

    def _weighed(self, passing: list[Tested]) -> tuple[Explanation, ...]:
        """Give each name that losses fit its posterior probability beside something else."""
        if not passing:
            return ()
        given, losses = self._test.distribution, self._losses
        less = [  # than the given model allows for what was moved
            (1 - abs(test.model.factor / self._given.factor)) * losses.moved for _, test in passing
        ]
        allowances = [test.allowance + x for (_, test), x in zip(passing, less, strict=True)]
        allowances.append(self._test.allowance)
        finest = np.min(allowances, axis=0)
        least = np.minimum(ALIKE * finest, np.max(allowances, axis=0))
        heights = [
            test.log_likelihood(np.maximum(least - x, 0.0)) - hypothesis.price
            for (hypothesis, test), x in zip(passing, less, strict=True)
        ]
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
