"""Optima in words: where an objective is highest, what it is there, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elbo_ref._format.numbers import describe, number

if TYPE_CHECKING:
    from elbo_ref.optima.optimum import Location, Maximised, Optimum, Reason

OBJECTIVES: dict[Maximised, str] = {
    "log_likelihood": "the likelihood",
    "log_evidence": "the evidence",
    "elbo": "an ELBO",
    "elbo_shared": "an ELBO with one guide for all latents",
    "elbo_normal": "the ELBO of a normal on the logit",
    "elbo_normal_without_jacobian": "the ELBO of a normal on the logit without its Jacobian",
    "expected_log_likelihood": "E_prior[log lik] (an ELBO, the prior its guide)",
    "expected_log_likelihood_less_entropy": "E_prior[log lik] - H(prior)",
    "log_joint": "the joint density of data and c",
    "log_joint_of_logit": "the joint density of data and logit c",
    "other": "the objective of its guide",
}
_IN_A_TABLE: dict[Maximised, str] = {
    "log_likelihood": "log likelihood",
    "log_evidence": "log evidence",
    "elbo": "ELBO",
    "expected_log_likelihood": "E_prior[log lik]",
    "log_joint": "log p(K, c)",
    "log_joint_of_logit": "log p(K, logit c)",
}
_LOCATIONS: dict[Location, str] = {
    "any_prior": "any prior",
    "any_concentration": "mean {mean}, any concentration",
    "mean_to_end": "prior mean -> {mean}",
    "concentration_to_zero": "concentration -> 0, mean {mean}",
    "concentration_to_infinity": "concentration -> infinity, mean {mean}",
    "one_concentration_to_end": "{learned} -> {ends}",
    "nowhere": "nowhere",
    "unknown": "not known",
}
_OF_EVIDENCE: dict[Location, str] = {
    "any_prior": "there are no trials",
    "any_concentration": "single trials say nothing of the concentration",
    "mean_to_end": "all trials end alike",
    "concentration_to_zero": "the trials of each latent end alike",
    "concentration_to_infinity": "one c for all latents fits best",
    "prior": "the maximum-likelihood prior",
}
_REASONS: dict[Reason, str] = {
    "average_counts": "one guide for all latents: G times the evidence of the average counts",
    "one_draw": (
        "one guide for all latents: G times the evidence of the average counts, one draw (E9)"
    ),
    "exact_posterior": "the guide is the exact posterior",
    "family_gap": "below the evidence by the gap of the family; E c is that of the posterior",
    "family_gap_moves_prior": (
        "the gap of the family depends on the prior, so this is not the evidence's maximiser, "
        "{evidence}; it costs {0:.2g} nats of evidence"
    ),
    "family_gap_vanishes": "the gap of the family vanishes as the concentration grows",
    "without_jacobian": (
        "not an ELBO: without the Jacobian, as if each latent had a trial of each kind less"
    ),
    "scale_unbounded": (
        "not an ELBO: without the Jacobian the scale of a latent grows without bound"
    ),
    "without_jacobian_unknown": (
        "not an ELBO, without the Jacobian; its maximum is not known here"
    ),
    "likelihood_of_each": "no latent is drawn: c = K/N is each row's own parameter",
    "pooled_likelihood": "one c for all latents and no prior on it",
    "posterior_mean": "nothing is maximised; beside it the log evidence of the prior",
    "no_trials": "there are no trials",
    "no_latents": "there are no latents",
    "nothing_learned": "nothing is left to maximise",
    "best_guide": "the guide's best parameters under this prior",
    "guide_unknown": "whose optimum over the prior is not known here",
    "collapse_to_mle": "the prior collapses to the classical MLE",
    "one_outcome_only": "all trials end alike, and the prior collapses there",
    "no_collapse": "with one concentration held the prior cannot collapse to the classical MLE",
    "entropy_unbounded": "not an ELBO: -H(prior) grows without bound as the prior collapses",
    "few_of_an_outcome": (
        "not an ELBO, and unbounded: fewer of one outcome than latents, so that the prior "
        "collapses to an end"
    ),
    "levels_off": (
        "not an ELBO; as many {other} as latents, it levels off as the prior collapses to {end}"
    ),
    "levels_off_without_other_outcome": (
        "not an ELBO; without {other} it levels off as the prior collapses to {end}"
    ),
    "one_sided_collapse": "not an ELBO; bounded here, as the prior can collapse to an end only",
    "mode": "the mode of the joint density; not an ELBO, as no entropy is counted",
    "mode_of_logit": (
        "the mode of the joint density, which the Jacobian c (1 - c) keeps inside; not an ELBO, as "
        "no entropy is counted"
    ),
    "mode_at_end": (
        "the mode of the joint density, at an end; not an ELBO, as no entropy is counted"
    ),
    "mode_at_end_for_some": (
        "the mode of the joint density, at an end for some latents; not an ELBO, as no entropy is "
        "counted"
    ),
    "mode_flat": (
        "the mode of the joint density, flat for latents without trials; not an ELBO, as no "
        "entropy is counted"
    ),
    "mode_unbounded": (
        "not an ELBO: the joint density of a latent grows without bound as its c goes to an end"
    ),
    "density_unbounded": (
        "not an ELBO: the density of the latents grows without bound as the prior collapses"
    ),
    "latent_without_learned_outcome": (
        "not an ELBO, and unbounded: a latent without {learned}, whose c and density go to an end"
    ),
    "latent_without_other_outcome": (
        "not an ELBO, and unbounded: a latent without {other} under {held} < 1"
    ),
    "few_of_other_outcome": (
        "not an ELBO, and unbounded: fewer {other} than latents, and the prior collapses to {end}"
    ),
    "renyi_unknown": "a Renyi bound, whose maximum is not known here",
    "renyi_between": (
        "a Renyi bound, whose maximum is not known here: between the ELBO's, {0:.5g}, and the "
        "evidence's, {1:.5g}"
    ),
    "renyi_searched": (
        "the Renyi bound of two samples, found by a search and not proved: between the ELBO's, "
        "{0:.5g}, and the evidence's, {1:.5g}"
    ),
}
_SIDES = (
    {"learned": "successes", "other": "failures", "held": "concentration0", "end": "1"},
    {"learned": "failures", "other": "successes", "held": "concentration1", "end": "0"},
)


def maximised(optimum: Optimum) -> str:
    """Name the objective as a table does."""
    return _IN_A_TABLE.get(optimum.maximised, OBJECTIVES[optimum.maximised])


def location(optimum: Optimum) -> str:
    """Describe the place of an optimum.

    Examples
    --------
    >>> from elbo_ref import Beta, Counts, estimate_table
    >>> table = estimate_table(Counts(3, 10), Beta(2.0, 3.0))
    >>> location(table["guide tied", "both"]), location(table["guide tied", "concentration1"])
    ('concentration -> infinity, mean 0.3', 'Beta(1.7079, 3)')
    """
    if optimum.location == "latents":
        return _latents(optimum)
    if optimum.location == "prior" and optimum.reason == "renyi_searched":
        return f"Beta({optimum.concentration1:.3g}, {optimum.concentration0:.3g})"
    if optimum.prior is not None and optimum.location == "prior":
        return describe(optimum.prior)
    return _LOCATIONS[optimum.location].format(
        mean="any" if optimum.mean is None else number(optimum.mean),
        learned=optimum.learned,
        ends=" or ".join(f"{end:g}" for end in optimum.numbers),
    )


def _latents(optimum: Optimum) -> str:
    """Describe the values of c of all latents."""
    c = np.atleast_1d(np.asarray(optimum.c, np.float64))
    inner, parts = c[np.isfinite(c)], []
    if inner.size:
        low, high = number(inner.min()), number(inner.max())
        parts.append(f"c = {low}" if low == high else f"c from {low} to {high}")
    kinds = zip(("at 0", "at 1", "both", "flat"), optimum.numbers, strict=False)
    others = {name: times for name, times in kinds if times}
    if not parts and len(others) == 1:
        (name,) = others
        return {"at 0": "c = 0", "at 1": "c = 1"}.get(name, name)
    parts += [f"{times:.0f} {name}" for name, times in others.items()]
    return ", ".join(parts) or "any c"


def height(optimum: Optimum) -> str:
    """Write the value of an optimum in five digits, and whether it is attained."""
    if np.isinf(optimum.value):
        return "unbounded"
    if np.isnan(optimum.value):
        return "not known"
    return number(optimum.value) + ("" if optimum.attained else " (not attained)")


def reason(optimum: Optimum) -> str:
    """Say why an optimum is where it is."""
    if optimum.reason == "evidence":
        why = _OF_EVIDENCE[optimum.location]
        if optimum.maximised == "log_evidence":
            no_mle = "no maximum-likelihood prior, only a supremum"
            return why if optimum.attained else f"{no_mle}: {why}"
        word = "maximum" if optimum.attained else "supremum"
        tight = f"the evidence's own {word}, with no gap, as the guide can be the posterior"
        return tight if optimum.location == "prior" else f"{tight}; {why}"
    evidence = "" if optimum.evidence is None else location(optimum.evidence)
    side = _SIDES[optimum.learned == "concentration0"]
    numbers = (x + 0.0 for x in optimum.numbers)  # no minus sign on zero
    return _REASONS[optimum.reason].format(*numbers, evidence=evidence, **side)
