"""Loss models of other data than the counts: rows, orders, totals, or no observations at all.

Nothing is fitted to losses here; some orders of rows are read off the guide.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.label_order import in_order
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.prior_variants import divergence_from_posterior
from elbo_ref.crosscheck.variants import Hypothesis, has_pair
from elbo_ref.mle.binomial import log_coefficient
from elbo_ref.special import log_choose

_MOST_LATENTS = 200
"""Latents whose best order is looked for."""
_BYTE = 255
"""Largest number of 8 bits."""
_MOST_TRIALS = 1_000_000
"""Trials of all rows whose successes are drawn."""
_MOST_PAIRS = 1_000_000
"""Pairs of different successes and totals whose coefficients are added up."""
_CLOSER = 0.05
"""Part of the guide's divergence from the posterior that an order may leave."""
_OF_ORDER = 2.0
"""Log-likelihood penalty of an order of rows that was read off the guide."""
_ONE_TRIAL = 0.1
"""Share of runs without observations that draw one trial, as Pyro's Multinomial does by itself."""
_FEWEST_TO_FOLLOW, _BY_CHANCE = 7, 1e-3
"""Latents, and the probability of a correlation as high as theirs, that tell what a guide saw."""
_ORDERS, _LEAST = 24, 1e-3
"""Orders that are read off the guide; nats that a latent's guide is off its posterior, at least."""


def other_latents(given: LossModel) -> Iterator[Hypothesis]:
    """Make one latent of all rows, or one of each trial."""
    counts, params = given.counts, given.guide_parameters
    if given.batch is not None:
        return
    if len(counts) > 1 and (params == params[:, :, :1]).all():
        pooled = given.of_counts(counts.pooled())._replace(guide_parameters=params[:, :, :1])
        yield Hypothesis("one latent for all rows", pooled)
    k, f, w = counts.successes, counts.failures, counts.multiplicity
    if counts.total_count.max() > 1:
        outcomes = np.repeat((1, 0), len(counts))
        rows = given.of_counts(Counts(outcomes, 1, np.concatenate((w * k, w * f))))
        params = params if given.guide.shared else np.tile(params, 2)
        yield Hypothesis("one latent for each trial", rows._replace(guide_parameters=params))


def largest_totals(given: LossModel) -> Iterator[Hypothesis]:
    """Give all rows the largest total count."""
    counts = given.counts
    largest = np.full_like(counts.total_count, counts.total_count.max())
    if given.batch is None and known_by_row(counts):
        largest_for_all = like(counts, counts.successes, largest)
        yield Hypothesis("the largest for all", given.of_counts(largest_for_all))


def other_totals(given: LossModel) -> Iterator[Hypothesis]:
    """Take failures for totals or the reverse, the successes for totals, or their last 8 bits."""
    counts = given.counts
    if given.batch is not None or not known_by_row(counts):
        return
    k, n = counts.successes, counts.total_count
    others = {
        "successes and totals added": k + n,
        "the failures": n - k,
        "the successes, as no failure counts": k,
    }
    if n.max() > _BYTE:
        others[f"modulo {_BYTE + 1}, as 8 bits keep them"] = n % (_BYTE + 1)
    for words, totals in others.items():
        if (totals >= k).all():
            yield Hypothesis(words, given.of_counts(like(counts, k, totals)))


def other_rows(given: LossModel) -> Iterator[Hypothesis]:
    """Observe failures for successes, 1 for each row with a success, all trials, or none.

    Where concentrations can be exchanged, failures are no hypothesis of their own: that is the
    same.
    """
    counts = given.counts
    if given.batch is not None or not known_by_row(counts):
        return
    k, n = counts.successes, counts.total_count
    exchanged = has_pair(given) or not given.guide.parameter_names
    rows = {
        "failures for successes": n - k,
        "the successes are 1 where there is a success": np.minimum(k, 1),
        "the successes are all trials": n,
        "the successes are none": 0 * k,
    }
    for words, seen in rows.items():
        if exchanged and np.array_equal(seen, n - k):
            continue
        yield Hypothesis(words, given.of_counts(like(counts, seen, n)))


