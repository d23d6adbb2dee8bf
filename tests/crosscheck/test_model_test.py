"""Test of one loss model, by normal losses whose probabilities SciPy has."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref.crosscheck import model_test
from elbo_ref.crosscheck.alignment import Losses
from elbo_ref.crosscheck.distribution import loss_distribution
from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.model_test import LEVEL, ModelTest
from elbo_ref.crosscheck.moments import DrawCumulants
from elbo_ref.crosscheck.saddlepoint import SaddlepointDistribution
from loss_models import model_of


class Normal:
    """Independent normal numbers."""

    def __init__(self, mean, variance, closed=True, shift=0.0):
        self.mean, self.variance = np.asarray(mean, float), np.asarray(variance, float)
        self.closed, self.shift = closed, shift

    def _z(self, x):
        return (x - self.mean) / np.sqrt(self.variance)

    def outer_tail(self, x):
        return stats.norm.sf(np.abs(self._z(x)))

    def log_density(self, x):
        return stats.norm.logpdf(x, self.mean, np.sqrt(self.variance)) + self.shift

    def weighted(self, weights):
        return Normal([weights @ self.mean], [weights**2 @ self.variance])

    def uniform(self, x, _rng):
        return stats.norm.cdf(self._z(x))


class Model(SimpleNamespace):
    """What a test asks a model."""

    def at(self, rows):
        self.chosen.append(rows)
        return self


@pytest.fixture
def made(monkeypatch):
    """A test of values by a distribution; by `drawn` where draws are asked for."""

    def of(values, law, allowance=0.0, *, latents=200, drawn=None, given=None, **fields):
        size = len(law.mean)
        asked = []

        def sampled(model, _rng, most=None, **options):
            asked.append((most, options))
            rows = model.chosen[-1] if model.chosen else slice(None)
            by = law if drawn is None else drawn
            return Normal(by.mean[rows], by.variance[rows], closed=False, shift=by.shift)

        monkeypatch.setattr(
            model_test, "loss_distribution", lambda *_: (law, np.full(size, allowance))
        )
        monkeypatch.setattr(
            model_test, "rough_distribution", lambda *_: (law, np.full(size, allowance))
        )
        monkeypatch.setattr(model_test, "sampled_distribution", sampled)
        counts = SimpleNamespace(num_latents=latents)
        model = Model(num_particles=1, counts=counts, chosen=[], renyi=None, batch=None, factor=1.0)
        model.__dict__.update(fields)
        given = np.zeros(size) if given is None else given
        found = ModelTest(model, Losses(np.asarray(values, float), given), np.random.default_rng(0))
        found.asked = asked
        return found

    return of


MEAN, VARIANCE = np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.0, 4.0, 0.25, 9.0])
AWAY = np.array([0.5, -3.0, 0.2, 4.0])
LAW = Normal(MEAN, VARIANCE)


def two_sided(away, variance, allowance=0.0):
    outside = np.maximum(np.abs(away) - allowance, 0.0)
    return np.where(outside > 0, 2 * stats.norm.sf(outside / np.sqrt(variance)), 1.0)


@pytest.mark.parametrize("allowance", [0.0, 0.3])
def test_p_of_each_loss(made, allowance):
    test = made(MEAN + AWAY, LAW, allowance, given=np.full(4, 0.1 * allowance))
    np.testing.assert_allclose(test.allowance, 1.1 * allowance)
    np.testing.assert_allclose(test.p, two_sided(AWAY, VARIANCE, 1.1 * allowance))
    assert not test.asked


@pytest.mark.parametrize("allowance", [0.0, 0.3])
def test_p_of_the_mean(made, allowance):
    """Weighted by precision, of the distribution and the allowance."""
    test = made(MEAN + AWAY, LAW, allowance)
    weights = 1 / (VARIANCE + allowance**2)
    wanted = two_sided(weights @ AWAY, weights**2 @ VARIANCE, weights.sum() * allowance)
    assert test.p_mean == pytest.approx(float(wanted), rel=1e-9)


def test_p_of_the_spread(made):
    """A sum of squares of as many normal numbers, a hundred times; or ten times the other tail."""
    for factor in (0.05, 0.5, 1.0, 2.0, 5.0):
        z = factor * np.array((1.0, -0.8, 1.1, 0.9))
        test = made(MEAN + z * np.sqrt(VARIANCE), LAW)
        total = (z**2).sum()
        large, small = 100 * stats.chi2.sf(total, 4), 10 * stats.chi2.cdf(total, 4)
        wanted = large if total > 4 else min(large, small)
        assert test.p_spread == pytest.approx(wanted, rel=1e-6, abs=0.0), factor


def test_too_small_a_spread_counts_where_losses_have_one(made):
    """Ten times as much as is allowed for, loss by loss."""
    z = 0.05 * np.array((1.0, -0.8, 1.1, 0.9))
    for factor, known in ((9.9, True), (10.1, False)):
        allowance = np.sqrt(VARIANCE) / factor
        allowance[:2] = 0.0
        test = made(MEAN + z * np.sqrt(VARIANCE), LAW, given=allowance)
        few = made(MEAN + z * np.sqrt(VARIANCE), LAW)
        if known:  # of two losses the spread is known, and a sum of two squares is so small
            assert test.p_spread == pytest.approx(
                10 * stats.chi2.cdf((z[:2] ** 2).sum(), 2), rel=1e-6
            )
        else:
            assert test.p_spread == pytest.approx(few.p_spread, rel=1e-6)
    none = made(MEAN, LAW, given=np.full(4, 3.0))
    assert none.p_spread == pytest.approx(100.0)


def test_too_small_a_spread_of_some_says_nothing_beside_too_large_a_one_of_all(made):
    """Two that are calm and have a spread, two that are wild and of which much is allowed for."""
    allowance = np.sqrt(VARIANCE) / 5
    allowance[:2] = 0.0
    z = np.array((0.01, -0.02, 2.5, -2.5))
    test = made(MEAN + z * np.sqrt(VARIANCE), LAW, given=allowance)
    wild = np.array((0.01, -0.02, 2.3, -2.3))  # less what is allowed for
    assert test.p_spread == pytest.approx(100 * stats.chi2.sf((wild**2).sum(), 4), rel=1e-6)


def test_p_of_any(made):
    """The least of each loss, their mean and their spread, three times as much."""
    for away in (AWAY, np.array([0.0, 0.0, 0.0, 13.5]), np.sqrt(VARIANCE), 1e-3 * AWAY):
        test = made(MEAN + away, LAW)
        least = min(4 * test.p.min(), test.p_mean, test.p_spread)
        assert test.p_any == pytest.approx(min(1.0, 3 * least), abs=0.0)
    assert made(MEAN + np.sqrt(VARIANCE) * (1, -1, 1, -1), LAW).p_any == 1.0


def test_few_summands_are_drawn_where_they_would_decide(made):
    """A p-value that would reject is the larger one of the formula's and that of draws."""
    wide = Normal(MEAN, 4 * VARIANCE)
    away = np.array([0.0, 0.0, 0.0, 10.0])  # 2 * 4 * p is 0.007
    test = made(MEAN + away, LAW, latents=199, drawn=wide)
    assert test.p[3] == pytest.approx(two_sided(10.0, 36.0))
    assert test.p[:3].tolist() == [1.0, 1.0, 1.0]
    assert [most for most, _ in test.asked] == [20_000, model_test.MOST_DRAWS]
    assert made(MEAN + away, LAW, latents=200, drawn=wide).p[3] == pytest.approx(
        two_sided(10.0, 9.0)
    )
    narrow = Normal(MEAN, VARIANCE / 4)
    test = made(MEAN + away, LAW, latents=199, drawn=narrow)
    assert test.p[3] == pytest.approx(two_sided(10.0, 9.0))
    assert [most for most, _ in test.asked] == [20_000], "no doubt is left by few"


