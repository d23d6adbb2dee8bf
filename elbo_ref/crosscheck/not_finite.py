"""Findings on a run that is not finite any more: from which step on, and in which quantity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding

_IMPOSSIBLE = "as of an observation that cannot be: more successes than trials, or fewer than none"


def not_finite(
    values: Mapping[str, FloatArray], losses: FloatArray, evaluations: FloatArray
) -> tuple[Finding, ...]:
    """Find losses, evaluations and parameters that are NaN or infinite.

    A parameter with as many rows as there are losses, or one more, is a history.

    Examples
    --------
    >>> losses = np.array([3.0, np.nan, np.nan])
    >>> [finding.quantity for finding in not_finite({}, losses, np.zeros(0))]
    ['the losses are nan from step 1 on']
    """
    found = [
        *_of_series("the losses are", "step", losses),
        *_of_series("the evaluations are", "evaluation", evaluations),
    ]
    for name, array in values.items():
        bad = ~np.isfinite(array)
        if not bad.any():
            continue
        if array.ndim and losses.size > 1 and len(array) in (losses.size, losses.size + 1):
            rows = bad.reshape(len(array), -1)
            worst = array.reshape(len(array), -1)[np.arange(len(array)), rows.argmax(axis=1)]
            found += _of_series(f"{name} is", "step", worst)
        else:
            kind = _kind(array[bad])
            found.append(f"{name} is {kind} ({int(bad.sum())} of {array.size} values)")
    finite = all(np.isfinite(array).all() for array in values.values())
    reason = _IMPOSSIBLE if finite and losses.size and np.isposinf(losses).all() else ""
    return tuple(Finding("not_finite", what, reason=reason, status="mistake") for what in found)


def _of_series(subject: str, unit: str, series: FloatArray) -> list[str]:
    bad = ~np.isfinite(series)
    if not bad.any():
        return []
    first, kind = int(np.argmax(bad)), _kind(series[bad])
    if bad[first:].all():
        return [f"{subject} {kind} from {unit} {first} on"]
    return [f"{subject} {kind} at {unit} {first}, and finite again later"]


def _kind(values: NDArray[np.float64]) -> str:
    return "nan" if np.isnan(values).any() else "infinite"
