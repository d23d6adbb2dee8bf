"""Properties of an optimizer that a history of parameters shows, without any gradient.

Adam's first step has the length of the learning rate in every unconstrained coordinate, whatever
the gradient (Kingma & Ba 2015, section 2.1), no later one is longer than
lr (1 - beta1)/sqrt(1 - beta2), and none that takes back a step of that length at once is as long
again. Each goes on, by beta1 of it, where the one before went: entries of a history that are
farther apart and do not so have several steps between them. A parameter that never moves, while its
exact gradient is not zero and others move, is detached. And with a constant learning rate the steps
have the length that Adam makes of gradients drawn at the same parameters. All of it is in the
coordinates that the optimizer moves (`elbo_ref.crosscheck.coordinates`). Where the last parameters
are all there is, one of two digits beside others of many is where it was set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.coordinates import Coordinates
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.guides.constraints import EXP, SOFTPLUS, Constraint
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import objective_gradient
from elbo_ref.svi.optimizers import Adam, ClippedAdam, rate_after

_TRIES, _FEWEST, _MOST_WORK, _MOST_COLUMNS = 4, 40, 300_000, 50
"""Runs, steps and terms of the check for a decay; coordinates of a parameter."""
_ALIKE = 1e-2
"""Relative difference of steps that are equally long."""
_WHOLE, _REVERSALS = 1e-3, 3
"""Relative difference of a step from the learning rate, and reversals that Adam does not make."""
_AT_ONCE = 0.9
"""A first step shorter than this part of the learning rate is not that of a decay which begins."""
_SHORT = 0.25
"""Late steps shorter than this part of our own shortest are those of a decayed learning rate."""
_STILL = 1e-3
"""A first step shorter than this part of the longest is that of a gradient of zero."""
_GOES_ON, _FEW = 0.2, 12
"""What is left of beta1 at least in consecutive steps of a run, and steps that do not tell it."""
_FEWEST_UNMOVED = 10
"""Steps in which something moves."""
_ROUNDING = 1e-9
"""Steps that rounding makes of parameters that stay where they are, as of a mean and a total."""
_WRITTEN, _MOVED = 2, 4
"""Digits of a start, and those that a parameter which was moved needs more than."""
_ROUNDINGS = 4
"""Units of rounding, and as many for each logarithm, of a parameter that is where it was set."""
_NO_SLOPE = 1e-3
"""Gradient below which a parameter may stay where it is."""


class StepLengths(NamedTuple):
    """Steps in free coordinates, and their lengths.

    Attributes
    ----------
    names : tuple of str
        Roles of the n coordinates, with the latent where there are several.
    signed : ndarray of shape (n, T)
    positive : Constraint
        The map by which parameters are taken to be held positive, where nothing says it.
    """

    names: tuple[str, ...]
    signed: FloatArray
    positive: Constraint

    @classmethod
    def between(
        cls, model: LossModel, coordinates: Coordinates, positive: Constraint
    ) -> StepLengths:
        """Measure the steps between the columns of a model."""
        rows = _by_latent(coordinates.free(model, positive))
        signed = np.array([np.diff(row) for row in rows.values()])
        return cls(tuple(rows), signed, positive)

    @property
    def lengths(self) -> FloatArray:
        """Lengths of the steps, (n, T)."""
        return np.abs(self.signed)

    def reversals(self, rate: float) -> int:
        """Count the times that a coordinate goes back at once by all of the learning rate."""
        whole = np.abs(self.lengths / rate - 1) <= _WHOLE
        back = self.signed[:, 1:] * self.signed[:, :-1] < 0
        return int(np.sum(whole[:, 1:] & whole[:, :-1] & back))

    @property
    def goes_on(self) -> float:
        """Part of a step in the next, of late steps about their mean; 1 where these are few."""
        late = self.signed[:, self.signed.shape[1] // 2 :]
        if late.shape[1] < _FEW:
            return 1.0
        away = late - late.mean(axis=1, keepdims=True)
        before = float((away[:, :-1] ** 2).sum())
        return float((away[:, 1:] * away[:, :-1]).sum()) / before if before > 0 else 1.0

    @property
    def first(self) -> FloatArray:
        """First steps of the coordinates that move; a gradient of zero makes none."""
        first = self.lengths[:, 0]
        return np.asarray(first[first > _STILL * first.max()])

    def begin_with(self, rate: float) -> bool:
        """Return True if most first steps have a length."""
        return bool(np.mean(np.abs(self.first / rate - 1) <= _ALIKE) > 0.5)

    @property
    def rate(self) -> float | None:
        """The learning rate if the first step is Adam's: equally long in most coordinates."""
        typical = float(np.median(self.first)) if self.first.size > 1 else 0.0
        return typical if typical > 0 and self.begin_with(typical) else None


