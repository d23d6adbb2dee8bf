r"""Spread of a run's last losses beside that of a loss at its final parameters.

Where one set of parameters is known, only the last loss belongs to it. But those before it were
made a few steps away, and differences of neighbours do not feel that the objective drifts: half of
their mean square over the variance at the end is a ratio r near 1. It is not 1: the parameters move
on, and near a maximum, where the variance is that of a small departure from it, the more so the
fewer latents there are. Over runs of every guide with Adam at 0.1 and 0.03, of 30 to 300 steps,
still moving or not, log r has about a normal distribution of variance 0.07 + 1.6 / (G + 0.6) below
zero, and of twice that deviation above, where earlier steps are noisier; at G = 1 and of a guide
that is the prior, r has no bound above.

Losses that are running means of others vary too little as well, and neighbours are alike: their
second differences are much smaller than those of losses eight steps apart, which are alike for
noise, whatever its distribution and however the objective moves.

Evaluations, where they are given, vary too little as well if the model is at fault: the two
p-values are joined by Fisher's method. The rate of false alarms is 1e-3.
"""

from __future__ import annotations

import numpy as np
from scipy import special as sc

from elbo_ref._format.numbers import number, p_value
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.alignment import AlignedLosses
from elbo_ref.crosscheck.distribution import (
    loss_distribution,
    rough_distribution,
    sampled_distribution,
)
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.model_test import MANY

_LEVEL = 1e-3
"""Rate of false alarms."""
_SUGGESTIVE = 0.1
"""p-value of losses, and of evaluations, from which on neither says anything beside the other."""
_LATE, _LATEST = 40, 10
"""Differences that are taken for too little spread, and at most for too much."""
_DRAWS = 200_000
"""Draws of c among which evaluations have their ranks."""
_MOST_PARTICLES = 1000
"""Particles of which hardly any run has more."""
_FEWEST = 60
"""Losses below which nothing is said."""
_SMOOTH, _FEWEST_SMOOTH, _APART = 0.35, 100, 8
"""Ratio of mean squared second differences that noise has once in 10,000 times, of so many losses,
and the steps between those compared."""
_REPEATED = "one number: the seed, or the state, was the same in every step"


def spread_findings(
    model: LossModel, losses: FloatArray, aligned: AlignedLosses | None, *, said: bool
) -> list[Finding]:
    """Find losses of a run that vary far too little, or too much, for its final parameters.

    If the number of particles was not `said`, the spread of a usual one is no mistake but a note.
    """
    variance = float(rough_distribution(model, np.random.default_rng(0))[0].variance[-1])
    if losses.size < _FEWEST or not variance > 1e-12 * (1 + float(np.abs(losses[-1])) ** 2):
        return []
    squares = np.diff(losses) ** 2 / 2
    little = float(squares[-_LATE:].mean())
    much = min(float(squares[-size:].mean()) for size in (_LATEST, _LATE))
    deviation = np.sqrt(0.07 + 1.6 / (model.counts.num_latents + 0.6))
    p_little = float(sc.ndtr(np.log(max(little / variance, 1e-300)) / deviation))
    p_evaluations = None if aligned is None else p_of_evaluations(aligned)
    if p_evaluations is not None and max(p_little, p_evaluations) < _SUGGESTIVE:
        product = max(p_little * p_evaluations, 1e-300)
        p_little = product * (1 - np.log(product))
    p_much = float(sc.ndtr(-np.log(max(much / variance, 1e-300)) / (2 * deviation)))
    if model.guide.origin == "prior" or model.counts.num_latents == 1:
        p_much = 1.0
    p = 2 * min(p_little, p_much)
    if p >= _LEVEL:
        return []
    spread = little if p_little < p_much else much
    what = f"standard deviation of the last {_LATE} losses, by the differences of neighbours"
    particles = model.num_particles * variance / spread if spread else np.inf
    as_of = f"as of {number(particles)} particles" if spread else _REPEATED
    smooth = p_little < p_much and is_smooth(losses)
    as_of += " or of means over several steps, as neighbours are alike" * smooth
    as_of += " or of means over the steps of an epoch" * (epochs := model.batch is not None)
    rivals = ("smoothed_losses",) if smooth or (epochs and p_little < p_much) else ()
    finding = Finding(
        "loss_mismatch",
        what,
        float(np.sqrt(spread)),
        float(np.sqrt(variance)),
        reason=f"{p_value(p)}; {as_of}",
        status="mistake",
        rivals=(*rivals, "wrong_num_particles") if 0.5 <= particles <= _MOST_PARTICLES else rivals,
    )
    if said or not 1.5 <= particles <= _MOST_PARTICLES:
        return [finding]
    what += (
        ": less than one particle has; say how many there were (--num-particles, num_particles=)"
    )
    of = f"the mean of about {round(particles)} particles" + " or over several steps" * smooth
    return [finding._replace(name="spread", quantity=what, status="note", rivals=(), of=of)]


def is_smooth(losses: FloatArray) -> bool:
    """Return True if neighbouring losses are alike, as running means are."""

    def second_differences(apart: int) -> FloatArray:
        return losses[: -2 * apart] - 2 * losses[apart:-apart] + losses[2 * apart :]

    late = second_differences(1)[-4 * _FEWEST_SMOOTH :]
    apart = second_differences(_APART)[-late.size :]
    enough = losses.size >= _FEWEST_SMOOTH
    return enough and bool(np.mean(late**2) < _SMOOTH * np.mean(apart**2))


def p_of_evaluations(aligned: AlignedLosses) -> float | None:
    """p-value of evaluations that vary too little; None if there are none."""
    repeated = aligned.part(aligned.of_evaluations)
    if repeated is None:
        return None
    model, values = repeated.model, repeated.losses.values
    if model.num_particles * model.counts.num_latents >= MANY:
        tails = loss_distribution(model, np.random.default_rng(0))[0].outer_tail(values)
    else:
        drawn = sampled_distribution(model, np.random.default_rng(0), most=_DRAWS)
        tails = drawn.uniform(values, np.random.default_rng(1))
    squares = sc.ndtri(np.clip(tails, 1e-300, 1 - 1e-16)) ** 2
    return float(sc.chdtr(squares.size, squares.sum()))
