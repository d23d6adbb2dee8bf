"""Where an objective leads over the prior: both of its concentrations learnable, or one of them.

* Under a `beta` guide the ELBO can be tight: the evidence's maximum over the same, with no gap.
* `tied` maximises E_prior[log lik] (E8). Over both concentrations its supremum is the pooled
  likelihood's, as the concentration grows. Over a alone, with K and F the totals,

      d/da = K [psi_1(a) - psi_1(a + b)] - F psi_1(a + b)

  has one zero, as psi_1(a + b)/psi_1(a) rises from 0 to 1; with only failures or only successes the
  supremum is at an end.
* `empty` maximises J = E_prior[log lik] - H(prior) (E7), with G latents

      J = (K + G (a-1)) E log c + (F + G (b-1)) E log(1-c) - G log B(a, b) + logC,

  which over both concentrations is unbounded: the prior may collapse anywhere inside (0, 1). Over a
  alone it may collapse to an end only. There J ~ (G - K)/a as a -> 0 and ~ (G - F) log a as
  a -> infinity: unbounded if K < G or F < G. With K >= G and F > G it falls to minus infinity at
  both ends (as G log a at a -> 0 where K = G) and has a maximum; with F = G it levels off instead,
  at G [b psi(b) - b - log Gamma(b)] + logC.

Over b alone all is mirrored.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy import optimize, special as sc

from elbo_ref._format.numbers import describe, number
from elbo_ref._validation.values import by_value
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.result import maximize_evidence
from elbo_ref.mle.solve import as_totals, pooled_log_likelihood, pooled_mean, totals
from elbo_ref.objectives.exact import elbo, empty_guide_objective, empty_guide_objective_gradient
from elbo_ref.special import trigamma, trigamma_difference

Learnable = Literal["both", "concentration1", "concentration0"]


@by_value
class Destination(NamedTuple):
    """Where an objective is highest, or what it tends to.

    Attributes
    ----------
    place : str
        In words.
    concentration1, concentration0 : float or None
        Of the prior; inf or 0.0 in a limit, None where there is no one value.
    mean : float or None
        Of the prior, also in the limit.
    value : float
        The maximum or the supremum; inf where it is unbounded.
    attained : bool
    reason : str
    """

    place: str
    concentration1: float | None
    concentration0: float | None
    mean: float | None
    value: float
    attained: bool
    reason: str

    @property
    def mirrored(self) -> Destination:
        """Of the same data with successes and failures exchanged."""
        a, b = self.concentration0, self.concentration1
        mean = None if self.mean is None else 1 - self.mean
        place = self.place.replace("concentration1", "concentration0")
        reason = self.reason.replace("many failures", "many successes")
        if self.attained and a and b:
            place = describe(Beta(a, b))
        return self._replace(
            place=place, concentration1=a, concentration0=b, mean=mean, reason=reason
        )


def of_evidence(counts: Counts, prior: Beta, learnable: Learnable) -> Destination:
    """The highest evidence over what is learnable, the other concentration being the prior's."""
    held = {
        "both": {},
        "concentration1": {"concentration0": float(prior.concentration0)},
        "concentration0": {"concentration1": float(prior.concentration1)},
    }[learnable]
    maximum = maximize_evidence(counts, held or None)
    limits = {"binomial": np.inf, "all_or_none": 0.0}
    a = b = limits.get(maximum.kind)
    if maximum.kind == "degenerate" and held:
        a = b = np.inf if (maximum.mean == 1) == (learnable == "concentration1") else 0.0
    if maximum.prior is not None:
        a, b = map(float, maximum.prior.arrays())
    a, b = held.get("concentration1", a), held.get("concentration0", b)
    height, attained = maximum.log_evidence, maximum.attained
    return Destination(maximum.place, a, b, maximum.mean, height, attained, maximum.sentence)


