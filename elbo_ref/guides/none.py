"""Nothing is drawn: each c is a parameter, kept in (0, 1) by a sigmoid.

`PointGuide` is what all such guides share. `none` has no latent at all: what is maximised is the
binomial log likelihood itself, by c = K/N: the classical MLE, in which the prior plays no part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special as sc

from elbo_ref._validation.arguments import (
    FloatArray,
    check_fits,
    finite,
    float_in,
    require,
    underflow_is_zero,
)
from elbo_ref._validation.values import CenteredOnLogit, hashed
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides.protocol import ANY_REAL, GuideDefaults


@underflow_is_zero
@dataclass(frozen=True, eq=False, init=False)
class Parameter(CenteredOnLogit):
    """A success probability that is a parameter, or an array of them.

    Parameters
    ----------
    probs : array_like, optional
        The probability, strictly between 0 and 1.
    logits : array_like, optional
        Instead: its logit, which can be nearer to 0 or 1 than a float of `probs` says.

    Raises
    ------
    TypeError
        If not exactly one of the two is given.
    ValueError
        If a probability is not strictly between 0 and 1, or a logit not finite.

    Examples
    --------
    >>> Parameter(probs=0.5)
    Parameter(logits=0.0)
    >>> round(Parameter(logits=-2.0).mean, 6)
    0.119203
    """

    logits: float | FloatArray

    def __init__(self, probs: ArrayLike | None = None, logits: ArrayLike | None = None) -> None:
        if (probs is None) == (logits is None):
            raise TypeError("Parameter takes exactly one of probs and logits")
        if logits is not None:
            array = finite("logits", logits)
        else:
            given = float_in("probs", probs, 0.0, 1.0)  # type: ignore[arg-type]
            require("probs", given, (given > 0) & (given < 1), "must be inside (0, 1)")
            array = sc.logit(given)
        array.setflags(write=False)
        object.__setattr__(self, "logits", array if array.ndim else float(array))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parameter):
            return NotImplemented
        return np.array_equal(self.logits, other.logits)

    def __hash__(self) -> int:
        return hash((np.shape(self.logits), hashed(np.asarray(self.logits))))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array; () for one."""
        return np.shape(self.logits)

    @property
    def mean(self) -> float | FloatArray:
        """c itself."""
        c = sc.expit(self.logits)
        return c if self.shape else float(c)

    def _logit(self) -> FloatArray:
        return np.asarray(self.logits)

    def log_gaps(self) -> tuple[FloatArray, FloatArray]:
        """0 and 0, unless the center is not where c stands: there is nothing random."""
        return self._beyond_center()

    def tilt_variance(self, tilt1: FloatArray, tilt0: FloatArray) -> FloatArray:
        """0."""
        return np.zeros(np.broadcast_shapes(self.shape, np.shape(tilt1)))


_SIGNS = np.array([[1.0], [-1.0]])


class PointGuide(GuideDefaults):
    """One logit for each latent, from 1/2, at which c stands with certainty."""

    is_point = True
    source_weight = 0

    parameter_names: tuple[str, ...] = ("logits",)
    own_ranges: tuple[tuple[float, float], ...] = (ANY_REAL,)

    def start(self, value: object, size: int) -> FloatArray:
        start = value if isinstance(value, Parameter) else Parameter(probs=0.5)
        check_fits("guide", start.shape, size)
        return np.array(np.broadcast_to(start.logits, (1, size)))

    def constrain(self, unconstrained: FloatArray) -> FloatArray:
        return unconstrained

    def unconstrain(self, own: FloatArray) -> FloatArray:
        return own

    def tilt(self, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
        raise NotImplementedError

    def optimum(self, prior: FloatArray, outcomes: FloatArray, weights: FloatArray) -> FloatArray:
        """log(A / D), the one zero of the slope; any point where both are 0."""
        up, down = self.tilt(prior, np.zeros((1, 1)), outcomes)
        inside = (up > 0) & (down > 0)
        ratio = np.divide(up, down, where=inside, out=np.ones_like(up))
        return np.where(inside | ((up == 0) & (down == 0)), np.log(ratio), np.nan)[None]

    def slope(self, own: FloatArray) -> FloatArray:
        return np.ones_like(own)

    def draw(self, prior: Beta, own: FloatArray) -> Parameter:
        return Parameter(logits=own[0])

    def log_moments(self, prior: FloatArray, own: FloatArray) -> FloatArray:
        logs: FloatArray = sc.log_expit(_SIGNS * own)
        return logs

    def pull_back(self, tilt: FloatArray, prior: FloatArray, own: FloatArray) -> FloatArray:
        return tilt[:1] * sc.expit(-own) - tilt[1:] * sc.expit(own)

    def sample_logit(
        self, prior: FloatArray, own: FloatArray, shape: tuple[int, int], rng: np.random.Generator
    ) -> FloatArray:
        return np.broadcast_to(own, shape)

    def pathwise(self, logit: FloatArray, prior: FloatArray, own: FloatArray) -> FloatArray:
        return np.ones((1, *logit.shape))


class NoLatent(PointGuide):
    """``guide="none"``, or a `Parameter` to start from; ``run.guide`` is a `Parameter`, (G,)."""

    name = "none"
    prior_weight = 0

    def value(self, prior: Beta, own: FloatArray) -> Parameter:
        return self.draw(prior, own)

    def counted_at_center(self, prior: Beta, draw: Parameter) -> float:
        return 0.0

    def tilt(self, prior: FloatArray, own: FloatArray, outcomes: FloatArray) -> FloatArray:
        return outcomes

    def normalizer(self, prior: Beta, own: FloatArray) -> float:
        return 0.0

    def collect(
        self, source: FloatArray, logs: FloatArray, prior: FloatArray, own: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return np.zeros_like(logs), source
