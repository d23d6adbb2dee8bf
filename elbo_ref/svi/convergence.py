r"""How near its maximum a run's noise lets it come, and whether it is that near.

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

from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.objectives.base import Objective
from elbo_ref.svi.parameters import Coordinates

ARRIVED = 1e-3
"""A run this close to its objective's supremum, in nats, has arrived for practical purposes."""

NEGLIGIBLE = 0.5
"""Nats that a maximum may lack: with half of one, a parameter is a standard error away."""

LEVEL = 1e-3
"""How often a run at its noise floor is farther below its maximum than allowed."""

_FIRST_ORDER = 2.0


class NoiseFloor(NamedTuple):
    """The mean shortfall of a run that is as near its maximum as its noise lets it come.

    `largest` is what a single direction can hold of it at most. Both in nats.
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

    def allows(self, shortfall: float) -> bool:
        """Whether a run so far below its maximum is as near to it as can be told."""
        return shortfall <= self.allowance


class Goal(NamedTuple):
    """The maximum that a run climbs to, and its noise there.

    `value` is the exact objective; `noise` the sum of the standard deviations of the gradients and
    `largest` the most of it that is correlated.
    """

    value: float
    noise: float
    largest: float

    def floor(self, rate: float) -> NoiseFloor:
        """At a learning rate."""
        return NoiseFloor(rate / 4 * self.noise, rate / 4 * self.largest)


def find_goal(
    space: Coordinates, objective: Objective, vector: FloatArray, num_particles: int
) -> Goal | None:
    """The goal of a run that stands at a vector; None if there is none or its noise is unknown."""
    top = space.highest(vector)
    if top is None:
        return None
    deviations = space.gradient_std(objective, top.prior, top.own)
    if deviations is None:
        return None
    by_prior, by_latent = space.by_source(deviations / np.sqrt(num_particles))
    largest = by_prior + float(by_latent.max(initial=0.0))
    return Goal(top.value, by_prior + float(by_latent.sum()), largest)


def find_floor(
    space: Coordinates,
    objective: Objective,
    vector: FloatArray,
    num_particles: int,
    rate: float,
) -> NoiseFloor | None:
    """The noise floor at a learning rate; 0 where nothing is drawn."""
    if not objective.random:
        return NoiseFloor(0.0, 0.0)
    goal = find_goal(space, objective, vector, num_particles)
    return None if goal is None else goal.floor(rate)
