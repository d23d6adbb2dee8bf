"""Values as far out as they may be, under an errstate that raises: what underflows is zero."""

import itertools
from importlib import import_module

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref._validation.arguments import underflow_is_zero
from elbo_ref.distributions.beta_source import BETA
from tiers import few

TINY, HUGE = 1e-100, 1e100
PRIORS = [er.Beta(a, b) for a, b in itertools.product((TINY, 1e-8, 1.0, 1e15, HUGE), repeat=2)]
NORMALS = [
    er.LogitNormal(y, s) for y, s in itertools.product((-1e5, 0.0, 800.0), (TINY, 1.0, 60.0))
]
COUNTS = [er.Counts(3, 10), er.Counts([0, 10**18, 5 * 10**17], 10**18)]
SMALL = er.Counts([0, 1, 3], 3)

DOORS = {
    "log_evidence": lambda prior, counts: er.log_evidence(prior, counts),
    "log_evidence_gradient": lambda prior, counts: er.log_evidence_gradient(prior, counts),
    "log_evidence_hessian": lambda prior, counts: er.log_evidence_hessian(prior, counts),
    "posterior": lambda prior, counts: er.posterior(prior, counts),
    "elbo": lambda prior, counts: er.elbo(er.Beta(TINY, 3.0), prior, counts),
    "elbo_gradient": lambda prior, counts: er.elbo_gradient(er.Beta(3.0, HUGE), prior, counts),
    "elbo_variance": lambda prior, counts: er.elbo_variance(er.Beta(TINY, TINY), prior, counts),
    "empty_guide_objective": lambda prior, counts: er.empty_guide_objective(prior, counts),
    "empty_guide_objective_gradient": lambda prior, counts: er.empty_guide_objective_gradient(
        prior, counts
    ),
    "moments": lambda prior, counts: (prior.mean, prior.variance, prior.mode, prior.entropy()),
    "log_prob": lambda prior, counts: prior.log_prob([0.0, 5e-324, 1e-300, 0.5, 1 - 1e-16, 1.0]),
    "kl": lambda prior, counts: prior.kl(er.Beta(TINY, HUGE)),
    "sample": lambda prior, counts: prior.sample(5, rng=0),
    "pathwise_gradient": lambda prior, counts: er.pathwise_gradient(
        [-1e300, -800.0, 0.0, 1e300], *prior.arrays()
    ),
    "pathwise_gradient_of_draw": lambda prior, counts: er.pathwise_gradient_of_draw(
        [5e-324, 0.5, 1.0], *prior.arrays()
    ),
    "pooled": lambda prior, counts: er.Counts(
        counts.successes // 9, counts.total_count // 9
    ).pooled(),
}
OF_NORMALS = {
    "moments": lambda guide: (guide.mean, guide.variance),
    "log_prob": lambda guide: guide.log_prob([5e-324, 0.5, 1 - 1e-16]),
    "interval": lambda guide: guide.interval(0.95),
    "sample": lambda guide: guide.sample(5, rng=0),
    "elbo": lambda guide: er.elbo(guide, er.Beta(1.0, 2.0), SMALL),
    "elbo_gradient": lambda guide: er.elbo_gradient(guide, er.Beta(1.0, 2.0), SMALL),
}
OF_RUNS = {
    "gradient_variance": lambda: er.gradient_variance(
        er.Beta(2.0, 3e5), er.Beta(1.0, 1.0), er.Counts(3, 10)
    ),
    "renyi_bound": lambda: er.renyi_bound(
        er.Beta(1.0, 3e5), er.Beta(1.0, 1.0), er.Counts(3, 10), alpha=-1.0
    ),
    "posterior_table": lambda: er.posterior_table(er.Beta(1e-9, 1e9), SMALL).lower,
    "cross_check": lambda: (
        er.cross_check(
            er.Counts(3, 10),
            {"prior.concentration1": 1e-90, "prior.concentration0": 1e90},
            guide="conjugate",
            losses=[9.3],
        ).findings
    ),
    "gradient_variance far out": lambda: er.gradient_variance(
        er.LogitNormal(300.0, 1.0), er.Beta(2.0, 3.0), er.Counts(3, 10)
    ),
    **{
        f"run with guide {guide}": lambda guide=guide: er.diagnose(
            er.maximize_elbo(SMALL, guide, optimizer=er.Adam(lr=1.0), num_steps=10)
        ).body()
        for guide in ("beta", "tied", "normal", "delta", "none")
    },
}


