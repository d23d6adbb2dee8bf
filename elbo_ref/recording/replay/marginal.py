"""A run whose likelihood is the marginal one (E12): its losses are minus the log evidence (E1).

There is no latent and no noise: what SVI maximises is the evidence itself. Pyro forms log
probabilities as differences of log gammas, so that the allowance is rounding of these. NumPyro
forms two log Beta functions for each row, in which JAX's ``betaln`` errs where its larger argument
is just above 8.
"""

from __future__ import annotations

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence, log_evidence_gradient
from elbo_ref.recording.replay.comparison import Comparison
from elbo_ref.recording.replay.trace import from_numpyro
from elbo_ref.recording.rows import Data
from elbo_ref.recording.statement import Statement
from elbo_ref.svi.parameters import NAMES

_ROUNDINGS = 8
"""Allowance in eps of all terms without signs."""
_JAX_ERROR = 1.3e-6
"""Largest error of JAX's ``betaln``, and of its derivatives, measured between 1e-3 and 1e6."""


def compare(statement: Statement, data: Data) -> list[Finding]:
    """Compare every loss, and its gradient for both concentrations."""
    if not data.exact:
        reason = "each particle has rows of its own"
        return [Finding("losses", "the losses", reason=reason, status="untested")]
    recording, prior = statement.recording, statement.prior
    priors = [
        Beta(*(x if x.size > 1 else float(x[0]) for x in pair)) for pair in np.moveaxis(prior, 1, 0)
    ]
    rows = data.counts_of_steps(len(priors))
    losses = -statement.scale * np.array(list(map(log_evidence, priors, rows)))
    slopes = -statement.scale * np.array(list(map(log_evidence_gradient, priors, rows)))
    eps = _ROUNDINGS * float(np.finfo(recording.dtype).eps) * abs(statement.scale)
    of_losses, of_slopes = _magnitudes(prior, data)
    of_rows = 2 * _JAX_ERROR * abs(statement.scale) * data.successes.shape[1]
    kernel = of_rows if from_numpyro(recording) else 0.0
    compared = Comparison(recording.losses, losses, eps * of_losses + kernel)
    findings = [_finding(compared, "losses", "losses", "loss")]
    for i, name in enumerate(NAMES):
        theirs, ours = statement.arguments[f"prior.{name}"].gradient, slopes[:, i]
        if theirs is not None:
            room = (eps * of_slopes + kernel)[:, None]
            compared = Comparison(theirs, ours.reshape(theirs.shape), room)
            found = _finding(compared, "gradients", f"gradients for {name}", "gradient")
            findings.append(found._replace(of=f"prior.{name}"))
    return findings


def _magnitudes(prior: FloatArray, data: Data) -> tuple[FloatArray, FloatArray]:
    """Add up, without signs, what log probabilities and their derivatives are made of, (T,)."""
    k, n = data.successes, data.total_count
    a, b = prior
    parts = [a + k, b + n - k, a + b + n, a, b, a + b, k + 1, n - k + 1, n + 1]
    of_losses = sum(np.abs(sc.gammaln(x)) + x * np.abs(sc.psi(x)) for x in parts)
    of_slopes = sum(np.abs(sc.psi(x)) + 1 for x in parts[:6])
    return np.sum(of_losses, axis=1), np.sum(of_slopes, axis=1)


def _finding(compared: Comparison, name: str, plural: str, one: str) -> Finding:
    if compared.agree:
        worst = compared.farthest()
        words = f"all {plural}, the farthest at step {worst[0]}"
        reason = "minus the log evidence: the latent is summed out"
        return compared.finding(name, words, worst, reason, "agrees")
    first = compared.first()
    mistake = "loss_mismatch" if name == "losses" else "gradient_mismatch"
    reason = "no known mistake gives it"
    return compared.finding(mistake, f"{one} at step {first[0]}", first, reason, "mistake")
