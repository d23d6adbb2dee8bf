"""The counts whose posteriors the Beta guides of a run are.

At its optimum the guide of a latent is Beta(a0 + K, b0 + N - K): where losses do not fit the counts
that were given, its concentrations less the prior's tell which ones the run had.
"""

from __future__ import annotations

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.variants import has_pair

_APART = np.log(1.25)
"""Logarithm of a ratio of totals by which noise seldom moves a guide."""


def counts_of_guide(model: LossModel) -> list[Finding]:
    """Note that most guides are posteriors of other total counts than those given."""
    counts, guide = model.counts, model.guide
    if not has_pair(model) or guide.origin != "own" or guide.shared:
        return []
    successes, failures = model.guide_parameters[:, -1] - model.prior[:, -1]
    totals, given = successes + failures, counts.total_count
    if totals.shape != given.shape or not ((totals > 0) & (given > 0)).all():
        return []
    ratios = np.abs(np.log(totals / given))
    if np.mean(ratios > _APART) <= 0.5:
        return []
    g = int(np.argmax(ratios))
    what = (
        f"the guide of latent {g} is the posterior of about {number(round(successes[g]))} of "
        f"{number(round(totals[g]))}, where {counts.successes[g]} of {given[g]} are given"
    )
    reason = f"{np.mean(ratios > _APART):.0%} of the latents are of other totals, if it has settled"
    return [Finding("guide_counts", what, reason=reason, status="note")]
