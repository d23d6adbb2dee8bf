"""Knowing when a run has converged: the noise floor, `until`, and the case that holds."""

import functools

import numpy as np
import pytest
from scipy import linalg

import elbo_ref as er
from elbo_ref import guides
from elbo_ref.crosscheck.findings import OPTIMUM
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact
from elbo_ref.objectives.trace import Trace
from elbo_ref.optima.find import find_optimum
from elbo_ref.svi.convergence import (
    ARRIVED,
    NEGLIGIBLE,
    Maximum,
    NoiseFloor,
    _ascend,
    _Profile,
    find_floor,
    find_goal,
    maximum_uphill,
)
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


# -- the ascent, on functions whose tops are known -------------------------------------------------


class Known:
    """A profile given by its value, slope and curvature; no value beyond `edge`."""

    def __init__(self, value, slope, curvature, edge=np.inf):
        self._value, self._slope, self._curvature, self.edge = value, slope, curvature, edge
        self.seen = []

    def at(self, x):
        self.seen.append(np.array(x))
        known = np.abs(x).max() <= self.edge
        return Maximum(float(self._value(x)), np.array(x), np.zeros(0)) if known else None

    def slope(self, prior, _params):
        return np.asarray(self._slope(prior), float)

    def curvature(self, x):
        return np.atleast_2d(np.asarray(self._curvature(x), float))

    def is_top(self, direction, close, x, value):
        return _Profile.is_top(self, direction, close, x, value)


def parabola(top, steep=1.0, edge=np.inf):
    return Known(
        lambda x: -steep * (x[0] - top) ** 2 / 2,
        lambda x: -steep * (x - top),
        lambda x: -steep,
        edge,
    )


def test_an_ascent_takes_longer_steps_while_they_rise():
    """A step is no longer than the reach, 2 at first and doubled by each step that it cuts."""
    profile = parabola(100.0)
    top = _ascend(profile, np.zeros(1))
    assert top.prior == pytest.approx([100.0], rel=1e-12)
    path = [float(x[0]) for x in profile.seen[:7]]
    assert path == pytest.approx([0, 2, 6, 14, 30, 62, 100])
    assert _ascend(parabola(1.9), np.zeros(1)).prior == pytest.approx([1.9])


def test_a_step_that_falls_is_cut_to_a_quarter():
    """log cosh, whose Newton steps overshoot; and where nothing is known beyond an edge."""
    for scale in (1.0, 40.0):
        profile = Known(
            lambda x, scale=scale: -scale * np.log(np.cosh(x[0])),
            lambda x, scale=scale: -scale * np.tanh(x),
            lambda x, scale=scale: -scale / np.cosh(x) ** 2,
        )
        assert _ascend(profile, np.array([1.5])).prior == pytest.approx([0.0], abs=1e-6)
    profile = parabola(4.0, edge=4.0 + 9.0)
    assert _ascend(profile, np.array([-3.0])).prior == pytest.approx([4.0])
    cut = parabola(1.0, edge=0.5)
    assert _ascend(cut, np.zeros(1)) is None
    lengths = np.diff([float(x[0]) for x in cut.seen])
    assert len(cut.seen) > 10 and np.abs(lengths).max() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("value", "slope", "curvature", "start", "top"),
    [
        (lambda x: x[0], lambda x: [1.0], lambda x: 0.0, 0.0, False),
        (lambda x: -np.exp(-x[0]), lambda x: np.exp(-x), lambda x: -np.exp(-x[0]), 0.0, False),
        (lambda x: 0.0, lambda x: [0.0], lambda x: 0.0, 0.0, True),
        (lambda x: x[0] ** 2, lambda x: 2 * x, lambda x: 2.0, 0.0, False),
        (lambda x: x[0] ** 2, lambda x: 2 * x, lambda x: 2.0, 0.3, False),
        (lambda x: 0.0, lambda x: [0.0], lambda x: np.nan, 0.0, False),
        (lambda x: -(x[0] ** 2), lambda x: -2 * x, lambda x: -2.0, 0.3, True),
    ],
)
def test_what_is_a_top(value, slope, curvature, start, top):
    """What is flat both ways is; no endless slope, one that levels off, a pit, or the unknown."""
    with np.errstate(all="ignore"):
        found = _ascend(Known(value, slope, curvature), np.array([start]))
    assert (found is not None) == top


def test_a_saddle_is_left_by_its_rising_side():
    """A curvature that is not negative counts by its size: up to the two tops of a double well."""
    profile = Known(
        lambda x: x[0] ** 2 - x[0] ** 4 / 2 - x[1] ** 2,
        lambda x: [2 * x[0] - 2 * x[0] ** 3, -2 * x[1]],
        lambda x: [[2 - 6 * x[0] ** 2, 0.0], [0.0, -2.0]],
    )
    for side in (1.0, -1.0):
        top = _ascend(profile, np.array([0.01 * side, 0.5]))
        assert top.prior == pytest.approx([side, 0.0], abs=1e-5)
    assert _ascend(profile, np.zeros(2)) is None


