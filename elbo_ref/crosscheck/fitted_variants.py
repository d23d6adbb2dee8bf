"""Loss models that a mistake makes of a given one, with a number that is fitted to the losses.

Each is charged for its number: the range in which it may lie beforehand over its precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import scipy

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.crosscheck.data_variants import known_by_row, like
from elbo_ref.crosscheck.likelihood_fit import Expected, fitted
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.variants import Fit, Hypothesis, has_divergence, single_trials

_MOSTLY = 3.0
"""Log-likelihood penalty of minibatches of more than half of the rows, which are rare."""
_AROUND = 5.0
"""Standard errors around a weighted mean in which the likeliest constant is looked for."""
_AWAY = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Sizes of batches that are tried, about the likeliest, in standard errors."""
_SUMMED = 4.0
"""Log-likelihood penalty of losses that were added up, which few do."""
_RARE, _WHOLE = 2.0, 1.0
"""Log-likelihood penalties of a factor that is no whole number, and of a whole one."""
_SEVERAL = 1.5
"""Ratio of losses to what they should be from which they may be sums of several."""
_ONE_TOTAL = 2.0
"""Log-likelihood penalty of one total count for rows that have several."""
_COMMON = (*range(1, 7), 8, 10, 12, 16, 20, 25, 30, 32, 40, 50, 64, 100, 128, 200, 256, 500, 1000)
"""Numbers of particles that are common."""
_MOST_NUMBERS = 5
_FAR, _WIDE = 14.0, 2.0
"""Largest logarithm of a weight, and the standard deviation of that."""
_ROUGH = 0.1
"""Relative error of a number of particles that is told as one about which it is."""


def _fit_price(size: float, precision: float) -> float:
    """Charge a fitted number of that size, known as precisely."""
    return float(np.log1p(4 * (1 + size) / precision))


