"""The Monte Carlo objective with pathwise gradients, as Pyro's ``Trace_ELBO`` estimates it.

A particle draws c for every latent and evaluates f = A log c + D log(1 - c) + normalizer + logC
(`elbo_ref.guides.protocol`). Its gradient has two parts: through the draw,

    (A (1 - c) - D c) d logit(c) / d(parameter),                                              (E6)

and through the densities themselves, d f / d(parameter) at fixed c. Pyro keeps both, and so do we:
the second has expectation zero for a guide's parameters but is not zero draw by draw.

w equal latents are w draws. A draw is carried as its logit, so that c may come as near to 0 or 1
as it likes; the densities stay with respect to c.
"""

from __future__ import annotations

import numpy as np
from scipy import special as sc

from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta
from elbo_ref.objectives.protocol import Step, Task

MOST_DRAWS = 10_000_000
"""A step that would take more is refused."""


class Trace:
    """``loss="trace"``: the average over particles, each drawing once per latent."""

    name = "trace"
    random = True

    def prepare(self, task: Task, num_particles: int) -> None:
        draws = task.counts.num_latents * num_particles
        if draws > MOST_DRAWS:
            raise ValueError(
                f'loss="trace" would take {draws} draws a step ({task.counts.num_latents} latents '
                f'times {num_particles} particles), more than {MOST_DRAWS}; use loss="exact"'
            )

    def step(
        self,
        task: Task,
        prior: FloatArray,
        own: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        guide, each = task.guide, task.per_latent(own)
        tilt = guide.tilt(prior, own, task.outcomes)
        logits = guide.sample_logit(prior, each, (num_particles, task.counts.num_latents), rng)
        each_logs = sc.log_expit(np.array((logits, -logits)))
        c, each_tilt = np.exp(each_logs), task.per_latent(tilt)
        slope = each_tilt[0] * c[1] - each_tilt[1] * c[0]
        through_draw = slope * guide.pathwise(logits, prior, each)
        source, logs = task.per_entry(through_draw), task.per_entry(each_logs)
        value = sum((tilt * logs).dot(task.weights).tolist())
        value += float(np.sum(guide.residual(logits, each))) / num_particles
        if guide.own_density:
            source = source + guide.own_density * (logs - guide.log_moments(prior, own))
        return Step(*task.gradient(source, logs, prior, own), value)

    def settle(self, task: Task, values: FloatArray, priors: Beta, owns: FloatArray) -> FloatArray:
        constants = task.guide.normalizer(priors, owns) + task.log_coefficient
        totals: FloatArray = np.sum(task.weights * constants, axis=-1)
        return values + totals
