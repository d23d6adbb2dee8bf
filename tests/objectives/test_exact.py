"""`elbo_ref.objectives.exact`: the ELBO (E3), (E4), its variance (E5), and what other guides
maximise (E7), (E8).

Wide ranges are held by the same formulas with 80 digits, moderate values by quadrature, gradients
by automatic differentiation of a textbook formula and by a difference along a random direction,
variances by Monte Carlo with NumPy's own Beta draws; the structure and the bound by properties.
A statistical test fails by chance with probability 6e-7 (|z| > 5) and stands beside the same test
with a planted fault.
"""

import re

import autograd
import autograd.numpy as anp
import mpmath
import numpy as np
import pytest
from autograd.scipy.special import gammaln, psi
from hypothesis import example, given, settings, strategies as st
from scipy import special, stats

import elbo_ref as er
import oracles
from elbo_ref.guides import GUIDES
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, latent_values, objective_gradient, objective_value
from kinds import SINGLE, one_row
from oracles import slope_along

mp = mpmath.mp.clone()
mp.dps = 80
EPS = np.finfo(float).eps

WIDE = st.floats(-10, 12).map(lambda e: 10.0**e)
MODERATE = st.floats(0.1, 300.0)
ROW = one_row(st.integers(0, 30) | st.integers(0, 10**15))
TABLE = st.lists(st.tuples(ROW, st.integers(0, 4)), min_size=1, max_size=5)
SOME = er.Counts([3, 0, 7, 12, 1], [10, 4, 7, 40, 200], multiplicity=[1, 2, 1, 3, 1])


def of_table(table):
    rows, weights = zip(*table, strict=True)
    k, n = zip(*rows, strict=True)
    return er.Counts(k, n, weights)


def tied_objective(prior, counts):
    return objective_value(Task(GUIDES["tied"], counts), prior, np.zeros((0, len(counts))))


def binomial_likelihood(logits, counts):
    return objective_value(Task(GUIDES["none"], counts), er.Beta(1, 1), np.atleast_2d(logits))


class Slow:
    """One latent with 80 digits, written as (E1), (E3), (E5), (E7) and (E8) are written."""

    def __init__(self, guide, prior, k, n):
        self.x, self.x0 = ([mp.mpf(float(y)) for y in z.arrays()] for z in (guide, prior))
        self.tally = mp.mpf(int(k)), mp.mpf(int(n - k))
        self.log_choose = -self.log_beta([y + 1 for y in self.tally]) - mp.log(n + 1)

    @staticmethod
    def log_beta(x):
        return mp.loggamma(x[0]) + mp.loggamma(x[1]) - mp.loggamma(x[0] + x[1])

    def expected(self, tilt, x):
        """E[A log c + D log(1 - c)]."""
        return sum(t * (mp.psi(0, y) - mp.psi(0, sum(x))) for t, y in zip(tilt, x, strict=True))

    def likelihood(self, x):
        return self.log_choose + self.expected(self.tally, x)

    def log_density(self, x, of):
        return self.expected([y - 1 for y in of], x) - self.log_beta(of)

    def evidence(self):
        updated = [y + t for y, t in zip(self.x0, self.tally, strict=True)]
        return self.log_beta(updated) - self.log_beta(self.x0) + self.log_choose

    def elbo_terms(self):
        x = self.x
        return self.likelihood(x), self.log_density(x, self.x0) - self.log_density(x, x)

    def empty_terms(self):
        return self.likelihood(self.x0), self.log_density(self.x0, self.x0)

    def variance(self, tilt):
        first, second, both = (mp.psi(1, y) for y in (*self.x, sum(self.x)))
        return tilt[0] ** 2 * first + tilt[1] ** 2 * second - sum(tilt) ** 2 * both

    def tilt(self):
        return [p + t - q for p, t, q in zip(self.x0, self.tally, self.x, strict=True)]


def textbook(prior, guide, counts):
    """(E3) with psi and log-gammas, for autograd; concentrations as (2,) or (2, G)."""
    p, q = (x if anp.ndim(x) == 2 else anp.reshape(x, (2, 1)) for x in (prior, guide))
    logs = psi(q) - psi(q[0] + q[1])
    outcomes = np.stack([counts.successes, counts.failures])
    likelihood = anp.sum(outcomes * logs, axis=0) + counts.log_coefficient
    return anp.sum(counts.multiplicity * (likelihood + density(p, logs) - density(q, logs)))


