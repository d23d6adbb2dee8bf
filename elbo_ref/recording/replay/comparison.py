"""Two arrays that should be the same: where they first are not, and where they are farthest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.crosscheck.findings import Finding, Status


class Comparison(NamedTuple):
    """Theirs and ours, of one shape whose first axis is the steps, and how far apart they may be.

    Examples
    --------
    >>> found = Comparison(np.array([1.0, 2.5]), np.array([1.0, 2.0]), np.full(2, 0.1))
    >>> found.agree, found.first(), found.farthest()
    (False, (1,), (1,))
    >>> print(found.finding("losses", "loss at step 1", (1,), "rounding", "mistake").line())
    mistake   losses: loss at step 1 2.5, should be 2 +- 0.1 (rounding)
    """

    theirs: FloatArray
    ours: FloatArray
    allowance: FloatArray

    @property
    def off(self) -> BoolArray:
        """Where they are too far apart, or theirs is no number."""
        return np.asarray(~(np.abs(self.theirs - self.ours) <= self.allowance))

    @property
    def agree(self) -> bool:
        """Everywhere."""
        return not self.off.any()

    def first(self) -> tuple[int, ...]:
        """The first place where they do not."""
        return self._place(self.off)

    def farthest(self) -> tuple[int, ...]:
        """The place where they are farthest apart for what is allowed."""
        return self._place(np.abs(self.theirs - self.ours) / np.maximum(self.allowance, 1e-300))

    def _place(self, measure: NDArray[np.generic]) -> tuple[int, ...]:
        return tuple(map(int, np.unravel_index(int(np.argmax(measure)), self.theirs.shape)))

    def finding(
        self, name: str, words: str, where: tuple[int, ...], reason: str, status: Status
    ) -> Finding:
        """What stands at a place, as a finding."""
        theirs, ours, allowance = (float(array[where]) for array in self)
        return Finding(name, words, theirs, ours, allowance, reason, status)