def step_findings(
    model: LossModel,
    coordinates: Coordinates,
    optimizer: Adam | ClippedAdam | None,
    *,
    from_start: bool,
    fits: bool,
    stored: Collection[str] = (),
) -> list[Finding]:
    """Compare the steps between the columns of a model with those of an optimizer.

    `from_start` says that the first of them is certainly the run's first, `fits` that nothing is
    wrong with the model, whose gradients then tell a decay. Without an optimizer nothing is said of
    rates. What a history has and cannot be compared is said to be untested. Where there is none, a
    parameter that a store says to be one, `stored`, may still be where it was set.
    """
    if model.prior.shape[1] == 1:
        return _where_they_were_set(model, coordinates, stored) if fits else _of_a_start(model)
    if model.prior.shape[1] < 3:
        return []
    untested = _untested(coordinates)
    if not coordinates.known:
        return untested
    steps = _in_likelier_coordinates(model, coordinates, optimizer)
    if not (steps.lengths > _ROUNDING).any():
        return _unmoved(model, coordinates, steps) + untested
    detached, rate = _detached(model, coordinates, steps), steps.rate
    if optimizer is None:
        return detached + untested
    settings = _settings(steps, optimizer, from_start)
    if detached:
        return detached + settings + untested
    adam = replace(optimizer, lr=rate or optimizer.lr)
    decay = _decay(model, coordinates, steps, adam) if fits else []
    if not any(finding.status == "mistake" for finding in settings):
        return settings + decay + untested
    at_once = _AT_ONCE <= (rate or 0.0) / optimizer.lr <= 1
    return (decay if decay and at_once else settings) + untested


