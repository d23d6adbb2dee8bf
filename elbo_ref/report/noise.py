"""The price of gradient estimators, and the importance weights of a guide's draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elbo_ref._format.numbers import counted
from elbo_ref.diagnostics.importance import ParetoK
from elbo_ref.objectives.gradient_variance import GradientVariance
from elbo_ref.report.axes import EXACT, OWN, PRIOR, RAW, headed, log_axis, new_axes, padded, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_USABLE = 0.7
"""Pareto k below which draws can be reweighted."""
_LOWEST = -2.5
"""Stands for a k of minus infinity, as of the posterior."""
_MOST_DOTS = 20_000


def plot_gradient_variance(found: GradientVariance, ax: Axes | None = None) -> Axes:
    """Draw the particles that each estimator needs for one digit of the gradient.

    Parameters
    ----------
    found : GradientVariance
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is logarithmic. Arrows are none at all, and more than any number.
    """
    ax = new_axes() if ax is None else ax
    table = found.table()
    names, particles = list(table.column("estimator")), np.array(table.column("particles"))
    places = np.arange(len(names))[::-1]
    known = np.isfinite(particles) & (particles > 0)
    low, high = np.exp(padded(np.log(particles[known]) if known.any() else [0.0], 0.58, 0.7))
    ax.hlines(places, low, np.clip(particles, low, high), color="0.85", lw=1, zorder=0)
    ax.plot(particles[known], places[known], "o", ms=7, color=OWN, clip_on=False)
    for end, chosen, at in (("<", particles <= 0, low), (">", np.isposinf(particles), high)):
        ax.plot(np.full(int(chosen.sum()), at), places[chosen], end, color=RAW, clip_on=False)
    ax.set(xscale="log", xlim=(low, high), ylim=(-0.7, len(names) - 0.3))
    log_axis(ax.xaxis, float(low), float(high))
    ax.set_yticks(places, names, fontsize=9)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("particles for one digit of the gradient")
    return headed(ax, "gradient estimators: the left one costs least")


def plot_pareto_k(found: ParetoK, ax: Axes | None = None) -> Axes:
    """Draw Pareto k of each latent, from draws and in the limit, from the lowest to the highest.

    Parameters
    ----------
    found : ParetoK
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is the rank, its y is k; a k of minus infinity is at the bottom.
    """
    ax = new_axes() if ax is None else ax
    estimate, limit = (np.maximum(x, _LOWEST) for x in (found.estimate, found.limit))
    order = np.lexsort((estimate, limit))
    few = thinned(order.size, _MOST_DOTS)
    size = 6 if order.size <= 150 else 2
    ax.axhline(_USABLE, color=PRIOR, lw=1.2, ls="--", label=f"{_USABLE:g}: usable below")
    ax.plot(few, limit[order][few], "_", ms=10, mew=2, color=EXACT, label="limit")
    ax.plot(few, estimate[order][few], "o", ms=size, color=OWN, label="from draws")
    low, high = padded([*estimate, *limit, _USABLE], 0.56, 0.2)
    ax.set(ylim=(low, high), xlim=(-1, order.size), xlabel="latents, by rank")
    ax.set_ylabel("Pareto k")
    ax.locator_params(axis="x", integer=True, nbins=6)
    bad = int((found.estimate >= _USABLE).sum())
    latents = counted(order.size, "latent")
    return headed(ax, f"importance weights of {latents}: {bad} not usable")
