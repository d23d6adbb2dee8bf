"""How the losses of a run are distributed, given its parameters at each step.

By their cumulants (`elbo_ref.crosscheck.cumulants`); losses with a log-mean-exp (`Renyi`) and
minibatches are sampled, unless their particles are so many that three cumulants say all of their
mean. Those of minibatches are exact. Those of a log-mean-exp are of M draws of one particle: the
difference of a mean of P from that of the draws has variance kappa_2 (1/P + 1/M) and third cumulant
kappa_3 (1/P^2 - 1/M^2), so that a loss is compared as exactly as the simulation allows, no more.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.cumulants import Sum, clamped, cumulants_of, minibatch_cumulants
from elbo_ref.crosscheck.loss_model import Story, Terms
from elbo_ref.crosscheck.saddlepoint import GammaCumulants, Law, SaddlepointLaw, SampledLaw
from elbo_ref.distributions.beta import Beta
from elbo_ref.objectives import Renyi
from elbo_ref.objectives.base import Task

_ENOUGH, _FEWEST, _COSTLY = 200, 200, 20_000_000
"""Particles, or drawn latents, whose mean three cumulants tell; samples of a loss; draws of c."""
_MOST, _BLOCK = 400_000, 500_000
"""Draws of c in all, unless a loss then has fewer samples than that; and at a time."""


def law_of(story: Story, rng: np.random.Generator) -> tuple[Law, FloatArray]:
    """How the losses of a story are distributed, and how far rounding may move them."""
    if story.beside is not None:
        (one, first), (other, second) = (law_of(x, rng) for x in (story.alone(), story.beside))
        assert isinstance(one, SaddlepointLaw)
        assert isinstance(other, SaddlepointLaw)
        return SaddlepointLaw(Sum((one.cumulants, other.cumulants))), first + second
    terms = Terms.of(story)
    rounding = 4 * np.finfo(story.dtype).eps * abs(story.factor) * terms.magnitude(story)
    if isinstance(story.loss, Renyi) or story.batch is not None:
        if not _many(story, terms):
            return sampled_law(story, rng), rounding
        return SaddlepointLaw(_three_cumulants(story, terms, rng)), rounding
    return SaddlepointLaw(cumulants_of(story, terms)), rounding


def _drawn(story: Story, terms: Terms) -> tuple[int, int]:
    """How many samples a particle's bound has, and how many latents each of them draws."""
    samples = story.loss.num_samples if isinstance(story.loss, Renyi) else 1
    if story.batch is None or terms.first.shape[1] == 1:
        return samples, terms.task.num_latents
    return samples, story.batch


def _many(story: Story, terms: Terms) -> bool:
    """Whether a step has so many particles that its loss need not be sampled."""
    particles, drawn = story.num_particles, math.prod(_drawn(story, terms))
    costly = terms.first.shape[0] * _FEWEST * particles * drawn > _COSTLY
    return particles >= _ENOUGH or (costly and particles > 1 and particles * drawn >= _ENOUGH)


def _three_cumulants(story: Story, terms: Terms, rng: np.random.Generator) -> GammaCumulants:
    """Of a mean of many particles."""
    if not isinstance(story.loss, Renyi):
        return GammaCumulants(*minibatch_cumulants(story, terms))
    draws = _sampled(story._replace(num_particles=1), terms, rng, _MOST)
    mean, one, other = draws.mean(axis=1), 1 / story.num_particles, 1 / draws.shape[1]
    away = draws - mean[:, None]
    second, third = (np.mean(away**n, axis=1) for n in (2, 3))
    return GammaCumulants(mean, second * (one + other), third * (one**2 - other**2))


def means_of(story: Story) -> FloatArray:
    """The expected losses of a story without minibatches, (T,); nothing is clamped."""
    terms = Terms.of(story)
    found: FloatArray = story.constant + latent_means(story, terms) @ terms.task.weights
    return found


