"""The loop: what a run's numbers mean, how it ends, and where it goes.

On data whose evidence has a maximum, a Beta guide run to convergence ends at the Beta-Binomial MLE
(E4, E11); on data without one, no exact run of an ELBO ever passes the supremum, and an empty guide
does (E7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import autograd
import autograd.numpy as np_
import numpy as np
import pytest
from autograd.scipy.special import betaln, psi
from hypothesis import assume, given, settings, strategies as st

import elbo_ref as er
from elbo_ref import guides, objectives
from elbo_ref.mle.result import maximize_evidence
from elbo_ref.svi import loop
from tiers import few

FORUM = er.datasets.load("forum")
FAST = er.Adam(lr=0.1)
EIGHT = er.Counts([0, 1, 3, 7, 2, 2, 9, 5], [3, 4, 9, 8, 2, 6, 15, 5])


def exact(counts, guide="beta", num_steps=100, optimizer=FAST, **options):
    return er.maximize_elbo(
        counts, guide=guide, loss="exact", optimizer=optimizer, num_steps=num_steps, **options
    )


def prior_row(run, i):
    a, b = run.history.prior.arrays()
    return er.Beta(a[i], b[i])


def guide_row(run, i):
    a, b = run.history.guide.arrays()
    return er.Beta(a[i], b[i])


@pytest.mark.parametrize("counts", [FORUM, EIGHT, er.Counts([1, 2], 4, multiplicity=[3, 0])])
def test_losses_belong_to_the_rows_before_the_update(counts):
    run = exact(counts, num_steps=7)
    assert len(run.history) == len(run.losses) + 1 == 8
    for i, loss in enumerate(run.losses):
        wanted = -er.elbo(guide_row(run, i), prior_row(run, i), counts)
        assert loss == pytest.approx(wanted, rel=1e-13), i
    assert (prior_row(run, 0), prior_row(run, -1)) == (er.Beta(1.0, 1.0), run.prior)
    assert guide_row(run, -1) == run.guide
    assert run.objective == pytest.approx(er.elbo(run.guide, run.prior, counts), rel=1e-13)


def test_losses_of_an_empty_guide():
    run = exact(EIGHT, "empty", num_steps=5)
    wanted = [-er.empty_guide_objective(prior_row(run, i), EIGHT) for i in range(5)]
    assert run.losses == pytest.approx(wanted, rel=1e-13)
    assert run.guide is None
    assert run.history.guide is None


def test_tied_shows_the_prior_as_guide():
    run = exact(EIGHT, "tied", num_steps=5)
    assert run.guide == run.prior
    assert run.history.guide == run.history.prior


def test_no_latent_is_the_classical_mle():
    run = exact(EIGHT, "none", num_steps=3000)
    inner = (EIGHT.successes > 0) & (EIGHT.failures > 0)
    assert run.guide.mean[inner] == pytest.approx((EIGHT.successes / EIGHT.total_count)[inner])
    assert run.prior == er.Beta(1.0, 1.0)


@pytest.mark.parametrize("guide", ["beta", "empty", "tied"])
def test_the_first_adam_step_moves_every_parameter_by_lr(guide):
    run = exact(EIGHT, guide, num_steps=1, prior=er.Beta(2.0, 3.0))
    moved = np.log(run.prior.arrays()) - np.log([2.0, 3.0])
    assert np.abs(moved) == pytest.approx([0.1, 0.1], rel=1e-6)


@pytest.mark.parametrize("loss", ["exact", "trace"])
@pytest.mark.parametrize("guide", ["beta", "empty", "tied", "none"])
def test_a_run_can_be_handed_on(guide, loss):
    """Two halves without memory of moments: beta1 = beta2 = 0 makes Adam forget."""
    forgetful = er.Adam(lr=0.01, betas=(0.0, 0.0))
    rng = np.random.default_rng(5)

    def run(num_steps, prior, guide):
        return er.maximize_elbo(
            EIGHT,
            guide,
            loss=loss,
            prior=prior,
            learn_prior=True,
            optimizer=forgetful,
            num_steps=num_steps,
            num_particles=2,
            rng=rng,
        )

    first = run(4, er.Beta(2.0, 3.0), guide)
    again = first.guide if guide in ("beta", "none") else guide
    second = run(3, first.prior, again)
    rng = np.random.default_rng(5)
    whole = run(7, er.Beta(2.0, 3.0), guide)
    assert np.concatenate([first.losses, second.losses]) == pytest.approx(whole.losses, rel=1e-9)
    assert second.prior.arrays() == pytest.approx(np.array(whole.prior.arrays()), rel=1e-9)


def test_the_same_seed_gives_the_same_bytes():
    def run(rng):
        return er.maximize_elbo(EIGHT, num_steps=20, num_particles=3, rng=rng)

    same = [run(7), run(np.random.default_rng(7)), run(np.random.SeedSequence(7))]
    assert len({r.losses.tobytes() for r in same}) == 1
    assert len({r.prior for r in same}) == 1
    assert run(8).losses.tobytes() != same[0].losses.tobytes()


def test_swapping_successes_and_failures_swaps_the_path():
    run, swapped = exact(EIGHT), exact(er.Counts(EIGHT.failures, EIGHT.total_count))
    assert swapped.losses == pytest.approx(run.losses, rel=1e-12)
    a, b = run.prior.arrays()
    assert np.array(swapped.prior.arrays()) == pytest.approx(np.array([b, a]), rel=1e-10)


def test_equal_latents_as_a_multiplicity():
    """Adam looks at the sign of a gradient more than at its size, so eps must not matter."""
    exactly = er.Adam(lr=0.05, eps=1e-300)
    repeated = er.Counts([3, 3, 3, 1], [10, 10, 10, 4])
    merged = er.Counts([3, 1], [10, 4], multiplicity=[3, 1])
    one, other = (exact(counts, optimizer=exactly) for counts in (repeated, merged))
    assert other.losses == pytest.approx(one.losses, rel=1e-10)
    assert np.array(other.prior.arrays()) == pytest.approx(np.array(one.prior.arrays()), rel=1e-8)


# How runs end.


def test_empty_guide_on_the_forum_data_passes_the_supremum_and_runs_away():
    run = exact(FORUM, "empty", num_steps=1000)
    assert run.stopped == "unbounded"
    assert "prior.concentration1" in run.message
    assert int(np.argmax(-run.losses > 0.0)) == 141
    assert len(run.history) == len(run.losses) + 1
    assert 1e-12 <= run.prior.concentration1 < 2e-12
    assert np.isfinite(run.losses).all()


@pytest.mark.thorough
def test_without_the_stop_it_would_be_past_1e120_at_step_1000():
    """The same updates of J (E7) by autograd, with nothing to stop them."""

    def objective(x):
        a, b = np_.exp(x)
        s = a + b
        expected = (
            5000 * (psi(b) - psi(s)) + (a - 1) * (psi(a) - psi(s)) + (b - 1) * (psi(b) - psi(s))
        )
        return expected - betaln(a, b)

    gradient = autograd.grad(objective)
    x, state = np.zeros(2), FAST.init(np.zeros(2))
    passed = None
    for step in range(1000):
        if passed is None and objective(x) > 0:
            passed = step
        x, state = FAST.update(state, x, -gradient(x))
    assert passed == 141
    assert objective(x) > 1e120


@dataclass(frozen=True)
class InterruptedAdam(er.Adam):
    """Ctrl-C arrives during an update."""

    at: int = 5

    def update(self, state, parameters, gradient):
        if state.step == self.at:
            raise KeyboardInterrupt
        return super().update(state, parameters, gradient)


@pytest.mark.parametrize("loss", ["exact", "trace"])
def test_interrupted(loss):
    run = er.maximize_elbo(EIGHT, loss=loss, optimizer=InterruptedAdam(lr=0.1), num_steps=50)
    whole = er.maximize_elbo(EIGHT, loss=loss, optimizer=FAST, num_steps=5)
    assert run.stopped == "interrupted"
    assert run.losses.tobytes() == whole.losses.tobytes()
    assert run.prior == whole.prior


class Exploding:
    """An optimizer whose third update is not a number."""

    lr = 1.0

    def init(self, parameters):
        return 0

    def update(self, state, parameters, gradient):
        return (parameters + 0.1 if state < 2 else parameters * np.nan), state + 1


def test_what_is_not_finite_is_not_kept():
    run = exact(EIGHT, optimizer=Exploding(), num_steps=10)
    assert (run.stopped, len(run.losses), len(run.history)) == ("unbounded", 2, 3)
    assert run.prior.concentration1 == pytest.approx(np.exp(0.2))


class Leaving:
    """An objective that leaves float64 at its fourth evaluation."""

    name = "leaving"
    random = False

    def __init__(self):
        self.exact, self.calls = objectives.find("exact"), 0

    def adapted(self, guide):
        return guide

    def prepare(self, task, num_particles):
        pass

    def step(self, *arguments):
        self.calls += 1
        return self.exact.step(*arguments)._replace(value=np.inf if self.calls == 4 else 1.0)

    def rest(self, task, priors, owns):
        return np.zeros(owns.shape[1])


def test_an_objective_that_leaves_float64(monkeypatch):
    monkeypatch.setitem(objectives.OBJECTIVES, "leaving", Leaving())
    run = er.maximize_elbo(EIGHT, loss="leaving", optimizer=FAST, num_steps=9)
    assert (run.stopped, len(run.losses), len(run.history)) == ("unbounded", 3, 4)
    assert run.prior == exact(EIGHT, num_steps=3).prior
    assert "float64" in run.message


def test_completed_and_converged():
    short = exact(EIGHT, learn_prior=False, num_steps=50)
    long = exact(EIGHT, learn_prior=False, num_steps=2000)
    assert (short.stopped, long.stopped) == ("completed", "converged")
    posterior = er.posterior(er.Beta(1.0, 1.0), EIGHT)
    assert np.array(long.guide.arrays()) == pytest.approx(np.array(posterior.arrays()), rel=1e-4)
    assert long.stationarity.holds
    assert not short.stationarity.holds


def test_drifting_is_not_converged():
    """3 of 10, one latent: the supremum is the binomial's, at infinite concentration (E9)."""
    counts = er.Counts(3, 10)
    for scale in (1e3, 1e6, 1e8, 1e10):
        far = er.Beta(0.3 * scale, 0.7 * scale)
        for guide in ("tied", er.posterior(far, counts)):
            run = exact(counts, guide, prior=far, num_steps=3)
            assert run.stopped == "completed", (scale, run.message)


