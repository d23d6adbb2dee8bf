"""The highest log evidence over both concentrations, or its supremum, with proof.

In mean m = a/(a + b) and concentration s = a + b the answer is one of six kinds. Latents without
trials say nothing and are dropped; then the first that applies:

    no_information   nothing is left: the log evidence is 0 whatever the prior
    degenerate       only failures, or only successes: supremum 0 as m -> 0, or 1, for every s
    unidentified     every N = 1: the maximum is attained at m = sum K/sum N for every s
    all_or_none      every K is 0 or N: supremum as s -> 0, where a latent is full with
                     probability f, the fraction that are: G (f log f + (1 - f) log(1 - f))
    binomial         supremum as s -> infinity, the binomial at m = sum K/sum N
    interior         a finite maximiser

The last two are told apart by `elbo_ref.mle.branch_and_bound`, which finds every maximum that may
be the highest, and by the exact sign of the slope at the binomial limit (`elbo_ref.mle.binomial`):
positive, and the limit is no maximum; zero or negative, and it is a candidate beside the others.
Each candidate's height is (E1) itself. One latent never has an interior maximiser (E9).

With something held fixed the kinds follow. A given mean: supremum at s -> 0 for all-or-none data,
where a latent is full with probability m; else binomial or interior as above, the limit being the
binomial at m. A given concentration a or b: only failures or only successes are degenerate, all
else is interior. A given s: likewise, and there is one maximum only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np

from elbo_ref.counts import Counts, distinct
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence
from elbo_ref.mle.binomial import BinomialLimit, binomial_log_likelihood, totals
from elbo_ref.mle.branch_and_bound import (
    BUDGET,
    SCREENING,
    Peak,
    SearchResult,
    search,
    stationary_point,
)
from elbo_ref.mle.candidates import Candidate, Proof, ProofMethod
from elbo_ref.mle.factorial_sums import FactorialSums, mixed_latents
from elbo_ref.mle.lines import (
    Concentration0Profile,
    MeanProfile,
    best_mean,
    profiles_over_concentration,
)
from elbo_ref.mle.near_binomial import MANY, NearBinomialProfile, large_from
from elbo_ref.mle.newton import EPS, LogitMeanLogConcentration, RefinedMaximum
from elbo_ref.mle.profile import Profile
from elbo_ref.mle.stirling import Latents

_ROUNDING = 4e-15
"""Rounding of a log evidence, relative; 2.4e-15 is the worst of 12,000 random latents."""
_VAGUE = 1e-9
"""Rounding of a peak's place, relative, from which on it is sought closer."""
_SAME = 1e-6
"""Priors whose concentrations differ by less than this, relative, are one maximum."""

Held: TypeAlias = tuple[str, float] | None
"""The name of what is held fixed, and its value."""


class Anchored(NamedTuple):
    """A profile to search.

    Attributes
    ----------
    profile : Profile
    doubt : float
        How far rounding may have moved its heights.
    start : (x, height)
        A known point where the profile begins: the limit, or where the profile before ends.
    """

    profile: Profile
    doubt: float
    start: tuple[float, float]


