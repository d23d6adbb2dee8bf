r"""`Left`: draws seen from the end c = 0, and the differences of digamma values that they need.

log c is combined with the digamma values as a product, while both are large: with S = SHIFT + 1 and
the remainders D of `elbo_ref.special.digamma_remainders`,

    psi(s + 1) - psi(a + 1) + log c = log(c (s + S)/(a + S)) + D(a + 1, b).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.special import SHIFT, digamma_remainders
from elbo_ref.special.arithmetic import constants

_FAR, _ONE, _S = constants(-700.0, 1.0, SHIFT + 1.0)
"""Below this logit c is e^y, nearly out of range, and only its logarithm matters."""


def draw_of(y: FloatArray) -> FloatArray:
    """Return c, the smaller the logit the more exactly."""
    return _draw_of_near(np.maximum(y, _FAR))


def _draw_of_near(y: FloatArray) -> FloatArray:
    """Return the same, in place, for logits that are not so far."""
    c = np.exp(y, out=y)
    c /= _ONE + c
    return c


class Left(NamedTuple):
    """n draws, each with its pair, and quantities that all ways share."""

    y: FloatArray
    c: FloatArray
    v: FloatArray
    """c s, which is a at the mode."""
    a: FloatArray
    b: FloatArray
    s: FloatArray
    beyond: FloatArray
    """The part of the logit below -700, by which log c is less than that of the c that is held."""
    remainders: FloatArray | Sequence[FloatArray] | None = None
    """D(a + 1, b) and D(b + 1, a), where they are known already."""

    @classmethod
    def of(
        cls,
        y: FloatArray,
        a: FloatArray,
        b: FloatArray,
        remainders: FloatArray | Sequence[FloatArray] | None = None,
    ) -> Left:
        """Prepare n draws."""
        near, s = np.maximum(y, _FAR), a + b
        beyond = near - y
        c = _draw_of_near(near)
        return cls(y, c, c * s, a, b, s, beyond, remainders)

    def digammas(self) -> tuple[FloatArray, FloatArray]:
        """Return psi(a + 1) - psi(s + 1) - log c and psi(s + 1) - psi(b + 1)."""
        _, c, _, a, b, s, beyond, known = self
        d_a, d_b = digamma_remainders(a, b) if known is None else known
        ratio, rise = s + _S, b + _S
        ratio /= a + _S
        ratio *= c
        np.log(ratio, out=ratio)
        up = np.subtract(beyond, ratio, out=ratio)
        up -= d_a
        np.divide(a, rise, out=rise)
        np.log1p(rise, out=rise)
        rise += d_b
        return up, rise
