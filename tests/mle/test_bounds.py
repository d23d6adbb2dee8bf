"""Bounds on intervals of a profile beside a slow twin: each term at its extreme, on a fine grid.

The twin knows the derivatives f_v, f_vv, f_vm and f_mm of (E10), as the classes state them, and the
ranges of m, 1 - m and the coordinate; it finds the extreme of every term by trying 4001 values of
what the term depends on, and adds these up. At a point the bounds are the derivatives themselves.
"""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.mle import profile_likelihood
from elbo_ref.mle.binomial import BinomialLimit, totals
from elbo_ref.mle.branch_and_bound import Component
from elbo_ref.mle.factorial_sums import FactorialSums
from elbo_ref.mle.lines import (
    Concentration0Profile,
    ConcentrationProfile,
    GammaProfile,
    best_mean,
)
from elbo_ref.mle.mean_test import _maximum
from elbo_ref.mle.profile_likelihood import _LOG, _LOGIT, _crossing, _gap, connected_parts
from elbo_ref.mle.tests import same_prior_test
from tiers import few

mp = mpmath.mp.clone()
mp.dps = 40

DATA = {
    "overdispersed": er.Counts([0, 3, 9, 1, 10], [10, 10, 10, 4, 12]),
    "two trials": er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]),
    "rare": er.Counts([1, 0, 6], [90, 70, 80]),
}
ENDS = [(0.02, 0.021), (0.5, 0.8), (2.0, 9.0), (40.0, 44.0), (3e3, 1e4)]
SHARES = np.linspace(0, 1, 4001)


def profile_of(kind, counts, free=True):
    k, f = totals(counts)
    mean = Fraction(k, k + f) if free else Fraction(1, 4)
    limit = BinomialLimit.of(counts, mean)
    return kind(FactorialSums.of(counts), np.array([0.01, 1e4]), limit=limit, free=free)


def terms(part):
    return list(zip(part.weight.tolist(), part.offset.tolist(), strict=True))


def extremes(function, *ranges):
    """The least and the greatest of a function that is monotone in all but its first argument."""
    first = ranges[0][0] + SHARES * (ranges[0][1] - ranges[0][0])
    corners = [()]
    for pair in ranges[1:]:
        corners = [(*x, y) for x in corners for y in pair]
    values = np.array([function(first, *corner) for corner in corners])
    return values.min(), values.max()


def sum_of(part, function, *ranges):
    """The sum over a part's terms of their extremes."""
    low = high = 0.0
    for w, t in terms(part):
        least, most = extremes(lambda *x, t=t: function(t, *x), *ranges)
        low, high = low + w * least, high + w * most
    return np.array([low, high])


