"""The catalogue: names, values and starts; and the recipe of CONTRIBUTING.md, tried.

A guide is one line of the catalogue and one optimum. Guides that are not in it are put there,
checked against the densities that their fields count, maximised, and taken out again.
"""

import re

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import elbo_ref as er
import oracles
from elbo_ref import guides, objectives
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.distributions.point import POINT
from elbo_ref.guides import GUIDES, Guide
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, objective_value, one_particle_variance
from elbo_ref.optima import find
from elbo_ref.optima.optimum import unbounded
from elbo_ref.svi.parameters import ParameterVector
from kinds import SINGLE
from tiers import few

LINES = [
    Guide("tempered", BETA, er.Beta, source_weight=2),
    Guide("on_logit", BETA, er.Beta, jacobian=1),
    Guide("no_prior", LOGIT_NORMAL, er.LogitNormal, prior_weight=0),
    Guide("tempered_normal", LOGIT_NORMAL, er.LogitNormal, source_weight=3),
    Guide("shared_point", POINT, er.Delta, source_weight=0, shared=True),
    Guide("prior_twice", BETA, er.Beta, origin="prior", prior_weight=2, source_weight=1),
    Guide("posterior_alone", BETA, er.Beta, origin="posterior", source_weight=0),
]
COUNTS = er.Counts([3, 0, 7], [10, 4, 7], multiplicity=[2, 1, 1])

LONG = ("no_prior", "tempered_normal")
"""Guides whose runs take longest to converge."""


@pytest.fixture(params=LINES, ids=lambda guide: guide.name)
def guide(request, monkeypatch):
    monkeypatch.setitem(GUIDES, request.param.name, request.param)
    return guides.find(request.param.name)


def expectation(vector, guide):
    """The expectation of what the fields count, latent by latent, by textbook densities."""
    (a0, b0), rows = anp.exp(vector[:2]), len(guide.parameter_names)
    own = anp.reshape(vector[2:], (rows, -1)) if rows else None
    k, f = COUNTS.successes, COUNTS.failures
    entropy = 0.0
    if guide.source is POINT:
        up, down = oracles.logs_at(own[0])
    elif guide.source is LOGIT_NORMAL:
        loc, scale = own[0], anp.logaddexp(0.0, own[1])
        logs = oracles.logs_at(loc + scale * oracles.Z[:, None])
        up, down = (anp.dot(oracles.WEIGHTS, row) for row in logs)
        entropy = anp.log(scale) + 0.5 * np.log(2 * np.pi * np.e) + up + down
    else:
        a, b = {
            "own": lambda: anp.exp(own),
            "prior": lambda: (a0, b0),
            "posterior": lambda: (a0 + k, b0 + f),
        }[guide.origin]()
        up, down = oracles.moments(a, b)
        entropy = oracles.log_beta(a, b) - (a - 1) * up - (b - 1) * down
    log_prior = (a0 - 1) * up + (b0 - 1) * down - oracles.log_beta(a0, b0)
    counted = guide.prior_weight * log_prior + guide.source_weight * entropy
    counted = counted + guide.jacobian * (up + down) + k * up + f * down
    return anp.sum(COUNTS.multiplicity * (counted + COUNTS.log_coefficient))


def a_point(guide):
    task = Task(guide, COUNTS)
    start = guide.start(None, 1 if guide.shared else len(COUNTS))
    space = ParameterVector(task, er.Beta(2.0, 3.0), True, start)
    return space, space.start + np.random.default_rng(0).normal(0.2, 0.4, space.start.size)


def test_value_and_gradient_against_autograd(guide):
    space, vector = a_point(guide)
    prior, own = space.split(vector)
    wanted = expectation(vector, guide)
    assert objective_value(space.task, er.Beta(*prior), own) == pytest.approx(wanted, rel=1e-12)
    gradient, _ = space.gradient(Exact(), vector, 1, None)
    wanted = autograd.grad(expectation)(vector, guide)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("loss", few(["trace", "sticking_the_landing", "score_function"]))
