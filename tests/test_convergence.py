"""Knowing when a run has converged: the noise floor, `until`, and the case that holds."""

import numpy as np
import pytest
from tiers import few

import elbo_ref as er
from elbo_ref import guides
from elbo_ref.coordinates import Coordinates
from elbo_ref.objectives.protocol import Task
from elbo_ref.objectives.trace import Trace

PAIRS = er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50])
TWO = er.Counts([3, 5], [10, 20])
TRIALS = er.Counts.shared([0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0], 1)
FLOORS = [
    pytest.param("beta", PAIRS, True, 0.02, 10, "trace", None, marks=pytest.mark.slow),
    pytest.param("beta", PAIRS, True, 0.005, 1, "trace", None, marks=pytest.mark.slow),
    pytest.param("normal", TWO, False, 0.02, 5, "trace", None, marks=pytest.mark.thorough),
    pytest.param("beta", TWO, False, 0.02, 5, "trace", None, marks=pytest.mark.thorough),
    pytest.param("beta_shared", TWO, False, 0.02, 5, "trace", None, marks=pytest.mark.slow),
    ("tied", TWO, "concentration1", 0.02, 5, "trace", None),
    pytest.param(
        "conjugate_detached", PAIRS, True, 0.005, 10, "trace", None, marks=pytest.mark.slow
    ),
    pytest.param("beta", TWO, False, 0.02, 5, "trace_mean_field", None, marks=pytest.mark.slow),
    pytest.param("beta", TWO, False, 0.01, 5, "score_function", None, marks=pytest.mark.slow),
    pytest.param("beta", PAIRS, True, 0.005, 10, "trace", 30, marks=pytest.mark.slow),
    pytest.param("beta", TRIALS, False, 0.02, 5, "trace", 5, marks=pytest.mark.thorough),
]


def best_of(guide, counts, learned):
    return er.maximize_elbo(
        counts, guide, "exact", er.Beta(2.0, 5.0), learned,
        er.ClippedAdam(lr=0.1, lrd=0.998), num_steps=4000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("guide", "counts", "learned", "lr", "particles", "loss", "subsample_size"), FLOORS
)
def test_the_noise_floor_is_where_runs_end(
    guide, counts, learned, lr, particles, loss, subsample_size
):
    """lr/4 sum sigma_i against the mean shortfall of a long run, within a factor of 2."""
    best = best_of(guide, counts, learned)
    assert best.stopped == "converged"
    start = best.guide if guide in ("beta", "normal") else guide
    run = er.maximize_elbo(
        counts, start, loss, best.prior, learned, er.Adam(lr=lr),
        num_steps=5000, num_particles=particles, rng=1, subsample_size=subsample_size,
    )  # fmt: skip
    shortfall = np.mean(best.objective - run.objectives[-3500:])
    assert 0.5 < shortfall / run.noise_floor < 2, (shortfall, run.noise_floor)
    assert er.diagnose(run).case in ("noise floor", "climbing")


@pytest.mark.parametrize(
    "name", few(["beta", "normal", "empty", "tied", "beta_shared", "delta"], 2)
)
def test_the_variance_behind_it(name):
    """Against samples of Trace, z-scores with |z| < 5.1; nothing random has none."""
    counts = er.Counts([3, 5, 1], [10, 20, 4], multiplicity=[1, 2, 0])
    guide, rng = guides.find(name), np.random.default_rng(0)
    size = 1 if guide.shared else 3
    space = Coordinates(Task(guide, counts), er.Beta(2.0, 3.0), True, guide.start(None, size))
    prior, own = space.split(space.start + rng.normal(0.2, 0.3, space.start.size))
    rows = [Trace().step(space.task, prior, own, 1, rng) for _ in range(4000)]
    sample = np.array([[*step.prior, *step.own.ravel()] for step in rows])
    by_prior, by_own = Trace().gradient_variance(space.task, prior, own)
    wanted = np.array([*by_prior, *by_own.ravel()])
    away = (sample - sample.mean(axis=0)) ** 2
    error = np.maximum(away.std(axis=0) / np.sqrt(len(rows)), 1e-12)
    assert (np.abs(away.mean(axis=0) - wanted) / error < 5.1).all()


def test_until_converged_stops_at_a_maximum():
    settings = {"prior": er.Beta(2.0, 5.0), "learn_prior": False, "optimizer": er.Adam(lr=0.05)}
    run = er.maximize_elbo(TWO, "beta", "exact", num_steps=20_000, until="converged", **settings)
    assert run.stopped == "converged" and len(run.losses) == run.num_steps < 5000
    assert er.diagnose(run).case == "converged"
    same = er.maximize_elbo(TWO, "beta", "exact", num_steps=len(run.losses), **settings)
    assert same.to_json() == run.to_json()