def _likeliest(log_density: Callable[[float], FloatArray], start: float, around: float) -> float:
    """Find where, near a start, a sum of log densities is highest."""
    minimum = scipy.optimize.minimize_scalar(
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
            high = middle
        else:
            low = middle
    return min(range(low, high + 1), key=height)


def fitted_divisor(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Multiply the losses by the likeliest number, or take them for sums of several."""
    mean = fit.distribution.mean
    known = fit.weighted_sum(mean, mean)
    share = fit.weighted_sum(mean, fit.losses) / known if known > 0 else np.nan
    if not fit.noisy:
        if fit.losses.size > 1 and np.isfinite(share) and share:
            model = given._replace(factor=given.factor * share)
            price = _fit_price(abs(share), known**-0.5)
            words, told = f"times {share:.6g}", not given.still
            yield Hypothesis(words, model, "factor", price, reasoned=told)
        return
    if given.renyi:
        return
    if share > _SEVERAL:
        number = round(share)
        several = given._replace(num_particles=given.num_particles * number)
        model = several._replace(factor=given.factor * number)
        price = _SUMMED + float(np.log(number))
        yield Hypothesis(f"sums of {number} of them", model, "factor", price)

    def multiplied(model: LossModel, logs: FloatArray) -> LossModel:
        return model._replace(factor=given.factor * float(np.exp(logs.item())))

    found = fitted(given, fit, Expected.about(np.zeros(1), _WIDE), multiplied)
    if found is None:
        return
    factor = float(np.exp(found.at.item()))
    price = _RARE + found.price
    model, told = multiplied(given, found.at), not given.still
    yield Hypothesis(f"times {factor:.4g}", model, "factor", price, reasoned=told)
    for words, ratio, power in (("divided by", 1 / factor, -1), ("times", factor, 1)):
        whole = round(ratio)
        if whole > 1:
            model = given._replace(factor=given.factor * float(whole) ** power)
            price = _WHOLE + float(np.log(whole))
            yield Hypothesis(f"{words} {whole}", model, "factor", price)


def fitted_constant(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Add the likeliest constant; where the distribution has an end, the mean is not it."""
    shift, error = fit.constant()
    if fit.noisy:
        density = fit.distribution.log_density
        shift = _likeliest(lambda x: density(fit.losses - x), shift, _AROUND * error)
    model = given._replace(constant=given.constant + shift)
    price, told = _fit_price(abs(shift), error), not given.still
    yield Hypothesis(f"{shift:.6g} nats", model, "constant", price, reasoned=told)


def fitted_batch(given: LossModel, fit: Fit, *, twice: bool) -> Iterator[Hypothesis]:
    """See minibatches of a size that nobody mentioned, not scaled or scaled twice."""
    counts = given.counts
    whole, still = counts.num_latents, np.zeros(1)
    if given.batch is not None or (len(counts) == 1 and not single_trials(counts)):
        return
    if len(counts) == 1:
        whole = counts.total_count.item()
        still = fit.expected(given._replace(likelihood_weight=0.0))
    slope = fit.distribution.mean - still
    known = fit.weighted_sum(slope, slope)
    share = fit.weighted_sum(slope, fit.losses - still) / known if known > 0 else np.nan
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
        rare, told = _MOSTLY if 2 * size > whole else 0.0, not given.still
        yield Hypothesis(words, model, price=price + rare, reasoned=told)


def fitted_totals(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Have total counts that are all more by some number, or all the same."""
    counts = given.counts
    k, n = counts.successes, counts.total_count
    if given.batch is not None or not known_by_row(counts):
        return

    @cache
    def means(totals: Callable[[int], IntArray], number: int) -> FloatArray:
        return fit.expected(given.of_counts(like(counts, k, totals(number))))

    def distance(totals: Callable[[int], IntArray], number: int) -> float:
        off = fit.losses - means(totals, number)
        return fit.weighted_sum(off, off)

    def height(totals: Callable[[int], IntArray], number: int) -> float:
        return float(np.sum(means(totals, number) / fit.variance))

    most = 10 * int(n.max()) + 10
    families: list[tuple[Callable[[int], Any], int, str, float]]
    families = [(lambda number: n + number, int((k - n).max()), "{:+d} each", 0.0)]
    if (n != n[0]).any():
        same = (lambda number: np.full_like(n, number), int(k.max()), "{} each", _ONE_TOTAL)
        families.append(same)
    for totals, least, words, more in families:
        # a likelihood rises and falls with the total count
        turn = _lowest(partial(height, totals), least, most)
        both = ((least, turn), (turn, most))
        for best in {_lowest(partial(distance, totals), *ends) for ends in both}:
            step = means(totals, best + 1) - means(totals, best)
            known = max(fit.weighted_sum(step, step), 1e-300)
            precision = np.clip(known**-0.5, 1.0, max(1.0, abs(best) / 2))
            model = given.of_counts(like(counts, k, totals(best)))
            price = more + _fit_price(abs(best), precision)
            yield Hypothesis(words.format(best), model, price=price, reasoned=not given.still)


def fitted_weight(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Weigh the likelihood, or all but it, by the likeliest number."""
    if given.batch is not None or given.renyi or not has_divergence(given):
        return

    def of_likelihood(model: LossModel, logs: FloatArray) -> LossModel:
        weight = float(np.exp(np.clip(logs, -_FAR, _FAR)).item())
        return model._replace(likelihood_weight=given.likelihood_weight * weight)

    def of_divergence(model: LossModel, logs: FloatArray) -> LossModel:
        weight = float(np.exp(np.clip(logs, -_FAR, _FAR)).item())
        return of_likelihood(model, -logs)._replace(factor=given.factor * weight)

    ways = {"log likelihood": of_likelihood, "divergence from the prior": of_divergence}
    for what, changed in ways.items():
        if fit.noisy:
            found = fitted(given, fit, Expected.about(np.zeros(1), _WIDE), changed)
            if found is None:
                continue
            weight, price = np.exp(found.at.item()), found.price
        else:
            weight, price = _weight_of_values(given, fit, likelihood=changed is of_likelihood)
        if np.isfinite(weight) and 1e-6 < weight < 1e6:
            words = f"the {what} times {weight:.4g}"
            yield Hypothesis(
                words,
                changed(given, np.log([weight])),
                price=price,
                reasoned=not given.still,
            )


def _weight_of_values(given: LossModel, fit: Fit, *, likelihood: bool) -> tuple[float, float]:
    """Weight of the likelihood, or of all but it, by losses without noise, and its price."""
    still = fit.expected(given._replace(likelihood_weight=0.0))
    rest = fit.expected(given) - still
    line, other = (rest, still) if likelihood else (still, rest)
    known = fit.weighted_sum(line, line)
    weight = fit.weighted_sum(line, fit.losses - other) / known if known > 0 else np.nan
    return weight, _fit_price(abs(weight), max(known, 1e-300) ** -0.5)


def fitted_particles(given: LossModel, fit: Fit) -> Iterator[Hypothesis]:
    """Take the mean of another number of particles, a common one near the likeliest."""
    variance = fit.distribution.variance
    if not given.loss.random or variance.min() <= 0:
        return
    number = given.renyi.num_samples if given.renyi else given.num_particles
    away = (fit.losses - fit.distribution.mean) ** 2 / variance
    likeliest = number / max(float(away.mean()), 1e-12)
    error = np.sqrt(2 / away.size) + 0.5 * bool(given.renyi)
    near = [x for x in _COMMON if abs(np.log(x / likeliest)) <= 3 * error and x != number]
    for other in sorted(near, key=lambda x: abs(np.log(x / likeliest)))[:_MOST_NUMBERS]:
        if given.renyi:
            model = given._replace(loss=replace(given.renyi, num_samples=other))
        else:
            model = given._replace(num_particles=other)
        about = "about " if error > _ROUGH else ""
        yield Hypothesis(f"{about}{other}, not {number}", model, price=float(np.log(len(_COMMON))))
