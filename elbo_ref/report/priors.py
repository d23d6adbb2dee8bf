"""Parameters of priors with their intervals, a row for each prior and axes for each parameter."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from elbo_ref._format.numbers import counted, number
from elbo_ref._format.result import Tabular
from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.estimates.maxima import EvidenceMaxima
from elbo_ref.estimates.parameters import PriorParameter, PriorParameters, Priors
from elbo_ref.report.axes import (
    EXACT,
    PALE,
    PRIOR,
    RAW,
    headed,
    is_narrow,
    log_axis,
    padded,
    panels,
)
from elbo_ref.report.labels import BRIEF, LONGEST, letters, plain_texts

_MOST_LABELS = 60
_TALL = 5.5
"""Inches of a figure of more groups than have names."""


def _parts(result: Tabular) -> dict[Hashable, tuple[PriorParameter, ...]]:
    """Return the parameters that are drawn of each prior, of one prior under None."""
    if isinstance(result, EvidenceMaxima):
        return {name: (x.mean, x.rho) for name, x in result.parameters.items()}
    groups: Mapping[Hashable, Any] = result.groups if isinstance(result, Priors) else {None: result}
    return {name: x.each if isinstance(x, PriorParameters) else (x,) for name, x in groups.items()}


def number_of_panels(result: Tabular) -> int:
    """Count the parameters that are drawn."""
    return len(next(iter(_parts(result).values())))


def priors_size(result: Tabular) -> tuple[float, float]:
    """Return width and height of a new figure, in inches."""
    parts = _parts(result)
    width = 1.0 + 2.4 * max(number_of_panels(result), 2) + _margin(parts)
    return width, _TALL if len(parts) > _MOST_LABELS else 1.7 + 0.2 * max(len(parts), 2)


def priors_axes(figure: Any, result: Tabular) -> Any:
    """Make axes for each parameter, the first with room for the names of the groups."""
    most = BRIEF if is_narrow(figure) else LONGEST
    return panels(figure, number_of_panels(result), _margin(_parts(result), most))


def _margin(parts: Mapping[Hashable, object], most: int = LONGEST) -> float:
    """Return the room that the names of groups take to the left, in inches."""
    if len(parts) > _MOST_LABELS or tuple(parts) == (None,):
        return 0.3
    return 0.35 + 0.075 * max(map(letters, plain_texts(parts, most)))


def plot_priors(result: Tabular, axes: Any) -> Any:
    """Draw the parameters of one prior, or of that of each group, with their intervals.

    Parameters
    ----------
    result : PriorParameter, PriorParameters, Priors or EvidenceMaxima
    axes : matplotlib Axes, or as many as there are parameters
        Mean, concentration and rho; mean and rho of `EvidenceMaxima`.

    Returns
    -------
    matplotlib Axes, or an ndarray of them
        Hollow marks are limits that are not attained, arrows ends at infinity or 0 of a logarithmic
        axis. Many groups are sorted by the first parameter.
    """
    parts = _parts(result)
    columns = list(zip(*parts.values(), strict=True))
    order = np.arange(len(parts))[::-1]
    if len(parts) > _MOST_LABELS:
        order = np.argsort([x.value for x in columns[0]], kind="stable")
    hollow = np.zeros(len(parts), bool)
    if isinstance(result, EvidenceMaxima):
        hollow = np.array([not x.attained for x in result.groups.values()])[order]
    each = np.ravel(axes)
    for ax, column in zip(each, columns, strict=True):
        sorted_column = [column[i] for i in order]
        _draw(ax, sorted_column, hollow, _legend(columns, hollow) if ax is each[0] else None)
        if isinstance(result, EvidenceMaxima):
            _draw_together(ax, getattr(result.together, column[0].name), ax is each[0])
        headed(ax, _title(result, parts) if ax is each[0] else "", each[-1])
        ax.set(ylim=(-0.8, len(parts) - 0.2))
        ax.tick_params(axis="y", length=0)
    few = 1 < len(parts) <= _MOST_LABELS
    names = plain_texts(parts, BRIEF if is_narrow(each[0].figure) else LONGEST)
    each[0].set_yticks(*((order.argsort(), names) if few else ([], [])))
    for text in (text for ax in each for text in ax.get_yticklabels()):
        text.set(parse_math=False, fontsize=9)
    return axes


def _title(result: Tabular, parts: Mapping[Hashable, Sequence[PriorParameter]]) -> str:
    """Say what is seen."""
    if isinstance(result, EvidenceMaxima):
        return f"maximum-likelihood prior of {counted(len(parts), 'group')}"
    first = next(iter(parts.values()))
    one = first[0].name if len(first) == 1 else "parameters"
    if len(parts) > 1:
        return f"{one} of the priors of {len(parts)} groups"
    if len(first) > 1:
        return f"{one} of the prior"
    (x,) = first
    ends = "" if x.lower == x.value == x.upper else f", {number(x.lower)} to {number(x.upper)}"
    return f"{one} of the prior: {number(x.value)}{ends}"


def _legend(columns: Sequence[Sequence[PriorParameter]], hollow: BoolArray) -> dict[str, str]:
    """Say what marks mean, those of the first axes for all."""
    each = [x for column in columns for x in column]
    interval = f"{100 * each[0].level:g}% interval"
    said = {} if all(x.lower == x.value == x.upper for x in each) else {"interval": interval}
    if not hollow.all():
        said["value"] = "estimate" if said else "value"
    return said | ({"hollow": "limit, not attained"} if hollow.any() else {})


def _draw(
    ax: Any, column: Sequence[PriorParameter], hollow: BoolArray, said: Mapping[str, str] | None
) -> None:
    """Draw values and intervals, from the lowest row up."""
    name, places = column[0].name, np.arange(len(column))
    value, lower, upper = (
        np.array([getattr(x, part) for x in column], np.float64)
        for part in ("value", "lower", "upper")
    )
    few = len(column) <= _MOST_LABELS
    size = 6 if few else 2
    low, high = _scaled(ax, name, np.concatenate([value, lower, upper]))
    for end, beyond, at in (("<", lower < low, low), (">", upper > high, high)):
        arrows = np.full(int(beyond.sum()), at), places[beyond]
        ax.plot(*arrows, end, ms=size, color=RAW, clip_on=False, zorder=3)
    style: dict[str, Any] = {"color": PALE, "lw": 4 if few else 1, "zorder": 1}
    said = said or {}
    label = said.get("interval")
    ax.hlines(places, np.clip(lower, low, high), np.clip(upper, low, high), label=label, **style)
    inside = (value >= low) & (value <= high)
    dot: dict[str, Any] = {"color": PRIOR, "clip_on": False, "zorder": 2}
    for chosen, face, what in ((~hollow, PRIOR, "value"), (hollow, "white", "hollow")):
        drawn = chosen & inside
        ax.plot(value[drawn], places[drawn], "o", ms=size, mfc=face, label=said.get(what), **dot)
    ax.set_xlabel(f"{name} of the prior" if name != "concentration" else name)


def _scaled(ax: Any, name: str, ends: FloatArray) -> tuple[float, float]:
    """Choose the limits of an axis, of a concentration logarithmic; return where intervals end."""
    known = ends[np.isfinite(ends)]
    if name != "concentration":
        low, high = padded(known if known.size else [0.0, 1.0], 0.53, 0.01)
        ax.set_xlim(max(low, -0.01), min(high, 1.01))
        ax.locator_params(axis="x", nbins=5)
        return -np.inf, np.inf
    known = np.log(known[known > 0])
    low, high = np.exp(padded(known if known.size else [0.0], 0.56, 0.1))
    ax.set(xscale="log", xlim=(low, high))
    log_axis(ax.xaxis, float(low), float(high))
    return float(low), float(high)


def _draw_together(ax: Any, one: float | None, named: bool) -> None:
    """Draw the parameter of one prior for all groups."""
    if one is not None:
        label = "one prior for all" if named else None
        ax.axvline(one, color=EXACT, ls=":", lw=1.4, label=label)
