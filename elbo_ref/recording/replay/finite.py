"""The steps of a run before the first number that is not finite, and which number that was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording.header import GROUPS
from elbo_ref.recording.notes import Recording

_BY_STEP = tuple(group for group in GROUPS if group not in ("moments", "observed"))

_CAUSES = (
    ("before", "the parameter"),
    ("constrained", "the constrained parameter"),
    ("arguments", "the argument"),
    ("draws", "a draw of"),
    ("losses", "the loss"),
    ("argument_gradients", "the gradient for"),
    ("gradients", "the gradient of the parameter"),
    ("after", "the updated parameter"),
)
"""Groups in the order in which one follows from the other."""


def finite_part(recording: Recording) -> tuple[Recording | None, list[Finding]]:
    """Keep the steps before the first with a number that is not finite; a finding says which."""
    broken = [
        (step, order, what, name)
        for order, (group, what) in enumerate(_CAUSES)
        for step, name in _first_broken(recording, group)
    ]
    if not broken:
        return recording, []
    step, _, what, name = min(broken)
    kernel = what == "the gradient for" and _of_beta(recording, name)
    words = f"from step {step} on the run is not finite, first {what} {name}".rstrip()
    reason = "PyTorch's derivative of a Beta draw is not finite there" if kernel else ""
    finding = Finding("kernel_error" if kernel else "not_finite", words, reason=reason)
    findings = [finding._replace(status="mistake")]
    return (None if step == 0 else _until(recording, step)), findings


def _first_broken(recording: Recording, group: str) -> Iterator[tuple[int, str]]:
    """Yield the first step at which each array of a group is not finite."""
    arrays = {"": recording.losses} if group == "losses" else getattr(recording, group)
    for name, array in arrays.items():
        good = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if not good.all():
            yield int(np.argmin(good)), name


def _of_beta(recording: Recording, name: str) -> bool:
    program, _, rest = name.partition(".")
    site = rest.rpartition(".")[0]
    classes = [x["class"] for x in recording.sites(program) if x["name"] == site]
    return classes == ["Beta"]


def _until(recording: Recording, stop: int) -> Recording:
    """Keep the steps before one."""
    groups = {
        group: {name: array[:stop] for name, array in getattr(recording, group).items()}
        for group in _BY_STEP
    }
    observed = {
        name: array if len(array) == 1 else array[:stop]
        for name, array in recording.observed.items()
    }
    return replace(recording, losses=recording.losses[:stop], observed=observed, **groups)
