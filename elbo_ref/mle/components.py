"""Connected parts of the set of priors whose log evidence is not below a level.

In mean m and gamma = 1/(a + b) the log evidence is concave in m at each gamma (E10), so that the m
which are not below a level are an interval around the best. The parts of the set in the plane are
therefore those of {gamma: P(gamma) >= level} for the profile P over gamma, or over s = 1/gamma,
which branch and bound finds (`elbo_ref.mle.branch_and_bound.above`). And whatever continuous
function of the prior is asked for, on each part its values are an interval: for any parameter
there are no more intervals than parts. With something held fixed the same is true along the one
coordinate that is left.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.mle.branch_and_bound import above
from elbo_ref.mle.newton import Sheet
from elbo_ref.mle.solve import (
    Data,
    binomial_limit,
    limit_sheets,
    sheet_of_concentration1,
    start_heights,
)


class Component(NamedTuple):
    """A connected part, and a prior in it.

    Attributes
    ----------
    low, high : float
        A range of a + b (of the free concentration, where the other is held) with all of this part
        and nothing of another in it.
    prior : Beta or None
        None for the binomial limit.
    """

    low: float
    high: float
    prior: Beta | None


def components(
    counts: Counts, fixed: tuple[str, float] | None, level: float
) -> tuple[list[Component], bool]:
    """Find the connected parts of the priors with log evidence >= level.

    Parameters
    ----------
    counts : Counts
        With a latent that has successes and failures.
    fixed : (name, value), optional
        Of ``"mean"``, ``"concentration1"`` or ``"concentration0"``; at a given ``"concentration"``
        there is one part.
    level : float

    Returns
    -------
    list of Component
        From low to high; empty only if the level is the maximum's own, to rounding.
    bool
        Whether that is proven, but for rounding.
    """
    data = Data.of(counts)
    match fixed:
        case None | ("mean", _):
            k, f = data.successes, data.failures
            mean = Fraction(k, k + f) if fixed is None else Fraction(fixed[1])
            mirrored = mean > Fraction(1, 2)
            if mirrored:
                data, mean = data.mirrored, 1 - mean
            sheets = limit_sheets(data, mean, fixed is None)
            start = 0.0, binomial_limit(data, mean).log_evidence
        case (name, value):
            mirrored = name == "concentration1"
            data = data.mirrored if mirrored else data
            sheets = [sheet_of_concentration1(data, value)]
            x = float(sheets[0].grid[0])
            start = x, data.log_evidence(sheets[0].prior(x))
    found: list[Component] = []
    proven = True
    for sheet in sheets:
        border = start
        _, height = start_heights(sheet, *start)
        start = 1 / float(sheet.grid[-1]), height
        stretches, sure = above(sheet.profile, sheet.grid, level)
        proven = proven and sure
        parts = [_component(sheet, *stretch) for stretch in stretches]
        found = _spliced(sorted(parts, key=lambda part: part.low), found, border, level)
    if found:
        found[0] = found[0]._replace(low=0.0)
        found[-1] = found[-1]._replace(high=np.inf)
    return [_mirrored(part) for part in found] if mirrored else found, proven


def _component(sheet: Sheet, low: float, high: float, x: float) -> Component:
    if sheet.sign_at_0 is None:
        return Component(low, high, sheet.prior(x))
    return Component(1 / high, 1 / low if low else np.inf, sheet.prior(x) if x else None)


def _spliced(
    lower: list[Component], upper: list[Component], border: tuple[float, float], level: float
) -> list[Component]:
    """Parts on both sides of a border, of which one may go through it."""
    x, height = border
    if (
        lower
        and upper
        and height >= level
        and np.allclose((lower[-1].high, upper[0].low), x, 1e-12, 0)
    ):
        joined = upper[0]._replace(low=lower[-1].low)
        return [*lower[:-1], joined, *upper[1:]]
    return [*lower, *upper]


def _mirrored(part: Component) -> Component:
    prior = part.prior
    return part._replace(prior=prior and Beta(prior.concentration0, prior.concentration1))
