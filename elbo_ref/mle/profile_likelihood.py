"""The profile of the log evidence over one parameter of the prior, and its confidence region.

The profile is the highest log evidence as a function of a parameter. The values at which it is
within half a chi-square quantile of its top are a confidence region (Wilks).

In mean m and gamma = 1/(a + b) the log evidence is concave in m at each gamma (E10), so that the m
which are not below a threshold are an interval around the best. The connected parts of the set of
priors that are not below it are therefore those of {gamma: P(gamma) >= threshold} for the profile P
over gamma, or over s = 1/gamma, which branch and bound finds. And whatever continuous function of
the prior is asked for, on each part its values are an interval: for any parameter there are no more
intervals than parts. With something held fixed the same is true along the one coordinate that is
left. So between the values of two neighbouring parts there is one gap or none, and beyond the
outermost there is one end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref.counts import Counts
from elbo_ref.distributions.base import Interval
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence
from elbo_ref.mle.binomial import pooled_mean
from elbo_ref.mle.boundary import Extreme, below_limit, on_boundary, on_ellipse
from elbo_ref.mle.branch_and_bound import BUDGET, SCREENING, Component, superlevel_set, union
from elbo_ref.mle.candidates import Candidate
from elbo_ref.mle.factorial_sums import FactorialSums
from elbo_ref.mle.intervals import (
    CONCENTRATIONS,
    LEAST_MEAN,
    ConfidenceRegion,
    Parameter,
    parameter_of,
    prior_of,
)
from elbo_ref.mle.profile import Profile
from elbo_ref.mle.solve import Held, Problem, solve
from elbo_ref.special import root

_LOWEST = -1e9
"""Heights further below the threshold than this are not told apart."""
_XTOL = 1e-13
_STEP, _SEEN = 0.5, 0.9
"""The first step toward an end; and the part of the top's root that is left, at most, where the end
is looked for from there."""


class _Scale(NamedTuple):
    """The coordinate in which a parameter is searched, and its range in that."""

    into: Callable[[float], float]
    out_of: Callable[[float], float]
    first: float
    last: float
    limits: tuple[float, float]


_LOGIT = _Scale(
    lambda m: math.log(m) - math.log1p(-m) if 0 < m < 1 else math.copysign(np.inf, m - 0.5),
    lambda x: 1 / (1 + math.exp(-x)),
    float(np.log(LEAST_MEAN)),
    36.0,
    (0.0, 1.0),
)
_LOG = _Scale(
    lambda x: math.log(x) if x > 0 else -np.inf,
    math.exp,
    float(np.log(CONCENTRATIONS[0])),
    float(np.log(CONCENTRATIONS[1])),
    (0.0, np.inf),
)


@dataclass(frozen=True)
class ProfileLikelihood:
    """The highest log evidence as a function of one parameter.

    A part of the set of priors is known by where its priors are along one line: their a + b; their
    free concentration, where the other is held.
    """

    counts: Counts
    parameter: Parameter
    fixed: dict[str, float]

    @cached_property
    def _sums(self) -> FactorialSums:
        return FactorialSums.of(self.counts)

    @property
    def _held(self) -> Held:
        return next(iter(self.fixed.items()), None)

    def __call__(self, value: float) -> tuple[float, Beta | None]:
        """Find the height at a value of the parameter, and the best prior, if there is one."""
        if self._held is None:
            best = solve(self.counts, (self.parameter, value)).candidates[0]
            return best.log_evidence, best.prior
        prior = prior_of({**self.fixed, self.parameter: value})
        height = -np.inf if prior is None else log_evidence(prior, self.counts)
        return height, prior

    def region(self, best: Candidate, level: float) -> ConfidenceRegion:
        """Find the values within half a chi-square quantile of the highest.

        An end is 0.0, 1.0 or inf where the profile never falls below the threshold on that side.
        Where an interval is narrower than rounding, both ends are the value it was sought from;
        where it is all beyond [1e-12, 1e15], one end is there.
        """
        drop = float(sc.chdtri(1, 1 - level)) / 2
        threshold = best.log_evidence - drop
        starts, proven = self._starts(best, threshold)
        scale = _LOGIT if self.parameter == "mean" else _LOG
        first, last, limits = scale.first, scale.last, scale.limits
        known = best.kind in ("interior", "binomial")
        top = scale.into(self._highest(best)) if known else np.nan
        nearest = np.clip(top, first, last)

        @cache
        def at(x: float) -> tuple[float, Beta | None]:
            return (best.log_evidence, best.prior) if x == top else self(scale.out_of(x))

        def excess(x: float) -> float:
            return max(at(x)[0] - threshold, _LOWEST)

        def start_of(x: float) -> float:
            """Find the start of the part that the best prior at x is in."""
            where = self._along(at(x)[1])
            return next(x for x, (_, end) in zip(spots, starts, strict=True) if where <= end)

        def expected(x: float, sign: float) -> tuple[float, float] | None:
            """Find an end of the region from the best prior at x; and how far it is open."""
            near = None if x in spots else at(x)[1]
            if x == nearest:
                near = self._below(best, drop, sign)
            found = None if near is None else self._end_near(near, threshold)
            return found and (scale.into(self._value(found.prior)), found.error)

        spots = [float(np.clip(scale.into(value), first, last)) for value, _ in starts]
        intervals: list[tuple[float, float]] = []
        for x, (value, _) in zip(spots, starts, strict=True):
            if excess(x) < 0:
                low = limits[0] if x == first else scale.out_of(x) if x == last else value
                high = limits[1] if x == last else scale.out_of(x) if x == first else value
                intervals.append((float(low), float(high)))
        inside = sorted(x for x in spots if excess(x) >= 0)
        if inside:
            lower = _crossing(excess, expected, inside[0], first)
            upper = _crossing(excess, expected, inside[-1], last)
            low = limits[0] if lower is None else scale.out_of(lower)
            for left, right in pairwise(inside):
                gap = _gap(excess, start_of, left, right)
                if gap is not None:
                    intervals.append((low, scale.out_of(gap[0])))
                    low = scale.out_of(gap[1])
            high = limits[1] if upper is None else scale.out_of(upper)
            intervals.append((low, high))
        parts = tuple(Interval(*interval) for interval in union(intervals))
        return ConfidenceRegion(parts, self.parameter, "profile", level, proven)

    def _end_near(self, prior: Beta, threshold: float) -> Extreme | None:
        """Find an end of the region; None if something is held, as the line's heights are cheap."""
        if self._held is not None:
            return None
        return on_boundary(self.counts, self._sums, self.parameter, threshold, prior)

    def _below(self, best: Candidate, drop: float, sign: float) -> Beta | None:
        """Guess the extreme prior so much below the top, if it falls from there as expected."""
        if best.kind == "binomial" and self._held is None:
            return below_limit(self.counts, self.parameter, drop, sign)
        return on_ellipse(best, self._sums, self.parameter, drop, sign)

    def _along(self, prior: Beta | None) -> float:
        """Return the value that tells parts apart; inf for the binomial limit."""
        others: dict[str, Parameter] = {
            "concentration1": "concentration0",
            "concentration0": "concentration1",
        }
        along = others.get(next(iter(self.fixed), ""), "concentration")
        return np.inf if prior is None else parameter_of(prior, along)

    def _starts(self, best: Candidate, threshold: float) -> tuple[list[tuple[float, float]], bool]:
        """Find a value in each connected part above a threshold; and whether these are all, proven.

        Only where the binomial may be the limit, or a concentration is held, can there be several.
        A value may be a limit: 0.0, 1.0 or inf. Beside it stands how far its part goes along the
        line.
        """
        highest = self._highest(best)
        if best.kind not in ("interior", "binomial") or "concentration" in self.fixed:
            return [(highest, np.inf)], True
        parts, proven = connected_parts(self.counts, self._held, threshold)
        if not parts:
            return [(highest, np.inf)], proven
        params = next(part for part in parts if self._along(best.prior) <= part.high)
        return [
            (highest if part is params else self._value(part.prior), part.high) for part in parts
        ], proven

    def _value(self, prior: Beta | None) -> float:
        """Return the parameter's value at a prior, or in the binomial limit."""
        if prior is not None:
            return parameter_of(prior, self.parameter)
        return pooled_mean(self.counts) if self.parameter == "mean" else np.inf

    def _highest(self, best: Candidate) -> float:
        """Find the parameter's value where the evidence is highest; at some prior, if anywhere."""
        if best.prior is not None:
            return self._value(best.prior)
        if self.parameter == "mean" and best.mean is not None:
            return best.mean
        if best.concentration is not None:
            if self.parameter == "concentration" or best.kind in ("binomial", "all_or_none"):
                return best.concentration
            if best.kind == "degenerate":
                ends = {"concentration1": best.mean == 1, "concentration0": best.mean == 0}
                return best.concentration * (1 - 1e-12) if ends[self.parameter] else 0.0
        free = "concentration" if "mean" in self.fixed else "mean"
        return self._value(prior_of({**(self.fixed or {"concentration": 1.0}), free: 0.5}))


