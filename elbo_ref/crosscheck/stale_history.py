"""Histories of arrays that were kept without a copy: every row is the last one."""

from __future__ import annotations

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel


def stale_history(model: LossModel, losses: FloatArray) -> Finding | None:
    """Find parameters that are equal at all steps of a history while the losses change."""
    steps = model.prior.shape[1]
    if steps == 1 or not model.still or np.all(losses == losses[:1]):
        return None
    what = f"all {steps} rows of the history are equal while the losses change, as those of arrays "
    what += "that were kept without a copy; they are judged as one set of final parameters"
    return Finding("stale_history", what, reason="from the numbers alone", status="mistake")
