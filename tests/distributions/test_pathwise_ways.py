"""The three ways to the pathwise derivatives, held against each other where they meet."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import special as sc

from elbo_ref.distributions.pathwise import mode, series, tail
from elbo_ref.distributions.pathwise.left import Left

AGREE = 3e-14


def left(y, a, b):
    y = np.atleast_1d(np.asarray(y, dtype=np.float64))
    return Left.of(y, np.zeros(y.shape, dtype=bool), a, b)


def last_reached(way, a, b, low, high):
    """The neighbouring logits between which `way` stops to reach, which it does at `low`."""
    assert way.reaches(left(low, a, b)).all() and not way.reaches(left(high, a, b)).any()
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return low, high
        low, high = (middle, high) if way.reaches(left(middle, a, b)).all() else (low, middle)


def agree(draws, *ways):
    one, other = (way.derivatives(draws) for way in ways)
    error = np.abs(one / other - 1).max()
    assert error <= AGREE, (draws, one, other, error)


def test_wherever_two_ways_reach_they_agree():
    """40,000 draws over the domain: of random quantiles, beside the mode, and anywhere."""
    rng = np.random.default_rng(3)
    a, b = 10 ** rng.uniform(-6, 8, (2, 40_000))
    scale = np.minimum(np.sqrt(1 / a + 1 / b), 20) * rng.choice([0.1, 1, 10], a.size)
    y = np.log(a / b) + rng.normal(size=a.size) * scale
    draws = Left.of(y, y > 0, a, b)
    by_series, by_mode, by_tail = (way.reaches(draws) for way in (series, mode, tail))
    assert (by_series | by_mode | by_tail).all()
    for (one, other), both in (
        ((series, tail), by_series & by_tail & ~by_mode),
        ((series, mode), by_series & by_mode),
        ((mode, tail), by_mode & by_tail & (np.minimum(draws.a, draws.b) < 2000)),
    ):
        if both.any():
            agree(draws.among(both), one, other)
        assert one is series or both.any()


@pytest.mark.thorough
@given(st.floats(-6, 8), st.floats(-6, 8))
@settings(max_examples=150)
def test_series_and_tail_meet(log_a, log_b):
    """On either side of the last logit that the series reaches."""
    a, b = 10**log_a, 10**log_b
    if series.reaches(left(0.0, a, b)).all():
        return
    agree(left(last_reached(series, a, b, -1e4 - 1e3 / a, 0.0), a, b), series, tail)


@pytest.mark.parametrize("a", [1000.0, 3e4, 1e6, 1e8])
@pytest.mark.parametrize("ratio", [1.0, 3.0, 1e3, 1e7])
def test_mode_and_tail_meet(a, ratio):
    """On either side of both ends of the mode's reach."""
    b = a * ratio
    centre = -math.log(ratio)
    for away in (-1.0, 0.2):
        far = min(centre + away, 0.0)
        if mode.reaches(left(far, a, b)).all():
            continue
        agree(left(last_reached(mode, a, b, centre, far), a, b), mode, tail)


@pytest.mark.parametrize("b", [1000.0, 2e3, 1e5, 1e12])
def test_mode_begins_where_tail_is_still_right(b):
    """At the smallest concentration that the mode takes."""
    a = 1000.0
    y = math.log(a / b) + np.linspace(-0.06, 0.06, 41)
    draws = left(y[y <= 0], a, b)
    near = draws.among(mode.reaches(draws))
    assert near.y.size > 0
    agree(near, mode, tail)


@given(st.floats(-6, 8), st.floats(-6, 8))
@settings(max_examples=100)
def test_both_tails_agree_at_the_mode(log_a, log_b):
    """Just below the mode the lower tail is integrated, just above it the upper tail."""
    a, b = sorted((10**log_a, 10**log_b))
    if 0.3 < a < 1000:
        centre = min(math.log(a / b), -1e-9)
        sides = centre + 4 * np.spacing(centre) * np.array([1.0, -1.0])
        below, above = tail.derivatives(left(sides, a, b)).T
        np.testing.assert_allclose(below, above, rtol=AGREE)


@given(st.floats(-12, 12), st.floats(0, 12), st.floats(0, 9))
@settings(max_examples=300)
def test_the_panel_ends_far_out(log_odds, log_a, below_mode):
    """h is at least 37 there, and not much more."""
    y, a = log_odds, 1 + 10 ** (log_a - 4)
    b = a / math.exp(y) * math.exp(-below_mode)
    end = tail._panel_end(np.array([y]), np.array([a]), np.array([b]))[0]
    u = np.log1p(sc.expit(-y) * np.expm1(end))
    h = a * u + b * np.log1p(sc.expit(y) * np.expm1(-end))
    assert 36.99 <= h <= 41, (y, a, b, h)


def test_series_where_it_is_longest():
    """The truncation at TERMS: twice as many terms change nothing."""
    rng = np.random.default_rng(11)
    a, b = 10 ** rng.uniform(-6, 3, (2, 4000))
    y = -rng.exponential(size=4000) * 5
    draws = Left.of(y, y > 0, a, b)
    draws = draws.among(series.reaches(draws))
    assert draws.y.size > 1000
    c, ratio = draws.c, 1.0
    for n in range(1, series.TERMS + 1):
        ratio = ratio * c * (draws.s + n - 1) / (draws.a + n)
    assert np.max(ratio) < 2e-16
