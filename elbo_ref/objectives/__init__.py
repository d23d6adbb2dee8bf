"""The objectives: `protocol` says what one is, `find` turns a name into one."""

from __future__ import annotations

from elbo_ref.objectives.base import Objective
from elbo_ref.objectives.exact import Exact
from elbo_ref.objectives.mean_field import TraceMeanField
from elbo_ref.objectives.renyi import Renyi
from elbo_ref.objectives.score_function import ScoreFunction
from elbo_ref.objectives.trace import Trace

__all__ = ["OBJECTIVES", "LossValue", "Objective", "Renyi", "ScoreFunction", "find"]

LossValue = Renyi | ScoreFunction
"""An objective with settings of its own."""

OBJECTIVES: dict[str, Objective] = {
    loss.name: loss
    for loss in (
        Exact(),
        Trace(),
        Trace("trace_graph"),
        Trace("trace_enum"),
        TraceMeanField(),
        Trace("sticking_the_landing", keeps_score=False),
        ScoreFunction(),
        Renyi(),
    )
}


def find(loss: str | LossValue) -> Objective:
    """The objective that a name stands for; a value is one already."""
    if isinstance(loss, LossValue):
        return loss
    if not isinstance(loss, str):
        kind = type(loss).__name__
        raise TypeError(f"loss must be a name, a Renyi or a ScoreFunction, not {kind}")
    if loss not in OBJECTIVES:
        raise ValueError(f"loss = {loss!r} is not one of {', '.join(map(repr, OBJECTIVES))}")
    return OBJECTIVES[loss]
