"""`Estimates.difference`: the two orders agree, equals are even, and ends hold to their own scale.

Under one known Beta the two latents are independent: their difference is then integrated on the
scale of logits by mpmath, or drawn through logarithms of gamma variates, which do not underflow.
"""

import types

import mpmath
import numpy as np
import pytest
from scipy import integrate, special as sc

import elbo_ref as er
from elbo_ref.estimates import difference as difference_module, sides
from elbo_ref.estimates.difference import Pair, _positive, difference
from elbo_ref.estimates.mixture import LatentMixture, Point
from elbo_ref.estimates.sides import Averaged, Betas
from elbo_ref.special import beta_share
from tiers import few

SHAPES = [1e-4, 0.02, 0.7, 3.0, 40.0, 2000.0]
ENDS = {
    "all zeros": ([0] * 71, [20] * 71),
    "few zeros": ([0, 0], [50, 50]),
    "all ones": ([50] * 5, [50] * 5),
    "one trial": ([0, 0, 7], [1, 1, 10]),
    "rare": ([1, 1, 0], [10**9] * 3),
}
PAIRS = {
    "unequal trials": ([0, 0], [10, 1000]),
    "near 1": ([50, 40, 49], [50, 40, 50]),
    "both ends": ([20, 0, 20, 0], [20] * 4),
    "wide and narrow": ([500, 0, 3], [1000, 1, 5]),
}


def one(a, b):
    return Betas(LatentMixture(*(np.array([x]) for x in (a, b, 1.0))))


def integrated(a, b, p, q, d):
    """P(X - Y > d) by mpmath: on the scale of logits beyond d."""
    with mpmath.workdps(30):
        a, b, p, q, d = map(mpmath.mpf, (a, b, p, q, d))

        def at(w):
            c = d + (1 - d) / (1 + mpmath.exp(-w))
            slope = (1 - d) / (1 + mpmath.exp(-w)) / (1 + mpmath.exp(w))
            rest = (1 - d) / (1 + mpmath.exp(w))
            density = c ** (a - 1) * rest ** (b - 1) / mpmath.beta(a, b)
            return density * slope * mpmath.betainc(p, q, 0, c - d, regularized=True)

        return float(mpmath.quad(at, [-400, -100, -30, -10, -5, -2, 0, 2, 5, 10, 30, 100]))


@pytest.mark.parametrize("case", [ENDS["few zeros"], ([3, 3], [10, 10]), ([9, 9], [9, 9])])
@pytest.mark.parametrize("prior", [er.Beta(a, b) for a in SHAPES for b in (0.02, 5.0)])
def test_equals_are_even(case, prior):
    found = er.estimate(er.Counts(*case), prior).difference(0, 1)
    assert found.probability == 0.5
    assert found.lower == -found.upper <= 0
    assert found.mean == 0


@pytest.mark.parametrize("prior", few([er.Beta(a, b) for a in SHAPES[::-1] for b in SHAPES], 6))
def test_the_two_orders_agree_to_the_last_digit(prior):
    for k, n in [([0, 2], [7, 9]), ([0, 0], [3, 900]), ([8, 0], [8, 5])]:
        found = er.estimate(er.Counts(k, n), prior)
        there, back = found.difference(0, 1), found.difference(1, 0)
        assert there.probability + back.probability == 1
        assert (there.lower, there.upper) == (-back.upper, -back.lower)


@pytest.mark.parametrize(
    "shapes",
    few(
        [
            ((3.0, 7.0, 0.05, 6.0),),
            ((0.5, 3.0, 2.0, 4.0),),
            ((0.02, 9.0, 0.3, 2.0),),
            ((30.0, 2.0, 4.0, 0.5),),
        ]
    ),
)
def test_against_mpmath(shapes):
    a, b, p, q = shapes
    first, second = one(a, b), one(p, q)
    mean = a / (a + b) - p / (p + q)
    for level in (0.5, 0.95):
        lower, upper, _ = difference(first, second, mean, level)
        tail = (1 - level) / 2
        if upper > 0:
            assert integrated(a, b, p, q, upper) == pytest.approx(tail, rel=1e-6)
        if lower < 0:
            assert integrated(p, q, a, b, -lower) == pytest.approx(tail, rel=1e-6)


