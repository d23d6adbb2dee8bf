"""The objectives: `protocol` says what one is, `find` turns a name into one."""

from __future__ import annotations

from elbo_ref.objectives.exact import Exact
from elbo_ref.objectives.protocol import Objective
from elbo_ref.objectives.trace import Trace

OBJECTIVES: dict[str, Objective] = {loss.name: loss for loss in (Exact(), Trace())}


def find(loss: str) -> Objective:
    """The objective that a name stands for."""
    if not isinstance(loss, str):
        raise TypeError(f"loss must be a name, not {type(loss).__name__}")
    if loss not in OBJECTIVES:
        raise ValueError(f"loss = {loss!r} is not one of {', '.join(map(repr, OBJECTIVES))}")
    return OBJECTIVES[loss]
