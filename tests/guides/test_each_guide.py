"""Each guide at any parameters: its gradient by autograd, by differences and by draws; its bound.

The twins below write each objective out, latent by latent, and share nothing with the package.
hypothesis chooses counts and unconstrained parameters, the same ones in every run.
"""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy import special as asp
from hypothesis import given, settings, strategies as st

import elbo_ref as er
from elbo_ref import guides, objectives
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, objective_value
from elbo_ref.svi.parameters import Coordinates

Z = np.linspace(-9.0, 9.0, 1801)
WEIGHTS = np.exp(-Z * Z / 2) / np.exp(-Z * Z / 2).sum()


def log_beta(a, b):
    return asp.gammaln(a) + asp.gammaln(b) - asp.gammaln(a + b)


def moments(a, b):
    return asp.psi(a) - asp.psi(a + b), asp.psi(b) - asp.psi(a + b)


def linear(up, down, logs):
    return up * logs[0] + down * logs[1]


def at(y):
    return -anp.logaddexp(0.0, -y), -anp.logaddexp(0.0, y)


def by_beta(a0, b0, k, f, own):
    a, b = anp.exp(own[0]), anp.exp(own[1])
    rest = log_beta(a, b) - log_beta(a0, b0)
    return linear(a0 + k - a, b0 + f - b, moments(a, b)) + rest


def by_normal(a0, b0, k, f, own):
    loc, scale = own[0], anp.logaddexp(0.0, own[1])
    up, down = (anp.dot(row, WEIGHTS) for row in at(loc + scale * Z))
    entropy = anp.log(scale) + 0.5 * np.log(2 * np.pi * np.e)
    return linear(a0 + k, b0 + f, (up, down)) + entropy - log_beta(a0, b0)


TWINS = {
    "beta": (2, by_beta),
    "beta_shared": (2, by_beta),
    "normal": (2, by_normal),
    "empty": (
        0,
        lambda a, b, k, f, _: linear(a - 1 + k, b - 1 + f, moments(a, b)) - log_beta(a, b),
    ),
    "tied": (0, lambda a, b, k, f, _: linear(k, f, moments(a, b))),
    "conjugate": (0, lambda a, b, k, f, _: log_beta(a + k, b + f) - log_beta(a, b)),
    "conjugate_detached": (0, lambda a, b, k, f, _: log_beta(a + k, b + f) - log_beta(a, b)),
    "delta": (1, lambda a, b, k, f, y: linear(a - 1 + k, b - 1 + f, at(y[0])) - log_beta(a, b)),
    "laplace": (1, lambda a, b, k, f, y: linear(a + k, b + f, at(y[0])) - log_beta(a, b)),
    "none": (1, lambda a, b, k, f, y: linear(k, f, at(y[0]))),
}
BOUNDS = ("beta", "beta_shared", "normal", "tied", "conjugate", "conjugate_detached")

ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=3)
FREE = st.lists(st.floats(-2.5, 3.5), min_size=8, max_size=8)
every_guide = pytest.mark.parametrize("name", TWINS)
always = settings(deadline=None, derandomize=True, max_examples=40)


class Example:
    """A guide, counts and unconstrained parameters."""

    def __init__(self, name, rows, numbers):
        self.k, self.f = np.array(rows, dtype=float).T
        self.counts = er.Counts(self.k.astype(int), (self.k + self.f).astype(int))
        self.num_own, self.latent = TWINS[name]
        self.guide = guides.find(name)
        width = 1 if self.guide.shared else len(rows)
        self.own = np.array(numbers[2 : 2 + self.num_own * width]).reshape(self.num_own, width)
        self.prior = er.Beta(*np.exp(numbers[:2]))
        self.space = Coordinates(Task(self.guide, self.counts), self.prior, True, self.own)

    def twin(self, vector):
        own = anp.reshape(vector[2:], self.own.shape) if self.num_own else None
        total = 0.0
        for g in range(len(self.k)):
            mine = own[:, 0 if self.guide.shared else g] if self.num_own else None
            a, b = anp.exp(vector[0]), anp.exp(vector[1])
            total = total + self.latent(a, b, self.k[g], self.f[g], mine)
        return total

    def value(self, vector):
        prior, own = self.space.split(vector)
        return objective_value(self.space.task, er.Beta(*prior[:, 0]), own)

    def gradient(self, objective=None, particles=1, rng=None):
        objective = objective or Exact()
        return self.space.gradient(objective, self.space.start, particles, rng)[0]


@pytest.mark.thorough
@every_guide
@always
@given(rows=ROWS, numbers=FREE)
def test_value_and_gradient_against_autograd(name, rows, numbers):
    example = Example(name, rows, numbers)
    start = example.space.start
    coefficients = float(example.counts.log_coefficient.sum())
    assert example.value(start) - coefficients == pytest.approx(example.twin(start), rel=1e-9)
    wanted = autograd.grad(example.twin)(start)
    size = np.abs(wanted).max() + 1.0
    if name == "none":
        wanted[:2] = 0.0
    np.testing.assert_allclose(example.gradient(), wanted, rtol=1e-9, atol=1e-10 * size)


@pytest.mark.thorough
@every_guide
@always
@given(rows=ROWS, numbers=FREE)
def test_gradient_against_differences(name, rows, numbers):
    example = Example(name, rows, numbers)
    start, h = example.space.start, 1e-4
    got = example.gradient()
    for i, shift in enumerate(np.eye(start.size) * h):
        ahead, back, far, further = (example.value(start + n * shift) for n in (1, -1, 2, -2))
        difference = (8 * (ahead - back) - (far - further)) / (12 * h)
        assert got[i] == pytest.approx(difference, rel=1e-6, abs=1e-6 * (1 + abs(ahead)))


@pytest.mark.thorough
@every_guide
@settings(deadline=None, derandomize=True, max_examples=10)
@given(rows=ROWS, numbers=FREE)
def test_gradient_against_draws(name, rows, numbers):
    """The mean of 100 steps of 100 particles within 6 of its standard errors, 2e-9 each."""
    example, rng = Example(name, rows, numbers), np.random.default_rng(5)
    draws = np.array([example.gradient(objectives.find("trace"), 100, rng) for _ in range(100)])
    wanted = example.gradient()
    error = draws.std(axis=0, ddof=1) / 10 + 1e-10 * (1 + np.abs(wanted).max())
    assert (np.abs(draws.mean(axis=0) - wanted) < 6 * error).all()


@pytest.mark.parametrize("name", BOUNDS)
@always
@given(rows=ROWS, numbers=FREE)
def test_below_the_evidence(name, rows, numbers):
    example = Example(name, rows, numbers)
    evidence = er.log_evidence(example.prior, example.counts)
    value = example.value(example.space.start)
    assert value <= evidence + 1e-11 * (1 + abs(value))


@pytest.mark.parametrize("name", ["empty", "delta", "laplace"])
def test_what_is_no_bound_can_be_above_the_evidence(name):
    """So that the test before this one says something."""
    example = Example(name, [(3, 7)], [9.0, 9.5, -0.5, 0, 0, 0, 0, 0])
    evidence = er.log_evidence(example.prior, example.counts)
    assert example.value(example.space.start) > evidence + 1
