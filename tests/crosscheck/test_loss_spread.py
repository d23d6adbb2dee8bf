"""Spread of a run's last losses beside that of a loss at its final parameters.

Runs are `er.maximize_elbo`'s with Adam at 0.1, still moving fast. The false-alarm rate is 1e-3: no
alarm in the runs of these fixed seeds, nor in 834 others of every guide.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck import loss_spread
from elbo_ref.crosscheck.alignment import align
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.loss_spread import is_smooth, p_of_evaluations, spread_findings
from elbo_ref.guides import GUIDES as CATALOGUE
from elbo_ref.objectives import OBJECTIVES
from tiers import few

K = np.array([3, 11, 1, 7, 19, 4, 0, 9, 2, 12, 6, 5])
N = np.array([10, 20, 6, 9, 31, 14, 5, 12, 8, 30, 17, 6])
GUIDES = ["beta", "normal", "beta_shared", "empty", "tied"]
ROLES = ("prior.concentration1", "prior.concentration0")


def ran(guide, seed, *, particles=1, steps=80, size=12):
    """Parameters at the end of a run, and its losses."""
    run = er.maximize_elbo(
        er.Counts(K[:size], N[:size]),
        guide=guide,
        optimizer=er.Adam(lr=0.1),
        num_steps=steps,
        num_particles=particles,
        rng=seed,
    )
    a, b = run.prior.arrays()
    names = ("loc", "scale") if guide == "normal" else ("concentration1", "concentration0")
    own = dict(zip((f"guide.{x}" for x in names), run.guide_parameters[:, -1], strict=False))
    return dict(zip(ROLES, (a, b), strict=True)) | own, np.array(run.losses)


def verdict(guide, params, losses, particles=1, size=12, **options):
    counts = er.Counts(K[:size], N[:size])
    told = {} if particles is None else {"num_particles": particles}
    return er.cross_check(counts, params, guide=guide, losses=losses, **told, **options)


def spoken(found):
    return [x for x in found.findings if x.name == "spread" or "neighbours" in x.quantity]


def model_of(guide, params, particles, size):
    own = [x for role, x in params.items() if role.startswith("guide.")]
    return LossModel(
        counts=er.Counts(K[:size], N[:size]),
        guide=CATALOGUE[guide],
        loss=OBJECTIVES["trace"],
        num_particles=particles,
        prior=np.reshape([params[role] for role in ROLES], (2, 1, 1)),
        guide_parameters=np.array(own)[:, None] if own else np.zeros((0, 1, 1)),
        dtype="float64",
    )


def found_in(guide, params, losses, particles=1, size=12):
    """Findings on spread alone."""
    return spread_findings(model_of(guide, params, particles, size), losses, None, said=True)


@pytest.mark.parametrize("size", [1, 3, 12])
@pytest.mark.parametrize("guide", few(GUIDES, 2))
def test_negative_control_runs_that_still_move_fast(guide, size):
    for seed in range(3):
        params, losses = ran(guide, seed, size=size)
        assert not found_in(guide, params, losses, size=size), (guide, size, seed)


@pytest.mark.thorough
@pytest.mark.parametrize("size", [1, 3, 12])
@pytest.mark.parametrize("guide", GUIDES)
def test_no_false_alarm_in_many_runs(guide, size):
    for seed in range(100, 110):
        params, losses = ran(guide, seed, size=size, steps=60 + 12 * (seed % 10))
        assert not found_in(guide, params, losses, size=size), (guide, size, seed)


@pytest.mark.thorough
def test_losses_of_ten_particles_told_as_one():
    """May be another number of particles; a note where nobody said how many there were."""
    params, losses = ran("beta", 5, particles=10)
    found = verdict("beta", params, losses)
    assert (found.mistakes, found.having("mistake")[0].rivals) == (
        ("loss_mismatch",),
        ("wrong_num_particles",),
    )
    for told, status in ((None, "note"), (10, None)):
        again = verdict("beta", params, losses, told)
        assert not again.mistakes
        assert [x.status for x in spoken(again)] == [status] * (status is not None)


@pytest.mark.thorough
def test_a_note_does_not_hide_the_spread():
    """Whatever else is said of the parameters: here that one is a logarithm by its name."""
    params, losses = ran("beta", 5, particles=10)
    stored = {role: x for role, x in params.items() if role != ROLES[0]}
    stored["log_a"] = np.log(params[ROLES[0]])
    found = verdict("beta", stored, losses, names={ROLES[0]: "log_a"})
    assert "reading" in {x.name for x in found.having("note")}
    assert found.mistakes == ("loss_mismatch",)


@pytest.mark.thorough
def test_evaluations_of_many_particles_say_nothing_of_the_run_s():
    """Nobody said how many there were, and the run had one."""
    params, losses = ran("beta", 5)
    own = params["guide.concentration1"], params["guide.concentration0"]
    c = np.random.default_rng(2).beta(*own, (20, 50, K.size))
    joint = stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, *(params[x] for x in ROLES))
    means = -(joint - stats.beta.logpdf(c, *own)).sum(axis=2).mean(axis=1)
    losses[-1] = means.mean()  # by itself the last loss is no test of the others
    found = verdict("beta", params, losses, None, evaluations=means)
    assert not found.mistakes
    assert not spoken(found)
    assert "num_particles" in {x.name for x in found.having("note")}


@pytest.mark.parametrize("particles", [1, 3, None])
def test_losses_that_are_all_one_number_are_a_mistake(particles):
    """As of a state that no step replaces, or a seed that is set in every step."""
    params, losses = ran("beta", 5)
    found = verdict("beta", params, np.full_like(losses, losses[-1]), particles)
    (mistake,) = found.having("mistake")
    assert (mistake.name, mistake.theirs) == ("loss_mismatch", 0.0)
    assert "the seed, or the state, was the same" in mistake.reason


def test_nothing_is_said_of_a_spread_that_rounding_hides():
    """A millionth of a loss: of losses near 1e8 the deviation of a right one is less."""
    params, losses = ran("beta", 5)
    (found,) = found_in("beta", params, np.full_like(losses, 40.0))
    assert 1.0 < found.ours < 100.0
    assert found_in("beta", params, np.full_like(losses, 1e8)) == []


def test_losses_of_one_particle_told_as_fifty():
    (found,) = found_in("beta", *ran("beta", 5), 50)
    assert found.status == "mistake"
    assert found.theirs > 4 * found.ours


@pytest.mark.thorough
@pytest.mark.parametrize("particles", [1, None])
def test_smoothed_losses_are_those_of_no_number_of_particles(particles):
    """An exponential average, kept for the losses."""
    params, losses = ran("beta", 5, steps=300)
    smooth = [losses[0]]
    for loss in losses[1:]:
        smooth.append(0.99 * smooth[-1] + 0.01 * loss)
    smooth = np.array(smooth) - smooth[-1] + losses[-20:].mean()
    (found,) = spoken(verdict("beta", params, smooth, particles))
    assert (found.status, found.rivals) == ("mistake", ("smoothed_losses",))


def evaluated(params, size, rng, share=1.0, particles=1):
    """Evaluations of a normal guide at its parameters, whose spread is a share of its own."""
    loc, scale = params["guide.loc"], params["guide.scale"]
    y = rng.normal(loc, scale, (size, particles, loc.size))
    c = special.expit(y)
    prior = [params[role] for role in ROLES]
    joint = stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, *prior)
    each = -(joint - stats.norm.logpdf(y, loc, scale) + np.log(c * (1 - c))).sum(axis=-1)
    losses = each.mean(axis=1)
    return losses.mean() + share * (losses - losses.mean())


@pytest.mark.thorough
@pytest.mark.parametrize("particles", [1, 20])
def test_evaluations_have_their_part(particles):
    """By ranks among draws or, of 240 draws, a formula; right ones are seldom suggestive."""
    params, _ = ran("normal", 3)
    model = model_of("normal", params, particles, 12)
    rng, found = np.random.default_rng(4), {}
    for share in (1.0, 0.6):
        found[share] = []
        for _ in range(20):
            values = evaluated(params, 30, rng, share, particles)
            aligned = align(model, np.zeros(0), values, None)
            found[share].append(p_of_evaluations(aligned))
    assert np.mean(np.array(found[1.0]) < 0.1) < 0.4
    assert np.mean(np.array(found[0.6]) < 0.1) > 0.7


@pytest.mark.parametrize("said", few([True, False]))
def test_running_means_of_losses_are_said_to_be_that(said):
    """They vary too little, as the mean of many particles does, but neighbours are alike."""
    params, losses = ran("beta", 4, steps=400)
    smooth, old = [float(losses[0])], 0.97 if said else 0.9
    for x in losses[1:]:
        smooth.append(old * smooth[-1] + (1 - old) * float(x))
    found = verdict("beta", params, np.array(smooth), particles=1 if said else None)
    if said:
        assert found.mistakes == ("loss_mismatch",)
        assert "smoothed_losses" in found.having("mistake")[0].rivals
    else:
        assert "or over several steps, which nothing but its spread says" in found.answer


@pytest.mark.parametrize("wide", [0.1, 10.0])
def test_losses_of_minibatches_vary_too_little_or_too_much(wide):
    """Means over the steps of an epoch vary less; nothing smoothed varies more."""
    params, losses = ran("beta", 5)
    model = model_of("beta", params, 1, 12)._replace(batch=4, batch_scale=3.0)
    noise = wide * 10 * np.random.default_rng(1).normal(size=losses.size)
    found = spread_findings(model, losses[-1] + noise, None, said=True)
    assert [x.rivals[:1] == ("smoothed_losses",) for x in found] == [wide < 1]


def test_negative_control_noise_is_not_smooth():
    """However the objective moves; at a threshold that noise passes once in 10,000 times."""
    rng = np.random.default_rng(0)
    slope = 30 * np.exp(-np.arange(100) / 30)
    for noise in (rng.normal(size=(300, 100)), rng.gamma(0.3, size=(300, 100))):
        assert not any(is_smooth(x + slope) for x in noise)


def test_neighbours_are_alike_whatever_the_unit():
    """Noise is not, nor are losses that are all one number."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=200)
    smooth = np.convolve(rng.normal(size=220), np.full(20, 0.05), "valid")[:200]
    for unit in (1e-6, 1.0, 1e6):
        assert is_smooth(unit * smooth) and not is_smooth(unit * noise)
    assert not is_smooth(np.ones(200))


