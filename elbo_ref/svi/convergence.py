r"""The maximum that a run climbs to, and how near to it its noise lets the run come.

**The maximum.** Under one prior the best guide has a closed form, or nearly (`Guide.optimum`). What
is left is a function of at most two numbers, the logarithms of the concentrations that are learned,
whose gradient is that of the objective at a fixed guide, because the guide is at its optimum.
Newton's method in a trust region climbs it: curvatures that are not negative count by their size
(Dauphin et al. 2014), steps that do not rise are cut. A pass over the latents costs what a step of
the loop costs, and some dozens do. No oracle is asked.

**The floor.** Near a maximum Adam divides each gradient by its noise sigma_i. With Hessian -H, step
D = lr diag(1/sigma) and the noise's covariance C, the stationary covariance S of the parameters
solves

    D H S + S H D = D C D,                                                                    (1)

so that the mean shortfall, tr(H S)/2, is lr/4 sum sigma_i whatever H, and whatever the momentum (to
first order in lr). Averaging P particles divides sigma by sqrt P. All of it is *at the maximum*,
wherever the run stands: far away its gradients are noisier and say nothing about where it will end.

**The allowance.** The shortfall is x' H x/2 with x normal of covariance S: a sum of independent
chi-squares of one degree of freedom, each times half an eigenvalue of H S. By (1) none of these
weights exceeds the largest eigenvalue of lr/4 diag(sigma)^-1/2 C diag(sigma)^-1/2, and that is at
most lr/4 times the sum of the sigmas that are correlated with each other: the prior's two, and
those of one latent, as latents draw apart. If none exceeds w, the tail is at most about that of
n = floor/w equal weights (for one of them, and levels such as this one, proved by Szekely &
Bakirov 2003), floor/n times a chi-square of n degrees of freedom. What 1 in 1000 of that exceed is
allowed; and never less than twice the floor, which is of first order only.
"""

from __future__ import annotations

from itertools import repeat
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import distinct
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides.constraints import LARGEST, SMALLEST
from elbo_ref.objectives.base import Objective, Task
from elbo_ref.objectives.exact import objective_gradient, objective_value
from elbo_ref.svi.parameters import ParameterVector
from elbo_ref.svi.stationarity import DECREMENT, STEP

ARRIVED = 1e-3
"""A run this close to its objective's supremum, in nats, has arrived for practical purposes."""

NEGLIGIBLE = 0.5
"""Nats that a maximum may lack: with half of one, a parameter is a standard error away."""

LEVEL = 1e-3
"""The share of the time that a run at its noise floor is farther below than allowed."""

_FIRST_ORDER = 2.0

_SHIFT = 1e-3
_REACH, _LEAST_REACH = 2.0, 1e-9
_MOST_STEPS = 25
_FAR, _SAME = 8.0, 1e-11
"""The distance at which a direction is looked along, and a relative difference of rounding."""


class NoiseFloor(NamedTuple):
    """The mean shortfall of a run that is as near its maximum as its noise lets it come.

    `largest` is what a single direction can hold of it at most. Both in nats. The floor is of first
    order in the learning rate: where a single direction can hold more than `NEGLIGIBLE`, the steps
    are too long for it to mean anything, and a run is never at it.
    """

    nats: float
    largest: float

    @property
    def allowance(self) -> float:
        """The shortfall that such a run exceeds once in 1000 times; at least twice the floor."""
        if not 0 < self.nats < np.inf:
            return self.nats
        directions = max(1.0, self.nats / self.largest)
        return self.nats * max(_FIRST_ORDER, float(sc.chdtri(directions, LEVEL)) / directions)

    @property
    def holds(self) -> bool:
        """True if the steps are short enough for a floor of first order."""
        return self.largest <= NEGLIGIBLE

    def allows(self, shortfall: float) -> bool:
        """Tell whether a run so far below its maximum is as near to it as can be told."""
        return self.holds and shortfall <= self.allowance


def find_floor(
    parameters: ParameterVector,
    objective: Objective,
    vector: FloatArray,
    num_particles: float,
    rate: float,
) -> NoiseFloor | None:
    """Noise floor of a run that stands at a vector, at a learning rate; 0 where nothing is drawn.

    None if the objective has no maximum uphill of the vector, or its noise is not known.
    """
    if not objective.random:
        return NoiseFloor(0.0, 0.0)
    goal = find_goal(parameters, objective, vector, num_particles)
    return None if goal is None else goal.floor(rate)


class Goal(NamedTuple):
    """The maximum that a run climbs to, and its noise there.

    `value` is the exact objective; `noise` the sum of the standard deviations of the gradients and
    `largest` the most of it that is correlated.
    """

    value: float
    noise: float
    largest: float

    def floor(self, rate: float) -> NoiseFloor:
        """Noise floor at a learning rate."""
        return NoiseFloor(rate / 4 * self.noise, rate / 4 * self.largest)


