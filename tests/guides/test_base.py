"""`elbo_ref.guides.base` and the two objectives on it, for each guide of the catalogue.

One particle is compared with SciPy's densities; the loop's exact gradient with automatic
differentiation of a textbook formula and with a difference along a random direction; `Trace` with
`Exact` by z-scores. Those fail by chance with probability 3e-7 each (|z| > 5.1, fixed seeds, fewer
than 400 of them) and stand beside the same test with a planted fault, which must fail.
"""

import re

import autograd
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import special, stats

import elbo_ref as er
import oracles
from elbo_ref import guides
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, objective_value, one_particle_variance
from elbo_ref.objectives.trace import Trace
from elbo_ref.optima.find import find_optimum
from elbo_ref.optima.normal import best_normal
from elbo_ref.svi.parameters import ParameterVector
from kinds import ROWS, SEVERAL, SINGLE
from oracles import slope_along
from tiers import few

MERGED = er.Counts.grouped(*ROWS, ["u", "v", "u", "w", "v"])
COUNTS = pytest.mark.parametrize("counts", few([SEVERAL, SINGLE, MERGED]), ids=["w", "1", "merged"])
EACH = pytest.mark.parametrize("name", oracles.OBJECTIVES)
LIMIT = 5.1
PRIOR = np.array([[6.0], [2.5]])


def a_vector(name, counts, rng, learned=True):
    """The parameters of a task, and a random point."""
    guide = guides.find(name)
    prior = er.Beta(*np.exp(rng.normal(0.7, 0.5, 2)))
    start = guide.start(None, 1 if guide.shared else len(counts))
    space = ParameterVector(Task(guide, counts), prior, learned and guide.has_prior, start)
    return space, prior, space.start + rng.normal(0.2, 0.5, space.start.size)


# -- one particle --------------------------------------------------------------------------------


def log_source(name, prior, own, c):
    """log q(c) by SciPy's densities, where it is counted, less the Jacobian that is."""
    y, jacobian = special.logit(c), np.log(c * (1 - c))
    return {
        "beta": lambda: stats.beta.logpdf(c, *own),
        "beta_shared": lambda: stats.beta.logpdf(c, *own),
        "conjugate": lambda: stats.beta.logpdf(c, *(prior + own)),
        "conjugate_detached": lambda: stats.beta.logpdf(c, *(prior + own)),
        "tied": lambda: stats.beta.logpdf(c, *prior),
        "laplace": lambda: -jacobian,
        "normal": lambda: stats.norm.logpdf(y, own[0], own[1]) - jacobian,
    }.get(name, lambda: 0.0)()


@EACH
@COUNTS
def test_one_particle_is_what_the_model_counts_less_what_the_guide_counts(name, counts):
    """log p(x, c) - log q(c) at any c, row by row of the data; `residual` included."""
    space, model, vector = a_vector(name, counts, np.random.default_rng(0))
    (prior, own), task = space.split(vector), space.task
    c = np.random.default_rng(1).uniform(0.02, 0.98, len(counts))
    latent = [0, 1, 0, 2, 1] if counts is MERGED else range(5)
    rows = stats.binom.logpmf(*ROWS, c[list(latent)])
    log_prior = 0.0 if name == "none" else stats.beta.logpdf(c, *prior)
    wanted = np.bincount(latent, rows) + log_prior - log_source(name, prior, own, c)
    tilt = task.guide.tilt(prior, own, task.outcomes)
    got = tilt[0] * np.log(c) + tilt[1] * np.log1p(-c) + task.log_coefficient
    got = got + task.guide.normalizer(prior, own)
    residual = task.guide.residual(special.logit(c), task.guide.source_parameters(prior, own))
    got = got if residual is None else got + residual
    np.testing.assert_allclose(got, wanted, rtol=1e-11)
    assert task.guide.has_prior or model.arrays() == er.Beta(*prior[:, 0]).arrays()


# -- the loop's gradient -------------------------------------------------------------------------


