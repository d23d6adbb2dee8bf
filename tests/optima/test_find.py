"""Where a loss that changes the objective leads: against searches that know nothing of it."""

import mpmath as mp
import numpy as np
import pytest
from scipy import optimize

import elbo_ref as er
from elbo_ref import guides, objectives
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact
from elbo_ref.objectives.renyi import RenyiBound
from elbo_ref.optima import find, renyi
from elbo_ref.report import sentences
from elbo_ref.svi.parameters import NAMES, ParameterVector
from tiers import few

MEAN_FIELD = objectives.find("trace_mean_field")
PRIOR = er.Beta(2.0, 5.0)
BOUNDED = er.Counts([3, 9, 1, 20, 4], [10, 12, 4, 25, 30], multiplicity=[1, 2, 1, 1, 0])
LEARNED = [False, True, "concentration1"]


def find_optimum(guide, counts, prior, learned, loss="exact", search=False):
    """By names."""
    return find.find_optimum(
        guides.find(guide), counts, prior, learned, objectives.find(loss), search=search
    )


def searched(counts, prior, learned):
    """The highest mean-field objective that L-BFGS finds, from the exact gradient."""
    guide = MEAN_FIELD.adapted(guides.find("normal"))
    start = er.LogitNormal(np.zeros(len(counts)), 0.5)
    space = ParameterVector(Task(guide, counts), prior, learned, guide.start(start, len(counts)))
    rng = np.random.default_rng(0)

    def loss(vector):
        gradient, _ = space.gradient(Exact(), vector, 1, rng)
        prior, own = space.split(vector)
        value = Exact().rest(space.task, er.Beta(*prior[:, None]), own[:, None])
        return -float(value[0]), -gradient

    found = optimize.minimize(loss, space.start, jac=True, options={"gtol": 1e-9, "maxiter": 4000})
    return -found.fun, space.split(found.x)[0][:, 0]


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("prior", few([PRIOR, er.Beta(0.4, 0.7)]))
def test_normal_without_its_jacobian(learned, prior):
    best = find_optimum("normal", BOUNDED, prior, learned, "trace_mean_field")
    value, reached = searched(BOUNDED, prior, learned)
    assert best.value == pytest.approx(value, rel=1e-8) and best.attained
    np.testing.assert_allclose([best.concentration1, best.concentration0], reached, rtol=1e-3)
    elbo = find_optimum("normal", BOUNDED, prior, learned).value
    assert best.value > elbo + 1  # another objective


@pytest.mark.parametrize(
    ("counts", "prior", "learned"),
    [
        (er.Counts([0, 4], 10), PRIOR, True),
        (er.Counts([10, 4], 10), PRIOR, True),
        (er.Counts([0, 4], 10), er.Beta(1.0, 5.0), False),
        (er.Counts([0, 4], 10), PRIOR, "concentration1"),
        (er.Counts([10, 4], 10), er.Beta(2.0, 0.5), "concentration1"),
    ],
)
def test_where_the_scale_grows_without_bound(counts, prior, learned):
    best = find_optimum("normal", counts, prior, learned, "trace_mean_field")
    assert np.isposinf(best.value) and "without bound" in sentences.reason(best)
    guide = MEAN_FIELD.adapted(guides.find("normal"))
    if learned:
        prior = er.Beta(0.5, 0.5)
    sign = -1.0 if counts.successes[0] == 0 else 1.0
    heights = []
    for scale in (10.0, 100.0, 1000.0, 10_000.0):
        own = np.array([[30 * sign * scale, 0.0], [scale, 1.0]])
        task = Task(guide, counts)
        heights.append(Exact().rest(task, er.Beta([[prior.concentration1]], [[
            prior.concentration0]]), own[:, None])[0])  # fmt: skip
    assert np.diff(heights).min() > 2.0  # at least log 10 a step, less what the others lose


