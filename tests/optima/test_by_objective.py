"""Where a loss that changes the objective leads: against searches that know nothing of it."""

import numpy as np
import pytest
from scipy import optimize

import elbo_ref as er
from elbo_ref import guides, objectives
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact
from elbo_ref.optima import by_objective as losses
from elbo_ref.optima.by_guide import destination
from elbo_ref.optima.by_objective import destination_under
from elbo_ref.svi.parameters import NAMES, Coordinates
from tiers import few

MEAN_FIELD = objectives.find("trace_mean_field")
PRIOR = er.Beta(2.0, 5.0)
BOUNDED = er.Counts([3, 9, 1, 20, 4], [10, 12, 4, 25, 30], multiplicity=[1, 2, 1, 1, 0])
LEARNABLE = {"nothing": False, "both": True, "concentration1": "concentration1"}


def searched(counts, prior, learned):
    """The highest mean-field objective that L-BFGS finds, from the exact gradient."""
    guide = MEAN_FIELD.adapted(guides.find("normal"))
    start = er.LogitNormal(np.zeros(len(counts)), 0.5)
    space = Coordinates(Task(guide, counts), prior, learned, guide.start(start, len(counts)))
    rng = np.random.default_rng(0)

    def loss(vector):
        gradient, _ = space.gradient(Exact(), vector, 1, rng)
        prior, own = space.split(vector)
        value = Exact().settle(space.task, np.empty(1), er.Beta(*prior[:, None]), own[:, None])
        return -float(value[0]), -gradient

    found = optimize.minimize(loss, space.start, jac=True, options={"gtol": 1e-9, "maxiter": 4000})
    return -found.fun, space.split(found.x)[0][:, 0]


@pytest.mark.parametrize("learnable", LEARNABLE)
@pytest.mark.parametrize("prior", [PRIOR, er.Beta(0.4, 0.7)])
def test_normal_without_its_jacobian(learnable, prior):
    lead = destination_under(MEAN_FIELD, "normal", BOUNDED, prior, learnable)
    value, reached = searched(BOUNDED, prior, LEARNABLE[learnable])
    assert lead.value == pytest.approx(value, rel=1e-8) and lead.attained
    np.testing.assert_allclose([lead.concentration1, lead.concentration0], reached, rtol=1e-3)
    elbo = destination("normal", BOUNDED, prior, learnable).value
    assert lead.value > elbo + 1  # another objective


@pytest.mark.parametrize(
    ("counts", "prior", "learnable"),
    [
        (er.Counts([0, 4], 10), PRIOR, "both"),
        (er.Counts([10, 4], 10), PRIOR, "both"),
        (er.Counts([0, 4], 10), er.Beta(1.0, 5.0), "nothing"),
        (er.Counts([0, 4], 10), PRIOR, "concentration1"),
        (er.Counts([10, 4], 10), er.Beta(2.0, 0.5), "concentration1"),
    ],
)
def test_where_the_scale_grows_without_bound(counts, prior, learnable):
    lead = destination_under(MEAN_FIELD, "normal", counts, prior, learnable)
    assert np.isposinf(lead.value) and "without bound" in lead.reason
    guide = MEAN_FIELD.adapted(guides.find("normal"))
    if learnable != "nothing":
        prior = er.Beta(0.5, 0.5)
    sign = -1.0 if counts.successes[0] == 0 else 1.0
    heights = []
    for scale in (10.0, 100.0, 1000.0, 10_000.0):
        own = np.array([[30 * sign * scale, 0.0], [scale, 1.0]])
        task = Task(guide, counts)
        heights.append(Exact().settle(task, np.empty(1), er.Beta([[prior.concentration1]], [[
            prior.concentration0]]), own[:, None])[0])  # fmt: skip
    assert np.diff(heights).min() > 2.0  # at least log 10 a step, less what the others lose


def test_a_prior_that_makes_up_for_it():
    """No successes, but concentration1 = 2: bounded; with the other learnable it is not known."""
    counts = er.Counts([0, 4], 10)
    lead = destination_under(MEAN_FIELD, "normal", counts, PRIOR, "nothing")
    assert lead.value == pytest.approx(searched(counts, PRIOR, False)[0], rel=1e-8)
    assert np.isnan(destination_under(MEAN_FIELD, "normal", counts, PRIOR, "concentration0").value)


def test_laplace_becomes_delta():
    lead = destination_under(MEAN_FIELD, "laplace", BOUNDED, PRIOR, "nothing")
    assert lead == destination("delta", BOUNDED, PRIOR, "nothing")


CLIMBED = ("tied", "beta_shared", "normal")


@pytest.mark.thorough
@pytest.mark.parametrize("guide", guides.GUIDES)
@pytest.mark.parametrize("alpha", few([-1.0, 0.0, 0.5, 2.0], 2))
def test_where_a_renyi_bound_leads(guide, alpha):
    """Where its guide does, or between that and the evidence; or it is not known."""
    lead = losses.climbed(er.Renyi(alpha=alpha, num_samples=2), guide, BOUNDED, PRIOR, "both")
    itself = destination(guide, BOUNDED, PRIOR, "both")
    if guide in CLIMBED and 0 <= alpha < 1:
        assert itself.value <= lead.value < er.maximize_evidence(BOUNDED).log_evidence
        assert ("between the ELBO's" in lead.reason) == (lead != itself)
    elif np.isnan(lead.value):
        assert guide in (*CLIMBED, "beta") and "not known" in lead.reason
    else:
        assert lead == itself


