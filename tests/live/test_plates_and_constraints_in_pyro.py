"""``pyro.plate(subsample_size=)`` and ``softplus_positive``, live, against ours.

At fixed parameters: means of loss and gradient against the exact ones, and the variance of the loss
against the closed form, Z = 5 standard errors each (6e-7), seeds fixed. The optimizer's path is
compared step by step, on an objective without noise.
"""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.guides.constraints import CONSTRAINTS

pytestmark = [
    pytest.mark.live,
    pytest.mark.filterwarnings("ignore:.*num_chains.*:UserWarning"),
]

K, N = [3, 7, 12, 0, 5], [10, 9, 40, 6, 20]
TRIALS = [0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0]
PRIOR = er.Beta(2.0, 5.0)
EACH = er.Beta([4.0, 8.0, 15.0, 2.0, 6.0], [9.0, 6.0, 30.0, 9.0, 20.0])
ALONE = er.Beta(5.0, 11.0)
Z, BATCHES = 5.0, 2500


@pytest.fixture(scope="module")
def double(torch):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(7)
    yield torch
    torch.set_default_dtype(torch.float32)


def rows_of_pyro(torch, pyro, model, guide):
    """[loss, gradient of the loss by the logarithms of prior and guide] of single particles."""
    elbo = pyro.infer.Trace_ELBO()
    rows = []
    for _ in range(BATCHES):
        loss = elbo.loss_and_grads(model, guide)
        parts = dict(pyro.get_param_store().named_parameters())
        rows.append([loss, *(g for key in sorted(parts) for g in parts[key].grad.numpy().ravel())])
        for part in parts.values():
            part.grad = None
    return np.array(rows)


def parameters(torch, pyro, guide_value):
    positive = pyro.distributions.constraints.positive
    values = {"a.prior1": PRIOR.concentration1, "b.prior0": PRIOR.concentration0}
    values |= {"c.guide1": guide_value.concentration1, "d.guide0": guide_value.concentration0}
    return lambda: [pyro.param(k, torch.tensor(v), constraint=positive) for k, v in values.items()]


def compare(rows, counts, guide_value, size):
    run = er.maximize_elbo(
        counts, guide_value, prior=PRIOR, optimizer=er.Adam(lr=1e-12), num_steps=1,
        subsample_size=size,
    )  # fmt: skip
    by_prior, by_guide = er.elbo_gradient(guide_value, PRIOR, counts)
    scale = np.concatenate([np.ravel(x) for x in (*PRIOR.arrays(), *guide_value.arrays())])
    gradient = np.concatenate([np.ravel(x) for x in (*by_prior, *by_guide)]) * scale
    wanted = -np.array([er.elbo(guide_value, PRIOR, counts), *gradient])
    error = rows.std(axis=0) / np.sqrt(len(rows))
    assert (np.abs(rows.mean(axis=0) - wanted) < Z * error).all()
    squares = (rows[:, 0] - wanted[0]) ** 2
    error = squares.std() / np.sqrt(len(rows))
    assert abs(squares.mean() - run.step_std**2) < Z * error, (squares.mean(), run.step_std**2)
    whole = er.elbo_variance(guide_value, PRIOR, counts)
    assert abs(squares.mean() - whole) > Z * error  # negative control


@pytest.mark.thorough
def test_a_plate_of_latents(double, pyro):
    torch, dist = double, pyro.distributions
    k, n = torch.tensor(K, dtype=torch.float64), torch.tensor(N, dtype=torch.float64)
    values = parameters(torch, pyro, EACH)

    def model():
        one, zero, _, _ = values()
        with pyro.plate("latents", 5, subsample_size=2) as some:
            c = pyro.sample("c", dist.Beta(one, zero))
            pyro.sample("successes", dist.Binomial(n[some], c), obs=k[some])

    def guide():
        _, _, one, zero = values()
        with pyro.plate("latents", 5, subsample_size=2) as some:
            pyro.sample("c", dist.Beta(one[some], zero[some]))

    with pyro.get_param_store().scope():
        rows = rows_of_pyro(torch, pyro, model, guide)
    compare(rows, er.Counts(K, N), EACH, 2)


@pytest.mark.thorough
def test_a_plate_of_observations(double, pyro):
    torch, dist = double, pyro.distributions
    trials = torch.tensor(TRIALS, dtype=torch.float64)
    values = parameters(torch, pyro, ALONE)

    def model():
        one, zero, _, _ = values()
        c = pyro.sample("c", dist.Beta(one, zero))
        with pyro.plate("data", 12, subsample_size=3) as some:
            pyro.sample("trial", dist.Bernoulli(c), obs=trials[some])

    def guide():
        _, _, one, zero = values()
        pyro.sample("c", dist.Beta(one, zero))

    with pyro.get_param_store().scope():
        rows = rows_of_pyro(torch, pyro, model, guide)
    compare(rows, er.Counts.shared(TRIALS, 1), ALONE, 3)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_the_path_under_each_constraint(double, pyro, constraint):
    """The conjugate guide has no noise: 50 steps of Adam, parameter by parameter."""
    torch, dist = double, pyro.distributions
    k, n = torch.tensor(K, dtype=torch.float64), torch.tensor(N, dtype=torch.float64)
    kind = getattr(dist.constraints, constraint)

    def prior():
        return [
            pyro.param(name, torch.tensor(value), constraint=kind)
            for name, value in (("one", 2.0), ("zero", 5.0))
        ]

    def model():
        one, zero = prior()
        with pyro.plate("latents", 5):
            c = pyro.sample("c", dist.Beta(one, zero))
            pyro.sample("successes", dist.Binomial(n, c), obs=k)

    def guide():
        one, zero = prior()
        with pyro.plate("latents", 5):
            pyro.sample("c", dist.Beta(one + k, zero + n - k))

    with pyro.get_param_store().scope():
        svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), pyro.infer.Trace_ELBO())
        path = []
        for _ in range(50):
            svi.step()
            path.append([pyro.param(name).item() for name in ("one", "zero")])
    run = er.maximize_elbo(
        er.Counts(K, N), "conjugate", loss="exact", prior=PRIOR, optimizer=er.Adam(lr=0.1),
        num_steps=50, constraint=constraint,
    )  # fmt: skip
    mine = np.transpose(run.history.prior.arrays())[1:]
    np.testing.assert_allclose(mine, path, rtol=1e-8)
