"""Findings that a parameter store allows beside its values: shapes and constraints.

A store holds one set of values, never a history, and says how each parameter is held. So it shows a
prior with values for each latent, which the guide made first under the same name, and a guide that
a constraint keeps from where its objective is higher.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.claims import Claims
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.distributions.beta import Beta
from elbo_ref.io.parameters import Parameters
from elbo_ref.objectives.exact import objective_value

_NEAR = 0.1
"""Relative distance from an end within which a value is at it."""
_BEYOND = 1.5
"""Ratio to an end from which on the best value is beyond it."""
_GAIN = 1.0
"""Nats that the best guide has to be higher for its constraint to matter."""


def priors_of_latents(counts: Counts, given: Parameters, claims: Claims) -> tuple[Finding, ...]:
    """Find a prior whose parameters have a value for each latent, in a store.

    Where the guide has parameters of its own, it is another model.
    """
    size = counts.num_latents
    owned = any(role.startswith("guide.") for role in claims.expressions)
    found = []
    for role, expression in claims.expressions.items():
        name = expression.name
        whole = role.startswith("prior.") and name in given.constraints and not expression.rows
        if whole and 1 < size == given.values[name].size:
            found.append(f"{name} ({role}) has values for {size} latents")
    reason = "from the shapes alone"
    if found and owned:
        what = f"every latent has a prior of its own: {', '.join(found)}"
        return (Finding("outside_model", what, reason=reason, status="outside"),)
    return tuple(
        Finding("shared_parameter", f"{x}: it is the guide's", reason=reason, status="mistake")
        for x in found
    )


def constraint_ends(
    model: LossModel, names: Mapping[str, str], constraints: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Find guide parameters that are at an end of their constraint, which keeps them from better.

    The end of an interval, or of values above a bound, is taken to be 1 where none is beyond it,
    and else the outermost value; it counts if most latents are at it and would be better beyond.
    """
    task, prior = model.task(), model.prior[:, -1]
    values = model.guide_parameters[:, -1]
    best = task.guide.optimum(prior, task.outcomes, task.weights)
    if best.shape != values.shape or not np.isfinite(best).all():
        return ()
    held = Beta(*map(float, prior[:, 0]))
    gain = objective_value(task, held, best) - objective_value(task, held, values)
    found = []
    for row, name in enumerate(task.guide.parameter_names):
        role = f"guide.{name}"
        constraint = constraints.get(names.get(role, ""), "")
        end = _end(values[row], best[row], constraint)
        if end is None or gain < _GAIN:
            continue
        what = f"{names[role]} ({role}) is at the end {number(end)} of its constraint; "
        what += f"at its best the guide is {number(gain)} nats higher"
        reason = f"constraint {constraint}"
        found.append(Finding("guide_at_constraint", what, reason=reason, status="mistake"))
    return tuple(found)


def _end(values: FloatArray, best: FloatArray, constraint: str) -> float | None:
    """Return the end at which most values are although their best ones are beyond; else None."""
    if "interval" in constraint:
        upper = 1.0 if values.max() <= 1 else float(values.max())
        at_end = (values >= (1 - _NEAR) * upper) & (best > _BEYOND * upper)
        if np.mean(at_end) > 0.5:
            return upper
    if "interval" in constraint or constraint.startswith("greater_than"):
        lower = float(values.min())
        at_end = (values <= (1 + _NEAR) * lower) & (best * _BEYOND < lower)
        if np.mean(at_end) > 0.5:
            return lower
    return None
