"""`Counts`: the sufficient statistics of the data, one entry per latent.

Only four things about the observations of a latent matter: K successes, N trials, how many equal
latents there are (the multiplicity w), and the binomial coefficients, log C(n, k) summed over its
rows (logC in the equations). The last is kept relative to one row with the same totals,

    log_split = sum over rows of log C(n, k) - log C(N, K) <= 0,

zero for a single row: the evidence of counts in the billions then never contains log C(N, K)
itself, which would swamp it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elbo_ref._format.result import Tabular
from elbo_ref._format.table import Table
from elbo_ref._validation.arguments import (
    FloatArray,
    IntArray,
    float_array,
    require,
    underflow_is_zero,
    whole_numbers,
)
from elbo_ref._validation.indexes import check_same_index
from elbo_ref.counts.columns import Columns
from elbo_ref.counts.entries import entries, summary_of
from elbo_ref.counts.frames import from_frame
from elbo_ref.counts.levels import Levels, aligned, left_out, levelled
from elbo_ref.counts.rows import check_sums, fitted, numbered, plain, pool, row_counts
from elbo_ref.special import log_choose

_ARRAYS = "successes", "total_count", "multiplicity", "log_split"


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class Counts(Tabular):
    """Successes and trials of independent latents, one entry per latent; a table of them.

    Parameters
    ----------
    successes : int array_like, shape () or (G,)
        K, the successes of each latent.
    total_count : int array_like, broadcast to the same shape
        N, its trials; 0 is legal and carries no information.
    multiplicity : int array_like, optional
        How many independent latents have exactly these counts; 1 by default, 0 is legal.

    Attributes
    ----------
    successes, total_count, multiplicity : int64 ndarray, shape (G,)
    log_split : float64 ndarray, shape (G,)
        Log of the product of the rows' binomial coefficients over C(N, K); 0 for a single row.
    labels : tuple or None
        The group of each latent, from `Counts.grouped`.
    by : Levels or None
        The level of each latent, such as its treatment, and the name of their column.
    order : object
        The common index of the Series that the entries are of, or ``"sorted"``; None if unknown.
    dropped : int
        Rows of the frame or file that had no value, and were left out (``na="drop"``).

    Raises
    ------
    TypeError
        If something is not a number.
    ValueError
        If something is not a whole number of [0, 2**63), if K > N, if the shapes do not fit, or if
        two Series of pandas or arrays of xarray have different indexes.

    Examples
    --------
    >>> Counts([3, 0, 7], 10)
    Counts(successes=[3 0 7], total_count=[10 10 10])
    >>> Counts.shared([1, 0, 1, 1], 1)
    Counts(successes=[3], total_count=[4])
    >>> Counts.grouped([1, 0, 2], [1, 1, 2], ["b", "a", "b"]).labels
    ('b', 'a')
    """

    successes: IntArray
    total_count: IntArray
    multiplicity: IntArray
    log_split: FloatArray
    labels: tuple[Hashable, ...] | None
    by: Levels | None = None
    order: Any = None
    dropped: int = 0

    def __init__(
        self,
        successes: ArrayLike,
        total_count: ArrayLike,
        multiplicity: ArrayLike | None = None,
    ) -> None:
        order = check_same_index(
            successes=successes, total_count=total_count, multiplicity=multiplicity
        )
        k, n = row_counts(successes, total_count)
        w = np.ones_like(k)
        if multiplicity is not None:
            w = fitted("multiplicity", whole_numbers("multiplicity", multiplicity), k.size)
        check_sums("multiplicity", w.sum(dtype=np.float64))
        self._set(k, n, w, np.zeros(k.size), None, None, order)

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def _set(
        self,
        k: IntArray,
        n: IntArray,
        w: IntArray,
        log_split: FloatArray,
        *rest: Any,
    ) -> None:
        names = (*_ARRAYS, "labels", "by", "order")
        self.__setstate__(dict(zip(names, (k, n, w, log_split, *rest), strict=False)))

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        successes: str | None = None,
        total_count: str | None = None,
        failures: str | None = None,
        outcome: str | None = None,
        proportion: str | None = None,
        group: str | None = None,
        by: str | None = None,
        multiplicity: str | None = None,
        na: Literal["error", "drop"] = "error",
    ) -> Counts:
        """Count the rows of a data frame, in its own engine.

        Parameters
        ----------
        frame : data frame
            Of pandas, Polars (eager or lazy), PyArrow, Ibis, Dask or PySpark, a relation of DuckDB,
            or a Dataset of xarray.
        successes, total_count, failures, outcome, proportion : str, optional
            Names of columns: `successes` or `failures` or `proportion` (K/N) with `total_count`; or
            `successes` with `failures`, or all three; or `outcome`, 0 or 1 (or False or True), a
            row being one trial. Without any, columns whose names leave no doubt, as ``k`` and ``n``
            or ``hits`` and ``at_bats``, with a warning that says which.
        group : str, optional
            A column of labels: one latent for each, instead of one for each row.
        by : str, optional
            A column of a level that each latent has, such as its treatment: `elbo_ref.estimate`
            gives each level a prior of its own.
        multiplicity : str, optional
            A column that says for how many equal rows a row stands; without it
            ``"multiplicity"``, if there is one.
        na : {"error", "drop"}
            Whether rows without a value (NULL or NaN) in one of these columns are refused, or left
            out; the counts then say how many: `dropped`.

        Returns
        -------
        Counts
            An entry for each distinct pair of counts (at each level), sorted by `total_count`, then
            `successes`; or one for each group, sorted by label, which keeps its type.

        Raises
        ------
        ValueError
            If a column is missing, or holds something else than counts; the message names column
            and value, the same for every kind of frame, and what to add to the call.
        TypeError
            If it is no data frame, or a name is no string.

        See Also
        --------
        elbo_ref.read_counts : Counts from a file.

        Notes
        -----
        The engine groups by these columns, casts nothing, and hands over only their distinct rows.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"ward": ["b", "a", "b"], "hit": [1, 0, 0]})
        >>> counts = Counts.from_frame(frame, outcome="hit", group="ward")
        >>> counts, counts.labels
        (Counts(successes=[0 1], total_count=[1 2]), ('a', 'b'))
        """
        columns = Columns(
            successes, failures, total_count, outcome, proportion, group, by, multiplicity
        )
        found = from_frame(frame, columns, na)
        counts = cls(found.successes, found.total_count, found.multiplicity)
        if group is not None:
            counts = counts.pooled(found.labels)
        counts = levelled(counts, by, found.labels if group is None else None)
        return left_out(counts, found.dropped)

    @classmethod
    def shared(cls, successes: ArrayLike, total_count: ArrayLike) -> Counts:
        """Make one latent of all rows.

        Parameters
        ----------
        successes, total_count : int array_like, shape (R,)

        Examples
        --------
        >>> Counts.shared([3, 4], [10, 5])
        Counts(successes=[7], total_count=[15])
        """
        return cls(successes, total_count).pooled()

    @classmethod
    def grouped(
        cls,
        successes: ArrayLike,
        total_count: ArrayLike,
        groups: Iterable[Hashable] | NDArray[Any],
    ) -> Counts:
        """Make one latent per distinct label, in the order of first appearance.

        Parameters
        ----------
        successes, total_count : int array_like, shape (R,)
        groups : R labels
            Anything hashable; two labels are the same group if they are equal.

        See Also
        --------
        pooled : The same of counts that are there already.
        """
        check_same_index(successes=successes, total_count=total_count, groups=groups)
        return cls(successes, total_count).pooled(groups)

    def pooled(self, groups: Iterable[Hashable] | NDArray[Any] | None = None) -> Counts:
        """Pool the entries as rows: one latent for each distinct label, or one in all.

        An entry of multiplicity w is w equal rows.

        Parameters
        ----------
        groups : G labels, optional
            Anything hashable; two labels are the same group if they are equal. Those of a Series
            belong to the entries whose labels are its index, or whose index it has in common.

        Returns
        -------
        Counts
            Latents in the order in which their labels first appear, with these labels.

        Raises
        ------
        ValueError
            If there are not G labels, those of a Series would be paired with other entries by
            position, or a sum does not fit into 63 bits.

        Examples
        --------
        >>> Counts([0, 1], 1, multiplicity=[7, 3]).pooled()
        Counts(successes=[3], total_count=[10])
        """
        latent, labels = np.zeros(len(self), dtype=np.intp), None
        if groups is not None:
            latent, labels = numbered(aligned("groups", self, groups))
        columns = self.successes, self.total_count, self.multiplicity, self.log_split
        k, n, split = pool(*columns, latent)
        counts = Counts.__new__(Counts)
        counts._set(k, n, np.ones_like(k), split, labels)
        return counts

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        same = (np.array_equal(getattr(self, name), getattr(other, name)) for name in _ARRAYS)
        return (self.labels, self.by) == (other.labels, other.by) and all(same)

    def __hash__(self) -> int:
        return hash((self.successes.tobytes(), self.total_count.tobytes()))

    def __len__(self) -> int:
        """Return the number of entries, G; `num_latents` counts multiplicities."""
        return self.successes.size

    def __repr__(self) -> str:
        text = f"successes={self.successes}, total_count={self.total_count}"
        if (self.multiplicity != 1).any():
            text += f", multiplicity={self.multiplicity}"
        return f"Counts({text})"

    @property
    def failures(self) -> IntArray:
        """N - K of each entry."""
        return self.total_count - self.successes

    @property
    def num_latents(self) -> int:
        """The number of independent latents, the sum of the multiplicities."""
        return int(self.multiplicity.sum())

    @property
    def log_coefficient(self) -> FloatArray:
        """LogC, the log binomial coefficients of the rows, summed for each latent."""
        return log_choose(self.successes, self.total_count) + self.log_split

    @property
    def mirrored(self) -> Counts:
        """Successes and failures exchanged."""
        columns = self.failures, self.total_count, self.multiplicity, self.log_split, self.labels
        return Counts.from_columns(*columns)

    def summary(self) -> str:
        """Return the totals in words.

        Examples
        --------
        >>> Counts([3, 0, 7], 10).summary()
        '10 of 30 trials succeed, latents 3'
        """
        return self._summary

    _summary = cached_property(summary_of)

    def table(self) -> Table:
        """Lay out the entries, to be read or handed on."""
        return entries(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the entries as lists of plain values, the columns of the interchange table.

        `labels` only where there are groups, as text unless a label is a number or a boolean.

        Examples
        --------
        >>> Counts.grouped([1, 0, 2], [1, 1, 2], ["b", "a", "b"]).to_dict()["labels"]
        ['b', 'a']
        """
        document = {name: getattr(self, name).tolist() for name in _ARRAYS}
        if self.labels is not None:
            document["labels"] = [plain(label) for label in self.labels]
        return document

    @classmethod
    def from_columns(
        cls,
        successes: ArrayLike,
        total_count: ArrayLike,
        multiplicity: ArrayLike | None = None,
        log_split: ArrayLike | None = None,
        labels: Iterable[Hashable] | None = None,
    ) -> Counts:
        """Make counts from the columns of `to_dict`.

        Parameters
        ----------
        successes, total_count, multiplicity : as for `Counts`
        log_split : float array_like, shape (G,), optional
        labels : G distinct labels, optional

        Raises
        ------
        TypeError, ValueError
            As `Counts`; and if a `log_split` is not in [-log C(N, K), 0], which are N rows of one
            trial and a single row, or the labels are not one distinct label for each entry.

        Examples
        --------
        >>> counts = Counts.grouped([1, 0, 2], [1, 1, 3], ["b", "a", "b"])
        >>> Counts.from_columns(**counts.to_dict()) == counts
        True
        """
        check_same_index(successes=successes, total_count=total_count, log_split=log_split)
        counts = cls(successes, total_count, multiplicity)
        split, size = counts.log_split, len(counts)
        if log_split is not None:
            split = float_array("log_split", log_split)
            if split.shape != (size,):
                raise ValueError(f"log_split has shape {split.shape} where ({size},) is needed")
            most = log_choose(counts.successes, counts.total_count)
            good = (split <= 0) & (split >= -1e-6 - (1 + 1e-6) * most)  # rounded in many sums
            require("log_split", split, good, "must lie in [-log C(N, K), 0]")
        names = None if labels is None else tuple(aligned("labels", counts, labels))
        if names is not None and len(set(names)) != size:
            raise ValueError(f"labels must be {size} distinct labels, not {len(set(names))}")
        counts._set(counts.successes, counts.total_count, counts.multiplicity, split, names)
        return counts
