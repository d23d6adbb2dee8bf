"""`distributions.quadrature`, and the noise by it: closed forms, limits, dense panels."""

import mpmath as mp
import numpy as np
import pytest
from scipy import special as sc

import elbo_ref as er
from elbo_ref import guides, objectives
from elbo_ref.distributions import quadrature
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.gradient_noise import Distinct
from elbo_ref.objectives.renyi import RenyiBound
from tiers import few

PAIRS = [
    (1e-12, 1e15), (1e15, 1e-12), (1e15, 1e15), (1e-12, 1e-12), (1e-6, 100.0), (1e-4, 100.0),
    (1e-3, 1e-3), (0.05, 3.0), (1.0, 1.0), (5.1, 1e-3), (1.16, 5.7), (1.0, 1e15), (54.0, 0.75),
    (200.0, 300.0), (1e4, 1e-3), (3e-4, 4.5),
]  # fmt: skip


def by_polygamma(a, b):
    """Variance and fourth central moment of log c and of log(1 - c)."""
    with mp.workdps(40):
        s = mp.mpf(a) + mp.mpf(b)
        for x in map(mp.mpf, (a, b)):
            second, fourth = (mp.polygamma(k, x) - mp.polygamma(k, s) for k in (1, 3))
            yield float(second), float(fourth + 3 * second**2)


@pytest.mark.parametrize(("steps", "rtol"), [(160, (1e-8, 1e-8)), (32, (2e-4, 3e-3))])
@pytest.mark.parametrize("pair", PAIRS)
def test_moments_of_a_beta(pair, steps, rtol):
    """Also as the two orders of a rule: that of a few nodes is not right to 1e-8."""
    rule = quadrature.over_beta(*np.array(pair)[:, None], steps)
    weights = np.exp(rule.log_weights)[:, 0]
    for ratio, wanted in zip(rule.log_ratios(), by_polygamma(*pair), strict=True):
        away = ratio[:, 0] - weights @ ratio[:, 0]
        got = weights @ away**2, weights @ away**4
        for value, exact, allowed in zip(got, wanted, rtol, strict=True):
            assert value == pytest.approx(exact, rel=allowed, abs=0.0)


def test_a_shorter_rule_would_show():
    """Negative control."""
    rule = quadrature.over_beta(np.array([1.16]), np.array([5.7]), 24)
    weights, ratio = np.exp(rule.log_weights)[:, 0], rule.log_ratios()[0][:, 0]
    variance = weights @ (ratio - weights @ ratio) ** 2
    assert abs(variance / next(by_polygamma(1.16, 5.7))[0] - 1) > 1e-7


def test_each_so_manieth_node_of_a_normal():
    """Those of the zone; all of them unless others are asked for, and as good a mean."""
    loc, scale = np.array([0.5]), np.array([0.7])
    whole, half = (
        quadrature.over_normal(loc, scale, 160),
        quadrature.over_normal(loc, scale, 160, 2),
    )
    zone = whole.away[:161]
    np.testing.assert_array_equal(half.away[:81], zone[::2])
    assert len(whole.away) - len(half.away) == 80
    means = [np.exp(x.log_weights)[:, 0] @ sc.expit(x.logit)[:, 0] for x in (whole, half)]
    assert means[1] == pytest.approx(means[0], rel=1e-12)


@pytest.mark.parametrize("inner", [(-87.0, 16.6), (-20.0, 700.0)])
@pytest.mark.parametrize("pair", [(1e-3, 2.0), (0.05, 3.0), (5.0, 40.0)])
def test_a_rule_is_the_mirror_image_of_that_for_exchanged_concentrations(pair, inner):
    """Node by node, out to the ends of what a function may have kinks in."""
    a, b = np.array(pair)[:, None]
    rule = quadrature.over_beta(a, b, 160, inner)
    other = quadrature.over_beta(b, a, 160, (-inner[1], -inner[0]))
    np.testing.assert_array_equal(rule.logit, -other.logit)
    np.testing.assert_array_equal(rule.log_weights, other.log_weights)


