r"""Which account of how losses came about the losses bear out.

An account (`elbo_ref.crosscheck.loss_model.Story`) says how each loss is distributed, and is tried
by

* the smallest of the losses' own p-values, Bonferroni over the run: one impossible loss;
* their mean, weighted by precision: a small departure in all of them;
* their sum of squares, each made a standard normal number by its p-value: departures that cancel;
* for each rival account, the sum weighted by where the two differ, which is the most powerful
  test there is for telling them apart.

The given account is rejected at a level of 1% for the whole run. A suspect explains the losses if
it passes the same trial where the given account does not; of several, the more likely one comes
first, at its price, and beside it stand those that are not a hundred times less likely.
"""

from __future__ import annotations

from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.distribution import law_of, sampled_law
from elbo_ref.crosscheck.loss_model import Story
from elbo_ref.crosscheck.mistakes import Suspect, fitted, told
from elbo_ref.crosscheck.saddlepoint import Law, normal_log_density, p_values

LEVEL = 0.01
"""The rate of false alarms of a whole run."""

_PASSES = 1e-3
_BEYOND = 10.0
"""So much less likely than a normal number may be a loss beyond the end of its law, by rounding."""
_ALIKE = 30.0
"""Allowances that differ by less tell nothing."""
_AS_GOOD = 5.5
"""A number that has a reason may be so much less likely than the best one, p = 1e-3."""
_NO_DOUBT = 1e-12
_SPREAD = 100.0
"""Small errors of the tails' formula add up in a sum of squares: what allows for them."""
_MANY = 200
"""For a sum of so many draws the saddlepoint formula is as good as exact."""


class Losses(NamedTuple):
    """N losses and how far each may be off beside its own distribution."""

    values: FloatArray
    allowance: FloatArray


class Trial:
    """An account under trial; what is costly is computed when it is asked for."""

    def __init__(self, story: Story, losses: Losses, rng: np.random.Generator) -> None:
        self.law, rounding = law_of(story, rng)
        self.allowance = rounding + losses.allowance
        self._losses, self._story, self._rng = losses.values, story, rng
        self._summands = story.num_particles * story.counts.num_latents

    @cached_property
    def _spread(self) -> FloatArray:
        found: FloatArray = np.maximum(self.law.variance + self.allowance**2, 1e-300)
        return found

    def log_likelihood(self, least: FloatArray) -> float:
        """With an allowance of at least so much, which puts those that round alike on one footing.

        Where it matters beside the law's own spread, of what exceeds it, as if normal.
        """
        allowance = np.maximum(self.allowance, least)
        spread = np.maximum(self.law.variance + allowance**2, 1e-300)
        away = np.maximum(np.abs(self._losses - self.law.mean) - 2 * allowance, 0.0)
        normal = normal_log_density(away / np.sqrt(spread), spread)
        density = self.law.log_density(self._losses)
        own = self.law.variance > 100 * allowance**2
        if np.any(own & (density < normal - _BEYOND)):
            nearest = np.clip(self.law.mean, self._losses - allowance, self._losses + allowance)
            density = np.maximum(density, self.law.log_density(nearest))
        return float(np.where(own, density, normal).sum())

    @cached_property
    def p(self) -> FloatArray:
        """Of each loss; those that would decide, from draws as well if these say more."""
        found = p_values(self.law, self._losses, self.allowance)
        for t in np.argsort(found) if self._summands < _MANY else ():
            before, one = found[t], slice(t, t + 1)
            doubted = before > _NO_DOUBT or not self.law.closed
            if doubted and 2 * len(found) * before < LEVEL:
                drawn = sampled_law(self._story.at(one), self._rng)
                found[t] = max(before, *p_values(drawn, self._losses[one], self.allowance[one]))
            if 2 * len(found) * found[t] < LEVEL or found[t] == before:
                break
        return found

    @cached_property
    def p_mean(self) -> float:
        """Of their mean, weighted by precision; from draws as well if it would decide."""
        weights = self._spread.min() / self._spread
        found = self._p_of_sum(self.law, weights)
        few = len(weights) * self._summands < _MANY
        if few and _NO_DOUBT < found < LEVEL / 2:
            found = max(found, self._p_of_sum(sampled_law(self._story, self._rng), weights))
        return found

    @property
    def p_spread(self) -> float:
        """Of their sum of squares, each loss by its p-value made normal; too large only."""
        scores = sc.ndtri(np.maximum(self.p, 1e-300) / 2)
        return float(sc.chdtrc(scores.size, np.sum(scores**2)))

    @property
    def p_any(self) -> float:
        """Bonferroni over the losses, their mean and their spread."""
        each = len(self.p) * self.p.min(), self.p_mean, _SPREAD * self.p_spread
        return float(min(1.0, 3 * min(each)))

    def against(self, rival: Trial) -> float:
        """The p-value of the sum that tells this account from a rival."""
        weights = (rival.law.mean - self.law.mean) / self._spread
        largest = np.abs(weights).max()
        return self._p_of_sum(self.law, weights / largest) if largest > 0 else 1.0

    def passes(self, rival: Trial) -> bool:
        """Whether the losses may have come about so, also where a rival says otherwise."""
        return self.against(rival) >= _PASSES and self.p_any >= _PASSES

    def _p_of_sum(self, law: Law, weights: FloatArray) -> float:
        total = np.array([weights @ self._losses])
        allowance = np.array([np.abs(weights) @ self.allowance])
        return float(p_values(law.weighted(weights), total, allowance)[0])


