"""Bases of frozen values: two arrays of one shape, equality by content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from elbo_ref._validation.arguments import FloatArray, check_broadcast, plain

Value = TypeVar("Value")


class Pair:
    """Two read-only parameters of one shape, compared, hashed and pickled by value."""

    _names: ClassVar[tuple[str, str]]

    def _hold(self, first: FloatArray, second: FloatArray) -> None:
        """Keep both under their names, broadcast against each other."""
        if first.shape != second.shape:
            check_broadcast(**dict(zip(self._names, (first, second), strict=True)))
            first, second = (x.copy() for x in np.broadcast_arrays(first, second))
        for name, array in zip(self._names, (first, second), strict=True):
            array.setflags(write=False)
            object.__setattr__(self, name, plain(array))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return np.array_equal(self.arrays(), other.arrays())

    def __hash__(self) -> int:
        return hash((self.shape, *(hashed(x) for x in self.arrays())))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, name) for name in self._names)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of distributions; () for one."""
        return np.shape(getattr(self, self._names[0]))

    def arrays(self) -> tuple[FloatArray, FloatArray]:
        """Both parameters as (read-only) arrays."""
        first, second = (np.asarray(getattr(self, name)) for name in self._names)
        return first, second


def hashed(array: FloatArray) -> bytes:
    """Return the same bytes for arrays that are equal, as 0.0 and -0.0 are."""
    return (array + 0.0).tobytes()


def by_value(kind: type[Value]) -> type[Value]:
    """Compare and hash a kind of named tuple or dataclass by content, arrays included."""
    alike = kind if is_dataclass(kind) else tuple

    def equal(self: Value, other: object) -> Any:
        if not isinstance(other, alike):
            return NotImplemented
        return _content(self) == _content(other)

    def hash_of(self: Value) -> int:
        return hash(_content(self))

    for name, method in (("__eq__", equal), ("__ne__", object.__ne__), ("__hash__", hash_of)):
        setattr(kind, name, method)
    return kind


def _content(value: object) -> Any:
    """Return the value with arrays as shape and bytes, which can be compared and hashed."""
    if isinstance(value, np.ndarray):
        return value.shape, hashed(value)
    if is_dataclass(value):
        return tuple(_content(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple):
        return tuple(map(_content, value))
    if isinstance(value, Mapping):
        return tuple((name, _content(held)) for name, held in sorted(value.items()))
    return value
