r"""Cumulant generating functions of losses (E5 is the second derivative of one at zero).

With P particles the loss of a step, -(1/P) sum_p sum_g f, has

    K(s) = P sum_g K_g(-s/P) - s const.

Where c is drawn from Beta(a, b),

    K_g(s) = log B(a + s A, b + s D) - log B(a, b),

finite while both arguments are positive. A normal guide takes a quadrature over its draw instead;
so does a Beta where draws reach what the run's own arithmetic can hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.arithmetic import draw_ends
from elbo_ref.crosscheck.clamping import STEPS, form_at_nodes, needs_nodes
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.distributions.quadrature import over_beta, over_normal
from elbo_ref.special import trigamma

Rows: TypeAlias = NDArray[np.bool_] | slice
ALL = slice(None)

_SPARSEST = 8
_FAR, _NEAR = 6.0, 1.0
"""Standard deviations within which tails, and moments, must be right."""
_SAME, _HALVINGS = np.array(((1e-3,), (1e-2,), (2e-2,))), 12
"""Differences of K, s K' and s^2 K'' that tails hardly show; steps of s."""
_SAME_MEAN = 1e-9
"""Standard deviations."""


class Cumulants(Protocol):
    """K(s) = log E exp(s X) of T independent numbers."""

    @property
    def closed(self) -> bool:
        """True if it is a closed form; a quadrature does not know the very ends of a number."""

    @property
    def domain(self) -> FloatArray:
        """Open intervals around 0 where K is finite, (2, T)."""

    def at(self, s: FloatArray, rows: Rows = ALL, /) -> FloatArray:
        """K, K' and K'' of the numbers that are chosen, (3, T), each at its own s."""


class Sum(NamedTuple):
    """Cumulants of sums of independent numbers."""

    parts: tuple[Cumulants, ...]

    @property
    def closed(self) -> bool:
        """True if all parts are closed forms."""
        return all(part.closed for part in self.parts)

    @property
    def domain(self) -> FloatArray:
        """Intersection of the domains."""
        low, high = np.array([part.domain for part in self.parts]).swapaxes(0, 1)
        return np.array((low.max(axis=0), high.min(axis=0)))

    def at(self, s: FloatArray, rows: Rows = ALL, /) -> FloatArray:
        """K, K' and K'', (3, T)."""
        return np.asarray(np.sum([part.at(s, rows) for part in self.parts], axis=0))


class Weighted(NamedTuple):
    """Cumulants of one weighted sum of all numbers: K(s) = sum_t K_t(w_t s)."""

    cumulants: Cumulants
    weights: FloatArray

    @property
    def closed(self) -> bool:
        """True if those of the numbers are closed forms."""
        return self.cumulants.closed

    @property
    def domain(self) -> FloatArray:
        """Nearest ends of the scaled domains, (2, 1)."""
        moving = self.weights != 0
        ends = self.cumulants.domain[:, moving] / self.weights[moving]
        low, high = ends[ends < 0].max(initial=-np.inf), ends[ends > 0].min(initial=np.inf)
        return np.array(((low,), (high,)))

    def at(self, s: FloatArray, _rows: Rows = ALL, /) -> FloatArray:
        """K, K' and K'', (3, 1)."""
        w = self.weights
        k, slope, curvature = self.cumulants.at(s * w)
        return np.array(((k.sum(),), (w @ slope,), (w**2 @ curvature,)))


