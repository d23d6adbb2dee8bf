"""Latents in the sorted order of their labels.

Counts of groups stand in the order in which the labels first appear. A guide that is indexed by the
label's number, or by what sorts the labels (`numpy.unique`, a data frame's ``groupby``), has its
parameters in the sorted order instead. That is another way to write the same program.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from elbo_ref.counts import Counts

_SHOWN = 3


def sorted_orders(labels: Sequence[Hashable] | None) -> list[NDArray[np.intp]]:
    """List the sorted orders of labels that are not their own: as numbers, and as texts.

    Examples
    --------
    >>> [x.tolist() for x in sorted_orders(["10", "9", "1"])]
    [[2, 1, 0], [2, 0, 1]]
    >>> sorted_orders(["a", "b"]), sorted_orders(None)
    ([], [])
    """
    texts = [str(label) for label in labels or ()]
    keys: list[list[float] | list[str]] = [texts]
    try:
        numbers = [float(text) for text in texts]
        keys = [numbers, texts] if np.isfinite(numbers).all() else keys
    except ValueError:
        pass
    found: list[NDArray[np.intp]] = []
    for key in keys:
        order = np.argsort(np.array(key), kind="stable")
        known = [np.arange(len(texts)), *found]
        found += [] if any(np.array_equal(order, x) for x in known) else [order]
    return found


def in_order(counts: Counts, order: NDArray[np.intp]) -> Counts:
    """Put the entries of counts into another order."""
    columns = (counts.successes, counts.total_count, counts.multiplicity, counts.log_split)
    labels = counts.labels and [counts.labels[i] for i in order]
    k, n, w, split = (column[order] for column in columns)
    return Counts.from_columns(k, n, w, split, labels)


def described(counts: Counts, how: str) -> str:
    """Say in which order the latents stand."""
    labels = counts.labels or ()
    first = ", ".join(map(str, labels[:_SHOWN])) + ", ..." * (len(labels) > _SHOWN)
    return f"the latents are taken in the {how} order of their labels: {first}"
