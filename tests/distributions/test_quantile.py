"""Quantiles of a Beta: those of SciPy are checked, and bisected where they are not good enough."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from elbo_ref.distributions import quantile


@pytest.mark.parametrize(("a", "b"), [(1e8, 1e8), (3e6, 1e7), (40.0, 2.0)])
def test_an_inverse_that_is_off_is_found_out(a, b, monkeypatch):
    """By 1e-8 of itself, which is more than 1e-11 of the width on the logit scale."""
    size, tail = (np.array([a]), np.array([b])), 0.025
    wanted = quantile.logit_quantile(*size, tail)
    honest, other = special.betaincinv, special.betainccinv
    monkeypatch.setattr(quantile.sc, "betaincinv", lambda *x: honest(*x) * (1 + 1e-8))
    monkeypatch.setattr(quantile.sc, "betainccinv", lambda *x: other(*x) * (1 - 1e-8))
    found = quantile.logit_quantile(*size, tail)
    width = np.sqrt(1 / a + 1 / b)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8 * width)
