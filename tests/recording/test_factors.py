"""Counts read off a likelihood that is written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from elbo_ref.recording import Recording
from elbo_ref.recording.factors import data_of_factor
from recorded import COUNTS, K, N

STEPS = 12


def factored(dtype="float64", constant=0.0, outcomes=(K, N - K), steps=STEPS):
    """A recording of the factor alone, and the logits of its draws, (T, P, L)."""
    y = np.random.default_rng(0).normal(-0.5, 0.6, (steps, 2, 3))
    c = special.expit(y[:, 0]).astype(dtype)
    values = outcomes[0] * np.log(c) + outcomes[1] * np.log1p(-c) + constant
    exact = c.astype(np.float64)
    logits = np.repeat(special.logit(exact)[:, None], 2, axis=1)
    observed = {"lik.factor": values.astype(dtype)}
    return Recording(losses=np.zeros(steps), observed=observed), logits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("with_coefficients", [False, True])
def test_the_counts_are_known_exactly(dtype, with_coefficients):
    constant = COUNTS.log_coefficient if with_coefficients else 0.0
    data = data_of_factor(*factored(dtype, constant))
    np.testing.assert_array_equal(data.successes[0], K)
    np.testing.assert_array_equal(data.total_count[0], N)
    assert data.by_hand and data.counts() == COUNTS
    found = [(x.name, x.status) for x in data.findings]
    assert found == ([] if with_coefficients else [("coefficients", "note")])
    np.testing.assert_allclose(data.log_coefficient[0], constant, rtol=1e-15)


def test_another_constant_is_named():
    (finding,) = data_of_factor(*factored(constant=1.0)).findings
    assert finding.name == "unexplained_constant" and finding.status == "mistake"
    assert finding.theirs == pytest.approx(3.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"outcomes": (K + 0.5, N - K)},  # weighted, or another likelihood
        {"outcomes": (K, -1 - K)},
        {"steps": 3},  # too few to tell
        {"constant": np.random.default_rng(1).normal(size=(STEPS, 3))},
    ],
)
def test_what_is_no_binomial_likelihood_is_left_alone(changed):
    assert data_of_factor(*factored(**changed)) is None


def test_one_factor_of_all_latents_does_not_tell_their_counts():
    recording, logits = factored()
    summed = recording.observed["lik.factor"].sum(axis=1, keepdims=True)
    assert data_of_factor(replace(recording, observed={"lik.factor": summed}), logits) is None
    assert data_of_factor(replace(recording, observed={}), logits) is None
