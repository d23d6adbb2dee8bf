"""The arithmetic of the run, at draws that it clamps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from elbo_ref import guides
from elbo_ref.crosscheck.float_ends import probability_ends
from elbo_ref.recording.replay.program import Columns, Program


def test_the_emulation_clamps_as_pyro_does():
    c = np.array([[1e-30, 0.25, 1 - 1e-17]])
    zeros = np.zeros(3)
    outcomes = np.array([[2.0, 3.0, 1.0], [5.0, 7.0, 4.0]])
    columns = Columns(
        c, special.logit(c), np.ones((2, 3)), np.ones((0, 3)), outcomes, zeros, zeros, 1.0
    )
    eps = np.finfo(float).eps
    clamped = np.clip(c, eps, 1 - eps)
    wanted = outcomes[0] * np.log(clamped) + outcomes[1] * np.log1p(-clamped)
    found = Program(guides.find("tied"), "float64").terms(columns).likelihood
    np.testing.assert_allclose(found.value, wanted, rtol=1e-14)
    free = Program(guides.find("tied"), "float64", ends=probability_ends("float64", numpyro=True))
    assert free.terms(columns).likelihood.value[0, 0] == pytest.approx(2 * np.log(1e-30))
