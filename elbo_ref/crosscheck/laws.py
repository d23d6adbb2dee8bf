"""How the losses of a run are distributed, given its parameters at each step.

By their cumulants (`elbo_ref.crosscheck.cumulants`); losses with a log-mean-exp (`Renyi`) and
minibatches are sampled.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta
from elbo_ref.crosscheck.cumulants import Sum, clamped, cumulants_of
from elbo_ref.crosscheck.story import Story, Terms
from elbo_ref.crosscheck.tails import Law, SaddlepointLaw, SampledLaw
from elbo_ref.objectives import Renyi
from elbo_ref.objectives.protocol import Task


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
        return sampled_law(story, rng), rounding
    return SaddlepointLaw(cumulants_of(story, terms)), rounding


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


def sampled_law(story: Story, rng: np.random.Generator, most: int = 400_000) -> SampledLaw:
    """The law of losses drawn as the run draws them, with at most so many draws of c."""
    draws = _sampled(story, Terms.of(story), rng, most)
    if story.beside is not None:
        draws += _sampled(story.beside, Terms.of(story.beside), rng, most)
    return SampledLaw(draws)


def _sampled(story: Story, terms: Terms, rng: np.random.Generator, most: int) -> FloatArray:
    """(T, M)."""
    task, particles = terms.task, story.num_particles
    steps, size = terms.first.shape
    renyi = story.loss if isinstance(story.loss, Renyi) else None
    samples = renyi.num_samples if renyi else 1
    batches = samples if story.bound == "mixed" else 1
    latents = task.num_latents if story.batch is None or size == 1 else story.batch
    repeats = max(most // (steps * particles * samples * latents), 200)
    losses = np.empty((steps, repeats))
    for t in range(steps):
        shape = (batches, repeats * particles, latents)
        entry, outcomes = _batches(story, task, shape, rng)
        tilt = np.array((terms.up[t], terms.down[t]))[:, entry] + outcomes
        likelihood = terms.likelihood[:, 0, entry] + outcomes
        prior, own = story.prior[:, t], np.broadcast_to(story.own[:, t], (len(story.own), size))
        each = own[:, entry.ravel()]
        logit = task.guide.sample_logit(prior, each, (samples // batches, entry.size), rng)
        logit = logit.reshape(samples, *shape[1:])
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
        losses[t] = -scaled.reshape(repeats, particles).mean(axis=1)
    return story.constant + story.factor * losses


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
