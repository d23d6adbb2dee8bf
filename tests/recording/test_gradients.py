"""Parts of a gradient by differences of the terms, and what each departure is called."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from elbo_ref import guides
from elbo_ref.recording.replay.gradients import compare_gradients
from elbo_ref.recording.replay.losses import Explanation
from elbo_ref.recording.replay.program import Columns, Program
from elbo_ref.recording.replay.roles import Candidates, make_trace
from recorded import COUNTS, LOGC, K, Made, N

PRIOR = np.array([[2.0] * 3, [5.0] * 3])
OWN = {
    "beta": np.array([[4.0, 8.0, 15.0], [9.0, 6.0, 30.0]]),
    "normal": np.array([[-0.7, 0.4, -0.2], [0.5, 0.9, 0.2]]),
    "laplace": np.array([[-0.7, 0.4, -0.2]]),
    "delta": np.array([[-0.7, 0.4, -0.2]]),
    "empty": np.zeros((0, 3)),
    "tied": np.zeros((0, 3)),
}


def columns(logit, prior, own):
    outcomes = np.array([K, N - K], float)
    constants = COUNTS.log_coefficient, np.abs(COUNTS.log_coefficient)
    return Columns(
        special.expit(logit), logit, prior, own, outcomes, *constants, np.full((2, 1), 0.5)
    )


@pytest.mark.parametrize("mean_field", [False, True])
@pytest.mark.parametrize("kind", OWN)
def test_parts_are_the_derivatives_of_the_terms(kind, mean_field):
    """Each parameter moved, the draws fixed and then moved along their derivative."""
    guide, own = guides.find(kind), OWN[kind]
    program = Program(guide, "float64", mean_field)
    y = np.random.default_rng(0).normal(-0.5, 0.4, (2, 3))
    if guide.is_point:
        y = np.repeat(own, 2, axis=0)
    at = columns(y, PRIOR, own)
    pathwise = guide.source.pathwise(y, guide.source_parameters(PRIOR, own))
    parts = program.parts(at, pathwise, 1.0)
    parameters, h = np.concatenate((PRIOR, own)), 1e-5

    def objective(parameters, y):
        now = columns(y, parameters[:2], parameters[2:])
        return now.mean(program.terms(now).objective())

    first = 0 if guide.origin == "prior" else 2  # row of the first parameter that draws follow
    for row in range(len(parameters)):
        step = np.zeros((len(parameters), 1))
        step[row] = h
        moved = h * pathwise[row - first] if 0 <= row - first < len(pathwise) else 0.0
        whole = moved, parts.density + parts.through
        # the own density of a normal is in the part through the draws, where it cancels
        apart = kind != "normal" or row < 2
        for along, wanted in ((0.0, parts.density), whole) if apart else (whole,):
            up, down = (
                objective(parameters + step, y + along),
                objective(parameters - step, y - along),
            )
            np.testing.assert_allclose((up - down) / (2 * h), wanted[row], rtol=1e-6, atol=1e-6)
    assert np.all(parts.magnitude >= 0) and np.all(np.isfinite(parts.rounding))


@pytest.fixture(scope="module")
def made():
    return Made("empty")


def found(made, likelihood=1.0, factor=1.0, explained=True, **changed):
    recording = made.recording(**changed)
    candidates = Candidates.of(recording, made.kind, COUNTS)
    trace = make_trace(candidates, COUNTS, names=made.names)
    explanation = Explanation((), trace, likelihood, factor, explained)
    return compare_gradients(explanation, COUNTS)


def gradients(made, times=1.0, **plus):
    return {
        "gradients": lambda r: {n: times * g + plus.get(n, 0.0) for n, g in r.gradients.items()}
    }


def test_a_clean_gradient_agrees_without_pytorch(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    first, second, kernel = found(made)
    assert first.status == second.status == "agrees" and kernel.status == "untested"
    shifted = found(made, **gradients(made, a=1e-6))
    assert [f.status for f in shifted] == ["untested", "agrees", "untested"]


def test_gradients_are_multiplied_as_the_losses_are(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    findings = found(made, factor=3.0, **gradients(made, 3.0))
    assert [f.status for f in findings[:2]] == ["agrees"] * 2
    assert "multiplied by 3, as the losses are" in findings[0].reason
    assert found(made, factor=2.0, **gradients(made, 3.0))[0].status == "untested"


@pytest.mark.parametrize("kind", ["empty", "beta"])
def test_a_likelihood_that_is_scaled_is_in_the_gradient(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    scaled = Made(kind, likelihood=2.0)
    right, wrong = (
        [f.status for f in found(scaled, likelihood=x) if f.name == "gradients"] for x in (2.0, 1.0)
    )
    assert set(right) == {"agrees"} and "untested" in wrong


def test_nothing_is_compared_with_losses_that_are_not_explained(made):
    (finding,) = found(made, explained=False)
    assert finding.status == "untested" and "not explained" in finding.reason
    assert LOGC < 0 or found(made)  # the negative control


def test_parameters_that_cannot_be_compared_are_named(made):
    def header(recording):
        return {**recording.header, "constraints": {"a": "simplex", "b": "positive"}}

    first, second, *_ = found(made, header=header)
    assert "its constraint is simplex" in first.reason and second.status == "agrees"
    trace = make_trace(Candidates.of(made.recording(), "empty", COUNTS), COUNTS, names=made.names)
    moving = replace(trace, roles=trace.roles._replace(names={"prior.concentration1": "a"}))
    assert moving.without_role == ("b",)
    assert (
        "b: no site is distributed by it"
        in compare_gradients(Explanation((), moving), COUNTS)[0].reason
    )
