"""The lines of profiles: which coordinates refine a maximum, where profiles begin and meet."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.mle import lines, profile as profile_module
from elbo_ref.mle.binomial import BinomialLimit, totals
from elbo_ref.mle.factorial_sums import FactorialSums, WeightedOffsets
from elbo_ref.mle.lines import (
    Concentration0Profile,
    ConcentrationProfile,
    GammaProfile,
    best_mean,
    profiles_over_concentration,
)
from elbo_ref.mle.near_binomial import LARGE, large_from
from elbo_ref.mle.newton import FromBinomialLimit, LogitMeanLogConcentration, RefinedMaximum
from profiles import COUNTS as DATA

EPS = 2.0**-52
mp = mpmath.mp.clone()
mp.dps = 30


def profile_of(kind, counts, free=True):
    k, f = totals(counts)
    limit = BinomialLimit.of(counts, Fraction(k, k + f) if free else Fraction(1, 4))
    return kind(FactorialSums.of(counts), np.array([0.01, 1e4]), limit=limit, free=free)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        (9.0, 9.0, True), (8.9, 9.0, False), (9.0, 8.9, False), (100.0, 2.0, False),
        (2.0, 100.0, False), (50.0, 60.0, True),
    ],
)  # fmt: skip
def test_two_ways_to_refine_beyond_all_offsets(monkeypatch, free, a, b, both):
    """Of 10 successes and 10 failures at most the last offsets are 9; the surer way is taken."""
    tried = []

    def refine(at, prior):
        tried.append((type(at), at.held, prior))
        error = {LogitMeanLogConcentration: 1e-9, FromBinomialLimit: 1e-12}[type(at)]
        return RefinedMaximum(er.Beta(1.0, error), error, None)

    monkeypatch.setattr(lines, "refine", refine)
    counts = er.Counts([0, 3, 10, 1, 10], [10, 10, 11, 4, 12])
    prior = er.Beta(a, b)
    found = profile_of(GammaProfile, counts, free).refined(prior)
    kinds = [LogitMeanLogConcentration, FromBinomialLimit][: 1 + both]
    assert tried == [(kind, int(not free), prior) for kind in kinds]
    assert found.relative_error == (1e-12 if both else 1e-9)


def terms_of_sizes(profile, x):
    """Sizes of the sums that the bounds over log s, or over b, are made of, at a point."""
    up, down, _, excess, mixed = profile.sums
    line = profile.line(np.array([x]))
    a, b = float(line.p[0]), float(line.rest[0])
    if isinstance(profile, Concentration0Profile):
        a = profile.a
        w, y, e = b + down.offset, a + b + down.offset, a + b + excess.offset
        return float((a / (w * y)) @ down.weight + (1 / e) @ excess.weight)
    u, e = up.positive, excess.positive
    w, y = b + down.offset, x + down.offset
    gain, extra = (a / (a + u.offset)) @ u.weight, (a * down.offset / (w * y)) @ down.weight
    return float(mixed + gain + extra + (x / (x + e.offset)) @ e.weight)


@pytest.mark.parametrize("name", DATA)
def test_slopes_have_room_for_eight_roundings(name):
    """At one point the bounds are apart by twice that of the sizes, give or take rounding."""
    counts = DATA[name]
    profiles = [profile_of(ConcentrationProfile, counts, free) for free in (True, False)]
    profiles.append(Concentration0Profile.of(FactorialSums.of(counts), 2.5))
    for profile in profiles:
        for x in (0.3, 4.0):
            at = np.array([x])
            box = profile.bounds(at, at)
            room = float((box.greatest - box.least)[0]) / EPS / terms_of_sizes(profile, x)
            assert 12 < room < 20, (name, type(profile), x, room)


@pytest.mark.parametrize("name", DATA)
def test_where_the_two_profiles_meet(name):
    """From 0 to where as many terms are bent as not, and from there to the least concentration."""
    counts = DATA[name]
    k, f = totals(counts)
    limit = BinomialLimit.of(counts, Fraction(k, k + f))
    first, *rest = profiles_over_concentration(FactorialSums.of(counts), limit, free=True)
    assert isinstance(first, GammaProfile) and first.grid[0] == 0.0 and first.grid.size == 6
    np.testing.assert_allclose(np.diff(np.log(first.grid[1:])), 1.0, rtol=1e-12)
    middle = 1 / first.grid[-1]
    n = np.repeat(counts.total_count, counts.multiplicity)
    beyond = np.array([(n > t).sum() for t in range(n.max())], float)
    t = np.arange(n.max())
    mixed = ((counts.successes > 0) & (counts.failures > 0)) @ counts.multiplicity
    least = mixed / (beyond[1:] / t[1:]).sum()
    if middle > least * (1 + 1e-9):
        (second,) = rest
        assert isinstance(second, ConcentrationProfile)
        np.testing.assert_allclose(second.grid[[0, -1]], [least, middle], rtol=1e-9)
        assert second.grid.size == int(np.log(middle / least)) + 2

        def balance(s):
            return ((s - t) / (s + t)) @ beyond

        step = (2 * (n.max() - 1) + 1) ** (1 / 63) * 1e3 ** (1 / 63)
        assert balance(middle) > 0 >= balance(middle / step * (1 - 1e-6)) or middle <= 1e-3
    else:
        assert rest == []


def test_the_log_evidence_falls_below_the_least_concentration():
    """The slope in log s at the lower end of the grid is not negative, whatever the mean."""
    for counts in DATA.values():
        k, f = totals(counts)
        limit = BinomialLimit.of(counts, Fraction(k, k + f))
        profiles = profiles_over_concentration(FactorialSums.of(counts), limit, free=True)
        s = profiles[-1].grid[0] if len(profiles) > 1 else 1 / profiles[0].grid[-1]
        for mean in (0.01, 0.5, 0.99):
            a, b = er.log_evidence_gradient(er.Beta(s * mean, s * (1 - mean)), counts)
            assert s * mean * a + s * (1 - mean) * b >= -1e-12


def test_the_best_mean_is_found_in_few_steps(monkeypatch):
    """Newton's method from the mean of the latents that have an outcome, kept on its side."""
    steps = []
    own = lines._logistic

    def counted(theta):
        steps.append(theta)
        return own(theta)

    monkeypatch.setattr(lines, "_logistic", counted)
    for counts in DATA.values():
        sums = FactorialSums.of(counts)
        for gamma in (1e-9, 0.1, 10.0, 1e6):
            steps.clear()
            at = np.array([gamma])
            m, rest = best_mean(sums, at, at)
            up, down = sums.successes, sums.failures
            one = (up.weight / (m + gamma * up.offset)).sum()
            other = (down.weight / (rest + gamma * down.offset)).sum()
            assert one == pytest.approx(other, rel=1e-13)
            assert len(steps) < 12
            assert steps[0][0] == pytest.approx(np.log(up.weight[0] / down.weight[0]))


