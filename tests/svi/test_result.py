"""`Run`: what it says of itself, and that it goes on as if it had never stopped."""

import copy
import pickle

import numpy as np
import pytest

import elbo_ref as er
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