@pytest.mark.parametrize("loc", [0.0, 3.0, -30.0])
@pytest.mark.parametrize("scale", [0.1, 10.0, 1e3])
def test_a_normal_is_followed_as_far_as_its_moments_of_four_deviations_are(loc, scale):
    """E exp(t z) = exp(t^2/2), most of which is beyond t."""
    rule = quadrature.over_normal(np.array([loc]), np.array([scale]), 160)
    z, weights = rule.away[:, 0] / scale, np.exp(rule.log_weights)[:, 0]
    for t in (2.0, -2.0, 4.0, -4.0):
        assert weights @ np.exp(t * z) == pytest.approx(np.exp(t * t / 2), rel=1e-12)


@pytest.mark.parametrize(("loc", "scale"), [(300.0, 200.0), (-300.0, 90.0), (40.0, 1e3)])
def test_the_zone_of_a_normal_is_where_the_sigmoid_turns(loc, scale):
    """E log c of a wide normal away from 0, by the ramp's closed form less a small rest."""
    rule = quadrature.over_normal(np.array([loc]), np.array([scale]), 160)
    got = np.exp(rule.log_weights)[:, 0] @ sc.log_expit(rule.logit[:, 0])
    with mp.workdps(30):
        ends = [mp.mpf(x) for x in (-60, -20, -5, 0, 5, 20, 60)]
        rest = mp.quad(lambda y: mp.log1p(mp.exp(-abs(y))) * mp.npdf(y, loc, scale), ends)
        u = mp.mpf(loc) / scale
        ramp = loc * mp.ncdf(-u) - scale * mp.npdf(u)
    assert got == pytest.approx(float(ramp - rest), rel=1e-9)


@pytest.mark.parametrize("scale", [1e6, 1e30, 1e100])
def test_a_normal_of_any_scale(scale):
    """Far out log c is the smaller of y and 0: a limit in z alone, with as many nodes as ever."""
    q, prior, counts = er.LogitNormal(0.0, scale), er.Beta(1.0, 1.0), er.Counts(3, 10)
    limit = (4.0**2 + 8.0**2) / 2 - 12.0**2 / (2 * np.pi)
    assert er.elbo_variance(q, prior, counts) == pytest.approx(limit * scale**2, rel=1e-5)
    noise = er.gradient_variance(q, prior, counts)
    assert noise.pathwise.variance[0] == pytest.approx(36.0, rel=1e-5)
    assert noise.pathwise.variance[1] == pytest.approx(limit, rel=1e-5)


@pytest.mark.parametrize(
    ("loc", "scale"), few([(0.0, 1e-12), (30.0, 1.0), (0.0, 300.0), (-700.0, 40.0)])
)
def test_the_variance_of_a_normal(loc, scale):
    """Against mpmath, by panels that end where c bends."""
    with mp.workdps(25 if scale > 1e-9 else 40):
        center, s = mp.mpf(loc), mp.mpf(scale)
        softplus = lambda x: mp.log1p(mp.exp(-abs(x))) + max(x, 0)  # noqa: E731

        def form(z):
            up = softplus(-center - s * z) - softplus(-center)
            down = softplus(center + s * z) - softplus(center)
            return -4 * up - 8 * down

        bends = [(k - center) / s for k in (-60, -15, -4, 0, 4, 15, 60)]
        ends = sorted(
            {*map(mp.mpf, (-13, -5, -2, 0, 2, 5, 13)), *(x for x in bends if abs(x) < 13)}
        )
        expected = lambda h: mp.quad(lambda z: h(z) * mp.npdf(z), ends)  # noqa: E731
        mean = expected(form)
        wanted = float(expected(lambda z: (form(z) - mean) ** 2))
    got = LOGIT_NORMAL.variance((4.0, 8.0), np.array((loc, scale)))
    assert got == pytest.approx(wanted, rel=1e-9, abs=0.0)


