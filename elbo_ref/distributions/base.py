"""The protocol of a source: what the guides and objectives need of the distribution of c.

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

from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref._validation.values import by_value
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

    def pull_back(self, tilt: FloatArray, x: FloatArray, /) -> FloatArray:
        """Differentiate E[A log c + D log(1 - c)] by the parameters, the tilt held fixed."""

    def variance(self, tilt: FloatArray, x: FloatArray, weight: float = 0.0, /) -> FloatArray:
        """Return Var[A log c + D log(1 - c) + weight residual] (E5)."""

    def sample_logits(
        self, x: FloatArray, shape: tuple[int, ...], rng: np.random.Generator, /
    ) -> FloatArray:
        """Draw logits of c."""

    def pathwise(self, logit: FloatArray, x: FloatArray, /) -> FloatArray:
        """Differentiate draws by the parameters at fixed quantiles (E6), (k, particles, G)."""

    def score(self, logit: FloatArray, logs: FloatArray, x: FloatArray, /) -> FloatArray:
        """Return d log q(c) / d(parameter) at draws, (k, particles, G)."""

    def residual(self, logit: FloatArray, x: FloatArray, /) -> FloatArray | None:
        """Return the residual at draws, less its expectation; None if there is none."""

    def residual_gradient(self, x: FloatArray, /) -> FloatArray | None:
        """Return the residual's derivative through a draw less the score: the same at all draws."""


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
