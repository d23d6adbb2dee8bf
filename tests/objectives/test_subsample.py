"""Minibatches: unbiased, with the noise that the closed form says, and refused where meaningless.

z-scores: |z| < 5.1, 3e-7 each; fixed seeds. Beside them stands a planted fault.
"""

import json

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref import guides, objectives
from elbo_ref.cli import fit
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, objective_value
from elbo_ref.objectives.subsample import Subsampled
from elbo_ref.svi.checkpoint import load_run, save_run
from kinds import SEVERAL

SINGLE = er.Counts.shared([0, 1, 0, 0, 1, 1, 0, 0, 0], 1)
PRIOR = np.array([[6.0], [2.5]])
LOGITS = [0.3, 1.0, 2.0, -0.5, -1.0]
LOSSES = ("trace", "trace_mean_field", "sticking_the_landing", "score_function")
NAMES = (
    "beta", "beta_shared", "normal", "laplace", "delta", "none",
    "tied", "empty", "conjugate", "conjugate_detached",
)  # fmt: skip
LIMIT, STEPS = 5.1, 1000


def own_of(name, counts):
    outcomes = np.array([counts.successes, counts.failures], dtype=float)
    size = len(counts)
    return {
        "beta": (PRIOR + outcomes) * [[1.3], [0.8]],
        "beta_shared": np.array([[5.0], [6.0]]),
        "normal": np.array([LOGITS, [0.4, 0.9, 0.7, 0.3, 0.6]])[:, :size],
        "conjugate": outcomes,
        "conjugate_detached": outcomes,
        "tied": np.zeros((0, size)),
        "empty": np.zeros((0, size)),
    }.get(name, np.array([LOGITS])[:, :size])


def applies(loss, name):
    if loss == "score_function":
        return name in ("beta", "beta_shared", "normal")
    return not (loss == "trace_mean_field" and name == "empty")


RARE = ("sticking_the_landing", "trace_mean_field")
CASES = [
    pytest.param(counts, loss, name, marks=[pytest.mark.slow] if loss in RARE else [])
    for counts in (SEVERAL, SINGLE)
    for loss in LOSSES
    for name in NAMES
    if applies(loss, name)
]


def task_of(name, loss, counts):
    return Task(objectives.find(loss).adapted(guides.find(name)), counts)


def rows_of(counts, loss, name, size, particles=1, steps=STEPS):
    """[prior gradient, own gradient, value] of many steps."""
    task, own = task_of(name, loss, counts), own_of(name, counts)
    objective, rng = Subsampled(objectives.find(loss), size), np.random.default_rng(3)
    found = (objective.step(task, PRIOR, own, particles, rng) for _ in range(steps))
    return np.array([[*s.prior, *s.params.ravel(), s.value] for s in found])


def exactly(counts, loss, name):
    task, own = task_of(name, loss, counts), own_of(name, counts)
    step = Exact().step(task, PRIOR, own, 1, np.random.default_rng(0))
    value = objective_value(task, er.Beta(*PRIOR), own)
    return np.array([*step.prior, *step.params.ravel(), value])


def z_of_mean(rows, wanted):
    size = np.maximum(rows.std(axis=0) / np.sqrt(len(rows)), 1e-11 * np.abs(wanted).max())
    return np.abs(rows.mean(axis=0) - wanted) / size


def z_of_variance(rows, wanted):
    """The variances are right to three digits, so that much is allowed."""
    squares = (rows - rows.mean(axis=0)) ** 2
    error = np.maximum(squares.std(axis=0) / np.sqrt(len(rows)), 1e-20)
    return np.maximum(np.abs(squares.mean(axis=0) - wanted) - 1e-3 * wanted, 0) / error


@pytest.mark.thorough
@pytest.mark.parametrize(("counts", "loss", "name"), CASES)
def test_unbiased_and_as_noisy_as_predicted(counts, loss, name):
    rows, wanted = rows_of(counts, loss, name, 2), exactly(counts, loss, name)
    task, own = task_of(name, loss, counts), own_of(name, counts)
    objective = Subsampled(objectives.find(loss), 2)
    variance = objective.variance(task, er.Beta(*PRIOR), own)
    by_prior, by_own = objective.gradient_variance(task, PRIOR, own)
    variances = [*by_prior, *by_own.ravel(), variance]
    assert (z_of_mean(rows, wanted) < LIMIT).all()
    assert (z_of_variance(rows, np.array(variances)) < LIMIT).all()
    if name == "beta":  # negative controls
        assert z_of_mean(rows, 1.3 * wanted).max() > LIMIT
        whole = objectives.find(loss).variance(task, er.Beta(*PRIOR), own)
        assert z_of_variance(rows[:, -1:], whole) > LIMIT
        by_prior, by_own = objectives.find(loss).gradient_variance(task, PRIOR, own)
        whole = np.concatenate([by_prior, by_own.ravel()])
        assert loss == "score_function" or (z_of_variance(rows[:, :-1], whole) > LIMIT).any()


