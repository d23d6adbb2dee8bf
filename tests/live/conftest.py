"""Live tests ask PyTorch and Pyro themselves, in float64.

Nothing here imports them: a test asks for the fixture `torch` or `pyro`. Where one is not
installed the test is skipped, unless ELBO_REF_REQUIRE_LIVE=1 says that it must be there.

The other fixtures run the model in Pyro, for a `Case` of test_pyro.py. They leave no parameters
behind; parameters go by unconstrained values, prior first, then guide, concentration1 first.
"""

from __future__ import annotations

import functools
import importlib
import os
from contextlib import nullcontext
from types import ModuleType

import numpy as np
import pytest


def _require(*modules: str) -> ModuleType:
    """Import all of them and return the first; skip, or fail, if one is not installed."""
    try:
        first, *_ = [importlib.import_module(module) for module in modules]
        return first
    except ModuleNotFoundError as error:
        if error.name not in modules:
            raise
        missing = f"{error.name} is not installed"
    if os.environ.get("ELBO_REF_REQUIRE_LIVE") == "1":
        pytest.fail(f"{missing}, and ELBO_REF_REQUIRE_LIVE=1")
    pytest.skip(missing)


@pytest.fixture(scope="session")
def require():
    return _require


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    module = _require("torch")
    module.set_num_threads(1)
    return module


@pytest.fixture(scope="session")
def pyro(torch: ModuleType) -> ModuleType:
    return _require("pyro", "pyro.infer", "pyro.optim", "pyro.optim.clipped_adam")


def model_and_guide(torch, pyro, case, kind):
    """What a Pyro user writes; `kind` says what the guide is, "none" that c is a parameter."""
    dist, constraints = pyro.distributions, pyro.distributions.constraints
    k, n = (torch.tensor(x, dtype=torch.float64) for x in (case.successes, case.total_count))

    def parameter(name, value, constraint=constraints.positive):
        return pyro.param(name, torch.tensor(value, dtype=torch.float64), constraint=constraint)

    def beta(name, concentrations):
        one, zero = concentrations
        return dist.Beta(parameter(f"{name}.1", one), parameter(f"{name}.0", zero))

    def latent():
        if kind == "none":
            return parameter("c", case.probs, constraints.unit_interval)
        return pyro.sample("c", beta("prior", case.prior))

    def observe(c):
        bernoulli = max(case.total_count) == 1
        likelihood = dist.Bernoulli(c) if bernoulli else dist.Binomial(n, c)
        pyro.sample("successes", likelihood, obs=k)

    def model():
        if case.shared:
            c = latent()
            with pyro.plate("rows", len(k)):
                observe(c)
        else:
            with pyro.plate("latents", len(k)):
                observe(latent())

    def guide():
        if kind in ("full", "tied"):
            q = beta("prior", case.prior) if kind == "tied" else beta("guide", case.guide)
            with nullcontext() if case.shared else pyro.plate("latents", len(k)):
                pyro.sample("c", q)

    return model, guide


def flat(pyro, part):
    """One vector of all unconstrained parameters (or their gradients), in our order."""
    store = dict(pyro.get_param_store().named_parameters())
    names = ("prior.1", "prior.0", "guide.1", "guide.0", "c")
    return np.concatenate([part(store[name]).numpy().ravel() for name in names if name in store])


@pytest.fixture(scope="session")
def estimate(torch, pyro):
    """Batches of Pyro's loss and unconstrained gradient, a row each: [loss, prior, guide]."""

    @functools.cache
    def rows(case, kind, batches):
        model, guide = model_and_guide(torch, pyro, case, kind)
        elbo = pyro.infer.Trace_ELBO(case.particles, max_plate_nesting=1, vectorize_particles=True)
        found = []
        with pyro.get_param_store().scope():
            torch.manual_seed(1)
            for _ in range(batches):
                loss = elbo.loss_and_grads(model, guide)
                found.append(np.append(loss, flat(pyro, lambda x: x.grad)))
                flat(pyro, lambda x: x.grad.zero_())
        return np.array(found)

    return rows


@pytest.fixture(scope="session")
def one_particle_losses(torch, pyro):
    """20000 particles' losses, by Pyro's own traces; Trace_ELBO's loss is their average."""

    def losses(case, kind, particles=20_000):
        poutine = pyro.poutine
        model, guide = model_and_guide(torch, pyro, case, kind)

        def log_prob(program, replayed=None):
            def together():
                with pyro.plate("particles", particles, dim=-2):
                    return (program if replayed is None else poutine.replay(program, replayed))()

            trace = poutine.trace(together).get_trace()
            trace.compute_log_prob()
            sites = (site for site in trace.nodes.values() if site["type"] == "sample")
            terms = (x["log_prob"] for x in sites if "log_prob" in x and x["log_prob"].ndim)
            return trace, sum(term.reshape(particles, -1).sum(-1) for term in terms)

        with pyro.get_param_store().scope(), torch.no_grad():
            torch.manual_seed(2)
            trace, from_guide = log_prob(guide)
            _, from_model = log_prob(model, trace)
            torch.manual_seed(2)
            elbo = pyro.infer.Trace_ELBO(particles, max_plate_nesting=1, vectorize_particles=True)
            average = elbo.loss(model, guide)
        found = np.asarray(from_guide - from_model)
        assert average == pytest.approx(found.mean(), rel=1e-12)
        return found

    return losses


@pytest.fixture(scope="session")
def svi_path(torch, pyro):
    """Losses and unconstrained parameters of `steps` svi.steps, as `maximize_elbo` records them."""

    def path(case, kind, optimizer, steps, particles=1):
        model, guide = model_and_guide(torch, pyro, case, kind)
        elbo = pyro.infer.Trace_ELBO(particles, max_plate_nesting=1, vectorize_particles=True)
        svi = pyro.infer.SVI(model, guide, optimizer, elbo)
        losses, rows = [], []
        with pyro.get_param_store().scope():
            torch.manual_seed(3)
            svi.evaluate_loss()
            rows.append(flat(pyro, lambda x: x.detach()))
            for _ in range(steps):
                losses.append(svi.step())
                rows.append(flat(pyro, lambda x: x.detach()))
        return np.array(losses), np.array(rows)

    return path
