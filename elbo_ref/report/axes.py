"""Figures, axes and colours that every picture shares.

Colours are those of Okabe & Ito, which the colour-blind tell apart; in pictures of several curves
they differ in lightness, line style and width too. Matplotlib is imported when something is drawn.
Its pyplot, and with it a global state, is used only where it is already in use, and in a notebook:
there a figure that pyplot does not know is not shown, in a script one that it knows is never freed.

M. Okabe & K. Ito (2008), "Color Universal Design".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._format.terminal import in_notebook
from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref._validation.extras import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

OWN, PALE, PRIOR, EXACT, RAW = "#0072b2", "#9fd0ee", "#d55e00", "black", "0.45"
"""Blue what was estimated, vermilion the prior, black what is exact, grey what was counted."""
HALF_DECADES = np.ravel([(0.3 * 10.0**e, 10.0**e) for e in range(290)])
_HEADS = (np.arange(1, 10, 0.1), np.arange(1, 10, 0.5), np.arange(1, 10), (1, 2, 5), (1, 3))
"""Leading digits of ticks on a logarithmic axis, many and few."""
_MOST_TICKS = 6
_APART = 0.06
"""Share of an axis that lies between two ticks at least."""
_WIDE = "MWmw@%…"
"""Letters as wide as the font size, or nearly; most others have little more than half of it."""
_LONGEST = 32


def own_figure(width: float, height: float) -> Figure:
    """Make a figure that nothing else knows of."""
    figure: Figure = need("matplotlib.figure", "a picture").Figure(figsize=(width, height))
    return figure


def shown_figure(width: float, height: float) -> Figure:
    """Make a figure that pyplot shows, where pyplot is in use, and in a notebook."""
    if "matplotlib.pyplot" not in sys.modules and not in_notebook():
        return own_figure(width, height)
    figure: Figure = need("matplotlib.pyplot", "a picture").figure(figsize=(width, height))
    return figure


def forget(figure: Figure) -> None:
    """Take a figure from pyplot, so that nothing shows it, where pyplot is in use."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)


def framed(figure: Figure, left: float = 0.8) -> Axes:
    """Make axes with so many inches to the left, below a title and a legend."""
    width, height = figure.get_size_inches()
    room = {"left": left / width, "right": 1 - 0.18 / width}
    return figure.subplots(gridspec_kw=room | {"bottom": 0.55 / height, "top": 1 - 0.8 / height})


def panels(figure: Figure, number: int, left: float) -> Any:
    """Make so many axes side by side, the first with so many inches to the left."""
    width, height = figure.get_size_inches()
    room = {"left": left / width, "right": 1 - 0.18 / width, "wspace": 0.08}
    room |= {"bottom": 0.55 / height, "top": 1 - 0.8 / height}
    return figure.subplots(1, number, sharey=True, gridspec_kw=room)


def new_axes() -> Axes:
    """Make axes in a figure of their own."""
    return framed(own_figure(4.5, 4))


