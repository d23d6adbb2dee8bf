"""Each guide at any parameters: its gradient by autograd, by differences and by draws; its bound.

hypothesis chooses counts and unconstrained parameters, the same ones in every run.
"""

import autograd
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import elbo_ref as er
import oracles
from elbo_ref import guides, objectives
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, objective_value
from elbo_ref.svi.parameters import ParameterVector
from tiers import few

BOUNDS = ("beta", "beta_shared", "normal", "tied", "conjugate", "conjugate_detached")

ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=3)
FREE = st.lists(st.floats(-2.5, 3.5), min_size=8, max_size=8)
every_guide = pytest.mark.parametrize("name", oracles.OBJECTIVES)
always = settings(max_examples=40)


class Example:
    """A guide, counts and unconstrained parameters."""

    def __init__(self, name, rows, numbers):
        self.k, self.f = np.array(rows, dtype=float).T
        self.counts = er.Counts(self.k.astype(int), (self.k + self.f).astype(int))
        self.name, (num_own, _) = name, oracles.OBJECTIVES[name]
        self.guide = guides.find(name)
        width = 1 if self.guide.shared else len(rows)
        self.own = np.array(numbers[2 : 2 + num_own * width]).reshape(num_own, width)
        self.prior = er.Beta(*np.exp(numbers[:2]))
        self.space = ParameterVector(Task(self.guide, self.counts), self.prior, True, self.own)

    def twin(self, vector):
        return oracles.objective(vector, self.name, self.counts)

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
    assert example.value(start) == pytest.approx(example.twin(start), rel=1e-9)
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
@settings(max_examples=10)
@given(rows=ROWS, numbers=FREE)
def test_gradient_against_draws(name, rows, numbers):
    """The mean of 100 steps of 100 particles within 6 of its standard errors, 2e-9 each."""
    example, rng = Example(name, rows, numbers), np.random.default_rng(5)
    draws = np.array([example.gradient(objectives.find("trace"), 100, rng) for _ in range(100)])
    wanted = example.gradient()
    error = draws.std(axis=0, ddof=1) / 10 + 1e-10 * (1 + np.abs(wanted).max())
    assert (np.abs(draws.mean(axis=0) - wanted) < 6 * error).all()


@pytest.mark.parametrize("name", few(BOUNDS, 2))
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