def broadcast(given: LossModel) -> Iterator[Hypothesis]:
    """Pair each latent with the successes, the totals, or both, of all rows.

    Of successes, totals and latents one is a column and the others are rows, or the reverse: what
    stands alone meets everything else.
    """
    counts, w = given.counts, given.counts.multiplicity
    if given.batch is not None or counts.num_latents == 1:
        return
    size = counts.num_latents
    k, n = counts.successes, counts.total_count
    all_k, all_n = (np.full_like(x, w @ x) for x in (k, n))
    rows = np.full(len(w), log_coefficient(counts))
    ways = {"latents": (all_k, all_n, rows)}
    possible = k.max() <= n.min() and not counts.log_split.any()
    pairs = _coefficients_of_pairs(counts) if possible else None
    if pairs is not None:
        ways["successes"] = all_k, size * n, pairs[1]
        ways["total counts"] = size * k, all_n, pairs[0]
    for what, (successes, totals, coefficients) in ways.items():
        split = np.minimum(coefficients - Counts(successes, totals, w).log_coefficient, 0.0)
        whole = Counts.from_columns(successes, totals, w, split)
        words = f"a column of {what} against a row of the rest"
        yield Hypothesis(words, given.of_counts(whole))


def _coefficients_of_pairs(counts: Counts) -> tuple[FloatArray, FloatArray] | None:
    """Add up log coefficients over all totals for each success, and over all successes for each n.

    None where there are too many.
    """
    w = counts.multiplicity.astype(np.float64)
    (k, of_k), (n, of_n) = (
        np.unique(x, return_inverse=True) for x in (counts.successes, counts.total_count)
    )
    if k.size * n.size > _MOST_PAIRS:
        return None
    pairs = log_choose(k[:, None], n[None])
    by_k, by_n = pairs @ np.bincount(of_n, w), np.bincount(of_k, w) @ pairs
    return by_k[of_k], by_n[of_n]


def unobserved(given: LossModel) -> Iterator[Hypothesis]:
    """Draw the successes in the model: they are not observed, and the guide follows none."""
    plain = given.batch is None and not given.renyi and not given.guide.is_point
    plain = plain and not _follows_counts(given)
    plain = plain and given.counts.total_count.sum() <= _MOST_TRIALS
    if plain and known_by_row(given.counts) and given.loss.name != "trace_mean_field":
        counts, words = given.counts, "the successes are drawn in the model"
        drawn = given._replace(observed=False)
        if np.all(counts.total_count == 1):
            yield Hypothesis(words, drawn)
            return
        yield Hypothesis(words, drawn, price=-float(np.log(2 * (1 - _ONE_TRIAL))))
        ones = np.ones_like(counts.total_count)
        one_each = Counts(np.minimum(counts.successes, 1), ones, counts.multiplicity)
        price, words = -float(np.log(2 * _ONE_TRIAL)), "one trial of each row is drawn in the model"
        yield Hypothesis(words, drawn.of_counts(one_each), price=price)


def _follows_counts(given: LossModel) -> bool:
    """Return True if the guide's latents are higher where the counts' proportions are.

    A run that has not seen the counts has a correlation of either sign, of which Student's t tells
    the probability, and no order of so many latents is less likely than another.
    """
    guide, size = given.guide, len(given.counts)
    params = guide.source_parameters(given.prior[:, -1], given.guide_parameters[:, -1])
    if guide.origin != "own" or params.shape[-1] < max(size, _FEWEST_TO_FOLLOW):
        return False
    logs = guide.source.expected_logs(params)
    counts = given.counts
    seen = np.log(counts.successes + 0.5) - np.log(counts.failures + 0.5)
    x, y = (z - z.mean() for z in (logs[0] - logs[1], seen))
    scale = np.sqrt((x @ x) * (y @ y))
    if not scale > 0:
        return False
    r = min(float(x @ y / scale), 1 - 1e-12)
    t = r * np.sqrt((size - 2) / (1 - r * r))
    return bool(sc.stdtr(size - 2, -t) < _BY_CHANCE)


