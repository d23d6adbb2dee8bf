"""`Parameter` and `Delta`: a success probability at a point, held as its logit.

`Parameter` is what a model without a latent has; `Delta` is a latent on which a guide puts all its
mass, as Pyro's ``AutoDelta`` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special as sc

from elbo_ref._validation.arguments import (
    FloatArray,
    Rng,
    finite,
    float_inside,
    generator,
    probability,
    sample_shape,
    underflow_is_zero,
)
from elbo_ref._validation.values import hashed
from elbo_ref.distributions.base import Center, Interval, Source, logit_center


@underflow_is_zero
@dataclass(frozen=True, eq=False, init=False)
class Parameter:
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
            array = sc.logit(float_inside("probs", probs))  # type: ignore[arg-type]
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
        """The probability c itself."""
        c = sc.expit(self.logits)
        return c if self.shape else float(c)


@underflow_is_zero
class Delta(Parameter):
    """A latent at a point, or an array of them.

    Parameters
    ----------
    probs : array_like, optional
        The point c, strictly between 0 and 1.
    logits : array_like, optional
        Instead: its logit.

    Examples
    --------
    >>> Delta(0.25).interval(0.9)
    Interval(lower=0.25, upper=0.25)
    >>> Delta(0.25).sample(2, rng=0)
    array([0.25, 0.25])
    """

    def interval(self, prob: float) -> Interval:
        """Return the point itself, twice."""
        probability("prob", prob)
        return Interval(self.mean, self.mean)

    def sample(self, size: int | tuple[int, ...], rng: Rng) -> FloatArray:
        """Repeat the point, in an array of shape `size` followed by the shape of the point."""
        generator(rng)
        return np.broadcast_to(self.mean, (*sample_shape(size), *self.shape)).copy()


class PointSource(Source):
    """All mass on one point; the row of `x` is its logit. It has no density to be counted."""

    names = ("logits",)
    has_exponents = False

    def center(self, x: FloatArray) -> Center:
        """Return the point."""
        return logit_center(x[0], 0.0, 0.0)

    def log_normalizer(self, _x: FloatArray) -> float:
        """Return 0."""
        return 0.0

    def expected_logs(self, x: FloatArray) -> FloatArray:
        """Return log c and log(1 - c)."""
        logs: FloatArray = sc.log_expit(np.concatenate((x, -x)))
        return logs

    def pull_back(self, tilt: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return A (1 - c) - D c, and the logarithms."""
        return tilt[:1] * sc.expit(-x) - tilt[1:] * sc.expit(x), self.expected_logs(x)

    def variance(self, tilt: FloatArray, x: FloatArray, _weight: float = 0.0) -> FloatArray:
        """Return 0."""
        return np.zeros(np.broadcast_shapes(x[0].shape, np.shape(tilt[0])))

    def sample_logits(
        self, x: FloatArray, shape: tuple[int, ...], _rng: np.random.Generator
    ) -> FloatArray:
        """Repeat the point."""
        return np.broadcast_to(x[0], shape)

    def pathwise(self, logit: FloatArray, _x: FloatArray) -> FloatArray:
        """Return 1."""
        return np.ones((1, *logit.shape))

    def score(self, _logit: FloatArray, _logs: FloatArray, _x: FloatArray) -> FloatArray:
        """Refuse: there is no density."""
        raise NotImplementedError("a point has no score function")


POINT = PointSource()
