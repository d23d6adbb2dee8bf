"""The profile of the log evidence over one parameter of the prior, and its confidence region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special as sc

from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence
from elbo_ref.mle.candidates import Candidate
from elbo_ref.mle.components import components
from elbo_ref.mle.intervals import (
    PARAMETERS,
    ConfidenceRegion,
    Parameter,
    Start,
    prior_of,
    profile_region,
)
from elbo_ref.mle.solve import pooled_mean, prove

_OTHER: dict[str, Parameter] = {
    "concentration1": "concentration0",
    "concentration0": "concentration1",
}


@dataclass(frozen=True)
class Profile:
    """The highest log evidence as a function of one parameter, and the place of the best prior.

    Places are values of a + b; of the free concentration, where the other is held.
    """

    counts: Counts
    of: Parameter
    fixed: dict[str, float]

    def __call__(self, value: float) -> tuple[float, float]:
        if not self.fixed:
            best = prove(self.counts, (self.of, value)).candidates[0]
            return best.log_evidence, self._place(best.prior)
        ((held, given),) = self.fixed.items()
        prior = prior_of({held: given, self.of: value})
        height = -np.inf if prior is None else log_evidence(prior, self.counts)
        return height, self._place(prior)

    def region(self, best: Candidate, prob: float) -> ConfidenceRegion:
        """The values within half a chi-square quantile of the highest."""
        level = best.log_evidence - float(sc.chdtri(1, 1 - prob)) / 2
        starts, proven = self._starts(best, level)
        intervals = profile_region(self, self.of, starts, level)
        return ConfidenceRegion(intervals, self.of, prob, proven)

    def _place(self, prior: Beta | None) -> float:
        """The place of a prior; inf for the binomial limit."""
        held = next(iter(self.fixed), "")
        along = PARAMETERS[_OTHER.get(held, "concentration")]
        return np.inf if prior is None else along(*map(float, prior.arrays()))

    def _starts(self, best: Candidate, level: float) -> tuple[list[Start], bool]:
        """A value in each connected part of the priors above a level, and whether that is proven.

        Only where the binomial may be the limit, or a concentration is held, can there be several.
        """
        highest = self._highest(best)
        if best.kind not in ("interior", "binomial") or "concentration" in self.fixed:
            return [Start(highest)], True
        parts, proven = components(self.counts, next(iter(self.fixed.items()), None), level)
        if not parts:
            return [Start(highest)], proven
        place = self._place(best.prior)
        own = next(part for part in parts if place <= part.high)
        return [
            Start(highest if part is own else self._value(part.prior), part.high) for part in parts
        ], proven

    def _value(self, prior: Beta | None) -> float:
        """The parameter's value at a prior, or in the binomial limit."""
        if prior is not None:
            return PARAMETERS[self.of](*map(float, prior.arrays()))
        if self.of == "mean":
            return pooled_mean(self.counts)
        return np.inf

    def _highest(self, best: Candidate) -> float:
        """The parameter's value where the evidence is highest; at some prior, if anywhere."""
        if best.prior is not None:
            return self._value(best.prior)
        if self.of == "mean" and best.mean is not None:
            return best.mean
        if best.concentration is not None:
            if self.of == "concentration" or best.kind in ("binomial", "all_or_none"):
                return best.concentration
            if best.kind == "degenerate":
                ends = {"concentration1": best.mean == 1, "concentration0": best.mean == 0}
                return best.concentration * (1 - 1e-12) if ends[self.of] else 0.0
        free = "concentration" if "mean" in self.fixed else "mean"
        return self._value(prior_of({**(self.fixed or {"concentration": 1.0}), free: 0.5}))
