"""Rows of counts: checked, and pooled into latents, with the coefficients that are left over."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elbo_ref._validation.arguments import (
    FloatArray,
    IntArray,
    describe,
    whole_numbers,
)
from elbo_ref.special import cross_difference, log_binomial


def pool(
    successes: IntArray,
    total_count: IntArray,
    multiplicity: IntArray,
    log_split: FloatArray,
    latent: NDArray[np.intp],
) -> tuple[IntArray, IntArray, FloatArray]:
    """Sum successes, total counts and log_split over rows, row i belonging to latent ``latent[i]``.

    log C(n, k) of the rows and log C(N, K) are both taken as log binomial probabilities at
    c = K/N, where c^K (1 - c)^(N - K) cancels.

    Raises
    ------
    ValueError
        If a sum does not fit into 63 bits.
    """
    k, n, w = successes, total_count, multiplicity
    weights = w.astype(np.float64)
    check_sums("total_count", np.bincount(latent, weights * n))
    size = int(latent.max()) + 1
    total_k, total_n = np.zeros(size, np.int64), np.zeros(size, np.int64)
    np.add.at(total_k, latent, np.where(n > 0, w, 0) * k)
    np.add.at(total_n, latent, np.where(n > 0, w, 0) * n)
    total_f = total_n - total_k
    scale = np.maximum(total_n, 1).astype(np.float64)
    mean = total_k / scale, total_f / scale
    difference = cross_difference(k, total_f[latent], n - k, total_k[latent]) / scale[latent]
    rows = log_binomial(k, n, (mean[0][latent], mean[1][latent]), difference)
    together = log_binomial(total_k, total_n, mean, np.zeros(size))
    given = np.bincount(latent, weights * log_split, size)
    split = np.minimum(given + (np.bincount(latent, weights * rows, size) - together), 0.0)
    mixed = (total_k > 0) & (total_f > 0)
    single = np.bincount(latent, np.where(n > 0, weights, 0.0), size) < 2
    return total_k, total_n, np.where(single, given, np.where(mixed, split, 0.0))


def numbered(labels: Iterable[Hashable]) -> tuple[NDArray[np.intp], tuple[Hashable, ...]]:
    """Return the number of each row's group, and the groups in the order of first appearance."""
    index: dict[Hashable, int] = {}
    numbers = [index.setdefault(label, len(index)) for label in labels]
    return np.array(numbers, dtype=np.intp), tuple(index)


def row_counts(successes: ArrayLike, total_count: ArrayLike) -> tuple[IntArray, IntArray]:
    """Return successes and trials of rows, of one shape; refuse more successes than trials."""
    k, n = whole_numbers("successes", successes), whole_numbers("total_count", total_count)
    size = max(k.size, n.size)
    k, n = fitted("successes", k, size), fitted("total_count", n, size)
    if (k > n).any():
        index = (int(np.argmax(k > n)),)
        raise ValueError(
            f"{describe('successes', k, index)} exceeds {describe('total_count', n, index)}"
        )
    return k, n


def fitted(name: str, array: IntArray, size: int) -> IntArray:
    """Return an array of so many entries, or of one, as one of so many."""
    if array.size not in (1, size):
        raise ValueError(f"{name} has {array.size} entries where {size} are needed")
    return np.array(np.broadcast_to(array.reshape(-1), size))


def check_sums(name: str, sums: ArrayLike) -> None:
    """Refuse what int64 would wrap, by the sums in floating point with room for their rounding."""
    if np.max(sums) >= 2.0**63 * (1 - 1e-9):
        raise ValueError(f"the sum of {name} does not fit into 63 bits")


def plain(label: Hashable) -> bool | int | float | str:
    """Return a label as JSON can hold it."""
    value = label.item() if isinstance(label, np.generic) else label
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float) else str(value)
