"""Properties of an optimizer that a history of parameters shows, without any gradient.

Adam's first step has the length of the learning rate in every unconstrained coordinate, whatever
the gradient (Kingma & Ba 2015, section 2.1), no later one is longer than
lr (1 - beta1)/sqrt(1 - beta2), and none that takes back a step of that length at once is as long
again. Each goes on, by beta1 of it, where the one before went: entries of a history that are
farther apart and do not so have several steps between them. And with a constant learning rate the
steps have the length that Adam makes of gradients drawn at the same parameters. All of it is in the
coordinates that the optimizer moves (`elbo_ref.crosscheck.coordinates`); of parameters that stay
where they are `elbo_ref.crosscheck.standing_still` tells.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.coordinates import Coordinates
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.standing_still import (
    ROUNDING,
    detached,
    elements_left,
    of_a_start,
    unmoved,
    where_they_were_set,
)
from elbo_ref.crosscheck.step_lengths import StepLengths, by_latent
from elbo_ref.guides.constraints import EXP, SOFTPLUS
from elbo_ref.objectives.base import Task
from elbo_ref.svi.optimizers import Adam, ClippedAdam, rate_after

_TRIES, _FEWEST, _MOST_WORK = 4, 40, 300_000
"""Runs, steps and terms of the check for a decay."""
_ALIKE = 1e-2
"""Relative difference of steps that are equally long."""
_REVERSALS = 3
"""Reversals that Adam does not make."""
_AT_ONCE = 0.9
"""A first step shorter than this part of the learning rate is not that of a decay which begins."""
_SHORT = 0.25
"""Late steps shorter than this part of our own shortest are those of a decayed learning rate."""
_GOES_ON = 0.2
"""What is left of beta1 at least in consecutive steps of a run."""


def step_findings(
    model: LossModel,
    coordinates: Coordinates,
    optimizer: Adam | ClippedAdam | None,
    *,
    num_losses: int,
    fits: bool,
    stored: Collection[str] = (),
) -> list[Finding]:
    """Compare the steps between the columns of a model with those of an optimizer.

    With as many losses as steps the first of them is certainly the run's first; `fits` says that
    nothing is wrong with the model, whose gradients then tell a decay. Without an optimizer nothing
    is said of rates. What a history has and cannot be compared is said to be untested. Where there
    is none, a parameter that a store says to be one, `stored`, may still be where it was set.
    """
    times = model.prior.shape[1]
    if times == 2:
        return []
    if times > 2:
        from_start = num_losses == times - 1
        found = _of_history(model, coordinates, optimizer, from_start=from_start, fits=fits)
    else:
        found = where_they_were_set(model, coordinates, stored) if fits else of_a_start(model)
    return found + elements_left(model, coordinates, num_losses, stored, fits=fits)


def _of_history(
    model: LossModel,
    coordinates: Coordinates,
    optimizer: Adam | ClippedAdam | None,
    *,
    from_start: bool,
    fits: bool,
) -> list[Finding]:
    """Compare the steps of three entries or more."""
    untested = _untested(coordinates)
    if not coordinates.known:
        return untested
    steps = _in_likelier_coordinates(model, coordinates, optimizer)
    if not (steps.lengths > ROUNDING).any():
        return unmoved(model, coordinates, steps) + untested
    still, rate = detached(model, coordinates, steps), steps.rate
    if optimizer is None:
        return still + untested
    settings = _settings(steps, optimizer, from_start)
    if still:
        return still + settings + untested
    adam = replace(optimizer, lr=rate or optimizer.lr)
    decay = _decay(model, coordinates, steps, adam) if fits else []
    if not any(finding.status == "mistake" for finding in settings):
        return settings + decay + untested
    at_once = _AT_ONCE <= (rate or 0.0) / optimizer.lr <= 1
    return (decay if decay and at_once else settings) + untested


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
    what = "the learning rate (by the run's first step, which this history does not show)"
    return [Finding("untested", what, status="untested")]


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
        with np.errstate(all="ignore"):
            step = model.loss.step(task, prior, params, model.num_particles, rng)
        drawn = coordinates.gradient(model, t, steps.positive, (step.prior, step.params))
        gradient = np.array([float(x) for x in by_latent(drawn).values()])
        origin = np.zeros_like(gradient)
        moved, state = adam.update(state or adam.init(origin), origin, -gradient)
        lengths.append(np.abs(moved))
    return np.transpose(lengths)
