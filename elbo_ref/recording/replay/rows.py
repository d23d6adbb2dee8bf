"""Observed rows: the data of a recording beside the counts, and its minibatches.

In ``pyro.plate(name, size, subsample_size=B)`` a recording has the rows by number, and all that the
plate holds counts size/B times. Batches that are made by hand have no numbers: their rows are known
as they were observed, and the scale is the one that they ought to have.

Where the counts differ from the data observed, that is a finding, and the replay goes on with the
data that the run really had.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording import Recording


class NotReplayedError(ValueError):
    """A reason why losses, gradients and draws cannot be made again."""


class Rows(NamedTuple):
    """Observed values and total counts, (T or 1, rows)."""

    value: NDArray[Any]
    total_count: NDArray[Any]

    @classmethod
    def of(cls, counts: Counts) -> Rows:
        """Take the rows of counts, (latents,)."""
        return cls(counts.successes, counts.total_count)

    @classmethod
    def observed(cls, recording: Recording) -> Rows | None:
        """Join the observed Binomial and Bernoulli sites; (1, rows) if all steps have the same.

        None where another site is observed, or where values are no counts.
        """
        columns = []
        for site in recording.sites("model", observed=True):
            value = recording.observed.get(f"{site['name']}.value")
            total = recording.observed.get(f"{site['name']}.total_count", np.ones((1, 1)))
            if site["class"] not in ("Binomial", "Bernoulli") or value is None:
                return None
            if not (value.size and total.size):
                return None
            if 1 not in (value.shape[1], total.shape[1]) and value.shape[1] != total.shape[1]:
                return None
            pair = np.broadcast_arrays(value.astype(np.float64), total.astype(np.float64))
            if np.any(pair[0] != np.floor(pair[0])) or np.any(pair[0] > pair[1]):
                return None
            columns.append(pair)
        if not columns:
            return None
        steps = max(len(value) for value, _ in columns)
        wide = [[np.broadcast_to(x, (steps, x.shape[1])) for x in pair] for pair in columns]
        return cls(*(np.concatenate(column, axis=1) for column in zip(*wide, strict=True)))

    def difference(self, theirs: Rows, location: Callable[..., str]) -> Finding | None:
        """Find the first total count, or else value, that was observed to be another."""
        for name, quantity, mine, seen in (
            ("wrong_total_count", "total_count", self.total_count, theirs.total_count),
            ("loss_mismatch", "successes", self.value, theirs.value),
        ):
            off = np.argwhere(mine != seen)
            if len(off):
                first = tuple(off[0])
                words = f"{quantity} of {location(*first)}"
                reason = f"as observed; {len(off)} of {mine.size} are others than the counts"
                numbers = float(seen[first]), float(mine[first]), 0.0
                return Finding(name, words, *numbers, reason, "mistake")
        return None


def match_counts(
    recording: Recording, counts: Counts, size: int
) -> tuple[Counts | None, list[Finding]]:
    """Match counts with the `size` latents drawn; findings say how they differ from the data."""
    rows = Rows.observed(recording)
    if len(counts) != size:
        findings = [_wrong_latents(size, counts)]
        if size == 1:
            return counts.pooled(), findings
        if rows is not None and rows.value.size == size:
            return Counts(*(x[0] for x in rows)), findings
        return None, findings
    if rows is None or rows.value.size != size != 1:
        return counts, []
    make = Counts.shared if size == 1 else Counts
    theirs = make(*(x[0] for x in rows))
    difference = Rows.of(counts).difference(Rows.of(theirs), lambda first: f"latent {first}")
    return (theirs, [difference]) if difference else (counts, [])


def _wrong_latents(size: int, counts: Counts) -> Finding:
    numbers = size, len(counts), 0.0
    return Finding("wrong_latents", "number of latents", *numbers, "recorded draws", "mistake")


class Batch(NamedTuple):
    """Minibatches of T steps with B rows each.

    Attributes
    ----------
    numbers : array of int, (T, B), or None
        Which rows they are, where that is known.
    rows : Rows
        The rows, (T, B).
    size : int
        The number of all rows.
    of_latents : bool
        Whether each row has a latent of its own.
    """

    numbers: NDArray[np.int64] | None
    rows: Rows
    size: int
    of_latents: bool

    @property
    def scale(self) -> float:
        """All rows over those of a batch."""
        return float(self.size / self.rows.value.shape[1])

    @property
    def outcomes(self) -> FloatArray:
        """Successes and failures, (2, T, B)."""
        return np.array((self.rows.value, self.rows.total_count - self.rows.value))

    @property
    def log_coefficient(self) -> FloatArray:
        """Log binomial coefficients, (T, B)."""
        k, n = (column.ravel().astype(int) for column in self.rows)
        return Counts(k, n).log_coefficient.reshape(self.rows.value.shape)

    @property
    def _latents(self) -> NDArray[np.int64] | None:
        return self.numbers if self.of_latents else None

    def select(self, values: NDArray[Any]) -> NDArray[Any]:
        """Select of values of all latents, (..., T, size), those of each batch; return others."""
        if self._latents is None or values.shape[-1] != self.size:
            return values
        index = np.broadcast_to(self._latents, (*values.shape[:-1], self._latents.shape[1]))
        return np.take_along_axis(values, index, axis=-1)

    def spread(self, values: FloatArray) -> FloatArray:
        """Put values of each batch, (..., T, B), in the places of all latents, if known."""
        if self._latents is None:
            return values
        wide = np.zeros((*values.shape[:-1], self.size))
        np.put_along_axis(wide, np.broadcast_to(self._latents, values.shape), values, -1)
        return wide

    def match(self, counts: Counts) -> tuple[Counts | None, list[Finding]]:
        """Match counts with the latents drawn from; findings say how they differ from the data.

        The rows of a shared latent are not kept apart in counts, and cannot be compared.
        """
        wanted = self.size if self.of_latents else 1
        if len(counts) != wanted:
            pooled = None if self.of_latents else counts.pooled()
            return pooled, [_wrong_latents(wanted, counts)]
        if not self.of_latents:
            return counts, []
        numbers = self.numbers
        if numbers is None:
            return counts, self._strangers(counts)
        difference = Rows(*(column[numbers] for column in Rows.of(counts))).difference(
            self.rows, lambda step, row: f"latent {numbers[step, row]}, in the batch of step {step}"
        )
        return counts, [difference] if difference else []

    def _strangers(self, counts: Counts) -> list[Finding]:
        """Find the first row that none of the counts is like."""
        pairs = self.rows.value + 1j * self.rows.total_count
        off = ~np.isin(pairs, counts.successes + 1j * counts.total_count)
        if not off.any():
            return []
        step, row = np.argwhere(off)[0]
        words = f"total_count of row {row} of the batch of step {step}"
        theirs, reason = float(self.rows.total_count[step, row]), "no row is like it"
        return [Finding("wrong_total_count", words, theirs, None, None, reason, "mistake")]


def find_batch(recording: Recording, counts: Counts, size: int) -> Batch | None:
    """Find the minibatches of a run; None if it has none.

    Parameters
    ----------
    recording : Recording
    counts : Counts
        An entry for each latent.
    size : int
        The number of latents drawn in a step.

    Raises
    ------
    NotReplayedError
        If the recording does not say enough of them.
    """
    indices = {name: x for name, x in recording.observed.items() if name.endswith(".index")}
    rows = Rows.observed(recording)
    if not indices and (rows is None or len(rows.value) == 1):
        return None
    loss = recording.header.get("loss") or {}
    if loss.get("num_particles", 1) > 1 and not loss.get("vectorize_particles"):
        raise NotReplayedError("each particle has a minibatch of its own, of which one is recorded")
    if len(indices) > 1:
        raise NotReplayedError("there are two plates with minibatches")
    numbers, whole = None, len(counts)
    for name, array in indices.items():
        numbers, whole = _numbers(recording, name, array)
    if rows is None:
        if numbers is None or numbers.shape[1] != size or len(counts) != whole:
            raise NotReplayedError("the recording does not hold what was observed")
        rows = Rows(*(x[numbers].astype(np.float64) for x in Rows.of(counts)))
    width = rows.value.shape[1]
    if size not in (1, width) or (numbers is not None and numbers.shape[1] != width):
        raise NotReplayedError("a part of the rows is in no minibatch")
    of_latents = size == width and (width > 1 or len(counts) > 1)
    if not of_latents and numbers is None:
        if (rows.total_count != 1).any():
            raise NotReplayedError("nobody says how many rows there are in all")
        whole = int(counts.total_count.sum())
    wide = [np.broadcast_to(x, (recording.num_steps, width)) for x in rows]
    return Batch(numbers, Rows(*wide), int(whole), of_latents)


def _numbers(recording: Recording, name: str, array: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Read the row numbers of each step, (T, B), and how many rows there are in all."""
    whole = recording.header.get("plates", {}).get(name.removesuffix(".index"), 0)
    numbers = np.broadcast_to(array, (recording.num_steps, array.shape[1])).astype(np.int64)
    if not isinstance(whole, int) or not np.all(
        (numbers == array) & (array >= 0) & (array < whole)
    ):
        raise NotReplayedError("the recording does not say which rows, and of how many")
    return numbers, whole