@pytest.mark.thorough
@pytest.mark.parametrize("counts", [SEVERAL, SINGLE])
def test_particles_have_batches_of_their_own(counts):
    """So that ten have a tenth of the variance."""
    task, own = task_of("beta", "trace", counts), own_of("beta", counts)
    variance = Subsampled(objectives.find("trace"), 2).variance(task, er.Beta(*PRIOR), own)
    values = rows_of(counts, "trace", "beta", 2, particles=10, steps=3000)[:, -1:]
    assert z_of_variance(values, variance / 10) < LIMIT


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("counts", [SEVERAL, SINGLE])
def test_a_batch_of_everything_has_the_variance_of_the_whole(counts, name):
    task, own, prior = task_of(name, "trace", counts), own_of(name, counts), er.Beta(*PRIOR)
    everything = 7 if counts is SEVERAL else 9
    whole = objectives.find("trace").variance(task, prior, own)
    found = Subsampled(objectives.find("trace"), everything).variance(task, prior, own)
    assert found == pytest.approx(whole, rel=1e-12)


def test_a_run_is_resumed_and_says_what_it_is(tmp_path):
    settings = {"num_particles": 3, "subsample_size": 4, "optimizer": er.Adam(lr=0.05)}
    whole = er.maximize_elbo(SEVERAL, num_steps=60, **settings)
    save_run(er.maximize_elbo(SEVERAL, num_steps=25, **settings), tmp_path / "run.npz")
    resumed = load_run(tmp_path / "run.npz").resume(35)
    assert resumed.to_json() == whole.to_json()
    assert whole.config.subsample_size == 4 and "subsample size 4" in whole.summary()
    assert whole.to_dict()["settings"]["subsample_size"] == 4
    assert not np.array_equal(whole.losses, er.maximize_elbo(SEVERAL, num_steps=60).losses)


def test_the_command_takes_it(capsys):
    options = "--example rat_tumors --guide beta --num-steps 5 --subsample-size 10"
    more = "--constraint softplus_positive --json"
    assert fit.main(f"{options} {more}".split()) == 0
    (diagnosis,) = json.loads(capsys.readouterr().out)["diagnoses"]
    settings = diagnosis["run"]["settings"]
    assert settings["subsample_size"] == 10 and settings["constraint"] == "softplus_positive"
    with pytest.raises(SystemExit):
        fit.main(["--example", "rat_tumors", "--subsample-size", "72"])
    assert "subsample_size = 72 exceeds the 71 latents" in capsys.readouterr().err


def test_what_is_refused():
    def run(counts, **settings):
        er.maximize_elbo(counts, num_steps=1, **settings)

    with pytest.raises(ValueError, match='subsample_size is not for loss="exact"'):
        run(SEVERAL, loss="exact", subsample_size=2)
    with pytest.raises(ValueError, match='subsample_size is not for loss="renyi"'):
        run(SEVERAL, loss="renyi", subsample_size=2)
    with pytest.raises(ValueError, match="subsample_size = 8 exceeds the 7 latents"):
        run(SEVERAL, subsample_size=8)
    with pytest.raises(ValueError, match="subsample_size = 10 exceeds the 9 observations"):
        run(SINGLE, subsample_size=10)
    with pytest.raises(ValueError, match="must be single trials"):
        run(er.Counts.shared([3, 4], [10, 5]), subsample_size=1)
    with pytest.raises(ValueError, match="2000000000 observations are more than can be drawn from"):
        run(er.Counts(0, 2 * 10**9), subsample_size=10)
    with pytest.raises(ValueError, match="subsample_size = 0 must be at least 1"):
        run(SEVERAL, subsample_size=0)
    with pytest.raises(TypeError, match="subsample_size must be an int"):
        run(SEVERAL, subsample_size=2.0)
    loss = er.ScoreFunction(baseline="leave_one_out")
    with pytest.raises(ValueError, match="needs at least 2 particles"):
        run(SEVERAL, loss=loss, num_particles=4, subsample_size=2)


def test_batches_of_very_many_trials():
    """The coefficients of many single trials are 0 to the rounding of large logarithms."""
    trials = np.zeros(200_003, int)
    trials[:80_001] = 1
    counts = er.Counts.shared(trials, 1)
    assert counts.log_split[0] < -1e5
    run = er.maximize_elbo(counts, num_steps=2, subsample_size=100)
    assert np.isfinite(run.losses).all()


def test_a_batch_of_very_many_latents():
    """10^12 equal latents, of which each particle sees 100."""
    counts = er.Counts([3, 4], 10, multiplicity=[10**12, 10**12])
    run = er.maximize_elbo(counts, num_steps=20, subsample_size=100)
    assert run.stopped == "completed" and np.isfinite(run.losses).all()


def test_the_forum_data_in_batches():
    """The successes of a batch of 5000 zeros are 0: batches add no noise at all."""
    settings = {"num_steps": 50, "num_particles": 10, "optimizer": er.Adam(lr=0.1)}
    run = er.maximize_elbo(er.datasets.load("forum"), subsample_size=100, **settings)
    whole = er.maximize_elbo(er.datasets.load("forum"), **settings)
    assert run.prior.concentration0 > 1 > run.prior.concentration1
    assert whole.step_std == pytest.approx(
        Subsampled(objectives.find("trace"), 100).variance(
            Task(guides.find("beta"), whole.counts),
            whole.prior,
            np.array(whole.guide.arrays()),
        )
        ** 0.5
        / 10**0.5,
        rel=1e-12,
    )