def test_draws_against_the_exact_values(guide, loss):
    """400 steps of 20 particles, |z| < 5 (6e-7 each), and the variance of the value (E5)."""
    if loss == "score_function" and not guide.has_score:
        pytest.skip("no density with own parameters")
    objective, (space, vector) = objectives.find(loss), a_point(guide)
    (prior, own), task, rng = space.split(vector), space.task, np.random.default_rng(1)
    steps = [objective.step(task, prior, own, 20, rng) for _ in range(400)]
    raw = np.array([step.value for step in steps])
    values = raw + objective.rest(task, er.Beta(*prior[:, None]), own[:, None])
    rows = np.array([[*s.prior, *s.params.ravel(), v] for s, v in zip(steps, values, strict=True)])
    exact, model = Exact().step(task, prior, own, 1, rng), er.Beta(*prior)
    wanted = [*exact.prior, *exact.params.ravel(), objective_value(task, model, own)]
    assert oracles.mean_scores(rows, wanted).max() < 5
    variance = one_particle_variance(task, model, own) / 20
    assert oracles.variance_scores(rows[:, -1:], variance).max() < 5


@pytest.mark.parametrize(
    "guide",
    [
        pytest.param(line, id=line.name, marks=pytest.mark.thorough if line.name in LONG else ())
        for line in LINES
    ],
    indirect=True,
)
def test_a_run_ends_at_the_optimum_of_the_own_parameters(guide):
    if not guide.parameter_names:
        with pytest.raises(ValueError, match="nothing to learn"):
            er.maximize_elbo(COUNTS, guide.name, learn_prior=False)
        return
    run = er.maximize_elbo(
        COUNTS,
        guide.name,
        loss="exact",
        prior=er.Beta(2.0, 3.0),
        learn_prior=False,
        optimizer=er.Adam(lr=0.2),
        num_steps=2000,
    )
    assert run.stopped == "converged" and run.guide_name == guide.name
    assert type(run.guide) is guide.kind
    prior, task = np.array([[2.0], [3.0]]), Task(guide, COUNTS)
    best = guide.optimum(prior, task.outcomes, task.weights)
    assert run.objective == pytest.approx(objective_value(task, run.prior, best), abs=1e-9)


def tempered_run(learned):
    return er.maximize_elbo(
        COUNTS,
        "tempered",
        loss="exact",
        prior=er.Beta(2.0, 3.0),
        learn_prior=learned,
        optimizer=er.Adam(lr=0.2),
        num_steps=2000 if not learned else 10,
    )


def test_under_a_given_prior_a_diagnosis_asks_for_nothing_more(monkeypatch):
    """Twice the entropy of a Beta guide: q is the square root of the joint density."""
    monkeypatch.setitem(GUIDES, "tempered", LINES[0])
    seen = er.diagnose(tempered_run(False))
    assert seen.case == "converged" and seen.shortfall < 1e-9
    (a, b), (k, f) = (2.0, 3.0), (COUNTS.successes, COUNTS.failures)
    root = 2 * oracles.log_beta((a + k + 1) / 2, (b + f + 1) / 2) - oracles.log_beta(a, b)
    height = float(COUNTS.multiplicity @ (root + COUNTS.log_coefficient))
    assert seen.optimum.value == pytest.approx(height, rel=1e-12)
    assert "best parameters" in seen.sentence


def test_over_the_prior_it_asks_for_one_optimum(monkeypatch):
    """Without a line of `OPTIMA` the optimum is not known; with one it is the line's."""
    monkeypatch.setitem(GUIDES, "tempered", LINES[0])
    assert er.diagnose(tempered_run(True)).case == "unknown"

    def optimum(_task, _prior, _learned):
        return unbounded("entropy_unbounded")

    kind = ("own", BETA, (1, 2, 0), False)
    monkeypatch.setitem(find.OPTIMA, kind, ("elbo", optimum))
    seen = er.diagnose(tempered_run(True))
    assert seen.case == "unbounded" and "without bound" in seen.sentence


def test_it_is_gone_afterwards():
    with pytest.raises(ValueError, match="guide = 'tempered' is not one of 'beta', 'empty'"):
        guides.find("tempered")


# -- names, values, starts -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in GUIDES if GUIDES[name].parameter_names])
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


@pytest.mark.parametrize("name", [name for name in GUIDES if name not in ("empty", "tied", "none")])
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


@pytest.mark.parametrize(
    ("look_up", "bad", "error", "message"),
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
def test_a_name_that_stands_for_nothing(look_up, bad, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        look_up(bad)


@pytest.mark.parametrize("value", [er.Beta([1, 2], 1), er.Parameter(probs=[0.1, 0.2])])
def test_a_start_that_does_not_fit(value):
    message = "guide of shape (2,) fits neither () nor the 5 entries of counts"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        er.maximize_elbo(SINGLE, guide=value)
