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


def in_two_steps(model):
    """The model with other parameters at its second loss."""
    prior = model.prior[:, :1] * [[[1.0], [1.1]], [[1.0], [0.8]]]
    own = model.guide_parameters[:, :1]
    return model._replace(prior=prior, guide_parameters=np.concatenate([own, 1.1 * own], axis=1))


def estimate(model, logit):
    """A particle's estimate of each latent at logits (..., T, G), by SciPy's densities."""
    c, (k, n) = special.expit(logit), (model.counts.successes, model.counts.total_count)
    own, kind = model.guide_parameters, model.guide.name
    jacobian = special.log_expit(logit) + special.log_expit(-logit)
    prior = stats.beta.logpdf(c, *model.prior)
    rest = {
        "beta": lambda: prior - stats.beta.logpdf(c, *own),
        "beta_shared": lambda: prior - stats.beta.logpdf(c, *own),
        "conjugate": lambda: (
            prior - stats.beta.logpdf(c, model.prior[0] + k, model.prior[1] + n - k)
        ),
        "normal": lambda: prior - stats.norm.logpdf(logit, *own) + jacobian,
        "laplace": lambda: prior + jacobian,
        "delta": lambda: prior,
        "empty": lambda: prior,
        "tied": lambda: 0.0,
        "none": lambda: 0.0,
    }[kind]()
    return model.likelihood_weight * stats.binom.logpmf(k, n, c) + rest


def weighed(model, size=2001, far=30.0):
    """Logits (nodes, T, G) over all that is likely of a model's draws, and their shares."""
    y = np.linspace(-far, far, size)[:, None, None]
    own, kind = model.guide_parameters, model.guide.name
    shape = (model.prior.shape[1], len(model.counts))
    if kind in ("delta", "laplace", "none"):
        return np.broadcast_to(own, (1, *shape)), np.ones((1, *shape))
    if kind == "normal":
        density = stats.norm.pdf(y, *own)
    else:
        a, b = own if kind.startswith("beta") else model.prior
        density = np.exp(a * special.log_expit(y) + b * special.log_expit(-y))
    density = np.broadcast_to(density, (size, *shape))
    return np.broadcast_to(y, density.shape), density / density.sum(axis=0)


def central(values, shares):
    """Mean, variance and third central moment over the first axis."""
    mean = (shares * values).sum(axis=0)
    away = values - mean
    return np.array((mean, *((shares * away**n).sum(axis=0) for n in (2, 3))))


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