def test_a_prior_that_makes_up_for_it():
    """No successes, but concentration1 = 2: bounded; with the other learned it is not known."""
    counts = er.Counts([0, 4], 10)
    best = find_optimum("normal", counts, PRIOR, False, "trace_mean_field")
    assert best.value == pytest.approx(searched(counts, PRIOR, False)[0], rel=1e-8)
    assert np.isnan(
        find_optimum("normal", counts, PRIOR, "concentration0", "trace_mean_field").value
    )


def test_laplace_becomes_delta():
    best = find_optimum("laplace", BOUNDED, PRIOR, False, "trace_mean_field")
    assert best._replace(name="delta") == find_optimum("delta", BOUNDED, PRIOR, False)


SEARCHED = ("tied", "beta_shared", "normal")


@pytest.mark.thorough
@pytest.mark.parametrize("guide", guides.GUIDES)
@pytest.mark.parametrize("alpha", few([-1.0, 0.0, 0.5, 2.0], 2))
def test_where_a_renyi_bound_leads(guide, alpha):
    """Where its guide does, or between that and the evidence; or it is not known."""
    best = find_optimum(guide, BOUNDED, PRIOR, True, RenyiBound(alpha=alpha, num_samples=2), True)
    itself = find_optimum(guide, BOUNDED, PRIOR, True)
    if guide in SEARCHED and 0 <= alpha < 1:
        assert itself.value <= best.value < er.maximize_evidence(BOUNDED).log_evidence
        assert ("between the ELBO's" in sentences.reason(best)) == (best != itself)
    elif np.isnan(best.value):
        assert guide in (*SEARCHED, "beta") and "not known" in sentences.reason(best)
    else:
        assert best == itself


@pytest.mark.parametrize("guide", SEARCHED)
def test_more_samples_are_only_bracketed(guide):
    counts = er.datasets.load("chromosome")
    best = find_optimum(guide, counts, PRIOR, True, RenyiBound(num_samples=3), True)
    assert np.isnan(best.value) and "not known here: between the ELBO's" in sentences.reason(best)


POINTS = {
    "tied": np.zeros((0, len(BOUNDED))),
    "beta_shared": np.array([[3.0], [2.0]]),
    "normal": np.array([[-0.5, 1.0, -1.0, 1.0, 0.0], [0.5, 0.6, 0.7, 0.3, 1.0]]),
}


@pytest.mark.parametrize("alpha", few([0.0, 0.6]))
@pytest.mark.parametrize("guide", few(POINTS))
def test_the_gradient_of_the_bound_of_two(guide, alpha):
    """By central differences of its value, which `renyi_bound` has as well."""
    bound, rng = renyi.BoundOfTwo(RenyiBound(alpha=alpha), 801), np.random.default_rng(0)
    task = Task(guides.find(guide), BOUNDED)
    point = np.concatenate([np.array([2.0, 1.5]), POINTS[guide].ravel()])

    def at(x):
        return bound.step(task, x[:2, None], x[2:].reshape(POINTS[guide].shape), 1, rng)

    for i, slope in enumerate(np.concatenate([at(point).prior, at(point).params.ravel()])):
        step = 1e-5 * (np.arange(point.size) == i)
        difference = (at(point + step).value - at(point - step).value) / 2e-5
        assert slope == pytest.approx(difference, rel=1e-6, abs=1e-7), i
    if guide == "normal":
        q = er.LogitNormal(*POINTS[guide])
        exact = er.renyi_bound(q, er.Beta(2.0, 1.5), BOUNDED, alpha=alpha)
        assert at(point).value == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("learned", few(["concentration1", "concentration0"]))
@pytest.mark.parametrize("guide", few(SEARCHED))
def test_the_search_ends_at_one_place(guide, learned):
    """From starts on both sides of it; the objective falls on both sides of the prior."""
    loss = RenyiBound(alpha=0.3)
    best = find_optimum(guide, BOUNDED, PRIOR, learned, loss, True)
    assert best.attained and "two samples" in sentences.reason(best)
    ends = (best.concentration1, best.concentration0)
    for factor in (0.5, 2.0):
        moved = [x * factor if name == learned else x for x, name in zip(ends, NAMES, strict=True)]
        prior, height = renyi.maximize_bound(
            loss, guides.find(guide), BOUNDED, er.Beta(*moved), learned
        )
        assert height == pytest.approx(best.value, rel=1e-9)
        assert list(map(float, prior.arrays())) == pytest.approx(ends, rel=1e-4)
        beside = find_optimum(guide, BOUNDED, er.Beta(*moved), False, loss, True)
        assert beside.value < best.value - 0.01


