"""`elbo_ref.estimates.mixture` and `many_latents`: quantiles of many latents, from few."""

import numpy as np
import pytest
from scipy.special import expit

import elbo_ref as er
from elbo_ref.estimates import many_latents, mixture
from elbo_ref.special import beta_share


def drawn(rate, size=2000, most=3000, least=20):
    """Latents with success rates that are equal, or drawn."""
    rng = np.random.default_rng(1)
    n = rng.integers(least, most, size)
    return er.Counts(rng.binomial(n, rate(rng, size)), n)


CASES = {
    "binomial": drawn(lambda *_: 0.3),
    "rare": drawn(lambda *_: 0.002),
    "weak": drawn(lambda rng, size: rng.beta(300, 700, size)),
    "apart": drawn(lambda rng, size: rng.beta(3, 7, size)),
    "few trials": drawn(lambda *_: 0.3, most=400, least=1),
    "many trials": drawn(lambda *_: 0.01, most=10**7),
    "at the ends": drawn(lambda rng, size: rng.beta(0.02, 0.1, size), most=100),
    "without successes": er.Counts(0, np.arange(10, 310)),
    "without failures": er.Counts(np.arange(10, 90), np.arange(10, 90)),
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
def test_the_quantiles_of_many_are_those_of_each(monkeypatch, case):
    """To 1e-9 posterior deviations as if each is solved, and settled at 1e-7."""
    found = er.estimate(CASES[case])
    monkeypatch.setattr(mixture, "_CLOSE", 1e-7)
    monkeypatch.setattr(many_latents, "_FEWEST", 10**9)
    wanted = er.estimate(CASES[case])
    deviation = (wanted.upper - wanted.lower) / 4
    for got, exact in ((found.lower, wanted.lower), (found.upper, wanted.upper)):
        assert (np.abs(got - exact) <= 1e-9 * deviation).all()


def evaluations_of(monkeypatch, counts):
    """Evaluations of a distribution function for each latent, and the estimates."""
    evaluated = []

    def counted(a, b, c, rest):
        evaluated.append(np.broadcast_shapes(np.shape(a), np.shape(c))[0])
        return beta_share(a, b, c, rest)

    monkeypatch.setattr(mixture, "beta_share", counted)
    found = er.estimate(counts)
    return sum(evaluated) / len(counts), found


def test_a_quantile_that_is_0_takes_one_evaluation(monkeypatch):
    """Beside those of the steps to it and of the upper one; a search would take seventy."""
    each, found = evaluations_of(monkeypatch, er.Counts(0, np.arange(10, 20)))
    assert each < 8 and (found.lower == 0).all() and (found.upper > 0).all()


@pytest.mark.thorough
@pytest.mark.parametrize("case", ["binomial", "rare", "few trials", "without successes"])
def test_of_many_latents_few_are_solved(monkeypatch, case):
    for fewest, least, most in ((10**9, 2.9, 6.0), (many_latents._FEWEST, 0.1, 2.0)):
        monkeypatch.setattr(many_latents, "_FEWEST", fewest)
        each, _ = evaluations_of(monkeypatch, CASES[case])
        assert least < each < most


@pytest.mark.parametrize("case", ["rare", "without successes", "at the ends"])
def test_upper_quantiles_of_a_small_tail_have_their_digits(case):
    """A tail of 1e-9 is found from small shares, one of 1e-5 from the other side: to 2e-6."""
    counts = CASES[case]
    few = er.Counts(counts.successes[::29], counts.total_count[::29])
    for level in (1 - 2e-9, 1 - 2e-5):
        found = er.estimate(few, level=level)
        mixture_of = found.posteriors.fits[0].mixture
        x = mixture_of.mirrored.lower_quantile((1 - level) / 2)
        _, a, b = next(iter(mixture_of.mirrored.blocks()))
        share = beta_share(a, b, *expit([x, -x])[..., None]) @ mixture_of.weight
        known = np.abs(x) < 600  # others are 0 or 1 to a float
        assert known.any()
        np.testing.assert_allclose(share[known], (1 - level) / 2, rtol=2e-6)


def smooth(k, f):
    """What a quantile in deviations is like, and deviations."""
    return np.log((k + 3) / (f + 2)) - np.sqrt(1 / (k + 2) + 1 / (f + 5)), np.full(k.shape, 1e-3)


def band(size=3000):
    """K and F of one rate, and of many trials."""
    rng = np.random.default_rng(3)
    n = rng.integers(200, 10**5, size)
    k = rng.binomial(n, 0.2)
    return k, n - k


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_function_of_the_counts_is_interpolated(mirrored):
    k, f = band()[:: -1 if mirrored else 1]
    solved = []

    def solve(*counts):
        solved.append(counts[0].size)
        return smooth(*counts)

    found = many_latents.interpolated(k, f, solve)
    assert not np.isnan(found).any()
    assert np.abs(found - smooth(k.astype(float), f.astype(float))[0]).max() < 1e-12
    assert sum(solved) < 1000


def test_counts_that_are_small_have_lines_of_their_own():
    k = np.repeat([0, 3, 15], 300)
    f = np.tile(np.arange(16, 316), 3)
    found = many_latents.interpolated(k, f, smooth)
    assert np.abs(found - smooth(k.astype(float), f.astype(float))[0]).max() < 1e-12


def test_counts_that_are_the_same_but_for_rounding_have_one_point_across():
    """K proportional to F and more, of which the residuals are no more than rounding."""
    f = np.arange(100, 900)
    solved = []

    def solve(*counts):
        solved.append(counts[0].size)
        return smooth(*counts)

    k = 3 * (f + 1) - 1
    found = many_latents.interpolated(k, f, solve)
    assert np.abs(found - smooth(k.astype(float), f.astype(float))[0]).max() < 1e-12
    assert sum(solved) < 80


@pytest.mark.parametrize("where", ["in the middle", "at an edge"])
def test_what_does_not_vary_smoothly_is_left(where):
    """A kink in the middle, and one that only latents at an edge show."""
    k, f = band()
    odds = np.log(k / f)
    kink = float(np.median(odds)) if where == "in the middle" else float(np.sort(odds)[-2])

    def solve(*counts):
        value, deviation = smooth(*counts)
        return value + np.maximum(np.log((counts[0] + 1e-9) / counts[1]) - kink, 0.0), deviation

    assert np.isnan(many_latents.interpolated(k, f, solve)).all()


def test_quantiles_that_are_0():
    """Of a whole line, as they fall with F; where some are, all are left to be solved."""
    k, f = band()
    found = many_latents.interpolated(k, f, lambda k, f: (np.full(k.shape, -np.inf), f))
    assert (found == -np.inf).all()

    def beyond(k, f):
        return np.where(f > 300, -np.inf, 1.0), f

    assert np.isnan(many_latents.interpolated(k, f, beyond)).all()


def test_few_latents_and_huge_counts_are_left():
    k, f = band(63)
    assert np.isnan(many_latents.interpolated(k, f, smooth)).all()
    k, f = (x * 10**8 for x in band())
    assert np.isnan(many_latents.interpolated(k, f, smooth)).all()
