"""Findings about where parameters stand: at a maximum of their objective, or how far from one."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._format.sentences.optimum import location, reason as reason_of
from elbo_ref.crosscheck.alignment import USUAL_RATE, evenly
from elbo_ref.crosscheck.distribution import expected_losses
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.wording import MAY_BE_NOISE, ON_ITS_WAY, OTHER_STEPS
from elbo_ref.diagnostics.point import Point, PointDiagnosis
from elbo_ref.distributions.beta import Beta
from elbo_ref.objectives import RenyiBound
from elbo_ref.optima.find import find_optimum
from elbo_ref.svi.convergence import ARRIVED, NEGLIGIBLE, NoiseFloor
from elbo_ref.svi.optimizers import Adam, ClippedAdam, rate_after
from elbo_ref.svi.parameters import Learned
from elbo_ref.svi.result import Run

_STILL, _MANY = 0.01, 1000
"""Part of itself that a parameter changes by at most in so many steps if it hardly moves."""
_FAR = 2.0
"""Shortfall in units of what noise costs in the mean from which a run may be on its way."""
_FEWEST, _COMPARED, _LOST = 20, 50, 4.0
"""Steps of a history that may show that it moves away, those compared, and allowances lost."""
WITHIN = "within the allowance counts as there"
_NOT_KNOWN = "how far noise keeps these parameters from it is not known"
_USUAL = f"noise costs at a usual learning rate ({USUAL_RATE:g} at most)"
_TOO_LONG = "the steps at this learning rate are too long for any noise floor"
NEGLIGIBLE_IS = f"a maximum may lack {number(NEGLIGIBLE)} nats"


def diagnosed(
    model: LossModel,
    learned: Learned,
    optimizer: Adam | ClippedAdam | None,
    last: int,
    *,
    of_adam: bool,
) -> PointDiagnosis:
    """Diagnose the last parameters, at the learning rate of that step."""
    point = Point(
        counts=model.counts,
        guide_name=model.guide.name,
        loss=model.loss,
        prior=Beta(*model.prior[:, -1].ravel().tolist()),
        guide_parameters=model.guide_parameters[:, -1],
        learn_prior=learned,
        rate=None if optimizer is None else rate_after(optimizer, last),
        num_particles=model.num_particles,
        batch=model.batch,
        of_adam=of_adam,
    )
    return PointDiagnosis(point)


def optimum_finding(seen: PointDiagnosis) -> Finding:
    """Make a finding of a diagnosis of somebody's parameters."""
    optimum, here = seen.optimum, None if _bound(seen) else seen.objective
    reason, where = reason_of(optimum), location(optimum)
    if seen.case == "unbounded":
        what = "the objective has no maximum"
        of = optimum.reason if optimum.reason == "scale_unbounded" else ""
        return Finding("unbounded", what, here, None, None, reason, "optimum", of=of)
    if seen.case == "unknown":
        return _below_unknown(seen, reason)
    what = f"the objective is {_distance(seen)} nats below its "
    if seen.case == "drifting":
        what += f"supremum, which is not attained ({where})"
        return Finding("drifting", what, here, optimum.value, None, reason, "optimum")
    if optimum.location == "prior" and not optimum.learned:
        where = f"over the guide, for the prior {where}"
    what, beyond, floor = f"{what}maximum ({where})", _over_all_priors(seen), seen.floor
    finding = Finding("at_optimum", what + beyond, here, optimum.value, ARRIVED, WITHIN, "agrees")
    if seen.case == "converged":
        if seen.shortfall <= ARRIVED:
            return finding
        what = f"{what}, at a local maximum that is lower{beyond}"
        return finding._replace(quantity=what, allowance=None, reason="Newton's step gains nothing")
    if floor is None:
        why, kind = _of_usual_rate(seen.point, seen.shortfall)
        return finding._replace(
            name=seen.case, allowance=ARRIVED, reason=why, status="optimum", of=kind
        )
    if seen.case == "not_converged":
        most, why = ARRIVED, _words(floor)
        if not floor.holds:
            most, why = NEGLIGIBLE, f"{NEGLIGIBLE_IS}; {_TOO_LONG}"
            if seen.shortfall <= most:
                most, why = ARRIVED, _TOO_LONG
        elif floor.allowance > most:
            most, why = floor.allowance, f"{_words(floor)}, and seldom more than the allowance"
        return finding._replace(name=seen.case, allowance=most, reason=why, status="optimum")
    if seen.at_maximum:
        most, far = min(floor.allowance, NEGLIGIBLE), seen.shortfall > _FAR * floor.nats
        kind = ON_ITS_WAY if far else ""
        return finding._replace(allowance=most, reason=_words(floor), of=kind)
    near = f"{what}, no farther than the noise of its gradients may keep it{beyond}"
    why = f"{NEGLIGIBLE_IS}; {_words(floor)}"
    return Finding(seen.case, near, here, optimum.value, NEGLIGIBLE, why, "optimum")


