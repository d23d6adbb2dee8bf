"""Minibatches: which rows each step saw, and what they are scaled by.

In ``pyro.plate(name, size, subsample_size=B)`` a recording has the rows by number, and all that the
plate holds counts size/B times. Batches that are made by hand have no numbers: their rows are known
as they were observed, and the scale is the one that they ought to have.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.data import Rows, observed_rows, other_rows


class NotReplayedError(ValueError):
    """Why these minibatches cannot be made again."""


class Batch(NamedTuple):
    """Of T steps with B rows each.

    Attributes
    ----------
    numbers : array of int, (T, B), or None
        Which rows they are, where that is known.
    rows : Rows
        Of (T, B).
    size : int
        How many rows there are in all.
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

    def outcomes(self) -> FloatArray:
        """Successes and failures, (2, T, B)."""
        return np.array((self.rows.value, self.rows.total_count - self.rows.value))

    def log_coefficient(self) -> FloatArray:
        """(T, B)."""
        k, n = (column.ravel().astype(int) for column in self.rows)
        return Counts(k, n).log_coefficient.reshape(self.rows.value.shape)

    def seen(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of all latents, (..., T, size), at those of each step's batch; others as given."""
        if self._latents is None or values.shape[-1] != self.size:
            return values
        places = np.broadcast_to(self._latents, (*values.shape[:-1], self._latents.shape[1]))
        return np.take_along_axis(values, places, axis=-1)

    def placed(self, values: FloatArray) -> FloatArray:
        """Values of each step's batch, (..., T, B), in the places of all latents, if known."""
        if self._latents is None:
            return values
        found = np.zeros((*values.shape[:-1], self.size))
        np.put_along_axis(found, np.broadcast_to(self._latents, values.shape), values, -1)
        return found

    @property
    def _latents(self) -> NDArray[np.int64] | None:
        return self.numbers if self.of_latents else None

    def mend(self, counts: Counts) -> tuple[Counts | None, list[Finding]]:
        """Counts of as many latents as were drawn from, and what is wrong with those given.

        The rows of a shared latent are not kept apart in counts, and cannot be compared.
        """
        wanted = self.size if self.of_latents else 1
        if len(counts) != wanted:
            words, reason = "number of latents", "recorded draws"
            finding = Finding("wrong_latents", words, wanted, len(counts), 0.0, reason, "mistake")
            return None if self.of_latents else counts.pooled(), [finding]
        return counts, self._mismatch(counts) if self.of_latents else []

    def _mismatch(self, counts: Counts) -> list[Finding]:
        if self.numbers is None:
            pairs = self.rows.value + 1j * self.rows.total_count
            off = ~np.isin(pairs, counts.successes + 1j * counts.total_count)
            if not off.any():
                return []
            step, place = np.argwhere(off)[0]
            words = f"total_count of row {place} of the batch of step {step}"
            theirs, reason = float(self.rows.total_count[step, place]), "no row is like it"
            return [Finding("wrong_total_count", words, theirs, None, None, reason, "mistake")]
        numbers = self.numbers
        wrong = other_rows(
            Rows(*(column[numbers] for column in Rows.of(counts))),
            self.rows,
            lambda step, row: f"latent {numbers[step, row]}, in the batch of step {step}",
        )
        return [wrong] if wrong else []


def find_batch(recording: Recording, counts: Counts, size: int) -> Batch | None:
    """The minibatches of a run, for counts with an entry for each latent; None if it has none.

    `size` is how many latents are drawn in a step.
    """
    indices = {name: x for name, x in recording.observed.items() if name.endswith(".index")}
    rows = observed_rows(recording)
    if not indices and (rows is None or len(rows.value) == 1):
        return None
    loss = recording.header.get("loss") or {}
    if loss.get("num_particles", 1) > 1 and not loss.get("vectorize_particles"):
        raise NotReplayedError("each particle has a minibatch of its own, of which one is recorded")
    if len(indices) > 1:
        raise NotReplayedError("there are two plates with minibatches")
    index, whole = None, len(counts)
    for name, array in indices.items():
        whole = recording.header.get("plates", {}).get(name.removesuffix(".index"), 0)
        index = np.broadcast_to(array, (recording.num_steps, array.shape[1])).astype(np.int64)
        if not isinstance(whole, int) or not np.all(
            (index == array) & (array >= 0) & (array < whole)
        ):
            raise NotReplayedError("the recording does not say which rows, and of how many")
    if rows is None:
        if index is None or index.shape[1] != size or len(counts) != whole:
            raise NotReplayedError("the recording does not hold what was observed")
        columns = counts.successes, counts.total_count
        rows = Rows(*(x[index].astype(np.float64) for x in columns))
    width = rows.value.shape[1]
    if size not in (1, width) or (index is not None and index.shape[1] != width):
        raise NotReplayedError("a part of the rows is in no minibatch")
    of_latents = size == width and (width > 1 or len(counts) > 1)
    if not of_latents and index is None:
        if (rows.total_count != 1).any():
            raise NotReplayedError("nobody says how many rows there are in all")
        whole = int(counts.total_count.sum())
    wide = [np.broadcast_to(x, (recording.num_steps, width)) for x in rows]
    return Batch(index, Rows(*wide), int(whole), of_latents)
