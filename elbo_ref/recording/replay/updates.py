"""Did the optimizer do what its settings say?

From the parameter before an update, the recorded gradient and the settings of the header, each
update is made again by `elbo_ref.optim`; the moments are carried along from the recorded gradients.
Where the steps are others, what is looked for is a learning rate (one for all steps, or one that
falls), then settings of `_OTHERS`, one at a time.

In float32 the moments of PyTorch are rounded in every step, and so are its beta2 and 1 - beta2:
1.3e-8 of 0.999, which grows over the 1000 steps that the moment remembers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.optim import Adam, AdamState, ClippedAdam
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.comparison import Comparison

RULED_OUT = ("optimizer_settings", "learning_rate_decay")

_FLAGS = ("maximize", "decoupled_weight_decay", "centered_variance")
"""Settings of theirs that ours do not have."""

_OTHERS: dict[str, tuple[Any, ...]] = {
    "betas": ((0.9, 0.99), (0.95, 0.999), (0.8, 0.999), (0.5, 0.999), (0.95, 0.99), (0.9, 0.9999)),
    "eps": (1e-8, 1e-10, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3),
    "weight_decay": (0.0, 1e-4, 1e-3, 1e-2),
    "clip_norm": (1.0, 5.0, 100.0, 1e300),
}
"""What is tried where the steps are not those of the settings."""


class Path(NamedTuple):
    """One parameter's updates, each row one of T."""

    before: FloatArray
    after: FloatArray
    gradients: FloatArray
    start: AdamState
    optimizer: Adam | ClippedAdam
    lr: FloatArray
    """Of each update, (T, 1): as noted, where it was."""
    told: FloatArray
    """As the settings say."""
    eps: float

    def moves(self, optimizer: Adam | ClippedAdam) -> FloatArray:
        """What each update adds, at a learning rate of 1."""
        unit, state, moves = replace(optimizer, lr=1.0), self.start, []
        if isinstance(unit, ClippedAdam):
            unit = replace(unit, lrd=1.0)
        for before, gradient in zip(self.before, self.gradients, strict=True):
            after, state = unit.update(state, before, gradient)
            moves.append(after - before)
        return np.array(moves)

    def against(self, moves: FloatArray, lr: FloatArray) -> Comparison:
        """Where they went, and where they should have gone."""
        room = 8 * self.eps * np.abs(self.before) + 512 * self.eps * lr * (1 + np.abs(moves))
        return Comparison(self.after, self.before + lr * moves, room)

    def is_(self, moves: FloatArray, lr: FloatArray) -> bool:
        """Whether they went so."""
        return self.against(moves, lr).agree


def judge_updates(recording: Recording, claim: Adam | None) -> list[Finding]:
    """Compare every update with that of the settings, and the settings with what is claimed."""
    noted = recording.header.get("optimizer") or {}
    if claim is None and noted.get("class") not in ("Adam", "ClippedAdam"):
        return [_untested(f"the optimizer {noted.get('class') or 'is not recorded'}")]
    if not isinstance(noted.get("clip", {}), dict):
        return [_untested("clipping by a function")]
    findings = [_judge(name, path, noted, claim) for name, path in _paths(recording, noted, claim)]
    return findings or [_untested("no settings that are known here")]


def _untested(what: str) -> Finding:
    reason = f"{what}: its updates are not made again"
    return Finding("updates", "the optimizer's updates", None, None, None, reason, "untested")


def _paths(
    recording: Recording, noted: dict[str, Any], claim: Adam | None
) -> Iterator[tuple[str, Path]]:
    steps = recording.num_steps
    for name in recording.before:
        optimizer = _settings(noted, name) or claim
        if optimizer is None:
            continue
        rows = [
            group[name].reshape(steps, -1).astype(np.float64)
            for group in (recording.before, recording.after, recording.gradients)
        ]
        rows[2] = _clipped(rows[2], noted.get("clip", {}))
        start = optimizer.init(rows[0][0])
        if name in recording.moments:
            moments = recording.moments[name].reshape(3, -1).astype(np.float64)
            start = AdamState(recording.header["earlier_steps"][name], *moments)
        told = _told(optimizer, start.step, steps)
        lr = recording.lr[name][:, None].astype(np.float64) if name in recording.lr else told
        eps = float(np.finfo(recording.before[name].dtype).eps)
        yield name, Path(rows[0], rows[1], rows[2], start, optimizer, lr, told, eps)


def _settings(noted: dict[str, Any], name: str) -> Adam | ClippedAdam | None:
    """Of one parameter; None where ours cannot have them."""
    kinds: dict[str | None, type[Adam | ClippedAdam]] = {"Adam": Adam, "ClippedAdam": ClippedAdam}
    kind, settings = kinds.get(noted.get("class")), noted.get("settings", {}).get(name, {})
    if kind is None or "lr" not in settings or any(settings.get(flag) for flag in _FLAGS):
        return None
    known = {key: value for key, value in settings.items() if key in kind.__dataclass_fields__}
    try:
        return kind(**known)
    except (TypeError, ValueError):  # a setting outside the range of ours
        return None


