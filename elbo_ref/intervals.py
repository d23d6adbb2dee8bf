"""Parameters of a prior, and where a profile of the log evidence falls below a level.

A prior Beta(a, b) is known by any two of a, b, its mean m = a/(a + b) and its concentration
s = a + b. A profile is the highest log evidence as a function of one of them; the set of values
where it is within half a chi-square quantile of its top is a confidence interval (Wilks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from scipy import optimize

from elbo_ref.arguments import CONCENTRATION_RANGE
from elbo_ref.beta import Beta, Interval

Parameter = Literal["concentration1", "concentration0", "mean", "concentration"]

PARAMETERS: dict[Parameter, Callable[[float, float], float]] = {
    "concentration1": lambda a, b: a,
    "concentration0": lambda a, b: b,
    "mean": lambda a, b: a / (a + b),
    "concentration": lambda a, b: a + b,
}
"""What may be held fixed or asked an interval for, as functions of the concentrations."""

CONCENTRATIONS = (1e-12, 1e15)
"""The range of a, b and a + b in which they may be held, and intervals are looked for."""
IN_RANGE = "must lie in [1e-12, 1e15]"

_ENDS = {"mean": (-200.0, 36.0)}
_LOG_ENDS = (float(np.log(CONCENTRATIONS[0])), float(np.log(CONCENTRATIONS[1])))
_STARTS = 31
_LOWEST = -1e9


def prior_of(known: Mapping[str, float]) -> Beta | None:
    """The prior with two parameters at given values; None if there is none."""
    x = dict(known)
    if "mean" in x and "concentration" in x:
        a, b = x["mean"] * x["concentration"], (1 - x["mean"]) * x["concentration"]
    elif "mean" in x:
        odds = x["mean"] / (1 - x["mean"])
        a = x.get("concentration1", x.get("concentration0", 0.0) * odds)
        b = x.get("concentration0", x.get("concentration1", 0.0) / odds)
    elif "concentration" in x:
        s = x["concentration"]
        a = x["concentration1"] if "concentration1" in x else s - x["concentration0"]
        b = x["concentration0"] if "concentration0" in x else s - x["concentration1"]
    else:
        a, b = x["concentration1"], x["concentration0"]
    low, high = CONCENTRATION_RANGE
    return Beta(a, b) if min(a, b) >= low and max(a, b) <= high else None


def profile_interval(
    profile: Callable[[float], float], of: str, at: float | None, level: float
) -> Interval:
    """The ends of the set around `at` where a profile is not below a level.

    Parameters
    ----------
    profile : function
        Of the parameter's value.
    of : str
        Which parameter: the search is in logit mean, or in the logarithm.
    at : float or None
        Where the profile is highest, also in a limit; None where everywhere.
    level : float

    Returns
    -------
    Interval
        An end is 0.0, 1.0 or inf where the profile never falls below the level on that side. Where
        the set is narrower than rounding, both ends are `at`; where it is all beyond [1e-12, 1e15],
        one end is there.
    """
    low, high = _ENDS.get(of, _LOG_ENDS)
    into, out_of = (_logit, _expit) if of == "mean" else (np.log, np.exp)
    limits = (0.0, 1.0) if of == "mean" else (0.0, np.inf)

    def excess(x: float) -> float:
        return max(profile(float(out_of(x))) - level, _LOWEST)

    with np.errstate(divide="ignore"):
        start = low if at is None else float(np.clip(into(at), low, high))
    if at is None or excess(start) < 0:
        grid = np.linspace(low, high, _STARTS)
        heights = [excess(x) for x in grid]
        best = int(np.argmax(heights))
        if heights[best] < 0:
            only = out_of(start) if at is None or start in (low, high) else at
            below, above = start == low, start == high
            return Interval(
                limits[0] if below else float(only), limits[1] if above else float(only)
            )
        start = float(grid[best])
    lower = _crossing(excess, start, low)
    upper = _crossing(excess, start, high)
    return Interval(
        limits[0] if lower is None else float(out_of(lower)),
        limits[1] if upper is None else float(out_of(upper)),
    )


def _crossing(excess: Callable[[float], float], start: float, end: float) -> float | None:
    """Where a function that is positive at `start` first changes sign toward `end`, if it does."""
    inside, step = start, np.copysign(0.25, end - start)
    while inside != end:
        outside = inside + step
        if (end - outside) * step <= 0:
            outside = end
        if excess(outside) < 0:
            return float(optimize.brentq(excess, inside, outside, xtol=1e-13, rtol=1e-13))
        inside, step = outside, 2 * step
    return None


def _logit(m: float) -> float:
    return float(np.log(m) - np.log1p(-m))


def _expit(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))
