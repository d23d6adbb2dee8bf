"""Figures, axes and colours that every picture shares.

Colours are those of Okabe & Ito, which the colour-blind tell apart; in pictures of several curves
they differ in lightness, line style and width too. Matplotlib is imported when something is drawn.
Its pyplot, and with it a global state, is used only where it is already in use, and in a notebook:
there a figure that pyplot does not know is not shown, in a script one that it knows is never freed.

M. Okabe & K. Ito (2008), "Color Universal Design".
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._format.terminal import in_notebook
from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref._validation.extras import need
from elbo_ref.report.labels import letters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.text import Text

OWN, PALE, PRIOR, EXACT, RAW = "#0072b2", "#9fd0ee", "#d55e00", "black", "0.45"
"""Blue what was estimated, vermilion the prior, black what is exact, grey what was counted."""
HALF_DECADES = np.ravel([(0.3 * 10.0**e, 10.0**e) for e in range(290)])
_HEADS = (np.arange(1, 10), (1, 2, 5), (1, 3))
"""Leading digits of ticks on a logarithmic axis, many and few."""
_EVEN = 3.5
"""Ratio of the ends of a logarithmic axis below which its ticks are evenly spaced numbers."""
_MOST_TICKS = 6
_APART = 0.06
"""Share of an axis that lies between two ticks at least."""
_NARROW = 5.0
"""Inches of a figure below which labels are brief."""
_TITLE, _LEAST_TITLE = 10.5, 8.0
"""Points of a title, and of one that does not fit."""
_EDGE = 6.0
"""Points between a text and the edge of the figure."""
_GAP = 3.6
"""Distance of panels, in font sizes: half a long number and half a short one."""


def own_figure(width: float, height: float) -> Figure:
    """Make a figure that nothing else knows of."""
    made = need("matplotlib.figure", "a picture").Figure
    figure: Figure = made(figsize=(width, height), layout="none")
    return figure


def shown_figure(width: float, height: float) -> Figure:
    """Make a figure that pyplot shows, where pyplot is in use, and in a notebook."""
    if "matplotlib.pyplot" not in sys.modules and not in_notebook():
        return own_figure(width, height)
    made = need("matplotlib.pyplot", "a picture").figure
    figure: Figure = made(figsize=(width, height), layout="none")
    return figure


def forget(figure: Figure) -> None:
    """Take a figure from pyplot, so that nothing shows it, where pyplot is in use."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)


def framed(figure: Figure, left: float = 0.8) -> Axes:
    """Make axes with so many inches to the left, below a title and a legend."""
    ax: Axes = _placed(figure, 1, left)[0]
    return ax


def panels(figure: Figure, number: int, left: float) -> Any:
    """Make so many axes side by side, the first with so many inches to the left.

    In a narrow figure, which becomes higher, they are one below the other.
    """
    each = (_stacked if is_narrow(figure) else _placed)(figure, number, left)
    return each if number > 1 else each[0]


def _stacked(figure: Figure, number: int, left: float) -> NDArray[Any]:
    width, height = figure.get_size_inches()
    own, gap = height - 1.35, 0.65
    height += (number - 1) * (own + gap)
    figure.set_size_inches(width, height)
    room = {"left": left / width, "right": 1 - 0.18 / width}
    room |= {"bottom": 0.55 / height, "top": 1 - 0.8 / height}
    figure.subplots_adjust(**room, hspace=gap / own)
    each: NDArray[Any] = figure.subplots(number, 1, sharey=True, squeeze=False)[:, 0]
    return each


def _placed(figure: Figure, number: int, left: float) -> NDArray[Any]:
    from matplotlib import rcParams

    width, height = figure.get_size_inches()
    gap = _GAP * rcParams["font.size"] / 72
    room = {"left": left / width, "right": 1 - 0.18 / width}
    room |= {"bottom": 0.55 / height, "top": 1 - 0.8 / height}
    own = (width - left - 0.18 - (number - 1) * gap) / number
    figure.subplots_adjust(**room, wspace=gap / max(own, 0.5))
    each: NDArray[Any] = figure.subplots(1, number, sharey=True, squeeze=False)[0]
    return each


