"""`Run`: what it says of itself, and that it goes on as if it had never stopped."""

import copy
import pickle

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.svi import loop, maximize
from elbo_ref.svi.convergence import find_goal
from elbo_ref.svi.maximize import _Arrival
from elbo_ref.svi.result import run_at
from tiers import few

COUNTS = er.Counts.grouped([3, 1, 0, 4], [5, 5, 2, 6], ["b", "a", "b", "<i>"])


def fit(guide="beta", loss="trace", num_steps=40, **options):
    options = {"optimizer": er.Adam(lr=0.1)} | options
    return er.maximize_elbo(COUNTS, guide, loss=loss, num_steps=num_steps, **options)


@pytest.mark.parametrize("loss", ["exact", "trace"])
@pytest.mark.parametrize("guide", ["beta", "empty", "tied", "none"])
@pytest.mark.parametrize("parts", few([((10, 10, 10, 10),), ((1, 39),), ((13, 27),), ((39, 1),)]))
def test_resumed_is_uninterrupted(guide, loss, parts):
    run = fit(guide, loss, parts[0])
    for more in parts[1:]:
        run = run.resume(num_steps=more)
    whole = fit(guide, loss)
    assert run.to_json() == whole.to_json()
    assert run.history.guide == whole.history.guide


def test_resuming_leaves_the_run_alone():
    run = fit()
    before = run.to_json()
    first, second = run.resume(5), run.resume(5)
    assert first.to_json() == second.to_json() != before
    assert run.to_json() == before


def test_a_generator_given_is_not_touched_by_resuming():
    rng = np.random.default_rng(8)
    run = fit(rng=rng)
    state = rng.bit_generator.state
    assert run.resume(3).to_json() == run.resume(3).to_json()
    assert rng.bit_generator.state == state
    assert "a generator given" in run.summary()


class StoppedOnce:
    """An optimizer that is interrupted in its sixth update, the first time."""

    def __init__(self):
        self.adam, self.lr, self.armed = er.Adam(lr=0.1), 0.1, True

    def init(self, parameters):
        return self.adam.init(parameters)

    def update(self, state, parameters, gradient):
        if state.step == 5 and self.armed:
            self.armed = False
            raise KeyboardInterrupt
        return self.adam.update(state, parameters, gradient)


@pytest.mark.parametrize("loss", ["exact", "trace"])
def test_interrupted_and_resumed(loss):
    run = fit(loss=loss, optimizer=StoppedOnce())
    assert (run.stopped, len(run.losses)) == ("interrupted", 5)
    assert "interrupted at step 5" in run.summary()
    whole, resumed = fit(loss=loss), run.resume()
    assert resumed.losses.tobytes() == whole.losses.tobytes()
    assert resumed.prior == whole.prior
    assert resumed.num_steps == 40


def test_what_cannot_go_on():
    with pytest.raises(ValueError, match=r"complete.*num_steps"):
        fit().resume()
    for bad in (0, -1):
        with pytest.raises(ValueError, match="num_steps"):
            fit().resume(bad)
    with pytest.raises(TypeError, match="num_steps"):
        fit().resume(1.5)
    away = er.maximize_elbo(
        er.datasets.load("forum"), "empty", loss="exact", optimizer=er.Adam(lr=0.1), num_steps=1000
    )
    assert away.stopped == "unbounded"
    with pytest.raises(ValueError, match=r"cannot go on.*concentration1 left"):
        away.resume(1)


def test_summary_says_what_was_reached():
    run = fit(learn_prior=False, prior=er.Beta(2.0, 3.0))
    text = run.summary()
    for fact in (
        "guide beta, loss trace",
        "8 of 18 trials succeed, latents 3",
        "prior fixed at Beta(2, 3)",
        "Adam lr 0.1",
        "steps 40",
        "seed 0",
        f"objective: {run.objective:.9g}",
    ):
        assert fact in text
    assert "prior" not in fit("none").settings()
    assert "seed" not in fit(loss="exact").settings()


@pytest.mark.parametrize("guide", ["beta", "empty", "tied", "none"])
def test_html(guide):
    page = fit(guide)._repr_html_()
    assert page.startswith("<table>")
    assert "<i>" not in page
    assert ("&lt;i&gt;" in page) == (guide != "none")
    seen = er.diagnose(fit(guide))
    assert seen._repr_html_().endswith(page)
    assert "<i>" not in seen._repr_html_()


def test_objectives_are_the_exact_losses():
    for guide in ("beta", "empty", "tied", "none"):
        run = fit(guide, "exact")
        np.testing.assert_array_equal(run.objectives[:-1], -run.losses)
        assert run.objectives[-1] == run.objective
        noisy = fit(guide)
        assert np.ptp(noisy.objectives + np.append(noisy.losses, 0)) > 0 or guide == "none"


def test_plot_is_lent():
    pytest.importorskip("matplotlib")
    axes = fit().plot()
    assert len(axes) == 3
    assert fit("empty").plot(axes)[0] is axes[0]


def test_converged():
    settled = fit(loss="exact", learn_prior=False, num_steps=2000)
    assert settled.converged and not fit().converged


@pytest.mark.parametrize("trip", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_a_copied_run_goes_on(trip):
    """Also one whose derived values have been worked out."""
    run = fit()
    assert run.message and run.objective
    assert trip(run).resume(5).to_json() == run.resume(5).to_json()


# -- averages and endings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "first"), [(1.0, 0), (0.5, 20), (0.26, 30), (0.25, 30), (0.03, 39), (1e-9, 40)]
)
@pytest.mark.parametrize("constraint", ["positive", "softplus_positive"])
def test_an_average_is_of_the_last_rows_unconstrained(last, first, constraint):
    """41 rows; under exp a geometric mean."""
    run = fit(constraint=constraint, loss="exact")
    average = run.average(last)
    into, out = {
        "positive": (np.log, np.exp),
        "softplus_positive": (lambda x: np.log(np.expm1(x)), lambda x: np.logaddexp(0, x)),
    }[constraint]
    pairs = ((average.prior, run.history.prior), (average.guide, run.history.guide))
    for found, rows in pairs:
        for value, row in zip(found.arrays(), rows.arrays(), strict=True):
            np.testing.assert_allclose(value, out(into(row[first:]).mean(axis=0)), rtol=1e-9)


