"""The updates of a run beside those of the optimizer's settings.

From the parameter before an update, the recorded gradient and the settings of the header, each
update is made again by `elbo_ref.svi.optimizers`; the moments are carried along from the recorded
gradients. Where the steps are others, first a learning rate is looked for (one for all steps, or
one that falls), then settings of `_OTHERS`, one at a time.

In float32 the moments of PyTorch are rounded in every step, and so are its beta2 and 1 - beta2:
1.3e-8 of 0.999, which grows over the 1000 steps that the moment remembers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from elbo_ref._format.numbers import number, some_of
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.comparison import Comparison
from elbo_ref.recording.replay.finite import first_steps
from elbo_ref.recording.replay.optimizer_claims import KINDS
from elbo_ref.svi.optimizers import Adam, AdamState, ClippedAdam

RULED_OUT = ("optimizer_settings", "learning_rate_decay")

_FLAGS = ("maximize", "decoupled_weight_decay", "centered_variance")
"""Settings of PyTorch's that ours do not have."""

_OTHERS: dict[str, tuple[Any, ...]] = {
    "betas": ((0.9, 0.99), (0.95, 0.999), (0.8, 0.999), (0.5, 0.999), (0.95, 0.99), (0.9, 0.9999)),
    "eps": (1e-8, 1e-10, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3),
    "weight_decay": (0.0, 1e-4, 1e-3, 1e-2),
    "clip_norm": (1.0, 5.0, 100.0, 1e300),
}
"""Settings that are tried where the steps are not those of the header."""


class Updates(NamedTuple):
    """The updates of one parameter, a row for each step.

    Attributes
    ----------
    before, after, gradients : array, (T, size)
    start : AdamState
        Moments before the first step.
    optimizer : Adam or ClippedAdam
        Its settings.
    lr, scheduled : array, (T, 1)
        Learning rate of each update: as noted, where it was, and as the settings say.
    eps, rate_eps : float
        Precision of the parameter, and of its learning rate.
    """

    before: FloatArray
    after: FloatArray
    gradients: FloatArray
    start: AdamState
    optimizer: Adam | ClippedAdam
    lr: FloatArray
    scheduled: FloatArray
    eps: float
    rate_eps: float

    def directions(self, optimizer: Adam | ClippedAdam) -> FloatArray:
        """Compute the step that each update makes at a learning rate of 1."""
        unit, state, steps = replace(optimizer, lr=1.0), self.start, []
        if isinstance(unit, ClippedAdam):
            unit = replace(unit, lrd=1.0)
        for before, gradient in zip(self.before, self.gradients, strict=True):
            after, state = unit.update(state, before, gradient)
            steps.append(after - before)
        return np.array(steps)

    def beside(self, directions: FloatArray, lr: FloatArray) -> Comparison:
        """Compare the parameters reached with those that these steps lead to."""
        of_step = 512 * max(self.eps, self.rate_eps) * lr * (1 + np.abs(directions))
        room = 8 * self.eps * np.abs(self.before) + of_step
        return Comparison(self.after, self.before + lr * directions, room)


def compare_updates(recording: Recording, claim: Adam | ClippedAdam | None) -> list[Finding]:
    """Compare every update with that of the settings; where none are noted, of the claim."""
    noted = recording.header.get("optimizer") or {}
    if claim is None and noted.get("class") not in KINDS:
        return [_untested(f"the optimizer {noted.get('class') or 'is not recorded'}")]
    if not isinstance(noted.get("clip", {}), dict):
        return [_untested("clipping by a function")]
    if noted.get("changing") and noted.get("scheduler"):
        return [_untested(f"its {some_of(noted['changing'], 4)} change from step to step")]
    leading = recording.header.get("leading", recording.num_steps)
    if not leading:
        return [_untested("the first step is not in the recording")]
    recording = first_steps(recording, leading)
    uphill = [x for x, its in noted.get("settings", {}).items() if its.get("maximize")]
    findings = [
        _compared(name, updates, noted)._replace(of=name)
        for name, updates in _updates(recording, noted, claim)
    ]
    if uphill:
        words = f"the optimizer raises the loss, by {some_of(uphill, 4)}"
        reason = "maximize=True, where SVI hands over minus the ELBO"
        findings.append(Finding("optimizer_settings", words, reason=reason, status="mistake"))
    return findings or [_untested("no settings that are known here")]


def _untested(what: str) -> Finding:
    reason = f"{what}: its updates are not made again"
    return Finding("updates", "the optimizer's updates", reason=reason, status="untested")


def _updates(
    recording: Recording, noted: dict[str, Any], claim: Adam | ClippedAdam | None
) -> Iterator[tuple[str, Updates]]:
    steps = recording.num_steps
    for name in recording.before:
        optimizer = _settings(noted, name) or claim
        if optimizer is None:
            continue
        before, after, gradients = (
            group[name].reshape(steps, -1).astype(np.float64)
            for group in (recording.before, recording.after, recording.gradients)
        )
        unused = not gradients.any() and name not in recording.moments
        if unused and np.array_equal(before, after):  # PyTorch passes over what has no gradient
            continue
        start = optimizer.init(before[0])
        if name in recording.moments:
            moments = recording.moments[name].reshape(3, -1).astype(np.float64)
            start = AdamState(recording.header["earlier_steps"][name], *moments)
        decay = optimizer.lrd if isinstance(optimizer, ClippedAdam) else 1.0
        scheduled = np.asarray(
            optimizer.lr * decay ** (start.step + 1.0 + np.arange(steps)[:, None])
        )
        lr = recording.lr[name][:, None] if name in recording.lr else scheduled
        yield (
            name,
            Updates(
                before=before,
                after=after,
                gradients=_clipped(gradients, noted.get("clip", {})),
                start=start,
                optimizer=optimizer,
                lr=lr.astype(np.float64),
                scheduled=scheduled,
                eps=float(np.finfo(recording.before[name].dtype).eps),
                rate_eps=float(np.finfo(lr.dtype).eps),
            ),
        )


