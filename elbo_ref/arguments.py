"""The public door: array types, and the checks that every public function makes once.

An error names the argument, the first offending index, the value and the rule, as in
``concentration1[3] = -1.0 must lie in [1e-100, 1e+100]``. What has passed is trusted afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
CONCENTRATION_RANGE = 1e-100, 1e100
"""The range of a concentration: a product of three is still in that of a float."""

Rng: TypeAlias = int | np.random.SeedSequence | np.random.Generator
"""What every `rng` argument takes; None is refused, because the same call gives the same bytes."""


def check_type(name: str, value: object, kind: type) -> None:
    """Raise TypeError unless `value` is of that kind."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        found = type(value).__name__
        raise TypeError(f"{name} must be {article} {kind.__name__}, not {found}")


def check_fits(name: str, shape: tuple[int, ...], size: int) -> None:
    """Raise ValueError unless the shape is that of one value, or of one for each entry."""
    if shape not in ((), (size,)):
        raise ValueError(
            f"{name} of shape {shape} fits neither () nor the {size} entries of counts"
        )


def describe(name: str, array: NDArray[Any], index: tuple[int, ...]) -> str:
    """``name[i] = value``, or ``name = value`` for a scalar."""
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return f"{name}{place} = {array[index]!s}"


def require(name: str, array: NDArray[Any], good: NDArray[np.bool_] | np.bool_, rule: str) -> None:
    """Raise ValueError for the first element of `array` where `good` is False."""
    if np.count_nonzero(good) != good.size:
        index = tuple(int(i) for i in np.argwhere(~np.atleast_1d(good))[0])[: np.ndim(array)]
        raise ValueError(f"{describe(name, array, index)} {rule}")


def float_array(name: str, value: ArrayLike) -> FloatArray:
    """A float64 copy of real numbers; TypeError for anything else."""
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O" and all(isinstance(x, int) for x in array.flat):
            array = array.astype(np.float64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from None
    if np.ma.isMaskedArray(value) or array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers, not {_kind(value, array)}")
    return array.astype(np.float64)


def float_in(name: str, value: ArrayLike, low: float, high: float) -> FloatArray:
    """A float64 copy with every element in [low, high]."""
    array = float_array(name, value)
    if array.ndim or not low <= array.item() <= high:
        good = (array >= low) & (array <= high)
        require(name, array, good, f"must lie in [{low:g}, {high:g}]")
    return array


def plain(array: FloatArray) -> float | FloatArray:
    """What a public function hands out: a float where there are no dimensions."""
    return array if array.ndim else float(array)


def concentration(name: str, value: ArrayLike) -> FloatArray:
    """A float64 copy with every element in the range of a concentration."""
    return float_in(name, value, *CONCENTRATION_RANGE)


def scalar(name: str, value: float, good: Callable[[float], bool], rule: str) -> float:
    """One finite real number that satisfies `good`."""
    if isinstance(value, bool | np.bool_) or np.ndim(value):
        raise TypeError(f"{name} must be a real number, not {value!r}")
    array = float_array(name, value)
    if not np.isfinite(array) or not good(float(array)):
        raise ValueError(f"{name} = {value!r} {rule}")
    return float(array)


def count(name: str, value: int, minimum: int) -> int:
    """One whole number, at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < minimum:
        raise ValueError(f"{name} = {value} must be at least {minimum}")
    return int(value)


def sample_shape(size: int | tuple[int, ...]) -> tuple[int, ...]:
    """The shape that a `size` argument stands for."""
    return tuple(count("size", x, 0) for x in (size if isinstance(size, tuple) else (size,)))


def generator(rng: Rng) -> np.random.Generator:
    """The `numpy.random.Generator` that an `rng` argument stands for."""
    if isinstance(rng, np.random.Generator | np.random.SeedSequence):
        return np.random.default_rng(rng)
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer):
        kinds = "an int, a SeedSequence or a numpy.random.Generator"
        raise TypeError(f"rng must be {kinds}, not {type(rng).__name__}")
    return np.random.default_rng(count("rng", rng, 0))


def _kind(value: object, array: NDArray[Any]) -> str:
    if np.ma.isMaskedArray(value):
        return "a masked array"
    return f"{type(value).__name__} of dtype {array.dtype}"
