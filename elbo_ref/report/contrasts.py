"""Pictures of a difference and of a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref.estimates.difference import Difference
from elbo_ref.estimates.prediction import Prediction
from elbo_ref.report.axes import OWN, PALE, headed, new_axes, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BARS = 61
_SEEN = 1e-4
"""A probability, relative to the highest, of a bar worth drawing."""


def plot_difference(found: Difference, ax: Axes | None = None) -> Axes:
    """Draw mean and interval of a difference, and zero.

    Parameters
    ----------
    found : Difference
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    ax = new_axes() if ax is None else ax
    ax.axvline(0.0, color="0.6", lw=1.0)
    ax.plot([found.lower, found.upper], [0, 0], color=OWN, lw=4, solid_capstyle="butt")
    ax.plot([found.mean], [0], "o", color=OWN, ms=9, mec="white", mew=1.2)
    low, high = min(found.lower, 0.0), max(found.upper, 0.0)
    room = 0.08 * (high - low) or 0.01
    ax.set(xlim=(low - room, high + room), ylim=(-1, 1), yticks=[], xlabel="difference")
    ax.locator_params(axis="x", nbins=6)
    one, other = (_short(x) for x in (found.label1, found.label2))
    if np.isnan(found.probability):
        return headed(ax, f"{one} less {other}: {number(found.mean)}")
    return headed(ax, f"{one} above {other}: P = {number(found.probability)}")


def plot_prediction(found: Prediction, ax: Axes | None = None) -> Axes:
    """Draw a bar for each number of successes, those of the interval darker.

    Parameters
    ----------
    found : Prediction
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Many numbers are joined into bars of equal width.
    """
    ax = new_axes() if ax is None else ax
    seen = np.flatnonzero(found.probability >= _SEEN * found.probability.max())
    first, last = int(seen[0]), int(seen[-1])
    width = int(np.ceil((last - first + 1) / _MOST_BARS))
    starts = np.arange(first, last + 1, width)
    height = np.add.reduceat(found.probability[: starts[-1] + width], starts)
    middle = starts + (width - 1) / 2
    inside = (starts + width - 1 >= found.lower) & (starts <= found.upper)
    ax.bar(middle, height, 0.85 * width, color=np.where(inside, OWN, PALE).tolist())
    ax.set_xlabel("successes" if width == 1 else f"successes, {width} to a bar")
    ax.set(ylabel="probability", xlim=(first - 0.7 * width, starts[-1] + 1.7 * width - 1))
    ax.locator_params(axis="x", integer=True)
    trials = found.successes.size - 1
    return headed(ax, f"{trials} new trials: {found.lower} to {found.upper} successes expected")


def _short(label: object) -> str:
    text = plain_text(label)
    return text if len(text) <= 16 else f"{text[:15]}…"
