"""Claims about a recorded run beside what its recording states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.expressions import NamesError, forms_of, parse, role_of
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import Guide, find
from elbo_ref.recording.guide_sites import EMPTY
from elbo_ref.recording.replay.trace import loss_of
from elbo_ref.recording.statement import Statement
from elbo_ref.svi.parameters import NAMES

_ROUNDING = 1e-4
"""Relative difference of a parameter and what a program computes of it in float32."""


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
    return findings + _of_other_roles(statement, names)


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


def _of_other_roles(statement: Statement, names: Mapping[str, str]) -> list[Finding]:
    """Find names for what the sites have otherwise: for the other concentration, or for neither."""
    claims = _named(statement, names)
    unseen = [text for said, text in names.items() if role_of(said)[0] not in claims]
    off = {role: x for role, x in claims.items() if not x.is_of(x.here)}
    findings, site = list[Finding](), f"the site {statement.latent!r} has it"
    if unseen:
        what = f"the names {', '.join(unseen)} (the sites have no such values to compare them with)"
        findings.append(Finding("untested", what, status="untested"))
    for owner in ("prior", "guide"):
        roles = [f"{owner}.{name}" for name in NAMES]
        one, zero = map(off.get, roles)
        if one and zero and one.is_of(zero.here) and zero.is_of(one.here):
            off = {role: x for role, x in off.items() if role not in roles}
            reason = f"{site} for {NAMES[1]}"
            findings.append(one.finding("swapped_concentrations", roles[0], reason))
    return findings + [x.finding("mixed_roles", role, f"as {site}") for role, x in off.items()]


class _Named(NamedTuple):
    """Values that are said to be a role's beside those that the sites have, (T, 1 or L)."""

    text: str
    values: FloatArray
    here: FloatArray

    def is_of(self, here: FloatArray) -> bool:
        """Return True if they, or a function of them, are some values."""
        return any(np.allclose(x, here, rtol=_ROUNDING, atol=0.0) for x in forms_of(self.values))

    def finding(self, name: str, role: str, reason: str) -> Finding:
        """Say where they depart first."""
        claimed, here = np.broadcast_arrays(self.values, self.here)
        off = np.argmax(np.abs(claimed - here) > _ROUNDING * np.abs(here))
        words = f"{self.text}, said to be {role}, at step {off // here.shape[1]}"
        numbers = float(claimed.flat[off]), float(here.flat[off]), 0.0
        return Finding(name, words, *numbers, reason, "mistake")


def _named(statement: Statement, names: Mapping[str, str]) -> dict[str, _Named]:
    """Evaluate the names that can be compared, by role."""
    known, found = statement.recording.constrained, {}
    for said, text in names.items():
        role, undone = role_of(said)
        here = _argument(statement, role)
        try:
            expression = parse(text, known)
        except NamesError:
            continue
        held = expression.number is not None
        if here is None or not (held or expression.name in known):
            continue
        rows = () if held else (slice(None), *expression.rows)
        whole = expression._replace(rows=rows, functions=(*expression.functions, *undone))
        values = whole.of(known).reshape((1, 1) if held else (len(here), -1))
        if 1 in (values.shape[1], here.shape[1]) or values.shape == here.shape:
            found[role] = _Named(text, values, here)
    return found


def _argument(statement: Statement, role: str) -> FloatArray | None:
    """Values of a role in all steps, (T, 1 or L), as the sites have it."""
    if role in statement.arguments:
        return statement.arguments[role].values.astype(np.float64)
    owner, _, name = role.partition(".")
    pair = [statement.arguments.get(f"{owner}.{x}") for x in NAMES]
    if name not in ("mean", "concentration") or None in pair:
        return None
    a, b = (x.values.astype(np.float64) for x in pair if x is not None)
    return a / (a + b) if name == "mean" else a + b
