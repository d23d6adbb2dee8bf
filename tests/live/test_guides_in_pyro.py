"""Pyro's automatic guides and its other ELBO classes, live, against our exact values.

At fixed parameters the mean over many batches of Pyro's loss and unconstrained gradients is
compared with the closed form or the quadrature of ours: Z = 5 standard errors, 1e-6 each, seeds
fixed; what is not random must agree to rounding. Gradients through a Beta draw are allowed
PyTorch's bias, BIAS of one batch's standard deviations (`test_pyro`).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
import oracles
from elbo_ref import guides
from elbo_ref.objectives import find
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, objective_value
from elbo_ref.svi.parameters import ParameterVector
from tiers import few

pytestmark = [
    pytest.mark.live,
    pytest.mark.filterwarnings("ignore:Found vars in model but not guide:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*num_chains.*:UserWarning"),
]

K, N = (3.0, 7.0, 12.0), (10.0, 9.0, 40.0)
COUNTS = er.Counts([3, 7, 12], [10, 9, 40])
PRIOR = er.Beta(2.0, 5.0)
POINTS = np.array([0.3, 0.6, 0.35])
BETA = er.Beta([4.0, 8.0, 15.0], [9.0, 6.0, 30.0])
SHARED = er.Beta(4.0, 7.0)
NORMAL = er.LogitNormal(np.log(POINTS / (1 - POINTS)), 0.4)
START = {
    "beta": BETA,
    "normal": NORMAL,
    "delta": er.Delta(POINTS),
    "laplace": NORMAL,
    "beta_shared": SHARED,
}
Z, BIAS, BATCHES, PARTICLES = 5.0, 2e-3, 120, 100


class Still:
    """An optimizer that notes the gradients of the loss and never moves."""

    lr = 1.0

    def __init__(self):
        self.gradients = []

    def init(self, parameters):
        return None

    def update(self, state, parameters, gradient):
        self.gradients.append(gradient)
        return parameters, state


def ours(name, loss="exact", steps=1, particles=1):
    """Rows [loss, gradient of the loss], at the parameters of START."""
    still, setup = Still(), {"prior": PRIOR, "num_steps": steps, "num_particles": particles}
    if name == "beta_shared":
        # a shared pair starts at (1, 1): its gradient elsewhere is the sum over one for each
        by_prior, by_guide = er.elbo_gradient(SHARED, PRIOR, COUNTS)
        value = er.elbo(SHARED, PRIOR, COUNTS)
        scale = [*PRIOR.arrays(), *SHARED.arrays()]
        return -np.array([[value, *(np.array([*by_prior, *by_guide]) * scale)]])
    guide = name if name in ("empty", "tied", "conjugate", "conjugate_detached") else START[name]
    if name == "laplace":
        return _adapted("laplace", loss)
    run = er.maximize_elbo(COUNTS, guide, loss=loss, optimizer=still, **setup)
    return np.column_stack([run.losses, still.gradients])


def _adapted(name, loss):
    """A guide as the loss sees it, from NORMAL: a value of its kind is always `normal`."""
    guide = find(loss).adapted(guides.find(name))
    space = ParameterVector(Task(guide, COUNTS), PRIOR, True, guide.start(NORMAL, 3))
    gradient, _ = space.gradient(Exact(), space.start, 1, np.random.default_rng(0))
    value = objective_value(space.task, PRIOR, space.split(space.start)[1])
    return -np.array([[value, *gradient]])


@pytest.fixture(scope="module")
def theirs(torch, pyro):
    """Rows of Pyro's loss and unconstrained gradients, prior first, a batch each."""
    from pyro.infer import autoguide
    from pyro.infer.autoguide.initialization import init_to_value

    dist, constraints = pyro.distributions, pyro.distributions.constraints

    def tensor(x):
        return torch.tensor(np.array(x), dtype=torch.float64)

    k, n, points = tensor(K), tensor(N), tensor(POINTS)

    def parameter(name, value):
        return pyro.param(name, tensor(value), constraint=constraints.positive)

    def prior():
        one, zero = PRIOR.arrays()
        return parameter("prior.1", one), parameter("prior.0", zero)

    def model(rsample=True):
        a, b = prior()
        with pyro.plate("latents", 3):
            c = pyro.sample("c", dist.Beta(a, b))
            pyro.sample("successes", dist.Binomial(n, c), obs=k)

    def own_beta(value, rsample):
        one, zero = value.arrays()
        q = dist.Beta(parameter("guide.1", one), parameter("guide.0", zero))
        return q if rsample else q.has_rsample_(False)

    def hand_made(name, rsample):
        def guide():
            if name == "empty":
                return
            a, b = prior() if name != "beta" else (None, None)
            with pyro.plate("latents", 3):
                if name in ("conjugate", "conjugate_detached"):
                    if name == "conjugate_detached":
                        a, b = a.detach(), b.detach()
                    pyro.sample("c", dist.Beta(a + k, b + n - k))
                elif name == "tied":
                    pyro.sample("c", dist.Beta(a, b))
                else:
                    value = BETA if name == "beta" else SHARED
                    pyro.sample("c", own_beta(value, rsample))

        return guide

    def rows(name, elbo, batches=BATCHES, rsample=True):
        with pyro.get_param_store().scope():
            torch.manual_seed(1)
            torch.set_default_dtype(torch.float64)
            try:
                start = {"init_loc_fn": init_to_value(values={"c": points})}
                guide = {
                    "normal": lambda: autoguide.AutoNormal(model, init_scale=0.4, **start),
                    "delta": lambda: autoguide.AutoDelta(model, **start),
                    "laplace": lambda: autoguide.AutoLaplaceApproximation(model, **start),
                }.get(name, lambda: hand_made(name, rsample))()
                found = []
                for _ in range(batches):
                    loss = elbo.loss_and_grads(model, guide)
                    parts = dict(pyro.get_param_store().named_parameters())
                    wanted = ("prior.1", "prior.0", "guide.1", "guide.0", ".locs.c", ".scales.c")
                    order = [
                        key
                        for part in (*wanted, "AutoDelta.c", ".loc")
                        for key in parts
                        if key == part or (key.endswith(part) and part.startswith(("Auto", ".")))
                    ]
                    gradients = [parts[key].grad.numpy().ravel() for key in order]
                    found.append(np.concatenate([[loss], *gradients]))
                    for part in parts.values():
                        part.grad = None
                return np.array(found)
            finally:
                torch.set_default_dtype(torch.float32)

    return rows