def test_a_mean_that_two_gammas_bound():
    """It falls in that of the successes, and rises in that of the failures."""
    sums = FactorialSums.of(DATA["overdispersed"])
    low, high = np.array([0.1]), np.array([0.5])
    means = [best_mean(sums, x, y)[0][0] for x, y in ((high, low), (low, low), (low, high))]
    assert means[0] < means[1] < means[2]


def test_tables_are_made_in_blocks(monkeypatch):
    """No more rows at a time than their entries allow, and one at least."""
    profile = profile_of(GammaProfile, DATA["overdispersed"])
    wanted = profile.points(np.linspace(0.1, 1.0, 11))
    sizes = []
    own = GammaProfile._points

    def counted(self, x):
        sizes.append(x.size)
        return own(self, x)

    monkeypatch.setattr(GammaProfile, "_points", counted)
    for rows, seen in ((4, [4, 4, 3]), (11, [11]), (0.5, [1] * 11)):
        monkeypatch.setattr(profile_module, "_BLOCK", int(rows * profile.row_size))
        sizes.clear()
        found = profile.points(np.linspace(0.1, 1.0, 11))
        assert sizes == seen
        np.testing.assert_allclose(found.height, wanted.height, atol=1e-12)


def test_concentrations_that_are_large_from_the_start():
    """At a mean of one half both are 200 of 400; at one that is held a little less, twice that."""
    even = FactorialSums.of(er.Counts([500, 480, 520], 1000))
    assert large_from(even, 0.5) == 2 * LARGE
    assert large_from(even, 0.499) == large_from(even, 0.501) == 4 * LARGE
    assert large_from(even, 1e-3) == 2 * LARGE * 2.0**9
    half = FactorialSums.of(er.Counts([500, 500], 1000))
    assert large_from(half, None) in (2 * LARGE, 4 * LARGE)
    assert large_from(FactorialSums.of(er.Counts([1, 2], 1000)), None) > 100 * LARGE