def test_until_converged_stops_at_the_noise_floor():
    run = er.maximize_elbo(
        TWO, "beta", "trace", er.Beta(2.0, 5.0), False, er.Adam(lr=0.02),
        num_steps=20_000, num_particles=5, until="converged",
    )  # fmt: skip
    assert len(run.losses) == run.num_steps < 20_000 and run.stopped in ("completed", "converged")
    seen = er.diagnose(run)
    assert seen.case == "noise floor" and seen.shortfall <= 2 * run.noise_floor


def test_a_run_that_does_not_converge_makes_all_its_steps():
    run = er.maximize_elbo(er.Counts(0, 20), "beta", "exact", num_steps=300, until="converged")
    assert len(run.losses) == 300 and er.diagnose(run).case == "drifting"
    with pytest.raises(ValueError, match="until = 'tired' is not None or 'converged'"):
        er.maximize_elbo(TWO, until="tired")


def test_the_cases():
    far = er.maximize_elbo(PAIRS, "beta", "exact", optimizer=er.Adam(lr=0.1), num_steps=30)
    seen = er.diagnose(far)
    assert seen.case == "climbing" and "exact steps from its maximum" in seen.summary()
    needed = er.maximize_elbo(
        PAIRS, far.guide, "exact", far.prior, optimizer=far.optimizer,
        num_steps=seen.steps_needed + 1,
    )  # fmt: skip
    assert -needed.losses[-1] >= seen.objective_supremum - 1e-3 > -needed.losses[-2]
    assert er.diagnose(er.maximize_elbo(TWO, "empty", "exact", num_steps=50)).case == "unbounded"
    assert er.diagnose(er.maximize_elbo(TWO, "delta", "exact", num_steps=50)).case == "unbounded"
    assert er.diagnose(er.maximize_elbo(TWO, "tied", "exact", num_steps=50)).case == "drifting"
    for loss in ("renyi", er.ScoreFunction(baseline="leave_one_out")):
        run = er.maximize_elbo(TWO, "beta", loss, num_steps=20, num_particles=2)
        assert run.noise_floor is None and er.diagnose(run).to_json()


@pytest.mark.slow
@pytest.mark.parametrize(
    "guide", ["beta", "normal", "delta", "laplace", "conjugate_detached", "none"]
)
def test_an_average_is_nearer_than_the_end(guide):
    """Over the noisy half of a run; without noise it is between its rows."""
    learned = guide == "conjugate_detached"
    counts = PAIRS if learned else TWO
    best = best_of(guide, counts, learned)
    start = best.guide if guide in ("beta", "normal", "delta", "none") else guide
    runs = [
        er.maximize_elbo(
            counts, start, "trace", best.prior, learned, er.Adam(lr=0.02),
            num_steps=2000, num_particles=2, rng=seed,
        )
        for seed in range(4)
    ]  # fmt: skip

    def away(value):
        return np.abs(np.asarray(value.mean) - np.asarray(best.guide.mean)).max()

    ends, averages = (
        np.mean([away(value(run)) for run in runs])
        for value in (lambda run: run.guide, lambda run: run.average(0.8).guide)
    )
    assert averages < ends / 2 or ends < 1e-2 * np.mean(best.guide.mean)
    assert away(runs[0].average(1e-4).guide) == pytest.approx(away(runs[0].guide), rel=1e-12)


def test_an_average_is_checked():
    run = er.maximize_elbo(TWO, "tied", num_steps=5)
    assert run.average().guide == run.average().prior
    with pytest.raises(ValueError, match=r"last = 0 must lie in \(0, 1\]"):
        run.average(last=0)


def test_a_rate_that_falls(tmp_path):
    """`ExponentialLR` is Adam with lr gamma^t; saved, described, and back."""
    falling = er.ExponentialLR(er.Adam(lr=0.1, betas=(0.8, 0.99)), gamma=0.97)
    x, state = np.array([1.0, -2.0]), falling.init(np.zeros(2))
    y, other = x, falling.init(np.zeros(2))
    for t in range(30):
        gradient = np.sin(x + t)
        x, state = falling.update(state, x, gradient)
        y, other = er.Adam(0.1 * 0.97**t, betas=(0.8, 0.99)).update(other, y, gradient)
        np.testing.assert_array_equal(x, y)
    run = er.maximize_elbo(TWO, "beta", "exact", optimizer=falling, num_steps=40)
    er.save_run(run, tmp_path / "run.npz")
    again = er.load_run(tmp_path / "run.npz")
    assert again.to_json() == run.to_json() and again.optimizer == falling
    assert run.to_dict()["settings"]["optimizer"]["gamma"] == 0.97
    with pytest.raises(ValueError, match=r"gamma = 1.5 must lie in \(0, 1\]"):
        er.ExponentialLR(er.Adam(), gamma=1.5)
    with pytest.raises(TypeError, match="optimizer must be an Adam"):
        er.ExponentialLR(er.ClippedAdam(), 0.9)
