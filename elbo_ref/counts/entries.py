"""The entries of counts as a table, for reading and for data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elbo_ref._format.table import Column, Table

if TYPE_CHECKING:
    from elbo_ref.counts.statistics import Counts


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
