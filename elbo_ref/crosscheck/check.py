"""`cross_check`: somebody's parameters and losses against what they should have been.

The exact objective, the evidence and the gap are computed at the parameters given; each loss is
compared with its own distribution at the parameters that it belongs to, and, where it does not fit,
with the distribution that each mistake would give it (`elbo_ref.crosscheck.hypothesis_test`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import (
    FloatArray,
    Rng,
    check_type,
    count,
    float_array,
    generator,
    underflow_is_zero,
)
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.alignment import Aligned, align, batch_of, looks_like
from elbo_ref.crosscheck.case import Case, check_claims, note, other_latents
from elbo_ref.crosscheck.distribution import clamped_draws
from elbo_ref.crosscheck.findings import ORDER, Finding, Verdict
from elbo_ref.crosscheck.hypothesis_test import LEVEL, Judgement, Trial, judge
from elbo_ref.crosscheck.loss_model import Story
from elbo_ref.crosscheck.optimizer_steps import step_findings
from elbo_ref.crosscheck.optimum import exact_numbers, optimum_finding
from elbo_ref.crosscheck.parameters import Reading
from elbo_ref.diagnostics.point import Point, PointDiagnosis
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GuideValue, find
from elbo_ref.io.parameters import read_parameters
from elbo_ref.mle.result import maximize_evidence
from elbo_ref.objectives import LossValue, find as find_loss
from elbo_ref.optim import Adam, ClippedAdam, rate_after


@underflow_is_zero
def cross_check(
    counts: Counts,
    params: object,
    guide: str | GuideValue = "beta",
    loss: str | LossValue = "trace",
    num_particles: int = 1,
    losses: ArrayLike | None = None,
    evaluations: ArrayLike | None = None,
    names: Mapping[str, str] | None = None,
    dtype: str | None = None,
    *,
    prior: Beta | None = None,
    optimizer: Adam | None = None,
    subsample_size: int | None = None,
    rng: Rng = 0,
) -> Verdict:
    """Say whether somebody's numbers are what they are taken for.

    Parameters
    ----------
    counts : Counts
        The data, one latent per entry.
    params : mapping, parameter store or path
        Constrained parameters by name: floats, arrays or tensors; ``pyro.get_param_store()``; or a
        file of Pyro, PyTorch, JSON or npz. One set of values, or a history with a leading axis of
        steps.
    guide : str or value
        The guide they are of; a name of `elbo_ref.maximize_elbo`, or a value of its family.
    loss : str or value
        The loss under its name there.
    num_particles : int
    losses : array_like, shape (T,), optional
        What each ``svi.step`` returned, in order. Each belongs to the parameters *before* its step:
        to the entry of the history with its number. With one set of values only the last loss is
        compared.
    evaluations : array_like, optional
        Losses at exactly these parameters, the last of a history.
    names : mapping, optional
        For a role (``prior.concentration1``, ``guide.loc``, ...) the name of the parameter that has
        it; ``a_*`` where each latent has one of its own, ``a_0``, ``a_1``, ... What is left out is
        guessed where only one name can be meant.
    dtype : {"float32", "float64"}, optional
        What the run computed in; by default what the numbers look like.
    prior : Beta, optional
        The prior's concentrations, where they were not learned.
    optimizer : Adam, optional
        Tells by how much the parameters can have moved in a step, and the noise floor.
    subsample_size : int, optional
        How many latents, or single trials of a shared latent, a step saw.
    rng : int or Generator
        For what has to be simulated: minibatches and `elbo_ref.Renyi`.

    Returns
    -------
    Verdict

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, or does not fit the others.
    elbo_ref.io.counts_file.DataError
        If a file cannot be read.

    Examples
    --------
    >>> counts = Counts(3, 10)
    >>> store = {"a0": 1.0, "b0": 1.0, "a": 4.0, "b": 8.0}
    >>> roles = {"prior.concentration1": "a0", "prior.concentration0": "b0"}
    >>> roles |= {"guide.concentration1": "a", "guide.concentration0": "b"}
    >>> verdict = cross_check(counts, store, names=roles, evaluations=[2.397895, 2.397895])
    >>> verdict.outcome, verdict.exit_code, round(verdict.exact["gap"], 12)
    ('not at an optimum', 3, 0.0)
    >>> verdict = cross_check(counts, store, names=roles, evaluations=[-2.397895, -2.397895])
    >>> verdict.mistakes
    ('wrong_sign',)
    """
    check_type("counts", counts, Counts)
    check_claims(names, prior)
    if optimizer is not None:
        check_type("optimizer", optimizer, Adam, ClippedAdam)
    if dtype is not None and not (isinstance(dtype, str) and dtype in ("float32", "float64")):
        raise ValueError(f"dtype = {dtype!r} is neither 'float32' nor 'float64'")
    family, objective = find(guide), find_loss(loss)
    particles = count("num_particles", num_particles, 1, _MOST_PARTICLES)
    given = read_parameters(params)
    told = _numbers("losses", losses)
    repeated = _numbers("evaluations", evaluations)
    strange = other_latents(counts, given, names)
    if strange:
        subject = f"{family.name} guide, {objective.name} loss, {counts.summary()}"
        return Verdict(subject, strange, advice=_advice(strange, set(), told, repeated))
    case = Case.of(counts, given, family.name, names, prior)
    computed = dtype or looks_like(given, told, repeated)
    if subsample_size is not None:
        subsample_size = count("subsample_size", subsample_size, 1)
    reading = case.reading
    story = Story(
        counts=case.counts,
        guide=case.guide,
        loss=objective,
        num_particles=particles,
        prior=reading.prior,
        own=reading.own,
        dtype=computed,
        **batch_of(case.counts, subsample_size),
    )
    aligned = align(story, told, repeated, optimizer)
    findings = list(case.findings)
    judgement = None
    if aligned is not None:
        aligned, judgement, noted = _judged(aligned, rng)
        findings += noted
        later = aligned.one_later() if judgement.rejected else None
        if later is not None:
            shifted = judge(later.story, later.losses, generator(rng))
            if not shifted.rejected:
                aligned, judgement = later, shifted
                findings.append(note("recorded_after", _AFTER))
        findings += _of_losses(aligned, judgement, computed)
    findings += _impossible(story, told, findings)
    from_start = told.size == reading.num_steps - 1
    findings += step_findings(story, case.learned, optimizer, from_start)
    reached, undone = _undone(story, aligned, judgement)
    steps = max(told.size, reading.num_steps - 1)
    findings += undone
    point = Point(
        counts=reached.counts,
        guide_name=reached.guide,
        loss=objective,
        prior=Beta(*map(float, reached.prior[:, -1, 0])),
        own=reached.own[:, -1],
        learn_prior=case.learned,
        rate=None if optimizer is None else rate_after(optimizer, steps),
        num_particles=particles,
    )
    seen = PointDiagnosis(point)
    findings.append(optimum_finding(seen))
    findings += _untested(told, repeated, reading)
    found = {finding.name for finding in findings}
    ruled_out = judgement.ruled_out if judgement else ()
    return Verdict(
        subject=f"{case.guide} guide, {objective.name} loss, {case.counts.summary()}",
        findings=tuple(sorted(findings, key=lambda finding: ORDER.index(finding.status))),
        exact=exact_numbers(seen),
        posterior=seen.exact_posterior,
        ruled_out=tuple(name for name in ruled_out if name not in found),
        advice=_advice(findings, found, told, repeated),
    )


_AFTER = (
    "the history was recorded after each step: every loss fits the entry before its own, "
    "and the first loss belongs to parameters that were not recorded"
)


def _judged(aligned: Aligned, rng: Rng) -> tuple[Aligned, Judgement, list[Finding]]:
    """What the losses say; of a Renyi bound as it is most likely to have been taken."""
    best, judgement, noted = aligned, judge(aligned.story, aligned.losses, generator(rng)), []
    for story, words in aligned.story.other_bounds() if judgement.rejected else ():
        other = judge(story, aligned.losses, generator(rng))
        if other.score > judgement.score:
            best, judgement = aligned._replace(story=story), other
            noted = [note("bound", f"it is that {words}")]
    return best, judgement, noted


def _undone(
    given: Story, aligned: Aligned | None, judgement: Judgement | None
) -> tuple[Story, list[Finding]]:
    """The given account, or that of the losses where it has other parameters or another guide."""
    if aligned is None or judgement is None or not judgement.explanations:
        return given, []
    best, before = judgement.explanations[0][0].story, aligned.story
    same = best.guide == before.guide and all(
        np.array_equal(theirs[:, -1], ours[:, -1])
        for theirs, ours in ((best.prior, before.prior), (best.own, before.own))
    )
    if same:
        return given, []
    return best, [note("exact", "the exact numbers are those with the mistake undone")]


def _numbers(name: str, values: ArrayLike | None) -> FloatArray:
    found = np.zeros(0) if values is None else float_array(name, values)
    if found.ndim > 1:
        raise ValueError(f"{name} has shape {found.shape}: one number for each step is needed")
    return np.atleast_1d(found)


def _of_losses(aligned: Aligned, judgement: Judgement, dtype: str) -> list[Finding]:
    """What the losses say."""
    trial, values = judgement.given, aligned.losses.values
    reason = f"exact distribution of {values.size} {aligned.what}, {100 * LEVEL:g}% a run"
    std = np.sqrt(np.maximum(trial.law.variance, 0.0)) + trial.allowance
    weights = 1 / np.maximum(std, 1e-300) ** 2
    weights /= weights.sum()
    theirs, ours = float(weights @ values), float(weights @ trial.law.mean)
    allowance = float(3 * np.sqrt(weights**2 @ std**2))
    quantity = f"mean of {values.size} {aligned.what}, weighted by precision,"
    compared = Finding(aligned.what, quantity, theirs, ours, allowance, reason, "agrees")
    if not judgement.rejected:
        return [compared, *_saturation(aligned, dtype)]
    worst = int(np.argmin(trial.p))
    first = Finding(
        "loss_mismatch",
        aligned.labels[worst],
        float(values[worst]),
        float(trial.law.mean[worst]),
        float(3 * std[worst]),
        f"p = {number(judgement.p)}",
        "note",
    )
    if not judgement.explanations:
        return [first._replace(status="mistake"), compared._replace(status="note")]
    (suspect, other), *rest = judgement.explanations
    instead = "".join(f"; or {x.name}, {x.what}" for x, _ in rest)
    shift, error = judgement.shift
    finding = Finding(
        suspect.name,
        f"{suspect.what}: weighted mean",
        theirs,
        float(weights @ other.law.mean),
        allowance,
        f"fits with p = {number(other.p_any)}, as given p = {number(judgement.p)}{instead}",
        "mistake",
        tuple(x.name for x, _ in rest),
    )
    if suspect.name == "unexplained_constant":
        finding = finding._replace(
            quantity="a constant is added to every loss:",
            theirs=shift,
            ours=0.0,
            allowance=3 * error,
        )
    return [finding, first]


def _saturation(aligned: Aligned, dtype: str) -> list[Finding]:
    """Whether what agrees is the loss of clamped draws."""
    clamped = clamped_draws(aligned.story) if aligned.story.batch is None else 0.0
    if not np.isfinite(clamped) or clamped < 1:
        return []
    exact = Trial(aligned.story._replace(clamped=False), aligned.losses, np.random.default_rng(0))
    what = f"about {number(clamped)} draws of c are clamped at the ends of {dtype}"
    if 2 * exact.p_any >= LEVEL:
        return [note("float32_saturation", f"{what}, which does not show in the losses")]
    weights = 1 / np.maximum(exact.law.variance, 1e-300)
    weights /= weights.sum()
    return [
        Finding(
            "float32_saturation",
            f"{what}: weighted mean of the losses",
            float(weights @ aligned.losses.values),
            float(weights @ exact.law.mean),
            None,
            f"without clamping p = {number(exact.p_any)}",
            "mistake" if dtype == "float32" else "note",
        )
    ]


def _impossible(story: Story, told: FloatArray, findings: list[Finding]) -> list[Finding]:
    """Losses that no ELBO of any prior can have in the mean, whatever the parameters were."""
    mistaken = any(finding.status == "mistake" for finding in findings)
    bounded = story.guide in ("beta", "beta_shared", "tied", "normal")
    if told.size < _ENOUGH or mistaken or not bounded or clamped_draws(story) > _FEW:
        return []
    lowest = -maximize_evidence(story.counts).log_evidence
    half = told[told.size // 2 :]
    noise = float(np.std(np.diff(half)) / np.sqrt(2))
    allowance = _FAR * noise / np.sqrt(half.size) + 1e-3 * (1 + abs(lowest))
    mean = float(half.mean())
    if mean >= lowest - allowance:
        return []
    return [
        Finding(
            "latent_not_in_guide",
            "mean of the later losses, below minus the supremum of the evidence:",
            mean,
            lowest,
            allowance,
            "no ELBO is above the evidence",
            "mistake",
        )
    ]


_MOST_PARTICLES = 10**12
_ENOUGH, _FAR = 20, 6.0
_FEW = 1e-3


def _untested(told: FloatArray, repeated: FloatArray, reading: Reading) -> list[Finding]:
    what = []
    if not told.size and not repeated.size:
        what.append("the losses (none were given)")
    elif told.size > 1 and not reading.history:
        what.append("all losses but the last (they belong to other parameters)")
    what.append("draws, gradients and the optimizer's arithmetic (a recording holds them)")
    return [Finding("untested", text, None, None, None, "", "untested") for text in what]


def _advice(
    findings: Sequence[Finding], found: set[str], told: FloatArray, repeated: FloatArray
) -> tuple[str, ...]:
    advice = []
    mistakes = [finding for finding in findings if finding.status == "mistake"]
    if any(finding.rivals for finding in mistakes):
        advice.append("More evaluations, or a history of the parameters, tell them apart.")
    if mistakes:
        advice.append("Mend that first; a recording of a few steps shows where it enters.")
    elif not told.size and not repeated.size:
        advice.append("Evaluate the loss some twenty times at these parameters and hand that in.")
    if "unbounded" in found:
        advice.append("More steps do not help: the model or the guide has to change.")
    elif "drifting" in found:
        advice.append("More steps only go on drifting: look at the supremum, or hold something.")
    elif "not_converged" in found:
        advice.append("More steps, or a smaller learning rate at the end.")
    elif "noise_floor" in found:
        advice.append("More steps do not help: a smaller learning rate at the end, or particles.")
    return tuple(advice)
