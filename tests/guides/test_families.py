"""The guides beside Beta, empty, tied and none: `beta_shared`, `conjugate`, `delta`, `normal`, ...

One particle against SciPy's densities; the exact gradient against autograd of a textbook formula
and a difference of the value; `Trace` against `Exact` by z-scores (|z| < 5.1, 3e-7 each); the ELBOs
below the evidence; and where each leads (`elbo_ref.optima`) against runs that go there.
"""

import autograd
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import special, stats

import elbo_ref as er
import oracles
from elbo_ref import guides
from elbo_ref.guides.optimum import Derivatives, normal_optimum
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, objective_value, one_particle_variance
from elbo_ref.objectives.trace import Trace
from elbo_ref.optima.find import find_optimum
from elbo_ref.optima.normal import best_normal
from elbo_ref.report import sentences
from elbo_ref.svi.parameters import ParameterVector

NAMES = ["beta_shared", "conjugate", "conjugate_detached", "delta", "normal", "laplace"]
ROWS = [3, 0, 7, 12, 1], [10, 4, 7, 40, 20]
SINGLE = er.Counts(*ROWS)
SEVERAL = er.Counts(*ROWS, multiplicity=[1, 2, 0, 3, 1])
COUNTS = pytest.mark.parametrize("counts", [SINGLE, SEVERAL], ids=["1", "w"])
FAMILY = pytest.mark.parametrize("name", NAMES)
Z, HERMITE = np.polynomial.hermite_e.hermegauss(80)
HERMITE = HERMITE / HERMITE.sum()


def a_space(name, counts, rng, learned=True):
    guide = guides.find(name)
    prior = er.Beta(*np.exp(rng.normal(0.7, 0.5, 2)))
    start = guide.start(None, 1 if guide.shared else len(counts))
    space = ParameterVector(Task(guide, counts), prior, learned, start)
    return space, space.start + rng.normal(0.2, 0.5, space.start.size)


@FAMILY
@COUNTS
@pytest.mark.parametrize("seed", range(3))
def test_the_loop_s_gradient(name, counts, seed):
    rng = np.random.default_rng(seed)
    space, vector = a_space(name, counts, rng)

    def value(x):
        prior, own = space.split(x)
        return objective_value(space.task, er.Beta(*prior), own)

    got, _ = space.gradient(Exact(), vector, 1, rng)
    assert value(vector) == pytest.approx(oracles.objective(vector, name, counts), rel=1e-12)
    wanted = autograd.grad(oracles.objective)(vector, name, counts)
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)
    direction = rng.normal(size=vector.size)
    near, far = (
        (value(vector + h * direction) - value(vector - h * direction)) / (2 * h)
        for h in (1e-3, 2e-3)
    )
    assert got @ direction == pytest.approx((4 * near - far) / 3, rel=1e-7, abs=1e-8)


@FAMILY
def test_one_particle_is_what_the_model_counts_less_what_the_guide_counts(name):
    """log p(x, c) - log q(c) at any c, by SciPy's densities; `residual` included."""
    space, vector = a_space(name, SINGLE, np.random.default_rng(0))
    (prior, own), guide = space.split(vector), space.task.guide
    c = np.random.default_rng(1).uniform(0.02, 0.98, 5)
    y = special.logit(c)
    log_q = {
        "beta_shared": lambda: stats.beta.logpdf(c, *own),
        "conjugate": lambda: stats.beta.logpdf(c, *(prior + own)),
        "conjugate_detached": lambda: stats.beta.logpdf(c, *(prior + own)),
        "delta": lambda: 0.0,
        "laplace": lambda: -np.log(c * (1 - c)),
        "normal": lambda: stats.norm.logpdf(y, own[0], own[1]) - np.log(c * (1 - c)),
    }[name]()
    wanted = stats.binom.logpmf(*ROWS, c) + stats.beta.logpdf(c, *prior) - log_q
    tilt = guide.tilt(prior, own, space.task.outcomes)
    got = tilt[0] * np.log(c) + tilt[1] * np.log1p(-c) + SINGLE.log_coefficient
    got = got + guide.normalizer(prior, own)
    residual = guide.residual(y, guide.source_parameters(prior, own))
    got = got if residual is None else got + residual
    np.testing.assert_allclose(got, wanted, rtol=1e-11)


