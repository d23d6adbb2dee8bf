"""Losses of which nothing is known: a slow twin of their marginal likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from elbo_ref.crosscheck.unknown_origin import log_marginal_likelihood


def charge(x, errors, columns):
    """Log of the range of each number over its standard error."""
    ranges = 4 * (1 + np.abs(x).max()) / np.abs(columns).max(axis=1)
    return np.log1p(ranges / errors).sum()


def height_of(z):
    """Log density of standardized numbers: normal, or Pearson's type III of their third moment."""
    normal = stats.norm.logpdf(z).sum()
    if z.size < 10:
        return normal
    third = np.clip(np.mean(z**3), -4, 4)
    skewed = stats.pearson3.logpdf(z, third).sum() - np.log1p(4 * np.sqrt(z.size / 6))
    return max(normal, skewed) if np.isfinite(skewed) else normal


def block(x, columns, sigma, least):
    """A linear function and noise of an unknown multiple of sigma."""
    a = (columns / sigma).T
    fitted = np.linalg.solve(a.T @ a, a.T @ (x / sigma)) if x.size >= len(columns) else None
    away = (x - fitted @ columns) / sigma
    scale = 1.0
    price = 0.0
    if x.size > len(columns):
        scale = max(np.sqrt(away @ away / (x.size - len(columns))), (least / sigma).max())
        price = np.log1p(8 * np.sqrt(2 * x.size))
    errors = scale / np.sqrt((a**2).sum(axis=0))
    height = height_of(away / scale) - np.log(sigma * scale).sum()
    return height - price - charge(x, errors, columns)


def level(x, spread):
    """An unknown level and a known spread."""
    mean = np.average(x, weights=spread**-2.0)
    height = stats.norm.logpdf(x, mean, spread).sum()
    return height - charge(x, np.array([np.sum(spread**-2.0) ** -0.5]), np.ones((1, x.size)))


def twin(losses, allowance, expected, variance):
    least = np.maximum(allowance, 1e-16 * (1 + np.abs(losses)))
    noise = np.sqrt(variance + least**2)
    heights = []
    for number in (1, 2, 4, 8):
        if number > 1 and losses.size // number < 5:
            break
        parts = np.array_split(np.arange(losses.size), number)
        one = [np.ones((1, x.size)) for x in parts]
        own = [np.sqrt(least[x] ** 2 + _spread(losses[x], least[x]) ** 2) for x in parts]
        rows = list(zip(parts, one, own, strict=True))
        heights.append(sum(block(losses[x], c, s, least[x]) for x, c, s in rows))
        away = losses - expected
        # where the model's spread is no larger than what is allowed for, the losses' own is taken
        same = np.array_equal(noise, least)
        own = [np.sqrt(least[x] ** 2 + _spread(away[x], least[x]) ** 2) for x in parts]
        sigmas = own if same else [noise[x] for x in parts]
        rows = zip(parts, one, sigmas, strict=True)
        heights.append(sum(block(away[x], c, s, least[x]) for x, c, s in rows))
        heights.append(sum(level(losses[x], noise[x]) for x in parts))
    if losses.size >= 5 and np.ptp(expected) > 0:
        columns = np.array((np.ones(losses.size), expected))
        same = np.array_equal(noise, least)
        sigma = np.sqrt(least**2 + _spread(losses, least) ** 2) if same else noise
        heights.append(block(losses, columns, sigma, least))
    return special.logsumexp(heights) - np.log(len(heights))


def _spread(x, least):
    precise = x[least <= 2 * least.min()]
    return np.std(precise) if precise.size > 1 else 0.0


def case(size, seed, variance=1.0, allowance=0.0, skew=False, rising=True):
    rng = np.random.default_rng(seed)
    noise = rng.gamma(0.5, size=size) * np.sqrt(2) if skew else rng.normal(size=size)
    expected = np.linspace(3.0, 9.0, size) if rising else np.full(size, 5.0)
    losses = 2 + 1.2 * expected + noise
    return losses, np.full(size, allowance), expected, np.full(size, variance)


CASES = {
    "one loss": case(1, 1),
    "two losses": case(2, 2),
    "four losses, of which none is compared with a line": case(4, 3),
    "five losses": case(5, 4),
    "five losses of one set of parameters": case(5, 4, rising=False),
    "ten losses, of two blocks": case(10, 5),
    "nine, of one": case(9, 5),
    "nineteen, of two": case(19, 6),
    "twenty, of four": case(20, 6),
    "forty, of eight": case(40, 7),
    "skewed": case(60, 8, skew=True),
    "skewed, of one set": case(12, 8, skew=True, rising=False),
    "more than so skewed": (np.r_[np.zeros(59), 40.0], np.full(60, 1e-3), np.ones(60), np.ones(60)),
    "without a spread": case(20, 9, variance=0.0, allowance=0.05),
    "printed": case(20, 10, allowance=0.05),
    "printed coarsely": case(20, 10, allowance=5.0),
    "a model's of much more spread": case(20, 11, variance=100.0),
    "two precisions": (
        *case(20, 12)[:1], np.repeat((1e-3, 0.4), 10), *case(20, 12, variance=0.0)[2:]
    ),
    "one that is precise": (
        *case(20, 12)[:1], np.r_[1e-3, np.full(19, 0.4)], *case(20, 12, variance=0.0)[2:]
    ),
    "means that hardly differ": (
        *case(20, 15)[:2], np.linspace(5.0, 5.9, 20), np.full(20, 1.0)
    ),
    "twice as precise": (
        *case(20, 12)[:1], np.repeat((0.125, 0.25), 10), *case(20, 12, variance=0.0)[2:]
    ),
    "more than twice as precise": (
        *case(20, 12)[:1], np.repeat((0.125, 0.3), 10), *case(20, 12, variance=0.0)[2:]
    ),
    "equal": (np.full(6, 3.0), np.full(6, 1e-6), np.full(6, 1.0), np.zeros(6)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_against_the_twin(name):
    """Of a gamma density the saddlepoint formula leaves some thousandths."""
    error = 3e-3 if "skewed" in name else 2e-6
    assert log_marginal_likelihood(*CASES[name]) == pytest.approx(twin(*CASES[name]), abs=error)


@pytest.mark.parametrize("value", [0.0, 4.0])
def test_no_loss_is_known_better_than_a_float(value):
    """To some nats of a hundred and sixty, as there rounding decides."""
    exact = np.full(6, value), np.zeros(6), np.full(6, value), np.zeros(6)
    assert log_marginal_likelihood(*exact) == pytest.approx(twin(*exact), abs=1e-6 + value)


def test_a_right_model_is_the_better_account_and_a_wrong_one_is_not():
    """By much more than the prior odds of five nats, of forty losses."""
    losses, allowance, expected, variance = case(40, 13)
    unknown = log_marginal_likelihood(losses, allowance, expected, variance)
    right = stats.norm.logpdf(losses, 2 + 1.2 * expected, np.sqrt(variance)).sum()
    wrong = stats.norm.logpdf(losses, 1.2 * expected, np.sqrt(variance)).sum()
    assert right - 5 > unknown > wrong + 5


def test_a_variance_is_none_below_zero():
    """Rounding of an exact model may make it so."""
    losses = 5 + 0.05 * np.random.default_rng(14).normal(size=20)
    given = losses, np.full(20, 0.05), np.full(20, 5.0)
    below, none = (log_marginal_likelihood(*given, np.full(20, x)) for x in (-1e-3, 0.0))
    assert below == none
