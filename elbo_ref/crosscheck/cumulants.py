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

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.loss_model import Arithmetic, Story, Terms
from elbo_ref.crosscheck.saddlepoint import Cumulants
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.logit_normal import LogitNormal
from elbo_ref.distributions.quadrature import over_beta, over_normal
from elbo_ref.special import log_choose, trigamma

_STEPS = 160
_MOST_NODES = 30_000_000
_RARE = 1e-2
"""With fewer clamped draws than this expected in all losses, none is taken to be."""


def cumulants_of(story: Story, terms: Terms) -> Cumulants:
    """In closed form for the latents where that is possible, by quadrature for the others."""
    by_nodes = _by_nodes(story, terms)
    if not by_nodes.any():
        return _BetaCumulants.of(story, terms, ~by_nodes)
    nodes = _NodeCumulants.of(story, terms, by_nodes)
    if by_nodes.all():
        return nodes
    return Sum((nodes, _BetaCumulants.of(story._replace(constant=0.0), terms, ~by_nodes)))


def _by_nodes(story: Story, terms: Terms) -> NDArray[np.bool_]:
    """Which entries take a quadrature, (G,)."""
    if terms.kind is not Beta or not story.clamped:
        return np.full(len(story.counts), terms.kind is not Beta)
    some: NDArray[np.bool_] = clamped(story, terms) > _RARE / len(story.counts)
    return some & (2 * terms.first.size * _STEPS <= _MOST_NODES)


def minibatch_cumulants(story: Story, terms: Terms) -> FloatArray:
    """The first three cumulants of the losses of minibatches, (3, T).

    Those of one particle, by the law of total cumulance over what a batch sees: B of N latents,
    whose sums have cumulants of their own (Cochran 1977, section 2.15), or B trials of a shared
    latent, whose successes are hypergeometric. Of P particles they are kappa_n/P^(n-1).
    """
    assert story.batch is not None
    if len(story.counts) > 1:
        found = _of_some_latents(story, terms, story.batch)
        factor = -story.factor * story.batch_scale
    else:
        found, factor = _of_some_trials(story, terms, story.batch), -story.factor
    found *= factor ** np.arange(1, 4)[:, None]
    found[0] += story.constant
    return found / float(story.num_particles) ** np.arange(3)[:, None]


def _of_some_latents(story: Story, terms: Terms, batch: int) -> FloatArray:
    weights, size = terms.task.weights, terms.task.num_latents
    share = weights / size
    mean, variance, third = _Draws.of(story, terms).cumulants(story, terms)
    center = (mean @ share)[:, None]
    away = mean - center
    spread = batch * (size - batch) / max(size - 1, 1)
    skew = spread * (size - 2 * batch) / max(size - 2, 1)
    return np.array(
        (
            batch * center[:, 0],
            batch * (variance @ share) + spread * (away**2 @ share),
            batch * (third @ share)
            + 3 * spread * ((away * variance) @ share)
            + skew * (away**3 @ share),
        )
    )


def _of_some_trials(story: Story, terms: Terms, batch: int) -> FloatArray:
    counts, scale = terms.task.counts, story.batch_scale
    k, n = int(counts.successes[0]), int(counts.total_count[0])
    seen = np.arange(max(0, batch - (n - k)), min(k, batch) + 1)
    ways = log_choose(seen, np.full(seen.size, k)) + log_choose(
        batch - seen, np.full(seen.size, n - k)
    )
    share = np.exp(ways - ways.max())
    share /= share.sum()
    seen, share = seen[share > _NEGLIGIBLE], share[share > _NEGLIGIBLE]
    each = np.empty((3, len(seen), terms.first.shape[0]))
    draws = _Draws.of(story, terms)
    for i, successes in enumerate(seen):
        more = np.array((scale * successes - k, scale * (batch - successes) - (n - k)))
        each[:, i] = draws.cumulants(story, terms.with_more(more))[:, :, 0]
    mean, variance, third = each * counts.multiplicity[0]
    share = share / share.sum()
    center = share @ mean
    away = mean - center
    return np.array(
        (
            center,
            share @ (variance + away**2),
            share @ (third + 3 * away * variance + away**3),
        )
    )


