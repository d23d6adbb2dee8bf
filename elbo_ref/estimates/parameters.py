"""The prior's own parameters: mean, concentration and intraclass correlation, with intervals.

On equidistant nodes t_i of a smooth density, with step h and weights w_i, the distribution function
is to the accuracy of the trapezoidal rule of twice that step

    F(t) = sum_i w_i [1/2 + Si(pi (t - t_i)/h)/pi],

the integral of the sinc interpolant (Stenger, SIAM Review 23 (1981) 165); its root is a quantile.
The correlation of two trials of one latent is rho = 1/(1 + a + b).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from scipy import special as sc

from elbo_ref._format.numbers import number
from elbo_ref._format.result import Block, Tabular
from elbo_ref._format.table import Column, Computed, Table
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.estimates.quadrature import STEP_Y, Grid, normalized, over_y
from elbo_ref.mle.result import EvidenceMaximum
from elbo_ref.special import root

_LIGHT = 1e-13
_PLACES = 161
MOST_PRIORS = 20
"""Rows of the table of priors that are shown: each takes a while."""
NAMES = "mean", "concentration", "rho"
"""The parameters that a prior is told by."""
_Three: TypeAlias = tuple[float, float, float]
"""A value and the ends of its interval."""
Part = TypeVar("Part", "PriorParameter", "PriorParameters")


@dataclass(frozen=True)
class PriorParameter(Tabular):
    """A parameter of the prior with an interval.

    Attributes
    ----------
    name : str
    value : float
        The posterior median; the maximum-likelihood estimate, or its limit; or what was given. nan
        where any will do.
    lower, upper : float
        The ends of the equal-tailed posterior interval; of the profile interval; or `value`.
    level : float
        The coverage of the interval.
    """

    name: str
    value: float
    lower: float
    upper: float
    level: float = 0.95

    def table(self) -> Table:
        """Lay out the one row."""
        return _rows([self])

    def blocks(self) -> Sequence[Block]:
        """Return the value with its interval."""
        return [{self.name: _between(self)}]


@dataclass(frozen=True)
class PriorParameters(Tabular):
    """The parameters of one prior.

    Attributes
    ----------
    mean, concentration, rho : PriorParameter
        a/(a + b), a + b and 1/(1 + a + b).
    """

    mean: PriorParameter
    concentration: PriorParameter
    rho: PriorParameter

    @property
    def each(self) -> tuple[PriorParameter, ...]:
        """The three of them."""
        return self.mean, self.concentration, self.rho

    def table(self) -> Table:
        """Lay out the three parameters."""
        return _rows(self.each)

    def blocks(self) -> Sequence[Block]:
        """Return the values with their intervals."""
        return [self.facts()]

    def facts(self, before: str = "") -> dict[str, str]:
        """Write each with its interval, by its name."""
        return {f"{before}{x.name}": _between(x) for x in self.each}


@dataclass(frozen=True, eq=False)
class Priors(Tabular, Generic[Part]):
    """The parameters of the prior of each group, or one of them.

    ``priors[group]`` is the part of a group; of the table, ``priors[group, parameter]`` a row.

    Attributes
    ----------
    groups : dict
        `PriorParameters`, or one `PriorParameter`, by the name of the group; None if there is one.
    """

    groups: dict[Hashable, Part]

    def __getitem__(self, label: Any) -> Any:
        """Return what is known of a group, or the row of a group and a parameter.

        Raises
        ------
        KeyError
            If there is none.
        """
        return self.groups[label] if label in self.groups else super().__getitem__(label)

    def table(self) -> Table:
        """Lay out the parameters of each group, a row for each."""
        several = {
            name: x.each if isinstance(x, PriorParameters) else (x,)
            for name, x in self.groups.items()
        }
        rows: Table = _rows([x for some in several.values() for x in some])
        if tuple(self.groups) == (None,):
            return rows
        groups = [name for name, some in several.items() for _ in some]
        return replace(
            rows, columns=[Column(groups, "group", "group", left=True), *rows.columns], key=2
        )


def _rows(parameters: Sequence[PriorParameter]) -> Table:
    columns = [Column([x.name for x in parameters], "parameter", "parameter", left=True)]
    for name, heading in {"value": "value", "lower": "from", "upper": "to"}.items():
        columns.append(Column([getattr(x, name) for x in parameters], name, heading))
    return Table(columns)


def _between(parameter: PriorParameter) -> str:
    value, lower, upper = parameter.value, parameter.lower, parameter.upper
    if lower == value == upper:  # known
        return number(value)
    return f"{number(value)} ({number(lower)} to {number(upper)})"


def priors_table(
    groups: Sequence[Hashable], of: Callable[[int], PriorParameters], level: float
) -> Table:
    """Lay out the parameters of the prior of each group; none is computed that is not shown."""
    columns = [Column(groups, "group", "group", left=True)]
    columns += columns_of(len(groups), of, NAMES, level)
    return Table(columns, "the prior of each group", most=MOST_PRIORS)


def columns_of(
    size: int, of: Callable[[int], PriorParameters], names: Iterable[str], level: float
) -> list[Column]:
    """Lay out some parameters of several priors, a row for each prior."""
    columns = []
    for name in names:
        headings = {
            name: ("value", name),
            f"{name}_lower": ("lower", f"{100 * level:.4g}% from"),
            f"{name}_upper": ("upper", "to"),
        }
        for column, (part, heading) in headings.items():
            get = attrgetter(f"{name}.{part}")
            values = Computed(size, lambda i, get=get: get(of(i)))  # type: ignore[misc]
            columns.append(Column(values, column, heading))
    return columns


def given(a: float, b: float) -> PriorParameters:
    """Return the parameters of a known prior."""
    mean, s = a / (a + b), a + b
    return _parameters((mean,) * 3, (s,) * 3)


def of_maximum(maximum: EvidenceMaximum, level: float) -> PriorParameters:
    """Take the maximum-likelihood estimates, with profile intervals."""

    def of(name: str, value: float | None, whole: tuple[float, float]) -> _Three:
        if name in maximum.fixed:
            return (maximum.fixed[name],) * 3
        if maximum.kind == "no_information":
            return np.nan, *whole
        region = maximum.confidence_interval(name, level=level)  # type: ignore[arg-type]
        return np.nan if value is None else value, region.lower, region.upper

    mean = of("mean", maximum.mean, (0.0, 1.0))
    return _parameters(mean, of("concentration", maximum.concentration, (0.0, np.inf)), level)


def averaged(grid: Grid, mirrored: bool, level: float) -> PriorParameters:
    """Find posterior medians and equal-tailed intervals."""
    tails = 0.5, (1 - level) / 2, (1 + level) / 2
    fine = grid.halved()
    places = [_quantile(fine.t, fine.step, fine.mass, tail) for tail in tails]
    log_s = fine.density.anchor[1] + fine.width * np.sinh(places)
    below, ends = _below_y(grid)
    sign = -1 if mirrored else 1
    logits = [sign * _root(below, 1 - tail if mirrored else tail, ends) for tail in tails]
    with np.errstate(over="ignore"):
        concentration = np.exp(log_s).tolist()
    return _parameters((*sc.expit(logits).tolist(),), (*concentration,), level)


def _below_y(grid: Grid) -> tuple[Callable[[float], float], tuple[float, float]]:
    """Return the distribution function of y = logit m, and the least and the greatest node."""
    heavy = grid.mass > _LIGHT
    z, ridge = grid.z[heavy], grid.ridge.at(heavy)
    points, log_share = over_y(grid.density, z, ridge, STEP_Y / 2)
    share = grid.mass[heavy, None] * normalized(log_share)
    some = share > _LIGHT / 1e3
    row, _ = np.nonzero(some)
    middle, width, step = (x[row] for x in (points.middle, points.width, points.step))
    t, weight = points.t[some], share[some]

    def below(y: float) -> float:
        return _below(np.arcsinh((y - middle) / width), t, step, weight)

    return below, (float(points.y[some].min()), float(points.y[some].max()))


def mean_distribution(grid: Grid, mirrored: bool) -> tuple[float, FloatArray, FloatArray]:
    """Find the posterior mean of a prior's mean, logits of it, and the probability below each."""
    nodes = grid.nodes()
    nodes = nodes.mirrored if mirrored else nodes
    mean = float(nodes.weight @ sc.expit(nodes.y))
    middle = float(nodes.weight @ nodes.y)
    scale = float(np.sqrt(nodes.weight @ (nodes.y - middle) ** 2))
    below, ends = _below_y(grid)
    low, high = sorted(-x if mirrored else x for x in ends)
    ends = np.arcsinh((low - middle) / scale), np.arcsinh((high - middle) / scale)
    y = middle + scale * np.sinh(np.linspace(*ends, _PLACES))
    share = np.array([below(-x if mirrored else x) for x in y.tolist()])
    return mean, y, 1 - share if mirrored else share