def latent_means(story: Story, terms: Terms) -> FloatArray:
    """What one latent of each entry contributes to them, (T, G)."""
    logs = terms.expected_logs(story)
    form = terms.up * logs[0] + terms.down * logs[1] + terms.constants
    found: FloatArray = -story.factor * form
    return found


def clamped_draws(story: Story) -> float:
    """How many draws of c are expected to be clamped, in all losses."""
    terms = Terms.of(story)
    if terms.kind is not Beta:
        return np.inf
    return float(clamped(story, terms).sum())


def sampled_law(story: Story, rng: np.random.Generator, most: int = _MOST) -> SampledLaw:
    """The law of losses drawn as the run draws them, with at most so many draws of c."""
    draws = _sampled(story, Terms.of(story), rng, most)
    if story.beside is not None:
        draws += _sampled(story.beside, Terms.of(story.beside), rng, most)
    return SampledLaw(draws)


def _sampled(story: Story, terms: Terms, rng: np.random.Generator, most: int) -> FloatArray:
    """(T, M)."""
    particles, steps = story.num_particles, terms.first.shape[0]
    drawn = math.prod(_drawn(story, terms))
    repeats = max(most // (steps * particles * drawn), _FEWEST)
    block = max(1, _BLOCK // (particles * max(drawn, terms.task.num_latents)))
    losses = np.empty((steps, repeats))
    for t in range(steps):
        for start in range(0, repeats, block):
            some = slice(start, min(start + block, repeats))
            shape = some.stop - start, particles
            losses[t, some] = -_particles(story, terms, t, shape, rng).mean(axis=1)
    return story.constant + story.factor * losses


def _particles(
    story: Story, terms: Terms, t: int, shape: tuple[int, int], rng: np.random.Generator
) -> FloatArray:
    """What particles of one step estimate."""
    task, size, count = terms.task, terms.first.shape[1], shape[0] * shape[1]
    renyi = story.loss if isinstance(story.loss, Renyi) else None
    samples, latents = _drawn(story, terms)
    batches = samples if story.bound == "mixed" else 1
    entry, outcomes = _batches(story, task, (batches, count, latents), rng)
    tilt = np.array((terms.up[t], terms.down[t]))[:, entry] + outcomes
    likelihood = terms.likelihood[:, 0, entry] + outcomes
    prior, own = story.prior[:, t], np.broadcast_to(story.own[:, t], (len(story.own), size))
    each = own[:, entry.ravel()]
    x = task.guide.source_parameters(prior, each)
    logit = task.guide.source.sample_logits(x, (samples // batches, entry.size), rng)
    logit = logit.reshape(samples, count, latents)
    form = terms.form(story, logit, tilt, likelihood, own[:, entry])
    form = form + terms.constants[t][entry]
    if renyi:
        rest = 1 - renyi.alpha
        if size > 1 and story.bound != "scaled_after":
            rest *= story.batch_scale
        if story.bound == "together":
            form = form.sum(axis=-1, keepdims=True)
        form = (sc.logsumexp(rest * form, axis=0) - np.log(samples)) / rest
    else:
        form = form[0]
    scaled = story.batch_scale * form.sum(axis=-1) if size > 1 else form.sum(axis=-1)
    return np.asarray(scaled.reshape(shape))


def _batches(
    story: Story, task: Task, shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[NDArray[np.intp], FloatArray]:
    """The entries that each particle sees, and what its outcomes are more than the entries'."""
    *particles, latents = shape
    whole = np.broadcast_to(task.entry_of_latent, (*particles, task.num_latents))
    if story.batch is None:
        return whole, np.zeros((2, 1, 1, 1))
    if len(story.counts) > 1:
        order = rng.random(whole.shape).argpartition(story.batch - 1, axis=-1)
        return task.entry_of_latent[order[..., :latents]], np.zeros((2, 1, 1, 1))
    k, f = int(task.counts.successes[0]), int(task.counts.failures[0])
    found = rng.hypergeometric(k, f, story.batch, particles)
    seen = np.array((found, story.batch - found), dtype=np.float64)[..., None]
    return whole, story.batch_scale * seen - task.outcomes[:, :, None, None]
