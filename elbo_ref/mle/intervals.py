"""Parameters of a prior, and where a profile of the log evidence falls below a level.

A prior Beta(a, b) is known by any two of a, b, its mean m = a/(a + b) and its concentration
s = a + b. A profile is the highest log evidence as a function of one of them; the set of values
where it is within half a chi-square quantile of its top is a confidence region (Wilks): an
interval, or several where the profile dips below that level between two of its maxima.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import FrozenInstanceError
from functools import cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import optimize

from elbo_ref._format.documents import Document, document, put, to_json
from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import CONCENTRATION_RANGE
from elbo_ref.distributions.base import Interval
from elbo_ref.distributions.beta import Beta

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

LEAST_MEAN = 1e-80
"""The least mean that may be held: the concentrations of its best prior are still a Beta's."""

_ENDS = {"mean": (float(np.log(LEAST_MEAN)), 36.0)}
_LOG_ENDS = (float(np.log(CONCENTRATIONS[0])), float(np.log(CONCENTRATIONS[1])))
_LOWEST = -1e9
_XTOL = 1e-13


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


class ConfidenceRegion(Interval):
    """The values of a parameter that a test does not reject: one interval, or several.

    As a pair it is its hull, the least and the greatest value. Two are equal if they are the same
    set of values.

    Attributes
    ----------
    lower, upper : float
        The ends of the hull.
    intervals : tuple of Interval
        Without a value in common, from low to high. An end of 0.0, 1.0 or inf is open and stands
        for a profile that never falls below the level on that side; every other end belongs to its
        interval.
    of : str
        The parameter.
    prob : float
        The coverage, asymptotically.
    proven : bool
        Whether these are certainly all intervals, but for rounding.

    Examples
    --------
    >>> region = ConfidenceRegion([Interval(0.5, 2.0), Interval(7.0, np.inf)], "mean", 0.9, True)
    >>> lower, upper = region
    >>> lower, upper, region.connected
    (0.5, inf, False)
    >>> 3.0 in region, 7.0 in region
    (False, True)
    >>> print(region)
    mean, 90%: several intervals: 0.5 to 2; 7 to inf
    """

    intervals: tuple[Interval, ...]
    of: str
    prob: float
    proven: bool

    def __new__(
        cls, intervals: Sequence[Interval], of: str, prob: float, proven: bool
    ) -> ConfidenceRegion:
        region = super().__new__(cls, intervals[0].lower, intervals[-1].upper)
        vars(region).update(intervals=tuple(intervals), of=of, prob=prob, proven=proven)
        return region

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.intervals, self.of, self.prob, self.proven

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def _replace(self, **ends: Any) -> Interval:  # type: ignore[override]
        return Interval(*self)._replace(**ends)

    @property
    def connected(self) -> bool:
        """Whether it is one interval."""
        return len(self.intervals) == 1

    def __contains__(self, value: object) -> bool:
        return any(low <= value <= high for low, high in self.intervals)  # type: ignore[operator]

    def __eq__(self, other: object) -> bool:
        if self.connected:
            return tuple.__eq__(self, other)
        return isinstance(other, ConfidenceRegion) and self.intervals == other.intervals

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return tuple.__hash__(self) if self.connected else hash(self.intervals)

    def __repr__(self) -> str:
        parts = ", ".join(repr(interval) for interval in self.intervals)
        return (
            f"ConfidenceRegion([{parts}], of={self.of!r}, prob={self.prob!r}, "
            f"proven={self.proven!r})"
        )

    @property
    def sentence(self) -> str:
        """The intervals in words."""
        parts = "; ".join(f"{number(low)} to {number(high)}" for low, high in self.intervals)
        several = "" if self.connected else "several intervals: "
        doubt = "" if self.proven else " (not proven: 53 bits leave open whether there are more)"
        return f"{several}{parts}{doubt}"

    def summary(self) -> str:
        """The parameter, the coverage and the intervals as text."""
        return f"{self.of}, {100 * self.prob:.15g}%: {self.sentence}"

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> Document:
        """The region as a document of plain values; see docs/results.md."""
        body: Document = {
            "of": self.of,
            "prob": self.prob,
            "intervals": [_ends(interval) for interval in self.intervals],
            "proven": self.proven,
            "sentence": self.sentence,
        }
        return {**document("confidence_region"), **body, **_ends(self)}

    def to_json(self) -> str:
        """The same as text."""
        return to_json(self.to_dict())