def textbook_empty(prior, counts):
    """(E7) likewise."""
    p = prior if anp.ndim(prior) == 2 else anp.reshape(prior, (2, 1))
    logs = psi(p) - psi(p[0] + p[1])
    outcomes = np.stack([counts.successes, counts.failures])
    likelihood = anp.sum(outcomes * logs, axis=0) + counts.log_coefficient
    return anp.sum(counts.multiplicity * (likelihood + density(p, logs)))


def density(x, logs):
    """E log Beta(c; x), from E log c and E log(1 - c)."""
    return anp.sum((x - 1) * logs, axis=0) - (anp.sum(gammaln(x), 0) - gammaln(x[0] + x[1]))


# -- the bound -----------------------------------------------------------------------------------


@st.composite
def problems(draw, concentrations):
    """A guide for each latent (or one for all), a prior, counts; some guides near the posterior."""
    counts = of_table(draw(TABLE))
    prior = er.Beta(draw(concentrations), draw(concentrations))
    kind = draw(st.sampled_from(["one", "each", "near"]))
    if kind == "one":
        return er.Beta(draw(concentrations), draw(concentrations)), prior, counts
    size = len(counts)
    if kind == "each":
        each = st.lists(concentrations, min_size=size, max_size=size)
        return er.Beta(draw(each), draw(each)), prior, counts
    off = st.lists(st.floats(-1, 1), min_size=size, max_size=size).map(np.array)
    far = 10.0 ** draw(st.floats(-16, 0))
    near = [x * np.exp(far * draw(off)) for x in er.posterior(prior, counts).arrays()]
    return er.Beta(*near), prior, counts


@settings(max_examples=60)
@given(problems(MODERATE) | problems(WIDE))
def test_the_elbo_is_a_bound_and_its_gap_is_a_divergence(problem):
    """(E4). Allowance: 1e-13 nats a latent and 1e-13 of the evidence (all its terms have a sign).

    The gap is a difference of the two, so it is as good as the larger.
    """
    guide, prior, counts = problem
    evidence, bound = er.log_evidence(prior, counts), er.elbo(guide, prior, counts)
    assert bound <= evidence + 1e-13 * (counts.num_latents + abs(evidence))
    gap = np.sum(counts.multiplicity * guide.kl(er.posterior(prior, counts)))
    assert abs(evidence - bound - gap) <= 1e-12 * (counts.num_latents + abs(bound))


@settings(max_examples=60)
@given(WIDE, WIDE, TABLE)
def test_at_the_posterior_the_bound_is_tight_and_nothing_is_random(a0, b0, table):
    """(E4) and (E5): equality, and a variance of exactly zero."""
    prior, counts = er.Beta(a0, b0), of_table(table)
    evidence = er.log_evidence(prior, counts)
    posterior = er.posterior(prior, counts)
    allowance = 1e-13 * (counts.num_latents + abs(evidence))
    assert abs(er.elbo(posterior, prior, counts) - evidence) <= allowance
    assert er.elbo_variance(posterior, prior, counts) == 0.0


@settings(max_examples=60)
@given(MODERATE, MODERATE, TABLE)
def test_a_tied_guide_has_the_elbo_of_the_prior_as_guide(a0, b0, table):
    """(E8): so its gap is KL(prior || posterior)."""
    prior, counts = er.Beta(a0, b0), of_table(table)
    wanted = er.elbo(prior, prior, counts)
    assert tied_objective(prior, counts) == pytest.approx(wanted, rel=1e-14)


@pytest.mark.parametrize("m", [0.1, 0.3, 0.8])
def test_the_supremum_of_the_tied_objective_is_the_binomial_likelihood(m):
    """(E8): a collapsing prior turns its objective into that of no latent at all."""
    limit = binomial_likelihood(np.full(5, np.log(m / (1 - m))), SOME)
    wanted = SOME.multiplicity @ stats.binom.logpmf(SOME.successes, SOME.total_count, m)
    assert limit == pytest.approx(wanted, rel=1e-12)
    for s in (1e6, 1e9, 1e12):
        prior = er.Beta(m * s, (1 - m) * s)
        slope = np.sum(SOME.multiplicity * (SOME.successes / m + SOME.failures / (1 - m)))
        slope -= np.sum(SOME.multiplicity * SOME.total_count)
        got = tied_objective(prior, SOME)
        assert got == pytest.approx(limit - slope / (2 * s), rel=1e-13, abs=slope**2 / s**2)


