"""Gradients of parameters beside those of the arguments that they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elbo_ref.recording.replay.chain import compare_parameters
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.statement import read_statement
from recorded import Made


@pytest.fixture(scope="module")
def made():
    return Made()


def found(recording):
    return compare_parameters(read_statement(recording))


def with_gradients(made, **changed):
    """The parameters' gradients are others, those of the arguments stay."""
    recording = made.recording()
    return replace(recording, gradients={**recording.gradients, **changed})


def test_a_clean_run_is_silent(made):
    assert found(made.recording()) == []


@pytest.mark.parametrize("factor", [3.0, -1.0, 0.5])
@pytest.mark.parametrize("name", ["a", "qa"])
def test_a_factor_of_all_steps(made, factor, name):
    own = made.recording().gradients[name]
    (finding,) = found(with_gradients(made, **{name: factor * own}))
    assert (finding.name, finding.status) == ("gradient_scaled", "mistake")
    assert name in finding.quantity and finding.reason.startswith(f"{factor:g} times")


def test_another_gradient_may_be_a_hook(made):
    own = made.recording().gradients["qa"]
    (finding,) = found(with_gradients(made, qa=np.clip(own, -1e-3, 1e-3)))
    assert finding.status == "note" and "a hook on the parameter" in finding.reason


def test_gradients_that_an_earlier_loop_left(made):
    own = made.recording().gradients["qa"].copy()
    own[0] += 100.0
    (finding,) = found(with_gradients(made, qa=own))
    assert finding.status == "note"
    assert finding.reason == "those of the first step are others: older gradients were left in them"


def test_rounding_is_none(made):
    own = made.recording().gradients["qa"]
    assert found(with_gradients(made, qa=own * (1 + 1e-6))) == []


@pytest.mark.parametrize("kind", ["interval", "corr_cholesky"])
def test_a_constraint_that_is_not_known_is_not_compared(made, kind):
    recording = with_gradients(made, qa=3 * made.recording().gradients["qa"])
    constraints = {**recording.header["constraints"], "qa": kind}
    assert found(replace(recording, header={**recording.header, "constraints": constraints})) == []


def test_a_tied_guide_adds_to_the_gradient_of_the_prior():
    tied = Made("tied")
    assert found(tied.recording()) == []
    (finding,) = found(with_gradients(tied, a=3 * tied.recording().gradients["a"]))
    assert finding.name == "gradient_scaled"


def test_a_parameter_of_two_arguments_is_not_compared(made):
    """A symmetric prior: its gradient is that of both."""
    recording = with_gradients(made, a=3 * made.recording().gradients["a"])
    both = {"concentration1": ["a"], "concentration0": ["a"]}
    sites = [{**x, "sources": both} if x["program"] == "model" and x["name"] == "c" else x
             for x in recording.header["sites"]]  # fmt: skip
    assert found(replace(recording, header={**recording.header, "sites": sites})) == []


def test_it_is_a_part_of_the_verdict(made):
    own = made.recording().gradients["a"]
    assert "gradient_scaled" in replay(with_gradients(made, a=3 * own)).mistakes
