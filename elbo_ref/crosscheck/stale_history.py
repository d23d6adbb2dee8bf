"""Histories of arrays that were kept without a copy: every row is the last one."""

from __future__ import annotations

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel

_CHANGED = 4.0
"""Standard errors by which mean ranks of losses differ that are of different parameters."""


def stale_history(model: LossModel, losses: FloatArray) -> Finding | None:
    """Find parameters that are equal at all steps of a history while the losses change."""
    steps = model.prior.shape[1]
    same = all((x == x[:, :1]).all() for x in (model.prior, model.guide_parameters))
    if steps == 1 or not same or not _changing(losses):
        return None
    what = f"all {steps} rows of the history are equal while the losses change, as those of arrays "
    what += "that were kept without a copy; they are judged as one set of final parameters"
    return Finding("stale_history", what, reason="from the numbers alone", status="mistake")


def _changing(losses: FloatArray) -> bool:
    """Return True if the later half of losses has other ranks than the earlier (Mann-Whitney)."""
    size = losses.size
    earlier, later = size - size // 2, size // 2
    if not later:
        return False
    ranks = np.argsort(np.argsort(losses))
    away = float(ranks[earlier:].mean()) - (size - 1) / 2
    error = np.sqrt(earlier * (size + 1) / (12 * later))
    return bool(abs(away) > _CHANGED * error)
