"""The p-value of a test, on the curve of those of every statistic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref.mle.tests import TestResult, tail
from elbo_ref.report.axes import EXACT, PRIOR, headed, log_axis, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST = 1e-300
_USUAL = 0.05


def plot_tail(test: TestResult, ax: Axes | None = None) -> Axes:
    """Draw the probability of a statistic as high or higher under the null, and the one found.

    Parameters
    ----------
    test : TestResult
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is the statistic, its y the p-value, logarithmic.
    """
    ax = new_axes() if ax is None else ax
    found = max(test.pvalue, _LEAST)
    low = min(-2.0, test.statistic - 1) if test.distribution == "normal" else 0.0
    high = max(1.25 * test.statistic, 4.0 if low < 0 else 4.0 + 2 * test.dof)
    x = np.linspace(low, high, 400)
    p = tail(test.distribution, test.dof, x)
    ax.plot(x, np.maximum(p, _LEAST), color=EXACT, lw=1.6)
    ax.axhline(_USUAL, color="0.6", lw=1.0, ls=":", label=f"p = {_USUAL:g}")
    ax.plot([test.statistic] * 2 + [low], [_LEAST, found, found], color=PRIOR, lw=1.0)
    ax.plot([test.statistic], [found], "o", color=PRIOR, ms=9, mec="white", clip_on=False)
    least = max(min(found, 0.01) ** 1.3, _LEAST)
    ax.set(yscale="log", ylim=(least, 1.6), xlim=(low, high), ylabel="p")
    log_axis(ax.yaxis, least, 1.6)
    ax.locator_params(axis="x", nbins=5, prune="upper")
    ax.set_xlabel(f"statistic, {_law(test)} under the null")
    p_value = f"p = {number(test.pvalue)}" if test.pvalue > _LEAST else f"p < {_LEAST:g}"
    return headed(ax, f"null hypothesis: {test.null}; {p_value}")


def _law(test: TestResult) -> str:
    """Name the distribution of the statistic."""
    if test.distribution == "normal":
        return "standard normal"
    degrees = f"chi-square ({test.dof})"
    return degrees if test.distribution == "chi-square" else f"half 0, half {degrees}"