def of_tied(counts: Counts, prior: Beta, learnable: Learnable) -> Destination:
    """The supremum of E_prior[log lik] (E8)."""
    if learnable == "concentration0":
        return of_tied(counts.mirrored, swapped(prior), "concentration1").mirrored
    k, f = totals(counts)
    coefficient = float(counts.multiplicity @ counts.log_coefficient)
    if not k + f:
        return Destination("any prior", None, None, None, coefficient, True, "there are no trials")
    if learnable == "both":
        mean, collapse = pooled_mean(counts), "the prior collapses to the classical MLE"
        if not (k and f):
            place = f"prior mean -> {number(mean)}"
            return Destination(place, None, None, mean, coefficient, False, collapse)
        place = f"concentration -> infinity, mean {number(mean)}"
        height = pooled_log_likelihood(counts)
        return Destination(place, np.inf, np.inf, mean, height, False, collapse)
    b = float(prior.concentration0)
    if not (k and f):
        end, why = np.inf if k else 0.0, "all trials end alike, and the prior collapses there"
        return Destination(
            f"concentration1 -> {end:g}", end, b, float(k > 0), coefficient, False, why
        )

    def slope(log_a: float) -> float:
        a = np.asarray(np.exp(log_a))
        return float(k * trigamma_difference(a, np.asarray(b)) / trigamma(a + b) - f)

    best = Beta(float(np.exp(optimize.brentq(slope, -150.0, 150.0, xtol=1e-14))), b)
    together, added = as_totals(counts)
    guides = Beta(*(np.full(len(together), float(x)) for x in best.arrays()))
    why = "with one concentration held the prior cannot collapse to the classical MLE"
    return at_prior(best, elbo(guides, best, together) + added, why)


def of_empty(counts: Counts, prior: Beta, learnable: Learnable) -> Destination:
    """The supremum of E_prior[log lik] - H(prior) (E7)."""
    if learnable == "both":
        why = "not an ELBO: -H(prior) grows without bound as the prior collapses"
        return Destination("nowhere", None, None, None, np.inf, False, why)
    if learnable == "concentration0":
        return of_empty(counts.mirrored, swapped(prior), "concentration1").mirrored
    (k, f), latents = totals(counts), counts.num_latents
    if not latents:
        return Destination("any prior", None, None, None, 0.0, True, "there are no latents")
    b = float(prior.concentration0)
    if k < latents or f < latents:
        ends = [end for end, open_ in (("0", k < latents), ("inf", f < latents)) if open_]
        why = "not an ELBO, and unbounded: fewer of one outcome than latents, so that the prior "
        place = f"concentration1 -> {' or '.join(ends)}"
        return Destination(place, None, b, None, np.inf, False, why + "collapses to an end")

    together, added = as_totals(counts)

    def slope(log_a: float) -> float:
        at = Beta(float(np.exp(log_a)), b)
        return float(empty_guide_objective_gradient(at, together).concentration1)

    grid = np.linspace(np.log(1e-12), np.log(1e6 * (k + f + b)), 500)
    slopes = np.array([slope(x) for x in grid])
    turns = np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))
    peaks = [
        Beta(float(np.exp(optimize.brentq(slope, grid[i], grid[i + 1], xtol=1e-14))), b)
        for i in turns
    ]
    found = [(empty_guide_objective(peak, together) + added, peak) for peak in peaks]
    height, best = max(found, key=lambda pair: pair[0], default=(-np.inf, prior))
    if f == latents:
        level = latents * float(b * sc.psi(b) - b - sc.gammaln(b))
        level += float(counts.multiplicity @ counts.log_coefficient)
        if level >= height:
            why = "not an ELBO; as many failures as latents, it levels off as the prior collapses"
            return Destination("concentration1 -> inf", np.inf, b, 1.0, level, False, why)
    why = "not an ELBO; bounded here, as the prior can collapse to an end only"
    return at_prior(best, height, why)


def at_prior(prior: Beta, value: float, reason: str) -> Destination:
    """A maximum that is attained."""
    a, b = map(float, prior.arrays())
    return Destination(describe(prior), a, b, a / (a + b), value, True, reason)


def swapped(prior: Beta) -> Beta:
    """The prior of the mirrored data."""
    return Beta(prior.concentration0, prior.concentration1)