def z_scores(faulty, name, counts, steps=300, particles=12):
    """Of gradient, value and the value's variance; the last two are 0 where nothing is random."""
    rng = np.random.default_rng(5)
    space, vector = a_space(name, counts, rng)
    prior, own = space.split(vector)
    task = Task(faulty, counts)
    found = [Trace().step(task, prior, own, particles, rng) for _ in range(steps)]
    raw = np.array([step.value for step in found])
    values = raw + Trace().rest(task, er.Beta(*prior[:, None]), own[:, None])
    sample = np.array([[*s.prior, *s.own.ravel(), v] for s, v in zip(found, values, strict=True)])
    exact = Exact().step(space.task, prior, own, 1, rng)
    model = er.Beta(*prior)
    wanted = [*exact.prior, *exact.own.ravel(), objective_value(space.task, model, own)]
    off = sample - sample.mean(axis=0)
    spread = np.mean(off**2, axis=0)
    size = np.maximum(1e-12 * np.abs(wanted).max(), np.sqrt(spread / steps))
    z = np.abs(sample.mean(axis=0) - wanted) / size
    expected = one_particle_variance(space.task, model, own) / particles
    fourth = np.sqrt(max(np.mean(off[:, -1] ** 4) - spread[-1] ** 2, 0) / steps)
    return np.append(z, abs(spread[-1] - expected) / max(fourth, 1e-12))


@FAMILY
@COUNTS
def test_trace_is_unbiased_and_has_the_variance_it_should(name, counts):
    z = z_scores(guides.find(name), name, counts)
    assert (z < 5.1).all(), z


class DoublePathwise:
    def pathwise(self, logit, x):
        return 2 * super().pathwise(logit, x)


class NoEntropy:
    def collect(self, source, logs, prior, own):
        return super().collect(source, logs, prior, own)[0], source


class Swapped:
    def tilt(self, prior, own, outcomes):
        return super().tilt(prior[::-1], own, outcomes)


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        *((DoublePathwise, name) for name in ("beta_shared", "delta", "normal", "laplace")),
        *((Swapped, name) for name in ("delta", "normal", "laplace")),
        (NoEntropy, "normal"),
    ],
)
def test_a_planted_fault_shows(fault, name):
    """Negative controls."""
    faulty = oracles.planted(guides.find(name), fault)
    assert z_scores(faulty, name, SEVERAL).max() > 5.1


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


@pytest.mark.parametrize("prior", [er.Beta(3e8, 1e-8), er.Beta(1e-9, 7e8)])
def test_the_normal_optimum_beside_an_end(prior):
    """A prior mean within 1e-16 of an end; the optimum is finite."""
    best = best_normal(prior, er.Counts([5, 0], [5, 0]))
    loc, scale = best.arrays()
    assert np.isfinite(loc).all() and (scale > 0).all() and np.isfinite(scale).all()


def test_the_normal_optimum_that_is_known():
    """3 of 10 under Beta(2, 5)."""
    counts, prior = er.Counts(3, 10), er.Beta(2, 5)
    best = best_normal(prior, counts)
    np.testing.assert_allclose([best.loc, best.scale], [[-0.933936], [0.548050]], atol=5e-7)
    assert er.elbo(best, prior, counts) == pytest.approx(-1.80686284, abs=5e-9)
    assert best.mean == pytest.approx(5 / 17, rel=1e-13)
    by_prior, by_guide = er.elbo_gradient(best, prior, counts)
    assert max(abs(by_guide.loc[0]), abs(by_guide.scale[0])) < 1e-12
    assert by_prior.concentration1 != pytest.approx(
        er.log_evidence_gradient(prior, counts).concentration1, rel=1e-3
    )


LEARNED = [False, True, "concentration1", "concentration0"]


def tier(name, learned):
    """Runs under a fixed prior arrive early: the default tier has these."""
    if not learned:
        return ()
    long = name == "normal" and learned is not True
    return pytest.mark.slow if long else pytest.mark.thorough


@pytest.mark.parametrize(
    ("name", "learned"),
    [
        pytest.param(name, learned, marks=tier(name, learned))
        for name in (*NAMES, "beta", "tied", "empty")
        for learned in LEARNED
    ],
)
def test_a_run_goes_where_it_is_said_to(name, learned):
    """`leads` is derived from formulas, the run from gradients: they share no code."""
    if not learned and name in ("conjugate", "conjugate_detached", "tied", "empty"):
        with pytest.raises(ValueError, match="nothing to learn"):
            er.maximize_elbo(SEVERAL, name, learn_prior=False)
        return
    run = er.maximize_elbo(
        SEVERAL,
        name,
        loss="exact",
        prior=er.Beta(2.0, 5.0),
        learn_prior=learned,
        optimizer=er.Adam(lr=0.1),
        num_steps=4000,
    )
    seen = er.diagnose(run)
    assert run.objective <= seen.optimum.value + 1e-9
    if np.isinf(seen.optimum.value):
        assert run.stopped == "unbounded" or run.losses[-1] < run.losses[500] - 0.5
    elif seen.optimum.attained:
        assert seen.arrived and seen.shortfall < 1e-5
        if learned:
            found = run.prior.concentration1, run.prior.concentration0
            wanted = seen.optimum.concentration1, seen.optimum.concentration0
            np.testing.assert_allclose(found, wanted, rtol=1e-2)
    else:
        assert seen.shortfall < 0.2
    if learned in ("concentration1", "concentration0"):
        other = "concentration0" if learned == "concentration1" else "concentration1"
        assert getattr(run.prior, other) == getattr(er.Beta(2.0, 5.0), other)
    assert "guide" in run.to_dict() and seen.to_json()


