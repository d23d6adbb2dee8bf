r"""The quadrature over one latent's draw, and the variance of one particle's gradient by it.

All estimators of a latent's gradient are functions of its draw alone, so that a variance is an
integral over one variable, the draw's logit y (Beta) or the normal's z. The rule is trapezoidal,
with both ends where the density is below 1e-17 of its peak: exponentially convergent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import special as sc

from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta
from elbo_ref.guides import Parameter
from elbo_ref.guides.protocol import Draw
from elbo_ref.logit_normal import LogitNormal
from elbo_ref.objectives.protocol import Task

NODES = 1601
_FEW_NODES = 161
"""For one latent of many, where three digits do."""


class OneLatent(NamedTuple):
    """One entry's latent at the nodes of a quadrature over its draw; rows are (.., nodes)."""

    weights: FloatArray
    logs: FloatArray
    """log c and log(1 - c)."""
    form: FloatArray
    """f, but for what is the same at all draws."""
    constant: float
    """That."""
    through: FloatArray
    """The part of the source gradient through the draw, under the tilt."""
    logit: FloatArray
    slope: FloatArray
    """A (1 - c) - D c."""

    @classmethod
    def of(
        cls,
        task: Task,
        prior: FloatArray,
        own: FloatArray,
        tilt: FloatArray,
        entry: int,
        nodes: int,
    ) -> OneLatent:
        """`own` and `tilt` are the entry's alone, (k, 1) and (2, 1)."""
        guide, model = task.guide, Beta(*prior)
        y, weights = _nodes(guide.draw(model, own), nodes)
        logs = sc.log_expit(np.array((y, -y)))
        up, down = tilt
        slope = up * np.exp(logs[1]) - down * np.exp(logs[0])
        form = up * logs[0] + down * logs[1] + guide.residual(y, own)
        constant = float(np.ravel(guide.normalizer(model, own))[0] + task.log_coefficient[entry])
        through = slope * guide.pathwise(y[:, None], prior, own)[:, :, 0]
        return cls(weights, logs, form, constant, through, y, slope)

    def variance(self, rows: FloatArray) -> FloatArray:
        """Of functions of the draw, given at the nodes."""
        away = rows - (rows @ self.weights)[:, None]
        variance: FloatArray = away**2 @ self.weights
        return variance


def each_latent(
    task: Task, prior: FloatArray, own: FloatArray, tilts: FloatArray, nodes: int
) -> Iterator[tuple[int, FloatArray, OneLatent]]:
    """Of each entry that has latents: its number, its own parameters (k, 1), and one of them."""
    size = task.weights.size
    own, tilts = np.broadcast_to(own, (len(own), size)), np.broadcast_to(tilts, (2, size))
    for g in map(int, np.flatnonzero(task.weights)):
        one = slice(g, g + 1)
        yield g, own[:, one], OneLatent.of(task, prior, own[:, one], tilts[:, one], g, nodes)


Rows: TypeAlias = Callable[[OneLatent, FloatArray], tuple[FloatArray, FloatArray]]
"""From a latent and its own parameters (k, 1) to its gradient at the nodes, prior's and own."""


class GradientNoise(NamedTuple):
    """Mean and variance of one particle's gradient, of one latent of each entry.

    The prior's are (2, G), the own parameters' (k, G); constrained parameters.
    """

    prior_mean: FloatArray
    prior_variance: FloatArray
    own_mean: FloatArray
    own_variance: FloatArray

    @classmethod
    def of(
        cls, task: Task, prior: FloatArray, own: FloatArray, tilts: FloatArray, gradient: Rows
    ) -> GradientNoise:
        """To three digits; `tilts` is (2, G). 0 where there is no latent."""
        size = task.weights.size
        names = len(task.guide.parameter_names)
        noise = cls(*(np.zeros((rows, size)) for rows in (2, 2, names, names)))
        for g, one, latent in each_latent(task, prior, own, tilts, _FEW_NODES):
            found = gradient(latent, one)
            for rows, mean, variance in zip(found, noise[::2], noise[1::2], strict=True):
                at_nodes = np.broadcast_to(rows, (len(rows), latent.weights.size))
                mean[:, g], variance[:, g] = at_nodes @ latent.weights, latent.variance(at_nodes)
        return noise

    def summed(self, task: Task) -> tuple[FloatArray, FloatArray]:
        """The variances over all latents: (2,) and the shape of the own parameters."""
        by_prior = self.prior_variance @ task.weights
        if task.guide.shared:
            return by_prior, (self.own_variance @ task.weights)[:, None]
        return by_prior, self.own_variance * task.weights


def _nodes(draw: Draw, nodes: int) -> tuple[FloatArray, FloatArray]:
    """Logits and weights of the trapezoidal rule; a point is its own rule."""
    if isinstance(draw, Parameter):
        return np.ravel(draw.logits), np.ones(1)
    assert isinstance(draw, Beta | LogitNormal)
    first, second = (float(np.ravel(x)[0]) for x in draw.arrays())
    if isinstance(draw, LogitNormal):
        z = np.linspace(-9.0, 9.0, nodes)
        weights = np.exp(-z * z / 2)
        return first + second * z, weights / weights.sum()
    y, log_weights = beta_nodes(first, second, nodes)
    return y, np.exp(log_weights)


def beta_nodes(
    a: float | FloatArray, b: float | FloatArray, nodes: int
) -> tuple[FloatArray, FloatArray]:
    """y = log(a/b) + x: sinh-stretched, as far as the slower of the two tails.

    Logits and log weights along the last axis, which has size 1 in `a` and `b` if they are arrays.
    """
    center = np.log(a) - np.log(b)
    spread = np.sqrt(1 / a + 1 / b)
    low, high = (np.arcsinh(40 * (1 / x / spread + 1)) for x in (a, b))
    u = -low + (low + high) * np.linspace(0, 1, nodes)
    y = center + spread * np.sinh(u)
    log_weights = a * sc.log_expit(y) + b * sc.log_expit(-y) + np.log(np.cosh(u))
    return y, log_weights - sc.logsumexp(log_weights, axis=-1, keepdims=True)