LEARNED = [
    (name, learned)
    for name, (num_own, _) in oracles.OBJECTIVES.items()
    for learned in (True, False)
    if learned or num_own
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "learned"), LEARNED)
@COUNTS
def test_the_loop_s_gradient(counts, name, seed, learned):
    """(E3), (E7), (E8): by autograd, and the value's difference along a random direction."""
    rng = np.random.default_rng(seed)
    space, prior, vector = a_vector(name, counts, rng, learned)
    given_prior = None if space.num_prior else prior.arrays()

    def value(x):
        p, own = space.split(x)
        return objective_value(space.task, er.Beta(*p), own)

    got, _ = space.gradient(Exact(), vector, 1, rng)
    wanted = oracles.objective(vector, name, counts, given_prior)
    assert value(vector) == pytest.approx(wanted, rel=1e-12)
    wanted = autograd.grad(oracles.objective)(vector, name, counts, given_prior)
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)
    direction = rng.normal(size=vector.size)
    assert got @ direction == pytest.approx(
        slope_along(value, vector, direction), rel=1e-7, abs=1e-8
    )


@EACH
def test_a_latent_that_is_not_there_gets_no_gradient(name):
    """Multiplicity 0; and for a parameter also no trials."""
    space, _, vector = a_vector(name, SEVERAL, np.random.default_rng(3))
    prior, own = space.split(vector)
    for objective in (Exact(), Trace()):
        step = objective.step(space.task, prior, own, 2, np.random.default_rng(0))
        assert space.task.guide.shared or not step.params[:, 2].any()
    empty = Task(guides.find("none"), er.Counts(0, 0))
    assert not Exact().step(empty, np.ones((2, 1)), np.ones((1, 1)), 1, None).params.any()


# -- Trace, draw by draw -------------------------------------------------------------------------


class NoScore:
    """The densities' own part of the gradient left out; its mean is zero, so no mean shows it."""

    density_weight = 0


class Still:
    """A draw that does not move with the parameters."""

    def pathwise(self, logit, x, *known):
        return 0 * super().pathwise(logit, x, *known)


class Healthy:
    pass


def same_quantiles(plant, name, u):
    """The guide with draws at given quantiles."""

    class AtQuantiles:
        def sample_logits(self, x, shape, rng):
            below, above = special.betaincinv(*x, u), special.betainccinv(x[1], x[0], u)
            return np.log(below) - np.log(above)

    return oracles.planted(oracles.planted(guides.find(name), AtQuantiles), plant)


@pytest.mark.parametrize("plant", [Healthy, NoScore, Still])
@pytest.mark.parametrize("name", ["beta", "empty", "tied"])
def test_trace_is_the_derivative_of_its_own_value(name, plant):
    """(E6): at fixed quantiles the estimate is a function of the parameters, and differentiable."""
    rng = np.random.default_rng(4)
    space, _, vector = a_vector(name, SINGLE, rng)
    space.task = Task(same_quantiles(plant, name, rng.uniform(size=(3, 5))), SINGLE)

    def value(x):
        prior, own = space.split(x)
        raw = np.array([Trace().step(space.task, prior, own, 3, rng).value])
        return raw[0] + Trace().rest(space.task, er.Beta(*prior[:, None]), own[:, None])[0]

    gradient, _ = space.gradient(Trace(), vector, 3, rng)
    direction = rng.normal(size=vector.size)
    agrees = gradient @ direction == pytest.approx(slope_along(value, vector, direction), rel=1e-6)
    # under a tied guide the densities cancel
    assert agrees == (plant is Healthy or (plant, name) == (NoScore, "tied"))


# -- Trace against Exact -------------------------------------------------------------------------


def z_scores(task, name, counts, steps=300, particles=12):
    """Of gradient, value and the value's variance; the last two are 0 where nothing is random."""
    rng = np.random.default_rng(5)
    space, _, vector = a_vector(name, counts, rng)
    vector[: space.num_prior] = np.log(PRIOR[: space.num_prior, 0])
    prior, own = space.split(vector)
    drawn = [Trace().step(task, prior, own, particles, rng) for _ in range(steps)]
    raw = np.array([step.value for step in drawn])
    values = raw + Trace().rest(task, er.Beta(*prior[:, None]), own[:, None])
    sample = np.array(
        [[*s.prior, *s.params.ravel(), v] for s, v in zip(drawn, values, strict=True)]
    )
    exact = Exact().step(space.task, prior, own, 1, rng)
    model = er.Beta(*prior)
    wanted = [*exact.prior, *exact.params.ravel(), objective_value(space.task, model, own)]
    off = sample - sample.mean(axis=0)
    spread = np.mean(off**2, axis=0)
    size = np.maximum(1e-12 * np.abs(wanted).max(), np.sqrt(spread / steps))
    z = np.abs(sample.mean(axis=0) - wanted) / size
    expected = one_particle_variance(space.task, model, own) / particles
    fourth = np.sqrt(max(np.mean(off[:, -1] ** 4) - spread[-1] ** 2, 0) / steps)
    return np.append(z, abs(spread[-1] - expected) / max(fourth, 1e-12))


