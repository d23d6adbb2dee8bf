"""A source, what the guides and objectives need of the distribution of c; and the values of one.

A source is a family of distributions of c in (0, 1), stateless; its parameters are the rows of an
array `x`, (k, ..., G), one column for each latent. On the scale of the logit y, the density is

    log q(y) = e1 log c + e0 log(1 - c) - residual(y) - log_normalizer,

with *exponents* (e1, e0) that are the two parameters of a Beta and 0 for the others; with respect
to c it is larger by the Jacobian -log c (1 - c). So one particle's estimate of any objective is a
linear form in the logarithms of the draw, the *tilt* (A, D), a residual and a constant,

    f = A log c + D log(1 - c) + residual(y) + constant.

Its expectation is f at a center m of the source, less A and D times the *gaps*

    log m - E log c    and    log(1 - m) - E log(1 - c),

and everything else that is asked is the noise of f or a derivative by the parameters.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import (
    FloatArray,
    IntArray,
    Rng,
    generator,
    plain,
    sample_shape,
    underflow_is_zero,
)
from elbo_ref._validation.values import Pair, by_value
from elbo_ref.special import cross_difference

AnyCounts: TypeAlias = FloatArray | IntArray

_FARTHEST = 700.0
"""Beyond this logit, c or 1 - c is smaller than a float may be."""


@by_value
class Interval(NamedTuple):
    """The two ends of an interval for c."""

    lower: float | FloatArray
    upper: float | FloatArray


class Center(NamedTuple):
    """A point m inside the support of a source, and the source's density there.

    m is ``up / total`` and 1 - m is ``down / total``, each to full relative precision.
    """

    up: FloatArray
    down: FloatArray
    total: FloatArray | float
    log_gaps: tuple[FloatArray, FloatArray]
    """log m - E log c and log(1 - m) - E log(1 - c)."""
    remainder: FloatArray | float
    """log_normalizer - e1 log m - e0 log(1 - m)."""
    logit: FloatArray | None = None
    """log m - log(1 - m), where m is known by it alone and so itself rounded."""

    @property
    def pair(self) -> tuple[FloatArray, FloatArray]:
        """The pair m and 1 - m."""
        return self.up / self.total, self.down / self.total

    def difference(self, successes: AnyCounts, failures: AnyCounts) -> FloatArray:
        """Form successes (1 - m) - failures m, as exactly as m is known."""
        if self.logit is not None:
            return successes * self.down - failures * self.up
        return cross_difference(self.down, successes, self.up, failures) / self.total

    def log_jacobian(self) -> FloatArray:
        """Return log m + log(1 - m), the logarithm of dm/d(logit m)."""
        if self.logit is not None:
            return np.asarray(sc.log_expit(self.logit) + sc.log_expit(-self.logit))
        return np.asarray(-(np.log1p(self.down / self.up) + np.log1p(self.up / self.down)))


class Source(Protocol):
    """A family of distributions of c.

    In the methods `x` are parameters (k, G), of `center` and `log_normalizer` with any axes
    between; `tilt` is (2, G), `logit` are draws or nodes (particles, G), and `logs` are their log c
    and log(1 - c), (2, particles, G).
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the k parameters."""

    @property
    def has_exponents(self) -> bool:
        """True if the parameters are the exponents of c and 1 - c on the logit scale."""

    def center(self, x: FloatArray, /) -> Center:
        """Return the center and the gaps to it."""

    def log_normalizer(self, x: FloatArray, /) -> FloatArray | float:
        """Return the log normalizer, with the residual's expectation."""

    def expected_logs(self, x: FloatArray, /) -> FloatArray:
        """Return E log c and E log(1 - c), (2, G)."""

    def pull_back(self, tilt: FloatArray, x: FloatArray, /) -> tuple[FloatArray, FloatArray]:
        """Differentiate E[A log c + D log(1 - c)] by the parameters, the tilt held fixed.

        With the derivatives, (k, G), come `expected_logs`, which have most of the work in common.
        """

    def variance(self, tilt: FloatArray, x: FloatArray, weight: float = 0.0, /) -> FloatArray:
        """Return Var[A log c + D log(1 - c) + weight residual] (E5)."""

    def sample_logits(
        self, x: FloatArray, shape: tuple[int, ...], rng: np.random.Generator, /
    ) -> FloatArray:
        """Draw logits of c."""

    def pathwise(self, logit: FloatArray, x: FloatArray, /) -> FloatArray:
        """Differentiate draws by the parameters at fixed quantiles (E6), (k, particles, G)."""

    def pathwise_and_logs(
        self, logit: FloatArray, x: FloatArray, /
    ) -> tuple[FloatArray, FloatArray]:
        """Return `pathwise` and `expected_logs`, which may have work in common."""
        return self.pathwise(logit, x), self.expected_logs(x)

    def score(self, logit: FloatArray, logs: FloatArray, x: FloatArray, /) -> FloatArray:
        """Return d log q(c) / d(parameter) at draws, (k, particles, G)."""

    def residual(self, _logit: FloatArray, _x: FloatArray, /) -> FloatArray | None:
        """Return the residual at draws, less its expectation; None if there is none."""
        return None

    def residual_gradient(self, _x: FloatArray, /) -> FloatArray | None:
        """Return the residual's derivative through a draw less the score: the same at all draws."""
        return None


