"""Array types, and the argument checks that every public function makes once.

An error names the argument, the first offending index, the value and the rule, as in
``concentration1[3] = -1.0 must lie in [1e-100, 1e+100]``. What has passed is trusted afterwards.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Hashable, Iterable
from functools import cached_property, wraps
from types import FunctionType
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
CONCENTRATION_RANGE = 1e-100, 1e100
"""The range of a concentration: a product of three is still in that of a float."""

Rng: TypeAlias = int | np.random.SeedSequence | np.random.Generator
"""Values that every `rng` argument takes, None not: the same call gives the same bytes."""


Callee = TypeVar("Callee", bound=Callable[..., Any])


def underflow_is_zero(callee: Callee) -> Callee:
    """Let a function, or all methods of a class, round what underflows to 0, as NumPy's default is.

    A caller's ``np.errstate(all="raise")`` would otherwise end in the middle of a sum whose terms
    may be as small as they like; overflow, division and invalid values stay as the caller has them.
    """
    if isinstance(callee, type):
        for name, member in list(vars(callee).items()):
            if name.startswith("_"):
                continue
            if isinstance(member, FunctionType):
                setattr(callee, name, _underflow_is_zero(member))
            elif isinstance(member, classmethod):
                setattr(callee, name, classmethod(_underflow_is_zero(member.__func__)))
            elif isinstance(member, property) and member.fget is not None:
                setattr(callee, name, property(_underflow_is_zero(member.fget)))
            elif isinstance(member, cached_property):
                member.func = _underflow_is_zero(member.func)
        return callee
    return _underflow_is_zero(callee)  # type: ignore[return-value]


def _underflow_is_zero(function: Callable[..., Any]) -> Callable[..., Any]:
    errstate = np.errstate

    def quiet(*args: Any, **kwargs: Any) -> Any:
        with errstate(under="ignore"):
            return function(*args, **kwargs)

    # doctest knows a function's module by its globals
    params: dict[str, Any] = getattr(function, "__globals__", {})
    return wraps(function)(FunctionType(quiet.__code__, params, closure=quiet.__closure__))


_MADE_BY = {
    "Beta": "Beta(concentration1, concentration0)",
    "Counts": "Counts(successes, total_count)",
    "EvidenceMaximum": "maximize_evidence(counts)",
    "Hyperprior": "Hyperprior(mean=Beta(1, 1), weight=(1, 1))",
}
"""Calls that make values of a kind."""


def check_type(name: str, value: object, *kinds: type) -> None:
    """Raise TypeError unless `value` is of one of these kinds."""
    if not isinstance(value, kinds):
        article = "an" if kinds[0].__name__[0] in "AEIOU" else "a"
        wanted = " or ".join(kind.__name__ for kind in kinds).replace("NoneType", "None")
        text = f"{name} must be {article} {wanted}, not {type(value).__name__}"
        make = _remedy(wanted, value)
        raise TypeError(f"{text}: make it by {make}" if make else text)


def _remedy(kind: str, value: object) -> str | None:
    """Return a call that makes what was wanted of what was given."""
    if kind == "Counts" and isinstance(value, str | os.PathLike):
        return "read_counts(path)"
    if kind == "Counts" and hasattr(value, "columns"):
        return "Counts.from_frame(frame, successes=COLUMN, total_count=COLUMN)"
    return _MADE_BY.get(kind)


def check_known(name: str, value: object, known: Iterable[str]) -> None:
    """Raise ValueError unless `value` is one of the known names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} = {value!r} is not one of {', '.join(map(repr, known))}")


def file_path(name: str, value: object) -> str:
    """Return the text of a path; raise TypeError for anything else, such as a file descriptor."""
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"{name} must be a str or a Path, not {type(value).__name__}")
    text = os.fsdecode(value)
    if "\0" in text:
        raise ValueError(f"{name} = {text!r} must not contain a null character")
    return text


def check_fits(name: str, shape: tuple[int, ...], size: int) -> None:
    """Raise ValueError unless the shape is that of one value, or of one for each entry."""
    if shape not in ((), (size,)):
        raise ValueError(
            f"{name} of shape {shape} fits neither () nor the {size} entries of counts"
        )


