"""The maximum that a parametrisation can reach, where that is a line of priors.

Concentrations that are computed from one parameter may keep their mean, as a symmetric prior
Beta(a, a) does, or their sum. The highest evidence is then the one under that constraint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.optimum import (
    NEGLIGIBLE_IS,
    WITHIN,
    decay_findings,
    moved_away,
    optimum_finding,
    stands_still,
)
from elbo_ref.diagnostics.point import Point, PointDiagnosis
from elbo_ref.mle.result import maximize_evidence
from elbo_ref.svi.convergence import ARRIVED, NEGLIGIBLE
from elbo_ref.svi.parameters import NAMES


class Held(NamedTuple):
    """Quantity of the prior that a parametrisation keeps, mean or concentration, and its value."""

    what: str
    value: float


def symmetric(names: Mapping[str, str], model: LossModel) -> Held | None:
    """Return what one name for both of the prior's concentrations keeps; None where it has two."""
    first, second = (names.get(f"prior.{name}") for name in NAMES)
    same = first is not None and first == second and np.array_equal(*model.prior)
    return Held("mean", 0.5) if same else None


def maximum_findings(
    seen: PointDiagnosis, held: Held | None, decay: float, history: LossModel | None = None
) -> list[Finding]:
    """Compare parameters with the maximum that they can reach, and note what keeps them from it.

    Parameters
    ----------
    seen : PointDiagnosis
    held : Held or None
        What the parametrisation keeps of the prior.
    decay : float
        The optimizer's weight decay.
    history : LossModel, optional
        That of the parameters of all steps, where they are known.
    """
    found = (held and reach_finding(held, seen)) or optimum_finding(seen)
    rate = seen.point.rate if isinstance(seen.point, Point) else None
    return [
        found,
        *(moved_away(history, seen) if history else ()),
        *stands_still(rate, found),
        *decay_findings(decay),
    ]


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
