"""Loss models that a mistake makes of a given one, each a hypothesis of how losses came about.

Those in closed form leave nothing open; those with `fitted` in their name fit one number to the
losses, at a price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.distribution import expected_losses
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.saddlepoint import LossDistribution
from elbo_ref.guides import GUIDES
from elbo_ref.guides.constraints import LARGEST, SOFTPLUS
from elbo_ref.mle.binomial import log_coefficient
from elbo_ref.svi.parameters import NAMES

_MOSTLY = 3.0
"""Log-likelihood penalty of minibatches of more than half of the rows, which are rare."""
_AROUND = 5.0
"""Standard errors around a weighted mean in which the likeliest constant is looked for."""
_AWAY = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Sizes of batches that are tried, about the likeliest, in standard errors."""


class Hypothesis(NamedTuple):
    """A loss model that a mistake makes.

    Attributes
    ----------
    variant : str
        The way in which the mistake was made, in words.
    model : LossModel
    number : str
        The field of the model, ``"factor"`` or ``"constant"``, whose value is all that differs.
    price : float
        Log-likelihood penalty: each mistake counts once, so that its variants share, and a number
        that was fitted costs its range over its precision.
    fitted : bool
        Whether that number was fitted; one that has a reason is preferred.
    name : str
        The mistake.
    """

    variant: str
    model: LossModel
    number: str = ""
    price: float = 0.0
    fitted: bool = False
    name: str = ""


class Fit(NamedTuple):
    """Losses to which a number is fitted.

    Attributes
    ----------
    losses : ndarray of shape (T,)
    distribution : LossDistribution
        Theirs under the given model.
    variance : ndarray of shape (T,)
        By which they may vary.
    """

    losses: FloatArray
    distribution: LossDistribution
    variance: FloatArray

    def weighted_sum(self, x: FloatArray, y: FloatArray) -> float:
        """Sum x y, weighted by precision."""
        return float(np.sum(x * y / self.variance))

    def constant(self) -> tuple[float, float]:
        """Return the constant that fits best, nats, and its standard error."""
        weights = 1 / self.variance
        shift = weights @ (self.losses - self.distribution.mean) / weights.sum()
        return float(shift), float(1 / np.sqrt(weights.sum()))


def _fit_price(size: float, precision: float) -> float:
    """Charge a fitted number of that size, known as precisely."""
    return float(np.log1p(4 * (1 + size) / precision))


def _likeliest(log_density: Callable[[float], FloatArray], start: float, around: float) -> float:
    """Find where, near a start, a sum of log densities is highest."""
    minimum = minimize_scalar(
        lambda x: -log_density(x).sum(),
        bounds=(start - around, start + around),
        method="bounded",
        options={"xatol": around / 250},
    )
    return float(minimum.x)


def _lowest(height: Callable[[int], float], low: int, high: int) -> int:
    """Find the whole number at which a function that falls and then rises is lowest."""
    while high - low > 2:
        middle = (low + high) // 2
        if height(middle) < height(middle + 1):
            high = middle + 1
        else:
            low = middle
    return min(range(low, high + 1), key=height)


def _has_pair(model: LossModel) -> bool:
    """Return True if the guide's parameters are two concentrations."""
    return model.guide.parameter_names == NAMES


def _single_trials(counts: Counts) -> bool:
    """Return True if the rows of the first latent can only have been single trials."""
    coefficient, split = float(counts.log_coefficient[0]), float(counts.log_split[0])
    return abs(coefficient) <= 1e-9 * abs(split)


# closed form


def swapped(given: LossModel) -> Iterator[Hypothesis]:
    """Exchange the concentrations of the prior, the guide, or both."""
    prior, params = given.prior[::-1], given.guide_parameters[::-1]
    if given.guide.has_prior:
        yield Hypothesis("the prior's", given._replace(prior=prior))
    if _has_pair(given):
        yield Hypothesis("the guide's", given._replace(guide_parameters=params))
        both = given._replace(prior=prior, guide_parameters=params)
        yield Hypothesis("the prior's and the guide's", both)