def _ends(interval: Interval) -> Document:
    ends: Document = {"lower": interval.lower}
    put(ends, "upper", interval.upper, "it is infinite")
    return ends


class Start(NamedTuple):
    """A value of a parameter in a connected part of what is above a level.

    Attributes
    ----------
    value : float
        It may be a limit: 0.0, 1.0 or inf.
    high : float
        Places of priors in this part are not above it, those of parts further up are.
    """

    value: float
    high: float = np.inf


def profile_region(
    profile: Callable[[float], tuple[float, float]],
    of: str,
    starts: Sequence[Start],
    level: float,
) -> tuple[Interval, ...]:
    """The values of a parameter at which its profile is not below a level.

    Each connected part of the priors above the level has an interval of values around its start.
    So between two neighbours among the starts there is one gap or none, and beyond the outermost
    there is one end. A point between neighbours that is above the level belongs to the interval
    of either, and which one its best prior tells.

    Parameters
    ----------
    profile : function
        Of the parameter's value: the height, and the place of the best prior.
    of : str
        Which parameter: the search is in logit mean, or in the logarithm.
    starts : sequence of Start
        One for each part, from low places to high ones.
    level : float

    Returns
    -------
    tuple of Interval
        An end is 0.0, 1.0 or inf where the profile never falls below the level on that side. Where
        an interval is narrower than rounding, both ends are its start; where it is all beyond
        [1e-12, 1e15], one end is there.
    """
    first, last = _ENDS.get(of, _LOG_ENDS)
    into, out_of = (_logit, _expit) if of == "mean" else (_log, _exp)
    limits = (0.0, 1.0) if of == "mean" else (0.0, np.inf)

    @cache
    def at(x: float) -> tuple[float, float]:
        return profile(out_of(x))

    def excess(x: float) -> float:
        return max(at(x)[0] - level, _LOWEST)

    def place(x: float) -> float:
        """The start of the part that the best prior at x is in."""
        where = at(x)[1]
        return next(x for x, start in zip(spots, starts, strict=True) if where <= start.high)

    spots = [float(np.clip(into(start.value), first, last)) for start in starts]
    intervals: list[Interval] = []
    inside: list[float] = []
    for x, start in zip(spots, starts, strict=True):
        if excess(x) >= 0:
            inside.append(x)
        else:
            low = limits[0] if x == first else float(out_of(x) if x == last else start.value)
            high = limits[1] if x == last else float(out_of(x) if x == first else start.value)
            intervals.append(Interval(low, high))
    if inside:
        inside.sort()
        gaps = [_gap(excess, place, left, right) for left, right in pairwise(inside)]
        lower, upper = _crossing(excess, inside[0], first), _crossing(excess, inside[-1], last)
        low = limits[0] if lower is None else out_of(lower)
        for gap in gaps:
            if gap is not None:
                intervals.append(Interval(low, out_of(gap[0])))
                low = out_of(gap[1])
        intervals.append(Interval(low, limits[1] if upper is None else out_of(upper)))
    return tuple(_merged(intervals))


def _merged(intervals: Sequence[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.lower <= merged[-1].upper:
            last = merged.pop()
            interval = Interval(last.lower, max(last.upper, interval.upper))
        merged.append(interval)
    return merged


def _gap(
    excess: Callable[[float], float], place: Callable[[float], float], left: float, right: float
) -> tuple[float, float] | None:
    """The ends of the gap between two neighbours among the starts; None if there is none."""
    x, y = left, right
    while y - x > _XTOL * (1 + abs(x)):
        middle = x + (y - x) / 2
        if excess(middle) < 0:
            return _root(excess, x, middle), _root(excess, middle, y)
        x, y = (middle, y) if place(middle) <= left else (x, middle)
    return None


def _root(excess: Callable[[float], float], x: float, y: float) -> float:
    return float(optimize.brentq(excess, x, y, xtol=_XTOL, rtol=_XTOL))


def _crossing(excess: Callable[[float], float], start: float, end: float) -> float | None:
    """Where a function that is positive at `start` changes sign toward `end`, if it does: once."""
    inside, step = start, np.copysign(0.25, end - start)
    while inside != end:
        outside = inside + step
        if (end - outside) * step <= 0:
            outside = end
        if excess(outside) < 0:
            return _root(excess, inside, outside)
        inside, step = outside, 2 * step
    return None


def _logit(m: float) -> float:
    return math.log(m) - math.log1p(-m) if 0 < m < 1 else math.copysign(np.inf, m - 0.5)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -np.inf


_exp = math.exp
