"""`Beta`: prior, Beta guide and posterior are one kind of value.

The entropy, the divergence and the log density are sums of deviances and small remainders, taken at
the mean (`elbo_ref.distributions.beta_source`), that stay accurate however large the concentrations
are. The variance (E5) is the second derivative of log B in the direction (A, D), so it is also the
integrand of a divergence between neighbours (a Bregman divergence):

    KL(q || p) = int_0^1 (1 - t) Var_t[(a0 - a) log c + (b0 - b) log(1 - c)] dt,

Var_t being that of the distribution at q + t (p - q).

Source of the exponential-family identities: Wainwright & Jordan (2008), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special as sc

from elbo_ref._validation.arguments import (
    FloatArray,
    check_broadcast,
    check_type,
    concentration,
    float_array,
    float_in,
    plain,
    probability,
    require,
    underflow_is_zero,
)
from elbo_ref._validation.indexes import check_same_index
from elbo_ref._validation.values import by_value
from elbo_ref.distributions.base import Distribution, Interval
from elbo_ref.distributions.beta_source import BETA, beta_deviance, log_gaps
from elbo_ref.distributions.quantile import logit_quantile
from elbo_ref.special import cross_difference, deviance, gauss_legendre, log_beta_remainder

_GAUSS_ORDER = 6


@by_value
class Gradient(NamedTuple):
    """Derivatives with respect to the two concentrations, each with the shape of its `Beta`."""

    concentration1: float | FloatArray
    concentration0: float | FloatArray


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class Beta(Distribution):
    """A Beta distribution of a success probability c, or an array of them.

    Parameters
    ----------
    concentration1, concentration0 : float or array_like
        The exponents plus one of c and of 1 - c (they count successes and failures); broadcast
        against each other, every element in [1e-100, 1e100].

    Raises
    ------
    ValueError
        If a concentration is outside that range or the shapes do not broadcast.

    Notes
    -----
    The order of the arguments and the names are those of ``torch.distributions.Beta``.

    Examples
    --------
    >>> prior = Beta(concentration1=2.0, concentration0=8.0)
    >>> prior.mean
    0.2
    >>> prior.conjugate_update(successes=3, failures=7)
    Beta(concentration1=5.0, concentration0=15.0)
    """

    concentration1: float | FloatArray
    concentration0: float | FloatArray

    _names = ("concentration1", "concentration0")
    _source = BETA

    def __post_init__(self) -> None:
        check_same_index(concentration1=self.concentration1, concentration0=self.concentration0)
        a = concentration("concentration1", self.concentration1)
        b = concentration("concentration0", self.concentration0)
        self._hold(a, b)

    @property
    def mean(self) -> float | FloatArray:
        """E c = a/(a + b)."""
        a, b = self.arrays()
        return plain(a / (a + b))

    @property
    def variance(self) -> float | FloatArray:
        """Var c = m (1 - m)/(a + b + 1)."""
        a, b = self.arrays()
        s = a + b
        return plain((a / s) * (b / s) / (s + 1))

    @property
    def mode(self) -> float | FloatArray:
        """The c of highest density: 0.0 or 1.0 where that is an end, nan where it is not one point.

        It is not one point where a, b < 1 (both ends) or a = b = 1 (everywhere).
        """
        a, b = self.arrays()
        up, down = np.maximum(a - 1, 0.0), np.maximum(b - 1, 0.0)
        inner = up / np.where(up + down > 0, up + down, 1.0)
        only_one = (up + down == 0) & (a != b) & (np.maximum(a, b) == 1)
        at_end = np.where(a > b, 1.0, 0.0)
        return plain(np.where(up + down > 0, inner, np.where(only_one, at_end, np.nan)))

    def log_prob(self, c: ArrayLike) -> float | FloatArray:
        """Return the log density at c in [0, 1], with respect to c.

        Parameters
        ----------
        c : array_like
            Broadcasts against the shape of the distribution.

        Returns
        -------
        float or ndarray
            In nats. At the ends it is the limit, which may be infinite.

        Raises
        ------
        ValueError
            If some c is outside [0, 1].

        Examples
        --------
        >>> round(Beta(2.0, 3.0).log_prob(0.25), 12)
        0.523248143765
        """
        c = float_in("c", c, 0.0, 1.0)
        a, b = self.arrays()
        s = a + b
        inside = (c > 0) & (c < 1)
        x = np.where(inside, c, 0.5)
        normal = np.maximum(x, 1e-290)
        rest = 1 - normal
        rounding = (1 - rest) - normal
        difference = cross_difference(a, rest, b, normal) + a * rounding
        away = deviance(a, s * normal, difference) + deviance(b, s * rest, -difference)
        at_normal = -away - log_beta_remainder(a, b) - np.log(normal) - np.log1p(-normal)
        inner = at_normal + (a - 1) * (np.log(x) - np.log(normal))
        exponent, other = np.where(c > 0, b, a), np.where(c > 0, a, b)
        with np.errstate(divide="ignore"):
            end = np.where(exponent == 1, np.log(other), np.where(exponent < 1, np.inf, -np.inf))
        return plain(np.where(inside, inner, end))

    def entropy(self) -> float | FloatArray:
        """Return the differential entropy of c.

        Returns
        -------
        float or ndarray
            -E log density, in nats. It tends to minus infinity as the distribution collapses.

        Examples
        --------
        >>> round(Beta(2.0, 3.0).entropy(), 12)
        -0.234906649788
        """
        a, b = self.arrays()
        g1, g0 = log_gaps(a, b)
        at_mean = np.log1p(b / a) + np.log1p(a / b) - log_beta_remainder(a, b)
        return plain((a - 1) * g1 + (b - 1) * g0 - at_mean)

    def kl(self, other: Beta) -> float | FloatArray:
        """Return the Kullback-Leibler divergence KL(self || other) (E4).

        Parameters
        ----------
        other : Beta
            Its shape broadcasts against this one's.

        Returns
        -------
        float or ndarray
            In nats, not negative, of the broadcast shape.

        Raises
        ------
        TypeError
            If `other` is not a Beta.

        Notes
        -----
        With Jensen gaps g1 and g0 at the mean m it is log q(m) - log p(m) + (a0 - a) g1
        + (b0 - b) g0; between near neighbours, where that cancels, the Bregman integral.

        Examples
        --------
        >>> round(Beta(2.0, 3.0).kl(Beta(1.0, 1.0)), 12)
        0.234906649788
        """
        check_type("other", other, Beta)
        (a, b), (a0, b0) = self.arrays(), other.arrays()
        center = BETA.center(np.stack((a, b)))
        g1, g0 = center.log_gaps
        at_mean = beta_deviance(a0, b0, center) + (log_beta_remainder(a0, b0) - center.remainder)
        divergence = at_mean + ((a0 - a) * g1 + (b0 - b) * g0)
        a, b, a0, b0, divergence = np.broadcast_arrays(a, b, a0, b0, divergence)
        near = (divergence < 1e-2) & (np.abs(a0 - a) <= a / 4) & (np.abs(b0 - b) <= b / 4)
        if near.any():
            divergence = divergence.copy()
            divergence[near] = _bregman(a[near], b[near], a0[near] - a[near], b0[near] - b[near])
        return plain(divergence)

    def interval(self, prob: float) -> Interval:
        """Return the equal-tailed interval that holds c with probability `prob`.

        Parameters
        ----------
        prob : float
            Strictly between 0 and 1.

        Returns
        -------
        Interval
            To 1e-8 of its width, or as exact as floats between 0 and 1 are: 1e-6 where both
            concentrations are 1e18.

        Examples
        --------
        >>> lower, upper = Beta(1.0, 1.0).interval(0.5)
        >>> round(lower, 12), round(upper, 12)
        (0.25, 0.75)
        """
        prob = probability("prob", prob)
        a, b = self.arrays()
        tail = (1 - prob) / 2
        lower, upper = logit_quantile(a, b, tail), -logit_quantile(b, a, tail)
        return Interval(plain(sc.expit(lower)), plain(sc.expit(upper)))

    def conjugate_update(self, successes: ArrayLike, failures: ArrayLike) -> Beta:
        """Return the posterior Beta(a + successes, b + failures) (E2).

        Parameters
        ----------
        successes, failures : array_like
            Finite and not negative; they broadcast against the shape of the distribution.

        Returns
        -------
        Beta

        Raises
        ------
        ValueError
            If a count is negative or not finite.

        Examples
        --------
        >>> Beta(2.0, 8.0).conjugate_update(3, 7)
        Beta(concentration1=5.0, concentration0=15.0)
        """
        check_same_index(successes=successes, failures=failures)
        added = {}
        for name, value in (("successes", successes), ("failures", failures)):
            added[name] = float_array(name, value)
            good = (added[name] >= 0) & np.isfinite(added[name])
            require(name, added[name], good, "must be finite and not negative")
        a, b = self.arrays()
        check_broadcast(prior=a, **added)
        return Beta(a + added["successes"], b + added["failures"])


def _bregman(a: FloatArray, b: FloatArray, up: FloatArray, down: FloatArray) -> FloatArray:
    """Integrate KL from Beta(a, b) to Beta(a + up, b + down) along the path between them."""
    nodes, weights = gauss_legendre(_GAUSS_ORDER)
    t = nodes.reshape(-1, *(1,) * a.ndim)
    along = BETA.variance(np.array((up, down)), np.array((a + t * up, b + t * down)))
    return np.tensordot(weights * (1 - nodes), along, axes=1)