class ConnectedPart(NamedTuple):
    """A connected part of the priors that are not below a threshold.

    Attributes
    ----------
    low, high : float
        A range of a + b (of the free concentration, where the other is held) with all of this part
        and nothing of another in it.
    prior : Beta or None
        A prior in it; None for the binomial limit.
    """

    low: float
    high: float
    prior: Beta | None


@lru_cache(maxsize=4)
def connected_parts(
    counts: Counts, held: Held, threshold: float
) -> tuple[list[ConnectedPart], bool]:
    """Find the connected parts of the priors with log evidence >= threshold.

    They are the same whichever parameter is asked for, and kept for the next.

    Parameters
    ----------
    counts : Counts
        With a latent that has successes and failures.
    held : (name, value), optional
        Of ``"mean"``, ``"concentration1"`` or ``"concentration0"``; at a given ``"concentration"``
        there is one part.
    threshold : float

    Returns
    -------
    list of ConnectedPart
        From low to high; empty only if the threshold is the maximum's own, to rounding.
    bool
        Whether that is proven, but for rounding.
    """
    problem = Problem.of(counts, held)
    parts: list[ConnectedPart] = []
    proven = True
    for profile, (x, height), components, sure in _superlevel_sets(problem, threshold):
        proven = proven and sure
        lower = sorted((_part(profile, *component) for component in components), key=lambda p: p[0])
        through = bool(lower and parts) and height >= threshold
        end = float(profile.along(np.array(x)))
        if through and np.allclose((lower[-1].high, parts[0].low), end, 1e-12, 0):
            parts[0] = parts[0]._replace(low=lower.pop().low)
        parts = lower + parts
    if parts:
        parts[0] = parts[0]._replace(low=0.0)
        parts[-1] = parts[-1]._replace(high=np.inf)
    if problem.mirrored:
        parts = [
            part._replace(prior=part.prior and Beta(*part.prior.arrays()[::-1])) for part in parts
        ]
    return parts, proven


