"""`distributions.beta`: the posterior (E2), the divergence (E4), the variance (E5), the draws.

The wide ranges are held by the rows of reference/evidence.json (from mpmath, see make_evidence.py),
moderate values by SciPy and by quadrature, the draws by moments and by Kolmogorov-Smirnov.
Statistical tests use fixed seeds and fail by chance with probability 1e-6 each; each stands beside
the same test with the concentrations swapped, which must fail.
"""

import copy
import json
import pickle

import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from scipy import integrate, special, stats

from elbo_ref.distributions.base import Interval
from elbo_ref.distributions.beta import Beta, Gradient
from elbo_ref.distributions.beta_source import BETA
from places import REFERENCE
from tiers import few

ROWS = json.loads((REFERENCE / "evidence.json").read_text(encoding="utf-8"))

WIDE = st.floats(-10, 12).map(lambda e: 10.0**e)
UP_TO_1E9 = st.floats(-10, 9).map(lambda e: 10.0**e)
MODERATE = st.floats(0.2, 200.0)
DRAWS = 200_000
CHANCE = 1e-6
TINY_AND_MODERATE = [(2.0, 5.0), (0.3, 0.7), (40.0, 3.0), (1e-3, 3e-3), (1e-5, 3e-5), (1e-5, 2.0)]

RNG = "rng must be an int, a SeedSequence or a numpy.random.Generator,"


def misses(rows, wanted, compute, floor):
    """One line (inputs, got, wanted, error) for each row that misses its own tolerance."""
    lines = []
    for row in rows:
        got, value = compute(row), row[wanted]
        error = abs(got - value) / max(floor, abs(value))
        if not error <= row["tolerance"]:
            lines.append(f"{row}: got {got!r}, wanted {value!r}, error {error:.1e}")
    return lines


def expectation(distribution, function):
    """E function(c) by quadrature in the quantile of c."""
    inner = stats.beta(distribution.concentration1, distribution.concentration0)
    return integrate.quad(lambda u: function(inner.ppf(u)), 0, 1, epsrel=1e-9, limit=200)[0]


def logit_cdf(logit, a, b):
    """P(logit c <= logit), also where c is below the smallest float."""

    def below(y, a, b):  # c^a / (a B(a, b)), relative error about exp(y)
        return np.exp(a * np.minimum(y, 0) - np.log(a) - special.betaln(a, b))

    middle = special.betainc(a, b, special.expit(logit))
    far = [logit < -36, logit > 36]
    return np.select(far, [below(logit, a, b), 1 - below(-logit, b, a)], middle)


# -- values ------------------------------------------------------------------------------------


def test_kl_reference_rows():
    def kl(row):
        return Beta(row["a"], row["b"]).kl(Beta(row["a0"], row["b0"]))

    bad = misses(ROWS["kl"], "kl", kl, floor=0.0)
    assert not bad, "\n".join(bad)


def test_entropy_reference_rows():
    bad = misses(ROWS["entropy"], "entropy", lambda r: Beta(r["a"], r["b"]).entropy(), floor=1.0)
    assert not bad, "\n".join(bad)


def test_log_prob_reference_rows():
    def log_prob(row):
        return Beta(row["a"], row["b"]).log_prob(row["c"])

    bad = misses(ROWS["log_prob"], "log_prob", log_prob, floor=1.0)
    assert not bad, "\n".join(bad)


def tilt_variance(q, up, down):
    """Var[up log c + down log(1 - c)] (E5)."""
    return BETA.variance(np.array((up, down), dtype=float), np.array(q.arrays()))


def test_variance_reference_rows():
    def variance(row):
        return tilt_variance(Beta(row["a"], row["b"]), row["tilt1"], row["tilt0"])

    bad = misses(ROWS["variance"], "variance", variance, floor=0.0)
    assert not bad, "\n".join(bad)


def test_the_uniform_distribution():
    uniform = Beta(1, 1)
    assert (uniform.mean, uniform.log_prob(0.3)) == (0.5, pytest.approx(0.0, abs=1e-15))
    assert uniform.entropy() == pytest.approx(0.0, abs=1e-15)
    assert uniform.variance == pytest.approx(1 / 12, rel=1e-15)
    assert uniform.interval(0.5) == pytest.approx(Interval(0.25, 0.75), rel=1e-15)
    assert tilt_variance(uniform, 1, 0) == pytest.approx(1.0, rel=1e-15)


