"""Loss models of other data: rows, orders, totals, or no observations at all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck import data_variants as variants
from elbo_ref.crosscheck.distribution import expected_losses
from elbo_ref.crosscheck.given_draws import losses_given
from elbo_ref.objectives import RenyiBound
from loss_models import COUNTS, OWN, PRIOR, by_words, draws_of, model_of, posterior

K, N = COUNTS.successes, COUNTS.total_count
SPLIT = er.Counts.shared([3, 7, 2], [10, 9, 6])
BATCH = {"batch": 2, "batch_scale": 1.5}


def columns(counts):
    return [x.tolist() for x in (counts.successes, counts.total_count, counts.multiplicity)]


ALL = (
    variants.other_latents, variants.largest_totals, variants.other_totals,
    variants.other_rows, variants.broadcast, variants.unobserved, variants.permuted,
)  # fmt: skip


@pytest.mark.parametrize("make", ALL)
def test_rows_of_minibatches_are_not_changed(make):
    given = model_of(own=posterior()[:, ::-1])
    assert by_words(make, given) or make is variants.other_latents
    assert by_words(make, given._replace(**BATCH)) == {}


ROWS = (variants.largest_totals, variants.other_totals, variants.other_rows)


@pytest.mark.parametrize("make", ROWS)
def test_rows_that_are_not_known_are_not_changed(make):
    """One latent of several rows, whose sum is all that there is."""
    assert by_words(make, model_of(counts=SPLIT, own=[[4.0], [8.0]])) == {}


def test_rows_of_single_trials_stay_single():
    """More of them, as zeros of padding are, have no binomial coefficients."""
    trials = er.Counts.grouped([1, 0, 1, 1, 0], 1, ["x", "x", "y", "y", "y"])
    given = model_of(counts=trials, own=np.ones((2, 2)))
    (padded,) = by_words(variants.largest_totals, given).values()
    assert columns(padded.model.counts) == [[1, 2], [3, 3], [1, 1]]
    assert padded.model.counts.log_coefficient == pytest.approx(0.0, abs=1e-15)
    failures = by_words(variants.other_rows, given)["the successes are none"].model.counts
    assert columns(failures) == [[0, 0], [2, 3], [1, 1]]
    assert failures.log_coefficient == pytest.approx(0.0, abs=1e-15)


def test_one_latent_for_all_rows():
    """Where the guide has the same for each."""
    same = np.full((2, 3), 4.0)
    pooled = by_words(variants.other_latents, model_of(own=same, steps=2))[
        "one latent for all rows"
    ]
    assert columns(pooled.model.counts) == [[12], [25], [1]]
    assert pooled.model.guide_parameters.shape == (2, 2, 1)
    assert (pooled.model.guide_parameters == 4.0).all()
    same[1, 2] = 5.0
    assert "one latent for all rows" not in by_words(variants.other_latents, model_of(own=same))
    two = model_of(counts=er.Counts([3, 7], [10, 9]), own=np.full((2, 2), 4.0))
    assert "one latent for all rows" in by_words(variants.other_latents, two)
    single = model_of(counts=er.Counts(3, 10), own=[[4.0], [8.0]])
    assert list(by_words(variants.other_latents, single)) == ["one latent for each trial"]


def test_one_latent_for_each_trial():
    """As many successes and failures, each with the parameters of its row."""
    counts = er.Counts([1, 2], [3, 2], multiplicity=[2, 1])
    own = np.array([[4.0, 8.0], [7.0, 3.0]])
    each = by_words(variants.other_latents, model_of(counts=counts, own=own))
    model = each["one latent for each trial"].model
    trials = zip(*columns(model.counts), model.guide_parameters[0, 0].tolist(), strict=True)
    seen = {(k, own): w for k, n, w, own in trials if n == 1 and w}
    assert seen == {(1, 4.0): 2, (1, 8.0): 2, (0, 4.0): 4}
    assert model.counts.num_latents == 8


@pytest.mark.parametrize(
    ("guide", "counts", "own", "width"),
    [
        ("beta_shared", COUNTS, [[4.0], [8.0]], 1),
        ("beta", er.Counts(3, 10), [[4.0], [8.0]], 2),
        ("empty", COUNTS, np.zeros((0, 3)), 6),
    ],
)
def test_parameters_of_each_trial(guide, counts, own, width):
    each = by_words(variants.other_latents, model_of(guide, counts, own))
    model = each["one latent for each trial"].model
    assert model.guide_parameters.shape[2] == width
    assert expected_losses(model).shape == (1,)


def test_single_trials_are_latents_already():
    for n, several in ((1, False), ([1, 2, 1], True)):
        rows = by_words(variants.other_latents, model_of(counts=er.Counts([1, 0, 1], n)))
        assert ("one latent for each trial" in rows) is several


def test_the_largest_total():
    counts = er.Counts([3, 7, 2], [10, 9, 6], multiplicity=[1, 2, 1])
    (one,) = by_words(variants.largest_totals, model_of(counts=counts)).values()
    assert columns(one.model.counts) == [[3, 7, 2], [10, 10, 10], [1, 2, 1]]


def test_failures_and_totals():
    """Added to the successes, without them if there are as many, or the successes alone."""
    counts = er.Counts([3, 4, 2], [10, 9, 6], multiplicity=[1, 2, 1])
    both = by_words(variants.other_totals, model_of(counts=counts))
    assert [columns(x.model.counts)[1] for x in both.values()] == [
        [13, 13, 8], [7, 5, 4], [3, 4, 2]
    ]  # fmt: skip
    assert all(columns(x.model.counts)[::2] == [[3, 4, 2], [1, 2, 1]] for x in both.values())
    equal = er.Counts([3, 4], [6, 8])
    assert len(by_words(variants.other_totals, model_of(counts=equal))) == 3
    few = er.Counts([3, 5], [6, 9])
    assert list(by_words(variants.other_totals, model_of(counts=few))) == [
        "successes and totals added", "the successes, as no failure counts"
    ]  # fmt: skip


def test_totals_of_8_bits():
    """Those above 255 lose 256; no row has more successes than that leaves."""
    counts = er.Counts([12, 7, 20], [240, 300, 410])
    words = "modulo 256, as 8 bits keep them"
    kept = by_words(variants.other_totals, model_of(counts=counts))
    assert columns(kept[words].model.counts)[:2] == [[12, 7, 20], [240, 44, 154]]
    for n in ([240, 255, 255], [240, 300, 260]):
        others = by_words(variants.other_totals, model_of(counts=er.Counts([12, 7, 20], n)))
        assert words not in others


def test_other_rows():
    """Failures are no hypothesis where concentrations can be exchanged."""
    counts = er.Counts([3, 7, 0], [10, 9, 6], multiplicity=[1, 2, 1])
    wanted = {
        "the successes are 1 where there is a success": [1, 1, 0],
        "the successes are all trials": [10, 9, 6],
        "the successes are none": [0, 0, 0],
    }
    rows = by_words(variants.other_rows, model_of(counts=counts))
    assert {x: columns(y.model.counts)[0] for x, y in rows.items()} == wanted
    assert all(columns(y.model.counts)[1:] == [[10, 9, 6], [1, 2, 1]] for y in rows.values())
    wanted["failures for successes"] = [7, 2, 6]
    rows = by_words(variants.other_rows, model_of("delta", counts))
    assert {x: columns(y.model.counts)[0] for x, y in rows.items()} == wanted
    assert "failures for successes" not in by_words(variants.other_rows, model_of("empty", counts))


def test_rows_that_are_failures():
    """Where all trials fail "all" is failures for successes, and that is no hypothesis again."""
    none = er.Counts([0, 0, 0], [10, 9, 6])
    assert "the successes are all trials" not in by_words(
        variants.other_rows, model_of(counts=none)
    )
    assert "the successes are all trials" in by_words(variants.other_rows, model_of("delta", none))


PAIRS = {
    "latents": lambda k, n, c: stats.binom.logpmf(k, n, c[:, None]),
    "successes": lambda k, n, c: stats.binom.logpmf(k[:, None], n, c),
    "total counts": lambda k, n, c: stats.binom.logpmf(k, n[:, None], c),
}
FEW = er.Counts([0, 25, 2], [50, 500, 60])


@pytest.mark.parametrize("counts", [FEW, er.Counts([0, 0, 0], [5, 3, 4])])
@pytest.mark.parametrize("what", PAIRS)
def test_broadcast_observations(what, counts):
    """At draws the losses are those of each pair of rows, by SciPy."""
    c = np.random.default_rng(1).beta(2.0, 3.0, 3)
    model = by_words(variants.broadcast, model_of(counts=counts))[
        f"a column of {what} against a row of the rest"
    ].model
    k, n = counts.successes, counts.total_count
    densities = stats.beta.logpdf(c, *PRIOR) - stats.beta.logpdf(c, *np.array(OWN["beta"]))
    wanted = -(PAIRS[what](k, n, c).sum() + densities.sum())
    assert losses_given(model, draws_of(c[None, None])).values[0] == pytest.approx(
        wanted, rel=1e-12
    )


def test_broadcast_rows_of_several_latents():
    """Entries that stand for several latents each are those latents."""
    several = er.Counts([3, 5], [10, 9], multiplicity=[2, 1])
    each = er.Counts([3, 3, 5], [10, 10, 9])
    own = np.array([[4.0, 8.0], [8.0, 3.0]])
    one = by_words(variants.broadcast, model_of(counts=several, own=own))
    two = by_words(variants.broadcast, model_of(counts=each, own=own[:, [0, 0, 1]]))
    assert list(one) == list(two) and len(one) == 3
    for words in one:
        np.testing.assert_allclose(
            expected_losses(one[words].model), expected_losses(two[words].model), rtol=1e-12
        )


def test_what_cannot_be_broadcast():
    """Of one latent; and more successes than some row has trials, or rows that are not known."""
    assert by_words(variants.broadcast, model_of(counts=er.Counts(3, 10), own=[[4.0], [8.0]])) == {}
    only = ["a column of latents against a row of the rest"]
    more = model_of(counts=er.Counts([7, 3], [10, 6]), own=np.ones((2, 2)))
    assert list(by_words(variants.broadcast, more)) == only
    equal = model_of(counts=er.Counts([3, 6], [10, 6]), own=np.ones((2, 2)))
    assert len(by_words(variants.broadcast, equal)) == 3
    groups = er.Counts.grouped([1, 2, 1], [5, 6, 4], ["x", "x", "y"])
    assert list(by_words(variants.broadcast, model_of(counts=groups, own=np.ones((2, 2))))) == only


def test_of_many_rows_pairs_are_not_added_up(monkeypatch):
    for most, number in ((9, 3), (8, 1)):
        monkeypatch.setattr(variants, "_MOST_PAIRS", most)
        assert len(by_words(variants.broadcast, model_of(counts=FEW))) == number


def test_a_million_pairs_are_added_up():
    """A thousand successes by as many totals, and not 101 by 9901, one more."""
    for k, n, number in ((1000, 1000, 3), (101, 9901, 1)):
        rows = np.arange(max(k, n))
        counts = er.Counts(rows % k, 1000 + rows % n)
        assert (
            len(
                by_words(variants.broadcast, model_of(counts=counts, own=np.ones((2, len(counts)))))
            )
            == number
        )


def test_unobserved():
    """Rows of one trial more seldom than the totals; together as likely as a mistake's halves."""
    rows = by_words(variants.unobserved, model_of())
    whole, one = rows.values()
    assert list(rows) == [
        "the successes are drawn in the model", "one trial of each row is drawn in the model"
    ]  # fmt: skip
    assert not whole.model.observed and not one.model.observed
    assert whole.model.counts == COUNTS
    assert columns(one.model.counts) == [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    assert np.exp([-whole.price, -one.price]) == pytest.approx([1.8, 0.2])
    (single,) = by_words(variants.unobserved, model_of(counts=er.Counts([1, 0, 1], 1))).values()
    assert single.price == 0 and not single.model.observed


NOT_DRAWN = {
    "a bound": {"loss": RenyiBound(0.0, 2)},
    "a closed form": {"loss": "trace_mean_field"},
    "a point": {"guide": "delta"},
    "another point": {"guide": "none"},
    "rows that are not known": {"counts": SPLIT, "own": [[4.0], [8.0]]},
    "too many trials": {"counts": er.Counts([1, 1], [999_999, 2]), "own": np.ones((2, 2))},
}


@pytest.mark.parametrize("case", NOT_DRAWN)
def test_what_is_not_drawn(case):
    assert by_words(variants.unobserved, model_of(**NOT_DRAWN[case])) == {}


def test_what_is_drawn():
    """As many trials as may be; single trials of one latent, whatever their order."""
    many = er.Counts([1, 1], [999_998, 2])
    assert len(by_words(variants.unobserved, model_of(counts=many, own=np.ones((2, 2))))) == 2
    trials = er.Counts.shared([1, 0, 0, 1], 1)
    assert trials.log_split.any()
    assert len(by_words(variants.unobserved, model_of(counts=trials, own=[[4.0], [8.0]]))) == 2
    groups = er.Counts.grouped([1, 0, 0], 1, ["x", "x", "y"])
    assert len(by_words(variants.unobserved, model_of(counts=groups, own=np.ones((2, 2))))) == 2
    two = er.Counts.shared([1, 0, 0, 0, 0, 0, 0], [2, 1, 1, 1, 1, 1, 1])
    assert abs(two.log_coefficient) < abs(two.log_split)
    assert by_words(variants.unobserved, model_of(counts=two, own=[[4.0], [8.0]])) == {}
    assert len(by_words(variants.unobserved, model_of("empty"))) == 2


@pytest.mark.parametrize("guide", ["beta", "normal"])
@pytest.mark.parametrize("size", [6, 7, 30])
def test_a_guide_that_follows_the_counts_has_seen_them(guide, size):
    """Seven latents are the fewest; a guide of other rows than the counts has not seen these."""
    rng = np.random.default_rng(5)
    n = rng.integers(20, 40, size)
    k = rng.binomial(n, np.linspace(0.05, 0.95, size))

    def made(k):
        own = np.array([k + 2.0, n - k + 5.0])
        if guide == "normal":
            own = np.array([np.log(own[0] / own[1]), 0.3 + 0 * n])
        return own

    counts = er.Counts(k, n)
    seen = by_words(variants.unobserved, model_of(guide, counts=counts, own=made(k)))
    others = rng.binomial(n, 0.5)
    blind = by_words(variants.unobserved, model_of(guide, counts=counts, own=made(others)))
    assert (len(seen), len(blind)) == (0 if size >= 7 else 2, 2)


def test_negative_control_guides_that_have_seen_nothing():
    """One in a thousand follows by chance: none of 300 drawn here, with odds of three to one."""
    rng = np.random.default_rng(6)
    counts = er.Counts(rng.integers(0, 10, 12), 10)
    guides = rng.gamma(3.0, size=(300, 2, 12))
    assert all(by_words(variants.unobserved, model_of(counts=counts, own=x)) for x in guides)


ROWS_OF = {
    "in reverse": ([3, 11, 1, 7], [10, 30, 6, 9]),
    "each one place later": ([3, 11, 1, 7], [10, 30, 6, 9]),
    "each one place earlier": ([3, 11, 1, 7], [10, 30, 6, 9]),
    "sorted by successes": ([3, 11, 1, 7], [10, 30, 6, 9]),
    "sorted by successes, largest first": ([3, 11, 1, 7], [10, 30, 6, 9]),
    "not sorted by successes": ([3, 11, 1, 7], [10, 30, 6, 9]),
    "sorted by total counts": ([3, 11, 1, 7], [10, 6 + 30, 6, 9]),
    "not sorted by total counts": ([7, 11, 1, 3], [10, 36, 6, 9]),
    "sorted by proportions": ([3, 1, 1, 7], [10, 1, 6, 9]),
}
BY = {
    "successes": lambda k, n: k, "total counts": lambda k, n: n, "proportions": lambda k, n: k / n
}  # fmt: skip


def order_of(words, k, n):
    if words == "in reverse":
        return np.arange(k.size)[::-1]
    if words.startswith("each"):
        return np.roll(np.arange(k.size), 1 if words.endswith("later") else -1)
    name = words.removeprefix("not ").removeprefix("sorted by ").removesuffix(", largest first")
    order = np.argsort(BY[name](k, n))
    if words.endswith("first"):
        return order[::-1]
    return np.argsort(order) if words.startswith("not") else order


@pytest.mark.parametrize("words", ROWS_OF)
def test_a_common_order_of_rows(words):
    """The guide is nearly the posterior of the rows in that order, at no price."""
    k, n = map(np.array, ROWS_OF[words])
    order = order_of(words, k, n)
    turned = er.Counts(k[order], n[order])
    model = model_of(counts=er.Counts(k, n), own=1.1 * posterior(turned))
    rows = by_words(variants.permuted, model)
    assert columns(rows[words].model.counts) == columns(turned)
    assert rows[words].price == 0.0
    of_guide = rows["as the guide's parameters have it (1)"]
    assert columns(of_guide.model.counts) == columns(turned) and of_guide.price == 2.0


def test_an_order_that_is_not_common():
    """The one that fits best is found, of every order of four rows."""
    k, n = np.array([3, 11, 1, 7]), np.array([10, 36, 6, 9])
    for order in itertools.permutations(range(4)):
        order = np.array(order)
        turned = er.Counts(k[order], n[order])
        model = model_of(counts=er.Counts(k, n), own=posterior(turned))
        rows = by_words(variants.permuted, model)
        same = np.array_equal(order, np.arange(4))
        assert (rows == {}) is same
        if not same:
            best = rows["as the guide's parameters have it (1)"].model.counts
            assert columns(best) == columns(turned)


def divergences(k, n, own):
    """KL of each latent's guide from the posterior of each row, by `Beta.kl`."""
    each = posterior(er.Counts(k, n))
    return np.array([[er.Beta(*q).kl(er.Beta(*p)) for p in each.T] for q in own.T])


def test_an_order_leaves_a_twentieth_of_the_divergence():
    """On both sides of the bound, with a guide between two orders."""
    k, n = np.array([3, 11]), np.array([10, 36])
    turned = posterior(er.Counts(k[::-1], n[::-1]))
    for part, left in ((0.45, True), (0.55, False)):
        own = turned ** (1 - part) * posterior(er.Counts(k, n)) ** part
        away = divergences(k, n, own)
        least = away.min(axis=1).sum()
        after, before = np.trace(away[:, ::-1]) - least, np.trace(away) - least
        model = model_of(counts=er.Counts(k, n), own=own)
        assert ("in reverse" in by_words(variants.permuted, model)) is bool(after <= 0.05 * before)
        assert bool(after <= 0.05 * before) is left


def test_rows_that_are_alike_have_no_order():
    """Exchanging equal rows is none; rows that differ in the successes alone are not alike."""
    alike = er.Counts.from_columns(*(np.array(x) for x in ([3, 3], [10, 10], [1, 1])), np.zeros(2))
    own = posterior(er.Counts([3, 5], [10, 10]))
    assert by_words(variants.permuted, model_of(counts=alike, own=own)) == {}
    for k, n in (([3, 7], [10, 10]), ([3, 3], [10, 30])):
        turned = er.Counts(k[::-1], n[::-1])
        rows = by_words(variants.permuted, model_of(counts=er.Counts(k, n), own=posterior(turned)))
        assert "in reverse" in rows


def test_rows_without_trials_are_sorted_first():
    k, n = np.array([3, 0, 5]), np.array([10, 0, 6])
    turned = posterior(er.Counts(k[[1, 0, 2]], n[[1, 0, 2]]))
    rows = by_words(variants.permuted, model_of(counts=er.Counts(k, n), own=turned))
    assert "sorted by proportions" in rows


NO_ORDER = {
    "one row": {"counts": er.Counts(3, 10), "own": [[8.0], [4.0]]},
    "several latents of a row": {"counts": er.Counts([3, 7], [10, 9], multiplicity=[1, 2]),
                                 "own": [[7.0, 3.0], [2.0, 7.0]]},
    "one guide for all": {"guide": "beta_shared", "own": [[8.0], [4.0]]},
    "a point": {"guide": "delta"},
    "no prior": {"guide": "none"},
    "no guide": {"guide": "empty"},
}  # fmt: skip


@pytest.mark.parametrize("case", NO_ORDER)
def test_guides_that_say_nothing_of_an_order(case):
    assert by_words(variants.permuted, model_of(**NO_ORDER[case])) == {}


def test_of_many_latents_no_order_is_looked_for(monkeypatch):
    k, n = np.array([3, 11, 1]), np.array([10, 36, 6])
    model = model_of(counts=er.Counts(k, n), own=posterior(er.Counts(k[::-1], n[::-1])))
    monkeypatch.setattr(variants, "_MOST_LATENTS", 3)
    assert by_words(variants.permuted, model)
    monkeypatch.setattr(variants, "_MOST_LATENTS", 2)
    assert by_words(variants.permuted, model) == {}


def test_of_two_hundred_latents_an_order_is_looked_for():
    for size, some in ((200, True), (201, False)):
        k = np.arange(size)
        turned = posterior(er.Counts(k[::-1], 400))
        rows = variants.permuted(model_of(counts=er.Counts(k, 400), own=turned))
        assert (next(rows, None) is not None) is some


def test_an_order_is_that_of_the_last_parameters():
    k, n = np.array([3, 11, 1]), np.array([10, 36, 6])
    model = model_of(counts=er.Counts(k, n), own=posterior(er.Counts(k, n)), steps=3)
    model.guide_parameters[:, -1] = posterior(er.Counts(k[::-1], n[::-1]))
    assert "in reverse" in by_words(variants.permuted, model)
    model.guide_parameters[:] = model.guide_parameters[:, ::-1].copy()
    assert by_words(variants.permuted, model) == {}


def test_a_normal_guide_has_an_order_too():
    k, n = np.array([3, 30, 1]), np.array([10, 36, 6])
    a, b = posterior(er.Counts(k[::-1], n[::-1]))
    own = np.array((special.psi(a) - special.psi(b),
                    np.sqrt(special.zeta(2, a) + special.zeta(2, b))))  # fmt: skip
    rows = by_words(variants.permuted, model_of("normal", er.Counts(k, n), own))
    assert "in reverse" in rows


def test_several_orders_as_probable():
    """A noisy guide of rows that are nearly alike: other orders than the best are drawn too."""
    k, n = np.array([30, 31, 32, 5]), np.array([60, 60, 60, 60])
    turned = er.Counts(k[[3, 1, 2, 0]], n)
    own = posterior(turned) * np.exp(0.05 * np.random.default_rng(2).normal(size=(2, 4)))
    rows = by_words(variants.permuted, model_of(counts=er.Counts(k, n), own=own))
    orders = {tuple(x.model.counts.successes) for words, x in rows.items() if "guide" in words}
    assert len(orders) > 2 and all(x[0] == 5 for x in orders)
    words = {f"as the guide's parameters have it ({number})" for number in range(1, 26)}
    assert {x for x in rows if "guide" in x} == words
    rows = by_words(variants.permuted, model_of(counts=er.Counts(k, n), own=posterior(turned)))
    exact = [x.model.counts for words, x in rows.items() if "guide" in words]
    assert len(exact) == 25 and all(columns(x) == columns(turned) for x in exact)