def test_guide_history_is_thinned(monkeypatch):
    whole = exact(EIGHT, num_steps=30)
    monkeypatch.setattr(loop, "GUIDE_HISTORY_BYTES", 1000)
    monkeypatch.setattr(loop, "_NUMBERS_AT_ONCE", 18 * 4)
    thin = exact(EIGHT, num_steps=30)
    steps = thin.history.guide_steps
    assert steps.tolist() == [0, 8, 16, 24, 30]
    assert thin.history.guide == er.Beta(*(x[steps] for x in whole.history.guide.arrays()))
    assert thin.history.prior == whole.history.prior
    assert thin.losses.tobytes() == whole.losses.tobytes()


def test_blocks_are_bounded_by_the_latents_too():
    """An empty guide has two parameters, however many latents its values are summed over."""
    many = er.Counts(np.arange(5000) % 7, 7)
    run = exact(many, "empty", num_steps=3)
    assert run.config.row_size == 5000
    assert run.config.parameters.start.size == 2


# Where runs go.


def settled(counts, num_steps=4000):
    """A Beta guide run to convergence with exact gradients.

    At a constant rate Adam does not stay at a maximum: as its second moment forgets, its steps
    grow until it is thrown off. So the rate decays, by ClippedAdam's lrd, with the clamp out of
    reach.
    """
    decaying = er.ClippedAdam(lr=0.1, lrd=0.01 ** (1 / num_steps), clip_norm=1e300)
    return exact(counts, num_steps=num_steps, optimizer=decaying)


