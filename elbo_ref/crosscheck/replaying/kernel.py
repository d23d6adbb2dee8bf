"""PyTorch's derivative of a Beta draw: its own value at a draw, or how far off it may be.

``torch._dirichlet_grad`` approximates the derivative that `elbo_ref.pathwise` has exactly
(docs/pathwise.md). Where PyTorch is installed it is asked. Where not, `ENVELOPE` bounds its
relative error over the table of `benchmarks/kernel_envelope.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref.arguments import FloatArray


def torch_pathwise(c: NDArray[Any], a: FloatArray, b: FloatArray) -> FloatArray | None:
    """d logit/da and d logit/db at draws as ``Beta(a, b).rsample()`` has them, (2, ...).

    None without PyTorch. With G = _dirichlet_grad its backward is dc/da = G_1 (1 - c) and
    dc/db = -G_2 c, in the precision of the draws.
    """
    try:
        import torch
    except ModuleNotFoundError:
        return None
    x = torch.from_numpy(np.stack([c, 1 - c], axis=-1))
    pair = np.stack([np.broadcast_to(z, c.shape) for z in (a, b)], axis=-1).astype(c.dtype)
    concentration = torch.from_numpy(pair)
    total = concentration.sum(-1, True).expand_as(concentration)
    grad = torch._dirichlet_grad(x, concentration, total).double().numpy()
    held = x.double().numpy()
    slopes: FloatArray = np.array((grad[..., 0], -grad[..., 1])) / np.moveaxis(held, -1, 0)
    return slopes


def envelope(a: FloatArray, b: FloatArray, dtype: str) -> FloatArray:
    """A bound of the kernel's relative error at concentrations."""
    return np.full(np.broadcast(a, b).shape, 1e-2)
