"""Sums over the rows of a text: a histogram of pairs, all rows in order, or one entry a group."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.advice import AdvisedError
from elbo_ref._validation.arguments import IntArray
from elbo_ref.counts import Counts, pool
from elbo_ref.counts.cells import Cells, successes_of
from elbo_ref.counts.levels import apart as levels_apart
from elbo_ref.io.errors import DataError, bare, short
from elbo_ref.io.layout import Layout

LARGEST_SUM = 2**63 - 2**34
"""A little below 2**63: `Counts` checks sums in floating point, and leaves room for that."""

Row: TypeAlias = tuple[float, int, int, int]
"""Successes or their proportion, total_count, multiplicity, and the number of the label."""
Labels: TypeAlias = Sequence[Hashable]
"""Those of groups, of levels, or pairs of both."""


class Contents(NamedTuple):
    """The counts of a file.

    Attributes
    ----------
    counts : Counts
    rows, dropped : int
        Rows that were read, and rows that were left out because of blanks.
    guess : dict
        The options that were known by the names of its columns.
    by : sequence, optional
        The level of each entry of the counts.
    """

    counts: Counts
    rows: int
    dropped: int
    guess: dict[str, str]
    by: Sequence[Hashable] | None


def apart(counts: Counts, layout: Layout) -> tuple[Counts, Sequence[Hashable] | None]:
    """Take the levels out of labels that are pairs of a group and its level.

    Raises
    ------
    DataError
        If a group has two levels.
    """
    if layout.by is None or layout.group is None or counts.labels is None:
        return counts, None
    try:
        labels, its = levels_apart(counts.labels, layout.by)
    except AdvisedError as error:
        raise DataError.of(error) from None
    columns = counts.successes, counts.total_count, counts.multiplicity, counts.log_split
    return Counts.from_columns(*columns, labels), its


class Totals(Protocol):
    """A sum over rows."""

    def add(self, rows: Iterable[tuple[Row, int]]) -> None:
        """Take in rows, and how often there is each."""

    def counts(self, labels: Labels) -> tuple[Counts, Sequence[Hashable] | None]:
        """Return the counts of all of them, and the levels."""


def totals_of(layout: Layout) -> Totals:
    """Start the sum over the rows that a layout asks for."""
    if layout.proportion is not None:
        return _Proportions(layout)
    if layout.shared or layout.group is not None:
        return _Groups(layout)
    return _Entries() if layout.in_order else _Pairs(layout)


class _Pairs:
    """The number of rows of each pair of successes and total_count, at each level."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._times: dict[tuple[float, int, int], int] = {}

    def add(self, rows: Iterable[tuple[Row, int]]) -> None:
        """Take in rows, and how often there is each."""
        for (k, n, w, level), times in rows:
            self._times[k, n, level] = self._times.get((k, n, level), 0) + w * times

    def counts(self, labels: Labels) -> tuple[Counts, Sequence[Hashable] | None]:
        """Return an entry for each pair, in the order of first appearance."""
        if sum(self._times.values()) > LARGEST_SUM:
            raise _too_large(self._layout.multiplicity or "multiplicity")
        k, n, level = zip(*self._times, strict=True)
        by = None if self._layout.by is None else [labels[i] for i in level]
        return Counts(k, n, list(self._times.values())), by


class _Entries:
    """Every row, in order."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, int, int]] = []

    def add(self, rows: Iterable[tuple[Row, int]]) -> None:
        """Take in rows, one by one."""
        self._rows += [(k, n, w) for (k, n, w, _), _ in rows]

    def counts(self, labels: Labels) -> tuple[Counts, None]:  # noqa: ARG002
        """Return an entry for each row."""
        return Counts(*zip(*self._rows, strict=True)), None


class _Proportions:
    """Distinct rows of proportions, which are successes once the decimals of all are known."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rows: list[tuple[Row, int]] = []
        self._times: dict[Row, int] = {}

    def add(self, rows: Iterable[tuple[Row, int]]) -> None:
        """Take in rows, and how often there is each."""
        if self._layout.in_order:
            self._rows += rows
            return
        for row, times in rows:
            self._times[row] = self._times.get(row, 0) + times

    def counts(self, labels: Labels) -> tuple[Counts, Sequence[Hashable] | None]:
        """Return the counts of all of them, and the levels."""
        rows = self._rows or list(self._times.items())
        p, n = (np.array([row[i] for row, _ in rows]) for i in range(2))
        k = successes_in(str(self._layout.proportion), p, n, np.array([x for _, x in rows]))
        totals = totals_of(replace(self._layout, successes="successes", proportion=None))
        totals.add(((x, *row[1:]), times) for x, (row, times) in zip(k.tolist(), rows, strict=True))
        return totals.counts(labels)


def successes_in(
    name: str, values: NDArray[Any], total_count: IntArray, times: IntArray
) -> IntArray:
    """Find the successes of a column of proportions of the trials.

    Raises
    ------
    DataError
        If there are none, or several, for a row.
    """
    try:
        return successes_of(Cells("proportion", name, values, times), total_count)
    except AdvisedError as error:
        raise DataError.of(error) from None


class _Groups:
    """Successes, total_count and log_split of each group.

    Sums that would wrap are detected in floating point, where they do not, and refused.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._num_rows = 0.0
        self._trials = self._split = np.zeros(0)
        self._totals = np.zeros((2, 0), np.int64)

    def add(self, rows: Iterable[tuple[Row, int]]) -> None:
        """Take in rows, and how often there is each."""
        flat = np.fromiter(chain.from_iterable((*row, times) for row, times in rows), np.int64)
        k, n, w, group, times = flat.reshape(-1, 5).T
        weights = w.astype(np.float64) * times
        new = max(0, int(group.max(initial=-1)) + 1 - self._split.size)
        self._totals = np.concatenate([self._totals, np.zeros((2, new), np.int64)], axis=1)
        self._trials, self._split = (
            np.concatenate([x, np.zeros(new)]) for x in (self._trials, self._split)
        )
        self._num_rows += weights.sum()
        self._trials += np.bincount(group, weights * n, self._trials.size)
        if not flat.size or max(self._num_rows, self._trials.max()) > LARGEST_SUM:
            return
        touched, latent = np.unique(group, return_inverse=True)
        *totals, split = pool(
            successes=np.concatenate([self._totals[0, touched], k]),
            total_count=np.concatenate([self._totals[1, touched], n]),
            multiplicity=np.concatenate([np.ones_like(touched), w * times]),
            log_split=np.concatenate([self._split[touched], np.zeros(k.size)]),
            latent=np.concatenate([np.arange(touched.size), latent.ravel()]),
        )
        self._totals[:, touched] = totals
        self._split[touched] = np.minimum(split, 0.0)

    def counts(self, labels: Labels) -> tuple[Counts, Sequence[Hashable] | None]:
        """Return an entry for each group, in the order of first appearance."""
        if self._num_rows > LARGEST_SUM:
            raise _too_large(self._layout.multiplicity or "multiplicity")
        if self._trials.max() > LARGEST_SUM:
            first = int(np.argmax(self._trials > LARGEST_SUM))
            raise _too_large(self._layout.total_count or "total_count", *labels[first : first + 1])
        k, n = self._totals
        counts = Counts.from_columns(k, n, log_split=self._split, labels=labels or None)
        return apart(counts, self._layout)


def _too_large(column: str, *label: Hashable) -> DataError:
    group = "".join(f" for {short(name)}" for name in label)
    return DataError(f"the sum of {bare(column)}{group} does not fit into 63 bits")