@EACH
@COUNTS
def test_trace_is_unbiased_and_has_the_variance_it_should(name, counts):
    """Gradient and value in the mean, and (E5)."""
    z = z_scores(Task(guides.find(name), counts), name, counts)
    assert (z < LIMIT).all(), z


class SwappedDraws:
    """Draws with the two concentrations swapped."""

    def sample_logits(self, x, shape, rng):
        return super().sample_logits(x[::-1], shape, rng)


class SwappedPrior:
    """The density of c in the model with its concentrations swapped."""

    def tilt(self, prior, own, outcomes):
        return super().tilt(prior[::-1], own, outcomes)


class NoPriorDensity:
    """The density of c in the model left out, as if the prior were flat."""

    def tilt(self, prior, own, outcomes):
        return super().tilt(np.ones_like(prior), own, outcomes)

    def normalizer(self, prior, own):
        return super().normalizer(np.ones_like(prior), own)


class DoublePathwise:
    """A draw that moves twice as far."""

    def pathwise(self, logit, x, *known):
        return 2 * super().pathwise(logit, x, *known)


class NoEntropy:
    """The gradient of the entropy left out."""

    def collect(self, source, logs, prior, own):
        return super().collect(source, logs, prior, own)[0], source


FAULTS = [
    *((SwappedDraws, name) for name in ("beta", "empty", "tied")),
    *((SwappedPrior, name) for name in ("delta", "normal", "laplace")),
    *((NoPriorDensity, name) for name in ("beta", "empty")),
    *(
        (DoublePathwise, name)
        for name in ("beta", "empty", "tied", "beta_shared", "delta", "normal", "laplace")
    ),
    (NoEntropy, "normal"),
]


@pytest.mark.parametrize(("fault", "name"), FAULTS, ids=lambda x: getattr(x, "__name__", x))
@pytest.mark.parametrize("counts", few([SEVERAL, MERGED]), ids=["w", "merged"])
def test_a_planted_fault_shows(fault, name, counts):
    """Negative controls."""
    task = Task(oracles.planted(guides.find(name), fault), counts)
    assert z_scores(task, name, counts).max() > LIMIT


@pytest.mark.parametrize("name", ["beta", "empty", "tied"])
@COUNTS
def test_forgotten_coefficients_show_in_the_value_only(name, counts):
    task = Task(guides.find(name), counts)
    task.log_coefficient = np.zeros(len(counts))
    z = z_scores(task, name, counts)
    assert z[-2] > LIMIT > np.delete(z, -2).max()


@pytest.mark.parametrize("name", ["beta", "empty", "tied"])
def test_forgotten_multiplicities_show(name):
    assert z_scores(Task(guides.find(name), SINGLE), name, SEVERAL).max() > LIMIT


def test_without_anything_random_trace_is_exact():
    """guide='none', also with multiplicities."""
    logits, task = np.array([[-1.0, 0.3, 40.0, 2.0, -700.0]]), Task(guides.find("none"), SEVERAL)
    exact = Exact().step(task, PRIOR, logits, 1, None)
    traced = Trace().step(task, PRIOR, logits, 3, np.random.default_rng(0))
    np.testing.assert_allclose(traced.params, exact.params, rtol=1e-14)
    value = traced.value + Trace().rest(task, er.Beta(*PRIOR), logits[:, None])
    assert value[0] == pytest.approx(objective_value(task, er.Beta(*PRIOR), logits), rel=1e-13)


