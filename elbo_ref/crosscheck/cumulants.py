r"""The cumulant generating functions of the losses of a `Story`.

With P particles the loss of a step, -(1/P) sum_p sum_g f, has P sum_g K_g(-s/P) - s const. Where c
is drawn from Beta(a, b),

    K_g(s) = log B(a + s A, b + s D) - log B(a, b),

finite while both arguments are positive. A normal guide takes a quadrature over its draw instead;
so does a Beta where draws reach what the run's own arithmetic can hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta
from elbo_ref.crosscheck.story import Story, Terms
from elbo_ref.crosscheck.tails import Cumulants
from elbo_ref.logit_normal import LogitNormal
from elbo_ref.special import trigamma

_NODES = 161
_MOST_NODES = 30_000_000
_RARE = 1e-2
"""With fewer clamped draws than this expected in all losses, none is taken to be."""


def cumulants_of(story: Story, terms: Terms) -> Cumulants:
    """In closed form for the latents where that is possible, by quadrature for the others."""
    by_nodes = np.full(len(story.counts), terms.kind is not Beta)
    if terms.kind is Beta and story.clamped:
        by_nodes = clamped(story, terms) > _RARE / len(story.counts)
        by_nodes &= terms.first.size * _NODES <= _MOST_NODES
    if not by_nodes.any():
        return _BetaCumulants.of(story, terms, ~by_nodes)
    nodes = _NodeCumulants.of(story, terms, by_nodes)
    if by_nodes.all():
        return nodes
    return Sum((nodes, _BetaCumulants.of(story._replace(constant=0.0), terms, ~by_nodes)))


def clamped(story: Story, terms: Terms) -> FloatArray:
    """How many draws of c are expected to be clamped, for each entry, (G,)."""
    eps = np.finfo(story.dtype).eps
    a, b = terms.first, terms.second
    each = sc.betainc(a, b, eps) + sc.betainc(b, a, eps)
    found: FloatArray = story.num_particles * each.sum(axis=0) * terms.task.weights
    return found


class Sum(NamedTuple):
    """Of independent numbers."""

    parts: tuple[Cumulants, ...]

    @property
    def closed(self) -> bool:
        return all(part.closed for part in self.parts)

    @property
    def low(self) -> FloatArray:
        found: FloatArray = np.max([part.low for part in self.parts], axis=0)
        return found

    @property
    def high(self) -> FloatArray:
        found: FloatArray = np.min([part.high for part in self.parts], axis=0)
        return found

    def at(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        k, slope, curvature = np.sum([part.at(s) for part in self.parts], axis=0)
        return k, slope, curvature

    def only(self, rows: NDArray[np.bool_]) -> Sum:
        return Sum(tuple(part.only(rows) for part in self.parts))


class _BetaCumulants(NamedTuple):
    """In closed form, of some latents; arrays are (T, G)."""

    first: FloatArray
    second: FloatArray
    up: FloatArray
    down: FloatArray
    weights: FloatArray
    constants: FloatArray
    """(T,), of these latents."""
    unit: float
    particles: int

    @property
    def closed(self) -> bool:
        return True

    @classmethod
    def of(cls, story: Story, terms: Terms, chosen: NDArray[np.bool_]) -> _BetaCumulants:
        weights = terms.task.weights[chosen]
        return cls(
            terms.first[:, chosen],
            terms.second[:, chosen],
            terms.up[:, chosen],
            terms.down[:, chosen],
            weights,
            story.constant - story.factor * (terms.constants[:, chosen] @ weights),
            -story.factor / story.num_particles,
            story.num_particles,
        )

    @property
    def low(self) -> FloatArray:
        each = self._ends()
        found: FloatArray = np.where(each < 0, each, -np.inf).max(axis=1)
        return found

    @property
    def high(self) -> FloatArray:
        each = self._ends()
        found: FloatArray = np.where(each > 0, each, np.inf).min(axis=1)
        return found

    def _ends(self) -> FloatArray:
        present, ends = self.weights > 0, []
        for x, tilt in ((self.first, self.up), (self.second, self.down)):
            with np.errstate(divide="ignore"):
                ends.append(np.where(present & (tilt != 0), -x / (tilt * self.unit), np.inf))
        return np.concatenate(ends, axis=1)

    def at(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        up, down, weights, unit = self.up, self.down, self.weights, self.unit
        scaled = (s * unit)[:, None]
        floor = 1e-300
        a = np.maximum(self.first + scaled * up, floor)
        b = np.maximum(self.second + scaled * down, floor)
        both = up + down
        k = sc.betaln(a, b) - sc.betaln(self.first, self.second)
        slope = up * sc.psi(a) + down * sc.psi(b) - both * sc.psi(a + b)
        curve = up**2 * trigamma(a) + down**2 * trigamma(b) - both**2 * trigamma(a + b)
        times = self.particles
        return (
            times * (k @ weights) + s * self.constants,
            times * unit * (slope @ weights) + self.constants,
            times * unit**2 * np.maximum(curve @ weights, 0.0),
        )

    def only(self, rows: NDArray[np.bool_]) -> _BetaCumulants:
        names = ("first", "second", "up", "down", "constants")
        return self._replace(**{name: getattr(self, name)[rows] for name in names})


class _NodeCumulants(NamedTuple):
    """By quadrature over each latent's draw, which the run's arithmetic clamps."""

    form: FloatArray
    log_weights: FloatArray
    """(T, G, nodes)."""
    weights: FloatArray
    constants: FloatArray
    unit: float
    particles: int

    @property
    def closed(self) -> bool:
        return False

    @classmethod
    def of(cls, story: Story, terms: Terms, chosen: NDArray[np.bool_]) -> _NodeCumulants:
        logit, log_weights = _nodes(terms, chosen)
        tilt = np.array((terms.up, terms.down))[:, :, chosen, None]
        likelihood = terms.likelihood[:, :, chosen, None]
        own = np.broadcast_to(story.own, (len(story.own), *terms.first.shape))[:, :, chosen, None]
        weights = terms.task.weights[chosen]
        unit = -story.factor / story.num_particles
        return cls(
            terms.form(story, logit, tilt, likelihood, own),
            log_weights,
            weights,
            story.constant - story.factor * (terms.constants[:, chosen] @ weights),
            unit,
            story.num_particles,
            1 / unit if terms.kind is LogitNormal else np.inf,  # z^2/2 against the form's
        )

    end: float
    """Where K stops being finite; infinite if it never does."""

    @property
    def low(self) -> FloatArray:
        return np.full(len(self.form), self.end if self.end < 0 else -np.inf)

    @property
    def high(self) -> FloatArray:
        return np.full(len(self.form), self.end if self.end > 0 else np.inf)

    def at(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        unit, times = self.unit, self.particles
        powers = self.log_weights + (s * unit)[:, None, None] * self.form
        highest = powers.max(axis=-1, keepdims=True)
        weights = np.exp(powers - highest)
        total = weights.sum(axis=-1, keepdims=True)
        weights /= total
        k = (highest + np.log(total))[..., 0]
        slope = (weights * self.form).sum(axis=-1)
        curve = (weights * (self.form - slope[..., None]) ** 2).sum(axis=-1)
        return (
            times * (k @ self.weights) + s * self.constants,
            times * unit * (slope @ self.weights) + self.constants,
            times * unit**2 * (curve @ self.weights),
        )

    def only(self, rows: NDArray[np.bool_]) -> _NodeCumulants:
        names = ("form", "log_weights", "constants")
        return self._replace(**{name: getattr(self, name)[rows] for name in names})


def _nodes(terms: Terms, chosen: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Logits and log weights of a trapezoidal rule for each latent, (T, G, nodes)."""
    first, second = terms.first[:, chosen, None], terms.second[:, chosen, None]
    if terms.kind is Beta:
        center = np.log(first) - np.log(second)
        spread = np.sqrt(1 / first + 1 / second)
        low, high = (np.arcsinh(40 * (1 / x / spread + 1)) for x in (first, second))
        u = -low + (low + high) * np.linspace(0, 1, _NODES)
        logit = center + spread * np.sinh(u)
        log_density = first * sc.log_expit(logit) + second * sc.log_expit(-logit)
        log_weights = log_density + np.log(np.cosh(u))
    elif terms.kind is LogitNormal:
        z = np.linspace(-12.0, 12.0, _NODES)
        logit = first + second * z
        log_weights = np.broadcast_to(-z * z / 2, logit.shape)
    else:
        logit, log_weights = first + 0.0, np.zeros(first.shape)
    return logit, log_weights - sc.logsumexp(log_weights, axis=-1, keepdims=True)
