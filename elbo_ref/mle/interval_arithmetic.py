"""Interval arithmetic: numbers known to lie between two floats.

Every operation gives an interval that contains each result that its operands allow, widened by one
unit in the last place at each end for its own rounding. A number computed this way from intervals
without length is known with its rounding; from longer ones, with all the values it takes.

Source: Moore, Kearfott & Cloud, Introduction to Interval Analysis (2009), chapters 2 and 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from elbo_ref._validation.arguments import FloatArray

_ULP = 2.0**-52
_FUNCTION = 2.0**-49
"""Rounding of a function's value, relative."""
_SUM = 2.0**-46
"""Rounding of a pairwise sum, relative to the sum of sizes; for less than 1e15 terms."""


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Intervals [low, high], elementwise."""

    low: FloatArray
    high: FloatArray

    @classmethod
    def exact(cls, value: FloatArray) -> Enclosure:
        """Enclose floats that have no error."""
        return cls(value, value)

    @classmethod
    def outward(cls, low: FloatArray, high: FloatArray, error: float = _ULP) -> Enclosure:
        """Enclose with room for a relative error of each end."""
        return cls(low - error * np.abs(low), high + error * np.abs(high))

    @cached_property
    def positive(self) -> bool:
        """True if no number is negative."""
        return bool(self.low.size) and float(self.low.min()) >= 0

    @property
    def middle(self) -> FloatArray:
        """The middle of each interval."""
        return self.low + (self.high - self.low) / 2

    @property
    def radius(self) -> FloatArray:
        """Half the length of each interval, rounded up."""
        return (self.high - self.low) * (0.5 + _ULP)

    @property
    def size(self) -> FloatArray:
        """The largest absolute value in each interval."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def __neg__(self) -> Enclosure:
        return Enclosure(-self.high, -self.low)

    def __add__(self, other: Enclosure | float) -> Enclosure:
        if not isinstance(other, Enclosure):
            return Enclosure.outward(self.low + other, self.high + other)
        return Enclosure.outward(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Enclosure | float) -> Enclosure:
        return self + -other

    def __rsub__(self, other: float) -> Enclosure:
        return -self + other

    def __mul__(self, other: Enclosure | float) -> Enclosure:
        if not isinstance(other, Enclosure):
            ends = self.low * other, self.high * other
            return Enclosure.outward(np.minimum(*ends), np.maximum(*ends))
        one, two = (self, other) if other.positive else (other, self)
        if one.positive and two.positive:
            return Enclosure(one.low * two.low * (1 - _ULP), one.high * two.high * (1 + _ULP))
        low, high = ([x * two.low, x * two.high] for x in (one.low, one.high))
        if not two.positive:
            low = high = low + high
        return Enclosure.outward(reduce(np.minimum, low), reduce(np.maximum, high))

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Enclosure) -> Enclosure:
        """Divide by something positive."""
        return self * other.falling(lambda x: 1 / x)

    def square(self) -> Enclosure:
        """Multiply each number by itself."""
        low, high = np.abs(self.low), np.abs(self.high)
        least = np.where((self.low <= 0) & (self.high >= 0), 0.0, np.minimum(low, high) ** 2)
        return Enclosure.outward(least, np.maximum(low, high) ** 2)

    def falling(self, function: Callable[[FloatArray], FloatArray]) -> Enclosure:
        """Apply a function that falls."""
        return Enclosure.outward(function(self.high), function(self.low), _FUNCTION)

    def rising(self, function: Callable[[FloatArray], FloatArray]) -> Enclosure:
        """Apply a function that rises."""
        return Enclosure.outward(function(self.low), function(self.high), _FUNCTION)

    def meet(self, other: Enclosure) -> Enclosure:
        """Intersect with intervals that contain the same numbers."""
        return Enclosure(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def total(self, weight: FloatArray) -> Enclosure:
        """Sum over the last axis, with weights that are not negative."""
        low, high = self.low * weight, self.high * weight
        error = _SUM * np.maximum(np.abs(low), np.abs(high)).sum(axis=-1)
        return Enclosure(low.sum(axis=-1) - error, high.sum(axis=-1) + error)
