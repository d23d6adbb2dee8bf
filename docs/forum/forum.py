"""The Pyro forum's question as a script: a Beta prior, both concentrations learnable, full guide.

    python forum.py

It writes what a cross-check reads into the working directory: the parameter store, the losses, and
the loss evaluated again and again at the parameters that were reached. The files that
``python -m elbo_ref.crosscheck --example forum`` reads, those of elbo_ref/io/datasets/forum, were
made by it with Pyro 1.9.
"""

from pathlib import Path

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from torch.distributions import constraints

data = torch.zeros(5000)


def model(data):
    a = pyro.param("a0", torch.tensor(1.0), constraint=constraints.positive)
    b = pyro.param("b0", torch.tensor(1.0), constraint=constraints.positive)
    c = pyro.sample("c", dist.Beta(concentration1=b, concentration0=a))
    with pyro.plate("data", len(data)):
        pyro.sample("obs", dist.Bernoulli(c), obs=data)


def guide(data):
    a = pyro.param("a", torch.tensor(1.0), constraint=constraints.positive)
    b = pyro.param("b", torch.tensor(1.0), constraint=constraints.positive)
    pyro.sample("c", dist.Beta(concentration1=b, concentration0=a))


pyro.set_rng_seed(0)
svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), loss=Trace_ELBO(num_particles=10))
losses = [svi.step(data) for _ in range(100)]
evaluations = [svi.evaluate_loss(data) for _ in range(30)]

pyro.get_param_store().save("store.pt")
for name, values in (("losses", losses), ("evaluations", evaluations)):
    Path(f"{name}.txt").write_text("".join(f"{value}\n" for value in values))
