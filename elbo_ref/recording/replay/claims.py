"""Claims about a recorded run beside what its recording states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from elbo_ref.crosscheck.findings import Finding
from elbo_ref.distributions.beta import Beta
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
    if guide is not None and guide != statement.guide.name and not statement.marginal:
        words = f"the guide is {statement.guide.name!r}, said to be {guide!r}"
        name = "latent_not_in_guide" if statement.guide is EMPTY else "another_guide"
        findings.append(Finding(name, words, status="mistake"))
    used = loss_of(statement)
    if loss is not None and loss != used:
        words = f"the loss is {used!r}, said to be {loss!r}"
        findings.append(Finding("another_loss", words, status="mistake"))
    if prior is not None:
        held = np.array(prior.arrays(), dtype=np.float64)
        off = np.abs(statement.prior - held[:, None, None]) > 1e-6 * held[:, None, None]
        if off.any():
            row, step, _ = np.argwhere(off)[0]
            words = f"{NAMES[row]} of the prior at step {step}"
            numbers = float(statement.prior[row, step, 0]), float(held[row]), None
            reason = "as the site has it"
            findings.append(Finding("wrong_fixed_prior", words, *numbers, reason, "mistake"))
    return findings + _exchanged(statement, names)


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