@dataclass(frozen=True)
class Problem:
    """The counts that say something, equal pairs together, and what is held fixed.

    Outcomes are exchanged where that leaves fewer cases: `mirrored` says so, and what is held is
    then of the exchanged outcomes: the mean at most 1/2, or concentration1.
    """

    counts: Counts
    totals: tuple[int, int]
    log_split: float
    held: Held
    mirrored: bool

    @classmethod
    def of(cls, counts: Counts, held: Held) -> Problem:
        """Drop what says nothing, and exchange the outcomes if need be."""
        says = (counts.total_count > 0) & (counts.multiplicity > 0)
        split = float(counts.multiplicity @ counts.log_split)
        fewer = Counts(0, 0)
        if says.any():
            columns = counts.successes, counts.total_count, counts.multiplicity
            fewer, _ = distinct(Counts(*(x[says] for x in columns)))
        k, f = totals(fewer)
        name, value = held or ("", 0.0)
        mirrored = (held is None and k > f) or (name == "mean" and value > 0.5)
        if mirrored or name == "concentration0":
            fewer, (k, f), mirrored = fewer.mirrored, (f, k), True
        if name == "concentration0":
            held = "concentration1", value
        return cls(fewer, (k, f), split, held, mirrored)

    @property
    def mean(self) -> Fraction:
        """The mean in the binomial limit: the one that is held, or the pooled one."""
        if self.held is None:
            return Fraction(self.totals[0], sum(self.totals))
        _, mean = self.held
        return 1 - Fraction(mean) if self.mirrored else Fraction(mean)

    def log_evidence(self, prior: Beta) -> float:
        """Compute the log evidence (E1) of all counts."""
        return log_evidence(prior, self.counts) + self.log_split

    @cached_property
    def limit(self) -> Candidate:
        """The binomial limit of the evidence."""
        height = binomial_log_likelihood(self.counts, self.mean) + self.log_split
        return Candidate("binomial", height, float(self.mean), np.inf, None)

    @cached_property
    def sums(self) -> FactorialSums:
        """The weighted offsets of the counts."""
        return FactorialSums.of(self.counts)

    @property
    def large(self) -> bool:
        """True where latents can be taken one by one at large concentrations."""
        least = min(self.counts.successes.max(), self.counts.failures.max())
        return bool(least >= MANY) and (self.held is None or self.held[0] == "mean")

    def profiles(self) -> Iterator[Anchored]:
        """Make the profiles to search, with heights from the best point of each one's grid."""
        profiles: list[Profile]
        if self.held is None or self.held[0] == "mean":
            limit = BinomialLimit.of(self.counts, self.mean)
            profiles = profiles_over_concentration(self.sums, limit, free=self.held is None)
            x, height = 0.0, self.limit.log_evidence
        else:
            profiles = [Concentration0Profile.of(self.sums, self.held[1])]
            x = float(profiles[0].grid[0])
            height = self.log_evidence(profiles[0].prior(x))
        before: Profile | None = None
        for profile in profiles:
            if before is not None:
                end = float(before.grid[-1])
                x, height = 1 / end, self.log_evidence(before.prior(end))
            start, points = (x, height), profile.anchored(x, height).points(profile.grid)
            i = int(np.argmax(points.height))
            x = float(points.x[i])
            height = height if x == start[0] else self.log_evidence(profile.prior(x))
            yield Anchored(profile.anchored(x, height), _rounding(height), start)
            before = profile

    def closer(self, profile: Profile, low: float, high: float) -> Iterator[Anchored]:
        """Make profiles of the same heights with less rounding, for a + b in a range."""
        assert isinstance(profile, MeanProfile)
        held = None if self.held is None else float(self.mean)
        edge = min(max(large_from(self.sums, held), low), high)
        parts: list[tuple[Profile, float]] = []
        if edge < high:
            latents = Latents.of(self.counts, profile.limit)
            near = NearBinomialProfile.between(edge, high, profile, latents)
            parts.append((near, high))
        if low < edge:
            ends = profile.along(np.array([low, edge]))
            inner = profile.grid[(profile.grid > ends.min()) & (profile.grid < ends.max())]
            parts.append((replace(profile, grid=np.unique([*ends, *inner])), edge))
        for part, end in parts:
            x = float(part.along(np.array(end)))
            height = self.limit.log_evidence
            if np.isfinite(end):
                height = self.log_evidence(part.prior(x))
            yield Anchored(part.anchored(x, height), _rounding(height), (x, height))


def solve(counts: Counts, held: Held = None) -> Proof:
    """Find the highest log evidence, with nothing held fixed or one thing.

    Parameters
    ----------
    counts : Counts
    held : (name, value), optional
        Of ``"mean"``, ``"concentration"`` (a + b), ``"concentration1"`` or ``"concentration0"``;
        already checked.
    """
    problem = Problem.of(counts, held)
    name = problem.held and problem.held[0]
    method: ProofMethod
    candidate, method = _closed_form(problem), "closed_form"
    if candidate is None and name == "concentration":
        candidate, method = _at_concentration(problem), "concave_in_mean"
    if candidate is None and name is None and problem.counts.num_latents == 1:
        candidate, method = problem.limit, "one_latent"
    if candidate is None:
        proof = _searched(problem)
    else:
        height, rounding = candidate.log_evidence, _rounding(candidate.log_evidence)
        proof = Proof(height - rounding, height + rounding, True, method, (candidate,))
    if problem.mirrored:
        proof = replace(proof, candidates=tuple(c.mirrored for c in proof.candidates))
    return proof


