"""Raw rates over trials, beside where those of equal latents would be.

With p the pooled rate, K of N lies outside the band where P(X < K) or P(X > K) is above 97.5 % for
X ~ Binomial(N, p). The band's edges are those K, continued between whole numbers by

    P(X <= k) = I_(1-p)(N - k, k + 1).

Source: Spiegelhalter, Statistics in Medicine 24 (2005) 1185.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special as sc

from elbo_ref._format.numbers import counted, number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.mle.binomial import totals
from elbo_ref.report.axes import EXACT, PALE, RAW, headed, log_axis, new_axes, padded, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TAIL = 0.025
_MOST_DOTS = 20_000
_NORMAL = 1e6
"""Variance of K from which on it is as good as normal."""


def plot_funnel(counts: Counts, ax: Axes | None = None) -> Axes:
    """Draw the raw rate of each latent over its trials, and the band of equal latents.

    Parameters
    ----------
    counts : Counts
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is the number of trials, logarithmic; its y the raw rate. Latents without trials have
        none; a dot of several equal latents is larger.
    """
    ax = new_axes() if ax is None else ax
    says = (counts.total_count > 0) & (counts.multiplicity > 0)
    k, n, w = (x[says] for x in (counts.successes, counts.total_count, counts.multiplicity))
    if not n.size:
        ax.set(xlabel="trials", ylabel="successes / trials", ylim=(0, 1))
        return headed(ax, "no trials, no rates")
    successes, failures = totals(counts)
    p = float(successes / (successes + failures))
    lower, upper = band(p, n.astype(np.float64))
    out = int(w[(k < lower) | (k > upper)].sum())
    low, high = n.min() / 1.4, n.max() * 1.4
    trials = np.geomspace(low, high, 400)
    least, most = (x / trials for x in band(p, trials))
    ax.fill_between(trials, least, most, color=PALE, lw=0, label="95% of equal latents")
    ax.axhline(p, color=EXACT, lw=1.2, label=f"all together: {number(p)}")
    few = thinned(n.size, _MOST_DOTS)
    size = (18 if n.size <= 150 else 6) * np.minimum(np.sqrt(w[few]), 6)
    ax.scatter(n[few], k[few] / n[few], s=size, color=RAW, alpha=0.7, lw=0, zorder=3)
    ax.set(xscale="log", xlim=(low, high), xlabel="trials", ylabel="successes / trials")
    usual = [float(np.median(edge / n)) for edge in (lower, upper)]
    bottom, top = padded([*(k / n), p, *usual], 0.56, 1 / float(n.max()))
    ax.set_ylim(max(bottom, -top / 20), min(top, 1 + (1 - bottom) / 20))
    log_axis(ax.xaxis, float(low), float(high))
    ax.locator_params(axis="y", nbins=6)
    latents = counted(int(w.sum()), "latent")
    return headed(ax, f"{out} of {latents} outside the band of equal ones")


def band(p: float, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the least and the greatest K within the band, for Binomial(n, p)."""
    return _least(p, n), n - _least(1 - p, n)


def _least(p: float, n: FloatArray) -> FloatArray:
    mean, variance = n * p, n * p * (1 - p)
    exact = sc.bdtrik(_TAIL, n, p) if 0 < p < 1 else mean
    normal = mean + sc.ndtri(_TAIL) * np.sqrt(variance)
    return np.maximum(np.where(variance < _NORMAL, np.nan_to_num(exact), normal), 0.0)