@pytest.mark.parametrize("name", ["beta", "empty", "tied", "none"])
def test_equal_latents_draw_separately(name):
    """Multiplicity is repetition, draw by draw."""
    point = np.random.default_rng(5).uniform(0.5, 3.0, (2, 5))
    own = point[: len(guides.find(name).parameter_names)]
    entry = np.repeat(np.arange(5), SEVERAL.multiplicity)
    apart = er.Counts(SEVERAL.successes[entry], SEVERAL.total_count[entry])
    one = Trace().step(Task(guides.find(name), SEVERAL), PRIOR, own, 4, np.random.default_rng(6))
    many = Trace().step(
        Task(guides.find(name), apart), PRIOR, own[:, entry], 4, np.random.default_rng(6)
    )
    assert one.value == pytest.approx(many.value, rel=1e-13)
    np.testing.assert_allclose(one.prior, many.prior, rtol=1e-12, atol=1e-12)
    sums = [np.bincount(entry, row, 5) for row in many.params]
    np.testing.assert_allclose(one.params, np.reshape(sums, own.shape), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("guide", [er.Beta(3.0, 5.0), "empty", "tied"])
def test_losses_of_a_run_that_hardly_moves(guide):
    """Their mean is minus ``run.objective``, their standard deviation ``run.step_std`` (E5)."""
    run = er.maximize_elbo(
        SEVERAL,
        guide=guide,
        prior=er.Beta(2.0, 1.4),
        optimizer=er.Adam(lr=1e-12),
        num_steps=600,
        num_particles=8,
    )
    off = run.losses - run.losses.mean()
    variance = np.mean(off**2)
    assert abs(run.losses.mean() + run.objective) < LIMIT * np.sqrt(variance / 600)
    error = np.sqrt((np.mean(off**4) - variance**2) / 600)
    assert abs(variance - run.step_std**2) < LIMIT * error
    assert abs(variance - 8 * run.step_std**2) > LIMIT * error  # one particle's


def test_attached_conjugate_steps_have_no_noise_and_detached_ones_have():
    """(E1): every attached step is the exact gradient of the evidence, to rounding."""
    prior, own = np.array([[2.0], [5.0]]), np.array([SINGLE.successes, SINGLE.failures], float)
    wanted = np.array(er.log_evidence_gradient(er.Beta(2.0, 5.0), SINGLE))
    for name, spread in (("conjugate", 0.0), ("conjugate_detached", 0.1)):
        task, rng = Task(guides.find(name), SINGLE), np.random.default_rng(0)
        rows = np.array([Trace().step(task, prior, own, 1, rng).prior for _ in range(200)])
        if spread:
            assert rows.std(axis=0).min() > spread
            assert (abs(rows.mean(axis=0) - wanted) < 5 * rows.std(axis=0) / 200**0.5).all()
        else:
            np.testing.assert_allclose(rows, np.broadcast_to(wanted, (200, 2)), rtol=1e-12)


# -- below the evidence, or not -------------------------------------------------------------------


@pytest.mark.thorough
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=4),
    st.floats(-2, 3), st.floats(-2, 3), st.floats(-4, 4), st.floats(-4, 2),
)  # fmt: skip
@settings(max_examples=100)
def test_an_elbo_is_below_the_evidence(rows, log_a, log_b, loc, log_scale):
    """(E4), for one normal and one Beta guide of all latents; best at its own optimum."""
    k, f = np.array(rows).T
    counts, prior = er.Counts(k, k + f), er.Beta(10**log_a, 10**log_b)
    height = er.log_evidence(prior, counts)
    slack = 1e-10 * (1 + abs(height))
    value = er.elbo(er.LogitNormal(loc, 10**log_scale), prior, counts)
    best = er.elbo(best_normal(prior, counts), prior, counts)
    assert value <= best + slack and best <= height + slack
    shared = find_optimum(guides.find("beta_shared"), counts, prior, False).value
    assert shared <= height + slack
    assert er.elbo(prior.conjugate_update(k[0], f[0]), prior, counts) <= shared + slack


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("w", "particles"), [(10**7 + 1, 1), (10**4, 1001), (10**12, 1)])
def test_trace_refuses_more_than_ten_million_draws_a_step(w, particles):
    message = (
        f'loss="trace" would take {w * particles} draws a step ({w} latents times {particles} '
        'particles), more than 10000000; use loss="exact"'
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        er.maximize_elbo(er.Counts(3, 10, w), num_particles=particles)


@pytest.mark.parametrize(("w", "particles"), [(10**7, 1), (10**4, 1000), (0, 10**9)])
def test_trace_accepts_ten_million(w, particles):
    Trace().prepare(Task(guides.find("beta"), er.Counts(3, 10, w)), particles)


@pytest.mark.parametrize("name", ["beta", "empty", "tied", "none"])
def test_exact_takes_a_million_million_latents(name):
    """Which weigh as much, and move Adam no further."""
    runs = [
        er.maximize_elbo(er.Counts(3, 10, w), guide=name, loss="exact", num_steps=5)
        for w in (1, 10**12)
    ]
    np.testing.assert_allclose(runs[1].losses, 1e12 * runs[0].losses, rtol=1e-6)