def same(call):
    """A call's value by default, and under an errstate that raises: the same to the last bit."""
    usual = call()
    with np.errstate(all="raise"):
        np.testing.assert_equal(call(), usual)


@pytest.mark.parametrize("name", DOORS)
def test_extreme_concentrations(name):
    for prior, counts in itertools.product(PRIORS, COUNTS):
        same(lambda prior=prior, counts=counts: DOORS[name](prior, counts))


@pytest.mark.parametrize("name", OF_NORMALS)
def test_extreme_normals(name):
    for guide in NORMALS:
        same(lambda guide=guide: OF_NORMALS[name](guide))


@pytest.mark.parametrize("name", few(sorted(OF_RUNS, key=["cross_check", "renyi_bound"].count), 4))
def test_runs_and_quadratures(name):
    same(OF_RUNS[name])


def test_an_optimizer_by_itself():
    for optimizer in (er.Adam(), er.ClippedAdam(), er.ExponentialLR(er.Adam(), 0.5)):
        x = np.array([1.0])
        state = optimizer.init(x)
        same(lambda: optimizer.update(state, x, np.array([1e-170]))[0])  # noqa: B023


def test_only_underflow_is_let_through():
    @underflow_is_zero
    def product(x, y):
        return np.float64(x) * np.float64(y)

    with np.errstate(all="raise"):
        assert product(1e-300, 1e-300) == 0.0
        with pytest.raises(FloatingPointError, match="underflow"):
            np.float64(1e-300) * np.float64(1e-300)
        with pytest.raises(FloatingPointError, match="overflow"):
            product(1e300, 1e300)
    assert product.__name__ == "product"


def test_a_variance_out_of_range_is_infinite():
    # t^2 (psi1(1e-60) - psi1(2e-60)) with t = 1e100 is 1e200 (1e120 - 1e120/4)
    assert er.elbo_variance(er.Beta(1e-60, 1e-60), er.Beta(HUGE, 1.0), er.Counts(0, 0)) == np.inf
    # a variance grows with the square of the tilt, to the last bit for powers of two
    tilt, x = np.ones((2, 1)), np.ones((2, 1))
    assert BETA.variance(tilt * 2.0**500, x) == BETA.variance(tilt, x) * 2.0**1000


class _ReachedError(Exception):
    """Raised after something has underflowed."""


def _underflows(*_arguments, **_named):
    np.float64(1e-300) * np.float64(1e-300)
    raise _ReachedError


@pytest.mark.parametrize(
    ("module", "inner", "call"),
    [
        ("result", "_remembered", lambda _: er.maximize_evidence(SMALL)),
        ("tests", "totals", lambda _: er.tarone_test(SMALL)),
        ("tests", "maximize_evidence", lambda _: er.likelihood_ratio_test(SMALL)),
        ("tests", "_log_prob", er.expected_counts),
    ],
)
def test_whatever_underflows_inside_is_zero(monkeypatch, module, inner, call):
    """Behind each door of `elbo_ref.mle` that a user comes in by."""
    maximum = er.maximize_evidence(er.Counts([0, 1, 3, 2], 3))
    monkeypatch.setattr(import_module(f"elbo_ref.mle.{module}"), inner, _underflows)
    with np.errstate(all="raise"), pytest.raises(_ReachedError):
        call(maximum)
