"""`Left`: draws with y <= 0, and the quantities that all ways to their derivatives begin with.

A draw is reflected to y <= 0, so that c = sigma(y) <= 1/2 and the smaller of c and 1 - c is held to
full relative precision. log c is combined with the digamma values as a product, while both are
large: with S = SHIFT + 1 and the remainders D of `elbo_ref.special.digamma_remainders`,

    psi(s + 1) - psi(a + 1) + log c = log(c e^D (s + S)/(a + S)),        D = D(a + 1, b).
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.special import SHIFT, digamma_remainders

_FAR = -700.0
"""Below this logit c is e^y, nearly out of range, and only its logarithm matters."""
_S = SHIFT + 1.0


OneOrEach: TypeAlias = FloatArray | float
"""One value for all draws, or one for each."""


class Left(NamedTuple):
    """n draws with y <= 0, and quantities that all ways share."""

    y: FloatArray
    c: FloatArray
    v: FloatArray
    """c s, which is a at the mode."""
    a: OneOrEach
    b: OneOrEach
    s: OneOrEach
    up: FloatArray
    """psi(a + 1) - psi(s + 1) - log c."""
    rise: OneOrEach
    """psi(s + 1) - psi(b + 1)."""

    @classmethod
    def of(cls, y: FloatArray, upper: BoolArray, a: OneOrEach, b: OneOrEach) -> Left:
        """Prepare n logits, reflected where `upper`."""
        s, (d_a, d_b) = a + b, digamma_remainders(a, b)
        left = a, b, (s + _S) / (a + _S) * np.exp(d_a), np.log1p(a / (b + _S)) + d_b
        right = b, a, (s + _S) / (b + _S) * np.exp(d_b), np.log1p(b / (a + _S)) + d_a
        a, b, scale, rise = _either(upper, right, left)
        y = -np.abs(y)
        near = np.maximum(y, _FAR)
        c, s = sc.expit(near), a + b
        return cls(y, c, c * s, a, b, s, (near - y) - np.log(c * scale), rise)

    def among(self, chosen: BoolArray) -> Left:
        """Keep only the chosen draws."""

        def pick(x: OneOrEach) -> Any:
            return x[chosen] if isinstance(x, np.ndarray) else x

        return Left(*map(pick, self))


def _either(
    first: BoolArray, one: tuple[OneOrEach, ...], other: tuple[OneOrEach, ...]
) -> tuple[OneOrEach, ...]:
    """Choose, as ``np.where``, between the values of two tuples, or only the one that is wanted."""
    count = np.count_nonzero(first)
    if count == 0:
        return other
    if count == first.size:
        return one
    return tuple(np.where(first, *(np.array(rows).reshape(len(one), -1) for rows in (one, other))))
