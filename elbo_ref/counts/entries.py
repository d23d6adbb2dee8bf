"""The entries of counts as a table, for reading and for data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import IntArray

if TYPE_CHECKING:
    from elbo_ref.counts.statistics import Counts


def summary_of(counts: Counts) -> str:
    """Write the totals of counts, latent by latent.

    Examples
    --------
    >>> from elbo_ref import Counts
    >>> summary_of(Counts([3, 0], [10, 4], [1, 2]))
    '3 of 18 trials succeed, latents 3'
    """
    multiplicity = counts.multiplicity
    single = bool((multiplicity == 1).all())

    def total(x: IntArray) -> int:
        if float(x.max(initial=0)) * multiplicity.sum(dtype=np.float64) > 2.0**62:  # beyond int64
            return int(multiplicity.astype(object) @ x)
        return int(x.sum() if single else multiplicity @ x)

    succeed = f"{total(counts.successes)} of {total(counts.total_count)} trials succeed"
    rows = "1 row" if counts.dropped == 1 else f"{counts.dropped} rows"
    dropped = f", {rows} without a value left out" if counts.dropped else ""
    return f"{succeed}, latents {multiplicity.sum()}{dropped}"


def entries(counts: Counts) -> Table:
    """Lay out label, counts, multiplicity and level of each entry.

    Examples
    --------
    >>> from elbo_ref import Counts
    >>> print(Counts.grouped([3, 0, 1], [10, 4, 5], ["north", "south", "north"]))
    4 of 19 trials succeed, latents 2
    latent  successes  of
     north          4  15
     south          0   4
    """
    labels = range(len(counts)) if counts.labels is None else counts.labels
    several = "times" if (counts.multiplicity != 1).any() else ""
    columns = [
        Column(labels, "label", "latent"),
        Column(counts.successes, "successes", "successes"),
        Column(counts.total_count, "total_count", "of"),
        Column(counts.multiplicity, "multiplicity", several),
    ]
    if counts.by is not None:
        name = counts.by.name or "level"
        taken = {column.name for column in columns}
        columns.append(Column(counts.by.levels, f"{name}_level" if name in taken else name, name))
    return Table(columns, counts.summary())
