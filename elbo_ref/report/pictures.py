"""A run as a picture: its losses, the densities of a latent, its path over the evidence.

One colour says one thing in every panel: blue is the run's own (losses, objective, guide), orange
the prior's (its density, evidence and path), black what is exact (posterior, supremum). They differ
in lightness, line style and width too. Heights are nats relative to the supremum of the evidence,
linear near it and logarithmic beyond one nat: then neither noisy losses nor an objective without
bound squeezes the rest. Probabilities stand on a logit axis, where a prior that collapses to 0 or 1
stays visible, and densities are those of logit c, relative to their peak:

    log p(logit c) = log p(c) + log c + log(1 - c),     highest at log a - log b for Beta(a, b).

Matplotlib is imported when something is drawn, and never its pyplot: no display, no global state.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, check_type, count
from elbo_ref.diagnostics.diagnosis import Diagnosis
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.distributions.point import Delta, Parameter
from elbo_ref.evidence import posterior
from elbo_ref.guides import find
from elbo_ref.report.axes import (
    EXACT,
    HALF_DECADES,
    OWN,
    PALE,
    PRIOR,
    headed,
    logit_axis,
    new_axes,
    own_figure,
    padded,
    probability,
    round_ticks,
    thinned,
)  # fmt: skip
from elbo_ref.report.labels import plain_text
from elbo_ref.report.latent import SEEN, density, likelihood
from elbo_ref.report.surface import heights, mark_highest, over_priors, shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_AVERAGED = 25


def plot_losses(diagnosis: Diagnosis, ax: Axes | None = None) -> Axes:
    """Draw losses, exact objective and evidence of the prior over the steps.

    Parameters
    ----------
    diagnosis : Diagnosis
        From `elbo_ref.diagnose`.
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib Axes
        Heights are relative to the supremum of the evidence; long runs are thinned.

    Raises
    ------
    ImportError
        Without matplotlib, as the others here.
    """
    check_type("diagnosis", diagnosis, Diagnosis)
    ax = new_axes() if ax is None else ax
    run, best = diagnosis.run, diagnosis.supremum.log_evidence
    estimates, label = -run.losses - best, "objective = -loss"
    seen = [run.objectives - best, np.array([-0.5, 0.5])]
    if run.loss_name != "exact" and estimates.size:
        kept, label = thinned(estimates.size, 2000), "objective"
        ax.plot(kept, estimates[kept], ".", ms=4, color=PALE, zorder=1, label="-loss")
        seen.append(np.quantile(estimates, [0.01, 0.99]))
    ax.plot(run.history.guide_steps, seen[0], color=OWN, lw=2, label=label)
    if run.has_prior:
        kept = thinned(len(run.history), 400)
        a, b = (x[kept] for x in run.history.prior.arrays())
        seen.append(heights(a, b, run.counts) - best)
        ax.plot(kept, seen[-1], "--", color=PRIOR, lw=1.8, label="log evidence")
    word = "maximum" if diagnosis.supremum.attained else "supremum"
    ax.axhline(0, color=EXACT, ls=":", lw=1.4, label=f"{word} {best:.5g}")
    low, high = padded(np.arcsinh(np.concatenate(seen)), 0.55)
    ax.set_yscale("function", functions=(np.arcsinh, np.sinh))
    ax.set_yticks(np.sinh(round_ticks(np.arcsinh(HALF_DECADES), low, high, 7)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.locator_params(axis="x", integer=True)
    ylabel = f"nats above {word} (log beyond 1)"
    ax.set(xlabel="step", ylabel=ylabel, ylim=np.sinh([low, high]))
    return headed(ax, "objective and evidence")


def plot_densities(diagnosis: Diagnosis, *, latent: int = 0, ax: Axes | None = None) -> Axes:
    """Draw prior, guide and exact posterior of one entry of the counts.

    Parameters
    ----------
    diagnosis : Diagnosis
    latent : int
        The entry.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is logit c, labelled by c. For ``guide="none"``: the likelihood, and the c reached.

    Raises
    ------
    ValueError
        If there is no such entry.
    """
    check_type("diagnosis", diagnosis, Diagnosis)
    run, counts = diagnosis.run, diagnosis.run.counts
    if count("latent", latent, 0) >= len(counts):
        raise ValueError(f"latent = {latent} must lie in [0, {len(counts)})")
    ax = new_axes() if ax is None else ax
    k, n = int(counts.successes[latent]), int(counts.total_count[latent])
    exact: dict[str, Any] = {"color": EXACT, "ls": "--", "lw": 1.6, "zorder": 3}
    params: dict[str, Any] = {"color": PALE, "lw": 5, "zorder": 1}
    if not run.has_prior:
        assert isinstance(run.guide, Parameter)
        reached, what = np.ravel(run.guide.logits)[latent], "likelihood"
        y, height = likelihood(k, n)
        ax.plot(y, height, label=what, **exact)
        ax.axvline(reached, label=f"c = {probability(reached)} reached", **params)
        low, high = padded([reached, *y[height > SEEN]], 0.53)
    else:
        what = "density of logit c"
        tied = ", tied: the prior" * (find(run.guide_name).origin == "prior")
        curves: dict[str, tuple[Beta | LogitNormal, dict[str, Any]]]
        curves = {"prior": (run.prior, {"color": PRIOR, "lw": 1.8})}
        curves["posterior"] = posterior(run.prior, counts), exact
        if isinstance(run.guide, Beta | LogitNormal):
            curves[f"guide{tied}"] = run.guide, params
        drawn = [density(value, latent) for value, _ in curves.values()]
        low, high = padded(np.concatenate([y[height > SEEN] for y, height in drawn]), 0.53)
        for label, (value, style) in curves.items():
            ax.plot(*density(value, latent, np.linspace(low, high, 200)), label=label, **style)
        if isinstance(run.guide, Delta):
            ax.axvline(np.ravel(run.guide.logits)[latent], label="guide, a point", **params)
    logit_axis(ax, low, high)
    ax.set(ylim=(0, 1.05), xlabel="c (logit scale)", ylabel=f"{what}, peak = 1")
    text = f"latent {latent}" if counts.labels is None else str(counts.labels[latent])
    return headed(ax, f"{plain_text(text)}: {k} of {n}" + ", no guide" * (run.guide is None))


def plot_path(diagnosis: Diagnosis, ax: Axes | None = None) -> Axes:
    """Draw the prior's path over the log evidence.

    Parameters
    ----------
    diagnosis : Diagnosis
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is the logit of the prior's mean, labelled by the mean, its y is a + b. A star marks
        the maximiser, a triangle on the edge the way to a supremum that is not attained. A long
        noisy path is pale, and its moving average drawn over it, so that its end shows.
    """
    check_type("diagnosis", diagnosis, Diagnosis)
    ax = new_axes() if ax is None else ax
    run, top = diagnosis.run, diagnosis.supremum
    a, b = (x[thinned(len(run.history), 2000)] for x in run.history.prior.arrays())
    x, s = np.log(a) - np.log(b), a + b
    goal_x = x[-1] if top.mean is None else sc.logit(top.mean)
    goal_s = s[-1] if top.concentration is None else top.concentration
    left, right = padded([*x, goal_x], 0.62, 1.5)
    low, high = np.exp(padded(np.log([*s, goal_s if top.prior else s[-1]]), 0.62, 2.4))
    shade(ax, top, (left, right), (low, high))
    if run.has_prior:
        noisy = run.loss_name != "exact" and x.size > 4 * _AVERAGED
        if noisy:
            ax.plot(x, s, color=PRIOR, lw=0.5, alpha=0.35)
        line = (_averaged(x), np.exp(_averaged(np.log(s)))) if noisy else (x, s)
        ax.plot(*line, color=PRIOR, lw=1.8, label="prior, averaged" if noisy else "prior")
        ax.plot(x[:1], s[:1], "o", ms=8, mfc="white", mec=PRIOR, mew=2, label="start", zorder=6)
        ax.plot(x[-1:], s[-1:], "o", ms=8, color=PRIOR, mec="white", label="end", zorder=6)
    mark_highest(ax, top, (left, right), (low, high))
    over_priors(ax, (left, right), (low, high))
    what = "nats below the highest" if run.has_prior else "no prior, so no path"
    return headed(ax, f"log evidence, {what}")


def _averaged(values: FloatArray) -> FloatArray:
    """Average over `_AVERAGED` neighbours to each side, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(values.size)
    reach = np.minimum(np.minimum(place, place[::-1]), _AVERAGED)
    return np.asarray((total[place + reach + 1] - total[place - reach]) / (2 * reach + 1))