@dataclass(frozen=True)
class _LatentCumulants:
    """P sum_g w_g K_g(unit s) + s const, of some of the latents."""

    weights: FloatArray
    constants: FloatArray
    """(T,)."""
    unit: float
    particles: int

    @property
    def closed(self) -> bool:
        """True if it is a closed form."""
        raise NotImplementedError

    @property
    def domain(self) -> FloatArray:
        """Open intervals around 0 where K is finite, (2, T)."""
        raise NotImplementedError

    def at(self, s: FloatArray, rows: Rows = ALL, /) -> FloatArray:
        """K, K' and K'' of losses, (3, T)."""
        k, slope, curve = self._each(s[:, None] * self.unit, rows)
        times, unit, constants = self.particles, self.unit, self.constants[rows]
        return np.array(
            (
                times * (k @ self.weights) + s * constants,
                times * unit * (slope @ self.weights) + constants,
                times * unit**2 * np.maximum(curve @ self.weights, 0.0),
            )
        )

    def _each(self, s: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
        """K_g, K_g' and K_g'' at s, (T, 1); each (T, G)."""
        raise NotImplementedError


@dataclass(frozen=True)
class _BetaCumulants(_LatentCumulants):
    """In closed form; arrays are (2, T, G)."""

    parameters: FloatArray
    tilt: FloatArray
    closed = True

    @property
    def domain(self) -> FloatArray:
        present = (self.tilt != 0) & (self.weights > 0)
        with np.errstate(divide="ignore"):
            ends = np.where(present, -self.parameters / (self.tilt * self.unit), np.inf)
        low, high = np.where(ends < 0, ends, -np.inf), np.where(ends > 0, ends, np.inf)
        return np.array((low.max(axis=(0, 2)), high.min(axis=(0, 2))))

    def _each(self, s: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
        source, (up, down) = self.parameters[:, rows], self.tilt[:, rows]
        a, b = np.maximum(source + s * self.tilt[:, rows], 1e-300)
        both = up + down
        return (
            sc.betaln(a, b) - sc.betaln(*source),
            up * sc.psi(a) + down * sc.psi(b) - both * sc.psi(a + b),
            up**2 * trigamma(a) + down**2 * trigamma(b) - both**2 * trigamma(a + b),
        )


@dataclass(frozen=True)
class _NodeCumulants(_LatentCumulants):
    """By quadrature over each latent's draw, which the run's arithmetic clamps; (T, G, nodes)."""

    form: FloatArray
    log_weights: FloatArray
    end: float
    """The end at which K stops being finite; infinite if it never does."""
    closed = False

    @property
    def domain(self) -> FloatArray:
        ends = (self.end if self.end < 0 else -np.inf, self.end if self.end > 0 else np.inf)
        return np.repeat(np.array(ends)[:, None], len(self.constants), axis=1)

    def _each(self, s: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
        form, powers = self.form[rows], self.log_weights[rows]
        center = form.mean(axis=-1, keepdims=True)
        form = form - center
        powers = powers + s[..., None] * form
        highest = powers.max(axis=-1, keepdims=True)
        powers -= highest
        weights = np.exp(powers, out=powers)
        total = weights.sum(axis=-1)
        slope = np.einsum("tgn,tgn->tg", weights, form) / total
        form -= slope[..., None]
        curve = np.einsum("tgn,tgn,tgn->tg", weights, form, form) / total
        center = center[..., 0]
        return highest[..., 0] + np.log(total) + s * center, slope + center, curve


def loss_cumulants(form: LinearForm) -> Cumulants:
    """Cumulants of the losses of a model without minibatches.

    In closed form for the latents where that is possible, by quadrature for the others.
    """
    by_nodes = needs_nodes(form)
    parts: list[_LatentCumulants] = []
    if by_nodes.any():
        parts.append(_by_nodes(form, by_nodes, _stride(form, by_nodes, _FAR)))
    if not by_nodes.all():
        parameters, tilt = form.parameters[:, :, ~by_nodes], form.tilt[:, :, ~by_nodes]
        parts.append(_BetaCumulants(*_common(form, ~by_nodes), parameters, tilt))
    parts[0] = replace(parts[0], constants=parts[0].constants + form.model.constant)
    return parts[0] if len(parts) == 1 else Sum(tuple(parts))


def _common(
    form: LinearForm, chosen: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray, float, int]:
    """Fields that all cumulants of latents have."""
    model, weights = form.model, form.task.weights[chosen]
    constants = -model.factor * (form.constants[:, chosen] @ weights)
    return weights, constants, -model.factor / model.num_particles, model.num_particles


def _by_nodes(form: LinearForm, chosen: NDArray[np.bool_], every: int) -> _NodeCumulants:
    common = _common(form, chosen)
    logit, log_weights = _rule(form, chosen, every)
    end = 1 / common[2] if form.source is LOGIT_NORMAL else np.inf  # z^2/2 against the form's
    return _NodeCumulants(*common, form_at_nodes(form, chosen, logit), log_weights, end)


def nodes(form: LinearForm, chosen: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Logits and log weights of a quadrature for moments of each chosen latent, (T, G, nodes)."""
    return _rule(form, chosen, _stride(form, chosen, _NEAR))


def _rule(form: LinearForm, chosen: NDArray[np.bool_], every: int) -> tuple[FloatArray, FloatArray]:
    """Each so manieth node of a rule that is an even one nearly always."""
    x = form.parameters[:, :, chosen]
    if form.source is LOGIT_NORMAL:
        rule = over_normal(x[0], x[1], STEPS, every)
        kept = slice(None)
    elif form.source is BETA:
        ends = draw_ends(form.model.dtype)
        rule = over_beta(x[0], x[1], STEPS, (np.log(ends.low), -np.log(ends.gap)))
        kept = slice(None, None, every)
    else:
        return x[0, ..., None], np.zeros((*x.shape[1:], 1))
    log_weights = rule.log_weights[kept] + (np.log(every) if kept.step else 0.0)
    return np.moveaxis(rule.logit[kept], 0, -1), np.moveaxis(log_weights, 0, -1)


def _stride(form: LinearForm, chosen: NDArray[np.bool_], far: float) -> int:
    """Leave out every other node while the cumulants of some losses stay the same."""
    rows = np.unique(np.linspace(0, form.num_losses - 1, 3 + form.num_losses // 32).astype(int))
    some = form._replace(
        parameters=form.parameters[:, rows],
        tilt=form.tilt[:, rows],
        constants=form.constants[rows],
    )
    known, every = _Known(_by_nodes(some, chosen, 1), far), 1
    with np.errstate(all="ignore"):  # what is not finite is not the same
        while every < _SPARSEST and known.as_by(_by_nodes(some, chosen, 2 * every)):
            every *= 2
    return every


class _Known:
    """Means, and all cumulants as for numbers so many deviations off, to either side."""

    def __init__(self, cumulants: Cumulants, far: float) -> None:
        self._nowhere = np.zeros_like(cumulants.domain[0])
        _, self._mean, variance = cumulants.at(self._nowhere)
        self._std = np.sqrt(variance)
        points = (_tilt(cumulants, away) for away in (-far, far))
        self._points = [(s, cumulants.at(s)) for s in points]

    def as_by(self, other: Cumulants) -> bool:
        """Return True if other cumulants are the same."""
        off = np.abs(other.at(self._nowhere)[1] - self._mean)
        same = np.all(off <= _SAME_MEAN * self._std)
        for s, known in self._points:
            power = np.array((np.ones_like(s), s, s * s))
            off = np.abs(power * (other.at(s) - known))
            same &= np.all(off <= _SAME * (1 + np.abs(power * known)))
        return bool(same)


def _tilt(cumulants: Cumulants, away: float) -> FloatArray:
    """Find s at which K'(s) is nearly so many standard deviations from the mean, or fewer."""
    low, high = cumulants.domain
    _, mean, variance = cumulants.at(np.zeros_like(low))
    std = np.sqrt(np.maximum(variance, 1e-300))
    s: FloatArray = np.clip(away / std, low / 2, high / 2)
    for _ in range(_HALVINGS):
        far = np.abs(cumulants.at(s)[1] - mean) > abs(away) * std
        s = np.where(far, 0.7 * s, s)
    return s
