"""Draws from the posterior of all latents together, and from their priors.

A draw takes one of the priors that are averaged, by its weight, for all latents of a group: so the
draws of two latents depend on each other as the latents do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.estimates.fit import Fit


def draws_of(
    fits: Sequence[Fit],
    group: NDArray[np.intp],
    entry: NDArray[np.intp],
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Draw logits of c from posterior and prior, each of shape (chains, draws, G).

    At a limit that no prior attains all draws are the one point that the posterior tends to.
    """
    posterior, prior = np.empty((2, *shape, group.size))
    for i, fit in enumerate(fits):
        chosen = np.flatnonzero(group == i)
        own = entry[chosen]
        if fit.nodes is None:
            with np.errstate(divide="ignore"):
                posterior[..., chosen] = prior[..., chosen] = sc.logit(fit.columns(0.5).mean[own])
            continue
        a, b, weight, k, f = fit.mixture
        node = rng.choice(weight.size, size=shape, p=weight / weight.sum())
        pair = np.array((a[node], b[node]))[..., None]
        size = (*shape, chosen.size)
        seen = np.array((k[own], f[own]), np.float64)[:, None, None]
        posterior[..., chosen] = BETA.sample_logits(pair + seen, size, rng)
        prior[..., chosen] = BETA.sample_logits(pair, size, rng)
    return posterior, prior
