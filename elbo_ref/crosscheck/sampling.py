"""Losses drawn as a run draws them.

Models of the same source have the same draws of c if their seed is the same. What their forms are
linear in (`DrawArithmetic.terms`) is computed once, and noise cancels where they are compared.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.linear_form import DrawArithmetic, DrawTerms, LinearForm
from elbo_ref.crosscheck.loss_model import unchanged
from elbo_ref.objectives.base import Task
from elbo_ref.special import log_choose

MOST_DRAWS, _BLOCK = 400_000, 500_000
"""Draws of c in all, unless a loss then has fewer samples than that; and at a time."""
_FEWEST = 200
"""Samples of a loss."""
_OF_BATCHES, _OF_OUTCOMES = 1, 2
"""Streams of random numbers beside that of c."""


def sample_losses(
    form: LinearForm, seed: int, most: int = MOST_DRAWS, fewest: int = _FEWEST
) -> FloatArray:
    """Sample each loss, (T, M); those of one distribution have the same samples.

    There are at most so many draws of c, and at least so many of each loss.
    """
    model, steps = form.model, 1 if same_at_all_steps(form) else form.num_losses
    particles, drawn = model.num_particles, math.prod(draws_of_particle(form))
    repeats = max(most // (steps * particles * drawn), fewest)
    each = particles * max(drawn, form.task.num_latents)
    together, size = max(1, _BLOCK // (repeats * each)), max(1, _BLOCK // each)
    estimates = np.empty((repeats, steps))
    for first in range(0, steps, together):
        at = slice(first, min(first + together, steps))
        for start in range(0, repeats, size):
            rows = slice(start, min(start + size, repeats))
            block = _Seed(seed, first, start, rows.stop)
            found = _estimates(form, at, (rows.stop - start) * particles, block)
            estimates[rows, at] = found.reshape(rows.stop - start, particles, -1).mean(axis=1)
    losses = model.constant - model.factor * estimates.T
    return np.array(np.broadcast_to(losses, (form.num_losses, repeats)))


def same_at_all_steps(form: LinearForm) -> bool:
    """Return True if all losses have one distribution."""
    return unchanged(form.parameters, form.tilt, form.constants[None])


def draws_of_particle(form: LinearForm) -> tuple[int, int]:
    """Count the samples of a particle's bound, and the latents that each of them draws."""
    model = form.model
    samples = model.renyi.num_samples if model.renyi else 1
    if model.batch is None or model.pooled_batch:
        return samples, form.task.num_latents
    return samples, model.batch


class _Seed(NamedTuple):
    """Where the random numbers of a block begin: the seed of all, its first step and its rows."""

    all: int
    step: int
    first: int
    last: int

    def rng(self, stream: int) -> np.random.Generator:
        """Return the generator of one of the block's streams."""
        return np.random.default_rng((*self, stream))


def _estimates(form: LinearForm, steps: slice, count: int, seed: _Seed) -> FloatArray:
    """Estimates of particles at some steps, (count, steps)."""
    model, samples = form.model, draws_of_particle(form)[0]
    batch = None if model.pooled_batch else model.batch
    batches = samples if model.bound == "mixed" else 1
    every = np.broadcast_to(form.likelihood, form.tilt.shape)
    x, tilt, likelihood, constants = (
        y[..., steps, :] for y in (form.parameters, form.tilt, every, form.constants)
    )
    entries = form.task.entry_of_latent
    seen = _Seen(entries.tobytes(), batch, (batches, count, x.shape[1]), seed)
    draws = _draws(form.arithmetic, x.tobytes(), x.shape, seen, samples)
    entry, step = draws.entry, np.arange(x.shape[1])[:, None]
    tilt, likelihood = tilt[:, step, entry], likelihood[:, step, entry]
    coefficients = np.zeros(1)
    if model.pooled_batch:
        outcomes = _outcomes_of_batches(form, (batches, count, x.shape[1]), seed.rng(_OF_BATCHES))
        tilt, likelihood = tilt + outcomes, likelihood + outcomes
    if not model.observed:
        outcomes, coefficients = drawn_outcomes(form, entry, draws.logit, seed.rng(_OF_OUTCOMES))
        tilt, likelihood = tilt + outcomes, likelihood + outcomes
    values = draws.terms.combined(tilt, likelihood) + constants[step, entry] + coefficients
    scale = 1.0 if model.pooled_batch else model.batch_scale
    if model.renyi is None:
        return np.asarray(scale * values[0].sum(axis=-1))
    power = 1 - model.renyi.alpha
    if model.bound != "scaled_after":
        power *= scale
    if model.bound == "together":
        values = values.sum(axis=-1, keepdims=True)
    bound = (sc.logsumexp(power * values, axis=0) - np.log(samples)) / power
    return np.asarray(scale * bound.sum(axis=-1))


