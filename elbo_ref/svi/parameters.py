"""All parameters of a fit as one flat vector of unconstrained numbers.

The prior's two concentrations come first (where they are learned), then the guide's parameters, row
by row. Optimizers, histories and Newton's view of a point see only this vector.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from elbo_ref._validation.arguments import FloatArray, check_known
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides.constraints import ANY_REAL, EXP, LARGEST, SMALLEST, Constraint
from elbo_ref.objectives.base import Objective, Task
from elbo_ref.objectives.exact import column, objective_gradient, objective_value

NAMES = ("concentration1", "concentration0")

Learned: TypeAlias = bool | Literal["concentration1", "concentration0"]
"""The part of the prior that is learned."""


def check_learned(learned: object) -> None:
    """Raise TypeError or ValueError unless it is a `Learned`."""
    if isinstance(learned, str):
        check_known("learn_prior", learned, NAMES)
    elif not isinstance(learned, bool):
        raise TypeError(f"learn_prior must be True, False or a name, not {learned!r}")


def learned_rows(learned: Learned) -> list[int]:
    """List which of `NAMES` are learned, by number."""
    return [row for row, name in enumerate(NAMES) if learned in (True, name)]


class ParameterVector:
    """The map between a flat vector and the prior and guide of a task.

    Parameters
    ----------
    task : Task
    prior : Beta, shape ()
        Where the prior starts, or what it is.
    learned : bool or str
        Whether the prior is part of the vector; ``"concentration1"`` or ``"concentration0"``: only
        that one.
    guide_start : ndarray, shape (k, G)
        Where the guide's unconstrained parameters start.
    positive : Constraint
        How the prior's concentrations are held positive.

    Attributes
    ----------
    start : ndarray, shape (P,)
        The vector at the start.
    learned : slice
        The rows of the prior that are part of the vector, which begins with `num_prior` of them.
    guide_shape : (int, int)
        k and G.
    """

    def __init__(
        self,
        task: Task,
        prior: Beta,
        learned: Learned,
        guide_start: FloatArray,
        positive: Constraint = EXP,
    ) -> None:
        self.task, self.positive = task, positive
        self._prior = column(prior)
        rows = learned_rows(learned)
        self.learned = slice(rows[0], rows[-1] + 1) if rows else slice(0)
        self.num_prior = len(rows)
        self.guide_shape = guide_start.shape
        free_prior = positive.unconstrain(self._prior[self.learned, 0])
        self.start = np.concatenate([free_prior, guide_start.ravel()])
        ranges = [positive.range, *(kind.range for kind in task.guide.constraints)]
        times = [self.num_prior] + [guide_start.shape[1]] * (len(ranges) - 1)
        low, high = np.repeat(np.transpose(ranges), times, axis=1)
        self._center, self._reach = (low + high) / 2, (high - low) / 2

    def free_guide(self, vector: FloatArray) -> FloatArray:
        """Return the guide's part of a vector, (k, G), unconstrained."""
        return vector[self.num_prior :].reshape(self.guide_shape)

    def split(self, vector: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Split a vector into constrained prior (2, 1) and guide (k, G)."""
        prior = self._prior.copy()
        prior[self.learned, 0] = self.positive.constrain(vector[: self.num_prior])
        return prior, self.task.guide.constrain(self.free_guide(vector))

    def split_rows(self, vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Split R vectors into constrained priors (2, R, 1) and guides (k, R, G)."""
        p, rows = self.num_prior, len(vectors)
        priors = np.repeat(self._prior, rows, axis=1)
        priors[self.learned] = self.positive.constrain(vectors[:, :p].T)
        params = np.moveaxis(vectors[:, p:].reshape(rows, *self.guide_shape), 0, 1)
        return priors[:, :, None], self.task.guide.constrain(params)

    def value(self, vector: FloatArray) -> float:
        """Evaluate the exact objective."""
        prior, params = self.split(vector)
        return objective_value(self.task, Beta(*map(float, prior[:, 0])), params)

    def gradient(
        self, objective: Objective, vector: FloatArray, num_particles: int, rng: np.random.Generator
    ) -> tuple[FloatArray, float]:
        """Gradient of an objective with respect to the vector, and the value of its step."""
        prior, params = self.split(vector)
        step = objective.step(self.task, prior, params, num_particles, rng)
        return self._by_vector(step.prior, step.params, prior, params), step.value

    def exact_gradient(self, vector: FloatArray) -> FloatArray:
        """Differentiate `value`."""
        prior, params = self.split(vector)
        return self._by_vector(*objective_gradient(self.task, prior, params), prior, params)

    def _by_vector(
        self, by_prior: FloatArray, by_params: FloatArray, prior: FloatArray, params: FloatArray
    ) -> FloatArray:
        """Turn a gradient by the constrained prior and guide into one by the vector."""
        by_params = (by_params * self.task.guide.slope(params)).ravel()
        if not self.num_prior:
            return by_params
        by_prior = by_prior * self.positive.slope(prior[:, 0])
        return np.concatenate((by_prior[self.learned], by_params))

    def gradient_std(
        self, objective: Objective, prior: FloatArray, params: FloatArray
    ) -> FloatArray | None:
        """Compute the standard deviation of one particle's gradient, for each entry of the vector.

        At constrained parameters; None if it is not known.
        """
        found = objective.gradient_variance(self.task, prior, params)
        if found is None:
            return None
        by_prior, by_params = found
        slope = np.broadcast_to(self.task.guide.slope(params), by_params.shape)
        by_learned = np.sqrt(by_prior[self.learned]) * self.positive.slope(prior[self.learned, 0])
        return np.concatenate((by_learned, (np.sqrt(by_params) * np.abs(slope)).ravel()))

    def outside(self, vector: FloatArray) -> int | None:
        """Find a parameter that is out of its range or not a number; None if all are well."""
        away = vector - self._center
        inside = np.abs(away, out=away) <= self._reach
        whole = np.count_nonzero(inside) == inside.size  # in half the time of `all`
        return None if whole else int(np.argmin(inside))

    def name(self, index: int) -> str:
        """Return the public name of a parameter."""
        if index < self.num_prior:
            return f"prior.{NAMES[self.learned][index]}"
        row, latent = np.unravel_index(index - self.num_prior, self.guide_shape)
        return f"guide.{self.task.guide.parameter_names[row]}[{latent}]"

    def range(self, index: int) -> str:
        """Return the range of a parameter, constrained, in words."""
        row = (index - self.num_prior) // self.guide_shape[1]
        if index < self.num_prior or self.task.guide.constraints[row].range != ANY_REAL:
            return f"[{SMALLEST:g}, {LARGEST:g}]"
        low, high = ANY_REAL
        return f"[{low:g}, {high:g}]"
