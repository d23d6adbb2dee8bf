"""`Beta`: prior, Beta guide and posterior are one kind of value.

A distribution is split at its own mean m = a/(a + b), s = a + b: with Jensen gaps

    E log c = log m - g1,          g1 = [log a - psi(a)] - [log s - psi(s)] >= 0,
    log B(a, b) = a log m + b log(1 - m) + r(a, b),

the expectation of f(c) = A log c + D log(1 - c) + const is f(m) - A g1 - D g0, and the entropy, the
divergence and the log density are sums of deviances and small remainders that stay accurate
however large the concentrations are (`elbo_ref.special` says why). The variance

    Var[A log c + D log(1 - c)] = A^2 psi_1(a) + D^2 psi_1(b) - (A + D)^2 psi_1(s)             (E5)
        = (A b - D a)^2 / (a b s) + A^2 [q(a) - q(s)] + D^2 [q(b) - q(s)] - 2 A D q(s)

with q(x) = psi_1(x) - 1/x is the second derivative of log B in the direction (A, D), so it is also
the integrand of a divergence between neighbours (a Bregman divergence):

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
    Rng,
    check_broadcast,
    check_type,
    concentration,
    float_array,
    float_in,
    generator,
    plain,
    require,
    sample_shape,
    scalar,
    underflow_is_zero,
)
from elbo_ref._validation.values import Pair, by_value
from elbo_ref.distributions.base import Center, Interval
from elbo_ref.distributions.pathwise import logit_derivatives
from elbo_ref.distributions.quantile import logit_quantile
from elbo_ref.special import (
    cross_difference,
    deviance,
    gauss_legendre,
    jensen_gap_difference,
    log_beta_remainder,
    trigamma,
    trigamma_excess,
    trigamma_excess_difference,
)

_NODES, _WEIGHTS = gauss_legendre(6)


@by_value
class Gradient(NamedTuple):
    """Derivatives with respect to the two concentrations, each with the shape of its `Beta`."""

    concentration1: float | FloatArray
    concentration0: float | FloatArray


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class Beta(Pair):
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

    def __post_init__(self) -> None:
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
    def std(self) -> float | FloatArray:
        """The standard deviation of c."""
        return plain(np.sqrt(self.variance))

    @property
    def mode(self) -> float | FloatArray:
        """The c of highest density: 0.0 or 1.0 where that is an end, nan where it is not one point.

        Not one point: both ends (a, b < 1), or everywhere (a = b = 1).
        """
        a, b = self.arrays()
        up, down = np.maximum(a - 1, 0.0), np.maximum(b - 1, 0.0)
        inner = up / np.where(up + down > 0, up + down, 1.0)
        only_one = (up + down == 0) & (a != b) & (np.maximum(a, b) == 1)
        at_end = np.where(a > b, 1.0, 0.0)
        return plain(np.where(up + down > 0, inner, np.where(only_one, at_end, np.nan)))

    def log_prob(self, c: ArrayLike) -> float | FloatArray:
        """Log density at c in [0, 1], with respect to c.

        Parameters
        ----------
        c : array_like
            Broadcasts against the shape of the distribution. At the ends it is the limit, which
            may be infinite.

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
        """-E log density, in nats; tends to minus infinity as the distribution collapses.

        Examples
        --------
        >>> round(Beta(2.0, 3.0).entropy(), 12)
        -0.234906649788
        """
        a, b = self.arrays()
        g1, g0 = _log_gaps(a, b)
        at_mean = np.log1p(b / a) + np.log1p(a / b) - log_beta_remainder(a, b)
        return plain((a - 1) * g1 + (b - 1) * g0 - at_mean)

    def kl(self, other: Beta) -> float | FloatArray:
        """KL(self || other) in nats (E4), with the broadcast shape of the two.

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
            As exact as ``scipy.special.betainc``: 1e-9 of its width for concentrations up to 1e9, a
            few percent at 1e15, nothing beyond.

        Examples
        --------
        >>> lower, upper = Beta(1.0, 1.0).interval(0.5)
        >>> round(lower, 12), round(upper, 12)
        (0.25, 0.75)
        """
        prob = scalar("prob", prob, lambda p: 0 < p < 1, "must lie strictly between 0 and 1")
        a, b = self.arrays()
        tail = (1 - prob) / 2
        lower, upper = logit_quantile(a, b, tail), -logit_quantile(b, a, tail)
        return Interval(plain(sc.expit(lower)), plain(sc.expit(upper)))

    def sample(self, size: int | tuple[int, ...], rng: Rng) -> FloatArray:
        """Draws of c, of shape `size` followed by the shape of the distribution.

        A draw nearer to 0 or 1 than a float can say is exactly 0.0 or 1.0; `sample_logit` keeps it.
        """
        return sc.expit(self.sample_logit(size, rng))

    def sample_logit(self, size: int | tuple[int, ...], rng: Rng) -> FloatArray:
        """Draws of logit c = log c - log(1 - c), right also where c rounds to 0 or 1.

        They are rounded to 2e-16, which is 1e-8 of their spread at concentrations of 1e15 and all
        of it beyond 1e30.

        Parameters
        ----------
        size : int or tuple of int
            Shape of the sample; the shape of the distribution follows it.
        rng : int, SeedSequence or Generator
            The same seed gives the same draws.

        Returns
        -------
        ndarray of shape ``size + shape``

        Notes
        -----
        logit c = log G_a - log G_b of two gamma draws, and G_a = G_{a+1} U^{1/a} (Marsaglia
        & Tsang 2000, section 6), so that log G_a is a logarithm of nothing small:
        log G_{a+1} - E/a with E a unit exponential.

        Examples
        --------
        >>> Beta(1e-3, 1e-3).sample_logit(3, rng=0).round(3)
        array([ 1419.032, -3075.699,   715.531])
        """
        return BETA.sample_logits(
            np.stack(self.arrays()), sample_shape(size) + self.shape, generator(rng)
        )

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
        """
        added = {}
        for name, value in (("successes", successes), ("failures", failures)):
            added[name] = float_array(name, value)
            good = (added[name] >= 0) & np.isfinite(added[name])
            require(name, added[name], good, "must be finite and not negative")
        a, b = self.arrays()
        check_broadcast(prior=a, **added)
        return Beta(a + added["successes"], b + added["failures"])


class BetaSource:
    """The family of Beta distributions; the rows of `x` are its concentrations."""

    names = ("concentration1", "concentration0")
    has_exponents = True

    def center(self, x: FloatArray) -> Center:
        """Return the mean, and the Jensen gaps to it."""
        a, b = x
        return Center(a, b, a + b, _log_gaps(a, b), log_beta_remainder(a, b))

    def log_normalizer(self, x: FloatArray) -> FloatArray:
        """Return log B(a, b)."""
        a, b = x
        return np.asarray(log_beta_remainder(a, b) - sc.xlog1py(a, b / a) - sc.xlog1py(b, a / b))

    def expected_logs(self, x: FloatArray) -> FloatArray:
        """Return psi(a) - psi(a + b) and psi(b) - psi(a + b)."""
        logs: FloatArray = _LESS_THIRD.dot(sc.psi(_WITH_SUM.dot(x)))
        return logs

    def pull_back(self, tilt: FloatArray, x: FloatArray) -> FloatArray:
        """Return A psi_1(a) - (A + D) psi_1(a + b), and its mirror image."""
        terms = _WITH_SUM.dot(tilt) * trigamma(_WITH_SUM.dot(x))
        slopes: FloatArray = _LESS_THIRD.dot(terms)
        return slopes

    def variance(self, tilt: FloatArray, x: FloatArray, _weight: float = 0.0) -> FloatArray:
        """Return the variance of the linear form (E5)."""
        return _tilt_variance(x[0], x[1], tilt[0], tilt[1])

    def sample_logits(
        self, x: FloatArray, shape: tuple[int, ...], rng: np.random.Generator
    ) -> FloatArray:
        """Draw logarithms of ratios of gamma draws; `Beta.sample_logit` says how."""
        a, b = x
        if a.size == b.size == 1:
            a, b = a.item(), b.item()  # the same, in half the time
        ratio = rng.standard_gamma(a + 1, shape) / rng.standard_gamma(b + 1, shape)
        boost = rng.standard_exponential(shape) / b - rng.standard_exponential(shape) / a
        return np.asarray(np.log(ratio) + boost)

    def pathwise(self, logit: FloatArray, x: FloatArray) -> FloatArray:
        """Differentiate draws at fixed quantiles (E6)."""
        return logit_derivatives(logit, x[0], x[1])

    def score(self, _logit: FloatArray, logs: FloatArray, x: FloatArray) -> FloatArray:
        """Return the logarithms less their expectations."""
        return np.asarray(logs - self.expected_logs(x)[:, None])

    def residual(self, _logit: FloatArray, _x: FloatArray) -> None:
        """Return None: the log density is linear in log c and log(1 - c)."""

    def residual_gradient(self, _x: FloatArray) -> None:
        """Return None."""


BETA = BetaSource()

_WITH_SUM = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
"""Takes two rows to those rows and their sum, in a third of the time of ``sum`` for one latent."""

_LESS_THIRD = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]])
"""Takes three rows to the first two less the third; exactly, as every product is by 0 or 1."""


def beta_deviance(a: FloatArray, b: FloatArray, center: Center) -> FloatArray:
    """Return the log density of the logit under Beta(a, b), at the mean less at another center."""
    m, rest = center.pair
    s, difference = a + b, cross_difference(center.down, a, center.up, b) / center.total
    return deviance(a, s * m, difference) + deviance(b, s * rest, -difference)


def _log_gaps(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return log m - E log c and log(1 - m) - E log(1 - c) at the mean m, both positive."""
    return jensen_gap_difference(a, b), jensen_gap_difference(b, a)


def _tilt_variance(a: FloatArray, b: FloatArray, up: FloatArray, down: FloatArray) -> FloatArray:
    exponent = np.frexp(np.maximum(np.abs(up), np.abs(down)))[1]  # so that no square overflows
    up, down = np.ldexp(up, -exponent), np.ldexp(down, -exponent)
    cross, s = cross_difference(up, b, down, a), a + b
    own = up**2 * trigamma_excess_difference(a, b) + down**2 * trigamma_excess_difference(b, a)
    scaled = (cross / a) * (cross / b) / s + (own - 2 * up * down * trigamma_excess(s))
    with np.errstate(over="ignore"):  # a variance out of the range of a float is infinite
        return np.asarray(np.ldexp(scaled, 2 * exponent))


def _bregman(a: FloatArray, b: FloatArray, up: FloatArray, down: FloatArray) -> FloatArray:
    """Integrate KL from Beta(a, b) to Beta(a + up, b + down) along the path between them."""
    t = _NODES.reshape(-1, *(1,) * a.ndim)
    along = _tilt_variance(a + t * up, b + t * down, up, down)
    return np.tensordot(_WEIGHTS * (1 - _NODES), along, axes=1)