def test_what_would_not_decide_is_not_drawn(made):
    """Twice as many p-values as losses would reject at one in a hundred."""
    for p, drawn in ((0.00126, False), (0.00124, True)):
        away = np.array([0.0, 0.0, 0.0, 3 * stats.norm.isf(p / 2)])
        test = made(MEAN + away, LAW, latents=1)
        assert test.p[3] == pytest.approx(p)
        assert bool(test.asked) is drawn
    beyond = np.array([0.0, 0.0, 0.0, 3 * stats.norm.isf(1e-13)])
    test = made(MEAN + beyond, LAW, latents=1)
    assert test.p.min() < 1e-12 and not test.asked
    rough = Normal(MEAN, VARIANCE, closed=False)
    test = made(MEAN + beyond, rough, latents=1)
    assert test.p.min() < 1e-12 and test.asked


def test_others_are_drawn_until_one_decides(made):
    """In the order of their p-values, up to one that is not raised or still rejects."""
    wide = Normal(MEAN, 4 * VARIANCE)
    away = np.array([3.6, 0.0, 0.0, 10.5])
    test = made(MEAN + away, LAW, latents=1, drawn=wide)
    np.testing.assert_allclose(test.p[[0, 3]], two_sided(away, 4 * VARIANCE)[[0, 3]])
    assert len(test.asked) == 4
    test = made(MEAN + away, LAW, latents=1, drawn=Normal(MEAN, VARIANCE * 1.0001))
    assert test.p[3] == pytest.approx(two_sided(10.5, 9.0)), "the other one decides"
    assert len(test.asked) == 2


