"""The evidence maximum in a few lines of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Literal

from elbo_ref._format.numbers import number
from elbo_ref.mle.intervals import PARAMETERS, ConfidenceRegion, Parameter, parameter_of

if TYPE_CHECKING:
    from elbo_ref.mle.result import EvidenceMaximum

LEVEL = 0.95
"""Of intervals."""


def summary(maximum: EvidenceMaximum, errors: Mapping[Parameter, float]) -> str:
    """Write the answer, the parameters with standard errors or intervals, and the proof."""
    held = "".join(f", {name} held at {value:g}" for name, value in maximum.fixed.items())
    lines = [f"{maximum.counts.summary()}{held}", f"{maximum.kind}: {maximum.sentence}"]
    lines.append(f"log evidence: {maximum.log_evidence:.13g}")
    region = cache(partial(maximum.confidence_interval, level=LEVEL))
    values: dict[Parameter | Literal["rho"], float | None] = {}
    if maximum.prior is not None:
        values = {name: parameter_of(maximum.prior, name) for name in PARAMETERS}
    elif maximum.kind == "binomial":
        values["mean"] = maximum.mean
    if values:
        values["rho"] = maximum.rho
    for name, value in values.items():
        assert value is not None
        of: Parameter = "concentration" if name == "rho" else name
        spread = "" if of in maximum.fixed else _spread(name, value, errors.get(of), region)
        lines.append(f"{name}: {value:.13g}{spread}")
    proof = maximum.proof
    lines.append(f"proof: to {proof.width:.2g} nats ({proof.how})")
    if not proof.decided:
        lines.append(f"undecided: {proof.undecided}")
    return "\n".join(lines)


def _spread(
    name: Parameter | Literal["rho"],
    value: float,
    error: float | None,
    region: Callable[[Parameter], ConfidenceRegion],
) -> str:
    """Write the standard error; a profile interval where two of them reach 0: no parabola.

    Those of rho are of the concentration.
    """
    if error is not None and name == "rho":
        error *= value**2
    if error is not None and error <= value / 2:
        return f" +- {number(error)}"
    if name != "rho":
        return f" ({region(name).sentence}, {LEVEL:.0%} profile)"
    low, high = (1 / (1 + end) for end in reversed(tuple(region("concentration"))))
    return f" ({number(low)} to {number(high)}, {LEVEL:.0%} profile)"
