"""`elbo_ref.objectives.base`: how a task is divided into parts of few draws.

A statistical test fails by chance with probability 6e-7 (|z| > 5).
"""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import elbo_ref as er
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES, Exact, ScoreFunction, base, find
from elbo_ref.objectives.base import Task

PRIOR = np.array([[1.5], [2.5]])
MULTIPLICITIES = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(sum)


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr(base, "_BLOCK", 6)


@pytest.mark.usefixtures("few_at_once")
@settings(max_examples=50)
@given(MULTIPLICITIES, st.integers(1, 20), st.booleans())
def test_parts_make_up_the_whole(multiplicity, draws, divisible):
    """Each latent has all its draws, in no more than a block unless they belong together."""
    size = len(multiplicity)
    task = Task(GUIDES["beta"], er.Counts(range(size), size, multiplicity))
    taken, weights = np.zeros(size), np.zeros(size)
    for part, entries, some in task.parts(draws, divisible):
        if divisible or draws <= 6:
            assert part.num_latents * some <= 6
        else:
            assert (part.num_latents, some) == (1, draws)
        np.testing.assert_array_equal(part.outcomes, task.outcomes[:, entries])
        taken[entries] += part.multiplicity * some
        weights[entries] += part.weights
    np.testing.assert_array_equal(taken, np.multiply(multiplicity, draws))
    np.testing.assert_allclose(weights, task.weights, rtol=1e-14)


def in_parts_is_whole(objective, task, monkeypatch):
    k, size = len(task.guide.parameter_names), 1 if task.guide.shared else 4
    params = task.guide.constrain(np.full((k, size), 0.3))

    def steps(block):
        monkeypatch.setattr(base, "_BLOCK", block)
        rng = np.random.default_rng(block)
        for _ in range(150):
            step = objective.step(task, PRIOR, params, 4, rng)
            yield np.concatenate([step.prior, step.params.ravel(), [step.value]])

    whole, parts = (np.array(list(steps(block))) for block in (10**6, 5))
    away = whole.mean(axis=0) - parts.mean(axis=0)
    error = np.sqrt((whole.var(axis=0) + parts.var(axis=0)) / 150)
    return (np.abs(away) <= 5 * error + 1e-12 * np.abs(whole).max(axis=0)).all()


@pytest.mark.thorough
@pytest.mark.parametrize("loss", [*OBJECTIVES, ScoreFunction("leave_one_out")])
@pytest.mark.parametrize("guide", ["beta", "beta_shared", "tied", "conjugate", "normal", "delta"])
def test_a_step_in_parts_has_the_expectation_of_the_whole(loss, guide, monkeypatch):
    """Of the prior's gradient, the guide's and the value, beside the same step at once."""
    counts = er.Counts([0, 3, 2, 5], [4, 4, 9, 5], [2, 1, 0, 3])
    objective, task = find(loss), Task(GUIDES[guide], counts)
    if isinstance(objective, Exact) or (not task.guide.has_score and "score" in objective.name):
        return
    task.guide = objective.adapted(task.guide)
    assert in_parts_is_whole(objective, task, monkeypatch)


@pytest.mark.thorough
def test_a_step_that_lacks_a_part_has_another_expectation(monkeypatch):
    task = Task(GUIDES["beta"], er.Counts([0, 3, 2, 5], [4, 4, 9, 5], [2, 1, 0, 3]))
    parts = task.parts
    monkeypatch.setattr(task, "parts", lambda *of: parts(*of)[:-1] or parts(*of))
    assert not in_parts_is_whole(find("trace"), task, monkeypatch)


@pytest.mark.thorough
@pytest.mark.parametrize(("size", "particles"), [(1_000_000, 1), (10, 100_000)])
def test_memory_of_a_step_is_bounded_by_a_block(size, particles):
    """200 MB beside parameters, gradient and counts, whatever latents times particles."""
    task = Task(GUIDES["beta"], er.Counts(np.arange(size) % 21, 20))
    params = np.stack([1.0 + np.arange(size) % 21, 21.0 - np.arange(size) % 21])
    tracemalloc.start()
    find("trace").step(task, PRIOR, params, particles, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - 4 * params.nbytes < 60e6


@pytest.mark.parametrize("multiplicity", [[1], [1, 1, 1], [2, 1, 3], [0, 4]])
@pytest.mark.parametrize("particles", [1, 3])
def test_averages_over_particles_and_equal_latents(multiplicity, particles):
    """Of each entry; that of an entry without latents is 0."""
    size = len(multiplicity)
    task = Task(GUIDES["beta"], er.Counts(range(size), size, multiplicity))
    rows = np.random.default_rng(1).normal(size=(2, particles, sum(multiplicity)))
    wanted, start = np.zeros((2, size)), 0
    for entry, times in enumerate(multiplicity):
        if times:
            wanted[:, entry] = rows[..., start : start + times].mean(axis=(1, 2))
        start += times
    np.testing.assert_allclose(task.per_entry(rows), wanted, rtol=1e-13)


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("loss", ["trace", er.Renyi(0.0, 3)])
def test_a_step_in_parts_draws_as_often_as_the_whole(loss, monkeypatch):
    """Each particle of each latent once, with all of its samples."""
    objective, task = find(loss), Task(GUIDES["beta"], er.Counts([1, 2, 3, 0], 4))
    drawn, honest = [], type(objective).draw

    def noted(self, part, prior, params, num_particles, rng):
        drawn.append(num_particles * part.num_latents)
        return honest(self, part, prior, params, num_particles, rng)

    monkeypatch.setattr(type(objective), "draw", noted)
    objective.step(task, PRIOR, np.ones((2, 4)), 8, np.random.default_rng(0))
    assert len(drawn) > 1 and sum(drawn) == 8 * 4
