"""Concentrations under exp and under softplus: other coordinates, the same objective."""

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref.guides.constraints import CONSTRAINTS, LARGEST, SMALLEST
from elbo_ref.svi.config import checked_config

COUNTS = er.Counts([3, 7, 12], [10, 9, 40])


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_map_and_inverse(name):
    positive = CONSTRAINTS[name]
    x = np.geomspace(SMALLEST, LARGEST, 400)
    free = positive.unconstrain(x)
    assert (np.diff(free) > 0).all()
    low, high = positive.range
    assert low == free[0] and high == free[-1]
    np.testing.assert_allclose(positive.constrain(free), x, rtol=1e-13)
    step = 1e-4 * np.maximum(np.abs(free), 1.0)
    difference = positive.constrain(free + step) - positive.constrain(free - step)
    np.testing.assert_allclose(positive.slope(x), difference / (2 * step), rtol=1e-5)


def test_softplus_is_softplus():
    free = np.array([-30.0, -1.0, 0.0, 2.0, 50.0])
    got = CONSTRAINTS["softplus_positive"].constrain(free)
    np.testing.assert_allclose(got, -special.log_expit(-free), rtol=1e-15)


@pytest.mark.parametrize("guide", ["beta", "beta_shared", "tied", "normal", "conjugate"])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_the_gradient_is_that_of_the_free_parameters(guide, constraint):
    """Against differences of the exact objective of runs that start a little aside."""
    config = checked_config(
        COUNTS, guide, loss="exact", prior=er.Beta(0.7, 4.0), learn_prior=True,
        optimizer=er.Adam(), num_particles=1, rng=0, constraint=constraint, subsample_size=None,
    )  # fmt: skip
    space, objective, rng = config.parameters, config.objective, np.random.default_rng(0)

    def value(vector):
        prior, own = space.split(vector)
        return objective.rest(space.task, er.Beta(*prior[:, None]), own[:, None])[0]

    start, step = space.start, 1e-5
    gradient, _ = space.gradient(objective, start, 1, rng)
    for i, shift in enumerate(np.eye(start.size) * step):
        difference = (value(start + shift) - value(start - shift)) / (2 * step)
        assert gradient[i] == pytest.approx(difference, rel=1e-7, abs=1e-8), space.name(i)


@pytest.mark.thorough
def test_both_end_at_the_same_maximum():
    """Under softplus later: a step is a number then, no factor, and the counts are large."""
    optimizer = er.ClippedAdam(lr=0.3, lrd=0.01 ** (1 / 20_000), clip_norm=1e300)
    ends = [
        er.maximize_elbo(
            COUNTS, loss="exact", optimizer=optimizer, num_steps=20_000, constraint=constraint
        )
        for constraint in CONSTRAINTS
    ]
    assert [run.stopped for run in ends] == ["converged", "converged"]
    one, other = (np.array([*run.prior.arrays(), *np.ravel(run.guide.arrays())]) for run in ends)
    np.testing.assert_allclose(one, other, rtol=1e-5)
    assert ends[0].losses[1] != ends[1].losses[1]


def test_a_run_says_it_and_goes_on(tmp_path):
    settings = {"guide": er.Beta(2.0, 3.0), "constraint": "softplus_positive"}
    whole = er.maximize_elbo(COUNTS, num_steps=40, **settings)
    er.save_run(er.maximize_elbo(COUNTS, num_steps=15, **settings), tmp_path / "run.npz")
    assert er.load_run(tmp_path / "run.npz").resume(25).to_json() == whole.to_json()
    assert whole.config.constraint == "softplus_positive"
    assert "constraint softplus_positive" in whole.summary()
    assert whole.to_dict()["settings"]["constraint"] == "softplus_positive"
    average = whole.average(last=1.0)
    free = CONSTRAINTS["softplus_positive"].unconstrain(np.array(whole.history.prior.arrays()))
    wanted = CONSTRAINTS["softplus_positive"].constrain(free.mean(axis=1))
    np.testing.assert_allclose(average.prior.arrays(), wanted, rtol=1e-12)


@pytest.mark.parametrize("constraint", ["exp", None, 1])
def test_only_known_constraints(constraint):
    with pytest.raises(ValueError, match="is not one of 'positive', 'softplus_positive'"):
        er.maximize_elbo(COUNTS, constraint=constraint)