def elbo_class(pyro, name, particles=PARTICLES, **settings):
    return getattr(pyro.infer, name)(
        num_particles=particles, vectorize_particles=particles > 1, max_plate_nesting=1, **settings
    )


def z_scores(rows, wanted):
    one_particle = rows.std(axis=0, ddof=1) * np.sqrt(PARTICLES)
    return oracles.mean_scores(rows, wanted, BIAS * one_particle * (np.arange(wanted.size) > 0))


EVERY = (*START, "empty", "tied", "conjugate", "conjugate_detached")
CASES = [
    *(("Trace_ELBO", "trace", name) for name in EVERY),
    *(("TraceGraph_ELBO", "trace_graph", name) for name in EVERY),
    *(("TraceEnum_ELBO", "trace_enum", name) for name in EVERY),
    *(("TraceMeanField_ELBO", "trace_mean_field", name) for name in EVERY if name != "empty"),
]


@pytest.mark.parametrize(("class_name", "loss", "name"), few(CASES, 5))
def test_the_mean_of_pyro_s_loss_and_gradient(theirs, pyro, class_name, loss, name):
    exactly = ours(name, loss)[0] if name == "laplace" else _expected(name, loss)
    quiet = {"strict_enumeration_warning": False} if class_name == "TraceEnum_ELBO" else {}
    rows = theirs(name, elbo_class(pyro, class_name, **quiet))
    z = z_scores(rows, exactly)
    assert rows.shape[1] == exactly.size and (z < Z).all(), z
    if name in ("delta", "laplace") or (name == "conjugate" and loss != "trace_mean_field"):
        np.testing.assert_allclose(rows[0], exactly, rtol=1e-9, atol=1e-10)
    else:
        wrong = z_scores(rows, exactly * 1.3 + 0.1)
        assert wrong.max() > Z  # negative control


