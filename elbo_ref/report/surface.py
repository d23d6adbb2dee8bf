"""The log evidence over the prior's mean and concentration, and its profile over one of them.

Heights are nats below the highest. Along the dashed line lies, for each a + b, the best mean: the
profile over a + b is the height there. The 95% region of both together holds what is within half a
quantile of chi-square with two degrees of freedom of the top, the interval of one of them what the
profile has within that of one degree (Wilks 1938).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts, distinct
from elbo_ref.distributions.beta import Beta
from elbo_ref.evidence import latent_log_evidence
from elbo_ref.mle.intervals import ConfidenceRegion, Parameter, check_parameter, parameter_of
from elbo_ref.mle.result import EvidenceMaximum
from elbo_ref.report.axes import (
    EXACT,
    OWN,
    PALE,
    PRIOR,
    ParameterScale,
    headed,
    log_axis,
    logit_axis,
    new_axes,
    padded,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = (0.0, 0.1, 0.5, 2.0, 10.0, 50.0, 200.0, 1e3, 5e3, 2e4, 1e5)
_OF_TWO, _OF_ONE = 5.991464547107979 / 2, 3.841458820694124 / 2
"""Half the 95% quantiles of chi-square with two degrees of freedom and with one."""
_FAR = 0.9995
"""The level of the region that a profile is drawn over, wider than the one that is shown."""
_POINTS = 61
_FINE = 64
"""Points of a surface along each axis."""
_ENDLESS = 1e3


def plot_surface(maximum: EvidenceMaximum, ax: Axes | None = None) -> Axes:
    """Draw the log evidence over all priors: the highest, the best mean for each a + b, a region.

    Parameters
    ----------
    maximum : EvidenceMaximum
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is the logit of the prior's mean, labelled by the mean, its y is a + b.
    """
    ax = new_axes() if ax is None else ax
    x_range, s_range = _window(maximum)
    xs, ss, below = shade(ax, maximum, x_range, s_range)
    if maximum.kind in ("interior", "binomial", "all_or_none") and not maximum.fixed:
        best = np.array([_lowest(xs, row) for row in below])  # nan where it is outside
        ax.plot(best, ss, "--", color=PRIOR, lw=1.8, label="best mean")
    if maximum.prior is not None and not maximum.fixed and below.max() > _OF_TWO:
        ax.contour(xs, ss, below, levels=[_OF_TWO], colors=OWN, linewidths=2)
        ax.plot([], [], color=OWN, lw=2, label="95% region")
    mark_highest(ax, maximum, x_range, s_range)
    over_priors(ax, x_range, s_range)
    word = "maximum" if maximum.attained else "supremum"
    if maximum.kind == "no_information":
        return headed(ax, "no trials: the log evidence is 0 for every prior")
    return headed(ax, f"log evidence, nats below its {word} {maximum.log_evidence:.5g}")


def plot_profile(maximum: EvidenceMaximum, parameter: Parameter, ax: Axes | None = None) -> Axes:
    """Draw the highest log evidence for each value of a parameter, and its interval.

    Parameters
    ----------
    maximum : EvidenceMaximum
    parameter : {"mean", "concentration", "concentration1", "concentration0"}
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Its x is logarithmic; of a mean the logit, labelled by the mean.

    Raises
    ------
    ValueError
        If there is no such parameter, or it is held fixed.
    """
    check_parameter("profile", parameter)
    region, far = (maximum.confidence_interval(parameter, level=x) for x in (0.95, _FAR))
    ax = new_axes() if ax is None else ax
    scale = ParameterScale.of(parameter)
    into, out_of = scale.into, scale.out_of
    low, high = padded(into(_finite_ends(far, maximum.prior, parameter)), 0.5)
    values = out_of(np.linspace(low, high, _POINTS))
    x, height = into(values), [maximum.profile(parameter, v) for v in values.tolist()]
    below = np.array(height) - maximum.log_evidence
    ax.plot(scale.drawn(x), below, color=PRIOR, lw=2)
    for i, interval in enumerate(region.intervals):
        ends = np.clip(np.array(interval, np.float64), out_of(low), out_of(high))
        left, right = scale.drawn(into(ends)).tolist()
        label = "" if i else "95% interval"
        ax.axvspan(left, right, color=PALE, alpha=0.5, lw=0, label=label)
    ax.axhline(-_OF_ONE, color=OWN, ls=":", lw=1.4, label=f"{_OF_ONE:.3g} nats below")
    if maximum.prior is not None:
        at = scale.drawn(into(parameter_of(maximum.prior, parameter)))
        ax.plot([at], [0], "*", c=EXACT, ms=13, mec="white", zorder=5, label="maximum")
    scale.label(ax, low, high)
    ax.set(ylabel="nats below the highest", ylim=(max(below.min(), -7) - 0.3, 0.6))
    ends_text = "; ".join(f"{low:.3g} to {high:.3g}" for low, high in region.intervals)
    return headed(ax, f"95% interval of {scale.whose}: {ends_text}")


def _finite_ends(
    region: ConfidenceRegion, prior: Beta | None, parameter: Parameter
) -> tuple[float, float]:
    """Return the ends of a region, or far out where it is open."""
    lower, upper = region
    if parameter == "mean":
        return max(lower, 1e-5 * min(upper, 0.5)), min(upper, 1 - 1e-5 * min(1 - lower, 0.5))
    at = parameter_of(prior, parameter) if prior is not None else None
    inner = [x for x in (lower, upper, at) if x is not None and 0 < x < np.inf] or [1.0]
    low = lower if lower > 0 else min(inner) / _ENDLESS
    return low, upper if upper < np.inf else max(inner) * _ENDLESS


def mark_highest(
    ax: Axes, top: EvidenceMaximum, x_range: tuple[float, float], s_range: tuple[float, float]
) -> None:
    """Mark the maximiser by a star, or the way to a supremum by a triangle on the edge."""
    (left, right), (low, high) = x_range, s_range
    at_x = (left + right) / 2 if top.mean is None else sc.logit(top.mean)
    at_s = low if top.concentration is None else top.concentration
    marks = {
        "interior": ("*", "maximum"),
        "degenerate": ("<" if at_x < 0 else ">", f"supremum, mean -> {int(at_x > 0)}"),
        "binomial": ("^", "supremum, a + b -> inf"),
        "all_or_none": ("v", "supremum, a + b -> 0"),
    }
    if top.kind in marks:
        marker, label = marks[top.kind]
        at_x = np.clip(at_x, 0.97 * left + 0.03 * right, 0.03 * left + 0.97 * right)
        at_s = np.clip(at_s, low**0.96 * high**0.04, low**0.04 * high**0.96)
        label += "".join(f", {name} held" for name in top.fixed)
        ax.plot(at_x, at_s, marker, c=EXACT, ms=13, mec="white", zorder=5, label=label)
    elif top.kind == "unidentified":
        ax.axvline(at_x, color=EXACT, ls="--", lw=1.6, label="maximum, any a + b")


def over_priors(ax: Axes, x_range: tuple[float, float], s_range: tuple[float, float]) -> None:
    """Label axes over the mean of a prior and its a + b."""
    logit_axis(ax, *x_range)
    ax.set(ylim=s_range, xlabel="mean of the prior (logit scale)", ylabel="a + b")
    log_axis(ax.yaxis, *s_range)


def _window(maximum: EvidenceMaximum) -> tuple[tuple[float, float], tuple[float, float]]:
    """Choose the logits of means and the concentrations worth seeing: some standard errors."""
    counts, w = maximum.counts, maximum.counts.multiplicity
    k, f = float(w @ counts.successes) + 0.5, float(w @ counts.failures) + 0.5
    x, half_x = np.log(k) - np.log(f), 4 * np.sqrt(1 / k + 1 / f)
    n = float(np.median(counts.total_count[counts.total_count > 0])) if k + f > 1 else 1.0
    low, high = {"binomial": (n / 20, n * 2e3), "all_or_none": (1e-4, 10.0 * n)}.get(
        maximum.kind, (n / 50, n * 50)
    )
    if maximum.prior is not None:
        m, s = float(maximum.prior.mean), parameter_of(maximum.prior, "concentration")
        x, errors = float(sc.logit(m)), maximum.free_errors
        half_x = 4 * errors.get("mean", m * (1 - m)) / (m * (1 - m))
        half_s = float(np.clip(4 * errors.get("concentration", s) / s, 0.1, 9))
        low, high = s * np.exp(-half_s), s * np.exp(half_s)
    half_x = float(np.clip(half_x, 0.02, 6))
    return (x - half_x, x + half_x), (float(low), float(high))


def _lowest(xs: FloatArray, row: FloatArray) -> float:
    """Find where a row is lowest, by the parabola through its three lowest points, or nan."""
    i = int(np.clip(np.argmin(row), 1, len(row) - 2))
    before, here, after = row[i - 1 : i + 2]
    curvature = before - 2 * here + after
    shift = (before - after) / (2 * curvature or 1.0)
    return float(xs[i] + shift * (xs[1] - xs[0])) if curvature > 0 and abs(shift) <= 1 else np.nan


def shade(
    ax: Axes, top: EvidenceMaximum, x_range: tuple[float, float], s_range: tuple[float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Shade the log evidence over the logit of the prior's mean and a + b, with level lines."""
    counts = top.counts
    pairs = {*zip(counts.successes.tolist(), counts.total_count.tolist(), strict=True)}
    size = int(np.clip(np.sqrt(5e5 / len(pairs)), 20, _FINE))
    xs, ss = np.linspace(*x_range, size), np.geomspace(*s_range, size)
    height = heights(np.outer(ss, sc.expit(xs)), np.outer(ss, sc.expit(-xs)), counts)
    if size < _FINE:  # smooth between them
        spline = scipy.interpolate.RectBivariateSpline(np.log(ss), xs, height)
        xs, ss = np.linspace(*x_range, _FINE), np.geomspace(*s_range, _FINE)
        height = spline(np.log(ss), xs)
    below = np.maximum(top.log_evidence - height, 0.0)
    ax.set_yscale("log")
    shades = [str(shade) for shade in np.linspace(1.0, 0.45, len(LEVELS))]
    ax.contourf(xs, ss, below, levels=LEVELS, colors=shades, extend="max")
    if inner := [level for level in LEVELS if below.min() < level < below.max()]:
        lines = ax.contour(xs, ss, below, levels=inner, colors="0.35", linewidths=0.7)
        roomy = [level for level in inner if (below < level).mean() > 0.03]
        ax.clabel(lines, roomy, fontsize=9, colors="0.15", fmt="%g")
    return xs, ss, below


def heights(a: FloatArray, b: FloatArray, counts: Counts) -> FloatArray:
    """Compute the log evidence of many priors; equal latents count once."""
    fewer, _ = distinct(counts)
    weight = fewer.multiplicity
    p, q = a.reshape(-1, 1), b.reshape(-1, 1)
    blocks = np.array_split(np.arange(a.size), 1 + a.size * weight.size // 200_000)
    height = [latent_log_evidence(p[i], q[i], fewer) @ weight for i in blocks]
    return (np.concatenate(height) + counts.multiplicity @ counts.log_split).reshape(a.shape)
