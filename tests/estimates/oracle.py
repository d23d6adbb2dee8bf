"""Slow twins of the averaged estimates: a double-exponential rule over (m, w) in the unit square.

m is the prior's mean and w = s0/(s0 + s): other coordinates, other nodes and another evidence
(rising factorials, factor by factor) than those of the package.
"""

from __future__ import annotations

import numpy as np
from scipy import special as sc


def unit_rule(size=90, reach=3.6):
    """Nodes x, 1 - x and weights of the double-exponential rule on (0, 1)."""
    t = np.linspace(-reach, reach, 2 * size + 1)
    u = np.pi * np.sinh(t)
    x, rest = sc.expit(u), sc.expit(-u)
    return x, rest, x * rest * np.pi * np.cosh(t) * (t[1] - t[0])


class Twin:
    """The posterior of (m, s) on a grid."""

    def __init__(self, counts, trials, mean=(1.0, 1.0), weight=(1.0, 1.0), size=90):
        m, rest, dm = unit_rule(size)
        w, other, dw = unit_rule(size)
        s = trials * other / w
        self.a, self.b = np.outer(m, s), np.outer(rest, s)
        log = (mean[0] - 1) * np.log(m) + (mean[1] - 1) * np.log(rest) + np.log(dm)
        log = log[:, None] + (
            (weight[0] - 1) * np.log(w) + (weight[1] - 1) * np.log(other) + np.log(dw)
        )
        columns = counts.successes, counts.failures, counts.multiplicity
        for k, f, times in zip(*columns, strict=True):
            log = log + times * (_rising(self.a, k) + _rising(self.b, f) - _rising(s, k + f))
        with np.errstate(under="ignore"):
            self.share = np.exp(log - log.max())
        self.share /= self.share.sum()
        self.s = np.broadcast_to(s, self.a.shape)

    def mean(self, k, n):
        """The posterior mean of a latent."""
        return float((self.share * (self.a + k) / (self.s + n)).sum())

    def shrinkage(self, n):
        """The posterior mean of s/(s + n)."""
        return float((self.share * self.s / (self.s + n)).sum())

    def below(self, k, n, c):
        """The probability of a latent below c."""
        return float((self.share * sc.betainc(self.a + k, self.b + n - k, c)).sum())


def _rising(x, n):
    """log x (x + 1) ... (x + n - 1)"""
    return sum((np.log(x + j) for j in range(n)), np.zeros(1))