def test_a_prior_that_is_held_is_its_own_average():
    run = fit(learn_prior=False, prior=er.Beta(0.3, 7.1))
    assert run.average().prior == run.prior == run.start == er.Beta(0.3, 7.1)


def test_the_start_is_the_first_row():
    run = fit(prior=er.Beta(2.0, 3.0))
    assert run.start.arrays() == pytest.approx((2.0, 3.0), rel=1e-15)
    assert run.start != run.prior
    assert run.has_prior and not fit("none").has_prior


def test_endings_by_number_of_steps():
    run = fit(num_steps=3)
    assert (run.ending, run.num_steps, len(run.losses)) == ("completed", 3, 3)
    short = run_at(run.config, run.state, 4)
    assert (short.ending, short.stopped) == ("interrupted", "interrupted")
    assert run_at(run.config, run.state, 2).ending == "completed"
    assert len(short.resume().losses) == 4
    with pytest.raises(ValueError, match="complete"):
        run.resume()
    ended = run_at(run.config, run.state._replace(ended=0), 4)
    assert (ended.ending, ended.stopped) == ("unbounded", "unbounded")


def test_the_table_has_a_loss_for_each_row_but_the_last():
    run = fit(num_steps=3)
    table = run.table()
    assert [x.name for x in table.columns] == ["step", "loss", "concentration1", "concentration0"]
    assert list(table.column("step")) == [0, 1, 2, 3]
    assert list(table.column("loss")) == [*run.losses.tolist(), None]
    assert [x.name for x in fit("none").table().columns] == ["step", "loss"]


@pytest.mark.parametrize(
    ("guide", "family", "keys"),
    [
        ("beta", "Beta", {"concentration1", "concentration0"}),
        ("normal", "LogitNormal", {"loc", "scale"}),
        ("delta", "Delta", {"logits"}),
        ("laplace", "LogitNormal", {"loc", "scale"}),
        ("none", "Parameter", {"logits"}),
        ("empty", None, set()),
    ],
)
def test_a_guide_as_plain_values(guide, family, keys):
    run = fit(guide, num_steps=2)
    plain = run.to_dict()
    if family is None:
        assert plain["guide"] is None and plain["guide_reason"] == "the guide is empty"
        return
    assert plain["guide"].pop("family") == family and set(plain["guide"]) == keys
    for key, values in plain["guide"].items():
        assert values == np.asarray(getattr(run.guide, key)).tolist()
    reason = "the model has no prior under this guide"
    assert (plain.get("prior_reason") == reason) == (guide == "none")


def test_only_a_loss_that_is_drawn_has_a_deviation_in_the_summary():
    assert "standard deviation of one loss" in fit().summary()
    assert "standard deviation of one loss" not in fit(loss="exact").summary()
    renyi = fit(loss=er.Renyi(0.5, 3), num_steps=3)
    assert renyi.step_std is None and "standard deviation" not in renyi.summary()


# -- where `until` looks ---------------------------------------------------------------------------


def arrival_at(config, vectors, steps):
    arrival = _Arrival(config)
    start = loop.initial_state(config, np.random.default_rng(0))
    return [
        arrival.look(start._replace(step=step, vector=vector))
        for step, vector in zip(steps, vectors, strict=True)
    ]


def test_a_run_is_looked_at_every_hundred_steps():
    run = fit(loss="exact", learn_prior=False, num_steps=2000)
    top, away = run.vector, run.vector + 1.0
    seen = arrival_at(run.config, [top, top, away, top], [99, 101, 100, 200])
    assert seen == [False, False, False, True]
    ended = loop.initial_state(run.config, np.random.default_rng(0))._replace(
        step=100, vector=top, ended=0
    )
    assert not _Arrival(run.config).look(ended)


def test_a_noisy_run_is_at_its_floor_once_it_rises_no_more():
    """Within what the floor allows and no nearer than at the look before."""
    best = fit(loss="exact", learn_prior=False, num_steps=2000)
    config = fit(learn_prior=False, num_steps=1, optimizer=er.Adam(lr=0.01)).config
    assert config.objective.random
    top, value = best.vector, config.parameters.value
    goal = find_goal(config.parameters, config.objective, top, 1)
    allowance = goal.floor(0.01).allowance
    near, nearer, far = (top + shift for shift in (0.06, 0.05, 1.0))
    assert goal.value - value(near) < allowance < goal.value - value(far)
    steps = [100, 200, 300]
    assert arrival_at(config, [nearer, near, near], steps) == [False, True, True]
    assert arrival_at(config, [near, nearer, near], steps) == [False, False, True]
    assert arrival_at(config, [far, far - 1e-3, far], steps) == [False, False, False]


def test_the_goal_is_looked_for_again_at_twice_as_many_steps(monkeypatch):
    """From the first look at which the run has not risen."""
    config = fit(learn_prior=False, num_steps=1).config
    arrival, looked = _Arrival(config), []
    monkeypatch.setattr(maximize, "find_goal", lambda *_: looked.append(step))
    for step in range(100, 1700, 100):
        arrival.look(loop.initial_state(config, np.random.default_rng(0))._replace(step=step))
    assert looked == [200, 400, 800, 1600]
