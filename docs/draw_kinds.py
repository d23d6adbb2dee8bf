"""Draw kinds.png: the kinds of answer to "where is the evidence highest?", a panel for each.

    python docs/draw_kinds.py

It takes seconds and needs matplotlib. Small data sets were made up for the five
kinds; the last three panels are rows of tests/reference/maxima.json with several maxima, and the
rows say where those are. Heights are those of `log_evidence` below the supremum of
`maximize_evidence`; the ridge is `maximize_evidence` with the concentration held. As in
`elbo_ref.report.pictures`, lighter is higher, black is what is exact, and orange the prior's.
"""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerPatch
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from PIL import Image

import elbo_ref as er
from elbo_ref.evidence import latent_log_evidence
from elbo_ref.report.pictures import EXACT, PRIOR

HERE = Path(__file__).parent
ROWS = json.loads((HERE.parent / "tests" / "reference" / "maxima.json").read_text())
LEVELS = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
SHADES = [str(shade) for shade in np.linspace(1.0, 0.42, len(LEVELS))]
TEXT, SMALL, TITLE = 10, 9.5, 12

STAR = {"marker": "*", "ls": "", "ms": 17, "mec": "white", "c": EXACT, "zorder": 6}
OTHER = {"marker": "*", "ls": "", "ms": 15, "mec": EXACT, "mew": 1.3, "c": "white", "zorder": 6}
LIMIT = OTHER | {"marker": "^", "ms": 11}
RIDGE = {"ls": "--", "lw": 2, "c": PRIOR, "zorder": 3}
RIDGE |= {"path_effects": [withStroke(linewidth=3.6, foreground="white")]}
LINE = {"ls": "-", "lw": 3.5, "c": EXACT, "zorder": 5}
LINE |= {"path_effects": [withStroke(linewidth=6, foreground="white")]}
ARROW = {"arrowstyle": "simple,head_width=14,head_length=14,tail_width=4", "zorder": 6}
ARROW |= {"shrinkA": 0, "shrinkB": 0, "fc": EXACT, "ec": "white", "lw": 1.2}


class Panel(NamedTuple):
    """What is drawn, and in which range of mean and a + b; in the answer {} is a gap, in nats."""

    title: str
    words: str
    answer: str
    counts: er.Counts
    row: dict[str, Any] | None = None
    means: tuple[float, float] = (0, 1)
    sizes: tuple[float, float] = (1e-2, 1e4)


def row_panel(
    name: str, title: str, words: str, answer: str, means: Any = (0, 1), sizes: Any = (0.1, 1e4)
) -> Panel:
    row = ROWS[name]
    counts = er.Counts(row["successes"], row["total_count"], row["multiplicity"])
    return Panel(title, words, answer, counts, row, means, sizes)


PANELS = (
    Panel("degenerate", "0, 0, 0 of 5", "mean -> 0, any a + b", er.Counts([0, 0, 0], 5)),
    Panel(
        "unidentified",
        "0, 0, 0, 1, 1 of 1",
        "mean 2/5, any a + b",
        er.Counts([0, 0, 0, 1, 1], 1),
    ),
    Panel(
        "all_or_none",
        "0 of 3, 0 of 3, 12 of 12",
        "a + b -> 0, mean 1/3",
        er.Counts([0, 0, 12], [3, 3, 12]),
    ),
    Panel("binomial", "5, 5, 5 of 10", "a + b -> infinity, mean 1/2", er.Counts([5, 5, 5], 10)),
    Panel("interior", "1, 3, 8 of 10", "{where}", er.Counts([1, 3, 8], 10)),
    row_panel(
        "two_maxima_at_half",
        "interior, two maxima",
        "3 x 0/3, 3 x 3/3, 15/30, 26/60, 34/60",
        "the other one is {:.2g} lower",
        means=(0.2, 0.8),
    ),
    row_panel(
        "falls_then_wins",
        "interior beats the limit",
        "0 of 2, 8 of 11",
        "the limit is {:.2g} lower",
    ),
    row_panel(
        "limit_by_4e-4",
        "binomial beats interior",
        "359 x 3 of 3, 356 x 5 of 11",
        "the interior one is {:.2g} lower",
        means=(0.5, 0.74),
        sizes=(1, 1e5),
    ),
)


def nats_below(counts: er.Counts, mean: Any, size: Any, top: float) -> Any:
    """How far the log evidence is below its supremum, a row for each a + b."""
    a, b = np.outer(size, mean)[..., None], np.outer(size, 1 - mean)[..., None]
    return np.maximum(top - latent_log_evidence(a, b, counts) @ counts.multiplicity, 0.0)


def ridge(counts: er.Counts, size: Any) -> list[float | None]:
    return [er.maximize_evidence(counts, fixed={"concentration": s}).mean for s in size]


