r"""The mistakes that losses can betray, each told as a whole story of how the losses came about.

A suspect is judged as the given account is: by the law of every loss that it implies
(`elbo_ref.crosscheck.distribution`). Nothing is concluded from a residual that merely looks like
something.

What makes a suspect invisible is that its story is the same as the given one: a swap in symmetric
parameters, coefficients of single trials, a division by one. Such a story is not told at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.distribution import means_of
from elbo_ref.crosscheck.loss_model import Story
from elbo_ref.crosscheck.saddlepoint import Law
from elbo_ref.guides import GUIDES
from elbo_ref.guides.constraints import LARGEST, SOFTPLUS
from elbo_ref.objectives import Renyi

_NO_REASON, _UNTOLD, _MOSTLY = 2.0, 1.0, 3.0
"""What a number beyond all reason costs in advance, batches of which nobody has told, and such
batches of more than half of the rows, which hardly anybody makes."""


class Suspect(NamedTuple):
    """A mistake and the story that it makes."""

    name: str
    what: str
    story: Story
    of: str = ""
    """Which number it has that the given story has not."""
    price: float = 0.0
    """What that is charged in log likelihood: each mistake counts once, and so its stories share,
    and a number that was fitted costs its range over its precision."""
    fitted: bool = False
    """Whether that number was; one that has a reason is preferred."""


def told(given: Story) -> list[Suspect]:
    """The stories without anything to fit that differ from the given one."""
    found = _others(
        given,
        _swapped(given),
        _other_guide(given),
        _scaled(given),
        _other_latents(given),
        _constrained(given),
        _batches(given),
        _largest_totals(given),
    )
    times = Counter(suspect.name for suspect in found)
    return [suspect._replace(price=float(np.log(times[suspect.name]))) for suspect in found]


def _others(given: Story, *groups: Iterator[Suspect]) -> list[Suspect]:
    return [x for group in groups for x in group if not _same(x.story, given)]


def _same(one: Story | None, other: Story | None) -> bool:
    """Whether two stories tell the same, by value."""
    if one is None or other is None:
        return one is other
    arrays = zip(_arrays(one), _arrays(other), strict=True)
    alike = _scalars(one) == _scalars(other) and all(np.array_equal(x, y) for x, y in arrays)
    return alike and _same(one.beside, other.beside)


def _arrays(story: Story) -> Iterator[NDArray[Any]]:
    counts = story.counts
    yield from (counts.successes, counts.total_count, counts.multiplicity, counts.log_split)
    yield from (story.prior, story.own)


def _scalars(story: Story) -> tuple[object, ...]:
    """What is neither an array nor a story of its own."""
    apart = ("counts", "prior", "own", "beside")
    return tuple(value for name, value in story._asdict().items() if name not in apart)


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
        name = "latent_not_in_guide"
        yield Suspect(name, "c is drawn in the model", story)
        drawn = given.batch is not None or isinstance(given.loss, Renyi)
        if given.guide in ("beta", "beta_shared") and not drawn:
            other = given._replace(counts=_nothing(given.counts), prior=np.ones_like(given.prior))
            what = "c is drawn in the model, the guide samples under another name"
            yield Suspect(name, what, story._replace(beside=other))


def _nothing(counts: Counts) -> Counts:
    """As many latents without any trial."""
    none = np.zeros_like(counts.successes)
    return Counts(none, none, counts.multiplicity)


def _scaled(given: Story) -> Iterator[Suspect]:
    counts = given.counts
    yield Suspect("wrong_sign", "times -1", given._replace(factor=-given.factor))
    trials = int(counts.multiplicity @ counts.total_count)
    for number, what in (
        (counts.num_latents, f"the {counts.num_latents} latents"),
        (trials, f"the {trials} trials"),
        (given.num_particles, f"the {given.num_particles} particles"),
    ):
        if number > 1:
            story = given._replace(factor=given.factor / number)
            yield Suspect("normalised_loss", f"divided by {what}", story, of="factor")
    coefficients = float(counts.multiplicity @ counts.log_coefficient)
    split = float(counts.multiplicity @ counts.log_split)
    for name, what, constant in (
        ("missing_coefficients", "the log coefficients of all rows", coefficients),
        ("unexplained_constant", "the log coefficients counted twice", -coefficients),
        ("unexplained_constant", "the totals' log coefficients, not the rows'", split),
    ):
        if abs(constant) > 1e-9:
            story = given._replace(constant=given.constant + constant)
            yield Suspect(name, what, story, of="constant")


def _other_latents(given: Story) -> Iterator[Suspect]:
    counts = given.counts
    if given.batch is not None:
        return
    alike = bool((given.own == given.own[:, :, :1]).all())
    if len(counts) > 1 and alike:
        pooled = given._replace(counts=counts.pooled(), own=given.own[:, :, :1])
        yield Suspect("wrong_latents", "one latent for all rows", pooled)
    trials = int(counts.total_count[0])
    if len(counts) == 1 and trials > 1 and _single_trials(counts):
        k = int(counts.successes[0])
        own = given.own.repeat(1 if GUIDES[given.guide].shared else 2, axis=2)
        rows = given._replace(counts=Counts([1, 0], 1, [k, trials - k]), own=own)
        yield Suspect("wrong_latents", "one latent for each trial", rows)


def _single_trials(counts: Counts) -> bool:
    """Whether the rows of a latent can only have been single trials."""
    coefficient, split = float(counts.log_coefficient[0]), float(counts.log_split[0])
    return abs(coefficient) <= 1e-9 * abs(split)


def _constrained(given: Story) -> Iterator[Suspect]:
    pair = GUIDES[given.guide].parameter_names == ("concentration1", "concentration0")
    for what, constrain in (("exp", np.exp), ("softplus", SOFTPLUS.constrain)):
        with np.errstate(over="ignore"):
            prior, own = constrain(given.prior), constrain(given.own) if pair else given.own
        if max(prior.max(), own.max(initial=0.0)) < LARGEST:
            story = given._replace(prior=prior, own=own)
            yield Suspect("unconstrained_values", f"{what} is still to be applied", story)


def _batches(given: Story) -> Iterator[Suspect]:
    if given.batch is not None:
        scale = given.batch_scale
        yield Suspect("subsample_unscaled", "scaled by 1", given._replace(batch_scale=1.0))
        twice = given._replace(batch_scale=scale**2)
        yield Suspect("subsample_scaled_twice", f"scaled by {scale:g} squared", twice)


def fitted(given: Story, losses: FloatArray, law: Law, variance: FloatArray) -> list[Suspect]:
    """The stories with one number that is fitted to the losses.

    `law` is what the given story says of the losses, `variance` what they may vary by.
    """
    found = [_constant(given, losses, law, variance), _divided(given, losses, law, variance)]
    if given.batch is None:
        found.append(_other_totals(given, losses, variance))
        found.append(_untold_batches(given, losses, law.mean, variance))
    return [suspect._replace(fitted=True) for suspect in _others(given, *found)]


def _constant(
    given: Story, losses: FloatArray, law: Law, variance: FloatArray
) -> Iterator[Suspect]:
    """The most likely constant; where the law has an end, the mean is not it."""
    weights = 1 / variance
    shift = float(weights @ (losses - law.mean) / weights.sum())
    error = 1 / np.sqrt(weights.sum())
    if law.variance.min() > 0:
        shift = _likeliest(lambda x: law.log_density(losses - x), shift, _AROUND * error)
    story = given._replace(constant=given.constant + shift)
    price = _NO_REASON + _price(abs(shift), float(error))
    yield Suspect("unexplained_constant", f"{shift:.6g} nats", story, "constant", price)


def _price(size: float, precision: float) -> float:
    """Of a number of that size, known as precisely."""
    return float(np.log1p(4 * (1 + size) / precision))


_AROUND = 5.0
_AWAY = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Sizes of batches that are tried, about the likeliest, in standard errors."""


