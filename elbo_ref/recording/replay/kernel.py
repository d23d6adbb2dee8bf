"""PyTorch's own derivative of a Beta draw, which needs PyTorch.

``torch._dirichlet_grad`` approximates the derivative that `elbo_ref.distributions.pathwise` has
exactly (docs/pathwise.md), and has no useful bound: beside the poles of its rational function any
error is possible. Without PyTorch what depends on it is not tested.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray


class Pathwise(NamedTuple):
    """d logit/da and d logit/db by PyTorch, (2, ...), and how far the last bit of a draw moves it.

    Near the mode of large concentrations its expansion loses up to half of the digits in float64,
    and where it goes over from one approximation into another it jumps.
    """

    slopes: FloatArray
    spread: FloatArray


def installed_pytorch() -> ModuleType | None:
    """Import PyTorch; None where that fails."""
    try:
        return import_module("torch")
    except ImportError:
        return None


def torch_pathwise(c: NDArray[Any], a: FloatArray, b: FloatArray) -> Pathwise | None:
    """Differentiate draws as ``Beta(a, b).rsample()`` does; None without PyTorch.

    With G = _dirichlet_grad its backward is dc/da = G_1 (1 - c) and dc/db = -G_2 c, in the
    precision of the draws. It has kept 1 - c apart, before c was rounded: the spread is over
    neighbours of both.
    """
    torch = installed_pytorch()
    if torch is None:
        return None
    kind = c.dtype.type
    failure, half = 1 - c, np.finfo(kind).epsneg
    pair = np.stack([np.broadcast_to(z, c.shape) for z in (a, b)], axis=-1).astype(kind)
    concentration = torch.from_numpy(pair)
    total = concentration.sum(-1, True).expand_as(concentration)

    def at(c: NDArray[Any], failure: NDArray[Any]) -> FloatArray:
        x = np.stack([c, failure], axis=-1)
        grad = torch._dirichlet_grad(torch.from_numpy(x), concentration, total).double().numpy()
        wide = np.moveaxis(x.astype(np.float64), -1, 0)
        return np.array((grad[..., 0], -grad[..., 1])) / wide

    slopes = at(c, failure)
    low = np.maximum(failure * kind(0.5), failure - kind(half))
    high = np.minimum(failure + kind(half), 1)
    neighbours = [at(np.nextafter(c, kind(end)), failure) for end in (0, 1)]
    neighbours += [at(c, x.astype(kind)) for x in (low, high)]
    return Pathwise(slopes, np.max(np.abs(np.array(neighbours) - slopes), axis=0))