_NEGLIGIBLE = 1e-20
"""Probability of outcomes of a minibatch that change no cumulant."""


class _Draws(NamedTuple):
    """What the cumulants of one latent of each entry need of its draws, whatever the outcomes."""

    by_nodes: NDArray[np.bool_]
    polygammas: FloatArray
    """Of orders 0 to 2 at a, b and a + b, (3, 3, T, those without nodes)."""
    logit: FloatArray
    weights: FloatArray
    """(T, those with nodes, nodes)."""

    @classmethod
    def of(cls, story: Story, terms: Terms) -> _Draws:
        by_nodes = _by_nodes(story, terms)
        a, b = terms.first[:, ~by_nodes], terms.second[:, ~by_nodes]
        orders = np.arange(3).reshape(-1, 1, 1, 1)
        polygammas = sc.polygamma(orders, np.array((a, b, a + b)))
        logit, log_weights = _nodes(story, terms, by_nodes)
        weights = np.exp(log_weights)
        return cls(by_nodes, polygammas, logit, weights / weights.sum(axis=-1, keepdims=True))

    def cumulants(self, story: Story, terms: Terms) -> FloatArray:
        """The first three of the form, (3, T, G)."""
        found, rest = np.empty((3, *terms.first.shape)), ~self.by_nodes
        if rest.any():
            up, down = terms.up[:, rest], terms.down[:, rest]
            for n, (at_a, at_b, at_sum) in enumerate(self.polygammas):
                tilted = up ** (n + 1) * at_a + down ** (n + 1) * at_b
                found[n][:, rest] = tilted - (up + down) ** (n + 1) * at_sum
        if self.by_nodes.any():
            form = _form(story, terms, self.by_nodes, self.logit)
            mean = (self.weights * form).sum(axis=-1)
            away = form - mean[..., None]
            squared = self.weights * away * away
            powers = squared.sum(axis=-1), (squared * away).sum(axis=-1)
            found[:, :, self.by_nodes] = (mean, *powers)
        found[0] += terms.constants
        return found


def _form(story: Story, terms: Terms, chosen: NDArray[np.bool_], logit: FloatArray) -> FloatArray:
    """The form of chosen entries at nodes, (T, G, nodes)."""
    tilt = np.array((terms.up, terms.down))[:, :, chosen, None]
    likelihood = terms.likelihood[:, :, chosen, None]
    own = np.broadcast_to(story.own, (len(story.own), *terms.first.shape))[:, :, chosen, None]
    return terms.form(story, logit, tilt, likelihood, own)


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