def _closed_form(problem: Problem) -> Candidate | None:
    """Give the answer where no search is needed, by the table above."""
    counts = problem.counts
    name, value = problem.held or (None, 0.0)
    mean = float(problem.mean) if name == "mean" else None
    s = value if name == "concentration" else None
    k, f = problem.totals
    if not k + f:
        return Candidate("no_information", 0.0, mean, s, None)
    if name != "mean" and not (k and f):
        if name == "concentration1":
            s = np.inf if f else value
        return Candidate("degenerate", 0.0, float(k > 0), s, None)
    if name in (None, "mean") and not mixed_latents(counts):
        full = int(counts.multiplicity @ (counts.successes > 0))
        empty = counts.num_latents - full
        fraction = problem.mean if name else Fraction(full, full + empty)
        single_trials = Counts([1, 0], 1, multiplicity=[full, empty])
        height = binomial_log_likelihood(single_trials, fraction)
        if (counts.total_count == 1).all():
            return Candidate("unidentified", height, float(fraction), None, None)
        return Candidate("all_or_none", height, float(fraction), 0.0, None)
    return None


def _at_concentration(problem: Problem) -> Candidate:
    """Find the best prior of a given concentration."""
    assert problem.held is not None
    s, sums = problem.held[1], FactorialSums.of(problem.counts)
    gamma = np.array([1 / s])
    m, rest = (float(part[0]) for part in best_mean(sums, gamma, gamma))
    a, b = s * m, s * rest
    _, information, noise = LogitMeanLogConcentration(a, b, sums).derivatives()
    variance = float(1 / information[0, 0])
    error = float(noise[0]) * variance + 4 * EPS
    return _interior(problem, RefinedMaximum(Beta(a, b), error, (variance, 0.0, 0.0)))


class _Reached(NamedTuple):
    """A candidate, and how much higher than it P may be around it."""

    candidate: Candidate
    slack: float


def _searched(problem: Problem) -> Proof:
    """Search; the limit is itself a candidate, with a slope that is not positive."""
    reached: list[_Reached] = []
    profiles = list(problem.profiles())
    best = max(profile.anchor[1] - doubt for profile, doubt, _ in profiles)
    ceiling, intervals, left = -np.inf, 0, 0
    highest: tuple[Profile, float] | None = None
    for ordinary, _, _ in profiles:
        if ordinary.sign_at_0 is not None:
            limit = problem.limit.log_evidence
            best = max(best, limit - _rounding(limit))
            if ordinary.sign_at_0 <= 0:
                reached.append(_Reached(problem.limit, 0.0))
    for profile, found, doubt in _searches(problem, profiles, best):
        intervals += found.intervals
        reached += [_top_of(problem, profile, peak) for peak in found.peaks]
        for low, high in found.unresolved:
            x = found.at if found.at and low <= found.at <= high else low + (high - low) / 2
            reached.append(_Reached(_near(problem, profile, x), 0.0))
        ceiling, left = max(ceiling, found.ceiling + doubt), left + len(found.unresolved)
        if found.at:
            highest = profile, found.at
    if highest is not None and (left or not reached):
        reached.append(_Reached(_near(problem, *highest), 0.0))
    return replace(_compared(_distinct(reached), ceiling), intervals=intervals, left_over=left)


