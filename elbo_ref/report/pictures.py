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

from elbo_ref._validation.arguments import FloatArray, IntArray, check_type, count
from elbo_ref.counts import distinct
from elbo_ref.diagnostics.diagnosis import Diagnosis
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.distributions.point import Delta, Parameter
from elbo_ref.evidence import latent_log_evidence, posterior
from elbo_ref.guides import find

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

OWN, PALE, PRIOR, EXACT = "#0059a8", "#8fc1ea", "#d95f02", "black"
LEVELS = (0.0, 0.1, 0.5, 2.0, 10.0, 50.0, 200.0, 1e3, 5e3, 2e4, 1e5)
_HALF_DECADES = np.ravel([(0.3 * 10.0**e, 10.0**e) for e in range(290)])


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
    ax = _new_axes() if ax is None else ax
    run, best = diagnosis.run, diagnosis.supremum.log_evidence
    estimates, label = -run.losses - best, "objective = -loss"
    seen = [run.objectives - best, np.array([-0.5, 0.5])]
    if run.loss_name != "exact" and estimates.size:
        kept, label = _thinned(estimates.size, 2000), "objective"
        ax.plot(kept, estimates[kept], ".", ms=4, color=PALE, zorder=1, label="-loss")
        seen.append(np.quantile(estimates, [0.01, 0.99]))
    ax.plot(run.history.guide_steps, seen[0], color=OWN, lw=2, label=label)
    if run.has_prior:
        kept = _thinned(len(run.history), 400)
        a, b = (x[kept] for x in run.history.prior.arrays())
        seen.append(_log_evidence(a, b, diagnosis))
        ax.plot(kept, seen[-1], "--", color=PRIOR, lw=1.8, label="log evidence")
    word = "maximum" if diagnosis.supremum.attained else "supremum"
    ax.axhline(0, color=EXACT, ls=":", lw=1.4, label=f"{word} {best:.5g}")
    low, high = _padded(np.arcsinh(np.concatenate(seen)), 0.55)
    ax.set_yscale("function", functions=(np.arcsinh, np.sinh))
    ax.set_yticks(np.sinh(_ticks(np.arcsinh(_HALF_DECADES), low, high, 7)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.locator_params(axis="x", integer=True)
    ylabel = f"nats above {word} (log beyond 1)"
    ax.set(xlabel="step", ylabel=ylabel, ylim=np.sinh([low, high]))
    return _headed(ax, "objective and evidence")


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
    ax = _new_axes() if ax is None else ax
    k, n = int(counts.successes[latent]), int(counts.total_count[latent])
    exact: dict[str, Any] = {"color": EXACT, "ls": "--", "lw": 1.6, "zorder": 3}
    params: dict[str, Any] = {"color": PALE, "lw": 5, "zorder": 1}
    if not run.has_prior:
        assert isinstance(run.guide, Parameter)
        reached, what = np.ravel(run.guide.logits)[latent], "likelihood"
        y = np.linspace(-8, 8, 801) * np.sqrt(1 / (k + 0.5) + 1 / (n - k + 0.5))
        y += np.log((k + 0.5) / (n - k + 0.5))
        height = k * sc.log_expit(y) + (n - k) * sc.log_expit(-y)
        ax.plot(y, np.exp(height - height.max()), label=what, **exact)
        ax.axvline(reached, label=f"c = {_probability(reached)} reached", **params)
        low, high = _padded([reached, *y[height > height.max() + np.log(0.03)]], 0.53)
    else:
        what = "density of logit c"
        tied = ", tied: the prior" * (find(run.guide_name).origin == "prior")
        curves: dict[str, tuple[Beta | LogitNormal, dict[str, Any]]]
        curves = {"prior": (run.prior, {"color": PRIOR, "lw": 1.8})}
        curves["posterior"] = posterior(run.prior, counts), exact
        if isinstance(run.guide, Beta | LogitNormal):
            curves[f"guide{tied}"] = run.guide, params
        drawn = [_density(value, latent) for value, _ in curves.values()]
        low, high = _padded(np.concatenate([y[height > 0.03] for y, height in drawn]), 0.53)
        for label, (value, style) in curves.items():
            ax.plot(*_density(value, latent, np.linspace(low, high, 200)), label=label, **style)
        if isinstance(run.guide, Delta):
            ax.axvline(np.ravel(run.guide.logits)[latent], label="guide, a point", **params)
    _logit_axis(ax, low, high)
    ax.set(ylim=(0, 1.05), xlabel="c (logit scale)", ylabel=f"{what}, peak = 1")
    text = f"latent {latent}" if counts.labels is None else str(counts.labels[latent])
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = f"{text:.31}…" if len(text) > 32 else text
    return _headed(ax, f"{text}: {k} of {n}" + ", no guide" * (run.guide is None))


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
        the maximiser, a triangle on the edge the way to a supremum that is not attained.
    """
    check_type("diagnosis", diagnosis, Diagnosis)
    ax = _new_axes() if ax is None else ax
    run, top = diagnosis.run, diagnosis.supremum
    a, b = (x[_thinned(len(run.history), 2000)] for x in run.history.prior.arrays())
    x, s = np.log(a) - np.log(b), a + b
    goal_x = x[-1] if top.mean is None else sc.logit(top.mean)
    goal_s = s[-1] if top.concentration is None else top.concentration
    left, right = _padded([*x, goal_x], 0.62, 1.5)
    low, high = np.exp(_padded(np.log([*s, goal_s if top.prior else s[-1]]), 0.62, 2.4))
    _shade(ax, diagnosis, (left, right), (low, high))
    if run.has_prior:
        ax.plot(x, s, color=PRIOR, lw=1.8, label="prior")
        ax.plot(x[:1], s[:1], "o", ms=8, mfc="white", mec=PRIOR, mew=2, label="start")
        ax.plot(x[-1:], s[-1:], "o", ms=8, color=PRIOR, label="end")
    marks = {
        "interior": ("*", "maximum"),
        "degenerate": ("<" if goal_x < 0 else ">", f"supremum, mean -> {int(goal_x > 0)}"),
        "binomial": ("^", "supremum, a + b -> inf"),
        "all_or_none": ("v", "supremum, a + b -> 0"),
    }
    if top.kind in marks:
        marker, label = marks[top.kind]
        at_x = np.clip(goal_x, 0.97 * left + 0.03 * right, 0.03 * left + 0.97 * right)
        at_s = np.clip(goal_s, low**0.96 * high**0.04, low**0.04 * high**0.96)
        ax.plot(at_x, at_s, marker, c=EXACT, ms=13, mec="white", zorder=5, label=label)
    elif top.kind == "unidentified":
        ax.axvline(goal_x, color=EXACT, ls="--", lw=1.6, label="maximum, any a + b")
    _logit_axis(ax, left, right)
    ax.set(ylim=(low, high), xlabel="mean of the prior (logit scale)", ylabel="a + b")
    ax.yaxis.set_major_formatter("{x:g}")
    what = "nats below the highest" if run.has_prior else "no prior, so no path"
    return _headed(ax, f"log evidence, {what}")


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
    axes = np.ravel(_row(_figure(12, 4), diagnosis) if axes is None else axes)
    if axes.size != 3:
        raise ValueError(f"axes has {axes.size} entries where 3 are needed")
    plot_losses(diagnosis, axes[0])
    plot_densities(diagnosis, ax=axes[1])
    plot_path(diagnosis, axes[2])
    return np.asarray(axes)


def save_figure(
    diagnoses: Sequence[Diagnosis],
    file: str | os.PathLike[str] | IO[bytes],
    format: Literal["png", "svg"],
) -> None:
    """Save one row of `plot_run` for each of one to four diagnoses, always in the same bytes.

    Parameters
    ----------
    diagnoses : sequence of Diagnosis
    file : path or binary file
    format : str
        ``"png"`` or ``"svg"``.

    Raises
    ------
    ValueError
        For more or fewer diagnoses, or another format.
    """
    unnamed = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    if not 1 <= len(diagnoses) <= 4:
        raise ValueError(f"diagnoses has {len(diagnoses)} entries where 1 to 4 are needed")
    if format not in unnamed:
        raise ValueError(f"format = {format!r} must be 'png' or 'svg'")
    figure = _figure(12, 4 * len(diagnoses))
    rows = figure.subfigures(len(diagnoses), 1, squeeze=False)[:, 0]
    for row, diagnosis in zip(rows, diagnoses, strict=True):
        plot_run(diagnosis, _row(row, diagnosis))
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "elbo_ref"}):
        figure.savefig(file, format=format, dpi=100, metadata=unnamed[format])


def _figure(width: float, height: float) -> Figure:
    try:
        import matplotlib  # noqa: F401
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots need matplotlib: pip install matplotlib") from None
    return Figure(figsize=(width, height))


def _new_axes() -> Axes:
    return _figure(4.5, 4).subplots(gridspec_kw={"left": 0.2, "right": 0.96, "top": 0.8})


def _row(figure: Figure | SubFigure, diagnosis: Diagnosis) -> Any:
    """Make three axes below a line with the guide, the steps, and the end of the run."""
    text = f"guide {diagnosis.run.guide_name}, {diagnosis.run.message}"
    figure.suptitle(text, fontsize=11, fontweight="bold", y=0.97)
    figure.subplots_adjust(left=0.072, right=0.975, bottom=0.13, top=0.76, wspace=0.3)
    return figure.subplots(1, 3)


def _headed(ax: Axes, title: str) -> Axes:
    """Add a title, and below it, still above the data, the legend."""
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    place |= {"borderpad": 0.2, "labelspacing": 0.25, "columnspacing": 1.5, "handletextpad": 0.6}
    ax.legend(*ax.get_legend_handles_labels(), ncols=2, fontsize=9, frameon=False, **place)
    ax.set_title(title, loc="left", fontsize=10.5, pad=36).set_parse_math(False)
    return ax


def _thinned(size: int, most: int) -> IntArray:
    """Choose at most so many of the indices below `size`, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


def _shade(
    ax: Axes, diagnosis: Diagnosis, x_range: tuple[float, float], s_range: tuple[float, float]
) -> None:
    """Shade the log evidence over the logit of the prior's mean and a + b, with level lines."""
    counts = diagnosis.run.counts
    pairs = {*zip(counts.successes.tolist(), counts.total_count.tolist(), strict=True)}
    size = int(np.clip(np.sqrt(5e5 / len(pairs)), 20, 64))
    xs, ss = np.linspace(*x_range, size), np.geomspace(*s_range, size)
    heights = _log_evidence(np.outer(ss, sc.expit(xs)), np.outer(ss, sc.expit(-xs)), diagnosis)
    below = np.maximum(-heights, 0.0)
    ax.set_yscale("log")
    shades = [str(shade) for shade in np.linspace(1.0, 0.45, len(LEVELS))]
    ax.contourf(xs, ss, below, levels=LEVELS, colors=shades, extend="max")
    if inner := [level for level in LEVELS if below.min() < level < below.max()]:
        lines = ax.contour(xs, ss, below, levels=inner, colors="0.35", linewidths=0.7)
        roomy = [level for level in inner if (below < level).mean() > 0.03]
        ax.clabel(lines, roomy, fontsize=9, colors="0.15", fmt="%g")


def _log_evidence(a: FloatArray, b: FloatArray, diagnosis: Diagnosis) -> FloatArray:
    """Compute the log evidence of many priors less its supremum; equal latents count once."""
    counts = diagnosis.run.counts
    fewer, _ = distinct(counts)
    weight = fewer.multiplicity
    p, q = a.reshape(-1, 1), b.reshape(-1, 1)
    blocks = np.array_split(np.arange(a.size), 1 + a.size * weight.size // 200_000)
    heights = [latent_log_evidence(p[i], q[i], fewer) @ weight for i in blocks]
    offset = counts.multiplicity @ counts.log_split - diagnosis.supremum.log_evidence
    return (np.concatenate(heights) + offset).reshape(a.shape)


def _density(
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


def _padded(values: Any, share: float, least: float = 0.0) -> tuple[float, float]:
    """Return an interval around finite values: `share` of their range, or `least`, to each side."""
    finite = np.asarray(values)[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    half = max(share * (high - low), least)
    return (low + high) / 2 - half, (low + high) / 2 + half


def _ticks(halves: FloatArray, low: float, high: float, most: int) -> FloatArray:
    """Choose zero, every half decade, decade, ..., and their mirror images: at most so many."""
    for stride in (1, 2, 4, 6, 10, 20, 40, 100, 200):
        tail = halves[stride - 1 :: stride]
        ticks = np.array([*-tail[::-1], 0.0, *tail])
        ticks = ticks[(ticks > low) & (ticks < high)]
        if ticks.size <= most:
            break
    return ticks


def _logit_axis(ax: Axes, low: float, high: float) -> None:
    """Label an x axis in logits by round probabilities."""
    from matplotlib.ticker import MaxNLocator

    ticks = _ticks(-sc.logit(0.3 / _HALF_DECADES[1:]), low, high, 5 if high - low < 200 else 4)
    if high - low < 3:
        bins = 4 if high - low > 1e-4 else 2
        side = 1 if low + high < 0 else -1
        ends = sorted([sc.expit(side * low), sc.expit(side * high)])
        even = np.array([c for c in MaxNLocator(bins).tick_values(*ends) if ends[0] < c < ends[1]])
        ticks = np.sort(side * sc.logit(even))
    labels = [[_probability(tick, digits) for tick in ticks] for digits in (3, 6, 9, 12, 16)]
    ax.set_xticks(ticks, next((row for row in labels if len({*row}) == len(row)), labels[-1]))
    ax.set_xlim(low, high)


def _probability(y: float, digits: int = 3) -> str:
    """Write a logit as its probability, also very near to 0 or 1."""
    small = sc.expit(-abs(y))
    if small > 0.00099:
        return f"{sc.expit(y):.{digits}g}"
    return ("1-" if y > 0 else "") + f"{small:.{digits}g}".replace("e-0", "e-")
