"""The coordinates in which the evidence is searched, where its ends are, and the last digits.

With mean m = a/(a + b), concentration s = a + b and gamma = 1/s the log evidence is, up to a
constant and over the rungs t of `elbo_ref.mle.factorial_sums`, either of

    sum_up log(m + t gamma) + sum_down log(1 - m + t gamma) - sum_total log(1 + t gamma)
    sum_up log(a + t) + sum_down log(s - a + t) - sum_total log(s + t),

a profile over gamma, and one over s (`elbo_ref.mle.profile`). The bounds of the first are close
where s is beyond most rungs, of the second where it is not; they meet in between.
The ends:

* gamma = 0, the binomial limit, is an ordinary point. The slope there,
  1/2 [sum K(K-1)/m + sum F(F-1)/(1-m) - sum N(N-1)], is a ratio of whole numbers: its sign is
  exact.
* s -> 0. With M latents of 0 < K < N and any mean,

      s d/ds log evidence >= M - sum over rungs t >= 1 of s/(s + t),

  which is positive below s = M / sum(1/t): no maximum is there, and the evidence falls as M log s.

At a given mean both are plain functions. With concentration0 held there is one profile, over a.

A maximum is polished by Newton's method with exact derivatives in (logit m, log s). Near the
binomial limit their terms cancel; there the gradient is taken as its difference from the limit's,
in (m, gamma),

    1/(m + t gamma) - 1/m0 = -(m - m0 + t gamma)/(m0 (m + t gamma)),   and so on,

because at the limit it is 0 and the slope, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.factorial_sums import Ladder, Rungs
from elbo_ref.mle.profile import EPS, Slice, Terrain, ridge


@dataclass(frozen=True)
class Polished:
    """A maximiser, to the precision of the gradient.

    Attributes
    ----------
    prior : Beta
    relative_error : float
        Of both concentrations, estimated from the rounding of the gradient and the Hessian.
    spread : tuple or None
        The inverse of minus the Hessian in (logit m, log s): variance, covariance, variance.
    """

    prior: Beta
    relative_error: float
    spread: tuple[float, float, float] | None


@dataclass(frozen=True)
class Sheet:
    """A profile, where to look in it, and what its points mean.

    Attributes
    ----------
    profile : Terrain or Slice
    grid : ndarray
        Rising values of x that span what has to be searched.
    prior, coordinate : functions
        From x > 0 to the (best) prior there, and back.
    polish : function
        From a prior near a maximum to the maximum.
    sign_at_0 : int or None
        The sign of the slope at grid[0] = 0, the binomial limit; None where 0 is not in the grid.
    """

    profile: Terrain | Slice
    grid: FloatArray
    prior: Callable[[float], Beta]
    coordinate: Callable[[Beta], float]
    polish: Callable[[Beta], Polished]
    sign_at_0: int | None = None


def binomial_slope(counts: Counts, mean: Fraction) -> Fraction:
    """The slope of the log evidence in gamma at the binomial limit (E10), exactly."""

    def pairs(outcome: IntArray) -> int:
        return _exact_sum(outcome, outcome - 1, counts.multiplicity)

    up, down, together = map(pairs, (counts.successes, counts.failures, counts.total_count))
    return (up / mean + down / (1 - mean) - together) / 2


def _exact_sum(x: IntArray, y: IntArray, w: IntArray) -> int:
    """sum of x y w in whole numbers."""
    largest = float(x.max()) * float(x.max()) * float(w.sum())
    if largest < 2**62:
        return int((x * y * w).sum())
    return sum(map(int, x.astype(object) * y.astype(object) * w.astype(object)))


def two_sheets(ladder: Ladder, mean: Fraction, slope: Fraction, free: bool) -> list[Sheet]:
    """Profiles over gamma and s, on all of the half-line that may hold a maximum.

    Parameters
    ----------
    ladder : Ladder
        With a mixed latent at least.
    mean, slope : Fraction
        At the binomial limit.
    free : bool
        Whether the mean may change.
    """
    total = ladder.total
    limit = float(mean), float(1 - mean), float(slope)
    least = ladder.mixed / float((total.weight[1:] / total.offset[1:]).sum())
    middle = max(_middle(ladder.total), least)

    def prior_at(profile: Terrain) -> Callable[[float], Beta]:
        def prior(x: float) -> Beta:
            m, rest = (float(part[0]) for part in profile.best_mean(np.array([x])))
            return Beta(m / x, rest / x) if profile.by_gamma else Beta(m * x, rest * x)

        return prior

    def polish(prior: Beta) -> Polished:
        ways = [_polish(prior, ladder, free)]
        if all(rungs.offset[-1] <= x for rungs, x in zip(ladder[:2], prior.arrays(), strict=True)):
            ways.append(_polish_near_limit(prior, ladder, limit, free))
        return min(ways, key=lambda way: way.relative_error)

    given = None if free else limit[:2]
    by_gamma, by_s = Terrain(ladder, True, given), Terrain(ladder, False, given)
    sheets = [
        Sheet(
            by_gamma,
            np.concatenate([[0.0], np.exp(-np.arange(4.0, -1, -1)) / middle]),
            prior_at(by_gamma),
            lambda prior: 1 / float(sum(prior.arrays())),
            polish,
            (slope > 0) - (slope < 0),
        )
    ]
    if middle > least:
        grid = np.geomspace(middle, least, int(np.log(middle / least)) + 2)[::-1]
        sheets.append(
            Sheet(by_s, grid, prior_at(by_s), lambda prior: float(sum(prior.arrays())), polish)
        )
    return sheets


def one_sheet(up: Rungs, excess: Rungs, concentration0: float) -> Sheet:
    """The profile over a, for a given b, with V = T - U.

    a d/da log evidence = sum_U a b/[(a + t)(a + b + t)] - sum_V a/(a + b + t) is positive for
    a < b with a sum_V 1/(b + t) below half the number of latents with a success, and negative for
    a > N with a > 2 b (successes)/(failures).
    """
    b = concentration0
    low = 0.5 * min(b, 0.5 * up.weight[0] / float((excess.weight / (b + excess.offset)).sum()))
    most = max(up.offset[-1], excess.offset[-1]) + 1
    high = 2.0 * max(most, 2 * b * float(up.weight.sum()) / float(excess.weight.sum()))
    return Sheet(
        Slice(up, excess, b),
        np.geomspace(low, high, int(np.log(high / low)) + 2),
        lambda x: Beta(x, b),
        lambda prior: float(prior.arrays()[0]),
        lambda prior: _polish_first(prior, up, excess),
    )


def best_at(concentration: float, ladder: Ladder) -> Polished:
    """The best prior of a given concentration: the log evidence is concave in the mean."""
    gamma = np.array([1 / concentration])
    m, rest = (float(part[0]) for part in ridge(ladder, gamma, gamma))
    a, b = concentration * m, concentration * rest
    _, hessian, noise = _derivatives(a, b, ladder)
    variance = float(-1 / hessian[0, 0])
    return Polished(Beta(a, b), float(noise[0]) * variance + 4 * EPS, (variance, 0.0, 0.0))


def _middle(total: Rungs) -> float:
    """The s at which both profiles bend the total's logarithms alike: sum (s - t)/(s + t) = 0."""
    s = np.geomspace(1e-3, 2 * total.offset[-1] + 1, 64)
    balance = ((s[:, None] - total.offset) / (s[:, None] + total.offset)) @ total.weight
    return float(s[np.argmax(balance > 0)])


