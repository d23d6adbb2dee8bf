"""Stores that hold the parameters of the prior and none of the guide.

Three programs leave such a store: the marginal likelihood ``BetaBinomial(a0, b0, N)``, which has no
latent, so that every loss is minus the log evidence (E12); a guide without the latent, or with the
prior's own parameters in it, which are mistakes; and a guide that is a network. Losses tell them
apart. Of a network's guide nothing can be said but what the prior is worth.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import special as sc

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray, Rng, generator
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.alignment import align
from elbo_ref.crosscheck.assignment import note
from elbo_ref.crosscheck.claims import claim_roles
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.model_test import LEVEL, ModelTest
from elbo_ref.crosscheck.names import is_of_module, owned_by
from elbo_ref.crosscheck.parameters import PRIOR_ROLES
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import log_evidence
from elbo_ref.guides import Guide
from elbo_ref.mle.result import maximize_evidence

_SETTLED = 1e-4
"""Relative change of losses that have settled, over several steps."""
MARGINAL = "marginal BetaBinomial likelihood"
_FEWEST = 10
"""Losses below which a mistake is not named from them alone."""


def guide_is_absent(
    counts: Counts,
    values: Mapping[str, FloatArray],
    guide: Guide,
    names: Mapping[str, str] | None,
    prior: Beta | None,
) -> bool:
    """Return True if a store has the prior's parameters, and none that a guide's could be."""
    if not (guide.parameter_names and guide.has_prior) or any("guide." in x for x in names or {}):
        return False
    try:
        claims = claim_roles(values, PRIOR_ROLES, 1, names, prior)
    except ValueError:
        return False
    used = {expression.name for expression in claims.expressions.values()}
    sizes = {1, len(counts), counts.num_latents}
    left = {name: x for name, x in claims.values.items() if name not in used}
    return (
        not any(owned_by(name, "guide") for name in used)
        and bool(left or prior is None)
        and all(_of_network(name, x, sizes) for name, x in left.items())
    )


def _of_network(name: str, array: FloatArray, sizes: set[int]) -> bool:
    """Return True for the weights of a network, by name or by a shape that no latents have."""
    if is_of_module(name):
        return True
    if owned_by(name, "guide"):
        return False
    return array.ndim > 1 and array.size not in sizes and sizes.isdisjoint(array.shape)


def can_tell(losses: FloatArray, evaluations: FloatArray, steps: int) -> bool:
    """Return True if there are losses of parameters that are known exactly."""
    return bool(evaluations.size or (steps > 1 and losses.size))


def settled(losses: FloatArray, evaluations: FloatArray) -> FloatArray:
    """Return evaluations, or where there are none the last of losses that do not change any more.

    Those of a latent that is drawn never settle.
    """
    last = losses[-_FEWEST:]
    still = last.size == _FEWEST and np.ptp(last) <= _SETTLED * (1 + np.abs(last).max())
    return losses[-1:] if still and not evaluations.size else evaluations


def height_of(
    model: LossModel, losses: FloatArray, evaluations: FloatArray, rng: Rng
) -> float | None:
    """Log likelihood of a model if enough losses fit it in mean and in spread; None if not.

    Where it has no noise but rounding, and the last losses have none either, one is enough.
    """
    aligned = align(model, losses, evaluations, None)
    if aligned is None:
        return None
    test = ModelTest(aligned.model, aligned.losses, generator(rng))
    if test.p_any < LEVEL:
        return None
    variance, own = test.distribution.variance, np.zeros(0)
    rounded = bool(np.all(variance <= test.allowance**2))
    if not variance.any() or (rounded and settled(losses, own).size):
        return np.inf
    scores = (aligned.losses.values - test.distribution.mean) / np.sqrt(variance)
    too_little = float(sc.chdtr(scores.size, np.sum(scores**2)))
    enough = scores.size >= _FEWEST and too_little >= LEVEL
    return test.log_likelihood(test.allowance) if enough else None


def worth_of_prior(counts: Counts, prior: Beta, evaluations: FloatArray) -> list[Finding]:
    """Say what a prior is worth by itself, where its guide is not known."""
    here, highest = log_evidence(prior, counts), maximize_evidence(counts).log_evidence
    what = f"the log evidence of the prior is {number(here)}, {number(highest - here)} nats below "
    found = [note("prior", f"{what}the highest of any prior")]
    if evaluations.size:
        gap = float(evaluations.mean()) + here
        what = f"the mean of {evaluations.size} evaluations is {number(gap)} nats above minus the "
        why = "log evidence, which is the gap of the guide if nothing is wrong"
        found.append(note("evaluations", what + why))
    what = "the guide (its parameters are not in the store), and with it the losses"
    return [*found, Finding("untested", what, status="untested")]