@pytest.mark.thorough
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1.0, 4.0), (2.5, 0.8), (30.0, 50.0)])
def test_scipy_and_quadrature_agree(a, b):
    ours, peer, other = Beta(a, b), stats.beta(a, b), Beta(2.0, 1.5)
    c = np.linspace(0.01, 0.99, 21)
    assert ours.mean == pytest.approx(peer.mean(), rel=1e-14)
    assert ours.variance == pytest.approx(peer.var(), rel=1e-13)
    assert ours.entropy() == pytest.approx(peer.entropy(), rel=1e-11, abs=1e-12)
    assert BETA.log_normalizer(np.array((a, b))) == pytest.approx(special.betaln(a, b), rel=1e-13)
    np.testing.assert_allclose(ours.log_prob(c), peer.logpdf(c), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.interval(0.9), peer.interval(0.9), rtol=1e-11)

    kl = expectation(ours, lambda x: ours.log_prob(x) - other.log_prob(x))
    assert ours.kl(other) == pytest.approx(kl, rel=1e-6)

    def tilt(x):
        return 2 * np.log(x) - 3 * np.log1p(-x)

    mean = expectation(ours, tilt)
    variance = expectation(ours, lambda x: (tilt(x) - mean) ** 2)
    assert tilt_variance(ours, 2.0, -3.0) == pytest.approx(variance, rel=1e-5)


@pytest.mark.thorough
@settings(max_examples=60)
@given(WIDE, WIDE, WIDE, WIDE)
def test_kl_is_positive_and_zero_only_at_itself(a, b, a0, b0):
    q, p = Beta(a, b), Beta(a0, b0)
    assert q.kl(q) == 0
    assert q.kl(p) > 0 or q == p
    assert q.kl(Beta(a * (1 + 1e-12), b)) > 0
    assert q.kl(p) == pytest.approx(Beta(b, a).kl(Beta(b0, a0)), rel=1e-10)


def test_kl_of_neighbours_joins_the_general_formula():
    q = Beta(3.0, 5.0)
    steps = np.linspace(0.01, 1.5, 400)
    kl = q.kl(Beta(3.0 + steps, 5.0 + steps / 2))
    smooth = np.diff(np.sqrt(kl), 2)
    assert np.abs(np.diff(smooth)).max() < 1e-8