@pytest.mark.parametrize("pair", [(1e-3, 4.0), (0.7, 0.9), (3.0, 40.0), (2e5, 3e9)])
def test_the_log_density_about_the_mode(pair):
    """On either side of the change of formula; a sum over cumulants, to rounding."""
    small, large = map(mp.mpf, pair)
    distances = np.array([-3.0, -0.005001, -0.004999, -1e-3, -1e-9, 1e-8, 4.999e-3, 5.001e-3, 2.0])
    got = quadrature._log_density(np.array(pair[0]), np.array(sum(pair)), distances)
    with mp.workdps(60):
        for d, value in zip(map(mp.mpf, distances), got, strict=True):
            wanted = small * d - (small + large) * mp.log1p(small / (small + large) * mp.expm1(d))
            rtol = 5e-14 if abs(d) < 0.005 else 1e-9
            assert abs(value - wanted) <= rtol * abs(wanted), (pair, d, value, wanted)


@pytest.mark.parametrize("pair", PAIRS)
def test_even_rules_reach_as_far_as_they_should(pair):
    """From one end of the support to the other, a step apart in the coordinate of their nodes."""
    small, large = (np.array([x]) for x in sorted(pair))
    left, right = quadrature._support(small, large, quadrature._EVEN_REACH)
    for end in (left, right):
        drop = -quadrature._log_density(small, small + large, end) / quadrature._EVEN_REACH
        assert 0.999 < drop < 1.3, (pair, end, drop)
    rule = quadrature.even_over_beta(small, large, 40)
    assert rule.away.shape == (41, 1)
    span = quadrature._span(small, large, quadrature._EVEN_REACH)
    unit = (span.high - span.low) / 8
    for got, end, zone in ((-rule.away[0], -left, -span.low), (rule.away[-1], right, span.high)):
        beyond = np.log1p((end - zone) / unit)
        assert got == pytest.approx(end + unit * (1 + beyond), rel=1e-9, abs=0.1 * unit[0])
    normal = quadrature.even_over_normal(np.array([0.5]), np.array([2.0]), 40)
    np.testing.assert_allclose(
        normal.away[:, 0], 2 * np.linspace(-9, 9, 41), rtol=1e-14, atol=1e-14
    )


DENSE = {
    (1e-4, 100.0): [(1.599999966e17, 1.02000227e-10), (1.599919967e17, 8.172463343e-09),
                    (2.080047347e18, 0.001616643796), (6.399680228e17, 0.001616438668)],
    (1e-6, 100.0): [(1.6e25, 1.020004486e-12), (1.5999992e25, 8.1724704e-11),
                    (2.079999368e26, 0.001616097052), (6.3999968e25, 0.001616097051)],
    (2e11, 5e10): [(1.0780593e-33, 1.7752182e-31), (9.999999999e-13, 1.6e-11),
                   (3.688728817e-10, 5.901966107e-09), (1.500000002e-12, 2.400000002e-11)],
}  # fmt: skip
"""By Gauss-Legendre panels of 16 nodes on cells of 0.4 and of a fifth of each power of ten."""


@pytest.mark.parametrize("pair", DENSE)
def test_the_gradient_of_extreme_guides(pair):
    """To 1e-6; where two terms leave a billionth of themselves, at 2e11, to 1e-4."""
    found = er.gradient_variance(er.Beta(*pair), er.Beta(1.0, 1.5), er.Counts(3, 10))
    names = ("pathwise", "sticking_the_landing", "score_function", "best_baseline")
    for name, wanted in zip(names, DENSE[pair], strict=True):
        rtol = 1e-4 if name == "pathwise" and max(pair) > 1e9 else 1e-6
        np.testing.assert_allclose(getattr(found, name).variance, wanted, rtol=rtol)


