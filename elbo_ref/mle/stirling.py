"""The evidence of each latent near the binomial limit, where nothing cancels.

With mean m, gamma = 1/(a + b), N trials with the fraction c of successes, and Binet's function mu,

    log Gamma(x) = (x - 1/2) log x - x + log(2 pi)/2 + mu(x),

the log evidence of a latent is, up to what depends on the counts alone,

    f = -[KL(m|p)/gamma + N KL(c|p)]                                                         (E15)
        - log[(1 + K/a)(1 + F/b)/(1 + gamma N)]/2
        + [mu(a + K) - mu(a)] + [mu(b + F) - mu(b)] - [mu(a + b + N) - mu(a + b)]

where p = (m + gamma K)/(1 + gamma N) and KL(x|y) = x log(x/y) + (1 - x) log[(1 - x)/(1 - y)]. Let

    y = 1 + gamma N,   n = N/y,   q = gamma n,   e = c - m,   k = n e,   d = q e = p - m,
    u = d/m,   v = -d/(1 - m),   A = e/(p y),   B = -e/((1 - p) y),

and, each positive and falling on (-1, inf),

    lambda = integral over 0 < t < 1 of 1/(1 + t x) = log(1 + x)/x,
    eta    = integral of t/(1 + t x)     = (1 - lambda)/x,
    omega  = integral of t/(1 + t x)^2   = 1/(1 + x) - eta,
    sigma  = integral of t^2/(1 + t x)^2 = (2 eta - 1/(1 + x))/x.

Then KL(m|p)/gamma^2 = k^2 E with E = eta(u)/m + eta(v)/(1 - m), and but for mu

    f_gamma       = k^2 E - n (1 + A + B)/2
    f_m           = k [lambda(u)/m + lambda(v)/(1 - m)] + q [(1 + A)/m - (1 + B)/(1 - m)]/2
    f_gamma,gamma = -2 k^2 n E - k^3 [sigma(u)/m^2 - sigma(v)/(1 - m)^2]/y
                    + n^2 [(1 + A)^2 + (1 + B)^2 - 1]/2
    f_gamma,m     = -2 k n E - k^2 [(omega(u) - q sigma(u))/m^2 - (omega(v) - q sigma(v))/(1 - m)^2]
                    + n [(1 + A)/p - (1 + B)/(1 - p)]/(2 y)

All are of the order of n times the square of a standardized residual, however large N and 1/gamma
are, and none has a 0/0 at gamma = 0. mu is small and its derivatives have enveloping series: with
r = a/(a + K), g = gamma (1 + r)/(6 m) times a number in [1 - 1/(5 a^2), 1], and likewise of b and
a + b, it turns 1 + A, or n (1 + A)/m, into 1 + A times 1 + g in the first two. In the third it adds
-n (1 + A) r/(6 p y) and at most n (1 + A)/(6 m a^2), in the fourth at most n (1 + A)/(2 m a). And

    -f_mm = n (1 + A)/m [1 + gamma (1 + r)/(2 m)] + the like of b,

times a number in [1, 1 + 1/(2 a^2)], a itself the smaller of a and b.

Sources: mu and its derivatives envelop their asymptotic series, NIST DLMF 5.11(ii).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.counts import Counts
from elbo_ref.mle.binomial import BinomialLimit
from elbo_ref.mle.interval_arithmetic import Enclosure
from elbo_ref.special.arithmetic import ODD_RECIPROCALS, deviance, polynomial

_CLOSE = 0.25
_LEAST = 1e-100


class Latents(NamedTuple):
    """Latents with multiplicities, their fractions relative to a mean that is known exactly.

    Attributes
    ----------
    successes, failures, trials, weight : float64 ndarray, shape (G,)
    away, more_away : float64 ndarray, shape (G,)
        K/N - mean, as an unevaluated sum of two floats.
    mean, rest : Enclosure
        The mean, and one less it.
    """

    successes: FloatArray
    failures: FloatArray
    trials: FloatArray
    weight: FloatArray
    away: FloatArray
    more_away: FloatArray
    mean: Enclosure
    rest: Enclosure

    @classmethod
    def of(cls, counts: Counts, limit: BinomialLimit) -> Latents:
        """Take the fractions relative to the mean of the binomial limit."""
        up, over = limit.mean.numerator, limit.mean.denominator
        rows = zip(counts.successes.tolist(), counts.total_count.tolist(), strict=True)
        away = np.array([_two_floats(k * over - n * up, n * over) for k, n in rows]).T
        k, f, n, w = (
            column.astype(np.float64)
            for column in (
                counts.successes, counts.failures, counts.total_count, counts.multiplicity,
            )
        )  # fmt: skip
        ends = (np.array(float(x)) for x in (limit.mean, 1 - limit.mean))
        mean, rest = (Enclosure.outward(x, x) for x in ends)
        return cls(k, f, n, w, away[0], away[1], mean, rest)


def _two_floats(numerator: int, denominator: int) -> tuple[float, float]:
    """Divide, and give the quotient as a float and what is left as another."""
    first = numerator / denominator
    up, over = first.as_integer_ratio()
    return first, (numerator * over - up * denominator) / (denominator * over)


@dataclass(frozen=True, eq=False)
class Box:
    """The terms of (E15) for gamma and for the shift of m from the latents' mean in given ranges.

    Parameters
    ----------
    latents : Latents
    gamma, shift : Enclosure, shape (X, 1)
        gamma >= 0, and 0 < m < 1.
    reference : float
        The derivatives in m are those times 1 + reference gamma: for one of the larger N they vary
        little with gamma.
    """

    latents: Latents
    gamma: Enclosure
    shift: Enclosure
    reference: float = 0.0

    @cached_property
    def mean(self) -> tuple[Enclosure, Enclosure]:
        """Give m, and 1 - m."""
        return self.latents.mean + self.shift, self.latents.rest - self.shift

    @cached_property
    def scales(self) -> tuple[Enclosure, Enclosure, Enclosure]:
        """Give 1/y, q and n; n times 1 + reference gamma."""
        n = self.latents.trials
        few, many = self.gamma.low * n, self.gamma.high * n
        ends = [
            n * (1 + self.reference * gamma) / (1 + product)
            for gamma, product in ((self.gamma.low, few), (self.gamma.high, many))
        ]
        return (
            Enclosure.outward(1 / (1 + many), 1 / (1 + few), _ROUNDING),
            Enclosure.outward(few / (1 + few), many / (1 + many), _ROUNDING),
            Enclosure.outward(np.minimum(*ends), np.maximum(*ends), _ROUNDING),
        )

    @cached_property
    def residual(self) -> tuple[Enclosure, Enclosure]:
        """Give e and k; e is as accurate as the shift allows."""
        away, more = self.latents.away, self.latents.more_away
        low, high = (away - self.shift.high) + more, (away - self.shift.low) + more
        e = Enclosure.outward(low, high, _ROUNDING)
        return e, self.scales[2] * e

    @cached_property
    def pull(self) -> tuple[Enclosure, Enclosure, Enclosure, Enclosure]:
        """Give p, 1 - p, u and v."""
        (m, rest), (inverse, q, _), (e, _) = self.mean, self.scales, self.residual
        d = q * e
        p, other = (
            whole.meet((part + self.gamma * Enclosure.exact(outcome)) * inverse)
            for whole, part, outcome in (
                (m + d, m, self.latents.successes),
                (rest - d, rest, self.latents.failures),
            )
        )
        u, v = d / m, -d / rest
        u = Enclosure(np.maximum(u.low, p.low / m.high * (1 - _ROUNDING) - 1), u.high)
        v = Enclosure(np.maximum(v.low, other.low / rest.high * (1 - _ROUNDING) - 1), v.high)
        return p, other, u, v

    @cached_property
    def tilts(self) -> tuple[Enclosure, Enclosure]:
        """Give A and B; 1 + A = c/p is not negative."""
        p, other, _, _ = self.pull
        part = self.scales[0] * self.residual[0]
        tilts = part / p, -part / other
        up, down = (Enclosure(np.maximum(x.low, -1.0), x.high) for x in tilts)
        return up, down

    @cached_property
    def spread(self) -> Enclosure:
        """Give E."""
        (m, rest), (_, _, u, v) = self.mean, self.pull
        return u.falling(_eta) / m + v.falling(_eta) / rest

    @cached_property
    def binet(self) -> tuple[Enclosure, Enclosure, Enclosure]:
        """Give r/m, r of the failures over 1 - m, and the number in [1 - 1/(5 a^2), 1]."""
        (m, rest), inverse, (p, other, _, _) = self.mean, self.scales[0], self.pull
        a = np.minimum(m.low, rest.low) / np.maximum(self.gamma.high, _LEAST)
        doubt = 1 / (5 * a * a)
        return inverse / p, inverse / other, Enclosure(1 - doubt, np.ones_like(doubt))

    @cached_property
    def shares(self) -> tuple[Enclosure, Enclosure, Enclosure]:
        """Give gamma (1 + r)/m of the successes, of the failures and of the trials."""
        (m, rest), (first, second, _) = self.mean, self.binet
        one, other = first * m + 1.0, second * rest + 1.0
        return self.gamma / m * one, self.gamma / rest * other, self.gamma * (self.scales[0] + 1.0)

    @cached_property
    def gains(self) -> tuple[Enclosure, Enclosure, Enclosure]:
        """Give g of the successes, of the failures and of the trials."""
        first, second, third = (share * (self.binet[2] * (1 / 6)) for share in self.shares)
        return first, second, third

    def by_gamma(self) -> Enclosure:
        """Bound the derivative in gamma of each latent."""
        n, (_, k), (up, down) = self.scales[2], self.residual, self.tilts
        first, second, third = self.gains
        binet = (up + 1.0) * first + (down + 1.0) * second - third
        return k.square() * self.spread - n * 0.5 * (up + down + binet + 1.0)

    def by_mean(self) -> Enclosure:
        """Bound the derivative in m of each latent."""
        (m, rest), n, (_, k), (_, _, u, v) = self.mean, self.scales[2], self.residual, self.pull
        (up, down), (first, second, _) = self.tilts, self.gains
        half = (up + 1.0) * (first + 1.0) / m - (down + 1.0) * (second + 1.0) / rest
        return (
            k * (u.falling(_lambda) / m + v.falling(_lambda) / rest) + self.gamma * n * 0.5 * half
        )

    def steepness(self) -> Enclosure:
        """Bound minus the second derivative in m of each latent."""
        (m, rest), n, (up, down) = self.mean, self.scales[2], self.tilts
        first, second, _ = self.shares
        both = (up + 1.0) * (first * 0.5 + 1.0) / m + (down + 1.0) * (second * 0.5 + 1.0) / rest
        doubt = 2.5 * (1 - self.binet[2].low)
        return n * both * Enclosure(np.ones_like(doubt), 1 + doubt)

    def by_gamma_twice(self) -> Enclosure:
        """Bound the second derivative in gamma of each latent."""
        (m, rest), (inverse, _, n), (_, k), (_, _, u, v) = (
            self.mean, self.scales, self.residual, self.pull,
        )  # fmt: skip
        (up, down), (first, second, doubt) = self.tilts, self.binet
        skew = u.falling(_sigma) / m.square() - v.falling(_sigma) / rest.square()
        one, other = up + 1.0, down + 1.0
        bend = k.square() * k * inverse * skew + k.square() * n * self.spread * 2.0
        square = n.square() * 0.5 * (one.square() + other.square() - 1.0)
        binet = one * first * m * first + other * second * rest * second - inverse.square()
        error = (n * (one / m + other / rest + 1.0)).high * (1 - doubt.low)
        return square - bend - n * binet * (1 / 6) + Enclosure(-error, error)

    def by_gamma_and_mean(self) -> Enclosure:
        """Bound the mixed derivative of each latent."""
        (m, rest), (inverse, q, n), (_, k), (p, other, u, v) = (
            self.mean, self.scales, self.residual, self.pull,
        )  # fmt: skip
        up, down = (x + 1.0 for x in self.tilts)
        skew = (u.falling(_omega) - q * u.falling(_sigma)) / m.square()
        skew = skew - (v.falling(_omega) - q * v.falling(_sigma)) / rest.square()
        half = n * inverse * 0.5 * (up / p - down / other)
        error = (n * self.gamma * 0.5 * (up / m.square() + down / rest.square())).high
        return half - k * n * self.spread * 2.0 - k.square() * skew + Enclosure(-error, error)

    def heights(self) -> tuple[FloatArray, FloatArray]:
        """Compute (E15) at a point, summed over latents, and the sum of its parts' sizes."""
        k, f, n, w = self.latents[:4]
        gamma, (m, rest) = self.gamma.middle, (x.middle for x in self.mean)
        residual, (p, other) = self.residual[1].middle, (x.middle for x in self.pull[:2])
        shape, s = residual.shape, 1 / np.maximum(gamma, _LEAST)
        inside = deviance(s * m, s * p, -residual) + deviance(s * rest, s * other, residual)
        outside = deviance(np.broadcast_to(k, shape), n * p, residual)
        outside = outside + deviance(np.broadcast_to(f, shape), n * other, -residual)
        logs = np.log1p(gamma * k / m) / 2, np.log1p(gamma * f / rest) / 2, np.log1p(gamma * n) / 2
        binet = _binet(m, k, gamma) + _binet(rest, f, gamma) - _binet(np.ones_like(m), n, gamma)
        height = -inside - outside - (logs[0] + logs[1] - logs[2]) - binet
        return height @ w, (inside + outside + sum(logs) + np.abs(binet)) @ w