def test_the_mean_of_few_summands_is_drawn(made):
    """Fewer than two hundred, of all losses together, and a p-value between 1e-12 and 1/200."""
    wide = Normal(MEAN, 4 * VARIANCE)
    weights = 1 / VARIANCE
    deviation = (weights**2 @ VARIANCE) ** 0.5 / weights.sum()
    for z, latents, raised in (
        (2.9, 49, True), (2.9, 50, False), (2.8, 49, False), (7.0, 49, True), (7.3, 49, False)
    ):  # fmt: skip
        test = made(MEAN + z * deviation, LAW, latents=latents, drawn=wide)
        assert test.p_mean == pytest.approx(
            2 * stats.norm.sf(z / 2 if raised else z), rel=1e-6, abs=0.0
        ), z
    narrow = Normal(MEAN, VARIANCE / 4)
    test = made(MEAN + 2.9 * deviation, LAW, latents=49, drawn=narrow)
    assert test.p_mean == pytest.approx(2 * stats.norm.sf(2.9))


def spread_by_ranks(made, ratio=1.0, closed=False, **fields):
    """Forty losses with a fifth of their spread, and ranks by draws with another one."""
    mean, variance = np.zeros(40), np.ones(40)
    z = 0.2 * np.linspace(-1.5, 1.5, 40)
    law = Normal(mean, variance, closed=closed)
    return z, made(z, law, drawn=Normal(mean, ratio * variance), **fields)


def test_a_spread_without_a_closed_form_is_ranked(made):
    z, test = spread_by_ranks(made, 0.04)
    assert test.p_spread == pytest.approx(10 * stats.chi2.cdf((z**2 / 0.04).sum(), 40), rel=1e-6)
    assert test.asked == [(100_000, {"fewest": 25})]
    for fields in ({"closed": True}, {"renyi": True}, {"batch": 3}):
        z, test = spread_by_ranks(made, 0.04, **fields)
        assert test.p_spread == pytest.approx(
            10 * stats.chi2.cdf((z**2).sum(), 40), rel=1e-6, abs=0.0
        )
        assert not test.asked


