"""Quantities of the prior that a recorded parametrisation keeps in all steps."""

from __future__ import annotations

import numpy as np

from elbo_ref.crosscheck.reach import Held
from elbo_ref.recording.statement import Statement

_SAME, _MOVES = 1e-5, 1e-4


def held_by(statement: Statement) -> Held | None:
    """Find what the prior's arguments keep in all steps though their one parameter moves."""
    first, second = (
        statement.arguments[f"prior.{x}"] for x in ("concentration1", "concentration0")
    )
    if len(first.sources) != 1 or first.sources != second.sources:
        return None
    a, b = statement.prior[:, :, 0]
    if np.array_equal(a, b):
        return Held("mean", 0.5)
    mean, total = a / (a + b), a + b
    spread = [float(np.ptp(x) / x.mean()) for x in (mean, total)]
    if spread[0] <= _SAME and spread[1] > _MOVES:
        return Held("mean", float(mean[-1]))
    if spread[1] <= _SAME and spread[0] > _MOVES:
        return Held("concentration", float(total[-1]))
    return None