def check_broadcast(**arrays: NDArray[Any]) -> None:
    """Raise ValueError unless these arrays, given by name, broadcast against each other."""
    try:
        np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = [f"{name} of shape {array.shape}" for name, array in arrays.items()]
        text = f"{', '.join(shapes[:-1])} and {shapes[-1]}"
        raise ValueError(f"{text} do not broadcast") from None


def describe(name: str, array: NDArray[Any], index: tuple[int, ...]) -> str:
    """Write ``name[i] = value``, or ``name = value`` for a scalar."""
    subscript = f"[{', '.join(map(str, index))}]" if index else ""
    return f"{name}{subscript} = {array[index]!s}"


def require(name: str, array: NDArray[Any], good: NDArray[np.bool_] | np.bool_, rule: str) -> None:
    """Raise ValueError for the first element of `array` where `good` is False."""
    if np.count_nonzero(good) != good.size:
        index = tuple(int(i) for i in np.argwhere(~np.atleast_1d(good))[0])[: np.ndim(array)]
        raise ValueError(f"{describe(name, array, index)} {rule}")


_UNQUOTED = "write numbers without quotes, or convert a column of texts first"


def float_array(name: str, value: ArrayLike) -> FloatArray:
    """Return a float64 copy of real numbers; raise TypeError for anything else."""
    array = as_array(name, value)
    if array.dtype.kind == "O" and all(isinstance(x, int) for x in array.flat):
        try:
            array = array.astype(np.float64)
        except OverflowError as error:
            raise ValueError(f"{name}: {error}") from None
    if np.ma.isMaskedArray(value) or array.dtype.kind not in "fiub":
        texts = f"; {_UNQUOTED}" if array.dtype.kind in "US" else ""
        raise TypeError(f"{name} must be real numbers, not {_kind(value, array)}{texts}")
    with np.errstate(all="ignore"):  # a longdouble may be out of range: it is then 0 or infinite
        return array.astype(np.float64)


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return a value as an array of any kind; raise ValueError if its rows differ in length."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is not an array: {error}") from None


def finite(name: str, value: ArrayLike) -> FloatArray:
    """Return a float64 copy; raise ValueError unless every element is finite."""
    array = float_array(name, value)
    require(name, array, np.isfinite(array), "is not finite")
    return array


def float_in(name: str, value: ArrayLike, low: float, high: float) -> FloatArray:
    """Return a float64 copy; raise ValueError unless every element lies in [low, high]."""
    array = float_array(name, value)
    least, most = (f.reduce(array, None, initial=low) for f in (np.minimum, np.maximum))
    if not low <= least <= most <= high:
        good = (array >= low) & (array <= high)
        require(name, array, good, f"must lie in [{low:g}, {high:g}]")
    return array


def float_inside(name: str, value: ArrayLike) -> FloatArray:
    """Return a float64 copy; raise ValueError unless every element is inside (0, 1)."""
    array = float_in(name, value, 0.0, 1.0)
    require(name, array, (array > 0) & (array < 1), "must be inside (0, 1)")
    return array


def plain(array: FloatArray) -> float | FloatArray:
    """Return a float for an array without dimensions, and any other array as it is."""
    return array if array.ndim else float(array)


def concentration(name: str, value: ArrayLike) -> FloatArray:
    """Return a float64 copy; raise ValueError unless all lie in the range of a concentration."""
    return float_in(name, value, *CONCENTRATION_RANGE)


def scalar(name: str, value: float, good: Callable[[float], bool], rule: str) -> float:
    """Return one finite real number that satisfies `good`, as a float."""
    if isinstance(value, bool | np.bool_) or as_array(name, value).ndim:
        raise TypeError(f"{name} must be a real number, not {value!r}")
    array = float_array(name, value)
    if not np.isfinite(array) or not good(float(array)):
        raise ValueError(f"{name} = {value!r} {rule}")
    return float(array)


def probability(name: str, value: float) -> float:
    """Return one number strictly between 0 and 1, as a float."""
    rule = "must lie strictly between 0 and 1"
    if isinstance(value, int | float) and 1 < value < 100:
        rule = f"{rule}; {value:g} % is {value / 100:g}"
    return scalar(name, value, lambda p: 0 < p < 1, rule)