def test_what_tells_models_apart(made):
    """The most powerful sum: weighted by where means differ, over the variance."""
    away = np.array([1.0, 0.0, -0.5, 2.0])
    test = made(MEAN + AWAY, LAW)
    rival = made(MEAN + AWAY, Normal(MEAN + away, VARIANCE))
    weights = away / VARIANCE
    wanted = float(two_sided(weights @ AWAY, weights**2 @ VARIANCE))
    assert test.against(rival) == pytest.approx(wanted, rel=1e-9)
    for direction in (away, 7 * away, -away, 1e-3 * away):
        assert test.p_along(direction) == pytest.approx(wanted, rel=1e-9)
    assert test.p_along(np.zeros(4)) == 1.0
    allowed = made(MEAN + AWAY, LAW, 0.3)
    weights = away / (VARIANCE + 0.09)
    wanted = two_sided(weights @ AWAY, weights**2 @ VARIANCE, 0.3 * np.abs(weights).sum())
    assert allowed.p_along(away) == pytest.approx(float(wanted), rel=1e-9)


def test_a_rough_test_is_not_drawn(made, monkeypatch):
    """Its distribution is that of three cumulants, shared by models whose draws are alike."""
    test = made(MEAN, LAW)
    other, given = Normal(MEAN + 1.0, VARIANCE), []

    def rough(*asked):
        given.extend(asked)
        return other, np.full(4, 0.25)

    monkeypatch.setattr(model_test, "rough_distribution", rough)
    losses, draws = Losses(MEAN + 9.0, np.zeros(4)), object()
    test.model.counts.num_latents = 1
    found = ModelTest(test.model, losses, np.random.default_rng(0), rough=True, draws=draws)
    assert found.distribution is other and given[::2] == [test.model, draws]
    assert found.allowance.tolist() == [0.25] * 4
    np.testing.assert_allclose(found.p, two_sided(8.0, VARIANCE, 0.25))
    assert found.p_mean < 0.005 and not test.asked


def test_a_sum_that_leaves_no_doubt_is_taken_in_full(made):
    """By three cumulants where its p-value is above a fiftieth, by all of them below."""
    model = model_of(steps=12)
    law = loss_distribution(model, np.random.default_rng(0))[0]
    third = DrawCumulants().of(LinearForm.of(model))[2].sum(axis=1)
    rough = GammaCumulants(law.mean, law.variance, -third)
    direction = np.linspace(1.0, 2.0, 12)
    for shift in (0.3, 3.0):
        values = law.mean + shift * np.sqrt(law.variance)
        test = ModelTest(model, Losses(values, np.zeros(12)), np.random.default_rng(0))
        known = test._third_order
        np.testing.assert_allclose(known.third, -third, rtol=1e-3)
        np.testing.assert_allclose((known.mean, known.variance), (law.mean, law.variance))
        weights = direction / test._spread / np.abs(direction / test._spread).max()
        p = [
            2 * x.weighted(weights).outer_tail(np.array([weights @ values]))[0]
            for x in (rough, law)
        ]
        assert test.p_along(direction) == pytest.approx(
            p[0 if p[0] > 0.02 else 1], rel=1e-2, abs=0.0
        )
        assert bool(p[0] > 0.02) is (shift < 1)


@pytest.mark.parametrize("share", [0.01, 0.0035, 1e-3])
def test_a_loss_beyond_the_end_of_three_cumulants_is_not_hopeless(share):
    """Losses of a skewed model have no such end: p is about twice the share of those below."""
    model = model_of(counts=er.Counts(3, 10), own=[[0.7], [9.0]], steps=1)
    a, b = model.guide_parameters[:, 0, 0]
    c = np.random.default_rng(0).beta(a, b, 1_000_000)
    prior = model.prior[:, 0, 0]
    f = stats.binom.logpmf(3, 10, c) + stats.beta.logpdf(c, *prior) - stats.beta.logpdf(c, a, b)
    at = np.quantile(-f, share)
    test = ModelTest(model, Losses(np.array([at]), np.zeros(1)), np.random.default_rng(0))
    assert share < test.p_mean < 4 * share
    assert test.p_along(np.ones(1)) == pytest.approx(test.p_mean, rel=0.5)