def test_a_whole_step_of_successes_is_exact():
    """P(X > Y) for Beta(a + 1, b) and Beta(a, b) is 1/2 + B(2 a, 2 b)/(a B(a, b)^2)."""
    for a in (1e-6, 1e-3, 0.3, 4.0, 800.0):
        for b in (0.02, 1.0, 50.0):
            with mpmath.workdps(30):
                more = mpmath.beta(2 * mpmath.mpf(a), 2 * mpmath.mpf(b))
                more = float(more / mpmath.beta(a, b) ** 2 / a)
            mean = (a + 1) / (a + 1 + b) - a / (a + b)
            share = difference(one(a + 1, b), one(a, b), mean, 0.9)[2]
            assert share == pytest.approx(0.5 + more, abs=3e-6), (a, b)


@pytest.mark.parametrize(("n", "close"), [(10**9, 1e-6), (10**12, 1e-4)])
def test_ends_of_rare_events(n, close):
    """Beta(k, n) is Gamma(k)/n: P(X - Y > d) by an integral over gamma variates.

    Of 1e12 trials SciPy's own betainc keeps six digits.
    """
    for k, other in ([3, 1], [0, 2], [5, 5]):
        found = er.estimate(er.Counts([k, other], n), er.Beta(0.5, n)).difference(0, 1)
        for a, b, d, tail in (
            (k + 0.5, other + 0.5, 2 * n * found.upper, 0.025),
            (other + 0.5, k + 0.5, -2 * n * found.lower, 0.025),
        ):
            if d > 0:
                t = np.linspace(-60.0, 5.0, 20_001)
                y = np.exp(t)
                log = (a - 1) * np.log(d + y) - d - y - sc.gammaln(a) + t
                share = integrate.trapezoid(np.exp(log) * sc.gammainc(b, y), t)
                assert share == pytest.approx(tail, rel=close)


def drawn(found, size, rng):
    """Draw both latents through logarithms: logit c of each."""
    fit, entry = found.posteriors.fits[0], found.posteriors.entry
    latents = [fit.latent(int(i)) for i in entry[:2]]
    node = rng.choice(latents[0].weight.size, size, p=latents[0].weight)

    def log_gamma(a):
        return np.log(rng.gamma(a + 1)) + np.log(rng.random(size)) / a

    return [log_gamma(x[0][node]) - log_gamma(x[1][node]) for x in latents]


@pytest.mark.thorough
@pytest.mark.parametrize("case", [*ENDS, *PAIRS])
def test_averaged_against_draws(case):
    """False-alarm rate 1e-5 for each of 27 shares; the negative control is off by 1 %."""
    size = 1_000_000
    found = er.estimate(er.Counts(*{**ENDS, **PAIRS}[case]))
    result = found.difference(0, 1)
    first, second = drawn(found, size, np.random.default_rng(3))
    with np.errstate(over="ignore"):
        gap = 1 / (1 + np.exp(-first)) - 1 / (1 + np.exp(-second))
    shares = {
        result.probability: (first > second).mean(),
        0.025: (gap < result.lower).mean(),
        0.0250001: (gap > result.upper).mean(),
    }
    for wanted, got in shares.items():
        if result.upper > 0.9:  # so close to 1 that the floats of the draws are few
            continue
        error = 4.5 * np.sqrt(wanted * (1 - wanted) / size) + 1e-7
        assert abs(got - wanted) < error
        if wanted > 0.2:
            assert abs(got - 1.01 * wanted) > error
    if case in ENDS:
        assert result.probability == 0.5


KINDS = {**ENDS, **PAIRS, "eighteen": ([18, 17, 7], [45] * 3), "one success": ([1, 0, 0], [20] * 3)}