def not_in_guide(given: LossModel) -> Iterator[Hypothesis]:
    """Draw c in the model, and perhaps something else in the guide."""
    guide, params = given.guide, given.guide_parameters
    counts_log_prior = guide.origin == "prior" and guide.source_weight == 0
    if not guide.has_prior or counts_log_prior or given.loss.name == "trace_mean_field":
        return
    in_model = given._replace(
        guide=GUIDES["empty"], guide_parameters=np.zeros((0, *params.shape[1:]))
    )
    yield Hypothesis("c is drawn in the model", in_model)
    if _has_pair(given) and given.batch is None and given.renyi is None:
        nothing = np.zeros_like(given.counts.successes)
        counts = Counts(nothing, nothing, given.counts.multiplicity)
        apart = given._replace(counts=counts, prior=np.ones_like(given.prior))
        words = "c is drawn in the model, the guide samples under another name"
        yield Hypothesis(words, in_model._replace(added=apart))


def negated(given: LossModel) -> Iterator[Hypothesis]:
    """Take ELBOs for losses."""
    yield Hypothesis("times -1", given._replace(factor=-given.factor))


def divided(given: LossModel) -> Iterator[Hypothesis]:
    """Divide the losses by the number of latents, trials or particles."""
    latents = given.counts.num_latents
    trials = int(given.counts.multiplicity @ given.counts.total_count)
    numbers = {"latents": latents, "trials": trials, "particles": given.num_particles}
    for what, number in numbers.items():
        if number > 1:
            model = given._replace(factor=given.factor / number)
            yield Hypothesis(f"divided by the {number} {what}", model, "factor")


def _shifted(given: LossModel, variant: str, constant: float) -> Iterator[Hypothesis]:
    if abs(constant) > 1e-9:
        model = given._replace(constant=given.constant + constant)
        yield Hypothesis(variant, model, "constant")


def without_coefficients(given: LossModel) -> Iterator[Hypothesis]:
    """Leave out the log binomial coefficients."""
    yield from _shifted(given, "the log coefficients of all rows", log_coefficient(given.counts))


def other_coefficients(given: LossModel) -> Iterator[Hypothesis]:
    """Count the log coefficients twice, or those of the totals."""
    coefficients = log_coefficient(given.counts)
    split = float(given.counts.multiplicity @ given.counts.log_split)
    yield from _shifted(given, "the log coefficients counted twice", -coefficients)
    yield from _shifted(given, "the totals' log coefficients, not the rows'", split)


def other_latents(given: LossModel) -> Iterator[Hypothesis]:
    """Make one latent of all rows, or one of each trial."""
    counts, params = given.counts, given.guide_parameters
    if given.batch is not None:
        return
    if len(counts) > 1 and (params == params[:, :, :1]).all():
        pooled = given._replace(counts=counts.pooled(), guide_parameters=params[:, :, :1])
        yield Hypothesis("one latent for all rows", pooled)
    trials = int(counts.total_count[0])
    if len(counts) == 1 and trials > 1 and _single_trials(counts):
        k = int(counts.successes[0])
        params = params.repeat(1 if given.guide.shared else 2, axis=2)
        rows = given._replace(counts=Counts([1, 0], 1, [k, trials - k]), guide_parameters=params)
        yield Hypothesis("one latent for each trial", rows)


def unconstrained(given: LossModel) -> Iterator[Hypothesis]:
    """Take the parameters for unconstrained ones, but for those that are known not to be."""
    open_prior = "prior" not in given.constrained
    open_guide = _has_pair(given) and "guide" not in given.constrained
    for what, constrain in (("exp", np.exp), ("softplus", SOFTPLUS.constrain)):
        prior, held = given.prior, given.guide_parameters
        with np.errstate(over="ignore"):
            prior = constrain(prior) if open_prior else prior
            held = constrain(held) if open_guide else held
        if max(prior.max(), held.max(initial=0.0)) < LARGEST:
            model = given._replace(prior=prior, guide_parameters=held)
            yield Hypothesis(f"{what} is still to be applied", model)


def batch_scaled(given: LossModel, *, twice: bool) -> Iterator[Hypothesis]:
    """Scale the terms of a minibatch twice, or not at all."""
    if given.batch is not None:
        scale = given.batch_scale
        words = f"scaled by {scale:g} squared" if twice else "scaled by 1"
        yield Hypothesis(words, given._replace(batch_scale=scale**2 if twice else 1.0))


