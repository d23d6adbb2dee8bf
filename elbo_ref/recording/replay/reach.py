"""The maximum that a parametrisation can reach, where that is a line of priors.

Concentrations that are computed from one parameter may keep their mean, as a symmetric prior
Beta(a, a) does, or their sum. The highest evidence is then the one under that constraint.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.optimum import NEGLIGIBLE_IS, WITHIN
from elbo_ref.diagnostics.point import PointDiagnosis
from elbo_ref.mle.result import maximize_evidence
from elbo_ref.recording.statement import Statement
from elbo_ref.svi.convergence import ARRIVED, NEGLIGIBLE

_SAME, _MOVES = 1e-5, 1e-4


class Held(NamedTuple):
    """Quantity of the prior that a parametrisation keeps, mean or concentration, and its value."""

    what: str
    value: float


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


def reach_finding(held: Held, seen: PointDiagnosis) -> Finding | None:
    """Compare the objective with the highest evidence under the constraint; None if no ELBO."""
    guide = seen.family
    if not guide.is_elbo or guide.shared or guide.parameter_names == ("loc", "scale"):
        return None
    if guide.origin == "prior":
        return None
    within = maximize_evidence(seen.point.counts, {held.what: held.value}).log_evidence
    lacking = number(max(within - seen.objective, 0.0))
    higher = number(max(seen.supremum.log_evidence - within, 0.0))
    what = (
        f"the objective is {lacking} nats below the maximum that this parametrisation can reach, "
        f"with {held.what} {number(held.value)}; over all priors it is {higher} nats higher"
    )
    numbers = seen.objective, within
    if within - seen.objective <= ARRIVED:
        return Finding("at_optimum", what, *numbers, ARRIVED, WITHIN)
    if within - seen.objective <= NEGLIGIBLE and seen.floor is not None:
        return Finding("at_optimum", what, *numbers, NEGLIGIBLE, NEGLIGIBLE_IS)
    return Finding("not_converged", what, *numbers, NEGLIGIBLE, NEGLIGIBLE_IS, "optimum")