def headed(ax: Axes, title: str) -> Axes:
    """Add a title, and below it, still above the data, the legend."""
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    place |= {"borderpad": 0.2, "labelspacing": 0.25, "columnspacing": 1.0, "handletextpad": 0.4}
    place["handlelength"] = 1.6
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles, labels, ncols=2, fontsize=9, frameon=False, **place)
    pad = 8 + 14 * ((len(labels) + 1) // 2)
    size = 10.5
    if ax.figure is not None and len(ax.figure.axes) == 1:  # nothing but the edge on the right
        room = (1 - ax.get_position().x0) * ax.figure.bbox.width * 72 / ax.figure.dpi
        size = min(size, room / sum(1.0 if c in _WIDE or c > "\u2e80" else 0.6 for c in title))
    ax.set_title(title, loc="left", fontsize=size, pad=pad).set_parse_math(False)
    return ax


def thinned(size: int, most: int) -> IntArray:
    """Choose at most so many of the indices below `size`, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


def padded(values: Any, share: float, least: float = 0.0) -> tuple[float, float]:
    """Return an interval around finite values: `share` of their range, or `least`, to each side."""
    finite = np.asarray(values)[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    half = max(share * (high - low), least)
    return (low + high) / 2 - half, (low + high) / 2 + half


def round_ticks(halves: FloatArray, low: float, high: float, most: int) -> FloatArray:
    """Choose zero, every half decade, decade, ..., and their mirror images: at most so many."""
    for stride in (1, 2, 4, 6, 10, 20, 40, 100, 200):
        tail = halves[stride - 1 :: stride]
        ticks = np.array([*-tail[::-1], 0.0, *tail])
        ticks = ticks[(ticks > low) & (ticks < high)]
        near = np.diff(ticks).min(initial=np.inf) < _APART * (high - low)
        if ticks.size <= most and not near:
            break
    return ticks


def logit_axis(ax: Axes, low: float, high: float) -> None:
    """Label an x axis in logits by round probabilities."""
    from matplotlib.ticker import MaxNLocator

    ticks = round_ticks(-sc.logit(0.3 / HALF_DECADES[1:]), low, high, 5 if high - low < 200 else 4)
    if high - low < 3:
        bins = 4 if high - low > 1e-4 else 2
        side = 1 if low + high < 0 else -1
        ends = sorted([sc.expit(side * low), sc.expit(side * high)])
        even = np.array([c for c in MaxNLocator(bins).tick_values(*ends) if ends[0] < c < ends[1]])
        ticks = np.sort(side * sc.logit(even))
    labels = [[probability(tick, digits) for tick in ticks] for digits in (3, 6, 9, 12, 16)]
    ax.set_xticks(ticks, next((row for row in labels if len({*row}) == len(row)), labels[-1]))
    ax.set_xlim(low, high)


def probability(y: float, digits: int = 3) -> str:
    """Write a logit as its probability, also very near to 0 or 1."""
    small = sc.expit(-abs(y))
    if small > 0.00099:
        return f"{sc.expit(y):.{digits}g}"
    return ("1-" if y > 0 else "") + f"{small:.{digits}g}".replace("e-0", "e-")


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Label a logarithmic axis by few round numbers, all of them written out."""
    from matplotlib.ticker import NullLocator

    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    decades = 10.0 ** np.arange(first, last + 1)
    choices = [np.ravel(np.outer(decades, heads)) for heads in _HEADS]
    choices += [decades[-first % step :: step] for step in (1, 2, 3, 5, 10, 20, 50, 100)]
    inside = [x[(x >= low * (1 - 1e-9)) & (x <= high * (1 + 1e-9))] for x in choices]
    axis.set_ticks(next((x for x in inside if x.size <= _MOST_TICKS), inside[-1]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


class ParameterScale(NamedTuple):
    """A parameter of the prior along an x axis: a mean by its logit, others logarithmic.

    Attributes
    ----------
    name : str
        Short, for a title.
    into, out_of : function
        Takes values to their logits or logarithms, and back.
    """

    name: str
    into: Callable[[Any], Any]
    out_of: Callable[[Any], Any]

    @classmethod
    def of(cls, parameter: str) -> ParameterScale:
        """Return the scale of a parameter."""
        if parameter == "mean":
            return cls("mean", sc.logit, sc.expit)
        if parameter == "rho":
            return cls("rho", sc.logit, sc.expit)
        names = {"concentration": "a + b", "concentration1": "a", "concentration0": "b"}
        return cls(names[parameter], np.log, np.exp)

    @property
    def is_mean(self) -> bool:
        """True if the axis itself is in logits."""
        return self.into is sc.logit

    def drawn(self, x: Any) -> Any:
        """Return where logits or logarithms are drawn."""
        return x if self.is_mean else self.out_of(x)

    def label(self, ax: Axes, low: float, high: float) -> None:
        """Scale and label an x axis from one logit or logarithm to another."""
        if self.is_mean:
            logit_axis(ax, low, high)
        else:
            ax.set(xscale="log", xlim=(self.out_of(low), self.out_of(high)))
            log_axis(ax.xaxis, float(self.out_of(low)), float(self.out_of(high)))
        names = {"mean": "mean of the prior (logit scale)", "rho": "rho (logit scale)"}
        ax.set_xlabel(names.get(self.name, self.name))


def plain_text(text: object) -> str:
    """Write a label on one line and not too long, to be drawn as it is."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return f"{line[: _LONGEST - 1]}…" if len(line) > _LONGEST else line
