"""The settings of NumPyro's optimizers, read where they can be seen, and runs that are refused."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er

numpyro = pytest.importorskip("numpyro")
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore")]

NAMES = ["a", "b"]


def described(optimizer, gradients=1.0):
    from elbo_ref.recording.numpyro_optimizers import describe

    svi = numpyro.infer.SVI(None, None, optimizer, numpyro.infer.Trace_ELBO())
    seen = [{name: np.full(2, gradients) for name in NAMES}]
    return describe(svi.optim).header(NAMES, 10, seen)


def adam(lr, **settings):
    return {"lr": pytest.approx(lr), "betas": [0.9, 0.999], "eps": 1e-8} | settings


def falling(i):
    return 0.1 / (1 + i)


def optimizers():
    from jax.example_libraries import optimizers as of_jax

    optim = numpyro.optim
    return [
        (optim.Adam(0.05), "Adam", adam(0.05), None, {}),
        (
            optim.Adam(0.05, b1=0.8, eps=1e-6),
            "Adam",
            adam(0.05, betas=[0.8, 0.999], eps=1e-6),
            None,
            {},
        ),
        (optim.Adam(falling), "Adam", adam(0.1 / 11), "falling", {}),
        (of_jax.adam(0.05), "Adam", adam(0.05), None, {}),
        (optim.ClippedAdam(0.05, clip_norm=3.0), "Adam", adam(0.05), None, {"clip_value": 3.0}),
        (optim.SGD(0.5), "SGD", {"lr": 0.5}, None, {}),
        (optim.Momentum(0.5, 0.75), "Momentum", {"lr": 0.5, "momentum": 0.75}, None, {}),
    ]


@pytest.mark.parametrize("which", range(7))
def test_settings_of_numpyros_optimizers(which):
    optimizer, kind, settings, scheduler, clip = optimizers()[which]
    header = described(optimizer)
    assert (header["class"], header["scheduler"], header["clip"]) == (kind, scheduler, clip)
    assert header["settings"] == dict.fromkeys(NAMES, settings)


def test_settings_of_optax():
    optax = pytest.importorskip("optax")
    assert described(optax.adam(0.05))["settings"]["a"] == adam(0.05)
    decay = optax.exponential_decay(0.05, 10, 0.5)
    header = described(optax.adam(decay))
    assert header["settings"]["a"] == adam(0.025)
    assert header["scheduler"] == "exponential_decay"
    clipped = described(optax.chain(optax.clip(3.0), optax.adam(0.05)))
    assert (clipped["class"], clipped["clip"]) == ("Adam", {"clip_value": 3.0})


def test_a_global_norm_counts_where_it_clips():
    optax = pytest.importorskip("optax")
    chain = optax.chain(optax.clip_by_global_norm(3.0), optax.adam(0.05))
    assert described(chain, gradients=1.0)["class"] == "Adam"
    assert described(chain, gradients=2.0)["class"] == "optax clip_by_global_norm, Adam"


@pytest.mark.parametrize("name", ["adamw", "nadam", "sgd", "rmsprop", "lion"])
def test_other_chains_are_named_and_not_guessed(name):
    optax = pytest.importorskip("optax")
    header = described(getattr(optax, name)(0.05))
    assert header["class"].startswith("optax scale")
    assert header["settings"] == {}


def test_an_optimizer_with_an_update_of_its_own_is_not_guessed():
    class Own(numpyro.optim.Adam):
        def update(self, g, state, value=None):
            return super().update(g, state, value)

    assert described(Own(0.05)) == {
        "class": "numpyro Own",
        "scheduler": None,
        "clip": {},
        "settings": {},
    }


def a_run(optimizer, *, scale=1.0, shift=0.0):
    """Return an SVI of one latent, whose program is another each time unless `shift` is 0."""
    import jax.numpy as jnp
    from numpyro import distributions as dist

    runs = []

    def model():
        runs.append(0)
        a = numpyro.param("a", 2.0, constraint=dist.constraints.positive)
        c = numpyro.sample("c", dist.Beta(a, 5.0))
        with numpyro.plate("rows", 3), numpyro.handlers.scale(scale=scale):
            k = jnp.array([3.0, 2.0, 4.0]) + shift * len(runs)
            numpyro.sample("k", dist.Binomial(1000.0, c), obs=k)

    def guide():
        c = numpyro.param("point", 0.5, constraint=dist.constraints.unit_interval)
        numpyro.sample("c", dist.Delta(c))

    return numpyro.infer.SVI(model, guide, optimizer, numpyro.infer.Trace_ELBO())


@pytest.mark.parametrize("kind", ["Adam", "schedule", "ClippedAdam", "optax"])
def test_updates_agree_with_settings_and_moments_that_were_read(kind):
    import jax

    makers = {
        "Adam": lambda: numpyro.optim.Adam(0.05),
        "schedule": lambda: numpyro.optim.Adam(falling),
        "ClippedAdam": lambda: numpyro.optim.ClippedAdam(0.05, clip_norm=2.0),
        "optax": lambda: pytest.importorskip("optax").adam(0.05),
    }
    svi = a_run(makers[kind]())
    state = svi.init(jax.random.PRNGKey(0))
    for _ in range(3):
        state, _ = svi.update(state)
    _, recording = er.recording.record_numpyro(svi, state, 4)
    assert recording.header["earlier_steps"] == {"a": 3, "point": 3}
    assert recording.moments["a"].shape == (3,)
    verdict = er.replay(recording)
    assert "updates" in {finding.name for finding in verdict.having("agrees")}, verdict
    assert "updates" not in {finding.name for finding in verdict.having("untested")}


@pytest.mark.parametrize("schedule", ["exponential_decay", "linear_schedule", "cosine"])
def test_a_schedule_of_optax_in_double_precision(schedule):
    """Some of its schedules compute in single precision all the same."""
    import jax

    optax = pytest.importorskip("optax")
    rates = {
        "exponential_decay": lambda: optax.exponential_decay(0.02, 7, 0.7),
        "linear_schedule": lambda: optax.linear_schedule(0.0, 0.03, 9),
        "cosine": lambda: optax.cosine_decay_schedule(0.02, 60),
    }
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        svi = a_run(optax.adam(rates[schedule]()))
        state = svi.init(jax.random.PRNGKey(0))
        for _ in range(3):
            state, _ = svi.update(state)
        verdict = er.replay(er.recording.record_numpyro(svi, state, 30)[1])
    finally:
        jax.config.update("jax_enable_x64", before)
    assert verdict.genuine and "updates" in {x.name for x in verdict.having("agrees")}, verdict


def test_rows_that_are_weighted_are_said_to_be():
    """A scale of the data alone is in no other site."""
    import jax

    several = a_run(numpyro.optim.Adam(0.05), scale=np.array([2.0, 1.0, 1.0]))
    state = several.init(jax.random.PRNGKey(0))
    _, recording = er.recording.record_numpyro(several, state, 3)
    found = er.replay(recording).having("mistake")
    assert "the elements of model.k are scaled otherwise" in found[0].quantity


def test_runs_that_cannot_be_recorded_are_refused():
    import jax

    record = er.recording.record_numpyro
    key, adam = jax.random.PRNGKey(0), numpyro.optim.Adam(0.05)
    svi = a_run(adam)
    state = svi.init(key)
    with pytest.raises(TypeError, match="state must be an SVIState"):
        record(svi, svi.get_params(state), 1)
    with pytest.raises(ValueError, match="has not been initialised"):
        record(a_run(adam), state, 1)
    minimize = a_run(numpyro.optim.Minimize())
    with pytest.raises(ValueError, match="Minimize is not handed one gradient a step"):
        record(minimize, minimize.init(key), 1)
    moving = a_run(adam, shift=20.0)
    with pytest.raises(ValueError, match="when its programs are run again"):
        record(moving, moving.init(key), 1)