@pytest.mark.parametrize(
    ("class_name", "loss", "name"),
    few([
        ("TraceMeanField_ELBO", "trace_mean_field", "normal"),
        ("TraceMeanField_ELBO", "trace_mean_field", "beta"),
        ("Trace_ELBO", "trace", "normal"),
    ]),
)  # fmt: skip
def test_the_spread_of_pyro_s_loss_and_gradient(theirs, pyro, class_name, loss, name):
    """Standard deviations of one particle, to 20%, six standard errors of theirs of 2000 or more.

    What is drawn of a divergence is seen in no mean: a normal guide's under mean field is.
    """
    spread = theirs(name, elbo_class(pyro, class_name, particles=1), batches=2000).std(axis=0)
    mine, of_two = (ours(name, loss, steps=2000, particles=x).std(axis=0) for x in (1, 2))
    drawn = mine > 1e-9  # the prior's gradient is not, if the divergence is not
    assert (spread[~drawn] < 1e-9).all() and drawn[0]
    spread, mine, of_two = spread[drawn], mine[drawn], of_two[drawn]
    assert (np.abs(np.log(spread / mine)) < 0.2).all(), spread / mine
    assert (np.abs(np.log(spread / of_two)) > 0.2).all()  # negative control


def _expected(name, loss):
    """Minus the closed form; of `normal` under mean field, of what Pyro computes there."""
    if loss == "trace_mean_field" and name == "normal":
        found = _adapted("normal", loss)[0]
        assert -found[0] > er.elbo(NORMAL, PRIOR, COUNTS) + 1  # it is not the ELBO
        return found
    return ours(name)[0]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "alpha"),
    [("beta", 0.0), ("beta", 0.5), ("beta", 2.0), ("empty", 0.0), ("normal", 0.5), ("tied", 2.0)],
)
def test_renyi_in_a_plate(theirs, pyro, name, alpha):
    """K = 3: two samples of means, theirs of K vectorised particles, ours of `Renyi`."""
    rows = theirs(name, elbo_class(pyro, "RenyiELBO", particles=3, alpha=alpha), batches=1000)
    mine = ours(name, er.Renyi(alpha=alpha, num_samples=3), steps=3000)
    variance = rows.var(axis=0) / len(rows) + mine.var(axis=0) / len(mine)
    z = (rows.mean(axis=0) - mine.mean(axis=0)) / np.sqrt(variance)
    assert (np.abs(z) < Z).all(), z


@pytest.mark.thorough
def test_renyi_outside_a_plate_is_another_value(torch, pyro):
    """There Pyro averages the product of all latents' weights, which ours are put together to."""
    dist, alpha, particles = pyro.distributions, 0.0, 3
    wide = er.Beta([1.5, 2.0, 2.0], [2.5, 1.5, 3.0])
    k, n, one, zero = (
        torch.tensor(np.array(x), dtype=torch.float64) for x in (K, N, *wide.arrays())
    )
    first, second = (torch.tensor(float(x), dtype=torch.float64) for x in PRIOR.arrays())

    def model():
        c = pyro.sample("c", dist.Beta(first, second).expand([3]).to_event(1))
        pyro.sample("successes", dist.Binomial(n, c).to_event(1), obs=k)

    def guide():
        pyro.sample("c", dist.Beta(one, zero).to_event(1))

    torch.manual_seed(2)
    elbo = pyro.infer.RenyiELBO(alpha=alpha, num_particles=particles)
    theirs = -np.array([elbo.loss(model, guide) for _ in range(1500)])
    draws = wide.sample((20_000, particles), rng=1)
    weights = PRIOR.log_prob(draws) - wide.log_prob(draws) + stats.binom.logpmf(K, N, draws)
    product = special.logsumexp(weights.sum(axis=2), axis=1) - np.log(particles)
    separate = (special.logsumexp(weights, axis=1) - np.log(particles)).sum(axis=1)

    def z(mine):
        error = np.sqrt(theirs.var() / theirs.size + mine.var() / mine.size)
        return (theirs.mean() - mine.mean()) / error

    assert abs(z(product)) < Z < abs(z(separate)) and separate.mean() > product.mean()