_ROUNDING = 2.0**-50


def _binet(part: FloatArray, outcome: FloatArray, gamma: FloatArray) -> FloatArray:
    """Compute mu(a) - mu(a + K) at a = part/gamma, to 1/(252 a^5)."""
    end = part + gamma * outcome
    square, r = (gamma / part) ** 2, part / end
    step = gamma / part * (gamma * outcome / end) / 12
    return step * (1 - square * (1 + r + r * r) / 30)


def _lambda(x: FloatArray) -> FloatArray:
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, np.log1p(safe) / safe)


def _eta(x: FloatArray) -> FloatArray:
    close, r, tail = _atanh_tail(x)
    safe = np.where(close, 1.0, x)
    return np.where(close, (1 - 2 * r * tail / (2 + x)) / (2 + x), (1 - _lambda(safe)) / safe)


def _omega(x: FloatArray) -> FloatArray:
    return 1 / (1 + x) - _eta(x)


def _sigma(x: FloatArray) -> FloatArray:
    close, _, tail = _atanh_tail(x)
    safe = np.where(close, 1.0, x)
    near = 1 / ((2 + x) * (1 + x)) - 4 * tail / (2 + x) ** 3
    return np.where(close, near, (2 * _eta(safe) - 1 / (1 + safe)) / safe)


def _atanh_tail(x: FloatArray) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Give where r = x/(2 + x) is small, r, and 1/3 + r^2/5 + ...; log(1 + x) = 2 atanh r."""
    r = x / (2 + x)
    close = np.abs(r) < _CLOSE
    return close, r, polynomial(ODD_RECIPROCALS, np.where(close, r * r, 0.0))