def test_kl_of_neighbours_is_right_to_rounding():
    """Of concentrations that differ by less than a quarter, against mpmath."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        a, b = np.exp(rng.uniform(-4, 6, 2))
        a0, b0 = (a, b) * (1 + rng.uniform(-0.25, 0.25, 2))
        with mp.workdps(40):
            log_beta = lambda x, y: mp.loggamma(x) + mp.loggamma(y) - mp.loggamma(x + y)  # noqa: E731
            rise = [(mp.mpf(x) - x0) * mp.psi(0, x) for x, x0 in ((a, a0), (b, b0))]
            total = mp.mpf(a) + b
            exact = log_beta(*map(mp.mpf, (a0, b0))) - log_beta(*map(mp.mpf, (a, b))) + sum(rise)
            exact += (mp.mpf(a0) + b0 - total) * mp.psi(0, total)
        assert Beta(a, b).kl(Beta(a0, b0)) == pytest.approx(float(exact), rel=5e-12), (a, b, a0, b0)


@settings(max_examples=60)
@given(MODERATE, MODERATE, MODERATE, MODERATE)
def test_kl_is_cross_entropy_less_entropy(a, b, a0, b0):
    """KL = -H(q) - E_q log p, with E_q log c = psi(a) - psi(a + b)."""
    log_c, log_rest = special.psi([a, b]) - special.psi(a + b)
    cross = (a0 - 1) * log_c + (b0 - 1) * log_rest - special.betaln(a0, b0)
    kl = Beta(a, b).kl(Beta(a0, b0))
    assert kl == pytest.approx(-Beta(a, b).entropy() - cross, rel=1e-10, abs=1e-11)


@pytest.mark.parametrize("s", [1e2, 1e5, 1e8, 1e12, 1e15])
def test_entropy_of_a_narrow_distribution_is_gaussian(s):
    a, b = 0.3 * s, 0.7 * s
    gaussian = 0.5 * np.log(2 * np.pi * np.e * Beta(a, b).variance)
    assert Beta(a, b).entropy() == pytest.approx(gaussian, abs=2 / s + 1e-12)


@pytest.mark.parametrize(
    ("a", "b", "at_zero", "at_one"),
    [
        (1.0, 1.0, 0.0, 0.0),
        (1.0, 3.0, np.log(3.0), -np.inf),
        (3.0, 1.0, -np.inf, np.log(3.0)),
        (0.5, 2.0, np.inf, -np.inf),
        (2.0, 0.5, -np.inf, np.inf),
        (0.5, 0.5, np.inf, np.inf),
        (1.0, 0.5, np.log(0.5), np.inf),
    ],
)
def test_log_prob_at_the_ends_is_the_limit(a, b, at_zero, at_one):
    assert tuple(Beta(a, b).log_prob([0, 1])) == pytest.approx((at_zero, at_one), rel=1e-15)


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (0.1, 0.2), (1e-10, 1.0), (1e12, 1e12)])
@pytest.mark.parametrize("c", [5e-324, 1e-310, 2.3e-308, 1e-300])
def test_log_prob_at_the_smallest_floats(a, b, c):
    wanted = (a - 1) * np.log(c) - BETA.log_normalizer(np.array((a, b)))  # (1 - c)^(b - 1) is 1
    assert Beta(a, b).log_prob(c) == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize(
    ("a", "b", "mode"),
    [
        (2.0, 3.0, 1 / 3),
        (1e12, 3e12, 0.25),
        (1.2, 1.3, 0.4),
        (1.0, 2.0, 0.0),
        (0.5, 2.0, 0.0),
        (0.5, 1.0, 0.0),
        (2.0, 1.0, 1.0),
        (2.0, 0.5, 1.0),
        (1.0, 0.5, 1.0),
        (1.0, 1.0, np.nan),
        (0.5, 0.5, np.nan),
        (0.2, 0.5, np.nan),
    ],
)
def test_mode(a, b, mode):
    assert Beta(a, b).mode == pytest.approx(mode, rel=1e-11, nan_ok=True)


def test_tilt_variance_at_the_posterior_is_zero_and_scales():
    """(E5): no tilt, no variance; w independent equal latents, or a tilt times w."""
    q = Beta([2.0, 1e10], [3.0, 1e-5])
    assert (tilt_variance(q, 0, 0) == 0).all()
    once, twice = tilt_variance(q, 3, -1), tilt_variance(q, 6, -2)
    np.testing.assert_allclose(twice, 4 * once, rtol=1e-13)


@settings(max_examples=60)
@given(UP_TO_1E9, UP_TO_1E9, st.sampled_from([0.5, 0.95, 0.999]))
@example(1e3, 1e9, 0.95)  # scipy.special.betaincinv puts the lower end above the upper one
def test_interval_holds_its_probability(a, b, prob):
    """Up to 1e9: beyond it SciPy's distribution function, the judge here, loses digits itself."""
    lower, upper = Beta(a, b).interval(prob)
    tail = (1 - prob) / 2
    assert 0 <= lower <= upper <= 1
    for x, y, end, grain in ((a, b, lower, 3e-308), (b, a, 1 - upper, 3e-16)):
        slack = 4e-16 * end + grain  # the ends are floats: the tail is reached within one of them
        below = special.betainc(x, y, max(0.0, end - slack))
        above = special.betainc(x, y, min(1.0, end + slack))
        assert below <= tail * (1 + 1e-6), (a, b, prob, lower, upper)
        assert above >= tail * (1 - 1e-6), (a, b, prob, lower, upper)


@pytest.mark.parametrize(("a", "b"), [(1e3, 1e9), (1e3, 1e12), (1e9, 1e3), (1e12, 1e12)])
def test_interval_of_a_narrow_distribution_is_nearly_gaussian(a, b):
    q = Beta(a, b)
    half = 1.959963984540054 * np.sqrt(q.variance)
    low, high = q.interval(0.95)
    np.testing.assert_allclose([low - q.mean, high - q.mean], [-half, half], rtol=0.04)


def test_mean_pair_and_mean_difference_do_not_cancel():
    pair = BETA.center(np.array((1e15, 1e-10))).pair
    np.testing.assert_allclose(pair, [1.0, 1e-25], rtol=1e-15)
    even = BETA.center(np.array((1e15, 1e15)))
    assert even.difference(np.array(10**18 + 1), np.array(10**18)) == 0.5