def plot_run(diagnosis: Diagnosis, axes: Any = None) -> NDArray[Any]:
    """Draw losses, densities of the first latent, and path, side by side.

    Parameters
    ----------
    diagnosis : Diagnosis
    axes : three matplotlib Axes, optional
        By default those of a new figure, with a line on the run above.

    Returns
    -------
    ndarray of three matplotlib Axes

    Raises
    ------
    ValueError
        If there are not three axes.
    """
    axes = np.ravel(run_axes(own_figure(12, 4), diagnosis) if axes is None else axes)
    if axes.size != 3:
        raise ValueError(f"axes has {axes.size} entries where 3 are needed")
    plot_losses(diagnosis, axes[0])
    plot_densities(diagnosis, ax=axes[1])
    plot_path(diagnosis, axes[2])
    return np.asarray(axes)


_UNNAMED: dict[str, Any] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
"""What a picture does not say of itself, by its format."""


def save_figure(
    diagnoses: Sequence[Diagnosis],
    file: str | os.PathLike[str] | IO[bytes],
    format: Literal["pdf", "png", "svg"],
) -> None:
    """Save one row of `plot_run` for each of one to four diagnoses, always in the same bytes.

    Parameters
    ----------
    diagnoses : sequence of Diagnosis
    file : path or binary file
    format : str
        ``"pdf"``, ``"png"`` or ``"svg"``.

    Raises
    ------
    ValueError
        For more or fewer diagnoses, or another format.
    """
    if not 1 <= len(diagnoses) <= 4:
        raise ValueError(f"diagnoses has {len(diagnoses)} entries where 1 to 4 are needed")
    if format not in _UNNAMED:
        raise ValueError(f"format = {format!r} must be 'pdf', 'png' or 'svg'")
    figure = own_figure(12, 4 * len(diagnoses))
    rows = figure.subfigures(len(diagnoses), 1, squeeze=False)[:, 0]
    for row, diagnosis in zip(rows, diagnoses, strict=True):
        plot_run(diagnosis, run_axes(row, diagnosis))
    save(figure, file, format)


def save(figure: Figure, file: str | os.PathLike[str] | IO[bytes], format: str) -> None:
    """Save a figure as pdf, png or svg, always in the same bytes."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "elbo_ref"}):
        figure.savefig(file, format=format, dpi=100, metadata=_UNNAMED[format])


def run_axes(figure: Figure | SubFigure, diagnosis: Diagnosis) -> Any:
    """Make three axes below a line with the guide, the steps, and the end of the run."""
    text = f"guide {diagnosis.run.guide_name}, {diagnosis.run.message}"
    figure.suptitle(text, fontsize=11, fontweight="bold", y=0.97)
    figure.subplots_adjust(left=0.088, right=0.975, bottom=0.13, top=0.76, wspace=0.3)
    return figure.subplots(1, 3)
