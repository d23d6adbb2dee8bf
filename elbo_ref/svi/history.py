"""The parameters of a run, row by row, and their average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from elbo_ref._validation.arguments import IntArray
from elbo_ref._validation.values import by_value
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GuideValue


@dataclass(frozen=True, eq=False)
class History:
    """The parameters of a run, row by row; row i belongs to ``losses[i]``.

    Attributes
    ----------
    prior : Beta, shape (rows,)
        One more row than there are losses: the last is where the run ended.
    guide : Beta, LogitNormal, Delta or Parameter of shape (len(guide_steps), G), or None
        The guide at the rows `guide_steps`: every row, unless that took more than 64 MiB, else
        every second, fourth, ..., and always the last.
    guide_steps : int64 ndarray
    """

    prior: Beta
    guide: GuideValue | None
    guide_steps: IntArray

    def __len__(self) -> int:
        return self.prior.shape[0]


@by_value
class Average(NamedTuple):
    """The prior, and a guide of the run's kind, between those of its rows."""

    prior: Beta
    guide: GuideValue | None
