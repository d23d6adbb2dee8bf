"""`Estimates`: what is asked of estimates, against the slow twin and against draws from it.

Tests against draws use a fixed seed; each would fail by chance once in 1e6 or less.
"""

import numpy as np
import pytest
from estimates.oracle import Twin, unit_rule
from scipy import interpolate, stats

import elbo_ref as er
from elbo_ref.counts.levels import levelled
from elbo_ref.estimates import result
from elbo_ref.estimates.fit import Fit
from elbo_ref.estimates.result import Estimates
from elbo_ref.mle.profile_likelihood import ProfileLikelihood
from tiers import few

THREE = er.Counts([3, 4, 9], 10)
GROUPED = er.Counts.grouped([3, 4, 9, 2], [10, 10, 10, 5], ["north", "south", "east", "west"])
FOUND = er.estimate(THREE)
TWIN = Twin(THREE, 2.5)


def draws(size=800_000):
    """Success probabilities of the three latents from the twin's nodes."""
    rng = np.random.default_rng(5)
    node = rng.choice(TWIN.share.size, size, p=TWIN.share.ravel())
    a, b = TWIN.a.ravel()[node], TWIN.b.ravel()[node]
    return [rng.beta(a + k, b + 10 - k) for k in THREE.successes]


def test_probability_above():
    wanted = [1 - TWIN.below(k, 10, 0.4) for k in THREE.successes]
    np.testing.assert_allclose(FOUND.probability_above(0.4), wanted, atol=2e-5)


@pytest.mark.thorough
def test_difference_against_draws():
    """P(c1 > c2) within 5 standard errors, tails of 2.5 % too; sharing the prior matters."""
    c = draws()
    found = FOUND.difference(2, 0)
    away = c[2] - c[0]
    error = np.sqrt(found.probability * (1 - found.probability) / away.size)
    assert abs(np.mean(away > 0) - found.probability) < 5 * error
    tail = 5 * np.sqrt(0.025 * 0.975 / away.size)
    assert abs(np.mean(away < found.lower) - 0.025) < tail
    assert abs(np.mean(away > found.upper) - 0.025) < tail
    assert found.mean == pytest.approx(FOUND.mean[2] - FOUND.mean[0], abs=1e-15)
    alone = c[2] - np.random.default_rng(1).permutation(c[0])
    assert abs(np.mean(alone < found.lower) - 0.025) > tail


@pytest.mark.thorough
def test_difference_is_antisymmetric():
    one, other = FOUND.difference(2, 0), FOUND.difference(0, 2)
    values = one.mean, one.lower, one.upper, one.probability
    back = -other.mean, -other.upper, -other.lower, 1 - other.probability
    np.testing.assert_allclose(values, back, atol=1e-9)


def test_difference_under_one_prior():
    """Beta(5, 5) and Beta(2, 8): scipy's quadrature."""
    found = er.estimate(er.Counts([4, 1], [8, 8]), er.Beta(1.0, 1.0)).difference(0, 1)
    wanted = stats.beta(5, 5).expect(lambda x: stats.beta(2, 8).cdf(x))
    assert found.probability == pytest.approx(wanted, abs=1e-7)
    below = stats.beta(5, 5).expect(lambda x: stats.beta(2, 8).sf(x - found.lower))
    assert below == pytest.approx(0.025, abs=1e-7)


@pytest.mark.parametrize("label", [None, 2])
def test_predict(label):
    """The sum over the twin's nodes of scipy's betabinom."""
    k, n = (0, 0) if label is None else (9, 10)
    found = FOUND.predict(6, label)
    a, b = TWIN.a + k, TWIN.b + n - k
    usual = (TWIN.s < 1e9) & (TWIN.s > 1e-9) & (TWIN.share > 1e-12)
    pmf = stats.betabinom.pmf(np.arange(7)[:, None], 6, a[usual], b[usual]) @ TWIN.share[usual]
    np.testing.assert_allclose(found.probability, pmf, atol=2e-5)
    assert found.probability.sum() == pytest.approx(1, abs=1e-9)
    assert found.mean == pytest.approx(found.probability @ np.arange(7), abs=1e-9)
    assert found.probability[: found.lower].sum() <= 0.025
    assert found.probability[found.upper + 1 :].sum() <= 0.025


