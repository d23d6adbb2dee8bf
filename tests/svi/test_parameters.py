"""`svi.parameters`: one vector, its names and ranges, and the settings that make it."""

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref import guides
from elbo_ref.guides.constraints import ANY_REAL, find_constraint
from elbo_ref.objectives.base import Task
from elbo_ref.svi.config import checked_config
from elbo_ref.svi.parameters import ParameterVector, check_learned, learned_rows

COUNTS = er.Counts([3, 0, 7], [10, 4, 9])
POSITIVE = "[1e-12, 1e+15]"
REAL = f"[{ANY_REAL[0]:g}, {ANY_REAL[1]:g}]"
PRIOR = [("prior.concentration1", POSITIVE), ("prior.concentration0", POSITIVE)]


def space_of(guide, learned=True, positive="positive"):
    family = guides.find(guide).under(find_constraint(positive))
    start = family.start(None, 1 if family.shared else 3)
    task = Task(family, COUNTS)
    return ParameterVector(task, er.Beta(2.0, 5.0), learned, start, find_constraint(positive))


def of_guide(*rows, latents=3):
    return [(f"guide.{name}[{i}]", limits) for name, limits in rows for i in range(latents)]


BETA = (("concentration1", POSITIVE), ("concentration0", POSITIVE))
SPACES = {
    ("beta", True): PRIOR + of_guide(*BETA),
    ("beta", False): of_guide(*BETA),
    ("beta", "concentration0"): PRIOR[1:] + of_guide(*BETA),
    ("beta_shared", "concentration1"): PRIOR[:1] + of_guide(*BETA, latents=1),
    ("normal", True): PRIOR + of_guide(("loc", REAL), ("scale", POSITIVE)),
    ("normal", False): of_guide(("loc", REAL), ("scale", POSITIVE)),
    ("tied", True): PRIOR,
}


@pytest.mark.parametrize(("guide", "learned"), SPACES)
def test_names_and_ranges_in_the_order_of_the_vector(guide, learned):
    space, wanted = space_of(guide, learned), SPACES[guide, learned]
    assert [(space.name(i), space.range(i)) for i in range(space.start.size)] == wanted


@pytest.mark.parametrize(("guide", "learned"), SPACES)
@pytest.mark.parametrize("positive", ["positive", "softplus_positive"])
def test_the_first_parameter_outside_its_range(guide, learned, positive):
    """Up to an end none is outside; past it the first that is, and what is no number.

    The range of a softplus is told to a part of its longer side, 1e15, in float64.
    """
    space = space_of(guide, learned, positive)
    assert space.outside(space.start) is None
    for i in range(space.start.size):
        soft = positive != "positive" or "scale" in space.name(i)
        ends, room = (np.log([1e-12, 1e15]), 1e-6) if not soft else ([-27.6, 1e15], 0.02)
        ends, room = (ANY_REAL, 1e-6) if space.range(i) == REAL else (ends, room)
        for end in ends:
            vector = space.start.copy()
            vector[i] = end * (1 - room)
            assert space.outside(vector) is None, (i, end)
            vector[i] = end * (1 + room)
            vector[i + 1 :] = np.inf
            assert space.outside(vector) == i, (i, end)
        vector[i] = np.nan
        assert space.outside(vector) == i


def test_splitting_one_vector_and_many():
    """Rows are split as each is alone; the scale of a normal guide is a softplus, as in Pyro."""
    for positive, function in (
        ("positive", np.exp),
        ("softplus_positive", lambda x: np.logaddexp(0, x)),
    ):
        space = space_of("normal", "concentration0", positive)
        vectors = space.start + np.random.default_rng(0).normal(0, 0.3, (4, space.start.size))
        priors, params = space.split_rows(vectors)
        assert (priors.shape, params.shape) == ((2, 4, 1), (2, 4, 3))
        for i, vector in enumerate(vectors):
            prior, own = space.split(vector)
            np.testing.assert_array_equal(priors[:, i], prior)
            np.testing.assert_array_equal(params[:, i], own)
            np.testing.assert_allclose(prior[:, 0], [2.0, function(vector[0])], rtol=1e-14)
            np.testing.assert_allclose(own[0], vector[1:4], rtol=1e-14)
            np.testing.assert_allclose(own[1], np.logaddexp(0, vector[4:]), rtol=1e-14)
        np.testing.assert_array_equal(space.free_guide(vectors[0]), vectors[0, 1:].reshape(2, 3))


