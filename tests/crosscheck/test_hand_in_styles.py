"""Hand-ins as people make them: what beside the losses a verdict says of them.

Losses are drawn by NumPy and SciPy, with fixed seeds.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er

K, N = np.array([3, 11, 1, 7, 19, 4]), np.array([10, 20, 6, 9, 31, 8])
COUNTS = er.Counts(K, N)
NAMES = {
    "prior.concentration1": "a",
    "prior.concentration0": "b",
    "guide.concentration1": "u",
    "guide.concentration0": "v",
}


def store(prior=(1.3, 2.4), scale=1.1):
    own = scale * (np.array(prior)[:, None] + (K, N - K))
    return {"a": prior[0], "b": prior[1], "u": own[0], "v": own[1]}


def loss(rng, at, particles=1, times=1, rows=slice(None), scale=1.0):
    """One loss at parameters, each latent's terms as many times."""
    u, v = at["u"][rows], at["v"][rows]
    c = rng.beta(u, v, (particles, len(u)))
    terms = stats.binom.logpmf(K[rows], N[rows], c) + stats.beta.logpdf(c, at["a"], at["b"])
    return -scale * ((terms - stats.beta.logpdf(c, u, v)) * times).sum(axis=1).mean()


def path(steps, of=(6.0, 1.0)):
    """A history that comes from afar."""
    scales = np.geomspace(*of, steps)
    rows = [store((1.3 * x, 2.4 / x)) for x in scales]
    return rows, {name: np.array([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.thorough
@pytest.mark.parametrize("late", [0, 1])
def test_a_history_of_after_each_step_that_noise_would_let_pass(late):
    rows, history = path(60)
    rng = np.random.default_rng(3)
    losses = [loss(rng, rows[max(t - late, 0)], particles=5) for t in range(60)]
    found = er.cross_check(COUNTS, history, names=NAMES, losses=losses, num_particles=5)
    assert found.genuine
    noted = [x.name for x in found.having("note")]
    assert ("recorded_after" in noted) == bool(late)


@pytest.mark.thorough
def test_evaluations_of_other_parameters_than_the_last_loss():
    rng, at = np.random.default_rng(1), store()
    losses = [loss(rng, at) for _ in range(5)]
    others = [loss(rng, store((5.0, 0.7), 0.3)) for _ in range(20)]
    found = er.cross_check(COUNTS, at, names=NAMES, losses=losses, evaluations=others)
    (note,) = [x for x in found.having("note") if x.name == "evaluations"]
    assert "the run's own losses fit by themselves" in note.quantity


@pytest.mark.thorough
def test_means_over_an_epoch_of_minibatches():
    rng, at = np.random.default_rng(2), store()
    losses = []
    for _ in range(100):
        order = rng.permutation(6)
        parts = [order[i : i + 1] for i in range(6)]
        losses.append(np.mean([loss(rng, at, rows=x, scale=6.0) for x in parts]))
    given = {"names": NAMES, "num_particles": 1, "subsample_size": 1}
    (finding,) = er.cross_check(COUNTS, at, losses=losses, **given).having("mistake")
    assert finding.name == "loss_mismatch"
    assert finding.rivals[0] == "smoothed_losses"
    assert "means over the steps of an epoch" in finding.reason


@pytest.mark.parametrize("times", [1, 9])
def test_entries_of_several_latents_that_have_one_draw(times):
    """As of a scale of as many; of latents apart they vary less."""
    counts, rng, at = er.Counts(K, N, multiplicity=[times] * 6), np.random.default_rng(4), store()
    values = [loss(rng, at, times=times) for _ in range(30)]
    found = er.cross_check(counts, at, names=NAMES, evaluations=values)
    assert found.genuine
    meant = [x.quantity for x in found.having("note") if x.name == "meaning"]
    words = "the losses are those of one draw for all latents of an entry, whose terms are scaled"
    assert meant == [words] * (times > 1)


@pytest.mark.parametrize(("optimizer", "says"), [("SGD", "of this optimizer"), (None, "--lr")])
def test_the_noise_of_another_optimizer_is_not_known(optimizer, says):
    rng, at = np.random.default_rng(5), store(scale=1.3)
    values = [loss(rng, at) for _ in range(20)]
    found = er.cross_check(COUNTS, at, names=NAMES, evaluations=values, optimizer=optimizer)
    assert found.outcome == "not_at_optimum"
    assert found.summary().startswith("verdict: perhaps not at an optimum.")
    assert says in found.advice[-1]


def test_a_run_that_drifts_the_wrong_way_is_told_so():
    """The supremum is not attained, and every step moves away from it."""
    k, n = np.array([4, 2, 5, 3]), np.array([9, 8, 10, 9])
    shrink = np.geomspace(1.0, 0.02, 40)
    prior = np.array([3.0, 4.0])[:, None] * shrink
    history = {"a": prior[0], "b": prior[1]}
    counts = er.Counts(k, n)
    losses = [-er.log_evidence(er.Beta(*x), counts) for x in prior.T]
    found = er.cross_check(counts, history, guide="conjugate", losses=losses)
    assert [x.name for x in found.having("optimum")] == ["drifting"]
    assert "moved_away" in [x.name for x in found.having("note")]
    assert found.advice[-1].startswith("The run moves away from its maximum")


def test_a_value_of_a_parameter_that_no_role_uses():
    at = store()
    params = {"w": np.array([np.log(at["a"]), 0.7]), **{x: at[x] for x in "buv"}}
    names = {**NAMES, "prior.concentration1": "exp(w[0])"}
    rng = np.random.default_rng(6)
    values = [loss(rng, at) for _ in range(20)]
    found = er.cross_check(COUNTS, params, names=names, evaluations=values)
    assert [x.of for x in found.having("note") if x.name == "unused"] == ["part of w"]
    assert "no role uses part of w" in found.answer


def test_a_supremum_under_a_mean_that_is_held():
    k = np.array([5, 9, 4, 8, 6, 7])
    own = np.array([6.0 + k, 19.0 - k])
    found = er.cross_check(
        er.Counts(k, 13),
        {"s": 6.0, "u": own[0], "v": own[1]},
        names={
            "prior.concentration1": "s",
            "prior.concentration0": "s",
            "guide.concentration1": "u",
            "guide.concentration0": "v",
        },
    )
    (away,) = found.having("optimum")
    assert away.name == "drifting"
    assert "below the supremum that this parametrisation can reach, with mean 0.5" in away.quantity


def test_a_bound_that_lacks_more_than_a_maximum_may_is_not_at_it():
    """Between its ELBO and the evidence of its prior; the highest is above the ELBO's highest."""
    counts, prior = er.Counts([9, 4, 7, 11], [15, 15, 20, 20]), (0.3, 6.0)
    params = {"a": prior[0], "b": prior[1], "loc": np.zeros(4), "scale": np.full(4, 0.5)}
    names = {name: NAMES[name] for name in list(NAMES)[:2]}
    found = er.cross_check(counts, params, names=names, guide="normal", loss=er.Renyi(0.5, 4))
    (away,) = found.having("optimum")
    best = er.maximize_evidence(counts).log_evidence
    here = er.log_evidence(er.Beta(*prior), counts)
    assert "the objective is at least" in away.quantity
    assert away.theirs == pytest.approx(here)
    assert best - 0.1 < away.ours <= best


def test_losses_that_scatter_are_not_those_of_a_point():
    rng, at = np.random.default_rng(8), store()
    point = {"a": at["a"], "b": at["b"], "c": at["u"] / (at["u"] + at["v"])}
    names = {name: NAMES[name] for name in list(NAMES)[:2]} | {"guide.logits": "logit(c)"}
    values = [loss(rng, at) for _ in range(20)]
    found = er.cross_check(COUNTS, point, guide="delta", names=names, evaluations=values)
    (finding,) = found.having("mistake")
    assert "another_guide" in (finding.name, *finding.rivals)
