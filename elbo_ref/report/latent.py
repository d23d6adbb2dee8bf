"""A latent's densities: its prior, its likelihood, its posterior.

Densities are those of logit c, relative to their peak:

    log p(logit c) = log p(c) + log c + log(1 - c),     highest at log a - log b for Beta(a, b),

on a logit axis, where a prior that collapses to 0 or 1 stays visible.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.distributions.posterior_table import PosteriorTable
from elbo_ref.estimates.result import Estimates
from elbo_ref.evidence import posterior
from elbo_ref.report.axes import (
    EXACT,
    OWN,
    PALE,
    PRIOR,
    headed,
    logit_axis,
    new_axes,
    padded,
)
from elbo_ref.report.labels import plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Density: TypeAlias = Callable[[Any], tuple[FloatArray, FloatArray]]
"""Logits, with those that are asked for among them, and heights there relative to the peak."""
_LIGHT = 1e-3
"""Weight relative to the largest below which a part of a mixture does not set the window."""
SEEN = 0.03
"""Heights relative to the peak from which on a density is worth seeing."""


def plot_latent(table: PosteriorTable | Estimates, label: Any, ax: Axes | None = None) -> Axes:
    """Draw prior, likelihood and posterior of one latent, and its interval.

    Parameters
    ----------
    table : PosteriorTable or Estimates
    label : object
        The label of the latent.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is logit c, labelled by c.

    Raises
    ------
    KeyError
        If there is no such label.
    ValueError
        If the estimates are a limit without densities.
    """
    row, place = table[label], list(table.labels).index(label)
    ax = new_axes() if ax is None else ax
    k, n = row.successes, row.total_count
    before, after = _densities(table, place)
    curves = {"prior": before(()), "posterior": after(())}
    if n:
        curves["likelihood"] = likelihood(k, n)
    ended = {name for name, (_, height) in curves.items() if height[[0, -1]].max() > SEEN}
    seen = [y[height > SEEN] for name, (y, height) in curves.items() if name not in ended]
    low, high = padded(np.concatenate(seen), 0.53)
    grid = np.linspace(low, high, 400)
    ends = sc.logit([row.lower, row.upper])
    y = np.unique([*grid[(grid > ends[0]) & (grid < ends[1])], *ends])
    filled, interval = after(y), f"{100 * _level(table):g}% interval"
    inside = (filled[0] >= ends[0]) & (filled[0] <= ends[1])
    ax.fill_between(*(x[inside] for x in filled), color=PALE, alpha=0.7, lw=0, label=interval)
    ax.plot(*before(grid), label="prior", color=PRIOR, lw=1.8, ls="--")
    if n:
        ax.plot(*likelihood(k, n, grid), label="likelihood", color=OWN, lw=1.8, ls="-.")
    ax.plot(*after(grid), label="posterior", color=EXACT, lw=2.2)
    logit_axis(ax, low, high)
    ax.set(ylim=(0, 1.05), xlabel="c (logit scale)", ylabel="density of logit c, peak = 1")
    name = f"latent {label}" if table.counts.labels is None else plain_text(label)
    return headed(ax, f"{name}: {k} of {n}, estimate {row.mean:.3g}")


def _level(table: PosteriorTable | Estimates) -> float:
    return table.level if isinstance(table, Estimates) else table.prob


def _densities(table: PosteriorTable | Estimates, place: int) -> tuple[Density, Density]:
    """Return the densities of the prior and the posterior of an entry, at further logits too."""
    if isinstance(table, PosteriorTable):
        after = posterior(table.prior, table.counts)
        return partial(density, table.prior, place), partial(density, after, place)
    fit = table.posteriors.fits[table.posteriors.group[place]]
    if fit.nodes is None:
        raise ValueError("latent: these estimates are a limit that has no densities")
    a, b, weight, _, _ = fit.mixture
    own = fit.latent(int(table.posteriors.entry[place]))
    return partial(_mixed_density, a, b, weight), partial(_mixed_density, *own)


def _mixed_density(
    a: FloatArray, b: FloatArray, weight: FloatArray, also: Any = ()
) -> tuple[FloatArray, FloatArray]:
    """Return logits, and the density of a mixture of Betas there relative to its peak."""
    heavy = weight > _LIGHT * weight.max()
    middle, spread = np.log(a / b)[heavy], 6 * np.sqrt(1 / a + 1 / b)[heavy]
    low, high = max((middle - spread).min(), -650), min((middle + spread).max(), 650)
    y = np.unique([*np.linspace(low, high, 1601), *also])
    each = np.outer(sc.log_expit(y), a) + np.outer(sc.log_expit(-y), b) - sc.betaln(a, b)
    height = sc.logsumexp(each, axis=1, b=weight)
    return y, np.exp(height - height.max())


def likelihood(k: int, n: int, also: Any = ()) -> tuple[FloatArray, FloatArray]:
    """Return logits, and the binomial likelihood there relative to its peak."""
    y = np.linspace(-8, 8, 801) * np.sqrt(1 / (k + 0.5) + 1 / (n - k + 0.5))
    y = np.unique([*(y + np.log((k + 0.5) / (n - k + 0.5))), *also])
    height = k * sc.log_expit(y) + (n - k) * sc.log_expit(-y)
    return y, np.exp(height - height.max())


def density(
    value: Beta | LogitNormal, latent: int, also: Any = ()
) -> tuple[FloatArray, FloatArray]:
    """Return logits, and the density there relative to its peak; mirrored where c rounds to 1."""
    place = latent if value.shape not in ((), (1,)) else 0
    a, b = (float(np.ravel(x)[place]) for x in value.arrays())
    if isinstance(value, LogitNormal):
        y = np.unique([*np.linspace(a - 10 * b, a + 10 * b, 801), *also])
        return y, np.exp(-(((y - a) / b) ** 2) / 2)
    peak, spread = np.log(a) - np.log(b), 10 * np.sqrt(1 / a + 1 / b)
    low, high = max(peak - max(spread, 10 / a), -650), min(peak + max(spread, 10 / b), 650)
    y = np.unique([*np.linspace(low, peak, 400), *np.linspace(peak, high, 400), *also])
    c = sc.expit(-np.abs(y))
    of_c = np.where(y < 0, Beta(a, b).log_prob(c), Beta(b, a).log_prob(c))
    log_density = of_c + sc.log_expit(y) + sc.log_expit(-y)
    return y, np.exp(log_density - log_density.max())