def twin(profile, low, high):
    """Least and greatest slope, and the greatest second derivative, by extremes of terms."""
    sums = profile.sums
    up, down, _, excess, mixed = sums
    by_s = isinstance(profile, ConcentrationProfile)
    gammas = (1 / high, 1 / low) if by_s else (low, high)
    ends = [best_mean(sums, *(np.array([x]) for x in pair)) for pair in (gammas, gammas[::-1])]
    m = ends[1][0][0], ends[0][0][0]
    rest = ends[0][1][0], ends[1][1][0]
    if not profile.free:
        m, rest = (0.25, 0.25), (0.75, 0.75)
    v = (low, high)
    if not by_s:
        gain = sum_of(up, lambda t, g, m: t / (m + t * g), v, m)
        extra = sum_of(down, lambda t, g, m, r: m * t / ((r + t * g) * (1 + t * g)), v, m, rest)
        loss = sum_of(excess, lambda t, g: t / (1 + t * g), v)
        slope = gain + extra - loss[::-1]
        plus = sum_of(excess, lambda t, g: (t / (1 + t * g)) ** 2, v)[1]
        minus = sum_of(up, lambda t, g, m: (t / (m + t * g)) ** 2, v, m)[0]

        def bend(t, g, m, r):
            w, y = r + t * g, 1 + t * g
            return m * t * t * (1 / w + 1 / y) / (w * y)

        minus += sum_of(down, bend, v, m, rest)[0]
        curvature = plus - minus
        ups = sum_of(up, lambda t, g, m: t / (m + t * g) ** 2, v, m)
        downs = sum_of(down, lambda t, g, r: t / (r + t * g) ** 2, v, rest)
        steep = sum_of(up, lambda t, g, m: 1 / (m + t * g) ** 2, v, m)[0]
        steep += sum_of(down, lambda t, g, r: 1 / (r + t * g) ** 2, v, rest)[0]
    else:
        a, b = (m[0] * low, m[1] * high), (rest[0] * low, rest[1] * high)
        gain = sum_of(up.positive, lambda t, a: a / (a + t), a)
        extra = sum_of(down, lambda t, a, b, s: a * t / ((b + t) * (s + t)), a, b, v)
        loss = sum_of(excess.positive, lambda t, s: s / (s + t), v)
        slope = mixed + gain - extra[::-1] - loss[::-1]
        plus = sum_of(up.positive, lambda t, a: a * t / (a + t) ** 2, a)[1]

        # of a product of ranges whose first may have either sign: each factor at its extreme
        down_bends = 0.0
        for w, t in terms(down):
            most = v[1] * b[1] - t * t
            i = int(most <= 0)
            down_bends += w * t * a[1 - i] * most / ((b[i] + t) * (v[i] + t)) ** 2
        minus = sum_of(excess.positive, lambda t, s: s * t / (s + t) ** 2, v)[0]
        curvature = plus + down_bends - minus
        ups = sum_of(up, lambda t, a, s: s * t / (a + t) ** 2, a, v)
        downs = sum_of(down, lambda t, b, s: s * t / (b + t) ** 2, b, v)
        steep = low**2 * sum_of(up.positive, lambda t, a: 1 / (a + t) ** 2, a)[0]
        steep += low**2 * sum_of(down, lambda t, b: 1 / (b + t) ** 2, b)[0]
        steep += up.weight[0] / m[1] ** 2 * (low / high) ** 2
    if profile.free:
        cross = max((downs[1] - ups[0]) ** 2, (downs[0] - ups[1]) ** 2)
        curvature += cross / steep
    return slope[0], slope[1], curvature


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("kind", [GammaProfile, ConcentrationProfile])
@pytest.mark.parametrize("name", few(DATA))
def test_bounds_are_sums_of_extreme_terms(name, kind, free, ends):
    profile = profile_of(kind, DATA[name], free)
    low, high = (1 / ends[1], 1 / ends[0]) if kind is GammaProfile else ends
    box = profile.bounds(np.array([low]), np.array([high]))
    least, greatest, curvature = twin(profile, low, high)
    length = np.log(high / low) if kind is ConcentrationProfile else high - low
    size = abs(least) + abs(greatest)
    room = 1e-5 * size
    assert box.length[0] == pytest.approx(length, rel=1e-13)
    assert box.least[0] == pytest.approx(least, abs=room)
    assert box.greatest[0] == pytest.approx(greatest, abs=room)
    assert box.curvature[0] == pytest.approx(curvature, rel=1e-4, abs=1e-6 * size)


