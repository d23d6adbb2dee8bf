"""Factors: a likelihood that is written by hand, and what a model has beside its rows.

A binomial log likelihood is linear in log c and log(1 - c), with the outcomes for coefficients.
Over the draws of a recording these are determined, and being whole numbers they are known exactly;
what is left is a constant: nothing, the log binomial coefficients, or something else.

Beside observed rows a factor that changes from step to step makes another model, unless it is the
prior's density or the likelihood once more: these were counted twice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording.notes import Recording
from elbo_ref.recording.rows import Data, log_choose_of, magnitude_of

_FEWEST = 4
"""Draws that determine three numbers, and one more."""

_MOST = 0.4
"""Effect of rounding on a fitted count from which it is not determined."""

_ROUNDINGS = 64
_CURVED = 1e-2
"""Part of a factor's range that it departs from a line by if it is no binomial likelihood."""
_SAME = 1e-4
"""Relative difference of a factor from a density up to which it is that density."""


class _Factor(NamedTuple):
    """The one factor, values (T, L), beside log c and log(1 - c) at its draws, (2, T, L)."""

    name: str
    values: FloatArray
    logs: FloatArray


def _factor_by_latent(recording: Recording, logits: FloatArray) -> _Factor | None:
    """Find the one factor that has an element for each latent; None if there is none, or more."""
    names = [x for x in recording.observed if x.endswith(".factor")]
    y = logits[:, 0]
    if len(names) != 1 or recording.observed[names[0]].shape != y.shape:
        return None
    values = recording.observed[names[0]].astype(np.float64)
    return _Factor(names[0].removesuffix(".factor"), values, sc.log_expit(np.array((y, -y))))


def data_of_factor(recording: Recording, logits: FloatArray) -> Data | None:
    """Find the counts of the one factor that has an element for each latent; None if none does.

    Parameters
    ----------
    recording : Recording
    logits : array, (T, P, L)
        Of the draws, the first particle being the factor's.
    """
    found = _factor_by_latent(recording, logits)
    if found is None or len(found.values) < _FEWEST:
        return None
    name, values, logs = found
    centred = logs - logs.mean(axis=1, keepdims=True)
    gram = np.einsum("itl,jtl->lij", centred, centred)
    moment = np.einsum("itl,tl->li", centred, values - values.mean(axis=0))
    if np.any(np.linalg.det(gram) <= 0):
        return None
    fitted = np.linalg.solve(gram, moment[:, :, None])[:, :, 0].T
    sign = -1.0 if np.all(fitted < _MOST) else 1.0  # of a likelihood that is taken for a loss
    values, outcomes = sign * values, np.rint(sign * fitted)
    if np.any(outcomes < 0):
        return None
    likelihood = np.einsum("il,itl->tl", outcomes, logs)
    constant = (values - likelihood).mean(axis=0)
    eps = np.finfo(recording.observed[f"{name}.factor"].dtype).eps
    size = np.einsum("il,itl->tl", outcomes, np.abs(logs)) + np.abs(constant) + 1
    size = size + magnitude_of(outcomes[0], outcomes.sum(axis=0))
    room = _ROUNDINGS * eps * size
    weights = np.abs(np.einsum("lij,jtl->itl", np.linalg.inv(gram), centred))
    uncertain = np.einsum("itl,tl->il", weights, room) > _MOST
    if np.any(np.abs(values - likelihood - constant) > room) or uncertain.any():
        return None
    return _data(name, outcomes, constant, room.max(axis=0))


def no_likelihood(recording: Recording, logits: FloatArray) -> str:
    """Name the one factor, with an element for each latent, that no counts give; empty if none is.

    Over the draws it is not linear in log c and log(1 - c). An element of a minibatch is of other
    counts in each step, so that of its factor nothing is known.
    """
    found = _factor_by_latent(recording, logits)
    batched = any(name.endswith(".rows") for name in recording.observed)
    scaled = any(np.any(np.asarray(x.get("scale", 1.0)) != 1) for x in recording.sites("model"))
    if found is None or len(found.values) <= _FEWEST or batched or scaled:
        return ""
    for factor, terms in zip(found.values.T, np.moveaxis(found.logs, 2, 0), strict=True):
        design = np.column_stack((*terms, np.ones(len(factor))))
        left = factor - design @ np.linalg.lstsq(design, factor, rcond=None)[0]
        if np.ptp(left) > _CURVED * max(np.ptp(factor), 1e-3):
            return found.name
    return ""


class Beside(NamedTuple):
    """A factor beside observed rows.

    Attributes
    ----------
    what : str
        ``"prior"`` or ``"likelihood"``, counted once more; empty for a part of another model.
    constant : float
        What it has beside that density in each step, nats.
    """

    what: str
    constant: float = 0.0


def factors_beside(
    recording: Recording, logits: FloatArray, prior: FloatArray, data: Data | None
) -> dict[str, Beside]:
    """Say of each factor beside observed rows that changes from step to step what it is.

    Parameters
    ----------
    recording : Recording
    logits : array, (T, P, L)
    prior : array, (2, T, 1 or L)
    data : Data or None
    """
    if data is None or data.by_hand:
        return {}
    a, b = prior[:, :, None]
    k, failures = data.outcomes[:, :, None]
    logs = sc.log_expit(logits), sc.log_expit(-logits)
    densities = {
        "prior": ((a - 1) * logs[0] + (b - 1) * logs[1] - sc.betaln(a, b)).sum(axis=2),
        "likelihood": (k * logs[0] + failures * logs[1]).sum(axis=2),
    }
    found = {}
    for name, values in recording.observed.items():
        if name.endswith(".factor") and len(values) > 1:
            total = values.astype(np.float64).sum(axis=1)[:, None]
            seen = {what: _constant_beside(total, x) for what, x in densities.items()}
            same = [Beside(what, x) for what, x in seen.items() if x is not None]
            found[name.removesuffix(".factor")] = same[0] if same else Beside("")
    return found


def _constant_beside(total: FloatArray, density: FloatArray) -> float | None:
    """Return what a factor, (T, 1), has beside a density at the draws of any particle, (T, P).

    It is None where that changes from step to step for all of them.
    """
    apart = np.ptp(total - density, axis=0)
    near = apart <= _SAME * (1 + np.abs(density).max(axis=0))
    return float((total - density)[:, near].mean()) if near.any() else None


def _data(name: str, outcomes: FloatArray, constant: FloatArray, room: FloatArray) -> Data:
    """Make data of outcomes, and say what the constant is."""
    k, n = outcomes[:1], outcomes.sum(axis=0, keepdims=True)
    coefficient = log_choose_of(k, n)
    findings: tuple[Finding, ...] = ()
    if np.all(np.abs(constant) <= room) and np.any(coefficient):
        words = f"{name!r} lacks the log binomial coefficients, which no parameter feels"
        findings = (Finding("coefficients", words, status="note"),)
        coefficient = np.zeros_like(coefficient)
    elif np.any(np.abs(constant - coefficient) > room):
        words = f"{name!r} has a constant beside the likelihood"
        numbers = float(constant.sum()), float(coefficient.sum()), None
        reason = "the log binomial coefficients, or 0 without them"
        findings = (Finding("unexplained_constant", words, *numbers, reason, "mistake"),)
        coefficient = constant[None]
    magnitude = magnitude_of(k, n) * (coefficient != 0)
    return Data(k, n, coefficient, magnitude, False, False, by_hand=True, findings=findings)
