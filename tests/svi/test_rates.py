"""Runs whose learning rate, or what is made of it, underflows or overflows."""

import json

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.cli.fit import main
from elbo_ref.svi.optimizers import rate_after

COUNTS = er.Counts([3, 0, 9], 10)

ENDED = {
    "lr": er.Adam(lr=1e308),
    "lr and softplus": er.Adam(lr=1e308),
    "amsgrad": er.Adam(lr=1e308, amsgrad=True),
    "lrd": er.ClippedAdam(lr=1e-300, lrd=1e30),
    "lrd overflows at once": er.ClippedAdam(lr=1e308, lrd=1e308),
    "clip_norm": er.ClippedAdam(lr=1e308, clip_norm=1e308),
    "gamma": er.ExponentialLR(er.Adam(lr=1e308), 0.5),
}
STANDS = {
    "gamma": er.ExponentialLR(er.Adam(lr=0.1), 1e-200),
    "least gamma": er.ExponentialLR(er.Adam(lr=0.1), 5e-324),
    "lrd": er.ClippedAdam(lr=0.1, lrd=1e-200),
    "lr": er.Adam(lr=5e-324),
    "weight_decay": er.Adam(lr=0.1, weight_decay=1e308),
    "eps": er.Adam(lr=0.1, eps=1e308),
    "clip_norm": er.ClippedAdam(lr=0.1, clip_norm=5e-324),
}


def everything(run, path):
    """All that a run says of itself, without a warning and without NaN."""
    for document in (run.to_json(), er.diagnose(run).to_json()):
        json.loads(document, parse_constant=lambda text: pytest.fail(text))
    er.save_run(run, path)
    again = er.load_run(path)
    assert again.to_json() == run.to_json()
    assert again.message == run.message
    assert run.summary() and repr(run) and run.noise_floor is not None
    run.average()
    return again


@pytest.mark.parametrize("until", [None, "converged"])
@pytest.mark.parametrize("name", ENDED)
def test_what_overflows_ends_the_run(name, until, tmp_path):
    constraint = "softplus_positive" if "softplus" in name else "positive"
    run = er.maximize_elbo(
        COUNTS, optimizer=ENDED[name], num_steps=200, until=until, constraint=constraint
    )
    assert run.stopped == "unbounded"
    assert run.num_steps == 200
    assert "left [1e-12, 1e+15]" in run.message
    again = everything(run, tmp_path / "run.npz")
    with pytest.raises(ValueError, match="the run cannot go on: ended early"):
        again.resume(1)


@pytest.mark.parametrize("name", STANDS)
def test_what_underflows_stands_still(name, tmp_path):
    run = er.maximize_elbo(COUNTS, optimizer=STANDS[name], num_steps=20)
    assert run.stopped == "completed"
    priors = run.history.prior.arrays()
    assert np.all(np.abs(np.diff(priors)[:, 8:]) < 1e-12)
    more = everything(run, tmp_path / "run.npz").resume(5)
    assert more.prior == er.maximize_elbo(COUNTS, optimizer=STANDS[name], num_steps=25).prior


@pytest.mark.thorough
@pytest.mark.parametrize("gamma", [0.8, 0.9])
def test_a_short_run_whose_rate_would_underflow(gamma):
    optimizer = er.ExponentialLR(er.Adam(lr=0.1), gamma)
    for guide in ("beta", "empty"):
        diagnosis = er.diagnose(er.maximize_elbo(COUNTS, guide, optimizer=optimizer, num_steps=20))
        assert diagnosis.steps_needed is None
        assert diagnosis.passes_at is None


def test_the_rate_after_many_steps():
    halved = er.ExponentialLR(er.Adam(lr=0.5), 0.5)
    assert [rate_after(halved, n) for n in (0, 1, 2, 5000)] == [0.5, 0.25, 0.125, 0.0]
    doubled = er.ClippedAdam(lr=0.5, lrd=2.0)
    assert [rate_after(doubled, n) for n in (0, 1, 2, 5000)] == [0.5, 1.0, 2.0, np.inf]
    assert rate_after(er.Adam(lr=0.5), 10**6) == 0.5


def test_a_rate_of_zero_leaves_the_parameters():
    x, optimizer = np.array([1.0, -2.0]), er.ExponentialLR(er.Adam(lr=0.5), 5e-324)
    state = optimizer.init(x)._replace(step=2)
    moved, after = optimizer.update(state, x, np.array([3.0, -4.0]))
    np.testing.assert_array_equal(moved, x)
    assert after.step == 3


def test_a_rate_beyond_all_reason_on_the_command_line(capsys):
    assert main(["--example", "forum", "--lr", "1e308", "--guide", "beta", "--json"]) == 0
    run = json.loads(capsys.readouterr().out)["diagnoses"][0]["run"]
    assert run["stopped"] == "unbounded"
    assert run["message"].startswith("ended early, at step 0: ")


@pytest.mark.parametrize("optimizer", [er.ClippedAdam(lr=0.1, lrd=2.0), er.Adam(lr=1e308)])
def test_no_steps_bring_a_run_nearer_than_its_floor(optimizer):
    """A rate so large has a floor so high that the run is within it; 0 would read as arrived."""
    diagnosis = er.diagnose(er.maximize_elbo(er.Counts([3, 0, 9], 10), optimizer=optimizer))
    assert diagnosis.case == "not_converged"
    assert diagnosis.shortfall < diagnosis.run.noise_floor
    assert diagnosis.steps_needed is None