def largest_totals(given: LossModel) -> Iterator[Hypothesis]:
    """Give all rows the largest total count."""
    counts = given.counts
    if given.batch is None and not counts.log_split.any():
        largest = np.full_like(counts.total_count, counts.total_count.max())
        largest_for_all = Counts(counts.successes, largest, counts.multiplicity)
        yield Hypothesis("the largest for all", given._replace(counts=largest_for_all))


# one number fitted


def fitted_divisor(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Divide the losses by the likeliest whole number."""
    mean, losses = fit.distribution.mean, fit.losses
    share = fit.weighted_sum(mean, losses) / fit.weighted_sum(mean, mean)
    if not 0 < share < 1:
        return
    power = -float(np.log(share))
    if fit.distribution.variance.min() > 0:
        density = fit.distribution.log_density
        power = _likeliest(lambda x: density(losses * np.exp(x)) + x, power, 1.0)
    number = round(np.exp(power))
    if number > 1:
        model = given._replace(factor=given.factor / number)
        yield Hypothesis(f"divided by {number}", model, "factor", float(np.log(number)))


def fitted_constant(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Add the likeliest constant; where the distribution has an end, the mean is not it."""
    shift, error = fit.constant()
    if fit.distribution.variance.min() > 0:
        density = fit.distribution.log_density
        shift = _likeliest(lambda x: density(fit.losses - x), shift, _AROUND * error)
    model = given._replace(constant=given.constant + shift)
    yield Hypothesis(f"{shift:.6g} nats", model, "constant", _fit_price(abs(shift), error))


def fitted_batch(given: LossModel, fit: Fit, *, twice: bool) -> Iterator[Hypothesis]:
    """See minibatches of a size that nobody mentioned, not scaled or scaled twice."""
    counts = given.counts
    whole, still = counts.num_latents, np.zeros(1)
    if given.batch is not None or (len(counts) == 1 and not _single_trials(counts)):
        return
    if len(counts) == 1:
        whole = int(counts.total_count[0])
        still = expected_losses(given._replace(likelihood_weight=0.0))
    slope = fit.distribution.mean - still
    known = fit.weighted_sum(slope, slope)
    share = fit.weighted_sum(slope, fit.losses - still) / known if known > 0 else 0.0
    if not (np.isfinite(share) and share > 0) or (share < 1) is twice:
        return
    part = min(share, 1 / share)
    precision = max(1.0, whole * part / (share * np.sqrt(known)))
    price = float(np.log1p(whole / precision))
    sizes = {round(whole * part + away * precision) for away in _AWAY}
    for size in sorted(x for x in sizes if 0 < x < whole):
        scale = (whole / size) ** 2 if twice else 1.0
        words = f"batches of {size}, {'scaled twice' if twice else 'scaled by 1'}"
        model = given._replace(batch=size, batch_scale=scale)
        yield Hypothesis(words, model, price=price + (_MOSTLY if 2 * size > whole else 0.0))


def fitted_totals(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Have total counts that are all more by some number, or all the same."""
    counts = given.counts
    k, n, w = counts.successes, counts.total_count, counts.multiplicity
    if given.batch is not None or counts.log_split.any():
        return

    def means(totals: Callable[[int], FloatArray], number: int) -> FloatArray:
        return expected_losses(given._replace(counts=Counts(k, totals(number), w)))

    def distance(totals: Callable[[int], FloatArray], number: int) -> float:
        off = fit.losses - means(totals, number)
        return fit.weighted_sum(off, off)

    def height(totals: Callable[[int], FloatArray], number: int) -> float:
        return float(np.sum(means(totals, number) / fit.variance))

    most = 10 * int(n.max()) + 10
    families: list[tuple[Callable[[int], Any], int, str]]
    families = [(lambda number: n + number, int((k - n).max()), "{:+d} each")]
    if (n != n[0]).any():
        families.append((lambda number: np.full_like(n, number), int(k.max()), "{} each"))
    for totals, least, words in families:
        # a likelihood rises and falls with the total count
        turn = _lowest(partial(height, totals), least, most)
        for ends in ((least, turn), (turn, most)):
            best = _lowest(partial(distance, totals), *ends)
            step = means(totals, best + 1) - means(totals, best)
            precision = max(1.0, fit.weighted_sum(step, step) ** -0.5)
            model = given._replace(counts=Counts(k, totals(best), w))
            yield Hypothesis(words.format(best), model, price=_fit_price(abs(best), precision))