def second_derivative(counts, kind, x, mean=None):
    """P'' in v of the profile at a point, by 40 digits: f_vv + f_vm^2/|f_mm| at the best mean."""
    rows = [
        (int(k), int(n), int(w))
        for k, n, w in zip(counts.successes, counts.total_count, counts.multiplicity, strict=True)
    ]

    def height(v, m):
        s = mp.exp(v) if kind is ConcentrationProfile else 1 / v
        a, b, total = m * s, (1 - m) * s, mp.mpf(0)
        for k, n, w in rows:
            total += w * sum((mp.log(a + t) for t in range(k)), mp.mpf(0))
            total += w * sum((mp.log(b + t) for t in range(n - k)), mp.mpf(0))
            total -= w * sum((mp.log(s + t) for t in range(n)), mp.mpf(0))
        return total

    v, h = (mp.log(x) if kind is ConcentrationProfile else mp.mpf(x)), mp.mpf(10) ** -10
    h_v = h if kind is ConcentrationProfile else h * x
    m = mp.mpf(mean)
    at = {(i, j): height(v + i * h_v, m + j * h * m) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    f_vv = (at[1, 0] - 2 * at[0, 0] + at[-1, 0]) / h_v**2
    f_mm = (at[0, 1] - 2 * at[0, 0] + at[0, -1]) / (h * m) ** 2
    f_vm = (at[1, 1] - at[1, -1] - at[-1, 1] + at[-1, -1]) / (4 * h_v * h * m)
    return f_vv, f_vm**2 / -f_mm


@pytest.mark.parametrize("kind", [GammaProfile, ConcentrationProfile])
@pytest.mark.parametrize("name", few(DATA, 2))
def test_at_a_point_the_second_derivative_has_room_for_rounding(name, kind):
    """It is the exact one and a 1e-12 part of what moving the mean adds, or a little more."""
    counts = DATA[name]
    for x in (0.4, 3.0):
        profile = profile_of(kind, counts)
        at = np.array([x])
        mean = float(profile.line(at).m[0])
        own, moved = second_derivative(counts, kind, x, mean)
        exact, bound = float(own + moved), profile.bounds(at, at).curvature[0]
        size = abs(float(own)) + float(moved)
        assert bound - exact >= 0.3e-12 * float(moved)
        assert bound - exact <= 3e-12 * float(moved) + 1e-12 * size
        held = profile_of(kind, counts, free=False)
        own, _ = second_derivative(counts, kind, x, 0.25)
        away = held.bounds(at, at).curvature[0] - float(own)
        assert 0 <= away <= 1e-12 * abs(float(own)) + 1e-13 * size


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("a", [0.3, 5.0])
def test_bounds_of_a_given_concentration1(a, ends):
    """Sums of terms that are monotone in b: their extremes are at the ends."""
    profile = Concentration0Profile.of(FactorialSums.of(DATA["overdispersed"]), a)
    low, high = ends
    box = profile.bounds(np.array([low]), np.array([high]))
    down, excess = profile.sums.failures, profile.sums.excess

    def gain(b):
        w, y = b + down.offset, a + b + down.offset
        return a / (w * y) @ down.weight, a / (w * y) * (1 / w + 1 / y) @ down.weight

    def loss(b):
        e = a + b + excess.offset
        return (1 / e) @ excess.weight, (1 / e**2) @ excess.weight

    assert box.length[0] == high - low
    assert box.least[0] == pytest.approx(gain(high)[0] - loss(low)[0], rel=1e-12, abs=1e-14)
    assert box.greatest[0] == pytest.approx(gain(low)[0] - loss(high)[0], rel=1e-12, abs=1e-14)
    assert box.curvature[0] == pytest.approx(loss(low)[1] - gain(high)[1], rel=1e-12, abs=1e-14)
    rounding = 8 * 2.0**-52 * (gain(low)[0] + loss(low)[0])
    assert box.least[0] < gain(high)[0] - loss(low)[0] - 0.8 * rounding
    assert box.greatest[0] > gain(low)[0] - loss(high)[0] + 0.8 * rounding


# -- what stands beside the search -----------------------------------------------------------------


def test_a_golden_section_stays_inside_and_comes_close():
    """Of a function that is known: to 1e-6 of the place, in some 45 values."""
    for top in (0.0, 0.13, 0.61, 2.0):
        seen = []

        def height(x, top=top, seen=seen):
            seen.append(x)
            return 3.0 - (x - top) ** 2

        assert _maximum(height, 0.0, 2.0) == pytest.approx(3.0, abs=1e-12)
        assert min(seen) >= 0.0 and max(seen) <= 2.0
        assert len(seen) < 45
    near = []
    _maximum(lambda x: near.append(x) or -abs(x - 1e-3), 0.0, 2e-3)
    assert len(near) < 45 and min(abs(x - 1e-3) for x in near) < 1e-8


@pytest.mark.parametrize(("end", "found"), [(5.0, 1.7), (-5.0, -1.7), (1.5, None), (-1.5, None)])
def test_where_a_function_crosses_zero(end, found):
    seen = []

    def excess(x):
        seen.append(x)
        return 1.7**2 - x * x

    got = _crossing(excess, lambda *_: None, 0.0, end)
    assert (got is None) == (found is None)
    assert found is None or got == pytest.approx(found, rel=1e-12)
    assert max(map(abs, seen)) <= abs(end)


def test_a_gap_between_two_starts():
    """Positive up to 1 and from 2.5 on; None where it is positive throughout."""

    def excess(x):
        return (x - 1.0) * (x - 2.5)

    assert _gap(excess, lambda x: 0.0 if x < 2 else 3.0, 0.0, 3.0) == pytest.approx((1.0, 2.5))
    assert _gap(lambda x: 1.0, lambda x: 0.0 if x < 1.234 else 3.0, 0.0, 3.0) is None


def test_scales_and_their_ends():
    for x in (0.1, 0.5, 0.999):
        assert _LOGIT.out_of(_LOGIT.into(x)) == pytest.approx(x, rel=1e-14)
        assert _LOG.out_of(_LOG.into(x)) == pytest.approx(x, rel=1e-14)
    assert (_LOGIT.into(0.0), _LOGIT.into(1.0)) == (-np.inf, np.inf)
    assert (_LOG.into(0.0), _LOG.into(1.0)) == (-np.inf, 0.0)
    assert (_LOGIT.first, _LOGIT.last) == (pytest.approx(np.log(1e-80)), 36.0)
    assert (_LOG.first, _LOG.last) == pytest.approx((np.log(1e-12), np.log(1e15)))
    assert (_LOGIT.limits, _LOG.limits) == ((0.0, 1.0), (0.0, np.inf))


class Straight:
    """A profile whose coordinate is the concentration."""

    def along(self, x):
        return np.asarray(x, float)

    def prior(self, x):
        return er.Beta(x / 4, 3 * x / 4)


@pytest.mark.parametrize(
    ("height", "near", "ranges"),
    [
        (1.0, 10.0, [(0.0, 3.0), (5.0, 20.0), (30.0, np.inf)]),  # joined at 10, where P is high
        (-1.0, 10.0, [(0.0, 3.0), (5.0, 10.0), (10.0, 20.0), (30.0, np.inf)]),
        (1.0, 9.0, [(0.0, 3.0), (5.0, 9.0), (10.0, 20.0), (30.0, np.inf)]),
    ],
)
def test_parts_of_two_profiles_are_joined_where_they_meet(monkeypatch, height, near, ranges):
    """The first profile is at the large concentrations; the other begins at (10, height)."""
    sets = [
        (
            Straight(),
            (np.inf, 0.0),
            [Component(10.0, 20.0, 12.0), Component(30.0, 40.0, 35.0)],
            True,
        ),
        (Straight(), (10.0, height), [Component(1.0, 3.0, 2.0), Component(5.0, near, 7.0)], True),
    ]
    monkeypatch.setattr(profile_likelihood, "_superlevel_sets", lambda *_: iter(sets))
    parts, proven = connected_parts.__wrapped__(er.Counts([3, 4, 9], 10), None, 0.0)
    assert proven and [(part.low, part.high) for part in parts] == ranges
    assert parts[0].prior.arrays() == (1.5, 0.5)  # more successes than failures: exchanged


def test_a_statistic_is_at_least_zero():
    """Whatever rounding, or groups that are none of the whole, make of it."""
    low, high = (er.maximize_evidence(er.Counts(k, 10)) for k in ([1, 9, 5, 2], [4, 4]))
    found = same_prior_test(high, [low, low])
    assert (found.statistic, found.pvalue) == (0.0, 1.0)
    alone = same_prior_test(low, [low])
    assert (alone.statistic, alone.pvalue) == (0.0, 1.0)


def test_the_error_of_a_maximum_at_a_given_concentration():
    """What rounding leaves open of it: a few of them, though its terms are a thousand times one."""
    counts = er.Counts([40, 61, 70], 100, multiplicity=[300, 200, 100])
    for s in (1e-3, 1.0, 1e4):
        maximum = er.maximize_evidence(counts, {"concentration": s})
        assert 4 * 2.0**-52 <= maximum.relative_error < 1e-13
        assert maximum.concentration == pytest.approx(s, rel=1e-15)