def test_conjugate_update():
    """(E2)"""
    assert Beta(2.0, 8.0).conjugate_update(3, 7) == Beta(5.0, 15.0)
    assert Beta(2.0, 8.0).conjugate_update([3, 0], [7, 0]) == Beta([5.0, 2.0], [15.0, 8.0])
    assert Beta(2.0, 8.0).conjugate_update(0, 0) == Beta(2.0, 8.0)


def test_shapes_broadcast():
    q = Beta([1.0, 2.0], 3.0)
    assert q.shape == (2,)
    for value in (q.mean, q.variance, q.mode, q.entropy(), q.kl(Beta(1, 1)), Beta(1, 1).kl(q)):
        assert value.shape == (2,)
    assert q.log_prob([[0.1], [0.2], [0.3]]).shape == (3, 2)
    assert q.sample((4, 3), rng=0).shape == q.sample_logit((4, 3), rng=0).shape == (4, 3, 2)
    assert q.interval(0.9).lower.shape == (2,)
    assert isinstance(Beta(1, 2).mean, float)
    assert Gradient(1.0, 2.0).concentration0 == 2.0
    one, same, other = (Gradient(np.array([1.0, x]), 2.0) for x in (3.0, 3.0, 4.0))
    assert one == same and one != other, "by value, of arrays too"


# -- draws -------------------------------------------------------------------------------------


def moments_agree(logit, a, b):
    """z-tests of E log c = psi(a) - psi(a + b) and of E log(1 - c), each at CHANCE / 2."""
    limit = stats.norm.isf(CHANCE / 4)
    for log, own in zip((special.log_expit(logit), special.log_expit(-logit)), (a, b), strict=True):
        mean = special.psi(own) - special.psi(a + b)
        sd = np.sqrt((special.polygamma(1, own) - special.polygamma(1, a + b)) / logit.size)
        if abs(log.mean() - mean) > limit * sd:
            return False
    return True


def distribution_agrees(logit, a, b):
    return stats.kstest(logit_cdf(logit, a, b), "uniform").pvalue > CHANCE


@pytest.mark.parametrize("agrees", [moments_agree, distribution_agrees])
@pytest.mark.parametrize(("a", "b"), few(TINY_AND_MODERATE, 3))
def test_sample_logit_has_its_distribution(agrees, a, b):
    logit = Beta(a, b).sample_logit(DRAWS, rng=20240229)
    assert agrees(logit, a, b)
    assert not agrees(logit, b, a), "the negative control must fail"


@pytest.mark.parametrize("s", [1e6, 1e12])
def test_sample_logit_of_a_narrow_distribution_is_gaussian(s):
    """logit c is normal to O(1/sqrt(s)), with variance psi_1(a) + psi_1(b)."""
    q = Beta(0.3 * s, 0.7 * s)
    logit = q.sample_logit(DRAWS, rng=1)
    z = (logit - np.log(3 / 7)) / np.sqrt(tilt_variance(q, 1.0, -1.0))
    assert stats.kstest(z, "norm").pvalue > CHANCE
    assert stats.kstest(-2 * z, "norm").pvalue < CHANCE, "the negative control must fail"


def test_sample_is_the_sigmoid_of_sample_logit():
    q = Beta(0.5, [1e-5, 2.0])
    np.testing.assert_array_equal(q.sample(9, 3), special.expit(q.sample_logit(9, 3)))


@pytest.mark.parametrize(
    "seed",
    [int, np.int64, np.random.SeedSequence, np.random.default_rng],
)
def test_same_seed_same_bytes(seed):
    q = Beta([0.5, 2.0], 3.0)
    assert q.sample_logit(5, seed(7)).tobytes() == q.sample_logit(5, rng=7).tobytes()
    assert q.sample_logit(5, rng=8).tobytes() != q.sample_logit(5, rng=7).tobytes()


def test_a_generator_moves_on():
    rng = np.random.default_rng(7)
    assert Beta(1, 1).sample(1, rng) != Beta(1, 1).sample(1, rng)


# -- the door ----------------------------------------------------------------------------------

