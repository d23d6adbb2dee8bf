"""Parts of a gradient by differences of the terms, and what each departure is called."""

from __future__ import annotations

from dataclasses import replace

import golden
import numpy as np
import pytest
from scipy import special

from elbo_ref import guides
from elbo_ref.crosscheck.given_draws import Columns, terms_of
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.objectives import OBJECTIVES
from elbo_ref.recording.replay.gradient_parts import gradient_parts
from elbo_ref.recording.replay.gradients import compare_gradients
from elbo_ref.recording.replay.losses import Explanation
from recorded import COUNTS, LOGC, K, Made, N, hide_pytorch, trace_of

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
    loss = OBJECTIVES["trace_mean_field" if mean_field else "trace"]
    model = LossModel(COUNTS, guide, loss, 2, PRIOR[:, None], own[:, None], "float64")
    y = np.random.default_rng(0).normal(-0.5, 0.4, (2, 3))
    if guide.is_point:
        y = np.repeat(own, 2, axis=0)
    at = columns(y, PRIOR, own)
    pathwise = guide.source.pathwise(y, guide.source_parameters(PRIOR, own))
    parts = gradient_parts(model, at, pathwise)
    parameters, h = np.concatenate((PRIOR, own)), 1e-5

    def objective(parameters, y):
        now = columns(y, parameters[:2], parameters[2:])
        return now.mean(terms_of(model, now).log_weight)

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
    trace = trace_of(made.recording(**changed))
    weight = likelihood * trace.model.likelihood_weight
    model = trace.model._replace(likelihood_weight=weight, factor=factor)
    return compare_gradients(Explanation((), trace.under(model), explained))


def gradients(made, times=1.0, **plus):
    return {
        "gradients": lambda r: {n: times * g + plus.get(n, 0.0) for n, g in r.gradients.items()}
    }


def test_a_clean_gradient_agrees_without_pytorch(made, monkeypatch):
    hide_pytorch(monkeypatch)
    first, second, kernel = found(made)
    assert first.status == second.status == "agrees" and kernel.status == "untested"
    shifted = found(made, **gradients(made, a=1e-6))
    assert [f.status for f in shifted] == ["untested", "agrees", "untested"]


def test_gradients_are_multiplied_as_the_losses_are(made, monkeypatch):
    hide_pytorch(monkeypatch)
    findings = found(made, factor=3.0, **gradients(made, 3.0))
    assert [f.status for f in findings[:2]] == ["agrees"] * 2
    assert "multiplied by 3, as the losses are" in findings[0].reason
    assert found(made, factor=2.0, **gradients(made, 3.0))[0].status == "untested"


@pytest.mark.parametrize("kind", ["empty", "beta"])
def test_a_likelihood_that_is_scaled_is_in_the_gradient(kind, monkeypatch):
    hide_pytorch(monkeypatch)
    scaled = Made(kind, likelihood=2.0)
    right, wrong = (
        [f.status for f in found(scaled, likelihood=x) if f.name == "gradients"] for x in (2.0, 1.0)
    )
    assert set(right) == {"agrees"} and "untested" in wrong


def test_nothing_is_compared_with_losses_that_are_not_explained(made):
    (finding,) = found(made, explained=False)
    assert finding.status == "untested" and "not explained" in finding.reason
    assert LOGC < 0 or found(made)  # the negative control


def test_an_argument_without_a_gradient_is_not_compared(made):
    """A constant, or one that no gradient reaches; that it is a mistake, the statement says."""

    def one(recording):
        name = "model.c.concentration0"
        return {name: recording.argument_gradients[name]}

    findings = [x for x in found(made, argument_gradients=one) if x.name == "gradients"]
    assert len(findings) == 1 and "prior.concentration0" in findings[0].quantity
    assert len([x for x in found(made) if x.name == "gradients"]) == 2


@pytest.mark.parametrize("kind", ["empty", "beta", "tied"])
def test_gradients_are_those_of_the_arguments(kind, monkeypatch):
    """Whatever the parameters are: here nobody says which there were, and how constrained."""
    hide_pytorch(monkeypatch)
    run = Made(kind)
    whole = run.recording()
    header = {name: whole.header[name] for name in ("sites", "loss")}
    none = {group: {} for group in ("before", "constrained", "gradients", "after")}
    kept = replace(whole, header=header, **none)
    findings = compare_gradients(Explanation((), trace_of(kept)))
    assert findings == compare_gradients(Explanation((), trace_of(whole)))
    assert {x.status for x in findings if x.name == "gradients"} == {"agrees"}


def test_a_gradient_by_latent_is_summed_where_they_share_the_argument(made, monkeypatch):
    """PyTorch hands over that of each latent for a prior that a plate has expanded."""
    hide_pytorch(monkeypatch)

    def by_latent(recording):
        shares = np.array([[0.5, 0.75, -0.25]])
        return {name: x * shares for name, x in recording.argument_gradients.items()}

    assert [x.theirs for x in found(made)[:2]] == pytest.approx(
        [x.theirs for x in found(made, argument_gradients=by_latent)[:2]], rel=1e-12
    )


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("steps", [2, 3, 5])
def test_values_of_latents_are_kept_or_added_up(made, width, steps):
    """Of three latents at two sites, the second of which has two; by latent, by site, or to one."""
    trace = replace(trace_of(made.recording()), sizes=(1, 2))
    values = np.arange(2.0 * steps * 3).reshape(2, steps, 3)
    wanted = {
        1: values.sum(axis=-1, keepdims=True),
        2: np.stack([values[..., 0], values[..., 1] + values[..., 2]], axis=-1),
        3: values,
    }
    np.testing.assert_array_equal(trace.of_all(values, width), wanted[width])


def parts_of(kind, loss="trace"):
    """All parts of a gradient, their magnitudes and rounding, added up over latents."""
    guide, own = guides.find(kind), OWN[kind]
    model = LossModel(COUNTS, guide, OBJECTIVES[loss], 2, PRIOR[:, None], own[:, None], "float64")
    y = np.random.default_rng(0).normal(-0.5, 0.4, (2, 3))
    y = np.repeat(own, 2, axis=0) if guide.is_point else y
    pathwise = guide.source.pathwise(y, guide.source_parameters(PRIOR, own))
    return [np.nan_to_num(x).sum(axis=1).tolist() for x in
            gradient_parts(model, columns(y, PRIOR, own), pathwise)]  # fmt: skip


PARTS = {
    **{kind: lambda kind=kind: parts_of(kind) for kind in OWN},
    "beta, mean field": lambda: parts_of("beta", "trace_mean_field"),
    "normal, mean field": lambda: parts_of("normal", "trace_mean_field"),
}


@pytest.mark.parametrize("name", PARTS)
def test_magnitudes_are_as_they_were(name):
    """Which are no more than allowances, and so have no other witness (`golden`)."""
    golden.check(f"gradient parts: {name}", PARTS[name]())
