"""What a history of parameters says of the optimizer that made it, without any gradient.

Adam's first step has the length of the learning rate in every unconstrained coordinate, whatever
the gradient (Kingma & Ba 2015, section 2.1), and no later one is longer than
lr (1 - beta1)/sqrt(1 - beta2). A concentration that never moves, while its exact gradient is not
zero and others move, is detached. And the steps of a run with a constant learning rate keep the
length that our own runs from the same start have there.
"""

from __future__ import annotations

import numpy as np

from elbo_ref.adam import Adam
from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta
from elbo_ref.coordinates import NAMES, Learned
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.laws import Story
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import LossValue
from elbo_ref.objectives.exact import objective_value
from elbo_ref.objectives.protocol import Task
from elbo_ref.svi import maximize_elbo

_RUNS, _MOST_WORK = 4, 300_000
_SHORT = 0.25
"""Late steps shorter than this part of our own shortest are those of a decayed learning rate."""


def step_findings(story: Story, learned: Learned, optimizer: Adam | None) -> list[Finding]:
    """What the steps between the columns of a story show."""
    if story.prior.shape[1] < 3:
        return []
    rows = _moving_rows(story, learned)
    lengths = np.array([np.abs(np.diff(row)) for row in rows.values()])
    if not lengths.any():
        return []
    found = _detached(story, rows, lengths)
    rate = _first_rate(lengths)
    if optimizer is not None:
        found += _settings(lengths, rate, optimizer)
    if not found and (rate is not None or optimizer is not None):
        found += _decay(story, learned, lengths, rate or optimizer.lr)  # type: ignore[union-attr]
    return found


def _moving_rows(story: Story, learned: Learned) -> dict[str, FloatArray]:
    """Unconstrained coordinates of everything learnable, by name, (T,) each."""
    guide = GUIDES[story.guide]
    rows = {
        f"prior.{name}": np.log(story.prior[i, :, 0])
        for i, name in enumerate(NAMES)
        if learned in (True, name)
    }
    if len(story.own):
        loose = guide.unconstrain(story.own)
        for name, row in zip(guide.parameter_names, loose, strict=True):
            for g in range(min(row.shape[1], 50)):
                rows[f"guide.{name}" + (f"[{g}]" if row.shape[1] > 1 else "")] = row[:, g]
    return rows


def _detached(story: Story, rows: dict[str, FloatArray], lengths: FloatArray) -> list[Finding]:
    """Parameters of the prior that never move although their gradient is not zero."""
    task = Task(story.loss.adapted(GUIDES[story.guide]), story.counts)
    prior, own = story.prior[:, 0, 0], story.own[:, 0]
    found = []
    for i, name in enumerate(NAMES):
        row = list(rows).index(f"prior.{name}") if f"prior.{name}" in rows else None
        if row is None or lengths[row].any():
            continue
        ends = []
        for shift in (1e-4, -1e-4):
            moved = prior.copy()
            moved[i] *= np.exp(shift)
            ends.append(objective_value(task, Beta(*map(float, moved)), own))
        slope = (ends[0] - ends[1]) / 2e-4
        if abs(slope) > 1e-3:
            what = f"prior.{name} never moves; the exact gradient of its logarithm is"
            reason = f"{lengths.shape[1]} steps"
            found.append(Finding("gradient_detached", what, 0.0, slope, 1e-3, reason, "mistake"))
    return found


def _first_rate(lengths: FloatArray) -> float | None:
    """The learning rate, if the first step is Adam's: equally long in every coordinate."""
    first = lengths[:, 0][lengths.any(axis=1)]
    typical = float(np.median(first))
    if first.size < 2 or typical == 0 or np.abs(first / typical - 1).max() > 1e-2:
        return None
    return typical


def _settings(lengths: FloatArray, rate: float | None, optimizer: Adam) -> list[Finding]:
    beta1, beta2 = optimizer.betas
    longest = optimizer.lr * max(1.0, (1 - beta1) / np.sqrt(1 - beta2))
    name = "optimizer_settings"
    if rate is not None:
        what, allowance = "length of the first step, Adam's learning rate,", 1e-2 * optimizer.lr
        reason = "Adam's first step"
        if abs(rate - optimizer.lr) <= allowance:
            return [Finding("first_step", what, rate, optimizer.lr, allowance, reason, "agrees")]
        return [Finding(name, what, rate, optimizer.lr, allowance, reason, "mistake")]
    if lengths.max() > longest * (1 + 1e-3):
        what = "the longest step"
        reason = "Adam's bound: at most"
        return [Finding(name, what, float(lengths.max()), longest, 0.0, reason, "mistake")]
    return []


def _decay(story: Story, learned: Learned, lengths: FloatArray, rate: float) -> list[Finding]:
    """Late steps against those of our own runs with a constant learning rate."""
    steps = lengths.shape[1]
    if not learned or steps < 40 or steps * len(story.counts) * story.num_particles > _MOST_WORK:
        return []
    if story.batch is not None:
        return []
    late = slice(-(steps // 4), None)

    def typical(paths: FloatArray) -> float:
        return float(np.sqrt(np.mean(paths[:, late] ** 2)))

    guide = GUIDES[story.guide]
    start = Beta(*map(float, story.prior[:, 0, 0]))
    ours = []
    for seed in range(_RUNS):
        run = maximize_elbo(
            story.counts,
            guide=story.guide
            if guide.shared
            else guide.value(start, story.own[:, 0]) or story.guide,
            loss=story.loss if isinstance(story.loss, LossValue) else story.loss.name,
            prior=start,
            learn_prior=learned,
            optimizer=Adam(lr=rate),
            num_steps=steps,
            num_particles=story.num_particles,
            rng=seed,
        )
        a, b = run.history.prior.arrays()
        ours.append(typical(np.abs(np.diff(np.log(np.array((a, b)))))))
    theirs = typical(lengths[:2] if learned is True else lengths[:1])
    lowest = min(ours)
    if theirs >= _SHORT * lowest:
        return []
    what = "typical length of the prior's steps in the last quarter of the run"
    reason = f"the shortest of {_RUNS} runs of ours with a constant learning rate"
    return [
        Finding(
            "learning_rate_decay", what, theirs, lowest, lowest * (1 - _SHORT), reason, "mistake"
        )
    ]
