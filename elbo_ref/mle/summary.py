"""The evidence maximum in a few lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref.mle.intervals import PARAMETERS, Parameter, parameter_of

if TYPE_CHECKING:
    from elbo_ref.mle.result import EvidenceMaximum

LEVEL = 0.95
"""Of intervals."""


def summary(maximum: EvidenceMaximum, errors: Mapping[Parameter, float]) -> str:
    """Write the answer, the parameters with standard errors or intervals, and the proof."""
    held = "".join(f", {name} held at {value:g}" for name, value in maximum.fixed.items())
    lines = [f"{maximum.counts.summary()}{held}", f"{maximum.kind}: {maximum.sentence}"]
    lines.append(f"log evidence: {maximum.log_evidence:.13g}")
    values: dict[Parameter | Literal["rho"], float | None] = {}
    if maximum.prior is not None:
        values = {name: parameter_of(maximum.prior, name) for name in PARAMETERS}
    elif maximum.kind == "binomial":
        values["mean"] = maximum.mean
    if values:
        values["rho"] = maximum.rho
    for name, value in values.items():
        assert value is not None
        lines.append(f"{name}: {value:.13g}{_spread(maximum, errors, name, value)}")
    proof = maximum.proof
    lines.append(f"proof: to {proof.width:.2g} nats ({proof.how})")
    if not proof.decided:
        lines.append(f"undecided: {proof.undecided}")
    return "\n".join(lines)


def _spread(
    maximum: EvidenceMaximum,
    errors: Mapping[Parameter, float],
    name: Parameter | Literal["rho"],
    value: float,
) -> str:
    """Write the standard error; a profile interval where two of them reach 0: no parabola."""
    of: Parameter = "concentration" if name == "rho" else name
    if of in maximum.fixed:
        return ""
    error = errors.get(of, np.inf) * (value**2 if name == "rho" else 1.0)
    if error <= value / 2:
        return f" +- {number(error)}"
    region = maximum.confidence_interval(of, level=LEVEL)
    words = region.sentence
    if name == "rho":
        words = f"{number(1 / (1 + region.upper))} to {number(1 / (1 + region.lower))}"
    return f" ({words}, {LEVEL:.0%} profile)"