def _searches(
    problem: Problem, profiles: list[Anchored], best: float
) -> Iterator[tuple[Profile, SearchResult, float]]:
    """Search each profile, and closer where its rounding leaves something open.

    A peak is open too if rounding of the slope leaves more than 1e-9 of its place.
    """
    large = problem.large
    for profile, doubt, _ in profiles:
        found = search(profile, best - doubt, SCREENING if large else BUDGET)
        best = max(best, found.best - doubt)
        vague = [peak for peak in found.peaks if _vague(profile, peak)] if large else []
        open_ = found.unresolved + [(peak.low, peak.high) for peak in vague]
        if not large or not open_:
            yield profile, found, doubt
            continue
        sharp = [peak for peak in found.peaks if peak not in vague]
        yield profile, SearchResult(sharp, [], -np.inf, best, None, found.intervals), doubt
        ends = profile.along(np.array(open_))
        for closer, rounding, _ in problem.closer(profile, float(ends.min()), float(ends.max())):
            found = search(closer, best - rounding)
            best = max(best, found.best - rounding)
            yield closer, found, rounding


def _vague(profile: Profile, peak: Peak) -> bool:
    noise = profile.points(np.array([peak.x])).slope_noise
    return bool(noise[0] > -_VAGUE * peak.curvature * peak.x)


def _compared(reached: list[_Reached], ceiling: float) -> Proof:
    """Bound the highest, and keep the candidates that may be it.

    `reached` begins with the highest; `ceiling` bounds what is left over, -inf if nothing is.
    """
    top = reached[0].candidate.log_evidence
    lower, rounding = top - _rounding(top), _rounding(top)
    upper = [candidate.log_evidence + slack + rounding for candidate, slack in reached]
    close = [c for (c, _), bound in zip(reached, upper, strict=True) if bound >= lower]
    close.sort(key=lambda c: c.kind != "binomial")
    alone = len(close) == 1 and ceiling == -np.inf
    decided = alone and bool(np.isfinite(close[0].relative_error))
    highest = max(*upper, ceiling + rounding)
    return Proof(lower, highest, decided, "branch_and_bound", tuple(close))


def _top_of(problem: Problem, profile: Profile, peak: Peak) -> _Reached:
    """Find the maximum in an interval on which P is concave.

    With a slope e at the candidate and a second derivative below -c, P is higher by at most
    e^2/(2 c) anywhere in the interval.
    """
    maximum = profile.refined(profile.prior(peak.x))
    x = profile.x_of(maximum.prior)
    inside = peak.low * (1 - 1e-9) <= x <= peak.high * (1 + 1e-9)
    if not (inside and np.isfinite(maximum.relative_error)):
        low = peak.low or peak.high * 1e-30
        x = stationary_point(profile, low, peak.high)
        maximum = profile.refined(profile.prior(x if low < x < peak.high else peak.x))
    at = profile.points(np.array([profile.x_of(maximum.prior)]))
    residual = float(profile.slope_in_v(at.x, np.abs(at.slope) + at.slope_noise)[0])
    return _Reached(_interior(problem, maximum), residual**2 / (-2 * peak.curvature))


def _near(problem: Problem, profile: Profile, x: float) -> Candidate:
    """Find a maximum from a point of an interval left over; the point itself if there is none."""
    prior = profile.prior(x)
    start = _interior(problem, RefinedMaximum(prior, np.inf, None))
    refined = _interior(problem, profile.refined(prior))
    least = start.log_evidence - _rounding(start.log_evidence)
    known = np.isfinite(refined.relative_error)
    return refined if known and refined.log_evidence >= least else start


def _distinct(reached: list[_Reached]) -> list[_Reached]:
    """Sort from the highest, without what has been reached twice, from both sides of an end."""
    kept: list[_Reached] = []
    for one in sorted(reached, key=lambda one: -one.candidate.log_evidence):
        if not any(_same(one.candidate.prior, other.candidate.prior) for other in kept):
            kept.append(one)
    return kept


def _same(one: Beta | None, other: Beta | None) -> bool:
    if one is None or other is None:
        return False
    return bool(np.abs(np.array(one.arrays()) / np.array(other.arrays()) - 1).max() < _SAME)


def _interior(problem: Problem, maximum: RefinedMaximum) -> Candidate:
    prior, error, covariance = maximum
    a, b = map(float, prior.arrays())
    height = problem.log_evidence(prior)
    return Candidate("interior", height, a / (a + b), a + b, prior, error, covariance)


def _rounding(height: float) -> float:
    return _ROUNDING * abs(height)
