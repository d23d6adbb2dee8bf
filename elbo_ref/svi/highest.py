"""Where a guide's own exact objective is highest, from where a run stands, without an oracle.

Under one prior the best own parameters have a closed form, or nearly (`Guide.optimum`). What is
left is a function of at most two numbers, the logarithms of the concentrations that are learned,
whose gradient is that of the objective at fixed own parameters, because these are at their optimum.
It is climbed by Newton's method in a trust region: curvatures that are not negative count by their
size (Dauphin et al. 2014), steps that do not rise are cut. A pass over the latents costs what a
step of the loop costs, and some dozens do.
"""

from __future__ import annotations

from itertools import repeat
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import distinct
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides.constraints import LARGEST, SMALLEST
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, objective_value
from elbo_ref.svi.stationarity import DECREMENT, STEP

_SHIFT = 1e-3
_REACH, _LEAST_REACH = 2.0, 1e-9
_MOST_STEPS = 25
_FAR, _SAME = 8.0, 1e-11
"""How far along a direction the objective is looked at, and what of it is rounding."""


class Highest(NamedTuple):
    """A maximum of the exact objective: prior (2, 1) and own parameters (k, G), constrained."""

    value: float
    prior: FloatArray
    own: FloatArray


def highest(task: Task, prior: FloatArray, learned: slice) -> Highest | None:
    """The maximum that is uphill of a prior (2, 1), of which some rows are learned.

    None where there is none: where the climb leaves the range of the parameters, levels off without
    an end, or ends at a latent whose own parameters have no optimum.
    """
    fewer, entry = distinct(task.counts)
    with np.errstate(all="ignore"):
        found = _Climb(Task(task.guide, fewer), prior, learned).climbed()
    if found is None:
        return None
    own = found.own if task.guide.shared else found.own[:, entry]
    value = objective_value(task, Beta(*map(float, found.prior[:, 0])), own)
    return Highest(value, found.prior, own)


class _Climb:
    """The objective at the guide that is best under a prior, given by the logarithms `x`."""

    def __init__(self, task: Task, prior: FloatArray, learned: slice) -> None:
        self._task, self._prior, self._learned = task, prior, learned
        self._unused = np.random.default_rng(0)

    def climbed(self) -> Highest | None:
        x, reach = np.log(self._prior[self._learned, 0]), _REACH
        here, moved = self._at(x), True
        for _ in range(_MOST_STEPS):
            if here is None:
                return None
            if moved:
                slope, bend = self._slope(here.prior, here.own), self._bend(x)
                if not np.isfinite(bend).all():
                    return None
                curvatures, directions = np.linalg.eigh(bend)
                along, sizes = directions.T @ slope, np.maximum(np.abs(curvatures), 1e-300)
                step = along / sizes
            if along @ step / 2 <= DECREMENT:
                close = (np.abs(step) <= STEP) & (curvatures < 0)
                ends = all(map(self._ends, directions.T, close, repeat((x, here.value))))
                return here if ends else None
            length = float(np.linalg.norm(step))
            to = x + directions @ step * min(1.0, reach / length)
            there = self._at(to)
            moved = there is not None and there.value >= here.value - _SAME * (1 + abs(here.value))
            if moved:
                x, here, reach = to, there, 2 * reach if length > reach else reach
            else:
                reach = min(reach, length) / 4
                if reach < _LEAST_REACH:
                    return None
        return None

    def _best(self, x: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """Prior and own parameters; None outside the range of these, or where no guide is best."""
        if not ((np.log(SMALLEST) <= x) & (x <= np.log(LARGEST))).all():
            return None
        task, prior = self._task, self._prior.copy()
        prior[self._learned, 0] = np.exp(x)
        own = task.guide.optimum(prior, task.outcomes, task.weights)
        if not task.guide.shared:
            own = np.where(task.weights > 0, own, 1.0)
        return (prior, own) if np.isfinite(own).all() else None

    def _at(self, x: FloatArray) -> Highest | None:
        best = self._best(x)
        if best is None:
            return None
        value = objective_value(self._task, Beta(*map(float, best[0][:, 0])), best[1])
        return Highest(value, *best) if np.isfinite(value) else None

    def _slope(self, prior: FloatArray, own: FloatArray) -> FloatArray:
        step = Exact().step(self._task, prior, own, 1, self._unused)
        return (step.prior * prior[:, 0])[self._learned]

    def _bend(self, x: FloatArray) -> FloatArray:
        """The second derivatives, by central differences; nan beside where no guide is best."""

        def slope(x: FloatArray) -> FloatArray:
            best = self._best(x)
            return np.full(x.size, np.nan) if best is None else self._slope(*best)

        shifts = _SHIFT * np.eye(x.size)
        rows = [slope(x + s) - slope(x - s) for s in shifts]
        bend = np.reshape(rows, (x.size, x.size)) / (2 * _SHIFT)
        return (bend + bend.T) / 2

    def _ends(self, direction: FloatArray, close: bool, at: tuple[FloatArray, float]) -> bool:
        """Whether the climb ends along a direction: its top is close, or it is flat both ways.

        A top that is close for rounding alone is on a slope that levels off: flat one way only.
        """
        x, value = at
        sides = (self._at(x + far * direction) for far in (-_FAR, _FAR))
        before, after = (
            side is not None and abs(side.value - value) <= _SAME * (1 + abs(value))
            for side in sides
        )
        return before == after and (close or before)
