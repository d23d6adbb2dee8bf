"""The evidence maximum in a few lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from elbo_ref._format.numbers import number
from elbo_ref._format.table import Column, Table
from elbo_ref.mle.intervals import PARAMETERS, Asked, Parameter, parameter_of

if TYPE_CHECKING:
    from elbo_ref.mle.result import EvidenceMaximum

LEVEL = 0.95
"""Of intervals."""


def summary(maximum: EvidenceMaximum, errors: Mapping[Parameter, float]) -> str:
    """Write the answer, the parameters with standard errors or intervals, and the proof."""
    held = "".join(f", {name} held at {value:g}" for name, value in maximum.fixed.items())
    lines = [f"{maximum.counts.summary()}{held}", f"{maximum.kind}: {maximum.sentence}"]
    lines.append(f"log evidence: {maximum.log_evidence:.13g}")
    for name, value in _values(maximum).items():
        spread = "" if _held(maximum, name) else _spread(maximum, name, value, errors)
        lines.append(f"{name}: {value:.13g}{spread}")
    proof = maximum.proof
    lines.append(f"proof: to {proof.width:.2g} nats ({proof.how})")
    if not proof.decided:
        lines.append(f"undecided: {proof.undecided}")
    return "\n".join(lines)


def parameters(maximum: EvidenceMaximum, errors: Mapping[Parameter, float]) -> Table:
    """Lay out the parameters of the prior, with profile intervals where there is anything known."""
    names: list[Asked] = [*PARAMETERS, "rho"]
    values = _values(maximum)
    held = [_held(maximum, name) for name in names]
    spread = [_error(name, values[name], errors) if name in values else None for name in names]
    regions = [
        None if fixed or maximum.kind == "no_information" else maximum.confidence_interval(name)
        for name, fixed in zip(names, held, strict=True)
    ]
    columns = [Column(names, "parameter", "parameter", left=True)]
    columns.append(Column([values.get(name) for name in names], "value", "value"))
    columns.append(Column(spread, "standard_error", "standard error"))
    for end, heading in (("lower", f"{LEVEL:.0%} from"), ("upper", "to")):
        columns.append(Column([x and getattr(x, end) for x in regions], end, heading))
    return Table([*columns, Column(held, "held", "held")], maximum.sentence)


def _values(maximum: EvidenceMaximum) -> dict[Asked, float]:
    """Return the parameters that are known, those of a limit too."""
    known: dict[Asked, float | None] = {"mean": maximum.mean}
    if maximum.prior is not None:
        known = {name: parameter_of(maximum.prior, name) for name in PARAMETERS}
    elif maximum.kind in ("binomial", "all_or_none"):
        known["concentration"] = maximum.concentration
    known["rho"] = maximum.rho
    return {name: value for name, value in known.items() if value is not None}


def _held(maximum: EvidenceMaximum, name: Asked) -> bool:
    return ("concentration" if name == "rho" else name) in maximum.fixed


def _error(name: Asked, value: float, errors: Mapping[Parameter, float]) -> float | None:
    """Return the standard error, unless two of them reach 0: no parabola."""
    error = errors.get("concentration" if name == "rho" else name)
    if error is not None and name == "rho":
        error *= value**2
    return None if error is None or error > value / 2 else error


def _spread(
    maximum: EvidenceMaximum, name: Asked, value: float, errors: Mapping[Parameter, float]
) -> str:
    """Write the standard error, or the profile interval."""
    error = _error(name, value, errors)
    if error is not None:
        return f" +- {number(error)}"
    return f" ({maximum.confidence_interval(name, level=LEVEL).sentence}, {LEVEL:.0%} profile)"
