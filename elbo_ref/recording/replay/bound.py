"""How the particles of a step make one number: their mean, or a Renyi bound of them.

With f of each particle, the log weight, a bound is

    log mean exp((1 - alpha) f) / (1 - alpha) = sum w f + excess,       w ~ exp((1 - alpha) f),

and its gradient as Pyro estimates it sum w df: the mean that all else is, with other weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray


class Weighted(NamedTuple):
    """Weights of P particles, (P, T, L), whose sum is 1, and what a bound is above their mean."""

    weights: FloatArray
    excess: FloatArray


class Bound(NamedTuple):
    """A Renyi bound.

    Attributes
    ----------
    alpha : float
        Not 1.
    together : bool
        Whether it is that of all latents' weights multiplied, as Pyro takes it where they are not
        in one plate.
    """

    alpha: float
    together: bool = False

    def of(self, f: FloatArray) -> Weighted:
        """For log weights of shape (P, T, L); of a bound together each latent has a share.

        Examples
        --------
        >>> found = Bound(0.0).of(np.log([[[1.0]], [[3.0]]]))
        >>> found.weights.ravel(), np.exp(found.excess + found.weights.T @ np.log([1, 3])).ravel()
        (array([0.25, 0.75]), array([2.]))
        """
        rest, latents = 1 - self.alpha, f.shape[2]
        form = f.sum(axis=2, keepdims=True) if self.together else f
        weights = sc.softmax(rest * form, axis=0)
        bound = (sc.logsumexp(rest * form, axis=0) - np.log(len(f))) / rest
        excess = (bound - (weights * form).sum(axis=0)) / (latents if self.together else 1)
        wide = np.broadcast_to(excess, f.shape[1:])
        return Weighted(np.broadcast_to(weights, f.shape), wide)