def draw_best(ax: Axes, best: er.EvidenceMaximum, means: tuple[float, float]) -> None:
    """The maximiser, or the way to where there is none."""

    def arrow(start: tuple[float, float], end: tuple[float, float]) -> None:
        ax.add_patch(FancyArrowPatch(start, end, transform=ax.transAxes, **ARROW))

    at = ((best.mean or 0.0) - means[0]) / (means[1] - means[0])
    match best.kind:
        case "degenerate":
            for height in (0.2, 0.5, 0.8):
                arrow((0.33, height), (0.01, height))
        case "unidentified":
            ax.axvline(at, **LINE)
        case "all_or_none":
            arrow((at, 0.32), (at, 0.01))
        case "binomial":
            arrow((at, 0.68), (at, 0.99))
        case _:
            ax.plot(best.mean, best.concentration, **STAR)


def draw_others(ax: Axes, row: dict[str, Any], sizes: tuple[float, float]) -> list[float]:
    """The local maxima that are not the highest; how far below they are is returned."""
    gaps = []
    for a, b, value in (map(float, found) for found in row["local_maxima"]):
        gap = float(row["log_evidence"]) - value
        if gap > 0:
            gaps.append(gap)
            ax.plot(a / (a + b), a + b, **OTHER)
    if row["binomial_limit_is_maximum"] and row["kind"] == "interior":
        gaps.append(float(row["log_evidence"]) - float(row["binomial_limit"]))
        k, n = (np.dot(row[x], row["multiplicity"]) for x in ("successes", "total_count"))
        ax.plot(k / n, sizes[1] ** 0.95 * sizes[0] ** 0.05, **LIMIT)
    return gaps


def draw_panel(ax: Axes, panel: Panel) -> Any:
    """Contours, ridge and marks of one data set; the filled contours are returned."""
    best = er.maximize_evidence(panel.counts)
    mean = np.linspace(*panel.means, 403)[1:-1]
    size = np.geomspace(*panel.sizes, 301)
    below = nats_below(panel.counts, mean, size, best.log_evidence)
    ax.set_yscale("log")
    filled = ax.contourf(mean, size, below, levels=LEVELS, colors=SHADES, extend="max")
    inner = [level for level in LEVELS if below.min() < level < below.max()]
    ax.contour(mean, size, below, levels=inner, colors="0.35", linewidths=0.7)
    if best.kind not in ("degenerate", "unidentified"):
        steps = np.geomspace(*panel.sizes, 81)
        ax.plot(ridge(panel.counts, steps), steps, **RIDGE)
    draw_best(ax, best, panel.means)
    gaps = draw_others(ax, panel.row, panel.sizes) if panel.row else []
    ax.set(xlim=panel.means, ylim=panel.sizes)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_locator(LogLocator(numticks=9))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:g}")
    ax.tick_params(labelsize=SMALL)
    ax.set_title(panel.title, loc="left", fontsize=TITLE, fontweight="bold", pad=32)
    text = f"{panel.words}\n{panel.answer.format(*gaps, where=best.where)}"
    ax.text(0, 1.02, text, transform=ax.transAxes, fontsize=TEXT, va="bottom", linespacing=1.15)
    return filled


def draw_key(figure: Figure, filled: Any) -> None:
    """What the marks and shades mean."""
    handles = [
        Line2D([], [], label="the maximum", **STAR),
        Line2D([], [], label="the maximum, anywhere on it", **LINE),
        FancyArrowPatch((0, 0), (1, 0), label="supremum, never attained", **ARROW),
        Line2D([], [], label="a lower local maximum", **OTHER),
        Line2D([], [], label="the binomial limit, lower", **LIMIT),
        Line2D([], [], label="best mean for each a + b", **RIDGE),
    ]

    def arrow(width: float, height: float, **_: Any) -> FancyArrowPatch:
        return FancyArrowPatch((0, height / 2), (width, height / 2), mutation_scale=1, **ARROW)

    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(0.03, 0.062),
        ncols=3,
        fontsize=TEXT,
        frameon=False,
        handlelength=2.4,
        columnspacing=1.8,
        labelspacing=0.7,
        handler_map={FancyArrowPatch: HandlerPatch(patch_func=arrow)},
    )
    bar = figure.add_axes((0.722, 0.055, 0.263, 0.025))
    figure.colorbar(filled, cax=bar, orientation="horizontal", ticks=LEVELS, format="{x:g}")
    bar.tick_params(labelsize=SMALL)
    bar.set_title("nats below the supremum", fontsize=TEXT, pad=5)


def draw() -> Image.Image:
    """Draw a panel for each kind, and the key."""
    figure = Figure(figsize=(12, 7.6))
    figure.subplots_adjust(left=0.062, right=0.985, bottom=0.185, top=0.9, wspace=0.3, hspace=0.56)
    axes = figure.subplots(2, 4)
    filled = [draw_panel(ax, panel) for ax, panel in zip(axes.flat, PANELS, strict=True)]
    for ax in axes.flat:
        ax.set_xlabel("mean of the prior", fontsize=TEXT)
    for ax in axes[:, 0]:
        ax.set_ylabel("a + b", fontsize=TEXT)
    draw_key(figure, filled[0])
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=150)
    return Image.open(drawn).convert("RGB").quantize(96, dither=Image.Dither.NONE)


if __name__ == "__main__":
    draw().save(HERE / "kinds.png", optimize=True)
