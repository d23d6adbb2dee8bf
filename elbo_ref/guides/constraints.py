"""The constraints of parameters: each a map from free numbers to a parameter's values.

The names are those of PyTorch's and Pyro's constraints. Softplus, log(1 + e^u), is nearly u for a
large one: there a step of Adam changes the parameter by a number instead of by a factor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from elbo_ref._validation.arguments import FloatArray, check_known

SMALLEST, LARGEST = 1e-12, 1e15
"""The range of a positive parameter; a run that leaves it is stopped."""
ANY_REAL = (-1e300, 1e300)

Map: TypeAlias = Callable[[FloatArray], FloatArray]
ConstraintName: TypeAlias = Literal["positive", "softplus_positive"]


class Constraint(NamedTuple):
    """A map from all real numbers to the values that a parameter may have."""

    name: str
    constrain: Map
    unconstrain: Map
    slope: Map
    """Derivative of the constrained by the unconstrained, at a constrained one."""
    range: tuple[float, float]
    """The range of the unconstrained parameter."""

    @classmethod
    def positive(
        cls, name: ConstraintName, constrain: Map, unconstrain: Map, slope: Map
    ) -> Constraint:
        """Make a map to the positive numbers, in the range of a positive parameter."""
        low, high = unconstrain(np.array((SMALLEST, LARGEST))).tolist()
        return cls(name, constrain, unconstrain, slope, (low, high))


def _same(x: FloatArray) -> FloatArray:
    return x


def _softplus(free: FloatArray) -> FloatArray:
    return np.asarray(np.logaddexp(0.0, free))


def _softplus_inverse(x: FloatArray) -> FloatArray:
    return np.asarray(x + np.log(-np.expm1(-np.asarray(x))))


EXP = Constraint.positive("positive", np.exp, np.log, _same)
SOFTPLUS = Constraint.positive(
    "softplus_positive", _softplus, _softplus_inverse, lambda x: -np.expm1(-x)
)
REAL = Constraint("real", _same, _same, np.ones_like, ANY_REAL)
CONSTRAINTS: dict[str, Constraint] = {kind.name: kind for kind in (EXP, SOFTPLUS)}
"""The constraints that concentrations may have."""


def of_rows(kinds: tuple[Constraint, ...]) -> Constraint:
    """Return the constraint of an array whose rows have these."""
    if not kinds:
        return REAL._replace(slope=_same)
    if kinds.count(kinds[0]) == len(kinds):
        return kinds[0]
    constrain, unconstrain, slope = (
        _by_row([getattr(kind, name) for kind in kinds])
        for name in ("constrain", "unconstrain", "slope")
    )
    return REAL._replace(constrain=constrain, unconstrain=unconstrain, slope=slope)


def _by_row(maps: list[Map]) -> Map:
    def mapped(rows: FloatArray) -> FloatArray:
        values = rows.copy()
        for i, of in enumerate(maps):
            if of is not _same:
                values[i] = of(rows[i])
        return values

    return mapped


def find_constraint(name: str) -> Constraint:
    """Find the map to the positive numbers that a name stands for."""
    check_known("constraint", name, CONSTRAINTS)
    return CONSTRAINTS[name]
