"""First three cumulants of losses, cheaply for many models whose draws are alike.

What a model is linear in, log c and log(1 - c), has moments of its own at each draw: those of
several models are polynomials in their coefficients (E5 is that of the second).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.clamping import needs_nodes
from elbo_ref.crosscheck.cumulants import nodes
from elbo_ref.crosscheck.gamma_cumulants import GammaCumulants
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.special import log_choose, trigamma

_NEGLIGIBLE = 1e-20
"""Probability of outcomes of a minibatch that change no cumulant."""
_BLOCK = 10_000
"""Nodes whose products stay in the cache."""


def first_cumulants(form: LinearForm, draws: DrawCumulants) -> GammaCumulants:
    """First three cumulants of the losses of a model without minibatches."""
    return _of_losses(draws.of(form) @ form.task.weights, -form.model.factor, form)


def minibatch_cumulants(form: LinearForm, draws: DrawCumulants) -> GammaCumulants:
    """First three cumulants of the losses of minibatches.

    By the law of total cumulance over what a batch sees: B of N latents, whose sums have cumulants
    of their own (Cochran 1977, section 2.15), or B hypergeometric trials of a shared latent.
    """
    model = form.model
    assert model.batch is not None
    if model.pooled_batch:
        return _of_losses(_of_some_trials(form, model.batch, draws), -model.factor, form)
    factor = -model.factor * model.batch_scale
    return _of_losses(_of_some_latents(form, model.batch, draws), factor, form)


def cumulants_of_batches(
    form: LinearForm, draws: DrawCumulants, rng: np.random.Generator, number: int
) -> GammaCumulants:
    """First three cumulants of the losses given the minibatches of their particles, (number, T).

    So many are drawn, each with the minibatch of every particle.
    """
    model = form.model
    assert model.batch is not None
    particles, factor = model.num_particles, -model.factor
    if model.pooled_batch:
        each, share = _of_each_batch(form, model.batch, draws)
        seen = rng.multinomial(particles, share, number).astype(np.float64)
    else:
        factor *= model.batch_scale
        each, entries = draws.of(form).swapaxes(1, 2), form.task.entry_of_latent
        order = rng.random((number * particles, entries.size)).argsort(axis=1)
        chosen = entries[order[:, : model.batch]].reshape(number, -1)
        seen = np.zeros((number, each.shape[1]))
        np.add.at(seen, (np.arange(number)[:, None], chosen), 1.0)
    powers = np.arange(1, 4)[:, None, None]
    found = (seen @ each) * (factor / particles) ** powers
    return GammaCumulants(found[0] + model.constant, *found[1:])


def _of_losses(of_one: FloatArray, factor: float, form: LinearForm) -> GammaCumulants:
    """Scale cumulants of one particle, (3, T), to those of losses, kappa_n/P^(n-1)."""
    powers = np.arange(3)[:, None]
    each = of_one * factor ** (powers + 1.0) / float(form.model.num_particles) ** powers
    return GammaCumulants(each[0] + form.model.constant, *each[1:])


def _of_some_latents(form: LinearForm, batch: int, draws: DrawCumulants) -> FloatArray:
    size, share = form.task.num_latents, form.task.weights / form.task.num_latents
    mean, variance, third = draws.of(form)
    center = mean @ share
    away = mean - center[:, None]
    spread = batch * (size - batch) / max(size - 1, 1)
    skew = spread * (size - 2 * batch) / max(size - 2, 1)
    with_spread = 3 * spread * ((away * variance) @ share)
    return np.array(
        (
            batch * center,
            batch * (variance @ share) + spread * (away**2 @ share),
            batch * (third @ share) + with_spread + skew * (away**3 @ share),
        )
    )


def _of_some_trials(form: LinearForm, batch: int, draws: DrawCumulants) -> FloatArray:
    (mean, variance, third), share = _of_each_batch(form, batch, draws)
    center = share @ mean
    away = mean - center
    return np.array(
        (
            center,
            share @ (variance + away**2),
            share @ (third + 3 * away * variance + away**3),
        )
    )


def _of_each_batch(
    form: LinearForm, batch: int, draws: DrawCumulants
) -> tuple[FloatArray, FloatArray]:
    """Cumulants for each number of successes in a batch of trials, (3, S, T), and how probable."""
    counts, scale = form.task.counts, form.model.batch_scale
    k, n = int(counts.successes[0]), int(counts.total_count[0])
    seen = np.arange(max(0, batch - (n - k)), min(k, batch) + 1)
    ways = log_choose(seen, np.full(seen.size, k))
    ways = ways + log_choose(batch - seen, np.full(seen.size, n - k))
    share = np.exp(ways - ways.max())
    share /= share.sum()
    seen, share = seen[share > _NEGLIGIBLE], share[share > _NEGLIGIBLE]
    each = np.empty((3, len(seen), form.num_losses))
    for i, successes in enumerate(seen):
        more = np.array((scale * successes - k, scale * (batch - successes) - (n - k)))
        each[:, i] = draws.of(form.with_more(more))[:, :, 0]
    return each * counts.multiplicity[0], share / share.sum()


class DrawCumulants:
    """First three cumulants of forms; those of draws that several forms share are computed once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], _Polygammas | _NodeMoments] = {}

    def of(self, form: LinearForm) -> FloatArray:
        """Cumulants of one latent of each entry, (3, T, G)."""
        by_nodes = needs_nodes(form)
        cumulants = np.empty((3, *form.constants.shape))
        for chosen in (by_nodes, ~by_nodes):
            if chosen.any():
                draws = self._draws(form, chosen, by_nodes=chosen is by_nodes)
                both = form.tilt[:, :, chosen], form.likelihood[:, :, chosen]
                cumulants[:, :, chosen] = draws.cumulants(*both)
        cumulants[0] += form.constants
        return cumulants

    def _draws(
        self, form: LinearForm, chosen: NDArray[np.bool_], *, by_nodes: bool
    ) -> _Polygammas | _NodeMoments:
        parameters = np.ascontiguousarray(form.parameters[:, :, chosen])
        seen = form.arithmetic if by_nodes else form.source
        key = (seen, parameters.shape, parameters.tobytes(), by_nodes)
        if key not in self._known:
            make = _NodeMoments.of(form, chosen) if by_nodes else _Polygammas.of(parameters)
            self._known[key] = make
        return self._known[key]


