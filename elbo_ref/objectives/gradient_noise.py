r"""Latents at the nodes of a quadrature, and the variance of one particle's gradient by it.

All estimators of a latent's gradient are functions of its draw alone, so that a variance is an
integral over one variable, the draw's logit (`elbo_ref.distributions.quadrature`). Latents are
taken in blocks: many at once, of bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray, FloatArray, IntArray
from elbo_ref.distributions.base import Source
from elbo_ref.distributions.logit_normal import LogitNormalSource
from elbo_ref.distributions.point import PointSource
from elbo_ref.distributions.quadrature import (
    Rule,
    even_over_beta,
    even_over_normal,
    mean_square,
    over_beta,
    over_normal,
)
from elbo_ref.objectives.base import Task

STEPS = 160
"""Steps of a quadrature for variances to 1e-6 of themselves."""
_FEW_STEPS = 32
"""Steps for three digits."""
_NODES_AT_ONCE, _PAIRS_AT_ONCE = 2**15, 2**18
"""About how many nodes of one draw, or pairs of nodes of two, a block holds."""


class Rules(NamedTuple):
    """Quadratures over a draw, from its two parameters and a number of steps."""

    beta: Callable[[FloatArray, FloatArray, int], Rule]
    normal: Callable[[FloatArray, FloatArray, int], Rule]

    def of(self, source: Source, x: FloatArray, steps: int) -> tuple[Rule, FloatArray, FloatArray]:
        """Find the rule for one draw; its logits at the nodes, and parameters moved with them.

        Of a logit-normal only their difference counts, which so keeps its digits. A point is its
        own rule.
        """
        if isinstance(source, LogitNormalSource):
            rule = self.normal(x[0], x[1], steps)
            return rule, rule.away, np.array((np.zeros_like(x[0]), x[1]))
        if isinstance(source, PointSource):
            rule = Rule(x[0], np.zeros((1, x[0].size)), np.zeros((1, x[0].size)))
        else:
            rule = self.beta(x[0], x[1], steps)
        return rule, rule.logit, x


ONE_DRAW = Rules(over_beta, over_normal)
TWO_DRAWS = Rules(even_over_beta, even_over_normal)


class Latents(NamedTuple):
    """L latents at the nodes of a quadrature over the draw of each; arrays are (nodes, ..., L).

    The last axis has size 1 where it is the same for all.
    """

    weights: FloatArray
    logs: FloatArray
    """log c and log(1 - c), (nodes, 2, L)."""
    log_ratios: FloatArray
    """`logs` less their values at the mode, exact however near a node is."""
    form: FloatArray
    """log p(x, c) - log q(c) under the tilt, without its constant."""
    constant: FloatArray
    """The additive constant left out of `form`, (L,)."""
    through: FloatArray
    """The part of the source gradient through the draw, under the tilt, (nodes, rows, L)."""
    logit: FloatArray
    x: FloatArray
    """The source's parameters, (k, L), moved with `logit` (`Rules.of`)."""
    slope: FloatArray
    """A (1 - c) - D c."""
    source: Source

    @classmethod
    def of(
        cls,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        tilt: FloatArray,
        log_coefficient: FloatArray,
        steps: int,
        rules: Rules = ONE_DRAW,
    ) -> Latents:
        """Place L latents with `params` (k, L), or (k, 1) for all, and a tilt each."""
        guide = task.guide
        rule, y, x = rules.of(guide.source, guide.source_parameters(prior, params), steps)
        weights = np.exp(rule.log_weights)
        center, (up, down) = sc.log_expit(np.array((rule.center, -rule.center))), tilt
        ratios = np.array(rule.log_ratios())
        logs = center[:, None] + ratios
        (c, rest), (mode, other) = np.exp(logs), np.exp(center)
        moved = (up + down) * (mode * np.expm1(np.minimum(ratios[0], 1.0)))
        near = np.abs(rule.away) < 1
        slope = np.where(near, up * other - down * mode - moved, up * rest - down * c)
        form = up * ratios[0] + down * ratios[1]
        residual = guide.residual(y, x)
        if residual is not None:
            form = form + residual
        at_center = up * center[0] + down * center[1]
        constant = at_center + guide.normalizer(prior, params) + log_coefficient
        pathwise = guide.source.pathwise(y, x)
        through = slope[:, None] * pathwise.swapaxes(0, 1)
        both = logs.swapaxes(0, 1), ratios.swapaxes(0, 1)
        return cls(weights, *both, form, constant, through, y, x, slope, guide.source)

    def mean(self, rows: FloatArray) -> FloatArray:
        """Mean of functions of the draw, given at the nodes: (nodes, rows, L) to (rows, L)."""
        mean: FloatArray = (self.weights[:, None] * rows).sum(axis=0)
        return mean

    def centered(self, rows: FloatArray) -> FloatArray:
        """Functions of the draw less their means."""
        return rows - self.mean(rows)

    def variance(self, rows: FloatArray) -> FloatArray:
        """Variance of functions of the draw, given at the nodes; inf beyond the largest float."""
        return mean_square(self.weights[:, None], self.centered(rows))

    def centered_logs(self) -> FloatArray:
        """Subtract from `logs` their means."""
        return self.centered(self.log_ratios)

    def score(self) -> FloatArray:
        """Return d log q(c) / d(own parameter) at the nodes, (nodes, k, L); its mean is 0."""
        logs = self.logs.swapaxes(0, 1)
        score = self.source.score(self.logit, logs, self.x).swapaxes(0, 1)
        return self.centered(score)