def _likeliest(log_density: Callable[[float], FloatArray], start: float, around: float) -> float:
    """Where a sum of log densities is highest."""
    found = minimize_scalar(
        lambda x: -log_density(x).sum(),
        bounds=(start - around, start + around),
        method="bounded",
        options={"xatol": around / 250},
    )
    return float(found.x)


def _other_totals(given: Story, losses: FloatArray, variance: FloatArray) -> Iterator[Suspect]:
    """Total counts that are all more by some number, or all the same."""
    counts = given.counts
    k, n, w = counts.successes, counts.total_count, counts.multiplicity
    if counts.log_split.any():
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

        def height(number: int, family: Callable[[int], Story] = family) -> float:
            return float(np.sum(means_of(family(number)) / variance))

        turn = _lowest(height, low, high)  # a likelihood rises and falls with the total count
        for ends in ((low, turn), (turn, high)):
            best = _lowest(off, *ends)
            step = means_of(family(best + 1)) - means_of(family(best))
            precision = max(1.0, float(np.sum(step**2 / variance)) ** -0.5)
            price = _price(abs(best), precision)
            what = words.format(best)
            yield Suspect("wrong_total_count", what, family(best), price=price)


def _largest_totals(given: Story) -> Iterator[Suspect]:
    """The largest total count for all rows."""
    counts = given.counts
    if given.batch is None and not counts.log_split.any():
        largest = np.full_like(counts.total_count, counts.total_count.max())
        story = given._replace(counts=Counts(counts.successes, largest, counts.multiplicity))
        yield Suspect("wrong_total_count", "the largest for all", story)