@pytest.mark.parametrize(
    ("k", "n", "prior", "place", "height"),
    [
        ([3], [10], (2, 5), "c = 0.26667", None),
        ([0], [4], (0.5, 2), "at 0", np.inf),
        ([4], [4], (2, 0.5), "at 1", np.inf),
        ([0], [0], (0.5, 0.5), "both", np.inf),
        ([0], [0], (1, 1), "flat", 0.0),
        ([0], [4], (1, 2), "at 0", np.log(2.0)),
        ([3, 0], [10, 4], (0.5, 2), "c = 0.2381, 1 at 0", np.inf),
    ],
)
def test_where_the_map_is(k, n, prior, place, height):
    best = find_optimum(guides.find("delta"), er.Counts(k, n), er.Beta(*prior), False)
    assert sentences.location(best) == place
    if height is not None:
        assert best.value == pytest.approx(height)


@pytest.mark.parametrize(
    ("k", "f", "b", "bounded"),
    [
        ((3, 2), (7, 6), 2.0, True),
        ((0, 2), (7, 6), 2.0, False),
        ((3, 8), (7, 0), 0.5, False),
        ((9, 8), (1, 0), 2.0, False),
        ((9, 8), (1, 1), 2.0, True),
        ((9, 8), (3, 0), 2.0, True),
    ],
)
def test_delta_over_one_concentration(k, f, b, bounded):
    """Bounded or not, against the objective far out along its own best path."""
    counts = er.Counts(k, np.add(k, f))
    best = find_optimum(guides.find("delta"), counts, er.Beta(1.0, b), "concentration1")
    assert np.isfinite(best.value) == bounded
    highest = -np.inf
    for log_a in np.linspace(-20, 28, 97):
        prior = er.Beta(np.exp(log_a), b)
        up, down = prior.concentration1 - 1 + np.array(k), b - 1 + np.array(f)
        up, down = np.maximum(up, 1e-200), np.maximum(down, 1e-200)
        logits = np.clip(np.log(up) - np.log(down), -690, 690)
        task = Task(guides.find("delta"), counts)
        highest = max(highest, objective_value(task, prior, logits[None]))
    assert highest <= best.value + 1e-9
    assert bounded == (highest < 15)


def test_what_is_learned_is_checked():
    with pytest.raises(ValueError, match="learn_prior = 'both' is not one of"):
        er.maximize_elbo(SINGLE, learn_prior="both")
    with pytest.raises(TypeError, match="learn_prior must be True, False or a name"):
        er.maximize_elbo(SINGLE, learn_prior=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("learned", [True, "concentration0"])
def test_a_saved_run_goes_on(name, learned, tmp_path):
    whole, half = (
        er.maximize_elbo(SEVERAL, name, learn_prior=learned, num_steps=n, num_particles=2)
        for n in (40, 20)
    )
    er.save_run(half, tmp_path / "run.npz")
    again = er.load_run(tmp_path / "run.npz").resume(num_steps=20)
    assert again.to_json() == whole.to_json() and again.guide == whole.guide


@pytest.mark.parametrize("name", [*NAMES, "beta"])
def test_what_is_reached_is_a_value(name):
    run = er.maximize_elbo(SINGLE, name, loss="exact", num_steps=20)
    mean = np.asarray(run.guide.mean)
    assert mean.shape == ((1,) if name == "beta_shared" else (5,))
    low, high = run.guide.interval(0.9)
    assert (low <= mean).all() and (mean <= high).all()
    assert run.guide.sample(3, rng=0).shape == (3, *mean.shape)
    if name in ("beta", "normal", "delta"):
        again = er.maximize_elbo(SINGLE, run.guide, loss="exact", num_steps=1)
        assert again.guide_name == name


def test_the_normal_optimum_anywhere():
    """Newton's step there is none, for exponents from 1e-12 to 1e15, however far apart."""
    exponents = 10 ** np.random.default_rng(7).uniform(-12, 15, (2, 1000))
    best = normal_optimum(*exponents)
    place = np.array(best.arrays())
    step = Derivatives.at(exponents, place).newton_step(place[1])
    assert np.quantile(np.abs(step) / place[1], 0.999) < 1e-7
    assert (np.abs(step) / place[1]).max() < 1e-3  # tails of a rule that is changed
