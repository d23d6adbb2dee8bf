"""Findings on losses: the models that explain them, clamped draws, losses that cannot be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elbo_ref._format.numbers import number, p_value
from elbo_ref._validation.arguments import FloatArray, Rng, generator
from elbo_ref.crosscheck.alignment import AlignedLosses, evenly
from elbo_ref.crosscheck.clamping import clamped_draws
from elbo_ref.crosscheck.distribution import rough_distribution
from elbo_ref.crosscheck.findings import ComparedLosses, Finding, Status
from elbo_ref.crosscheck.guide_counts import counts_of_guide
from elbo_ref.crosscheck.hypothesis_test import (
    Explanation,
    HypothesisReport,
    try_hypotheses,
)
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.loss_spread import is_smooth
from elbo_ref.crosscheck.model_test import LEVEL, ModelTest
from elbo_ref.mle.result import maximize_evidence

_ENOUGH, _FAR = 20, 6.0
"""Losses, and standard errors of their mean, that tell the impossible."""
_WIDTH = 3.15
"""Standard errors of a mean at the level of a run: a third of half of it, to either side."""
_CLEARLY = 5.0
"""Nats by which losses are likelier at the entry before, where they do not depart otherwise."""
_ALIKE = 2.5
"""Ratio of variances within which they are alike."""
_FEW = 1e-3
"""Expected number of clamped draws that does not raise an ELBO above the evidence."""


class Explained(NamedTuple):
    """Losses as they are most likely meant, the report on them, and findings."""

    aligned: AlignedLosses
    report: HypothesisReport
    findings: list[Finding]


def explain(aligned: AlignedLosses, rng: Rng) -> Explained:
    """Test losses as they are given and, if that is rejected, in the other ways they may be meant.

    Those are the other meanings of the model, a history recorded after each step and, where the
    evaluations fit, the run's own losses by themselves.
    """
    draws = generator(rng)
    report = try_hypotheses(aligned.model, aligned.losses, draws)
    after = _recorded_after(aligned, report, draws)
    if after is not None:
        return after
    if not report.rejected:
        findings = _agreement(aligned, report.given)
        if any(x.status == "untested" for x in findings):  # what was not tested rules out nothing
            report = report._replace(ruled_out=())
        return Explained(aligned, report, findings)
    meant = report.certain
    if meant is not None and not meant.hypothesis.name:
        what = f"the losses are {meant.hypothesis.variant}"
        note = Finding("meaning", what, reason=_fits(meant, report), status="note")
        taken = aligned._replace(model=_of_all(meant.hypothesis.model, aligned.model))
        return Explained(
            taken, report, [note, *_agreement(taken, ModelTest(taken.model, taken.losses, draws))]
        )
    if report.certain is not None:
        return Explained(aligned, report, _mistaken(aligned, report))
    repeated, rest = aligned.part(aligned.of_evaluations), aligned.part(~aligned.of_evaluations)
    if repeated is None or rest is None:
        return Explained(aligned, report, _mistaken(aligned, report))
    of_losses = _of_losses_alone(repeated, rest, draws)
    others = _of_evaluations_alone(repeated, rest, draws) if of_losses is None else []
    return of_losses or Explained(aligned, report, [*_mistaken(aligned, report), *others])


def _recorded_after(
    aligned: AlignedLosses, report: HypothesisReport, rng: np.random.Generator
) -> Explained | None:
    """Align losses with the entries before their own if they fit these, and not or far less so."""
    later = aligned.one_later()
    if later is None or not (report.rejected or _tells_later(aligned, later, rng)):
        return None
    shifted = try_hypotheses(later.model, later.losses, rng, explained=False)
    if shifted.rejected:
        return None
    what = (
        "the history was recorded after each step: every loss fits the entry before its own, and "
        "the first loss belongs to parameters that were not recorded"
    )
    after = Finding("recorded_after", what, status="note")
    return Explained(later, shifted, [after, *_agreement(later, shifted.given)])


def _tells_later(aligned: AlignedLosses, later: AlignedLosses, rng: np.random.Generator) -> bool:
    """Return True if losses are by far likelier one entry later.

    Under the given model a likelihood ratio of e^n has a probability of at most e^-n (Markov).
    """
    here, after = (
        ModelTest(x.model, x.losses, rng, rough=True)
        for x in (aligned.part(np.arange(len(aligned.labels)) > 0), later)
        if x is not None
    )
    least = np.maximum(here.allowance, after.allowance)
    return after.log_likelihood(least) - here.log_likelihood(least) > _CLEARLY


def compared(explained: Explained) -> ComparedLosses:
    """Put the losses beside the distribution that they should have, and that of their mistake.

    Of many losses that fit nothing given, these are the ones that were tested.
    """
    report = explained.report
    best, test = report.certain, report.given
    named = best is not None and bool(best.hypothesis.name)
    if best is not None and not named:
        test = best.test
    tested, mean = _tested(explained.aligned, test), test.distribution.mean
    values = tested.losses.values
    std = np.sqrt(np.maximum(test.distribution.variance, 0.0) + test.allowance**2)
    found = ComparedLosses(tested.labels, values, mean, std)
    if best is None or not named:
        return found
    mistaken = best.test.distribution.mean
    rows = evenly(values.size, mistaken.size)  # a mistake may be tested on some of many losses
    labels = tuple(found.labels[row] for row in rows)
    return ComparedLosses(
        labels, values[rows], mean[rows], std[rows], best.hypothesis.name, mistaken
    )


def with_particles_of_run(explained: Explained, model: LossModel, losses: FloatArray) -> Explained:
    """Take evaluations of another number of particles for no mistake if the run's own is right.

    The run's own losses then vary from step to step as that number lets them.
    """
    best, late = explained.report.certain, losses[-(losses.size // 4) :]
    evaluated = bool(explained.aligned.of_evaluations.any())
    if best is None or best.hypothesis.name != "wrong_num_particles" or not evaluated:
        return explained
    if late.size < _ENOUGH or model.prior.shape[1] > 1:
        return explained
    own = rough_distribution(model, np.random.default_rng(0))[0].variance[-1]
    noise = float(np.var(np.diff(late)) / 2)
    if not 1 / _ALIKE < noise / max(float(own), 1e-300) < _ALIKE:
        return explained
    repeated = explained.aligned.part(explained.aligned.of_evaluations)
    assert repeated is not None
    meant = best.hypothesis.model
    taken = repeated.model._replace(loss=meant.loss, num_particles=meant.num_particles)
    test = ModelTest(taken, repeated.losses, np.random.default_rng(0))
    what = f"the evaluations are of another number of particles ({best.hypothesis.variant})"
    note = Finding(
        "meaning", what, reason="the run's own losses vary as they should", status="note"
    )
    return explained._replace(findings=[note, *_agreement(repeated._replace(model=taken), test)])


def _of_losses_alone(
    repeated: AlignedLosses, rest: AlignedLosses, rng: np.random.Generator
) -> Explained | None:
    """Test the run's own losses by themselves, if the evaluations agree and they do not."""
    first = try_hypotheses(repeated.model, repeated.losses, rng, explained=False)
    second = None if first.rejected else try_hypotheses(rest.model, rest.losses, rng)
    if second is None or not second.rejected:
        return None
    return Explained(rest, second, [*_mistaken(rest, second), *_agreement(repeated, first.given)])


