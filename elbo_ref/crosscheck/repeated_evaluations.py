"""Evaluations that are one number although it is of random draws: the same draws in each."""

from __future__ import annotations

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.alignment import resolution
from elbo_ref.crosscheck.distribution import rough_distribution
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel

_FEWEST, _FINE = 3, 100.0
"""Evaluations, and standard deviation in units of their last digit, that tell it."""


def are_repeated(model: LossModel, evaluations: FloatArray) -> bool:
    """Return True if evaluations are all the same number, and random ones cannot be.

    Beside a guide without parameters they may be of a likelihood from which c is summed out.
    """
    drawn = model.loss.random and bool(model.guide.parameter_names)
    if evaluations.size < _FEWEST or np.ptp(evaluations) > 0 or not drawn:
        return False
    distribution, _ = rough_distribution(model.last, np.random.default_rng(0))
    finest = resolution(evaluations) + np.finfo(model.dtype).eps * abs(evaluations[0])
    return bool(distribution.variance[-1] > (_FINE * finest) ** 2)


def repeated_evaluations(number: int, *, numpyro: bool) -> Finding:
    """Say of so many evaluations that they count as one.

    NumPyro's `evaluate` takes its draws from the state; Pyro's is random unless a seed is set.
    """
    what = f"all {number} evaluations are the same number, of the same draws, and count as one"
    if numpyro:
        return Finding("evaluations", what, reason="NumPyro's of one state", status="note")
    reason = "is a seed set before each; with NumPyro's one state (--framework) it is no mistake"
    return Finding("repeated_draws", what, reason=reason, status="mistake")
