"""Loss models with a number that is fitted to the losses, and what that costs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref.crosscheck import fitted_variants as variants
from elbo_ref.crosscheck.distribution import expected_losses, loss_distribution, rough_distribution
from elbo_ref.crosscheck.likelihood_fit import Expected, fitted
from elbo_ref.crosscheck.variants import Fit
from elbo_ref.objectives import RenyiBound
from loss_models import by_words, elbo_losses, model_of

FINE = 1e-6
"""Variance of losses without noise."""


def points(steps=6, **fields):
    """Losses without noise, of a point that moves."""
    given = model_of("delta", steps=steps, **fields)
    given.guide_parameters[:] += np.linspace(0, 1, steps)[:, None]
    return given


def exact(model, losses, variance=FINE):
    """A fit to losses that have a value each."""
    law = loss_distribution(model, np.random.default_rng(0))[0]
    return Fit(losses, law, np.full(losses.size, variance), expected_losses)


def noisy(model, losses):
    law = rough_distribution(model, np.random.default_rng(0))[0]
    return Fit(losses, law, law.variance, expected_losses)


def charged(size, precision):
    """Log of the range of a number over its precision."""
    return np.log1p(4 * (1 + abs(size)) / precision)


@pytest.mark.parametrize("factor", [3.0, -0.25])
def test_a_factor_of_losses_without_noise(factor):
    model = points(factor=2.0)
    mean = expected_losses(model)
    (one,) = by_words(variants.fitted_divisor, model, exact(model, factor * mean)).values()
    assert one.variant == f"times {factor:.6g}" and one.number == "factor"
    assert one.model.factor == pytest.approx(2 * factor)
    assert one.price == pytest.approx(charged(factor, (mean @ mean / FINE) ** -0.5))


def test_a_factor_that_is_hardly_known_costs_little():
    model = points()
    mean = expected_losses(model)
    (one,) = by_words(
        variants.fitted_divisor, model, exact(model, 3 * mean, 4 * (mean @ mean))
    ).values()
    assert one.price == pytest.approx(charged(3, 2.0))


def test_no_factor_of_one_loss_or_of_none():
    """One that is nothing, or of one loss alone, is no factor; nor is there one of zeros."""
    model = points()
    assert by_words(variants.fitted_divisor, model, exact(model, np.zeros(6))) == {}
    one = model.at(slice(0, 1))
    assert by_words(variants.fitted_divisor, one, exact(one, 3 * expected_losses(one))) == {}
    two = model.at(slice(0, 2))
    assert len(by_words(variants.fitted_divisor, two, exact(two, 3 * expected_losses(two)))) == 1
    none = points(factor=0.0)
    assert by_words(variants.fitted_divisor, none, exact(none, np.ones(6))) == {}
    infinite = np.full(6, np.inf)
    assert by_words(variants.fitted_divisor, model, exact(model, infinite)) == {}


def test_factors_of_noisy_losses():
    """The likeliest, the nearest whole factor, and sums of several losses."""
    model = model_of(steps=40)
    losses = 4 * elbo_losses(np.random.default_rng(1), 40)
    rows = by_words(variants.fitted_divisor, model, noisy(model, losses))
    assert rows["times 4"].model.factor == 4.0 and rows["times 4"].price == 1 + np.log(4)
    (any_factor,) = [x for words, x in rows.items() if words != "times 4" and "sums" not in words]
    assert any_factor.model.factor == pytest.approx(4.0, rel=0.1)

    def multiplied(given, logs):
        return given._replace(factor=float(np.exp(logs.item())))

    again = fitted(model, noisy(model, losses), Expected.about(np.zeros(1), 2.0), multiplied)
    assert any_factor.price == pytest.approx(2 + again.price)
    sums = rows["sums of 4 of them"].model
    assert (sums.factor, sums.num_particles) == (4.0, 4)
    assert rows["sums of 4 of them"].price == 4 + np.log(4)
    assert {x.number for x in rows.values()} == {"factor"}


def test_divided_by_a_whole_number():
    model = model_of(steps=40, factor=2.0)
    losses = 2 * elbo_losses(np.random.default_rng(1), 40) / 7
    rows = by_words(variants.fitted_divisor, model, noisy(model, losses))
    whole = rows["divided by 7"]
    assert whole.model.factor == pytest.approx(2 / 7) and whole.price == 1 + np.log(7)
    assert len(rows) == 2, "none of these are sums"
    for factor, wanted in ((1.1, set()), (2.0, {"times 2"}), (0.5, {"divided by 2"})):
        losses = 2 * factor * elbo_losses(np.random.default_rng(1), 40)
        rows = by_words(variants.fitted_divisor, model, noisy(model, losses))
        assert {x for x, y in rows.items() if y.price < 2 and "sums" not in x} == wanted


def test_sums_of_several_are_one_and_a_half_times_as_much():
    model = model_of(steps=40, particles=3)
    mean = expected_losses(model)
    for share, number in ((1.51, 2), (1.49, None), (2.6, 3)):
        rows = by_words(variants.fitted_divisor, model, noisy(model, share * mean))
        sums = [x for words, x in rows.items() if "sums" in words]
        assert [x.model.num_particles for x in sums] == ([3 * number] if number else [])
    bound = model_of(steps=40, loss=RenyiBound(0.0, 2))
    fit = noisy(model, 4 * mean)
    assert by_words(variants.fitted_divisor, bound, fit) == {}


@pytest.mark.parametrize("shift", [2.5, -7.0])
def test_a_constant(shift):
    model = points(constant=1.0)
    losses = expected_losses(model) + shift
    (one,) = by_words(variants.fitted_constant, model, exact(model, losses)).values()
    assert one.model.constant == pytest.approx(1 + shift) and one.number == "constant"
    assert one.variant == f"{shift:.6g} nats"
    assert one.price == pytest.approx(charged(shift, (FINE / 6) ** 0.5))


def test_a_constant_of_noisy_losses_is_the_likeliest():
    """Not the mean, where the distribution has an end: by a grid."""
    model = model_of(counts=er.Counts(1, 12), own=[[0.6], [9.0]], steps=60)
    losses = elbo_losses(np.random.default_rng(5), 60, er.Counts([1], [12]), [[0.6], [9.0]]) + 3
    law = loss_distribution(model, np.random.default_rng(0))[0]
    fit = Fit(losses, law, law.variance, expected_losses)
    (one,) = by_words(variants.fitted_constant, model, fit).values()
    mean, error = fit.constant()
    best = one.model.constant
    assert 0.1 * error < abs(best - mean) < 5 * error
    heights = [law.log_density(losses - x).sum() for x in best + error * np.array((-0.1, 0, 0.1))]
    assert max(heights) == heights[1]
    assert one.price == pytest.approx(charged(best, error))


def test_the_lowest_of_a_valley():
    for at in range(-3, 12):
        assert variants._lowest(lambda x, at=at: abs(x - at), -3, 11) == at
        assert variants._lowest(lambda x, at=at: (x - at - 0.3) ** 2, -3, 11) == at
    assert variants._lowest(lambda x: -x, 0, 40) == 40 and variants._lowest(abs, 5, 40) == 5


MANY = er.Counts([3, 7, 2, 5] * 5, [10, 9, 6, 8] * 5)
OF_MANY = np.array([[4.0, 8.0, 3.0, 5.0] * 5, [8.0, 3.0, 6.0, 4.0] * 5])


def test_minibatches_of_latents():
    """Sizes about the likeliest, within an error of it; more than half of all is rare."""
    model = model_of(counts=MANY, own=OF_MANY, steps=4)
    mean = expected_losses(model)
    for size, more in ((5, 0.0), (10, 0.0), (11, 3.0), (15, 3.0)):
        rows = by_words(variants.fitted_batch, model, exact(model, mean * size / 20), twice=False)
        assert {x.model.batch for x in rows.values()} == {size - 1, size, size + 1}
        one = rows[f"batches of {size}, scaled by 1"]
        assert one.model.batch_scale == 1.0
        assert one.price == pytest.approx(np.log1p(20.0) + more)
        rows = by_words(variants.fitted_batch, model, exact(model, mean * 20 / size), twice=True)
        one = rows[f"batches of {size}, scaled twice"]
        assert (one.model.batch, one.model.batch_scale) == (size, (20 / size) ** 2)


def test_minibatches_of_uncertain_size():
    model = model_of(counts=MANY, own=OF_MANY, steps=4)
    mean, variance = expected_losses(model), 900.0
    fit = exact(model, mean / 2, variance)
    rows = by_words(variants.fitted_batch, model, fit, twice=False)
    error = 20 / np.sqrt(mean @ mean / variance)
    assert error > 1.5
    sizes = {round(10 + x * error) for x in (-1, -0.5, 0, 0.5, 1)}
    assert {x.model.batch for x in rows.values()} == {x for x in sizes if 0 < x < 20}
    assert rows["batches of 10, scaled by 1"].price == pytest.approx(np.log1p(20 / error))
    for share, sizes in ((0.06, {1, 2}), (0.96, {18, 19})):
        rows = by_words(variants.fitted_batch, model, exact(model, share * mean), twice=False)
        assert {x.model.batch for x in rows.values()} == sizes
    wide = by_words(
        variants.fitted_batch, model, exact(model, mean / 2, 4 * (mean @ mean)), twice=False
    )
    assert wide
    assert all(0 < x.model.batch < 20 for x in wide.values())


def test_minibatches_of_trials():
    """Of one latent: its likelihood alone counts a part, the divergence does not."""
    trials = er.Counts.shared([1, 0, 0, 1, 0, 0, 0, 1, 1, 0] * 4, 1)
    model = model_of(counts=trials, own=[[2.0], [3.0]], prior=(60.0, 2.0), steps=5)
    model.guide_parameters[:] *= np.linspace(1, 3, 5)[:, None]
    still = expected_losses(model._replace(likelihood_weight=0.0))
    losses = still + 0.3 * (expected_losses(model) - still)
    rows = by_words(variants.fitted_batch, model, exact(model, losses), twice=False)
    assert {x.model.batch for x in rows.values()} == {11, 12, 13}
    sums = model_of(counts=er.Counts(4, 10), own=[[2.0], [3.0]])
    assert by_words(variants.fitted_batch, sums, exact(sums, np.ones(1)), twice=False) == {}


def test_what_are_no_minibatches():
    """A share of more than all that is not scaled twice, of less that is, or of less than none."""
    model = model_of(counts=MANY, own=OF_MANY)
    mean = expected_losses(model)
    for share, twice in ((1.5, False), (0.5, True), (-0.5, False), (-0.5, True), (0.0, False)):
        assert by_words(variants.fitted_batch, model, exact(model, share * mean), twice=twice) == {}
    none = model._replace(factor=0.0)
    for twice in (False, True):
        assert by_words(variants.fitted_batch, none, exact(none, mean), twice=twice) == {}
    own = exact(model, mean).distribution.mean  # which may have other last digits
    assert by_words(variants.fitted_batch, model, exact(model, own), twice=False) == {}
    some = model._replace(batch=5, batch_scale=4.0)
    assert by_words(variants.fitted_batch, some, exact(model, mean / 2), twice=False) == {}


def test_totals_that_are_more():
    """By some number each, or the same for all, at more."""
    model, k, n = points(), np.array([3, 7, 2]), np.array([10, 9, 6])
    other = model.of_counts(er.Counts(k, n + 4))
    rows = by_words(variants.fitted_totals, model, exact(model, expected_losses(other)))
    one = rows["+4 each"]
    assert one.model.counts == er.Counts(k, n + 4)
    more = expected_losses(model.of_counts(er.Counts(k, n + 5))) - expected_losses(other)
    precision = np.clip((more @ more / FINE) ** -0.5, 1.0, 2.0)
    assert one.price == pytest.approx(charged(4, precision)) and one.reasoned
    same = model.of_counts(er.Counts(k, [11, 11, 11]))
    rows = by_words(variants.fitted_totals, model, exact(model, expected_losses(same)))
    one = rows["11 each"]
    assert one.model.counts == er.Counts(k, [11, 11, 11])
    assert one.price == pytest.approx(2 + charged(11, 1.0))


def test_totals_that_are_fewer():
    """At least as many as the successes, and at most ten times as many and ten."""
    model, k, n = points(), np.array([3, 7, 2]), np.array([10, 9, 6])
    for number in (-1, -2):
        other = model.of_counts(er.Counts(k, n + number))
        rows = by_words(variants.fitted_totals, model, exact(model, expected_losses(other)))
        assert rows[f"{number:+d} each"].model.counts == er.Counts(k, n + number)
    for losses in (expected_losses(model) + 1e6, expected_losses(model) - 1e6):
        rows = by_words(variants.fitted_totals, model, exact(model, losses))
        for x in rows.values():
            assert (x.model.counts.total_count >= k).all()
            assert x.model.counts.total_count.max() <= 10 + 110
    high = by_words(variants.fitted_totals, model, exact(model, expected_losses(model) + 1e6))
    assert "+110 each" in high and "110 each" in high


def test_totals_on_both_sides():
    """A likelihood rises and falls with the total: a total below its top and one above."""
    given = model_of("delta", er.Counts(30, 100), own=[[0.0]])
    same = expected_losses(given.of_counts(er.Counts(30, 70)))
    rows = by_words(variants.fitted_totals, given, exact(given, same))
    totals = sorted(int(x.model.counts.total_count[0]) for x in rows.values())
    assert len(totals) == 2 and totals[0] < 60 <= totals[1] == 70
    values = stats.binom.pmf(30, totals, 0.5)
    assert values[0] == pytest.approx(values[1], rel=0.2)
    assert all(words.endswith(" each") and words[0] in "+-" for words in rows)


def test_totals_of_noisy_losses_have_no_reason():
    """Of one set of parameters; of several they have one."""
    model = model_of(steps=4)
    losses = elbo_losses(np.random.default_rng(2), 4) + 9
    assert not any(
        x.reasoned for x in by_words(variants.fitted_totals, model, noisy(model, losses)).values()
    )
    moving = model._replace(prior=model.prior * np.linspace(1, 2, 4)[:, None])
    assert all(
        x.reasoned for x in by_words(variants.fitted_totals, moving, noisy(moving, losses)).values()
    )


def test_totals_that_are_hardly_known_cost_little():
    """Up to half of what they are more; and where no total is felt they cost what they may."""
    k, n = np.array([3, 7, 2]), np.array([10, 9, 6])
    model = points()
    for number, error, precision in ((4, 1.5, 1.5), (4, 9.0, 2.0), (4, 0.5, 1.0), (1, 9.0, 1.0)):
        other, more = (model.of_counts(er.Counts(k, n + number + x)) for x in (0, 1))
        step = expected_losses(more) - expected_losses(other)
        fit = exact(model, expected_losses(other), error**2 * (step @ step))
        one = by_words(variants.fitted_totals, model, fit)[f"{number:+d} each"]
        assert one.price == pytest.approx(charged(number, precision))
    none = points(likelihood_weight=0.0)
    assert by_words(variants.fitted_totals, none, exact(none, np.ones(6)))


def test_equal_totals_are_changed_together_in_one_way():
    for n, families in (([10, 10, 10], 1), ([10, 10, 9], 2), ([9, 10, 9], 2)):
        model = points(counts=er.Counts([3, 7, 2], n))
        rows = by_words(variants.fitted_totals, model, exact(model, expected_losses(model) + 1.0))
        assert len({x[0] in "+-" for x in rows}) == families


def test_totals_that_are_not_known():
    split = model_of("delta", er.Counts.shared([3, 7], [10, 9]), own=[[0.3]])
    assert by_words(variants.fitted_totals, split, exact(split, np.ones(1))) == {}
    batch = model_of("delta", batch=2, batch_scale=1.5)
    assert by_words(variants.fitted_totals, batch, exact(model_of("delta"), np.ones(1))) == {}


@pytest.mark.parametrize("weight", [0.2, 3.0])
def test_a_weight_of_losses_without_noise(weight):
    model = points(likelihood_weight=0.5, factor=2.0)
    changed = model._replace(likelihood_weight=0.5 * weight)
    fit = exact(model, expected_losses(changed))
    one = by_words(variants.fitted_weight, model, fit)[f"the log likelihood times {weight:.4g}"]
    assert one.model.likelihood_weight == pytest.approx(0.5 * weight)
    rest = expected_losses(model) - expected_losses(model._replace(likelihood_weight=0.0))
    assert one.price == pytest.approx(charged(weight, (rest @ rest / FINE) ** -0.5))
    assert one.reasoned
    all_but = model._replace(likelihood_weight=0.5 / weight, factor=2 * weight)
    rows = by_words(variants.fitted_weight, model, exact(model, expected_losses(all_but)))
    other = rows[f"the divergence from the prior times {weight:.4g}"]
    assert other.model.likelihood_weight == pytest.approx(0.5 / weight)
    assert other.model.factor == pytest.approx(2 * weight)
    still = expected_losses(model._replace(likelihood_weight=0.0))
    assert other.price == pytest.approx(charged(weight, (still @ still / FINE) ** -0.5))


def test_weights_beyond_reason():
    """Between a millionth and a million; negative ones are none."""
    model = points()
    for weight, some in (
        (1e6 + 0.5, False),
        (1e6 - 0.5, True),
        (1.1e-6, True),
        (0.9e-6, False),
        (-1, False),
    ):
        changed = model._replace(likelihood_weight=weight)
        rows = by_words(variants.fitted_weight, model, exact(model, expected_losses(changed)))
        assert any(x.startswith("the log") for x in rows) is some, weight


def test_a_weight_that_is_hardly_known_costs_little():
    """And that of a likelihood which is not counted is none."""
    model = points()
    rest = expected_losses(model) - expected_losses(model._replace(likelihood_weight=0.0))
    variance = 4 * (rest @ rest)
    fit = exact(model, expected_losses(model._replace(likelihood_weight=3.0)), variance)
    one = by_words(variants.fitted_weight, model, fit)["the log likelihood times 3"]
    assert one.price == pytest.approx(charged(3, 2.0))
    none = points(likelihood_weight=0.0)
    rows = by_words(variants.fitted_weight, none, exact(none, 2 * expected_losses(none)))
    assert list(rows) == ["the divergence from the prior times 2"]


def test_a_weight_of_noisy_losses():
    model = model_of(steps=60)
    losses = elbo_losses(np.random.default_rng(3), 60, weight=4.0)
    rows = by_words(variants.fitted_weight, model, noisy(model, losses))
    (one,) = [x for words, x in rows.items() if words.startswith("the log")]
    assert one.model.likelihood_weight == pytest.approx(4.0, rel=0.2) and not one.reasoned

    def weighted(given, logs):
        return given._replace(likelihood_weight=float(np.exp(logs.item())))

    again = fitted(model, noisy(model, losses), Expected.about(np.zeros(1), 2.0), weighted)
    assert one.price == pytest.approx(again.price, rel=1e-6)
    moving = model._replace(prior=model.prior * np.linspace(1, 1.1, 60)[:, None])
    assert all(
        x.reasoned for x in by_words(variants.fitted_weight, moving, noisy(moving, losses)).values()
    )


NO_WEIGHT = ({"guide": "tied"}, {"guide": "none"}, {"batch": 2, "batch_scale": 1.5},
             {"loss": RenyiBound(0.0, 2)})  # fmt: skip


@pytest.mark.parametrize("changes", NO_WEIGHT)
def test_losses_without_a_weight(changes):
    model = model_of()
    fit = exact(model_of("delta"), expected_losses(model._replace(likelihood_weight=3.0)))
    assert by_words(variants.fitted_weight, model, fit)
    assert by_words(variants.fitted_weight, model_of(**changes), fit) == {}


def spread(model, ratio, size):
    """Losses whose squared deviations are a multiple of the model's."""
    law = rough_distribution(model, np.random.default_rng(0))[0]
    sign = np.where(np.arange(size) % 2, 1.0, -1.0)
    return noisy(model, law.mean + sign * np.sqrt(ratio * law.variance))


