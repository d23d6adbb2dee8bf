"""Distinct pairs of successes and trials: what is the same for equal latents is computed once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elbo_ref.counts.statistics import Counts


def distinct(counts: Counts) -> tuple[Counts, NDArray[np.intp]]:
    """Join equal entries into one of a greater multiplicity.

    Returns
    -------
    counts : Counts
        Without labels, and as if the trials of each latent were one row.
    entry : int ndarray, shape (G,)
        The index of the joined entry of each entry.
    """
    k, n, w = counts.successes, counts.total_count, counts.multiplicity
    length = int(k.max()) + 1
    if (int(n.max()) + 1) * length <= 4 * k.size + 1_000_000 and float(w.sum()) < 2**53:
        key = n * length + k  # few pairs are possible: a table of all is quicker than sorting
        found = np.bincount(key) > 0
        keys, times = np.flatnonzero(found), np.bincount(key, w)[found].astype(np.int64)
        return Counts(keys % length, keys // length, times), (np.cumsum(found) - 1)[key]
    order = np.lexsort((k, n))
    k, n = counts.successes[order], counts.total_count[order]
    first = np.flatnonzero(np.diff(k, prepend=-1) | np.diff(n, prepend=-1))
    entry = np.empty_like(order)
    entry[order] = np.repeat(np.arange(first.size), np.diff(first, append=order.size))
    return Counts(k[first], n[first], np.add.reduceat(counts.multiplicity[order], first)), entry
