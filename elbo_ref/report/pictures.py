"""A run as a picture: its losses, the densities of a latent, its path over the evidence.

One colour says one thing in every panel: blue is the run's own (losses, objective, guide), orange
the prior's (its density, evidence and path), black what is exact (posterior, supremum). They differ
in lightness, line style and width too.

Heights are nats relative to the supremum of the evidence, linear near it and logarithmic beyond one
nat: then neither noisy losses nor an objective without bound squeezes the rest. Probabilities stand
on a logit axis, where a prior that collapses to 0 or 1 stays visible, and densities are those of
logit c, relative to their peak, which is at log a - log b for Beta(a, b):

    log p(logit c) = log p(c) + log c + log(1 - c).

Matplotlib is imported when something is drawn, and never its pyplot: no display, no global state.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref.beta import Beta
from elbo_ref.diagnosis import Diagnosis
from elbo_ref.evidence import latent_log_evidence, posterior

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FloatArray = NDArray[np.float64]
OWN, OWN_LIGHT, PRIOR, EXACT = "#0059a8", "#8fc1ea", "#d95f02", "black"
LEVELS = (0.0, 0.1, 0.5, 2.0, 10.0, 50.0, 200.0, 1e3, 5e3, 2e4, 1e5)
_BUDGET = 200_000  # values of the evidence, for one curve or surface of it
_END = 690.0  # logits beyond which c, or 1 - c, is hardly a float


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
        Heights are relative to the supremum of the evidence; long curves are thinned.

    Raises
    ------
    ImportError
        Without matplotlib, as all functions here.

    Examples
    --------
    >>> import elbo_ref as er
    >>> seen = er.diagnose(er.maximize_elbo(er.Counts([1, 2, 0], 5), num_steps=50))
    >>> plot_losses(seen).figure.savefig("losses.png")  # doctest: +SKIP
    """
    ax = _new_axes() if ax is None else ax
    run, best = diagnosis.run, diagnosis.supremum.log_evidence
    estimates, label = -run.losses - best, "objective = -loss"
    seen = [run.objectives - best, np.zeros(1)]
    if run.loss_name != "exact" and estimates.size:
        kept, label = _thinned(estimates.size, 2000), "objective"
        ax.plot(kept, estimates[kept], ".", ms=4, color=OWN_LIGHT, zorder=1, label="-loss")
        seen.append(np.quantile(estimates, [0.01, 0.99]))
    ax.plot(run.history.guide_steps, seen[0], color=OWN, lw=2, label=label)
    if run.guide_name != "none":
        kept = _thinned(len(run.history), 400)
        seen.append(_log_evidence(*(x[kept] for x in run.history.prior.arrays()), diagnosis))
        ax.plot(kept, seen[-1], "--", color=PRIOR, lw=1.8, label="log evidence")
    word = "maximum" if diagnosis.supremum.attained else "supremum"
    ax.axhline(0, color=EXACT, ls=":", lw=1.4, label=f"{word} {best:.5g}")
    _asinh_axis(ax, np.concatenate(seen))
    ax.locator_params(axis="x", integer=True)
    ax.set(xlabel="step", ylabel=f"nats above {word} (log beyond 1)")
    return _headed(ax, "objective and evidence")


