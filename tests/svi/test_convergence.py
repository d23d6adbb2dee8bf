"""Knowing when a run has converged: the noise floor, `until`, and the case that holds."""

import functools

import numpy as np
import pytest
from scipy import linalg

import elbo_ref as er
from elbo_ref import guides
from elbo_ref.crosscheck.findings import OPTIMUM
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.trace import Trace
from elbo_ref.optima.find import find_optimum
from elbo_ref.svi.convergence import ARRIVED, NEGLIGIBLE, NoiseFloor, find_floor, maximum_uphill
from elbo_ref.svi.parameters import NAMES, ParameterVector
from elbo_ref.svi.stationarity import stationarity
from kinds import OVERDISPERSED as PAIRS
from tiers import few

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


@functools.cache
def best_of(guide, counts, learned):
    return er.maximize_elbo(
        counts, guide, loss="exact", prior=er.Beta(2.0, 5.0), learn_prior=learned,
        optimizer=er.ClippedAdam(lr=0.1, lrd=0.998), num_steps=4000,
    )  # fmt: skip


@pytest.mark.thorough
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
        counts, start, loss=loss, prior=best.prior, learn_prior=learned, optimizer=er.Adam(lr=lr),
        num_steps=5000, num_particles=particles, rng=1, subsample_size=subsample_size,
    )  # fmt: skip
    shortfall = np.mean(best.objective - run.objectives[-3500:])
    assert 0.5 < shortfall / run.noise_floor < 2, (shortfall, run.noise_floor)
    assert er.diagnose(run).case in ("converged", "noise_floor", "not_converged")
    beyond = np.mean(best.objective - run.objectives[1500:] > run.floor.allowance)
    assert beyond < 0.01, f"{beyond} of the steps at the floor are farther away than allowed"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", few(["beta", "normal", "empty", "tied", "beta_shared", "delta"], 2)
)
def test_the_variance_behind_it(name):
    """Against samples of Trace, z-scores with |z| < 5.1; nothing random has none."""
    counts = er.Counts([3, 5, 1], [10, 20, 4], multiplicity=[1, 2, 0])
    guide, rng = guides.find(name), np.random.default_rng(0)
    size = 1 if guide.shared else 3
    space = ParameterVector(Task(guide, counts), er.Beta(2.0, 3.0), True, guide.start(None, size))
    prior, own = space.split(space.start + rng.normal(0.2, 0.3, space.start.size))
    rows = [Trace().step(space.task, prior, own, 1, rng) for _ in range(4000)]
    sample = np.array([[*step.prior, *step.params.ravel()] for step in rows])
    by_prior, by_own = Trace().gradient_variance(space.task, prior, own)
    wanted = np.array([*by_prior, *by_own.ravel()])
    away = (sample - sample.mean(axis=0)) ** 2
    error = np.maximum(away.std(axis=0) / np.sqrt(len(rows)), 1e-12)
    assert (np.abs(away.mean(axis=0) - wanted) / error < 5.1).all()


def test_until_converged_stops_at_a_maximum():
    settings = {"prior": er.Beta(2.0, 5.0), "learn_prior": False, "optimizer": er.Adam(lr=0.05)}
    run = er.maximize_elbo(
        TWO, "beta", loss="exact", num_steps=20_000, until="converged", **settings
    )
    assert run.stopped == "converged" and len(run.losses) == run.num_steps < 5000
    assert er.diagnose(run).case == "converged"
    same = er.maximize_elbo(TWO, "beta", loss="exact", num_steps=len(run.losses), **settings)
    assert same.to_json() == run.to_json()


@pytest.mark.thorough
def test_until_converged_stops_at_the_noise_floor():
    run = er.maximize_elbo(
        TWO, "beta", loss="trace", prior=er.Beta(2.0, 5.0), learn_prior=False,
        optimizer=er.Adam(lr=0.02), num_steps=20_000, num_particles=5, until="converged",
    )  # fmt: skip
    assert len(run.losses) == run.num_steps < 20_000 and run.stopped in ("completed", "converged")
    seen = er.diagnose(run)
    assert seen.case == "noise_floor" and run.floor.allows(seen.shortfall)


# -- the floor is that at the maximum --------------------------------------------------------------

RATS = er.datasets.load("rat_tumors")
FOUR = er.Counts([180, 214, 9998600, 10001900], [2100, 2100, 20_000_000, 20_000_000])
TWO_OF_MANY = er.Counts([3, 0, 7, 12, 1], [10, 4, 7, 40, 20])
STARTS = [er.Beta(1.0, 1.0), er.Beta(0.05, 20.0), er.Beta(300.0, 2.0)]


