"""How far off is PyTorch's derivative of a Beta draw, over all draws?

    python benchmarks/kernel_envelope.py

For each decade of the two concentrations, and each of float64 and float32: the largest relative
error of the derivatives of a draw's logit, at POINTS by POINTS concentrations inside the decades
and QUANTILES of the draw, which is rounded as PyTorch rounds it. Beside a pole of the kernel's
rational function there is no largest; what stands there is only what these points met. A decade
in which it is above 1, or not a number, has no bound. The table is `ENVELOPE` of
elbo_ref/crosscheck/replaying/kernel.py, where the decades below DECADES[0] count as the first.
"""

from __future__ import annotations

import itertools
import platform

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from scipy import stats

import elbo_ref as er
from elbo_ref.crosscheck.replaying.kernel import DECADES, torch_pathwise

POINTS = 12
QUANTILES = np.concatenate([np.geomspace(1e-6, 0.4, 25), np.linspace(0.45, 0.55, 3)])
QUANTILES = np.concatenate([QUANTILES, 1 - QUANTILES])


def worst(low: int, high: int, dtype: str) -> float:
    grid = np.linspace(0, 1, POINTS)
    pairs = itertools.product(10.0 ** (low + grid), 10.0 ** (high + grid))
    kind = np.dtype(dtype).type
    a, b = np.array(list(pairs)).T[:, :, None].astype(kind).astype(float)
    c = stats.beta.ppf(QUANTILES, a, b).astype(kind)
    info = np.finfo(kind)
    inside = (c > info.tiny) & (c < 1 - info.epsneg) & (1 - c > 1000 * info.eps)
    c = np.where(inside, c, kind(0.5))
    y = np.log(c.astype(float)) - np.log1p(-c.astype(float))
    exact = np.array(er.pathwise_gradient(y, a, b))
    theirs = torch_pathwise(c, a, b)
    assert theirs is not None
    error: NDArray[np.float64] = np.abs(theirs.slopes / exact - 1)[:, inside]
    return float(error.max(initial=0.0))


def main() -> None:
    print("$ python benchmarks/kernel_envelope.py")
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"PyTorch {torch.__version__}, {platform.machine()}"
    )
    for dtype in ("float64", "float32"):
        print(f"\n{dtype}: rows a from 10^, columns b from 10^")
        print("      " + "".join(f"{d:9d}" for d in DECADES))
        for low in DECADES:
            cells = (max(worst(low, high, dtype), worst(high, low, dtype)) for high in DECADES)
            print(f"{low:6d}" + "".join(f"{x:9.0e}" for x in cells))


if __name__ == "__main__":
    main()
