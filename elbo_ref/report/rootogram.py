"""Expected against observed counts as a hanging rootogram.

Numbers of latents stand on a scale of square roots, on which all of them scatter alike, by about a
half (Tukey 1972; Kleiber & Zeileis 2016): a bar of the observed number hangs from the expected one,
and the distance of its lower end from 0 is to be judged against +-1.

C. Kleiber & A. Zeileis, "Visualizing count data regressions using rootograms", The American
Statistician 70 (2016) 296.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elbo_ref.mle.tests import ExpectedCounts
from elbo_ref.report.axes import OWN, PALE, PRIOR, headed, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BARS = 41
_FEW = 4
"""Bars beside which ticks between whole numbers would stand."""
_SEEN = 0.02
"""Expected latents of a bar worth drawing."""


def plot_rootogram(found: ExpectedCounts, ax: Axes | None = None) -> Axes:
    """Draw the observed numbers of latents by successes, hanging from the expected ones.

    Parameters
    ----------
    found : ExpectedCounts
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is the number of successes, over all N together; many are joined into bars of equal
        width.
    """
    ax = new_axes() if ax is None else ax
    start, width, observed, expected = joined_by_successes(found)
    middle, top = start + (width - 1) / 2, np.sqrt(expected)
    low = top - np.sqrt(observed)
    ax.axhspan(-1, 1, color="0.92", lw=0, zorder=0)
    ax.bar(middle, -np.sqrt(observed), 0.85 * width, bottom=top, color=PALE, ec=OWN, lw=0.6,
           zorder=2, label="observed, hanging")  # fmt: skip
    ax.plot(middle, top, "o-", color=PRIOR, ms=4, lw=1.8, zorder=3, label="expected")
    ax.axhline(0, color="black", lw=0.9, zorder=4)
    ax.set_yscale("linear")
    ends = min(-1.3, float(low.min()) - 0.2), max(1.3, float(top.max()) * 1.05)
    ax.set_xlim(middle[0] - 0.7 * width, middle[-1] + 0.7 * width)
    ax.set(ylim=ends, ylabel="square root of latents")
    ax.set_xlabel("successes" if width == 1 else f"successes, {width} to a bar")
    ax.locator_params(axis="x", integer=True)
    if start.size <= _FEW:
        ax.set_xticks(start if width == 1 else [*start, start[-1] + width - 1])
    return headed(ax, "fit of the prior: bars should end within 1 of zero")


def joined_by_successes(
    found: ExpectedCounts,
) -> tuple[Any, int, Any, Any]:
    """Sum cells over all N, and over bins of successes where these are many.

    Returns
    -------
    start : ndarray, shape (B,)
        The least number of successes of each bin.
    width : int
        The successes of a bin.
    observed, expected : ndarray, shape (B,)
    """
    most = int(found.successes.max())
    width = int(np.ceil((most + 1) / _MOST_BARS))
    place = found.successes // width
    observed, expected = (
        np.bincount(place, weights).astype(np.float64)
        for weights in (found.observed, found.expected)
    )
    size = int(np.flatnonzero((observed > 0) | (expected > _SEEN))[-1]) + 1
    return np.arange(size) * float(width), width, observed[:size], expected[:size]