def _superlevel_sets(
    problem: Problem, threshold: float
) -> Iterator[tuple[Profile, tuple[float, float], list[Component], bool]]:
    """Find where each profile is above a threshold, closer where its rounding leaves a doubt."""
    large = problem.large
    for profile, _, start in problem.profiles():
        found = superlevel_set(profile, threshold, SCREENING if large else BUDGET)
        if found[1] or not large:
            yield profile, start, *found
            continue
        ends = profile.along(profile.grid)
        for closer, _, begin in problem.closer(profile, float(ends.min()), float(ends.max())):
            yield closer, begin, *superlevel_set(closer, threshold)


def _part(profile: Profile, low: float, high: float, x: float) -> ConnectedPart:
    first, last = sorted(profile.along(np.array([low, high])).tolist())
    return ConnectedPart(first, last, profile.prior(x) if x else None)


def _gap(
    excess: Callable[[float], float], start_of: Callable[[float], float], left: float, right: float
) -> tuple[float, float] | None:
    """Find the ends of the gap between two neighbouring starts; None if there is none.

    A point between that is above the threshold belongs to the interval of either, and which one its
    best prior tells.
    """
    x, y = left, right
    while y - x > _XTOL * (1 + abs(x)):
        middle = x + (y - x) / 2
        if excess(middle) < 0:
            return _root(excess, x, middle), _root(excess, middle, y)
        x, y = (middle, y) if start_of(middle) <= left else (x, middle)
    return None


def _root(excess: Callable[[float], float], x: float, y: float) -> float:
    return root(excess, x, y, xtol=_XTOL, rtol=_XTOL)


def _crossing(
    excess: Callable[[float], float],
    expected: Callable[[float, float], tuple[float, float] | None],
    start: float,
    end: float,
) -> float | None:
    """Find where a function that is positive at `start` changes sign toward `end`: once, if so.

    It does so where it is expected, from a point, if the function is negative a little beyond. Its
    drop below the start is nearly a parabola, so that the drop's root is nearly a line.
    """
    top, sign = excess(start), math.copysign(1.0, end - start)

    def straight(x: float) -> float:
        return math.sqrt(top) - math.sqrt(max(top - excess(x), 0.0))

    def expected_from(x: float) -> float | None:
        found = expected(x, sign)
        if found is None or (found[0] - start) * sign <= 0:
            return None
        beyond = found[0] + sign * (found[1] + _XTOL * (1 + abs(found[0])))
        return found[0] if (end - beyond) * sign > 0 and excess(beyond) < 0 else None

    inside, step = start, _STEP * sign
    crossing = expected_from(start) if start != end else None
    while crossing is None and inside != end:
        outside = inside + step
        if (end - outside) * step <= 0:
            outside = end
        if straight(outside) < _SEEN * math.sqrt(top):
            crossing = expected_from(outside)
        if crossing is None and excess(outside) < 0:
            crossing = _root(straight, inside, outside)
        inside, step = outside, 2 * step
    return crossing
