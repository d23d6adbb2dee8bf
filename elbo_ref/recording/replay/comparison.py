"""Two arrays that should be the same: where they first differ, and where they differ most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.crosscheck.findings import Finding, Status


class Comparison(NamedTuple):
    """Recorded and recomputed values of one shape, steps first, and how far apart they may be.

    Examples
    --------
    >>> compared = Comparison(np.array([1.0, 2.5]), np.array([1.0, 2.0]), np.full(2, 0.1))
    >>> compared.agree, compared.first(), compared.farthest()
    (False, (1,), (1,))
    >>> print(compared.finding("losses", "loss at step 1", (1,), "rounding", "mistake").line())
    mistake   losses: loss at step 1: 2.5, should be 2 +- 0.1 (rounding)
    """

    theirs: FloatArray
    ours: FloatArray
    allowance: FloatArray

    @property
    def off(self) -> BoolArray:
        """Entries that are too far apart, or of which the recorded value is no number."""
        return np.asarray(~(np.abs(self.theirs - self.ours) <= self.allowance))

    @property
    def agree(self) -> bool:
        """Tell whether they are near enough everywhere."""
        return not self.off.any()

    def first(self) -> tuple[int, ...]:
        """Find the first value that is off."""
        return self._index_of_largest(self.off)

    def farthest(self) -> tuple[int, ...]:
        """Find the largest difference in units of the allowance."""
        difference = np.abs(self.theirs - self.ours)
        return self._index_of_largest(difference / np.maximum(self.allowance, 1e-300))

    def _index_of_largest(self, measure: NDArray[np.generic]) -> tuple[int, ...]:
        return tuple(map(int, np.unravel_index(int(np.argmax(measure)), self.theirs.shape)))

    def finding(
        self, name: str, quantity: str, index: tuple[int, ...], reason: str, status: Status
    ) -> Finding:
        """Make a finding of the values at an index."""
        theirs, ours, allowance = (float(array[index]) for array in self)
        return Finding(name, quantity, theirs, ours, allowance, reason, status)
