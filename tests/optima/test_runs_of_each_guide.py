"""Where runs of each guide end, against the optima that are derived for them."""

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref import guides
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import objective_value
from elbo_ref.optima.find import find_optimum
from elbo_ref.report import sentences
from kinds import SEVERAL, SINGLE
from tiers import few

NAMES = ["beta_shared", "conjugate", "conjugate_detached", "delta", "normal", "laplace"]
LEARNED = [False, True, "concentration1", "concentration0"]


def tier(name, learned):
    """Runs under a fixed prior arrive early: the default tier has these, but for the slowest."""
    if not learned and name != "normal":
        return ()
    long = name == "normal" and isinstance(learned, str)
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
    """`find_optimum` is derived from formulas, the run from gradients: they share no code."""
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
        ([0], [4], (0.5, 2), "c = 0", np.inf),
        ([4], [4], (2, 0.5), "c = 1", np.inf),
        ([0], [0], (0.5, 0.5), "both", np.inf),
        ([0], [0], (1, 1), "flat", 0.0),
        ([0], [4], (1, 2), "c = 0", np.log(2.0)),
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
@pytest.mark.parametrize("learned", few([True, "concentration0"]))
def test_a_saved_run_goes_on(name, learned, tmp_path):
    whole, half = (
        er.maximize_elbo(SEVERAL, name, learn_prior=learned, num_steps=n, num_particles=2)
        for n in (40, 20)
    )
    er.save_run(half, tmp_path / "run.npz")
    again = er.load_run(tmp_path / "run.npz").resume(num_steps=20)
    assert again.to_json() == whole.to_json() and again.guide == whole.guide
