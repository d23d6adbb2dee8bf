"""Steps that can be made again: those recorded, before the first number that is not finite.

What came first decides. An argument that was thrown far away by one step, or is beyond all reason,
makes any derivative overflow: the run is not finite because of that step. PyTorch's derivative of a
Beta draw is the cause where it is not finite at ordinary concentrations, and the exact one is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from elbo_ref.crosscheck.findings import Finding
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.recording.header import GROUPS
from elbo_ref.recording.notes import Recording
from elbo_ref.svi.parameters import NAMES

_BY_STEP = tuple(group for group in GROUPS if group != "moments")

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

_POSITIVE = (*NAMES, ".scale")
"""Endings of arguments whose size is told by their logarithm."""

_FAR = 100.0
"""Factor from one step to the next that no optimizer that is of use makes: Adam takes the logarithm
of a parameter about its learning rate further."""

_LEAST, _MOST = 1e-6, 1e9
"""Values of such arguments that are beyond all reason."""


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
    words = f"from step {step} on the run is not finite, first {what} {name}".rstrip()
    jump = _jump(recording, step)
    kernel = not jump and what == "the gradient for" and _of_kernel(recording, name, step)
    reason = "PyTorch's derivative of a Beta draw is not finite there" if kernel else jump
    finding = Finding("kernel_error" if kernel else "not_finite", words, reason=reason)
    findings = [finding._replace(status="mistake")]
    return (None if step == 0 else first_steps(recording, step)), findings


def left_out(recording: Recording) -> list[Finding]:
    """Note the steps that a recording does not have, as they are of another form."""
    missing = recording.header.get("left_out", 0)
    some = f"{missing} of {missing + recording.num_steps}"
    what = "whose arrays have other shapes or whose sites other scales than most"
    words = f"{some} steps, {what}, are not in the recording"
    return [Finding("recording", words, status="note", of=some)] * bool(missing)


def _jump(recording: Recording, step: int) -> str:
    """Say which argument that has to be positive went far in one step, or is far out; or nothing.

    Of all up to a step the first counts, and there the farthest.
    """
    found = []
    batched = any(name.endswith(".rows") for name in recording.observed)
    for name, array in recording.arguments.items():
        if not name.endswith(_POSITIVE):
            continue
        values = np.abs(array[: step + 1].astype(np.float64))
        sizes = np.log(np.where(np.isfinite(values) & (values > 0), values, np.nan))
        moves = np.abs(np.diff(sizes, axis=0, prepend=sizes[:1]))
        same = not batched or values.shape[1] == 1  # latents from one step to the next
        for t, latent in np.argwhere(moves > np.log(_FAR)) if same else ():
            now, before = float(values[t, latent]), float(values[t - 1, latent])
            words = f"the step before {t} took {name} from {before:.3g} to {now:.3g}"
            found.append((int(t), -float(moves[t, latent]), words))
        outside = np.abs(sizes - np.log(np.sqrt(_LEAST * _MOST))) > np.log(_MOST / _LEAST) / 2
        for t, latent in np.argwhere(outside)[:1]:
            found.append((int(t), 0.0, f"{name} is {float(values[t, latent]):.3g} at step {t}"))
    return f"{min(found)[2]}: no derivative is of use there" if found else ""


def _first_broken(recording: Recording, group: str) -> Iterator[tuple[int, str]]:
    """Yield the first step at which each array of a group is not finite."""
    arrays = {"": recording.losses} if group == "losses" else getattr(recording, group)
    for name, array in arrays.items():
        good = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if not good.all():
            yield int(np.argmin(good)), name


def _of_kernel(recording: Recording, name: str, step: int) -> bool:
    """Tell whether the exact derivative of the draws of a Beta is finite at a step."""
    start, _, _ = name.rpartition(".")
    program, _, site = start.partition(".")
    classes = [x["class"] for x in recording.sites(program) if x["name"] == site]
    names = [f"{start}.{x}" for x in NAMES]
    if classes not in (["Beta"], ["Dirichlet"]) or site not in recording.draws:
        return False
    c = recording.draws[site][step].astype(np.float64)
    pair = [recording.arguments[x][step].astype(np.float64) for x in names]
    if not all(np.all(np.isfinite(x) & (x > 0)) for x in pair):
        return False
    with np.errstate(all="ignore"):
        logit = np.log(c) - np.log1p(-c)
    exact = BETA.pathwise(logit, np.array([np.broadcast_to(x, c.shape) for x in pair]))
    return bool(np.isfinite(exact).all())


def first_steps(recording: Recording, stop: int) -> Recording:
    """Keep the steps before one; what has one row for all of them keeps it."""
    groups = {
        group: {name: array[:stop] for name, array in getattr(recording, group).items()}
        for group in _BY_STEP
    }
    return replace(recording, losses=recording.losses[:stop], **groups)
