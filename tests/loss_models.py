"""Small loss models, and the losses that they imply, by SciPy's densities."""

from __future__ import annotations

import numpy as np
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck.given_draws import Draws
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.diagnostics.point import Point
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES

COUNTS = er.Counts([3, 7, 2], [10, 9, 6])
PRIOR = (2.0, 3.0)
OWN = {
    "beta": [[4.0, 8.0, 3.0], [8.0, 3.0, 6.0]],
    "beta_shared": [[4.0], [8.0]],
    "normal": [[-0.7, 0.9, -0.4], [0.5, 0.6, 0.7]],
    "laplace": [[-0.7, 0.9, -0.4]],
    "delta": [[-0.7, 0.9, -0.4]],
    "none": [[-0.7, 0.9, -0.4]],
    "empty": np.zeros((0, 3)),
    "tied": np.zeros((0, 3)),
}


def model_of(
    guide="beta", counts=COUNTS, own=None, prior=PRIOR, loss="trace", steps=1, particles=1, **fields
):
    """A model of losses, with the same parameters at all steps."""
    prior = np.reshape(np.asarray(prior, float), (2, 1, 1))
    own = np.asarray(OWN[guide] if own is None else own, float)
    return LossModel(
        counts,
        GUIDES[guide],
        OBJECTIVES[loss] if isinstance(loss, str) else loss,
        particles,
        np.tile(prior, (1, steps, 1)),
        np.tile(own[:, None], (1, steps, 1)),
        **({"dtype": "float64"} | fields),
    )


def by_words(make, *given, **options):
    """Hypotheses by their words."""
    made = list(make(*given, **options))
    words = [x.variant for x in made]
    assert len(words) == len(set(words))
    return dict(zip(words, made, strict=True))


def posterior(counts=COUNTS, prior=PRIOR):
    """Concentrations of the exact posterior of each latent."""
    return np.reshape(prior, (2, 1)) + np.array((counts.successes, counts.failures))


def elbo_losses(rng, steps, counts=COUNTS, own=None, prior=PRIOR, particles=1, weight=1.0):
    """Losses of a Beta guide, drawn by NumPy; an entry of the counts for each latent."""
    a, b = np.asarray(OWN["beta"] if own is None else own, float)
    k, n = counts.successes, counts.total_count
    c = rng.beta(a, b, (steps, particles, len(counts)))
    rest = stats.beta.logpdf(c, *prior) - stats.beta.logpdf(c, a, b)
    return -(weight * stats.binom.logpmf(k, n, c) + rest).sum(axis=-1).mean(axis=-1)


def draws_of(c):
    """Draws as the models take them, from probabilities (T, P, L)."""
    return Draws(c, special.logit(c))


def point_of(rate=None, **fields):
    """Parameters of a guide that is the exact posterior under Beta(2, 3)."""
    return Point(
        **{
            "counts": COUNTS,
            "guide_name": "beta",
            "loss": OBJECTIVES["trace"],
            "prior": er.Beta(*PRIOR),
            "guide_parameters": posterior(),
            "learn_prior": True,
            "rate": rate,
            "num_particles": 1,
            **fields,
        }
    )
