"""PyTorch's derivative of a Beta draw: its own value at a draw, or how far off it may be.

``torch._dirichlet_grad`` approximates the derivative that `elbo_ref.pathwise` has exactly
(docs/pathwise.md). Where PyTorch is installed it is asked. Where not, `ENVELOPE` bounds its
relative error over the table of `benchmarks/kernel_envelope.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref.arguments import FloatArray


class Pathwise(NamedTuple):
    """d logit/da and d logit/db by PyTorch, (2, ...), and how far the last bit of a draw moves it.

    Near the mode of large concentrations its expansion loses up to half of the digits in float64,
    and where it goes over from one approximation into another it jumps.
    """

    slopes: FloatArray
    spread: FloatArray


def torch_pathwise(c: NDArray[Any], a: FloatArray, b: FloatArray) -> Pathwise | None:
    """The derivatives at draws as ``Beta(a, b).rsample()`` has them; None without PyTorch.

    With G = _dirichlet_grad its backward is dc/da = G_1 (1 - c) and dc/db = -G_2 c, in the
    precision of the draws. It has kept 1 - c apart, before c was rounded: both are moved by what
    the other may be off.
    """
    try:
        import torch
    except ModuleNotFoundError:
        return None
    kind = c.dtype.type
    rest, half = 1 - c, np.finfo(kind).epsneg
    pair = np.stack([np.broadcast_to(z, c.shape) for z in (a, b)], axis=-1).astype(kind)
    concentration = torch.from_numpy(pair)
    total = concentration.sum(-1, True).expand_as(concentration)

    def at(c: NDArray[Any], rest: NDArray[Any]) -> FloatArray:
        x = np.stack([c, rest], axis=-1)
        grad = torch._dirichlet_grad(torch.from_numpy(x), concentration, total).double().numpy()
        wide = np.moveaxis(x.astype(np.float64), -1, 0)
        return np.array((grad[..., 0], -grad[..., 1])) / wide

    slopes = at(c, rest)
    moved = [at(np.nextafter(c, kind(end)), rest) for end in (0, 1)]
    low, high = np.maximum(rest * kind(0.5), rest - kind(half)), rest + kind(half)
    moved += [at(c, x.astype(kind)) for x in (low, np.minimum(high, 1))]
    return Pathwise(slopes, np.max(np.abs(np.array(moved) - slopes), axis=0))


DECADES = range(-3, 5)
"""Of the rows and columns of `ENVELOPE`: from 10^-3, ..., from 10^4."""

_NONE = np.inf
ENVELOPE = 2 * np.array(
    [
        [3e-6, 2e-5, 2e-4, 7e-2, 9e-2, 4e-1, _NONE, _NONE],
        [2e-5, 1e-5, 2e-4, 1e-2, 1e-2, 6e-2, _NONE, _NONE],
        [2e-4, 2e-4, 1e-4, 5e-3, 2e-2, 3e-2, _NONE, _NONE],
        [7e-2, 1e-2, 5e-3, 5e-3, 2e-2, 3e-2, 2e-1, _NONE],
        [9e-2, 1e-2, 2e-2, 2e-2, 2e-3, 1e-3, 2e-3, 4e-3],
        [4e-1, 6e-2, 3e-2, 3e-2, 1e-3, 5e-5, 3e-5, 2e-5],
        [_NONE, _NONE, _NONE, 2e-1, 2e-3, 3e-5, 1e-6, 9e-7],
        [_NONE, _NONE, _NONE, _NONE, 4e-3, 2e-5, 9e-7, 3e-7],
    ]
)
"""Twice the largest relative error found in a decade of each concentration, in either precision.

Infinite where it is above 1, as beside the poles of the kernel's rational function.
"""


def envelope(a: FloatArray, b: FloatArray) -> FloatArray:
    """A bound of the kernel's relative error at concentrations.

    Examples
    --------
    >>> envelope(np.array([2.0, 500.0, 0.5]), np.array([3.0, 500.0, 1e4]))
    array([0.01  , 0.0001,    inf])
    """
    row, column = (
        np.clip(np.floor(np.log10(x)).astype(int), DECADES[0], DECADES[-1]) - DECADES[0]
        for x in np.broadcast_arrays(a, b)
    )
    return np.asarray(ENVELOPE[row, column])