def test_the_third_cumulant_of_what_has_none(made):
    """A number without a variance has none, and an end of a domain is not passed."""
    still = SaddlepointDistribution(GammaCumulants(MEAN, np.zeros(4), np.zeros(4)))
    test = made(MEAN, still)

    class Exponential:
        """K = -log(1 - t s), of an exponential number, and where it was asked for."""

        closed = True

        def __init__(self, scale, end=np.inf, curvature=1.0):
            self.scale, self.asked, self.curvature = scale, set(), curvature
            self.domain = np.array(([-end], [end]))

        def at(self, s, _rows=None):
            self.asked |= set(np.abs(s).tolist())
            rest = 1 - self.scale * s
            curvature = np.where(s == 0, 1.0, self.curvature) * self.scale**2 / rest**2
            return np.array((-np.log(rest), self.scale / rest, curvature))

    one = made(np.ones(1), SaddlepointDistribution(GammaCumulants(*np.ones((3, 1)))))
    for scale, end, step in ((1.0, 1e-4, 5e-5), (100.0, np.inf, 1e-5), (0.01, np.inf, 0.1)):
        known = Exponential(scale, end)
        one.distribution = SaddlepointDistribution(known)
        one.__dict__.pop("_third_order", None)
        assert one._third_order.third == pytest.approx(2 * scale**3, rel=1e-5)
        assert sorted(known.asked) == pytest.approx([0.0, step])
    one.distribution = SaddlepointDistribution(Exponential(1.0, curvature=np.nan))
    del one.__dict__["_third_order"]
    assert one._third_order.third == 0.0
    assert test.p_along(np.ones(4)) == 1.0


def test_log_likelihood(made):
    """By the density where it is much wider than what is allowed for, else normal beyond that."""
    z = np.array([0.5, -1.0, 2.0, 0.0])
    values = MEAN + z * np.sqrt(VARIANCE)
    wide = stats.norm.logpdf(values, MEAN, np.sqrt(VARIANCE))
    for allowance in (0.0, 0.04):
        test = made(values, LAW, allowance)
        assert test.log_likelihood(np.zeros(4)) == pytest.approx(wide.sum())
    for least, own in ((0.5, 0.0), (0.0, 0.5), (0.5, 0.3)):
        test = made(values, LAW, own)
        spread = VARIANCE + 0.25
        away = np.maximum(np.abs(values - MEAN) - 1.0, 0.0)
        normal = stats.norm.logpdf(away, 0.0, np.sqrt(spread))
        assert test.log_likelihood(np.full(4, least)) == pytest.approx(normal.sum())


def test_a_density_is_wide_from_ten_times_what_is_allowed_for(made):
    for allowance, density in ((0.0999, True), (0.1001, False)):
        law = Normal(np.zeros(1), np.ones(1), shift=5.0)
        test = made([1.0], law, allowance)
        normal = stats.norm.logpdf(1 - 2 * allowance, 0.0, np.sqrt(1 + allowance**2))
        wanted = stats.norm.logpdf(1.0) + 5.0 if density else normal
        assert test.log_likelihood(np.zeros(1)) == pytest.approx(wanted)


def test_a_density_far_below_a_normal_one_is_looked_at_again(made):
    """Ten nats: within the allowance, and then by draws where it is no closed form."""

    class Cut(Normal):
        """Normal numbers with a density of nothing beyond an end."""

        def log_density(self, x):
            return np.where(x > 3.0, -60.0, super().log_density(x))

    size = 3
    values, allowance = np.array([0.0, 1.0, 3.05]), 0.09
    law = Cut(np.zeros(size), np.ones(size))
    test = made(values, law, allowance)
    wanted = stats.norm.logpdf([0.0, 1.0 - allowance, 3.05 - allowance])
    wanted[:2] = stats.norm.logpdf([0.0, 1.0 - allowance])
    assert test.log_likelihood(np.zeros(size)) == pytest.approx(wanted.sum())
    far = np.array([0.0, 1.0, 3.2])
    closed = made(far, law, allowance)
    assert closed.log_likelihood(np.zeros(size)) < -50 and not closed.asked
    drawn = made(far, Cut(np.zeros(size), np.ones(size), closed=False), allowance)
    wanted = stats.norm.logpdf([0.0, 1 - allowance, 3.2])
    assert drawn.log_likelihood(np.zeros(size)) == pytest.approx(wanted.sum())
    assert len(drawn.asked) == 1


