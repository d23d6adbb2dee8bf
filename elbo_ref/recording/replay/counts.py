"""Counts that were given beside the rows that a run observed, latent by latent.

Groups of a column stand in the order in which their labels first appear. A program that is indexed
by the label itself, or by what sorts the labels, has them in another order, which is no mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.label_order import described, in_order, sorted_orders
from elbo_ref.crosscheck.parameters import one_by_one
from elbo_ref.recording.rows import Data

_ROUNDING = 1e-5
"""Relative, of a scale that is computed in float32."""
_NONE = np.zeros(0, np.int64)


def compare_in_orders(data: Data, counts: Counts, scale: float) -> list[Finding]:
    """Compare counts in their own order; a note says which order of their labels agrees instead."""
    size = data.successes.shape[1]
    several = len(counts) == size and np.any(counts.multiplicity > 1)
    if data.multiplicity is not None or (several and data.constant):
        times = np.ones(size, np.int64) if data.multiplicity is None else data.multiplicity
        return _compare_entries(data, times, counts, scale)
    found = compare_counts(data, one_by_one(counts), scale)
    if not found or not counts.labels:
        return found
    for other, words in _orders(counts, data.whole or data.successes.shape[1]):
        if not compare_counts(data, one_by_one(other), scale):
            return [Finding("labels", words, status="note")]
    return found


def _compare_entries(
    data: Data, times: NDArray[np.int64], counts: Counts, scale: float
) -> list[Finding]:
    """Compare entries that stand for several latents each, or all of these written out."""
    if len(counts) != len(times):
        seen = one_by_one(Counts(data.successes[0], data.total_count[0], times))
        same = _rows(seen.successes, seen.total_count) == _rows(
            counts.successes, counts.total_count
        )
        return [] if same else compare_counts(data, one_by_one(counts), scale)
    found = compare_counts(data, Counts(counts.successes, counts.total_count), scale)
    off = int(np.argmax(times != counts.multiplicity))
    if not found and times[off] != counts.multiplicity[off]:
        words, reason = f"multiplicity of entry {off}", "as the scales of the sites have it"
        numbers = float(times[off]), float(counts.multiplicity[off]), 0.0
        found = [Finding("wrong_counts", words, *numbers, reason, "mistake")]
    return found


def _orders(counts: Counts, size: int) -> Iterator[tuple[Counts, str]]:
    """Yield the groups in the sorted orders of their labels, and each at the number that it has.

    Where there are more latents than groups, labels that are numbers are those of the latents.
    """
    sorted_ones = (in_order(counts, order) for order in sorted_orders(counts.labels))
    of_labels = [(x, described(x, "sorted")) for x in sorted_ones]
    of_numbers = list(_numbered(counts, size))
    yield from of_labels + of_numbers if size == len(counts) else of_numbers or of_labels


def _numbered(counts: Counts, size: int) -> Iterator[tuple[Counts, str]]:
    """Yield the groups at the latents that are their labels, from 0 or 1 on."""
    numbers = np.array([x if isinstance(x, int) else _number(str(x)) for x in counts.labels or ()])
    for start in (0, 1):
        at = numbers - start
        if np.all((at >= 0) & (at < size)) and np.all(counts.multiplicity == 1):
            k, n = np.zeros((2, size), np.int64)
            k[at], n[at] = counts.successes, counts.total_count
            words = f"a group's label is the number of its latent, from {start} on"
            yield Counts(k, n), words


def _number(label: str) -> int:
    """Return the whole number that a label is; -1 for another."""
    return int(label) if label.isdecimal() and len(label) < 19 else -1


def compare_counts(data: Data, counts: Counts, scale: float) -> list[Finding]:
    """Compare counts with the rows that a run observed, latent by latent; findings say where."""
    size = data.successes.shape[1] if data.constant else data.whole
    without = _without_rows(data) if size is not None and len(counts) != size else _NONE
    k, n = counts.successes.astype(np.float64), counts.total_count.astype(np.float64)
    if size == len(k) + len(without):  # those have none in the counts either
        at = without - np.arange(len(without))
        k, n = np.insert(k, at, 0.0), np.insert(n, at, 0.0)
    if size is not None and len(k) != size:
        numbers = float(size), float(len(k)), 0.0
        if len(without):
            words, observing = "number of latents that observe a row", float(size - len(without))
            reason = f"{len(without)} of {size} observe none, as where they are masked"
            return [Finding("wrong_counts", words, observing, *numbers[1:], reason, "mistake")]
        sums = (data.successes, k), (data.total_count, n)
        if data.constant and size < len(k) and _are_some_of(data, k, n):
            words = "number of latents: each has a row of the counts, and the others have none"
            reason = "a batch, or a part, of them that no scale makes up for"
            name, other = "wrong_counts", "subsample_unscaled"
            if 2 * size <= len(k):
                name, other = other, name
            found = Finding(name, words, *numbers, reason, "mistake")
            return [found._replace(rivals=(other,))]
        if not data.constant and _have_all_rows(data, k, n):
            words = "size of the plate that the minibatches are taken of"
            reason = "all rows of the counts are in them, and count so much too often"
            return [Finding("normalised_loss", words, *numbers, reason, "mistake")]
        regrouped = 1 in (size, len(k)) or all(x.sum() == y.sum() for x, y in sums)
        name = "wrong_latents" if regrouped else "wrong_counts"
        return [Finding(name, "number of latents", *numbers, "as drawn", "mistake")]
    if data.constant:
        return _compare_rows(np.arange(len(k)), data.successes[0], data.total_count[0], k, n)
    findings = _compare_scale(data, k, n, scale)
    if data.numbers is None or data.numbers.max(initial=0) >= len(k):
        return [*_compare_batches(data, k, n), *findings]
    wide = data.numbers.shape if len(data.successes) == 1 else data.successes.shape
    latents, first = np.unique(np.broadcast_to(data.numbers, wide), return_index=True)
    seen, of = (np.broadcast_to(x, wide).ravel()[first] for x in data[:2])
    return [*_compare_rows(latents, seen, of, k[latents], n[latents]), *findings]


def _without_rows(data: Data) -> NDArray[np.int64]:
    """Find the latents that observe no row in any step."""
    if data.constant:
        return np.flatnonzero(data.total_count[0] == 0)
    if data.numbers is None:
        return _NONE
    numbers, total_count = np.broadcast_arrays(data.numbers, data.total_count)
    return np.setdiff1d(numbers[total_count == 0], numbers[total_count > 0])


def _are_some_of(data: Data, k: FloatArray, n: FloatArray) -> bool:
    """Return True if several observed rows are all among those of the counts."""
    seen = _rows(data.successes[0], data.total_count[0])
    return len(seen) > 1 and seen <= _rows(k, n)


def _have_all_rows(data: Data, k: FloatArray, n: FloatArray) -> bool:
    """Return True if every step has all rows of the counts, once each."""
    given = _rows(k, n)
    return all(given == seen for seen in map(_rows, data.successes, data.total_count))


def _rows(k: NDArray[Any], n: NDArray[Any]) -> Counter[tuple[float, float]]:
    """Count the rows of each kind, in whatever order they stand."""
    return Counter(zip(k.tolist(), n.tolist(), strict=True))


def _compare_rows(
    latents: NDArray[np.int64], seen: FloatArray, of: FloatArray, k: FloatArray, n: FloatArray
) -> list[Finding]:
    """Compare the rows of some latents with those of the counts."""
    if np.array_equal(seen, k) and np.array_equal(of, n):
        return []
    if _rows(k, n) == _rows(seen, of):
        off = int(np.argmax((seen != k) | (of != n)))
        words = f"the row of latent {latents[off]}"
        reason = "the same rows stand in another order in the counts"
        return [Finding("permuted_rows", words, reason=reason, status="mistake")]
    times = float(of.sum() / max(n.sum(), 1.0))
    if times > 1 and np.array_equal(seen, times * k) and np.array_equal(of, times * n):
        words = "the number of times that the model observes each row"
        reason = "the same rows under several names, or a plate around them"
        return [Finding("likelihood_weight", words, times, 1.0, 0.0, reason, "mistake")]
    name, what, theirs, mine = "wrong_counts", "successes", seen, k
    if np.array_equal(seen, k):
        name, what, theirs, mine = "wrong_total_count", "total_count", of, n
    off = int(np.argmax(theirs != mine))
    reason = f"as observed; {np.sum(theirs != mine)} of {len(k)} are others than the counts"
    numbers = float(theirs[off]), float(mine[off]), 0.0
    return [Finding(name, f"{what} of latent {latents[off]}", *numbers, reason, "mistake")]


def _compare_batches(data: Data, k: FloatArray, n: FloatArray) -> list[Finding]:
    """Find the first row of a minibatch that none of the counts is like."""
    off = ~np.isin(data.successes + 1j * data.total_count, k + 1j * n)
    if not off.any() or data.successes.shape[1] == 1:
        return []
    step, row = np.argwhere(off)[0]
    words = f"the total count of row {row} of the batch of step {step}"
    theirs, reason = float(data.total_count[step, row]), "no row of the counts is like it"
    name = "wrong_counts" if np.isin(data.total_count, n).all() else "wrong_total_count"
    return [Finding(name, words, theirs, None, None, reason, "mistake")]


def _compare_scale(data: Data, k: FloatArray, n: FloatArray, scale: float) -> list[Finding]:
    """Compare the scale of minibatches with that which makes all the data of them.

    That is, or is by rows or by whole batches of an epoch about, the number of batches.
    """
    size = data.successes.shape[1]
    whole = len(k) / size if size > 1 else float(n.sum() / data.total_count.mean())
    low, high = (np.floor(whole), np.ceil(whole)) if size > 1 else (whole / 2, 2 * whole)
    low = low if low > 1 else whole  # a scale of 1 is none
    if whole <= 1 or low * (1 - _ROUNDING) <= scale <= high * (1 + _ROUNDING):
        return []
    name = "subsample_unscaled" if scale < low else "normalised_loss"
    if np.isclose(scale, whole**2):
        name = "subsample_scaled_twice"
    words = f"the scale of minibatches of {size} of {len(k)} latents"
    return [Finding(name, words, scale, whole, None, "as the sites have it", "mistake")]