class _Polygammas(NamedTuple):
    """Polygammas of orders 0, 1, 2 at a, b and a + b, (3, 3, T, G)."""

    values: FloatArray

    @classmethod
    def of(cls, parameters: FloatArray) -> _Polygammas:
        a, b = parameters
        at = np.array((a, b, a + b))
        trigammas = trigamma(at)
        return cls(np.array((sc.psi(at), trigammas, -2 * sc.zeta(3, at))))

    def cumulants(self, tilt: FloatArray, _likelihood: FloatArray) -> FloatArray:
        """Cumulants of a form with some tilt, (3, T, G)."""
        up, down = tilt
        powers = np.array([(up**n, down**n, -((up + down) ** n)) for n in (1, 2, 3)])
        return np.asarray((powers * self.values).sum(axis=1))


class _NodeMoments(NamedTuple):
    """Joint moments of what a form is linear in: (T, G, m), (T, G, m, m), (T, G, m, m, m).

    That is a term of its own and, each times its coefficient, log c and log(1 - c) in the densities
    of c and, where some draw is near an end, what those in the likelihood exceed them by.
    """

    mean: FloatArray
    second: FloatArray
    third: FloatArray

    @classmethod
    def of(cls, form: LinearForm, chosen: NDArray[np.bool_]) -> _NodeMoments:
        logit, log_weights = nodes(form, chosen)
        own, logs, excess = form.arithmetic.terms(logit, form.parameters[:, :, chosen, None])
        terms = np.broadcast_arrays(own, *logs, *(() if excess is None else excess))
        length = max(1, _BLOCK // math.prod(logit.shape[1:]))
        blocks = (slice(start, start + length) for start in range(0, len(logit), length))
        moments = [
            _joint_moments([x[block] for x in terms], log_weights[block]) for block in blocks
        ]
        return cls(*(np.concatenate(x) for x in zip(*moments, strict=True)))

    def cumulants(self, tilt: FloatArray, likelihood: FloatArray) -> FloatArray:
        """Cumulants of a form with some tilt, (3, T, G)."""
        *shape, size = self.mean.shape
        coefficients = [np.ones(1), *tilt, *likelihood][:size]
        x = np.stack([np.broadcast_to(y, shape) for y in coefficients], axis=-1)[..., None]
        in_third = (self.third @ x[..., None, :, :])[..., 0] @ x
        row = x.swapaxes(-1, -2)
        mean = (self.mean[..., None, :] @ x)[..., 0, 0]
        return np.array((mean, (row @ self.second @ x)[..., 0, 0], (row @ in_third)[..., 0, 0]))


def _joint_moments(
    terms: Sequence[FloatArray], log_weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fields of `_NodeMoments` of some losses, from the terms at nodes, each (T, G, nodes)."""
    weights = np.exp(log_weights)
    weights /= weights.sum(axis=-1, keepdims=True)
    parts = np.stack(terms, axis=-2)
    mean = (weights[..., None, :] * parts).sum(axis=-1)
    away = parts - mean[..., None]
    weighted, turned = weights[..., None, :] * away, away.swapaxes(-1, -2)
    second = weighted @ turned
    products = weighted[..., :, None, :] * away[..., None, :, :]
    flat = products.reshape(*products.shape[:-3], -1, products.shape[-1])
    return mean, second, (flat @ turned).reshape(products.shape[:-1] + mean.shape[-1:])