def space_of(guide, counts, prior, learned):
    family = guides.find(guide)
    size = 1 if family.shared else len(counts)
    return ParameterVector(Task(family, counts), prior, learned, family.start(None, size))


@pytest.mark.parametrize("start", few(STARTS))
@pytest.mark.parametrize(
    ("guide", "counts", "learned"),
    [
        *((guide, RATS, True) for guide in ("beta", "normal", "conjugate", "conjugate_detached")),
        ("beta", PAIRS, "concentration1"),
        ("beta", er.Counts([0, 1], 1, multiplicity=[40, 30]), True),
        ("beta_shared", TWO, "concentration0"),
        ("tied", TWO, "concentration1"),
        ("delta", TWO, "concentration1"),
        ("beta", FOUR, True),
        *((guide, TWO, False) for guide in ("beta", "beta_shared", "normal", "laplace", "none")),
    ],
)
def test_the_maximum_is_found_without_the_oracle(guide, counts, learned, start):
    """From anywhere, and where the oracle (`optima`) has it; single trials have a ridge."""
    space = space_of(guide, counts, start, guides.find(guide).has_prior and learned)
    top = maximum_uphill(space, space.start)
    wanted = find_optimum(guides.find(guide), counts, start, learned)
    assert wanted.attained and top.value == pytest.approx(wanted.value, rel=1e-9)
    if not learned:
        model = er.Beta(*map(float, top.prior[:, 0]))
        at = ParameterVector(space.task, model, False, space.task.guide.unconstrain(top.params))
        assert stationarity(at, at.start).holds


@pytest.mark.parametrize("start", few(STARTS))
@pytest.mark.parametrize(
    ("guide", "counts"),
    [
        ("beta", er.Counts(3, 10)),
        ("beta", er.Counts([5, 5, 6], 10)),
        ("beta", er.Counts(0, 5000)),
        ("tied", RATS),
        ("empty", RATS),
        ("none", er.Counts([0, 3], 10)),
    ],
)
def test_where_there_is_no_maximum_there_is_no_floor(guide, counts, start):
    learned = guides.find(guide).has_prior
    space = space_of(guide, counts, start, learned)
    assert maximum_uphill(space, space.start) is None
    assert find_floor(space, Trace(), space.start, 1, 0.01) is None


def test_the_floor_does_not_depend_on_where_the_run_is():
    early, late = (
        er.maximize_elbo(RATS, optimizer=er.Adam(lr=0.1), num_steps=steps, num_particles=10)
        for steps in (3, 100)
    )
    assert early.noise_floor == pytest.approx(late.noise_floor, rel=1e-6)
    assert 2.5 < late.noise_floor < 2.8  # lr/4 sum sigma_i / sqrt(P) at the maximum
    slow = er.ExponentialLR(er.Adam(lr=0.1), gamma=0.5)
    falling = er.maximize_elbo(RATS, optimizer=slow, num_steps=3, num_particles=10)
    assert falling.noise_floor == pytest.approx(early.noise_floor / 8, rel=1e-6)


@pytest.mark.parametrize(
    "weights", few([[1.0], [1, 1], [1, 0.5, 0.1], [1] * 5, [1] * 40, [1, *[0.05] * 30]], 4)
)
def test_what_is_allowed_is_exceeded_once_in_a_thousand_times(weights):
    """A sum of weighted chi-squares, 2e5 times: at most 0.1 %, z < 5; of equal ones nearly that."""
    rng, size = np.random.default_rng(3), 200_000
    shortfall = sum(w * rng.chisquare(1, size) for w in weights)
    floor = NoiseFloor(float(np.sum(weights)), float(max(weights)))
    beyond = np.mean(shortfall > floor.allowance)
    assert beyond < 1e-3 + 5 * np.sqrt(1e-3 / size)
    if len(set(weights)) == 1 and floor.allowance > 2 * floor.nats:
        assert beyond > 1e-3 - 5 * np.sqrt(1e-3 / size)


@pytest.mark.parametrize(("largest", "allowed"), [(0.4, True), (0.6, False), (30.0, False)])
def test_steps_that_are_too_long_have_no_floor(largest, allowed):
    """The floor is of first order in the learning rate, which a nat of one direction is not."""
    floor = NoiseFloor(40 * largest, largest)
    assert floor.allows(40 * largest) == allowed