def contained(figure: Figure) -> None:
    """Enlarge a figure where texts would leave it; the axes keep their size."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # said once, when the figure is shown or saved
        figure.draw_without_rendering()
        boxes = [box for ax in figure.axes if (box := ax.get_tightbbox()) is not None]
    old, scale = np.array(figure.get_size_inches()), figure.dpi
    low = np.array([min(box.x0 for box in boxes), min(box.y0 for box in boxes)]) / scale
    high = np.array([max(box.x1 for box in boxes), max(box.y1 for box in boxes)]) / scale
    before, after = np.ceil(72 * np.maximum([-low, high - old], 0)) / 72
    if not (before + after).any():
        return
    new, place = old + before + after, figure.subplotpars
    figure.set_size_inches(new)
    (left, bottom), (right, top) = (
        (old * corner + before) / new
        for corner in ((place.left, place.bottom), (place.right, place.top))
    )
    figure.subplots_adjust(left, bottom, right, top)


def is_narrow(figure: Figure | SubFigure) -> bool:
    """Return True of a figure so narrow that labels are brief."""
    return bool(figure.bbox.width / figure.dpi < _NARROW)


def new_axes() -> Axes:
    """Make axes in a figure of their own."""
    return framed(own_figure(4.5, 4))


def headed(ax: Axes, title: str, last: Axes | None = None) -> Axes:
    """Add a title, and below it, still above the data, the legend.

    The title may reach to the axes `last`, beside which there is no other.
    """
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    place |= {"borderpad": 0.2, "labelspacing": 0.25, "columnspacing": 1.0, "handletextpad": 0.4}
    place["handlelength"] = 1.6
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles, labels, ncols=2, fontsize=9, frameon=False, **place)
    pad = 8 + 14 * ((len(labels) + 1) // 2)
    text = ax.set_title(title, loc="left", fontsize=_TITLE, pad=pad)
    text.set_parse_math(False)
    if title and ax.figure is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")
            _fit(ax, text, last or ax)
    return ax


def _fit(ax: Axes, title: Text, last: Axes) -> None:
    """Begin a title further to the left, break it, shrink it, as far as its room asks for it."""
    figure, here = ax.figure, ax.get_window_extent()
    edge = _EDGE * figure.dpi / 72
    others = [x.get_window_extent() for x in figure.axes if x is not ax]
    beside = [x for x in others if x.y0 < here.y1 and x.y1 > here.y0]
    end = last.get_window_extent().x1
    right = min([figure.bbox.x1, *(x.x0 - edge for x in beside if x.x0 >= end)]) - edge
    left = max([figure.bbox.x0, *(x.x1 for x in beside if x.x1 <= here.x0)]) + edge
    if title.get_window_extent().width > right - left:
        title.set_text(_broken(title.get_text()))
    width = title.get_window_extent().width
    if width > right - left:
        title.set_fontsize(max(_TITLE * (right - left) / width, _LEAST_TITLE))
        width = right - left
    title.set_x((min(here.x0, max(left, right - width)) - here.x0) / here.width)


def _broken(text: str) -> str:
    """Break a text into two lines, as long as each other or nearly."""
    spaces = [i for i, c in enumerate(text) if c == " "]
    if not spaces:
        return text
    middle = min(spaces, key=lambda i: max(letters(text[:i]), letters(text[i:])))
    return f"{text[:middle]}\n{text[middle + 1 :]}"


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
    from matplotlib.ticker import MaxNLocator, NullLocator

    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    decades = 10.0 ** np.arange(first, last + 1)
    choices = [np.ravel(np.outer(decades, heads)) for heads in _HEADS]
    if high < _EVEN * low:
        choices = [
            np.array(MaxNLocator(bins, steps=[1, 2, 5, 10]).tick_values(low, high))
            for bins in (6, 5, 4, 3)
        ]
    choices += [decades[-first % step :: step] for step in (1, 2, 3, 5, 10, 20, 50, 100)]
    inside = [x[(x >= low * (1 - 1e-9)) & (x <= high * (1 + 1e-9))] for x in choices]
    axis.set_ticks(next((x for x in inside if _have_room(axis, x, low, high)), inside[-1]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def _have_room(axis: Axis, ticks: FloatArray, low: float, high: float) -> bool:
    """Return True if there are not too many ticks, and their labels stand apart."""
    from matplotlib import rcParams

    ax, size = axis.axes, rcParams["font.size"]
    box = ax.get_window_extent()
    room = (box.width if axis is ax.xaxis else box.height) * 72 / ax.figure.dpi
    letters_of = [len(f"{x:g}") if axis is ax.xaxis else 1.5 for x in ticks.tolist()]
    half = 0.325 * size * np.array(letters_of)
    apart = room * np.diff(np.log(ticks)) / np.log(high / low)
    stand_apart = bool((apart >= half[1:] + half[:-1] + 0.3 * size).all())
    return ticks.size <= _MOST_TICKS and stand_apart


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
    def whose(self) -> str:
        """Name the parameter in a sentence."""
        return f"the prior's {self.name}" if self.is_mean else self.name

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
