"""`replay`: a recorded run made again, step by step, from its own draws.

The order matters. What is another model is said first, and what the program shows to be a mistake.
Then the losses: the explanation of a difference there is what the gradients are compared with, so
that a mistake that moves everything is named once. Then the gradients, where the draws come from,
and the updates, which need nothing but themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from elbo_ref._format.numbers import counted
from elbo_ref._validation.arguments import check_type, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.advice import advise
from elbo_ref.crosscheck.claims import check_claims, check_way_round
from elbo_ref.crosscheck.findings import Finding, Verdict, in_order
from elbo_ref.crosscheck.optimum import Pace, exact_numbers
from elbo_ref.crosscheck.parameters import learned_of, one_by_one
from elbo_ref.crosscheck.reach import maximum_findings
from elbo_ref.diagnostics.point import Point, PointDiagnosis
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GuideName
from elbo_ref.objectives import LossName, find as find_loss
from elbo_ref.recording.guide_sites import NoPriorError, OutsideError, guide_with
from elbo_ref.recording.notes import Recording
from elbo_ref.recording.parameter_findings import of_steps
from elbo_ref.recording.replay import chain, claims, draws, gradients, losses, marginal, updates
from elbo_ref.recording.replay.counts import compare_in_orders
from elbo_ref.recording.replay.finite import finite_part, left_out
from elbo_ref.recording.replay.optimizer_claims import OptimizerClaim, compare_optimizer
from elbo_ref.recording.replay.qualifications import qualifications
from elbo_ref.recording.replay.reach import held_by
from elbo_ref.recording.replay.trace import ReplayTrace
from elbo_ref.recording.replay.whole import whole_run
from elbo_ref.recording.rows import Data, data_by_hand, impossible_rows
from elbo_ref.recording.statement import Statement, read_statement
from elbo_ref.svi.optimizers import Adam, ClippedAdam

_BY_SCALE = ("normalised_loss", "subsample_unscaled", "subsample_scaled_twice")
"""Mistakes that a factor of minibatches shows only where it is known what they are batches of."""

_NOT_KNOWN = Finding(
    "losses",
    "the losses",
    reason="they do not follow from what is known of this model",
    status="untested",
)


@underflow_is_zero
def replay(
    recording: Recording | str | Path,
    counts: Counts | None = None,
    *,
    guide: GuideName | None = None,
    loss: LossName | None = None,
    names: Mapping[str, str] | None = None,
    prior: Beta | None = None,
    optimizer: Adam | ClippedAdam | str | Mapping[str, Any] | None = None,
) -> Verdict:
    """Recompute every step of a recorded run from the same draws, and name what departs.

    Parameters
    ----------
    recording : Recording, str or Path
        From `elbo_ref.recording.record`, or its file.
    counts : Counts, optional
        The data that the run is believed to have, an entry for each latent in the order of the
        plate, or a group for each in any order that its label has among the others; compared with
        what it observed. Equal entries may share one.
    guide, loss : str, optional
        The guide and the loss that the run is believed to have.
    names : mapping of roles to names, optional
        The parameters that are believed to be ``prior.concentration1`` and so on.
    prior : Beta, shape (), optional
        The prior that the run is believed to have held.
    optimizer : Adam, ClippedAdam, str or mapping, optional
        The optimizer that the run is believed to have: with all its settings, its class, as
        ``"SGD"``, or some of either, as ``{"class": "ClippedAdam", "lr": 0.03}``.

    Returns
    -------
    Verdict
        Its findings name the first step that departs, and what. A program that is another model
        has the outcome ``"outside_model"``, and what can be made again of it is.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind.
    RecordingError
        If a file is not a recording.
    OSError
        If a file cannot be read.

    See Also
    --------
    elbo_ref.recording.record : Make a recording of Pyro's SVI.
    cross_check : Check parameters and losses without their draws.

    Notes
    -----
    From its draws, each loss follows to rounding, and each gradient but for PyTorch's approximate
    derivative of a Beta draw; each update follows from the gradient. Without PyTorch a gradient
    that goes through a Beta draw is untested; see docs/replay.md. Gradients are those for the
    arguments of the sites, so that any parametrisation of these is judged.

    Examples
    --------
    >>> c, one = np.array([[[0.25]]]), np.array([[1.0]])
    >>> model = {"program": "model", "observed": False, "class": "Beta", "name": "c"}
    >>> rows = {**model, "observed": True, "class": "Binomial", "name": "k", "latent": "c"}
    >>> made = Recording(
    ...     losses=[-np.log(120 * 0.25**3 * 0.75**7)],  # binomial(10, 3) is 120, the prior is flat
    ...     draws={"c": c},
    ...     arguments={"model.c.concentration1": one, "model.c.concentration0": one},
    ...     observed={"k.value": 3 * one, "k.total_count": 10 * one, "k.index": 0 * one},
    ...     header={"sites": [model, {**rows, "rows": 1, "elements": 1}]},
    ... )
    >>> [finding.name for finding in replay(made).having("agrees")]
    ['losses', 'draws', 'at_optimum']
    """
    if isinstance(recording, str | Path):
        recording = Recording.load(recording)
    check_type("recording", recording, Recording)
    if counts is not None:
        check_type("counts", counts, Counts)
    claim = None if optimizer is None else OptimizerClaim.of(optimizer)
    check_claims(names, prior)
    check_way_round(names or {}, recording.constrained)
    with np.errstate(all="ignore"):  # a number that overflows is one that departs
        unlike = [] if claim is None else compare_optimizer(recording, claim)
        seen = _replayed(recording, counts, None if unlike or not claim else claim.optimizer())
        seen.findings.extend(unlike)
        if seen.statement is not None:
            seen.findings.extend(claims.compare(seen.statement, guide, loss, names or {}, prior))
    return _verdict(recording, seen)


class _Seen(NamedTuple):
    """Findings of a replay, and how far it came."""

    findings: list[Finding]
    statement: Statement | None = None
    trace: ReplayTrace | None = None
    point: PointDiagnosis | None = None


def _replayed(
    recording: Recording, counts: Counts | None, optimizer: Adam | ClippedAdam | None
) -> _Seen:
    part, findings = finite_part(recording)
    findings += left_out(recording)
    if part is None:
        untested = _untested("there is no step of finite numbers")
        return _Seen([*impossible_rows(recording), *findings, untested])
    try:
        statement = read_statement(part)
    except (OutsideError, NoPriorError) as error:
        mistake = Finding("loss_mismatch", str(error), status="mistake")
        findings.append(mistake if isinstance(error, NoPriorError) else _outside(str(error)))
        return _Seen([*findings, *updates.compare_updates(part, optimizer)])
    findings += [*map(_outside, statement.outside), *statement.findings]
    findings += of_steps(part, statement.arguments)
    data = statement.data
    findings += _beside_counts(statement, counts)
    counts = counts and one_by_one(counts)
    if data is None and counts is not None:
        data = data_by_hand(part, counts, statement.draws.shape[2])
    if data is None or not data.possible:
        others = "give the counts" if counts is None else "its rows are not those of the counts"
        by_hand = f"the likelihood is written by hand: {others}"
        findings.append(_untested(by_hand if data is None else "the rows are no counts"))
        findings += updates.compare_updates(part, optimizer)
        return _Seen(findings, statement)
    trace = None
    if statement.marginal:
        of_losses = marginal.compare(statement, data)
        unlike = any(x.name == "loss_mismatch" for x in of_losses)
        findings += [_NOT_KNOWN] if unlike and statement.outside else of_losses
    elif _samples_others(statement):
        findings.append(_untested("the densities of what the guide samples instead are in them"))
    elif not data.exact:
        findings.append(_untested("each particle has data of its own"))
    else:
        explanation = losses.explain_losses(ReplayTrace.of(statement, data))
        trace = explanation.trace
        unexplained = any(x.name == "loss_mismatch" for x in explanation.findings)
        if unexplained and statement.outside:
            findings.append(_NOT_KNOWN)
            explanation = explanation._replace(explained=False)
        elif not unexplained or all(x.name != "loss_mismatch" for x in statement.findings):
            findings += explanation.findings
        of_gradients = gradients.compare_gradients(explanation)
        detached = any(x.name == "gradient_detached" for x in statement.findings)
        findings += [x for x in of_gradients if not (detached and x.name == "gradient_mismatch")]
        findings += draws.compare_draws(trace)
    if not any(x.name == "loss_mismatch" for x in findings):
        findings += chain.compare_parameters(statement)
    of_updates = updates.compare_updates(part, optimizer)
    reset = any(x.name == "parameters_reset" for x in findings)  # so that no step follows another
    findings += [x for x in of_updates if not (reset and x.name == "optimizer_settings")]
    findings += qualifications(statement.findings, data, counts)
    more, point = _at_maximum(statement, data, counts, trace)
    return _Seen([*findings, *more], statement, trace, point)


def _beside_counts(statement: Statement, counts: Counts | None) -> list[Finding]:
    """Compare the rows that a run observed with the counts that were given."""
    data, weight = statement.data, statement.scale * statement.likelihood_weight
    if data is None or not data.possible or counts is None:
        return []
    if any(x.name == "observations_missing" for x in data.findings):
        return []
    findings = compare_in_orders(data, counts, weight)
    if any(x.status == "mistake" for x in findings):
        findings = _turned_round(statement, counts, weight, findings)
    if data.constant and any(x.status == "mistake" for x in findings):
        words = "the exact numbers are those of the rows that the run observed"
        findings.append(Finding("exact", words, status="note"))
    weighted = any(x.name == "likelihood_weight" for x in statement.findings)
    return [x for x in findings if not (weighted and x.name == "subsample_unscaled")]


def _samples_others(statement: Statement) -> bool:
    """Return True if the guide samples something in place of the latent."""
    sampled = any(not x["observed"] for x in statement.recording.sites("guide"))
    return sampled and statement.guide.name == "empty"


def _turned_round(
    statement: Statement, counts: Counts, weight: float, findings: list[Finding]
) -> list[Finding]:
    """Say so if the rows are the failures of all counts; of a Dirichlet either may be a success."""
    data = statement.data
    assert data is not None
    other = compare_in_orders(data, counts.mirrored, weight)
    if any(x.status == "mistake" for x in other):
        return findings
    if any(x["class"].startswith("Dirichlet") for x in statement.recording.sites("model")):
        words = "the second of the Dirichlet's two is the success of the counts, and here the first"
        return [*other, Finding("mirrored", words, status="note")]
    return [x._replace(reason=f"{x.reason}; they are its failures, in every row") for x in findings]


def _at_maximum(
    statement: Statement, data: Data, counts: Counts | None, trace: ReplayTrace | None
) -> tuple[list[Finding], PointDiagnosis | None]:
    """Compare the last parameters with the optimum."""
    if statement.outside:
        return [], None
    whole = (statement, data) if data.constant else whole_run(statement, data, counts)
    if isinstance(whole, str):
        words = "whether the parameters are at a maximum"
        return [Finding("objective", words, reason=whole, status="untested")], None
    point = _last_point(*whole, data, trace)
    if point is None:
        return [], None
    decay = max((x.get("weight_decay") or 0.0 for x in _settings(statement.recording)), default=0.0)
    pace, held = _pace(statement.recording), held_by(statement)
    history = trace.model if trace is not None and data.constant else None
    return maximum_findings(point, held, decay, history, pace=pace), point


def _pace(recording: Recording) -> Pace | None:
    """Return the last learning rate or, of an optimizer whose steps it is not, the longest step."""
    falls = _ratio_of_rates(recording)
    if _of_adam(recording):
        return None if (rate := _rate(recording)) is None else Pace(rate, falls=falls)
    lengths = [np.abs(recording.after[x] - at).max() for x, at in recording.before.items()]
    return Pace(float(max(lengths)), "the longest step", falls) if lengths else None


def _rate(recording: Recording) -> float | None:
    """Return the learning rate of the last step."""
    rates = [rate[-1] for rate in recording.lr.values() if np.isfinite(rate[-1])]
    return float(max(rates)) if rates else None


def _batch(statement: Statement, seen: Data, counts: Counts) -> int | None:
    """Return the latents, or the trials of one latent, that a step sees; None if that is all."""
    if statement.num_latents < len(counts):
        return statement.num_latents
    return None if seen.constant else round(float(seen.total_count.mean()))


def _of_adam(recording: Recording) -> bool:
    """Return True unless the optimizer is known to be of another kind."""
    kind = (recording.header.get("optimizer") or {}).get("class")
    return kind is None or "adam" in kind.lower()


def _ratio_of_rates(recording: Recording) -> float:
    """Return the factor by which the learning rate falls in every step; 1 if it does not."""
    rates = next((x for x in recording.lr.values() if np.all(np.isfinite(x))), np.ones(1))
    ratios = rates[1:] / np.maximum(rates[:-1], 1e-300)
    alike = ratios.size and np.ptp(ratios) <= 1e-3 * ratios[-1]
    return float(ratios[-1]) if alike else 1.0


def _settings(recording: Recording) -> list[dict[str, Any]]:
    """List the optimizer's settings of each parameter."""
    noted = recording.header.get("optimizer") or {}
    return list(noted.get("settings", {}).values())