class Distinct(NamedTuple):
    """The latents of a task, equal ones once: U of G entries."""

    entry: IntArray
    """The entry that stands for all that are equal to it, (U,)."""
    params: FloatArray
    """(k, U), or (k, 1) for all."""
    tilts: FloatArray
    log_coefficient: FloatArray
    present: BoolArray
    """The entries that have latents, (G,)."""
    column: IntArray
    """Which of the U each of these is."""

    @classmethod
    def of(cls, task: Task, params: FloatArray, tilts: FloatArray) -> Distinct:
        """Find them from parameters (k, G), or (k, 1) for all, and a tilt for each entry."""
        size, present = task.weights.size, task.weights > 0
        each, tilts = params.shape[1] == size, np.broadcast_to(tilts, (2, size))
        rows = np.concatenate((tilts, task.log_coefficient[None], *((params,) if each else ())))
        rows = rows[:, present]
        order = np.lexsort(rows)
        first = np.ones(order.size, dtype=bool)
        first[1:] = (np.diff(rows[:, order]) != 0).any(axis=0)
        column = np.empty(order.size, dtype=np.int64)
        column[order] = np.cumsum(first) - 1
        rows = rows[:, order[first]]
        entry = np.flatnonzero(present)[order[first]]
        return cls(entry, rows[3:] if each else params, rows[:2], rows[2], present, column)

    def blocks(
        self, task: Task, prior: FloatArray, steps: int, rules: Rules = ONE_DRAW
    ) -> Iterator[tuple[IntArray, FloatArray, Latents]]:
        """Yield them in blocks: their entries, their own parameters, and the latents."""
        most = _NODES_AT_ONCE if rules is ONE_DRAW else _PAIRS_AT_ONCE // steps
        size = max(1, most // steps)
        for start in range(0, self.entry.size, size):
            some = slice(start, start + size)
            params = self.params if self.params.shape[1] == 1 else self.params[:, some]
            tilts, coefficient = self.tilts[:, some], self.log_coefficient[some]
            latents = Latents.of(task, prior, params, tilts, coefficient, steps, rules)
            yield self.entry[some], params, latents

    def spread(self, columns: FloatArray) -> FloatArray:
        """Give each entry the column of its latent, (..., U) to (..., G); 0 without a latent."""
        found = np.zeros((*columns.shape[:-1], self.present.size))
        found[..., self.present] = columns[..., self.column]
        return found


Rows: TypeAlias = Callable[[Latents, FloatArray], tuple[FloatArray, FloatArray]]
"""The gradient at the nodes, by the prior's and own parameters, of latents with these."""


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
        cls, task: Task, prior: FloatArray, params: FloatArray, tilts: FloatArray, gradient: Rows
    ) -> GradientNoise:
        """Integrate a gradient at the nodes; standard deviations to 2e-3 of themselves.

        0 without a latent; `tilts` is (2, G).
        """
        distinct = Distinct.of(task, params, tilts)
        names = len(task.guide.parameter_names)
        found = [np.zeros((2 * (2 + names), 0))]
        for _, each, latents in distinct.blocks(task, prior, _FEW_STEPS):
            size = latents.constant.size
            parts = []
            for rows in gradient(latents, each):
                parts += [latents.mean(rows), latents.variance(rows)]
            found.append(np.concatenate([np.broadcast_to(x, (len(x), size)) for x in parts]))
        rows = distinct.spread(np.concatenate(found, axis=1))
        return cls(*np.split(rows, (2, 4, 4 + names)))

    def summed(self, task: Task) -> tuple[FloatArray, FloatArray]:
        """Add up the variances over all latents: (2,) and the shape of the own parameters."""
        return task.summed(self.prior_variance, self.own_variance)