class Judgement(NamedTuple):
    """What the losses say.

    Attributes
    ----------
    given : Trial
    rejected : bool
        Whether the given account is.
    p : float
        Its p-value, Bonferroni over everything tried.
    explanations : tuple of (Suspect, Trial)
        Mistakes that explain the losses; the best first, then those that it does not rule out.
    ruled_out : tuple of str
        Suspects that the losses exclude.
    shift : tuple of float
        The constant that fits best, and its standard error.
    """

    given: Trial
    rejected: bool
    p: float
    explanations: tuple[tuple[Suspect, Trial], ...]
    ruled_out: tuple[str, ...]
    shift: tuple[float, float]

    @property
    def score(self) -> float:
        """The log likelihood of what came about: of the given account, unless it is rejected."""
        if not self.rejected:
            return self.given.log_likelihood(self.given.allowance)
        scores = [
            trial.log_likelihood(trial.allowance) - suspect.price
            for suspect, trial in self.explanations
        ]
        return max(scores, default=-np.inf)


def judge(given: Story, losses: Losses, rng: np.random.Generator) -> Judgement:
    """Try an account, and its suspects."""
    trial = Trial(given, losses, rng)
    spread = trial.law.variance + trial.allowance**2
    spread = np.maximum(spread, 1e-24 * (1 + trial.law.mean**2))
    tried = [(suspect, Trial(suspect.story, losses, rng)) for suspect in told(given)]
    contrasts = [trial.against(other) for _, other in tried]
    p = min(1.0, 2 * min([trial.p_any, *(len(contrasts) * x for x in contrasts)]))
    rejected = p < LEVEL
    excluded = [suspect.name for suspect, other in tried if not other.passes(trial)]
    if rejected:
        more = fitted(given, losses.values, trial.law, spread)
        tried += [(suspect, Trial(suspect.story, losses, rng)) for suspect in more]
    passing = [pair for pair in tried if rejected and pair[1].passes(trial)]
    names = [suspect.name for suspect, _ in passing]
    weights = 1 / spread
    return Judgement(
        trial,
        rejected,
        p,
        _best(passing),
        tuple(dict.fromkeys(name for name in excluded if name not in names)),
        (
            float(weights @ (losses.values - trial.law.mean) / weights.sum()),
            float(1 / np.sqrt(weights.sum())),
        ),
    )


def _best(passing: list[tuple[Suspect, Trial]]) -> tuple[tuple[Suspect, Trial], ...]:
    """The best explanation, and those that it does not rule out."""
    if not passing:
        return ()
    least = _ALIKE * np.min([trial.allowance for _, trial in passing], axis=0)
    heights = [trial.log_likelihood(least) for _, trial in passing]
    reasons = [(x.of, h) for (x, _), h in zip(passing, heights, strict=True) if not x.fitted]

    def reasoned(suspect: Suspect, height: float) -> bool:
        return any(suspect.of == of != "" and best > height - _AS_GOOD for of, best in reasons)

    ranked = sorted(
        (
            (height - pair[0].price, pair)
            for pair, height in zip(passing, heights, strict=True)
            if not (pair[0].fitted and reasoned(pair[0], height))
        ),
        key=itemgetter(0),
        reverse=True,
    )
    best: dict[str, tuple[Suspect, Trial]] = {}
    for score, pair in ranked:
        if score - ranked[0][0] >= np.log(LEVEL):
            best.setdefault(pair[0].name, pair)
    return tuple(best.values())