def test_what_passes(made):
    """By the sum that tells two models apart, by the mean three times, and by all."""
    rival = made(MEAN + AWAY, Normal(MEAN + 1.0, VARIANCE))
    test = made(MEAN + AWAY, LAW)
    level = min(test.against(rival), 3 * test.p_mean)
    assert test.sums_pass(rival, 0.99 * level) and not test.sums_pass(rival, 1.01 * level)
    for shift in (1.0, 3.0):
        away = np.array([0.0, 0.0, shift, 0.0])
        test = made(MEAN + away, LAW)
        rival = made(MEAN + away, Normal(MEAN + np.array([0, 0, 0, 1.0]), VARIANCE))
        assert test.sums_pass(rival, 1e-9) is True
        both = min(test.against(rival), 3 * test.p_mean, test.p_any)
        assert test.passes(rival, 0.99 * both) and not test.passes(rival, 1.01 * both)
    rival = made(MEAN, Normal(MEAN + np.array([1.0, 0, 0, 0]), VARIANCE))
    test = made(MEAN + np.array([0.0, 2.0, 0.5, 3.0]), LAW)
    level = 3 * test.p_mean
    assert level < test.against(rival)
    assert test.sums_pass(rival, 0.99 * level) and not test.sums_pass(rival, 1.01 * level)
    default = made(MEAN + 0.1, LAW)
    low = made(MEAN + np.array([12.5, 0.0, 0.0, 0.0]), Normal(MEAN, 9 * np.ones(4)))
    assert 1e-4 < low.p_any < 1e-3 and low.sums_pass(low, 1e-3) and not low.passes(low)
    assert default.passes(rival) is True


def test_a_model_that_allows_for_everything_says_nothing(made):
    """Thirty times what the rival allows for, and no small part of its own spread."""
    values = MEAN.copy()
    for variance, own, passes in ((1.0, 3.1, False), (1.0, 2.9, True), (1e4, 3.1, True)):
        rival = made(values, Normal(MEAN, np.ones(4)), 0.1)
        test = made(values, Normal(MEAN, np.full(4, variance)), own)
        assert test.sums_pass(rival, 1e-9) is passes
    exact = made(values, Normal(MEAN, np.ones(4)), 0.0)
    for std in (1.0, 0.1):
        for own, passes in ((0.099, True), (0.101, False)):
            law = Normal(MEAN, np.full(4, std**2))
            assert made(values, law, own * std).sums_pass(exact, 1e-9) is passes
    for own, passes in ((2.98, True), (3.02, False)):
        narrow = made(values, Normal(MEAN, np.ones(4)), own)
        assert narrow.sums_pass(made(values, Normal(MEAN, np.ones(4)), 0.1), 1e-9) is passes


def test_the_least_p_value_is_asked_of_draws(monkeypatch):
    """At the level of one of all losses; the next one too if that does not reject the model."""
    monkeypatch.setattr(model_test, "p_values", lambda *_: np.array([1e-6, 2e-6, 0.5, 0.4]))
    for drawn, asked in ((0.9 * LEVEL / 8, [0]), (1.1 * LEVEL / 8, [0, 1])):
        levels, rows = [], []

        def of_draws(one, level, drawn=drawn, levels=levels, rows=rows):
            levels.append(level)
            rows.append(one.start)
            return drawn

        law = SimpleNamespace(closed=False)
        test = SimpleNamespace(
            distribution=law, _losses=None, allowance=None, _summands=1, _drawn_p=of_draws
        )
        p = ModelTest.p.func(test)
        assert rows == asked and set(levels) == {LEVEL / 8}
        assert p.tolist() == [
            drawn if i in asked else x for i, x in enumerate((1e-6, 2e-6, 0.5, 0.4))
        ]