def _of_evaluations_alone(
    repeated: AlignedLosses, rest: AlignedLosses, rng: np.random.Generator
) -> list[Finding]:
    """Note that the run's own losses agree by themselves, and the evaluations do not."""
    alone = try_hypotheses(rest.model, rest.losses, rng, explained=False)
    apart = abs(rest.losses.values[-1] - repeated.losses.values.mean())
    spread = float(np.sqrt(max(alone.given.distribution.variance[-1], 0.0)))
    if alone.rejected or apart < _FAR * (spread + alone.given.allowance[-1]):
        return []
    what = "the run's own losses fit by themselves: are the evaluations of other parameters or rows"
    return [Finding("evaluations", what, reason="or of another loss?", status="note")]


def _of_all(meant: LossModel, given: LossModel) -> LossModel:
    """Take another meaning, of some of the losses, for all of them."""
    params = given.guide_parameters
    if meant.guide is not given.guide:
        first = meant.guide_parameters[:, :1]
        params = np.broadcast_to(first, (len(first), params.shape[1], first.shape[2]))
    return meant._replace(prior=given.prior, guide_parameters=params)


def _agreement(aligned: AlignedLosses, test: ModelTest, status: Status = "agrees") -> list[Finding]:
    """Compare the weighted mean of losses with that of a model that they fit."""
    finding = _mean(aligned, test)
    if status == "note":
        return [finding._replace(status="note")]
    unsaid = _says_nothing(aligned, finding, test)
    if unsaid:
        return [Finding("untested", f"the {aligned.kind} ({unsaid})", status="untested")]
    return [finding, *_saturation(aligned)]


def _says_nothing(aligned: AlignedLosses, finding: Finding, test: ModelTest) -> str:
    """Say why losses would agree whatever they were; empty if they would not.

    What is allowed for, rounding or the step after a loss, is then more than the loss itself.
    """
    least, worth = int(np.argmin(test.allowance)), 1 + abs(finding.ours or 0.0)
    allowance = float(test.allowance[least])
    if allowance <= worth:
        return ""
    of_step = float(np.broadcast_to(aligned.losses.moved, aligned.losses.values.shape)[least])
    more = f"more than the {number(worth)} nats that would tell a mistake"
    if of_step > allowance - of_step:
        what = f"the optimizer's step after the last one may have changed it by {number(of_step)}"
        return f"{what} nats, {more}; evaluations at these parameters, or a small --lr, would tell"
    what = f"rounding of their terms in {aligned.model.dtype} may move them by"
    return f"{what} {number(allowance - of_step)} nats, {more}"