@pytest.mark.parametrize(("of_evaluations", "told"), [(1.0, False), (0.2, False), (1e-3, True)])
def test_two_suggestions_are_one_mistake(monkeypatch, of_evaluations, told):
    """Losses of p near 0.01 are none alone; p q (1 - log p q) is the p-value of both."""
    monkeypatch.setattr(loss_spread, "p_of_evaluations", lambda _: of_evaluations)
    params, losses = ran("beta", 5)
    model = model_of("beta", params, 1, 12)
    (whole,) = spread_findings(model, np.full_like(losses, 40.0), None, said=True)
    deviation = np.sqrt(0.07 + 1.6 / 12.6)
    little = whole.ours**2 * np.exp(deviation * special.ndtri(0.01))
    losses = 40 + np.sqrt(little / 2) * np.resize([1.0, -1.0], 80)
    found = spread_findings(model, losses, object(), said=True)
    assert len(found) == told
    if told:
        p = 2e-5 * (1 - np.log(1e-5))
        assert float(found[0].reason.split()[2].rstrip(";")) == pytest.approx(p, rel=0.05)


@pytest.mark.parametrize(("angle", "smooth"), [(0.75, False), (0.66, True)])
def test_neighbours_are_compared_with_what_is_eight_steps_away(angle, smooth):
    """Of a wave by the squares of 1 - cos of once and of eight times the angle of a step."""
    assert is_smooth(np.cos(angle * np.arange(400))) is smooth
    ratio = (1 - np.cos(angle)) ** 2 / (1 - np.cos(8 * angle)) ** 2
    assert bool(ratio < 0.35) is smooth


@pytest.mark.parametrize(("since", "changed"), [(41, False), (40, True)])
def test_the_last_forty_differences_are_taken(since, changed):
    params, losses = ran("beta", 5)
    losses = np.full_like(losses, 40.0)
    losses[:-since] = 40.01
    (found,) = found_in("beta", params, losses)
    assert found.theirs == pytest.approx(np.sqrt(1e-4 / 80) * changed, rel=1e-9, abs=0.0)