@pytest.mark.parametrize("positive", ["positive", "softplus_positive"])
@pytest.mark.parametrize("guide", ["beta", "normal", "tied", "delta"])
def test_the_gradient_is_that_of_the_value(guide, positive):
    """By central differences, also where one concentration is held."""
    for learned in (True, "concentration1", False):
        if guide == "tied" and learned is False:
            continue
        space = space_of(guide, learned, positive)
        vector = space.start + np.random.default_rng(1).normal(0, 0.2, space.start.size)
        slopes = [
            (space.value(vector + shift) - space.value(vector - shift)) / 2e-5
            for shift in 1e-5 * np.eye(vector.size)
        ]
        np.testing.assert_allclose(space.exact_gradient(vector), slopes, rtol=1e-6, atol=1e-7)


def test_what_is_learned():
    for learned, rows in ((True, [0, 1]), (False, []), ("concentration1", [0])):
        check_learned(learned)
        assert learned_rows(learned) == rows
    with pytest.raises(TypeError, match="learn_prior must be True, False or a name, not 1"):
        check_learned(1)
    with pytest.raises(ValueError, match="learn_prior"):
        check_learned("concentration")


# -- the settings ----------------------------------------------------------------------------------


def config(**changes):
    settings = {
        "counts": COUNTS,
        "guide": "beta",
        "loss": "trace",
        "prior": er.Beta(2.0, 5.0),
        "learn_prior": True,
        "optimizer": er.Adam(lr=0.1),
        "num_particles": 1,
        "rng": 3,
        "constraint": "positive",
        "subsample_size": None,
    }
    return checked_config(**(settings | changes))


@pytest.mark.parametrize("name", ["num_particles", "subsample_size"])
def test_one_is_the_least(name):
    assert getattr(config(**{name: 1}), name) == 1
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"{name} = {wrong} must be at least 1"):
            config(**{name: wrong})


def test_a_subsample_is_no_larger_than_the_data():
    assert config(subsample_size=3).subsample_size == 3
    with pytest.raises(ValueError, match="subsample_size"):
        config(subsample_size=4)


@pytest.mark.parametrize(
    ("rng", "seed"), [(3, 3), (np.int64(7), 7), (np.random.default_rng(0), None)]
)
def test_a_seed_is_kept_and_a_generator_has_none(rng, seed):
    found = config(rng=rng)
    assert (found.seed, type(found.seed)) == (seed, type(seed))


def test_settings_as_plain_values():
    found = config(loss=er.ScoreFunction(0.5), subsample_size=2, rng=np.random.default_rng(0))
    assert found.document(12) == {
        "constraint": "positive",
        "guide": "beta",
        "learn_prior": True,
        "loss": "score_function",
        "loss_settings": {"baseline": 0.5},
        "num_particles": 1,
        "num_steps": 12,
        "optimizer": {
            "name": "Adam",
            "lr": 0.1,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0.0,
            "amsgrad": False,
        },
        "start": {"concentration1": 2.0, "concentration0": 5.0},
        "subsample_size": 2,
        "seed": None,
        "seed_reason": "draws came from a generator that was given",
    }
    plain = config().document(1)
    assert plain["seed"] == 3 and "loss_settings" not in plain
    assert plain["subsample_size_reason"] == "every particle sees everything"


def test_rows_are_as_long_as_the_parameters_or_the_latents():
    assert config().row_size == 8
    assert config(guide="tied").row_size == 3
    assert config(counts=er.Counts(3, 10), guide="tied").row_size == 2


@pytest.mark.parametrize("guide", ["none", "tied"])
def test_nothing_to_learn(guide):
    if guide == "none":
        assert config(guide=guide, learn_prior=False).learn_prior is False
        assert config(guide=guide).learn_prior is False
        return
    with pytest.raises(
        ValueError, match="guide='tied' with learn_prior=False has nothing to learn"
    ):
        config(guide=guide, learn_prior=False)


def test_a_guide_that_starts_outside():
    words = r"guide\.concentration1\[1\] must start in \[1e-12, 1e\+15\]"
    with pytest.raises(ValueError, match=words):
        config(guide=er.Beta([1.0, 1e16, 1.0], 1.0))
    with pytest.raises(ValueError, match=r"prior\.concentration0 must start in"):
        config(prior=er.Beta(1.0, 1e-13))


# -- what a run says of its end --------------------------------------------------------------------


def test_the_deviation_of_one_loss():
    """(E5) with the tilt of the exact posterior, over the square root of the particles."""
    run = er.maximize_elbo(COUNTS, prior=er.Beta(2.0, 5.0), num_steps=4, num_particles=3)
    a, b = run.guide.arrays()
    p, q = (float(x) for x in run.prior.arrays())
    tilt1, tilt0 = p + COUNTS.successes - a, q + COUNTS.failures - b
    trigamma = special.polygamma
    variance = tilt1**2 * trigamma(1, a) + tilt0**2 * trigamma(1, b)
    variance -= (tilt1 + tilt0) ** 2 * trigamma(1, a + b)
    assert run.step_std == pytest.approx(np.sqrt(variance.sum() / 3), rel=1e-9)