@pytest.mark.parametrize("guide", ["beta", "normal", "conjugate_detached"])
def test_curvature_is_that_of_the_profile(guide):
    """By second differences of its values; symmetric."""
    family = guides.find(guide)
    profile = _Profile(Task(family, RATS), np.array([[2.0], [9.0]]), slice(0, 2))
    x, h = np.log([2.0, 9.0]), 1e-2
    if guide == "conjugate_detached":  # its slope is not that of a value: by differences of it
        rows = []
        for shift in 1e-4 * np.eye(2):
            ends = (profile.at(x + shift), profile.at(x - shift))
            rows.append((profile.slope(*ends[0][1:]) - profile.slope(*ends[1][1:])) / 2e-4)
        wanted = (np.array(rows) + np.array(rows).T) / 2
    else:
        value = {
            (i, j): profile.at(x + h * np.array([i, j])).value
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        }
        cross = value[1, 1] - value[1, -1] - value[-1, 1] + value[-1, -1]
        wanted = (
            np.array(
                [
                    [value[1, 0] - 2 * value[0, 0] + value[-1, 0], cross / 4],
                    [cross / 4, value[0, 1] - 2 * value[0, 0] + value[0, -1]],
                ]
            )
            / h**2
        )
    np.testing.assert_allclose(profile.curvature(x), wanted, rtol=3e-3)


def test_the_range_in_which_a_maximum_is_looked_for():
    """Both ends are in it."""
    profile = _Profile(Task(guides.find("beta"), TWO), np.array([[2.0], [9.0]]), slice(0, 1))
    low, high = np.log([1e-12, 1e15])
    for x in (low, high, 0.0):
        assert profile.at(np.array([x])) is not None
    for x in (low - 1e-9, high + 1e-9, np.nan):
        assert profile.at(np.array([x])) is None


def test_the_goal_is_the_noise_at_the_top():
    """The sum of the deviations there over sqrt P; at most the prior's and one latent's."""
    space = space_of("beta", RATS, er.Beta(2.0, 9.0), True)
    top = maximum_uphill(space, space.start)
    std = space.gradient_std(Trace(), top.prior, top.params)
    assert std.size == 2 + 2 * len(RATS)
    goal = find_goal(space, Trace(), space.start, 4.0)
    own = std[2:].reshape(2, -1).sum(axis=0)
    assert goal.value == top.value
    assert goal.noise == pytest.approx(std.sum() / 2, rel=1e-12)
    assert goal.largest == pytest.approx((std[:2].sum() + own.max()) / 2, rel=1e-12)
    assert goal.floor(0.1) == pytest.approx((0.025 * goal.noise, 0.025 * goal.largest))
    assert find_floor(space, Trace(), space.start, 4.0, 0.1) == goal.floor(0.1)
    assert find_floor(space, Exact(), space.start, 1, 0.1) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("floor", "allowance", "holds"),
    [
        (NoiseFloor(0.0, 0.0), 0.0, True),
        (NoiseFloor(np.inf, 0.1), np.inf, True),
        (NoiseFloor(0.3, 0.3), 0.3 * 10.827566170662733, True),
        (NoiseFloor(0.3, 0.6), 0.3 * 10.827566170662733, False),
        (NoiseFloor(1.0, 0.5), 0.5 * 13.815510557964274, True),
        (NoiseFloor(5.0, 0.1), 10.0, True),
        (NoiseFloor(200.0, 0.5), 400.0, True),
        (NoiseFloor(1.0, np.nextafter(0.5, 1)), None, False),
    ],
)
def test_what_a_floor_allows(floor, allowance, holds):
    """1 in 1000 of a chi-square of floor/largest degrees, 1 at least; twice the floor at least."""
    assert floor.holds == holds
    if allowance is not None:
        assert floor.allowance == pytest.approx(allowance, rel=1e-8)
        assert floor.allows(floor.allowance) == holds
        assert not floor.allows(np.nextafter(floor.allowance, np.inf)) or np.isinf(allowance)


@pytest.mark.parametrize(("value", "top"), [(0.0, True), (-7.0, True), (1e6, True)])
@pytest.mark.parametrize(("share", "moves"), [(-0.9, True), (0.0, True), (0.9, True), (1.1, False)])
def test_a_step_that_falls_by_rounding_is_a_step(value, top, share, moves):
    """By up to 1e-11 of 1 and the size of the value; a function that is flat is at a top then."""
    fall = share * 1e-11 * (1 + abs(value))
    profile = Known(lambda x: value - fall * (x[0] < 0.5), lambda x: -x, lambda x: -1.0)
    with np.errstate(all="ignore"):
        found = _ascend(profile, np.ones(1))
    assert (found is not None) == (moves and top)


@pytest.mark.parametrize("value", [0.0, -7.0, 1e6])
@pytest.mark.parametrize(("share", "flat"), [(0.9, True), (1.1, False)])
def test_how_flat_a_direction_is(value, share, flat):
    """Eight away in either direction, within 1e-11 of 1 and the size of the value: a top anyway."""
    room = share * 1e-11 * (1 + abs(value))
    profile = Known(lambda x: value - room * (abs(x[0]) > 5), lambda x: x, lambda x: 1.0)
    for close in (False, True):
        at_top = profile.is_top(np.ones(1), close, np.zeros(1), value)
        assert at_top == (flat or close)
    assert [float(x[0]) for x in profile.seen] == [-8.0, 8.0] * 2
    beyond = Known(lambda x: value, lambda x: x, lambda x: 1.0, edge=7.0)
    assert not beyond.is_top(np.ones(1), False, np.zeros(1), value)
    uneven = Known(lambda x: value - (x[0] > 5), lambda x: x, lambda x: 1.0)
    assert not uneven.is_top(np.ones(1), True, np.zeros(1), value)
