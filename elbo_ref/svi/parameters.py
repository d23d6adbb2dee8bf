"""All parameters of a fit as one flat vector of unconstrained numbers.

The prior's two concentrations come first (where they are learned), then the guide's parameters, row
by row. Optimizers, histories and Newton's view of a point see only this vector.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides.constraints import ANY_REAL, EXP, LARGEST, SMALLEST, Constraint
from elbo_ref.objectives.base import Objective, Task
from elbo_ref.objectives.exact import Exact, objective_value
from elbo_ref.svi.highest import Highest, highest
from elbo_ref.svi.stationarity import Stationarity, stationarity

NAMES = ("concentration1", "concentration0")

Learned: TypeAlias = bool | Literal["concentration1", "concentration0"]
"""What of the prior is learned."""


def check_learned(learned: object) -> None:
    """Raise TypeError or ValueError unless it says what of the prior is learned."""
    if isinstance(learned, str) and learned not in NAMES:
        raise ValueError(f"learn_prior = {learned!r} is not one of {', '.join(map(repr, NAMES))}")
    if not isinstance(learned, bool | str):
        raise TypeError(f"learn_prior must be True, False or a name, not {learned!r}")


class Coordinates:
    """The map between a flat vector and the prior and guide of a task.

    Parameters
    ----------
    task : Task
    prior : Beta, shape ()
        Where the prior starts, or what it is.
    learned : bool or str
        Whether the prior is part of the vector; ``"concentration1"`` or ``"concentration0"``: only
        that one.
    own : ndarray, shape (k, G)
        Where the guide's unconstrained parameters start.
    positive : Constraint
        How the prior's concentrations are held positive.
    """

    def __init__(
        self,
        task: Task,
        prior: Beta,
        learned: Learned,
        own: FloatArray,
        positive: Constraint = EXP,
    ) -> None:
        self.task, self._positive = task, positive
        self._fixed = np.array(prior.arrays())[:, None]
        rows = [row for row, name in enumerate(NAMES) if learned in (True, name)]
        self._rows = slice(rows[0], rows[-1] + 1) if rows else slice(0)
        self._num_prior = len(rows)
        self._shape = own.shape
        self.start = np.concatenate([positive.unconstrain(self._fixed[self._rows, 0]), own.ravel()])
        ranges = [positive.range] * self._num_prior
        ranges += [kind.range for kind in task.guide.constraints for _ in range(own.shape[1])]
        low, high = np.transpose(ranges)
        self._center, self._reach = (low + high) / 2, (high - low) / 2

    def split(self, vector: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Constrained prior (2, 1) and guide (k, G) at a vector."""
        p = self._num_prior
        prior = self._fixed.copy()
        prior[self._rows, 0] = self._positive.constrain(vector[:p])
        return prior, self.task.guide.constrain(vector[p:].reshape(self._shape))

    def split_rows(self, vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Constrained priors (2, R, 1) and guides (k, R, G) at R vectors."""
        p, rows = self._num_prior, len(vectors)
        priors = np.repeat(self._fixed, rows, axis=1)
        priors[self._rows] = self._positive.constrain(vectors[:, :p].T)
        own = np.moveaxis(vectors[:, p:].reshape(rows, *self._shape), 0, 1)
        return priors[:, :, None], self.task.guide.constrain(own)

    def value(self, vector: FloatArray) -> float:
        """The exact objective."""
        prior, own = self.split(vector)
        return objective_value(self.task, Beta(*map(float, prior[:, 0])), own)

    def gradient(
        self, objective: Objective, vector: FloatArray, num_particles: int, rng: np.random.Generator
    ) -> tuple[FloatArray, float]:
        """Gradient of an objective with respect to the vector, and the value to settle."""
        prior, own = self.split(vector)
        step = objective.step(self.task, prior, own, num_particles, rng)
        by_own = (step.own * self.task.guide.slope(own)).ravel()
        if not self._num_prior:
            return by_own, step.value
        by_prior = step.prior * self._positive.slope(prior[:, 0])
        return np.concatenate((by_prior[self._rows], by_own)), step.value

    def gradient_std(
        self, objective: Objective, prior: FloatArray, own: FloatArray
    ) -> FloatArray | None:
        """Standard deviation of one particle's gradient, for each entry of the vector.

        At constrained parameters; None if it is not known.
        """
        found = objective.gradient_variance(self.task, prior, own)
        if found is None:
            return None
        by_prior, by_own = found
        slope = np.broadcast_to(self.task.guide.slope(own), by_own.shape)
        learned = np.sqrt(by_prior[self._rows]) * self._positive.slope(prior[self._rows, 0])
        return np.concatenate((learned, (np.sqrt(by_own) * np.abs(slope)).ravel()))

    def highest(self, vector: FloatArray) -> Highest | None:
        """The maximum of the exact objective that is uphill of a vector; None if there is none."""
        prior, _ = self.split(vector)
        return highest(self.task, prior, self._rows)

    def by_source(self, entries: FloatArray) -> tuple[float, FloatArray]:
        """The entries of a vector, summed: the prior's, and each latent's own."""
        p = self._num_prior
        return float(entries[:p].sum()), entries[p:].reshape(self._shape).sum(axis=0)

    def outside(self, vector: FloatArray) -> int | None:
        """Index of a parameter that is out of its range or not a number; None if all are well."""
        away = vector - self._center
        ratio = away / self._reach
        if ratio.dot(ratio) < 0.99:  # so none is near its end: the quick answer of most steps
            return None
        inside = np.abs(away) <= self._reach
        return None if inside.all() else int(np.argmin(inside))

    def name(self, index: int) -> str:
        """What a parameter is called outside."""
        if index < self._num_prior:
            return f"prior.{NAMES[self._rows][index]}"
        row, latent = np.unravel_index(index - self._num_prior, self._shape)
        return f"guide.{self.task.guide.parameter_names[row]}[{latent}]"

    def range(self, index: int) -> str:
        """Where that parameter must stay, as it is outside."""
        row = (index - self._num_prior) // self._shape[1]
        if index < self._num_prior or self.task.guide.constraints[row].range != ANY_REAL:
            return f"[{SMALLEST:g}, {LARGEST:g}]"
        low, high = ANY_REAL
        return f"[{low:g}, {high:g}]"

    def stationarity(self, vector: FloatArray) -> Stationarity:
        """Newton's view of a point, on the exact objective."""
        exact, unused = Exact(), np.random.default_rng(0)
        p, task = self._num_prior, self.task
        idle = task.weights == 0
        if not task.guide.has_prior:
            idle = idle | (task.counts.total_count == 0)

        if task.guide.shared:
            nothing = np.zeros((0, idle.size))

            def dense(vector: FloatArray, _: FloatArray) -> tuple[FloatArray, FloatArray]:
                return self.gradient(exact, vector, 1, unused)[0], nothing

            return stationarity(dense, vector, nothing, idle)

        def gradient(prior: FloatArray, own: FloatArray) -> tuple[FloatArray, FloatArray]:
            flat, _ = self.gradient(exact, np.concatenate([prior, own.ravel()]), 1, unused)
            return flat[:p], flat[p:].reshape(self._shape)

        return stationarity(gradient, vector[:p], vector[p:].reshape(self._shape), idle)
