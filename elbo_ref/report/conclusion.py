"""What runs with different guides on the same counts say together."""

from __future__ import annotations

from collections.abc import Sequence

from elbo_ref._format.numbers import describe, number
from elbo_ref.diagnostics.diagnosis import Diagnosis, height_in_words
from elbo_ref.svi.convergence import ARRIVED


def conclusion(diagnoses: Sequence[Diagnosis]) -> str:
    """What runs with different guides on the same counts say together about the MLE."""
    supremum = diagnoses[0].supremum
    height = height_in_words(supremum)
    if supremum.kind == "no_information":
        return "the counts hold no trials, so every prior has log evidence 0"
    if supremum.kind == "unidentified":
        return (
            f"the evidence's {height} is attained by every prior of mean "
            f"{number(supremum.mean)}, so the concentrations reached mean nothing"
        )
    learners = [d for d in diagnoses if d.run.learn_prior]
    if supremum.prior is not None:
        below = ", ".join(
            f"{number(max(d.distance or 0, 0))} ({d.run.guide_name})" for d in learners
        )
        reached = f"the runs' log evidence is lower by {below}" if below else "none is learned here"
        return (
            f"the prior has an MLE, {describe(supremum.prior)}, and only a guide that can be the "
            f"posterior leads there; {reached}"
        )
    near = [
        d.run.guide_name
        for d in learners
        if (d.distance or 0) <= ARRIVED and d.run.stopped in ("completed", "converged")
    ]
    if near:
        state = f"; within {ARRIVED:g} nats of it, and only ever nearer: {', '.join(near)}"
    elif len(learners) == 1:
        state = "; this is a snapshot of a run that has not arrived"
    elif learners:
        how_many = {2: "both", 3: "all three"}.get(len(learners), "all")
        state = f" and {how_many} are snapshots of runs that have not arrived"
    else:
        state = ""
    return f"the evidence's {height} is never attained, so there is no MLE to agree on{state}"