@pytest.mark.parametrize("prior", ["averaged", er.Beta(2.0, 8.0), er.Beta(0.02, 3.0)])
@pytest.mark.parametrize("case", few(KINDS))
def test_one_of_two_is_above(case, prior):
    """P(X > Y) and P(Y > X) are computed apart, at either end of (0, 1), and have the sum 1."""
    found = er.estimate(er.Counts(*KINDS[case]), prior)
    fit, entry = found.posteriors.fits[0], found.posteriors.entry
    one, other = (Betas(fit.latent(int(entry[i])).kept(1e-7)) for i in (0, -1))
    pair = Pair(one, other)
    assert pair.above(0.0) + pair.reversed.above(0.0) == pytest.approx(1, abs=1e-6)


def test_an_end_far_below_the_scale_is_found_soon():
    """P(X - Y > d) = 1/(1 + d/t), of a scale of 1."""
    for t in (1.0, 1e-5, 1e-9):
        asked = []

        def above(d, t=t, asked=asked):
            asked.append(d)
            return 1 / (1 + d / t)

        pair = types.SimpleNamespace(above=above)
        found = _positive(pair, 1.0, 0.9, 1.0, 1e-3)
        assert abs(found - t / 9) < 1e-8 * 1e-3
        assert len(asked) < 30


BINOMIAL = np.random.default_rng(0).binomial(1000, 0.3, 20)
SHARED = {
    "binomial": (BINOMIAL, [1000] * 20),
    "no failure": ([10] * 4, [10] * 4),
    "one trial": ([1] * 20, [1] * 20),
    "no trial": ([3, 0], [10, 0]),
    "far apart": ([0, 50, 100, 20], [100] * 4),
    "unlike trials": ([0, 3, 2000], [1, 5, 10_000]),
    "many trials": ([10**4] * 2, [10**4] * 2),
}


def pair_by(fit, entry, nodes):
    return Pair(*(Betas(fit.latent(int(i), nodes)) for i in entry[:2]))


@pytest.mark.thorough
@pytest.mark.parametrize("case", SHARED)
def test_nodes_for_pairs_are_enough(case):
    """P(X - Y > d) as by all nodes of the grid; the few for one latent end at a smaller s."""
    found = er.estimate(er.Counts(*SHARED[case]))
    fit, entry = found.posteriors.fits[0], found.posteriors.entry
    every = fit.grid.nodes().kept(1e-9)
    every = every.mirrored if fit.mirrored else every
    assert 0 < fit.for_pairs.weight.size < every.weight.size
    result = found.difference(0, 1)
    ends = [0.0, max(result.upper, 0.001), 0.0, max(-result.lower, 0.001)]

    def shares(nodes):
        pair = pair_by(fit, entry, nodes)
        pairs = [pair, pair, pair.reversed, pair.reversed]
        return np.array([x.above(d) for x, d in zip(pairs, ends, strict=True)])

    wanted = shares(every)
    np.testing.assert_allclose(shares(fit.for_pairs), wanted, rtol=0, atol=1e-6)
    if case == "binomial":
        assert np.abs(shares(fit.nodes) - wanted).max() > 1e-5


