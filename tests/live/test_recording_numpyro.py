"""Recorded steps of a live NumPyro, where it is installed: no bit is changed, clean ones agree."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er

numpyro = pytest.importorskip("numpyro")
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore")]

K, N = [3, 7, 12], [10, 9, 40]


def programs(kind):
    import jax.numpy as jnp
    from numpyro import distributions as dist
    from numpyro.infer import autoguide

    def parameter(name, value):
        positive = dist.constraints.positive
        return numpyro.param(name, jnp.asarray(value), constraint=positive)

    def prior():
        return parameter("a", 2.0), parameter("b", 5.0)

    def model():
        a, b = prior()
        for i in range(3) if kind == "loop" else ():
            c = numpyro.sample(f"c_{i}", dist.Beta(a, b))
            numpyro.sample(f"successes_{i}", dist.Binomial(N[i], c), obs=K[i])
        if kind == "loop":
            return
        with numpyro.plate("latents", 3, subsample_size=2 if kind == "batch" else None) as some:
            c = numpyro.sample("c", dist.Beta(a, b))
            numpyro.sample(
                "successes", dist.Binomial(jnp.array(N)[some], c), obs=jnp.array(K)[some]
            )

    def guide():
        if kind in ("empty", "batch"):
            return
        for i in range(3) if kind == "loop" else ():
            numpyro.sample(
                f"c_{i}", dist.Beta(parameter(f"qa_{i}", 4.0), parameter(f"qb_{i}", 6.0))
            )
        if kind == "loop":
            return
        if kind == "conjugate":
            a, b = prior()
            with numpyro.plate("latents", 3):
                numpyro.sample("c", dist.Beta(a + jnp.array(K), b + jnp.array(N) - jnp.array(K)))
            return
        own = parameter("qa", [4.0, 8.0, 15.0]), parameter("qb", [9.0, 6.0, 30.0])
        with numpyro.plate("latents", 3):
            numpyro.sample("c", dist.Beta(*(prior() if kind == "tied" else own)))

    automatic = {"normal": "AutoNormal", "delta": "AutoDelta"}
    automatic |= {"diagonal": "AutoDiagonalNormal", "laplace": "AutoLaplaceApproximation"}
    return model, getattr(autoguide, automatic[kind])(model) if kind in automatic else guide


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize(
    "kind",
    ["beta", "loop", "empty", "tied", "conjugate", "normal", "diagonal", "delta", "laplace"],
)
def test_a_clean_run_agrees(kind, particles):
    import jax

    model, guide = programs(kind)
    loss = numpyro.infer.Trace_ELBO(num_particles=particles)
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.05), loss)
    start = alone = svi.init(jax.random.PRNGKey(0))
    for _ in range(3):
        alone, last = svi.update(alone)
    state, recording = er.recording.record_numpyro(svi, start, 3)
    assert recording.losses[-1] == float(last)
    theirs, ours = (jax.tree_util.tree_leaves(svi.get_params(x)) for x in (alone, state))
    assert all(np.array_equal(x, y) for x, y in zip(theirs, ours, strict=True))
    verdict = er.replay(recording, er.Counts(K, N))
    assert verdict.genuine, verdict
    through_draws = kind in ("empty", "tied")
    agreed = {"losses", "updates"} if through_draws else {"losses", "updates", "gradients"}
    assert agreed <= {finding.name for finding in verdict.having("agrees")}
    untested = {finding.name for finding in verdict.having("untested")}
    assert untested <= ({"gradients"} if kind in ("beta", "loop", "empty", "tied") else set())


@pytest.mark.parametrize("kind", ["beta", "tied", "normal", "diagonal", "laplace", "delta"])
def test_mean_field_losses_agree(kind):
    """With the Jacobian that Pyro's class drops."""
    import jax

    model, guide = programs(kind)
    loss = numpyro.infer.TraceMeanField_ELBO(num_particles=2)
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.05), loss)
    _, recording = er.recording.record_numpyro(svi, svi.init(jax.random.PRNGKey(0)), 3)
    verdict = er.replay(recording, er.Counts(K, N))
    assert verdict.genuine, verdict


@pytest.mark.parametrize("particles", [1, 4])
@pytest.mark.parametrize("kind", ["empty", "loop", "normal", "batch", "delta"])
def test_renyi_bounds_agree(kind, particles):
    import jax

    model, guide = programs(kind)
    loss = numpyro.infer.RenyiELBO(alpha=0.5, num_particles=particles)
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.05), loss)
    _, recording = er.recording.record_numpyro(svi, svi.init(jax.random.PRNGKey(0)), 3)
    verdict = er.replay(recording, er.Counts(K, N))
    assert verdict.genuine, verdict
    assert "losses" in {finding.name for finding in verdict.having("agrees")}


@pytest.mark.parametrize("size", [None, 2])
def test_minibatches_and_an_optimizer_that_is_claimed(size):
    import jax
    import jax.numpy as jnp
    from numpyro import distributions as dist

    def pair(owner, value):
        positive = dist.constraints.positive
        return (numpyro.param(f"{owner}{i}", value, constraint=positive) for i in "10")

    def model():
        a, b = pair("prior", 2.0)
        with numpyro.plate("latents", 3, subsample_size=size) as rows:
            c = numpyro.sample("c", dist.Beta(a, b))
            numpyro.sample("k", dist.Binomial(jnp.array(N)[rows], c), obs=jnp.array(K)[rows])

    def guide():
        a, b = pair("guide", 4 * jnp.ones(3))
        with numpyro.plate("latents", 3, subsample_size=size) as rows:
            numpyro.sample("c", dist.Beta(a[rows], b[rows]))

    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(0.05), numpyro.infer.Trace_ELBO())
    _, recording = er.recording.record_numpyro(svi, svi.init(jax.random.PRNGKey(0)), 5)
    verdict = er.replay(recording, er.Counts(K, N), optimizer=er.Adam(lr=0.05))
    assert verdict.genuine, verdict
    assert {"losses", "updates", "draws"} <= {f.name for f in verdict.having("agrees")}
    other = er.replay(recording, er.Counts(K, N), optimizer=er.Adam(lr=0.1))
    assert other.mistakes == ("optimizer_settings",)
