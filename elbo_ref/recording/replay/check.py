"""`replay`: a recorded run made again, step by step, from its own draws.

The order matters. The losses come first: the explanation of a difference there is what the
gradients are compared with, so that a mistake that moves everything is named once. Then the
gradients, the updates, which need nothing but themselves, and where the draws come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import check_type, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.check import check_claims
from elbo_ref.crosscheck.findings import Finding, Status, Verdict, in_order
from elbo_ref.crosscheck.optimum import exact_numbers, optimum_finding
from elbo_ref.crosscheck.parameters import learned_of, one_by_one
from elbo_ref.diagnostics.point import Point, PointDiagnosis
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GuideName
from elbo_ref.objectives import LossName
from elbo_ref.optim import Adam
from elbo_ref.recording import Recording
from elbo_ref.recording.replay import draws, gradients, losses, updates
from elbo_ref.recording.replay.canonical import constrain_parameters, finite_part, one_site
from elbo_ref.recording.replay.roles import EMPTY, Candidates, latent_site, make_trace
from elbo_ref.recording.replay.rows import NotReplayedError, find_batch, match_counts
from elbo_ref.recording.replay.trace import ReplayTrace


@underflow_is_zero
def replay(
    recording: Recording | str | Path,
    counts: Counts,
    *,
    guide: GuideName | None = None,
    loss: LossName | None = None,
    names: Mapping[str, str] | None = None,
    prior: Beta | None = None,
    optimizer: Adam | None = None,
) -> Verdict:
    """Recompute every step of a recorded run from the same draws, and name what departs.

    Parameters
    ----------
    recording : Recording, str or Path
        From `elbo_ref.recording.record`, or its file.
    counts : Counts
        The data, an entry for each latent in the order of the plate; equal entries may share one.
    guide, loss : str, optional
        Names as of `maximize_elbo`; by default those that the recording shows.
    names : mapping of roles to names, optional
        Names of the parameters that are ``prior.concentration1`` and so on; by default those that
        the sites were distributed by.
    prior : Beta, shape (), optional
        The prior, where it is no parameter and not recorded.
    optimizer : Adam, optional
        The optimizer claimed; by default the one that the recording names.

    Returns
    -------
    Verdict
        Its findings name the first step that departs, and what.

    Raises
    ------
    TypeError, ValueError
        If the recording does not say what is needed, or is not one.
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
    that goes through a Beta draw is untested; see docs/replay.md.

    Examples
    --------
    >>> c, a = np.array([[[0.25]]]), np.array([1.0])
    >>> made = Recording(
    ...     losses=[-np.log(120 * 0.25**3 * 0.75**7)],  # binomial(10, 3) is 120, the prior is flat
    ...     draws={"c": c},
    ...     before={"a": 0 * a, "b": 0 * a}, constrained={"a": a, "b": a},
    ...     after={"a": 0 * a, "b": 0 * a}, gradients={"a": 0 * a, "b": 0 * a},
    ... )
    >>> names = {"prior.concentration1": "a", "prior.concentration0": "b"}
    >>> found = replay(made, Counts(3, 10), guide="empty", loss="trace", names=names)
    >>> [finding.name for finding in found.having("agrees")]
    ['losses', 'draws']
    """
    if isinstance(recording, str | Path):
        recording = Recording.load(recording)
    check_type("recording", recording, Recording)
    check_type("counts", counts, Counts)
    if optimizer is not None:
        check_type("optimizer", optimizer, Adam)
    check_claims(names, prior)
    with np.errstate(all="ignore"):  # a number that overflows is one that departs
        return _replayed(recording, counts, _Claims(guide, loss, names or {}, prior, optimizer))


class _Claims(NamedTuple):
    """Arguments of `replay`: what is said of a run beside its recording."""

    guide: str | None
    loss: str | None
    names: Mapping[str, str]
    prior: Beta | None
    optimizer: Adam | None


def _replayed(recording: Recording, counts: Counts, claims: _Claims) -> Verdict:
    part, findings = finite_part(recording)
    trace, point = None, None
    try:
        if part is None:
            raise NotReplayedError("there is no step of finite numbers")
        findings += updates.compare_updates(part, claims.optimizer)
        trace, used = _trace(part, counts, claims, findings)
        explanation = losses.explain_losses(trace)
        findings += explanation.findings
        findings += gradients.compare_gradients(explanation, used)
        findings += draws.compare_draws(explanation.trace)
        point = _last_point(explanation.trace, used)
        findings += [optimum_finding(point)] if point else []
    except NotReplayedError as error:
        untested = "losses, gradients and draws"
        findings.append(Finding("losses", untested, reason=str(error), status="untested"))
    noted = recording.header.get("loss") or {}
    framework = recording.header.get("framework", "an SVI")
    kind = noted.get("class") or "a loss of its own"
    return Verdict(
        f"{recording.num_steps} steps of {framework} with {kind} in {recording.dtype}",
        in_order(findings),
        exact_numbers(point) if point else {},
        _ruled_out(findings, losses.invisible(trace) if trace else ()),
        posterior=point.exact_posterior if point else None,
    )


def _trace(
    recording: Recording, counts: Counts, claims: _Claims, findings: list[Finding]
) -> tuple[ReplayTrace, Counts]:
    """Make a trace with the data that the run really had; differences are findings.

    Raises
    ------
    NotReplayedError
        If the recording does not hold one.
    """
    recording, unconstrained = constrain_parameters(recording)
    findings += unconstrained
    recording = one_site(recording)
    latents, size = one_by_one(counts), recording.draws[latent_site(recording)].shape[2]
    batch = find_batch(recording, latents, size)
    matched = match_counts(recording, latents, size) if batch is None else batch.match(latents)
    used, differences = matched
    findings += differences
    if used is None:
        raise NotReplayedError("the counts have other latents than the draws")
    guide, names = claims.guide, claims.names
    site_missing = _latent_not_in_guide(recording, guide)
    findings += site_missing
    if site_missing:
        guide = EMPTY.name
        names = {role: name for role, name in names.items() if "prior." in role}
    candidates = Candidates.of(recording, guide, used)
    names, exchanged = candidates.match_names(names, batch)
    findings += exchanged
    if site_missing and recording.sites("guide", observed=False):
        raise NotReplayedError("the guide samples others than the model's latents")
    loss, prior = claims.loss, claims.prior
    return make_trace(candidates, used, loss=loss, names=names, prior=prior, batch=batch), used


def _latent_not_in_guide(recording: Recording, guide: str | None) -> list[Finding]:
    """Find that the guide's sites are others than the latent."""
    sampled = [site["name"] for site in recording.sites("guide", observed=False)]
    if "sites" not in recording.header or latent_site(recording) in sampled:
        return []
    intended = sampled or guide not in (None, EMPTY.name)
    words = "the guide does not sample the latent: what is maximised is no ELBO"
    reason = f"it samples {', '.join(map(repr, sampled))}" if sampled else "it samples nothing"
    status: Status = "mistake" if intended else "note"
    return [Finding("latent_not_in_guide", words, reason=reason, status=status)]


