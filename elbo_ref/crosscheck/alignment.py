"""Each loss beside the parameters that it belongs to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.distribution import latent_means
from elbo_ref.crosscheck.hypothesis_test import Losses
from elbo_ref.crosscheck.loss_model import Story, Terms
from elbo_ref.guides import GUIDES
from elbo_ref.io.parameters import Parameters
from elbo_ref.optim import Adam
from elbo_ref.svi.parameters import NAMES


class Aligned(NamedTuple):
    """Losses beside the parameters that they belong to."""

    story: Story
    losses: Losses
    what: str
    labels: tuple[str, ...]
    steps: int
    """How many losses of a history there are with an entry each, which may be of after the step."""

    def one_later(self) -> Aligned | None:
        """As if the history had been recorded after each step; None if it cannot have been."""
        if self.steps < _FEWEST:
            return None
        kept = np.arange(1, len(self.labels))
        place = np.where(kept < self.steps, kept - 1, kept)
        columns = self.story._replace(
            prior=self.story.prior[:, place], own=self.story.own[:, place]
        )
        losses = Losses(self.losses.values[kept], self.losses.allowance[kept])
        return Aligned(columns, losses, self.what, self.labels[1:], 0)


_FEWEST = 3


def align(
    story: Story, told: FloatArray, repeated: FloatArray, optimizer: Adam | None
) -> Aligned | None:
    """A column of parameters for each loss; None if there is nothing to compare."""
    steps, labels = story.prior.shape[1], [f"loss of step {t}" for t in range(told.size)]
    moving = np.zeros(0)
    if told.size and steps == 1:
        place, moving = np.zeros(1, np.intp), _one_step(story, optimizer)
        told, labels = told[-1:], labels[-1:]
    elif told.size in (steps, steps - 1):
        place = np.arange(told.size)
        moving = np.zeros(told.size)
    elif told.size:
        raise ValueError(
            f"there are {told.size} losses and {steps} sets of parameters: a history has one for "
            "each step, before it, and may have the last one after it"
        )
    else:
        place = np.zeros(0, np.intp)
    values = np.concatenate([told, repeated])
    if not values.size:
        return None
    place = np.concatenate([place, np.full(repeated.size, steps - 1)]).astype(np.intp)
    finite = np.isfinite(values)
    if not finite.all():
        where = int(np.argmin(finite))
        raise ValueError(f"loss {where} is {values[where]}: leave out what is not finite")
    printed = np.full(repeated.size, resolution(repeated))
    allowance = np.concatenate([moving + resolution(told), printed])
    labels += [f"evaluation {t}" for t in range(repeated.size)]
    what = "losses" if told.size else "evaluations"
    columns = story._replace(prior=story.prior[:, place], own=story.own[:, place])
    paired = told.size if told.size == steps else 0
    return Aligned(columns, Losses(values, allowance), what, tuple(labels), paired)


def resolution(values: FloatArray) -> float:
    """Half of the last decimal that was printed; 0 where all were.

    Examples
    --------
    >>> resolution(np.array([1.25, 3.5])), resolution(np.array([1 / 3]))
    (0.005, 0.0)
    """
    for decimals in range(1, 13):
        if values.size and np.array_equal(np.round(values, decimals), values):
            return 0.5 * 10.0**-decimals
    return 0.0


def _one_step(story: Story, optimizer: Adam | None) -> FloatArray:
    """How far the expected loss can be away one step earlier, (1,); each latent on its own."""
    rate = 1.5 * (_RATE if optimizer is None else optimizer.lr)
    weights, guide = story.counts.multiplicity, GUIDES[story.guide]

    def each(moved: Story) -> FloatArray:
        found: FloatArray = latent_means(moved, Terms.of(moved))[0]
        return found

    here, total = each(story), 0.0
    for shift in (rate, -rate):
        for row in range(len(NAMES)):
            prior = story.prior.copy()
            prior[row] *= np.exp(shift)
            total += float(np.abs((each(story._replace(prior=prior)) - here) @ weights)) / 2
        for row in range(len(guide.parameter_names)):
            loose = guide.unconstrain(story.own)
            loose[row] += shift
            moved = each(story._replace(own=guide.constrain(loose))) - here
            total += float(np.abs(moved @ weights if guide.shared else np.abs(moved) @ weights)) / 2
    return np.array([total])


_RATE = 0.1
"""Adam's learning rate where nobody says it: the forum question's."""


def batch_of(counts: Counts, size: int | None) -> dict[str, Any]:
    """The part of a `Story` that a minibatch of some size is, scaled as it should be."""
    if size is None:
        return {}
    total = counts.num_latents if len(counts) > 1 else int(counts.total_count[0])
    if size > total:
        raise ValueError(f"subsample_size = {size} exceeds the {total} there are")
    return {"batch": size, "batch_scale": total / size}


def looks_like(given: Parameters, *numbers: FloatArray) -> str:
    """float32 if the parameters say so, or if every loss is such a number."""
    kinds = set(given.dtypes.values())
    if "float32" in kinds:
        return "float32"
    values = np.concatenate(numbers)
    values = values[np.isfinite(values)]
    short = np.float32(values).astype(np.float64) == values
    return "float32" if values.size >= 2 and short.all() and resolution(values) == 0 else "float64"