def _untested(reason: str) -> Finding:
    return Finding("losses", "losses, gradients and draws", reason=reason, status="untested")


def _outside(reason: str) -> Finding:
    return Finding("outside_model", reason, status="outside")


def _last_point(
    statement: Statement, data: Data, seen: Data, trace: ReplayTrace | None
) -> PointDiagnosis | None:
    """Diagnose the parameters of the last step, of all `data`; None where there is no such point.

    The rows that the steps have `seen` are fewer in a run on minibatches.
    """
    prior = statement.prior[:, -1]
    if prior.shape[1] > 1:
        return None
    guide, params = statement.guide, statement.guide_parameters[:, -1]
    if statement.marginal:
        guide = guide_with(origin="posterior", detached=False)
    if guide.origin == "posterior":
        params = data.outcomes[:, 0]
    if not guide.shared:
        params = np.broadcast_to(params, (len(params), data.successes.shape[1]))
    if not guide.is_point:  # refuses parameters that are none of the distribution
        guide.kind(*guide.source_parameters(prior, params))
    recording, arguments = statement.recording, statement.arguments
    learned = [role for role, x in arguments.items() if x.sources or x.changes]
    counts, particles = data.as_counted(), 1 if trace is None else trace.model.num_particles
    point = Point(
        counts=counts,
        guide_name=guide.name,
        loss=find_loss("trace") if trace is None else trace.model.loss,
        prior=Beta(*map(float, prior[:, 0])),
        guide_parameters=params,
        learn_prior=learned_of(learned),
        rate=_rate(recording) if _of_adam(recording) else None,
        num_particles=particles,
        batch=_batch(statement, seen, counts),
        of_adam=_of_adam(recording),
    )
    return PointDiagnosis(point)


