"""The objectives: `base` says what one is, `find` turns a name into one."""

from __future__ import annotations

from typing import Literal, TypeAlias

from elbo_ref._validation.arguments import check_known
from elbo_ref.objectives.base import Objective
from elbo_ref.objectives.exact import Exact
from elbo_ref.objectives.mean_field import TraceMeanField
from elbo_ref.objectives.renyi import Renyi, RenyiBound
from elbo_ref.objectives.score_function import ScoreFunction, ScoreFunctionGradient
from elbo_ref.objectives.trace import Trace

__all__ = [
    "OBJECTIVES",
    "LossName",
    "LossValue",
    "Objective",
    "Renyi",
    "RenyiBound",
    "ScoreFunction",
    "find",
]

LossName: TypeAlias = Literal[
    "exact",
    "trace",
    "trace_graph",
    "trace_enum",
    "trace_mean_field",
    "sticking_the_landing",
    "score_function",
    "renyi",
]
"""The names that ``loss=`` takes; a test compares them with `OBJECTIVES`."""

LossValue = Renyi | ScoreFunction
"""The settings of an objective that has some."""

OBJECTIVES: dict[str, Objective] = {
    loss.name: loss
    for loss in (
        Exact(),
        Trace(),
        Trace("trace_graph"),
        Trace("trace_enum"),
        TraceMeanField(),
        Trace("sticking_the_landing", keeps_score=False),
        ScoreFunctionGradient(),
        RenyiBound(),
    )
}


def find(loss: str | LossValue | Objective) -> Objective:
    """Find the objective that a name stands for, or a value has the settings of."""
    if isinstance(loss, Objective):
        return loss
    if isinstance(loss, Renyi):
        return RenyiBound(loss.alpha, loss.num_samples)
    if isinstance(loss, ScoreFunction):
        return ScoreFunctionGradient(loss.baseline)
    if not isinstance(loss, str):
        kind = type(loss).__name__
        raise TypeError(f"loss must be a name, a Renyi or a ScoreFunction, not {kind}")
    check_known("loss", loss, OBJECTIVES)
    return OBJECTIVES[loss]
