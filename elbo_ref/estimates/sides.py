"""Latents that may be compared: Betas with common nodes, or their mixture.

Much of a distribution may be closer to 0 than floats are, as of Beta(1e-4, 1). There it is taken at
log c, in which I_c(a, b) = c^a/(a B(a, b)): two latents without successes are no tie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.estimates.mixture import LatentMixture, Point, log_logit_density
from elbo_ref.special import beta_share

_SMALL_LOG = -600.0


@dataclass(frozen=True)
class Betas:
    """A latent given each node of its prior.

    Attributes
    ----------
    latent : LatentMixture
    """

    latent: LatentMixture

    @property
    def weight(self) -> FloatArray:
        """The weights of the nodes."""
        return self.latent.weight

    @property
    def logit(self) -> FloatArray:
        """The logit of each mean."""
        return np.asarray(np.log(self.latent.concentration1 / self.latent.concentration0))

    @property
    def rates(self) -> tuple[FloatArray, FloatArray]:
        """The two concentrations."""
        return self.latent.concentration1, self.latent.concentration0

    @property
    def variance(self) -> float:
        """The variance of the mixture."""
        return self.latent.variance

    @property
    def key(self) -> tuple[bytes, ...]:
        """The bytes of the mixture."""
        return self.latent.key

    @property
    def mirrored(self) -> Betas:
        """The distributions of 1 - c."""
        return Betas(self.latent.mirrored)

    def log_density(self, at: Point) -> FloatArray:
        """Compute the log density of logit c, shape (R, T)."""
        a, b, _ = self.latent
        return log_logit_density(a[:, None], b[:, None], at)

    def below(self, at: Point) -> FloatArray:
        """Compute the distribution functions, shape (R, T)."""
        a, b, _ = self.latent
        return _below(a[:, None], b[:, None], at)


@dataclass(frozen=True)
class Mixed(Betas):
    """A latent, its prior averaged over."""

    @property
    def weight(self) -> FloatArray:
        """The one node."""
        return np.ones(1)

    @property
    def logit(self) -> FloatArray:
        """The logit of the mean."""
        a, b, weight = self.latent
        mean, rest = (float(weight @ (x / (a + b))) for x in (a, b))
        return np.array([np.log(mean / rest)])

    @property
    def rates(self) -> tuple[FloatArray, FloatArray]:
        """The least of the two concentrations."""
        a, b, _ = self.latent
        return np.array([a.min()]), np.array([b.min()])

    @property
    def mirrored(self) -> Mixed:
        """The distribution of 1 - c."""
        return Mixed(self.latent.mirrored)

    def log_density(self, at: Point) -> FloatArray:
        """Compute the log density of logit c, shape (1, T)."""
        a, b, weight = self.latent
        log = log_logit_density(a, b, _columns(at))
        return np.asarray(sc.logsumexp(log, b=weight, axis=1))[None]

    def below(self, at: Point) -> FloatArray:
        """Compute the distribution function, shape (1, T)."""
        a, b, weight = self.latent
        return np.asarray(_below(a, b, _columns(at)) @ weight)[None]


def _columns(at: Point) -> Point:
    """Turn points of one row, (1, T), into (T, 1)."""
    return Point(*(x[0, :, None] for x in at))


def _below(a: FloatArray, b: FloatArray, at: Point) -> FloatArray:
    """Compute I_c(a, b), close to an end of (0, 1) by the distance from it, however small."""
    share = beta_share(a, b, at.c, at.rest)
    if (at.log_c < _SMALL_LOG).any():
        share = np.where(at.log_c < _SMALL_LOG, _tiny(a, b, at.log_c), share)
    if (at.log_rest < _SMALL_LOG).any():
        share = np.where(at.log_rest < _SMALL_LOG, 1 - _tiny(b, a, at.log_rest), share)
    return share


def _tiny(a: FloatArray, b: FloatArray, log_c: FloatArray) -> FloatArray:
    return np.asarray(np.exp(np.minimum(a * log_c - np.log(a) - sc.betaln(a, b), 0.0)))
