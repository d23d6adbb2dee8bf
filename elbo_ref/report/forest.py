"""Estimates of many latents, sorted, one below the other: from the raw rate to the shrunken one.

Up to `MOST_ROWS` latents have a row each, with as many labels as there is room for; beyond, the
intervals grow together into a ribbon over the ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from elbo_ref._format.result import Tabular
from elbo_ref._validation.arguments import FloatArray, IntArray, probability
from elbo_ref.distributions.posterior_table import PosteriorTable
from elbo_ref.estimates.result import Estimates
from elbo_ref.evidence import posterior
from elbo_ref.report.axes import (
    OWN,
    PALE,
    PRIOR,
    RAW,
    headed,
    is_narrow,
    new_axes,
    padded,
    thinned,
)
from elbo_ref.report.labels import BRIEF, LONGEST, letters, plain_texts
from elbo_ref.special import beta_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 150
"""Latents that have a row each."""
_LABEL_POINTS, _LEAST_POINTS = 9.0, 6.0
_SURE = 0.95
"""A high probability of being above a threshold."""
_MOST_DOTS = 20_000
_PARTS, _NEIGHBOURS = 100, 8
"""Parts of a ribbon at most, and latents of a part at least."""
_DOT = 3.5
"""Points of a raw rate beside a ribbon of few latents."""


def forest_size(result: Tabular) -> tuple[float, float]:
    """Return width and height of a figure for all latents, in inches."""
    size = len(result)
    height = 5.5 if size > MOST_ROWS else float(np.clip(1.6 + 0.21 * size, 2.6, 11.0))
    return 5.2 + forest_margin(result), height


def forest_margin(result: Tabular, most: int = LONGEST) -> float:
    """Return the room that the labels of the rows take to the left, in inches."""
    if len(result) > MOST_ROWS:
        return 0.8
    return 0.3 + 0.075 * max(map(letters, _labels(result, most)))


def _labels(result: Tabular, most: int) -> list[str]:
    """Write the label of each row, with its group where there are groups."""
    first, *others = result.table().columns
    labels = plain_texts((first.cell(i) for i in range(len(first.values))), most)
    group = next((x for x in others if x.name == "group"), None)
    if group is None:
        return labels
    if most < LONGEST:
        labels = plain_texts(labels, most - most // 2)
    shorter = most if most == LONGEST else most // 2
    groups = plain_texts((group.cell(i) for i in range(len(labels))), shorter)
    return [f"{label} ({name})" for label, name in zip(labels, groups, strict=True)]


def plot_forest(result: Tabular, ax: Axes | None = None) -> Axes:
    """Draw raw rates, estimates and intervals of all latents, the highest estimate on top.

    Parameters
    ----------
    result : PosteriorTable or Estimates
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is c; y are the ranks, from 0 at the bottom.
    """
    table = result.table()
    ax = new_axes() if ax is None else ax
    k, n, mean, lower, upper = (
        np.asarray(table.column(name), np.float64)
        for name in ("successes", "total_count", "mean", "lower", "upper")
    )
    order = np.argsort(mean, kind="stable")
    ranks = np.arange(order.size)
    with np.errstate(invalid="ignore"):
        raw = (k / n)[order]
    prob = result.level if isinstance(result, Estimates) else table.column("interval_prob")[0]
    interval, one = f"{100 * prob:g}% interval", ranks.size <= MOST_ROWS
    if one:
        ax.hlines(ranks, raw, mean[order], color=RAW, lw=0.8, zorder=1)
        ax.hlines(ranks, lower[order], upper[order], color=PALE, lw=3, zorder=0)
        ax.plot(raw, ranks, "o", ms=4.5, mfc="white", mec=RAW, zorder=2, label="raw rate")
        ax.plot(mean[order], ranks, "o", ms=4.5, color=OWN, zorder=3, label=f"estimate, {interval}")
    else:
        few = thinned(ranks.size, _MOST_DOTS)
        size = _DOT * (MOST_ROWS / few.size) ** 0.15
        dots: dict[str, Any] = {"ls": "", "marker": "o", "mew": 0, "color": RAW, "zorder": 1}
        ax.plot(raw[few], few, ms=size, alpha=0.7, rasterized=True, **dots)
        ax.plot([], [], ms=_DOT, label="raw rate", **dots)
        ax.plot(mean[order], ranks, color=OWN, lw=2, zorder=2, label="estimate")
        band = ribbon(lower[order], upper[order])
        label = f"{interval}, median of {_neighbours(ranks.size)} neighbours"
        ax.fill_betweenx(*band, color=PALE, lw=0, zorder=0, label=label)
    if isinstance(result, PosteriorTable) and result.prior.shape == ():
        ax.axvline(
            float(result.prior.mean), color=PRIOR, ls="--", lw=1.4, zorder=1, label="prior mean"
        )
    _ranked(ax, _ordered(result, order, ax) if one else None, ranks.size)
    low, high = padded([*lower, *upper, *raw, *mean], 0.53)
    if low == high:
        low, high = low - 0.01, high + 0.01
        ax.locator_params(axis="x", nbins=5)
    ax.set(xlim=(max(low, -0.01), min(high, 1.01)), xlabel="c")
    apart = isinstance(result, Estimates) and len(result.posteriors.names) > 1
    whose = "the prior of their group" if apart else "the prior"
    return headed(ax, f"{_latents(ranks.size)}: raw rates shrink toward {whose}")


def plot_exceedance(
    table: PosteriorTable | Estimates, above: float, ax: Axes | None = None
) -> Axes:
    """Draw the posterior probability that c is above a threshold, for all latents.

    Parameters
    ----------
    table : PosteriorTable or Estimates
    above : float
        The threshold, in (0, 1).
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is the probability; y are the ranks, from 0 at the bottom.

    Raises
    ------
    ValueError
        If the threshold is out of range.
    """
    above = probability("above", above)
    exceeds = exceedance(table, above)
    ax = new_axes() if ax is None else ax
    order = np.argsort(exceeds, kind="stable")
    ranks, one = np.arange(order.size), order.size <= MOST_ROWS
    ax.axvspan(_SURE, 1.02, color=PALE, alpha=0.6, lw=0, label=f"above {100 * _SURE:g}%")
    if one:
        ax.hlines(ranks, 0, exceeds[order], color=PALE, lw=1.5, zorder=1)
    style: dict[str, Any] = {"marker": "o", "ms": 4.5, "ls": ""} if one else {"lw": 2}
    ax.plot(exceeds[order], ranks, color=OWN, zorder=2, clip_on=False, **style)
    _ranked(ax, _ordered(table, order, ax) if one else None, ranks.size)
    sure = int((exceeds > _SURE).sum()) or "none"
    ax.set(xlim=(0, 1.02), xlabel=f"P(c > {above:g})")
    whose = _latents(ranks.size)
    return headed(ax, f"P(c > {above:g}) of {whose}: above {100 * _SURE:g}% for {sure}")


def exceedance(table: PosteriorTable | Estimates, above: float) -> FloatArray:
    """Compute P(c > above) of each latent under its posterior."""
    if isinstance(table, Estimates):
        return table.probability_above(above)
    after = posterior(table.prior, table.counts)
    a, b = after.arrays()
    return beta_share(b, a, np.array(1 - above), np.array(above))


def _ordered(result: Tabular, order: IntArray, ax: Axes) -> list[str]:
    labels = _labels(result, BRIEF if is_narrow(ax.figure) else LONGEST)
    return [labels[i] for i in order.tolist()]


def _latents(size: int) -> str:
    return f"{size} latents" if size > 1 else "1 latent"


def _neighbours(size: int) -> int:
    """Return how many latents share a part of a ribbon, at most."""
    return max(_NEIGHBOURS, -(-size // _PARTS))


def ribbon(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ranks, and the medians of sorted intervals around them."""
    parts = np.array_split(np.arange(lower.size), -(-lower.size // _neighbours(lower.size)))
    at = np.array([part.mean() for part in parts])
    at[[0, -1]] = 0, lower.size - 1
    low, high = (np.array([np.median(x[part]) for part in parts]) for x in (lower, upper))
    return at, low, high


def _ranked(ax: Axes, labels: Sequence[str] | None, size: int) -> None:
    """Label the rows by latents, each or every so many of them, or by ranks from the top."""
    pad = 0.7 if labels else 0.01 * size
    ax.set_ylim(-pad, size - 1 + pad)
    if labels is None:
        ax.set_ylabel("rank")
        from matplotlib.ticker import MaxNLocator

        wanted = np.array([t for t in MaxNLocator(6).tick_values(1, size) if 1 < t < size])
        at = np.array([1, *wanted])
        ax.set_yticks(size - at, [f"{int(t)}" for t in at])
        return
    room = ax.get_window_extent().height * 72 / ax.figure.dpi / (size - 1 + 2 * pad)
    points = float(np.clip(room / 1.25, _LEAST_POINTS, _LABEL_POINTS))
    every = int(np.ceil(1.25 * points / room))
    shown = range(size - 1, -1, -every)
    ax.set_yticks(list(shown), [labels[i] for i in shown], fontsize=points)
    for text in ax.get_yticklabels():
        text.set_parse_math(False)
    ax.tick_params(axis="y", length=0)
    if every > 1:
        ax.set_ylabel(f"one latent in {every} is named", fontsize=8)