def count(name: str, value: int, minimum: int, maximum: float = 2**63 - 1) -> int:
    """Return one whole number in [minimum, maximum], as an int."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < minimum:
        raise ValueError(f"{name} = {value} must be at least {minimum}")
    if value > maximum:
        raise ValueError(f"{name} = {value!s:.20} must be at most {maximum}")
    return int(value)


def whole_numbers(name: str, value: ArrayLike) -> IntArray:
    """Return an int64 copy of whole numbers of [0, 2**63), whatever type holds them."""
    array = as_array(name, value)
    if np.ma.isMaskedArray(value):
        raise TypeError(f"{name} must not be a masked array")
    if array.ndim > 1:
        raise ValueError(f"{name} of shape {array.shape} must have at most one dimension")
    if not array.size:
        raise ValueError(f"{name} is empty: at least one row is needed")
    if array.size and array.dtype.kind == "O":
        if not all(isinstance(x, int | np.integer) for x in array.flat):
            raise TypeError(f"{name} must hold whole numbers, not {_first_other(array)}")
        good = np.array([0 <= x <= 2**63 - 1 for x in array.flat]).reshape(array.shape)
        require(name, array, good, "must lie in [0, 2**63)")
    elif array.dtype.kind == "f":
        fits = np.isfinite(array) & (array == np.rint(array))
        missing = "is not a whole number; leave rows without a value out"
        require(name, array, ~np.isnan(array), missing)
        require(name, array, fits, "is not a whole number")
        digits, wide = np.finfo(array.dtype).nmant + 1, array.astype(np.longdouble)
        require(name, array, wide <= 2.0**digits, f"is a float above 2**{digits}: pass an int")
        require(name, array, (wide >= 0) & (wide < 2.0**63), "must lie in [0, 2**63)")
    elif array.dtype.kind in "iu":
        require(name, array, (array >= 0) & (array <= 2**63 - 1), "must lie in [0, 2**63)")
    elif array.dtype.kind != "b":
        texts = f"; {_UNQUOTED}" if array.dtype.kind in "US" else ""
        raise TypeError(f"{name} must hold whole numbers, not dtype {array.dtype}{texts}")
    return array.astype(np.int64)


def sample_shape(size: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a `size` argument stands for."""
    return tuple(count("size", x, 0) for x in (size if isinstance(size, tuple) else (size,)))


def generator(rng: Rng) -> np.random.Generator:
    """Return the `numpy.random.Generator` that an `rng` argument stands for."""
    if isinstance(rng, np.random.Generator | np.random.SeedSequence):
        return np.random.default_rng(rng)
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer):
        kinds = "an int, a SeedSequence or a numpy.random.Generator"
        raise TypeError(f"rng must be {kinds}, not {type(rng).__name__}")
    return np.random.default_rng(count("rng", rng, 0, math.inf))


def label_list(name: str, labels: Iterable[Hashable] | NDArray[Any]) -> list[Hashable]:
    """Return labels as a list; raise TypeError or ValueError if they cannot be told apart."""
    if np.ma.isMaskedArray(labels):
        raise TypeError(f"{name} must not be a masked array")
    if isinstance(labels, str | bytes | set | frozenset) or not isinstance(labels, Iterable):
        raise TypeError(f"{name} must be a sequence of labels, not {type(labels).__name__}")
    try:
        found = list(labels)
        if isinstance(labels, np.ndarray) or hasattr(labels, "dims"):  # of xarray
            found = np.asarray(labels).tolist()
    except TypeError:  # an array without dimensions, or a class whose instances are iterable
        raise TypeError(f"{name} must be a sequence of labels, not {labels!r}") from None
    for row, label in enumerate(found):
        if label is None or not _hashable(label) or label != label:
            raise ValueError(f"{name}[{row}] = {label!r} is not a label")
    return found


def _hashable(label: object) -> bool:
    try:
        hash(label)
    except TypeError:  # also of a tuple with a list in it
        return False
    return True


def _first_other(array: NDArray[Any]) -> str:
    """Show the first element that is no whole number, by its type."""
    other = next(x for x in array.flat if not isinstance(x, int | np.integer))
    return f"{other!r:.60} ({type(other).__name__})"


def _kind(value: object, array: NDArray[Any]) -> str:
    if np.ma.isMaskedArray(value):
        return "a masked array"
    return f"{type(value).__name__} of dtype {array.dtype}"