APART = {
    "mixed": ([3, 9], [10, 10]),
    "no failure": ([50, 50], [50, 50]),
    "one trial": ([1, 0], [1, 1]),
    "wide and narrow": ([400_000, 3], [10**6, 5]),
    "no trial": ([0, 4], [0, 9]),
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", APART)
def test_tables_of_averaged_latents(case):
    """Distribution function and density by all nodes; those of 1 - c in the same table."""
    found = er.estimate(er.Counts(*APART[case]), by=["a", "b"])
    latent = found._latent(0).kept(1e-7)
    table, (a, b, weight) = Averaged.of(latent), latent
    w = table.middle + table.width * np.sinh(np.linspace(table.t[0], table.t[-1], 101))
    w = np.concatenate([np.linspace(-30, 30, 101), w[np.abs(w) < 600]])
    c, rest, logs = sc.expit(w), sc.expit(-w), (sc.log_expit(w), sc.log_expit(-w))
    at = Point(*(x[None] for x in (c, rest, *logs)))
    across = Point(*(x[None] for x in (rest, c, *logs[::-1])))
    share = beta_share(a, b, c[:, None], rest[:, None]) @ weight
    np.testing.assert_allclose(table.below(at)[0], share, rtol=0, atol=2e-8)
    np.testing.assert_allclose(table.mirrored.below(across)[0], 1 - share, rtol=0, atol=2e-8)
    log = a * logs[0][:, None] + b * logs[1][:, None] - sc.betaln(a, b)
    density = np.exp(log) @ weight
    for one in (table.log_density(at), table.mirrored.log_density(across)):
        np.testing.assert_allclose(np.exp(one[0]), density, rtol=0, atol=1e-6 * density.max())


def test_beyond_a_table_there_is_nothing():
    table = Averaged.of(LatentMixture(*np.array([[3.0, 0.5], [7.0, 2.0], [0.5, 0.5]])))
    low, high = (np.array([[x]]) for x in (-1e300, 0.0))
    zero, unit = (np.array([[x]]) for x in (0.0, 1.0))
    for at, share in ((Point(zero, unit, low, high), 0.0), (Point(unit, zero, high, low), 1.0)):
        assert table.log_density(at) == -np.inf
        assert table.below(at) == pytest.approx(share, abs=1e-12)


@pytest.mark.thorough
@pytest.mark.parametrize("case", APART)
def test_latents_of_two_groups(case, monkeypatch):
    """Against draws: false-alarm rate 1e-5 for each of 15 shares; the negative control is off
    by 1 %. Steps a quarter as long change less than 1e-7."""
    size, rng = 1_000_000, np.random.default_rng(4)
    found = er.estimate(er.Counts(*APART[case]), by=["a", "b"])
    result = found.difference(0, 1)
    draws = []
    for i in range(2):
        a, b, weight = found._latent(i)
        node = rng.choice(weight.size, size, p=weight)
        draws.append(rng.beta(b[node], a[node]))  # 1 - c
    gap = draws[1] - draws[0]
    for wanted, got in (
        (result.probability, (gap > 0).mean() + (gap == 0).mean() / 2),
        (0.025, (gap < result.lower).mean()),
        (0.025, (gap > result.upper).mean()),
    ):
        error = 4.5 * np.sqrt(wanted * (1 - wanted) / size) + 1e-7
        if result.upper < 0.9 or wanted > 0.2:  # closer to 1 floats of draws are few
            assert abs(got - wanted) < error
        if wanted > 0.2:
            assert abs(got - 1.01 * wanted) > error
    monkeypatch.setattr(difference_module, "_FINE_STEP", 0.025)
    finer = found.difference(0, 1)
    assert finer.probability == pytest.approx(result.probability, abs=1e-7)
    assert finer.upper == pytest.approx(result.upper, abs=1e-6 * (result.upper - result.lower))


@pytest.mark.thorough
def test_a_difference_costs_little(monkeypatch):
    """Betas that are evaluated for two latents without a failure: 25 million before."""
    evaluated = []

    def counted(a, b, c, rest):
        share = beta_share(a, b, c, rest)
        evaluated.append(share.size)
        return share

    monkeypatch.setattr(sides, "beta_share", counted)
    counts = er.Counts([50, 50], [50, 50])
    er.estimate(counts, by=["a", "b"]).difference(0, 1)
    assert not evaluated
    er.estimate(counts).difference(0, 1)
    assert 0 < sum(evaluated) < 1_500_000


@pytest.mark.thorough
@pytest.mark.parametrize("k", [[0] * 8, [0, 1, 0, 2, 0, 0, 5, 1]])
def test_either_of_two_that_are_nearly_as_wide_may_be_integrated_over(monkeypatch, k):
    """Whichever is nearer to 0, or the narrower one: the same to 1e-7."""
    n = np.arange(20, 36, 2)
    for successes in (np.array(k), n - k):
        found = er.estimate(er.Counts(successes, n))
        got = [found.difference(0, j) for j in (4, 7)]
        monkeypatch.setattr(difference_module, "_AS_WIDE", 0.0)
        wanted = [found.difference(0, j) for j in (4, 7)]
        monkeypatch.undo()
        for one, other in zip(got, wanted, strict=True):
            for name in ("lower", "upper", "probability"):
                assert abs(getattr(one, name) - getattr(other, name)) < 1e-7