def test_prior_parameters():
    """Quantiles of w = s0/(s0 + s) and of m, from splines of the twin's marginals."""
    x, rest, _ = unit_rule()
    for axis, values in ((0, 2.5 * rest / x), (1, x)):
        mass = TWIN.share.sum(axis=axis)
        spline = interpolate.CubicSpline(np.arange(mass.size), mass).antiderivative()
        parameter = FOUND.prior_concentration if axis == 0 else FOUND.prior_mean
        ends = {0.5: parameter.value, 0.025: parameter.lower, 0.975: parameter.upper}
        for tail, value in ends.items():
            order = np.argsort(values)
            at = np.interp(np.log(value), np.log(values[order]), order.astype(float))
            share = float(spline(at) / spline(mass.size - 1))
            assert (share if axis else 1 - share) == pytest.approx(tail, abs=1e-3)
    assert FOUND.rho.lower == pytest.approx(1 / (1 + FOUND.prior_concentration.upper))


def test_prior_parameters_at_the_maximum():
    """The estimates and their profile intervals."""
    counts = er.datasets.load("rat_tumors")
    found, maximum = er.estimate(counts, "mle"), er.maximize_evidence(counts)
    assert found.prior_mean.value == maximum.mean
    ends = maximum.confidence_interval("concentration")
    assert found.prior_concentration.value == maximum.concentration
    lower, upper = found.prior_concentration.lower, found.prior_concentration.upper
    assert (lower, upper) == pytest.approx(tuple(ends), rel=1e-13)
    (rho,) = er.estimate(counts, er.Beta(2.0, 6.0)).rho
    assert rho == ("rho", *[pytest.approx(1 / 9)] * 3)


@pytest.mark.thorough
def test_groups_have_a_prior_each():
    counts = er.Counts([1, 2, 0, 3, 7, 9, 6, 8], 10)
    by = [*"abababab"]
    found = er.estimate(counts, by=by)
    for name in "ab":
        chosen = np.array(by) == name
        alone = er.estimate(er.Counts(counts.successes[chosen], 10))
        for column in ("mean", "lower", "upper", "shrinkage"):
            np.testing.assert_array_equal(getattr(found, column)[chosen], getattr(alone, column))
        assert found.rho[name] == alone.rho
        np.testing.assert_array_equal(
            found.predict(5, group=name).probability, alone.predict(5).probability
        )
    assert er.estimate(counts).test is None
    apart = er.estimate(counts, by=[*"aaaabbbb"]).difference(0, 7)
    assert apart.probability < 0.01


def test_the_test_of_one_prior():
    """Twice the heights, chi-square with 2 degrees; no group differs from itself."""
    counts = er.Counts([1, 2, 0, 3, 7, 9, 6, 8], 10)
    test = er.estimate(counts, by=[*"aaaabbbb"]).test
    heights = [
        er.maximize_evidence(er.Counts(k, 10)).log_evidence for k in ([1, 2, 0, 3], [7, 9, 6, 8])
    ]
    together = er.maximize_evidence(counts).log_evidence
    assert test.statistic == pytest.approx(2 * (sum(heights) - together), rel=1e-12)
    assert test.pvalue == pytest.approx(stats.chi2.sf(test.statistic, 2))
    assert er.estimate(er.Counts([1, 5, 1, 5], 10), by=[*"aabb"]).test.pvalue == pytest.approx(1)


def test_print_computes_no_prior_that_it_does_not_show(monkeypatch):
    """Of 30 groups 20 rows are shown; the frame of all priors is there when it is asked for."""
    asked = []
    parameters = Fit.parameters
    monkeypatch.setattr(Fit, "parameters", lambda fit, x: asked.append(fit) or parameters(fit, x))
    rng = np.random.default_rng(2)
    n = rng.integers(2, 90, 60)
    counts = er.Counts(rng.binomial(n, 0.3), n)
    found = er.estimate(counts, er.Beta(2.0, 5.0), by=np.repeat(np.arange(30), 2))
    text = str(found)
    assert len(asked) == 20 and "... 10 more ..." in text
    assert str(found) == text and len(asked) == 20
    found._repr_html_()
    assert len(asked) == 20
    assert len(found.prior_parameters.groups) == len(asked) == 30
    assert found.test.null not in text and found.test.null in str(found)


