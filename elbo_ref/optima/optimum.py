"""`Optimum`: where an objective is highest, or the supremum that it only tends to, and why.

Kinds and numbers, no sentences: `elbo_ref._format.sentences` makes these.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref._validation.values import by_value
from elbo_ref.counts import Counts, distinct
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.binomial import log_coefficient
from elbo_ref.svi.parameters import Learned

Maximised: TypeAlias = Literal[
    "log_likelihood", "log_evidence", "elbo", "elbo_shared", "elbo_normal",
    "elbo_normal_without_jacobian", "expected_log_likelihood",
    "expected_log_likelihood_less_entropy", "log_joint", "log_joint_of_logit",
    "other",
]  # fmt: skip
"""Objectives."""

Location: TypeAlias = Literal[
    "prior", "any_prior", "any_concentration", "mean_to_end", "concentration_to_zero",
    "concentration_to_infinity", "one_concentration_to_end", "latents", "nowhere", "unknown",
]  # fmt: skip
"""At one prior; at all, or all of a mean; in a limit of priors; at values of c; nowhere."""

Reason: TypeAlias = Literal[
    "average_counts", "best_guide", "collapse_to_mle", "density_unbounded", "entropy_unbounded",
    "evidence", "exact_posterior", "family_gap", "family_gap_moves_prior", "family_gap_vanishes",
    "few_of_an_outcome", "few_of_other_outcome", "guide_unknown", "latent_without_learned_outcome",
    "latent_without_other_outcome", "levels_off", "levels_off_without_other_outcome", "mode",
    "mode_at_end", "mode_at_end_for_some", "mode_flat", "mode_of_logit", "mode_unbounded",
    "no_collapse", "no_latents", "no_trials", "nothing_learned",
    "one_draw", "one_outcome_only", "one_sided_collapse", "likelihood_of_each", "pooled_likelihood",
    "posterior_mean", "renyi_between", "renyi_searched", "renyi_unknown", "scale_unbounded",
    "without_jacobian", "without_jacobian_unknown",
]  # fmt: skip
"""Reasons. The learned outcome is the one that the learned concentration counts."""


@by_value
class Optimum(NamedTuple):
    """The point where an objective is highest, or the supremum that it tends to.

    Attributes
    ----------
    location : str
        ``"prior"``, ``"any_prior"``, ``"any_concentration"``,
        ``"mean_to_end"``, ``"concentration_to_zero"``, ``"concentration_to_infinity"``,
        ``"one_concentration_to_end"``, ``"latents"``, ``"nowhere"`` or ``"unknown"``.
    reason : str
        Why the optimum is there.
    value : float
        The maximum or the supremum, in nats; inf where it is unbounded, nan where it is unknown.
    attained : bool
    concentration1, concentration0 : float or None
        Of the prior; inf or 0.0 in a limit, None where there is no one value.
    mean : float or None
        Of the prior, also in the limit.
    c : ndarray, shape (), (G,) or None
        At ``"latents"``: of all latents or of each; nan where no interior value is best.
    numbers : tuple of float
        The numbers that belong to the location and the reason: the ends, 0.0 or inf, that a
        concentration may tend to; how many latents have c at 0, at 1, at both and anywhere; nats of
        evidence that the gap of a family costs; the bounds of a Renyi bound.
    evidence : Optimum or None
        That of the evidence, where the reason is that it is another.
    maximised : str
        The objective: ``"elbo"``, ``"log_joint"``, ...
    learned : bool or str
        Whether it is so over the prior, too, or over one of its concentrations.
    name : str
        Of the guide or the estimate.
    """

    location: Location
    reason: Reason
    value: float
    attained: bool
    concentration1: float | None = None
    concentration0: float | None = None
    mean: float | None = None
    c: FloatArray | None = None
    numbers: tuple[float, ...] = ()
    evidence: Optimum | None = None
    maximised: Maximised = "elbo"
    learned: Learned = False
    name: str = ""

    @property
    def prior(self) -> Beta | None:
        """The prior at the optimum, where there is one."""
        a, b = self.concentration1, self.concentration0
        if a is None or b is None or not (0 < a < np.inf and 0 < b < np.inf):
            return None
        return Beta(a, b)


def at_prior(prior: Beta, value: float, reason: Reason) -> Optimum:
    """Make a maximum at a prior."""
    a, b = map(float, prior.arrays())
    return Optimum("prior", reason, value, True, a, b, a / (a + b))


def at_end(end: float, held: float, value: float, reason: Reason) -> Optimum:
    """Make a supremum as concentration1 tends to 0 or inf, with concentration0 held."""
    location: Location = "one_concentration_to_end"
    return Optimum(location, reason, value, False, end, held, float(end > 0), numbers=(end,))


def unbounded(reason: Reason, held: float | None = None) -> Optimum:
    """Make a supremum of inf, maybe with concentration0 held."""
    return Optimum("nowhere", reason, np.inf, False, concentration0=held)


def mirrored(optimum: Optimum) -> Optimum:
    """Exchange successes and failures."""
    mean, evidence = optimum.mean, optimum.evidence
    return optimum._replace(
        concentration1=optimum.concentration0,
        concentration0=optimum.concentration1,
        mean=None if mean is None else 1 - mean,
        evidence=None if evidence is None else mirrored(evidence),
    )


def merged(counts: Counts) -> tuple[Counts, float]:
    """Join equal entries; and the log coefficients that this leaves out."""
    fewer, _ = distinct(counts)
    if len(fewer) == len(counts):
        return counts, 0.0
    return fewer, log_coefficient(counts) - log_coefficient(fewer)
