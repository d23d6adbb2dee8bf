"""The base of the objectives, and the data as the SVI loop wants them."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts, distinct
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import Guide
from elbo_ref.special import log_choose_remainder

_BLOCK = 2**16
"""The draws that are taken at once."""
_FEWEST = 64
"""Fewer entries cost too little to look for equal ones."""


class Step(NamedTuple):
    """One evaluation: gradients with respect to constrained parameters, and a part of the value.

    `prior` is (2,), `params` is (k, G). `value` is the part of the value that was drawn;
    `Objective.rest` is the other one, which costs least for many steps at once.
    """

    prior: FloatArray
    params: FloatArray
    value: float


class Task:
    """A guide and the counts it is fitted to, in the arrays of `elbo_ref.guides.base`."""

    def __init__(self, guide: Guide, counts: Counts) -> None:
        self.counts = counts
        self.outcomes = np.stack([counts.successes, counts.failures]).astype(np.float64)
        self.guide = guide.on(self.outcomes)
        self.multiplicity = counts.multiplicity.astype(np.float64)
        self.weights = self.multiplicity
        self.num_latents = counts.num_latents

    def summed(self, by_prior: FloatArray, by_params: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Add up gradients of one latent of each entry, (2, G) and (k, G), over all latents."""
        if self.guide.shared:
            return by_prior.dot(self.weights), by_params.dot(self.weights)[:, None]
        return by_prior.dot(self.weights), by_params * self._param_weights

    @cached_property
    def _param_weights(self) -> FloatArray:
        return np.repeat(self.weights[None], len(self.guide.parameter_names), axis=0)

    def pooled(self, *columns: FloatArray) -> Pooled:
        """Join equal entries for which equal columns (..., 1) or (..., G) are given, if many do.

        The exact objective keeps equal entries equal from a common start on.
        """
        if self._joined is not None:
            task, first, entry = self._joined
            some = [x if x.shape[-1] == 1 else x.take(first, axis=-1) for x in columns]
            pairs = zip(columns, some, strict=True)
            if all(x is few or (few.take(entry, axis=-1) == x).all() for x, few in pairs):
                return Pooled(task, some, entry)
        return Pooled(self, list(columns), None)

    @cached_property
    def _joined(self) -> tuple[Task, NDArray[np.intp], NDArray[np.intp]] | None:
        """The task of the distinct entries, where each stands first, and the number of each."""
        if len(self.counts) < _FEWEST:
            return None
        counts, entry = distinct(self.counts)
        if 2 * len(counts) > entry.size:
            return None
        first = np.empty(len(counts), np.intp)
        first[entry[::-1]] = np.arange(entry.size)[::-1]
        return Task(self.guide, counts), first, entry

    @cached_property
    def log_coefficient(self) -> FloatArray:
        """The log binomial coefficient of each entry."""
        return self.counts.log_coefficient

    @cached_property
    def choose_remainder(self) -> FloatArray:
        """The log binomial coefficient of each entry of the counts without its entropy part."""
        return log_choose_remainder(*self.outcomes)

    @cached_property
    def latents_up_to(self) -> NDArray[np.int64]:
        """The number of latents up to and with each entry."""
        return np.cumsum(self.multiplicity.astype(np.int64))

    @cached_property
    def entry_of_latent(self) -> NDArray[np.intp]:
        """For each single latent the entry of the counts that it is one of."""
        return np.repeat(np.arange(self.multiplicity.size), self.multiplicity.astype(np.int64))

    def parts(self, draws: int, divisible: bool) -> list[tuple[Task, slice, int]]:
        """Divide a step of so many draws for each latent into blocks.

        Of each the task, the entries that it has and its draws for a latent; these are divided only
        if they are `divisible`.
        """
        if draws * self.num_latents <= _BLOCK:
            return [(self, slice(None), draws)]
        if (draws, divisible) not in self._parts:
            self._parts[draws, divisible] = self._divided(draws, divisible)
        return self._parts[draws, divisible]

    @cached_property
    def _parts(self) -> dict[tuple[int, bool], list[tuple[Task, slice, int]]]:
        return {}

    def _divided(self, draws: int, divisible: bool) -> list[tuple[Task, slice, int]]:
        parts: list[tuple[Task, slice, int]] = []
        latents = max(1, _BLOCK // draws)
        most = min(draws, _BLOCK) if divisible else draws
        for first in range(0, self.num_latents, latents):
            last = min(first + latents, self.num_latents)
            start, stop = np.searchsorted(self.latents_up_to, (first, last - 1), "right").tolist()
            entries = slice(start, stop + 1)
            ends = np.clip(self.latents_up_to[entries], first, last)
            multiplicity = np.diff(ends, prepend=first).astype(np.float64)
            for done in range(0, draws, most):
                size = min(most, draws - done)
                parts.append((Part(self, entries, multiplicity, size / draws), entries, size))
        return parts

    @cached_property
    def _all_single(self) -> bool:
        return bool(np.all(self.multiplicity == 1))

    def per_latent(self, rows: FloatArray) -> FloatArray:
        """Repeat the column of each entry for each of its latents."""
        if self._all_single or rows.shape[1] == 1:
            return rows
        return rows[:, self.entry_of_latent]

    def per_entry(self, particles: FloatArray) -> FloatArray:
        """Average (rows, particles, latents) over particles and over equal latents."""
        mean: FloatArray = particles[:, 0]
        if particles.shape[1] > 1:
            mean = np.add.reduce(particles, axis=1) / particles.shape[1]  # faster than mean
        if self._all_single:
            return mean
        sums = [np.bincount(self.entry_of_latent, row, self.multiplicity.size) for row in mean]
        return np.asarray(sums) / np.maximum(self.multiplicity, 1.0)


class Part(Task):
    """Some latents of a task, `multiplicity` of each entry, and a share of their draws."""

    def __init__(self, whole: Task, entries: slice, multiplicity: FloatArray, share: float) -> None:
        self.outcomes, self.log_coefficient = (
            whole.outcomes[:, entries],
            whole.log_coefficient[entries],
        )
        self.guide = whole.guide.on(self.outcomes)
        self.multiplicity = multiplicity
        self.num_latents = int(multiplicity.sum())
        shares = multiplicity / np.maximum(whole.multiplicity[entries], 1.0) * share
        self.weights = whole.weights[entries] * shares


class Pooled(NamedTuple):
    """A task of fewer entries, its columns, and the entry that each of the whole is one of."""

    task: Task
    columns: list[FloatArray]
    entry: NDArray[np.intp] | None

    def spread(self, rows: FloatArray) -> FloatArray:
        """Repeat the columns of each entry for each of the whole task."""
        return rows if self.entry is None else rows.take(self.entry, axis=-1)


class Objective:
    """Something to maximise, evaluated at every step of a task.

    Attributes
    ----------
    name : str
        As ``loss=`` takes it.
    random : bool
        False if a step draws nothing.
    """

    name: str
    random = True

    def adapted(self, guide: Guide) -> Guide:
        """Return the guide as this objective sees it."""
        return guide

    def prepare(self, task: Task, num_particles: int) -> None:
        """Raise ValueError for what cannot be done, before the first step."""

    def step(
        self,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        """Evaluate the gradient at constrained parameters (2, 1) and (k, G)."""
        raise NotImplementedError

    def rest(self, task: Task, priors: Beta, param_rows: FloatArray) -> FloatArray:
        """Compute the part of the value that is not drawn, at R rows of parameters; shape (R,).

        `priors` has shape (R, 1), `param_rows` is (k, R, G).
        """
        raise NotImplementedError

    def variance(self, task: Task, prior: Beta, params: FloatArray) -> float | None:
        """Variance of one particle's estimate; None if that is not known."""
        raise NotImplementedError

    def gradient_variance(
        self, task: Task, prior: FloatArray, params: FloatArray
    ) -> tuple[FloatArray, FloatArray] | None:
        """Variance of one particle's gradient, in the shapes of a `Step`; None if not known."""
        raise NotImplementedError