@underflow_is_zero
class Distribution(Pair):
    """A distribution of c with two parameters, or an array of them: draws, and their spread."""

    _source: ClassVar[Source]

    @property
    def variance(self) -> float | FloatArray:
        """The variance of c."""
        raise NotImplementedError

    @property
    def std(self) -> float | FloatArray:
        """The standard deviation of c."""
        return plain(np.sqrt(self.variance))

    def sample(self, size: int | tuple[int, ...], rng: Rng) -> FloatArray:
        """Draw success probabilities.

        Parameters
        ----------
        size : int or tuple of int
            Shape of the sample; the shape of the distribution follows it.
        rng : int, SeedSequence or Generator
            The same seed gives the same draws.

        Returns
        -------
        ndarray of shape ``size + shape``
            A draw nearer to 0 or 1 than a float can say is exactly 0.0 or 1.0.

        See Also
        --------
        sample_logit : Draws that keep their digits there.

        Examples
        --------
        >>> from elbo_ref import Beta
        >>> Beta(2.0, 3.0).sample(3, rng=0).shape
        (3,)
        """
        return sc.expit(self.sample_logit(size, rng))

    def sample_logit(self, size: int | tuple[int, ...], rng: Rng) -> FloatArray:
        """Draw logit c = log c - log(1 - c), right also where c rounds to 0 or 1.

        Draws are rounded to 2e-16 of themselves: for a Beta that is 1e-8 of their spread at
        concentrations of 1e15, and all of it beyond 1e30.

        Parameters
        ----------
        size : int or tuple of int
            Shape of the sample; the shape of the distribution follows it.
        rng : int, SeedSequence or Generator
            The same seed gives the same draws.

        Returns
        -------
        ndarray of shape ``size + shape``

        Examples
        --------
        >>> from elbo_ref import Beta
        >>> Beta(1e-3, 1e-3).sample_logit(3, rng=0).round(3)
        array([ 1419.032, -3075.699,   715.531])
        """
        shape = sample_shape(size) + self.shape
        return self._source.sample_logits(np.stack(self.arrays()), shape, generator(rng))


def logit_center(
    logit: FloatArray, gap: FloatArray | float, remainder: FloatArray | float
) -> Center:
    """Make the center sigma(logit), or as near as floats go, of a source with two equal gaps."""
    near = np.clip(logit, -_FARTHEST, _FARTHEST)
    gaps = (
        gap + (sc.log_expit(near) - sc.log_expit(logit)),
        gap + (sc.log_expit(-near) - sc.log_expit(-logit)),
    )
    return Center(sc.expit(near), sc.expit(-near), 1.0, gaps, remainder, near)
