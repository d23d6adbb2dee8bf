"""Where the evidence is highest over both concentrations, or that it is nowhere so, with proof.

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
be the highest, and by the exact sign of the slope at the binomial limit (`elbo_ref.mle.newton`):
positive, and the limit is no maximum; zero or negative, and it is a candidate beside the others.
Each candidate's height is (E1) itself. One latent never has an interior maximiser (E9).

With something held fixed the kinds follow. A given mean: supremum at s -> 0 for all-or-none data,
where a latent is full with probability m; else binomial or interior as above, the limit being the
binomial at m. A given concentration a or b: only failures or only successes are degenerate, all
else is interior. A given s: likewise, and there is one maximum only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from elbo_ref.counts import Counts, distinct
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence
from elbo_ref.mle.branch_and_bound import Flat, Peak, search, turn
from elbo_ref.mle.candidates import Candidate, Proof
from elbo_ref.mle.factorial_sums import Ladder, mixed_latents
from elbo_ref.mle.newton import Polished, Sheet, best_at, binomial_slope, one_sheet, two_sheets
from elbo_ref.special import cross_difference, log_binomial

_ROUNDING = 4e-15
"""Of a log evidence, relative; 2.4e-15 is the worst of 12,000 random latents."""
_SAME = 1e-6


class Data(NamedTuple):
    """The counts that say something, equal pairs together."""

    counts: Counts
    log_split: float
    successes: int
    failures: int

    @classmethod
    def of(cls, counts: Counts) -> Data:
        says = (counts.total_count > 0) & (counts.multiplicity > 0)
        split = float(counts.multiplicity @ counts.log_split)
        if not says.any():
            return cls(Counts(0, 0), split, 0, 0)
        columns = counts.successes, counts.total_count, counts.multiplicity
        fewer, _ = distinct(Counts(*(x[says] for x in columns)))
        return cls(fewer, split, *totals(fewer))

    @property
    def mirrored(self) -> Data:
        """Successes and failures exchanged."""
        return Data(self.counts.mirrored, self.log_split, self.failures, self.successes)

    def log_evidence(self, prior: Beta) -> float:
        return log_evidence(prior, self.counts) + self.log_split

    def rounding(self, height: float) -> float:
        return _ROUNDING * abs(height)


def prove(counts: Counts, fixed: tuple[str, float] | None = None) -> Proof:
    """The highest log evidence, with nothing held fixed or one thing.

    Parameters
    ----------
    counts : Counts
    fixed : (name, value), optional
        Of ``"mean"``, ``"concentration"`` (a + b), ``"concentration1"`` or ``"concentration0"``;
        already checked.
    """
    data = Data.of(counts)
    match fixed:
        case None:
            if data.successes > data.failures:
                return _mirrored(_both_free(data.mirrored))
            return _both_free(data)
        case ("mean", mean):
            if mean > 0.5:
                return _mirrored(_given_mean(data.mirrored, 1 - Fraction(mean)))
            return _given_mean(data, Fraction(mean))
        case ("concentration", concentration):
            return _given_concentration(data, concentration)
        case ("concentration1", concentration1):
            return _mirrored(_given_concentration0(data.mirrored, concentration1))
        case (_, concentration0):
            return _given_concentration0(data, concentration0)


def _both_free(data: Data) -> Proof:
    k, f = data.successes, data.failures
    if not k + f:
        return _closed(data, Candidate("no_information", data.log_split, None, None, None))
    if not (k and f):
        return _closed(data, Candidate("degenerate", data.log_split, float(k > 0), None, None))
    latents = data.counts.num_latents
    if (data.counts.total_count == 1).all():
        height = _single_trials(k, f, Fraction(k, latents)) + data.log_split
        return _closed(data, Candidate("unidentified", height, k / latents, None, None))
    if not mixed_latents(data.counts):
        full = int(data.counts.multiplicity @ (data.counts.successes > 0))
        fraction = Fraction(full, latents)
        height = _single_trials(full, latents - full, fraction) + data.log_split
        return _closed(data, Candidate("all_or_none", height, float(fraction), 0.0, None))
    return _limit_or_interior(data, Fraction(k, k + f), free=True)


def _given_mean(data: Data, mean: Fraction) -> Proof:
    k, f, m = data.successes, data.failures, float(mean)
    if not k + f:
        return _closed(data, Candidate("no_information", data.log_split, m, None, None))
    if not mixed_latents(data.counts):
        full = int(data.counts.multiplicity @ (data.counts.successes > 0))
        height = _single_trials(full, data.counts.num_latents - full, mean) + data.log_split
        if (data.counts.total_count == 1).all():
            return _closed(data, Candidate("unidentified", height, m, None, None))
        return _closed(data, Candidate("all_or_none", height, m, 0.0, None))
    return _limit_or_interior(data, mean, free=False)


def _given_concentration(data: Data, s: float) -> Proof:
    k, f = data.successes, data.failures
    if not k + f:
        return _closed(data, Candidate("no_information", data.log_split, None, s, None))
    if not (k and f):
        return _closed(data, Candidate("degenerate", data.log_split, float(k > 0), s, None))
    best = _interior(data, best_at(s, Ladder.of(data.counts)))
    return _closed(data, best, "the log evidence is concave in the mean")


def _given_concentration0(data: Data, b: float) -> Proof:
    k, f = data.successes, data.failures
    if not k + f:
        return _closed(data, Candidate("no_information", data.log_split, None, None, None))
    if not (k and f):
        s = np.inf if k else b
        return _closed(data, Candidate("degenerate", data.log_split, float(k > 0), s, None))
    return _searched(data, [sheet_of_concentration1(data, b)])


def _limit_or_interior(data: Data, mean: Fraction, free: bool) -> Proof:
    limit = binomial_limit(data, mean)
    if free and data.counts.num_latents == 1:
        return _closed(data, limit, "one latent has no interior maximum (E9)")
    return _searched(data, limit_sheets(data, mean, free), limit)


def binomial_limit(data: Data, mean: Fraction) -> Candidate:
    """The binomial limit at a mean."""
    height = _binomial_log_likelihood(data.counts, mean) + data.log_split
    return Candidate("binomial", height, float(mean), np.inf, None)


def limit_sheets(data: Data, mean: Fraction, free: bool) -> list[Sheet]:
    """The profiles to search where the binomial may be the limit."""
    return two_sheets(Ladder.of(data.counts), mean, binomial_slope(data.counts, mean), free)


def sheet_of_concentration1(data: Data, concentration0: float) -> Sheet:
    """The log evidence over concentration1, the other held."""
    up, excess = Ladder.of(data.counts).up, Ladder.of(data.mirrored.counts).excess
    return one_sheet(up, excess, concentration0)


def _searched(data: Data, sheets: Sequence[Sheet], limit: Candidate | None = None) -> Proof:
    """Branch and bound; with a slope that is not positive the limit is itself a candidate."""
    reached: list[tuple[Candidate, float]] = []
    flats: list[float] = []
    highest: tuple[Sheet, float] | None = None
    best, intervals = -np.inf, 0
    if limit is not None:
        best = limit.log_evidence - data.rounding(limit.log_evidence)
        if (sheets[0].sign_at_0 or 0) <= 0:
            reached.append((limit, 0.0))
    x = 0.0 if limit is not None else float(sheets[0].grid[0])
    height = limit.log_evidence if limit is not None else data.log_evidence(sheets[0].prior(x))
    for sheet in sheets:
        noise, height = start_heights(sheet, x, height)
        doubt = noise + data.rounding(height)
        x = 1 / float(sheet.grid[-1])
        found = search(sheet.profile, sheet.grid, best - doubt, sheet.sign_at_0)
        best = max(best, found.best - doubt)
        intervals += found.intervals
        reached += [_peak(data, sheet, peak) for peak in found.peaks]
        for flat in _merged(found.flats):
            inside = found.at is not None and flat.low <= found.at <= flat.high
            spot = found.at if inside and found.at else flat.low + (flat.high - flat.low) / 2
            reached.append((_near(data, sheet, spot), 0.0))
            flats.append(flat.bound + doubt)
        if found.at:
            highest = sheet, found.at
    if highest is not None and (flats or not reached):
        reached.append((_near(data, *highest), 0.0))
    apart = _distinct(sorted(reached, key=lambda pair: -pair[0].log_evidence))
    top = apart[0][0]
    rounding = data.rounding(top.log_evidence)
    lower = top.log_evidence - rounding
    ceilings = [c.log_evidence + slack + rounding for c, slack in apart]
    close = [c for (c, _), ceiling in zip(apart, ceilings, strict=True) if ceiling >= lower]
    close.sort(key=lambda c: c.kind != "binomial")
    how = f"branch and bound over {intervals} intervals"
    if flats:
        how += f", {len(flats)} of them left over where 53 bits cannot tell"
    upper = max(ceilings + [bound + rounding for bound in flats])
    decided = len(close) == 1 and not flats and np.isfinite(close[0].relative_error)
    return Proof(lower, upper, bool(decided), how, tuple(close))


def start_heights(sheet: Sheet, x: float, height: float) -> tuple[float, float]:
    """Have heights measured from the best point of the grid, given the height of one.

    Returns how far rounding may have moved that point, and the height of the grid's last.
    """
    sheet.profile.start_from(x, height)
    points = sheet.profile.points(sheet.grid)
    i = int(np.argmax(points.height))
    sheet.profile.start_from(float(points.x[i]), float(points.height[i]))
    return float(points.noise[i]), float(points.height[-1])


def _peak(data: Data, sheet: Sheet, peak: Peak) -> tuple[Candidate, float]:
    """The maximum in an interval, and how much higher than that P may be there."""
    polished = sheet.polish(sheet.prior(peak.x))
    reached = sheet.coordinate(polished.prior)
    inside = peak.low * (1 - 1e-9) <= reached <= peak.high * (1 + 1e-9)
    if not (inside and np.isfinite(polished.relative_error)):
        low = peak.low or peak.high * 1e-30
        reached = turn(sheet.profile, low, peak.high)
        polished = sheet.polish(sheet.prior(reached if low < reached < peak.high else peak.x))
    at = sheet.profile.points(np.array([sheet.coordinate(polished.prior)]))
    residual = float(sheet.profile.in_v(at.x, np.abs(at.slope) + at.slope_noise)[0])
    return _interior(data, polished), residual**2 / (-2 * peak.bend)


def _near(data: Data, sheet: Sheet, x: float) -> Candidate:
    """The prior at a point of an interval left over, or the maximum that Newton finds from it."""
    prior = sheet.prior(x)
    start = _interior(data, Polished(prior, np.inf, None))
    polished = _interior(data, sheet.polish(prior))
    least = start.log_evidence - data.rounding(start.log_evidence)
    known = np.isfinite(polished.relative_error)
    return polished if known and polished.log_evidence >= least else start


def _merged(flats: list[Flat]) -> list[Flat]:
    """Intervals that touch, as one."""
    merged: list[Flat] = []
    for flat in sorted(flats):
        if merged and flat.low <= merged[-1].high:
            last = merged.pop()
            flat = Flat(last.low, max(last.high, flat.high), max(last.bound, flat.bound))
        merged.append(flat)
    return merged


def _distinct(reached: list[tuple[Candidate, float]]) -> list[tuple[Candidate, float]]:
    """Without what has been reached twice, from both sides of an end."""
    kept: list[tuple[Candidate, float]] = []
    for candidate, slack in reached:
        for other, _ in kept:
            if candidate.prior is not None and other.prior is not None:
                ratio = np.array(candidate.prior.arrays()) / np.array(other.prior.arrays())
                if np.abs(ratio - 1).max() < _SAME:
                    break
        else:
            kept.append((candidate, slack))
    return kept


def _interior(data: Data, polished: Polished) -> Candidate:
    prior = polished.prior
    a, b = map(float, prior.arrays())
    height = data.log_evidence(prior)
    return Candidate(
        "interior", height, a / (a + b), a + b, prior, polished.relative_error, polished.spread
    )


def _closed(data: Data, candidate: Candidate, how: str = "closed form") -> Proof:
    rounding = data.rounding(candidate.log_evidence)
    lower, upper = candidate.log_evidence - rounding, candidate.log_evidence + rounding
    return Proof(lower, upper, True, how, (candidate,))


def _mirrored(proof: Proof) -> Proof:
    candidates = []
    for c in proof.candidates:
        prior = None if c.prior is None else Beta(c.prior.concentration0, c.prior.concentration1)
        mean = None if c.mean is None else 1 - c.mean
        if prior is not None:
            mean = float(prior.mean)
        spread = None if c.spread is None else (c.spread[0], -c.spread[1], c.spread[2])
        candidates.append(c._replace(prior=prior, mean=mean, spread=spread))
    return replace(proof, candidates=tuple(candidates))


def _single_trials(k: int, f: int, mean: Fraction) -> float:
    """k log mean + f log(1 - mean)."""
    return _binomial_log_likelihood(Counts([1, 0], 1, multiplicity=[k, f]), mean)


def pooled_mean(counts: Counts) -> float:
    """sum K/sum N over all latents; nan without trials."""
    k, f = totals(counts)
    return k / (k + f) if k + f else np.nan


def pooled_log_likelihood(counts: Counts) -> float:
    """The binomial log likelihood with one c for all latents, at its maximum c = `pooled_mean`."""
    k, f = totals(counts)
    if not k + f:
        return 0.0
    split = float(counts.multiplicity @ counts.log_split)
    return _binomial_log_likelihood(counts, Fraction(k, k + f)) + split


def _binomial_log_likelihood(counts: Counts, mean: Fraction) -> float:
    """sum log C(N, K) + K log c + (N - K) log(1 - c), with one c for all latents."""
    up, over = mean.numerator, mean.denominator
    m, rest = np.asarray(float(mean)), np.asarray(float(1 - mean))
    one, other, size = m, rest, 1.0
    if over < 2**63:
        one, other, size = np.asarray(up), np.asarray(over - up), float(over)
    difference = cross_difference(counts.successes, other, counts.failures, one) / size
    each = log_binomial(counts.successes, counts.total_count, (m, rest), difference)
    return float(counts.multiplicity @ each)


def own_log_likelihood(counts: Counts) -> float:
    """The log likelihood with c = K/N for each latent."""
    size = np.maximum(counts.total_count, 1)
    mean = counts.successes / size, counts.failures / size
    best = log_binomial(counts.successes, counts.total_count, mean, np.zeros(len(counts)))
    return float(counts.multiplicity @ (best + counts.log_split))


def as_totals(counts: Counts) -> tuple[Counts, float]:
    """One latent with all trials and the others without any, and what to add for logC.

    An objective that knows the counts through their totals only is the same for these, but for the
    binomial coefficients. Totals beyond 63 bits are left as they are.
    """
    k, f = totals(counts)
    if not counts.num_latents or k + f >= 2**63:
        return counts, 0.0
    together = Counts([k, 0], [k + f, 0], [1, counts.num_latents - 1])
    added = float(counts.multiplicity @ counts.log_coefficient) - float(together.log_coefficient[0])
    return together, added


def totals(counts: Counts) -> tuple[int, int]:
    """Successes and failures of all latents, exactly."""
    w = counts.multiplicity.astype(object)
    return int(w @ counts.successes), int(w @ counts.failures)
