"""What a history of parameters says of the optimizer that made it, without any gradient.

Adam's first step has the length of the learning rate in every unconstrained coordinate, whatever
the gradient (Kingma & Ba 2015, section 2.1), and no later one is longer than
lr (1 - beta1)/sqrt(1 - beta2). A concentration that never moves, while its exact gradient is not
zero and others move, is detached. And with a constant learning rate the steps have the length that
Adam makes of gradients drawn at the same parameters.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import Story
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GUIDES
from elbo_ref.guides.constraints import EXP, SOFTPLUS, Constraint
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import objective_value
from elbo_ref.optim import Adam, rate_after
from elbo_ref.svi.parameters import NAMES, Learned

_TRIES, _FEWEST, _MOST_WORK, _MOST_COLUMNS = 4, 40, 300_000, 50
_ALIKE = 1e-2
_AT_ONCE = 0.9
"""A first step shorter than this part of the learning rate is not that of a decay which begins."""
_SHORT = 0.25
"""Late steps shorter than this part of our own shortest are those of a decayed learning rate."""
_STILL = 1e-3
"""A first step shorter than this part of the longest is that of a gradient of zero."""


def step_findings(
    story: Story, learned: Learned, optimizer: Adam | None, from_start: bool
) -> list[Finding]:
    """What the steps between the columns of a story show.

    `from_start` says that the first of them is certainly the run's first.
    """
    if story.prior.shape[1] < 3:
        return []
    rows, lengths, positive = _rows_and_lengths(story, learned, optimizer)
    if not lengths.any():
        return []
    found = _detached(story, rows, lengths)
    rate = _first_rate(lengths)
    settings = _settings(lengths, rate, optimizer, from_start) if optimizer else []
    if found or (rate is None and optimizer is None):
        return found + settings
    adam = replace(optimizer, lr=rate or optimizer.lr) if optimizer else Adam(lr=rate or 0.0)
    decay = _decay(story, learned, lengths, positive, adam)
    wrong = any(finding.status == "mistake" for finding in settings)
    at_once = optimizer is not None and _AT_ONCE <= (rate or 0.0) / optimizer.lr <= 1
    if wrong and decay and at_once:
        return decay
    return settings if wrong else settings + decay


def _rows_and_lengths(
    story: Story, learned: Learned, optimizer: Adam | None
) -> tuple[tuple[str, ...], FloatArray, Constraint]:
    """Names of all learnable coordinates, the lengths of their steps, (rows, T - 1), and which.

    Concentrations are taken to be held positive by exp, or by softplus if that makes the first
    steps alike.
    """
    for positive in (SOFTPLUS, EXP):
        rows = _coordinates(story, learned, positive)
        lengths = np.array([np.abs(np.diff(row)) for row in rows.values()])
        if _first_rate(lengths) is not None and (
            optimizer is None or _alike(lengths, optimizer.lr)
        ):
            break
    return tuple(rows), lengths, positive


def _coordinates(story: Story, learned: Learned, positive: Constraint) -> dict[str, FloatArray]:
    """Unconstrained coordinates of everything learnable, by name, (T,) each."""
    guide = GUIDES[story.guide].under(positive)
    rows = {
        f"prior.{name}": positive.unconstrain(story.prior[i, :, 0])
        for i, name in enumerate(NAMES)
        if learned in (True, name)
    }
    if len(story.own):
        loose = guide.unconstrain(story.own)
        for name, row in zip(guide.parameter_names, loose, strict=True):
            for g in range(min(row.shape[1], _MOST_COLUMNS)):
                rows[f"guide.{name}" + (f"[{g}]" if row.shape[1] > 1 else "")] = row[:, g]
    return rows


def _detached(story: Story, rows: tuple[str, ...], lengths: FloatArray) -> list[Finding]:
    """Parameters of the prior that never move although their gradient is not zero."""
    found = []
    for i, name in enumerate(NAMES):
        row = rows.index(f"prior.{name}") if f"prior.{name}" in rows else None
        if row is None or lengths[row].any():
            continue
        slope = max((_slope(story, i, t) for t in (0, lengths.shape[1])), key=abs)
        if abs(slope) > 1e-3:
            what = f"prior.{name} never moves; the exact gradient of its logarithm is"
            reason = f"{lengths.shape[1]} steps"
            found.append(Finding("gradient_detached", what, 0.0, slope, 1e-3, reason, "mistake"))
    return found


def _slope(story: Story, row: int, step: int) -> float:
    """The exact derivative of the objective by the logarithm of a concentration of the prior."""
    task = Task(story.loss.adapted(GUIDES[story.guide]), story.counts)
    prior, ends = story.prior[:, step, 0], []
    for shift in (1e-4, -1e-4):
        moved = prior.copy()
        moved[row] *= np.exp(shift)
        ends.append(objective_value(task, Beta(*map(float, moved)), story.own[:, step]))
    return (ends[0] - ends[1]) / 2e-4


def _first_rate(lengths: FloatArray) -> float | None:
    """The learning rate, if the first step is Adam's: equally long in nearly every coordinate."""
    first = _first(lengths)
    typical = float(np.median(first)) if first.size > 1 else 0.0
    return typical if typical > 0 and _alike(lengths, typical) else None


