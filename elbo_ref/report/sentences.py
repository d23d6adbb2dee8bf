"""Results in words: an optimum, a diagnosis, and the conclusion from several runs.

Results hold kinds and numbers; `elbo_ref._format.sentences` makes the sentences on a single one.
"""

from __future__ import annotations

from collections.abc import Sequence

from elbo_ref._format.numbers import describe, number
from elbo_ref._format.sentences.diagnosis import diagnosis
from elbo_ref._format.sentences.evidence import supremum as height_of
from elbo_ref._format.sentences.optimum import height, location, maximised, reason
from elbo_ref.diagnostics.diagnosis import Diagnosis
from elbo_ref.svi.convergence import ARRIVED

__all__ = ["conclusion", "diagnosis", "height", "location", "maximised", "reason"]


def conclusion(diagnoses: Sequence[Diagnosis]) -> str:
    """Conclude from runs with different guides on the same counts, about the MLE."""
    supremum = diagnoses[0].supremum
    highest = height_of(supremum)
    if supremum.kind == "no_information":
        return "the counts hold no trials, so every prior has log evidence 0"
    if supremum.kind == "unidentified":
        return (
            f"the evidence's {highest} is attained by every prior of mean "
            f"{number(supremum.mean)}, so the concentrations reached mean nothing"
        )
    learners = [d for d in diagnoses if d.run.learn_prior]
    held = [d for d in diagnoses if d.run.has_prior and not d.run.learn_prior]
    if held and not learners:
        return _under_held_prior(held)
    if supremum.prior is not None:
        return (
            f"the prior has an MLE, {describe(supremum.prior)}, and only a guide that can be the "
            f"posterior leads there; {_distances(learners)}"
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
    return f"the evidence's {highest} is never attained, so there is no MLE to agree on{state}"


def _under_held_prior(held: Sequence[Diagnosis]) -> str:
    """Say how far the objective of each guide is from the log evidence of a prior that is held."""
    prior, evidence = held[0].run.prior, held[0].log_evidence
    below = [f"{number(d.gap)} ({d.run.guide_name})" for d in held if d.gap is not None]
    answer = f"under the prior held, {describe(prior)}, the log evidence is {number(evidence)}"
    return f"{answer}; the ELBO is lower by {', '.join(below)}" if below else answer


def _distances(learners: Sequence[Diagnosis]) -> str:
    """Say how far runs that learn the prior are from its MLE, in nats of log evidence."""
    if not learners:
        return "no prior is learned here"
    rounding = 1e-9 * max(1.0, abs(learners[0].supremum.log_evidence))
    distances = [(d.run.guide_name, d.distance or 0.0) for d in learners]
    there = " and ".join(name for name, below in distances if below <= rounding)
    below = ", ".join(f"{number(x)} ({name})" for name, x in distances if x > rounding)
    runs = "the run's" if len(learners) == 1 else "the others'" if there else "the runs'"
    parts = [f"reached by {there}"] if there else []
    parts += [f"{runs} log evidence is lower by {below}"] if below else []
    return ", ".join(parts)