def find_goal(
    parameters: ParameterVector, objective: Objective, vector: FloatArray, num_particles: float
) -> Goal | None:
    """Goal of a run that stands at a vector; None if there is none or its noise is not known."""
    top = maximum_uphill(parameters, vector)
    if top is None:
        return None
    deviations = parameters.gradient_std(objective, top.prior, top.params)
    if deviations is None:
        return None
    deviations = deviations / np.sqrt(num_particles)
    by_prior = float(deviations[: parameters.num_prior].sum())
    by_latent = parameters.free_guide(deviations).sum(axis=0)
    largest = by_prior + float(by_latent.max(initial=0.0))
    return Goal(top.value, by_prior + float(by_latent.sum()), largest)


class Maximum(NamedTuple):
    """A maximum of the exact objective: prior (2, 1) and guide (k, G), constrained."""

    value: float
    prior: FloatArray
    params: FloatArray


def maximum_uphill(parameters: ParameterVector, vector: FloatArray) -> Maximum | None:
    """Maximum of the exact objective that is uphill of a vector.

    None where there is none: where the way leaves the range of the parameters, levels off without
    an end, or ends at a latent whose guide has no optimum.
    """
    task, (prior, _) = parameters.task, parameters.split(vector)
    fewer, entry = distinct(task.counts)
    profile = _Profile(Task(task.guide, fewer), prior, parameters.learned)
    with np.errstate(all="ignore"):
        top = _ascend(profile, np.log(prior[parameters.learned, 0]))
    if top is None:
        return None
    params = top.params if task.guide.shared else top.params[:, entry]
    value = objective_value(task, Beta(*map(float, top.prior[:, 0])), params)
    return Maximum(value, top.prior, params)


class _Profile:
    """The objective at the guide that is best under a prior, given by the logarithms x."""

    def __init__(self, task: Task, prior: FloatArray, learned: slice) -> None:
        self._task, self._prior, self._learned = task, prior, learned

    def at(self, x: FloatArray) -> Maximum | None:
        """Find the highest value at x; None outside the range of x, or where no guide is best."""
        best = self._best(x)
        if best is None:
            return None
        value = objective_value(self._task, Beta(*map(float, best[0][:, 0])), best[1])
        return Maximum(value, *best) if np.isfinite(value) else None

    def slope(self, prior: FloatArray, params: FloatArray) -> FloatArray:
        """First derivatives by x, at the prior and the best guide."""
        by_prior, _ = objective_gradient(self._task, prior, params)
        return (by_prior * prior[:, 0])[self._learned]

    def curvature(self, x: FloatArray) -> FloatArray:
        """Second derivatives, by central differences; nan beside where no guide is best."""

        def slope(x: FloatArray) -> FloatArray:
            best = self._best(x)
            return np.full(x.size, np.nan) if best is None else self.slope(*best)

        rows = [slope(x + shift) - slope(x - shift) for shift in _SHIFT * np.eye(x.size)]
        curvature = np.reshape(rows, (x.size, x.size)) / (2 * _SHIFT)
        return (curvature + curvature.T) / 2

    def is_top(self, direction: FloatArray, close: bool, x: FloatArray, value: float) -> bool:
        """Tell whether x is a top in a direction: Newton's step is small, or it is flat both ways.

        A step that is small for rounding alone is on a slope that levels off: flat one way only.
        """
        before, after = (
            side is not None and abs(side.value - value) <= _SAME * (1 + abs(value))
            for side in (self.at(x + far * direction) for far in (-_FAR, _FAR))
        )
        return before == after and (close or before)

    def _best(self, x: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        if not ((np.log(SMALLEST) <= x) & (x <= np.log(LARGEST))).all():
            return None
        task, prior = self._task, self._prior.copy()
        prior[self._learned, 0] = np.exp(x)
        params = task.guide.optimum(prior, task.outcomes, task.weights)
        return (prior, params) if np.isfinite(params).all() else None


def _ascend(profile: _Profile, x: FloatArray) -> Maximum | None:
    """Newton's method in a trust region, from x to a top; None where there is none."""
    reach, here, moved = _REACH, profile.at(x), True
    for _ in range(_MOST_STEPS):
        if here is None:
            return None
        if moved:
            slope, curvature = profile.slope(here.prior, here.params), profile.curvature(x)
            if not np.isfinite(curvature).all():
                return None
            curvatures, directions = np.linalg.eigh(curvature)
            along = directions.T @ slope
            step = along / np.maximum(np.abs(curvatures), 1e-300)
        if along @ step / 2 <= DECREMENT:
            close = (np.abs(step) <= STEP) & (curvatures < 0)
            tops = map(profile.is_top, directions.T, close, repeat(x), repeat(here.value))
            return here if all(tops) else None
        length = float(np.linalg.norm(step))
        to = x + directions @ step * min(1.0, reach / length)
        there = profile.at(to)
        moved = there is not None and there.value >= here.value - _SAME * (1 + abs(here.value))
        if moved:
            x, here, reach = to, there, 2 * reach if length > reach else reach
        else:
            reach = min(reach, length) / 4
            if reach < _LEAST_REACH:
                return None
    return None
