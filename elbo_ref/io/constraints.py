"""The values that Pyro's `pyro.param` returns, from the unconstrained tensors that it saves.

Pyro keeps every parameter without bounds and, beside it, the constraint whose transform gives the
value that a model sees. With x unconstrained, element by element but for the simplex:

    real                          x
    greater_than(l), positive     l + exp(x)                 also greater_than_eq, nonnegative
    less_than(u)                  u - exp(x)
    interval(l, u)                l + (u - l) sigmoid(x)     also half_open_interval, unit_interval
    softplus_positive             log(1 + exp(x)); x above 20, as PyTorch has it
    independent(base, n)          that of base
    simplex                       softmax(x) along the last axis

PyTorch keeps the sigmoid of an element type inside [smallest normal number, 1 - epsilon], and so
does this. A value is formed in float64 and rounded to the tensor's own type, once: what underflows
or overflows in float32 did so for Pyro too.

Source: `transform_to` in `torch.distributions.constraint_registry`, the transforms it names, and
`pyro.distributions.constraints`; PyTorch 2.13, Pyro 1.9.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.io.errors import DataError
from elbo_ref.io.pickle_machine import Instance
from elbo_ref.io.tensors import Tensor

_TORCH, _PYRO = "torch.distributions.constraints.", "pyro.distributions.constraints."
_KNOWN = {
    _TORCH + "_Real": "real",
    _TORCH + "_GreaterThan": "greater_than",
    _TORCH + "_GreaterThanEq": "greater_than_eq",
    _TORCH + "_LessThan": "less_than",
    _TORCH + "_Interval": "interval",
    _TORCH + "_HalfOpenInterval": "half_open_interval",
    _PYRO + "_SoftplusPositive": "softplus_positive",
    _TORCH + "_Simplex": "simplex",
}
_INDEPENDENT = _TORCH + "_IndependentConstraint"
_TOGETHER = {
    _TORCH + "_LowerCholesky": "lower_cholesky",
    _TORCH + "_CorrCholesky": "corr_cholesky",
    _TORCH + "_PositiveDefinite": "positive_definite",
    _TORCH + "_PositiveSemidefinite": "positive_semidefinite",
    _TORCH + "_Cat": "cat",
    _TORCH + "_Stack": "stack",
    _PYRO + "_SoftplusLowerCholesky": "softplus_lower_cholesky",
    _PYRO + "_UnitLowerCholesky": "unit_lower_cholesky",
    _PYRO + "_OrderedVector": "ordered_vector",
    _PYRO + "_PositiveOrderedVector": "positive_ordered_vector",
    _PYRO + "_Sphere": "sphere",
    _PYRO + "_CorrMatrix": "corr_matrix",
}
"""Constraints of several elements together that no parameter of a Beta-Binomial model has."""

CLASSES = (*_KNOWN, *_TOGETHER, _INDEPENDENT)
"""The constraint classes that a file may name."""

_MOST_NESTED = 8
_LINEAR_ABOVE = 20.0


class Constrained(NamedTuple):
    """A parameter's value, None where its constraint joins several elements, and a note."""

    values: FloatArray | None
    note: str


def constrain(tensor: Tensor, constraint: Instance) -> Constrained:
    """Compute the value that `pyro.param` returns for a saved tensor.

    Raises
    ------
    DataError
        If the constraint lacks a bound, or has one that does not fit the tensor.

    Examples
    --------
    >>> constraint = Instance("torch.distributions.constraints._GreaterThan")
    >>> constraint.attributes = {"lower_bound": 0.0}
    >>> constrain(Tensor(np.array([0.0, np.log(2.0)]), "float64"), constraint)
    Constrained(values=array([1., 2.]), note='exp applied (constraint positive)')
    """
    constraint = innermost(constraint)
    if constraint.name in _TOGETHER:
        name = _TOGETHER[constraint.name]
        return Constrained(None, f"left out (constraint {name}: its elements are not separate)")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        elements = tensor.elements
        params = elements.dtype if elements.dtype.kind == "f" else np.dtype(np.float64)
        x = elements.astype(np.float64)
        values, note = _transformed(x, constraint, np.finfo(params))
        return Constrained(np.array(np.asarray(values, params), np.float64, order="C"), note)