def _first(lengths: FloatArray) -> FloatArray:
    """The first steps of what moves; a gradient of zero makes none."""
    first: FloatArray = lengths[:, 0]
    moving: FloatArray = first[first > _STILL * first.max()]
    return moving


def _alike(lengths: FloatArray, rate: float) -> bool:
    """Whether most first steps have a length."""
    first = _first(lengths)
    return bool(np.mean(np.abs(first / rate - 1) <= _ALIKE) > 0.5)


def _settings(
    lengths: FloatArray, rate: float | None, optimizer: Adam, from_start: bool
) -> list[Finding]:
    name, reason, lr = "optimizer_settings", "Adam's first step", rate_after(optimizer, 1)
    if rate is not None:
        what, allowance = "length of the first step, Adam's learning rate,", _ALIKE * lr
        if abs(rate - lr) <= allowance:
            return [Finding("first_step", what, rate, lr, allowance, reason, "agrees")]
        return [Finding(name, what, rate, lr, allowance, reason, "mistake")]
    first = _first(lengths)
    if from_start and first.size > 1:
        what, typical = "the first step is not equally long in all coordinates;", np.median(first)
        return [Finding(name, what, float(typical), lr, _ALIKE * lr, reason, "mistake")]
    beta1, beta2 = optimizer.betas
    longest = lr * max(1.0, (1 - beta1) / np.sqrt(1 - beta2))
    if lengths.max() > longest * (1 + 1e-3):
        what, theirs = "the longest step", float(lengths.max())
        return [Finding(name, what, theirs, longest, 0.0, "Adam's bound: at most", "mistake")]
    return []


def _decay(
    story: Story, learned: Learned, lengths: FloatArray, positive: Constraint, adam: Adam
) -> list[Finding]:
    """Late steps against those of Adam with a constant learning rate along the same path."""
    steps = lengths.shape[1]
    work = steps * len(story.counts) * story.num_particles
    if not learned or steps < _FEWEST or work > _MOST_WORK or story.batch is not None:
        return []
    late = slice(-(steps // 4), None)

    def typical(paths: FloatArray) -> float:
        return float(np.sqrt(np.mean(paths[:, late] ** 2)))

    theirs = typical(lengths)
    lowest = min(
        typical(_along_the_path(story, learned, steps, positive, adam, np.random.default_rng(seed)))
        for seed in range(_TRIES)
    )
    if theirs >= _SHORT * lowest:
        return []
    what = "typical length of the steps in the last quarter of the run"
    reason = f"the shortest of {_TRIES} tries with a constant rate along the same path"
    allowance = lowest * (1 - _SHORT)
    return [Finding("learning_rate_decay", what, theirs, lowest, allowance, reason, "mistake")]


def _along_the_path(
    story: Story,
    learned: Learned,
    steps: int,
    positive: Constraint,
    adam: Adam,
    rng: np.random.Generator,
) -> FloatArray:
    """Lengths of the steps that Adam makes of gradients drawn at somebody's own parameters."""
    task = Task(story.loss.adapted(GUIDES[story.guide].under(positive)), story.counts)
    rows = [i for i, name in enumerate(NAMES) if learned in (True, name)]
    lengths, state = [], None
    for t in range(steps):
        prior, own = story.prior[:, t], story.own[:, t]
        step = story.loss.step(task, prior, own, story.num_particles, rng)
        by_prior = (step.prior * positive.slope(prior[:, 0]))[rows]
        by_own = (step.own * task.guide.slope(own))[:, :_MOST_COLUMNS]
        gradient = np.concatenate([by_prior, by_own.ravel()])
        origin = np.zeros_like(gradient)
        moved, state = adam.update(state or adam.init(origin), origin, -gradient)
        lengths.append(np.abs(moved))
    return np.transpose(lengths)