@pytest.mark.parametrize(
    "pair", [(1e-3, 100.0), (1e-4, 100.0), (1e-9, 3.0), (0.3, 4.6), (200.0, 300.0)]
)
@pytest.mark.parametrize("loss", ["trace", "sticking_the_landing", "score_function"])
def test_the_noise_of_many_latents(pair, loss):
    """Standard deviations to 2e-3, the first of which was off thirteenfold."""
    guide, counts = er.Beta(*pair), er.Counts([3, 0], [10, 50])
    own = np.repeat(np.array(guide.arrays())[:, None], 2, axis=1)
    each = er.gradient_variance(er.Beta(*own), er.Beta(1.0, 1.5), counts)
    row = {"trace": each.pathwise}.get(loss) or getattr(each, loss)
    task, prior = Task(guides.find(guide), counts), np.array([[1.0], [1.5]])
    noise = objectives.find(loss).gradient_noise(task, prior, own)
    np.testing.assert_allclose(np.sqrt(noise.own_variance), np.sqrt(row.variance), rtol=2e-3)


@pytest.mark.parametrize("name", guides.GUIDES)
def test_equal_latents_are_evaluated_once(name):
    """In blocks or alone the noise of a latent is the same, and so is that of its equals."""
    kinds = er.Counts([3, 0, 7], [10, 50, 8], multiplicity=[1, 0, 2])
    many = er.Counts(np.tile(kinds.successes, 5), np.tile(kinds.total_count, 5),
                     multiplicity=np.tile(kinds.multiplicity, 5))  # fmt: skip
    prior, noises = np.array([[1.2], [3.0]]), []
    for counts in (kinds, many):
        task = Task(guides.GUIDES[name], counts)
        own = task.guide.constrain(task.guide.start(None, 1 if task.guide.shared else len(counts)))
        noises.append(objectives.find("trace").gradient_noise(task, prior, own))
        distinct = Distinct.of(task, own, task.guide.tilt(prior, own, task.outcomes))
        assert distinct.entry.size == 2
    for some, all_of_them in zip(*noises, strict=True):
        np.testing.assert_array_equal(np.tile(some, 5), all_of_them)
        assert not some[:, 1].any()


@pytest.mark.parametrize("alpha", [1 - 1e-10, 1 + 1e-10, 1 + 1e-13, 1 - 1e-7])
@pytest.mark.parametrize("guide", [er.Beta(2.0, 3.0), er.LogitNormal(-0.5, 0.9)])
def test_a_renyi_bound_near_the_elbo(guide, alpha):
    """ELBO + (1 - alpha) Var f / 4, to the next order in 1 - alpha."""
    prior, counts = er.Beta(1.0, 1.0), er.Counts(3, 10)
    near = er.elbo(guide, prior, counts)
    near += (1 - alpha) * er.elbo_variance(guide, prior, counts) / 4
    assert er.renyi_bound(guide, prior, counts, alpha=alpha) == pytest.approx(near, abs=1e-12)


def test_steps_of_a_renyi_bound_near_the_elbo():
    """The value of a step is the mean of its samples' f, to the next order."""
    task, prior, own = (
        Task(guides.GUIDES["beta"], er.Counts(3, 10)),
        np.ones((2, 1)),
        np.ones((2, 1)),
    )
    values = [
        RenyiBound(alpha, 8).step(task, prior, 2 * own, 1, np.random.default_rng(0)).value
        for alpha in (1 - 1e-10, 1 + 1e-10, 1 - 1e-6)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-8)
    assert values[0] == pytest.approx(values[2], abs=1e-4)


@pytest.mark.thorough
def test_a_renyi_bound_of_long_tails():
    """24,000 nodes gave -497.2425 and -998007.0, as the step falls to nothing."""
    prior = er.Beta(1.0, 1.0)
    for guide, counts, wanted in (
        (er.Beta(1e-3, 30.0), er.Counts(0, 10), -497.2425),
        (er.Beta(1e-6, 1e-3), er.Counts(1, 10), -998007.0),
    ):
        assert er.renyi_bound(guide, prior, counts) == pytest.approx(wanted, rel=2e-6)