def test_the_empty_guide_s_objective_exceeds_the_evidence():
    """(E7): it has no maximum."""
    counts = er.Counts(3, 10)
    for s, least in ((1e2, 0.5), (1e6, 5.0), (1e12, 11.0)):
        prior = er.Beta(0.3 * s, 0.7 * s)
        above = er.empty_guide_objective(prior, counts) - er.log_evidence(prior, counts)
        assert above > least


# -- values --------------------------------------------------------------------------------------


@pytest.mark.thorough
@settings(max_examples=60)
@given(WIDE, WIDE, WIDE, WIDE, ROW, st.floats(-9, 0), st.booleans())
@example(1e12, 3e12, 1e12, 2e12, (3 * 10**14, 10**15), -3.0, False)
@example(1.0, 1.0, 1e12, 2e12, (3 * 10**14, 10**15), -7.0, True)
@example(1e-10, 1e12, 1e-10, 1e12, (0, 10**15), -1.0, False)
def test_values_and_variance_with_80_digits(a, b, a0, b0, row, far, near):
    """(E3), (E5), (E7), (E8): 1e-13 of the larger term, or of a nat.

    The variance is that of a tilt known to rounding; the standard deviation is a norm, so its error
    is at most that of the tilt's error.
    """
    prior, counts = er.Beta(a0, b0), er.Counts(*row)
    guide = er.Beta(a, b)
    if near:
        at = er.posterior(prior, counts)
        guide = er.Beta(at.concentration1[0] * (1 + 10**far), at.concentration0[0] * (1 - 0.5**30))
    slow = Slow(guide, prior, *row)

    elbo, empty = slow.elbo_terms(), slow.empty_terms()
    for name, got, terms in (
        ("elbo", er.elbo(guide, prior, counts), elbo),
        ("empty", er.empty_guide_objective(prior, counts), empty),
        ("tied", tied_objective(prior, counts), empty[:1]),
    ):
        error = abs(got - sum(terms)) / max([1, *map(abs, terms)])
        assert error <= 1e-13, f"{name}: got {got}, wanted {float(sum(terms))}, error {error}"

    std = mp.sqrt(er.elbo_variance(guide, prior, counts))
    wanted = mp.sqrt(slow.variance(slow.tilt()))
    rounding = [2 * EPS * (p + t + q) for p, t, q in zip(slow.x0, slow.tally, slow.x, strict=True)]
    slack = mp.sqrt(slow.variance([rounding[0], 0])) + mp.sqrt(slow.variance([0, rounding[1]]))
    assert abs(std - wanted) <= 1e-12 * wanted + slack, f"std {std}, wanted {wanted}, slack {slack}"


@pytest.mark.parametrize("prior", [er.Beta(0.6, 3.0), er.Beta(5.0, 5.0), er.Beta(20.0, 1.5)])
@pytest.mark.parametrize("guide", [er.Beta(2.0, 3.0), er.Beta(0.8, 0.7), er.Beta(30.0, 50.0)])
def test_quadrature(guide, prior):
    """(E3), (E5), (E7) and (E8) as integrals over c, by the trapezoidal rule in logit c."""
    logit, step = np.linspace(-80, 80, 8001, retstep=True)
    logs = special.log_expit(logit), special.log_expit(-logit)
    likelihood = np.log(special.binom(11, 4)) + 4 * logs[0] + 7 * logs[1]
    p, q = (
        (a - 1) * logs[0] + (b - 1) * logs[1] - special.betaln(a, b)
        for a, b in (prior.arrays(), guide.arrays())
    )

    def integral(of, log_density):
        return step * np.sum(of * np.exp(log_density + sum(logs)))

    counts, particle = er.Counts(4, 11), likelihood + p - q
    elbo = er.elbo(guide, prior, counts)
    assert elbo == pytest.approx(integral(particle, q), rel=1e-10)
    variance = er.elbo_variance(guide, prior, counts)
    assert variance == pytest.approx(integral((particle - elbo) ** 2, q), rel=1e-10)
    empty = er.empty_guide_objective(prior, counts)
    assert empty == pytest.approx(integral(likelihood + p, p), rel=1e-10)
    assert tied_objective(prior, counts) == pytest.approx(integral(likelihood, p), rel=1e-10)