def _settings(noted: dict[str, Any], name: str) -> Adam | ClippedAdam | None:
    """Make the optimizer of one parameter; None where ours cannot have its settings."""
    kind, settings = KINDS.get(noted.get("class")), noted.get("settings", {}).get(name, {})
    if kind is None or "lr" not in settings or any(settings.get(flag) for flag in _FLAGS):
        return None
    known = {key: value for key, value in settings.items() if key in kind.__dataclass_fields__}
    try:
        return kind(**known)
    except (TypeError, ValueError):  # a setting outside the range of ours
        return None


def _clipped(gradients: FloatArray, clip: dict[str, Any]) -> FloatArray:
    """Clip each parameter's gradient as ``PyroOptim`` does before the optimizer sees it."""
    if clip.get("clip_norm") is not None:
        norms = np.linalg.norm(gradients, axis=1, keepdims=True)
        gradients = gradients * np.minimum(clip["clip_norm"] / (norms + 1e-6), 1.0)
    if clip.get("clip_value") is not None:
        gradients = np.clip(gradients, -clip["clip_value"], clip["clip_value"])
    return gradients


def _compared(name: str, updates: Updates, noted: dict[str, Any]) -> Finding:
    directions = updates.directions(updates.optimizer)
    compared = updates.beside(directions, updates.lr)
    if not compared.agree:
        where = compared.first()
        cause, reason = "optimizer_settings", f"the recording names {noted.get('class')}"
        if str(noted.get("class") or "Adam").endswith("Adam"):  # NumPyro's too
            cause, reason = _cause(updates, directions)
        words = f"{name} after step {where[0]}"
        return compared.finding(cause, words, where, reason, "mistake")
    rates = updates.lr[:, 0]
    first, last = number(rates[0]), number(rates[-1])
    as_scheduled = np.isclose(rates, updates.scheduled[:, 0], rtol=1e-6, atol=0.0)
    if as_scheduled.all() or noted.get("scheduler"):
        where, reason = compared.farthest(), "rounding of the moments"
        words = f"all updates of {name}, the farthest at step {where[0]}"
        if first != last:
            reason += f"; the learning rate goes from {first} to {last}, as it was told to"
        return compared.finding("updates", words, where, reason, "agrees")
    step = int(np.argmin(as_scheduled))
    return Finding(
        "optimizer_settings" if first == last else "learning_rate_decay",
        f"learning rate of {name} at step {step}",
        float(rates[step]),
        float(updates.scheduled[step, 0]),
        None,
        f"the optimizer had {first} to {last}, of which its settings do not tell",
        "mistake",
    )


def _cause(updates: Updates, directions: FloatArray) -> tuple[str, str]:
    """Find the settings that these updates are those of, and the mistake that this is."""
    name = "optimizer_settings"
    if updates.beside(directions, np.zeros_like(updates.lr)).agree:
        return name, "the parameter does not move"
    moved = updates.after - updates.before
    squares = (directions**2).sum(axis=1, keepdims=True)
    rates = (moved * directions).sum(axis=1, keepdims=True) / np.where(squares, squares, 1.0)
    overall = float((rates * squares).sum() / max(squares.sum(), 1e-300))
    if overall > 0 and updates.beside(directions, np.full_like(updates.lr, overall)).agree:
        return name, f"they are those with lr = {number(overall)}"
    falls = np.all(rates >= 0) and rates[0] > rates[-1]
    steadily = np.all(rates[1:] <= rates[:-1] * (1 + 1e-6))
    if falls and (directions.shape[1] > 1 or steadily) and updates.beside(directions, rates).agree:
        ends = f"from {number(rates[0, 0])} to {number(rates[-1, 0])}"
        return "learning_rate_decay", f"they are those with a learning rate that falls {ends}"
    for reason, other in _other_optimizers(updates.optimizer):
        if updates.beside(updates.directions(other), updates.lr).agree:
            return name, f"they are those {reason}"
    return name, "no other setting that was tried gives them"


def _other_optimizers(optimizer: Adam | ClippedAdam) -> Iterator[tuple[str, Adam | ClippedAdam]]:
    """Yield optimizers with one setting changed, then one of the other kind; and in words."""
    for key, values in _OTHERS.items():
        if hasattr(optimizer, key):
            for value in values:
                yield f"with {key} = {value}", replace(optimizer, **{key: value})
    kind = Adam if isinstance(optimizer, ClippedAdam) else ClippedAdam
    yield f"of {kind.__name__}", kind(betas=optimizer.betas, eps=optimizer.eps)