COMMON = [
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    12,
    16,
    20,
    25,
    30,
    32,
    40,
    50,
    64,
    100,
    128,
    200,
    256,
    500,
    1000,
]


def test_numbers_of_particles():
    """Common ones within three errors of the likeliest, the nearest first, five at most."""
    size = 400
    model = model_of(steps=size, particles=2)
    for ratio in (0.2, 1 / 15, 1e-3, 1e-9):
        rows = by_words(variants.fitted_particles, model, spread(model, ratio, size))
        likeliest, error = 2 / ratio, np.sqrt(2 / size)
        near = [x for x in COMMON if abs(np.log(x / likeliest)) <= 3 * error and x != 2]
        wanted = sorted(near, key=lambda x: abs(np.log(x / likeliest)))[:5]
        assert [x.model.num_particles for x in rows.values()] == wanted
        assert list(rows) == [f"{x}, not 2" for x in wanted]
        assert all(x.price == pytest.approx(np.log(23)) for x in rows.values())


def test_numbers_that_are_known_roughly():
    """Of few losses, beside the one that is given; five are tried."""
    model = model_of(steps=8, particles=10)
    rows = by_words(variants.fitted_particles, model, spread(model, 1.01, 8))
    assert [x.model.num_particles for x in rows.values()] == [12, 8, 16, 6, 5]
    assert next(iter(rows)) == "about 12, not 10"
    for size, about in ((200, False), (199, True)):
        model = model_of(steps=size, particles=2)
        rows = by_words(variants.fitted_particles, model, spread(model, 0.5, size))
        assert ("about 4, not 2" in rows) is about and ("4, not 2" in rows) is not about