@pytest.mark.parametrize("prior", ["averaged", "mle", er.Beta(2.0, 5.0)])
@pytest.mark.parametrize("by", [None, [*"aab"]])
def test_a_table_needs_no_profile(prior, by, monkeypatch):
    """Rows, length and words of the prior are there without one interval of its parameters."""
    monkeypatch.setattr(ProfileLikelihood, "region", None)
    found = er.estimate(THREE, prior, by=by)
    assert len(found) == len(list(found)) == 3 and found.table().caption
    if prior == "mle" and by is None:
        with pytest.raises(TypeError):  # the control: a parameter does ask for one
            found.prior_mean  # noqa: B018


@pytest.mark.parametrize("prior", ["averaged", "mle"])
def test_equal_groups_are_estimated_once(prior, monkeypatch):
    made = []
    of = Fit.of
    monkeypatch.setattr(Fit, "of", lambda *x: made.append(x) or of(*x))
    counts = er.Counts([3, 4, 9, 4, 3, 9, 1, 1, 1], [10] * 9)
    found = er.estimate(counts, prior, by=[*"aaabbbccc"])
    assert len(made) == 2
    np.testing.assert_array_equal(found.mean[:3], found.mean[[4, 3, 5]])


@pytest.mark.parametrize("prior", ["averaged", "mle"])
@pytest.mark.parametrize("n", few([10**12, 10**9, 10**6]))
@pytest.mark.parametrize("k", few([[3, 1, 2, 0], [0, 1, 2, 0], [0, 0, 0]]))
def test_rare_events_warn_of_nothing(k, n, prior):
    """Warnings are errors in these tests; failures as rare as that are the mirror image."""
    found, other = (er.estimate(er.Counts(x, n), prior) for x in (k, n - np.array(k)))
    np.testing.assert_allclose(found.lower, 1 - other.upper, rtol=1e-6, atol=1e-15)
    np.testing.assert_allclose(found.mean, 1 - other.mean, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("level", [1 - 1e-9, 1 - 1e-12, 1 - 1e-15])
@pytest.mark.parametrize("counts", [er.Counts([1, 2], [3, 9]), er.Counts([3, 4, 9], 10)])
def test_levels_close_to_1(counts, level):
    found = er.estimate(counts, level=level)
    for x in found.prior_parameters:
        assert 0 <= x.lower < x.value < x.upper


LIMITS = {
    "no_information": ([0, 0], [0, 0]),
    "degenerate": ([0, 0], [3, 4]),
    "unidentified": ([0, 1], [1, 1]),
    "all_or_none": ([0, 2], [2, 2]),
    "binomial": ([1, 1], [2, 2]),
}


@pytest.mark.parametrize(("kind", "table"), LIMITS.items(), ids=LIMITS)
def test_limits_answer_every_question(kind, table):
    """Points where the limit is a point, nan where there is none; the caption says why."""
    counts = er.Counts(*table)
    found = er.estimate(counts, "mle")
    maximum = er.maximize_evidence(counts)
    assert maximum.kind == kind
    assert maximum.sentence in found.summary().replace("\n    ", " ")
    known = kind not in ("no_information", "unidentified")
    assert (found.lower == found.upper).all() == known
    assert np.isnan(found.difference(0, 1).probability) == (not known)
    assert found.predict(3, 0).probability.shape == (4,)
    assert found.predict(3).probability.shape == (4,)
    assert found.probability_above(0.5).shape == (2,)
    assert found.rho.lower <= found.rho.upper


@pytest.mark.parametrize(
    ("kind", "s"), [("degenerate", 1.0), ("all_or_none", 1e-9), ("binomial", 1e9)]
)
def test_limits_are_approached(kind, s):
    """By the posterior means under a prior far along."""
    counts = er.Counts(*LIMITS[kind])
    mean = 1e-9 if kind == "degenerate" else 0.5
    near = er.posterior(er.Beta(s * mean, s * (1 - mean)), counts).mean
    np.testing.assert_allclose(er.estimate(counts, "mle").mean, near, atol=1e-8)


def test_labels():
    found = er.estimate(GROUPED, er.Beta(2.0, 3.0))
    assert found.labels == ("north", "south", "east", "west")
    assert found.difference("north", "west").label2 == "west"
    words = "is not a label of these estimates, which are 'north', 'south', 'east', 'west'$"
    for bad in ("up", None, ["north"], 0):
        with pytest.raises(ValueError, match=words):
            found.difference(bad, "north")
    with pytest.raises(ValueError, match=r"^label1 and label2 are both 'east'$"):
        found.difference("east", "east")
    with pytest.raises(
        ValueError, match=r"^group = 'a', and there are no groups: give by= to estimate$"
    ):
        found.predict(3, group="a")


def test_improper_without_information():
    for exponent, counts, needed in (
        (-2.5, er.Counts([0, 5], 5), "-0.5 the posterior is finite from 1 latent with"),
        (-3.0, er.Counts([0, 2], 5), "-1 the posterior is finite from 2 latents with"),
        (-3.5, er.Counts([0, 2], 5), "-1.5 the posterior is finite from 2 latents with"),
    ):
        with pytest.raises(ValueError) as caught:
            er.estimate(counts, hyperprior=er.Hyperprior.power(exponent))
        said = str(caught.value)
        assert said.startswith(f"hyperprior: with weight[1] = {needed} both successes and failures")
        mixed = int((counts.successes % 5 > 0).sum())
        assert said.endswith(f"there are {mixed}: take a weight[1] above 0, as Hyperprior() has")
    for exponent, k in ((-2.5, [0, 2]), (-3.0, [1, 2])):  # just enough
        er.estimate(er.Counts(k, 5), hyperprior=er.Hyperprior.power(exponent))


@pytest.mark.parametrize("prior", ["averaged", "mle"])
def test_one_prior_for_counts_that_have_levels(prior):
    levels = levelled(er.Counts([3, 4, 9], 10), "arm", ["a", "b", "a"])
    plain = er.estimate(er.Counts([3, 4, 9], 10), prior)
    assert er.estimate(levels, prior).posteriors.names == ("a", "b")
    found = er.estimate(levels, prior, by=False)
    assert found.test is None and found.mean.tolist() == plain.mean.tolist()
    assert str(found).splitlines()[0] == str(plain).splitlines()[0]


@pytest.mark.parametrize("turned", [False, True])
def test_difference_of_two_groups(turned):
    """Means of two priors, against both twins' marginals of m node by node; both orders."""
    k = np.array([1, 2, 0, 3, 4, 5, 2, 6])
    counts = er.Counts(10 - k if turned else k, 10)
    found = er.estimate(counts, by=[*"aaaabbbb"])
    there, back = (found.difference(*x, groups=True) for x in (("b", "a"), ("a", "b")))
    m, *_ = unit_rule(180)
    halves = (er.Counts(counts.successes[i : i + 4], 10) for i in (4, 0))
    one, other = (Twin(half, 2.5, size=180).share.sum(axis=1) for half in halves)
    away, share = m[:, None] - m, np.outer(one, other)
    assert there.mean == pytest.approx((away * share).sum(), abs=1e-7)
    above = share[away > 0].sum() + share[away == 0].sum() / 2
    assert there.probability == pytest.approx(above, abs=2e-4)
    assert share[away < there.lower].sum() == pytest.approx(0.025, abs=2e-3)
    assert share[away > there.upper].sum() == pytest.approx(0.025, abs=2e-3)
    np.testing.assert_allclose(
        [there.mean, there.lower, there.probability],
        [-back.mean, -back.upper, 1 - back.probability],
        atol=3e-5,
    )
    assert there.table().to_csv().startswith("label1,label2,mean,lower,upper,probability")


def test_difference_of_two_groups_otherwise():
    counts = er.Counts([1, 2, 0, 3, 7, 9, 6, 8], 10)
    best = er.estimate(counts, "mle", by=[*"aaaabbbb"])
    found = best.difference("b", "a", groups=True)
    assert found.mean == best.prior_mean["b"].value - best.prior_mean["a"].value
    assert found.lower < found.mean < found.upper and np.isnan(found.probability)
    with pytest.raises(ValueError, match=r"^label2 = 'c' is not one of the groups"):
        best.difference("a", "c", groups=True)
    with pytest.raises(ValueError, match=r"^label1 and label2 are both 'a'$"):
        best.difference("a", "a", groups=True)


@pytest.mark.thorough
def test_tests_of_some_groups():
    counts = er.Counts([1, 2, 0, 7, 9, 6, 1, 0, 1], 10)
    found = er.estimate(counts, by=[*"aaabbbccc"])
    two = er.estimate(er.Counts([1, 2, 0, 7, 9, 6], 10), by=[*"aaabbb"])
    assert found.same_prior_test("a", "b") == two.test
    assert found.same_prior_test() == found.test
    assert found.same_mean_test("b", "a", "b").pvalue == pytest.approx(
        two.same_mean_test().pvalue, rel=1e-6
    )
    assert found.same_mean_test("a", "c").pvalue > 0.2 > found.same_mean_test().pvalue
    with pytest.raises(ValueError, match="'d' is not one of the groups"):
        found.same_mean_test("a", "d")
    with pytest.raises(ValueError, match="needs two groups; name two"):
        found.same_prior_test("a", "a")
    with pytest.raises(ValueError, match="there are no groups: give by= to estimate"):
        er.estimate(counts).same_mean_test()


def test_print_waits_for_no_profile_of_many_pairs(monkeypatch):
    counts = er.Counts([3, 4, 9], 10)
    monkeypatch.setattr(result, "_MOST_PAIRS", 2)
    found = er.estimate(counts, "mle")
    assert "prior, mean: 0.54421\n" in str(found)
    assert str(found).endswith("their intervals: take a while, and are prior_parameters")
    assert "prior_parameters" not in vars(found)
    assert found.rho.value > 0
    assert "prior, mean: 0.54421 (" in str(found)
    assert "prior, mean: 0.536 (" in str(er.estimate(counts))


def test_one_group_is_tested_against_none():
    found = er.estimate(er.Counts([3, 4], 10), by=["a", "a"])
    assert (found.test.statistic, found.test.pvalue) == (0.0, 1.0)
    assert "one prior for all groups: p = 1" in str(found)


def test_a_known_prior_has_no_interval():
    text = str(er.estimate(er.Counts([3, 4], 10), er.Beta(2.0, 8.0)))
    assert "prior, mean: 0.2\nprior, concentration: 10\n" in text


def test_the_column_above_is_computed_once(monkeypatch):
    found = er.estimate(er.Counts([3, 4, 9], 10), above=0.3)
    asked = []
    plain = Fit.above
    monkeypatch.setattr(Fit, "above", lambda fit, c: asked.append(c) or plain(fit, c))
    assert "P(c > 0.3)" in str(found)
    assert found[0].probability_above == found.probability_above(0.3)[0]
    assert len(found) == len(list(found)) == 3
    assert asked == [0.3, 0.3]


def test_means_are_probabilities_to_the_last_digit():
    """Of these the sums over the nodes are 1 + 2**-52."""
    n = 1876499844737707
    found = er.estimate(er.Counts([n, 0], n))
    assert found.mean[0] == 1 and (found.shrinkage <= 1).all()


def test_to_print_many_latents_takes_none_of_their_sums(monkeypatch):
    """Totals are kept, raw rates and groups are computed where they are shown: 40 of a million."""
    counts = er.Counts(np.arange(1_000_000) % 11, 10)
    found = er.estimate(counts, er.Beta(2, 8), by=np.arange(1_000_000) % 2)
    shown = []
    monkeypatch.setattr(Estimates, "raw", property(lambda _: shown.append("raw")))
    assert "_summary" in vars(counts)
    for text in (str(found), found._repr_html_()):
        assert f"{counts.successes.sum()} of 10000000 trials succeed, latents 1000000" in text
        assert "999999" in text and "... 999960 more ..." in text
    assert not shown


def test_a_rate_that_is_shown_is_that_of_the_column():
    counts = er.Counts([3, 0, 0, 7], [10, 0, 4, 7])
    found = er.estimate(counts, er.Beta(2, 8))
    column = next(x for x in found.table().columns if x.name == "raw")
    assert np.array_equal(column.values[:], found.raw, equal_nan=True)
    assert np.array_equal(column.whole, found.raw, equal_nan=True)


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        ([1, 1, 2, 2], ["group"]),
        (["a", "a", "b", "b"], ["group"]),
        ([("a", 1), ("a", 1), ("b", 2), ("b", 2)], ["group_0", "group_1"]),
    ],
)
def test_groups_keep_their_types(levels, names):
    pandas = pytest.importorskip("pandas")
    found = er.estimate(er.Counts([1, 2, 0, 3], 10), er.Beta(2, 8), by=levels)
    assert [row.group for row in found] == levels
    frame = found.to_pandas()
    assert list(frame.columns[1 : 1 + len(names)]) == names
    for name, values in zip(
        names, zip(*levels, strict=True) if names[1:] else [levels], strict=True
    ):
        assert frame[name].tolist() == list(values)
        assert frame[name].dtype == pandas.Series(list(values)).dtype
    assert str(levels[0]) in str(found)
    assert found.to_dict()["columns"]["group"] == [
        str(x) if isinstance(x, tuple) else x for x in levels
    ]