def plot_densities(diagnosis: Diagnosis, latent: int = 0, ax: Axes | None = None) -> Axes:
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
        Its x is logit c, labelled by c. With ``guide="none"``: the likelihood, and the c reached.

    Raises
    ------
    ValueError
        If there is no such entry.
    """
    run, counts = diagnosis.run, diagnosis.run.counts
    if not 0 <= latent < len(counts):
        raise ValueError(f"latent = {latent} must lie in [0, {len(counts)})")
    ax = _new_axes() if ax is None else ax
    k, n = int(counts.successes[latent]), int(counts.total_count[latent])
    exact: dict[str, Any] = {"color": EXACT, "ls": "--", "lw": 1.6, "label": "posterior, exact"}
    own: dict[str, Any] = {"color": OWN_LIGHT, "lw": 5, "zorder": 1, "label": "guide"}
    own["label"] += ", tied: the prior" * (run.guide_name == "tied")
    curves = [(run.prior, {"color": PRIOR, "lw": 1.8, "label": "prior"})]
    curves += [(posterior(run.prior, counts), exact)]
    if isinstance(run.guide, Beta):
        curves.insert(0, (run.guide, own))
    what, ends = "density of logit c", []
    if run.guide is not None and not isinstance(run.guide, Beta):
        curves, what = [], "likelihood"
        reached = float(np.clip(np.ravel(run.guide.logits)[latent], -_END, _END))
        y = np.linspace(-8, 8, 801) * np.sqrt(1 / (k + 0.5) + 1 / (n - k + 0.5))
        y += np.log((k + 0.5) / (n - k + 0.5))
        height = k * sc.log_expit(y) + (n - k) * sc.log_expit(-y)
        ax.plot(y, np.exp(height - height.max()), **exact | {"label": what})
        ax.axvline(reached, **own | {"label": f"c = {_shown(reached)} reached"})
        ends = [reached, *y[height > height.max() + np.log(0.03)]]
    for beta, _ in curves:
        y, height = _density(beta, latent)
        ends += list(y[height > 0.03])
    low, high = _padded(ends, 0.53)
    for beta, style in curves:
        ax.plot(*_density(beta, latent, np.linspace(low, high, 200)), **style)
    _logit_axis(ax, low, high)
    ax.set(ylim=(0, 1.05), xlabel="c (logit scale)", ylabel=f"{what}, peak = 1")
    text = f"latent {latent}" if counts.labels is None else str(counts.labels[latent])
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = f"{text:.31}…" if len(text) > 32 else text
    return _headed(ax, f"{text}: {k} of {n}" + ", no guide" * (run.guide is None))


def plot_path(diagnosis: Diagnosis, ax: Axes | None = None) -> Axes:
    """Draw the prior's path over the log evidence, in its mean and a + b.

    Parameters
    ----------
    diagnosis : Diagnosis
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is the logit of the mean, labelled by the mean. A star marks the maximiser, a triangle
        on the edge the way to a supremum that is not attained. With ``guide="none"`` no path.
    """
    ax = _new_axes() if ax is None else ax
    run, top = diagnosis.run, diagnosis.supremum
    a, b = (x[_thinned(len(run.history), 2000)] for x in run.history.prior.arrays())
    x, s = np.log(a) - np.log(b), a + b
    goal_x = float(sc.logit(top.mean)) if top.mean is not None else x[-1]
    goal_s = top.concentration if top.concentration is not None else s[-1]
    left, right = _padded([*x, goal_x], 0.62, 1.5)
    low, high = np.exp(_padded(np.log([*s, goal_s if top.prior else s[-1]]), 0.62, 2.4))
    ax.set_yscale("log")
    xs, ss = np.linspace(left, right, 64), np.geomspace(low, high, 64)
    heights = _log_evidence(np.outer(ss, sc.expit(xs)), np.outer(ss, sc.expit(-xs)), diagnosis)
    below = np.maximum(-heights, 0.0)
    shades = [str(shade) for shade in np.linspace(1.0, 0.45, len(LEVELS))]
    ax.contourf(xs, ss, below, levels=LEVELS, colors=shades, extend="max")
    inner = [level for level in LEVELS if below.min() < level < below.max()]
    if inner:
        lines = ax.contour(xs, ss, below, levels=inner, colors="0.35", linewidths=0.7)
        roomy = [level for level in inner if (below < level).mean() > 0.03]
        ax.clabel(lines, roomy, fontsize=9, colors="0.15", fmt="%g")
    if run.learn_prior:
        ax.plot(x, s, color=PRIOR, lw=1.8, label="prior")
        ax.plot(x[:1], s[:1], "o", ms=8, mfc="white", mec=PRIOR, mew=2, label="start")
    if run.guide_name != "none":
        label = "end" if run.learn_prior else "prior, fixed"
        ax.plot(x[-1:], s[-1:], "o", ms=8, color=PRIOR, label=label)
    marks = {
        "interior": ("*", "maximum"),
        "degenerate": ("<" if goal_x < 0 else ">", f"supremum, mean -> {top.mean}"),
        "binomial": ("^", "supremum, a + b -> inf"),
        "all_or_none": ("v", "supremum, a + b -> 0"),
    }
    if top.kind == "unidentified":
        ax.axvline(goal_x, color=EXACT, ls="--", lw=1.6, label="maximum, any a + b")
    elif top.kind in marks:
        marker, label = marks[top.kind]
        at = [np.clip(goal_x, left, right)], [np.clip(goal_s, low, high)]
        looks: dict[str, Any] = {"ms": 13, "color": EXACT, "mec": "white", "ls": "", "zorder": 5}
        ax.plot(*at, marker=marker, clip_on=False, label=label, **looks)
    _logit_axis(ax, left, right)
    ax.set(ylim=(low, high), xlabel="mean of the prior (logit scale)", ylabel="a + b")
    ax.yaxis.set_major_formatter("{x:g}")
    what = "no prior, so no path" if run.guide_name == "none" else "nats below the highest"
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
    """Save a row of three panels for each diagnosis; the same ones give the same bytes.

    Parameters
    ----------
    diagnoses : one to four Diagnosis
    file : path or binary file
    format : str
        ``"png"`` or ``"svg"``.

    Raises
    ------
    ValueError
        For another number of diagnoses or another format.
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
        raise ImportError("plots need matplotlib: pip install 'elbo_ref[plot]'") from None
    return Figure(figsize=(width, height))


