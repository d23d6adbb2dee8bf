"""The losses of a whole run beside its last parameters, where no others are known."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.alignment import USUAL_RATE
from elbo_ref.crosscheck.distribution import rough_cumulants
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.diagnostics.point import Point, PointDiagnosis
from elbo_ref.svi.convergence import NEGLIGIBLE

_FEWEST, _LATE, _WINDOW = 60, 40, 10
"""Losses below which nothing is said, those of the last parameters, and of some others."""
_FAR, _NEAR, _MOVED = 6.0, 2.0, 2.0
"""Standard errors of another mean and of the same one; allowances for parameters that move."""
_ALIKE = 10.0
"""Ratio of variances within which losses are of one distribution."""
_MANY_LOSSES, _RISEN = 200, 8.0
"""Losses that show by themselves that they rise, and standard errors by which they do."""


def course_findings(
    model: LossModel,
    losses: FloatArray,
    seen: PointDiagnosis,
    finding: Finding,
    mistakes: Collection[str],
) -> list[Finding]:
    """Note that the last losses are of other parameters, and that a run moves away.

    Parameters
    ----------
    model : LossModel
        That of the last parameters.
    losses : ndarray of shape (T,)
        Those of the run.
    seen : PointDiagnosis
        The last parameters.
    finding : Finding
        How far they are from their maximum.
    mistakes : collection of str
        What is wrong; beside a mistake without a name other parameters are said where they fit.
    """
    rise = losses_rise(losses) if finding.status == "optimum" else []
    if {*mistakes} - {"loss_mismatch"}:
        return rise
    others = of_other_parameters(model, losses, _wander(seen), mistaken=bool(mistakes))
    return [*others, *rise]


def _wander(seen: PointDiagnosis) -> float:
    """Nats that noise may move an objective by, at the learning rate or a usual one."""
    point = seen.point
    if isinstance(point, Point) and point.rate is None:
        point = replace(point, rate=USUAL_RATE)
    floor = point.floor if isinstance(point, Point) else None
    return NEGLIGIBLE if floor is None else max(NEGLIGIBLE, floor.largest)


def of_other_parameters(
    model: LossModel, losses: FloatArray, wander: float, *, mistaken: bool
) -> list[Finding]:
    """Note that the mean of the last losses is not that of the last parameters, and where it is.

    These may move by so many nats with noise, and as the losses do by a line through them.
    """
    late = losses[-_LATE:]
    if losses.size < _FEWEST or not np.isfinite(losses).all() or not model.loss.random:
        return []
    found = rough_cumulants(model.last, np.random.default_rng(0))
    wanted, variance = float(found.mean[0]), float(found.variance[0])
    noise = np.sqrt(max(variance, float(np.var(np.diff(late))) / 2) / late.size)
    slope = np.polyfit(np.arange(late.size), late, 1)[0]
    moved = abs(slope) * late.size + wander
    mean = float(late.mean())
    if not abs(mean - wanted) > _FAR * noise + _MOVED * moved:
        return []
    of_one = variance * model.num_particles  # evaluations may be means of more than losses are
    at = _where(losses[: -late.size], wanted, (variance, of_one))
    if mistaken and at is None:
        return []
    what = f"the mean of the last {late.size} losses is {number(mean)}, where these parameters"
    what += f" give {number(wanted)}"
    earlier = f"those about step {at} may be: the store may be of an earlier step"
    if mistaken:
        return [Finding("last_losses", f"{what}; {earlier}", status="note")]
    short = "the last losses are not those of these parameters"
    short += f", while {earlier}" * (at is not None)
    return [Finding("last_losses", what, status="note", of=short)]


def _where(losses: FloatArray, wanted: float, variances: tuple[float, float]) -> int | None:
    """Find the step about which losses have a mean, and a variance within two; None if none do."""
    count = losses.size // _WINDOW
    windows = losses[: count * _WINDOW].reshape(count, _WINDOW)
    away = windows.mean(axis=1) - wanted
    noise = (np.diff(windows, axis=1) ** 2).mean(axis=1) / 2
    near = np.abs(away) <= _NEAR * np.sqrt(noise / _WINDOW)
    near[1:] |= away[1:] * away[:-1] < 0
    alike = (noise > variances[0] / _ALIKE) & (noise < variances[1] * _ALIKE)
    fitting = np.flatnonzero(near & alike)
    return int(_WINDOW * np.median(fitting) + _WINDOW / 2) if fitting.size else None


def losses_rise(losses: FloatArray) -> list[Finding]:
    """Note that a run's losses are far higher at the end than they were, by means of tenths."""
    if losses.size < _MANY_LOSSES:
        return []
    tenths = np.array_split(losses, 10)
    means = np.array([x.mean() for x in tenths])
    squares = np.array([x.var() / x.size for x in tenths])
    best = int(np.argmin(means))
    risen, error = means[-1] - means[best], np.sqrt(squares[-1] + squares[best])
    if not risen > max(NEGLIGIBLE, _RISEN * error):
        return []
    first = sum(x.size for x in tenths[:best])
    what = f"the losses from step {first} on were {number(risen)} nats lower than the last are"
    return [Finding("moved_away", what, reason="the run moves away from there", status="note")]
