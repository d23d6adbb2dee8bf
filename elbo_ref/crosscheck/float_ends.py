"""Ends at which a framework keeps draws and probabilities off 0 and 1, in its precision.

PyTorch clips draws of a Beta to [tiny, 1 - eps/2] and sigmoids to [tiny, 1 - eps], and clamps the
probability of a Binomial or Bernoulli to [eps, 1 - eps] (``torch.distributions``: ``dirichlet`` in
its C++ kernels, ``transforms._clipped_sigmoid`` and ``utils.clamp_probs``). NumPyro clamps the
probability at tiny instead of eps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from elbo_ref.distributions.base import Source
from elbo_ref.distributions.beta_source import BETA


class Ends(NamedTuple):
    """The least value, and the least distance from 1."""

    low: float
    gap: float

    @property
    def high(self) -> float:
        """The largest value."""
        return 1 - self.gap


def draw_ends(dtype: DTypeLike, source: Source = BETA) -> Ends:
    """Return the ends of draws from a Beta, or of those that a sigmoid makes.

    Examples
    --------
    >>> draw_ends("float32").high == 1 - 2.0**-24
    True
    """
    info = np.finfo(dtype)
    return Ends(float(info.tiny), float(info.eps) / (2 if source is BETA else 1))


def probability_ends(dtype: DTypeLike, *, numpyro: bool = False) -> Ends:
    """Return the ends of the probability of a likelihood.

    Examples
    --------
    >>> probability_ends("float32").low == probability_ends("float32").gap == 2.0**-23
    True
    """
    info = np.finfo(dtype)
    return Ends(float(info.tiny if numpyro else info.eps), float(info.eps))
