"""`BetaSource`: a Beta distribution as the guides and objectives need it.

It is split at its own mean m = a/(a + b), s = a + b: with Jensen gaps

    E log c = log m - g1,          g1 = [log a - psi(a)] - [log s - psi(s)] >= 0,
    log B(a, b) = a log m + b log(1 - m) + r(a, b),

the expectation of f(c) = A log c + D log(1 - c) + const is f(m) - A g1 - D g0. The variance is

    Var[A log c + D log(1 - c)] = A^2 psi_1(a) + D^2 psi_1(b) - (A + D)^2 psi_1(s)             (E5)
        = (A b - D a)^2 / (a b s) + A^2 [q(a) - q(s)] + D^2 [q(b) - q(s)] - 2 A D q(s)

with q(x) = psi_1(x) - 1/x. These stay accurate however large the concentrations are
(`elbo_ref.special` says why). The derivative d/da E[A log c + D log(1 - c)] and E log c itself run
at every step of SVI and are plain differences, exact to about 1e-15 of their largest term: per unit
of a concentration's logarithm, to about 1e-15 times the concentration or the counts.

Source of the exponential-family identities: Wainwright & Jordan (2008), section 3.
"""

from __future__ import annotations

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.base import Center, Source
from elbo_ref.distributions.pathwise import logit_derivatives, of_pairs
from elbo_ref.special import (
    SHIFT,
    cross_difference,
    deviance,
    digamma_remainders,
    digamma_trigamma,
    jensen_gaps,
    log_beta,
    log_beta_remainder,
    trigamma_excess,
    trigamma_excess_difference,
)

_WITH_SUM = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
"""Takes two rows to those rows and their sum, in a third of the time of ``sum`` for one latent."""

_LESS_THIRD = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]])
"""Takes three rows to the first two less the third; exactly, as every product is by 0 or 1."""

_BEYOND = np.array(SHIFT + 1.0)
_MANY = 1000
"""Numbers from which BLAS might start threads, which takes longer than the work."""


class BetaSource(Source):
    """The family of Beta distributions; the rows of `x` are its concentrations.

    There is no residual: the log density is linear in log c and log(1 - c).
    """

    names = ("concentration1", "concentration0")
    has_exponents = True

    def center(self, x: FloatArray) -> Center:
        """Return the mean, and the Jensen gaps to it."""
        a, b = x
        return Center(a, b, a + b, log_gaps(a, b), log_beta_remainder(a, b))

    def log_normalizer(self, x: FloatArray) -> FloatArray:
        """Return log B(a, b)."""
        return log_beta(*x)

    def expected_logs(self, x: FloatArray) -> FloatArray:
        """Return psi(a) - psi(a + b) and psi(b) - psi(a + b)."""
        logs: FloatArray = _less_third(sc.psi(_with_sum(x)))
        return logs

    def pull_back(self, tilt: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return A psi_1(a) - (A + D) psi_1(a + b), and its mirror image; and the logarithms."""
        digammas, trigammas = digamma_trigamma(_with_sum(x))
        terms = _with_sum(tilt) * trigammas
        return _less_third(terms), _less_third(digammas)

    def variance(self, tilt: FloatArray, x: FloatArray, _weight: float = 0.0) -> FloatArray:
        """Return the variance of the linear form (E5); inf out of the range of a float."""
        (a, b), (up, down) = x, tilt
        exponent = np.frexp(np.maximum(np.abs(up), np.abs(down)))[1]  # so that no square overflows
        up, down = np.ldexp(up, -exponent), np.ldexp(down, -exponent)
        cross, s = cross_difference(up, b, down, a), a + b
        each = up**2 * trigamma_excess_difference(a, b) + down**2 * trigamma_excess_difference(b, a)
        scaled = (cross / a) * (cross / b) / s + (each - 2 * up * down * trigamma_excess(s))
        with np.errstate(over="ignore"):
            return np.asarray(np.ldexp(scaled, 2 * exponent))

    def sample_logits(
        self, x: FloatArray, shape: tuple[int, ...], rng: np.random.Generator
    ) -> FloatArray:
        """Draw log G_a - log G_b of two gamma draws.

        As G_a = G_{a+1} U^{1/a}, log G_a is a logarithm of nothing small: log G_{a+1} - E/a with E
        a unit exponential (G. Marsaglia & W. W. Tsang, ACM Transactions on Mathematical Software 26
        (2000) 363, section 6).
        """
        if x.size == 2:
            a, b = x.ravel().tolist()  # the same, in half the time
            up, down = rng.standard_gamma(a + 1, shape), rng.standard_gamma(b + 1, shape)
        else:
            a, b = x[0], x[1]
            columns = x.reshape(2, *(1,) * (len(shape) - a.ndim), *a.shape)
            gammas = rng.standard_gamma(columns + 1, (2, *shape))
            up, down = gammas[0], gammas[1]
        up /= down
        logits: FloatArray = np.log(up, out=up)
        waits = rng.standard_exponential((2, *shape))
        logits += waits[0] / b - waits[1] / a
        return logits

    def pathwise(
        self, logit: FloatArray, x: FloatArray, remainders: FloatArray | None = None
    ) -> FloatArray:
        """Differentiate draws at fixed quantiles (E6); `digamma_remainders` may be known."""
        if remainders is None:
            return logit_derivatives(logit, x[0], x[1])
        return of_pairs(logit, x, remainders)

    def pathwise_and_logs(self, logit: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return `pathwise` and `expected_logs`, from the same differences of digamma values.

        With the remainders D of `digamma_remainders` and S = SHIFT + 1,

            psi(a + b) - psi(a) = D(a + 1, b) + log(1 + b/(a + S)) + b / (a (a + b)).
        """
        a, b = x[0], x[1]
        if a.size < 2:
            return super().pathwise_and_logs(logit, x)
        remainders = digamma_remainders(a, b)
        rest, beyond = x[::-1].copy(), x + _BEYOND
        np.divide(rest, beyond, out=beyond)
        np.log1p(beyond, out=beyond)
        rest /= x
        rest /= a + b
        rest += beyond
        rest += remainders
        return self.pathwise(logit, x, remainders), np.negative(rest, out=rest)

    def score(self, _logit: FloatArray, logs: FloatArray, x: FloatArray) -> FloatArray:
        """Return the logarithms less their expectations."""
        return np.asarray(logs - self.expected_logs(x)[:, None])


def _with_sum(x: FloatArray) -> FloatArray:
    """Return two rows and their sum."""
    if x.size < _MANY:
        rows: FloatArray = _WITH_SUM.dot(x)
        return rows
    rows = np.empty((3, *x.shape[1:]))
    rows[:2] = x
    np.add(x[0], x[1], out=rows[2])
    return rows


def _less_third(rows: FloatArray) -> FloatArray:
    """Return the first two of three rows less the third."""
    less: FloatArray = _LESS_THIRD.dot(rows) if rows.size < _MANY else rows[:2] - rows[2]
    return less


BETA = BetaSource()


def beta_deviance(a: FloatArray, b: FloatArray, center: Center) -> FloatArray:
    """Return the log density of the logit under Beta(a, b), at the mean less at another center."""
    m, rest = center.pair
    s, difference = a + b, cross_difference(center.down, a, center.up, b) / center.total
    return deviance(a, s * m, difference) + deviance(b, s * rest, -difference)


def log_gaps(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return log m - E log c and log(1 - m) - E log(1 - c) at the mean m, both positive."""
    one, other = jensen_gaps(a, b)
    return one, other