def _by_latent(coordinates: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Take the coordinates of each role apart, (..., 1 or G), by latent."""
    return {
        f"{role}[{g}]" if values.shape[-1] > 1 else role: values[..., g]
        for role, values in coordinates.items()
        for g in range(min(values.shape[-1], _MOST_COLUMNS))
    }


def _untested(coordinates: Coordinates) -> list[Finding]:
    """Say of which roles the steps cannot be compared."""
    if not coordinates.unknown:
        return []
    what = f"the steps of {', '.join(coordinates.unknown)} (which parameter moves is not known)"
    return [Finding("untested", what, status="untested")]


def _in_likelier_coordinates(
    model: LossModel, coordinates: Coordinates, optimizer: Adam | ClippedAdam | None
) -> StepLengths:
    """Measure steps of logarithms or, if it makes the first alike, of inverses of softplus."""
    soft = StepLengths.between(model, coordinates, SOFTPLUS)
    if soft.rate is not None and (optimizer is None or soft.begin_with(optimizer.lr)):
        return soft
    return StepLengths.between(model, coordinates, EXP)


def _detached(model: LossModel, coordinates: Coordinates, steps: StepLengths) -> list[Finding]:
    """Find parameters that never move although their gradient is not zero."""
    times, longest = steps.lengths.shape[1], steps.lengths.max(axis=1)
    moving = {_role(x) for x, most in zip(steps.names, longest, strict=True) if most > _ROUNDING}
    still = [role for role in dict.fromkeys(map(_role, steps.names)) if role not in moving]
    words = dict.fromkeys(still, "never moves,")
    return _against_gradient(model, coordinates, words, steps.positive, f"{times} steps")


def _where_they_were_set(
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


def _unmoved(model: LossModel, coordinates: Coordinates, steps: StepLengths) -> list[Finding]:
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


def _of_a_start(model: LossModel) -> list[Finding]:
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
        prior, params = model.prior[:, t], model.guide_parameters[:, t]
        exact = objective_gradient(model.task(), prior, params)
        found = coordinates.gradient(model, t, positive, exact)
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


def _role(name: str) -> str:
    return name.partition("[")[0]


def _settings(steps: StepLengths, optimizer: Adam | ClippedAdam, from_start: bool) -> list[Finding]:
    """Compare the first step, or the longest, with those of the optimizer."""
    name, reason, lr = "optimizer_settings", "Adam's first step", rate_after(optimizer, 1)
    rate, first, allowance = steps.rate, steps.first, _ALIKE * lr
    beta1, beta2 = optimizer.betas
    longest, theirs = lr * max(1.0, (1 - beta1) / np.sqrt(1 - beta2)), float(steps.lengths.max())
    too_long = theirs > longest * (1 + 1e-3)
    if too_long and not from_start and steps.goes_on < beta1 - _GOES_ON:
        what = f"at least {int(np.ceil(theirs / longest))} steps of Adam lie between two entries of"
        what += " the history, which shows no single one; or it has another optimizer"
        return [Finding("thinned_history", what, status="note")]
    if steps.reversals(rate or lr) >= _REVERSALS:
        what = "steps back and forth, each as long as the learning rate"
        reason = "Adam remembers earlier gradients: was it made anew in every step?"
        return [Finding(name, what, reason=reason, status="mistake")]
    if rate is not None:
        what = "length of the first step, which is Adam's learning rate"
        if abs(rate - lr) <= allowance:
            return [Finding("first_step", what, rate, lr, allowance, reason, "agrees")]
        return [Finding(name, what, rate, lr, allowance, reason, "mistake")]
    some = np.any(np.abs(first / lr - 1) <= _ALIKE)  # others may be held in an interval
    if from_start and first.size > 1 and not some:
        what = "the first step is not equally long in all coordinates"
        return [Finding(name, what, float(np.median(first)), lr, allowance, reason, "mistake")]
    if too_long:
        reason = "Adam's steps are at most as long"
        return [Finding(name, "the longest step", theirs, longest, 0.0, reason, "mistake")]
    return []


def _decay(
    model: LossModel, coordinates: Coordinates, steps: StepLengths, adam: Adam | ClippedAdam
) -> list[Finding]:
    """Compare late steps with those of Adam at a constant learning rate along the same path."""
    times = steps.lengths.shape[1]
    work = times * len(model.counts) * model.num_particles
    if not coordinates.of_prior or times < _FEWEST or work > _MOST_WORK or model.batch is not None:
        return []

    def typical(lengths: FloatArray) -> float:
        return float(np.sqrt(np.mean(lengths[:, -(times // 4) :] ** 2)))

    theirs = typical(steps.lengths)
    lowest = min(
        typical(_along_the_path(model, coordinates, steps, adam, np.random.default_rng(seed)))
        for seed in range(_TRIES)
    )
    if theirs >= _SHORT * lowest:
        return []
    what = "typical length of the steps in the last quarter of the run"
    reason = f"the shortest of {_TRIES} tries with a constant rate along the same path"
    reason += "; if a scheduler is meant to lower it, hand in no rate, or another optimizer"
    allowance = lowest * (1 - _SHORT)
    return [Finding("learning_rate_decay", what, theirs, lowest, allowance, reason, "mistake")]


def _along_the_path(
    model: LossModel,
    coordinates: Coordinates,
    steps: StepLengths,
    adam: Adam | ClippedAdam,
    rng: np.random.Generator,
) -> FloatArray:
    """Lengths of the steps that Adam makes of gradients drawn at the parameters of a history."""
    task = Task(model.loss.adapted(model.guide), model.counts)
    lengths, state = [], None
    for t in range(steps.lengths.shape[1]):
        prior, params = model.prior[:, t], model.guide_parameters[:, t]
        step = model.loss.step(task, prior, params, model.num_particles, rng)
        drawn = coordinates.gradient(model, t, steps.positive, (step.prior, step.params))
        gradient = np.array([float(x) for x in _by_latent(drawn).values()])
        origin = np.zeros_like(gradient)
        moved, state = adam.update(state or adam.init(origin), origin, -gradient)
        lengths.append(np.abs(moved))
    return np.transpose(lengths)
