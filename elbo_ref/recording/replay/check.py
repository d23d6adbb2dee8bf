"""`replay`: a recorded run made again, step by step, from its own draws.

The order matters. The losses come first: what explains them is what the gradients are compared
with, so that a mistake that moves everything is named once. Then the gradients, the updates, which
need nothing but themselves, and where the draws come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elbo_ref._validation.arguments import check_type, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.check import check_claims
from elbo_ref.crosscheck.findings import ORDER, Finding, Verdict
from elbo_ref.crosscheck.optimum import exact_numbers, optimum_finding
from elbo_ref.crosscheck.parameters import learned_of, one_by_one
from elbo_ref.diagnostics.point import Point, PointDiagnosis
from elbo_ref.distributions.beta import Beta
from elbo_ref.optim import Adam
from elbo_ref.recording import Recording
from elbo_ref.recording.replay import draws, gradients, losses, updates
from elbo_ref.recording.replay.batches import NotReplayedError, find_batch
from elbo_ref.recording.replay.data import finite_part, mend_data, mend_parameters
from elbo_ref.recording.replay.joined import one_site
from elbo_ref.recording.replay.roles import Cast, latent_site, mend_names, read_tape
from elbo_ref.recording.replay.trace import Tape


@underflow_is_zero
def replay(
    recording: Recording | str | Path,
    counts: Counts,
    *,
    guide: str | None = None,
    loss: str | None = None,
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
        As of `maximize_elbo`; by default what the recording says.
    names : mapping, optional
        Which parameter is ``prior.concentration1`` and so on; by default the one that the site was
        distributed by.
    prior : Beta, optional
        The prior, where it is no parameter and not recorded.
    optimizer : Adam, optional
        What the updates are said to be; by default what the recording says.

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
    with np.errstate(all="ignore"):
        return _replayed(recording, counts, guide, loss, names, prior, optimizer)


def _replayed(
    recording: Recording,
    counts: Counts,
    guide: str | None,
    loss: str | None,
    names: Mapping[str, str] | None,
    prior: Beta | None,
    optimizer: Adam | None,
) -> Verdict:
    """The verdict on a recording of any numbers: one that overflows is one that departs."""
    subject = _subject(recording)
    part, found = finite_part(recording)
    if part is None:
        return _verdict(subject, [*found, _untested("there is no step of finite numbers")])
    found += updates.judge_updates(part, optimizer)
    part, unconstrained = mend_parameters(part)
    found += unconstrained
    part = one_site(part)
    latents, size = one_by_one(counts), part.draws[latent_site(part)].shape[2]
    try:
        batch = find_batch(part, latents, size)
    except NotReplayedError as error:
        return _verdict(subject, [*found, _untested(str(error))])
    used, wrong = mend_data(part, latents, size) if batch is None else batch.mend(latents)
    found += wrong
    if used is None:
        reason = "the counts have other latents than the draws"
        return _verdict(subject, [*found, _untested(reason)])
    guide, claimed = _guide(part, guide)
    found += claimed
    if claimed:
        names = {role: name for role, name in (names or {}).items() if "prior." in role}
    cast = Cast.of(part, guide, used)
    names, exchanged = mend_names(cast, names or {}, batch)
    found += exchanged
    if claimed and part.sites("guide", observed=False):
        reason = "the guide samples others than the model's latents"
        return _verdict(subject, [*found, _untested(reason)])
    tape = read_tape(cast, used, loss, names, prior, batch)
    judged = losses.judge_losses(tape)
    found += judged.findings
    found += gradients.judge_gradients(judged, used)
    found += draws.judge_draws(judged.tape)
    blind = losses.blind(tape)
    seen = _seen(judged.tape, used)
    found += [optimum_finding(seen)] if seen else []
    return _verdict(subject, found, seen, blind)


def _guide(recording: Recording, guide: str | None) -> tuple[str | None, list[Finding]]:
    """What the guide is, where its sites say that it does not sample the latent."""
    sampled = [site["name"] for site in recording.sites("guide", observed=False)]
    if "sites" not in recording.header or latent_site(recording) in sampled:
        return guide, []
    meant = sampled or guide not in (None, "empty")
    words = "the guide does not sample the latent: what is maximised is no ELBO"
    reason = f"it samples {', '.join(map(repr, sampled))}" if sampled else "it samples nothing"
    status: Any = "mistake" if meant else "note"
    return "empty", [Finding("latent_not_in_guide", words, None, None, None, reason, status)]


def _untested(reason: str) -> Finding:
    words = "losses, gradients and draws"
    return Finding("losses", words, None, None, None, reason, "untested")


def _subject(recording: Recording) -> str:
    framework = recording.header.get("framework", "an SVI")
    kind = (recording.header.get("loss") or {}).get("class") or "a loss of its own"
    return f"{recording.num_steps} steps of {framework} with {kind} in {recording.dtype}"


def _seen(tape: Tape, counts: Counts) -> PointDiagnosis | None:
    """The parameters of the last step, before its update; None where there is no such value."""
    prior = tape.reading.prior[:, -1, 0]
    if not (prior > 0).all() or tape.reading.guide_parameters.shape[2] not in (1, len(counts)):
        return None
    rates = [rate[-1] for rate in tape.recording.lr.values() if np.isfinite(rate[-1])]
    point = Point(
        counts=counts,
        guide_name=tape.guide.name,
        loss=tape.objective,
        prior=Beta(*map(float, prior)),
        own=tape.reading.guide_parameters[:, -1],
        learn_prior=learned_of([role for _, role, _ in tape.learned()]),
        rate=float(rates[0]) if rates else None,
        num_particles=1 if tape.bound else tape.draws.shape[1],
    )
    return PointDiagnosis(point)


def _verdict(
    subject: str,
    findings: list[Finding],
    seen: PointDiagnosis | None = None,
    blind: tuple[str, ...] = (),
) -> Verdict:
    agreeing = {finding.name for finding in findings if finding.status == "agrees"}
    agreeing -= {finding.name for finding in findings if finding.status == "untested"}
    found = {finding.name for finding in findings if finding.status == "mistake"}
    judges = {"losses": losses, "gradients": gradients, "updates": updates, "draws": draws}
    ruled_out = [
        name
        for judge, module in judges.items()
        if judge in agreeing
        for name in module.RULED_OUT
        if name not in found and name not in blind
    ]
    ordered = sorted(findings, key=lambda finding: ORDER.index(finding.status))
    return Verdict(
        subject,
        tuple(ordered),
        exact_numbers(seen) if seen else {},
        tuple(ruled_out),
        posterior=seen.exact_posterior if seen else None,
    )