def assert_at_the_mle(run, mle):
    assert run.stopped == "converged"
    assert np.array(run.prior.arrays()) == pytest.approx(np.array(mle.arrays()), rel=1e-5)
    assert er.log_evidence(run.prior, run.counts) == pytest.approx(run.objective, abs=1e-8)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", few(["rat_tumors", "alcohol_week1", "alcohol_week2", "chromosome", "litters_treated"])
)
def test_beta_guide_ends_at_the_mle_of_bundled_data(name):
    counts = er.datasets.load(name)
    assert_at_the_mle(settled(counts), maximize_evidence(counts).prior)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["saxony", "litters_control", "orobanche"])
def test_beta_guide_ends_at_the_mle_on_a_flat_ridge(name):
    """Where the concentrations are large a guide follows its prior slowly: start 5% off."""
    run, mle = from_nearby(name)
    assert_at_the_mle(run, mle)


@pytest.mark.thorough
def test_beta_guide_on_the_flattest_ridge():
    """Batting: 0.1% of the concentrations is 1e-8 nats, so the evidence is compared first."""
    run, mle = from_nearby("batting")
    assert er.log_evidence(mle, run.counts) - run.objective < 1e-6
    assert np.array(run.prior.arrays()) == pytest.approx(np.array(mle.arrays()), rel=5e-3)


def from_nearby(name):
    counts = er.datasets.load(name)
    mle = maximize_evidence(counts).prior
    near = er.Beta(1.05 * mle.concentration1, 0.95 * mle.concentration0)
    decaying = er.ClippedAdam(lr=0.02, lrd=1e-3 ** (1 / 12000), clip_norm=1e300)
    guide = er.posterior(near, counts)
    return exact(counts, guide, num_steps=12000, optimizer=decaying, prior=near), mle


@pytest.mark.thorough
@settings(max_examples=10)
@given(st.tuples(*[st.integers(5, 60)] * 3))
def test_beta_guide_ends_at_the_closed_form(seen):
    """(E11): n_y latents with y of 2; interior where 0 < rho < 1, kept away from both ends here."""
    n0, n1, n2 = seen
    n = n0 + n1 + n2
    m = (n1 + 2 * n2) / (2 * n)
    rho = 1 - n1 / (2 * n * m * (1 - m))
    assume(0.1 < rho < 0.9)
    s = 1 / rho - 1
    run = settled(er.Counts([0, 1, 2], 2, multiplicity=seen))
    assert_at_the_mle(run, er.Beta(m * s, (1 - m) * s))


