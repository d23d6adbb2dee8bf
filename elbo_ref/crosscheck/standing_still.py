"""Parameters that stay where they are although the exact gradient would move them.

In a history they never move while others do. Where the last parameters are all there is, one of two
digits beside others of many is where it was set. Some elements of a vector alone may be so: those
of latents that no minibatch has had, or whose parameters a program does not pick. G latents are
expected to lack G (1 - B/G)^T that T random minibatches of B have not had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.coordinates import Coordinates
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.step_lengths import StepLengths
from elbo_ref.guides.constraints import EXP, Constraint
from elbo_ref.objectives.exact import objective_gradient

ROUNDING = 1e-9
"""Steps that rounding makes of parameters that stay where they are, as of a mean and a total."""
_FEWEST_UNMOVED = 10
"""Steps in which something moves."""
_WRITTEN, _MOVED = 2, 4
"""Digits of a start, and those that a parameter which was moved needs more than."""
_ROUNDINGS = 4
"""Units of rounding, and as many for each logarithm, of a parameter that is where it was set."""
_NO_SLOPE = 1e-3
"""Gradient below which a parameter may stay where it is."""
_FEWEST_LEFT = 2
"""Elements of a vector that are where they were set; a single one may be so by chance."""
_BY_CHANCE = 1e-4
"""Expected number of latents that have been in no minibatch, below which one is no chance."""


def detached(model: LossModel, coordinates: Coordinates, steps: StepLengths) -> list[Finding]:
    """Find parameters that never move although their gradient is not zero."""
    times, longest = steps.lengths.shape[1], steps.lengths.max(axis=1)
    moving = {_role(x) for x, most in zip(steps.names, longest, strict=True) if most > ROUNDING}
    still = [role for role in dict.fromkeys(map(_role, steps.names)) if role not in moving]
    words = dict.fromkeys(still, "never moves,")
    return _against_gradient(model, coordinates, words, steps.positive, f"{times} steps")


def where_they_were_set(
    model: LossModel, coordinates: Coordinates, stored: Collection[str]
) -> list[Finding]:
    """Find parameters of two digits, as a start is written, beside others that steps have moved."""
    values, eps = coordinates.values(model), float(np.finfo(model.dtype).eps)
    own = {
        role: values[role]
        for role in coordinates.known.values()
        if coordinates.moved[role].name in stored and role in values
    }
    if not any(_needs_digits(x, _MOVED, eps).mean() > 0.5 for x in own.values()):
        return []
    still = {
        role: f"is {float(x.flat[0]):g}, as a start is written and no step leaves it,"
        for role, x in own.items()
        if not _needs_digits(x, _WRITTEN, eps).any()
    }
    return _against_gradient(model, coordinates, still, EXP, "two digits")


def elements_left(
    model: LossModel,
    coordinates: Coordinates,
    num_losses: int,
    stored: Collection[str],
    *,
    fits: bool,
) -> list[Finding]:
    """Find elements of vectors that no step has moved, while others of the same vector have moved.

    Of a history they are equal in all of its entries; of the last parameters alone that a store
    has, equal to each other and of two digits, beside others of many. Minibatches may not have
    had their latents yet: it is a mistake where as many steps as losses or entries would have.
    """
    values, times = coordinates.values(model), model.prior.shape[1]
    eps = float(np.finfo(model.dtype).eps)
    still = {
        role: _left(values[role], eps)
        for role in coordinates.known.values()
        if role in values and (times > 1 or coordinates.moved[role].name in stored)
    }
    if not any(x.any() for x in still.values()):
        return []
    slopes, parts = _slopes(model, coordinates, times - 1, EXP), []
    for role, left in still.items():
        count = int((left & (np.abs(slopes[role]) > _NO_SLOPE)).sum())
        if count >= _FEWEST_LEFT:
            name = coordinates.moved[role].name or role
            parts.append(f"{count} of the {left.size} elements of {name}")
    if not parts:
        return []
    how = "never move" if times > 1 else "are as a start is written"
    what = f"{' and '.join(parts)} {how}: no step seems to have reached them"
    steps = max(num_losses, times - 1)
    if not fits or _not_in_a_batch(model, steps) > _BY_CHANCE:
        return [Finding("elements_left", what, status="note", of=what)]
    of_steps = (
        f"in {steps} steps of {model.batch or 1} or more of {model.counts.num_latents} latents"
    )
    return [Finding("gradient_detached", what, reason=of_steps, status="mistake")]


def _left(x: FloatArray, eps: float) -> NDArray[np.bool_]:
    """Return True for the elements, (T, G) -> (G,), that no step has moved."""
    last = x[-1]
    if x.shape[0] > 1:
        still = np.asarray((x == last).all(axis=0))
    else:
        still = ~_needs_digits(last, _WRITTEN, eps)
        common = Counter(f"{y:.1e}" for y in last[still]).most_common(1)
        still &= np.array([[f"{y:.1e}"] == [text for text, _ in common] for y in last])
    moved = _needs_digits(last[~still], _MOVED, eps)
    none = not moved.size or moved.mean() <= 0.5
    return np.zeros_like(still) if none else still


def _not_in_a_batch(model: LossModel, steps: int) -> float:
    """Return the expected number of latents that so many random minibatches do not have.

    Where nobody said their size it is 1, which is the least.
    """
    latents = model.counts.num_latents
    part = min(1.0, (model.batch or 1) / latents)
    return float(latents * (1 - part) ** steps)


def unmoved(model: LossModel, coordinates: Coordinates, steps: StepLengths) -> list[Finding]:
    """Find histories in which no parameter moves although there are gradients."""
    times = steps.lengths.shape[1]
    every = dict.fromkeys(map(_role, steps.names), "")
    if times < _FEWEST_UNMOVED or not _against_gradient(model, coordinates, every, EXP, ""):
        return []
    what = f"no parameter moves in {times} steps, against the exact gradient"
    if not _is_a_start(model):
        return [Finding("stands_still", what, status="note")]
    reason = "they are as a start is written: is the store cleared or all made anew in every step, "
    reason += "is the state that svi.update returns not kept, or is the learning rate 0"
    return [Finding("parameters_reset", what, reason=reason, status="mistake")]


def _is_a_start(model: LossModel) -> bool:
    """Tell whether every parameter has two digits, as a start is written."""
    eps = float(np.finfo(model.dtype).eps)
    values = [model.guide_parameters[:, -1]] + [model.prior[:, -1]] * (not model.prior_held)
    return not any(_needs_digits(x, _WRITTEN, eps).any() for x in values)


def of_a_start(model: LossModel) -> list[Finding]:
    """Note that all parameters may be those of a start."""
    if not _is_a_start(model):
        return []
    what = "all parameters have two digits, as a start is written: are they of the run's end"
    return [Finding("start", what, status="note")]


def _needs_digits(x: FloatArray, digits: int, eps: float) -> NDArray[np.bool_]:
    """Return True where a number is none of so many digits, but for rounding by its constraint."""
    size = np.maximum(np.abs(x), 1e-300)
    unit = 10.0 ** (np.floor(np.log10(size)) - digits + 1)
    off = np.abs(x - np.round(x / unit) * unit)
    return np.asarray(off > _ROUNDINGS * eps * size * (1 + np.abs(np.log(size))))


def _against_gradient(
    model: LossModel,
    coordinates: Coordinates,
    still: Mapping[str, str],
    positive: Constraint,
    reason: str,
) -> list[Finding]:
    """Name the roles that stand still, each in words, although their gradient is not zero."""
    slopes: dict[str, float] = {}
    for t in (0, model.prior.shape[1] - 1) if still else ():
        found = _slopes(model, coordinates, t, positive)
        for role in still:
            slopes[role] = max(slopes.get(role, 0.0), *map(float, found[role]), key=abs)
    against = "against the exact gradient for its unconstrained value"
    return [
        Finding(
            "gradient_detached",
            f"{role} {still[role]} {against}",
            0.0,
            slope,
            _NO_SLOPE,
            reason,
            "mistake",
        )
        for role, slope in slopes.items()
        if abs(slope) > _NO_SLOPE
    ]


def _slopes(
    model: LossModel, coordinates: Coordinates, t: int, positive: Constraint
) -> dict[str, FloatArray]:
    """Exact gradient with respect to the free coordinate of each role, at one step."""
    prior, params = model.prior[:, t], model.guide_parameters[:, t]
    exact = objective_gradient(model.task(), prior, params)
    return coordinates.gradient(model, t, positive, exact)


def _role(name: str) -> str:
    return name.partition("[")[0]
