"""The losses of a whole run beside its last parameters."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.loss_course import losses_rise, of_other_parameters
from loss_models import elbo_losses, model_of

RISING = {
    "far, without noise": (200, 2.0, 0.0, True),
    "not by half a nat": (200, 0.4, 0.0, False),
    "far beside the noise": (400, 20.0, 2.0, True),
    "within the noise": (400, 20.0, 40.0, False),
    "not at all": (400, -20.0, 2.0, False),
    "too few": (199, 20.0, 0.0, False),
}


@pytest.mark.parametrize("case", RISING)
def test_losses_that_rise(case):
    """By tenths of the run, from the lowest of them to the last."""
    size, by, noise, said = RISING[case]
    fall = np.exp(-np.arange(size) / 10.0) * 50.0
    losses = fall + by * np.linspace(0.0, 1.0, size)
    losses += np.random.default_rng(0).normal(0.0, noise, size)
    rise = losses_rise(losses)
    assert [x.name for x in rise] == ["moved_away"] * said
    if case == "far beside the noise":
        assert rise[0].quantity.startswith("the losses from step 40 on were 1")


K, N = np.array([3, 11, 1, 7, 19, 4, 0, 9]), np.array([10, 20, 6, 9, 31, 14, 5, 12])
NAMES = {f"{owner}.concentration{i}": f"{owner}{i}" for owner in ("prior", "guide") for i in "10"}


def late_mean(shift, size=200, slope=0.0, mistaken=False, wander=0.5):
    """Losses of one model with a shift, that fall by a slope in each step."""
    losses = elbo_losses(np.random.default_rng(1), size) + shift
    losses += slope * np.arange(size)[::-1]
    return of_other_parameters(model_of(), losses, wander, mistaken=mistaken)


def test_last_losses_of_other_parameters():
    """Six standard errors, and twice what noise moves parameters by, are no accident."""
    model = model_of()
    spread = np.std(elbo_losses(np.random.default_rng(2), 4000)) / np.sqrt(40)
    assert late_mean(0.0) == [] == late_mean(4 * spread)
    (found,) = late_mean(12 * spread + 3.0)
    assert (found.name, found.status) == ("last_losses", "note")
    assert late_mean(12 * spread + 3.0, wander=20.0) == []
    assert late_mean(12 * spread + 3.0, size=59) == []
    assert of_other_parameters(model, np.zeros(0), 0.5, mistaken=False) == []


def test_losses_that_still_fall_move_their_parameters():
    """Twice the fall of the last 40 losses is allowed for."""
    assert late_mean(0.0, slope=2.0) == []


@pytest.mark.parametrize("mistaken", [False, True])
def test_a_store_of_an_earlier_step(mistaken):
    """The losses about it are found; beside a mistake nothing is said where there are none."""
    fall = np.r_[np.full(60, 40.0), np.linspace(40.0, 0.0, 60), np.zeros(180)] - 20.0
    losses = elbo_losses(np.random.default_rng(3), 300) + fall
    (found,) = of_other_parameters(model_of(), losses, 0.5, mistaken=mistaken)
    where = found.quantity if mistaken else found.of
    step = int(where.partition("about step ")[2].split()[0])
    assert 80 <= step <= 100
    assert bool(found.of) == (not mistaken)
    apart = losses + 500.0
    assert len(of_other_parameters(model_of(), apart, 0.5, mistaken=mistaken)) == (not mistaken)


@pytest.mark.thorough
def test_losses_without_coefficients_are_compared_as_they_are_meant():
    """The note says what they leave out; then the last ones are no others."""
    counts = er.Counts(K, N)
    run = er.maximize_elbo(counts, guide="beta", optimizer=er.Adam(lr=0.05), num_steps=400, rng=1)
    prior, own = run.prior.arrays(), run.guide_parameters[:, -1]
    store = dict(zip(NAMES.values(), (*prior, *own), strict=True))
    drawn = elbo_losses(np.random.default_rng(2), 30, counts, own, np.ravel(prior))
    apart = float(counts.log_coefficient.sum())
    verdict = er.cross_check(
        counts, store, names=NAMES, losses=np.array(run.losses) + apart, evaluations=drawn + apart
    )
    notes = {x.name for x in verdict.having("note")}
    assert verdict.genuine and "meaning" in notes and "last_losses" not in notes


@pytest.mark.thorough
def test_runs_beside_their_stores_of_the_end_and_of_step_ten():
    """As somebody hands them in, six runs: no word of the one; of the other the step, mostly."""
    counts, optimizer, said = er.Counts(K, N), er.Adam(lr=0.05), {10: [], 400: []}
    for seed in range(6):
        settings = {"guide": "beta", "optimizer": optimizer, "rng": seed}
        runs = {steps: er.maximize_elbo(counts, num_steps=steps, **settings) for steps in said}
        for steps, run in runs.items():
            values = (*run.prior.arrays(), *run.guide_parameters[:, -1])
            store = dict(zip(NAMES.values(), values, strict=True))
            losses = np.array(runs[400].losses)
            verdict = er.cross_check(counts, store, names=NAMES, losses=losses)
            said[steps] += [x.of for x in verdict.having("note") if x.name == "last_losses"]
    assert said[400] == [] and len(said[10]) >= 4
    found = [int(x.partition("about step ")[2].split()[0]) for x in said[10] if "about" in x]
    assert len(found) >= 3 and max(found) <= 40
