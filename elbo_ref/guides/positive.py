"""How a positive parameter is held as a free one: by exp or by softplus.

The names are those of PyTorch's and Pyro's constraints. Softplus, log(1 + e^u), is nearly u for a
large one: there a step of Adam changes the parameter by a number instead of by a factor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from elbo_ref._validation.arguments import FloatArray

SMALLEST, LARGEST = 1e-12, 1e15
"""Where a positive parameter may wander; a run that leaves it is stopped."""

Constraint: TypeAlias = Literal["positive", "softplus_positive"]


class Positive(NamedTuple):
    """A map from all real numbers to the positive ones."""

    name: Constraint
    constrain: Callable[[FloatArray], FloatArray]
    unconstrain: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]
    """Derivative of the constrained by the unconstrained, at a constrained one."""

    @property
    def range(self) -> tuple[float, float]:
        """Of the unconstrained parameter."""
        low, high = self.unconstrain(np.array((SMALLEST, LARGEST))).tolist()
        return low, high


def _softplus(free: FloatArray) -> FloatArray:
    return np.asarray(np.logaddexp(0.0, free))


def _softplus_inverse(x: FloatArray) -> FloatArray:
    return np.asarray(x + np.log(-np.expm1(-np.asarray(x))))


EXP = Positive("positive", np.exp, np.log, lambda x: x)
SOFTPLUS = Positive("softplus_positive", _softplus, _softplus_inverse, lambda x: -np.expm1(-x))
CONSTRAINTS: dict[str, Positive] = {kind.name: kind for kind in (EXP, SOFTPLUS)}


def find_constraint(name: object) -> Positive:
    """The map that a name stands for."""
    if not isinstance(name, str) or name not in CONSTRAINTS:
        known = ", ".join(map(repr, CONSTRAINTS))
        raise ValueError(f"constraint = {name!r} is not one of {known}")
    return CONSTRAINTS[name]
