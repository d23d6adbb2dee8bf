"""The parameters of a prior, and confidence regions of them.

A prior Beta(a, b) is known by any two of a, b, its mean m = a/(a + b) and its concentration
s = a + b. A confidence region is the set of values of one of them that a test does not reject: an
interval, or several where the likelihood-ratio test leaves a gap between two maxima.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from elbo_ref._format.documents import Document, Documented, document, put
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.sentences import evidence as sentences
from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import CONCENTRATION_RANGE, probability, scalar
from elbo_ref.distributions.base import Interval
from elbo_ref.distributions.beta import Beta

Parameter = Literal["concentration1", "concentration0", "mean", "concentration"]
Asked = Literal["concentration1", "concentration0", "mean", "concentration", "rho"]
Method = Literal["profile", "wald"]

PARAMETERS: dict[Parameter, Callable[[float, float], float]] = {
    "concentration1": lambda a, _: a,
    "concentration0": lambda _, b: b,
    "mean": lambda a, b: a / (a + b),
    "concentration": lambda a, b: a + b,
}
"""The parameters that may be held fixed or asked an interval for, as functions of (a, b)."""

CONCENTRATIONS: tuple[float, float] = (1e-12, 1e15)
"""The range of a, b and a + b in which they may be held, and intervals are looked for."""
IN_RANGE = "must lie in [1e-12, 1e15]"
LEAST_MEAN = 1e-80
"""The least mean that may be held: the concentrations of its best prior are still a Beta's."""


def check_parameter(argument: str, name: object, *others: str) -> None:
    """Raise ValueError unless `name` is one of the four parameters, or of others."""
    known = *PARAMETERS, *others
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{argument}: {name!r} must be one of {', '.join(known)}")


def check_value(name: str, value: float) -> float:
    """Raise unless a parameter may be held at a value; the value as a float."""
    if name == "mean":
        mean = probability(name, value)
        rule = f"must be at least {LEAST_MEAN:g}: a concentration would be too small for a Beta"
        return scalar(name, mean, lambda m: m >= LEAST_MEAN, rule)
    low, high = CONCENTRATIONS
    return scalar(name, value, lambda x: low <= x <= high, IN_RANGE)


def parameter_of(prior: Beta, parameter: Parameter) -> float:
    """Compute the value of a parameter at a single prior."""
    return PARAMETERS[parameter](*map(float, prior.arrays()))


def prior_of(known: Mapping[str, float]) -> Beta | None:
    """Find the prior with two parameters at given values; None if there is none."""
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


@dataclass(frozen=True)
class ConfidenceRegion(Documented, Tabular):
    """The values of a parameter that a test does not reject: one interval, or several.

    It has the length and the items of the pair of its ends, so that ``low, high = region``; its
    table has a row for each interval.

    Parameters
    ----------
    intervals : tuple of Interval
        Without a value in common, from low to high. An end of 0.0, 1.0 or inf is open and stands
        for a profile that never falls below the level on that side; every other end belongs to its
        interval.
    parameter : str
        One of ``"concentration1"``, ``"concentration0"``, ``"mean"``, ``"concentration"`` and
        ``"rho"``.
    method : {"profile", "wald"}
    level : float
        The coverage, asymptotically.
    proven : bool
        True if these are certainly all intervals, but for rounding.

    See Also
    --------
    elbo_ref.EvidenceMaximum.confidence_interval : the region of a maximum-likelihood estimate.

    Examples
    --------
    >>> parts = Interval(0.5, 2.0), Interval(7.0, float("inf"))
    >>> region = ConfidenceRegion(parts, "concentration", "profile", 0.9, True)
    >>> low, high = region
    >>> low, high, region.connected
    (0.5, inf, False)
    >>> 3.0 in region, 7.0 in region
    (False, True)
    >>> print(region)
    concentration, 90%: several intervals: 0.5 to 2; 7 to inf
    """

    intervals: tuple[Interval, ...]
    parameter: Asked
    method: Method
    level: float
    proven: bool

    @property
    def lower(self) -> float:
        """The least value, the lower end of the hull."""
        return float(self.intervals[0].lower)

    @property
    def upper(self) -> float:
        """The greatest value, the upper end of the hull."""
        return float(self.intervals[-1].upper)

    @property
    def connected(self) -> bool:
        """True if it is one interval."""
        return len(self.intervals) == 1

    def __getitem__(self, index: Any) -> Any:
        return (self.lower, self.upper)[index]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.lower, self.upper))

    def __len__(self) -> int:
        return 2

    def __contains__(self, value: object) -> bool:
        return any(low <= value <= high for low, high in self.intervals)  # type: ignore[operator]

    def of_rho(self) -> ConfidenceRegion:
        """Turn a region of the concentration a + b into that of rho = 1/(1 + a + b)."""
        ends = ((1 / (1 + high), 1 / (1 + low)) for low, high in reversed(self.intervals))
        return replace(self, parameter="rho", intervals=tuple(Interval(*x) for x in ends))

    @property
    def sentence(self) -> str:
        """The intervals in words."""
        return sentences.region(self)

    def blocks(self) -> Sequence[Block]:
        """Return the parameter, the coverage and the intervals in words."""
        return [f"{self.parameter}, {100 * self.level:.15g}%: {self.sentence}"]

    def table(self) -> Table:
        """Lay out the intervals, one a row."""
        size, ends = len(self.intervals), list(zip(*self.intervals, strict=True))
        about = {"parameter": self.parameter, "method": self.method, "level": self.level}
        columns = [Column([value] * size, name, name) for name, value in about.items()]
        named = zip(("lower", "upper"), ends, strict=True)
        return Table([*columns, *(Column(list(values), name, name) for name, values in named)])

    def to_dict(self) -> Document:
        """Turn the region into a document of plain values; see docs/results.md."""
        return {
            **document("confidence_region"),
            "parameter": self.parameter,
            "method": self.method,
            "level": self.level,
            "intervals": [_ends(*interval) for interval in self.intervals],
            "proven": self.proven,
            "sentence": self.sentence,
            **_ends(self.lower, self.upper),
        }


def _ends(lower: Any, upper: Any) -> Document:
    ends: Document = {"lower": lower}
    put(ends, "upper", upper, "it is infinite")
    return ends