@pytest.mark.thorough
def test_two_samples_can_keep_a_tied_prior_from_collapsing():
    """The ELBO of a prior that is its own guide has no maximum; the bound of two samples has."""
    counts = er.datasets.load("rat_tumors")
    best = find_optimum("tied", counts, PRIOR, True, RenyiBound(), True)
    assert best.attained and not find_optimum("tied", counts, PRIOR, True).attained
    prior = best.prior
    assert er.renyi_bound(prior, prior, counts) == pytest.approx(best.value, rel=1e-10)
    for a, b in ((0.9, 0.9), (1.1, 1.1), (0.97, 1.0), (1.03, 1.0)):
        near = er.Beta(a * best.concentration1, b * best.concentration0)
        assert er.renyi_bound(near, near, counts) < best.value


@pytest.mark.thorough
@pytest.mark.parametrize(("guide", "prior"), [("normal", None), ("tied", er.Beta(30.0, 40.0))])
def test_the_bracket_of_a_renyi_bound(guide, prior):
    """Exact for two samples: above the ELBO of the same point, below the evidence's maximum."""
    counts = er.Counts([3, 9, 1, 20], [10, 12, 4, 25])
    top = er.maximize_evidence(counts)
    if guide == "normal":
        best = find_optimum("normal", counts, PRIOR, True)
        prior = er.Beta(best.concentration1, best.concentration0)
        q = er.LogitNormal(
            *(np.array(x) for x in er.maximize_elbo(
                counts, "normal", loss="exact", prior=prior, learn_prior=False,
                optimizer=er.Adam(lr=0.05), num_steps=2000,
            ).guide.arrays())
        )  # fmt: skip
    else:
        q = prior
    low = er.elbo(q, prior, counts)
    for alpha in (0.0, 0.5, 0.9):
        assert low < er.renyi_bound(q, prior, counts, alpha=alpha) < top.log_evidence
    assert er.renyi_bound(q, prior, counts, alpha=2.0) < low


@pytest.mark.thorough
def test_diagnose_says_so():
    run = er.maximize_elbo(BOUNDED, "normal", loss="trace_mean_field", prior=PRIOR, num_steps=5)
    seen = er.diagnose(run)
    assert seen.optimum.attained and "without the Jacobian" in seen.sentence
    assert "not an ELBO" in seen.summary() and seen.to_json()
    run = er.maximize_elbo(BOUNDED, "tied", loss="renyi", prior=PRIOR, num_steps=5)
    assert "between the ELBO's" in er.diagnose(run).sentence


@pytest.mark.parametrize("held", [1e-6, 1e-3, 1.0, 20.0, 1e4])
@pytest.mark.parametrize("rows", [(1, 3), (2, 3), (1, 2)], ids=str)
def test_over_one_concentration_with_few_of_an_outcome_by_mpmath(rows, held):
    """As many successes or failures as latents: the slope's leading terms are one another's."""
    counts, latents = er.Counts(*([x] * 4 for x in rows)), 4
    best = find_optimum("empty", counts, er.Beta(1.0, held), "concentration1")
    k, f = int(counts.successes.sum()), int(counts.failures.sum())
    with mp.workdps(60):
        b = mp.mpf(held)

        def slope(a):
            after = mp.psi(1, a + b)
            up, down = k + latents * (a - 1), f + latents * (b - 1)
            return up * (mp.psi(1, a) - after) - down * after

        if best.attained:
            a = mp.mpf(best.concentration1)
            assert slope(a * (1 - 1e-5)) > 0 > slope(a * (1 + 1e-5)), best
        else:
            grid = [mp.mpf(10) ** x for x in range(-11, 7)]
            falls = [a for a in grid if slope(a) <= 0 < slope(a / 10)]
            assert not falls, (best, falls)