RANGE = "must lie in [1e-100, 1e+100]"
REAL = "must be real numbers, not"
QUOTED = "write numbers without quotes, or convert a column of texts first"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Beta(0.0, 1), ValueError, f"concentration1 = 0.0 {RANGE}"),
        (lambda: Beta(1, -2.0), ValueError, f"concentration0 = -2.0 {RANGE}"),
        (lambda: Beta([1, np.nan], 1), ValueError, f"concentration1[1] = nan {RANGE}"),
        (lambda: Beta(1, [1, 1, np.inf]), ValueError, f"concentration0[2] = inf {RANGE}"),
        (lambda: Beta(1, [[1], [9e101]]), ValueError, f"concentration0[1, 0] = 9e+101 {RANGE}"),
        (lambda: Beta("2", 1), TypeError, f"concentration1 {REAL} str of dtype <U1; {QUOTED}"),
        (lambda: Beta(1, None), TypeError, f"concentration0 {REAL} NoneType of dtype object"),
        (lambda: Beta(1 + 0j, 1), TypeError, f"concentration1 {REAL} complex of dtype complex128"),
        (
            lambda: Beta(np.ma.masked_array([1.0, 2.0], [0, 1]), 1),
            TypeError,
            f"concentration1 {REAL} a masked array",
        ),
        (
            lambda: Beta([1, 2], [1, 2, 3]),
            ValueError,
            "concentration1 of shape (2,) and concentration0 of shape (3,) do not broadcast",
        ),
        (lambda: Beta(1, 1).log_prob(1.5), ValueError, "c = 1.5 must lie in [0, 1]"),
        (lambda: Beta(1, 1).log_prob([0.5, -0.1]), ValueError, "c[1] = -0.1 must lie in [0, 1]"),
        (lambda: Beta(1, 1).log_prob(np.nan), ValueError, "c = nan must lie in [0, 1]"),
        (
            lambda: Beta(1, 1).interval(1.0),
            ValueError,
            "prob = 1.0 must lie strictly between 0 and 1",
        ),
        (
            lambda: Beta(1, 1).conjugate_update([1, -1], 1),
            ValueError,
            "successes[1] = -1.0 must be finite and not negative",
        ),
        (
            lambda: Beta(1, 1).conjugate_update(1, np.inf),
            ValueError,
            "failures = inf must be finite and not negative",
        ),
        (lambda: Beta(1, 1).sample(3, None), TypeError, f"{RNG} not NoneType"),
        (lambda: Beta(1, 1).sample_logit(3, True), TypeError, f"{RNG} not bool"),
        (lambda: Beta(1, 1).sample_logit(3, 0.5), TypeError, f"{RNG} not float"),
        (lambda: Beta(1, 1).sample(3, -1), ValueError, "rng = -1 must be at least 0"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


# -- the value ---------------------------------------------------------------------------------


def test_equality_and_hash():
    one, same, other = Beta([1, 2], 3), Beta([1.0, 2.0], [3, 3]), Beta([1, 2], 4)
    assert one == same
    assert hash(one) == hash(same)
    assert one not in (other, "Beta", Beta([1], [1]))
    assert len({one, same, other}) == 2


@pytest.mark.parametrize("value", [Beta(1.5, 2.5), Beta([1.0, 2.0], 3.0)])
@pytest.mark.parametrize(
    "trip", [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy]
)
def test_round_trips_keep_value_and_immutability(value, trip):
    back = trip(value)
    assert back == value
    assert not any(a.flags.writeable for a in back.arrays() if a.ndim)


def test_frozen_and_not_aliased():
    concentration = np.array([1.0, 2.0])
    q = Beta(concentration, concentration)
    concentration[0] = 9.0
    assert q == Beta([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        q.concentration1[0] = 9.0
    with pytest.raises(AttributeError):
        q.concentration1 = 3.0


def test_repr():
    assert repr(Beta(2, 8)) == "Beta(concentration1=2.0, concentration0=8.0)"


@pytest.mark.parametrize(
    ("a", "b", "lower", "upper"),
    [
        (1e3, 1e9, 9.3897211e-07, 1.0629201e-06),
        (2.0, 1e20, 2.4220928e-21, 5.5716434e-20),
        (1e-3, 1e4, 0.0, 1.3e-15),
    ],
)
def test_interval_near_an_end(a, b, lower, upper):
    """Where the whole distribution is near 0; its mirror image is near 1."""
    got = Beta(a, b).interval(0.95)
    assert got.lower == pytest.approx(lower, rel=1e-6, abs=1e-300)
    assert got.upper == pytest.approx(upper, rel=1e-6, abs=0.0) or a < 1
    mirrored = Beta(b, a).interval(0.95)
    assert 1 - mirrored.lower == pytest.approx(got.upper, abs=3e-16)
