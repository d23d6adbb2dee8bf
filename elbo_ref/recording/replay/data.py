"""Do the recorded sites hold the data that the counts say? And the recorded parameters themselves?

A mistake that a recording shows by itself is named here and mended, so that what follows compares
with what the run really had and does not find it over and over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.guides.constraints import CONSTRAINTS
from elbo_ref.recording import Recording

_GROUPS = ("draws", "before", "constrained", "after", "gradients", "lr", "arguments")


class Rows(NamedTuple):
    """Observed values and total counts, (T or 1, rows)."""

    value: NDArray[Any]
    total_count: NDArray[Any]

    @classmethod
    def of(cls, counts: Counts) -> Rows:
        """Those of counts."""
        return cls(counts.successes, counts.total_count)


def mend_data(
    recording: Recording, counts: Counts, size: int
) -> tuple[Counts | None, list[Finding]]:
    """Counts of as many latents as were recorded, if there are any; and what is wrong with ours."""
    rows = observed_rows(recording)
    if len(counts) != size:
        finding = Finding(
            "wrong_latents",
            "number of latents",
            size,
            len(counts),
            0.0,
            "recorded draws",
            "mistake",
        )
        if size == 1:
            return counts.pooled(), [finding]
        if rows is not None and rows.value.size == size:
            return Counts(*(x[0] for x in rows)), [finding]
        return None, [finding]
    if rows is None or rows.value.size != size != 1:
        return counts, []
    make = Counts.shared if size == 1 else Counts
    theirs = make(*(x[0] for x in rows))
    wrong = other_rows(Rows.of(counts), Rows.of(theirs), lambda first: f"latent {first}")
    return (theirs, [wrong]) if wrong else (counts, [])


def other_rows(ours: Rows, theirs: Rows, place: Callable[..., str]) -> Finding | None:
    """The first total count, or else value, that is another than observed, at a place in words."""
    for name, what, mine, seen in (
        ("wrong_total_count", "total_count", ours.total_count, theirs.total_count),
        ("loss_mismatch", "successes", ours.value, theirs.value),
    ):
        off = np.argwhere(mine != seen)
        if len(off):
            first = tuple(off[0])
            words = f"{what} of {place(*first)}"
            reason = f"as observed; {len(off)} of {mine.size} are others than the counts"
            numbers = float(seen[first]), float(mine[first]), 0.0
            return Finding(name, words, *numbers, reason, "mistake")
    return None


def observed_rows(recording: Recording) -> Rows | None:
    """The rows of all observed Binomial and Bernoulli sites; of one step if all have the same."""
    found = []
    for site in recording.sites("model", observed=True):
        value = recording.observed.get(f"{site['name']}.value")
        total = recording.observed.get(f"{site['name']}.total_count", np.ones((1, 1)))
        if site["class"] not in ("Binomial", "Bernoulli") or value is None:
            return None
        if not (value.size and total.size):
            return None
        if 1 not in (value.shape[1], total.shape[1]) and value.shape[1] != total.shape[1]:
            return None
        both = np.broadcast_arrays(value.astype(np.float64), total.astype(np.float64))
        if np.any(both[0] != np.floor(both[0])) or np.any(both[0] > both[1]):
            return None
        found.append(both)
    if not found:
        return None
    steps = max(len(value) for value, _ in found)
    wide = [[np.broadcast_to(x, (steps, x.shape[1])) for x in both] for both in found]
    return Rows(*(np.concatenate(column, axis=1) for column in zip(*wide, strict=True)))


def mend_parameters(recording: Recording) -> tuple[Recording, list[Finding]]:
    """With constrained parameters in the place of unconstrained ones."""
    findings, constrained = [], dict(recording.constrained)
    for name, kind in recording.header.get("constraints", {}).items():
        if kind not in CONSTRAINTS or name not in constrained:
            continue
        free = recording.before[name]
        right = CONSTRAINTS[kind].constrain(free.astype(np.float64)).astype(free.dtype)
        same = np.array_equal(constrained[name], free)
        if same and not np.allclose(right, free, rtol=1e-6, atol=0.0):
            first, wanted = float(free.ravel()[0]), float(right.ravel()[0])
            words, reason = f"{name} at step 0", "it equals the unconstrained one"
            findings.append(
                Finding("unconstrained_values", words, first, wanted, None, reason, "mistake")
            )
            constrained[name] = right
    return replace(recording, constrained=constrained), findings


def finite_part(recording: Recording) -> tuple[Recording | None, list[Finding]]:
    """The steps before the first in which something is not a finite number."""
    good = np.isfinite(recording.losses)
    for group in ("draws", "before", "constrained", "gradients"):
        for array in getattr(recording, group).values():
            good &= np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if good.all():
        return recording, []
    stop = int(np.argmin(good))
    finding = Finding(
        "finite",
        f"step {stop} holds what is no finite number; the steps before it are replayed",
        None,
        None,
        None,
        "",
        "note",
    )
    if not stop:
        return None, [finding]
    groups = {
        group: {name: array[:stop] for name, array in getattr(recording, group).items()}
        for group in _GROUPS
    }
    observed = {name: array[:stop] for name, array in recording.observed.items()}
    return replace(recording, losses=recording.losses[:stop], observed=observed, **groups), [
        finding
    ]
