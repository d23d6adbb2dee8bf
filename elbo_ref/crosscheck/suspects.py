r"""The mistakes that losses can betray, each told as a whole story of how the losses came about.

A suspect is judged as the given account is: by the law of every loss that it implies
(`elbo_ref.crosscheck.laws`). Nothing is concluded from a residual that merely looks like something.

What makes a suspect invisible is that its story is the same as the given one: a swap in symmetric
parameters, coefficients of single trials, a division by one. Such a story is not told at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from elbo_ref.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.laws import Story, means_of
from elbo_ref.guides import GUIDES
from elbo_ref.guides.positive import SOFTPLUS


class Suspect(NamedTuple):
    """A mistake and the story that it makes."""

    name: str
    what: str
    story: Story
    free: int = 0
    """How many numbers of the story were fitted to the losses."""


def told(given: Story) -> Iterator[Suspect]:
    """The stories without anything to fit that differ from the given one."""
    for suspect in (
        *_swapped(given),
        *_other_guide(given),
        *_scaled(given),
        *_other_latents(given),
        *_constrained(given),
        *_batches(given),
    ):
        if not _same(suspect.story, given):
            yield suspect


def _same(one: Story, other: Story) -> bool:
    """Whether two stories tell the same."""
    arrays = (one.prior, other.prior), (one.own, other.own)
    rest = [story._replace(prior=np.zeros(0), own=np.zeros(0)) for story in (one, other)]
    same = str(rest[0]) == str(rest[1])
    return same and all(np.array_equal(x, y) for x, y in arrays)


def _swapped(given: Story) -> Iterator[Suspect]:
    pair = GUIDES[given.guide].parameter_names == ("concentration1", "concentration0")
    prior = given.prior[::-1]
    name = "swapped_concentrations"
    if GUIDES[given.guide].has_prior:
        yield Suspect(name, "the prior's", given._replace(prior=prior))
    if pair:
        yield Suspect(name, "the guide's", given._replace(own=given.own[::-1]))
        both = given._replace(prior=prior, own=given.own[::-1])
        yield Suspect(name, "the prior's and the guide's", both)


def _other_guide(given: Story) -> Iterator[Suspect]:
    if given.guide not in ("empty", "none") and given.loss.name != "trace_mean_field":
        own = np.zeros((0, *given.own.shape[1:]))
        story = given._replace(guide="empty", own=own)
        yield Suspect("latent_not_in_guide", "c is drawn in the model", story)


def _scaled(given: Story) -> Iterator[Suspect]:
    counts = given.counts
    yield Suspect("wrong_sign", "times -1", given._replace(factor=-given.factor))
    trials = int(counts.multiplicity @ counts.total_count)
    for number, what in (
        (counts.num_latents, f"the {counts.num_latents} latents"),
        (trials, f"the {trials} trials"),
    ):
        if number > 1:
            story = given._replace(factor=given.factor / number)
            yield Suspect("normalised_loss", f"divided by {what}", story)
    coefficients = float(counts.multiplicity @ counts.log_coefficient)
    if abs(coefficients) > 1e-9:
        story = given._replace(constant=given.constant + coefficients)
        yield Suspect("missing_coefficients", "the log coefficients of all rows", story)


def _other_latents(given: Story) -> Iterator[Suspect]:
    counts, free = given.counts, not len(given.own)
    if len(counts) > 1 and (free or given.own.shape[2] == 1):
        pooled = given._replace(counts=counts.pooled())
        yield Suspect("wrong_latents", "one latent for all rows", pooled)


def _constrained(given: Story) -> Iterator[Suspect]:
    pair = GUIDES[given.guide].parameter_names == ("concentration1", "concentration0")
    for what, constrain in (("exp", np.exp), ("softplus", SOFTPLUS.constrain)):
        with np.errstate(over="ignore"):
            prior, own = constrain(given.prior), constrain(given.own) if pair else given.own
        if np.isfinite(prior).all() and np.isfinite(own).all() and own.max(initial=0) < 1e12:
            story = given._replace(prior=prior, own=own)
            yield Suspect("unconstrained_values", f"{what} is still to be applied", story)


def _batches(given: Story) -> Iterator[Suspect]:
    if given.batch is not None:
        scale = given.batch_scale
        yield Suspect("subsample_unscaled", "scaled by 1", given._replace(batch_scale=1.0))
        twice = given._replace(batch_scale=scale**2)
        yield Suspect("subsample_scaled_twice", f"scaled by {scale:g} squared", twice)


def fitted(
    given: Story, losses: FloatArray, mean: FloatArray, variance: FloatArray
) -> Iterator[Suspect]:
    """The stories with one number that is fitted to the losses.

    `mean` and `variance` are what the given story says of the losses.
    """
    if given.batch is None:
        yield from _other_totals(given, losses, variance)
        yield from _unscaled(given, losses, mean, variance)
    weights = 1 / variance
    shift = float(weights @ (losses - mean) / weights.sum())
    story = given._replace(constant=given.constant + shift)
    yield Suspect("unexplained_constant", f"{shift:.6g} nats", story, 1)


def _other_totals(given: Story, losses: FloatArray, variance: FloatArray) -> Iterator[Suspect]:
    """Total counts that are all more by some number, or all the same."""
    counts = given.counts
    k, n, w = counts.successes, counts.total_count, counts.multiplicity
    if (counts.log_split != 0).any():
        return

    def more(number: int) -> Story:
        return given._replace(counts=Counts(k, n + number, w))

    def equal(number: int) -> Story:
        return given._replace(counts=Counts(k, np.full_like(n, number), w))

    most = 10 * int(n.max()) + 10
    families = [(more, int((k - n).max()), most, "{:+d} each")]
    if (n != n[0]).any():
        families.append((equal, int(k.max()), most, "{} each"))
    for family, low, high, words in families:

        def off(number: int, family: Callable[[int], Story] = family) -> float:
            return float(np.sum((losses - means_of(family(number))) ** 2 / variance))

        best = _lowest(off, low, high)
        yield Suspect("wrong_total_count", words.format(best), family(best), 1)


def _lowest(height: Callable[[int], float], low: int, high: int) -> int:
    """The whole number where a function that falls and then rises is lowest."""
    while high - low > 2:
        middle = (low + high) // 2
        if height(middle) < height(middle + 1):
            high = middle + 1
        else:
            low = middle
    return min(range(low, high + 1), key=height)


def _unscaled(
    given: Story, losses: FloatArray, mean: FloatArray, variance: FloatArray
) -> Iterator[Suspect]:
    """Minibatches of some size that nobody has told of."""
    counts = given.counts
    whole, still = counts.num_latents, np.zeros(1)
    if len(counts) == 1:
        whole = int(counts.total_count[0])
        if abs(float(counts.log_coefficient[0])) > 1e-9 * abs(float(counts.log_split[0])):
            return
        still = means_of(given._replace(scale=0.0))
    slope = mean - still
    share = float(np.sum(slope * (losses - still) / variance) / np.sum(slope**2 / variance))
    size = round(whole * share) if np.isfinite(share) else 0
    if 0 < size < whole:
        story = given._replace(batch=size, batch_scale=1.0)
        yield Suspect("subsample_unscaled", f"batches of {size}, scaled by 1", story, 1)