def _polish(prior: Beta, ladder: Ladder, free: bool) -> Polished:
    """Newton's method in (logit m, log s), or in log s alone."""
    a, b = map(float, prior.arrays())
    error = np.inf
    for _ in range(60):
        gradient, hessian, noise = _derivatives(a, b, ladder)
        if not free:
            gradient[0], noise[0] = 0.0, 0.0
            hessian = np.diag([-1.0, hessian[1, 1]])
        if not np.linalg.det(hessian) > 0:
            return Polished(prior, np.inf, None)
        inverse = np.linalg.inv(hessian)
        doubt = np.abs(inverse) @ noise
        step = -inverse @ gradient
        largest = float(np.abs(step).max())
        step = step / max(1.0, largest)
        error = float(doubt.sum())
        m, rest, s = a / (a + b), b / (a + b), (a + b) * np.exp(step[1])
        odds = np.expm1(step[0])
        part = 1 + m * odds
        a, b = s * m * (1 + odds) / part, s * rest / part
        if largest <= max(1e-15, 0.1 * error):
            break
    variance = -float(inverse[0, 0]) if free else 0.0
    spread = variance, -float(inverse[0, 1]), -float(inverse[1, 1])
    return Polished(Beta(a, b), error + 4 * EPS, spread)


def _derivatives(a: float, b: float, ladder: Ladder) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Gradient and Hessian in (logit m, log s), and the rounding of the gradient."""
    up, down, raised, sunk = ladder.up, ladder.down, ladder.up.raised, ladder.excess.raised
    s = a + b
    z, w, shared = a + up.offset, b + down.offset, s + down.offset
    own1, own0 = b / s * a * float((1 / z) @ up.weight), a / s * b * float((1 / w) @ down.weight)
    gain = a * float((1 / (a + raised.offset)) @ raised.weight)
    loss = a * float((1 / (w * shared)) @ (down.weight * down.offset))
    e = s + sunk.offset
    sink = s * float((1 / e) @ sunk.weight)
    gradient = np.array([own1 - own0, ladder.mixed + (gain - loss - sink)])
    noise = 4 * EPS * np.array([own1 + own0, ladder.mixed + gain + loss + sink])
    ut, dt = up.weight * up.offset, down.weight * down.offset
    part = a * b / s
    square = float((1 / (z * z)) @ up.weight + (1 / (w * w)) @ down.weight)
    first = -(part**2) * square + (b - a) / s * gradient[0]
    cross = part * float((1 / (z * z)) @ ut - (1 / (w * w)) @ dt)
    pull = a * float(((s * b - down.offset**2) / (w * shared) ** 2) @ dt)
    second = a * float((1 / (z * z)) @ ut) + pull
    second -= s * float((sunk.offset / (e * e)) @ sunk.weight)
    return gradient, np.array([[first, cross], [cross, second]]), noise


def _polish_first(prior: Beta, up: Rungs, excess: Rungs) -> Polished:
    """Newton's method in log a, b held."""
    a, b = map(float, prior.arrays())
    for _ in range(60):
        z, e = a + up.offset, a + b + excess.offset
        w = z + b
        each = a / z * (b / w) * up.weight
        gain, loss = float(each.sum()), a * float((1 / e) @ excess.weight)
        bend = float(each @ (up.offset / z - a / w))
        bend -= float((a / e * (b + excess.offset) / e) @ excess.weight)
        if not bend < 0:
            return Polished(prior, np.inf, None)
        step, error = (loss - gain) / bend, -4 * EPS * (gain + loss) / bend
        a *= float(np.exp(step / max(1.0, abs(step))))
        if abs(step) <= max(1e-15, 0.1 * error):
            break
    variance, m = -1 / bend, a / (a + b)
    return Polished(Beta(a, b), error + 4 * EPS, (variance, variance * m, variance * m * m))


