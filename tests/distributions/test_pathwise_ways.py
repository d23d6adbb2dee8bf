"""The four ways to the pathwise derivatives, held against each other where they meet."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import special as sc

from elbo_ref.distributions.pathwise import field, fraction, mode, series, tail
from elbo_ref.distributions.pathwise.left import Left

AGREE = 3e-14


def left(y, a, b):
    y = np.atleast_1d(np.asarray(y, dtype=np.float64))
    return Left.of(y, *(np.broadcast_to(np.asarray(x, dtype=np.float64), y.shape) for x in (a, b)))


def keys(y, a, b):
    return field.keys(y, np.array((a, b)), np.arange(y.size))


def among(draws, chosen):
    return Left(*(x[chosen] for x in draws[:7]))


def counts(draws):
    """Numbers of pairs of levels; infinite where the fraction does not serve."""
    _, c, v, a, b, *_ = draws
    found = fraction.pairs(c, v, a)
    served = fraction.reaches(c, a, b) & (found < fraction.MOST + 1)
    served &= v <= np.where(c <= 0.5, a * 25 / 24 + 1, a)
    return np.where(served, np.floor(found), np.inf)


def reached(way, draws):
    """Tell where a way serves draws that are seen from this end."""
    _, c, v, a, *_ = draws
    if way == "fraction":
        return np.isfinite(counts(draws))
    if way == "tail":
        sizes = np.minimum(draws.a, draws.b), np.maximum(draws.a, draws.b)
        return ((v <= a) | (v >= a + 1)) & (sizes[0] < 2000) & (sizes[1] > 1)
    return {"series": series, "mode": mode}[way].reaches(c, v, a)


def by(way, draws):
    if way == "fraction":
        return by_fraction(draws, counts(draws))
    if way == "tail":
        return np.array(tail.derivatives(draws))
    return np.array({"series": series, "mode": mode}[way].derivatives(draws))


def by_fraction(draws, count):
    """P and Q in the order of the draws, which need not be that of their numbers of pairs."""
    count = np.broadcast_to(np.asarray(count, dtype=np.uint8), draws.y.shape)
    order = np.argsort(count, kind="stable")
    found = np.empty((2, draws.y.size))
    found[:, order] = fraction.derivatives(among(draws, order), count[order])
    return found


def agree(draws, *ways):
    one, other = (by(way, draws) for way in ways)
    error = np.abs(one / other - 1).max(axis=0)
    worst = np.argmax(error)
    assert error[worst] <= AGREE, (ways, error[worst], among(draws, [worst]))


def everywhere(seed, size=40_000):
    """Draws over the domain, seen from the nearer end: of any quantile, and beside the mode."""
    rng = np.random.default_rng(seed)
    a, b = 10 ** rng.uniform(-6, 8, (2, size))
    scale = np.minimum(np.sqrt(1 / a + 1 / b), 20) * rng.choice([0.1, 1, 10], size)
    y = np.log(a / b) + rng.normal(size=size) * scale
    return left(-np.abs(y), np.where(y > 0, b, a), np.where(y > 0, a, b))


def last_reached(way, a, b, low, high):
    """The neighbouring logits between which `way` stops to reach, which it does at `low`."""
    assert reached(way, left(low, a, b)).all() and not reached(way, left(high, a, b)).any()
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return low, high
        low, high = (middle, high) if reached(way, left(middle, a, b)).all() else (low, middle)


@pytest.mark.parametrize(
    ("one", "other"),
    [("fraction", "series"), ("fraction", "tail"), ("series", "tail"), ("mode", "tail")],
)
def test_wherever_two_ways_reach_they_agree(one, other):
    draws = everywhere(3)
    both = reached(one, draws) & reached(other, draws)
    assert both.sum() > 50
    agree(among(draws, both), one, other)


def test_each_draw_has_a_way_that_reaches():
    draws = everywhere(5)
    chosen = keys(draws.y, draws.a, draws.b)
    assert not (chosen >= field.REFLECTED)[draws.v <= draws.a].any()
    for key, way in ((field.MODE, "mode"), (field.SERIES, "series"), (field.TAIL, "tail")):
        served = chosen == key
        assert served.sum() > 100
        if way != "tail":
            assert reached(way, among(draws, served)).all()
    assert (chosen[counts(draws) < np.inf] % field.REFLECTED <= field.MODE).all()


def test_few_draws_are_right_too():
    """Ten at a time, by fewer ways: as the same draws among many."""
    draws = everywhere(6, 4000)
    many = field.derivatives(draws.y, draws.a, draws.b)
    for start in range(0, 4000, 10):
        ten = slice(start, start + 10)
        few = field.derivatives(draws.y[ten], draws.a[ten], draws.b[ten])
        np.testing.assert_allclose(few, many[:, ten], rtol=AGREE)


@pytest.mark.parametrize("particles", [2, 20, 300])
def test_pairs_in_turn(particles):
    """L pairs for n draws give what a pair for each draw gives, whatever the blocks are."""
    rng = np.random.default_rng(particles)
    a, b = 10 ** rng.uniform(-2, 3, (2, 211))
    y = np.log(a / b) + rng.normal(size=(particles, 211)) * np.minimum(1 / np.sqrt(a), 3)
    each = (np.broadcast_to(x, y.shape).ravel() for x in (a, b))
    wanted = field.derivatives(y.ravel(), *each)
    np.testing.assert_allclose(field.derivatives(y.ravel(), a, b), wanted, rtol=4e-15)


def test_draws_beyond_the_mode_are_seen_from_the_other_end():
    """Unless c is too near to 1 there; both sides agree with the integral over the tail."""
    rng = np.random.default_rng(4)
    a, b = 10 ** rng.uniform(0, 2, (2, 40_000))
    y = np.log(a / b) + 3 * np.sqrt(1 / a + 1 / b) * rng.random(40_000)
    y, a, b = (x[y < 0] for x in (y, a, b))
    other = keys(y, a, b) >= field.REFLECTED
    assert np.count_nonzero(other) > 4000 and sc.expit(y[other]).min() >= 0.08
    got = field.derivatives(y[other], a[other], b[other])
    wanted = by("tail", left(y[other], a[other], b[other]))
    np.testing.assert_allclose(got, wanted, rtol=AGREE)


@pytest.mark.parametrize("seed", range(3))
def test_the_number_of_pairs_suffices(seed):
    """Six pairs of levels more change nothing, at any draw that the fraction serves."""
    rng = np.random.default_rng(seed)
    size = 20_000
    a, b = 10 ** rng.uniform((-6, -2, 0)[seed], (8, 2, 3)[seed], (2, size))
    v = a * np.minimum(10 ** rng.uniform(-8, 1, size), 1 + 1 / a)
    c = np.minimum(v / (a + b), rng.uniform(0, 0.92, size))
    draws = left(np.log(c) - np.log1p(-c), a, b)
    count = counts(draws)
    served = np.isfinite(count)
    assert served.sum() > 3000
    for pairs in np.unique(count[served]).astype(int):
        some = among(draws, count == pairs)
        few, more = (by_fraction(some, pairs + n) for n in (0, 6))
        assert np.abs(few / more - 1).max() <= AGREE, pairs


def test_too_few_pairs_are_noticed():
    """Negative control: with two pairs less the same comparison fails."""
    draws = left(np.log([0.6, 0.5]), 20.0, 30.0)
    count = int(counts(draws).max())
    few, more = (by_fraction(draws, count + n) for n in (-2, 6))
    assert np.abs(few / more - 1).max() > 3 * AGREE


@pytest.mark.thorough
@given(st.floats(-6, 8), st.floats(-6, 8))
@settings(max_examples=150)
def test_fraction_and_tail_meet(log_a, log_b):
    """On either side of the last logit that the fraction reaches."""
    a, b = 10**log_a, 10**log_b
    if reached("fraction", left(0.0, a, b)).all():
        return
    ends = left(last_reached("fraction", a, b, -1e4 - 1e3 / a, 0.0), a, b)
    if reached("tail", ends).all():
        found = by_fraction(ends, int(counts(ends)[0]))
        np.testing.assert_allclose(found, by("tail", ends), rtol=AGREE)


@pytest.mark.parametrize("a", [1000.0, 3e4, 1e6, 1e8])
@pytest.mark.parametrize("ratio", [1.0, 3.0, 1e3, 1e7])
def test_mode_and_tail_meet(a, ratio):
    """On either side of both ends of the mode's reach."""
    b = a * ratio
    centre = -math.log(ratio)
    for away in (-1.0, 0.2):
        far = min(centre + away, 0.0)
        if mode.reaches(*left(far, a, b)[1:4]).all():
            continue
        agree(left(last_reached("mode", a, b, centre, far), a, b), "mode", "tail")