def test_the_largest_share_is_a_bound():
    """Against the stationary covariance itself, of random Hessians and noise (Lyapunov)."""
    rng = np.random.default_rng(5)
    for _ in range(50):
        root, noise = rng.normal(size=(2, 4, 4))
        hessian, covariance = root @ root.T, noise @ noise.T
        sigma = np.sqrt(np.diag(covariance))
        step = np.diag(1 / sigma)
        stationary = linalg.solve_continuous_lyapunov(step @ hessian, step @ covariance @ step)
        shares = np.linalg.eigvals(hessian @ stationary).real / 2
        assert shares.sum() == pytest.approx(sigma.sum() / 4)
        assert shares.max() <= sigma.sum() / 4 * (1 + 1e-9)
        scaled = covariance / np.sqrt(np.outer(sigma, sigma))
        assert shares.max() <= np.linalg.eigvalsh(scaled).max() / 4 * (1 + 1e-9)


def checked(run, losses=None):
    """The finding about the optimum, of a cross-check of a run of ours, and the verdict."""
    params = {f"prior.{name}": getattr(run.prior, name) for name in NAMES}
    params |= {f"guide.{name}": getattr(run.guide, name) for name in NAMES}
    verdict = er.cross_check(
        run.counts, params, loss=run.loss_name, num_particles=run.config.num_particles,
        losses=losses, optimizer=run.config.optimizer,
    )  # fmt: skip
    kinds = (*OPTIMUM, "at_optimum")
    (found,) = (finding for finding in verdict.findings if finding.name in kinds)
    return found, verdict


@pytest.mark.parametrize(
    ("counts", "lr", "steps", "particles", "case", "name", "code"),
    [
        *few(
            [
                (FOUR, 0.1, 40, 1, "not_converged", "not_converged", 3),
                (RATS, 0.1, 300, 10, "noise_floor", "noise_floor", 3),
                (RATS, 0.01, 300, 10, "not_converged", "not_converged", 3),
                (RATS, 2.0, 400, 100, "not_converged", "not_converged", 3),
                (TWO_OF_MANY, 0.02, 1500, 10, "noise_floor", "at_optimum", 5),
            ]
        ),
    ],
)
def test_who_is_at_a_maximum(counts, lr, steps, particles, case, name, code):
    """Diagnosis and cross-check agree, and a maximum never lacks half a nat.

    No losses were handed in: at a maximum there is still too little to call the numbers genuine.
    """
    run = er.maximize_elbo(
        counts, optimizer=er.Adam(lr=lr), num_steps=steps, num_particles=particles
    )
    seen, (found, verdict) = er.diagnose(run), checked(run)
    assert (seen.case, found.name, verdict.exit_code) == (case, name, code)
    assert (found.status == "agrees") == (name == "at_optimum")
    if "They are at a maximum" in verdict.paragraph:
        assert seen.shortfall <= NEGLIGIBLE
        assert run.floor.allows(seen.shortfall)


@pytest.mark.thorough
def test_the_floor_is_that_of_the_last_step_s_rate():
    """A rate that has fallen too soon: what is missing is not noise, nor is it said to be."""
    falling = er.ClippedAdam(lr=0.3, lrd=0.98)
    run = er.maximize_elbo(er.Counts([3, 0, 7, 4, 5], [10, 4, 9, 8, 11]), optimizer=falling,
                           num_steps=600)  # fmt: skip
    found, _ = checked(run, run.losses)
    assert (er.diagnose(run).case, found.name) == ("not_converged", "not_converged")
    assert found.allowance < run.floor.allowance + 2e-3 < 0.01


STATES = {
    "converged": ("converged: ", "practically there: "),
    "noise_floor": ("at its noise floor: ",),
    "not_converged": ("not converged: ", "far from converged: "),
    "drifting": ("not converged: ", "far from converged: ", "practically there: "),
}


@pytest.mark.parametrize("loss", few(["trace", "exact", "trace_mean_field"], 2))
@pytest.mark.parametrize("guide", ["beta", "conjugate_detached", "normal", "none", "tied"])
@pytest.mark.parametrize(("lr", "steps"), few([(0.01, 20), (0.3, 60), (0.1, 400)]))
def test_case_and_sentence_say_the_same(guide, loss, lr, steps):
    run = er.maximize_elbo(PAIRS, guide, loss=loss, optimizer=er.Adam(lr=lr), num_steps=steps)
    seen = er.diagnose(run)
    if seen.case != "unbounded" and not np.isnan(seen.optimum.value):
        assert any(f", {state}" in seen.sentence for state in STATES[seen.case]), seen.sentence
    assert seen.case != "noise_floor" or run.floor.allows(seen.shortfall)
    assert seen.case != "not_converged" or seen.shortfall > ARRIVED


