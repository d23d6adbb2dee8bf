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
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elbo_ref._validation.arguments import (
    FloatArray,
    IntArray,
    describe,
    float_array,
    label_list,
    require,
    underflow_is_zero,
    whole_numbers,
)
from elbo_ref.special import cross_difference, log_binomial, log_choose


@underflow_is_zero
@dataclass(frozen=True, eq=False)
class Counts:
    """Successes and trials of independent latents, one entry per latent.

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

    Raises
    ------
    TypeError
        If something is not a number.
    ValueError
        If something is not a whole number of [0, 2**63), if K > N, or if the shapes do not fit.

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

    def __init__(
        self,
        successes: ArrayLike,
        total_count: ArrayLike,
        multiplicity: ArrayLike | None = None,
    ) -> None:
        k, n = _rows(successes, total_count)
        w = np.ones_like(k)
        if multiplicity is not None:
            w = _fit("multiplicity", whole_numbers("multiplicity", multiplicity), k.size)
        _check_sums("multiplicity", w.sum(dtype=np.float64))
        self._set(k, n, w, np.zeros(k.size), None)

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if name != "labels":
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def _set(
        self,
        k: IntArray,
        n: IntArray,
        w: IntArray,
        log_split: FloatArray,
        labels: tuple[Hashable, ...] | None,
    ) -> None:
        names = ("successes", "total_count", "multiplicity", "log_split", "labels")
        self.__setstate__(dict(zip(names, (k, n, w, log_split, labels), strict=True)))

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
        return cls(successes, total_count).pooled(groups)

    def pooled(self, groups: Iterable[Hashable] | NDArray[Any] | None = None) -> Counts:
        """Pool the entries as rows: one latent for each distinct label, or one in all.

        An entry of multiplicity w is w equal rows.

        Parameters
        ----------
        groups : G labels, optional
            Anything hashable; two labels are the same group if they are equal.

        Returns
        -------
        Counts
            Latents in the order in which their labels first appear, with these labels.

        Raises
        ------
        ValueError
            If there are not G labels, or a sum does not fit into 63 bits.

        Examples
        --------
        >>> Counts([0, 1], 1, multiplicity=[7, 3]).pooled()
        Counts(successes=[3], total_count=[10])
        """
        latent, labels = np.zeros(len(self), dtype=np.intp), None
        if groups is not None:
            latent, labels = _numbered(groups, len(self))
        k, n, split = pool(
            self.successes, self.total_count, self.multiplicity, self.log_split, latent
        )
        counts = Counts.__new__(Counts)
        counts._set(k, n, np.ones_like(k), split, labels)
        return counts

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        same = (
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("successes", "total_count", "multiplicity", "log_split")
        )
        return self.labels == other.labels and all(same)

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
        w = self.multiplicity.astype(object)
        total = f"{w @ self.successes} of {w @ self.total_count} trials succeed"
        return f"{total}, latents {self.num_latents}"

    def to_dict(self) -> dict[str, Any]:
        """Return the entries as lists of plain values, the columns of the interchange table.

        `labels` only where there are groups, as text unless a label is a number or a boolean.

        Examples
        --------
        >>> Counts.grouped([1, 0, 2], [1, 1, 2], ["b", "a", "b"]).to_dict()["labels"]
        ['b', 'a']
        """
        columns = ("successes", "total_count", "multiplicity", "log_split")
        document = {name: getattr(self, name).tolist() for name in columns}
        if self.labels is not None:
            document["labels"] = [_plain(label) for label in self.labels]
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
        successes, total_count, multiplicity
            As for `Counts`.
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
        counts = cls(successes, total_count, multiplicity)
        split, size = counts.log_split, len(counts)
        if log_split is not None:
            split = float_array("log_split", log_split)
            if split.shape != (size,):
                raise ValueError(f"log_split has shape {split.shape} where ({size},) is needed")
            most = log_choose(counts.successes, counts.total_count)
            good = (split <= 0) & (split >= -1e-6 - (1 + 1e-6) * most)  # rounded in many sums
            require("log_split", split, good, "must lie in [-log C(N, K), 0]")
        names = None if labels is None else tuple(label_list("labels", labels))
        if names is not None and (len(names) != size or len(set(names)) != size):
            raise ValueError(f"labels must be {size} distinct labels, not {len(names)}")
        k, n, w = counts.successes, counts.total_count, counts.multiplicity
        counts._set(k, n, w, split, names)
        return counts


def distinct(counts: Counts) -> tuple[Counts, NDArray[np.intp]]:
    """Join equal entries into one of a greater multiplicity.

    Returns
    -------
    counts : Counts
        Without labels, and as if the trials of each latent were one row.
    entry : int ndarray, shape (G,)
        The index of the joined entry of each entry.
    """
    order = np.lexsort((counts.successes, counts.total_count))
    k, n = counts.successes[order], counts.total_count[order]
    first = np.flatnonzero(np.diff(k, prepend=-1) | np.diff(n, prepend=-1))
    entry = np.empty_like(order)
    entry[order] = np.repeat(np.arange(first.size), np.diff(first, append=order.size))
    return Counts(k[first], n[first], np.add.reduceat(counts.multiplicity[order], first)), entry


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
    _check_sums("total_count", np.bincount(latent, weights * n))
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


def _plain(label: Hashable) -> bool | int | float | str:
    """Return a label as JSON can hold it."""
    value = label.item() if isinstance(label, np.generic) else label
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float) else str(value)


def _numbered(
    groups: Iterable[Hashable] | NDArray[Any], size: int
) -> tuple[NDArray[np.intp], tuple[Hashable, ...]]:
    """Return the number of each row's group, and the groups in the order of first appearance."""
    labels = label_list("groups", groups)
    if len(labels) != size:
        raise ValueError(f"groups has {len(labels)} labels for {size} rows")
    index: dict[Hashable, int] = {}
    for label in labels:
        index.setdefault(label, len(index))
    return np.array([index[label] for label in labels], dtype=np.intp), tuple(index)


def _rows(successes: ArrayLike, total_count: ArrayLike) -> tuple[IntArray, IntArray]:
    k, n = whole_numbers("successes", successes), whole_numbers("total_count", total_count)
    size = max(k.size, n.size)
    k, n = _fit("successes", k, size), _fit("total_count", n, size)
    if (k > n).any():
        index = (int(np.argmax(k > n)),)
        raise ValueError(
            f"{describe('successes', k, index)} exceeds {describe('total_count', n, index)}"
        )
    return k, n


def _fit(name: str, array: IntArray, size: int) -> IntArray:
    if array.size not in (1, size):
        raise ValueError(f"{name} has {array.size} entries where {size} are needed")
    return np.array(np.broadcast_to(array.reshape(-1), size))


def _check_sums(name: str, sums: ArrayLike) -> None:
    """Refuse what int64 would wrap, by the sums in floating point with room for their rounding."""
    if np.max(sums) >= 2.0**63 * (1 - 1e-9):
        raise ValueError(f"the sum of {name} does not fit into 63 bits")
