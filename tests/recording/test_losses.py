"""Losses that a mistake's loss model makes at a run's draws, and the name that a replay gives them.

Every model of `elbo_ref.crosscheck.mistakes` that keeps the draws is tried: what numbers alone can
be named for, a recording is named for too.
"""

from __future__ import annotations

import numpy as np
import pytest

from elbo_ref.crosscheck.given_draws import losses_given
from elbo_ref.crosscheck.mistakes import closed_form_hypotheses
from elbo_ref.recording.replay.losses import explain_losses
from recorded import Made, trace_of
from tiers import few


@pytest.fixture(scope="module", params=["beta", "empty"])
def trace(request):
    return trace_of(Made(request.param).recording())


def with_losses(trace, losses):
    """The trace of a run with other losses."""
    return trace_of(Made(trace.guide.name).recording(losses=lambda _: losses))


def comparable(trace):
    """Hypotheses of the run's own model that are about the same draws."""
    for x in closed_form_hypotheses(trace.model):
        same = x.model.added is None and x.model.observed and x.model.batch is None
        if same and len(x.model.counts) == trace.num_latents:
            yield x


@pytest.mark.thorough
def test_each_mistake_is_named_by_the_losses_that_it_makes(trace):
    tried = set()
    for x in comparable(trace):
        losses = losses_given(x.model, trace.draws).values
        explanation = explain_losses(with_losses(trace, losses))
        (finding,) = explanation.findings
        alike = losses_given(explanation.trace.model, trace.draws).values
        assert finding.status == "mistake", (x.name, x.variant, finding)
        np.testing.assert_allclose(alike, losses, rtol=1e-8, err_msg=x.variant)
        tried.add(x.name)
    assert tried >= {"swapped_concentrations", "wrong_sign", "normalised_loss", "wrong_counts"}


@pytest.mark.parametrize(
    ("name", "change"),
    few(
        [
            ("unexplained_constant", {"constant": -3.7}),
            ("normalised_loss", {"factor": 0.37}),
            ("normalised_loss", {"factor": 1 / 12}),
            ("likelihood_weight", {"likelihood_weight": 0.43}),
        ]
    ),
)
def test_a_number_that_all_steps_share_is_found(trace, name, change):
    losses = losses_given(trace.model._replace(**change), trace.draws).values
    explanation = explain_losses(with_losses(trace, losses))
    assert explanation.findings[0].name == name
    for field, wanted in change.items():
        assert getattr(explanation.trace.model, field) == pytest.approx(wanted, rel=1e-6)


def test_what_changes_from_step_to_step_has_no_name(trace):
    """The negative control: a constant that drifts is none, and the run's own losses agree."""
    losses = losses_given(trace.model, trace.draws).values
    assert explain_losses(with_losses(trace, losses)).findings[0].status == "agrees"
    drifting = losses + np.linspace(0.1, 0.2, len(losses))
    assert explain_losses(with_losses(trace, drifting)).findings[0].name == "loss_mismatch"
