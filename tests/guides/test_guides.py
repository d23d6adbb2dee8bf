"""`elbo_ref.guides` and the two objectives on them: one particle, the loop's gradient, `Trace`.

One particle is compared with SciPy's densities, the loop's exact gradient with automatic
differentiation of a textbook formula and with a difference along a random direction, and `Trace`
with `Exact` by z-scores. Those fail by chance with probability 3e-7 each (|z| > 5.1, fixed seeds,
fewer than 200 of them) and stand beside the same test with a planted fault, which must fail.
"""

import re

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy.special import gammaln
from scipy import special, stats

import elbo_ref as er
import oracles
from elbo_ref import guides, objectives
from elbo_ref.distributions.point import POINT
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, objective_value, one_particle_variance
from elbo_ref.objectives.trace import Trace
from elbo_ref.svi.parameters import ParameterVector

GUIDES = ["beta", "empty", "tied", "none"]
ROWS = [3, 0, 7, 12, 1], [10, 4, 7, 40, 20]
SINGLE = er.Counts(*ROWS)
SEVERAL = er.Counts(*ROWS, multiplicity=[1, 2, 0, 3, 1])
MERGED = er.Counts.grouped(*ROWS, ["u", "v", "u", "w", "v"])
COUNTS = pytest.mark.parametrize("counts", [SINGLE, SEVERAL, MERGED], ids=["1", "w", "merged"])


def log_beta(x):
    return anp.sum(gammaln(x), axis=0) - gammaln(x[0] + x[1])


def a_space(name, counts, learned, rng):
    """ParameterVector of a task, and a random point."""
    guide = guides.find(name)
    prior = er.Beta(*np.exp(rng.normal(0.7, 0.7, 2)))
    start = guide.start(name, len(counts))
    space = ParameterVector(Task(guide, counts), prior, learned and guide.has_prior, start)
    return space, prior, space.start + rng.normal(0.4, 0.8, space.start.size)


# -- one particle --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GUIDES)
@COUNTS
def test_one_particle_is_what_the_model_counts_less_what_the_guide_counts(name, counts):
    """The fields of `elbo_ref.guides.catalogue`, row by row of the data, by SciPy's densities."""
    space, _, vector = a_space(name, counts, True, np.random.default_rng(0))
    (prior, own), task = space.split(vector), space.task
    c = np.random.default_rng(1).uniform(0.02, 0.98, len(counts))
    q = own if name == "beta" else prior
    log_prior = stats.beta.logpdf(c, *prior)
    log_guide = {"beta": stats.beta.logpdf(c, *q), "tied": log_prior}.get(name, 0.0)

    latent = [0, 1, 0, 2, 1] if counts is MERGED else range(5)
    rows = stats.binom.logpmf(*ROWS, c[list(latent)])
    wanted = np.bincount(latent, rows) + (log_prior if name != "none" else 0.0) - log_guide
    tilt = task.guide.tilt(prior, own, task.outcomes)
    got = tilt[0] * np.log(c) + tilt[1] * np.log1p(-c) + task.log_coefficient
    np.testing.assert_allclose(got + task.guide.normalizer(prior, own), wanted, rtol=1e-12)