@pytest.mark.parametrize("kind", [GammaProfile, ConcentrationProfile])
def test_what_the_chord_of_the_trials_leaves(kind):
    """B' at an end less the slope of B's chord, B the sum over T of log(r + t q)."""
    profile = profile_of(kind, DATA["overdispersed"])
    low, high = np.array([0.2, 1.0]), np.array([0.9, 7.0])
    trials = profile.sums.trials

    def b(x):
        q, r = (x, 1.0) if kind is GammaProfile else (1.0, x)
        return float(np.log(r + trials.offset * q) @ trials.weight)

    def slope(x):
        q, r = (x, 1.0) if kind is GammaProfile else (1.0, x)
        by_x = trials.offset if kind is GammaProfile else np.ones(trials.offset.size)
        return float((by_x / (r + trials.offset * q)) @ trials.weight)

    before, after = profile.chord_excess(low, high)
    for i, (x, y) in enumerate(zip(low, high, strict=True)):
        chord = (b(y) - b(x)) / (y - x)
        assert before[i] == pytest.approx(slope(x) - chord, rel=1e-9)
        assert after[i] == pytest.approx(chord - slope(y), rel=1e-9)
        assert before[i] > 0 and after[i] > 0


@pytest.mark.parametrize("gamma", [1e-4, 0.3, 1e5])
def test_the_curvature_has_room_for_eight_roundings(gamma):
    """Of what is added and subtracted, at one gamma and the mean 1/4, by 30 digits."""
    profile = profile_of(GammaProfile, er.Counts([0, 3, 10, 1, 10], [10, 10, 11, 4, 12]), False)
    up, down, _, excess, _ = profile.sums
    assert (np.diff(excess.offset) == 1).all() and up.offset[-1] == 9
    x, m = mp.mpf(gamma), mp.mpf(1) / 4

    def total(part, term):
        return mp.fsum(int(w) * t * t * term(t * x) for t, w in zip(*part, strict=True))

    plus = total(excess, lambda y: 1 / (1 + y) ** 2)
    minus = total(up, lambda y: 1 / (m + y) ** 2)
    minus += total(down, lambda y: 1 / (1 - m + y) ** 2 - 1 / (1 + y) ** 2)
    found = profile.bounds(np.array([gamma]), np.array([gamma])).curvature[0]
    room = (found - (plus - minus)) / (EPS * (plus + minus))
    assert 5 <= room <= 11


@pytest.mark.parametrize(
    ("up", "down", "gamma"),
    [((3.5e4, 1.3e8), (190.0, 2.9e8), 0.03), ((38.0, 1.6e5), (1e-3, 3.5e5), 0.06)],
)
def test_the_best_mean_is_kept_to_the_side_that_holds_it(up, down, gamma):
    """Newton's step from where the sums hardly change leads far beyond; halves lead back."""
    none = WeightedOffsets(np.zeros(0), np.zeros(0))
    parts = [WeightedOffsets(np.array([0.0, 1.0]), np.array(x)) for x in (up, down)]
    at = np.array([gamma])
    m, rest = best_mean(FactorialSums(*parts, none, none, 1.0), at, at)
    assert up[0] / m + up[1] / (m + gamma) == pytest.approx(
        down[0] / rest + down[1] / (rest + gamma), rel=1e-12
    )


@pytest.mark.parametrize("s", [0.3, 4.0, 90.0])
def test_the_mean_adds_to_the_curvature_over_log_s(s):
    """cross^2/steep, and a part in 10^12 of it, beyond that with the best mean held; by sums."""
    counts = er.Counts([0, 3, 10, 1, 10], [10, 10, 14, 4, 12])
    free, at = profile_of(ConcentrationProfile, counts), np.array([s])
    m = float(best_mean(free.sums, 1 / at, 1 / at)[0][0])
    limit = BinomialLimit.of(counts, Fraction(m))
    held = ConcentrationProfile(free.sums, free.grid, limit=limit, free=False)
    more = free.bounds(at, at).curvature[0] - held.bounds(at, at).curvature[0]
    (t, u), (d, w) = free.sums.successes, free.sums.failures
    up, down = 1 / (m * s + t) ** 2, 1 / ((1 - m) * s + d) ** 2
    cross, steep = s * (u @ (t * up) - w @ (d * down)), s * s * (u @ up + w @ down)
    assert 5e-13 < more / (cross**2 / steep) - 1 < 2e-12