@pytest.mark.parametrize(
    ("a", "b", "successes", "trials"),
    [
        (1.0, 1e-9, 5, 5),
        (1e5, 1e-8, 3, 3),
        (1e15, 1e-12, 7, 7),
        (1e-9, 4.0, 0, 9),
        (1e-3, 1e9, 4, 9),
    ],
)
def test_the_gradient_of_the_evidence_beside_a_tiny_concentration(a, b, successes, trials):
    found = er.log_evidence_gradient(er.Beta(a, b), er.Counts(successes, trials))
    with mp.workdps(60):
        rise = lambda x, n: mp.psi(0, mp.mpf(x) + n) - mp.psi(0, mp.mpf(x))  # noqa: E731
        together = rise(mp.mpf(a) + mp.mpf(b), trials)
        wanted = [
            float(rise(x, n) - together) for x, n in ((a, successes), (b, trials - successes))
        ]
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


@pytest.mark.parametrize(
    ("logit", "a", "b", "by_a", "by_b"),
    [
        (5.9286689205941565, 330.8752127898541, 1.848827824011875e-10,
         0.0030308823340143028243, -3522350611.2663006531),
        (-10.187731404152359, 7.846913976599498e-08, 26244.501223894025,
         7664705.0829800381925, -0.000038104662683415695154),
    ],
)  # fmt: skip
def test_a_pathwise_derivative_seen_from_across_the_middle(logit, a, b, by_a, by_b):
    """The worst of 12,000 points with one small concentration, by python-flint and by mpmath."""
    np.testing.assert_allclose(er.pathwise_gradient(logit, a, b), (by_a, by_b), rtol=3e-14)


def test_logits_far_out_do_not_overflow():
    assert sc.expit(1e300) == er.LogitNormal(1e300, 5.0).mean


CANCELS = {(3.0, 1e10): 3.4668749984036e-38, (0.5, 1e11): 5.7781250000508e-43}
"""Variances of d/d concentration0 by 30 nodes of Gauss-Legendre on 31 panels, with 60 digits."""


@pytest.mark.parametrize("pair", CANCELS)
def test_digits_that_the_pathwise_variance_loses(pair):
    """The bound of the docstring, and nothing of the kind while sticking the landing."""
    found = er.gradient_variance(er.Beta(*pair), er.Beta(1.5, 2.0), er.Counts(3, 10))
    away = found.pathwise.variance[1] / CANCELS[pair] - 1
    assert 1e-7 < abs(away) < 1e-15 * max(pair)


@pytest.mark.parametrize("pair", [(1e-13, 1.0), (1.0, 1e16), ([1.0, 1e-90], 2.0)])
def test_a_guide_without_digits_is_refused(pair):
    with pytest.raises(ValueError, match=r"guide\.concentration.* must lie in \[1e-12, 1e\+15\]"):
        er.gradient_variance(er.Beta(*pair), er.Beta(1.0, 1.0), er.Counts([3, 0], 10))


@pytest.mark.parametrize("size", [1e9, 1e12, 1e15])
def test_two_draws_of_a_narrow_guide(size):
    """f is then z^2/2 beside a constant: E log cosh((1 - alpha)(z^2 - z'^2)/4)/(1 - alpha)."""
    z = np.linspace(-9, 9, 2001)
    weights = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    form, guide = np.subtract.outer(z * z, z * z) / 2, er.Beta(size, 0.4 * size)
    wanted = weights @ np.log(np.cosh(0.5 * form / 2)) @ weights / 0.5
    arguments = guide, er.Beta(1.0, 2.0), er.Counts(3, 10)
    above = er.renyi_bound(*arguments, alpha=0.5) - er.elbo(*arguments)
    assert above == pytest.approx(wanted, abs=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("sign", [1, -1])
def test_an_alpha_of_any_size(sign):
    """The bound is then that of the lowest of two samples, or of the highest."""
    arguments = er.Beta(2.0, 3.0), er.Beta(1.0, 2.0), er.Counts([3, 0], 10)
    with np.errstate(all="raise"):
        found = [er.renyi_bound(*arguments, alpha=sign * x) for x in (1e15, 1e155, 1.7e308)]
        run = er.maximize_elbo(arguments[2], loss=er.Renyi(sign * 1.7e308), num_steps=3)
    assert np.isfinite(run.losses).all()
    np.testing.assert_allclose(found, found[0], rtol=1e-12)
    assert sign * (er.elbo(*arguments) - found[0]) > 0.1