def _lowest(height: Callable[[int], float], low: int, high: int) -> int:
    """The whole number where a function that falls and then rises is lowest."""
    while high - low > 2:
        middle = (low + high) // 2
        if height(middle) < height(middle + 1):
            high = middle + 1
        else:
            low = middle
    return min(range(low, high + 1), key=height)


def _divided(given: Story, losses: FloatArray, law: Law, variance: FloatArray) -> Iterator[Suspect]:
    """Losses divided by a whole number."""
    share = np.sum(law.mean * losses / variance) / np.sum(law.mean**2 / variance)
    if not 0 < share < 1:
        return
    power = -float(np.log(share))
    if law.variance.min() > 0:
        power = _likeliest(lambda x: law.log_density(losses * np.exp(x)) + x, power, 1.0)
    number = round(np.exp(power))
    if number > 1:
        story = given._replace(factor=given.factor / number)
        price = _NO_REASON + 1 + float(np.log(number))
        yield Suspect("normalised_loss", f"divided by {number}", story, "factor", price)


def _untold_batches(
    given: Story, losses: FloatArray, mean: FloatArray, variance: FloatArray
) -> Iterator[Suspect]:
    """Minibatches of some size that nobody has told of, not scaled or scaled twice."""
    counts = given.counts
    whole, still = counts.num_latents, np.zeros(1)
    if len(counts) == 1:
        whole = int(counts.total_count[0])
        if not _single_trials(counts):
            return
        still = means_of(given._replace(scale=0.0))
    slope = mean - still
    known = float(np.sum(slope**2 / variance))
    share = float(np.sum(slope * (losses - still) / variance)) / known if known > 0 else 0.0
    if not (np.isfinite(share) and share > 0):
        return
    part = min(share, 1 / share)
    precision = max(1.0, whole * part / (share * np.sqrt(known)))
    price = _UNTOLD + 1 + float(np.log1p(whole / precision))
    sizes = {round(whole * part + away * precision) for away in _AWAY}
    for size in sorted(x for x in sizes if 0 < x < whole):
        own_price = price + (_MOSTLY if 2 * size > whole else 0.0)
        if share < 1:
            name, words, scale = "subsample_unscaled", "scaled by 1", 1.0
        else:
            name, words, scale = "subsample_scaled_twice", "scaled twice", (whole / size) ** 2
        story = given._replace(batch=size, batch_scale=scale)
        yield Suspect(name, f"batches of {size}, {words}", story, price=own_price)