def _last_point(trace: ReplayTrace, counts: Counts) -> PointDiagnosis | None:
    """Diagnose the parameters before the last update; None where there is no such value."""
    prior, params = trace.roles.prior[:, -1, 0], trace.roles.guide_parameters
    if not (prior > 0).all() or params.shape[2] not in (1, len(counts)):
        return None
    if not trace.guide.is_point:  # refuses parameters that are none of the distribution
        trace.guide.kind(*trace.guide.source_parameters(prior[:, None], params[:, -1]))
    rates = [rate[-1] for rate in trace.recording.lr.values() if np.isfinite(rate[-1])]
    point = Point(
        counts=counts,
        guide_name=trace.guide.name,
        loss=trace.objective,
        prior=Beta(*map(float, prior)),
        guide_parameters=params[:, -1],
        learn_prior=learned_of([role for _, role, _ in trace.learned()]),
        rate=float(rates[0]) if rates else None,
        num_particles=1 if trace.bound else trace.draws.shape[1],
    )
    return PointDiagnosis(point)


def _ruled_out(findings: list[Finding], invisible: tuple[str, ...]) -> tuple[str, ...]:
    """List mistakes that would have been seen: of quantities that agree wherever tested."""

    def names(status: str) -> set[str]:
        return {finding.name for finding in findings if finding.status == status}

    agreeing = names("agrees") - names("untested")
    quantities = {"losses": losses, "gradients": gradients, "updates": updates, "draws": draws}
    return tuple(
        name
        for quantity, module in quantities.items()
        if quantity in agreeing
        for name in module.RULED_OUT
        if name not in names("mistake") and name not in invisible
    )