def _new_axes() -> Axes:
    figure = _figure(4.5, 4)
    figure.subplots_adjust(left=0.17, right=0.95, bottom=0.13, top=0.8)
    return figure.subplots()


def _row(figure: Figure | SubFigure, diagnosis: Diagnosis) -> NDArray[Any]:
    """Three axes below a line that says guide, steps, how the run ended, and where."""
    run, steps = diagnosis.run, len(diagnosis.run.losses)
    text = f"{run.stopped} after {steps} step" + "s" * (steps != 1)
    if run.stopped in ("unbounded", "interrupted"):
        text = run.message
    elif diagnosis.distance is not None:
        text += f": evidence of the prior {max(diagnosis.distance, 0):.3g} nats below the highest"
    figure.suptitle(f"guide {run.guide_name}, {text}", fontsize=12, fontweight="bold", y=0.97)
    figure.subplots_adjust(left=0.068, right=0.972, bottom=0.13, top=0.76, wspace=0.26)
    return np.asarray(figure.subplots(1, 3))


def _headed(ax: Axes, title: str) -> Axes:
    """The axes with a title, and below it, still above the data, the legend."""
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    place |= {"borderpad": 0.2, "labelspacing": 0.25, "columnspacing": 1.5, "handletextpad": 0.6}
    ax.legend(ncols=2, fontsize=9, frameon=False, **place)
    ax.set_title(title, loc="left", fontsize=10.5, pad=36).set_parse_math(False)
    return ax