@pytest.mark.parametrize("number", COMMON)
def test_every_common_number_is_found(number):
    model = model_of(particles=7)
    law = SimpleNamespace(mean=np.zeros(4000), variance=np.ones(4000))
    losses = np.where(np.arange(4000) % 2, 1.0, -1.0) * np.sqrt(7 / number)
    rows = list(variants.fitted_particles(model, SimpleNamespace(losses=losses, distribution=law)))
    assert rows[0].model.num_particles == number


def test_losses_without_any_spread_are_of_no_common_number():
    model = model_of(steps=6, particles=2)
    assert by_words(variants.fitted_particles, model, spread(model, 0.0, 6)) == {}


def test_samples_of_a_bound():
    """Whose spread tells their number within a half in the logarithm more."""
    model = model_of(steps=400, loss=RenyiBound(0.5, 4))
    fit = spread(model_of(steps=400), 0.105, 400)
    rows = by_words(variants.fitted_particles, model, fit)
    assert [x.model.loss for x in rows.values()] == [
        RenyiBound(0.5, x) for x in (40, 32, 30, 50, 25)
    ]
    assert all(x.startswith("about") and x.endswith("not 4") for x in rows)
    error = 3 * (np.sqrt(2 / 400) + 0.5)
    for away, some in ((error - 0.01, True), (error + 0.01, False)):
        fit = spread(model_of(steps=400), 4e-3 / np.exp(away), 400)
        assert bool(by_words(variants.fitted_particles, model, fit)) is some


def test_losses_that_are_not_random_have_no_particles():
    still = points()
    assert by_words(variants.fitted_particles, still, exact(still, np.ones(6))) == {}
    model = model_of(steps=6)
    closed = model._replace(loss=SimpleNamespace(random=False, name="exact"))
    assert by_words(variants.fitted_particles, closed, spread(model, 1.0, 6)) == {}