def _clipped(gradients: FloatArray, clip: dict[str, Any]) -> FloatArray:
    """As ``PyroOptim`` clips each parameter's gradient before the optimizer sees it."""
    if clip.get("clip_norm") is not None:
        norms = np.linalg.norm(gradients, axis=1, keepdims=True)
        gradients = gradients * np.minimum(clip["clip_norm"] / (norms + 1e-6), 1.0)
    if clip.get("clip_value") is not None:
        gradients = np.clip(gradients, -clip["clip_value"], clip["clip_value"])
    return gradients


def _told(optimizer: Adam | ClippedAdam, earlier: int, steps: int) -> FloatArray:
    """The learning rates of the settings, (T, 1)."""
    factor = optimizer.lrd if isinstance(optimizer, ClippedAdam) else 1.0
    return np.asarray(optimizer.lr * factor ** (earlier + 1.0 + np.arange(steps)[:, None]))


def _judge(name: str, path: Path, noted: dict[str, Any], claim: Adam | None) -> Finding:
    moves = path.moves(path.optimizer)
    found = path.against(moves, path.lr)
    if not found.agree:
        where = found.first()
        cause, reason = "optimizer_settings", f"the recording names {noted.get('class')}"
        if str(noted.get("class") or "Adam").endswith("Adam"):  # NumPyro's too
            cause, reason = _cause(path, moves)
        return found.finding(cause, f"{name} after step {where[0]}", where, reason, "mistake")
    if claim is not None and (claim != path.optimizer or np.any(path.lr != path.lr[0])):
        return _other_than(claim, name, path)
    where = found.farthest()
    words = f"all updates of {name}, the farthest at step {where[0]}:"
    first, last = number(path.lr[0, 0]), number(path.lr[-1, 0])
    as_told = np.isclose(path.lr, path.told, rtol=1e-6, atol=0.0)[:, 0]
    if as_told.all() or noted.get("scheduler"):
        reason = "rounding of the moments"
        if first != last:
            reason += f"; the learning rate goes from {first} to {last}, as it was told to"
        return found.finding("updates", words, where, reason, "agrees")
    step = int(np.argmin(as_told))
    return Finding(
        "optimizer_settings" if first == last else "learning_rate_decay",
        f"learning rate of {name} at step {step}",
        float(path.lr[step, 0]),
        float(path.told[step, 0]),
        None,
        f"the optimizer had {first} to {last}, of which its settings do not tell",
        "mistake",
    )


def _other_than(claim: Adam, name: str, path: Path) -> Finding:
    """The updates are those of the settings, which are not those that were claimed."""
    first, last = float(path.lr[0, 0]), float(path.lr[-1, 0])
    falls = last < first
    rate = falls or first != claim.lr
    return Finding(
        "learning_rate_decay" if falls else "optimizer_settings",
        f"{'learning rate' if rate else 'settings'} of {name}"
        + (f" at step {len(path.lr) - 1}" if falls else ""),
        last if rate else None,
        claim.lr if rate else None,
        None,
        f"the updates are those of {path.optimizer}",
        "mistake",
    )


def _cause(path: Path, moves: FloatArray) -> tuple[str, str]:
    gone = path.after - path.before
    if path.is_(moves, np.zeros_like(path.lr)):
        return "optimizer_settings", "the parameter does not move"
    scale = (moves**2).sum(axis=1, keepdims=True)
    rates = (gone * moves).sum(axis=1, keepdims=True) / np.where(scale, scale, 1.0)
    overall = float((rates * scale).sum() / max(scale.sum(), 1e-300))
    if overall > 0 and path.is_(moves, np.full_like(path.lr, overall)):
        return "optimizer_settings", f"they are those with lr = {number(overall)}"
    if np.all(rates >= 0) and rates[0] > rates[-1] and path.is_(moves, rates):
        told = f"from {number(rates[0, 0])} to {number(rates[-1, 0])}"
        if moves.shape[1] > 1 or _falls(rates[:, 0]):
            return "learning_rate_decay", f"they are those with a learning rate that falls {told}"
    other: Adam | ClippedAdam
    for key, values in _OTHERS.items():
        for value in values:
            if hasattr(path.optimizer, key):
                other = replace(path.optimizer, **{key: value})
                if path.is_(path.moves(other), path.lr):
                    return "optimizer_settings", f"they are those with {key} = {value}"
    kind = Adam if isinstance(path.optimizer, ClippedAdam) else ClippedAdam
    other = kind(betas=path.optimizer.betas, eps=path.optimizer.eps)
    if path.is_(path.moves(other), path.lr):
        return "optimizer_settings", f"they are those of {kind.__name__}"
    return "optimizer_settings", "no other setting that was tried gives them"


def _falls(rates: FloatArray) -> bool:
    """Whether rates of one number a step fall as a schedule does: never up, but for rounding."""
    return bool(np.all(rates[1:] <= rates[:-1] * (1 + 1e-6)))
