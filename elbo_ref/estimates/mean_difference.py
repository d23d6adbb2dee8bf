"""The means of two groups' priors compared.

The groups are independent. Averaged, P(m1 - m2 > d) is the integral of F2(m - d) over F1(m), the
distribution functions from the quadrature by splines on the scale of logits, to about 1e-5. At the
evidence maximum the ends are joined from those of the two profile intervals [l, u] by squares, as
m1 - m2 - sqrt[(m1 - l1)^2 + (u2 - m2)^2]; no probability goes with them.

Source: Zou & Donner, Stat. Med. 27 (2008) 1693, for the ends.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from importlib import import_module

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.estimates.fit import Fit
from elbo_ref.estimates.parameters import mean_distribution
from elbo_ref.special import root

_POINTS = 4001


def mean_difference(first: Fit, second: Fit, level: float) -> tuple[float, float, float, float]:
    """Return m1 - m2, its interval, and P(m1 > m2); nan where there is no posterior of them."""
    if first.grid is None or second.grid is None:
        one, other = (x.parameters(level).mean for x in (first, second))
        down = np.hypot(one.value - one.lower, other.upper - other.value)
        up = np.hypot(one.upper - one.value, other.value - other.lower)
        mean = one.value - other.value
        return mean, mean - float(down), mean + float(up), np.nan
    tables = [mean_distribution(x.grid, x.mirrored) for x in (first, second) if x.grid is not None]
    (mean1, y1, share1), (mean2, y2, share2) = tables
    spline = import_module("scipy.interpolate").CubicSpline
    fine = np.interp(np.linspace(0, y1.size - 1, _POINTS), np.arange(y1.size), y1)
    below = np.clip(spline(y1, share1)(fine), 0.0, 1.0)
    mass, at = np.diff(below), sc.expit((fine[1:] + fine[:-1]) / 2)
    other_below = spline(y2, share2)

    def above(d: float) -> float:
        c: FloatArray = np.clip(at - d, 1e-300, 1 - 1e-16)
        inside = np.clip(sc.logit(c), y2[0], y2[-1])
        share = np.where(at - d >= 1, 1.0, np.clip(other_below(inside), 0.0, 1.0))
        return float(mass @ np.where(at - d <= 0, 0.0, share) / mass.sum())

    tail = (1 - level) / 2
    lower, upper = (
        root(lambda d, x=x: above(d) - x, -1.0, 1.0, xtol=1e-9, rtol=0.0)  # type: ignore[misc]
        for x in (1 - tail, tail)
    )
    return mean1 - mean2, lower, upper, above(0.0)


def places(names: Sequence[Hashable], label1: Hashable, label2: Hashable) -> tuple[int, int]:
    """Find two groups; raise ValueError for what is none, and for the same one twice."""
    for name, label in {"label1": label1, "label2": label2}.items():
        if names == (None,):
            raise ValueError("there are no groups to compare: give by= to estimate")
        if label not in names:
            raise ValueError(f"{name} = {label!r} is not one of the groups {list(names)}")
    if label1 == label2:
        raise ValueError(f"label1 and label2 are both {label1!r}")
    return names.index(label1), names.index(label2)