class _Scale(NamedTuple):
    """From K_g of the latents to K of the losses: P sum_g w_g K_g(unit s) + s const."""

    weights: FloatArray
    constants: FloatArray
    """(T,)."""
    unit: float
    particles: int

    def of_losses(
        self, s: FloatArray, k: FloatArray, slope: FloatArray, curve: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """K, K' and K'' from those of each latent at unit s, (T, G)."""
        times, unit = self.particles, self.unit
        return (
            times * (k @ self.weights) + s * self.constants,
            times * unit * (slope @ self.weights) + self.constants,
            times * unit**2 * np.maximum(curve @ self.weights, 0.0),
        )

    def only(self, rows: NDArray[np.bool_]) -> _Scale:
        """Of some of the losses."""
        return self._replace(constants=self.constants[rows])


def _scale_of(story: Story, terms: Terms, chosen: NDArray[np.bool_]) -> _Scale:
    """Of the latents that are chosen."""
    weights = terms.task.weights[chosen]
    constants = story.constant - story.factor * (terms.constants[:, chosen] @ weights)
    return _Scale(weights, constants, -story.factor / story.num_particles, story.num_particles)


class _BetaCumulants(NamedTuple):
    """In closed form, of some latents; arrays are (T, G)."""

    first: FloatArray
    second: FloatArray
    up: FloatArray
    down: FloatArray
    scale: _Scale

    @property
    def closed(self) -> bool:
        return True

    @classmethod
    def of(cls, story: Story, terms: Terms, chosen: NDArray[np.bool_]) -> _BetaCumulants:
        first, second, up, down = (
            x[:, chosen] for x in (terms.first, terms.second, terms.up, terms.down)
        )
        return cls(first, second, up, down, _scale_of(story, terms, chosen))

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
        present, ends = self.scale.weights > 0, []
        for x, tilt in ((self.first, self.up), (self.second, self.down)):
            with np.errstate(divide="ignore"):
                ends.append(np.where(present & (tilt != 0), -x / (tilt * self.scale.unit), np.inf))
        return np.concatenate(ends, axis=1)

    def at(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        up, down, scaled = self.up, self.down, (s * self.scale.unit)[:, None]
        floor = 1e-300
        a = np.maximum(self.first + scaled * up, floor)
        b = np.maximum(self.second + scaled * down, floor)
        both = up + down
        k = sc.betaln(a, b) - sc.betaln(self.first, self.second)
        slope = up * sc.psi(a) + down * sc.psi(b) - both * sc.psi(a + b)
        curve = up**2 * trigamma(a) + down**2 * trigamma(b) - both**2 * trigamma(a + b)
        return self.scale.of_losses(s, k, slope, curve)

    def only(self, rows: NDArray[np.bool_]) -> _BetaCumulants:
        first, second, up, down = (x[rows] for x in (self.first, self.second, self.up, self.down))
        return _BetaCumulants(first, second, up, down, self.scale.only(rows))


class _NodeCumulants(NamedTuple):
    """By quadrature over each latent's draw, which the run's arithmetic clamps."""

    form: FloatArray
    log_weights: FloatArray
    """(T, G, nodes)."""
    scale: _Scale
    end: float
    """Where K stops being finite; infinite if it never does."""

    @property
    def closed(self) -> bool:
        return False

    @classmethod
    def of(cls, story: Story, terms: Terms, chosen: NDArray[np.bool_]) -> _NodeCumulants:
        logit, log_weights = _nodes(story, terms, chosen)
        scale = _scale_of(story, terms, chosen)
        end = 1 / scale.unit if terms.kind is LogitNormal else np.inf  # z^2/2 against the form's
        return cls(_form(story, terms, chosen, logit), log_weights, scale, end)

    @property
    def low(self) -> FloatArray:
        return np.full(len(self.form), self.end if self.end < 0 else -np.inf)

    @property
    def high(self) -> FloatArray:
        return np.full(len(self.form), self.end if self.end > 0 else np.inf)

    def at(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        powers = self.log_weights + (s * self.scale.unit)[:, None, None] * self.form
        highest = powers.max(axis=-1, keepdims=True)
        weights = np.exp(powers - highest)
        total = weights.sum(axis=-1, keepdims=True)
        weights /= total
        k = (highest + np.log(total))[..., 0]
        slope = (weights * self.form).sum(axis=-1)
        curve = (weights * (self.form - slope[..., None]) ** 2).sum(axis=-1)
        return self.scale.of_losses(s, k, slope, curve)

    def only(self, rows: NDArray[np.bool_]) -> _NodeCumulants:
        return self._replace(
            form=self.form[rows], log_weights=self.log_weights[rows], scale=self.scale.only(rows)
        )


def _nodes(story: Story, terms: Terms, chosen: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Logits and log weights of a quadrature over each latent's draw, (T, G, nodes)."""
    first, second = terms.first[:, chosen], terms.second[:, chosen]
    if terms.kind is Beta:
        info = Arithmetic.of(story.dtype)
        rule = over_beta(first, second, _STEPS, (np.log(info.tiny), -np.log(info.eps / 2)))
    elif terms.kind is LogitNormal:
        rule = over_normal(first, second, _STEPS)
    else:
        return first[..., None], np.zeros((*first.shape, 1))
    return np.moveaxis(rule.logit, 0, -1), np.moveaxis(rule.log_weights, 0, -1)