def innermost(constraint: Instance) -> Instance:
    """Return the constraint inside of independent ones.

    Raises
    ------
    DataError
        If there is none, or too deep inside.
    """
    for _ in range(_MOST_NESTED):
        if constraint.name != _INDEPENDENT:
            return constraint
        base = constraint.attributes.get("base_constraint")
        if not isinstance(base, Instance):
            raise DataError("an independent constraint has no base constraint")
        constraint = base
    raise DataError(f"independent constraints are nested more than {_MOST_NESTED} deep")


def ends_of(constraint: object) -> tuple[float, float] | None:
    """Return the two ends that an interval has, of a file or of a live store; None if none are."""
    named = constraint.attributes if isinstance(constraint, Instance) else vars(constraint)
    low, high = named.get("lower_bound"), named.get("upper_bound")
    if type(low) in (int, float) and type(high) in (int, float):
        return float(low), float(high)  # type: ignore[arg-type]
    return None


def class_name(full: str) -> str:
    """Name a constraint class in short; its last part where it is not known.

    Examples
    --------
    >>> class_name("torch.distributions.constraints._Real")
    'real'
    """
    return _KNOWN.get(full) or _TOGETHER.get(full) or full.rpartition(".")[2]


def _transformed(
    x: FloatArray, constraint: Instance, limits: np.finfo[Any]
) -> tuple[FloatArray, str]:
    """Return the transformed values in float64, and the transform in words."""
    name = _KNOWN[constraint.name]
    match name:
        case "real":
            return x, ""
        case "simplex":
            return _softmax(x), "softmax applied (constraint simplex)"
        case "softplus_positive":
            small = np.minimum(x, _LINEAR_ABOVE)
            values = np.where(x > _LINEAR_ABOVE, x, np.log1p(np.exp(small)))
            return values, "softplus applied (constraint softplus_positive)"
        case "greater_than" | "greater_than_eq":
            low, said = _bound(constraint, "lower_bound", x.shape)
            if said == "0":
                name = {"greater_than": "positive", "greater_than_eq": "nonnegative"}[name]
            else:
                name = f"{name} {said}"
            return low + np.exp(x), f"exp applied (constraint {name})"
        case "less_than":
            high, said = _bound(constraint, "upper_bound", x.shape)
            return high - np.exp(x), f"exp applied (constraint less_than {said})"
    low, said_low = _bound(constraint, "lower_bound", x.shape)
    high, said_high = _bound(constraint, "upper_bound", x.shape)
    unit = (name, said_low, said_high) == ("interval", "0", "1")
    name = "unit_interval" if unit else f"{name} {said_low} to {said_high}"
    sigmoid = np.clip(1.0 / (1.0 + np.exp(-x)), float(limits.tiny), 1.0 - float(limits.eps))
    return low + (high - low) * sigmoid, f"sigmoid applied (constraint {name})"


def _softmax(x: FloatArray) -> FloatArray:
    """Shares of a simplex along the last axis."""
    if not x.ndim:
        raise DataError("the constraint simplex is of a tensor without an axis")
    shares = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def _bound(constraint: Instance, key: str, shape: tuple[int, ...]) -> tuple[FloatArray, str]:
    """Return a bound in the shape of the tensor, and in words."""
    bound = constraint.attributes.get(key)
    if type(bound) in (int, float):
        value = np.array(bound, np.float64)
        return np.broadcast_to(value, shape), f"{value:g}"
    if not isinstance(bound, Tensor):
        raise DataError(f"the constraint {_KNOWN[constraint.name]} has no {key}")
    try:
        fitted = Tensor(np.broadcast_to(bound.array, shape), bound.kind)
        return fitted.elements.astype(np.float64), "a tensor"
    except ValueError:
        sizes = f"shape {bound.array.shape} for a tensor of shape {shape}"
        raise DataError(f"the {key} of {_KNOWN[constraint.name]} has {sizes}") from None
