"""A verdict as a picture: the losses against their distribution, or all that was compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elbo_ref.crosscheck.findings import ComparedLosses, Finding, Verdict
from elbo_ref.report.axes import (
    EXACT,
    HALF_DECADES,
    OWN,
    PALE,
    PRIOR,
    RAW,
    headed,
    is_narrow,
    new_axes,
    round_ticks,
    thinned,
)
from elbo_ref.report.labels import BRIEF, LONGEST, plain_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 2000
_WIDE = 5.0
"""Units beyond which a scale becomes logarithmic."""
_COLOURS = {"agrees": OWN, "mistake": PRIOR, "optimum": PRIOR, "outside": PRIOR}


def plot_verdict(verdict: Verdict, ax: Axes | None = None) -> Axes:
    """Draw the losses against their distribution; without losses, all findings with numbers.

    Parameters
    ----------
    verdict : Verdict
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    ax = new_axes() if ax is None else ax
    if verdict.losses is None:
        return _plot_findings(verdict, ax)
    return _plot_losses(verdict.losses, verdict.mistakes, ax)


def compared_findings(verdict: Verdict) -> list[Finding]:
    """List the findings whose difference and allowance are both known."""
    known = (x for x in verdict.findings if x.difference is not None and x.allowance)
    return [x for x in known if np.isfinite(x.difference or 0.0)]


def _plot_losses(losses: ComparedLosses, mistakes: tuple[str, ...], ax: Axes) -> Axes:
    """Draw each loss less its mean, in standard deviations."""
    std = np.maximum(losses.std, 1e-300)
    away, size = (losses.values - losses.mean) / std, losses.values.size
    kept = thinned(size, _MOST)
    ax.axhspan(-2, 2, color=PALE, alpha=0.6, lw=0, zorder=0)
    ax.axhline(0, color=EXACT, lw=0.9, zorder=1)
    seen = [away]
    if losses.mistaken_mean is not None and losses.mistake in mistakes:
        shifted = (losses.mistaken_mean - losses.mean) / std
        style: dict[str, Any] = {"lw": 2, "ls": "--"} if size > 1 else {"marker": "_", "ms": 20}
        label = f"mean under {losses.mistake}"
        ax.plot(kept, shifted[kept], color=PRIOR, zorder=4, label=label, **style)
        seen.append(shifted)
    large = 4 if size > 200 else 6
    ax.plot(kept, away[kept], ".", ms=large, color=OWN, zorder=3, label="losses")
    _signed_axis(ax.yaxis, np.concatenate(seen), 3.0)
    steps = all(label == f"loss of step {i}" for i, label in enumerate(losses.labels))
    ax.locator_params(axis="x", integer=True)
    ax.set(xlabel="step" if steps else "losses, in order", xlim=(-0.03 * size - 0.5, 1.03 * size))
    ax.set_ylabel("standard deviations from the mean")
    inside = int((np.abs(away) <= 2).sum())
    return headed(ax, f"{inside} of {size} losses within 2 standard deviations")


def _plot_findings(verdict: Verdict, ax: Axes) -> Axes:
    """Draw each difference in units of its allowance, one below the other."""
    found = compared_findings(verdict)
    ratios = np.array([(x.difference or 0.0) / (x.allowance or 1.0) for x in found])
    places = np.arange(len(found))[::-1]
    ax.axvspan(-1, 1, color=PALE, alpha=0.6, lw=0, zorder=0)
    ax.axvline(0, color=EXACT, lw=0.9, zorder=1)
    colours = [_COLOURS.get(x.status, RAW) for x in found]
    ax.hlines(places, 0, ratios, color=colours, lw=1.5, zorder=2)
    ax.scatter(ratios, places, color=colours, s=36, zorder=3)
    _signed_axis(ax.xaxis, ratios, 1.5)
    ax.set(ylim=(-0.8, max(len(found), 1) - 0.2), xlabel="yours less exact, in allowances")
    names = plain_texts((x.label for x in found), BRIEF if is_narrow(ax.figure) else LONGEST)
    ax.set_yticks(places, names, fontsize=9)
    for text in ax.get_yticklabels():
        text.set_parse_math(False)
    ax.tick_params(axis="y", length=0)
    inside = int((np.abs(ratios) <= 1).sum())
    return headed(ax, f"{inside} of {len(found)} numbers within their allowance")


def _signed_axis(axis: Any, values: Any, least: float) -> None:
    """Scale an axis around zero, logarithmically beyond one where there are large values."""
    values = values[np.isfinite(values)]
    low, high = min(-least, *values, 0.0), max(least, *values, 0.0)
    limits = 1.08 * low, 1.08 * high
    ax, name = axis.axes, axis.axis_name
    if max(-low, high) > _WIDE:
        getattr(ax, f"set_{name}scale")("function", functions=(np.arcsinh, np.sinh))
        ends = np.arcsinh([low, high])
        limits = float(np.sinh(ends[0] - 0.15)), float(np.sinh(ends[1] + 0.15))
        inner = np.arcsinh(limits)
        axis.set_ticks(np.sinh(round_ticks(np.arcsinh(HALF_DECADES), inner[0], inner[1], 7)))
        axis.set_major_formatter("{x:g}")
    getattr(ax, f"set_{name}lim")(*limits)
