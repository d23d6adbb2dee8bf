"""Claims about a recorded run beside what its recording states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from elbo_ref.crosscheck.findings import Finding
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import Guide, find
from elbo_ref.recording.guide_sites import EMPTY
from elbo_ref.recording.replay.trace import loss_of
from elbo_ref.recording.statement import Statement
from elbo_ref.svi.parameters import NAMES


def compare(
    statement: Statement,
    guide: str | None,
    loss: str | None,
    names: Mapping[str, str],
    prior: Beta | None,
) -> list[Finding]:
    """Find the claims that the recording contradicts."""
    findings = []
    if guide is not None and not statement.marginal:
        findings += _another_guide(statement.guide, find(guide))
    used = loss_of(statement)
    if loss is not None and loss != used:
        words = f"the loss is {used!r}, said to be {loss!r}"
        findings.append(Finding("another_loss", words, status="mistake"))
    if prior is not None:
        held = np.array(prior.arrays(), dtype=np.float64)
        off = np.abs(statement.prior - held[:, None, None]) > 1e-6 * held[:, None, None]
        if off.any():
            row, step, latent = np.argwhere(off)[0]
            words = f"{NAMES[row]} of the prior at step {step}"
            numbers = float(statement.prior[row, step, latent]), float(held[row]), None
            reason = "as the site has it"
            findings.append(Finding("wrong_fixed_prior", words, *numbers, reason, "mistake"))
    return findings + _exchanged(statement, names)


def _another_guide(seen: Guide, said: Guide) -> list[Finding]:
    """Find a guide of another family, or of another origin than one that is not its own Beta.

    A Beta guide may be one for all latents, or the prior's or the posterior's.
    """
    families = [(x.is_point, x.source, x.source_weight == 0, x.jacobian) for x in (seen, said)]
    if families[0] == families[1] and said.origin in ("own", seen.origin):
        return []
    words = f"the guide is {seen.name!r}, said to be {said.name!r}"
    name = "latent_not_in_guide" if seen is EMPTY else "another_guide"
    return [Finding(name, words, status="mistake")]


def _exchanged(statement: Statement, names: Mapping[str, str]) -> list[Finding]:
    """Find names for the two concentrations that the sites have the other way round."""
    values, findings = statement.recording.constrained, []
    for owner in ("prior", "guide"):
        roles = [f"{owner}.{name}" for name in NAMES]
        known = all(x in statement.arguments and names.get(x) in values for x in roles)
        if not known:
            continue
        one, zero = (values[names[role]] for role in roles)
        first, second = (statement.arguments[role].values for role in roles)
        if _equal(one, second) and _equal(zero, first) and not _equal(one, first):
            words = f"{names[roles[0]]}, said to be {roles[0]}, at step 0"
            numbers = float(one.flat[0]), float(first.flat[0]), 0.0
            reason = f"the site {statement.latent!r} has it for {NAMES[1]}"
            finding = Finding("swapped_concentrations", words, *numbers, reason, "mistake")
            findings.append(finding)
    return findings


def _equal(x: NDArray[np.generic], y: NDArray[np.generic]) -> bool:
    flat = x.reshape(len(x), -1)
    return flat.shape[1] in (1, y.shape[1]) and bool(np.all(flat == y))
