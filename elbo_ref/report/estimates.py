"""Point estimates of one data set side by side, and the values of a confidence region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special as sc

from elbo_ref.diagnostics.estimates import EstimateTable
from elbo_ref.mle.intervals import ConfidenceRegion
from elbo_ref.optima.optimum import Optimum
from elbo_ref.report.axes import (
    OWN,
    PALE,
    PRIOR,
    ParameterScale,
    headed,
    new_axes,
    padded,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FAR = 100.0


def plot_estimates(table: EstimateTable, ax: Axes | None = None) -> Axes:
    """Draw c, or the mean of the prior, under every estimate.

    Parameters
    ----------
    table : EstimateTable
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is c; an estimate of each latent has a line from the least to the greatest. Hollow
        marks are limits that are not attained.
    """
    ax = new_axes() if ax is None else ax
    places = np.arange(len(table))[::-1]
    names = [row.name for row in table]
    learnable = table.table().column("learnable")
    texts = []
    for place, row, learned in zip(places, table, learnable, strict=True):
        texts.append(f"{row.name}, {learned}" if names.count(row.name) > 1 else row.name)
        values = _values(row)
        if not values.size:
            where = ax.get_yaxis_transform()
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": "0.4"}
            ax.text(0.5, place, "no one value", transform=where, **style)
            continue
        colour = PRIOR if row.location != "latents" else OWN
        ax.hlines(place, values.min(), values.max(), color=PALE, lw=4, zorder=1)
        face = colour if row.attained else "white"
        ax.plot(values.mean(), place, "o", ms=6, color=colour, mfc=face, zorder=2, clip_on=False)
    ax.set_yticks(places, texts, fontsize=9)
    ax.tick_params(axis="y", length=0)
    low, high = padded(np.concatenate([_values(row) for row in table]), 0.56, 0.01)
    ax.set(
        xlim=(max(low, -0.02), min(high, 1.02)),
        ylim=(-0.8, len(table) - 0.2),
        xlabel="c, or mean of the prior",
    )
    ax.plot([], [], "o", color=OWN, label="c (mean and range of latents)")
    ax.plot([], [], "o", color=PRIOR, label="mean of the prior")
    ax.plot([], [], "o", color=PRIOR, mfc="white", label="not attained")
    return headed(ax, f"{len(table)} estimates from the same counts")


def _values(row: Optimum) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the finite values of c, or the mean of the prior."""
    chosen = row.mean if row.c is None else row.c
    values = np.atleast_1d(np.asarray(np.nan if chosen is None else chosen, np.float64))
    return values[np.isfinite(values)]


def plot_region(region: ConfidenceRegion, ax: Axes | None = None) -> Axes:
    """Draw the values of a parameter that are not rejected, open ends as arrows.

    Parameters
    ----------
    region : ConfidenceRegion
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is logarithmic; of a mean the logit, labelled by the mean.
    """
    ax = new_axes() if ax is None else ax
    scale = ParameterScale.of(region.parameter)
    into, limit = scale.into, 1.0 if scale.is_mean else np.inf
    ends = np.ravel([(low, high) for low, high in region.intervals])
    inner = ends[(ends > 0) & (ends < limit)]
    around = inner if inner.size else np.array([scale.out_of(0.0)])
    low, high = padded(into([around.min(), around.max()]), 0.6, 0.1)
    low = low - np.log(_FAR) / 2 if region.lower <= 0 else low
    high = high + np.log(_FAR) / 2 if region.upper >= limit else high
    for first, last in region.intervals:
        left = into(first) if first > 0 else low
        right = into(last) if last < limit else high
        at = [float(scale.drawn(x)) for x in (left, right)]
        ax.plot(at, [0, 0], color=OWN, lw=4, solid_capstyle="butt")
        for end, x, open_end in zip("<>", at, (first <= 0, last >= limit), strict=True):
            ax.plot([x], [0], end if open_end else "|", color=OWN, ms=14, mew=3, clip_on=False)
            if not open_end:
                value = sc.expit(x) if scale.is_mean else x
                y, va, ha = (0.3, "bottom", "left") if end == "<" else (-0.3, "top", "right")
                ax.text(x, y, f"{value:.4g}", ha=ha, va=va, fontsize=9)
    scale.label(ax, low, high)
    ax.set(ylim=(-1, 1), yticks=[])
    several = "intervals" if len(region.intervals) > 1 else "interval"
    return headed(ax, f"{100 * region.level:g}% {region.method} {several} of {scale.whose}")
