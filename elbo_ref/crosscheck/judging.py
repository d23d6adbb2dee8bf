r"""Which account of how losses came about the losses bear out.

An account (`elbo_ref.crosscheck.laws.Story`) says how each loss is distributed, and is tried by

* the smallest of the losses' own p-values, Bonferroni over the run: one impossible loss;
* their mean, weighted by precision: a small departure in all of them;
* for each rival account, the sum weighted by where the two differ, which is the most powerful
  test there is for telling them apart.

The given account is rejected at a level of 1% for the whole run. A suspect explains the losses if
it passes the same trial where the given account does not; of several, those with nothing to fit
come first, then the more likely one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elbo_ref.arguments import FloatArray
from elbo_ref.crosscheck.laws import Story, law_of
from elbo_ref.crosscheck.suspects import Suspect, fitted, told
from elbo_ref.crosscheck.tails import Law, p_values

LEVEL = 0.01
"""The rate of false alarms of a whole run."""

_PASSES = 1e-3
_AS_LIKELY = 3.0


class Losses(NamedTuple):
    """N losses and how far each may be off beside its own distribution."""

    values: FloatArray
    allowance: FloatArray


class Trial(NamedTuple):
    """An account under trial."""

    law: Law
    allowance: FloatArray
    p: FloatArray
    """Of each loss."""
    p_mean: float
    log_likelihood: float

    @classmethod
    def of(cls, story: Story, losses: Losses, rng: np.random.Generator) -> Trial:
        law, rounding = law_of(story, rng)
        allowance = rounding + losses.allowance
        spread = law.variance + allowance**2
        away = losses.values - law.mean
        weights = 1 / np.maximum(spread, 1e-300)
        return cls(
            law,
            allowance,
            p_values(law, losses.values, allowance),
            _p_of_sum(law, losses.values, allowance, weights / weights.max()),
            float(-np.sum(away**2 * weights + np.log(np.maximum(spread, 1e-300))) / 2),
        )

    @property
    def p_any(self) -> float:
        """Bonferroni over the losses and their mean."""
        return float(min(1.0, 2 * min(len(self.p) * self.p.min(), self.p_mean)))

    def against(self, rival: Trial, losses: Losses) -> float:
        """The p-value of the sum that tells this account from a rival."""
        weights = (rival.law.mean - self.law.mean) / (self.law.variance + self.allowance**2)
        largest = np.abs(weights).max()
        if not largest > 0:
            return 1.0
        return _p_of_sum(self.law, losses.values, self.allowance, weights / largest)


def _p_of_sum(law: Law, values: FloatArray, allowance: FloatArray, weights: FloatArray) -> float:
    total = np.array([weights @ values])
    return float(p_values(law.weighted(weights), total, np.abs(weights) @ allowance)[0])


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
        Those that explain the losses; the best first, and beside it those that are as good.
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


def judge(given: Story, losses: Losses, rng: np.random.Generator) -> Judgement:
    """Try an account, and its suspects."""
    trial = Trial.of(given, losses, rng)
    spread = trial.law.variance + trial.allowance**2
    spread = np.maximum(spread, 1e-24 * (1 + trial.law.mean**2))
    tried = [(suspect, Trial.of(suspect.story, losses, rng)) for suspect in told(given)]
    contrasts = [trial.against(other, losses) for _, other in tried]
    p = min(1.0, 2 * min([trial.p_any, *(len(contrasts) * x for x in contrasts)]))
    rejected = p < LEVEL
    excluded = [
        suspect.name
        for suspect, other in tried
        if min(other.p_any, other.against(trial, losses)) < _PASSES
    ]
    if rejected:
        more = fitted(given, losses.values, trial.law.mean, spread)
        tried += [(suspect, Trial.of(suspect.story, losses, rng)) for suspect in more]
    passing = [
        (suspect, other)
        for suspect, other in tried
        if rejected and min(other.p_any, other.against(trial, losses)) >= _PASSES
    ]
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
    """The best explanation, and those that nothing tells from it."""
    if not passing:
        return ()
    fewest = min(suspect.free for suspect, _ in passing)
    simple = [pair for pair in passing if pair[0].free == fewest]
    simple.sort(key=lambda pair: -pair[1].log_likelihood)
    best = simple[0][1].log_likelihood
    return tuple(pair for pair in simple if best - pair[1].log_likelihood <= _AS_LIKELY)
