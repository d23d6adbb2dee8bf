"""`Left`: draws with y <= 0, and what all ways to their derivatives begin with.

A draw is reflected to y <= 0, so that c = sigma(y) <= 1/2 and the smaller of c and 1 - c is held to
full relative precision. log c is combined with the digamma values as a product, while both are
large: with S = SHIFT + 1 and the remainders D of `elbo_ref.special.digamma_remainders`,

    psi(s + 1) - psi(a + 1) + log c = log(c e^D (s + S)/(a + S)),        D = D(a + 1, b).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import special as sc

from elbo_ref.arguments import BoolArray, FloatArray
from elbo_ref.special import SHIFT, digamma_remainders

_FAR = -700.0
"""Below this logit c is e^y, nearly out of range, and only its logarithm matters."""
_S = SHIFT + 1.0


Concentration: TypeAlias = FloatArray | float
"""One for each draw, or one for all."""


class Left(NamedTuple):
    """Arrays of length n: draws and what is known of them."""

    y: FloatArray
    c: FloatArray
    v: FloatArray
    """c s, which is a at the mode."""
    a: FloatArray
    b: FloatArray
    s: FloatArray
    up: FloatArray
    """psi(a + 1) - psi(s + 1) - log c."""
    rise: FloatArray
    """psi(s + 1) - psi(b + 1)."""

    @classmethod
    def of(cls, y: FloatArray, upper: BoolArray, a: Concentration, b: Concentration) -> Left:
        """From n logits, reflected where `upper`."""
        d_a, d_b = digamma_remainders(a, b)
        s = a + b
        far_a, far_b = (s + _S) / (a + _S), (s + _S) / (b + _S)
        left = np.array((a, b, far_a * np.exp(d_a), np.log1p(a / (b + _S)) + d_b))
        right = np.array((b, a, far_b * np.exp(d_b), np.log1p(b / (a + _S)) + d_a))
        own_a, own_b, scale, rise = np.where(upper, right.reshape(4, -1), left.reshape(4, -1))
        y = -np.abs(y)
        near = np.maximum(y, _FAR)
        c, own_s = sc.expit(near), own_a + own_b
        up = (near - y) - np.log(c * scale)
        return cls(y, c, c * own_s, own_a, own_b, own_s, up, rise)

    def among(self, chosen: BoolArray) -> Left:
        """Only the chosen draws."""
        return Left(*np.array(self)[:, chosen])
