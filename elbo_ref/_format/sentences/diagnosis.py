"""Diagnoses in words: what a run maximises, where that is highest, how far the run has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._format.sentences.evidence import supremum
from elbo_ref._format.sentences.optimum import OBJECTIVES, location, reason

if TYPE_CHECKING:
    from elbo_ref.diagnostics.diagnosis import Diagnosis


def diagnosis(seen: Diagnosis) -> str:
    """Say what a run maximises, where that is highest, and how far the run has come."""
    run, optimum = seen.run, seen.optimum
    early = f"; {run.message}" if run.stopped in ("unbounded", "interrupted") else ""
    what = OBJECTIVES[optimum.maximised]
    if seen.family.jacobian and optimum.maximised == "log_joint":
        what = f"{OBJECTIVES['log_joint_of_logit']} without its Jacobian"
    if optimum.location == "unknown":
        what = f"the expected loss of {run.loss_name} with guide {run.guide_name}"
        return f"maximises {what}, {reason(optimum)}; {run.message}"
    if np.isinf(optimum.value):
        if optimum.maximised == "expected_log_likelihood_less_entropy":
            why = f", not an ELBO and unbounded: its exact path {_passing(seen)}"
        else:
            why = f": {reason(optimum)}"
        return f"maximises {what}{why}{early}"
    if optimum.maximised == "elbo" and not optimum.learned:
        what += " under a fixed prior"
    rounding = 1e-9 * max(1.0, abs(seen.objective))
    below = f"{number(seen.shortfall)} nats below" if seen.shortfall > rounding else "at"
    return f"maximises {what}, {_state(seen)}: {below} {_top(seen)}{early}"


def _passing(seen: Diagnosis) -> str:
    """Say when the exact path of an empty guide passes the evidence."""
    height = f"the evidence's {supremum(seen.supremum)}"
    if seen.passes_at is not None:
        return f"passes {height} at step {seen.passes_at}"
    above = seen.objective > seen.supremum.log_evidence
    but = ", but this run has" if above else ""
    return f"does not pass {height} in up to {seen.most_steps} steps{but}"


def _state(seen: Diagnosis) -> str:
    if seen.case == "noise_floor":
        return "at its noise floor"
    if seen.run.stationarity.holds:
        return "converged"
    if seen.arrived:
        return "practically there"
    return "far from converged" if seen.shortfall > 1 else "not converged"


def _top(seen: Diagnosis) -> str:
    """Describe the height that the run is below, and where it is."""
    optimum, best = seen.optimum, number(seen.optimum.value)
    if optimum.maximised == "elbo":
        if optimum.learned:
            return f"the evidence's {supremum(seen.supremum)} ({location(optimum)})"
        return f"its maximum {best}, the log evidence (at the posterior)"
    if optimum.maximised == "log_likelihood":
        return f"its supremum {best} (the classical MLE, c = K/N)"
    if optimum.maximised == "expected_log_likelihood" and optimum.learned is True:
        mle = "any c" if optimum.mean is None else f"c = {number(optimum.mean)}"
        return f"the pooled likelihood's supremum {best} (the classical MLE, {mle}, in the limit)"
    word = "maximum" if optimum.attained else "supremum"
    return f"its {word} {best} ({location(optimum)}): {reason(optimum)}"


def remaining(seen: Diagnosis) -> str:
    """Write the steps still to make, and the noise floor, where they are known."""
    floor, needed = seen.run.noise_floor, seen.steps_needed
    steps = "" if needed is None else f", about {needed} exact steps from its maximum"
    return steps + (f" (noise floor {number(floor)} nats)" if floor else "")