def _mean(aligned: AlignedLosses, test: ModelTest) -> Finding:
    values, mean = aligned.losses.values, test.distribution.mean
    std = np.sqrt(np.maximum(test.distribution.variance, 0.0)) + test.allowance
    weights = 1 / np.maximum(std, 1e-300) ** 2
    weights /= weights.sum()
    many = f"mean of {values.size} {aligned.kind}, weighted by precision"
    return Finding(
        aligned.kind,
        many if values.size > 1 else aligned.labels[0],
        float(weights @ values),
        float(weights @ mean),
        float(_WIDTH * np.sqrt(weights**2 @ std**2)),
        f"by the exact distribution, at a level of {100 * LEVEL:g}% for the run",
    )


def _fits(explanation: Explanation, report: HypothesisReport) -> str:
    fits, given = p_value(min(1.0, 2 * explanation.test.p_any)), p_value(report.p)
    return f"so they fit, {fits}; as given they do not, {given}"


def _tested(aligned: AlignedLosses, test: ModelTest) -> AlignedLosses:
    """Take the losses of a test, all or some evenly spread."""
    size = len(test.allowance)
    return aligned if size == aligned.losses.values.size else aligned.some(size)


def _mistaken(aligned: AlignedLosses, report: HypothesisReport) -> list[Finding]:
    """Make findings of losses that are not what they are taken for.

    A mistake is named if it is certain; otherwise those that are possible are its rivals.
    """
    test, whole = report.given, aligned
    aligned = _tested(aligned, test)
    values = aligned.losses.values
    spread = np.sqrt(np.maximum(test.distribution.variance, 0.0)) + test.allowance
    worst = int(np.argmin(test.p))
    most = _WIDTH * spread[worst]
    outside = abs(values[worst] - test.distribution.mean[worst]) > most
    mismatch = Finding(
        "loss_mismatch",
        aligned.labels[worst],
        float(values[worst]),
        float(test.distribution.mean[worst]),
        float(most) if outside else None,
        p_value(report.p),
        "note",
    )
    best = report.certain
    if best is None:
        possible = [x for x in report.explanations if x.hypothesis.name]
        words = "; or ".join(f"{x.hypothesis.name}, {x.hypothesis.variant}" for x in possible)
        reason = f"{mismatch.reason}; possible: {words}" if words else mismatch.reason
        rivals = tuple(x.hypothesis.name for x in possible)
        varying = np.ptp(values) > 100 * (test.allowance.max() + np.finfo(float).eps * most)
        of_point = aligned.model.guide.is_point and aligned.model.still
        rivals += ("another_guide",) * bool(of_point and varying)
        rivals += ("smoothed_losses",) * is_smooth(whole.losses.values[: whole.paired])
        nameless = mismatch._replace(reason=reason, rivals=rivals, status="mistake")
        what = (
            "not every other set of rows, order of rows, total count, guide or prior can be tried: "
            "the counts or the parameters may be others than the run's"
        )
        untried = Finding("tried", what, status="note")
        of_guide = counts_of_guide(aligned.model)
        return [nameless, *_agreement(aligned, test, "note"), untried, *of_guide]
    aligned = _tested(aligned, best.test)
    mistake = mismatch._replace(
        name=best.hypothesis.name,
        quantity=f"{best.hypothesis.variant}; as given, {mismatch.quantity} departs most",
        status="mistake",
    )
    fitting = _mean(aligned, best.test)
    fitting = fitting._replace(name="with_mistake", reason=_fits(best, report), status="note")
    if best.hypothesis.number == "constant":
        fitting = fitting._replace(
            name="constant",
            quantity="what is added to every loss",
            theirs=report.shift,
            ours=0.0,
            allowance=_WIDTH * report.shift_error,
        )
    return [mistake, fitting]


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
            reason=f"without clamping {p_value(exact.p_any)}",
            status="mistake" if model.dtype == "float32" else "note",
        )
    ]


def impossible_losses(model: LossModel, losses: FloatArray) -> list[Finding]:
    """Find later losses below minus the supremum of the evidence.

    No ELBO of any prior has such a mean, whatever the parameters were, be it of rows or of totals.
    """
    guide = model.guide
    bounded = guide.is_elbo and guide.origin != "posterior"
    if losses.size < _ENOUGH or not bounded or clamped_draws(LinearForm.of(model)).sum() > _FEW:
        return []
    of_totals = float(model.counts.multiplicity @ model.counts.log_split)  # at most 0
    lowest = of_totals - maximize_evidence(model.counts).log_evidence
    half = losses[losses.size // 2 :]
    noise = float(np.std(np.diff(half)) / np.sqrt(2))
    allowance = _FAR * noise / np.sqrt(half.size) + 1e-3 * (1 + abs(lowest))
    mean = float(half.mean())
    if mean >= lowest - allowance:
        return []
    what = "mean of the later losses, below minus the supremum of the evidence"
    reason = "no ELBO is above the evidence"
    return [Finding("loss_mismatch", what, mean, lowest, allowance, reason, "mistake")]
