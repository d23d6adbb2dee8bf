"""Pictures of a difference and of a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elbo_ref._format.numbers import counted, number
from elbo_ref.estimates.difference import Difference
from elbo_ref.estimates.prediction import Prediction
from elbo_ref.report.axes import OWN, PALE, headed, new_axes
from elbo_ref.report.labels import plain_text, plain_texts

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
    interval: dict[str, Any] = {"color": PALE, "lw": 5, "solid_capstyle": "butt"}
    label = f"{100 * found.level:g}% interval"
    ax.plot([found.mean], [0], "o", color=OWN, ms=8, mec="white", mew=1.2, label="mean", zorder=3)
    ax.plot([found.lower, found.upper], [0, 0], label=label, **interval)
    low, high = min(found.lower, 0.0), max(found.upper, 0.0)
    room = 0.08 * (high - low) or 0.01
    ax.set(xlim=(low - room, high + room), ylim=(-1, 1), yticks=[])
    ax.locator_params(axis="x", nbins=6)
    labels = found.label1, found.label2
    kind = "group " if found.groups else "latent "
    one, other = (kind * isinstance(x, int) + text
                  for x, text in zip(labels, plain_texts(labels), strict=True))  # fmt: skip
    what = "mean of the prior of " if found.groups else "c of "
    ax.set_xlabel(f"{what}the first less that of the second")
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
    interval = f"{100 * found.level:g}% interval, {found.lower} to {found.upper}"
    for some, color, label in ((inside, OWN, interval), (~inside, PALE, "outside")):
        if some.any():
            ax.bar(middle[some], height[some], 0.85 * width, color=color, label=label)
    ax.set_xlabel("successes" if width == 1 else f"successes, {width} to a bar")
    ax.set(ylabel="probability", xlim=(first - 0.7 * width, starts[-1] + 1.7 * width - 1))
    ax.locator_params(axis="x", integer=True)
    trials = counted(found.successes.size - 1, "new trial")
    return headed(ax, f"{_whose(found)}: successes in {trials}")


def _whose(found: Prediction) -> str:
    """Name the latent."""
    if found.label is None:
        return "a new latent" + ("" if found.group is None else f" of {plain_text(found.group)}")
    return f"{'latent ' * isinstance(found.label, int)}{plain_text(found.label)}"