def _polish_near_limit(
    prior: Beta, ladder: Ladder, limit: tuple[float, float, float], free: bool
) -> Polished:
    """Newton's method in (m - m0, gamma) with the gradient relative to the binomial limit.

    Parameters
    ----------
    limit : (m0, 1 - m0, slope)
        The mean there, and the derivative in gamma.
    free : bool
        Whether the mean may change.
    """
    m0, f0, slope = limit
    up, down, total = ladder.up, ladder.down, ladder.total
    a, b = map(float, prior.arrays())
    gamma = 1 / (a + b)
    shift = (a * f0 - b * m0) * gamma if free else 0.0
    error = np.inf
    for _ in range(60):
        g_m, g_gamma, noise_m, noise_gamma = 0.0, slope, 0.0, EPS * abs(slope)
        hessian = np.zeros((2, 2))
        for rungs, sign, base in ((up, 1.0, m0), (down, -1.0, f0), (total, 0.0, 1.0)):
            t, w = rungs.offset, rungs.weight if sign else -rungs.weight
            away = sign * shift + gamma * t
            z = base + away
            pull = w / (base * z)
            g_m -= sign * float(pull @ away)
            g_gamma -= float(pull @ (away * t))
            noise_m += abs(sign) * float(np.abs(pull) @ np.abs(away))
            noise_gamma += float(np.abs(pull) @ (np.abs(away) * t))
            square = w / (z * z)
            one, two = sign * float(square @ t), float(square @ (t * t))
            hessian -= np.array([[sign * sign * float(square.sum()), one], [one, two]])
        gradient = np.array([g_m, g_gamma])
        noise = 4 * EPS * np.array([noise_m, noise_gamma])
        if not free:
            hessian[0, :] = hessian[:, 0] = [-1.0, 0.0]
            gradient[0] = noise[0] = 0.0
        if not np.linalg.det(hessian) > 0:
            return Polished(prior, np.inf, None)
        inverse = np.linalg.inv(hessian)
        step = -inverse @ gradient
        largest = max(abs(step[1]) / gamma, abs(step[0]) / (m0 * f0))
        scale = 1 / max(1.0, 2 * largest)
        shift, gamma = shift + scale * step[0], gamma + scale * step[1]
        doubt = np.abs(inverse) @ noise
        error = float(doubt[1] / gamma + doubt[0] / min(m0 + shift, f0 - shift))
        if largest <= max(1e-15, 0.1 * error):
            break
    m, rest = m0 + shift, f0 - shift
    scale = np.array([1 / (m * rest), -1 / gamma])
    (variance, both), (_, log) = -scale[:, None] * inverse * scale
    spread = float(variance) if free else 0.0, float(both), float(log)
    return Polished(Beta(m / gamma, rest / gamma), error + 2 * EPS, spread)
