"""The highest evidence in words: its kind, its place, its proof, and regions of confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elbo_ref._format.numbers import describe, number

if TYPE_CHECKING:
    from elbo_ref.mle.candidates import Candidate, Proof
    from elbo_ref.mle.intervals import ConfidenceRegion
    from elbo_ref.mle.result import EvidenceMaximum

_LIMITS = {
    "no_information": "any prior",
    "degenerate": "prior mean -> {mean}",
    "unidentified": "mean {mean}, any concentration",
    "all_or_none": "concentration -> 0, mean {mean}",
    "binomial": "concentration -> infinity, mean {mean}",
}
_METHODS = {
    "closed_form": "closed form",
    "concave_in_mean": "the log evidence is concave in the mean",
    "one_latent": "one latent has no interior maximum (E9)",
    "branch_and_bound": "branch and bound over {intervals} intervals",
}


def where(candidate: Candidate) -> str:
    """Name the prior, or the limit that the evidence is approached in."""
    if candidate.prior is not None:
        return describe(candidate.prior)
    mean = "any" if candidate.mean is None else number(candidate.mean)
    return _LIMITS[candidate.kind].format(mean=mean)


def candidate(one: Candidate) -> str:
    """Say which kind of answer it is, and where it is."""
    height, place = number(one.log_evidence), where(one)
    match one.kind:
        case "no_information":
            return "the counts hold no trials, so every prior has log evidence 0"
        case "unidentified":
            return f"the evidence has its maximum {height} at every prior of {place}"
        case "interior":
            return f"the evidence has its maximum {height} at {place}"
    why = ": one c for all latents fits best" if one.kind == "binomial" else ""
    return f"the evidence only tends to its supremum {height} ({place}){why}"


def supremum(highest: EvidenceMaximum) -> str:
    """Write ``maximum -156.57`` or ``supremum 0``."""
    word = "maximum" if highest.attained else "supremum"
    return f"{word} {number(highest.log_evidence)}"


def way(proof: Proof) -> str:
    """Say how a proof was made."""
    left = f", {proof.left_over} of them left over where 53 bits cannot tell"
    made = _METHODS[proof.method].format(intervals=proof.intervals)
    return made + (left if proof.left_over else "")


def undecided(proof: Proof) -> str:
    """Say what a proof leaves open; empty where it is decided."""
    if proof.decided:
        return ""
    if len(proof.candidates) == 1:
        return "the proof leaves room for another maximum that high"
    each = "; ".join(f"{c.kind} {c.log_evidence!r} ({where(c)})" for c in proof.candidates)
    return f"the proof cannot tell these apart: {each}"


def region(found: ConfidenceRegion) -> str:
    """List the intervals of a region."""
    parts = "; ".join(f"{number(low)} to {number(high)}" for low, high in found.intervals)
    several = "" if found.connected else "several intervals: "
    doubt = "" if found.proven else " (not proven: 53 bits leave open whether there are more)"
    return f"{several}{parts}{doubt}"
