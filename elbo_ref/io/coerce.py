"""A parameter's value as a float64 array: of a number, nested lists, an array or a tensor."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.io.layout import bare
from elbo_ref.io.tensors import Tensor

_MOST_DEPTH = 32


class Numbers(NamedTuple):
    """Values in C order, and the type that they had: None where Python's numbers do not say."""

    values: FloatArray
    dtype: str | None


def numbers_of(name: str, value: object) -> Numbers:
    """The numbers that the parameter `name` holds.

    A tensor has ``.detach()``, and goes by way of the processor's memory; anything else but lists
    is what `numpy.asarray` makes of it. NaN and infinities stay.

    Raises
    ------
    TypeError
        If they are no real numbers; truth values, text and objects are not.
    ValueError
        If there are none, rows differ in length, or a number is beyond float64.

    Examples
    --------
    >>> numbers_of("a", np.float32(0.5))
    Numbers(values=array(0.5), dtype='float32')
    >>> numbers_of("a", [[1, 2.5], [3, float("nan")]])
    Numbers(values=array([[1. , 2.5],
           [3. , nan]]), dtype=None)
    """
    found = _numbers(bare(name), value, 0)
    if not found.values.size:
        raise ValueError(f"{bare(name)} holds no number")
    return found


def _numbers(name: str, value: object, depth: int) -> Numbers:
    if isinstance(value, Tensor):
        return Numbers(_widened(value.elements), value.kind)
    if isinstance(value, list | tuple):
        return _stacked(name, value, depth)
    if type(value) in (int, float):
        return Numbers(_plain(name, value), None)
    array, kind = _array(name, value)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        found = "" if isinstance(value, np.ndarray) else f"a {type(value).__name__} of "
        raise TypeError(f"{name} must be real numbers, not {found}dtype {array.dtype}")
    return Numbers(_widened(array), kind)


def _stacked(name: str, values: list[Any] | tuple[Any, ...], depth: int) -> Numbers:
    """The values of a list along a new first axis."""
    if depth == _MOST_DEPTH:
        raise ValueError(f"{name} is nested more than {_MOST_DEPTH} deep")
    if set(map(type, values)) <= {int, float}:
        return Numbers(_plain(name, values), None)
    parts = [_numbers(f"{name}[{i}]", each, depth + 1) for i, each in enumerate(values)]
    for i, part in enumerate(parts):
        if part.values.shape != parts[0].values.shape:
            first, shape = parts[0].values.shape, part.values.shape
            raise ValueError(f"{name}[{i}] has shape {shape} where {name}[0] has {first}")
    kinds = {part.dtype for part in parts}
    kind = kinds.pop() if len(kinds) == 1 else None
    return Numbers(np.stack([part.values for part in parts]), kind)


def _widened(array: NDArray[Any]) -> FloatArray:
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        return np.array(array, np.float64, order="C")


def _plain(name: str, numbers: object) -> FloatArray:
    try:
        return np.array(numbers, np.float64)
    except OverflowError:
        raise ValueError(f"{name} holds an integer beyond float64") from None


def _array(name: str, value: Any) -> tuple[NDArray[Any], str]:
    """What NumPy makes of a value, and the name of the type that it had."""
    if np.ma.isMaskedArray(value):
        raise TypeError(f"{name} must be real numbers, not a masked array")
    try:
        if not hasattr(value, "detach"):
            array = np.asarray(value)
            return array, array.dtype.name
        tensor, kind = value.detach().cpu(), str(value.dtype).removeprefix("torch.")
        return (tensor.float() if kind == "bfloat16" else tensor).numpy(), kind
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{name} cannot be read as an array: {reason:.120}") from None