def test_the_design_s_figure_for_n_2():
    run = settled(er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]))
    assert run.prior.arrays() == pytest.approx((0.549296, 0.464789), abs=1e-6)


WITHOUT_MAXIMUM = {
    "forum": FORUM,
    "one latent": er.Counts(3, 10),
    "colds_father": er.datasets.load("colds_father"),
    "all or none": er.Counts([0, 3, 4, 2], [5, 3, 4, 2]),
    "1:2:1": er.Counts([0, 1, 2], 2, multiplicity=[1, 2, 1]),
}


@pytest.mark.parametrize("guide", ["beta", "tied"])
@pytest.mark.parametrize("name", few(WITHOUT_MAXIMUM, 2))
def test_an_elbo_never_passes_the_supremum_and_climbs(name, guide):
    counts = WITHOUT_MAXIMUM[name]
    height = maximize_evidence(counts).log_evidence
    run = exact(counts, guide, num_steps=1500)
    assert (-run.losses <= height + 1e-12 * max(1.0, abs(height))).all()
    assert run.objective > -run.losses[300] > -run.losses[0]
    if guide == "beta":
        assert height - run.objective < 0.2 * (height + run.losses[0])


@pytest.mark.parametrize("name", WITHOUT_MAXIMUM)
def test_an_empty_guide_passes_it(name):
    counts = WITHOUT_MAXIMUM[name]
    run = exact(counts, "empty", num_steps=1500)
    assert (-run.losses).max() > maximize_evidence(counts).log_evidence


def test_trace_follows_the_exact_path():
    """With many particles; the noise of one is tested in test_objectives."""
    noisy = er.maximize_elbo(EIGHT, optimizer=FAST, num_steps=60, num_particles=400, rng=3)
    quiet = exact(EIGHT, num_steps=60)
    assert noisy.losses == pytest.approx(quiet.losses, abs=1.5)
    assert np.log(noisy.prior.arrays()) == pytest.approx(np.log(quiet.prior.arrays()), abs=0.1)


# The door.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": [1, 2]}, "counts must be a Counts, not list"),
        ({"guide": "gamma"}, "guide = 'gamma' is not one of 'beta', 'empty', 'tied', 'none'"),
        (
            {"guide": 3},
            "guide must be a name or one of Beta, LogitNormal, Delta, Parameter, not int",
        ),
        (
            {"guide": er.Beta([1.0, 2.0], 1.0)},
            "guide of shape (2,) fits neither () nor the 8 entries of counts",
        ),
        ({"loss": "elbo"}, "loss = 'elbo' is not one of 'exact', 'trace'"),
        ({"prior": 2.0}, "prior must be one Beta, not 2.0"),
        ({"prior": er.Beta([1.0], 1.0)}, "prior must be one Beta"),
        ({"prior": er.Beta(1e-20, 1.0)}, "prior.concentration1 must start in [1e-12, 1e+15]"),
        (
            {"guide": er.Beta(np.where(np.arange(8) == 3, 1e20, 1.0), 1.0)},
            "guide.concentration1[3] must start in [1e-12, 1e+15]",
        ),
        (
            {"learn_prior": "both"},
            "learn_prior = 'both' is not one of 'concentration1', 'concentration0'",
        ),
        (
            {"optimizer": "adam"},
            "optimizer must be an Adam, a ClippedAdam or an ExponentialLR, not 'adam'",
        ),
        ({"num_steps": 0}, "num_steps = 0 must be at least 1"),
        ({"num_steps": 1.5}, "num_steps must be an int, not float"),
        ({"num_particles": 0}, "num_particles = 0 must be at least 1"),
        (
            {"rng": None},
            "rng must be an int, a SeedSequence or a numpy.random.Generator, not NoneType",
        ),
        ({"rng": -1}, "rng = -1 must be at least 0"),
        (
            {"guide": "empty", "learn_prior": False},
            "guide='empty' with learn_prior=False has nothing to learn",
        ),
        ({"num_particles": 2_000_000}, 'use loss="exact"'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        er.maximize_elbo(**{"counts": EIGHT, "num_steps": 2, **options})
    assert message in str(caught.value)


def test_results_are_frozen():
    run = exact(EIGHT, num_steps=2)
    with pytest.raises(AttributeError):
        run.prior = None
    with pytest.raises(ValueError, match="read-only"):
        run.losses[0] = 0.0


def test_the_names_that_are_typed_are_those_that_are_known():
    assert get_args(guides.GuideName) == tuple(guides.GUIDES)
    assert get_args(objectives.LossName) == tuple(objectives.OBJECTIVES)