@pytest.mark.parametrize(
    ("counts", "guide", "loss", "learned", "particles", "size", "seed"),
    [
        *(
            pytest.param(*row, marks=pytest.mark.thorough)
            for row in [
                (RATS, "beta", "trace", True, 10, None, 0),
                (RATS, "beta", "trace", True, 10, None, 1),
                (RATS, "beta", "trace", True, 1, None, 2),
                (RATS, "beta", "trace", True, 10, 10, 3),
                (PAIRS, "beta", "score_function", True, 5, None, 5),
                (PAIRS, "beta", "sticking_the_landing", True, 5, None, 6),
                (PAIRS, "beta", "trace", True, 5, 30, 7),
                (RATS, "normal", "trace", True, 1, None, 4),
                (RATS, "conjugate_detached", "trace", True, 1, None, 4),
                (TWO, "beta_shared", "trace", False, 2, None, 8),
            ]
        ),
        (TWO, "normal", "trace", False, 2, None, 9),
        (TWO, "tied", "trace", "concentration1", 2, None, 10),
    ],
)
def test_until_converged_ends_within_what_the_floor_allows(
    counts, guide, loss, learned, particles, size, seed
):
    run = er.maximize_elbo(
        counts, guide, loss=loss, prior=er.Beta(2.0, 5.0), learn_prior=learned,
        optimizer=er.Adam(lr=0.02), num_steps=10_000, num_particles=particles,
        rng=seed, until="converged", subsample_size=size,
    )  # fmt: skip
    seen = er.diagnose(run)
    assert len(run.losses) < 10_000, "it did not end"
    assert seen.case in ("noise_floor", "converged")
    assert seen.shortfall <= max(run.floor.allowance, ARRIVED)


def test_a_run_that_does_not_converge_makes_all_its_steps():
    run = er.maximize_elbo(er.Counts(0, 20), "beta", loss="exact", num_steps=300, until="converged")
    assert len(run.losses) == 300 and er.diagnose(run).case == "drifting"
    with pytest.raises(ValueError, match="until = 'tired' is not None or 'converged'"):
        er.maximize_elbo(TWO, until="tired")


@pytest.mark.thorough
def test_the_cases():
    far = er.maximize_elbo(PAIRS, "beta", loss="exact", optimizer=er.Adam(lr=0.1), num_steps=30)
    seen = er.diagnose(far)
    assert seen.case == "not_converged" and "exact steps from its maximum" in seen.summary()
    needed = er.maximize_elbo(
        PAIRS, far.guide, loss="exact", prior=far.prior, optimizer=far.config.optimizer,
        num_steps=seen.steps_needed + 1,
    )  # fmt: skip
    assert -needed.losses[-1] >= seen.optimum.value - 1e-3 > -needed.losses[-2]
    assert (
        er.diagnose(er.maximize_elbo(TWO, "empty", loss="exact", num_steps=50)).case == "unbounded"
    )
    assert (
        er.diagnose(er.maximize_elbo(TWO, "delta", loss="exact", num_steps=50)).case == "unbounded"
    )
    assert er.diagnose(er.maximize_elbo(TWO, "tied", loss="exact", num_steps=50)).case == "drifting"
    for loss in ("renyi", er.ScoreFunction(baseline="leave_one_out")):
        run = er.maximize_elbo(TWO, "beta", loss=loss, num_steps=20, num_particles=2)
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
            counts, start, loss="trace", prior=best.prior, learn_prior=learned,
            optimizer=er.Adam(lr=0.02), num_steps=2000, num_particles=2, rng=seed,
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
    run = er.maximize_elbo(TWO, "beta", loss="exact", optimizer=falling, num_steps=40)
    er.save_run(run, tmp_path / "run.npz")
    again = er.load_run(tmp_path / "run.npz")
    assert again.to_json() == run.to_json() and again.config.optimizer == falling
    assert run.to_dict()["settings"]["optimizer"]["gamma"] == 0.97
    with pytest.raises(ValueError, match=r"gamma = 1.5 must lie in \(0, 1\]"):
        er.ExponentialLR(er.Adam(), gamma=1.5)
    with pytest.raises(TypeError, match="optimizer must be an Adam"):
        er.ExponentialLR(er.ClippedAdam(), 0.9)