class _Seen(NamedTuple):
    """The latents that samples see: of all entries or, if there is a batch, of so many of them.

    Attributes
    ----------
    entries : bytes
        The entry of each latent.
    batch : int or None
    shape : tuple of int
        Batches of a particle, particles and steps.
    seed : _Seed
    """

    entries: bytes
    batch: int | None
    shape: tuple[int, int, int]
    seed: _Seed

    def entry(self) -> NDArray[np.intp]:
        """Entries, (batches, particles, steps, latents), of length 1 where they are all alike."""
        entries = np.frombuffer(self.entries, np.intp)
        if self.batch is None:
            return entries[None, None, None]
        order = self.seed.rng(_OF_BATCHES).random((*self.shape, entries.size))
        return entries[order.argpartition(self.batch - 1, axis=-1)[..., : self.batch]]


class _Draws(NamedTuple):
    """Draws of c, (samples, particles, steps, latents), their entries and terms of forms."""

    entry: NDArray[np.intp]
    logit: FloatArray
    terms: DrawTerms


@lru_cache(maxsize=3)
def _draws(
    arithmetic: DrawArithmetic, values: bytes, size: tuple[int, ...], seen: _Seen, samples: int
) -> _Draws:
    """Draw what particles see; of models that draw the same, once."""
    entry, (batches, count, steps) = seen.entry(), seen.shape
    x = np.frombuffer(values).reshape(size)[:, np.arange(steps)[:, None], entry]
    shape = (samples, count, steps, entry.shape[-1])
    logit = arithmetic.source.sample_logits(
        x, (samples // batches, batches, *shape[1:]), seen.seed.rng(0)
    ).reshape(shape)
    return _Draws(entry, logit, arithmetic.terms(logit, x))


def _outcomes_of_batches(
    form: LinearForm, shape: tuple[int, int, int], rng: np.random.Generator
) -> FloatArray:
    """Excess of the outcomes of minibatches of trials over all, (2, *shape, 1)."""
    model = form.model
    assert model.batch is not None
    k, f = int(model.counts.successes[0]), int(model.counts.failures[0])
    successes = rng.hypergeometric(k, f, model.batch, shape)
    seen = np.array((successes, model.batch - successes), dtype=np.float64)[..., None]
    return model.batch_scale * seen - form.task.outcomes[:, :, None, None, None]


def drawn_outcomes(
    form: LinearForm, entry: NDArray[np.intp], logit: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw the successes in the model.

    Returned are the outcomes less those of the rows, and so the log coefficients, as they weigh.
    """
    weight, total = form.model.likelihood_weight, form.task.counts.total_count[entry]
    seen = rng.binomial(total, sc.expit(logit))
    excess, first = _coefficients(form.task)
    outcomes = weight * np.array((seen, total - seen), np.float64) - form.likelihood[:, 0, entry]
    return outcomes, weight * excess[first[entry] + seen]


@lru_cache(maxsize=2)
def _coefficients(task: Task) -> tuple[FloatArray, NDArray[np.intp]]:
    """Log coefficients of all successes that rows can have, less those of the rows.

    One after the other; also the place of each latent's first. Rows of one trial have none.
    """
    counts = task.counts
    each = [np.arange(n + 1) for n in counts.total_count]
    first = np.cumsum([0, *(len(k) for k in each[:-1])])
    if counts.log_split.any():
        return np.zeros(sum(map(len, each))), first
    totals = np.repeat(counts.total_count, counts.total_count + 1)
    excess = log_choose(np.concatenate(each), totals)
    return excess - np.repeat(counts.log_coefficient, counts.total_count + 1), first