@pytest.mark.thorough
def test_a_guide_that_cannot_be_reparameterized(theirs, pyro):
    """Pyro's score function is ours: the same mean, and the variance that `noise` predicts."""
    particles = 1
    rows = theirs("beta", elbo_class(pyro, "Trace_ELBO", particles), 2500, rsample=False)
    z = z_scores(rows, ours("beta")[0])
    assert (z < Z).all(), z
    for g in range(3):
        one = er.Counts(COUNTS.successes[g], COUNTS.total_count[g])
        a, b = (float(x[g]) for x in BETA.arrays())
        noise = er.gradient_variance(er.Beta(a, b), PRIOR, one).score_function.variance
        for column, x, variance in ((3 + g, a, noise[0]), (6 + g, b, noise[1])):
            sample = rows[:, column] / x
            away = (sample - sample.mean()) ** 2
            z = (away.mean() - variance) / (away.std() / np.sqrt(len(rows)))
            assert abs(z) < Z, (g, column, away.mean(), variance)


def test_what_pyro_refuses_we_refuse(theirs, pyro):
    with pytest.raises(KeyError):
        theirs("empty", elbo_class(pyro, "TraceMeanField_ELBO"), batches=1)
    with pytest.raises(ValueError, match="no guide to compare the prior with"):
        er.maximize_elbo(COUNTS, "empty", loss="trace_mean_field")


@pytest.mark.thorough
def test_laplace_of_pyro_is_where_ours_is(torch, pyro):
    """The mode on the logit, and the curvature there."""
    from pyro.infer import SVI, Trace_ELBO, autoguide

    dist = pyro.distributions
    k, n = torch.tensor(K, dtype=torch.float64), torch.tensor(N, dtype=torch.float64)
    one, zero = (torch.tensor(float(x), dtype=torch.float64) for x in PRIOR.arrays())

    def model():
        with pyro.plate("latents", 3):
            c = pyro.sample("c", dist.Beta(one, zero))
            pyro.sample("successes", dist.Binomial(n, c), obs=k)

    with pyro.get_param_store().scope():
        torch.manual_seed(0)
        guide = autoguide.AutoLaplaceApproximation(model)
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
        for _ in range(600):
            svi.step()
        reached = guide.laplace_approximation()
        loc = reached.loc.detach().numpy()
        scale = (reached.scale[:, None] * reached.scale_tril).detach().numpy()
    run = er.maximize_elbo(
        COUNTS, "laplace", loss="exact", prior=PRIOR, learn_prior=False, optimizer=er.Adam(lr=0.05),
        num_steps=1500,
    )  # fmt: skip
    np.testing.assert_allclose(run.guide.loc, loc, atol=1e-4)
    np.testing.assert_allclose(run.guide.scale, np.diag(scale), rtol=1e-4)
    up, down = 2 + np.array(K), 5 + np.array(N) - np.array(K)
    np.testing.assert_allclose(run.guide.loc, np.log(up / down), atol=1e-6)
    np.testing.assert_allclose(run.guide.scale, np.sqrt((up + down) / up / down), rtol=1e-6)