def _thinned(size: int, most: int) -> NDArray[np.int64]:
    """At most so many of the indices below `size`, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


def _log_evidence(a: FloatArray, b: FloatArray, diagnosis: Diagnosis) -> FloatArray:
    """Log evidence of many priors less its supremum; equal latents are counted once."""
    counts = diagnosis.run.counts
    rows = np.stack([counts.successes, counts.total_count])
    pairs, place = np.unique(rows, axis=1, return_inverse=True)
    weight = np.zeros(pairs.shape[1], np.int64)
    np.add.at(weight, place.reshape(-1), counts.multiplicity)
    distinct = type(counts)(*pairs, weight)
    priors = np.stack([a.ravel(), b.ravel()])[:, :, None]
    blocks = np.array_split(priors, 1 + a.size * weight.size // _BUDGET, axis=1)
    heights = np.concatenate([latent_log_evidence(*block, distinct) @ weight for block in blocks])
    split = counts.multiplicity @ counts.log_split
    return (heights + (split - diagnosis.supremum.log_evidence)).reshape(a.shape)


def _density(beta: Beta, latent: int, also: Iterable[float] = ()) -> tuple[FloatArray, FloatArray]:
    """Logits, and the density there relative to its peak; mirrored where c would round to 1."""
    a, b = (float(np.ravel(x)[latent if beta.shape else 0]) for x in beta.arrays())
    peak, spread = np.log(a) - np.log(b), 10 * np.sqrt(1 / a + 1 / b)
    low, high = max(peak - max(spread, 10 / a), -_END), min(peak + max(spread, 10 / b), _END)
    y = np.unique([*np.linspace(low, peak, 400), *np.linspace(peak, high, 400), *also])
    c = sc.expit(-np.abs(y))
    in_c = np.where(y < 0, Beta(a, b).log_prob(c), Beta(b, a).log_prob(c))
    log_density = in_c + sc.log_expit(y) + sc.log_expit(-y)
    return y, np.exp(log_density - log_density.max())


def _padded(values: Iterable[float], share: float, least: float = 0.0) -> tuple[float, float]:
    """An interval around all values, of half width `share` of their range or `least`."""
    low, high = float(np.min(values)), float(np.max(values))
    half = max(share * (high - low), least)
    return (low + high) / 2 - half, (low + high) / 2 + half


def _stride(span: float, most: int) -> int:
    """Every how many decades a tick, if an axis of `span` e-folds has room for `most`."""
    return next(n for n in (1, 2, 3, 5, 10, 20, 50, 100) if n * most * np.log(10) >= span)


def _asinh_axis(ax: Axes, values: FloatArray) -> None:
    """A y axis for the values and zero, linear near it and logarithmic beyond one."""
    low, high = _padded(np.arcsinh([min(values.min(), -0.5), max(values.max(), 0.5)]), 0.55)
    stride = _stride(high - low, 8)
    ticks = 10.0 ** np.arange(stride - 1, 300, stride)
    ticks = np.concatenate([ticks, 3 * ticks, [0.3]]) if high - low < 5 else ticks
    ticks = np.array([0.0, *ticks, *-ticks])
    ax.set_yscale("function", functions=(np.arcsinh, np.sinh))
    ax.set_yticks(ticks[(ticks >= np.sinh(low)) & (ticks <= np.sinh(high))])
    ax.set_ylim(*np.sinh([low, high]))
    ax.yaxis.set_major_formatter("{x:g}")


def _logit_axis(ax: Axes, low: float, high: float) -> None:
    """An x axis in logits, labelled by round probabilities."""
    from matplotlib.ticker import MaxNLocator

    stride = _stride(high - low, 5)
    tails = 10.0 ** -np.arange(stride, 300, stride)
    tails = np.concatenate([tails, 3 * tails]) if high - low < 6 else tails
    places = np.array([0.0, *sc.logit(tails), *-sc.logit(tails)])
    if high - low < 3:
        side = 1 if low + high < 0 else -1
        even = MaxNLocator(3).tick_values(*np.sort(sc.expit([side * low, side * high])))
        places = side * sc.logit(even[(even > 0) & (even < 1)])
    ticks = np.sort(places[(places > low) & (places < high)])
    labels = [[_shown(tick, digits) for tick in ticks] for digits in (3, 6, 9, 12, 16)]
    ax.set_xticks(
        ticks, next((texts for texts in labels if len({*texts}) == len(texts)), labels[-1])
    )
    ax.set_xlim(low, high)


def _shown(y: float, digits: int = 3) -> str:
    """A logit as the probability it stands for, which may be very near to 0 or 1."""
    if (small := sc.expit(-abs(y))) > 0.00099:
        return f"{sc.expit(y):.{digits}g}"
    return "1-" * (y > 0) + f"{small:.{digits}g}".replace("e-0", "e-")
