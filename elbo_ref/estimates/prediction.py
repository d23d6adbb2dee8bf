"""Trials that are still to come.

n new trials of a latent succeed k times with the probability of the Beta-Binomial (E1), summed over
the priors that are averaged.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special as sc

from elbo_ref._format.numbers import number
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref._validation.values import by_value
from elbo_ref.counts import Counts
from elbo_ref.estimates.mixture import LatentMixture
from elbo_ref.evidence import latent_log_evidence

MOST_TRIALS = 100_000
"""The most new trials that `predict` takes."""
_BLOCK = 2**18


@by_value
@dataclass(frozen=True, eq=False)
class Prediction(Tabular):
    """The number of successes in new trials.

    Attributes
    ----------
    successes : int64 ndarray, shape (n + 1,)
        0, 1, ..., n.
    probability : float64 ndarray, shape (n + 1,)
    mean : float
    lower, upper : int
        At most half of what is left of the level lies below `lower`, and above `upper`.
    level : float
    label, group : Hashable
        The latent, or None of a new one; the group of a new one, where there are groups.
    """

    successes: IntArray
    probability: FloatArray
    mean: float
    lower: int
    upper: int
    level: float = 0.95
    label: Hashable = None
    group: Hashable = None

    def table(self) -> Table:
        """Lay out the probability of each number of successes."""
        columns = [Column(self.successes, "successes", "successes")]
        columns.append(Column(self.probability, "probability", "probability"))
        return Table(columns, f"{self.successes.size - 1} new trials")

    def blocks(self) -> Sequence[Block]:
        """Return the table, mean and interval."""
        ends = f"{self.lower} to {self.upper}"
        return [self.table(), {"mean": number(self.mean), "interval": ends}]


def predicted(latent: LatentMixture | float, total_count: int, level: float) -> Prediction:
    """Compute the distribution of successes in new trials, of a latent or at a known c."""
    cells = Counts(np.arange(total_count + 1), total_count)
    if not isinstance(latent, LatentMixture):
        k, f = cells.successes, cells.failures
        likelihood = np.exp(cells.log_coefficient + sc.xlogy(k, latent) + sc.xlog1py(f, -latent))
        return _summed(likelihood, total_count * latent, level)
    probability = np.zeros(total_count + 1)
    length = max(1, _BLOCK // (total_count + 1))
    for start in range(0, latent.weight.size, length):
        a, b, weight = (x[start : start + length] for x in latent)
        probability += weight @ np.exp(latent_log_evidence(a[:, None], b[:, None], cells))
    a, b, weight = latent
    return _summed(probability, total_count * float(weight @ (a / (a + b))), level)


def _summed(probability: FloatArray, mean: float, level: float) -> Prediction:
    tail, last = (1 - level) / 2, probability.size - 1
    lower = int(np.searchsorted(np.cumsum(probability), tail, side="right"))
    upper = last - int(np.searchsorted(np.cumsum(probability[::-1]), tail, side="right"))
    ends = min(lower, last), max(upper, 0)
    return Prediction(np.arange(last + 1), probability, mean, *ends, level)