@pytest.mark.parametrize("name", GUIDES)
def test_the_slope_is_that_of_the_constraint(name):
    guide = guides.find(name)
    x = np.random.default_rng(2).normal(size=(len(guide.parameter_names), 3))
    wanted = (guide.constrain(x + 1e-5) - guide.constrain(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(guide.slope(guide.constrain(x)), wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beta", er.Beta([2.0, 3.0], 1.0)),
        ("none", er.Parameter(probs=[0.2, 0.9])),
        ("none", er.Parameter(logits=[-400.0, 2.0])),
    ],
)
def test_a_value_finds_its_family_and_starts_it(name, value):
    guide = guides.find(value)
    assert guide is guides.find(name)
    reached = guide.value(er.Beta(1, 1), guide.constrain(guide.start(value, 2)))
    np.testing.assert_allclose(reached.mean, value.mean, rtol=1e-14)
    assert guide.start(name, 2).shape == guide.start(value, 2).shape


def test_what_a_guide_without_parameters_shows():
    prior, nothing = er.Beta(2, 3), np.zeros((0, 1))
    assert guides.find("empty").value(prior, nothing) is None
    assert guides.find("tied").value(prior, nothing) == prior


# -- the loop's gradient -------------------------------------------------------------------------

LEARNED = [("beta", True), ("beta", False), ("empty", True), ("tied", True), ("none", False)]


def slope_along(value, at, direction):
    """Fourth-order central difference of `value` at `at`, in steps of 1e-3 of `direction`."""
    near, far = (
        (value(at + h * direction) - value(at - h * direction)) / (2 * h) for h in (1e-3, 2e-3)
    )
    return (4 * near - far) / 3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "learned"), LEARNED)
