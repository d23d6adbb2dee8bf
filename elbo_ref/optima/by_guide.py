r"""Where SVI leads under each guide, whatever of the prior is learnable.

The evidence, `tied` and `empty` are in `elbo_ref.optima.prior`. With A' = a + K and D' = b + F of a
latent, G latents and totals K and F, the others are:

* `conjugate` is `beta` at its optimum: the evidence.
* `beta_shared`: one Beta(p, q) for all latents. The sum of their ELBOs is, but for coefficients, G
  times that of one latent with the average counts, so that the optimum is the conjugate update by
  K/G and F/G, and what is maximised over the prior is G times the evidence of the average counts:
  like one draw (E9) it has no interior maximum, but tends to the pooled likelihood, as `tied` does.
* `normal`: with T = A' + D' the optimum has E c = A'/T, the mean of the exact posterior, and
  s^2 = 1/(T E c (1 - c)); the objective is concave in l and s. It is below the evidence by the gap
  of the family, so that its maximiser over the prior is not the MLE. Where the evidence only has a
  supremum as the concentration grows, so has this, and the same: the gap vanishes.
* `delta`: log p(x, c) at A = A' - 1, D = D' - 1: the MAP c = A/(A + D) if both are positive; at 0
  if A <= 0 < D, at 1 if D <= 0 < A, at both ends if both are negative, flat if both are 0; infinite
  where the exponent at that end is negative. Over both concentrations it is unbounded: the prior
  collapses onto equal c. Over a alone it is unbounded if a latent has no successes (a < 1, c -> 0),
  if b < 1 and one has no failures, or if F < G, as it grows like (G - F) log a when a -> infinity;
  with F = G it levels off at sum [D log D - D - log Gamma(b)]; otherwise it has a maximum.
* `laplace`: the same with the density of the logit, A = A', D = D': always an interior mode. Over
  both concentrations unbounded, as for `delta`. Over a alone it is like -F log a as a -> infinity,
  so that it levels off where there are no failures, at G [b log b - b - log Gamma(b)], and like
  G log a as a -> 0: else it has a maximum.

Over b alone all is mirrored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import optimize, special as sc

from elbo_ref import guides
from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts, distinct
from elbo_ref.distributions.beta import BETA, Beta
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL, LogitNormal
from elbo_ref.evidence import log_evidence
from elbo_ref.guides.optimum import normal_optimum
from elbo_ref.mle.solve import own_log_likelihood, totals
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import elbo, objective_value
from elbo_ref.optima.prior import (
    Destination,
    Learnable,
    at_prior,
    of_empty,
    of_evidence,
    of_tied,
    swapped,
)
from elbo_ref.special import digamma_difference

_GRID = np.linspace(np.log(1e-9), np.log(1e9), 400)


def destination(
    guide: str, counts: Counts, prior: Beta, learnable: Literal["nothing"] | Learnable
) -> Destination:
    """Where the guide's exact objective is highest, or what it tends to.

    `prior` is the prior where nothing is learnable, and holds the other concentration where one is.
    """
    match guide:
        case "beta" | "conjugate" | "conjugate_detached":
            if learnable != "nothing":
                return of_evidence(counts, prior, learnable)
            return at_prior(prior, log_evidence(prior, counts), "the guide is the exact posterior")
        case "beta_shared":
            return _of_shared(counts, prior, learnable)
        case "normal":
            return _of_normal(counts, prior, learnable)
        case "delta" | "laplace":
            return _of_point(guide, counts, prior, learnable)
        case "none":
            height = own_log_likelihood(counts)
            why = "the likelihood itself: c = K/N for each latent"
            return Destination("no prior", None, None, None, height, True, why)
    if learnable == "nothing":
        why = "nothing is left to maximise"
        task, nothing = Task(guides.GUIDES[guide], counts), np.zeros((0, len(counts)))
        return at_prior(prior, objective_value(task, prior, nothing), why)
    return (of_tied if guide == "tied" else of_empty)(counts, prior, learnable)


def _mirrored(guide: str, counts: Counts, prior: Beta) -> Destination:
    return destination(guide, counts.mirrored, swapped(prior), "concentration1").mirrored


def _of_shared(counts: Counts, prior: Beta, learnable: str) -> Destination:
    (k, f), latents = totals(counts), counts.num_latents
    why = "one guide for all latents: G times the evidence of the average counts"
    if learnable == "both" or not latents or not k + f:
        return of_tied(counts, prior, "both")._replace(reason=why + ", one draw (E9)")
    if learnable == "concentration0":
        return _mirrored("beta_shared", counts, prior)
    mean_k, mean_f = k / latents, f / latents
    if learnable == "concentration1":
        b = float(prior.concentration0)
        if not (k and f):
            end = of_tied(counts, prior, "concentration1")
            return end._replace(reason="all trials end alike, and the prior collapses there")

        def slope(log_a: float) -> float:
            a, n = np.asarray(np.exp(log_a)), np.asarray(mean_k + mean_f)
            up = digamma_difference(a, np.asarray(mean_k))
            return float(up - digamma_difference(a + b, n))

        prior = Beta(float(np.exp(optimize.brentq(slope, -60.0, 60.0, xtol=1e-14))), b)
    best = prior.conjugate_update(mean_k, mean_f)
    return at_prior(prior, elbo(best, prior, counts), why)


def best_normal(prior: Beta, counts: Counts) -> LogitNormal:
    """The optimum of the normal guide under one prior, for each entry."""
    a, b = prior.arrays()
    return normal_optimum(a + counts.successes, b + counts.failures)


def _of_normal(counts: Counts, prior: Beta, learnable: str) -> Destination:
    fewer, _ = distinct(counts)
    if len(fewer) < len(counts):
        lead = _of_normal(fewer, prior, learnable)
        left_out = counts.multiplicity @ counts.log_coefficient
        left_out -= fewer.multiplicity @ fewer.log_coefficient
        return lead._replace(value=lead.value + float(left_out))
    if learnable == "nothing":
        height = elbo(best_normal(prior, counts), prior, counts)
        why = "below the evidence by the gap of the family; E c is that of the posterior"
        return at_prior(prior, height, why)
    if learnable == "concentration0":
        return _mirrored("normal", counts, prior)
    tight = of_evidence(counts, prior, learnable)  # type: ignore[arg-type]
    if learnable == "both" and not tight.attained and tight.concentration1 != 0.0:
        why = "the gap of the family vanishes as the concentration grows"
        return tight._replace(reason=why)
    free = np.array([True, learnable == "both"])
    held = np.log(np.array(prior.arrays()))

    def loss(x: FloatArray) -> tuple[float, FloatArray]:
        logs = held.copy()
        logs[free] = x
        at = Beta(*np.exp(logs))
        q = best_normal(at, counts)
        (low, high), (a, b) = LOGIT_NORMAL.expected_logs(np.array(q.arrays())), at.arrays()
        expected = np.array((low - sc.psi(a), high - sc.psi(b))) + sc.psi(a + b)
        slopes = np.exp(logs) * (expected @ counts.multiplicity)
        return -elbo(q, at, counts), -slopes[free]

    known = (tight.concentration1, tight.concentration0)
    start = held.copy()
    if all(x is not None and 0 < x < np.inf for x in known):
        start = np.log(np.array(known, dtype=np.float64))
    limits = [(np.log(1e-9), np.log(1e9))] * int(free.sum())
    found = optimize.minimize(
        loss, start[free], jac=True, method="L-BFGS-B", bounds=limits,
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500},
    )  # fmt: skip
    held[free] = found.x
    best = Beta(*np.exp(held))
    cost = tight.value - log_evidence(best, counts)
    why = (
        "the gap of the family depends on the prior, so this is not the evidence's maximiser, "
        f"{tight.place}; it costs {cost:.2g} nats of evidence"
    )
    at_limit = any(np.isclose(x, end) for x in found.x for end in limits[0])
    return at_prior(best, -float(found.fun), why)._replace(attained=not at_limit)


def _of_point(guide: str, counts: Counts, prior: Beta, learnable: str) -> Destination:
    """For the joint density of c (`delta`), or of its logit (`laplace`)."""
    less = 1 if guide == "delta" else 0
    live = counts.multiplicity > 0
    k, f = counts.successes[live].astype(np.float64), counts.failures[live].astype(np.float64)
    w = counts.multiplicity[live].astype(np.float64)
    a, b = map(float, prior.arrays())
    added = float(counts.multiplicity @ counts.log_coefficient)
    if not live.any():
        return Destination("any prior", None, None, None, 0.0, True, "there are no latents")
    if learnable == "nothing":
        place, attained = _places(a - less + k, b - less + f)
        best = float(w @ _joint(a, b, k, f, less)) + added
        why = "the mode of the joint density; not an ELBO, as no entropy is counted"
        return at_prior(prior, best, why)._replace(place=f"c {place}", attained=attained)
    if learnable == "both":
        why = "not an ELBO: the density of the latents grows without bound as the prior collapses"
        return Destination("nowhere", None, None, None, np.inf, False, why)
    if learnable == "concentration0":
        return _mirrored(guide, counts, prior)
    latents, failures = float(w.sum()), float(w @ f)
    if less:
        reasons = [
            ((k == 0).any(), "a latent without successes, whose c and density go to an end"),
            (b < 1 and (f == 0).any(), "a latent without failures under concentration0 < 1"),
            (failures < latents, "fewer failures than latents, and the prior collapses to 1"),
        ]
        for unbounded, reason in reasons:
            if unbounded:
                return Destination(
                    "nowhere", None, b, None, np.inf, False, f"not an ELBO, and unbounded: {reason}"
                )

    def height(log_a: float) -> float:
        return float(w @ _joint(float(np.exp(log_a)), b, k, f, less))

    best_a, best = _highest(height)
    if failures == less * latents:
        d = b - less + f
        level = float(w @ (sc.xlogy(d, d) - d - sc.gammaln(b)))
        if level >= best - 1e-9:
            why = "not an ELBO; it levels off as the prior collapses to 1"
            return Destination("concentration1 -> inf", np.inf, b, 1.0, level + added, False, why)
    why = "not an ELBO; bounded, as the prior can collapse to an end only"
    return at_prior(Beta(best_a, b), best + added, why)


def _joint(a: float, b: float, k: FloatArray, f: FloatArray, less: int) -> FloatArray:
    """The highest joint log density of each latent, without coefficients."""
    up, down = a - less + k, b - less + f
    inside = (up > 0) & (down > 0)
    up_in, down_in = np.where(inside, up, 1.0), np.where(inside, down, 1.0)
    y = np.log(up_in) - np.log(down_in)
    at_mode = up_in * sc.log_expit(y) + down_in * sc.log_expit(-y)
    at_end = np.where((up < 0) | (down < 0), np.inf, 0.0)
    return np.where(inside, at_mode, at_end) - float(BETA.log_normalizer(np.array((a, b))))


def _places(up: FloatArray, down: FloatArray) -> tuple[str, bool]:
    """Where the modes are, in words, and whether all are attained inside (0, 1)."""
    at = np.select(
        [(up > 0) & (down > 0), (up == 0) & (down == 0), (up < 0) & (down < 0), up <= 0],
        ["inside", "flat", "both", "at 0"], "at 1",
    )  # fmt: skip
    kinds = [name for name in ("inside", "at 0", "at 1", "both", "flat") if (at == name).any()]
    if kinds == ["inside"]:
        c = up / (up + down)
        return (f"= {number(float(c[0]))}" if c.size == 1 else "inside (0, 1)"), True
    words = [f"{name} ({np.count_nonzero(at == name)})" if at.size > 1 else name for name in kinds]
    return ", ".join(words), kinds == ["flat"]


def _highest(height: Callable[[float], float]) -> tuple[float, float]:
    """The highest point over log a, bracketed on a grid."""
    values = np.array([height(x) for x in _GRID])
    i = int(np.clip(np.argmax(values), 1, _GRID.size - 2))
    found = optimize.minimize_scalar(
        lambda x: -height(x), bounds=(_GRID[i - 1], _GRID[i + 1]), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    return float(np.exp(found.x)), float(-found.fun)