def _below_unknown(seen: PointDiagnosis, reason: str) -> Finding:
    """Say how far at least a bound is below its maximum, of which only an interval is known."""
    finding = Finding("at_optimum", "the maximum", seen.objective, reason=reason, status="untested")
    if seen.optimum.reason != "renyi_between" or seen.log_evidence is None:
        return finding
    most, top = seen.log_evidence, seen.optimum.numbers[0]
    least = top - most
    if not least > ARRIVED:
        return finding
    words = f"at least {number(least)} nats below its maximum"
    if least <= NEGLIGIBLE:
        return finding._replace(
            reason=f"{words}, of which {number(NEGLIGIBLE)} may be lacking; {reason}"
        )
    what = f"the objective is {words}"
    return Finding("not_converged", what, most, top, NEGLIGIBLE, reason, "optimum")


def _bound(seen: PointDiagnosis) -> RenyiBound | None:
    """Return a Renyi bound of several samples, whose own value has no closed form."""
    loss = seen.point.loss
    return loss if isinstance(loss, RenyiBound) and loss.num_samples > 1 else None


def _distance(seen: PointDiagnosis) -> str:
    """Say how far below its maximum the objective is; a bound of several samples lies between."""
    bound, shortfall = _bound(seen), number(max(seen.shortfall, 0.0))
    tight = bound is not None and 0 <= bound.alpha < 1
    if not (tight and seen.family.is_elbo) or seen.distance is None:
        return shortfall
    least = number(max(seen.distance, 0.0))
    return f"between {least} (by the log evidence of the prior) and {shortfall} (by the ELBO)"


def decay_findings(decay: float) -> list[Finding]:
    """Note that an optimizer's weight decay moves the maximum."""
    what = f"weight decay {number(decay)} draws the unconstrained parameters to 0"
    reason = "what is maximised is the objective less a penalty"
    return [Finding("weight_decay", what, reason=reason, status="note")] if decay else []


class Pace(NamedTuple):
    """Length of the last steps of unconstrained parameters, and what that is.

    Attributes
    ----------
    length : float
    what : str
        As "the learning rate".
    falls : float
        The factor of each step to the one before; all that are left have its geometric sum.
    """

    length: float
    what: str = "the learning rate"
    falls: float = 1.0


def pace_of(seen: PointDiagnosis, optimizer: Adam | ClippedAdam | None) -> Pace | None:
    """Return the pace of an optimizer that somebody claimed."""
    rate = rate_of(seen)
    falls = optimizer.lrd if isinstance(optimizer, ClippedAdam) else 1.0
    return None if rate is None else Pace(rate, falls=falls)


def rate_of(seen: PointDiagnosis) -> float | None:
    """Return the learning rate of the last step; None where it is not known."""
    return seen.point.rate if isinstance(seen.point, Point) else None


