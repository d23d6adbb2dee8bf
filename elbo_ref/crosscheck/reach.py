"""The maximum that a parametrisation can reach, where that is a line of priors.

Concentrations that are computed from one parameter may keep their mean, as a symmetric prior
Beta(a, a) does, or their sum. The highest evidence is then the one under that constraint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy
from scipy import special as sc

from elbo_ref._format.numbers import number
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.expressions import parse
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.optimum import (
    NEGLIGIBLE_IS,
    WITHIN,
    Pace,
    decay_findings,
    moved_away,
    no_elbo,
    optimum_finding,
    rate_of,
    stands_still,
)
from elbo_ref.crosscheck.wording import MAY_BE_NOISE
from elbo_ref.diagnostics.point import PointDiagnosis
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.mle.result import maximize_evidence
from elbo_ref.objectives.exact import elbo
from elbo_ref.optima.normal import best_normal
from elbo_ref.svi.convergence import ARRIVED, NEGLIGIBLE
from elbo_ref.svi.parameters import NAMES


class Held(NamedTuple):
    """Quantity of the prior that a parametrisation keeps, mean or concentration, and its value."""

    what: str
    value: float


def held_by_names(
    names: Mapping[str, str], known: Mapping[str, object], model: LossModel
) -> Held | None:
    """Return what the expressions of roles keep of the prior: one name for both, or a number."""
    first, second = (names.get(f"prior.{name}") for name in NAMES)
    if first is not None and first == second and np.array_equal(*model.prior):
        return Held("mean", 0.5)
    for what in ("mean", "concentration"):
        text = names.get(f"prior.{what}")
        expression = None if text is None else parse(text, known)
        if expression is not None and expression.number is not None:
            return Held(what, float(expression.of({})))
    return None


def maximum_findings(
    seen: PointDiagnosis,
    held: Held | None,
    decay: float,
    history: LossModel | None = None,
    *,
    pace: Pace | None,
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
    pace : Pace or None
        That of its last steps, where it is known.
    """
    found = (held and reach_finding(held, seen)) or optimum_finding(seen)
    return [
        found,
        *(moved_away(history, seen) if history else ()),
        *(stands_still(pace, found) if pace else ()),
        *decay_findings(decay),
        *no_elbo(seen),
    ]


def reach_finding(held: Held, seen: PointDiagnosis) -> Finding | None:
    """Compare the objective with its highest under the constraint; None if that is not known."""
    guide = seen.point.loss.adapted(seen.family)
    if not guide.is_elbo or guide.shared or guide.origin == "prior":
        return None
    highest = maximize_evidence(seen.point.counts, {held.what: held.value})
    within = highest.log_evidence
    if guide.source is LOGIT_NORMAL and highest.prior is not None:
        within = _highest_of_normal(held, seen.point.counts, highest.prior)
    lacking = number(max(within - seen.objective, 0.0))
    higher = number(max(seen.supremum.log_evidence - within, 0.0))
    top = "maximum" if highest.prior is not None else "supremum"
    what = (
        f"the objective is {lacking} nats below the {top} that this parametrisation can reach, "
        f"with {held.what} {number(held.value)}"
    )
    what += f"; over all priors it is {higher} nats higher" if float(higher) > 0 else ""
    numbers, below = (seen.objective, within), within - seen.objective
    if highest.prior is None and below > ARRIVED:
        reason = "it is not attained: every step towards it gains"
        return Finding("drifting", what, *numbers, None, reason, "optimum")
    if below <= ARRIVED:
        return Finding("at_optimum", what, *numbers, ARRIVED, WITHIN)
    near, most = below <= NEGLIGIBLE, (NEGLIGIBLE, NEGLIGIBLE_IS)
    if near and rate_of(seen) is not None:
        return Finding("at_optimum", what, *numbers, *most)
    if near:
        most = ARRIVED, f"{NEGLIGIBLE_IS}, if noise costs as much at the learning rate"
    of = MAY_BE_NOISE if near else ""
    return Finding("not_converged", what, *numbers, *most, "optimum", of=of)


def _highest_of_normal(held: Held, counts: Counts, start: Beta) -> float:
    """Highest ELBO of a normal guide under the constraint, near the highest evidence."""

    def loss(x: float) -> float:
        if held.what == "mean":
            mean, concentration = held.value, np.exp(x)
        else:
            mean, concentration = sc.expit(x), held.value
        prior = Beta(mean * concentration, (1 - mean) * concentration)
        return -elbo(best_normal(prior, counts), prior, counts)

    a, b = map(float, start.arrays())
    at = np.log(a + b) if held.what == "mean" else np.log(a / b)
    best = scipy.optimize.minimize_scalar(loss, bracket=(at - 0.1, at + 0.1))
    return -float(best.fun)