def known_by_row(counts: Counts) -> bool:
    """Return True if each latent has one row, or all rows are single trials."""
    return not counts.log_split.any() or _all_single_trials(counts)


def like(counts: Counts, successes: IntArray, total_count: IntArray) -> Counts:
    """Make counts of other numbers, in one row for each latent or in single trials as they are."""
    if not counts.log_split.any():
        return Counts(successes, total_count, counts.multiplicity)
    split = -log_choose(successes, total_count)
    return Counts.from_columns(successes, total_count, counts.multiplicity, split)


def _all_single_trials(counts: Counts) -> bool:
    return bool(np.all(np.abs(counts.log_coefficient) <= 1e-9 * np.abs(counts.log_split)))


def permuted(given: LossModel) -> Iterator[Hypothesis]:
    """Put the rows into another order, if the guide is the posterior of the rows in that order.

    A common one, or that which the guide fits best.
    """
    counts, params = given.counts, given.guide_parameters
    size = len(counts)
    own = size == counts.num_latents == params.shape[2] <= _MOST_LATENTS
    if not own or given.batch is not None or given.guide.is_point:
        return
    k, n = counts.successes, counts.total_count
    divergence = _divergences(given)
    rows = np.arange(size)
    orders = {"in reverse": rows[::-1], "each one place later": np.roll(rows, 1)}
    orders["each one place earlier"] = np.roll(rows, -1)
    for words, by in (("successes", k), ("total counts", n), ("proportions", k / np.maximum(n, 1))):
        order = np.argsort(by, kind="stable")
        orders |= {f"sorted by {words}": order, f"sorted by {words}, largest first": order[::-1]}
        orders[f"not sorted by {words}"] = np.argsort(order)
    prices = dict.fromkeys(orders, 0.0)
    least = divergence.min(axis=1).sum()
    before = np.trace(divergence) - least
    for number, order in enumerate(_orders_of_guide(given, divergence)):
        orders[f"as the guide's parameters have it ({number + 1})"] = order
    for words, order in orders.items():
        after = divergence[rows, order].sum() - least
        if after <= _CLOSER * before and ((k[order] != k) | (n[order] != n)).any():
            model = given.of_counts(in_order(counts, order))
            yield Hypothesis(words, model, price=prices.get(words, _OF_ORDER))


def _orders_of_guide(given: LossModel, divergence: FloatArray) -> list[NDArray[np.intp]]:
    """Draw orders of rows as probable as the guide makes them, the most probable first.

    A guide's divergence from its own row's posterior is noise: it has about the mean that the best
    order leaves. An order of perturbed divergences is then drawn, nearly, as its probability is
    (Papandreou & Yuille 2011).
    """
    rows, best = np.arange(len(divergence)), scipy.optimize.linear_sum_assignment(divergence)[1]
    own = divergence_from_posterior(LinearForm.of(given.last))
    left = (own + divergence[rows, best] - np.diag(divergence)).mean()
    rng = np.random.default_rng(0)
    noise = rng.gumbel(size=(_ORDERS, *divergence.shape)) * max(float(left), _LEAST)
    return [best, *(scipy.optimize.linear_sum_assignment(divergence - x)[1] for x in noise)]


def _divergences(given: LossModel) -> FloatArray:
    """Divergence of each latent's guide from the posterior of each row, but for a constant of each.

    That of latent g from row h is log B(a0 + K, b0 + F) - K E log c - F E log(1 - c).
    """
    form = LinearForm.of(given.last)
    a, b = form.model.prior.squeeze(axis=1)
    k, f = form.task.counts.successes, form.task.counts.failures
    of_success, of_failure = form.expected_logs().squeeze(axis=1)[:, :, None]
    return np.asarray(sc.betaln(a + k, b + f) - of_success * k - of_failure * f)