@COUNTS
def test_the_loop_s_gradient(counts, name, learned, seed):
    """(E3), (E7), (E8): by autograd, and the value's difference along a random direction."""
    rng = np.random.default_rng(seed)
    space, prior, vector = a_space(name, counts, learned, rng)
    fixed = None if learned else prior

    def value(x):
        p, own = space.split(x)
        return objective_value(space.task, er.Beta(*p), own)

    got, _ = space.gradient(Exact(), vector, 1, rng)
    assert value(vector) == pytest.approx(
        oracles.objective(vector, name, counts, fixed and fixed.arrays()), rel=1e-12
    )
    wanted = autograd.grad(oracles.objective)(vector, name, counts, fixed and fixed.arrays())
    np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-11)

    direction = rng.normal(size=vector.size)
    wanted = slope_along(value, vector, direction)
    assert got @ direction == pytest.approx(wanted, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("name", GUIDES)
def test_a_latent_that_is_not_there_gets_no_gradient(name):
    """Multiplicity 0; and for a parameter also no trials."""
    space, _, vector = a_space(name, SEVERAL, True, np.random.default_rng(3))
    prior, own = space.split(vector)
    for objective in (Exact(), Trace()):
        step = objective.step(space.task, prior, own, 2, np.random.default_rng(0))
        assert not step.own[:, 2].any()
    empty = Task(guides.find("none"), er.Counts(0, 0))
    assert not Exact().step(empty, np.ones((2, 1)), np.ones((1, 1)), 1, None).own.any()


# -- Trace, draw by draw -------------------------------------------------------------------------


class NoScore:
    """The densities' own part of the gradient left out; its mean is zero, so no mean shows it."""

    density_weight = 0


class Still:
    """A draw that does not move with the parameters."""

    def pathwise(self, logit, x):
        return 0 * super().pathwise(logit, x)


class Healthy:
    pass


def same_quantiles(plant, name, u):
    """The guide with draws at given quantiles."""

    class AtQuantiles:
        def sample_logits(self, x, shape, rng):
            below, above = special.betaincinv(*x, u), special.betainccinv(x[1], x[0], u)
            return np.log(below) - np.log(above)

    return oracles.planted(oracles.planted(guides.find(name), AtQuantiles), plant)


FAMILY = ["beta", "empty", "tied"]


@pytest.mark.parametrize("plant", [Healthy, NoScore, Still])
@pytest.mark.parametrize("name", FAMILY)
def test_trace_is_the_derivative_of_its_own_value(name, plant):
    """(E6): at fixed quantiles the estimate is a function of the parameters, and differentiable."""
    rng = np.random.default_rng(4)
    space, _, vector = a_space(name, SINGLE, True, rng)
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

STEPS, PARTICLES, LIMIT = 300, 12, 5.1
PRIOR = np.array([[6.0], [2.5]])


def own_of(name, counts):
    """A point not far from the posterior, so that one wrong density shows."""
    if name != "beta":
        return np.zeros((0, len(counts)))
    bend = np.array([[1.3], [0.8]])
    return (PRIOR + np.stack([counts.successes, counts.failures])) * bend


def z_scores(task, name, counts, seed=0):
    """Standard errors between the average of many steps of `task` and the healthy exact values.

    For each learned parameter, then the value, then the variance of the value.
    """
    own, rng = own_of(name, counts), np.random.default_rng(seed)
    steps = [Trace().step(task, PRIOR, own, PARTICLES, rng) for _ in range(STEPS)]
    raw = np.array([step.value for step in steps])
    values = raw + Trace().rest(task, er.Beta(*PRIOR[:, None]), own[:, None])
    sample = np.array([[*s.prior, *s.own.ravel(), v] for s, v in zip(steps, values, strict=True)])

    healthy, prior = Task(guides.find(name), counts), er.Beta(*PRIOR)
    exact = Exact().step(healthy, PRIOR, own, 1, rng)
    wanted = [*exact.prior, *exact.own.ravel(), objective_value(healthy, prior, own)]
    off = sample - sample.mean(axis=0)
    spread = np.mean(off**2, axis=0)
    errors = sample.mean(axis=0) - wanted, np.sqrt(spread / STEPS)
    random = spread > 0  # a latent of multiplicity 0 is exact
    assert (errors[0][~random] == 0).all()
    expected = one_particle_variance(healthy, prior, own) / PARTICLES
    fourth = np.sqrt((np.mean(off[:, -1] ** 4) - spread[-1] ** 2) / STEPS)
    z = errors[0][random] / errors[1][random]
    return np.abs(np.append(z, (spread[-1] - expected) / fourth))


@pytest.mark.parametrize("name", ["beta", "empty", "tied"])
@COUNTS
def test_trace_is_unbiased_and_has_the_variance_it_should(name, counts):
    """Gradient and value in the mean, and (E5)."""
    z = z_scores(Task(guides.find(name), counts), name, counts)
    assert (z < LIMIT).all(), z


class Swapped:
    """Draws with the two concentrations swapped."""

    def sample_logits(self, x, shape, rng):
        return super().sample_logits(x[::-1], shape, rng)


class NoPriorDensity:
    """The density of c in the model left out, as if the prior were flat."""

    def tilt(self, prior, own, outcomes):
        return super().tilt(np.ones_like(prior), own, outcomes)

    def normalizer(self, prior, own):
        return super().normalizer(np.ones_like(prior), own)


class DoublePathwise:
    """A draw that moves twice as far."""

    def pathwise(self, logit, x):
        return 2 * super().pathwise(logit, x)


FAULTS = [
    *((Swapped, name) for name in FAMILY),
    *((DoublePathwise, name) for name in FAMILY),
    (NoPriorDensity, "beta"),
    (NoPriorDensity, "empty"),
]


@pytest.mark.parametrize(("fault", "name"), FAULTS, ids=lambda x: getattr(x, "__name__", x))
@pytest.mark.parametrize("counts", [SEVERAL, MERGED], ids=["w", "merged"])
def test_a_planted_fault_shows(fault, name, counts):
    """The negative controls."""
    faulty = oracles.planted(guides.find(name), fault)
    assert z_scores(Task(faulty, counts), name, counts).max() > LIMIT


@pytest.mark.parametrize("name", FAMILY)
@COUNTS
def test_forgotten_coefficients_show_in_the_value_only(name, counts):
    task = Task(guides.find(name), counts)
    task.log_coefficient = np.zeros(len(counts))
    z = z_scores(task, name, counts)
    assert z[-2] > LIMIT > np.delete(z, -2).max()


@pytest.mark.parametrize("name", FAMILY)
def test_forgotten_multiplicities_show(name):
    assert z_scores(Task(guides.find(name), SINGLE), name, SEVERAL).max() > LIMIT


def test_without_anything_random_trace_is_exact():
    """guide='none', also with multiplicities."""
    logits, task = np.array([[-1.0, 0.3, 40.0, 2.0, -700.0]]), Task(guides.find("none"), SEVERAL)
    exact = Exact().step(task, PRIOR, logits, 1, None)
    traced = Trace().step(task, PRIOR, logits, 3, np.random.default_rng(0))
    np.testing.assert_allclose(traced.own, exact.own, rtol=1e-14)
    value = traced.value + Trace().rest(task, er.Beta(*PRIOR), logits[:, None])
    assert value[0] == pytest.approx(objective_value(task, er.Beta(*PRIOR), logits), rel=1e-13)


@pytest.mark.parametrize("name", GUIDES)
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
    sums = [np.bincount(entry, row, 5) for row in many.own]
    np.testing.assert_allclose(one.own, np.reshape(sums, own.shape), rtol=1e-12, atol=1e-12)


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


# -- limits and bad arguments --------------------------------------------------------------------


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


@pytest.mark.parametrize("name", GUIDES)
def test_exact_takes_a_million_million_latents(name):
    """Which weigh as much, and move Adam no further."""
    runs = [
        er.maximize_elbo(er.Counts(3, 10, w), guide=name, loss="exact", num_steps=5)
        for w in (1, 10**12)
    ]
    np.testing.assert_allclose(runs[1].losses, 1e12 * runs[0].losses, rtol=1e-6)


@pytest.mark.parametrize(
    ("find", "bad", "error", "message"),
    [
        (
            guides.find,
            "gamma",
            ValueError,
            "guide = 'gamma' is not one of 'beta', 'empty', 'tied', 'none', 'beta_shared', "
            "'conjugate', 'conjugate_detached', 'delta', 'normal', 'laplace'",
        ),
        (
            guides.find,
            None,
            TypeError,
            "guide must be a name or one of Beta, LogitNormal, Delta, Parameter, not NoneType",
        ),
        (
            objectives.find,
            "elbo",
            ValueError,
            "loss = 'elbo' is not one of 'exact', 'trace', 'trace_graph', 'trace_enum', "
            "'trace_mean_field', 'sticking_the_landing', 'score_function', 'renyi'",
        ),
        (
            objectives.find,
            3,
            TypeError,
            "loss must be a name, a Renyi or a ScoreFunction, not int",
        ),
    ],
)
def test_a_name_that_stands_for_nothing(find, bad, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        find(bad)


@pytest.mark.parametrize("value", [er.Beta([1, 2], 1), er.Parameter(probs=[0.1, 0.2])])
def test_a_start_that_does_not_fit(value):
    message = "guide of shape (2,) fits neither () nor the 5 entries of counts"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        er.maximize_elbo(SINGLE, guide=value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, "Parameter takes exactly one of probs and logits"),
        (
            {"probs": 0.5, "logits": 0.0},
            TypeError,
            "Parameter takes exactly one of probs and logits",
        ),
        ({"probs": [0.5, 1.0]}, ValueError, "probs[1] = 1.0 must be inside (0, 1)"),
        ({"probs": -0.5}, ValueError, "probs = -0.5 must lie in [0, 1]"),
        ({"logits": [0.0, np.inf]}, ValueError, "logits[1] = inf is not finite"),
    ],
)
def test_a_parameter_that_is_no_probability(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        er.Parameter(**arguments)


def test_a_parameter_as_a_value():
    one, other = er.Parameter(probs=0.25), er.Parameter(logits=special.logit(0.25))
    assert (one, hash(one), one.shape, repr(one)) == (other, hash(other), (), repr(other))
    assert one != er.Parameter(probs=0.75)
    assert one != 0.25
    assert one.mean == pytest.approx(0.25, rel=1e-15)
    far = er.Parameter(logits=[-700.0, 700.0])
    c, rest = POINT.center(far.logits[None]).pair
    assert c[0] == rest[1] > 0