def test_the_worked_example_of_the_empty_guide():
    """(E7): k = 3 of n = 10 under Beta(2, 3)."""
    prior, counts = er.Beta(2.0, 3.0), er.Counts(3, 10)
    assert er.empty_guide_objective(prior, counts) == pytest.approx(-2.310935, abs=5e-7)
    first, second = er.empty_guide_objective_gradient(prior, counts)
    assert (2 * first, 3 * second) == pytest.approx((-0.594924, 2.031625), abs=5e-7)


# -- gradients -----------------------------------------------------------------------------------

SHAPES = [(False, False), (False, True), (True, False), (True, True)]


@pytest.mark.parametrize(("each_prior", "each_guide"), SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_elbo_gradient_by_autograd_and_along_a_random_direction(seed, each_prior, each_guide):
    rng = np.random.default_rng(seed)
    shapes = [(2, 5) if each else (2,) for each in (each_prior, each_guide)]
    x = [np.exp(rng.normal(1.0, 1.5, shape)) for shape in shapes]
    gradient = er.elbo_gradient(er.Beta(*x[1]), er.Beta(*x[0]), SOME)
    for i, got in enumerate((gradient.prior, gradient.guide)):
        wanted = autograd.grad(textbook, i)(*x, SOME)
        assert np.shape(got) == shapes[i]
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-11)

    direction = [rng.normal(size=shape) * y for shape, y in zip(shapes, x, strict=True)]

    def along(t):
        prior, guide = (er.Beta(*(y + t * d)) for y, d in zip(x, direction, strict=True))
        return er.elbo(guide, prior, SOME)

    wanted = slope_along(along, 0.0, 1.0)
    got = sum(np.sum(np.array(g) * d) for g, d in zip(gradient, direction, strict=True))
    assert got == pytest.approx(wanted, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("shape", [(2,), (2, 5)])
@pytest.mark.parametrize("seed", range(4))
def test_empty_guide_gradient_by_autograd_and_along_a_random_direction(seed, shape):
    rng = np.random.default_rng(seed)
    x = np.exp(rng.normal(1.0, 1.5, shape))
    got = np.array(er.empty_guide_objective_gradient(er.Beta(*x), SOME))
    assert got.shape == shape
    np.testing.assert_allclose(got, autograd.grad(textbook_empty)(x, SOME), rtol=1e-10, atol=1e-11)

    direction = rng.normal(size=shape) * x
    wanted = slope_along(lambda y: er.empty_guide_objective(er.Beta(*y), SOME), x, direction)
    assert np.sum(got * direction) == pytest.approx(wanted, rel=1e-7, abs=1e-7)


@pytest.mark.thorough
@settings(max_examples=60)
@given(WIDE, WIDE, WIDE, WIDE, ROW)
@example(1.0, 1.0, 1e12, 2e12, (3 * 10**14, 10**15))
@example(1e12, 3e12, 1e12, 2e12, (0, 10**15))
def test_gradients_with_80_digits(a, b, a0, b0, row):
    """Within 1e-14 of the terms they are differences of."""
    guide, prior, counts = er.Beta(a, b), er.Beta(a0, b0), er.Counts(*row)
    slow, got = Slow(guide, prior, *row), er.elbo_gradient(guide, prior, counts)
    empty = er.empty_guide_objective_gradient(prior, counts)
    empty_tilt = [y + t - 1 for y, t in zip(slow.x0, slow.tally, strict=True)]
    largest = [y + t + q for y, t, q in zip(slow.x0, slow.tally, slow.x, strict=True)]
    for i, unit in enumerate(([1, 0], [0, 1])):
        wanted = slow.expected(unit, slow.x) - slow.expected(unit, slow.x0)
        terms = [mp.psi(0, y) for x in (slow.x, slow.x0) for y in (x[i], sum(x))]
        assert abs(got.prior[i] - wanted) <= 1e-14 * sum(map(abs, terms))
        for value, x, tilt, size in (
            (got.guide[i], slow.x, slow.tilt(), largest),
            (empty[i], slow.x0, empty_tilt, [t + 2 for t in empty_tilt]),
        ):
            own, both = mp.psi(1, x[i]), mp.psi(1, sum(x))
            error = abs(value - (tilt[i] * own - sum(tilt) * both))
            assert error <= 1e-14 * (size[i] * own + sum(size) * both), (value, error)


@pytest.mark.thorough
@settings(max_examples=60)
@given(MODERATE, MODERATE, TABLE)
def test_at_the_posterior_the_prior_s_gradient_is_that_of_the_evidence(a0, b0, table):
    """The gap (E4) is smallest there, so it does not change with the prior; the guide's is zero."""
    prior, counts = er.Beta(a0, b0), of_table(table)
    gradient = er.elbo_gradient(er.posterior(prior, counts), prior, counts)
    assert not np.any(gradient.guide)
    wanted = np.array(er.log_evidence_gradient(prior, counts))
    rounding = 1e-13 * (1 + counts.num_latents * np.log(2 + counts.total_count.max()))
    np.testing.assert_allclose(gradient.prior, wanted, rtol=1e-12, atol=rounding)


# -- the variance by Monte Carlo -----------------------------------------------------------------

PARTICLES = 40_000
SEVERAL = er.Counts([3, 0, 7, 12, 1], [10, 4, 7, 40, 20], multiplicity=[2, 3, 4, 3, 2])


def sampled(guide, prior, counts, together=False):
    """One-particle estimates from NumPy's draws and SciPy's densities, w draws for w latents.

    The planted fault `together` lets equal latents share one draw.
    """
    rng = np.random.default_rng(1)
    k, n, w = counts.successes, counts.total_count, counts.multiplicity
    each = np.broadcast_to(np.reshape(guide.arrays(), (2, -1)), (2, len(counts)))
    total = np.zeros(PARTICLES)
    for i, (a, b) in enumerate(each.T):
        c = rng.beta(a, b, (1 if together else w[i], PARTICLES))
        log_joint = stats.binom.logpmf(k[i], n[i], c) + stats.beta.logpdf(c, *prior.arrays())
        particle = np.sum(log_joint - stats.beta.logpdf(c, a, b), axis=0)
        total += w[i] * particle if together else particle
    return total


def z_scores(sample, mean, variance):
    sample = sample[:, None]
    return np.append(oracles.mean_scores(sample, mean), oracles.variance_scores(sample, variance))


ONE = er.Beta(2.5, 4.0)
EACH = er.Beta([4.0, 2.0, 9.0, 10.0, 2.0], [8.0, 6.0, 2.0, 20.0, 40.0])


@pytest.mark.thorough
@pytest.mark.parametrize("guide", [ONE, EACH], ids=["one", "each"])
@pytest.mark.parametrize("counts", [SINGLE, SEVERAL], ids=["single", "several"])
def test_mean_and_variance_by_numpy_s_own_draws(guide, counts):
    """(E3) and (E5); not so with the guide's concentrations swapped, or w latents drawn as one."""
    prior = er.Beta(1.5, 2.5)
    exact = er.elbo(guide, prior, counts), er.elbo_variance(guide, prior, counts)
    assert (z_scores(sampled(guide, prior, counts), *exact) < 5).all()

    swapped = er.Beta(*guide.arrays()[::-1])
    assert (z_scores(sampled(swapped, prior, counts), *exact) > 5).all()
    if counts is SEVERAL:
        mean, variance = z_scores(sampled(guide, prior, counts, together=True), *exact)
        assert mean < 5 < variance


# -- structure -----------------------------------------------------------------------------------


def everything(guide, prior, counts):
    """All closed forms of one guide and one prior; every one is a sum over latents."""
    gradient = er.elbo_gradient(guide, prior, counts)
    return np.array(
        [
            er.elbo(guide, prior, counts),
            er.empty_guide_objective(prior, counts),
            tied_objective(prior, counts),
            er.elbo_variance(guide, prior, counts),
            *gradient.prior,
            *gradient.guide,
            *er.empty_guide_objective_gradient(prior, counts),
        ]
    )


VALUES, MIRROR = slice(0, 3), [0, 1, 2, 3, 5, 4, 7, 6, 9, 8]
FOUR = st.tuples(MODERATE, MODERATE, MODERATE, MODERATE)


@pytest.mark.thorough
@settings(max_examples=60)
@given(FOUR, TABLE)
def test_swapping_successes_and_failures_swaps_everything(x, table):
    guide, prior, counts = er.Beta(*x[:2]), er.Beta(*x[2:]), of_table(table)
    mirror = er.Counts(counts.failures, counts.total_count, counts.multiplicity)
    got = everything(er.Beta(*x[1::-1]), er.Beta(*x[:1:-1]), mirror)
    np.testing.assert_allclose(got[MIRROR], everything(guide, prior, counts), rtol=1e-12)


@pytest.mark.thorough
@settings(max_examples=60)
@given(FOUR, TABLE, st.randoms(use_true_random=False))
def test_multiplicity_is_repetition_in_any_order(x, table, random):
    """So a multiplicity of 0 is no latent, and the order does not matter."""
    guide, prior = er.Beta(*x[:2]), er.Beta(*x[2:])
    repeated = [(row, 1) for row, weight in table for _ in range(weight)]
    random.shuffle(repeated)
    got = everything(guide, prior, of_table(table))
    parts = [everything(guide, prior, of_table([one])) for one in repeated]
    total, scale = (sum(map(f, parts), np.zeros(10)) for f in (np.array, np.abs))
    assert (np.abs(got - total) <= 1e-14 * scale).all()
    if repeated:
        np.testing.assert_allclose(everything(guide, prior, of_table(repeated)), got, rtol=1e-11)


@pytest.mark.thorough
@settings(max_examples=60)
@given(
    FOUR,
    st.lists(
        one_row(st.integers(0, 9)),
        min_size=1,
        max_size=5,
    ),
)
def test_splitting_an_observation_changes_only_the_coefficient(x, rows):
    """K, N and logC are all that matters of the rows of one latent."""
    guide, prior, (k, n) = er.Beta(*x[:2]), er.Beta(*x[2:]), zip(*rows, strict=True)
    split, whole = er.Counts.shared(k, n), er.Counts(sum(k), sum(n))
    change = stats.binom.logpmf(k, n, 0.5).sum() - stats.binom.logpmf(sum(k), sum(n), 0.5)
    got, wanted = everything(guide, prior, split), everything(guide, prior, whole)
    wanted[VALUES] += change
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.thorough
@settings(max_examples=60)
@given(FOUR)
def test_a_latent_without_trials_carries_no_information(x):
    """Its likelihood is 1; only the densities are counted, and (E2) leaves the prior as it is."""
    guide, prior, nothing = er.Beta(*x[:2]), er.Beta(*x[2:]), er.Counts(0, 0)
    assert tied_objective(prior, nothing) == 0
    assert binomial_likelihood(1.5, nothing) == 0
    assert er.elbo(guide, prior, nothing) == pytest.approx(-guide.kl(prior), rel=1e-12, abs=1e-13)
    entropy = -prior.entropy()
    assert er.empty_guide_objective(prior, nothing) == pytest.approx(entropy, rel=1e-14)
    assert not np.any(everything(prior, prior, nothing)[[0, 2, 3, 4, 5, 6, 7]])


def test_a_guide_for_each_latent_is_a_sum_of_one_guide_problems():
    priors = er.Beta([0.5, 2.0, 1e9, 4.0, 1.0], [1.5, 2.0, 3e9, 1e-5, 7.0])
    rows = zip(
        *EACH.arrays(),
        *priors.arrays(),
        SOME.successes,
        SOME.total_count,
        SOME.multiplicity,
        strict=True,
    )
    parts = [(er.Beta(a, b), er.Beta(a0, b0), er.Counts(*row)) for a, b, a0, b0, *row in rows]
    for function in (er.elbo, er.elbo_variance):
        wanted = sum(function(*part) for part in parts)
        assert function(EACH, priors, SOME) == pytest.approx(wanted, rel=1e-14)
    gradient = er.elbo_gradient(EACH, priors, SOME)
    wanted = np.transpose([er.elbo_gradient(*part) for part in parts], (1, 2, 0))
    np.testing.assert_allclose(np.array(gradient), wanted, rtol=1e-15)


def test_types():
    assert all(type(x) is float for x in er.elbo_gradient(ONE, ONE, SOME).prior)
    assert all(type(x) is float for x in er.empty_guide_objective_gradient(ONE, SOME))
    for value in (er.elbo(EACH, ONE, SOME), er.elbo_variance(EACH, ONE, SOME)):
        assert type(value) is float


# -- bad arguments -------------------------------------------------------------------------------

WITH_GUIDE = [er.elbo, er.elbo_gradient, er.elbo_variance]
WITHOUT = [er.empty_guide_objective, er.empty_guide_objective_gradient]


def calls(bad):
    """Every public function with `bad` in every place for a Beta: the argument's name, the call."""
    yield from (("guide", f, (bad, ONE)) for f in WITH_GUIDE)
    yield from (("prior", f, (ONE, bad)) for f in WITH_GUIDE)
    yield from (("prior", f, (bad,)) for f in WITHOUT)


@pytest.mark.parametrize("bad", [1.0, (2.0, 3.0), None, "beta", er.Parameter(probs=0.5)])
def test_a_guide_or_prior_that_is_no_beta(bad):
    for name, function, arguments in calls(bad):
        kinds = "Beta or LogitNormal" if name == "guide" else "Beta"
        message = f"^{name} must be a {kinds}, not {type(bad).__name__}"
        with pytest.raises(TypeError, match=message):
            function(*arguments, SOME)


@pytest.mark.parametrize("shape", [(2,), (1,), (5, 1)])
def test_a_guide_or_prior_that_does_not_fit(shape):
    for name, function, arguments in calls(er.Beta(np.ones(shape), 1)):
        message = f"{name} of shape {shape} fits neither () nor the 5 entries of counts"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            function(*arguments, SOME)


@pytest.mark.parametrize(
    ("a", "b", "want"),
    [(1e-12, 5.0, -28.631021115929435), (1e-10, 1.0, -24.02585092994)],
)
def test_empty_guide_where_large_terms_cancel(a, b, want):
    """One success of one trial: E log lik and H are of order 1/a, J (E7) of order log a."""
    with mp.workdps(60):
        x, y = mp.mpf(a), mp.mpf(b)
        up, down = mp.psi(0, x) - mp.psi(0, x + y), mp.psi(0, y) - mp.psi(0, x + y)
        true = x * up + (y - 1) * down - mp.log(mp.beta(x, y))
    assert float(true) == pytest.approx(want, rel=1e-9)
    got = er.empty_guide_objective(er.Beta(a, b), er.Counts(1, 1))
    assert got == pytest.approx(float(true), rel=1e-13)


@settings(max_examples=20)
@given(st.sampled_from(sorted(GUIDES)), st.integers(0, 2**32 - 1), st.booleans())
def test_equal_entries_are_evaluated_once(name, seed, equal):
    """Joined or one by one, values and gradients agree to the last bits, and equal ones entirely.

    The negative control is an entry whose parameters differ: it keeps its own value.
    """
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 4, 80)
    counts, prior = er.Counts(k, 5), np.exp(rng.normal(size=(2, 1)))
    task = Task(GUIDES[name], counts)
    size = 1 if task.guide.shared else 4
    params = np.exp(rng.normal(size=(len(task.guide.parameter_names), size)))
    params = task.guide.constrain(np.log(params if size == 1 else params[:, k]))
    if not equal and task.guide.parameter_names and size > 1:
        params = params.copy()
        params[:, 7] *= 1.5
        assert task.pooled(prior, params).entry is None
    else:
        assert task.pooled(prior, params).entry is not None
    got = (
        latent_values(task, er.Beta(*prior[:, 0]), params),
        *objective_gradient(task, prior, params),
    )
    alone = Task(GUIDES[name], counts)
    alone.__dict__["_joined"] = None
    wanted = (
        latent_values(alone, er.Beta(*prior[:, 0]), params),
        *objective_gradient(alone, prior, params),
    )
    for ours, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(
            ours, theirs, rtol=1e-13, atol=1e-13 * np.abs(theirs).max(initial=0)
        )


@pytest.mark.parametrize("name", ["beta", "normal", "tied", "none"])
def test_rows_of_parameters_have_a_value_each(name):
    """As `rest` sees the steps of a history at once: that of each row alone."""
    task = Task(GUIDES[name], SOME)
    rng = np.random.default_rng(2)
    k, steps = len(task.guide.parameter_names), 3
    priors = np.exp(rng.normal(size=(2, steps, 1)))
    rows = task.guide.constrain(rng.normal(size=(k, steps * len(SOME))))
    rows = rows.reshape(k, steps, len(SOME))
    found = Exact().rest(task, er.Beta(*priors), rows)
    assert found.shape == (steps,)
    for t in range(steps):
        alone = objective_value(task, er.Beta(*priors[:, t, 0]), rows[:, t])
        assert found[t] == pytest.approx(alone, rel=1e-13)