def _verdict(recording: Recording, seen: _Seen) -> Verdict:
    noted = recording.header.get("loss") or {}
    framework = recording.header.get("framework", "an SVI")
    kind = noted.get("class") or "a loss of its own"
    invisible = losses.invisible(seen.trace) if seen.trace else ()
    subject = (
        f"{counted(recording.num_steps, 'step')} of {framework} with {kind} in {recording.dtype}"
    )
    if seen.statement is not None:
        guide = "no guide" if seen.statement.marginal else f"{seen.statement.guide.name} guide"
        latents = counted(seen.statement.num_latents, "latent")
        whole = seen.point.point.counts.num_latents if seen.point else 0
        few = seen.statement.num_latents < whole
        subject += f": {latents}{f' a step, of {whole}' if few else ''}, {guide}"
    return Verdict(
        subject,
        in_order(seen.findings),
        exact_numbers(seen.point) if seen.point else {},
        _ruled_out(seen.findings, invisible),
        advise(seen.findings, has_losses=True, recorded=True),
        posterior=seen.point.exact_posterior if seen.point else None,
    )


def _ruled_out(findings: list[Finding], invisible: tuple[str, ...]) -> tuple[str, ...]:
    """List mistakes that would have been seen: of quantities that agree wherever tested."""

    def names(status: str) -> set[str]:
        return {finding.name for finding in findings if finding.status == status}

    agreeing = names("agrees") - names("untested")
    unscaled = "scale" in names("note") or "likelihood_weight" in names("mistake")
    unseen = [*(_BY_SCALE if unscaled else ())]
    unseen += ["likelihood_weight"] * ("same_rows" in names("note"))
    quantities = {"losses": losses, "gradients": gradients, "updates": updates, "draws": draws}
    return tuple(
        name
        for quantity, module in quantities.items()
        if quantity in agreeing
        for name in module.RULED_OUT
        if name not in (*names("mistake"), *invisible, *unseen)
    )