@pytest.mark.parametrize("b", [1000.0, 2e3, 1e5, 1e12])
def test_mode_begins_where_tail_is_still_right(b):
    """At the smallest concentration that the mode takes."""
    a = 1000.0
    y = math.log(a / b) + np.linspace(-0.06, 0.06, 41)
    draws = left(y[y <= 0], a, b)
    near = among(draws, reached("mode", draws))
    assert near.y.size > 0
    agree(near, "mode", "tail")


@given(st.floats(-6, 8), st.floats(-6, 8))
@settings(max_examples=100)
def test_both_tails_agree_at_the_mode(log_a, log_b):
    """Just below the mode the lower tail is integrated, just above it the upper tail."""
    a, b = sorted((10**log_a, 10**log_b))
    if 3 < a < 1000:
        centre = min(math.log(a / b), -1e-9)
        sides = centre + 4 * np.spacing(centre) * np.array([1.0, -1.0])
        below, above = by("tail", left(sides, a, b)).T
        np.testing.assert_allclose(below, above, rtol=AGREE)


@pytest.mark.thorough
@given(st.floats(-12, 12), st.floats(0, 12), st.floats(0, 9))
@settings(max_examples=300)
def test_the_panel_ends_far_out(log_odds, log_a, below_mode):
    """h is at least 36 there, and not much more."""
    y, a = log_odds, 1 + 10 ** (log_a - 4)
    b = a / math.exp(y) * math.exp(-below_mode)
    end = tail._panel_end(np.array([y]), np.array([a]), np.array([b]))[0]
    u = np.log1p(sc.expit(-y) * np.expm1(end))
    h = a * u + b * np.log1p(sc.expit(y) * np.expm1(-end))
    assert 34.99 <= h <= 40, (y, a, b, h)


def test_series_where_it_is_longest():
    """Beyond the largest number of terms nothing is left."""
    rng = np.random.default_rng(11)
    a, b = 10 ** rng.uniform(-6, 3, (2, 4000))
    y = -rng.exponential(size=4000) * 5
    draws = left(y, np.where(y > 0, b, a), np.where(y > 0, a, b))
    draws = among(draws, reached("series", draws))
    assert draws.y.size > 1000
    c, ratio = draws.c, 1.0
    for n in range(1, series._SIZES[-1][0] + 1):
        ratio = ratio * c * (draws.s + n - 1) / (draws.a + n)
    assert np.max(ratio) < 2e-16
