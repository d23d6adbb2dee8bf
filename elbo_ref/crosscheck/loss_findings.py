"""Findings on losses: the models that explain them, clamped draws, losses that cannot be."""

from __future__ import annotations

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray, Rng, generator
from elbo_ref.crosscheck.alignment import AlignedLosses
from elbo_ref.crosscheck.cumulants import clamped_draws
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.hypothesis_test import (
    LEVEL,
    HypothesisReport,
    ModelTest,
    try_hypotheses,
)
from elbo_ref.crosscheck.loss_model import LinearForm, LossModel
from elbo_ref.mle.result import maximize_evidence

_ENOUGH, _FAR = 20, 6.0
"""Losses, and standard errors of their mean, that tell the impossible."""
_FEW = 1e-3
"""Expected number of clamped draws that does not raise an ELBO above the evidence."""


def explain(
    aligned: AlignedLosses, rng: Rng
) -> tuple[AlignedLosses, HypothesisReport, list[Finding]]:
    """Test losses as they are given and, if that is rejected, in the other ways they may be meant.

    Those are the other ways to take a Renyi bound, and a history recorded after each step. The
    losses are returned as they are most likely meant.
    """
    best = aligned
    report = try_hypotheses(aligned.model, aligned.losses, generator(rng))
    meant: list[Finding] = []
    for model, words in aligned.model.other_bounds() if report.rejected else ():
        other = try_hypotheses(model, aligned.losses, generator(rng))
        if other.score > report.score:
            best, report = aligned._replace(model=model), other
            meant = [Finding("bound", f"it is that {words}", status="note")]
    later = best.one_later() if report.rejected else None
    if later is not None:
        shifted = try_hypotheses(later.model, later.losses, generator(rng))
        if not shifted.rejected:
            best, report = later, shifted
            what = (
                "the history was recorded after each step: every loss fits the entry before its "
                "own, and the first loss belongs to parameters that were not recorded"
            )
            meant.append(Finding("recorded_after", what, status="note"))
    return best, report, meant + _compared(best, report)


def _compared(aligned: AlignedLosses, report: HypothesisReport) -> list[Finding]:
    """Make findings of a report: agreement, a mismatch that nothing explains, or a mistake."""
    test, values = report.given, aligned.losses.values
    mean = test.distribution.mean
    std = np.sqrt(np.maximum(test.distribution.variance, 0.0)) + test.allowance
    weights = 1 / np.maximum(std, 1e-300) ** 2
    weights /= weights.sum()
    agreement = Finding(
        aligned.kind,
        f"mean of {values.size} {aligned.kind}, weighted by precision,",
        float(weights @ values),
        float(weights @ mean),
        float(3 * np.sqrt(weights**2 @ std**2)),
        f"exact distribution of {values.size} {aligned.kind}, {100 * LEVEL:g}% a run",
    )
    if not report.rejected:
        return [agreement, *_saturation(aligned)]
    worst = int(np.argmin(test.p))
    mismatch = Finding(
        "loss_mismatch",
        aligned.labels[worst],
        float(values[worst]),
        float(mean[worst]),
        float(3 * std[worst]),
        f"p = {number(report.p)}",
        "note",
    )
    if not report.explanations:
        return [mismatch._replace(status="mistake"), agreement._replace(status="note")]
    (best, fit), *rest = report.explanations
    instead = "".join(f"; or {x.name}, {x.variant}" for x, _ in rest)
    mistake = agreement._replace(
        name=best.name,
        quantity=f"{best.variant}: weighted mean",
        ours=float(weights @ fit.distribution.mean),
        reason=f"fits with p = {number(fit.p_any)}, as given p = {number(report.p)}{instead}",
        status="mistake",
        rivals=tuple(x.name for x, _ in rest),
    )
    if best.name == "unexplained_constant":
        mistake = mistake._replace(
            quantity="a constant is added to every loss:",
            theirs=report.shift,
            ours=0.0,
            allowance=3 * report.shift_error,
        )
    return [mistake, mismatch]


def _saturation(aligned: AlignedLosses) -> list[Finding]:
    """Find out if losses that agree are those of clamped draws."""
    model = aligned.model
    clamped = 0.0 if model.batch is not None else clamped_draws(LinearForm.of(model)).sum()
    if not np.isfinite(clamped) or clamped < 1:
        return []
    unclamped = model._replace(clamped=False)
    exact = ModelTest(unclamped, aligned.losses, np.random.default_rng(0))
    what = f"about {number(clamped)} draws of c are clamped at the ends of {model.dtype}"
    if 2 * exact.p_any >= LEVEL:
        what += ", which does not show in the losses"
        return [Finding("float32_saturation", what, status="note")]
    weights = 1 / np.maximum(exact.distribution.variance, 1e-300)
    weights /= weights.sum()
    return [
        Finding(
            "float32_saturation",
            f"{what}: weighted mean of the losses",
            theirs=float(weights @ aligned.losses.values),
            ours=float(weights @ exact.distribution.mean),
            reason=f"without clamping p = {number(exact.p_any)}",
            status="mistake" if model.dtype == "float32" else "note",
        )
    ]


def impossible_losses(model: LossModel, losses: FloatArray) -> list[Finding]:
    """Find later losses below minus the supremum of the evidence.

    No ELBO of any prior has such a mean, whatever the parameters were.
    """
    guide = model.guide
    bounded = guide.is_elbo and guide.origin != "posterior"
    if losses.size < _ENOUGH or not bounded or clamped_draws(LinearForm.of(model)).sum() > _FEW:
        return []
    lowest = -maximize_evidence(model.counts).log_evidence
    half = losses[losses.size // 2 :]
    noise = float(np.std(np.diff(half)) / np.sqrt(2))
    allowance = _FAR * noise / np.sqrt(half.size) + 1e-3 * (1 + abs(lowest))
    mean = float(half.mean())
    if mean >= lowest - allowance:
        return []
    what = "mean of the later losses, below minus the supremum of the evidence:"
    reason = "no ELBO is above the evidence"
    return [Finding("latent_not_in_guide", what, mean, lowest, allowance, reason, "mistake")]