def stands_still(pace: Pace, finding: Finding) -> list[Finding]:
    """Note that parameters below their maximum hardly move as their steps ended."""
    left = pace.length / (1 - pace.falls) if 0 < pace.falls < 1 else np.inf
    if finding.status != "optimum" or min(pace.length * _MANY, left) > _STILL:
        return []
    is_zero, said = pace.length == 0, f"{pace.what} is {number(pace.length)} at the end"
    what = f"{said}: the parameters {'do not' if is_zero else 'hardly'} move any more"
    return [Finding("stands_still", what, status="note")]


def moved_away(model: LossModel, seen: PointDiagnosis) -> list[Finding]:
    """Note that the objective was much higher earlier in a history than it is at the end."""
    size = model.prior.shape[1]
    if seen.case not in ("not_converged", "drifting") or size < _FEWEST or model.renyi:
        return []
    rows = evenly(size, _COMPARED)
    heights = -expected_losses(model.at(rows))
    best, floor = int(np.argmax(heights)), seen.floor
    lost = float(heights[best] - heights[-1])
    if not lost > _LOST * max(NEGLIGIBLE, floor.allowance if floor else NEGLIGIBLE):
        return []
    what = f"the objective was {number(lost)} nats higher at step {rows[best]}"
    return [Finding("moved_away", what, reason="the run moves away from there", status="note")]


def no_elbo(seen: PointDiagnosis) -> list[Finding]:
    """Note that a loss of an ELBO's name is none for this guide."""
    if not seen.family.is_elbo or seen.point.loss.adapted(seen.family).is_elbo:
        return []
    what = "what is maximised is no ELBO: this loss leaves out the Jacobian of the sigmoid"
    return [Finding("no_elbo", what, reason="as Pyro's does", status="note", of=what)]


def _of_usual_rate(at: Point | Run, shortfall: float) -> tuple[str, str]:
    """Compare a distance from the maximum with the noise at a usual learning rate.

    Returns
    -------
    reason, of : str
        Of a finding; the latter is `MAY_BE_NOISE` or `OTHER_STEPS` if the distance is no larger.
    """
    if not isinstance(at, Point) or at.rate is not None:
        return _NOT_KNOWN, ""
    floor = replace(at, rate=USUAL_RATE).floor
    if floor is None:
        return _NOT_KNOWN, ""
    part = NEGLIGIBLE / max(floor.largest, NEGLIGIBLE)
    noise = NoiseFloor(part * floor.nats, part * floor.largest).allows(shortfall)
    words = f"{'no more' if noise else 'more'} than {_USUAL}"
    if not at.of_adam:
        return f"{words} of Adam's", OTHER_STEPS if noise else ""
    return f"{words}, where none was given", MAY_BE_NOISE if noise else ""


def _over_all_priors(seen: PointDiagnosis) -> str:
    """Say how much higher the maximum over all priors is than over those that can be reached."""
    at = seen.point
    if at.learn_prior is True or not seen.family.has_prior:
        return ""
    highest = find_optimum(seen.family, at.counts, at.prior, True, at.loss)
    more = highest.value - seen.optimum.value
    if np.isposinf(more):
        return "; over all priors it has no maximum"
    if not more > ARRIVED:
        return ""
    return f"; over all priors it would be {number(more)} nats higher"


def _words(floor: NoiseFloor) -> str:
    mean = number(floor.nats)
    return f"at this learning rate and number of particles the noise costs {mean} nats in the mean"


def exact_numbers(seen: PointDiagnosis) -> dict[str, float | None]:
    """Collect the exact numbers at somebody's parameters, by name."""
    bound = seen.point.loss.name == "renyi"  # whose expectation has no closed form
    found: dict[str, float | None] = {} if bound else {"objective": seen.objective}
    if seen.log_evidence is not None:
        if seen.family.is_elbo:
            found |= {"elbo": seen.elbo, "gap": seen.gap}
        highest = seen.supremum.log_evidence
        found |= {"log_evidence": seen.log_evidence, "highest_log_evidence": highest}
    return found