def _parameters(mean: _Three, concentration: _Three, level: float = 0.95) -> PriorParameters:
    value, lower, upper = (1 / (1 + s) for s in concentration)
    return PriorParameters(
        PriorParameter("mean", *mean, level=level),
        PriorParameter("concentration", *concentration, level=level),
        PriorParameter("rho", value, upper, lower, level=level),
    )


def _quantile(t: FloatArray, step: float, weight: FloatArray, tail: float) -> float:
    """Invert the distribution function of equidistant nodes."""
    return _root(lambda at: _below(at, t, step, weight), tail, (float(t[0]), float(t[-1])))


def _below(
    at: FloatArray | float, t: FloatArray, step: FloatArray | float, weight: FloatArray
) -> float:
    """Compute the distribution function of nodes that are equidistant in t, row by row."""
    waves, _ = sc.sici(np.pi * (at - t) / step)
    return float(weight @ (0.5 + waves / np.pi) / weight.sum())


def _root(below: Callable[[float], float], tail: float, ends: tuple[float, float]) -> float:
    """Invert a distribution function between the least and the greatest node."""

    def excess(at: float) -> float:
        return below(at) - tail

    low, high = ends
    if excess(low) >= 0 or excess(high) <= 0:  # beyond the nodes there is no more than rounding
        return low if excess(low) >= 0 else high
    return root(excess, low, high, xtol=1e-13, rtol=1e-13)
