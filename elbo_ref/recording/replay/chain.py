"""Gradients of parameters beside those of the arguments that they are.

Where an argument is a parameter under a constraint that is known here, the gradient that the
optimizer was handed is the argument's times the derivative of the constraint. A factor that all
steps share is a mistake; anything else may be a hook on the parameter, and is noted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.guides.constraints import CONSTRAINTS
from elbo_ref.recording.statement import Statement

_NEAR, _ROUNDINGS = 1e-2, 256
"""Distance over all steps, in units of the gradient's size, and in eps of its summands' size, that
sums in the run's precision may make."""


def compare_parameters(statement: Statement) -> list[Finding]:
    """Compare the gradient of each parameter that is an argument; say only what departs."""
    findings = []
    for name, theirs, ours, rounding in _direct(statement):
        size = float(np.linalg.norm(ours))
        if np.linalg.norm(theirs - ours) <= _NEAR * size + rounding:
            continue
        factor = float((theirs * ours).sum()) / size**2 if size else 0.0
        words = f"the gradients of the parameter {name}"
        if factor and np.linalg.norm(theirs - factor * ours) <= _NEAR * abs(factor) * size:
            reason = f"{number(factor)} times those of the argument that it is, in all steps"
            findings.append(Finding("gradient_scaled", words, reason=reason, status="mistake"))
        else:
            reason = "not those of the argument that it is: is there a hook on the parameter?"
            if len(theirs) > 1 and np.linalg.norm((theirs - ours)[1:]) <= _NEAR * size + rounding:
                reason = "those of the first step are others: older gradients were left in them"
            findings.append(Finding("parameter", words, reason=reason, status="note"))
    return findings


def _direct(statement: Statement) -> Iterator[tuple[str, FloatArray, FloatArray, float]]:
    """Yield parameters that are one argument, their gradients, ours, and the rounding of these."""
    recording = statement.recording
    uses = Counter(name for x in statement.arguments.values() for name in x.sources)
    kinds = recording.header.get("constraints", {})
    for argument in statement.arguments.values():
        name = argument.sources[0] if len(argument.sources) == 1 else ""
        kind = kinds.get(name)
        known = kind in CONSTRAINTS or kind == "real"
        if uses[name] != 1 or not known or argument.gradient is None:
            continue
        value = recording.constrained[name].reshape(recording.num_steps, -1)
        same = value.shape == argument.values.shape and np.all(value == argument.values)
        if not same:
            continue
        slope: FloatArray = np.ones(value.shape)
        if kind in CONSTRAINTS:
            slope = CONSTRAINTS[kind].slope(value.astype(np.float64))
        gradient = argument.gradient
        if value.shape[1] == 1:
            gradient = gradient.sum(axis=1, keepdims=True)
        elif gradient.shape != value.shape:
            continue
        theirs = recording.gradients[name].reshape(value.shape).astype(np.float64)
        eps = float(np.finfo(value.dtype).eps)
        rounding = _ROUNDINGS * eps * argument.size * float(np.max(np.abs(slope), initial=0.0))
        yield name, theirs, gradient * slope, rounding