@pytest.mark.parametrize("guide", CLIMBED)
def test_more_samples_are_only_bracketed(guide):
    counts = er.datasets.load("chromosome")
    lead = losses.climbed(er.Renyi(num_samples=3), guide, counts, PRIOR, "both")
    assert np.isnan(lead.value) and "not known here: between the ELBO's" in lead.reason


POINTS = {
    "tied": np.zeros((0, len(BOUNDED))),
    "beta_shared": np.array([[3.0], [2.0]]),
    "normal": np.array([[-0.5, 1.0, -1.0, 1.0, 0.0], [0.5, 0.6, 0.7, 0.3, 1.0]]),
}


@pytest.mark.parametrize("alpha", few([0.0, 0.6]))
@pytest.mark.parametrize("guide", few(POINTS))
def test_the_gradient_of_the_bound_of_two(guide, alpha):
    """By central differences of its value, which `renyi_bound` has as well."""
    bound, rng = losses._BoundOfTwo(er.Renyi(alpha=alpha), 801), np.random.default_rng(0)
    task = Task(guides.find(guide), BOUNDED)
    point = np.concatenate([np.array([2.0, 1.5]), POINTS[guide].ravel()])

    def at(x):
        return bound.step(task, x[:2, None], x[2:].reshape(POINTS[guide].shape), 1, rng)

    for i, slope in enumerate(np.concatenate([at(point).prior, at(point).own.ravel()])):
        step = 1e-5 * (np.arange(point.size) == i)
        difference = (at(point + step).value - at(point - step).value) / 2e-5
        assert slope == pytest.approx(difference, rel=1e-6, abs=1e-7), i
    if guide == "normal":
        q = er.LogitNormal(*POINTS[guide])
        exact = er.renyi_bound(q, er.Beta(2.0, 1.5), BOUNDED, alpha)
        assert at(point).value == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("learnable", few(["concentration1", "concentration0"]))
@pytest.mark.parametrize("guide", few(CLIMBED))
def test_the_climb_ends_at_one_place(guide, learnable):
    """From starts on both sides of it; the objective falls on both sides of the prior."""
    loss = er.Renyi(alpha=0.3)
    lead = losses.climbed(loss, guide, BOUNDED, PRIOR, learnable)
    assert lead.attained and "two samples" in lead.reason
    ends = (lead.concentration1, lead.concentration0)
    for factor in (0.5, 2.0):
        moved = [
            x * factor if name == learnable else x for x, name in zip(ends, NAMES, strict=True)
        ]
        prior, height = losses._climb(loss, guide, BOUNDED, er.Beta(*moved), learnable)
        assert height == pytest.approx(lead.value, rel=1e-9)
        assert list(map(float, prior.arrays())) == pytest.approx(ends, rel=1e-4)
        beside = losses.climbed(loss, guide, BOUNDED, er.Beta(*moved), "nothing")
        assert beside.value < lead.value - 0.01


@pytest.mark.thorough
def test_two_samples_can_keep_a_tied_prior_from_collapsing():
    """The ELBO of a prior that is its own guide has no maximum; the bound of two samples has."""
    counts = er.datasets.load("rat_tumors")
    lead = losses.climbed(er.Renyi(), "tied", counts, PRIOR, "both")
    assert lead.attained and not destination("tied", counts, PRIOR, "both").attained
    best = er.Beta(lead.concentration1, lead.concentration0)
    assert er.renyi_bound(best, best, counts) == pytest.approx(lead.value, rel=1e-10)
    for a, b in ((0.9, 0.9), (1.1, 1.1), (0.97, 1.0), (1.03, 1.0)):
        near = er.Beta(a * lead.concentration1, b * lead.concentration0)
        assert er.renyi_bound(near, near, counts) < lead.value


@pytest.mark.thorough
@pytest.mark.parametrize(("guide", "prior"), [("normal", None), ("tied", er.Beta(30.0, 40.0))])
def test_the_bracket_of_a_renyi_bound(guide, prior):
    """Exact for two samples: above the ELBO of the same point, below the evidence's maximum."""
    counts = er.Counts([3, 9, 1, 20], [10, 12, 4, 25])
    top = er.maximize_evidence(counts)
    if guide == "normal":
        lead = destination("normal", counts, PRIOR, "both")
        prior = er.Beta(lead.concentration1, lead.concentration0)
        q = er.LogitNormal(
            *(np.array(x) for x in er.maximize_elbo(
                counts, "normal", "exact", prior, False, er.Adam(lr=0.05), 2000
            ).guide.arrays())
        )  # fmt: skip
    else:
        q = prior
    low = er.elbo(q, prior, counts)
    for alpha in (0.0, 0.5, 0.9):
        assert low < er.renyi_bound(q, prior, counts, alpha, 2) < top.log_evidence
    assert er.renyi_bound(q, prior, counts, 2.0, 2) < low


@pytest.mark.thorough
def test_diagnose_says_so():
    run = er.maximize_elbo(BOUNDED, "normal", "trace_mean_field", PRIOR, num_steps=5)
    seen = er.diagnose(run)
    assert seen.lead.attained and "without the Jacobian" in seen.sentence
    assert "not an ELBO" in seen.summary() and seen.to_json()
    run = er.maximize_elbo(BOUNDED, "tied", "renyi", PRIOR, num_steps=5)
    assert "between the ELBO's" in er.diagnose(run).sentence
